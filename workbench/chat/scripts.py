"""Scripted roleplay: the same turns of the user to every voice, so that they can be compared.

A script is YAML: ``character``, ``turns``, and what the user is called. This module does
not know who answers: it is handed a function that does.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from workbench.chat.character import Character
from workbench.chat.frame import opening
from workbench.chat.messages import Message
from workbench.errors import NoScript
from workbench.events import Progress

FOLDER = Path(__file__).resolve().parents[2] / "assets" / "chat" / "scripts"
MOST_TURNS = 100
LONGEST_TURN = 4_000

Talk = tuple[Message, ...]
Speak = Callable[[Sequence[Talk]], Generator[Progress, None, Sequence[str]]]
"""The conversation of every voice so far, the user's turn last; every answer is returned."""


@dataclass(frozen=True)
class Script:
    """What the user says, whatever is answered.

    Raises:
        NoScript: there are no turns, or too many, or one is empty or too long.
    """

    name: str
    turns: tuple[str, ...]
    character: str = ""
    """The name of the character it was written for."""
    user: str = ""

    def __post_init__(self) -> None:
        if not 0 < len(self.turns) <= MOST_TURNS:
            reason = f"it has {len(self.turns)} turns, and 1 to {MOST_TURNS} are followed"
            raise NoScript(name=self.name, reason=reason)
        for at, turn in enumerate(self.turns, 1):
            if not turn.strip() or len(turn) > LONGEST_TURN:
                raise NoScript(name=self.name, reason=f"turn {at} is empty or too long")


@dataclass(frozen=True)
class Said:
    """One turn was answered by every voice."""

    turn: int
    """From 1."""
    turns: int
    asked: str
    answers: tuple[str, ...]


def follow(
    script: Script, character: Character | None, voices: int, speak: Speak
) -> Generator[Progress | Said, None, tuple[Talk, ...]]:
    """Say every turn to every voice; each voice goes on with its own answers.

    Returns:
        The conversation of each voice, the greeting first if the character has one.
    """
    greeting = opening(character, script.user) if character else ""
    head = (Message("assistant", greeting),) if greeting else ()
    talks: list[Talk] = [head] * voices
    for at, turn in enumerate(script.turns, 1):
        talks = [(*talk, Message("user", turn)) for talk in talks]
        answers = tuple((yield from speak(talks)))
        talks = [
            (*talk, Message("assistant", answer))
            for talk, answer in zip(talks, answers, strict=True)
        ]
        yield Said(at, len(script.turns), turn, answers)
    return tuple(talks)


def read_script(raw: bytes, name: str) -> Script:
    """A script from YAML.

    Raises:
        NoScript.
    """
    try:
        tree: Any = yaml.safe_load(raw.decode("utf-8-sig"))
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise NoScript(name=name, reason="it is not YAML in UTF-8") from error
    turns = tree.get("turns") if isinstance(tree, dict) else tree
    if not isinstance(turns, list):
        raise NoScript(name=name, reason="it has no list of turns")
    said = tree if isinstance(tree, dict) else {}
    return Script(
        name=name,
        turns=tuple(str(turn).strip() for turn in turns),
        character=str(said.get("character") or ""),
        user=str(said.get("user") or ""),
    )


def shipped_scripts() -> dict[str, Script]:
    """The scripts that come with the house, by name."""
    paths = sorted(FOLDER.glob("*.yaml"))
    return {path.stem: read_script(path.read_bytes(), path.stem) for path in paths}
