"""The front page, made once for each address under which it is reached, and kept.

Gradio makes it anew for every visitor, though it is the same for all: a tenth of a second of
copying, a megabyte long. This module does not know what is on it.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any
from urllib.parse import parse_qs

from starlette.datastructures import Headers

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
DECIDING = ("host", "x-forwarded-host", "x-forwarded-proto", "x-gradio-server")
"""Headers from which Gradio works out the address that stands in the page."""
MOST = 8
"""Pages kept: callers can name any host."""


class FrontPage:
    """ASGI middleware around everything that makes the page; outside of it cookies are set."""

    def __init__(self, app: Any) -> None:
        self._app = app
        self._kept: OrderedDict[tuple[str, ...], list[Message]] = OrderedDict()

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        key = _key(scope)
        if key is None:
            await self._app(scope, receive, send)
            return
        if key in self._kept:
            self._kept.move_to_end(key)
            for message in self._kept[key]:
                await send(dict(message))
            return
        said: list[Message] = []

        async def noting(message: Message) -> None:
            said.append(dict(message))
            await send(message)

        await self._app(scope, receive, noting)
        if _is_for_all(said):
            self._kept[key] = said
            while len(self._kept) > MOST:
                self._kept.popitem(last=False)


def _is_for_all(said: list[Message]) -> bool:
    """A whole page that gives nobody a cookie of their own."""
    if not said or said[0].get("status") != 200 or said[-1].get("more_body"):
        return False
    return all(name.lower() != b"set-cookie" for name, _ in said[0]["headers"])


def _key(scope: Message) -> tuple[str, ...] | None:
    """All that the page depends on; None for anything but the front page."""
    if scope["type"] != "http" or scope["method"] != "GET" or scope["path"] != "/":
        return None
    if "deep_link" in parse_qs(scope["query_string"].decode("latin-1")):
        return None
    headers = Headers(scope=scope)
    packed = "gzip" in headers.get("accept-encoding", "")
    address = (headers.get(name, "") for name in DECIDING)
    return (*address, scope.get("root_path", ""), scope.get("scheme", ""), str(packed))
