"""Scoring whole conversations: those that are kept in a file, and those a script makes.

Joins scripts, voices and the rules; knows neither pages nor the command line.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Generator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from workbench.chat import store
from workbench.chat.character import Character
from workbench.chat.conversation import Conversation
from workbench.chat.duo import Answered, ChatRequest, Voice, chat
from workbench.chat.in_character import Score, score
from workbench.chat.messages import ROLES, Message
from workbench.chat.scripts import Said, Script, Speak, Talk, follow
from workbench.chat.shipped import ORDER, shipped
from workbench.errors import NoSuchCharacter, NotATalk, Stopped, WorkbenchError
from workbench.events import Failed, Progress
from workbench.models.pool import ModelPool
from workbench.models.reference import ModelReference
from workbench.models.sampling import PRESETS, SamplingOptions
from workbench.workspace import Workspace

ANSWER_TOKENS = 96
LARGEST = 20_000_000


@dataclass(frozen=True)
class ScoreRequest:
    """A script for some voices."""

    script: Script
    character: Character
    voices: tuple[Voice, ...]
    options: SamplingOptions = field(
        default_factory=lambda: SamplingOptions(
            **{**asdict(PRESETS["gentle"]), "max_new_tokens": ANSWER_TOKENS}
        )
    )
    system: str = ""

    @property
    def models(self) -> tuple[ModelReference, ...]:
        """Of the voices."""
        return tuple(voice.reference for voice in self.voices)


@dataclass(frozen=True)
class Judged:
    """What one voice said, and how well it stayed in character."""

    voice: str
    talk: Talk
    score: Score

    def document(self) -> dict[str, Any]:
        """Plain data for a file."""
        return {
            "voice": self.voice,
            "total": self.score.total,
            "answers": self.score.answers,
            "rules": [asdict(rule) for rule in self.score.rules],
            "messages": [message.as_dict() for message in self.talk],
        }


def run(
    request: ScoreRequest, pool: ModelPool, stop: threading.Event
) -> Generator[Progress | Said, None, tuple[Judged, ...]]:
    """Follow the script with every voice, then score what each said.

    Raises:
        Stopped, and whatever keeps a voice from answering.
    """
    names = [str(voice.reference) for voice in request.voices]
    speak = spoken(request, pool, stop)
    talks = yield from follow(request.script, request.character, len(names), speak)
    return judged(request.character, dict(zip(names, talks, strict=True)), request.script.user)


def judged(character: Character, talks: dict[str, Talk], user: str = "") -> tuple[Judged, ...]:
    """Score the conversation of every voice."""
    return tuple(Judged(voice, talk, score(character, talk, user)) for voice, talk in talks.items())


def spoken(request: ScoreRequest, pool: ModelPool, stop: threading.Event) -> Speak:
    """Ask the voices as the page does: framed by the character, base and tuned in one pass."""

    def speak(talks: Sequence[Talk]) -> Generator[Progress, None, Sequence[str]]:
        asked = ChatRequest(
            voices=request.voices,
            talks=tuple(talks),
            options=request.options,
            system=request.system,
            character=request.character,
            user=request.script.user,
        )
        answers = [""] * len(talks)
        for event in chat(asked, pool, stop):
            if isinstance(event, Failed):
                raise event.error
            if isinstance(event, Progress):
                yield event
            elif isinstance(event, Answered):
                answers[event.voice] = event.text
        if stop.is_set():
            raise Stopped
        return answers

    return speak


def talks_of(conversation: Conversation) -> dict[str, Talk]:
    """The open branch as each voice knows it."""
    voices = {answer.voice: None for turn in conversation.path() for answer in turn.answers}
    return {voice: tuple(conversation.messages(voice)) for voice in voices}


def read_talks(raw: bytes, name: str) -> tuple[dict[str, Talk], str]:
    """The conversations in a file: one that the page saved, or rows of ``messages``.

    Returns:
        The conversation of each voice (or row), and the name of the character, if it is told.

    Raises:
        NotATalk: there is none in it.
    """
    if len(raw) > LARGEST:
        raise NotATalk(name=name, reason="it is too large")
    try:
        text = raw.decode("utf-8-sig")
        rows = _documents(text)
        if len(rows) == 1 and "turns" in rows[0]:
            conversation = Conversation.of(rows[0])
            return talks_of(conversation), conversation.character
        talks = {
            str(row.get("voice") or row.get("model") or f"{name}:{at}"): _talk(row)
            for at, row in enumerate(rows, 1)
        }
    except WorkbenchError:
        raise
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise NotATalk(name=name, reason="it holds no conversation that is known here") from error
    if not talks:
        raise NotATalk(name=name, reason="it is empty")
    return talks, str(rows[0].get("character") or "")


def known_character(name: str, workspace: Workspace) -> Character:
    """A character by name: shipped, of the workspace, or the path of a card.

    Raises:
        NoSuchCharacter, and what ``read_card`` raises.
    """
    for key, one in zip(ORDER, shipped(), strict=True):
        if name.lower() in (key, one.name.lower()):
            return one
    if Path(name).suffix.lower() in store.ENDINGS:
        return store.read_file(Path(name))
    if not name:
        raise NoSuchCharacter(name="–")
    return store.load(name, workspace)


def _documents(text: str) -> list[dict[str, Any]]:
    """One JSON document, or one a line."""
    try:
        whole = json.loads(text)
    except ValueError:
        return [json.loads(line) for line in text.splitlines() if line.strip()]
    return whole if isinstance(whole, list) else [whole]


def _talk(row: dict[str, Any]) -> Talk:
    said = [one for one in row["messages"] if one["role"] in ROLES]
    return tuple(Message(one["role"], str(one["content"] or "")) for one in said)
