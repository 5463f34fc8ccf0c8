"""The door of the house: every HTTP request passes here before Gradio sees it.

Refuses calls from other sites and to other names than ours, uploads that are too large,
and those of Gradio's own routes that nothing here uses; gives each guest a signed
name, and the owner, for their one-time token, a session. Does not know what is on the page.
"""

from __future__ import annotations

import html
import ipaddress
import json
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.requests import HTTPConnection, Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response

from tabs._shared import House
from tabs._words import LANGUAGES, explain, say
from workbench.errors import LockedOut

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

OWNER_PATH = "/owner"
CHANGING = {"POST", "PUT", "PATCH", "DELETE"}
CLOSED = (
    "vibe-", "undo-vibe", "proxy=", "process_recording", "dev/", "profiling", "run-history",
    "runs", "startup-events-reset",
)  # fmt: skip
"""Routes of Gradio's under /gradio_api/ that nothing here uses."""
MONTH = 30 * 86_400
POLICY = {
    "default-src": "'self'",
    # Gradio's own start is inline, and the small functions of events are made from text
    "script-src": "'self' 'unsafe-inline' 'unsafe-eval'",
    "style-src": "'self' 'unsafe-inline'",
    "img-src": "'self' data: blob:",
    "media-src": "'self' data: blob:",
    "font-src": "'self' data:",
    "worker-src": "'self' blob:",
    "connect-src": "'self' data: blob:",
    "object-src": "'none'",
    "base-uri": "'self'",
    "form-action": "'self'",
}


class Door:
    """ASGI middleware; the outermost but for the early head."""

    def __init__(self, app: Any, house: House) -> None:
        self._app = app
        self._house = house
        # a Space is shown in a frame of the Hub's
        around = "'self' https://huggingface.co" if house.mode == "space" else "'self'"
        policy = "; ".join(f"{key} {value}" for key, value in POLICY.items())
        self._headers = [
            (b"content-security-policy", f"{policy}; frame-ancestors {around}".encode()),
            (b"x-content-type-options", b"nosniff"),
            (b"referrer-policy", b"same-origin"),
            (b"cross-origin-opener-policy", b"same-origin-allow-popups"),
            (b"permissions-policy", b"camera=(), microphone=(), geolocation=(), payment=()"),
        ]

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request = Request(scope, receive)
        cookie = self._guest_cookie(request)

        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                extra = [*self._headers, *([(b"set-cookie", cookie)] if cookie else [])]
                message = {**message, "headers": [*message.get("headers", []), *extra]}
            await send(message)

        answer = self._refusal(request)
        if answer is None and scope["path"] == OWNER_PATH and self._house.mode == "share":
            answer = await self._owner(request)
        if answer is not None:
            await answer(scope, receive, sending)
        else:
            await self._app(scope, self._counted(request, receive), sending)

    def _refusal(self, request: Request) -> Response | None:
        path, headers = request.url.path, request.headers
        if self._house.mode == "local" and not _is_here(headers, self._house.settings.host):
            return _said(421, _language(headers), "share.wrong_host")
        if request.method in CHANGING and _is_foreign(headers):
            return _said(403, _language(headers), "share.other_site")
        inner = path.removeprefix("/gradio_api/")
        if inner != path and inner.startswith(CLOSED):
            return PlainTextResponse("Not found", 404)
        length = headers.get("content-length", "")
        if request.method in CHANGING and length.isdigit() and int(length) > self._most(request):
            return _said(413, _language(headers), "share.too_large")
        return None

    def _most(self, request: HTTPConnection) -> int:
        """Bytes that one request may bring."""
        settings = self._house.settings
        theirs = int(settings.guest_upload_mb * 1_000_000)
        return settings.max_data_bytes if self._is_owner(request) else theirs

    def _counted(self, request: Request, receive: Receive) -> Receive:
        """A body that says nothing of its length is cut off where a longer one would be refused."""
        if request.method not in CHANGING:
            return receive
        most, come = self._most(request), 0

        async def receiving() -> Message:
            nonlocal come
            message = await receive()
            come += len(message.get("body", b""))
            return message if come <= most else {"type": "http.disconnect"}

        return receiving

    def _is_owner(self, request: HTTPConnection) -> bool:
        house = self._house
        if house.mode == "share":
            return house.keys.is_owner(request.cookies.get(house.keys.owner_cookie))
        return house.mode == "local"

    def _guest_cookie(self, request: Request) -> bytes | None:
        """On the front page, a name for a guest who has none yet."""
        keys = self._house.keys
        if self._house.mode != "share" or request.method != "GET" or request.url.path != "/":
            return None
        if self._is_owner(request) or keys.guest(request.cookies.get(keys.guest_cookie)):
            return None
        return _cookie(request, keys.guest_cookie, keys.name_guest())

    async def _owner(self, request: Request) -> Response:
        """The page of the owner's link, and the exchange of its token for a session.

        The token is in the link's fragment, which no server, proxy or preview ever sees.
        """
        language = _language(request.headers)
        if request.method == "GET":
            return HTMLResponse(_owner_page(language))
        if request.method != "POST":
            return PlainTextResponse("Method not allowed", 405)
        if int(request.headers.get("content-length") or 10_000) > 1000:
            return _said(413, language, "share.too_large")
        token = (await request.body()).decode("utf-8", "replace").strip()
        address = request.client.host if request.client else "unknown"
        try:
            session = self._house.keys.redeem(token, address)
        except LockedOut as error:
            return PlainTextResponse(explain(language, error), 429)
        if session is None:
            return _said(403, language, "share.wrong_token")
        answer = Response(status_code=204)
        cookie = _cookie(request, self._house.keys.owner_cookie, session)
        answer.headers.append("set-cookie", cookie.decode())
        return answer


