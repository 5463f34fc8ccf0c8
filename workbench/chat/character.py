"""A character: what a card says of somebody, in the words of the card formats.

Knows neither files nor models. What a card holds besides is kept as it came
(``documents``, and ``raw`` of the lorebook), so that a card can go out again unharmed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from workbench.errors import LongField, ManyEntries, NoCharacterName

Where = Literal["before", "after"]
LONGEST_FIELD = 400_000
"""Characters of one field; the longest real cards have a tenth of it."""
LONGEST_NAME = 200
MOST_ENTRIES = 5_000


@dataclass(frozen=True)
class Entry:
    """One entry of a lorebook: words that are told only when they are needed."""

    keys: tuple[str, ...] = ()
    content: str = ""
    secondary_keys: tuple[str, ...] = ()
    selective: bool = False
    """Fires only when one of ``secondary_keys`` is found too."""
    enabled: bool = True
    constant: bool = False
    """Fires always."""
    case_sensitive: bool = False
    use_regex: bool = False
    insertion_order: int = 100
    """Lower comes first in the text."""
    priority: int = 0
    """When the budget is spent, the lowest go first."""
    position: Where = "after"
    """Before or after the description of the character."""
    name: str = ""
    raw: Mapping[str, Any] = field(default_factory=dict, compare=False)
    """The entry as it came."""

    @property
    def title(self) -> str:
        """What to call it on the page."""
        return self.name or ", ".join(self.keys[:3])


@dataclass(frozen=True)
class Lorebook:
    """What the character's world knows, by keyword."""

    entries: tuple[Entry, ...] = ()
    name: str = ""
    scan_depth: int | None = None
    """How many of the last messages are searched for keys."""
    token_budget: int | None = None
    recursive: bool = False
    """What fires may make others fire."""
    raw: Mapping[str, Any] = field(default_factory=dict, compare=False)
    """The book as it came."""


@dataclass(frozen=True)
class Character:
    """Who answers, and how.

    Raises:
        NoCharacterName, LongField, ManyEntries.
    """

    name: str
    description: str = ""
    personality: str = ""
    scenario: str = ""
    greeting: str = ""
    """``first_mes`` of the cards."""
    alternate_greetings: tuple[str, ...] = ()
    examples: str = ""
    """``mes_example`` of the cards: dialogues, each after a line ``<START>``."""
    system_prompt: str = ""
    """Stands in place of the page's own; ``{{original}}`` brings that back."""
    post_history: str = ""
    """Said after the conversation, right before the answer."""
    lorebook: Lorebook | None = None
    nickname: str = ""
    """What ``{{char}}`` becomes, if it is not the name."""
    tags: tuple[str, ...] = ()
    creator: str = ""
    creator_notes: str = ""
    version: str = ""
    extensions: Mapping[str, Any] = field(default_factory=dict, hash=False)
    picture: bytes = field(default=b"", repr=False)
    """The file of the picture as it came; a PNG with all its chunks."""
    documents: Mapping[str, bytes] = field(default_factory=dict, compare=False, repr=False)
    """What the card said, byte for byte: by ``chara``, ``ccv3``, ``json`` or ``yaml``."""

    def __post_init__(self) -> None:
        if not self.name.strip() or len(self.name) > LONGEST_NAME:
            raise NoCharacterName(limit=LONGEST_NAME)
        for name, text in self._texts():
            if len(text) > LONGEST_FIELD:
                raise LongField(field=name, length=f"{len(text):,}", limit=f"{LONGEST_FIELD:,}")
        if self.lorebook and len(self.lorebook.entries) > MOST_ENTRIES:
            raise ManyEntries(count=f"{len(self.lorebook.entries):,}", limit=f"{MOST_ENTRIES:,}")

    def _texts(self) -> list[tuple[str, str]]:
        plain = (
            "description", "personality", "scenario", "greeting", "examples", "system_prompt",
            "post_history", "nickname", "creator", "creator_notes", "version",
        )  # fmt: skip
        found = [(name, getattr(self, name)) for name in plain]
        found += [("alternate_greetings", text) for text in self.alternate_greetings]
        entries = self.lorebook.entries if self.lorebook else ()
        return found + [("lorebook", entry.content) for entry in entries]

    @property
    def called(self) -> str:
        """What ``{{char}}`` becomes."""
        return self.nickname.strip() or self.name

    @property
    def greetings(self) -> tuple[str, ...]:
        """The greeting and the alternate ones."""
        return tuple(text for text in (self.greeting, *self.alternate_greetings) if text.strip())
