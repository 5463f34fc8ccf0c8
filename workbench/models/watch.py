"""Progress for work that reports none: run it in a thread and measure from outside."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from workbench.events import Progress

EVERY_SECONDS = 0.3


def watched(
    work: Callable[[], Any], measure: Callable[[], float], start: Progress
) -> Iterator[Progress]:
    """Run ``work`` in a thread and yield ``start`` with what ``measure`` returns, until done.

    Raises:
        whatever ``work`` raised.
    """
    raised: list[BaseException] = []

    def run() -> None:
        try:
            work()
        except BaseException as error:  # handed to the one who waits, below
            raised.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    yield start
    while thread.is_alive():
        thread.join(EVERY_SECONDS)
        yield replace(start, done=min(measure(), start.total or float("inf")))
    if raised:
        raise raised[0]
    yield replace(start, done=start.total)


def folder_bytes(folder: Path) -> int:
    """Bytes of all files below a folder; files that vanish meanwhile count as nothing."""
    total = 0
    for path in folder.rglob("*"):
        try:
            total += path.stat().st_size if path.is_file() and not path.is_symlink() else 0
        except OSError:
            continue
    return total
