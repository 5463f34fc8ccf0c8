"""Work in a process of its own: who is at work, who is next, how it is started and followed.

The process belongs to no page and no server: it leads its own session, writes its events to a
file and holds a lock for as long as it lives. Each run has ``.lock``, held by its process from
before it is started until it is gone, however it goes; ``runs/.training.lock`` is held by the
one run that trains. Locks are ``flock``s, which belong to an open file: they cannot be left
behind and need no process ids. This module does not know what a run does.
"""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from workbench import eventlog
from workbench.errors import Stopped
from workbench.settings import Settings
from workbench.workspace import Workspace, write_atomically

ROOT = Path(__file__).resolve().parents[1]
LOCK = ".lock"
EVENTS = "events.jsonl"
LOG = "log.txt"
STOP = "stop"
"""A file beside the events: whoever makes it asks the process to save and end."""
TRAINING = ".training.lock"
STATE = "state.json"
INHERITED = "TRILOGY_RUN_LOCK"
"""The variable in which a process finds the number of the lock file it was handed."""
SECRET = "TRILOGY_RUN_SECRET"  # noqa: S105  the name of a variable
"""The variable in which a process finds the number of a pipe that holds one secret."""
CALLER = "TRILOGY_CALLER"
"""The variable that holds the folder from which relative paths of models are meant."""
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


def handed_secret() -> str:
    """What whoever started this process put into its pipe; empty when there was nothing."""
    handed = os.environ.pop(SECRET, "")
    if not handed.isdigit():
        return ""
    with os.fdopen(int(handed), "rb") as pipe:
        return pipe.read().decode()


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


def launch(
    module: str,
    folder: Path,
    settings: Settings,
    workspace: Workspace,
    lock: int,
    secret: str = "",
) -> None:
    """Start ``python -m module FOLDER`` and hand it the lock, which lives and dies with it.

    Args:
        secret: goes through a pipe, so that it stands in no list of processes, no environment
            and no file; ``handed_secret`` reads it.
    """
    log = (folder / LOG).open("ab")
    reading, writing = os.pipe()
    try:
        os.write(writing, secret.encode())
        os.close(writing)
        child = subprocess.Popen(
            [sys.executable, "-m", module, str(folder.absolute())],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            pass_fds=(lock, reading),
            cwd=ROOT,
            env={**_environment(settings, workspace, lock), SECRET: str(reading)},
        )
    finally:
        log.close()
        os.close(lock)
        os.close(reading)
    # a child that nobody waits for stays in the list of processes
    threading.Thread(target=child.wait, daemon=True).start()


def _environment(settings: Settings, workspace: Workspace, lock: int) -> dict[str, str]:
    """The same settings as here; the token travels in the environment only."""
    chosen = {
        "TRILOGY_CACHE": str(settings.cache.absolute()),
        "TRILOGY_WORKSPACE": str(workspace.root.absolute()),
        "TRILOGY_TRUST_REMOTE_CODE": str(settings.trust_remote_code).lower(),
        "TRILOGY_LOG_LEVEL": settings.log_level,
        CALLER: os.environ.get(CALLER) or str(Path.cwd()),
        INHERITED: str(lock),
        "SPACES_ZERO_GPU": "",  # a GPU is lent to the server alone
        "TOKENIZERS_PARALLELISM": "false",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    }
    if settings.memory_gb is not None:
        chosen["TRILOGY_MEMORY_GB"] = str(settings.memory_gb)
    if settings.token:
        chosen["TRILOGY_HUB_TOKEN"] = settings.token
    asked = {"PYTORCH_CUDA_ALLOC_CONF": "expandable_segments:True"}
    return {**asked, **os.environ, **chosen}


def follow(folder: Path, offset: int = 0, poll_seconds: float = 0.2) -> Iterator[dict[str, Any]]:
    """The events of a run from a byte offset on, as they come, until its process is gone.

    Each event carries ``offset``, from which a later call goes on. A process that died without
    a word is followed by an ``interrupted`` event of our own.
    """
    said: dict[str, Any] = {}
    while True:
        alive = held(folder / LOCK)
        fresh, offset = eventlog.read(folder / EVENTS, offset)
        for said in fresh:
            yield {**said, "offset": offset}
        if not alive:
            break
        time.sleep(poll_seconds)
    if folder.exists() and status_of(folder) == "interrupted":
        step = read_state(folder).get("step", 0)
        if said.get("event") not in eventlog.ENDS:
            yield {"event": "interrupted", "time": time.time(), "step": step, "offset": offset}
