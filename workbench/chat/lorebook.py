"""Which entries of a lorebook fire on what was said, within the budget of tokens they have.

Keys are found as parts of the text, for Chinese has no spaces to find words by; a key of
Latin letters must stand as a word of its own. Knows neither cards nor models.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from workbench.chat.character import Entry, Lorebook, Where
from workbench.chat.patterns import Clock

SCAN_DEPTH = 4
TOKEN_BUDGET = 512
MOST_TOKENS = 2_000
"""No book takes more, whatever it asks for: the conversation needs room too."""
MOST_ROUNDS = 3
"""How often what fired is searched again."""
LONGEST_SCAN = 20_000
"""Characters, from the end."""
REGEX_SECONDS = 0.5
"""For the regular expressions of a book together."""
WRAPPED = re.compile(r"/(.+)/([a-z]*)", re.DOTALL)
DECORATOR = re.compile(r"^@@+[^\n]*\n?", re.MULTILINE)


@dataclass(frozen=True)
class Fired:
    """One entry that fired."""

    name: str
    tokens: int
    where: Where
    text: str = ""
    key: str = ""
    """The key that was found; empty for a constant entry."""


@dataclass(frozen=True)
class Firing:
    """What fired and had room, in the order of insertion, and what had none."""

    fired: tuple[Fired, ...] = ()
    left_out: tuple[Fired, ...] = ()


def fire(
    book: Lorebook,
    said: Sequence[str],
    count: Callable[[str], int],
    put: Callable[[str], str] = str,
) -> Firing:
    """Search the last messages for keys.

    Args:
        said: the messages, oldest first.
        count: how many tokens a text has.
        put: fills the macros of a key or a content.
    """
    depth = SCAN_DEPTH if book.scan_depth is None else book.scan_depth
    recent = "\n".join(said[-depth:])[-LONGEST_SCAN:] if depth > 0 else ""
    clock = Clock(REGEX_SECONDS)
    found: dict[int, Fired] = {}
    searched = recent
    for _ in range(MOST_ROUNDS if book.recursive else 1):
        new = {
            at: hit
            for at, entry in enumerate(book.entries)
            if at not in found and (hit := _hit(entry, searched, count, put, clock))
        }
        found |= new
        searched = "\n".join(hit.text for hit in new.values())[-LONGEST_SCAN:]
        if not new:
            break
    return _within(book, found)


def _within(book: Lorebook, found: dict[int, Fired]) -> Firing:
    """Give the room to the highest priority first, then to whoever is inserted first."""
    budget = TOKEN_BUDGET if book.token_budget is None else book.token_budget
    room = min(max(budget, 0), MOST_TOKENS)
    entries = book.entries
    kept, left = set(), []
    for at in sorted(found, key=lambda at: (-entries[at].priority, entries[at].insertion_order)):
        if found[at].tokens <= room:
            room -= found[at].tokens
            kept.add(at)
        else:
            left.append(found[at])
    order = sorted(kept, key=lambda at: (entries[at].insertion_order, at))
    return Firing(tuple(found[at] for at in order), tuple(left))


def _hit(
    entry: Entry,
    text: str,
    count: Callable[[str], int],
    put: Callable[[str], str],
    clock: Clock,
) -> Fired | None:
    if not entry.enabled:
        return None
    key = ""
    if not entry.constant:
        key = _first(entry.keys, entry, text, put, clock)
        second = not entry.selective or not entry.secondary_keys
        if not key or not (second or _first(entry.secondary_keys, entry, text, put, clock)):
            return None
    content = put(DECORATOR.sub("", entry.content)).strip()
    if not content:
        return None
    return Fired(entry.title or key, count(content), entry.position, content, key)


def _first(
    keys: Sequence[str], entry: Entry, text: str, put: Callable[[str], str], clock: Clock
) -> str:
    for key in keys:
        if key.strip() and _found(put(key.strip()), entry, text, clock):
            return key.strip()
    return ""


def _found(key: str, entry: Entry, text: str, clock: Clock) -> bool:
    if wrapped := WRAPPED.fullmatch(key):
        return clock.search(wrapped[1], text, case_sensitive="i" not in wrapped[2])
    if entry.use_regex:
        return clock.search(key, text, entry.case_sensitive)
    return _stands(key, text, entry.case_sensitive)


def _stands(key: str, text: str, case_sensitive: bool) -> bool:
    """A plain key: a part of the text, and a whole word where it begins or ends in Latin."""
    if not case_sensitive:
        key, text = key.lower(), text.lower()
    at = text.find(key)
    while at >= 0:
        end = at + len(key)
        left = _latin(key[0]) and at > 0 and _latin(text[at - 1])
        right = _latin(key[-1]) and end < len(text) and _latin(text[end])
        if not left and not right:
            return True
        at = text.find(key, at + 1)
    return False


def _latin(letter: str) -> bool:
    return letter.isascii() and (letter.isalnum() or letter == "_")
