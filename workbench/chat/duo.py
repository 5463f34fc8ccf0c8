"""Several voices answer at once: a base, and adapters on the same copy of its weights.

Voices on one base answer in one batch; different bases take turns token by token. Every
answer carries the identity of the pass that made its tokens: it is read off the rows whose
adapters were awake in it, never off the order of columns. Knows models and adapters; not
where conversations are kept, nor who asks.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Generator, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field

from workbench import logs
from workbench.chat.character import Character
from workbench.chat.context import Mode, Prompt, Received, as_text, in_template
from workbench.chat.frame import frame
from workbench.chat.messages import Message
from workbench.errors import (
    LoadFailed,
    NoModel,
    NothingSaid,
    OutOfMemory,
    OutOfRange,
    Stopped,
    TooManyVoices,
    WorkbenchError,
)
from workbench.events import Failed, Progress
from workbench.language import Register, register
from workbench.models.adapters import Attached, attach, can_share, speaking
from workbench.models.decoding import Either, Row, decode
from workbench.models.device import Precision, default_precision, is_out_of_memory
from workbench.models.fetch import Fetched, fetch
from workbench.models.loader import LoadedModel
from workbench.models.pool import ModelPool
from workbench.models.reference import ModelReference
from workbench.models.sampling import PRESETS, SamplingOptions
from workbench.models.templates import chat_template_for, stop_tokens
from workbench.models.turns import Turns

log = logs.get("chat")
MOST_VOICES = 4
CONTEXT = 4096
LEAST_ROOM = 16
WAIT_SECONDS = 0.2


@dataclass(frozen=True)
class Voice:
    """Who is asked to answer."""

    reference: ModelReference
    strength: float = 1.0
    """Of the adapter: 0 is the base, 1 what it was trained with."""

    def __post_init__(self) -> None:
        if not 0 <= self.strength <= 1:
            raise OutOfRange(field="strength", value=self.strength, low=0, high=1)


@dataclass(frozen=True)
class ChatRequest:
    """One message to several voices."""

    voices: tuple[Voice, ...]
    talks: tuple[tuple[Message, ...], ...]
    """The conversation of each voice, its own answers in it; the last message is the user's."""
    options: SamplingOptions = field(default_factory=lambda: PRESETS["gentle"])
    """Every voice draws with the same seed, so that what differs comes from the weights; each
    turn moves it on, or the same draws would come again in answer after answer."""
    system: str = ""
    character: Character | None = None
    user: str = ""
    mode: Mode = "chat"
    """``text`` lets a base go on with everything said as one running text."""
    begun: tuple[str, ...] = ()
    """The answers that are there already, to be gone on with."""
    context: int = CONTEXT
    """Tokens of prompt and answer together, where the model allows so many."""
    precision: Precision | None = None
    together: bool = True
    """False: one voice after the other, also where one batch would do."""

    def __post_init__(self) -> None:
        if not self.voices:
            raise NoModel
        if len(self.voices) > MOST_VOICES:
            raise TooManyVoices(count=len(self.voices), most=MOST_VOICES)
        if len(self.talks) != len(self.voices):
            raise ValueError("every voice needs a conversation")
        for talk in self.talks:
            if not talk or talk[-1].role != "user" or not talk[-1].content.strip():
                raise NothingSaid
        if not 64 <= self.context <= 1_000_000:
            raise OutOfRange(field="context", value=self.context, low=64, high=1_000_000)

    def seed_of(self, voice: int) -> int:
        """What a voice draws its next answer with; the options' own in a first turn."""
        return (self.options.seed + len(self.talks[voice]) - 1) % 2**32

    @property
    def models(self) -> tuple[ModelReference, ...]:
        """Of the voices."""
        return tuple(voice.reference for voice in self.voices)


@dataclass(frozen=True)
class Who:
    """The weights that made the tokens of a row."""

    model: str
    """The reference of the base, or of a model with its adapter inside."""
    adapter: str
    """Empty when no adapter spoke."""
    fingerprint: str
    """Of base and adapter together."""
    precision: str
    strength: float = 1.0

    @property
    def name(self) -> str:
        return f"{self.model}+{self.adapter}" if self.adapter else self.model

    @property
    def tuned(self) -> bool:
        return bool(self.adapter)


@dataclass(frozen=True)
class Asked:
    """A voice has been given its prompt."""

    voice: int
    who: Who
    received: Received


@dataclass(frozen=True)
class Token:
    """An answer has grown."""

    voice: int
    who: Who
    text: str
    """All of it so far."""


