"""What a request tells about whoever sent it. Believes nothing that anybody can write."""

from __future__ import annotations

import os
import time
from typing import Any

import gradio as gr


def cookies_of(request: gr.Request | None) -> dict[str, str]:
    """The cookies that came with a request."""
    if request is None:
        return {}
    if request.request is not None:
        return dict(request.request.cookies)
    return dict(request.kwargs.get("cookies", {}))


def address_of(request: gr.Request | None) -> str:
    """Where a request comes from: as the last proxy before us says, or the connection itself."""
    if request is None or request.request is None:
        return "unknown"
    said = request.request.headers.get("x-forwarded-for", "")
    client = request.request.client
    return str(said.split(",")[-1].strip() or (client.host if client else "unknown"))


def signed_in(request: gr.Request) -> str | None:
    """The name of somebody signed in with Hugging Face, while that holds."""
    if request.request is None or "session" not in request.request.scope:
        return None
    known: dict[str, Any] = request.request.session.get("oauth_info") or {}
    if known.get("expires_at", 0) < time.time():
        return None
    name = (known.get("userinfo") or {}).get("preferred_username")
    return str(name) if name else None


def owners_of_space() -> set[str | None]:
    """The account that owns the Space; with TRILOGY_SPACE_OWNER the one it names instead.

    An organization cannot sign in, so a Space of one needs the variable.
    """
    named = os.environ.get("TRILOGY_SPACE_OWNER") or os.environ.get("SPACE_AUTHOR_NAME")
    return {name.strip() for name in (named or "").split(",") if name.strip()}
