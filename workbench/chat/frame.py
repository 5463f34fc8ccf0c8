"""What stands around a conversation: who answers, what that world knows, how to go on.

The system text is the card's system prompt (or the page's), the entries of the lorebook
that fired, the description, the personality and the scenario. Knows neither models nor
what happens when a conversation is too long.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from workbench.chat.character import Character
from workbench.chat.examples import dialogues
from workbench.chat.lorebook import Fired, Firing, fire
from workbench.chat.macros import expand
from workbench.chat.messages import Message

__all__ = ["Fired", "Frame", "frame", "opening"]
USER = "User"
"""Who the visitor is when they give no name."""


@dataclass(frozen=True)
class Frame:
    """The parts around the turns of a conversation."""

    system: str
    """Goes first, never cut."""
    examples: tuple[Message, ...]
    """Example dialogues as messages; dropped first, and whole."""
    after: str
    """Instructions after the conversation; never cut."""
    fired: tuple[Fired, ...]
    """Entries of the lorebook that fired and had room in its budget; they stand in ``system``."""
    left_out: tuple[Fired, ...] = ()
    """Entries that fired and had no room."""


def frame(
    character: Character | None,
    user: str,
    turns: Sequence[Message],
    system: str,
    count: Callable[[str], int],
) -> Frame:
    """Frame a conversation.

    Args:
        user: what the visitor is called.
        turns: what was said so far, oldest first; searched for the keys of the lorebook.
        system: the page's own system prompt; a card's system prompt stands in its place.
        count: how many tokens a text has.
    """
    if character is None:
        return Frame(system.strip(), (), "", ())
    user = user.strip() or USER

    def put(text: str, original: str = "") -> str:
        return expand(text, character.called, user, original, len(turns)).strip()

    said = [turn.content for turn in turns if turn.role != "system"]
    firing = fire(character.lorebook, said, count, put) if character.lorebook else Firing()
    talks = dialogues(character.examples, character.name, user, character.nickname.strip())
    parts = [
        put(character.system_prompt, system) if character.system_prompt.strip() else system,
        *(hit.text for hit in firing.fired if hit.where == "before"),
        put(character.description),
        _headed("personality", put(character.personality), character),
        _headed("scenario", put(character.scenario), character),
        *(hit.text for hit in firing.fired if hit.where == "after"),
    ]
    return Frame(
        system="\n\n".join(part.strip() for part in parts if part.strip()),
        examples=tuple(message for talk in talks for message in talk),
        after=put(character.post_history),
        fired=firing.fired,
        left_out=firing.left_out,
    )


def opening(character: Character, user: str, which: int = 0) -> str:
    """The words a character begins with: the greeting, or an alternate one; may be empty."""
    greetings = character.greetings
    if not greetings:
        return ""
    chosen = greetings[which % len(greetings)]
    return expand(chosen, character.called, user.strip() or USER).strip()


def _headed(part: str, text: str, character: Character) -> str:
    """A part under its name, in the script the character is written in."""
    if not text:
        return ""
    chinese = any("㐀" <= letter <= "鿿" for letter in character.description + text)
    heads = {"personality": ("Personality: ", "性格："), "scenario": ("Scenario: ", "場景：")}
    return heads[part][chinese] + text