@dataclass(frozen=True)
class Answered:
    """An answer is finished, or was stopped."""

    voice: int
    who: Who
    text: str
    tokens: int
    first_seconds: float
    """Seconds of work until the first token."""
    seconds: float
    """Seconds of work until the last."""
    register: Register
    received: Received
    stopped: bool = False
    ended: bool = True
    """The model ended it; False when it ran out of tokens or was stopped."""

    @property
    def tokens_per_second(self) -> float:
        return self.tokens / self.seconds if self.seconds else 0.0


Event = Progress | Asked | Token | Answered | Failed


@dataclass(frozen=True)
class _Seat:
    """A voice with its files: which model it speaks from, and what is put on that."""

    number: int
    voice: Voice
    home: ModelReference
    fetched: Fetched | None
    """None when the model speaks as it is loaded."""


@dataclass(frozen=True)
class _Line:
    """A voice that is ready to speak from a loaded model."""

    seat: _Seat
    attached: Attached | None
    who: Who
    prompt: Prompt
    stops: tuple[int, ...]


def chat(
    request: ChatRequest, pool: ModelPool, stop: threading.Event
) -> Generator[Event, None, None]:
    """Bring what is needed into memory, then let every voice answer.

    A voice that cannot speak is a ``Failed`` of its own; the others go on. A closed
    generator stops the answers, as ``stop`` does.
    """
    with ExitStack() as held:
        homes: dict[ModelReference, LoadedModel] = {}
        seats: list[_Seat] = []
        for number, voice in enumerate(request.voices):
            try:
                seat = yield from _seated(number, voice, pool, stop)
                if seat.home not in homes:
                    precision = request.precision or default_precision()
                    homes[seat.home] = yield from pool.open(seat.home, precision, stop)
                    held.callback(pool.release, homes[seat.home])
                seats.append(seat)
            except WorkbenchError as error:
                yield Failed(str(voice.reference), error)
                if isinstance(error, Stopped):
                    return
        # in one order for everybody, or two requests could wait for each other for ever
        for loaded in sorted(homes.values(), key=lambda one: one.name):
            if not (yield from _waited(loaded, stop)):
                yield Failed("", Stopped())
                return
            held.callback(loaded.lock.release)
        yield from _side_by_side(request, [(homes[seat.home], seat) for seat in seats], stop)


def _seated(
    number: int, voice: Voice, pool: ModelPool, stop: threading.Event
) -> Generator[Progress, None, _Seat]:
    """Where a voice will speak from; its files are brought here first if it has an adapter."""
    reference = voice.reference
    if reference.adapter is None:
        return _Seat(number, voice, reference, None)
    fetched: Fetched = yield from fetch(reference, pool.settings, stop)
    if fetched.adapter is None or not can_share(fetched.adapter):
        return _Seat(number, voice, reference, None)
    return _Seat(number, voice, reference.base, fetched)


def _waited(loaded: LoadedModel, stop: threading.Event) -> Generator[Progress, None, bool]:
    """Wait until nobody else is at work with the model. Returns False when stopped."""
    while not loaded.lock.acquire(timeout=WAIT_SECONDS):
        if stop.is_set():
            return False
        yield Progress("wait", 0, 0, "", loaded.reference.label)
    return True


def _side_by_side(
    request: ChatRequest, seats: list[tuple[LoadedModel, _Seat]], stop: threading.Event
) -> Iterator[Event]:
    """Every model in a thread of its own; the threads take turns."""
    said: queue.SimpleQueue[Event | None] = queue.SimpleQueue()
    models = {id(loaded): loaded for loaded, _ in seats}
    turns, abandoned = Turns(len(models)), threading.Event()
    either = Either(stop, abandoned)
    threads = [
        threading.Thread(
            target=_speak,
            args=(loaded, [seat for one, seat in seats if one is loaded], request, either, turns,
                  said),
            daemon=True,
        )
        for loaded in models.values()
    ]  # fmt: skip
    try:
        for thread in threads:
            thread.start()
        running = len(threads)
        while running:
            event = said.get()
            running -= event is None
            if event is not None:
                yield event
    finally:
        abandoned.set()
        for thread in threads:
            thread.join()


def _speak(
    loaded: LoadedModel,
    seats: list[_Seat],
    request: ChatRequest,
    stop: Either,
    turns: Turns,
    said: queue.SimpleQueue[Event | None],
) -> None:
    """The thread of one model: every event goes into ``said``, None at the end."""
    try:
        with turns.joined():
            lines = []
            for seat in seats:
                try:
                    lines.append(_line(loaded, seat, request))
                except WorkbenchError as error:
                    said.put(Failed(str(seat.voice.reference), error))
            for batch in _batches(lines, request.together):
                if stop.is_set():
                    said.put(Failed("", Stopped()))
                    return
                _answer(loaded, batch, request, stop, turns, said)
    except Exception as error:
        said.put(Failed(loaded.name, _explained(error, loaded)))
    finally:
        said.put(None)


