"""Character cards, in and out."""

from __future__ import annotations

from typing import Literal

from workbench.chat.character import Character

Form = Literal["png-v2", "png-v3", "json-v2", "json-v3", "yaml"]


def read_card(raw: bytes, filename: str) -> Character:
    """A character from the bytes of a card."""
    raise NotImplementedError


def write_card(character: Character, form: Form) -> bytes:
    """The bytes of a card."""
    raise NotImplementedError
