"""Start, follow, stop, resume and delete a run. The run itself is a process of its own.

The process belongs to no page and no server: it leads its own session, writes its events to a
file and holds a lock for as long as it lives. This module does not know how training is done.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from workbench import eventlog, jobs
from workbench.errors import NoSuchRun, RunBusy, RunExists, RunFinished
from workbench.models.device import is_lent
from workbench.models.estimate import check_context, config_of
from workbench.models.reference import ModelReference
from workbench.settings import Settings
from workbench.tune.recipe import TuneRecipe
from workbench.tune.rows import load_rows
from workbench.workspace import Workspace

RECIPE = "recipe.yaml"
EVENTS = jobs.EVENTS
LOG = jobs.LOG
STOP = jobs.STOP
PROCESS = "workbench.tune.train"
LEAVING_SECONDS = 20.0
CALLER = jobs.CALLER


def check(recipe: TuneRecipe, settings: Settings, workspace: Workspace) -> None:
    """Look at everything that can be looked at before a process is started.

    Raises:
        RunExists: the name is taken.
        DataError: the dataset is not there, not saved, or has nothing to learn from.
        ModelError, ContextTooLong, NoNetwork: the base cannot be used.
    """
    if workspace.run(recipe.name).exists():
        raise RunExists(name=recipe.name)
    load_rows(recipe, workspace)
    reference = ModelReference.parse(recipe.base)
    config = config_of(reference, settings)
    text = config.get("text_config") or config
    check_context(str(reference), text.get("max_position_embeddings"), recipe.max_length)


def start(recipe: TuneRecipe, settings: Settings, workspace: Workspace) -> Path:
    """Check a recipe and start its run, which waits if another one trains.

    Returns:
        The run's folder.

    Raises:
        Everything ``check`` raises; RunExists also when two are started at once.
    """
    check(recipe, settings, workspace)
    place = workspace.run(recipe.name)
    place.parent.mkdir(parents=True, exist_ok=True)
    made = Path(tempfile.mkdtemp(dir=place.parent, prefix=".starting-"))
    try:
        made.chmod(0o755)
        (made / RECIPE).write_text(recipe.to_yaml(), "utf-8")
        jobs.write_state(made, status="queued", queued_at=time.time(), step=0)
        lock = jobs.take(made / jobs.LOCK)
        if place.exists():
            raise RunExists(name=recipe.name)
        try:
            made.rename(place)  # refuses when another start was faster
        except OSError as error:
            raise RunExists(name=recipe.name) from error
    except BaseException:
        shutil.rmtree(made, ignore_errors=True)
        raise
    assert lock is not None  # nobody else knew of the folder
    _launch(place, settings, workspace, lock)
    return place


def resume(name: str, settings: Settings, workspace: Workspace) -> Path:
    """Go on from the newest checkpoint that verifies.

    Raises:
        NoSuchRun, RunFinished.
        RunBusy: it is at work, or was resumed at the same moment elsewhere.
    """
    folder = find(name, workspace)
    status = jobs.status_of(folder)
    if status == "done":
        raise RunFinished(name=name)
    lock = jobs.take(folder / jobs.LOCK, _patience(folder))
    if lock is None:
        raise RunBusy(name=name)
    (folder / STOP).unlink(missing_ok=True)
    jobs.write_state(folder, status="queued", queued_at=time.time())
    if status == "interrupted":
        step = events_of(folder)[-1].get("step", 0) if events_of(folder) else 0
        eventlog.EventLog(folder / EVENTS).write("interrupted", step=step)
    _launch(folder, settings, workspace, lock)
    return folder


def stop(name: str, workspace: Workspace) -> None:
    """Ask a run to save and end. It is stopped when its status says so.

    Raises:
        NoSuchRun.
    """
    folder = find(name, workspace)
    if jobs.status_of(folder) in ("queued", "running"):
        (folder / STOP).touch()


def status(name: str, workspace: Workspace) -> str:
    """queued, running, stopped, interrupted, failed or done.

    Raises:
        NoSuchRun.
    """
    return jobs.status_of(find(name, workspace))


def delete(name: str, workspace: Workspace) -> None:
    """Delete a run with everything in it.

    Raises:
        NoSuchRun.
        RunBusy: it is at work or waits; stop it first.
    """
    folder = find(name, workspace)
    lock = jobs.take(folder / jobs.LOCK, _patience(folder))
    if lock is None:
        raise RunBusy(name=name)
    try:
        hidden = Path(tempfile.mkdtemp(dir=folder.parent, prefix=".deleted-"))
        folder.rename(hidden / folder.name)
        shutil.rmtree(hidden, ignore_errors=True)
    finally:
        os.close(lock)


def _launch(folder: Path, settings: Settings, workspace: Workspace, lock: int) -> None:
    """A process of its own; where the GPU is only lent, one slice after the other."""
    if is_lent():
        from workbench.tune import slices

        slices.launch(folder, settings, lock)
    else:
        jobs.launch(PROCESS, folder, settings, workspace, lock)


def _patience(folder: Path) -> float:
    """Seconds to wait for a run's lock: one that has ended may still be putting its coat on."""
    ended = jobs.status_of(folder) in ("stopped", "failed", "done")
    return LEAVING_SECONDS if ended else 0.5


def find(name: str, workspace: Workspace) -> Path:
    """The folder of a run.

    Raises:
        NoSuchRun, InvalidName.
    """
    folder = workspace.run(name)
    if not (folder / RECIPE).is_file():
        raise NoSuchRun(name=name)
    return folder


def events_of(folder: Path) -> list[dict[str, Any]]:
    """Every event that a run has written so far."""
    return eventlog.read(folder / EVENTS)[0]


def follow(
    name: str, workspace: Workspace, offset: int = 0, poll_seconds: float = 0.2
) -> Iterator[dict[str, Any]]:
    """The events of a run from a byte offset on, as they come, until its process is gone.

    Each event carries ``offset``, from which a later call goes on. A process that died without
    a word is followed by an ``interrupted`` event of our own.

    Raises:
        NoSuchRun.
    """
    return jobs.follow(find(name, workspace), offset, poll_seconds)
