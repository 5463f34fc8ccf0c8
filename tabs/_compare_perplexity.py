"""Perplexity in the Compare tab: a text from anywhere, scored by each model."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gradio as gr

from tabs._compare_parts import keeping_the_rest, run_and_stop, wire
from tabs._compare_views import perplexity_view
from tabs._models import as_precision, in_memory
from tabs._rules import rule
from tabs._shared import QUICK, House, failed, guarded, progress
from tabs._words import label, say
from workbench.compare.perplexity import PerplexityRequest, PerplexityResult, Scored, perplexities
from workbench.errors import NoText
from workbench.events import Failed, Progress
from workbench.texts import HubColumn, Text, from_file, from_hub, from_paste, sample, sample_names


def build_perplexity(house: House, chosen: list[Any], shown: list[Any]) -> None:
    gr.Markdown(label("ppl.intro"))
    where = choose_text()
    with gr.Accordion(label("ppl.options"), open=False), gr.Row():
        context = gr.Number(1024, precision=0, label=label("ppl.context"))
        stride = gr.Number(512, precision=0, label=label("ppl.stride"))
        again = gr.Checkbox(False, label=label("ppl.again"), info=label("ppl.again_info"))
    run, stop = run_and_stop("ppl.run", "ppl")
    moving = gr.HTML(elem_id="ppl-progress")
    results = gr.HTML(label("ppl.empty"), elem_id="ppl-results", elem_classes="tri-results")

    @guarded(keeping_the_rest)
    @rule("compare")
    def compare(
        language: str, names: list[str], precision: str, *values: Any
    ) -> Iterator[tuple[Any, ...]]:
        *where, wide, step, anew, request = values
        scored: dict[str, PerplexityResult] = {}
        reused: set[str] = set()
        complaints = ""
        asked = PerplexityRequest(
            models=house.references(names),
            text=_text(house, language, *where),
            precision=as_precision(precision),
            context=_whole(wide),
            stride=_whole(step),
            again=anew,
        )
        stop = house.stops.start(request, "perplexity")
        yield progress(language, Progress("start", 0, 0, "")), "", *[gr.skip()] * 3
        for event in house.measure(perplexities, asked, stop):
            if isinstance(event, Progress):
                yield complaints + progress(language, event), *[gr.skip()] * 4
                continue
            if isinstance(event, Scored):
                scored[event.result.model] = event.result
                reused |= {event.result.model} if event.reused else set()
            if isinstance(event, Failed):
                complaints += failed(language, event.error)
            view = perplexity_view(language, list(scored.values()), reused)
            yield complaints, view, *in_memory(house, language)

    inputs = [*chosen, *where, context, stride, again]
    wire(compare, run, stop, inputs, [moving, results, *shown], house, "perplexity", moving)


def choose_text() -> list[Any]:
    """A bundled sample, a paste, a file or a dataset of the Hub; the inputs of ``_text``."""
    source = gr.Radio(
        [(label(f"source.{kind}"), kind) for kind in ("sample", "paste", "file", "hub")],
        value="sample",
        label=label("source.label"),
        elem_id="ppl-source",
    )
    named = gr.Dropdown(
        [(label(f"sample.{name}"), name) for name in sample_names()],
        value="cantonese",
        label=label("source.sample_label"),
        elem_id="ppl-sample",
    )
    pasted = gr.Textbox(
        lines=6, max_lines=16, label=label("source.paste_label"), visible=False, elem_id="ppl-paste"
    )
    with gr.Row(visible=False) as file_row:
        file = gr.File(label=label("source.file_label"), scale=3, elem_id="ppl-file")
        column = gr.Textbox("text", label=label("source.column"), scale=1)
    with gr.Row(visible=False) as hub_row:
        dataset = gr.Textbox(label=label("source.dataset"), placeholder="OWNER/NAME")
        config = gr.Textbox(label=label("source.config"))
        split = gr.Textbox("train", label=label("source.split"))
        hub_column = gr.Textbox("text", label=label("source.column"))
        rows = gr.Number(100, precision=0, minimum=1, maximum=10000, label=label("source.rows"))

    @rule("look")
    def show_source(kind: str) -> list[Any]:
        return [gr.update(visible=kind == each) for each in ("sample", "paste", "file", "hub")]

    source.change(show_source, source, [named, pasted, file_row, hub_row], **QUICK)
    return [source, named, pasted, file, column, dataset, config, split, hub_column, rows]


def _text(
    house: House,
    language: str,
    kind: str,
    named: str,
    pasted: str,
    file: str | None,
    column: str,
    dataset: str,
    config: str,
    split: str,
    hub_column: str,
    rows: float,
) -> Text:
    """The documents a visitor chose, from whichever source is open."""
    limit = house.settings.max_text_bytes
    if kind == "sample":
        return sample(named)
    if kind == "paste":
        return from_paste(pasted or "", limit, say(language, "source.pasted"))
    if kind == "file":
        if not file:
            raise NoText
        return from_file(Path(file), limit, column.strip() or "text")
    source = HubColumn(
        dataset.strip(), config.strip() or None, split.strip(), hub_column.strip(), int(rows or 0)
    )
    return from_hub(source, limit, house.settings_for().token)


def _whole(value: float | None) -> int | None:
    return int(value) if value else None
