"""Pairs of rows that are alike, and how alike: what every search for duplicates returns.

Rows are known by number only. This module does not know texts, nor how likeness was
measured: 1 is the most, and what less means is for the search to say.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class Pairs:
    """Row ``left[i]`` is like row ``right[i]``, ordered by left, then right.

    Within one dataset left < right. Between two, left is a row of the first and right a
    row of the second.
    """

    left: np.ndarray
    """int64, shape [pairs]."""
    right: np.ndarray
    """int64, shape [pairs]."""
    similarity: np.ndarray
    """float32, shape [pairs], at most 1."""
    crowded: int = 0
    """Rows that had so many look-alikes that only the nearest of them were compared.

    Their pairs still hang together, but not every pair is listed. 0: none was left out.
    """

    def __len__(self) -> int:
        return len(self.left)

    def above(self, threshold: float) -> Pairs:
        """The pairs at least as alike as the threshold."""
        kept = self.similarity >= np.float32(threshold)
        return Pairs(self.left[kept], self.right[kept], self.similarity[kept], self.crowded)

    def histogram(self, bins: int = 20) -> tuple[np.ndarray, np.ndarray]:
        """How many pairs are how alike, from 0 to 1.

        Returns:
            Edges, float64, shape [bins + 1]; counts, int64, shape [bins].
        """
        inside = np.clip(self.similarity, 0, 1)
        counts, edges = np.histogram(inside, bins=bins, range=(0.0, 1.0))
        return edges, counts.astype(np.int64)


def no_pairs() -> Pairs:
    """Nothing is like anything."""
    return pairs_of(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0, np.float32))


def pairs_of(
    left: np.ndarray, right: np.ndarray, similarity: np.ndarray | float, crowded: int = 0
) -> Pairs:
    """Pairs in order, each once: of the same two rows the likest stays."""
    scores = np.broadcast_to(np.asarray(similarity, np.float32), np.shape(left))
    order = np.lexsort((-scores, right, left))
    left, right = np.asarray(left, np.int64)[order], np.asarray(right, np.int64)[order]
    new = np.ones(len(left), bool)
    new[1:] = (left[1:] != left[:-1]) | (right[1:] != right[:-1])
    return Pairs(left[new], right[new], np.minimum(scores[order][new], np.float32(1)), crowded)


def joined(parts: Sequence[Pairs]) -> Pairs:
    """Several searches over the same rows as one."""
    if not parts:
        return no_pairs()
    return pairs_of(
        np.concatenate([part.left for part in parts]),
        np.concatenate([part.right for part in parts]),
        np.concatenate([part.similarity for part in parts]),
        max(part.crowded for part in parts),
    )


def firsts(codes: np.ndarray, count: int) -> np.ndarray:
    """The first row that bears each code; the number of rows where none does.

    Args:
        codes: int64, shape [rows], -1 for a row without one.
        count: codes are below it.
    """
    first = np.full(count, len(codes), np.int64)
    bearing = np.flatnonzero(codes >= 0)
    np.minimum.at(first, codes[bearing], bearing)
    return first


def chains(codes: np.ndarray) -> Pairs:
    """Rows with the same code, each tied to the next of them: never n^2 pairs."""
    order = np.argsort(codes, kind="stable")
    sorted_codes = codes[order]
    same = (sorted_codes[1:] == sorted_codes[:-1]) & (sorted_codes[1:] >= 0)
    return pairs_of(order[:-1][same], order[1:][same], 1.0)


def among_rows(found: Pairs, codes: np.ndarray, count: int) -> Pairs:
    """Pairs of codes as pairs of rows: the first row of each, and the chains of its copies."""
    first = firsts(codes, count)
    left, right = first[found.left], first[found.right]
    low, high = np.minimum(left, right), np.maximum(left, right)
    tied = chains(codes)
    return pairs_of(
        np.concatenate([low, tied.left]),
        np.concatenate([high, tied.right]),
        np.concatenate([found.similarity, tied.similarity]),
        found.crowded,
    )


def across_rows(found: Pairs, a: np.ndarray, b: np.ndarray, count: int) -> Pairs:
    """Pairs of codes as pairs of a row of A and a row of B.

    Each pair of codes becomes one pair of first rows, and every copy on either side is
    tied to the first row of the code on the other side that is likest to its own.

    Args:
        found: over codes; either end may be the one that is in A.
        a, b: the codes of the rows of A and of B, -1 for none.
        count: codes are below it.
    """
    every = np.arange(count, dtype=np.int64)  # a code is like itself
    left = np.concatenate([every, found.left, found.right])
    right = np.concatenate([every, found.right, found.left])
    scores = np.concatenate([np.ones(count, np.float32), found.similarity, found.similarity])
    first_a, first_b = firsts(a, count), firsts(b, count)
    real = (first_a[left] < len(a)) & (first_b[right] < len(b))
    left, right, scores = left[real], right[real], scores[real]
    copies_a, copies_b = _likest(left, right, scores, a), _likest(right, left, scores, b)
    return pairs_of(
        np.concatenate([first_a[left], copies_a[0], first_a[copies_b[1]]]),
        np.concatenate([first_b[right], first_b[copies_a[1]], copies_b[0]]),
        np.concatenate([scores, copies_a[2], copies_b[2]]),
        found.crowded,
    )


def _likest(
    own: np.ndarray, other: np.ndarray, scores: np.ndarray, codes: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """For each row whose code is in ``own``: the row, the likest other code, and how like."""
    order = np.lexsort((other, -scores, own))
    found, at = np.unique(own[order], return_index=True)
    best = order[at]
    if not len(found):
        return np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0, np.float32)
    place = np.clip(np.searchsorted(found, codes), 0, len(found) - 1)
    rows = np.flatnonzero(found[place] == codes)
    return rows, other[best[place[rows]]], scores[best[place[rows]]]
