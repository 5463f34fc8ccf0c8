"""Differences in the Compare tab: one text under two models, character by character."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import gradio as gr

from tabs._compare_parts import keeping_the_rest, run_and_stop, wire
from tabs._compare_views import heatmap_view
from tabs._models import as_precision, in_memory
from tabs._rules import rule
from tabs._shared import House, guarded, notice, progress
from tabs._words import label, say
from workbench.compare.heatmap import (
    MOST_CHARACTERS,
    HeatMapRequest,
    Mapped,
    Surprise,
    contrasts,
    heat_maps,
)
from workbench.events import Progress
from workbench.texts import sample


def build_map(house: House, chosen: list[Any], shown: list[Any]) -> None:
    gr.Markdown(label("map.intro"))
    text = gr.Textbox(
        sample("cantonese").documents[0],
        lines=4,
        max_lines=12,
        max_length=MOST_CHARACTERS,
        label=label("map.text"),
        elem_id="map-text",
    )
    run, stop = run_and_stop("map.run", "map")
    moving = gr.HTML(elem_id="map-progress")
    results = gr.HTML(label("map.empty"), elem_id="map-results", elem_classes="tri-results")

    @guarded(keeping_the_rest)
    @rule("compare")
    def draw(
        language: str, names: list[str], precision: str, text: str, request: gr.Request
    ) -> Iterator[tuple[Any, ...]]:
        references = house.references(names)
        asked = HeatMapRequest(references[:2], text or "", as_precision(precision))
        stop = house.stops.start(request, "heatmap")
        maps: list[Surprise] = []
        yield progress(language, Progress("start", 0, 0, "")), "", *[gr.skip()] * 3
        for event in house.compute(heat_maps, asked, stop):
            if isinstance(event, Mapped):
                maps.append(event.surprise)
                view = heatmap_view(language, asked.text, maps, [])
                yield gr.skip(), view, *in_memory(house, language)
            else:
                yield progress(language, event), *[gr.skip()] * 4
        apart = contrasts(*maps) if len(maps) == 2 else []
        left_out = len(references) - 2
        said = notice("info", say(language, "map.first_two")) if left_out > 0 else ""
        yield said, heatmap_view(language, asked.text, maps, apart), *[gr.skip()] * 3

    wire(draw, run, stop, [*chosen, text], [moving, results, *shown], house, "heatmap", moving)
