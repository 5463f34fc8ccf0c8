"""SIGKILL at random moments costs one saving interval at most, and never the result.

``TRILOGY_KILLS`` sets how many processes are killed (default 4).
"""

from __future__ import annotations

import multiprocessing
import os
import random
import time
from pathlib import Path
from typing import Any

import numpy as np

from tests import tiny
from tests.tune import small
from tests.tune.test_training import losses, prepare, said, same, weights
from workbench import jobs
from workbench.settings import Settings
from workbench.tune import checkpoints, job, runs, train
from workbench.workspace import Workspace

KILLS = int(os.environ.get("TRILOGY_KILLS", "4"))
STEPS, EVERY = 120, 4


def work(folder: Path, settings: Settings) -> None:
    """One training process; it takes the run's lock as ``main`` does."""
    import torch

    torch.set_num_threads(1)
    assert jobs.own(folder) is not None
    train.carry_out(folder, settings, tiny.never())


def begin(folder: Path, settings: Settings) -> Any:
    """A process forked from a server that has the large imports done already."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["trl.trainer.sft_trainer", "peft", "tests.tune.test_kills"])
    child = context.Process(target=work, args=(folder, settings))
    child.start()
    return child


def recipe(base: Path, name: str) -> Any:
    changes = {"steps": STEPS, "save_every": EVERY, "eval_every": 20, "learning_rate": 1e-3}
    return small.recipe(base, name, **changes)


def test_killed_runs_resume_from_a_verified_checkpoint_and_end_the_same(
    tiny_model: Path, settings: Settings
) -> None:
    chance = random.Random(20)
    workspace = Workspace(settings.workspace.absolute())
    small.dataset(workspace)
    whole = prepare(recipe(tiny_model, "whole"), workspace)
    begin(whole, settings).join()
    assert jobs.status_of(whole) == "done"
    killed, rounds = 0, 0
    while killed < KILLS:
        rounds += 1
        folder = prepare(recipe(tiny_model, f"killed{rounds}"), workspace)
        while killed < KILLS and not (folder / "adapter").exists():
            killed += interrupted(folder, settings, chance)
        begin(folder, settings).join()
        assert jobs.status_of(folder) == "done"
        assert losses(folder) == losses(whole)
        ours, theirs = runs.curves(folder), runs.curves(whole)
        assert np.array_equal(ours["evaluations"]["loss"], theirs["evaluations"]["loss"])
        assert same(weights(folder / "adapter"), weights(whole / "adapter"))
        assert not list(folder.rglob(f"{checkpoints.BESIDE}*"))


def interrupted(folder: Path, settings: Settings, chance: random.Random) -> bool:
    """Let a process work for a while and kill it; True if it was not faster."""
    before = len(job.events_of(folder))
    child = begin(folder, settings)
    # from the moment it says something: before that there is nothing to lose
    while child.is_alive() and len(job.events_of(folder)) == before:
        time.sleep(0.01)
    child.join(chance.uniform(0, 5))
    if not child.is_alive():
        return False
    child.kill()
    child.join()
    if jobs.status_of(folder) == "done":  # it had only its card left to write
        return False
    assert jobs.status_of(folder) == "interrupted"
    reached = max((one["step"] for one in said(folder, "step")[-1:]), default=0)
    found, damaged = checkpoints.newest_verified(folder / "checkpoints")
    assert damaged == []
    assert reached - (found.step if found else 0) <= EVERY
    print(f"killed at step {reached}, goes on from {found.step if found else 0}")
    return True
