"""What the parts of the Data tab share: which dataset is on the desk, and doing a step to it.

Does not know what a part shows.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass
from html import escape
from typing import Any

import gradio as gr

from tabs._rules import rule
from tabs._shared import QUICK, House, failed, notice, showing
from tabs._words import say
from workbench.data.dataset import Dataset, listed
from workbench.data.recipe import Done, Step
from workbench.errors import NoDatasetChosen

WORK: dict[str, Any] = {
    "api_visibility": "private",
    "concurrency_id": "data",
    "concurrency_limit": 4,
    "show_progress": "hidden",
}
"""Event options of work on datasets, which need not wait for a model."""


@dataclass(frozen=True)
class Desk:
    """The widgets every part of the tab reads or writes."""

    house: House
    language: gr.Textbox
    chosen: gr.Dropdown
    """The name of the dataset on the desk."""
    status: gr.HTML
    """One line on it."""
    changed: gr.State
    """Written after every change; parts that show rows listen to it."""
    said: gr.HTML
    """Progress and notices, always in sight."""

    def open(self, request: gr.Request, name: str | None) -> Dataset:
        """The dataset on the desk, as it is now.

        Raises:
            NoDatasetChosen, NoSuchDataset, BadRecipe.
        """
        if not name:
            raise NoDatasetChosen
        return self.house.shelf.open(self.house.workspace(request), name)

    def names(self, request: gr.Request) -> list[str]:
        return [one.name for one in listed(self.house.workspace(request))]


def summary(language: str, dataset: Dataset) -> str:
    """The one line: rows, kept, steps, the last of them."""
    state, recipe = dataset.state, dataset.recipe
    kept = int(state.kept.sum())
    share = kept / state.count if state.count else 0
    steps = say(language, "data.no_steps")
    if recipe.steps:
        kind = say(language, f"step.{recipe.steps[-1].step.kind}")
        steps = say(language, "data.steps", count=len(recipe.steps), last=kind)
    line = say(language, "data.kept", kept=f"{kept:,}", rows=f"{state.count:,}")
    width = f"width:{share * 100:.1f}%"
    return (
        f'<div class="tri-kept"><div class="tri-track"><i style="{width}"></i></div>'
        f"<p><b>{escape(line)}</b> {escape(steps)}</p></div>"
    )


def stamp(dataset: Dataset) -> str:
    """Differs whenever the dataset does."""
    return f"{dataset.name}/{len(dataset.recipe.steps)}/{dataset.recipe.sha256[:8]}"


def say_heads(desk: Desk, table: gr.Dataframe, *keys: str) -> None:
    """Column heads in the page's language; the browser translates all but these."""

    @rule("look")
    def heads(language: str) -> Any:
        return gr.Dataframe(headers=[say(language, key) for key in keys], value=[])

    desk.language.change(heads, desk.language, table, **QUICK)


def run_step(
    desk: Desk, request: gr.Request, language: str, name: str, step: Step
) -> Iterator[tuple[Any, Any, Any]]:
    """Do one step; yields (said, status, changed)."""
    from workbench.data.steps import do

    try:
        dataset = desk.open(request, name)
        stop = desk.house.stops.start(request, "data")
        work = do(dataset, step, desk.house.settings, stop)
        done: Done = yield from showing(language, work, 3)
        text = say(
            language, "data.did", kind=say(language, f"step.{step.kind}"),
            touched=f"{done.touched:,}", kept=f"{done.kept:,}",
        )  # fmt: skip
        yield notice("good", text), summary(language, dataset), stamp(dataset)
    except Exception as error:
        yield failed(language, error), gr.skip(), gr.skip()


def at_once(
    desk: Desk, request: gr.Request, language: str, name: str, step: Step
) -> tuple[str, Any, Any]:
    """Do a step that takes no time; (said, status, changed)."""
    from workbench.data.dataset import finish
    from workbench.data.steps import do

    try:
        dataset = desk.open(request, name)
        finish(do(dataset, step, desk.house.settings, threading.Event()))
        return "", summary(language, dataset), stamp(dataset)
    except Exception as error:
        return failed(language, error), gr.skip(), gr.skip()
