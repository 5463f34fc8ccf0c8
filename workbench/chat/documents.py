"""The JSON of character cards, versions 1, 2 and 3: fields out, and changes put back in.

A document is never rebuilt: what was changed is laid over a copy of what came, so keys
that are not known here, their order and their values stay. This module does not know
which file a document came in.

After the Character Card V2 specification (malfoyslastname/character-card-spec-v2) and V3
(kwaroran/character-card-spec-v3).
"""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from typing import Any, Literal, get_args

from workbench.chat.character import Character, Entry, Lorebook
from workbench.errors import BrokenCard, NotACard

Spec = Literal["v1", "v2", "v3"]
Form = Literal["png-v2", "png-v3", "json-v2", "json-v3", "yaml"]
"""The files a card goes out in."""
FORMS: tuple[Form, ...] = get_args(Form)
Document = dict[str, Any]
DEEPEST = 100
SPECS = {"v2": ("chara_card_v2", "2.0"), "v3": ("chara_card_v3", "3.0")}
KEYS = {
    "name": "name",
    "description": "description",
    "personality": "personality",
    "scenario": "scenario",
    "greeting": "first_mes",
    "examples": "mes_example",
    "creator_notes": "creator_notes",
    "system_prompt": "system_prompt",
    "post_history": "post_history_instructions",
    "alternate_greetings": "alternate_greetings",
    "lorebook": "character_book",
    "tags": "tags",
    "creator": "creator",
    "version": "character_version",
    "nickname": "nickname",
    "extensions": "extensions",
}
"""Our names and the names in ``data``."""
FLAT = {
    "name": ("name", "char_name", "bot"),
    "description": ("description", "char_persona", "persona"),
    "personality": ("personality",),
    "scenario": ("scenario", "world_scenario"),
    "greeting": ("first_mes", "char_greeting", "greeting"),
    "examples": ("mes_example", "example_dialogue"),
}
"""What a version 1 card has, and what it is called in cards of other programs."""
LISTS = ("alternate_greetings", "tags")
ENTRY = {
    "keys": "keys",
    "content": "content",
    "secondary_keys": "secondary_keys",
    "selective": "selective",
    "enabled": "enabled",
    "constant": "constant",
    "case_sensitive": "case_sensitive",
    "use_regex": "use_regex",
    "insertion_order": "insertion_order",
    "priority": "priority",
    "position": "position",
    "name": "name",
}
BOOK = {
    "name": "name",
    "scan_depth": "scan_depth",
    "token_budget": "token_budget",
    "recursive": "recursive_scanning",
}
POSITIONS = {"before": "before_char", "after": "after_char"}


