"""What two tabs share: the house they work in, progress, notices, and Stop.

Nothing here knows what a tab does.
"""

from __future__ import annotations

import os
import secrets
import shutil
import threading
import time
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, field
from functools import wraps
from html import escape
from typing import Any

import gradio as gr
from gradio.context import LocalContext

from tabs._asking import address_of, cookies_of, owners_of_space, signed_in
from tabs._rules import rule
from tabs._words import explain, say
from workbench import logs
from workbench.compare.history import History
from workbench.data.shelf import Shelf
from workbench.errors import NotAllowed, WorkbenchError
from workbench.events import Progress, readable
from workbench.models import lent
from workbench.models.pool import ModelPool
from workbench.models.reference import ModelReference
from workbench.rights import Action, Keys, Mode, Quotas, Visitor
from workbench.settings import Settings
from workbench.workspace import Workspace, check_name, write_atomically

REDRAW_SECONDS = 0.2
VISITORS = "visitors"
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
    """What every handler needs.

    Whoever is asking is found in the ``gr.Request`` a handler is given; a handler that
    takes none may leave it out, and the request being answered is meant.
    """

    settings: Settings
    pool: ModelPool
    stops: Stops = field(default_factory=Stops)
    shelf: Shelf = field(default_factory=Shelf)
    typed: Secrets = field(default_factory=Secrets, repr=False)
    quotas: Quotas = field(default_factory=Quotas)
    addresses: list[str] = field(default_factory=list)
    """Where the page is served, the most public last; known once it is."""
    keys: Keys = field(default_factory=lambda: Keys(secrets.token_bytes(32)))

    @classmethod
    def build(cls, settings: Settings) -> House:
        return cls(
            settings, ModelPool(settings), quotas=Quotas(settings.limits),
            keys=Keys(_secret(settings)),
        )  # fmt: skip

    @property
    def mode(self) -> Mode:
        """local: everybody is the owner; share: whoever has the token; space: who signs in."""
        if on_space():
            return "space"
        return "share" if self.settings.share else "local"

    def who(self, request: gr.Request | None = None) -> Visitor:
        """Who is asking."""
        request = request or LocalContext.request.get(None)
        session = (request.session_hash if request else None) or "nobody"
        if self.mode == "local" or (request and self._is_owner(request)):
            return Visitor("owner", session)
        if self.mode == "space":
            # a folder for each page; a quota for each address, which a reload does not change
            return Visitor("visitor", session, f"address {address_of(request)}")
        signed = cookies_of(request).get(self.keys.guest_cookie)
        return Visitor("guest", self.keys.guest(signed) or "nobody")

    def _is_owner(self, request: gr.Request) -> bool:
        if self.mode == "space":
            return signed_in(request) in owners_of_space()
        return self.keys.is_owner(cookies_of(request).get(self.keys.owner_cookie))

    def may(self, request: gr.Request | None, action: Action) -> None:
        """Raise unless whoever is asking may do this.

        Raises:
            NotForGuests, NotForVisitors.
        """
        self.who(request).must(action)

    def count(self, request: gr.Request | None, tokens: int) -> None:
        """Tokens were written for somebody: they are taken from their quota."""
        self.quotas.spend(self.who(request), "tokens", tokens)

    def workspace(self, request: gr.Request | None = None) -> Workspace:
        """Where one's datasets, runs and results lie: the owner's, or a visitor's own."""
        visitor = self.who(request)
        if visitor.is_owner:
            return Workspace(self.settings.workspace)
        return Workspace(self.settings.workspace / VISITORS / check_name(visitor.id))

    @property
    def history(self) -> History:
        """The earlier results of whoever is asking."""
        return History(self.workspace().results)

    def settings_for(self, request: gr.Request | None = None) -> Settings:
        """The settings, for anybody but the owner without the owner's token for the Hub."""
        if self.who(request).is_owner:
            return self.settings
        return self.settings.model_copy(update={"hub_token": None})

    @rule("look")
    def leave(self, request: gr.Request) -> None:
        """The visitor closed the page: their work stops, and on a Space their rows go."""
        self.stops.leave(request)
        self.typed.leave(request)
        if self.who(request).role == "visitor":
            root = self.workspace(request).root
            self.shelf.close_all(root)
            shutil.rmtree(root, ignore_errors=True)

    def references(
        self, names: list[str], request: gr.Request | None = None
    ) -> tuple[ModelReference, ...]:
        """What a visitor chose, each once, in their order, and allowed here.

        Raises:
            BadReference, NotAllowed.
        """
        chosen = tuple(dict.fromkeys(ModelReference.parse(name) for name in names or []))
        if self.who(request).may("load_any_model"):
            return chosen
        allowed = self.allowed()
        for reference in chosen:
            if str(reference) not in allowed:
                raise NotAllowed(model=str(reference))
        return chosen

    def allowed(self) -> set[str]:
        """For guests: the bundled models, those the owner named, and those in memory.

        On a public Space what is in memory counts only if it is named.
        """
        from workbench.models.bundled import BUNDLED

        named = {f"bundled:{name}" for name in BUNDLED} | set(self.settings.allowed_models)
        if self.mode == "share":
            named |= {str(model.reference) for model in self.pool.loaded()}
        return named

    def compute(
        self, work: Callable[..., Any], asked: Any, stop: threading.Event, seconds: int = 0
    ) -> Generator[Any, None, Any]:
        """What ``work(asked, pool, stop)`` says and returns, wherever the GPU is."""
        return lent.compute(work, asked, self.pool, stop, seconds=seconds)

    def measure(
        self, work: Callable[..., Any], asked: Any, stop: threading.Event
    ) -> Generator[Any, None, Any]:
        """The same for work that keeps its results, and finds them, in the history."""
        return lent.compute(work, asked, self.pool, self.history, stop, slices=True)

    def stopper(self, work: str) -> Callable[[gr.Request], None]:
        """What a Stop button does."""

        @rule("look")
        def stop(request: gr.Request) -> None:
            self.stops.stop(request, work)

        return stop


def on_space() -> bool:
    """True on a Hugging Face Space, where anybody can come in."""
    return os.environ.get("SYSTEM") == "spaces"


def _secret(settings: Settings) -> bytes:
    """What guests' names are signed with; kept, so that a guest finds their rows again."""
    if not settings.share:
        return secrets.token_bytes(32)
    path = settings.workspace / VISITORS / ".secret"
    if not path.exists():
        write_atomically(path, secrets.token_bytes(32))
    return path.read_bytes()


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
