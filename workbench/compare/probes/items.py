"""What can be asked: the kinds of probe items, each checked when it is made.

This module does not know files, models or grades. A field that is wrong raises ``ValueError``
with a reason for a person; who read the file adds the row's number.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field, replace
from typing import Literal

Kind = Literal["choice", "short", "pairs", "cloze", "contamination"]
Language = Literal["yue", "zh", "en"]
Grade = Literal["exact", "numeric", "regex"]
KINDS: tuple[Kind, ...] = ("choice", "short", "pairs", "cloze", "contamination")
LANGUAGES: tuple[Language, ...] = ("yue", "zh", "en")
GRADES: tuple[Grade, ...] = ("exact", "numeric", "regex")
BLANK = "＿＿"
MOST_OPTIONS = 10


@dataclass(frozen=True, kw_only=True)
class _Common:
    id: str
    language: Language = "yue"
    topic: str = ""
    reason: str = ""
    """Why the answer is right."""

    def __post_init__(self) -> None:
        _need(self.id.strip(), "the id is missing")
        _need(self.language in LANGUAGES, f"the language must be one of {', '.join(LANGUAGES)}")
        self.check()

    def check(self) -> None:
        """What only this kind asks for."""

    @property
    def asked(self) -> str:
        """What a person reads as the question."""
        raise NotImplementedError

    @property
    def right(self) -> str:
        """What a person reads as the right answer."""
        raise NotImplementedError

    @property
    def sha256(self) -> str:
        """Of everything that decides an answer: not of its topic or reason."""
        deciding = {**asdict(self), "kind": type(self).__name__}
        for name in ("id", "topic", "reason"):
            deciding.pop(name)
        return hashlib.sha256(json.dumps(deciding, sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True, kw_only=True)
class Choice(_Common):
    """A question and 2 to 10 options, one of them right."""

    question: str
    options: tuple[str, ...]
    answer: int
    """Which option, counted from 0."""

    def check(self) -> None:
        _need(self.question.strip(), "the question is missing")
        _check_options(self.options, self.answer)

    @property
    def asked(self) -> str:
        return self.question

    @property
    def right(self) -> str:
        return self.options[self.answer]

    @property
    def prefixes(self) -> tuple[tuple[str, str], ...]:
        """Options with which another begins: it can never be the less likely in the raw score."""
        return tuple(
            (one, other)
            for one in self.options
            for other in self.options
            if one != other and other.startswith(one)
        )


@dataclass(frozen=True, kw_only=True)
class Cloze(Choice):
    """A sentence with one blank, and what may stand there."""

    def check(self) -> None:
        super().check()
        blanks = self.question.count(BLANK)
        _need(blanks == 1, f"the sentence has {blanks} blanks ({BLANK}), it must have one")

    @property
    def sentences(self) -> tuple[str, ...]:
        """The sentence with each option in the blank."""
        return tuple(self.question.replace(BLANK, option) for option in self.options)


@dataclass(frozen=True, kw_only=True)
class Short(_Common):
    """A question that is answered in a few words, and how an answer is graded."""

    question: str
    answer: str
    accept: tuple[str, ...] = ()
    """Other answers that are as right."""
    grade: Grade = "exact"
    tolerance: float = 1e-6
    """For numbers: how far off they may be."""

    def check(self) -> None:
        _need(self.question.strip(), "the question is missing")
        _need(self.answer.strip(), "the answer is missing")
        _need(self.grade in GRADES, f"the grade must be one of {', '.join(GRADES)}")
        _need(self.tolerance >= 0, "the tolerance is negative")
        if self.grade == "numeric":
            from workbench.compare.probes.grading import number_in

            for one in self.accepted:
                _need(number_in(one) is not None, f"“{one}” is not a number")
        if self.grade == "regex":
            from workbench.compare.probes.grading import checked_pattern

            for one in self.accepted:
                checked_pattern(one)

    @property
    def accepted(self) -> tuple[str, ...]:
        return (self.answer, *self.accept)

    @property
    def asked(self) -> str:
        return self.question

    @property
    def right(self) -> str:
        return self.answer


@dataclass(frozen=True, kw_only=True)
class Pair(_Common):
    """Two texts of which one is better."""

    better: str
    worse: str
    same_meaning: bool = False

    def check(self) -> None:
        _need(self.better.strip(), "the better text is missing")
        _need(self.worse.strip(), "the worse text is missing")
        _need(self.better != self.worse, "both texts are the same")

    @property
    def asked(self) -> str:
        return f"{self.better} / {self.worse}"

    @property
    def right(self) -> str:
        return self.better


@dataclass(frozen=True, kw_only=True)
class Suspect(_Common):
    """A text that a model may have seen: as it stands, or a question with options in order."""

    text: str
    options: tuple[str, ...] = ()
    """When given, the text is followed by these, and compared with other orders of them."""

    def check(self) -> None:
        least = 1 if self.options else 8
        _need(len(self.text.strip()) >= least, f"the text has fewer than {least} characters")
        if self.options:
            _check_options(self.options, 0)

    @property
    def asked(self) -> str:
        return self.text

    @property
    def right(self) -> str:
        return ""


Item = Choice | Cloze | Short | Pair | Suspect
CLASSES: dict[Kind, type[Item]] = {
    "choice": Choice,
    "cloze": Cloze,
    "short": Short,
    "pairs": Pair,
    "contamination": Suspect,
}


@dataclass(frozen=True)
class BadRow:
    """A row that cannot be asked, and why."""

    row: int
    """Counted from 1: the line of a CSV or JSONL file, the item of a YAML file."""
    reason: str


@dataclass(frozen=True)
class ProbeSet:
    """Items of one kind, with a name."""

    name: str
    kind: Kind
    items: tuple[Item, ...]
    title: dict[str, str] = field(default_factory=dict)
    """By language of the page: en, zh-TW, zh-CN."""
    licence: str = ""
    bad: tuple[BadRow, ...] = ()
    """Rows that were left out because the person said so."""
    warnings: tuple[BadRow, ...] = ()
    """Rows that can be asked but have something to know about."""

    def first(self, count: int | None) -> ProbeSet:
        """The set cut to its first items."""
        return replace(self, items=self.items[: count or None])

    def suspects(self) -> ProbeSet:
        """The same questions as texts that a model may have seen, each with its right answer.

        One that is too short to tell is left out.
        """
        items: list[Item] = []
        bad = list(self.bad)
        for row, one in enumerate(self.items, 1):
            try:
                items.append(_suspected(one))
            except ValueError as error:
                bad.append(BadRow(row, str(error)))
        return replace(self, kind="contamination", items=tuple(items), bad=tuple(bad))


def _suspected(item: Item) -> Item:
    if isinstance(item, Suspect):
        return item
    options: tuple[str, ...] = ()
    text = f"{item.asked}\n{item.right}"
    if isinstance(item, Pair):
        text = item.better
    elif isinstance(item, Cloze):
        text = item.sentences[item.answer]
    elif isinstance(item, Choice):
        text, options = item.question, item.options
    return Suspect(
        id=item.id,
        language=item.language,
        topic=item.topic,
        reason=item.reason,
        text=text,
        options=options,
    )


def _need(holds: object, reason: str) -> None:
    if not holds:
        raise ValueError(reason)


def _check_options(options: tuple[str, ...], answer: int) -> None:
    count = len(options)
    _need(2 <= count <= MOST_OPTIONS, f"there are {count} options, but 2 to {MOST_OPTIONS} can be")
    _need(all(option.strip() for option in options), "an option is empty")
    _need(len(set(options)) == count, "two options are the same")
    _need(0 <= answer < count, "the answer is not among the options")
