"""Training on a GPU that is lent: slice after slice, each from what the last one saved.

A thread of the server asks for the GPU again and again and holds the run's lock meanwhile; when
the server goes, the run is interrupted and can be resumed. This module does not know how
training is done.
"""

from __future__ import annotations

import fcntl
import os
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from workbench import jobs
from workbench.errors import GpuTimeUp, WorkbenchError
from workbench.eventlog import EventLog
from workbench.events import Progress
from workbench.models import lent
from workbench.models.reference import ModelReference
from workbench.settings import Settings
from workbench.tune import job, train
from workbench.tune.recipe import TuneRecipe

SPARE_SECONDS = 40
"""Of each slice: for the step or evaluation in hand, and for saving."""


@dataclass(frozen=True)
class Slice:
    """One run, for as long as the GPU is lent."""

    folder: Path
    settings: Settings

    @property
    def models(self) -> tuple[ModelReference, ...]:
        recipe = TuneRecipe.from_yaml((self.folder / job.RECIPE).read_text("utf-8"))
        return (ModelReference.parse(recipe.base),)


def launch(folder: Path, settings: Settings, lock: int) -> None:
    """Carry the run out in the background; the lock is let go at its end."""
    threading.Thread(target=_all, args=(folder, settings, lock), daemon=True).start()


def _all(folder: Path, settings: Settings, lock: int) -> None:
    stop = threading.Event()
    try:
        _one_after_the_other(folder, settings, stop)
    except WorkbenchError as error:
        train.give_up(folder, error)
    finally:
        stop.set()
        # closing is not enough: processes that were forked meanwhile hold the file open too
        fcntl.flock(lock, fcntl.LOCK_UN)
        os.close(lock)


def _one_after_the_other(folder: Path, settings: Settings, stop: threading.Event) -> None:
    """Until the run has ended.

    Raises:
        GpuNotLent, Stopped. GpuTimeUp: two slices in a row saved nothing new.
    """
    threading.Thread(target=train.watch_file, args=(folder, stop), daemon=True).start()
    lent.bring_in("peft", "trl.trainer.sft_trainer")
    log = EventLog(folder / job.EVENTS)
    stuck = 0
    while jobs.read_state(folder).get("status") == "queued":
        os.close(jobs.wait_for_turn(folder, stop, lambda ahead: log.write("queued", before=ahead)))
        before = train.reached(folder)
        asked = Slice(folder, settings)
        for _ in lent.borrow(one_slice, asked, settings, stop, lent.SLICE_SECONDS, SPARE_SECONDS):
            pass
        stuck = 0 if train.reached(folder) > before else stuck + 1
        if stuck > 1:
            raise GpuTimeUp(seconds=lent.SLICE_SECONDS)


def one_slice(asked: Slice, stop: lent.Ending) -> Iterator[Progress]:
    """Train until the time is up or the run has ended; runs where the GPU is."""
    yield Progress("start", 0, 0, "")
    threading.Thread(target=train.watch_file, args=(asked.folder, stop), daemon=True).start()
    train.carry_out(asked.folder, asked.settings, stop, paused=lambda: stop.is_late)
