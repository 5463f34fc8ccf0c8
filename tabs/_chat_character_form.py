"""Writing a character: its fields as texts, and texts as a character again.

What the form does not show, and what was not changed in it, stays as it came. Knows
nothing of where characters are kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import gradio as gr

from tabs._words import label
from workbench.chat.character import Character, Entry, Lorebook
from workbench.chat.pictures import check_picture

SEPARATOR = "====="
ALWAYS = "*"
PLAIN = (
    "name", "description", "personality", "scenario", "greeting", "alternate_greetings",
    "examples", "system_prompt", "post_history", "lorebook", "tags", "creator",
    "creator_notes", "nickname", "version",
)  # fmt: skip
LINES = {
    "description": 5, "personality": 2, "scenario": 2, "greeting": 3, "alternate_greetings": 3,
    "examples": 6, "system_prompt": 3, "post_history": 2, "lorebook": 6, "creator_notes": 2,
}  # fmt: skip
RARE = ("system_prompt", "post_history", "creator", "creator_notes", "nickname", "version")
EXPLAINED = ("alternate_greetings", "examples", "lorebook", "system_prompt", "post_history")


def build_fields() -> list[Any]:
    """The widgets, in the order of ``PLAIN``, and last the one for a picture."""
    made: dict[str, Any] = {}
    for name in (one for one in PLAIN if one not in RARE):
        made[name] = _field(name)
    with gr.Accordion(label("character.rare"), open=False):
        for name in RARE:
            made[name] = _field(name)
    picture = gr.File(label=label("character.picture"), height=140, elem_id="character-picture")
    return [*(made[name] for name in PLAIN), picture]


def _field(name: str) -> Any:
    return gr.Textbox(
        label=label(f"character.{name}"),
        info=label(f"character.{name}_info") if name in EXPLAINED else None,
        lines=LINES.get(name, 1),
        max_lines=max(LINES.get(name, 1) * 3, 1),
        elem_id=f"character-{name.replace('_', '-')}",
    )


def values_of(character: Character | None) -> list[Any]:
    """What stands in the widgets; empty for a new character."""
    if character is None:
        return ["" for _ in PLAIN] + [None]
    return [_text(character, name) for name in PLAIN] + [None]


def character_of(values: Sequence[Any], before: Character | None) -> Character:
    """The character that the widgets say.

    Args:
        before: whom the widgets were filled with.

    Raises:
        NoCharacterName, LongField, ManyEntries, CardTooLarge, BrokenCard.
    """
    texts = {name: (value or "") for name, value in zip(PLAIN, values[: len(PLAIN)], strict=True)}
    start = before or Character(name=texts["name"].strip() or "?")
    changed: dict[str, Any] = {}
    for name, text in texts.items():
        if _lines(_text(start, name)) != _lines(text):
            changed[name] = _value(name, text, start)
    if before is None:
        changed["name"] = texts["name"].strip()
    if path := values[len(PLAIN)]:
        changed["picture"] = check_picture(Path(path).read_bytes(), Path(path).name)
    return replace(start, **changed)


def _text(character: Character, name: str) -> str:
    value = getattr(character, name)
    if name == "alternate_greetings":
        return f"\n{SEPARATOR}\n".join(value)
    if name == "tags":
        return ", ".join(value)
    if name == "lorebook":
        entries = value.entries if value else ()
        return f"\n{SEPARATOR}\n".join(map(_entry_text, entries))
    return str(value)


def _value(name: str, text: str, before: Character) -> Any:
    if name == "alternate_greetings":
        return tuple(part.strip() for part in _parts(text))
    if name == "tags":
        return tuple(part.strip() for part in text.replace("，", ",").split(",") if part.strip())
    if name == "lorebook":
        return _book(text, before.lorebook)
    return text.strip() if name in ("name", "nickname") else text


def _parts(text: str) -> list[str]:
    """What stands between lines of ``=====``."""
    parts: list[list[str]] = [[]]
    for line in _lines(text).split("\n"):
        if line.strip() == SEPARATOR:
            parts.append([])
        else:
            parts[-1].append(line)
    return [joined for part in parts if (joined := "\n".join(part)).strip()]


def _entry_text(entry: Entry) -> str:
    """The keys in the first line, after a star if it is always told; then the content."""
    keys = ", ".join(entry.keys)
    return f"{ALWAYS + ' ' if entry.constant else ''}{keys}\n{entry.content}"


def _book(text: str, before: Lorebook | None) -> Lorebook | None:
    """The book with these entries; one that was there keeps all that the form does not show."""
    known: dict[str, list[Entry]] = {}
    for entry in before.entries if before else ():
        known.setdefault(_head(_entry_text(entry)), []).append(entry)
    entries: list[Entry] = []
    for part in _parts(text):
        head, _, content = part.strip("\n").partition("\n")
        same = known.get(_head(head))
        old = same.pop(0) if same else None
        entries.append(_entry(head, content, old, len(entries)))
    if not entries and before is None:
        return None
    return replace(before or Lorebook(), entries=tuple(entries))


def _entry(head: str, content: str, old: Entry | None, at: int) -> Entry:
    if old is not None:
        same = _lines(old.content) == content
        return old if same else replace(old, content=content)
    constant = head.strip().startswith(ALWAYS)
    words = head.strip().removeprefix(ALWAYS).replace("，", ",").replace("、", ",")
    keys = tuple(key.strip() for key in words.split(",") if key.strip())
    return Entry(keys=keys, content=content, constant=constant, insertion_order=100 + at)


def _head(text: str) -> str:
    return _lines(text).split("\n", 1)[0].strip()


def _lines(text: str) -> str:
    """Line ends as browsers send them."""
    return text.replace("\r\n", "\n").replace("\r", "\n")
