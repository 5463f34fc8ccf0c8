"""What was measured of several models, side by side: one column a quality, one cell a model.

A winner is named only where the interval of the paired difference to every other model leaves
out zero. This module does not know how anything was measured, nor how it is drawn.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

from workbench.compare.continuation import Written
from workbench.compare.paired import paired, share
from workbench.compare.perplexity import PerplexityResult
from workbench.compare.probes.results import ProbeResult
from workbench.compare.tokenizers import Cut
from workbench.intervals import Difference, difference
from workbench.language import Register
from workbench.models.reference import ModelReference

ColumnName = Literal[
    "fluency", "register", "knowledge", "pairs", "cloze", "reasoning", "tokens", "memory", "speed"
]
COLUMNS: tuple[ColumnName, ...] = (
    "fluency", "register", "knowledge", "pairs", "cloze", "reasoning", "tokens", "memory", "speed",
)  # fmt: skip
LESS_IS_BETTER: tuple[ColumnName, ...] = ("fluency", "memory")
SHARES: tuple[ColumnName, ...] = ("register", "knowledge", "pairs", "cloze", "reasoning")
"""Columns between 0 and 1."""
SETS: dict[ColumnName, str] = {
    "knowledge": "hong-kong",
    "pairs": "cantonese-pairs",
    "cloze": "cantonese-cloze",
    "reasoning": "logic",
}
"""The probe set behind a column."""
Verdict = Literal["winner", "unclear", "few", "one", "counted", "once", "empty"]
"""winner: clear. unclear: the interval holds zero. few: not enough items. one: nobody to compare
with. counted: exact, no interval needed. once: one measurement. empty: nothing was measured."""


@dataclass(frozen=True)
class Measures:
    """Everything known of one model; what is missing was not measured."""

    model: str
    precision: str
    fingerprint: str = ""
    fluency: PerplexityResult | None = None
    writing: tuple[Written, ...] = ()
    probes: dict[str, ProbeResult] = field(default_factory=dict)
    """By the name of the set."""
    cut: Cut | None = None
    memory_bytes: int | None = None
    """Weights, cache and workspace for 1,024 tokens, as estimated from the configuration."""
    failures: tuple[str, ...] = ()

    @property
    def label(self) -> str:
        return ModelReference.parse(self.model).label

    @property
    def tokens_per_second(self) -> float | None:
        """Of all that was written, as measured when it was written."""
        seconds = math.fsum(
            one.tokens / one.tokens_per_second for one in self.writing if one.tokens
        )
        return sum(one.tokens for one in self.writing) / seconds if seconds else None


@dataclass(frozen=True)
class Cell:
    """One model's figure in one column."""

    model: str
    value: float | None
    low: float | None = None
    """The interval of the figure itself at 95%, where there is one."""
    high: float | None = None
    count: int = 0
    """Items, texts or documents behind it."""


@dataclass(frozen=True)
class Column:
    """One quality of all models."""

    name: ColumnName
    cells: tuple[Cell, ...]
    verdict: Verdict
    best: str | None
    """The model with the best figure, whether or not it is a clear winner."""

    @property
    def winner(self) -> str | None:
        return self.best if self.verdict in ("winner", "counted") else None


def columns(measured: Sequence[Measures], asked: Register = "cantonese") -> tuple[Column, ...]:
    """All columns in their order.

    Args:
        asked: the register that what is written should have.
    """
    return tuple(_column(name, measured, asked) for name in COLUMNS)


def _column(name: ColumnName, measured: Sequence[Measures], asked: Register) -> Column:
    cells = tuple(_cell(name, one, asked) for one in measured)
    there = [cell for cell in cells if cell.value is not None]
    if not there:
        return Column(name, cells, "empty", None)
    sign = 1 if name in LESS_IS_BETTER else -1
    ranked = sorted(there, key=lambda cell: sign * (cell.value or 0))
    best = ranked[0].model
    if len(there) == 1:
        return Column(name, cells, "one", best)
    if name in ("tokens", "memory"):
        tied = ranked[0].value == ranked[1].value
        return Column(name, cells, "unclear" if tied else "counted", best)
    if name == "speed":
        return Column(name, cells, "once", best)
    by_model = {one.model: one for one in measured}
    gaps = [_gap(name, by_model[best], by_model[cell.model], asked) for cell in ranked[1:]]
    return Column(name, cells, _verdict(gaps), best)


def _verdict(gaps: Sequence[Difference | None]) -> Verdict:
    if any(gap is None or gap.low is None for gap in gaps):
        return "few"
    return "winner" if all(gap is not None and gap.is_clear for gap in gaps) else "unclear"


def _cell(name: ColumnName, one: Measures, asked: Register) -> Cell:
    if name in SHARES:
        scores = list(_scores(name, one, asked).values())
        if not scores:
            return Cell(one.model, None)
        return Cell(one.model, *share(scores), count=len(scores))
    value, count = _FIGURES[name](one)
    return Cell(one.model, value, count=count)


_FIGURES: dict[ColumnName, Callable[[Measures], tuple[float | None, int]]] = {
    "fluency": lambda one: (
        (one.fluency.bits_per_character, len(one.fluency.document_nll))
        if one.fluency
        else (None, 0)
    ),
    "tokens": lambda one: (
        (one.cut.cantonese.characters_per_token, one.cut.cantonese.tokens) if one.cut else (None, 0)
    ),
    "memory": lambda one: (one.memory_bytes, 1 if one.memory_bytes else 0),
    "speed": lambda one: (one.tokens_per_second, len(one.writing)),
}


def _scores(name: ColumnName, one: Measures, asked: Register) -> dict[str, float]:
    """Scores by what was asked, so that two models can be paired."""
    if name == "register":
        return {
            f"{written.place.prompt}.{written.place.sample}": float(written.register == asked)
            for written in one.writing
        }
    found = one.probes.get(SETS[name])
    return {answer.item: answer.score for answer in found.items} if found else {}


def _gap(name: ColumnName, one: Measures, other: Measures, asked: Register) -> Difference | None:
    """The difference over what both were asked; None when that was not the same."""
    if name == "fluency":
        first, second = one.fluency, other.fluency
        if not first or not second or first.document_characters != second.document_characters:
            return None
        return difference(first.document_nll, second.document_nll, first.document_characters)
    mine, theirs = _scores(name, one, asked), _scores(name, other, asked)
    shared = [key for key in mine if key in theirs]
    if not shared:
        return None
    return paired([mine[key] for key in shared], [theirs[key] for key in shared])