def _is_here(headers: Headers, host: str | None) -> bool:
    """True if the page was asked for by a name of this machine's.

    Otherwise a site elsewhere may have given its own name our address, to call us
    from the owner's browser.
    """
    name = urlsplit(f"//{headers.get('host', '')}").hostname or ""
    if name in {"localhost", host}:
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def _is_foreign(headers: Headers) -> bool:
    """True if a page of another site makes this call."""
    origin = headers.get("origin")
    if origin is None:
        return headers.get("sec-fetch-site") == "cross-site"
    ours = {headers.get("host"), headers.get("x-forwarded-host")}
    return urlsplit(origin).netloc not in ours


def _cookie(request: Request, name: str, value: str) -> bytes:
    https = request.headers.get("x-forwarded-proto", request.url.scheme) == "https"
    secure = "; Secure" if https else ""
    return f"{name}={value}; Path=/; Max-Age={MONTH}; HttpOnly; SameSite=Lax{secure}".encode()


def _language(headers: Headers) -> str:
    """The browser's language, by the rule of the page's script."""
    for wanted in headers.get("accept-language", "").lower().split(","):
        tag = wanted.split(";")[0].strip()
        if tag.startswith(("yue", "zh-hk", "zh-mo", "zh-tw", "zh-hant")):
            return "zh-TW"
        if tag.startswith("zh"):
            return "zh-CN"
        if tag.startswith("en"):
            return "en"
    return LANGUAGES[0]


def _said(status: int, language: str, key: str) -> Response:
    return PlainTextResponse(say(language, key), status)


def _owner_page(language: str) -> str:
    """Redeems the token of the link's fragment, then goes to the front page."""
    title, go, lost = (say(language, f"share.owner_{key}") for key in ("title", "go", "lost"))
    return f"""<!doctype html><html lang="{language}"><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Trilogy 三步曲</title>
<body style="font-family:system-ui;max-width:34rem;margin:15vh auto;padding:0 1rem">
<h1>{html.escape(title)}</h1>
<p id="said" role="status"></p>
<button id="go" style="font-size:1.1rem;padding:.6rem">{html.escape(go)}</button>
<script>
const token = location.hash.slice(1);
history.replaceState(null, "", location.pathname);
const said = document.getElementById("said"), go = document.getElementById("go");
go.onclick = async () => {{
  const answer = await fetch("owner", {{method: "POST", body: token}});
  if (answer.ok) location.replace("./"); else said.textContent = await answer.text();
}};
if (token) go.click(); else {{ go.remove(); said.textContent = {json.dumps(lost)}; }}
</script></body></html>"""
