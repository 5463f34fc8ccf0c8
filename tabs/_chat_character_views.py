"""A character as HTML: the picture, how they greet, and everything the card says.

Whatever a card says is escaped, and pictures are small copies made here, so nothing of a
stranger's card is ever fetched or run. Does not know widgets.
"""

from __future__ import annotations

import functools
from html import escape

from tabs._shared import notice
from tabs._words import say
from workbench.chat.character import Character, Entry
from workbench.chat.frame import USER, opening
from workbench.chat.macros import expand
from workbench.chat.pictures import thumbnail

SHOWN = 4_000
"""Characters of one field that the page shows; the whole text is in the form."""
MOST_ENTRIES = 40
REMEMBERED = 100_000
"""Bytes of a picture whose small copy is kept, as those of the house are."""
FIELDS = (
    "description", "personality", "scenario", "examples", "system_prompt", "post_history",
)  # fmt: skip


def character_view(language: str, character: Character | None) -> str:
    """The chosen character as a card; a hint for none."""
    if character is None:
        return notice("info", say(language, "character.nobody_info"))
    greetings = [
        f'<div class="tri-turn tri-assistant"><p>{_short(opening(character, "", at))}</p></div>'
        for at in range(len(character.greetings))
    ]
    tags = "".join(
        f'<span class="tri-chip">{_short(tag, 40)}</span>' for tag in character.tags[:12]
    )
    by = say(language, "character.by", creator=character.creator[:80]) if character.creator else ""
    return (
        f'<article class="tri-character"><img src="{picture(character)}" alt="">'
        f"<div><h3>{escape(character.name)}</h3>"
        f'<p class="tri-quiet">{escape(by)}</p><p>{tags}</p>'
        f"<p>{_short(character.creator_notes, 600)}</p>{greetings[0] if greetings else ''}"
        f"{_more_greetings(language, greetings[1:])}{_details(language, character)}</div></article>"
    )


def picture(character: Character) -> str:
    """A small copy of the picture as a ``data:`` address."""
    draw = _remembered if len(character.picture) <= REMEMBERED else thumbnail
    return draw(character.picture, character.name)


_remembered = functools.lru_cache(maxsize=32)(thumbnail)


def _more_greetings(language: str, greetings: list[str]) -> str:
    if not greetings:
        return ""
    title = escape(say(language, "character.more_greetings", count=len(greetings)))
    return f"<details><summary>{title}</summary>{''.join(greetings)}</details>"


def _details(language: str, character: Character) -> str:
    parts = []
    for name in FIELDS:
        if text := getattr(character, name).strip():
            filled = expand(text, character.called, USER)
            head = escape(say(language, f"character.{name}"))
            parts.append(f"<h4>{head}</h4><p>{_short(filled)}</p>")
    if character.lorebook and character.lorebook.entries:
        parts.append(f"<h4>{escape(say(language, 'character.lorebook'))}</h4>")
        parts.append(f"<ul>{_entries(language, character)}</ul>")
    if not parts:
        return ""
    title = escape(say(language, "character.card"))
    return f'<details id="character-card"><summary>{title}</summary>{"".join(parts)}</details>'


def _entries(language: str, character: Character) -> str:
    book = character.lorebook
    entries = book.entries if book else ()
    lines = [
        f"<li><b>{_when(language, entry)}</b> {_short(_filled(entry, character), 400)}</li>"
        for entry in entries[:MOST_ENTRIES]
    ]
    if (more := len(entries) - MOST_ENTRIES) > 0:
        lines.append(f"<li>{escape(say(language, 'rows.more', count=f'{more:,}'))}</li>")
    return "".join(lines)


def _filled(entry: Entry, character: Character) -> str:
    return expand(entry.content, character.called, USER)


def _when(language: str, entry: Entry) -> str:
    """The keys at which an entry is told."""
    if not entry.enabled:
        return escape(say(language, "character.entry_off"))
    if entry.constant:
        return escape(say(language, "character.entry_always"))
    return _short("、".join(entry.keys) or entry.name, 120)


def _short(text: str, most: int = SHOWN) -> str:
    cut = text if len(text) <= most else text[:most] + " …"
    return escape(cut)
