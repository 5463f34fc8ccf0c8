"""Is one model better than another on the same items? Intervals for scores that come in pairs.

Knows numbers between 0 and 1, item by item; not what was asked, nor who answered.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from workbench.intervals import DRAWS, LEVEL, SEED, Difference, wilson

ENOUGH_ITEMS = 20
"""Below this many items no winner is named, whatever the figures."""


def share(scores: Sequence[float]) -> tuple[float, float, float]:
    """The mean of scores between 0 and 1, with its interval at 95%.

    Wilson's where every score is 0 or 1; otherwise a bootstrap over items.
    """
    mean = math.fsum(scores) / len(scores)
    if _are_binary(scores):
        low, high = wilson(round(math.fsum(scores)), len(scores))
        return mean, low, high
    low, high = _bootstrap(scores)
    return mean, low, high


def paired(scores: Sequence[float], others: Sequence[float]) -> Difference:
    """The mean of ``scores`` minus that of ``others``, item by item, with its interval at 95%.

    Right or wrong: the square-and-add interval for paired shares (Newcombe 1998, Statistics in
    Medicine 17:2635, method 10). Anything between: a bootstrap over items. None below 20 items.
    """
    apart = [one - other for one, other in zip(scores, others, strict=True)]
    value = math.fsum(apart) / max(1, len(apart))
    if len(apart) < ENOUGH_ITEMS:
        return Difference(value, None, None)
    if not (_are_binary(scores) and _are_binary(others)):
        return Difference(value, *_bootstrap(apart))
    both = sum(one == other == 1 for one, other in zip(scores, others, strict=True))
    first = round(math.fsum(scores)) - both
    second = round(math.fsum(others)) - both
    return _newcombe(both, first, second, len(apart) - both - first - second)


def _newcombe(both: int, first: int, second: int, neither: int) -> Difference:
    """The difference of two shares from a table of agreements."""
    count = both + first + second + neither
    one, other = (both + first) / count, (both + second) / count
    low_one, high_one = wilson(both + first, count)
    low_other, high_other = wilson(both + second, count)
    phi = _phi(both, first, second, neither)
    below = _added(one - low_one, high_other - other, phi)
    above = _added(high_one - one, other - low_other, phi)
    return Difference(one - other, one - other - below, one - other + above)


def _phi(both: int, first: int, second: int, neither: int) -> float:
    """How far two models agree item by item, corrected for continuity as Newcombe does."""
    margins = (both + first) * (second + neither) * (both + second) * (first + neither)
    if not margins:
        return 0.0
    product = float(both * neither - first * second)
    if product > 0:
        product = max(0.0, product - (both + first + second + neither) / 2)
    return product / math.sqrt(margins)


def _added(one: float, other: float, phi: float) -> float:
    return math.sqrt(max(0.0, one * one - 2 * phi * one * other + other * other))


def _are_binary(scores: Sequence[float]) -> bool:
    return all(score in (0, 1) for score in scores)


def _bootstrap(values: Sequence[float]) -> tuple[float, float]:
    """The percentile interval of a mean (Efron & Tibshirani 1993, chapter 13)."""
    import numpy

    drawn = numpy.random.default_rng(SEED).integers(0, len(values), (DRAWS, len(values)))
    tail = 100 * (1 - LEVEL) / 2
    low, high = numpy.percentile(
        numpy.asarray(values, dtype=float)[drawn].mean(1), [tail, 100 - tail]
    )
    return float(low), float(high)
