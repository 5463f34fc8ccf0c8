"""What a character must not get wrong: questions, what keeps a fact and what contradicts it.

The facts lie in the card, under ``extensions`` / ``trilogy`` / ``persona``, as patterns
written by whoever wrote the card. They are as good as those patterns: a contradiction in
words that nobody thought of is not seen. This module does not know conversations.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from workbench.chat.character import Character

MOST_FACTS = 60
MOST_PATTERNS = 40
LONGEST_PATTERN = 500


@dataclass(frozen=True)
class Fact:
    """One thing about the character, and how it is heard."""

    name: str
    says: str
    """The fact, for people."""
    ask: tuple[str, ...]
    """The user's turn asks for it if one of these is found."""
    kept: tuple[str, ...]
    """The answer keeps it if one of these is found."""
    broken: tuple[str, ...]
    """A sentence contradicts it, asked or not, if one of these is found."""


@dataclass(frozen=True)
class Persona:
    """What is held against a character's answers."""

    facts: tuple[Fact, ...] = ()
    may_say_ai: bool = False
    """The character is a machine and may say so."""


def persona_of(character: Character) -> Persona:
    """The persona in a card; an empty one if it has none, or none that can be read."""
    held: Any = character.extensions.get("trilogy")
    held = held.get("persona") if isinstance(held, Mapping) else None
    if not isinstance(held, Mapping):
        return Persona()
    facts = held.get("facts")
    listed = facts if isinstance(facts, list | tuple) else ()
    found = [_fact(one) for one in listed if isinstance(one, Mapping)]
    return Persona(tuple(found[:MOST_FACTS]), held.get("may_say_ai") is True)


def _fact(raw: Mapping[str, Any]) -> Fact:
    name = str(raw.get("id") or raw.get("says") or "?")[:80]
    return Fact(
        name=name,
        says=str(raw.get("says") or name)[:200],
        ask=_patterns(raw.get("ask")),
        kept=_patterns(raw.get("kept")),
        broken=_patterns(raw.get("broken")),
    )


def _patterns(raw: Any) -> tuple[str, ...]:
    if not isinstance(raw, list | tuple):
        return ()
    return tuple(
        one
        for one in raw[:MOST_PATTERNS]
        if isinstance(one, str) and 0 < len(one) <= LONGEST_PATTERN
    )
