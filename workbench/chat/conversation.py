"""A conversation as a tree: every turn is what was said and what each voice answered.

Nothing is ever overwritten. Asking again, editing and going on make a turn beside the old one;
``tip`` says which branch is open. A voice sees its own answers: base and tuned each have their
own conversation, on the same questions. Knows neither models nor files.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from workbench.chat.messages import Message
from workbench.errors import NoSuchTurn, NothingToTakeBack

LONGEST_TITLE = 120


@dataclass(frozen=True)
class Answer:
    """What one voice said, and which weights it came from."""

    voice: str
    """The reference that was asked for."""
    text: str
    model: str
    adapter: str
    fingerprint: str
    precision: str = ""
    strength: float = 1.0
    tokens: int = 0
    first_seconds: float = 0.0
    seconds: float = 0.0
    register: str = "other"
    stopped: bool = False
    ended: bool = True
    received: str = ""
    """What the model was given, control tokens and all."""
    received_tokens: int = 0
    examples_left_out: int = 0
    turns_left_out: int = 0
    fired: tuple[tuple[str, int], ...] = ()
    """Entries of the lorebook that fired, with their tokens."""

    @property
    def name(self) -> str:
        return f"{self.model}+{self.adapter}" if self.adapter else self.model

    @property
    def tokens_per_second(self) -> float:
        return self.tokens / self.seconds if self.seconds else 0.0


@dataclass(frozen=True)
class Turn:
    """The user says something, the voices answer."""

    number: int
    parent: int | None
    said: str
    answers: tuple[Answer, ...] = ()

    def answer_for(self, voice: str) -> str:
        """The voice's own answer; for one that was not asked then, the first there is."""
        for answer in self.answers:
            if answer.voice == voice:
                return answer.text
        return self.answers[0].text if self.answers else ""


@dataclass(frozen=True)
class Conversation:
    """Turns by number, and the branch that is open."""

    name: str = field(default_factory=lambda: uuid.uuid4().hex[:16])
    title: str = ""
    created: str = field(default_factory=lambda: _now())
    changed: str = field(default_factory=lambda: _now())
    character: str = ""
    user: str = ""
    system: str = ""
    greeting: str = ""
    mode: str = "chat"
    turns: Mapping[int, Turn] = field(default_factory=dict, hash=False)
    tip: int | None = None

    def path(self) -> list[Turn]:
        """The open branch, oldest first."""
        found: list[Turn] = []
        at = self.tip
        while at is not None:
            found.append(self.turn(at))
            at = found[-1].parent
        return found[::-1]

    def turn(self, number: int) -> Turn:
        """Raises NoSuchTurn."""
        if number not in self.turns:
            raise NoSuchTurn(number=number)
        return self.turns[number]

    def beside(self, number: int) -> list[int]:
        """The turn and those that stand in its place on other branches, oldest first."""
        parent = self.turn(number).parent
        return sorted(one.number for one in self.turns.values() if one.parent == parent)

    def messages(self, voice: str, before: int | None = None) -> list[Message]:
        """The open branch as one voice knows it.

        Args:
            before: stop at this turn, with what was said in it but without its answer.
        """
        found = [Message("assistant", self.greeting)] if self.greeting else []
        for turn in self.path():
            found.append(Message("user", turn.said))
            if turn.number == before:
                break
            if text := turn.answer_for(voice):
                found.append(Message("assistant", text))
        return found

    def say(self, said: str) -> Conversation:
        """A new turn at the open end."""
        return self._with(said, self.tip, ())

    def again(self, number: int, said: str | None = None, keep: Sequence[str] = ()) -> Conversation:
        """The same turn once more on a branch of its own, perhaps with other words.

        Args:
            keep: voices whose answers come along, because only others are asked again.
        """
        old = self.turn(number)
        kept = tuple(answer for answer in old.answers if answer.voice in keep)
        return self._with(old.said if said is None else said, old.parent, kept)

    def answered(
        self, number: int, answers: Sequence[Answer], order: Sequence[str] = ()
    ) -> Conversation:
        """Answers come to a turn; one voice has one answer in it.

        Args:
            order: voices as they stand on the page; any others come after them.
        """
        turn = self.turn(number)
        places = {voice: at for at, voice in enumerate(order)}
        both = {answer.voice: answer for answer in (*turn.answers, *answers)}
        ordered = sorted(both.values(), key=lambda one: places.get(one.voice, len(places)))
        changed = replace(turn, answers=tuple(ordered))
        return replace(self, turns={**self.turns, number: changed}, changed=_now())

    def back(self) -> Conversation:
        """The open branch without its last turn, which stays where it is.

        Raises:
            NothingToTakeBack.
        """
        if self.tip is None:
            raise NothingToTakeBack
        return replace(self, tip=self.turn(self.tip).parent)

    def open_branch(self, number: int) -> Conversation:
        """Follow the branch that this turn is on to its newest end."""
        self.turn(number)
        at = number
        while below := [one.number for one in self.turns.values() if one.parent == at]:
            at = max(below)
        return replace(self, tip=at)

    def renamed(self, title: str) -> Conversation:
        return replace(self, title=" ".join(title.split())[:LONGEST_TITLE], changed=_now())

    def _with(self, said: str, parent: int | None, answers: tuple[Answer, ...]) -> Conversation:
        number = max(self.turns, default=0) + 1
        title = self.title or " ".join(said.split())[:60]
        turns = {**self.turns, number: Turn(number, parent, said, answers)}
        return replace(self, title=title, turns=turns, tip=number, changed=_now())

    def document(self) -> dict[str, Any]:
        """Plain data for a file."""
        return {**asdict(self), "turns": [asdict(turn) for turn in self.turns.values()]}

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> Conversation:
        """From what ``document`` gave.

        Raises:
            KeyError, TypeError, ValueError: it is something else.
        """
        turns = {}
        for one in document["turns"]:
            answers = tuple(
                Answer(**{**answer, "fired": tuple((name, n) for name, n in answer["fired"])})
                for answer in one["answers"]
            )
            turns[int(one["number"])] = Turn(**{**one, "answers": answers})
        made = cls(**{**document, "turns": turns})
        made.path()
        return made


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
