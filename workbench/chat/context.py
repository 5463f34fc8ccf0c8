"""What a model receives: a conversation in its template, cut to what it can read.

The rule of cutting: example dialogues go first, all of them; then the oldest exchanges, each
whole; the system text with the character, the instructions after the conversation and the
last message are never cut. If those alone are too long, the message is refused.

Knows tokenizers and templates; not models, adapters or pages.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from workbench.chat.frame import Fired, Frame
from workbench.chat.messages import Message
from workbench.errors import BadTemplate, MessageTooLong
from workbench.models.templates import with_template
from workbench.models.tokenizer import rendered

Mode = Literal["chat", "text"]
OPENING = "[Start a new chat]"
"""Said for the user where a template insists that the user begins, as SillyTavern does."""


@dataclass(frozen=True)
class Received:
    """What one model was given."""

    text: str
    """With the control tokens of its template."""
    tokens: int
    examples_left_out: int = 0
    """Messages of example dialogues that found no room."""
    turns_left_out: int = 0
    """Messages of the conversation that found no room, the oldest."""
    fired: tuple[Fired, ...] = ()

    @property
    def was_cut(self) -> bool:
        return bool(self.examples_left_out or self.turns_left_out)


@dataclass(frozen=True)
class Prompt:
    """Token ids for the model, and what they say."""

    ids: tuple[int, ...]
    received: Received


def in_template(
    tokenizer: Any,
    template: str,
    frame: Frame,
    turns: Sequence[Message],
    begun: str,
    room: int,
    model: str,
) -> Prompt:
    """A conversation as the template writes it, up to where the answer begins.

    Args:
        turns: from the oldest on; the last is the user's.
        begun: the part of the answer that is there already and will be gone on with.
        room: tokens that the prompt may have.

    Raises:
        MessageTooLong: what is never cut does not fit.
        BadTemplate: the template refuses the conversation, or does not end.
    """
    speaker = with_template(tokenizer, template)
    write = _writer(speaker, [*framed(frame, turns, with_examples=True)])

    def prompt(examples: bool, dropped: int) -> tuple[str, list[int]]:
        text = write(framed(frame, turns[dropped:], examples)) + begun
        return text, tokenizer(text, add_special_tokens=False)["input_ids"]

    return _cut(prompt, frame, turns, room, model)


def as_text(
    tokenizer: Any,
    system: str,
    turns: Sequence[Message],
    begun: str,
    room: int,
    model: str,
    prefix: int | None = None,
) -> Prompt:
    """Everything said so far as one running text for a base model to go on with.

    Raises:
        MessageTooLong.
    """

    def prompt(_examples: bool, dropped: int) -> tuple[str, list[int]]:
        parts = [system.strip(), *(turn.content for turn in turns[dropped:])]
        text = "\n".join(part for part in parts if part) + begun
        ids = list(tokenizer(text)["input_ids"])
        return text, ids or [prefix or 0]

    return _cut(prompt, Frame(system, (), "", ()), turns, room, model)


def framed(frame: Frame, turns: Sequence[Message], with_examples: bool) -> list[Message]:
    """The messages in their order; what comes after the conversation ends the last message."""
    said = [*(frame.examples if with_examples else ()), *turns]
    if frame.after and said:
        last = said[-1]
        said[-1] = Message(last.role, f"{last.content}\n\n{frame.after}")
    head = [Message("system", frame.system)] if frame.system else []
    return [*head, *_joined(said)]


def exchanges(turns: Sequence[Message]) -> list[int]:
    """Where each exchange begins: at the start, and wherever the user speaks after an answer."""
    starts = [0] if turns else []
    for at in range(1, len(turns)):
        if turns[at].role == "user" and turns[at - 1].role != "user":
            starts.append(at)
    return starts


def _cut(
    prompt: Callable[[bool, int], tuple[str, list[int]]],
    frame: Frame,
    turns: Sequence[Message],
    room: int,
    model: str,
) -> Prompt:
    """The longest prompt that fits."""
    examples = len(frame.examples)
    text, ids = prompt(True, 0)
    if len(ids) <= room:
        return Prompt(tuple(ids), Received(text, len(ids), fired=frame.fired))
    starts = exchanges(turns)
    low, high = 0, len(starts) - 1
    while low < high:  # the first exchange from which on everything fits
        middle = (low + high) // 2
        if len(prompt(False, starts[middle])[1]) <= room:
            high = middle
        else:
            low = middle + 1
    text, ids = prompt(False, starts[low])
    if len(ids) > room:
        raise MessageTooLong(tokens=f"{len(ids):,}", model=model, limit=f"{max(room, 0):,}")
    return Prompt(tuple(ids), Received(text, len(ids), examples, starts[low], frame.fired))


def _writer(speaker: Any, trial: list[Message]) -> Callable[[list[Message]], str]:
    """How this template will take these messages: some know no system text, some want the
    user to begin."""

    def as_it_is(messages: list[Message]) -> str:
        plain = [message.as_dict() for message in messages]
        return rendered(speaker, plain, add_generation_prompt=True)

    def bent(messages: list[Message]) -> str:
        return as_it_is(_user_first(messages))

    try:
        as_it_is(trial)
    except BadTemplate:
        if _user_first(trial) == trial:
            raise
        bent(trial)
        return bent
    return as_it_is


def _user_first(messages: list[Message]) -> list[Message]:
    """No system text of its own: it begins what the user says first."""
    system = "\n\n".join(one.content for one in messages if one.role == "system")
    said = [one for one in messages if one.role != "system"]
    if said and said[0].role == "user":
        if system:
            said[0] = Message("user", f"{system}\n\n{said[0].content}")
        return said
    return [Message("user", system or OPENING), *said]


def _joined(messages: Sequence[Message]) -> list[Message]:
    """Neighbours of one role become one message."""
    found: list[Message] = []
    for message in messages:
        if found and found[-1].role == message.role:
            found[-1] = Message(message.role, f"{found[-1].content}\n{message.content}")
        else:
            found.append(message)
    return found
