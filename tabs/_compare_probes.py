"""Probes in the Compare tab: sets of questions put to each model, question by question."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import Any

import gradio as gr

from tabs._compare_parts import keeping_the_rest, run_and_stop, wire
from tabs._compare_probe_views import Answers, questions_view, totals_view
from tabs._models import as_precision, in_memory
from tabs._rules import rule
from tabs._shared import QUICK, REDRAW_SECONDS, House, failed, guarded, notice, progress
from tabs._words import label, say
from workbench.compare.probes.ask import ProbeRequest, probe
from workbench.compare.probes.items import ProbeSet
from workbench.compare.probes.reading import open_probe, read_probe, shipped_names
from workbench.compare.probes.results import Asked, ItemResult, Probed
from workbench.compare.scorecard import TRIES
from workbench.events import Failed, Progress

WAYS = ("likelihood", "writing", "seen")


@dataclass
class Answered:
    """What is known so far: sets by name, and answers by set, model and item."""

    sets: dict[str, ProbeSet] = field(default_factory=dict)
    answers: dict[str, dict[str, dict[str, ItemResult]]] = field(default_factory=dict)

    def add(self, event: Asked) -> None:
        name = event.probe.name
        self.sets[name] = event.probe
        by_model = self.answers.setdefault(name, {})
        by_model.setdefault(event.model, {})[event.result.item] = event.result


def build_probes(house: House, chosen: list[Any], shown: list[Any]) -> None:
    """The choice of sets, the button, totals and one row a question."""
    gr.Markdown(label("probing.intro"))
    sets = gr.CheckboxGroup(
        [(label(f"probing.set.{name}"), name) for name in shipped_names()],
        value=shipped_names()[:1],
        label=label("probing.sets"),
        elem_id="probe-sets",
    )
    what = gr.Radio(
        [(label(f"probing.what.{name}"), name) for name in WAYS],
        value=WAYS[0],
        label=label("probing.by"),
        elem_id="probe-what",
    )
    with gr.Accordion(label("probing.options"), open=False, elem_id="probe-options"):
        with gr.Row():
            file = gr.File(label=label("probing.file"), scale=3, elem_id="probe-file")
            skip = gr.Checkbox(False, label=label("probing.skip"), scale=1)
        with gr.Row():
            limit = gr.Number(
                0, precision=0, minimum=0, label=label("probing.limit"), elem_id="probe-limit"
            )
            tries = gr.Slider(1, 8, TRIES, step=1, label=label("probing.tries"))
            again = gr.Checkbox(False, label=label("ppl.again"), info=label("ppl.again_info"))
    run, stop = run_and_stop("probing.run", "probe")
    moving = gr.HTML(elem_id="probe-progress")
    results = gr.HTML(label("probing.empty"), elem_id="probe-totals", elem_classes="tri-results")
    apart = gr.Checkbox(False, label=label("probing.apart"), elem_id="probe-apart")
    questions = gr.HTML(elem_id="probe-questions", elem_classes="tri-results")
    kept = gr.State(None)

    @guarded(lambda said: (*keeping_the_rest(said), gr.skip(), gr.skip()))
    @rule("compare")
    def ask(
        language: str, names: list[str], precision: str, *values: Any
    ) -> Iterator[tuple[Any, ...]]:
        chosen_sets, way, path, leave, most, often, anew, only, request = values
        probes = _sets(house, chosen_sets or [], path, leave, int(most or 0))
        if way == "seen":
            probes = tuple(one.suspects() for one in probes)
        asked = ProbeRequest(
            models=house.references(names),
            probes=probes,
            precision=as_precision(precision),
            tries=int(often),
            writes=way == "writing",
            again=anew,
        )
        stop = house.stops.start(request, "probes")
        yield progress(language, Progress("start", 0, 0, "")), "", *[gr.skip()] * 3, "", None
        yield from _following(house, language, asked, stop, only)

    @rule("look")
    def filtered(language: str, found: Answered | None, only: bool) -> str:
        return _questions(language, found, only) if found else ""

    inputs = [*chosen, sets, what, file, skip, limit, tries, again, apart]
    outputs = [moving, results, *shown, questions, kept]
    wire(ask, run, stop, inputs, outputs, house, "probes", moving)
    apart.change(filtered, [chosen[0], kept, apart], questions, **QUICK)


def _sets(
    house: House, names: list[str], path: str | None, leave: bool, most: int
) -> tuple[ProbeSet, ...]:
    """The shipped sets that are ticked, and the file.

    Raises:
        NoSuchProbe, BadProbeFile, BadProbeRows, NoProbeItems, TextError.
    """
    limit = house.settings.max_text_bytes
    shipped = shipped_names()
    found = [open_probe(name, limit) for name in names if name in shipped]
    if path:
        found.append(read_probe(Path(path), limit, leave))
    return tuple(one.first(most or None) for one in found)


def _following(
    house: House, language: str, asked: ProbeRequest, stop: Any, only: bool
) -> Iterator[tuple[Any, ...]]:
    """Progress as it comes, the answers whenever a set is done or time has passed."""
    found = Answered()
    said = _left_out(language, asked)
    drawn = 0.0
    for event in house.measure(probe, asked, stop):
        if isinstance(event, Asked):
            found.add(event)
            continue
        if isinstance(event, Failed):
            said += failed(language, event.error)
        bar = progress(language, event) if isinstance(event, Progress) else ""
        if isinstance(event, Probed) or time.monotonic() - drawn > REDRAW_SECONDS:
            drawn = time.monotonic()
            yield said + bar, _totals(language, found), *[gr.skip()] * 5
    totals, rows = _totals(language, found), _questions(language, found, only)
    yield said, totals, *in_memory(house, language), rows, found


def _left_out(language: str, asked: ProbeRequest) -> str:
    """Bad rows that were left out, and rows with something to know about."""
    said = ""
    for one in asked.probes:
        for key, rows in (("probing.left_out", one.bad), ("probing.beware", one.warnings)):
            if rows:
                told = "; ".join(f"{row.row}: {row.reason}" for row in rows[:8])
                words = say(language, key, name=one.name, count=len(rows), rows=told)
                said += notice("warning", words)
    return said


def _title(language: str, one: ProbeSet) -> str:
    return one.title.get(language) or one.title.get("en") or one.name


def _totals(language: str, found: Answered) -> str:
    return "".join(
        totals_view(language, _title(language, one), one.items, _of(found, name))
        for name, one in found.sets.items()
    )


def _questions(language: str, found: Answered, only: bool) -> str:
    return "".join(
        f"<h4>{escape(_title(language, one))}</h4>"
        + questions_view(language, one.items, _of(found, name), only)
        for name, one in found.sets.items()
    )


def _of(found: Answered, name: str) -> Answers:
    return found.answers.get(name, {})
