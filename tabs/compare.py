"""Compare 揀底模: several base models side by side.

Widgets become requests, events become components. What a figure means is decided in
``workbench.compare``.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gradio as gr

from tabs._compare_history import build_history
from tabs._compare_views import heatmap_view, perplexity_view, writing_view
from tabs._models import as_precision, build_models, in_memory
from tabs._rules import rule, rule_of
from tabs._shared import COMPUTE, QUICK, House, failed, guarded, notice, progress
from tabs._words import label, say
from workbench.compare.continuation import (
    ContinuationRequest,
    Token,
    Written,
    continuations,
)
from workbench.compare.heatmap import (
    MOST_CHARACTERS,
    HeatMapRequest,
    Mapped,
    Surprise,
    contrasts,
    heat_maps,
)
from workbench.compare.perplexity import PerplexityRequest, PerplexityResult, Scored, perplexities
from workbench.errors import NoText
from workbench.events import Failed, Progress
from workbench.models.sampling import PRESETS, SamplingOptions
from workbench.texts import HubColumn, Text, from_file, from_hub, from_paste, sample, sample_names

DEFAULT_PROMPTS = (
    "今日收工之後，我同阿媽去咗\n香港最好食嘅嘢，一定係\nThe best thing about Hong Kong is"
)
REDRAW_SECONDS = 0.12


def build(house: House, language: gr.Textbox) -> list[tuple[Any, ...]]:
    """Draw the tab; returns what must be said once the page knows its language."""
    with gr.Column(elem_classes="tri-panel"):
        gr.Markdown(label("compare.intro"))
        panel = build_models(house, language)
    chosen, shown = panel.chosen, panel.memory
    with gr.Tabs(elem_classes="tri-inner"):
        with gr.Tab(label("ppl.tab"), id="ppl"):
            _perplexity(house, chosen, shown)
        with gr.Tab(label("write.tab"), id="write"):
            _continuations(house, chosen, shown)
        with gr.Tab(label("map.tab"), id="map"):
            _heatmap(house, chosen, shown)
        with gr.Tab(label("history.tab"), id="history") as earlier:
            build_history(house, language, earlier)

    return panel.greetings


def _buttons(run_key: str, element: str) -> tuple[gr.Button, gr.Button]:
    with gr.Row(elem_classes="tri-actions"):
        run = gr.Button(label(run_key), variant="primary", elem_id=f"{element}-run", scale=3)
        stop = gr.Button(label("action.stop"), variant="stop", elem_id=f"{element}-stop", scale=1)
    return run, stop


def _keeping_the_rest(said: str) -> tuple[Any, ...]:
    """A notice beside results and memory as they are."""
    return said, *[gr.skip()] * 4


def _perplexity(house: House, chosen: list[Any], shown: list[Any]) -> None:
    gr.Markdown(label("ppl.intro"))
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
    with gr.Accordion(label("ppl.options"), open=False), gr.Row():
        context = gr.Number(1024, precision=0, label=label("ppl.context"))
        stride = gr.Number(512, precision=0, label=label("ppl.stride"))
        again = gr.Checkbox(False, label=label("ppl.again"), info=label("ppl.again_info"))
    run, stop = _buttons("ppl.run", "ppl")
    moving = gr.HTML(elem_id="ppl-progress")
    results = gr.HTML(label("ppl.empty"), elem_id="ppl-results", elem_classes="tri-results")

    @rule("look")
    def show_source(kind: str) -> list[Any]:
        return [gr.update(visible=kind == each) for each in ("sample", "paste", "file", "hub")]

    source.change(show_source, source, [named, pasted, file_row, hub_row], **QUICK)

    @guarded(_keeping_the_rest)
    @rule("compare")
    def compare(
        language: str, names: list[str], precision: str, *values: Any
    ) -> Iterator[tuple[Any, ...]]:
        *where, wide, step, anew, request = values
        scored: list[PerplexityResult] = []
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
        for event in perplexities(asked, house.pool, house.history, stop):
            if isinstance(event, Progress):
                yield complaints + progress(language, event), *[gr.skip()] * 4
                continue
            if isinstance(event, Scored):
                scored.append(event.result)
                reused |= {event.result.model} if event.reused else set()
            if isinstance(event, Failed):
                complaints += failed(language, event.error)
            view = perplexity_view(language, scored, reused)
            yield complaints, view, *in_memory(house, language)

    inputs = [*chosen, source, named, pasted, file, column, dataset, config, split, hub_column]
    _wire(compare, run, stop, [*inputs, rows, context, stride, again], [moving, results, *shown],
          house, "perplexity", moving)  # fmt: skip


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


def _wire(
    handler: Any,
    run: gr.Button,
    stop: gr.Button,
    inputs: list[Any],
    outputs: list[Any],
    house: House,
    work: str,
    moving: gr.HTML,
) -> None:
    """A run button whose handler gets the request last, and its Stop."""

    @rule(rule_of(handler))
    def started(request: gr.Request, *values: Any) -> Iterator[Any]:
        yield from handler(*values, request)

    @rule("look")
    def stopped(request: gr.Request) -> None:
        house.stops.stop(request, work)

    run.click(
        started, inputs, outputs, show_progress="minimal", show_progress_on=moving,
        trigger_mode="once", **COMPUTE,
    )  # fmt: skip
    stop.click(stopped, queue=False, **QUICK)


def _continuations(house: House, chosen: list[Any], shown: list[Any]) -> None:
    gr.Markdown(label("write.intro"))
    prompts = gr.Textbox(
        DEFAULT_PROMPTS,
        lines=3,
        max_lines=12,
        label=label("write.prompts"),
        info=label("write.prompts_info"),
        elem_id="write-prompts",
    )
    with gr.Row():
        preset = gr.Dropdown(
            [(label(f"preset.{name}"), name) for name in PRESETS],
            value="series",
            label=label("write.preset"),
            min_width=240,
        )
        length = gr.Slider(8, 512, 64, step=8, label=label("field.max_new_tokens"), min_width=240)
        count = gr.Slider(1, 4, 1, step=1, label=label("field.samples"), min_width=240)
        seed = gr.Number(1, precision=0, minimum=0, label=label("field.seed"), min_width=120)
    with gr.Accordion(label("write.options"), open=False):
        with gr.Row():
            temperature = gr.Slider(0, 2, 0.9, step=0.05, label=label("field.temperature"))
            top_k = gr.Slider(0, 200, 50, step=1, label=label("field.top_k"))
            top_p = gr.Slider(0.05, 1, 0.95, step=0.01, label=label("field.top_p"))
        with gr.Row():
            min_p = gr.Slider(0, 0.5, 0, step=0.01, label=label("field.min_p"))
            penalty = gr.Slider(1, 2, 1.2, step=0.05, label=label("field.repetition_penalty"))
            again = gr.Checkbox(False, label=label("ppl.again"), info=label("ppl.again_info"))
    run, stop = _buttons("write.run", "write")
    moving = gr.HTML(elem_id="write-progress")
    results = gr.HTML(label("write.empty"), elem_id="write-results", elem_classes="tri-results")
    dials = [temperature, top_k, top_p, min_p, penalty]

    @rule("look")
    def choose(name: str) -> list[float]:
        options = PRESETS[name]
        return [
            options.temperature,
            options.top_k,
            options.top_p,
            options.min_p,
            options.repetition_penalty,
        ]

    preset.change(choose, preset, dials, **QUICK)

    @guarded(_keeping_the_rest)
    @rule("compare")
    def write(
        language: str, names: list[str], precision: str, text: str, *values: Any
    ) -> Iterator[tuple[Any, ...]]:
        new, many, start, heat, k, p, least, repeat, anew, request = values
        asked = ContinuationRequest(
            models=house.references(names),
            prompts=tuple(line for line in (text or "").splitlines() if line.strip()),
            options=SamplingOptions(
                max_new_tokens=int(new),
                temperature=heat,
                top_k=int(k),
                top_p=p,
                min_p=least,
                repetition_penalty=repeat,
                seed=int(start or 0),
                samples=int(many),
            ),
            precision=as_precision(precision),
            again=anew,
        )
        stop = house.stops.start(request, "continuation")
        yield progress(language, Progress("start", 0, 0, "")), "", *[gr.skip()] * 3
        yield from _stream(house, language, asked, stop)

    inputs = [*chosen, prompts, length, count, seed, *dials, again]
    _wire(write, run, stop, inputs, [moving, results, *shown], house, "continuation", moving)


def _stream(
    house: House, language: str, asked: ContinuationRequest, stop: Any
) -> Iterator[tuple[Any, ...]]:
    """Redraw a few times a second, however fast the tokens come."""
    names = [str(reference) for reference in asked.models]
    samples: dict[tuple[str, int, int], Token | Written] = {}
    complaints, drawn = "", 0.0
    for event in continuations(asked, house.pool, house.history, stop):
        if isinstance(event, Progress):
            yield complaints + progress(language, event), *[gr.skip()] * 4
            continue
        if isinstance(event, Failed):
            complaints += failed(language, event.error)
        else:
            if isinstance(event, Written) and not event.reused:
                house.count(None, event.tokens)
            place = event.place
            samples[place.model, place.prompt, place.sample] = event
        if isinstance(event, Token) and time.monotonic() - drawn < REDRAW_SECONDS:
            continue
        drawn = time.monotonic()
        view = writing_view(language, asked.prompts, names, samples)
        done = sum(isinstance(sample, Written) for sample in samples.values())
        total = len(names) * len(asked.prompts) * asked.options.samples
        bar = progress(language, Progress("write", done, total, "answers"))
        yield complaints + bar, view, *[gr.skip()] * 3
    view = writing_view(language, asked.prompts, names, samples)
    yield complaints, view, *in_memory(house, language)


def _heatmap(house: House, chosen: list[Any], shown: list[Any]) -> None:
    gr.Markdown(label("map.intro"))
    text = gr.Textbox(
        sample("cantonese").documents[0],
        lines=4,
        max_lines=12,
        max_length=MOST_CHARACTERS,
        label=label("map.text"),
        elem_id="map-text",
    )
    run, stop = _buttons("map.run", "map")
    moving = gr.HTML(elem_id="map-progress")
    results = gr.HTML(label("map.empty"), elem_id="map-results", elem_classes="tri-results")

    @guarded(_keeping_the_rest)
    @rule("compare")
    def draw(
        language: str, names: list[str], precision: str, text: str, request: gr.Request
    ) -> Iterator[tuple[Any, ...]]:
        references = house.references(names)
        asked = HeatMapRequest(references[:2], text or "", as_precision(precision))
        stop = house.stops.start(request, "heatmap")
        maps: list[Surprise] = []
        yield progress(language, Progress("start", 0, 0, "")), "", *[gr.skip()] * 3
        for event in heat_maps(asked, house.pool, stop):
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

    _wire(draw, run, stop, [*chosen, text], [moving, results, *shown], house, "heatmap", moving)
