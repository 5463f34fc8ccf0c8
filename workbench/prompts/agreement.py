"""Does a judge score as the person does? Agreement, bias, sway, and what a threshold would keep.

Agreement is quadratic weighted kappa (Cohen 1968). With quadratic weights it is a matter of
means and variances (Fleiss & Cohen 1973), so scores between whole numbers need no rounding.
Intervals are percentile bootstraps over rows (Efron & Tibshirani 1993); below twenty rows there
is none, and nothing should be believed yet. This module does not know where scores come from.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from workbench.errors import OutOfRange

LOWEST, HIGHEST = 1, 6
ENOUGH = 20
GOOD = 4
"""From this rating on a person calls a row good."""
DRAWS = 2000
SEED = 20
LEVEL = 0.95
Z = 1.959963984540054


@dataclass(frozen=True)
class Estimate:
    """A figure and its interval at 95%."""

    value: float | None
    """None where it is not defined: a correlation with something that never varies."""
    low: float | None = None
    """None below twenty rows."""
    high: float | None = None

    @property
    def is_clear(self) -> bool:
        """True when the interval leaves out zero."""
        return self.low is not None and self.high is not None and self.low * self.high > 0


@dataclass(frozen=True)
class Threshold:
    """What would be kept if rows scored below were put aside."""

    at: float
    kept: int
    good: int
    """Of the kept, how many the person calls good."""
    precision: float | None
    """Good among the kept; None where nothing is kept."""
    low: float | None
    """Wilson's interval of the precision at 95% (Wilson 1927)."""
    high: float | None
    recall: float | None
    """Kept among the good; None where nothing is good."""


@dataclass(frozen=True)
class Agreement:
    """A person's ratings beside a judge's scores of the same rows."""

    rows: int
    kappa: Estimate
    """1: the same; 0: no more than chance would give; below 0: less."""
    bias: Estimate
    """The judge's mean minus the person's: above 0 the judge is the milder one."""
    confusion: tuple[tuple[int, ...], ...]
    """[person - 1][judge - 1], the judge rounded; 6 by 6 counts."""
    equal: float
    """The share of rows with the same (rounded) score; 0 where there are no rows."""
    near: float
    """The share that is at most one apart."""
    length: Estimate | None
    """Spearman's correlation of the judge's score with the length of the answer."""
    length_of_person: float | None
    """The same of the person's rating."""
    length_sway: Estimate | None
    """The first minus the second: above 0 the judge likes long answers more than the person."""
    thresholds: tuple[Threshold, ...]

    @property
    def enough(self) -> bool:
        """False: "not enough yet"."""
        return self.rows >= ENOUGH

    @property
    def missing(self) -> int:
        """How many rows are still to be rated."""
        return max(0, ENOUGH - self.rows)


@dataclass(frozen=True)
class Sway:
    """What the place in the prompt does to a judge that is shown two answers."""

    pairs: int
    first: Estimate
    """Points that an answer gains by being shown first."""
    flipped: float
    """The share of pairs of which another answer wins when the order is changed; 0 of none."""

    @property
    def enough(self) -> bool:
        return self.pairs >= ENOUGH


def agreement(
    ratings: Mapping[str, float],
    scores: Mapping[str, float],
    lengths: Mapping[str, int] | None = None,
    good: float = GOOD,
) -> Agreement:
    """Compare what both have looked at.

    Args:
        ratings: the person's, by row, 1 to 6.
        scores: the judge's, by row, 1 to 6; rows of one side only are left out.
        lengths: characters of the answer, by row.
        good: the rating from which the person calls a row good.

    Raises:
        OutOfRange: a rating or a score that is not between 1 and 6.
    """
    shared = [row for row in ratings if row in scores]
    person = _checked([ratings[row] for row in shared], "rating")
    judge = _checked([scores[row] for row in shared], "score")
    rounded = np.floor(judge + 0.5)
    sizes = None
    if lengths is not None and all(row in lengths for row in shared):
        sizes = np.array([lengths[row] for row in shared], float)
    return Agreement(
        rows=len(shared),
        kappa=_estimate(_kappa, person, judge),
        bias=_estimate(_bias, person, judge),
        confusion=_confusion(np.floor(person + 0.5), rounded),
        equal=float(np.mean(rounded == np.floor(person + 0.5))) if shared else 0.0,
        near=float(np.mean(np.abs(person - judge) <= 1)) if shared else 0.0,
        length=None if sizes is None else _estimate(_spearman, judge, sizes),
        length_of_person=None if sizes is None else _spearman(person, sizes),
        length_sway=None if sizes is None else _estimate(_length_sway, judge, person, sizes),
        thresholds=_thresholds(person, judge, good),
    )


