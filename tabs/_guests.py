"""Who one is, and for the owner of a shared workbench the ways to let others in."""

from __future__ import annotations

import os
from html import escape
from typing import Any

import gradio as gr

from tabs._door import OWNER_PATH
from tabs._links import qr
from tabs._rules import rule
from tabs._shared import QUICK, House
from tabs._words import label, say


def build_guests(house: House, language: gr.Textbox) -> list[tuple[Any, ...]]:
    """Draw nothing at home; returns what must be said once the page knows its language."""
    if house.mode == "local":
        return []
    who = gr.HTML(elem_id="who", elem_classes="tri-who")
    if house.mode == "space" and os.environ.get("OAUTH_CLIENT_ID"):
        gr.LoginButton(label("share.sign_in"), size="sm", elem_classes="tri-signin")
    with gr.Accordion(label("share.links"), open=False, visible=False, elem_id="links") as links:
        gr.Markdown(label("share.links_info"))
        guests = gr.HTML(elem_id="guests-link")
        another = gr.Button(label("share.new_owner_link"), size="sm", elem_id="another-owner")
        mine = gr.HTML(elem_id="owner-link")

    @rule("look")
    def greet(request: gr.Request, language: str) -> tuple[Any, ...]:
        role = house.who(request).role
        line = escape(say(language, f"share.you_{role}"))
        said = f'<p class="tri-quiet" data-role="{role}">{line}</p>'
        may = role == "owner" and house.mode == "share"
        return said, gr.update(visible=may), _guest_link(house, language) if may else ""

    @rule("export")
    def again(language: str) -> str:
        token = house.keys.issue()
        address = f"{_address(house)}{OWNER_PATH}#{token}"
        return f"{_shown(address)}<p>{escape(say(language, 'share.once'))}</p>"

    another.click(again, language, mine, **QUICK)
    return [(greet, language, [who, links, guests])]


def _address(house: House) -> str:
    return house.addresses[-1].rstrip("/") if house.addresses else ""


def _guest_link(house: House, language: str) -> str:
    return f"{_shown(_address(house))}<p>{escape(say(language, 'share.links_scan'))}</p>"


def _shown(address: str) -> str:
    safe = escape(address)
    return f'<div class="tri-qr">{qr(address)}</div><p><code>{safe}</code></p>'
