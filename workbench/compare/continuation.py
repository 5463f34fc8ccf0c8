"""What base models write when they go on with a text, streamed side by side.

Each (prompt, model) pair is one batch of samples in a thread of its own; the threads
take turns token by token. This module does not know characters or chat templates.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field, replace

from workbench import logs
from workbench.compare.history import History, Identity
from workbench.errors import (
    LoadFailed,
    NoModel,
    NoText,
    OutOfMemory,
    Stopped,
    TooManyPrompts,
    WorkbenchError,
)
from workbench.events import Failed, Progress
from workbench.language import Register, register
from workbench.models.decoding import Either, decode, encode
from workbench.models.device import Precision, default_precision, is_out_of_memory
from workbench.models.fetch import is_here, locate
from workbench.models.loader import LoadedModel, identity
from workbench.models.pool import ModelPool, alone_with
from workbench.models.reference import ModelReference
from workbench.models.sampling import SamplingOptions
from workbench.models.turns import Turns
from workbench.texts import Text

log = logs.get("continuation")
KIND = "continuation"
MOST_PROMPTS = 50


@dataclass(frozen=True)
class ContinuationRequest:
    """Prompts times models, one set of sampling options."""

    models: tuple[ModelReference, ...]
    prompts: tuple[str, ...]
    options: SamplingOptions = field(default_factory=SamplingOptions)
    precision: Precision | None = None
    again: bool = False
    """Write anew even what is stored already."""

    def __post_init__(self) -> None:
        if not self.models:
            raise NoModel
        if not self.prompts or not all(prompt.strip() for prompt in self.prompts):
            raise NoText
        if len(self.prompts) > MOST_PROMPTS:
            raise TooManyPrompts(count=len(self.prompts), most=MOST_PROMPTS)


@dataclass(frozen=True)
class Place:
    """Which column and row of the page a sample belongs to."""

    model: str
    prompt: int
    sample: int


@dataclass(frozen=True)
class Token:
    """The text of one sample has grown."""

    place: Place
    text: str
    """All of it so far, the prompt left out."""


@dataclass(frozen=True)
class Written:
    """One sample is finished (or was stopped)."""

    place: Place
    text: str
    tokens: int
    seconds: float
    """Time this model was at work for the batch, turns of others left out."""
    tokens_per_second: float
    """Tokens of all samples of the batch a second."""
    register: Register
    fingerprint: str
    """The weights that wrote it."""
    stopped: bool = False
    reused: bool = False


Event = Progress | Token | Written | Failed


def continuations(
    request: ContinuationRequest, pool: ModelPool, history: History, stop: threading.Event
) -> Iterator[Event]:
    """Load the models, then write; prompts one after the other, models at the same time.

    A closed generator stops the writing, as ``stop`` does.
    """
    with ExitStack() as held:
        models: list[LoadedModel] = []
        waiting: list[ModelReference] = []
        for reference in dict.fromkeys(request.models):
            stored = [] if request.again else _stored(request, reference, pool, history)
            yield from stored
            if not stored:
                waiting.append(reference)
        for reference in waiting:
            try:
                precision = request.precision or default_precision()
                loaded = yield from pool.open(reference, precision, stop)
            except WorkbenchError as error:
                yield Failed(str(reference), error)
                if isinstance(error, Stopped):
                    return
                continue
            held.callback(pool.release, loaded)
            models.append(loaded)
        # in one order for everybody, or two requests could wait for each other for ever
        try:
            for loaded in sorted(models, key=lambda one: one.name):
                held.enter_context(alone_with(loaded, stop))
        except Stopped as stopped:
            yield Failed("", stopped)
            return
        for number, prompt in enumerate(request.prompts):
            if stop.is_set():
                yield Failed("", Stopped())
                return
            yield from _side_by_side(models, number, prompt, request, history, stop)


def _side_by_side(
    models: list[LoadedModel],
    number: int,
    prompt: str,
    request: ContinuationRequest,
    history: History,
    stop: threading.Event,
) -> Iterator[Event]:
    """One prompt under all models at once."""
    said: queue.SimpleQueue[Event | None] = queue.SimpleQueue()
    turns, abandoned = Turns(len(models)), threading.Event()
    either = Either(stop, abandoned)
    threads = [
        threading.Thread(
            target=_write, args=(loaded, number, prompt, request, either, turns, said), daemon=True
        )
        for loaded in models
    ]
    finished: dict[str, list[Written]] = {}
    try:
        for thread in threads:
            thread.start()
        running = len(threads)
        while running:
            event = said.get()
            running -= event is None
            if isinstance(event, Written):
                finished.setdefault(event.place.model, []).append(event)
            if event is not None:
                yield event
    finally:
        abandoned.set()
        for thread in threads:
            thread.join()
        for loaded in models:
            _remember(request, loaded, prompt, finished.get(loaded.name, []), history)


def _write(
    loaded: LoadedModel,
    number: int,
    prompt: str,
    request: ContinuationRequest,
    stop: Either,
    turns: Turns,
    said: queue.SimpleQueue[Event | None],
) -> None:
    """The thread of one model: every event goes into ``said``, None at the end."""
    try:
        with turns.joined():
            for event in _generate(loaded, number, prompt, request.options, stop, turns, said):
                said.put(event)
    except WorkbenchError as error:
        said.put(Failed(loaded.name, error))
    except Exception as error:
        if is_out_of_memory(error):
            said.put(Failed(loaded.name, OutOfMemory(model=loaded.reference.label)))
        else:
            log.exception("writing failed", model=loaded.name)
            reason = (str(error).splitlines() or [type(error).__name__])[0][:200]
            said.put(Failed(loaded.name, LoadFailed(model=loaded.reference.label, reason=reason)))
    finally:
        said.put(None)


def _generate(
    loaded: LoadedModel,
    number: int,
    prompt: str,
    options: SamplingOptions,
    stop: Either,
    turns: Turns,
    said: queue.SimpleQueue[Event | None],
) -> list[Written]:
    places = [Place(loaded.name, number, sample) for sample in range(options.samples)]
    ids = encode(loaded, prompt, options.max_new_tokens)
    rows, seconds = decode(
        loaded,
        [ids] * options.samples,
        options,
        stop,
        lambda row, text: said.put(Token(places[row], text)),
        turns,
    )
    total = sum(row.tokens for row in rows)
    return [
        Written(
            place=place,
            text=row.text,
            tokens=row.tokens,
            seconds=seconds,
            tokens_per_second=total / seconds if seconds else 0.0,
            register=register(row.text),
            fingerprint=loaded.fingerprint,
            stopped=stop.is_set() and not row.ended,
        )
        for place, row in zip(places, rows, strict=True)
    ]


def _identity(
    request: ContinuationRequest, reference: ModelReference, prompt: str, fingerprint: str
) -> Identity:
    precision = request.precision or default_precision()
    text = Text(prompt[:60], (prompt,))
    return Identity.of(KIND, reference, precision, fingerprint, text, asdict(request.options))


def _stored(
    request: ContinuationRequest, reference: ModelReference, pool: ModelPool, history: History
) -> list[Written]:
    """What this model wrote to all these prompts before, or nothing."""
    try:
        if not is_here(reference, pool.settings):
            return []
        fingerprint = identity(locate(reference, pool.settings))
    except WorkbenchError:
        return []
    found: list[Written] = []
    for number, prompt in enumerate(request.prompts):
        row = history.find(_identity(request, reference, prompt, fingerprint))
        if row is None:
            return []
        for sample in row.result["samples"]:
            place = Place(str(reference), number, sample["place"]["sample"])
            found.append(replace(Written(**{**sample, "place": place}), reused=True))
    return found


def _remember(
    request: ContinuationRequest,
    loaded: LoadedModel,
    prompt: str,
    written: list[Written],
    history: History,
) -> None:
    """Store a prompt's samples when all of them came to their end."""
    if len(written) != request.options.samples or any(sample.stopped for sample in written):
        return
    who = _identity(request, loaded.reference, prompt, loaded.fingerprint)
    result = {"prompt": prompt, "samples": [asdict(sample) for sample in written]}
    history.add(who, result)
