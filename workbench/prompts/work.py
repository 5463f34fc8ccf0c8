"""The process of a generation run: ``python -m workbench.prompts.work FOLDER``.

It belongs to no page and no server. What it says stands in ``events.jsonl``; its key comes through
a pipe. This module does not know how rows are made.
"""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import sys
import threading
import traceback
from pathlib import Path
from typing import Any

from workbench import jobs
from workbench.errors import DiskFull, GenerationFailed, Stopped, WorkbenchError
from workbench.eventlog import EventLog
from workbench.events import Progress
from workbench.prompts import job, store
from workbench.prompts.autopsy import Embed
from workbench.prompts.engine import Ending, Generation
from workbench.prompts.ledger import prices
from workbench.prompts.recipe import GenerateRecipe
from workbench.prompts.rules import Rules
from workbench.prompts.teachers import Key, Teacher, made, without
from workbench.settings import Settings
from workbench.workspace import Workspace

POLL_SECONDS = 0.2
NICENESS = 5


def main(folder: Path) -> int:
    """Take the run's lock and its key, hear signals, carry the run out."""
    lock = jobs.own(folder)
    if lock is None:
        return 0  # another process has this run
    key = Key(jobs.handed_secret())
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    threading.Thread(target=_watch_file, args=(folder, stop), daemon=True).start()
    os.chdir(os.environ.get(jobs.CALLER, "."))
    return carry_out(folder, Settings(), key, stop)


def carry_out(folder: Path, settings: Settings, key: Key, stop: threading.Event) -> int:
    """Carry the run in this folder to whatever end it comes to. 0: done or stopped; else 1."""
    log = EventLog(folder / jobs.EVENTS)
    try:
        ending = _run(folder, settings, key, log, stop)
    except Stopped:
        _end(folder, log, "stopped", why="stopped")
    except Exception as error:
        known = _explained(error, key)
        facts = {name: str(value) for name, value in known.facts.items()}
        said = {"error": type(known).__name__, "facts": facts, "sentence": str(known)}
        _end(folder, log, "failed", **said)
        return 1
    else:
        event = "done" if ending.why in ("target", "rows") else "stopped"
        _end(folder, log, event, why=ending.why, meter=ending.meter.figures())
    return 0


def _run(
    folder: Path, settings: Settings, key: Key, log: EventLog, stop: threading.Event
) -> Ending:
    workspace = Workspace(folder.absolute().parents[1])
    jobs.write_state(folder, status="running")
    recipe = job.recipe_of(folder, workspace)
    seeds = store.read_seeds(folder)
    teacher = _teacher(recipe, settings, key, stop, log)
    price = prices(workspace).of(recipe.teacher.kind, recipe.teacher.label)
    generation = Generation(
        folder, recipe, seeds, teacher, price, log.write, embedder(recipe.rules),
        landing=0.0 if recipe.teacher.kind == "local" else 15.0,
    )  # fmt: skip
    log.write("begun", kept=generation.autopsy.kept, meter=generation.meter.figures())
    return generation.run(stop)


def _teacher(
    recipe: GenerateRecipe, settings: Settings, key: Key, stop: threading.Event, log: EventLog
) -> Teacher:
    if recipe.teacher.kind != "local":
        return made(recipe.teacher, key)
    from workbench.models.pool import ModelPool
    from workbench.prompts.teachers.local import Local

    os.nice(NICENESS)

    def tell(progress: Progress) -> None:
        log.progress(progress)

    return Local(recipe.teacher, ModelPool(settings), stop, tell)


def embedder(rules: Rules) -> Embed | None:
    """The bundled embedder, where a rule asks for one."""
    if not rules.meaning:
        return None
    from workbench.likeness.embedders import nano

    return nano()


def _explained(error: Exception, key: Key) -> WorkbenchError:
    """Whatever was raised as an error of ours; its trace, without the key, is in the run's log."""
    if isinstance(error, WorkbenchError):
        return error
    print(without(key, "".join(traceback.format_exception(error))), file=sys.stderr)  # noqa: T201
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        return DiskFull(needed="more bytes", free="0 kB", place="the workspace")
    reason = without(key, (str(error).strip().splitlines() or [""])[0])[:200].rstrip(".")
    return GenerationFailed(reason=reason or type(error).__name__)


def _end(folder: Path, log: EventLog, event: str, **facts: Any) -> None:
    """The last word; on a full disk there may be none, and the run is shown as interrupted."""
    if not folder.exists():
        return
    log.write(event, **facts)
    log.sync()
    (folder / jobs.STOP).unlink(missing_ok=True)
    with contextlib.suppress(OSError):
        jobs.write_state(folder, status=event)


def _watch_file(folder: Path, stop: threading.Event) -> None:
    """Stop when the file ``stop`` appears in the run's folder, or the folder is gone."""
    while not stop.wait(POLL_SECONDS):
        if (folder / jobs.STOP).exists() or not folder.exists():
            stop.set()


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
