"""What a run says, one JSON object a line, in a file that outlives whoever reads or writes it.

    {"event": "step", "time": 1751000000.0, "step": 3, "loss": 2.1, ...}

A killed writer leaves half a line at most: the next one begins a new line, and readers pass
over what is not JSON. This module does not know what the figures mean.
"""

from __future__ import annotations

import os
import threading
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import orjson

from workbench.events import Progress

ENDS = ("stopped", "interrupted", "failed", "done")
"""Events after which nobody is at work."""
SECONDS_BETWEEN = 0.5
"""Progress of one stage is written at most this often."""


class EventLog:
    """The one writer of a run's events. A disk that is full loses events, not the run."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._last: tuple[str, float] = ("", 0.0)
        path.parent.mkdir(parents=True, exist_ok=True)
        if _is_cut(path):
            self._append(b"\n")

    def write(self, event: str, **facts: Any) -> dict[str, Any]:
        """Append one event and return it."""
        said = {"event": event, "time": time.time(), **facts}
        raw = orjson.dumps(said, option=orjson.OPT_SERIALIZE_NUMPY, default=str)
        self._append(raw + b"\n")
        return said

    def progress(self, progress: Progress) -> None:
        """Append a progress event, unless the same stage has just said something."""
        stage, at = self._last
        if progress.stage == stage and time.monotonic() - at < SECONDS_BETWEEN:
            return
        self._last = (progress.stage, time.monotonic())
        self.write("progress", **asdict(progress))

    def sync(self) -> None:
        """Flush to the disk what was written so far."""
        handle = os.open(self._path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)

    def _append(self, raw: bytes) -> None:
        """One write at the end of the file, so that lines never mix."""
        with self._lock:
            try:
                handle = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
                try:
                    os.write(handle, raw)
                finally:
                    os.close(handle)
            except OSError:
                return


def _is_cut(path: Path) -> bool:
    """True when the file ends in the middle of a line."""
    if not path.exists() or not path.stat().st_size:
        return False
    with path.open("rb") as file:
        file.seek(-1, os.SEEK_END)
        return file.read(1) != b"\n"


def read(path: Path, offset: int = 0) -> tuple[list[dict[str, Any]], int]:
    """The whole events from a byte offset on, and the offset to go on from.

    A last line without its end is left for the next call; lines that are no event are passed
    over. A file that is not there holds nothing.
    """
    try:
        with path.open("rb") as file:
            file.seek(offset)
            raw = file.read()
    except FileNotFoundError:
        return [], offset
    whole = raw.rfind(b"\n") + 1
    return [said for line in raw[:whole].split(b"\n") if (said := _event(line))], offset + whole


def _event(line: bytes) -> dict[str, Any] | None:
    try:
        said = orjson.loads(line)
    except orjson.JSONDecodeError:
        return None
    return said if isinstance(said, dict) and isinstance(said.get("event"), str) else None
