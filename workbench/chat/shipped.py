"""The characters that come with the house."""

from __future__ import annotations

from workbench.chat.character import Character


def shipped() -> tuple[Character, ...]:
    """Every shipped character, Karen first."""
    return (Character(name="Karen", description="女朋友"),)
