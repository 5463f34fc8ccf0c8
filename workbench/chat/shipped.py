"""The characters that come with the house: YAML in our own field names, and a picture each.

They are written by us, in Cantonese. This module does not know how they are drawn.
"""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import yaml

from workbench.chat.character import Character, Entry, Lorebook

FOLDER = Path(__file__).resolve().parents[2] / "assets" / "characters"
ORDER = ("karen", "waiter", "tram", "teacher", "detective", "assistant")


@functools.cache
def shipped() -> tuple[Character, ...]:
    """Every shipped character, Karen first."""
    return tuple(_read(FOLDER / f"{name}.yaml") for name in ORDER)


def _read(path: Path) -> Character:
    said: dict[str, Any] = yaml.safe_load(path.read_text("utf-8"))
    book = said.pop("lorebook")
    entries = tuple(
        Entry(**{**entry, "keys": tuple(entry["keys"])}) for entry in book.pop("entries")
    )
    for name in ("alternate_greetings", "tags"):
        said[name] = tuple(said[name])
    return Character(
        **said,
        lorebook=Lorebook(entries=entries, **book),
        picture=path.with_suffix(".png").read_bytes(),
    )
