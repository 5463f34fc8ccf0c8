"""Chat 傾偈: base against tuned, characters that stay in character, and votes that count.

Widgets become requests, events become HTML. Who said a word is decided in ``workbench.chat``.
"""

from __future__ import annotations

from typing import Any

import gradio as gr

from tabs._chat_characters import build_characters
from tabs._chat_panel import Panel
from tabs._chat_saved import build_saved
from tabs._chat_score import build_score
from tabs._chat_talk import wire_talk
from tabs._chat_votes import build_standings, build_votes
from tabs._shared import House
from tabs._words import label


def build(house: House, language: gr.Textbox, tab: gr.Tab) -> list[tuple[Any, ...]]:
    """Draw the tab; returns what must be said once the page knows its language."""
    with gr.Column(elem_classes="tri-panel"):
        gr.Markdown(label("chat.intro"))
    with gr.Tabs(elem_classes="tri-inner"):
        with gr.Tab(label("chat.tab_talk"), id="talk"):
            panel = Panel()
        with gr.Tab(label("chat.tab_characters"), id="characters"):
            characters = build_characters(house, language, tab)
        with gr.Tab(label("score.tab"), id="score"):
            build_score(house, language, panel, characters)
        with gr.Tab(label("chat.tab_vote"), id="vote"):
            greet = build_votes(house, language, panel, characters)
        with gr.Tab(label("chat.tab_standings"), id="standings") as ranking:
            build_standings(house, language, ranking)
        with gr.Tab(label("chat.tab_saved"), id="saved") as saved:
            build_saved(house, language, saved, panel)
    return [greet, characters.greet, *wire_talk(house, language, tab, panel, characters)]
