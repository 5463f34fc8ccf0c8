"""The characters of the Chat tab: look, choose, bring in, write, delete, take out."""

from __future__ import annotations

from dataclasses import dataclass

import gradio as gr

from tabs._shared import House
from workbench.chat.character import Character
from workbench.chat.shipped import shipped
from workbench.errors import NoSuchCharacter

NOBODY = ""


@dataclass(frozen=True)
class Characters:
    """What the rest of the tab needs: who is chosen."""

    house: House
    chosen: gr.State
    """The key of the chosen character, ``NOBODY`` for none; changes when another is chosen."""

    def find(self, request: gr.Request, key: str) -> Character | None:
        """The character with this key, of those shipped and those of the visitor.

        Raises:
            NoSuchCharacter.
        """
        if key == NOBODY:
            return None
        self.house.workspace(request)
        for one in shipped():
            if f"shipped:{one.name}" == key:
                return one
        raise NoSuchCharacter(name=key[:80])


def build_characters(house: House, language: gr.Textbox, tab: gr.Tab) -> Characters:  # noqa: ARG001
    """Draw the part and wire it."""
    return Characters(house, gr.State(NOBODY))
