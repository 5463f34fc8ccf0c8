"""Runs as a list and as curves, read from what their processes wrote, however they ended.

What a run learned after the checkpoint that it later went on from did not happen: those steps
are left out of its curves. This module does not start or end anything.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from workbench import jobs
from workbench.errors import WorkbenchError
from workbench.tune import job
from workbench.tune.recipe import TuneRecipe
from workbench.tune.watch import ADAPTER
from workbench.workspace import Workspace

STEPS = (
    "step", "loss", "bits_per_character", "learning_rate", "grad_norm", "tokens",
    "tokens_per_second", "memory_bytes", "seconds_left",
)  # fmt: skip
EVALUATIONS = ("step", "loss", "bits_per_character")
FORGETTING = ("english", "written", "code")
BY_STEP = ("step", "evaluation", "sample")


@dataclass(frozen=True)
class Run:
    """One run and where it is."""

    name: str
    status: str
    """queued, running, stopped, interrupted, failed or done."""
    recipe: TuneRecipe | None
    """None when recipe.yaml cannot be read, for instance by an older version."""
    step: int
    steps: int
    """0 when it is not known yet."""
    time: float
    """Seconds since 1970 of the last thing it said."""
    last_step: dict[str, Any]
    """The last ``step`` event, or empty."""
    first: dict[str, Any]
    """The evaluation before the first step, or empty."""
    last: dict[str, Any]
    """The last evaluation, or empty."""
    best: dict[str, Any]
    """The evaluation after learning with the lowest held-out loss, or empty."""
    sentence: str
    """Why it failed; empty when it did not."""
    has_adapter: bool

    @property
    def fall(self) -> float | None:
        """By how much of itself the held-out bits per character fell, best against first."""
        before = self.first.get("bits_per_character")
        after = self.best.get("bits_per_character")
        return None if not before or after is None else 1 - after / before


def listed(workspace: Workspace) -> list[Run]:
    """All runs of a workspace, the one that said something last first."""
    folder = workspace.root / "runs"
    if not folder.is_dir():
        return []
    there = [
        path
        for path in folder.iterdir()
        if not path.name.startswith(".") and (path / job.RECIPE).is_file()
    ]
    return sorted((of_folder(path) for path in there), key=lambda run: -run.time)


def one(name: str, workspace: Workspace) -> Run:
    """One run.

    Raises:
        NoSuchRun.
    """
    return of_folder(job.find(name, workspace))


def of_folder(folder: Path) -> Run:
    """The run in a folder, as far as its files can be read."""
    status = jobs.status_of(folder)
    said = happened(job.events_of(folder))
    state = jobs.read_state(folder)
    steps = _of(said, "step")
    evaluations = _of(said, "evaluation")
    learned = [made for made in evaluations if made["step"] and made.get("loss") is not None]
    ready = _of(said, "ready")
    failed = _of(said, "failed") if status == "failed" else []
    return Run(
        name=folder.name,
        status=status,
        recipe=_recipe(folder),
        step=steps[-1]["step"] if steps else 0,
        steps=int(ready[-1]["steps"] if ready else state.get("steps", 0)),
        time=float(said[-1]["time"] if said else state.get("time", 0)),
        last_step=steps[-1] if steps else {},
        first=next((made for made in evaluations if made["step"] == 0), {}),
        last=evaluations[-1] if evaluations else {},
        best=min(learned, key=lambda made: float(made["loss"]), default={}),
        sentence=str(failed[-1]["sentence"]) if failed else "",
        has_adapter=(folder / ADAPTER).is_dir(),
    )


def happened(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Events without those of steps that were lost and learned again.

    When a run goes on from step N, what it said of later steps no longer holds; what it says
    again of a step replaces what it said first.
    """
    kept: dict[Any, dict[str, Any]] = {}
    for number, said in enumerate(events):
        if said["event"] == "resumed":
            from_step = said.get("step", 0)
            kept = {
                key: old
                for key, old in kept.items()
                if old["event"] not in BY_STEP or old.get("step", 0) <= from_step
            }
        key: Any = number
        if said["event"] in BY_STEP and isinstance(said.get("step"), int):
            key = (said["event"], said["step"], said.get("prompt"))
            kept.pop(key, None)
        elif said["event"] in BY_STEP:
            continue
        kept[key] = said
    return list(kept.values())


def curves(folder: Path) -> dict[str, dict[str, np.ndarray]]:
    """What is plotted, as arrays of float64 that share their length within a group.

    Returns:
        ``steps``: one entry a step, fields as in ``STEPS``; ``evaluations``: one entry an
        evaluation, fields as in ``EVALUATIONS`` and ``FORGETTING`` (bits per character). What
        is not known is NaN.
    """
    said = happened(job.events_of(folder))
    steps, evaluations = _of(said, "step"), _of(said, "evaluation")
    flat = [{**made, **(made.get("forgetting") or {})} for made in evaluations]
    return {
        "steps": {name: _column(steps, name) for name in STEPS},
        "evaluations": {name: _column(flat, name) for name in (*EVALUATIONS, *FORGETTING)},
    }


def samples(folder: Path) -> dict[int, list[dict[str, Any]]]:
    """The answers to the recipe's prompts, by the step at which they were given."""
    found: dict[int, list[dict[str, Any]]] = {}
    for said in _of(happened(job.events_of(folder)), "sample"):
        found.setdefault(said["step"], []).append(said)
    return found


def _of(events: list[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    return [said for said in events if said["event"] == kind]


def _column(events: list[dict[str, Any]], name: str) -> np.ndarray:
    values = [said.get(name) for said in events]
    known = [float(value) if isinstance(value, int | float) else np.nan for value in values]
    return np.array(known, np.float64)


def _recipe(folder: Path) -> TuneRecipe | None:
    try:
        return TuneRecipe.from_yaml((folder / job.RECIPE).read_text("utf-8"))
    except (WorkbenchError, OSError, ValueError):
        return None
