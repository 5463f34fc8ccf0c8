"""Prompts 出題: choose who is asked, try a prompt once, let it run, judge it, compare versions.

A run is a process of its own; the page follows its files and can be closed.
"""

from __future__ import annotations

from typing import Any

import gradio as gr

from tabs import _prompts_judge, _prompts_run, _prompts_versus
from tabs._prompts_ask import Panel
from tabs._prompts_try import Editor
from tabs._shared import FOLLOW, House
from tabs._words import label


def build(house: House, language: gr.Textbox, tab: gr.Tab) -> list[tuple[Any, ...]]:
    """Draw the tab; returns what must be said once the page knows its language."""
    with gr.Column(elem_classes="tri-panel"):
        gr.Markdown(label("prompts.intro"))
        panel = Panel(house, language)
    with gr.Tabs(elem_classes="tri-inner"):
        with gr.Tab(label("prompts.tab_try"), id="try"):
            editor = Editor(house, language, panel)
        with gr.Tab(label("prompts.tab_run"), id="run") as running:
            greetings = _prompts_run.build(house, language, panel, editor, running)
        with gr.Tab(label("prompts.tab_judge"), id="judge") as judging:
            greetings += _prompts_judge.build(house, language, panel, judging)
        with gr.Tab(label("prompts.tab_versus"), id="versus") as comparing:
            greetings += _prompts_versus.build(house, language, panel, editor, comparing)
    tab.select(editor.offer, None, editor.seeds, **FOLLOW)
    return [*editor.greetings, *greetings]
