"""A GPU that is lent for a minute or two at a time, as on ZeroGPU; elsewhere nothing changes.

The process that serves a page on ZeroGPU has no GPU. ``spaces.GPU`` forks one that has: what it
is given and what it says are pickled, what it changes in memory is lost to the page, and models
that it loaded stay with it for as long as the service keeps it. Files are fetched before the GPU
is asked for. Work that keeps what is done goes in slices: when a slice's time is up the next one
goes on from there. This module does not know what the work is.
"""

from __future__ import annotations

import importlib
import re
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from pathlib import Path
from typing import Any

from workbench.errors import GpuNotLent, GpuTimeUp, Stopped, WorkbenchError
from workbench.events import Failed, Progress
from workbench.models.device import is_lent
from workbench.models.fetch import fetch
from workbench.models.pool import ModelPool
from workbench.models.reference import ModelReference
from workbench.settings import Settings

SECONDS = 60
"""For an answer that somebody waits for."""
SLICE_SECONDS = 120
"""For one slice of long work."""
SPARE_SECONDS = 10
"""Before the time is up: for ending in good order."""
POLL_SECONDS = 0.2
TAGS = re.compile(r"<[^>]*>")
Work = Callable[..., Any]
"""Returns a generator of events."""


class _Given(Enum):
    """What cannot be pickled and is found in the process that has the GPU."""

    POOL = auto()
    STOP = auto()


@dataclass(frozen=True)
class TimeUp:
    """The last thing said by a slice that was not finished."""


@dataclass(frozen=True)
class _Raised:
    """An error of ours, which would arrive as a mere name."""

    error: WorkbenchError


@dataclass(frozen=True)
class Returned:
    """What the work came to."""

    value: Any


class Ending(threading.Event):
    """Set when a file appears, or when the time is up."""

    def __init__(self, sign: Path, seconds: float) -> None:
        super().__init__()
        self.is_late = False
        """Set because the time was up, and not by a person."""
        self._sign, self._end = sign, time.monotonic() + seconds
        self._over = threading.Event()
        threading.Thread(target=self._watch, daemon=True).start()

    def over(self) -> None:
        """Nobody listens any more."""
        self._over.set()

    def _watch(self) -> None:
        while not self._over.wait(POLL_SECONDS) and not self.is_set():
            late = time.monotonic() > self._end
            if self._sign.exists() or late:
                self.is_late = late
                self.set()


# ---- in the process that has the GPU

_pool: ModelPool | None = None


def at_work(
    work: Work, given: Sequence[Any], settings: Settings, sign: str, seconds: int, spare: int
) -> Iterator[Any]:
    """The work's events, as the borrowed process says them."""
    global _pool
    if _pool is None:
        import torch

        torch.set_num_threads(1)  # OpenMP does not survive a fork; the GPU does the work
        _pool = ModelPool(settings)
    stop = Ending(Path(sign), seconds - spare)
    found = {_Given.POOL: _pool, _Given.STOP: stop}
    try:
        events = work(*[found[one] if isinstance(one, _Given) else one for one in given])
        value = yield from _until_late(events, stop)
        yield Returned(value)
    except WorkbenchError as error:
        if not (stop.is_late and isinstance(error, Stopped)):
            yield _Raised(error)
    finally:
        stop.over()
    if stop.is_late:
        yield TimeUp()


def _until_late(events: Iterator[Any], stop: Ending) -> Generator[Any, None, Any]:
    """Nobody pressed Stop when the time is up, so nobody is told that it was pressed."""
    while True:
        try:
            event = next(events)
        except StopIteration as end:
            return end.value
        if not (stop.is_late and isinstance(event, Failed) and isinstance(event.error, Stopped)):
            yield event


def _duration(
    work: Work,  # noqa: ARG001  the arguments of ``at_work``
    given: Sequence[Any],  # noqa: ARG001
    settings: Settings,  # noqa: ARG001
    sign: str,  # noqa: ARG001
    seconds: int,
    spare: int,  # noqa: ARG001
) -> int:
    return seconds


borrowed: Callable[..., Generator[Any, None, None]]
"""``at_work`` in a process that has a GPU."""
if is_lent():
    borrowed = importlib.import_module("spaces").GPU(at_work, duration=_duration)
