"""What two tabs share: the house they work in, progress, notices, and Stop.

Nothing here knows what a tab does.
"""

from __future__ import annotations

import os
import shutil
import threading
import time
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, field
from functools import wraps
from html import escape
from typing import Any

import gradio as gr

from tabs._words import explain, say
from workbench import logs
from workbench.compare.history import History
from workbench.data.shelf import Shelf
from workbench.errors import NotAllowed, WorkbenchError
from workbench.events import Progress, readable
from workbench.models.pool import ModelPool
from workbench.models.reference import ModelReference
from workbench.settings import Settings
from workbench.workspace import Workspace, check_name

REDRAW_SECONDS = 0.2
log = logs.get("page")
# Events that compute stand in one line, whichever tab they come from.
COMPUTE = {"concurrency_id": "compute", "concurrency_limit": 1, "api_visibility": "private"}
QUICK = {"show_progress": "hidden", "api_visibility": "private", "concurrency_limit": 8}
# A view that follows what it shows: of many changes in a row the last one counts.
FOLLOW = {**QUICK, "trigger_mode": "always_last"}


class Stops:
    """One stop event for each visitor and kind of work."""

    def __init__(self) -> None:
        self._events: dict[tuple[str, str], threading.Event] = {}

    def start(self, request: gr.Request, work: str) -> threading.Event:
        """A fresh event; work of the same kind that still runs for this visitor is stopped."""
        key = (request.session_hash or "", work)
        if key in self._events:
            self._events[key].set()
        self._events[key] = threading.Event()
        return self._events[key]

    def stop(self, request: gr.Request, work: str) -> None:
        """The visitor pressed Stop."""
        if event := self._events.get((request.session_hash or "", work)):
            event.set()

    def leave(self, request: gr.Request) -> None:
        """The visitor closed the page: stop what only they were waiting for."""
        for session, work in list(self._events):
            if session == request.session_hash:
                self._events.pop((session, work)).set()


class Secrets:
    """What visitors typed and nobody else may see: in memory, for one session, never written."""

    def __init__(self) -> None:
        self._kept: dict[str, dict[str, str]] = {}

    def put(self, request: gr.Request, name: str, value: str) -> None:
        self._kept.setdefault(request.session_hash or "", {})[name] = value

    def get(self, request: gr.Request, name: str) -> str:
        return self._kept.get(request.session_hash or "", {}).get(name, "")

    def leave(self, request: gr.Request) -> None:
        """The visitor closed the page."""
        self._kept.pop(request.session_hash or "", None)


@dataclass(frozen=True)
class House:
    """What every handler needs."""

    settings: Settings
    pool: ModelPool
    history: History
    stops: Stops = field(default_factory=Stops)
    shelf: Shelf = field(default_factory=Shelf)
    secrets: Secrets = field(default_factory=Secrets, repr=False)

    @classmethod
    def build(cls, settings: Settings) -> House:
        workspace = Workspace(settings.workspace)
        return cls(settings, ModelPool(settings), History(workspace.results))

    def workspace(self, request: gr.Request) -> Workspace:
        """Where a visitor's datasets lie: on a public Space each page has a place of its own."""
        if on_space():
            return Workspace(self.settings.workspace / "visitors" / check_name(_visitor(request)))
        return Workspace(self.settings.workspace)

    def leave(self, request: gr.Request) -> None:
        """The visitor closed the page: their work stops, and on a Space their rows go."""
        self.stops.leave(request)
        self.secrets.leave(request)
        if on_space():
            root = self.workspace(request).root
            self.shelf.close_all(root)
            shutil.rmtree(root, ignore_errors=True)

    def references(self, names: list[str]) -> tuple[ModelReference, ...]:
        """What a visitor chose, each once, in their order, and allowed here.

        Raises:
            BadReference, NotAllowed.
        """
        chosen = tuple(dict.fromkeys(ModelReference.parse(name) for name in names or []))
        for reference in chosen:
            if on_space() and str(reference) not in self.allowed():
                raise NotAllowed(model=str(reference))
        return chosen

    def allowed(self) -> set[str]:
        """On a public Space: the bundled models and those the owner named."""
        from workbench.models.bundled import BUNDLED

        return {f"bundled:{name}" for name in BUNDLED} | set(self.settings.allowed_models)


def _visitor(request: gr.Request) -> str:
    return request.session_hash or "nobody"


def on_space() -> bool:
    """True on a Hugging Face Space, where anybody can come in."""
    return os.environ.get("SYSTEM") == "spaces"


def notice(kind: str, text: str) -> str:
    """A sentence in a box; ``kind`` is info, good, warning or error."""
    role = ' role="alert"' if kind == "error" else ""
    return f'<div class="tri-notice tri-{kind}"{role}>{escape(text)}</div>'


def progress(language: str, event: Progress) -> str:
    """A bar with numbers; without a known total it only moves."""
    stage = say(language, f"stage.{event.stage}")
    if event.unit == "bytes" and event.total:
        amount = f"{readable(event.done)} / {readable(event.total)}"
    elif event.total:
        amount = f"{event.done:,.0f} / {event.total:,.0f} {say(language, f'unit.{event.unit}')}"
    elif event.done:
        amount = f"{event.done:,.0f} {say(language, f'unit.{event.unit}')}"
    else:
        amount = ""
    moving = "" if event.total else " tri-moving"
    return (
        f'<div class="tri-progress{moving}" role="status"><div class="tri-progress-words">'
        f"<b>{escape(event.model.removeprefix('bundled:'))}</b> {stage} <span>{amount}</span></div>"
        f'<div class="tri-track"><i style="width:{event.share * 100:.1f}%"></i></div></div>'
    )


def showing(
    language: str, work: Generator[Progress, None, Any], outputs: int = 1
) -> Generator[Any, None, Any]:
    """Work with its progress in the first of so many outputs; returns what the work returns."""
    shown = 0.0
    while True:
        try:
            event = next(work)
        except StopIteration as end:
            return end.value
        if time.monotonic() - shown > REDRAW_SECONDS:
            shown = time.monotonic()
            bar = progress(language, event)
            yield bar if outputs == 1 else (bar, *[gr.skip()] * (outputs - 1))


def failed(language: str, error: BaseException) -> str:
    """An error for the person: its sentence, or an apology and a trace in the log."""
    if isinstance(error, WorkbenchError):
        kind = "info" if type(error).__name__ == "Stopped" else "error"
        return notice(kind, explain(language, error))
    log.exception("a handler failed", exc_info=error)
    return notice("error", say(language, "error.Unexpected"))


def guarded(show: Callable[[str], tuple[Any, ...]]) -> Callable[..., Any]:
    """Decorate a generator handler whose first argument is the language.

    ``show`` turns a notice into the handler's outputs; whatever was yielded before stays
    on the page.
    """

    def decorate(handler: Callable[..., Iterator[Any]]) -> Callable[..., Iterator[Any]]:
        @wraps(handler)
        def wrapped(language: str, *values: Any) -> Iterator[Any]:
            try:
                yield from handler(language, *values)
            except Exception as error:
                yield show(failed(language, error))

        return wrapped

    return decorate
