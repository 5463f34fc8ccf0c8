"""Compare 揀底模: several base models side by side.

The models are chosen once, above; each part below asks them something else. Widgets become
requests, events become components. What a figure means is decided in ``workbench.compare``.
"""

from __future__ import annotations

from typing import Any

import gradio as gr

from tabs._compare_history import build_history
from tabs._compare_map import build_map
from tabs._compare_perplexity import build_perplexity
from tabs._compare_probes import build_probes
from tabs._compare_scorecard import build_scorecard
from tabs._compare_tokenizers import build_tokenizers
from tabs._compare_writing import build_writing
from tabs._models import build_models
from tabs._shared import House
from tabs._words import label


def build(house: House, language: gr.Textbox) -> list[tuple[Any, ...]]:
    """Draw the tab; returns what must be said once the page knows its language."""
    with gr.Column(elem_classes="tri-panel"):
        gr.Markdown(label("compare.intro"))
        panel = build_models(house, language)
    chosen, shown = panel.chosen, panel.memory
    with gr.Tabs(elem_classes="tri-inner"):
        with gr.Tab(label("ppl.tab"), id="ppl"):
            build_perplexity(house, chosen, shown)
        with gr.Tab(label("write.tab"), id="write"):
            build_writing(house, chosen, shown)
        with gr.Tab(label("map.tab"), id="map"):
            build_map(house, chosen, shown)
        with gr.Tab(label("cut.tab"), id="cut"):
            build_tokenizers(house, chosen)
        with gr.Tab(label("probing.tab"), id="probing"):
            build_probes(house, chosen, shown)
        with gr.Tab(label("card.tab"), id="card"):
            build_scorecard(house, chosen, shown)
        with gr.Tab(label("history.tab"), id="history") as earlier:
            build_history(house, language, earlier)

    return panel.greetings
