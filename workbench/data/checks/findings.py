"""What a check says about a row, and what a person may set about the checks.

A finding tags; nothing is taken out on its account. It points at the exact characters that
decided, so that the page can mark them and a step can mask them. This module knows no check.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator
from dataclasses import dataclass, field

import pyarrow as pa

from workbench.data.rows import Example, Message
from workbench.errors import BadSettings, OutOfRange
from workbench.language import REGISTERS
from workbench.signs import pattern

BLANKS = "[ \t\r\n\f\xa0　]*"
# spelt out: RE2 and re disagree on what white space is
BLANK = re.compile(f"^{BLANKS}$")
ANSWERING = ("assistant", "text")


FINDINGS = pa.schema(
    [
        ("row", pa.int64()),
        ("check", pa.string()),
        ("kind", pa.string()),
        ("turn", pa.int32()),
        ("start", pa.int32()),
        ("end", pa.int32()),
        ("facts", pa.string()),
    ]
)
"""``facts`` is a JSON object. See ``Finding`` for the rest."""


@dataclass(frozen=True)
class Finding:
    """One thing a check noticed.

    ``turn`` counts the messages, then the chosen and then the rejected ones, from 0; it is
    None where the whole row is meant. ``start`` and ``end`` are code points in that turn's
    content. ``facts`` fill the sentence ``reason.<kind>``.
    """

    check: str
    kind: str
    turn: int | None = None
    start: int | None = None
    end: int | None = None
    facts: dict[str, str | int | float] = field(default_factory=dict)


@dataclass(frozen=True)
class CheckOptions:
    """What is expected of the set. The defaults suit instruction data of any language."""

    expected: tuple[str, ...] = ()
    """Registers the answers may be in; empty means no opinion. Neutral is never a fault."""
    min_characters: int = 1
    """An answer with fewer code points is too short."""
    max_characters: int = 8000
    """A row with more code points, all turns together, is too long."""
    repeats: int = 3
    """The same sentence of 8 characters or more this often is a repetition."""
    loop_share: float = 0.6
    """This share of 8-character pieces that were there before is a loop."""

    def __post_init__(self) -> None:
        unknown = [one for one in self.expected if one not in REGISTERS]
        if unknown:
            raise BadSettings(reason=f"{unknown[0]} is not a register")
        _within("min_characters", self.min_characters, 0, 1_000_000)
        _within("max_characters", self.max_characters, max(1, self.min_characters), 100_000_000)
        _within("repeats", self.repeats, 2, 1000)
        _within("loop_share", self.loop_share, 0.05, 1.0)


def _within(name: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        raise OutOfRange(field=name, value=value, low=low, high=high)


def turns(example: Example) -> list[Message]:
    """All turns in the order in which findings count them."""
    return [*example.messages, *(example.chosen or ()), *(example.rejected or ())]


def answers(example: Example) -> Iterator[tuple[int, Message]]:
    """The answers to learn from, with their numbers: the rejected ones are not among them."""
    learned = [*example.messages, *(example.chosen or ())]
    for number, turn in enumerate(learned):
        if turn.role in ANSWERING:
            yield number, turn


def is_plain(example: Example) -> bool:
    """True for plain text to be learned as it stands, which has no turns to speak of."""
    return bool(example.messages) and all(turn.role == "text" for turn in example.messages)


def excerpt(text: str, most: int = 40) -> str:
    """A few characters of a text, fit for a sentence."""
    flat = " ".join(text.split())
    return flat if len(flat) <= most else f"{flat[: most - 1]}…"


@functools.cache
def last_line(name: str) -> re.Pattern[str]:
    """As ``pattern``, but it must fill the last line of a text."""
    inner = pattern(name).pattern
    return re.compile(rf"(?:^|\n){BLANKS}(?P<it>{inner}){BLANKS}$", re.ASCII | re.IGNORECASE)
