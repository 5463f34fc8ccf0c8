"""How sure is a difference? A paired bootstrap over documents.

Documents are drawn with replacement, the same ones for both models, and the
difference in bits per character is taken of each draw (Efron & Tibshirani 1993,
chapter 13; paired as in Koehn 2004). Knows sums per document; not models or texts.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

DRAWS = 2000
LEVEL = 0.95
ENOUGH_DOCUMENTS = 10
SEED = 20


@dataclass(frozen=True)
class Difference:
    """One figure minus another: bits per character of two models, or shares of two prompts."""

    value: float
    low: float | None
    """None when there are too few documents for an interval."""
    high: float | None

    @property
    def is_clear(self) -> bool:
        """True when the interval leaves out zero."""
        return self.low is not None and self.high is not None and self.low * self.high > 0


def difference(
    nll: Sequence[float], other: Sequence[float], characters: Sequence[int]
) -> Difference:
    """Compare two models document by document.

    Args:
        nll, other: nats of each document under the two models.
        characters: the length of each document.

    Returns:
        The difference over all documents, and its interval at 95% where there are at
        least 10 of them.
    """
    import numpy

    apart = (numpy.asarray(nll) - numpy.asarray(other)) / math.log(2)
    sizes = numpy.asarray(characters, dtype=float)
    value = float(apart.sum() / sizes.sum())
    if len(sizes) < ENOUGH_DOCUMENTS:
        return Difference(value, None, None)
    drawn = numpy.random.default_rng(SEED).integers(0, len(sizes), (DRAWS, len(sizes)))
    values = apart[drawn].sum(1) / sizes[drawn].sum(1)
    tail = 100 * (1 - LEVEL) / 2
    low, high = numpy.percentile(values, [tail, 100 - tail])
    return Difference(value, float(low), float(high))


def wilson(right: int, count: int) -> tuple[float, float]:
    """The score interval at 95% of a share (Wilson 1927): of ``count`` answers, so many right."""
    z = 1.959963984540054
    if not count:
        return 0.0, 1.0
    share = right / count
    middle = (share + z * z / (2 * count)) / (1 + z * z / count)
    half = z / (1 + z * z / count) * math.sqrt(share * (1 - share) / count + (z / (2 * count)) ** 2)
    return max(0.0, middle - half), min(1.0, middle + half)


def ratios_apart(
    parts: Sequence[float],
    wholes: Sequence[float],
    other_parts: Sequence[float],
    other_wholes: Sequence[float],
) -> Difference:
    """One ratio of sums minus another, on paired clusters: rows kept of items, reply by reply.

    What lies in one cluster hangs together, so whole clusters are drawn, the same ones on both
    sides. All four have the shape [clusters].

    Returns:
        The difference, and its interval at 95% where there are at least 10 clusters and both
        ratios exist in every draw.
    """
    import numpy

    columns = [
        numpy.asarray(one, dtype=float) for one in (parts, wholes, other_parts, other_wholes)
    ]
    sums = [one.sum() for one in columns]
    if not len(columns[0]) or not sums[1] or not sums[3]:
        return Difference(math.nan, None, None)
    value = float(sums[0] / sums[1] - sums[2] / sums[3])
    count = len(columns[0])
    if count < ENOUGH_DOCUMENTS:
        return Difference(value, None, None)
    drawn = numpy.random.default_rng(SEED).integers(0, count, (DRAWS, count))
    draws = [one[drawn].sum(1) for one in columns]
    if (draws[1] == 0).any() or (draws[3] == 0).any():
        return Difference(value, None, None)
    values = draws[0] / draws[1] - draws[2] / draws[3]
    tail = 100 * (1 - LEVEL) / 2
    low, high = numpy.percentile(values, [tail, 100 - tail])
    return Difference(value, float(low), float(high))
