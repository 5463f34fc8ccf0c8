"""The front page is made once for each address, and belongs to nobody; sessions stay small."""

from __future__ import annotations

from pathlib import Path

import httpx
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route
from starlette.testclient import TestClient

from tabs._front import MOST, FrontPage
from tests.security.serving import served
from workbench.settings import Settings


class Site:
    def __init__(self) -> None:
        self.made = 0
        self.cookie = False
        self.status = 200

        def page(request: Request) -> Response:
            self.made += 1
            answer = HTMLResponse(f"page for {request.headers['host']}", self.status)
            if self.cookie:
                answer.set_cookie("mine", "1")
            return answer

        routes = [Route("/", page), Route("/other", page)]
        middleware = [Middleware(FrontPage)]
        self.client = TestClient(Starlette(routes=routes, middleware=middleware))


def test_it_is_made_once_for_each_address() -> None:
    site = Site()
    for host in ("a", "b", "a", "a"):
        answer = site.client.get("/?tab=chat", headers={"host": host})
        assert answer.text == f"page for {host}"
    assert site.made == 2
    site.client.get("/", headers={"host": "a", "x-forwarded-proto": "https"})
    site.client.get("/", headers={"host": "a", "accept-encoding": "identity"})
    assert site.made == 4


def test_nothing_else_is_kept() -> None:
    site = Site()
    for _ in range(2):
        site.client.get("/other")
        site.client.get("/?deep_link=x")
        site.client.post("/")
    assert site.made == 4


def test_a_page_with_a_cookie_or_an_error_is_never_given_to_another() -> None:
    site = Site()
    site.cookie = True
    site.client.get("/")
    site.cookie, site.status = False, 500
    assert "set-cookie" not in site.client.get("/").headers
    site.status = 200
    assert site.client.get("/").status_code == 200
    assert site.made == 3


def test_strangers_with_many_names_cost_no_memory() -> None:
    site = Site()
    for number in range(MOST + 1):
        site.client.get("/", headers={"host": str(number)})
    site.client.get("/", headers={"host": "0"})
    assert site.made == MOST + 2


def test_the_real_page_is_packed_the_same_for_two_guests_and_their_sessions_are_small(
    tmp_path: Path,
) -> None:
    with served(Settings(workspace=tmp_path, share=True, tunnel=False)) as running:
        first, second = (httpx.get(running.url, headers={"accept-encoding": "gzip"}) for _ in "ab")
        assert first.content == second.content
        assert first.headers["content-encoding"] == "gzip"
        assert int(first.headers["content-length"]) < 250_000 < len(first.content)
        assert first.headers["set-cookie"] != second.headers["set-cookie"]
        running.guest().client.post(
            "/gradio_api/call/models", json={"data": [], "session_hash": "small"}
        )
        session = running.page.app.state_holder["small"]
        assert session.config_values == {}
        assert session.blocks_config.blocks.keys() == running.page.default_config.blocks.keys()
