"""Why an item is dropped: the rules, each with the exact characters that decided.

A rule looks at one item and at nothing else; what was kept before is the autopsy's affair.
Change a rule and the saved replies can be read again without paying. This module asks nobody.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal

from workbench.errors import BadPromptRecipe, OutOfRange
from workbench.language import HAN, LETTER, telling
from workbench.prompts.parsing import Item
from workbench.signs import HEAD, TAIL, cut, judged, pattern, script

Part = Literal["instruction", "input", "output", "reply"]
RULES = (
    "no_parse", "no_instruction", "no_output", "truncated", "too_short", "media", "refused",
    "declined", "echo", "simplified", "written", "mixed", "language", "duplicate", "meaning",
)  # fmt: skip
"""In the order in which they are asked; the first that says no is the reason."""
TAGS = ("low_score",)
"""Said of rows that stay: judged below the threshold."""
EXPECTED = ("any", "cantonese", "written")


@dataclass(frozen=True)
class Rules:
    """What a row must be. Everything here can be changed after the replies have been paid for."""

    register: str = "any"
    """any, cantonese or written. Neutral is never a fault."""
    mixed: bool = True
    """Keep Cantonese with written Chinese in it."""
    simplified: bool = True
    """Drop an item with Simplified characters, where Cantonese is expected."""
    min_characters: int = 3
    """An instruction with fewer characters is too short."""
    min_output: int = 1
    media: bool = True
    """Drop tasks that ask for pictures, sounds or actions."""
    refused: bool = True
    truncated: bool = True
    echo: bool = True
    """Drop an answer that is its own input or instruction."""
    duplicate: float = 0.6
    """Drop an instruction this alike to a seed or a kept one (character n-grams); 0: off."""
    meaning: float = 0.0
    """The same by embeddings, a cosine; 0: off."""
    decline: str = ""
    """Words with which a teacher is told to decline an item that should not be made."""

    def __post_init__(self) -> None:
        if self.register not in EXPECTED:
            allowed = ", ".join(EXPECTED)
            raise BadPromptRecipe(reason=f"register must be one of {allowed}")
        if self.duplicate and not 0.3 <= self.duplicate <= 1:
            raise OutOfRange(field="duplicate", value=self.duplicate, low=0.3, high=1)
        if self.meaning and not 0.3 <= self.meaning <= 1:
            raise OutOfRange(field="meaning", value=self.meaning, low=0.3, high=1)
        for name in ("min_characters", "min_output"):
            value = getattr(self, name)
            if not 0 <= value <= 10_000:
                raise OutOfRange(field=name, value=value, low=0, high=10_000)

    @classmethod
    def of(cls, *said: Mapping[str, Any]) -> Rules:
        """Defaults changed by several mappings, the later beats the earlier.

        Raises:
            BadPromptRecipe: a name or a type that is not known.
        """
        merged: dict[str, Any] = {}
        kinds = {one.name: type(getattr(cls, one.name)) for one in fields(cls)}
        for name, value in (pair for some in said for pair in some.items()):
            if name not in kinds:
                raise BadPromptRecipe(reason=f"there is no rule called {name}")
            kind = kinds[name]
            fits = isinstance(value, kind) or (kind is float and isinstance(value, int))
            if not fits or (isinstance(value, bool) and kind is not bool):
                raise BadPromptRecipe(reason=f"the rule {name} cannot be {value!r}")
            merged[name] = kind(value)
        return cls(**merged)


@dataclass(frozen=True)
class Reason:
    """Why an item is dropped: a rule, and where it saw it."""

    rule: str
    part: Part = "reply"
    start: int = 0
    end: int = 0
    """Code points in that part."""
    fact: str = ""
    """The characters themselves, or what a number says."""
    near: str = ""
    """The id of the row or seed that it repeats."""
    similarity: float = 0.0


def look(item: Item, rules: Rules, needs_output: bool = True) -> Reason | None:
    """The first rule that drops this item by itself, if one does."""
    if item.problem is not None:
        if item.problem == "cut":
            return Reason("truncated", "reply", 0, item.end - item.start)
        if item.problem != "no_output" or needs_output:
            return Reason(item.problem, "reply", 0, item.end - item.start)
    for check in _CHECKS:
        if reason := check(item, rules):
            return reason if needs_output or reason.part != "output" else None
    return None


def _at(rule: str, part: Part, text: str, span: tuple[int, int], fact: str = "") -> Reason:
    return Reason(rule, part, *span, fact or text[span[0] : span[1]])


def _too_short(item: Item, rules: Rules) -> Reason | None:
    if len(item.instruction) < rules.min_characters:
        return _at("too_short", "instruction", item.instruction, (0, len(item.instruction)))
    if item.output and len(item.output) < rules.min_output:
        return _at("too_short", "output", item.output, (0, len(item.output)))
    return None


def _media(item: Item, rules: Rules) -> Reason | None:
    found = pattern("asks_media").search(item.instruction) if rules.media else None
    return _at("media", "instruction", item.instruction, found.span()) if found else None


def _declined(item: Item, rules: Rules) -> Reason | None:
    """The teacher said, in the words it was given, that this one should not be made."""
    at = item.output.find(rules.decline) if rules.decline else -1
    if at < 0 or at > HEAD:
        return None
    return _at("declined", "output", item.output, (at, len(item.output)))


def _refused(item: Item, rules: Rules) -> Reason | None:
    if not rules.refused:
        return None
    found = pattern("refusals").search(item.output[:HEAD])
    if not found and not pattern("asks_who").search(item.instruction):
        found = pattern("as_an_ai").search(item.output)
    return _at("refused", "output", item.output, found.span()) if found else None


def _cut(item: Item, rules: Rules) -> Reason | None:
    if not rules.truncated or not TAIL.search(item.output):
        return None
    found = cut(item.output)
    return _at("truncated", "output", item.output, found[1:]) if found else None


def _echo(item: Item, rules: Rules) -> Reason | None:
    if not rules.echo or not item.output:
        return None
    said = "".join(item.output.split())
    for given in (item.input, item.instruction):
        if said == "".join(given.split()):
            return _at("echo", "output", item.output, (0, len(item.output)))
    return None


def _texts(item: Item) -> list[tuple[Part, str]]:
    """The parts that must be in the register; of a task about languages only the task."""
    spared = pattern("speaks_of_language").search(item.instruction)
    parts: list[tuple[Part, str]] = [("instruction", item.instruction)]
    return parts if spared else [*parts, ("output", item.output)]


def _simplified(item: Item, rules: Rules) -> Reason | None:
    if not rules.simplified or rules.register != "cantonese":
        return None
    for part, text in _texts(item):
        if found := script("simplified").search(text):
            shown = "".join(dict.fromkeys(script("simplified").findall(text)))[:12]
            return _at("simplified", part, text, found.span(), shown)
    return None


def _register(item: Item, rules: Rules) -> Reason | None:
    """Another register than expected, with the words that gave it away."""
    if rules.register == "any":
        return None
    wrong = "written" if rules.register == "cantonese" else "cantonese"
    for part, text in _texts(item):
        if not text:
            continue
        found = judged(text)
        if found == "other":
            if part == "output" or HAN.search(text) is None:
                first = _letters.search(text)
                return _at("language", part, text, first.span() if first else (0, len(text)))
            continue
        if found == wrong or (found == "mixed" and not rules.mixed):
            spans = telling(text, wrong) or [(0, len(text))]  # type: ignore[arg-type]
            shown = "".join(dict.fromkeys(text[start:end] for start, end in spans))[:12]
            return _at(found if found == "mixed" else "written", part, text, spans[0], shown)
    return None


_letters = re.compile(rf"{LETTER.pattern}(?:.{{0,28}}{LETTER.pattern})?")

_CHECKS: tuple[Callable[[Item, Rules], Reason | None], ...] = (
    _too_short, _media, _declined, _refused, _cut, _echo, _simplified, _register,
)  # fmt: skip
