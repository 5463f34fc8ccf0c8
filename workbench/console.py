"""What every verb of the command line shares: progress, Ctrl-C, and how it answers.

Progress goes to standard error, the answer to standard output. This module knows no verb.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import threading
from collections.abc import Generator, Iterator
from typing import Any

from workbench.events import Progress, readable


def stoppable(events: Iterator[Any], stop: threading.Event) -> Iterator[Any]:
    """Pass events on and show progress; the first Ctrl-C stops and keeps what is done."""
    show = Bar()

    def interrupted(*_signal: Any) -> None:
        stop.set()
        signal.signal(signal.SIGINT, before)

    before = signal.signal(signal.SIGINT, interrupted)
    try:
        for event in events:
            if isinstance(event, Progress):
                show(event)
            yield event
    finally:
        signal.signal(signal.SIGINT, before)
        show.end()


def finished(work: Generator[Progress, None, Any], stop: threading.Event | None = None) -> Any:
    """Run work to its end, showing progress, and return its value; Ctrl-C stops it."""
    value: list[Any] = []

    def events() -> Iterator[Any]:
        value.append((yield from work))

    for _ in stoppable(events(), stop or threading.Event()):
        pass
    return value[0]


class Bar:
    """One line on a terminal, rewritten; one line a stage elsewhere."""

    def __init__(self) -> None:
        self._last: tuple[str, str] | None = None
        self._live = sys.stderr.isatty()

    def __call__(self, progress: Progress) -> None:
        changed = (progress.stage, progress.model) != self._last
        self._last = (progress.stage, progress.model)
        if self._live:
            print(f"\r\033[K{_sentence(progress)}", end="", file=sys.stderr, flush=True)
        elif changed:
            print(_sentence(progress), file=sys.stderr)

    def end(self) -> None:
        if self._live and self._last:
            print(file=sys.stderr)


def _sentence(progress: Progress) -> str:
    if progress.unit == "bytes" and progress.total:
        amount = f"{readable(progress.done)} of {readable(progress.total)}"
    elif progress.total:
        amount = f"{progress.done:.0f} of {progress.total:.0f} {progress.unit}"
    else:
        amount = f"{progress.done:.0f} {progress.unit}" if progress.done else ""
    return f"{progress.stage} {progress.model} {amount}".strip()


def answer(options: argparse.Namespace, document: dict[str, Any], lines: list[str]) -> int:
    """Print one JSON document, or the same in lines for a person. Returns exit code 0."""
    if options.json:
        lines = [json.dumps(document, ensure_ascii=False, indent=2)]
    for line in lines:
        print(line)
    return 0