def sway(forward: Sequence[float], backward: Sequence[float]) -> Sway:
    """Whether the order matters, from the same pairs asked in both orders.

    Args:
        forward: score of A minus score of B, A shown first; one for each pair.
        backward: score of A minus score of B again, B shown first.

    Raises:
        ValueError: not the same number of pairs.
    """
    if len(forward) != len(backward):
        raise ValueError("every pair must be asked in both orders")
    one, other = np.asarray(forward, float), np.asarray(backward, float)
    flipped = float(np.mean(np.sign(one) != np.sign(other))) if len(one) else 0.0
    return Sway(len(one), _estimate(_first, one, other), flipped)


def _checked(values: Sequence[float], field: str) -> np.ndarray:
    for value in values:
        if not LOWEST <= value <= HIGHEST:  # also not a number
            raise OutOfRange(field=field, value=value, low=LOWEST, high=HIGHEST)
    return np.asarray(values, float)


def _estimate(measure: Callable[..., float | None], *columns: np.ndarray) -> Estimate:
    """A figure of columns of equal length, and its interval when there are enough rows."""
    rows = len(columns[0])
    value = measure(*columns) if rows else None
    if value is None or rows < ENOUGH:
        return Estimate(value)
    drawn = np.random.default_rng(SEED).integers(0, rows, (DRAWS, rows))
    found = [measure(*(column[rows_of] for column in columns)) for rows_of in drawn]
    defined = [one for one in found if one is not None]
    tail = 100 * (1 - LEVEL) / 2
    low, high = np.percentile(defined, [tail, 100 - tail])
    return Estimate(value, float(low), float(high))


def _kappa(person: np.ndarray, judge: np.ndarray) -> float | None:
    """1 minus the mean square of the differences over that of all pairs of a row and a row."""
    expected = person.var() + judge.var() + (person.mean() - judge.mean()) ** 2
    if not expected:
        return None  # both always gave one and the same score
    return float(1 - np.mean((person - judge) ** 2) / expected)


def _bias(person: np.ndarray, judge: np.ndarray) -> float:
    return float(judge.mean() - person.mean())


def _first(forward: np.ndarray, backward: np.ndarray) -> float:
    return float((forward - backward).mean() / 2)


def _spearman(one: np.ndarray, other: np.ndarray) -> float | None:
    """Pearson's correlation of the ranks; equal values share their mean rank."""
    left, right = _ranks(one), _ranks(other)
    left, right = left - left.mean(), right - right.mean()
    size = math.sqrt(float((left @ left) * (right @ right)))
    return float(left @ right) / size if size else None


def _ranks(values: np.ndarray) -> np.ndarray:
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    ranks: np.ndarray = (np.cumsum(counts) - (counts - 1) / 2)[place]
    return ranks


def _length_sway(judge: np.ndarray, person: np.ndarray, sizes: np.ndarray) -> float | None:
    one, other = _spearman(judge, sizes), _spearman(person, sizes)
    return None if one is None or other is None else one - other


def _confusion(person: np.ndarray, judge: np.ndarray) -> tuple[tuple[int, ...], ...]:
    size = HIGHEST - LOWEST + 1
    counts = np.zeros((size, size), int)
    np.add.at(counts, (person.astype(int) - LOWEST, judge.astype(int) - LOWEST), 1)
    return tuple(tuple(int(one) for one in row) for row in counts)


def _thresholds(person: np.ndarray, judge: np.ndarray, good: float) -> tuple[Threshold, ...]:
    """One for every whole score, and for the scores between them that were given."""
    places = sorted({float(at) for at in range(LOWEST, HIGHEST + 1)} | set(judge.tolist()))
    right = person >= good
    found = []
    for at in places:
        kept = judge >= at
        count, both = int(kept.sum()), int((kept & right).sum())
        low, high = _wilson(both, count)
        precision = both / count if count else None
        recall = both / int(right.sum()) if right.any() else None
        found.append(Threshold(at, count, both, precision, low, high, recall))
    return tuple(found)


def _wilson(hits: int, count: int) -> tuple[float | None, float | None]:
    if not count:
        return None, None
    share, square = hits / count, Z * Z / count
    middle = share + square / 2
    reach = Z * math.sqrt(share * (1 - share) / count + square / (4 * count))
    low, high = (middle - reach) / (1 + square), (middle + reach) / (1 + square)
    return max(0.0, low), min(1.0, high)
