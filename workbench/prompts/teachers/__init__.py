"""Whoever answers a prompt: Gemini, a model of this workbench, any OpenAI-compatible server.

A teacher makes one attempt and says how it went; waiting and trying again is the affair of
``weather``. A key is held in memory only: it is not part of a teacher's name, of its
representation, of an error, nor of anything that is written.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from workbench.errors import BadTeacher, NoKey, OutOfRange
from workbench.models.decoding import Stoppable

Outcome = Literal[
    "ok", "blocked", "truncated", "empty", "malformed", "429_minute", "429_day", "5xx", "timeout",
    "cut", "stopped", "lost", "wrong_key", "refused",
]  # fmt: skip
OUTCOMES: tuple[Outcome, ...] = (
    "ok", "blocked", "truncated", "empty", "malformed", "429_minute", "429_day", "5xx", "timeout",
    "cut", "stopped", "lost", "wrong_key", "refused",
)  # fmt: skip
"""``cut``: the connection broke after the request was sent; ``stopped``: the person stopped it;
``lost``: its process died while it was on its way. All three may have been paid for."""
KINDS = ("local", "gemini", "openai")
KEYS = {"gemini": ("GEMINI_API_KEY", "GOOGLE_API_KEY"), "openai": ("OPENAI_API_KEY",)}
PLACES = {
    "gemini": ("GOOGLE_GEMINI_BASE_URL", "https://generativelanguage.googleapis.com"),
    "openai": ("OPENAI_BASE_URL", "https://api.openai.com/v1"),
}
"""Where each is found when nobody says otherwise: a variable, and the public address."""
THRESHOLDS = ("default", "BLOCK_LOW_AND_ABOVE", "BLOCK_MEDIUM_AND_ABOVE", "BLOCK_ONLY_HIGH",
              "BLOCK_NONE", "OFF")  # fmt: skip
TELL_SECONDS = 0.05
MOST_REPLY = 8_000_000
"""Characters of one reply; what comes after them is not read."""

Said = Callable[[str], Any]


@dataclass(frozen=True)
class Options:
    """How a teacher is asked. Everything here changes what comes back, so it is in the hash."""

    temperature: float = 1.0
    top_p: float = 0.95
    max_tokens: int = 4096
    thinking: int = -1
    """Tokens for thinking before the answer; 0: none, -1: as the model likes (Gemini)."""
    safety: str = "default"
    """The threshold from which Gemini blocks, for all categories."""
    structured: bool = False
    """Ask for JSON by the template's schema."""
    timeout: float = 120.0
    """Seconds one attempt may take, from sending to the last character."""

    def __post_init__(self) -> None:
        for name, value, low, high in (
            ("temperature", self.temperature, 0.0, 5.0),
            ("top_p", self.top_p, 0.01, 1.0),
            ("max_tokens", self.max_tokens, 1, 131_072),
            ("thinking", self.thinking, -1, 32_768),
            ("timeout", self.timeout, 0.5, 900.0),
        ):
            if not low <= value <= high:
                raise OutOfRange(field=name, value=value, low=low, high=high)
        if self.safety not in THRESHOLDS:
            raise BadTeacher(reason=f"safety must be one of {', '.join(THRESHOLDS)}")


@dataclass(frozen=True)
class Reply:
    """How one attempt went."""

    outcome: Outcome
    text: str = ""
    finish: str = ""
    """Why the teacher ended, or blocked, in its own words."""
    tokens_in: int = 0
    tokens_out: int = 0
    """With those spent on thinking, which are paid for too."""
    seconds: float = 0.0
    wait: float = 0.0
    """Seconds after which the server wants to be asked again."""
    reason: str = ""
    """Of a failure, in a few words; never holds a key."""


class Teacher(Protocol):
    """One who answers."""

    @property
    def model(self) -> str: ...

    def ask(
        self,
        prompt: str,
        options: Options,
        schema: Mapping[str, Any] | None,
        stop: Stoppable,
        said: Said,
    ) -> Reply:
        """One attempt. ``said`` gets the whole text so far now and then, and at the end.

        Raises:
            WrongKey, RequestRefused: asking again would be in vain.
        """
        ...

    def models(self) -> list[str]:
        """What can be asked here.

        Raises:
            WrongKey, TeacherDown.
        """
        ...


@dataclass(frozen=True)
class TeacherChoice:
    """Who is to be asked: everything but the key."""

    kind: str = "local"
    """local, gemini or openai."""
    model: str = "bundled:gemma-3-270m"
    base_url: str = ""
    """Of the server; empty is the public one."""

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise BadTeacher(reason=f"the kind must be one of {', '.join(KINDS)}")
        if not self.model.strip() and self.kind == "local":
            raise BadTeacher(reason="no model is named")
        if self.base_url and not self.base_url.startswith(("http://", "https://")):
            raise BadTeacher(reason="the address must begin with http:// or https://")
        if "@" in self.base_url.split("//", 1)[-1].split("/", 1)[0] or "?" in self.base_url:
            raise BadTeacher(reason="the address must hold neither a name, a password nor a query")

    @property
    def label(self) -> str:
        return self.model.removeprefix("models/")

    @property
    def place(self) -> str:
        """The address that is asked; empty for a model of the workbench."""
        if self.kind == "local":
            return ""
        variable, public = PLACES[self.kind]
        return (self.base_url or os.environ.get(variable) or public).rstrip("/")


@dataclass(frozen=True)
class Key:
    """A secret that does not show itself."""

    value: str = field(default="", repr=False)

    def __str__(self) -> str:
        return "[hidden]" if self.value else ""

    def __bool__(self) -> bool:
        return bool(self.value)


def environment_key(choice: TeacherChoice, anywhere: bool = False) -> Key:
    """The owner's key, for the owner's own address: one typed on the page must not get it.

    Args:
        anywhere: it is the owner who names the address, at a terminal.
    """
    if choice.base_url and not anywhere:
        return Key()
    found = (os.environ.get(name, "").strip() for name in KEYS.get(choice.kind, ()))
    return Key(next((one for one in found if one), ""))


def needs_key(choice: TeacherChoice) -> bool:
    """A local server often wants none; Gemini always wants one."""
    return choice.kind == "gemini" or (choice.kind == "openai" and not choice.base_url)


def made(choice: TeacherChoice, key: Key) -> Teacher:
    """A teacher of another server.

    Raises:
        NoKey, BadTeacher.
    """
    if needs_key(choice) and not key:
        raise NoKey(teacher=choice.kind.capitalize(), variable=KEYS[choice.kind][0])
    if choice.kind == "gemini":
        from workbench.prompts.teachers.gemini import Gemini

        return Gemini(choice, key)
    if choice.kind == "openai":
        from workbench.prompts.teachers.compatible import Compatible

        return Compatible(choice, key)
    raise BadTeacher(reason="a model of the workbench needs the pool")


def without(key: Key, text: str) -> str:
    """A text in which the key cannot be read, in case a server sends it back."""
    return text.replace(key.value, "[hidden]") if key else text
