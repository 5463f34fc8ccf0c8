"""Rows that say the same: letter for letter, or nearly, within a dataset or between two.

Likeness is the Jaccard similarity of character n-grams, so it works for text without
spaces. Pairs are proposed by hashing and every one is then measured exactly: nothing
reported is an estimate, but a pair may be missed (see ``bands_for``). This module does not
know which text of a row is compared, nor which copy is kept; ``meaning`` finds rows that
say the same in other words.
"""

from __future__ import annotations

import difflib
import threading
from collections.abc import Generator, Iterator, Sequence
from typing import Literal, TypeAlias

import numpy as np
import pyarrow as pa

from workbench.errors import OutOfRange
from workbench.events import Progress
from workbench.likeness.candidates import Bands, bands_for, candidates
from workbench.likeness.pairs import (
    Pairs,
    across_rows,
    among_rows,
    chains,
    joined,
    no_pairs,
    pairs_of,
)
from workbench.likeness.shingles import as_array, distinct, jaccard, lengths, normalize

__all__ = [
    "Pairs",
    "Texts",
    "difference",
    "exact",
    "exact_between",
    "near",
    "near_between",
    "normalize",
]

Texts: TypeAlias = pa.Array | pa.ChunkedArray | Sequence[str]
Piece: TypeAlias = tuple[Literal["same", "left", "right"], str]

# One letter changed in the middle of a text of L letters leaves (L - 2n + 1) of (L + 1)
# n-grams: half, if L is 4n - 1. So short texts need short grams (n = 2 from 7 letters on,
# 3 from 11, 5 from 19), and long ones long grams, or texts would be alike by common words.
GRAM_SIZES = ((0, 2), (12, 3), (40, 5))
"""From how many characters of the shorter text which n is used, for both texts of a pair."""
LOWEST_FLOOR = 0.3
MOST_COMPARED = 1500


def exact(texts: Texts) -> Pairs:
    """Rows whose normal forms are equal, each tied to the next such row."""
    codes, _ = distinct(normalize(texts))
    return chains(codes)


def near(
    texts: Texts, floor: float = 0.5, ngram: int | None = None, stop: threading.Event | None = None
) -> Generator[Progress, None, Pairs]:
    """Rows that share at least ``floor`` of their character n-grams, exact copies included.

    Copies are collapsed first and come back as chains, so that many identical rows cost
    no more than one.

    Args:
        texts: one for each row.
        floor: the least Jaccard similarity worth reporting, 0.3 to 1.
        ngram: characters of a gram, 1 to 50; None chooses by the shorter text of a pair.

    Raises:
        OutOfRange, Stopped.
    """
    _check(floor, ngram)
    codes, different = distinct(normalize(texts))
    sides = np.full(len(different), 3, np.uint8)
    found = yield from _alike(different, floor, ngram, sides, stop or threading.Event())
    return among_rows(found, codes, len(different))


def exact_between(a: Texts, b: Texts) -> Pairs:
    """Rows of A whose normal form is that of a row of B.

    The first row of a text on one side is tied to all its rows on the other.
    """
    codes_a, codes_b, different = _numbered(a, b)
    return across_rows(no_pairs(), codes_a, codes_b, len(different))


def near_between(
    a: Texts,
    b: Texts,
    floor: float = 0.5,
    ngram: int | None = None,
    stop: threading.Event | None = None,
) -> Generator[Progress, None, Pairs]:
    """Rows of A that are like rows of B; pairs within A or within B are not looked for.

    Of copies within a side, all are tied to the likest first row of the other.

    Raises:
        OutOfRange, Stopped.
    """
    _check(floor, ngram)
    codes_a, codes_b, different = _numbered(a, b)
    sides = np.zeros(len(different), np.uint8)
    sides[codes_a[codes_a >= 0]] |= 1
    sides[codes_b[codes_b >= 0]] |= 2
    found = yield from _alike(different, floor, ngram, sides, stop or threading.Event())
    return across_rows(found, codes_a, codes_b, len(different))


