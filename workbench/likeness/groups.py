"""Groups of rows that are alike: which one to keep, and on which side of a split they go.

Works on row numbers and plain columns. This module does not know texts, nor how the pairs
were found. A group is whatever hangs together: if A is like B and B like C, they are one
group, even where A and C are not alike.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np

from workbench.errors import BadShares, OutOfRange
from workbench.likeness.pairs import Pairs

Rule = Literal["longest", "highest", "first", "source"]


def grouped(pairs: Pairs, rows: int) -> np.ndarray:
    """Label each row with the first row of its group; a row like no other has its own number.

    Returns:
        int64, shape [rows].
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    ends = (pairs.left, pairs.right)
    links = coo_array((np.ones(len(pairs), np.int8), ends), shape=(rows, rows))
    if not rows:
        return np.zeros(0, np.int64)
    _, labels = connected_components(links, directed=False)
    _, first, at = np.unique(labels, return_index=True, return_inverse=True)
    return first[at].astype(np.int64)


def group_sizes(groups: np.ndarray) -> np.ndarray:
    """How many rows are in the group of each row, itself included. Shape [rows], int64."""
    sizes = np.bincount(groups, minlength=len(groups)) if len(groups) else np.zeros(0, np.int64)
    found: np.ndarray = sizes[groups]
    return found


def keep_one(
    groups: np.ndarray,
    rule: Rule,
    lengths: np.ndarray | None = None,
    scores: np.ndarray | None = None,
    sources: Sequence[str | None] | np.ndarray | None = None,
    preferred: str | tuple[str, ...] = (),
) -> tuple[np.ndarray, np.ndarray]:
    """Choose the row of each group that stays; ties go to the earliest.

    Args:
        groups: from ``grouped``, shape [rows].
        rule: "longest" needs ``lengths``; "highest" needs ``scores``, where NaN is below
            all; "source" needs ``sources``, and takes them in the order of ``preferred``,
            the others last; "first" needs nothing.

    Returns:
        True where a row is dropped, shape [rows]; the row it lost to, int64, -1 where it
        stays.
    """
    rank = _rank(groups, rule, lengths, scores, sources, preferred)
    order = np.lexsort((np.arange(len(groups)), rank, groups))
    labels, at = np.unique(groups[order], return_index=True)
    winner = np.full(len(groups), -1, np.int64)
    winner[labels] = order[at]
    lost_to = winner[groups]
    dropped = lost_to != np.arange(len(groups))
    return dropped, np.where(dropped, lost_to, -1)


def _rank(
    groups: np.ndarray,
    rule: Rule,
    lengths: np.ndarray | None,
    scores: np.ndarray | None,
    sources: Sequence[str | None] | np.ndarray | None,
    preferred: str | tuple[str, ...],
) -> np.ndarray:
    """A number for each row, lower is better."""
    if rule == "longest" and lengths is not None:
        return -np.asarray(lengths, np.int64)
    if rule == "highest" and scores is not None:
        worth = np.asarray(scores, np.float64)
        return np.where(np.isnan(worth), np.inf, -worth)
    if rule == "source" and sources is not None:
        wanted = (preferred,) if isinstance(preferred, str) else preferred
        places = {name: place for place, name in reversed(list(enumerate(wanted)))}
        return np.array([places.get(name or "", len(wanted)) for name in sources], np.int64)
    if rule == "first":
        return np.zeros(len(groups), np.int64)
    raise TypeError(f"the rule {rule!r} needs a column that was not given")


def split(groups: np.ndarray, weights: Mapping[str, float], seed: int = 0) -> np.ndarray:
    """Divide rows by shares, whole groups on one side.

    The larger groups are dealt first, each to a side drawn by how much room is left there
    among those it fits in; single rows then fill every side up to its share. Only raw bits
    of PCG64 are used, which NumPy keeps the same between versions and machines.

    Args:
        groups: from ``grouped``, shape [rows].
        weights: name to share; they need not add up to 1.
        seed: not negative; the same seed, groups and weights give the same split.

    Returns:
        The name of the side of each row, shape [rows].

    Raises:
        BadShares, OutOfRange.
    """
    names, shares = _shares(weights)
    if seed < 0:
        raise OutOfRange(field="seed", value=seed, low=0, high="2^63")
    targets = _apportioned(shares, len(groups))
    bits = np.random.PCG64(seed).random_raw(len(groups)) if len(groups) else np.zeros(0, np.uint64)
    labels, sizes = np.unique(groups, return_counts=True)
    drawn = bits[: len(labels)]
    side_of = np.zeros(len(labels), np.int64)
    room = targets.astype(np.int64)
    order = np.lexsort((drawn, -sizes))
    many = order[sizes[order] > 1]
    for group in many:
        side_of[group] = _dealt(room, int(sizes[group]), int(drawn[group]))
        room[side_of[group]] -= sizes[group]
    single = order[len(many) :]
    left = np.maximum(room, 0)
    counts = _apportioned(left / max(1, left.sum()), len(single))
    side_of[single] = np.repeat(np.arange(len(names)), counts)
    chosen: np.ndarray = np.array(names)[side_of[np.searchsorted(labels, groups)]]
    return chosen


def _shares(weights: Mapping[str, float]) -> tuple[list[str], np.ndarray]:
    names = list(weights)
    shares = np.array([float(weights[name]) for name in names])
    if not names or any(not name for name in names):
        raise BadShares(reason="each side needs a name")
    if not np.isfinite(shares).all() or (shares < 0).any():
        raise BadShares(reason="a share must be a number of 0 or more")
    if not shares.sum() > 0:
        raise BadShares(reason="at least one share must be more than 0")
    return names, shares / shares.sum()


def _apportioned(shares: np.ndarray, total: int) -> np.ndarray:
    """Whole numbers that add up to the total: rounded down, the largest remainders up."""
    exact = shares * total
    counts = np.floor(exact + 1e-9).astype(np.int64)
    rest = np.argsort(counts - exact, kind="stable")
    counts[rest[: total - int(counts.sum())]] += 1
    return counts


def _dealt(room: np.ndarray, size: int, bits: int) -> int:
    """A side with room for the group, drawn by its room; failing that, the roomiest."""
    weights = np.where(room >= size, room, 0)
    if not weights.any():
        return int(room.argmax())
    drawn = math.floor((bits >> 11) * 2.0**-53 * int(weights.sum()))
    return int(np.searchsorted(np.cumsum(weights), drawn, "right"))
