"""Links into the page: ``?tab=chat&model=...&character=...``, and the QR code of one.

What a link asks for is a wish like any other: models are checked when they are used.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from urllib.parse import urlencode

import gradio as gr
import segno

MOST_MODELS = 8
LONGEST = 300


@dataclass(frozen=True)
class Wish:
    """What the address of the page asks for."""

    tab: str = ""
    models: tuple[str, ...] = ()
    character: str = ""


def wish_of(request: gr.Request | None) -> Wish:
    """Read the wish out of the page's address; too long a part is left out."""
    asked = request.request.query_params if request and request.request else None
    if asked is None:
        return Wish()

    def parts(name: str) -> list[str]:
        return [one for one in asked.getlist(name) if 0 < len(one) <= LONGEST]

    tab, character = parts("tab")[:1], parts("character")[:1]
    return Wish("".join(tab), tuple(parts("model")[:MOST_MODELS]), "".join(character))


def link(address: str, wish: Wish) -> str:
    """The address of the page that asks for this."""
    asked: list[tuple[str, str]] = []
    asked += [("tab", wish.tab)] if wish.tab else []
    asked += [("model", one) for one in wish.models]
    asked += [("character", wish.character)] if wish.character else []
    return f"{address.rstrip('/')}/" + (f"?{urlencode(asked)}" if asked else "")


def qr(address: str) -> str:
    """A QR code as SVG, black on white with the quiet border that phones need."""
    out = io.BytesIO()
    segno.make(address, error="m", micro=False).save(
        out, kind="svg", xmldecl=False, svgns=False, border=4, light="#fff", scale=4, omitsize=True
    )
    return out.getvalue().decode()
