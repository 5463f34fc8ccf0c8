"""Training on a GPU that is lent: slices end where one run would have, and Stop is heard."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from tests import tiny
from tests.tune import small
from tests.tune.test_training import losses, prepare, said, same, weights
from tests.zero import Lender
from workbench import jobs
from workbench.models import lent
from workbench.settings import Settings
from workbench.tune import job, runs, slices, train
from workbench.workspace import Workspace


@pytest.fixture
def workspace(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    monkeypatch.setattr(lent, "SLICE_SECONDS", 6)
    monkeypatch.setattr(slices, "SPARE_SECONDS", 2)
    workspace = Workspace(settings.workspace.absolute())
    small.dataset(workspace)
    return workspace


def recipe(base: Path, name: str) -> Any:
    changes = {"steps": 300, "save_every": 50, "eval_every": 150, "learning_rate": 1e-3}
    return small.recipe(base, name, **changes)


def ended(folder: Path, *wanted: str, seconds: float = 240) -> str:
    end = time.monotonic() + seconds
    while jobs.status_of(folder) not in wanted and time.monotonic() < end:
        time.sleep(0.1)
    return jobs.status_of(folder)


def test_slices_come_to_what_one_run_comes_to(
    tiny_model: Path, workspace: Workspace, settings: Settings, lender: Lender
) -> None:
    import torch

    folder = job.start(recipe(tiny_model, "sliced"), settings, workspace)
    assert ended(folder, "done", "failed", "stopped") == "done", job.events_of(folder)[-1]
    paused = [one["step"] for one in said(folder, "paused")]
    assert len(paused) == len(lender.durations) - 1 >= 1
    assert paused == sorted(paused)
    assert lender.durations[0] == 6
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # as in the borrowed process
    try:
        whole = prepare(recipe(tiny_model, "whole"), workspace)
        train.carry_out(whole, settings, tiny.never())
    finally:
        torch.set_num_threads(threads)
    assert losses(folder) == losses(whole)
    assert same(weights(folder / "adapter"), weights(whole / "adapter"))
    assert not jobs.held(folder / jobs.LOCK)  # though the borrowed process is still there


def test_stop_ends_a_run_between_and_within_slices_and_it_resumes(
    tiny_model: Path, workspace: Workspace, settings: Settings, lender: Lender
) -> None:
    folder = job.start(recipe(tiny_model, "first"), settings, workspace)
    later = job.start(recipe(tiny_model, "second"), settings, workspace)
    end = time.monotonic() + 90
    while not said(folder, "step") and time.monotonic() < end:
        time.sleep(0.05)
    assert jobs.status_of(later) == "queued"
    job.stop("second", workspace)
    assert ended(later, "stopped") == "stopped"
    job.stop("first", workspace)
    assert ended(folder, "stopped", "done") == "stopped"
    step = runs.one("first", workspace).step
    assert 0 < step < 300
    job.resume("first", settings, workspace)
    assert ended(folder, "done", "failed") == "done"
    assert len(losses(folder)) == 300


def test_a_service_that_lends_nothing_fails_the_run_with_its_reason(
    tiny_model: Path, workspace: Workspace, settings: Settings, lender: Lender
) -> None:
    lender.refuses = "You have exceeded your GPU quota"
    folder = job.start(recipe(tiny_model, "refused"), settings, workspace)
    assert ended(folder, "failed", "done") == "failed"
    assert "exceeded your GPU quota" in runs.one("refused", workspace).sentence
    lender.refuses = ""
    job.resume("refused", settings, workspace)
    assert ended(folder, "done", "failed") == "done"
