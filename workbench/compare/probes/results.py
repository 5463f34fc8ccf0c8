"""What a model answered, item by item, and what that adds up to.

Plain values that go to JSON and back. This module does not know how an answer came about.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from workbench.compare.paired import share
from workbench.compare.probes.items import Kind, ProbeSet
from workbench.events import Failed, Progress

Scoring = Literal["raw", "per_character", "without_prior"]
SCORINGS: tuple[Scoring, ...] = ("raw", "per_character", "without_prior")


@dataclass(frozen=True)
class Likelihoods:
    """The log-likelihoods of an item's options (or sentences), in nats, in their order."""

    raw: tuple[float, ...]
    prior: tuple[float, ...]
    """Of the same option after a neutral prompt; empty for pairs, which have none."""
    characters: tuple[int, ...]
    """Unicode code points of what was scored."""
    answer: int
    """The right one."""

    @property
    def per_character(self) -> tuple[float, ...]:
        return tuple(one / size for one, size in zip(self.raw, self.characters, strict=True))

    @property
    def without_prior(self) -> tuple[float, ...]:
        return tuple(one - other for one, other in zip(self.raw, self.prior, strict=True))

    @property
    def scorings(self) -> tuple[Scoring, ...]:
        """The ways in which these can be compared."""
        return SCORINGS if self.prior else SCORINGS[:2]

    def pick(self, scoring: Scoring = "raw") -> int:
        """The likeliest; the first of those that are equal."""
        values: tuple[float, ...] = getattr(self, scoring)
        return max(range(len(values)), key=lambda at: values[at])

    def is_right(self, scoring: Scoring = "raw") -> bool:
        return self.pick(scoring) == self.answer


@dataclass(frozen=True)
class Written:
    """One answer that a model wrote."""

    text: str
    read: str
    """What it was read as; empty when it could not be read."""
    right: bool
    letter: str = ""
    """Multiple choice: the letter it stood for in the order it was asked in."""

    @property
    def is_readable(self) -> bool:
        return bool(self.read)


@dataclass(frozen=True)
class Familiarity:
    """How well a model knows a text, against copies of it that say nearly the same."""

    min_k: float
    """Mean log-probability of the 20% least likely tokens, nats (Min-K%, Shi 2024)."""
    copies: tuple[float, ...]
    """The same of every copy."""
    per_character: float
    """Log-likelihood per character, nats."""
    copies_per_character: tuple[float, ...]
    rule: str = ""
    """How the copies were made: options, digits, sentences or characters."""

    @property
    def rank(self) -> float:
        """The share of copies that are less likely per character; 1 is suspicious, 0.5 is not."""
        below = sum(one < self.per_character for one in self.copies_per_character)
        equal = sum(one == self.per_character for one in self.copies_per_character)
        return (below + equal / 2) / len(self.copies_per_character)


@dataclass(frozen=True)
class ItemResult:
    """One item under one model."""

    item: str
    score: float
    """1 right, 0 wrong; between them the share of several tries that were right."""
    said: str
    """What the model chose or wrote."""
    likelihoods: Likelihoods | None = None
    """Multiple choice and cloze; of a pair, better first."""
    written: tuple[Written, ...] = ()
    familiarity: Familiarity | None = None
    reused: bool = False
    """True when it was stored already and not asked again."""

    @classmethod
    def from_stored(cls, item: str, stored: dict[str, Any]) -> ItemResult:
        """What ``asdict`` made, for an item of that id."""
        held = stored["likelihoods"]
        known = stored["familiarity"]
        return cls(
            item=item,
            score=stored["score"],
            said=stored["said"],
            likelihoods=Likelihoods(**_tuples(held)) if held else None,
            written=tuple(Written(**one) for one in stored["written"]),
            familiarity=Familiarity(**_tuples(known)) if known else None,
            reused=True,
        )


@dataclass(frozen=True)
class Share:
    """A mean of scores between 0 and 1, with its interval at 95%."""

    right: float
    """Their sum: right answers, and parts of them where an item was tried several times."""
    count: int
    low: float = 0.0
    high: float = 1.0

    @classmethod
    def of(cls, scores: Sequence[float]) -> Share:
        """Wilson's interval where every score is 0 or 1, otherwise a bootstrap over items."""
        if not scores:
            return cls(0.0, 0)
        _, low, high = share(scores)
        return cls(math.fsum(scores), len(scores), low, high)

    @property
    def value(self) -> float:
        return self.right / self.count if self.count else 0.0

    def figures(self) -> dict[str, Any]:
        return {**asdict(self), "share": self.value}