def _check(floor: float, ngram: int | None) -> None:
    if not LOWEST_FLOOR <= floor <= 1:
        raise OutOfRange(field="floor", value=floor, low=LOWEST_FLOOR, high=1)
    if ngram is not None and not 1 <= ngram <= 50:
        raise OutOfRange(field="ngram", value=ngram, low=1, high=50)


def _numbered(a: Texts, b: Texts) -> tuple[np.ndarray, np.ndarray, pa.Array]:
    """The same text has the same number on both sides."""
    first, second = as_array(a), as_array(b)
    codes, different = distinct(normalize(pa.concat_arrays([first, second])))
    return codes[: len(first)], codes[len(first) :], different


def _alike(
    texts: pa.Array, floor: float, ngram: int | None, sides: np.ndarray, stop: threading.Event
) -> Generator[Progress, None, Pairs]:
    """Pairs among different texts, searched once for each size of gram that is needed."""
    bands, sizes, found = bands_for(floor), lengths(texts), []
    for n, low, high in _passes(ngram):
        # A text of more than 1/floor times the size cannot be alike enough.
        rows = np.flatnonzero((sizes >= low) & (sizes < high / floor))
        if not len(rows) or not sizes[rows].min() < high:
            continue
        part = yield from _search(texts.take(pa.array(rows)), n, floor, bands, sides[rows], stop)
        left, right = rows[part.left], rows[part.right]
        meant = np.minimum(sizes[left], sizes[right]) < high
        crowded = part.crowded
        found.append(pairs_of(left[meant], right[meant], part.similarity[meant], crowded))
    return joined(found)


def _passes(ngram: int | None) -> Iterator[tuple[int, int, float]]:
    """Each n, and from where to where the shorter text of its pairs may be long."""
    if ngram is not None:
        yield ngram, 0, float("inf")
        return
    ends = [*(low for low, _ in GRAM_SIZES[1:]), float("inf")]
    for (low, n), high in zip(GRAM_SIZES, ends, strict=True):
        yield n, low, high


def _search(
    texts: pa.Array, n: int, floor: float, bands: Bands, sides: np.ndarray, stop: threading.Event
) -> Generator[Progress, None, Pairs]:
    """Propose, then measure."""
    left, right, crowded = yield from candidates(texts, n, bands, sides, stop)
    similarity = yield from jaccard(texts, n, left, right, floor, stop)
    return pairs_of(left, right, similarity, crowded).above(floor)


def difference(left: str, right: str) -> list[Piece]:
    """What two texts share and what only one has, character by character, in order.

    The "same" and "left" pieces make the left text, "same" and "right" the right one.
    Common beginnings and ends are cut off first; if what remains is longer than 1,500
    characters on either side, its first 1,500 are compared and the rest is given as
    different on the whole, since the time grows with the square.
    """
    start = _common(left, right)
    end = _common(left[start:][::-1], right[start:][::-1])
    middle = left[start : len(left) - end], right[start : len(right) - end]
    one, other = middle[0][:MOST_COMPARED], middle[1][:MOST_COMPARED]
    pieces: list[Piece] = [("same", left[:start])]
    matcher = difflib.SequenceMatcher(None, one, other, autojunk=False)
    for tag, low, high, begin, finish in matcher.get_opcodes():
        if tag == "equal":
            pieces.append(("same", one[low:high]))
        else:
            pieces += [("left", one[low:high]), ("right", other[begin:finish])]
    pieces += [("left", middle[0][MOST_COMPARED:]), ("right", middle[1][MOST_COMPARED:])]
    pieces.append(("same", left[len(left) - end :] if end else ""))
    return [piece for piece in pieces if piece[1]]


def _common(one: str, other: str) -> int:
    """Characters two texts begin with alike, by halving."""
    low, high = 0, min(len(one), len(other))
    while low < high:
        middle = (low + high + 1) // 2
        if one[:middle] == other[:middle]:
            low = middle
        else:
            high = middle - 1
    return low
