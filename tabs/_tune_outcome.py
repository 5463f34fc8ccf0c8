"""Was it worth it? One scorecard of the base and of the tuned model, as a report to take away.

Puts a run's own held-out text and the probes of Compare in front of both. Knows how a run names
its base and its rows; how a scorecard is made is the business of ``workbench.compare``.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import gradio as gr

from tabs._compare_scorecard import scorecard_view
from tabs._rules import rule
from tabs._shared import COMPUTE, QUICK, REDRAW_SECONDS, House, failed, progress
from tabs._words import label
from workbench.compare import report
from workbench.compare.scorecard import Made, Part, ScorecardRequest, scorecard
from workbench.errors import NoAdapter
from workbench.events import Failed, Progress
from workbench.texts import Text
from workbench.tune import job
from workbench.tune.recipe import TuneRecipe
from workbench.tune.rows import held_texts
from workbench.workspace import Workspace


def build_outcome(house: House, language: gr.Textbox, name: gr.Dropdown) -> None:
    """A button for the chosen run, its progress, the card, and the report as one file."""
    gr.Markdown(label("outcome.intro"))
    with gr.Row(elem_classes="tri-actions"):
        make = gr.Button(label("outcome.make"), elem_id="outcome-make", scale=3)
        limit = gr.Number(
            0, precision=0, minimum=0, label=label("card.limit"), elem_id="outcome-limit", scale=1
        )
        stop = gr.Button(label("action.stop"), variant="stop", scale=1)
    moving = gr.HTML(elem_id="outcome-progress")
    card = gr.HTML(elem_id="outcome-card", elem_classes="tri-results")
    file = gr.File(label=label("card.file"), visible=False, elem_id="outcome-file")

    @rule("compare")
    def judge(
        request: gr.Request, language: str, name: str | None, limit: float | None
    ) -> Iterator[tuple[Any, ...]]:
        try:
            asked = _request(house, house.workspace(request), name or "", int(limit or 0))
            stop = house.stops.start(request, "outcome")
            yield from _judged(house, language, name or "", asked, stop)
        except Exception as error:
            yield failed(language, error), gr.skip(), gr.skip()

    make.click(
        judge, [language, name, limit], [moving, card, file],
        show_progress="hidden", trigger_mode="once", **COMPUTE,
    )  # fmt: skip
    stop.click(house.stopper("outcome"), None, None, **QUICK)


def _request(house: House, workspace: Workspace, name: str, limit: int) -> ScorecardRequest:
    """Base and base+run, on what the run held out.

    Raises:
        NoSuchRun, NoAdapter: it has not come to an adapter yet.
    """
    folder = job.find(name, workspace)
    recipe = TuneRecipe.from_yaml((folder / job.RECIPE).read_text("utf-8"))
    if not (folder / "adapter").is_dir():
        raise NoAdapter(name=name)
    models = house.references([recipe.base, f"{recipe.base}+{name}"])
    asked = ScorecardRequest(models, limit=limit or None)
    held = held_texts(recipe, workspace)
    return replace(asked, text=Text(recipe.dataset, held)) if held else asked


def _judged(
    house: House, language: str, name: str, asked: ScorecardRequest, stop: Any
) -> Iterator[tuple[Any, ...]]:
    complaints, drawn = "", 0.0
    for event in house.measure(scorecard, asked, stop):
        if isinstance(event, Progress) and time.monotonic() - drawn > REDRAW_SECONDS:
            drawn = time.monotonic()
            yield complaints + progress(language, event), gr.skip(), gr.skip()
        elif isinstance(event, Failed):
            complaints += failed(language, event.error)
        elif isinstance(event, Part):
            yield complaints, scorecard_view(language, event.card), gr.skip()
        elif isinstance(event, Made):
            path = Path(tempfile.mkdtemp()) / f"{name}-outcome.html"
            path.write_text(report.report(event.card, "html", language), encoding="utf-8")
            view = scorecard_view(language, event.card)
            yield complaints, view, gr.update(value=str(path), visible=True)
