"""Who is at work, and who is next: locks that the system takes back when a process dies.

Each run has ``.lock``, held by its process from before it is started until it is gone, however
it goes; the workspace has ``runs/.training.lock``, held by the one run that trains. Locks are
``flock``s, which belong to an open file: they cannot be left behind and need no process ids.
This module does not know what a run does.
"""

from __future__ import annotations

import fcntl
import json
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from workbench.errors import Stopped
from workbench.workspace import write_atomically

LOCK = ".lock"
TRAINING = ".training.lock"
STATE = "state.json"
INHERITED = "TRILOGY_RUN_LOCK"
"""The variable in which a process finds the number of the lock file it was handed."""
POLL_SECONDS = 0.3
PATIENCE_SECONDS = 2.0
"""How long a lock that a reader holds for a moment is waited for."""


def take(path: Path, seconds: float = PATIENCE_SECONDS) -> int | None:
    """Take a lock for writing: its open file, or None when somebody else has it."""
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    end = time.monotonic() + seconds
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            if time.monotonic() >= end:
                os.close(handle)
                return None
            time.sleep(0.02)
        else:
            return handle


def held(path: Path) -> bool:
    """True when some process has taken this lock."""
    try:
        handle = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(handle)
    return False


def own(folder: Path) -> int | None:
    """The run's lock: the one handed down by whoever started this process, or taken now."""
    handed = os.environ.pop(INHERITED, "")
    if handed.isdigit():
        handle = int(handed)
        os.set_inheritable(handle, False)
        return handle
    return take(folder / LOCK)


def read_state(folder: Path) -> dict[str, Any]:
    """What a run's process last said of itself; empty when it has said nothing readable."""
    try:
        state = json.loads((folder / STATE).read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return state if isinstance(state, dict) else {}


def write_state(folder: Path, **changes: Any) -> dict[str, Any]:
    """Change some facts of a run's state; only the holder of its lock may."""
    state = {**read_state(folder), **changes, "time": time.time()}
    write_atomically(folder / STATE, json.dumps(state, ensure_ascii=False, indent=1))
    return state


def status_of(folder: Path) -> str:
    """queued, running, stopped, interrupted, failed or done.

    Interrupted: its process is gone and said nothing about an end.
    """
    said = str(read_state(folder).get("status", ""))
    if said in ("stopped", "failed", "done"):
        return said
    if held(folder / LOCK):
        return said or "queued"
    # it may have ended between the two looks
    said = str(read_state(folder).get("status", ""))
    return said if said in ("stopped", "failed", "done") else "interrupted"


def before(folder: Path) -> int:
    """How many runs of the workspace train, or wait and came earlier."""
    mine = read_state(folder).get("queued_at", 0)
    ahead = 0
    for other in folder.parent.iterdir():
        if other == folder or other.name.startswith(".") or not other.is_dir():
            continue
        status = status_of(other)
        earlier = (read_state(other).get("queued_at", 0), other.name) < (mine, folder.name)
        ahead += status == "running" or (status == "queued" and earlier)
    return ahead


def wait_for_turn(folder: Path, stop: threading.Event, say: Callable[[int], Any]) -> int:
    """Wait until nobody trains in this workspace and nobody came earlier.

    Returns:
        The lock that says that this run trains; it is let go when the process ends.

    Raises:
        Stopped.
    """
    told = -1
    while True:
        ahead = before(folder)
        if not ahead:
            handle = take(folder.parent / TRAINING, seconds=0)
            if handle is not None:
                return handle
        if max(ahead, 1) != told:
            told = max(ahead, 1)
            say(told)
        if stop.wait(POLL_SECONDS):
            raise Stopped
