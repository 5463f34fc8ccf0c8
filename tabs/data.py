"""Data 語料: bring rows in, look at them, clean, de-duplicate, mix, split, take away.

The dataset on the desk is chosen once, at the top; every part works on it.
"""

from __future__ import annotations

from typing import Any

import gradio as gr

from tabs._data_alike import build_alike
from tabs._data_browse import build_browse
from tabs._data_clean import build_clean
from tabs._data_desk import Desk, stamp, summary
from tabs._data_figures import build_figures, build_log
from tabs._data_mix import build_mix
from tabs._data_open import build_open
from tabs._data_out import build_out
from tabs._rules import rule
from tabs._shared import QUICK, House, failed, notice
from tabs._words import label, say
from workbench.errors import WorkbenchError


def build(house: House, language: gr.Textbox) -> list[tuple[Any, ...]]:
    """Draw the tab; returns what must be said once the page knows its language."""
    with gr.Column(elem_classes="tri-panel"):
        gr.Markdown(label("data.intro"))
        with gr.Row(elem_classes="tri-actions"):
            chosen = gr.Dropdown(
                [], label=label("data.chosen"), elem_id="data-chosen", scale=2, min_width=260
            )
            with gr.Column(scale=1, min_width=260):
                status = gr.HTML(elem_id="data-status")
    said = gr.HTML(elem_id="data-said")
    desk = Desk(house, language, chosen, status, gr.State(""), said)
    with gr.Tabs(elem_classes="tri-inner") as inner:
        with gr.Tab(label("data.open"), id="open"):
            build_open(desk)
        with gr.Tab(label("data.browse"), id="browse") as browse:
            build_browse(desk, browse)
        with gr.Tab(label("data.figures"), id="figures") as figures:
            build_figures(desk, figures)
        with gr.Tab(label("data.clean"), id="clean") as clean:
            build_clean(desk, clean)
        with gr.Tab(label("data.alike"), id="alike") as alike:
            build_alike(desk, alike)
        with gr.Tab(label("data.mix"), id="mix") as mixing:
            build_mix(desk, mixing)
        with gr.Tab(label("data.out"), id="out") as out:
            build_out(desk, out)
        with gr.Tab(label("data.log"), id="log") as log:
            build_log(desk, log)

    @rule("look")
    def greet(request: gr.Request, language: str) -> tuple[Any, ...]:
        names = desk.names(request)
        passing = house.who(request).role == "visitor"
        line = notice("info", say(language, "data.visitor")) if passing else ""
        if not names:
            return gr.update(choices=[]), notice("info", say(language, "data.empty")), line
        return gr.update(choices=names, value=names[0]), gr.skip(), line

    @rule("look")
    def take(request: gr.Request, language: str, name: str) -> tuple[Any, ...]:
        try:
            dataset = desk.open(request, name)
        except WorkbenchError as error:
            return (failed(language, error) if name else gr.skip()), gr.skip()
        return summary(language, dataset), stamp(dataset)

    @rule("look")
    def list_again(request: gr.Request) -> Any:
        return gr.update(choices=desk.names(request))

    chosen.change(take, [language, chosen], [status, desk.changed], **QUICK)
    chosen.focus(list_again, None, chosen, **QUICK)
    inner.select(rule("look")(lambda: ""), None, said, **QUICK)
    return [(greet, language, [chosen, status, said])]
