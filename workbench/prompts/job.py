"""Start, follow, stop, resume and delete a generation run, which is a process of its own.

A key goes to the process through a pipe and is kept nowhere. This module does not know how rows
are made.
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
from workbench.errors import (
    NoKey,
    NoSuchPromptRun,
    PromptRunBusy,
    PromptRunExists,
    PromptRunFinished,
)
from workbench.prompts import seeds as seed_files
from workbench.prompts import store
from workbench.prompts.recipe import GenerateRecipe
from workbench.prompts.teachers import KEYS, Key, needs_key
from workbench.prompts.template import fill
from workbench.settings import Settings
from workbench.workspace import Workspace, write_atomically

RECIPE = "recipe.yaml"
PROCESS = "workbench.prompts.work"
LEAVING_SECONDS = 20.0


def check(recipe: GenerateRecipe, workspace: Workspace, key: Key) -> seed_files.Seeds:
    """Look at everything that can be looked at before anybody is paid.

    Raises:
        PromptRunExists, NoKey, NoSeeds, NoSuchDataset, UnfilledSlot.
    """
    if workspace.prompt_run(recipe.name).exists():
        raise PromptRunExists(name=recipe.name)
    if needs_key(recipe.teacher) and not key:
        kind = recipe.teacher.kind
        raise NoKey(teacher=kind.capitalize(), variable=KEYS[kind][0])
    found = seed_files.load(recipe.seeds, workspace)
    fill(recipe.template, found.seeds, 0, recipe.seed, recipe.values)
    return found


def start(recipe: GenerateRecipe, settings: Settings, workspace: Workspace, key: Key) -> Path:
    """Check a recipe and start its run.

    Returns:
        The run's folder.

    Raises:
        Everything ``check`` raises; PromptRunExists also when two are started at once.
    """
    found = check(recipe, workspace, key)
    place = workspace.prompt_run(recipe.name)
    place.parent.mkdir(parents=True, exist_ok=True)
    made = Path(tempfile.mkdtemp(dir=place.parent, prefix=".starting-"))
    try:
        made.chmod(0o755)
        (made / RECIPE).write_text(recipe.to_yaml(), "utf-8")
        store.write_seeds(made, found.seeds)
        facts = {"status": "queued", "queued_at": time.time(), "broken_seeds": len(found.broken)}
        jobs.write_state(made, **facts)
        lock = jobs.take(made / jobs.LOCK)
        if place.exists():
            raise PromptRunExists(name=recipe.name)
        try:
            made.rename(place)  # refuses when another start was faster
        except OSError as error:
            raise PromptRunExists(name=recipe.name) from error
    except BaseException:
        shutil.rmtree(made, ignore_errors=True)
        raise
    assert lock is not None  # nobody else knew of the folder
    jobs.launch(PROCESS, place, settings, workspace, lock, key.value)
    return place


def resume(
    name: str, settings: Settings, workspace: Workspace, key: Key, rows: int | None = None
) -> Path:
    """Go on where the run's files end; ``rows`` sets a new target.

    Raises:
        NoSuchPromptRun, PromptRunFinished, NoKey.
        PromptRunBusy: it is at work, or was resumed at the same moment elsewhere.
    """
    folder = find(name, workspace)
    recipe = recipe_of(folder, workspace)
    if needs_key(recipe.teacher) and not key:
        kind = recipe.teacher.kind
        raise NoKey(teacher=kind.capitalize(), variable=KEYS[kind][0])
    if jobs.status_of(folder) == "done" and rows is None:
        raise PromptRunFinished(name=name)
    lock = jobs.take(folder / jobs.LOCK, patience(folder))
    if lock is None:
        raise PromptRunBusy(name=name)
    try:
        if rows is not None:
            changed = recipe.under(rows=rows).to_yaml()
            write_atomically(folder / RECIPE, changed)
        (folder / jobs.STOP).unlink(missing_ok=True)
        jobs.write_state(folder, status="queued", queued_at=time.time())
    except BaseException:
        os.close(lock)
        raise
    jobs.launch(PROCESS, folder, settings, workspace, lock, key.value)
    return folder


def stop(name: str, workspace: Workspace) -> None:
    """Ask a run to end. Answers that are on their way are let in, for some seconds.

    Raises:
        NoSuchPromptRun.
    """
    folder = find(name, workspace)
    if jobs.status_of(folder) in ("queued", "running"):
        (folder / jobs.STOP).touch()


def delete(name: str, workspace: Workspace) -> None:
    """Delete a run with everything in it.

    Raises:
        NoSuchPromptRun, PromptRunBusy.
    """
    folder = find(name, workspace)
    lock = jobs.take(folder / jobs.LOCK, patience(folder))
    if lock is None:
        raise PromptRunBusy(name=name)
    try:
        hidden = Path(tempfile.mkdtemp(dir=folder.parent, prefix=".deleted-"))
        folder.rename(hidden / folder.name)
        shutil.rmtree(hidden, ignore_errors=True)
    finally:
        os.close(lock)


def patience(folder: Path) -> float:
    """Seconds to wait for a run's lock: one that has ended may still be putting its coat on."""
    ended = jobs.status_of(folder) in ("stopped", "failed", "done")
    return LEAVING_SECONDS if ended else 0.5


def find(name: str, workspace: Workspace) -> Path:
    """The folder of a run.

    Raises:
        NoSuchPromptRun, InvalidName.
    """
    folder = workspace.prompt_run(name)
    if not (folder / RECIPE).is_file():
        raise NoSuchPromptRun(name=name)
    return folder


def recipe_of(folder: Path, workspace: Workspace) -> GenerateRecipe:
    """What the run in this folder is to do."""
    return GenerateRecipe.from_yaml((folder / RECIPE).read_text("utf-8"), workspace)


def listed(workspace: Workspace) -> list[str]:
    """The runs of a workspace, the one that said something last first."""
    if not workspace.prompts.is_dir():
        return []
    there = [
        one
        for one in workspace.prompts.iterdir()
        if not one.name.startswith(".") and (one / RECIPE).is_file()
    ]
    return [one.name for one in sorted(there, key=_spoke, reverse=True)]


def _spoke(folder: Path) -> float:
    return float(jobs.read_state(folder).get("time", 0))


def events_of(folder: Path, offset: int = 0) -> tuple[list[dict[str, Any]], int]:
    """What a run has said from a byte offset on, and the offset to go on from."""
    return eventlog.read(folder / jobs.EVENTS, offset)


def follow(name: str, workspace: Workspace, offset: int = 0) -> Iterator[dict[str, Any]]:
    """The events of a run as they come, until its process is gone.

    Raises:
        NoSuchPromptRun.
    """
    return jobs.follow(find(name, workspace), offset)