def _explained(error: Exception, loaded: LoadedModel) -> WorkbenchError:
    if isinstance(error, WorkbenchError):
        return error
    if is_out_of_memory(error):
        return OutOfMemory(model=loaded.reference.label)
    log.exception("answering failed", model=loaded.name)
    reason = (str(error).splitlines() or [type(error).__name__])[0][:200]
    return LoadFailed(model=loaded.reference.label, reason=reason)


def _line(loaded: LoadedModel, seat: _Seat, request: ChatRequest) -> _Line:
    """Attach what the voice needs, and write its prompt."""
    attached = attach(loaded, seat.fetched, seat.voice.reference) if seat.fetched else None
    who = Who(
        model=str(loaded.reference.base),
        adapter=attached.adapter if attached else loaded.reference.adapter or "",
        fingerprint=f"{loaded.fingerprint}+{attached.fingerprint}"
        if attached
        else loaded.fingerprint,
        precision=loaded.precision,
        strength=seat.voice.strength if attached else 1.0,
    )
    prompt, stops = _prompt(loaded, attached, seat.number, request)
    return _Line(seat, attached, who, prompt, stops)


def _prompt(
    loaded: LoadedModel, attached: Attached | None, number: int, request: ChatRequest
) -> tuple[Prompt, tuple[int, ...]]:
    tokenizer, talk = loaded.tokenizer, request.talks[number]
    begun = request.begun[number] if request.begun else ""
    limit = min(request.context, loaded.context_limit or request.context)
    room = limit - request.options.max_new_tokens
    if room < LEAST_ROOM:
        raise OutOfRange(
            field="max_new_tokens", value=request.options.max_new_tokens, low=1,
            high=limit - LEAST_ROOM,
        )  # fmt: skip
    model = loaded.reference.label
    if request.mode == "text":
        first = loaded.prefix_token
        return as_text(tokenizer, request.system, talk, begun, room, model, first), ()
    template = (attached.template if attached else "") or chat_template_for(tokenizer)

    def count(text: str) -> int:
        return len(tokenizer(text, add_special_tokens=False)["input_ids"])

    around = frame(request.character, request.user, talk, request.system, count)
    prompt = in_template(tokenizer, template, around, talk, begun, room, model)
    return prompt, tuple(stop_tokens(tokenizer, template))


def _batches(lines: list[_Line], together: bool) -> list[list[_Line]]:
    """Who can answer in one pass: all of a base's, but for adapters that cannot mix."""
    mixing = [line for line in lines if line.attached is None or line.attached.mixes]
    alone = [[line] for line in lines if line not in mixing]
    if not together:
        return [[line] for line in mixing] + alone
    return ([mixing] if mixing else []) + alone


def _answer(
    loaded: LoadedModel,
    batch: list[_Line],
    request: ChatRequest,
    stop: Either,
    turns: Turns,
    said: queue.SimpleQueue[Event | None],
) -> None:
    """One pass: one row a voice."""
    begun = [request.begun[one.seat.number] if request.begun else "" for one in batch]

    def grown(row: int, text: str) -> None:
        said.put(Token(batch[row].seat.number, batch[row].who, begun[row] + text))

    for one in batch:
        said.put(Asked(one.seat.number, one.who, one.prompt.received))
    rows_of = [one.attached for one in batch]
    with speaking(loaded, rows_of, [one.who.strength for one in batch]):
        rows, _ = decode(
            loaded,
            [one.prompt.ids for one in batch],
            request.options,
            stop,
            grown,
            turns,
            stops=[token for one in batch for token in one.stops],
            seeds=[request.seed_of(one.seat.number) for one in batch],
        )
    for one, row, before in zip(batch, rows, begun, strict=True):
        said.put(_answered(one, row, before, stop.is_set()))


def _answered(line: _Line, row: Row, begun: str, stopped: bool) -> Answered:
    text = begun + row.text
    return Answered(
        voice=line.seat.number,
        who=line.who,
        text=text,
        tokens=row.tokens,
        first_seconds=row.first,
        seconds=row.seconds,
        register=register(text),
        received=line.prompt.received,
        stopped=stopped and not row.ended,
        ended=row.ended,
    )
