"""Writing in the Compare tab: the same beginnings, continued side by side."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import gradio as gr

from tabs._compare_parts import keeping_the_rest, run_and_stop, wire
from tabs._compare_views import writing_view
from tabs._models import as_precision, in_memory
from tabs._rules import rule
from tabs._shared import QUICK, House, failed, guarded, progress
from tabs._words import label
from workbench.compare.continuation import ContinuationRequest, Token, Written, continuations
from workbench.events import Failed, Progress
from workbench.models.sampling import PRESETS, SamplingOptions

DEFAULT_PROMPTS = (
    "今日收工之後，我同阿媽去咗\n香港最好食嘅嘢，一定係\nThe best thing about Hong Kong is"
)
REDRAW_SECONDS = 0.12


def build_writing(house: House, chosen: list[Any], shown: list[Any]) -> None:
    gr.Markdown(label("write.intro"))
    prompts = gr.Textbox(
        DEFAULT_PROMPTS,
        lines=3,
        max_lines=12,
        label=label("write.prompts"),
        info=label("write.prompts_info"),
        elem_id="write-prompts",
    )
    dials = _dials()
    run, stop = run_and_stop("write.run", "write")
    moving = gr.HTML(elem_id="write-progress")
    results = gr.HTML(label("write.empty"), elem_id="write-results", elem_classes="tri-results")

    @guarded(keeping_the_rest)
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

    inputs = [*chosen, prompts, *dials]
    wire(write, run, stop, inputs, [moving, results, *shown], house, "continuation", moving)


def _dials() -> list[Any]:
    """All of sampling, with presets that set some of it; the inputs of ``write``."""
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
    return [length, count, seed, *dials, again]


def _stream(
    house: House, language: str, asked: ContinuationRequest, stop: Any
) -> Iterator[tuple[Any, ...]]:
    """Redraw a few times a second, however fast the tokens come."""
    names = [str(reference) for reference in asked.models]
    samples: dict[tuple[str, int, int], Token | Written] = {}
    complaints, drawn = "", 0.0
    for event in house.measure(continuations, asked, stop):
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