else:
    borrowed = at_work  # type: ignore[assignment]


# ---- in the process that serves the page


def bring_in(*modules: str) -> None:
    """Import here what the other process needs: it is forked from this one, and starts with it.

    So no time of the GPU goes into imports.
    """
    for module in ("torch", "transformers", *modules):
        importlib.import_module(module)


def compute(
    work: Work, asked: Any, *more: Any, slices: bool = False, seconds: int = 0
) -> Generator[Any, None, Any]:
    """``work(asked, *more)``: here, or on ZeroGPU in a process that has a GPU.

    Args:
        asked: the request; its ``models`` are fetched first.
        more: a pool, an event that stops the work, and what can be pickled.
        slices: the work finds again what it has done, so that it can go on in another slice.
            Events may come twice then.
        seconds: for how long the GPU is asked for; 0 is the usual time.

    Raises:
        GpuNotLent: the service refused, with its reason. GpuTimeUp: a slice got nowhere.
        And whatever the work raises.
    """
    if not is_lent():
        return (yield from work(asked, *more))
    pool = next(one for one in more if isinstance(one, ModelPool))
    stop = next(one for one in more if isinstance(one, threading.Event))
    for reference in dict.fromkeys(asked.models):
        yield from _fetched(reference, pool.settings, stop)
    given = [asked, *(_pickled(one) for one in more)]
    seconds = seconds or (SLICE_SECONDS if slices else SECONDS)
    said, value = 0, None
    while True:
        before, said, late = said, 0, False
        for event in _call(work, given, pool.settings, stop, seconds):
            if isinstance(event, TimeUp):
                late = True
            elif isinstance(event, Returned):
                value = event.value
            else:
                said += not isinstance(event, Progress)
                yield event
        if not late:
            return value
        if not slices or said <= before:
            raise GpuTimeUp(seconds=seconds)


def _fetched(
    reference: ModelReference, settings: Settings, stop: threading.Event
) -> Iterator[Progress]:
    """What cannot be fetched is told by the work itself, for its model alone."""
    try:
        yield from fetch(reference, settings, stop)
    except Stopped:
        raise
    except WorkbenchError:
        return


def _pickled(one: Any) -> Any:
    if isinstance(one, ModelPool):
        return _Given.POOL
    return _Given.STOP if isinstance(one, threading.Event) else one


def borrow(
    work: Work, asked: Any, settings: Settings, stop: threading.Event, seconds: int, spare: int
) -> Iterator[Any]:
    """``work(asked, stop)`` in one call, which ends with ``TimeUp`` when it was too short.

    Raises:
        GpuNotLent, and whatever the work raises.
    """
    for reference in dict.fromkeys(asked.models):
        yield from _fetched(reference, settings, stop)
    yield from _call(work, [asked, _Given.STOP], settings, stop, seconds, spare)


def _call(
    work: Work,
    given: Sequence[Any],
    settings: Settings,
    stop: threading.Event,
    seconds: int,
    spare: int = SPARE_SECONDS,
) -> Iterator[Any]:
    """Stop, and a closed page, reach the other process by a file."""
    bring_in()
    folder = Path(tempfile.mkdtemp(prefix="lent-"))
    sign, over = folder / "stop", threading.Event()

    def pass_on() -> None:
        while not over.wait(POLL_SECONDS):
            if stop.is_set():
                sign.touch()
                return

    threading.Thread(target=pass_on, daemon=True).start()
    ended = False
    try:
        for event in borrowed(work, given, settings, str(sign), seconds, spare):
            if isinstance(event, _Raised):
                raise event.error
            yield event
        ended = True
    except WorkbenchError:
        ended = True
        raise
    except Exception as error:
        ended = True
        raise _explained(error) from error
    finally:
        over.set()
        if ended:
            shutil.rmtree(folder, ignore_errors=True)
        else:
            sign.touch()


def _explained(error: Exception) -> Exception:
    """What the service says comes as ``gradio.Error``, which this floor does not know."""
    said = getattr(error, "message", None)
    if type(error).__module__.split(".")[0] not in ("gradio", "spaces") or not said:
        return error
    return GpuNotLent(reason=TAGS.sub("", str(said)).strip().rstrip("."))
