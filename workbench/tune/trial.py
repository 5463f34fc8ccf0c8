"""How long will it take? A few steps of the run itself, in a run of their own that is thrown away.

The time of a step goes by its tokens, so what the trial's steps took is carried over to all the
tokens of the whole run; evaluations are timed by the one that is made before the first step.
This module does not know what a step does.
"""

from __future__ import annotations

import contextlib
import secrets
import threading
from collections.abc import Generator
from dataclasses import dataclass, replace
from typing import Any

from workbench import eventlog
from workbench.errors import NoSuchRun, RunBusy, Stopped, TrainingFailed
from workbench.events import Progress
from workbench.settings import Settings
from workbench.tune import job, plan, runs
from workbench.tune.recipe import TuneRecipe
from workbench.workspace import Workspace

STEPS = 4
"""Of which the first is not timed: kernels and caches are made in it."""


@dataclass(frozen=True)
class Trial:
    """What a few steps say of the whole run."""

    steps: int
    """Optimizer steps of the whole run."""
    tokens_per_second: float
    """Padding not counted."""
    step_seconds: float
    evaluation_seconds: float
    evaluations: int
    """The one before the first step and the last one included."""
    memory_bytes: int
    """The most that was held while the steps were made."""

    @property
    def seconds(self) -> float:
        """Of the whole run, from the first evaluation on; loading left out."""
        return self.steps * self.step_seconds + self.evaluations * self.evaluation_seconds


def trial(
    recipe: TuneRecipe, settings: Settings, workspace: Workspace, stop: threading.Event
) -> Generator[Progress, None, Trial]:
    """Start a short run of this recipe, follow it, throw it away.

    Raises:
        Everything ``job.start`` raises; Stopped.
        RunBusy: another run trains, and a trial beside it would time the two together.
        TrainingFailed: with the sentence in which the trial ended.
    """
    name = f"{recipe.name[:50]}.trial-{secrets.token_hex(4)}"
    never = STEPS + 1
    short = replace(
        recipe, name=name, steps=STEPS, eval_every=never, save_every=never, patience=0,
        keep_best=False,
    )  # fmt: skip
    job.start(short, settings, workspace)
    said: list[dict[str, Any]] = []
    try:
        for event in job.follow(name, workspace):
            if stop.is_set():
                raise Stopped
            if event["event"] == "queued":
                raise RunBusy(name=_at_work(workspace))
            said.append(event)
            yield _progress(event)
    finally:
        job.stop(name, workspace)
        for _ in job.follow(name, workspace):
            pass
        with contextlib.suppress(NoSuchRun):
            job.delete(name, workspace)
    return _found(recipe, said)


def _at_work(workspace: Workspace) -> str:
    return next((one.name for one in runs.listed(workspace) if one.status == "running"), "?")


def _progress(event: dict[str, Any]) -> Progress:
    if event["event"] == "progress":
        known = {key: event[key] for key in ("stage", "done", "total", "unit", "model")}
        return Progress(**known)
    return Progress("try", event.get("step", 0), STEPS, "steps")


def _found(recipe: TuneRecipe, said: list[dict[str, Any]]) -> Trial:
    steps = [one for one in said if one["event"] == "step"]
    ready = [one for one in said if one["event"] == "ready"]
    if len(steps) < STEPS or not ready:
        ends = [one.get("sentence") for one in said if one["event"] in eventlog.ENDS]
        raise TrainingFailed(reason=str((ends or [None])[-1] or "the trial was cut short"))
    timed = steps[1:]
    speed = sum(one["tokens"] for one in timed) / sum(
        one["tokens"] / one["tokens_per_second"] for one in timed
    )
    rows, tokens = ready[-1]["rows"], ready[-1]["tokens"]
    whole = plan.steps_of(rows, recipe.batch, recipe.steps, recipe.epochs)
    return Trial(
        steps=whole,
        tokens_per_second=speed,
        step_seconds=recipe.batch * tokens / rows / speed,
        evaluation_seconds=_first_evaluation(said),
        evaluations=1 + -(-whole // recipe.eval_every),
        memory_bytes=max(one["memory_bytes"] for one in steps),
    )


def _first_evaluation(said: list[dict[str, Any]]) -> float:
    """From the moment it began to the last answer before the first step."""
    begun = next(one["time"] for one in said if one["event"] == "begun")
    before = [one["time"] for one in said if one["event"] in ("evaluation", "sample")
              and not one["step"]]  # fmt: skip
    return float(before[-1] - begun) if before else 0.0