def load(raw: bytes, name: str) -> Document:
    """The object in some JSON text.

    Raises:
        BrokenCard, NotACard.
    """
    try:
        document = json.loads(raw.decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise BrokenCard(name=name, reason="it is not whole JSON in UTF-8") from error
    if not isinstance(document, dict):
        raise NotACard(name=name)
    if _too_deep(document):
        raise BrokenCard(name=name, reason="it is nested too deeply")
    return document


def dump(document: Document, indent: int | None = None) -> bytes:
    """JSON in UTF-8; escapes only where a lone surrogate leaves no other way."""
    text = json.dumps(document, ensure_ascii=False, indent=indent, skipkeys=True, default=str)
    try:
        return text.encode()
    except UnicodeEncodeError:
        return json.dumps(document, indent=indent, skipkeys=True, default=str).encode()


def spec_of(document: Document) -> Spec:
    """Which version a document says it is."""
    if not isinstance(document.get("data"), dict):
        return "v1"
    return "v3" if document.get("spec") == SPECS["v3"][0] else "v2"


def fields_of(document: Document) -> dict[str, Any]:
    """What a document says, as the arguments of ``Character``.

    A value of the wrong type counts as missing, and stays in the document.
    """
    holder, keys = _held(document)
    found: dict[str, Any] = {}
    for ours, theirs in keys.items():
        value = holder.get(theirs)
        if ours in LISTS:
            found[ours] = _texts(value)
        elif ours == "extensions":
            found[ours] = value if isinstance(value, dict) else {}
        elif ours == "lorebook":
            found[ours] = _book(value) if isinstance(value, dict) else None
        else:
            found[ours] = _text(value)
    return found


def laid_over(document: Document, character: Character) -> Document:
    """The document with whatever the character says differently; itself if nothing."""
    said = fields_of(document)
    changed = [ours for ours, value in said.items() if getattr(character, ours) != value]
    if not changed:
        return document
    new = copy.deepcopy(document)
    holder, keys = _held(new)
    for ours in changed:
        holder[keys[ours]] = _plain(ours, getattr(character, ours))
        # Some programs keep the fields of version 1 beside ``data``.
        for other in FLAT.get(ours, ()):
            if holder is not new and other in new:
                new[other] = holder[keys[ours]]
    return new


def converted(document: Document, spec: Spec, character: Character) -> Document:
    """A document of another version that keeps every key of this one."""
    new = copy.deepcopy(document)
    data = new.pop("data", None)
    new["spec"], new["spec_version"] = SPECS[spec]
    new["data"] = _defaults(spec) | (data if isinstance(data, dict) else {})
    return laid_over(new, character)


def _defaults(spec: Spec) -> Document:
    """Every key that a version asks for."""
    data: Document = {key: "" for key in KEYS.values() if key not in ("nickname", "character_book")}
    data |= {"alternate_greetings": [], "tags": [], "extensions": {}}
    return data | ({"group_only_greetings": []} if spec == "v3" else {})


def _held(document: Document) -> tuple[Document, Mapping[str, str]]:
    """Where the fields lie, and what they are called there."""
    data = document.get("data")
    if isinstance(data, dict):
        return data, KEYS
    found = {
        ours: next((name for name in names if name in document), names[0])
        for ours, names in FLAT.items()
    }
    return document, found


def _book(raw: Document) -> Lorebook:
    entries = raw.get("entries")
    return Lorebook(
        entries=tuple(_entry(one) for one in entries if isinstance(one, dict))
        if isinstance(entries, list)
        else (),
        name=_text(raw.get("name")),
        scan_depth=_whole(raw.get("scan_depth")),
        token_budget=_whole(raw.get("token_budget")),
        recursive=raw.get("recursive_scanning") is True,
        raw={key: value for key, value in raw.items() if key != "entries"},
    )


def _entry(raw: Document) -> Entry:
    return Entry(
        keys=_texts(raw.get("keys")),
        content=_text(raw.get("content")),
        secondary_keys=_texts(raw.get("secondary_keys")),
        selective=raw.get("selective") is True,
        enabled=raw.get("enabled") is not False,
        constant=raw.get("constant") is True,
        case_sensitive=raw.get("case_sensitive") is True,
        use_regex=raw.get("use_regex") is True,
        insertion_order=_whole(raw.get("insertion_order"), 100) or 0,
        priority=_whole(raw.get("priority"), 0) or 0,
        position="before" if raw.get("position") == "before_char" else "after",
        name=_text(raw.get("name")) or _text(raw.get("comment")),
        raw=raw,
    )


def _plain(ours: str, value: Any) -> Any:
    """A field of ours as JSON has it."""
    if ours in LISTS:
        return list(value)
    if ours == "lorebook":
        return None if value is None else _plain_book(value)
    return dict(value) if isinstance(value, Mapping) else value


def _plain_book(book: Lorebook) -> Document:
    said = _book({**book.raw, "entries": []})
    new = _laid(dict(book.raw), BOOK, said, book)
    new.setdefault("extensions", {})
    new["entries"] = [_plain_entry(entry) for entry in book.entries]
    return new


def _plain_entry(entry: Entry) -> Document:
    raw = dict(entry.raw)
    new = _laid(raw, ENTRY, _entry(raw), entry)
    needed = ("keys", "content", "enabled", "insertion_order")
    for ours in needed:
        new.setdefault(ENTRY[ours], _entry_value(ours, getattr(entry, ours)))
    new.setdefault("extensions", {})
    return new


def _laid(raw: Document, keys: Mapping[str, str], said: Any, wanted: Any) -> Document:
    for ours, theirs in keys.items():
        if getattr(said, ours) != getattr(wanted, ours):
            raw[theirs] = _entry_value(ours, getattr(wanted, ours))
    return raw


def _entry_value(ours: str, value: Any) -> Any:
    if ours == "position":
        return POSITIONS[value]
    return list(value) if isinstance(value, tuple) else value


def _text(value: Any) -> str:
    """A text; lone surrogates, which nothing can show, become question marks."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return ""
    text = value if isinstance(value, str) else str(value)
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


def _texts(value: Any) -> tuple[str, ...]:
    if isinstance(value, str):
        return tuple(part.strip() for part in value.split(",") if part.strip())
    if not isinstance(value, list):
        return ()
    return tuple(_text(one) for one in value if isinstance(one, str | int | float))


def _whole(value: Any, missing: int | None = None) -> int | None:
    """A whole number of at most a billion, either way."""
    if isinstance(value, bool) or not isinstance(value, int | float) or value != value:
        return missing
    return int(max(-1e9, min(1e9, value)))


def _too_deep(document: Any) -> bool:
    level = [document]
    for _ in range(DEEPEST):
        level = [
            inner
            for one in level
            for inner in (one.values() if isinstance(one, dict) else one)
            if isinstance(inner, dict | list)
        ]
        if not level:
            return False
    return True
