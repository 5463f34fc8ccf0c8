"""Prompts: what will be on this tab, in one sentence."""

from __future__ import annotations

import gradio as gr

from tabs._words import label


def build() -> None:
    """Draw the tab."""
    gr.Markdown(label("prompts.soon"), elem_classes="tri-soon")
