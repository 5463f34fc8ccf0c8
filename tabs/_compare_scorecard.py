"""The scorecard in the Compare tab: one button, one table, one report to take away."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from html import escape
from pathlib import Path
from typing import Any

import gradio as gr

from tabs._compare_parts import keeping_the_rest, run_and_stop, wire
from tabs._models import as_precision, in_memory
from tabs._rules import rule
from tabs._shared import QUICK, REDRAW_SECONDS, House, failed, guarded, notice, progress
from tabs._words import label, say
from workbench.compare import report
from workbench.compare.scorecard import Made, Part, Scorecard, ScorecardRequest, scorecard
from workbench.events import Failed, Progress
from workbench.texts import sample, sample_names


def build_scorecard(house: House, chosen: list[Any], shown: list[Any]) -> None:
    """The choice of a text, the button, the card and the report."""
    gr.Markdown(label("card.intro"))
    named = gr.Dropdown(
        [(label(f"sample.{name}"), name) for name in sample_names()],
        value="cantonese",
        label=label("card.sample"),
        elem_id="card-sample",
    )
    with gr.Accordion(label("card.options"), open=False, elem_id="card-options"):
        limit = gr.Number(
            0, precision=0, minimum=0, label=label("card.limit"), elem_id="card-limit"
        )
        again = gr.Checkbox(False, label=label("ppl.again"), info=label("ppl.again_info"))
    run, stop = run_and_stop("card.run", "card")
    moving = gr.HTML(elem_id="card-progress")
    results = gr.HTML(label("card.empty"), elem_id="card-results", elem_classes="tri-results")
    card = gr.State(None)
    with gr.Row(elem_classes="tri-actions"):
        form = gr.Dropdown(list(report.FORMATS), value="html", label=label("card.form"), scale=1)
        take = gr.Button(label("card.take"), scale=2, elem_id="card-take")
    file = gr.File(label=label("card.file"), visible=False, elem_id="card-file")

    @guarded(lambda said: (*keeping_the_rest(said), gr.skip()))
    @rule("compare")
    def make(
        language: str, names: list[str], precision: str, named: str, *values: Any
    ) -> Iterator[tuple[Any, ...]]:
        most, anew, request = values
        asked = ScorecardRequest(
            models=house.references(names),
            text=replace(sample(named), name=say(language, f"sample.{named}")),
            precision=as_precision(precision),
            limit=int(most) if most else None,
            again=anew,
        )
        stop = house.stops.start(request, "scorecard")
        yield progress(language, Progress("start", 0, 0, "")), "", *[gr.skip()] * 3, None
        yield from _following(house, language, asked, stop)

    @rule("look")
    def take_away(language: str, made: Scorecard | None, form: str) -> tuple[Any, Any]:
        if made is None:
            return gr.skip(), notice("info", say(language, "card.first"))
        return gr.File(value=str(_written(made, form, language)), visible=True), gr.skip()

    wire(
        make,
        run,
        stop,
        [*chosen, named, limit, again],
        [moving, results, *shown, card],
        house,
        "scorecard",
        moving,
    )
    take.click(take_away, [chosen[0], card, form], [file, moving], **QUICK)


def _following(
    house: House, language: str, asked: ScorecardRequest, stop: Any
) -> Iterator[tuple[Any, ...]]:
    """Progress as it comes, the card whenever a part of it is done."""
    complaints, parts, drawn = "", "", 0.0
    for event in house.measure(scorecard, asked, stop):
        if isinstance(event, Progress):
            if time.monotonic() - drawn > REDRAW_SECONDS:
                drawn = time.monotonic()
                yield complaints + parts + progress(language, event), *[gr.skip()] * 5
        elif isinstance(event, Failed):
            complaints += failed(language, event.error)
        elif isinstance(event, Part):
            said = say(language, "card.part", done=event.done, total=event.total)
            parts = f'<p class="tri-quiet">{escape(said)}</p>'
            view = scorecard_view(language, event.card)
            yield complaints + parts, view, *[gr.skip()] * 3, event.card
        elif isinstance(event, Made):
            view = scorecard_view(language, event.card)
            yield complaints, view, *in_memory(house, language), event.card


def scorecard_view(language: str, card: Scorecard) -> str:
    """The card as the page shows it: table, pictures, and what the models wrote."""
    words = report.words(language)
    written = report.answers(card, words)
    notes = "".join(f"<li>{escape(words(f'note.{name}'))}</li>" for name in report.NOTES)
    return (
        f"{report.table(card, words)}<h4>{escape(words('charts'))}</h4>"
        f"{report.pictures(card, words)}<h4>{escape(words('reading'))}</h4>"
        f'<ul class="tri-notes-list">{notes}</ul>'
        f'<details class="tri-beside"><summary>{escape(words("answers"))}</summary>'
        f"{written}</details>"
    )


def _written(card: Scorecard, form: str, language: str) -> Path:
    """The report in a folder of its own, where Gradio may hand it out."""
    chosen = form if form in report.FORMATS else "html"
    path = Path(tempfile.mkdtemp()) / f"trilogy-scorecard.{chosen}"
    path.write_text(report.report(card, chosen, language), encoding="utf-8")  # type: ignore[arg-type]
    return path
