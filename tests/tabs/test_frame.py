"""The script and the styles reach the browser before Gradio does, in pages only."""

from __future__ import annotations

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.responses import HTMLResponse, JSONResponse, StreamingResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from tabs._frame import CSS, SCRIPT, EarlyHead, header
from tabs._words import LANGUAGES


def client() -> TestClient:
    page = "<html><head><title>x</title></head><body>粵</body></html>"

    async def html(request: object) -> HTMLResponse:
        return HTMLResponse(page)

    async def pieces(request: object) -> StreamingResponse:
        return StreamingResponse(iter([page[:20], page[20:]]), media_type="text/html")

    async def json(request: object) -> JSONResponse:
        return JSONResponse({"text": "<head>"})

    routes = [Route("/", html), Route("/pieces", pieces), Route("/json", json)]
    return TestClient(Starlette(routes=routes, middleware=[Middleware(EarlyHead)]))


def test_a_page_gets_script_and_styles_first() -> None:
    for path in ("/", "/pieces"):
        answer = client().get(path)
        assert answer.text.startswith("<html><head><script>")
        assert SCRIPT.read_text("utf-8") in answer.text
        assert CSS.read_text("utf-8") in answer.text
        assert answer.text.endswith("<body>粵</body></html>")
        assert int(answer.headers["content-length"]) == len(answer.content)


def test_anything_else_passes_untouched() -> None:
    assert client().get("/json").json() == {"text": "<head>"}


def test_the_header_offers_every_language() -> None:
    drawn = header(dict.fromkeys(LANGUAGES, "<b>"))
    assert "&lt;b&gt;" in drawn
    for tag in LANGUAGES:
        assert f'data-language="{tag}"' in drawn