@dataclass(frozen=True)
class ProbeResult:
    """One model on one set."""

    model: str
    precision: str
    fingerprint: str
    probe: str
    kind: Kind
    items: tuple[ItemResult, ...]
    """In the order of the set."""
    seconds: float = 0.0
    """At work on what was not stored."""
    tokens: int = 0
    """Scored or written in that time."""
    peak_memory_bytes: int = 0
    with_template: bool = False
    """Whether questions were asked with the model's own chat template."""

    @property
    def share(self) -> Share:
        """Items right; of several tries, the mean of their shares."""
        return Share.of([one.score for one in self.items])

    @property
    def tokens_per_second(self) -> float:
        return self.tokens / self.seconds if self.seconds else 0.0

    def by(self, scoring: Scoring) -> Share:
        """Multiple choice, cloze and pairs: right by one way of comparing likelihoods."""
        held = [one.likelihoods for one in self.items if one.likelihoods]
        return Share.of([float(one.is_right(scoring)) for one in held])

    @property
    def written(self) -> Share:
        """What the model wrote, item by item; an answer that cannot be read is wrong."""
        tried = [item.written for item in self.items if item.written]
        return Share.of([sum(one.right for one in tries) / len(tries) for tries in tried])

    @property
    def unreadable(self) -> int:
        return sum(not one.is_readable for item in self.items for one in item.written)

    @property
    def letters(self) -> dict[str, int]:
        """How often each letter was chosen: options are rotated, so all should be alike."""
        found = Counter(one.letter for item in self.items for one in item.written if one.letter)
        return dict(sorted(found.items()))

    @property
    def familiar(self) -> float | None:
        """Contamination: the mean rank of the texts among their copies."""
        ranks = [one.familiarity.rank for one in self.items if one.familiarity]
        return math.fsum(ranks) / len(ranks) if ranks else None

    def figures(self, items: bool = True) -> dict[str, Any]:
        """What ``probe --json`` prints for one model."""
        found: dict[str, Any] = {
            "model": self.model,
            "precision": self.precision,
            "set": self.probe,
            "kind": self.kind,
            "total": self.share.figures(),
            "seconds": self.seconds,
            "tokens": self.tokens,
            "tokens_per_second": self.tokens_per_second,
            "peak_memory_bytes": self.peak_memory_bytes,
            "chat_template": self.with_template,
        }
        held = next((one.likelihoods for one in self.items if one.likelihoods), None)
        if held:
            found["likelihood"] = {name: self.by(name).figures() for name in held.scorings}
        if self.written.count:
            found["written"] = {
                **self.written.figures(),
                "unreadable": self.unreadable,
                "letters": self.letters,
            }
        if self.familiar is not None:
            found["familiarity"] = self.familiar
        if items:
            found["items"] = [_item_figures(one) for one in self.items]
        return found

    def lines(self, probe: ProbeSet) -> list[str]:
        """The same for a person at a terminal: a line an item, and the total."""
        right = {item.id: item.right for item in probe.items}
        lines = [
            f"{one.item}  {one.score:.2f}  {one.said!r}"
            + ("" if one.score == 1 or not right[one.item] else f" (right: {right[one.item]!r})")
            for one in self.items
        ]
        total = self.share
        lines.append(
            f"{self.model} ({self.precision}), {self.probe}: {total.right:g} of {total.count} "
            f"= {total.value:.3f} (95%: {total.low:.3f} to {total.high:.3f})"
        )
        if self.kind == "choice" and self.written.count:
            found = self.written
            letters = ", ".join(f"{letter} {count}" for letter, count in self.letters.items())
            lines.append(
                f"    written: {found.value:.3f} ({found.low:.3f} to {found.high:.3f}), "
                f"{self.unreadable} unreadable; letters {letters}"
            )
        return lines


def _item_figures(one: ItemResult) -> dict[str, Any]:
    found = {**asdict(one), "id": one.item}
    for name in ("item", "likelihoods", "written", "familiarity"):
        if not found[name] or name == "item":
            found.pop(name)
    if one.likelihoods:
        found["likelihoods"] |= {
            name: getattr(one.likelihoods, name) for name in one.likelihoods.scorings
        }
    if one.familiarity:
        found["familiarity"]["rank"] = one.familiarity.rank
    return found


def _tuples(values: dict[str, Any]) -> dict[str, Any]:
    """JSON knows lists only."""
    return {
        name: tuple(value) if isinstance(value, list) else value for name, value in values.items()
    }


# ---- events


@dataclass(frozen=True)
class Asked:
    """One item is done, under one model."""

    model: str
    probe: ProbeSet
    result: ItemResult


@dataclass(frozen=True)
class Probed:
    """One model has answered a whole set."""

    result: ProbeResult
    probe: ProbeSet


Event = Progress | Asked | Probed | Failed
