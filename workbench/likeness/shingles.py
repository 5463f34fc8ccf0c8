"""Texts as sets of character n-grams: normal form, hashes, exact Jaccard.

Nothing here splits on white space, which Chinese does not have. All texts of a batch are
hashed together, as one run of code points. This module does not know which
texts are worth comparing, nor what becomes of those that are alike.
"""

from __future__ import annotations

import threading
from collections.abc import Generator, Iterator, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from workbench.errors import Stopped
from workbench.events import Progress

# Symbols stay: a text of emoji is a text, and 1+1 is not 11. Variation selectors do not.
DROPPED = r"[\p{P}\p{Z}\p{Cc}\p{Cf}\x{FE00}-\x{FE0F}]+"
BATCH_ROWS = 8192
BATCH_CHARACTERS = 2_000_000
BATCH_GRAMS = 2_000_000
# A gram is told by 44 bits of its hash, so that a number of 20 bits fits beside them and
# one sort does the work: two grams of a pair of 1,000-gram texts collide once in 10^7 pairs.
GRAM_BITS = 44
MULTIPLIER = 0x9E3779B97F4A7C15


def as_array(texts: pa.Array | pa.ChunkedArray | Sequence[str]) -> pa.Array:
    """One array of large_string; null becomes empty, a lone surrogate a question mark."""
    if isinstance(texts, pa.ChunkedArray):
        texts = texts.combine_chunks()
    if not isinstance(texts, pa.Array):
        try:
            texts = pa.array(texts, pa.large_string())
        except UnicodeEncodeError:
            mended = [(text or "").encode("utf-8", "replace") for text in texts]
            texts = pa.array(mended, pa.large_binary())
    return pc.fill_null(texts.cast(pa.large_string()), "")


def normalize(texts: pa.Array | pa.ChunkedArray | Sequence[str]) -> pa.Array:
    """What is left of a text when its spelling is set aside: NFKC, lower case, bare letters.

    White space, punctuation, control and invisible characters are taken out, so that
    full-width and half-width copies are equal. A text of nothing else becomes empty, and
    an empty normal form is nobody's duplicate.

    Returns:
        large_string, as many as there were.
    """
    folded = pc.utf8_lower(pc.utf8_normalize(as_array(texts), form="NFKC"))
    return pc.replace_substring_regex(folded, pattern=DROPPED, replacement="")


def distinct(normal: pa.Array) -> tuple[np.ndarray, pa.Array]:
    """Number the different texts in the order in which they first come.

    Returns:
        The number of each row's text, int64, -1 where it is empty; the different texts.
    """
    known = pc.if_else(pc.equal(normal, ""), pa.scalar(None, normal.type), normal)
    encoded = known.dictionary_encode()
    codes = pc.fill_null(encoded.indices.cast(pa.int64()), -1)
    return codes.to_numpy(zero_copy_only=False), encoded.dictionary


def lengths(texts: pa.Array) -> np.ndarray:
    """Unicode code points of each text. Shape [texts], int64."""
    counted: np.ndarray = pc.utf8_length(texts).to_numpy(zero_copy_only=False).astype(np.int64)
    return counted


def batches(sizes: np.ndarray) -> Iterator[tuple[int, int]]:
    """Cut rows into runs ``start:end`` of bounded characters and number; a huge row stands alone.

    Args:
        sizes: characters of each row, int64.
    """
    ends = np.cumsum(sizes)
    start, before = 0, 0
    while start < len(sizes):
        fitting = int(np.searchsorted(ends, before + BATCH_CHARACTERS, "right"))
        end = min(max(start + 1, fitting), start + BATCH_ROWS)
        yield start, end
        start, before = end, int(ends[end - 1])


def grams(texts: pa.Array, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Hash every run of n code points that lies within one text.

    A polynomial over the code points in Horner's scheme (Karp & Rabin 1987), modulo 2^64,
    then stirred, since its low bits depend on low bits only. A text shorter than n is one
    gram by itself.

    Args:
        texts: large_string without nulls, none empty.

    Returns:
        Hashes, uint64, row after row, with repeats; offsets, uint64, shape [texts + 1].
    """
    points, sizes = _padded(_points(texts), lengths(texts), n)
    hashes = np.zeros(max(0, len(points) - n + 1), np.uint64)
    for shift in range(n):
        hashes *= np.uint64(0x100000001B3)
        hashes += points[shift : shift + len(hashes)]
    ends = np.cumsum(sizes)
    crossing = np.zeros(len(points), bool)
    for back in range(1, n):  # every row has at least n points, so none reaches before its own
        crossing[ends - back] = True
    offsets = np.zeros(len(sizes) + 1, np.uint64)
    offsets[1:] = np.cumsum(sizes - (n - 1))
    return stirred(hashes[~crossing[: len(hashes)]]), offsets


def _points(texts: pa.Array) -> np.ndarray:
    """The code points of all texts, one after another. uint32."""
    _, offsets, content = texts.buffers()
    bounds = np.frombuffer(offsets, np.int64)[texts.offset : texts.offset + len(texts) + 1]
    joined = memoryview(content)[int(bounds[0]) : int(bounds[-1])] if content else b""
    return np.frombuffer(str(joined, "utf-8").encode("utf-32-le"), np.uint32)


def _padded(points: np.ndarray, sizes: np.ndarray, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows of fewer than n points are filled up with zeros, which no normal text holds."""
    wide = np.maximum(sizes, n)
    if np.array_equal(wide, sizes):
        return points, sizes
    moved = np.cumsum(wide) - wide - (np.cumsum(sizes) - sizes)
    filled = np.zeros(int(wide.sum()), np.uint32)
    filled[np.arange(len(points)) + np.repeat(moved, sizes)] = points
    return filled, wide


def stirred(hashes: np.ndarray) -> np.ndarray:
    """Every bit made to depend on all (the end of MurmurHash3, Appleby 2011). In place."""
    for factor in (0xFF51AFD7ED558CCD, 0xC4CEB9FE1A85EC53):
        hashes ^= hashes >> np.uint64(33)
        hashes *= np.uint64(factor)
    hashes ^= hashes >> np.uint64(33)
    return hashes


def sorted_set(numbers: np.ndarray) -> np.ndarray:
    """Each number once, rising. ``np.unique`` hashes first and is several times slower here."""
    ordered = np.sort(numbers)
    new = np.ones(len(ordered), bool)
    new[1:] = ordered[1:] != ordered[:-1]
    return ordered[new]


def gram_sets(texts: pa.Array, n: int) -> tuple[np.ndarray, np.ndarray]:
    """The different grams of each text, sorted.

    Returns:
        Grams, uint64 below 2^44; offsets, int64, shape [texts + 1].
    """
    parts, counts = [], [np.zeros(1, np.int64)]
    for start, end in batches(lengths(texts)):
        hashes, offsets = grams(texts.slice(start, end - start), n)
        owned: np.ndarray = np.diff(offsets.astype(np.int64))
        rows = np.repeat(np.arange(end - start, dtype=np.uint64), owned)
        tagged = sorted_set(rows << np.uint64(GRAM_BITS) | hashes >> np.uint64(64 - GRAM_BITS))
        parts.append(tagged & np.uint64((1 << GRAM_BITS) - 1))
        owners = (tagged >> np.uint64(GRAM_BITS)).astype(np.int64)
        counts.append(np.bincount(owners, minlength=end - start))
    flat = np.concatenate(parts) if parts else np.zeros(0, np.uint64)
    return flat, np.cumsum(np.concatenate(counts))


def jaccard(
    texts: pa.Array,
    n: int,
    left: np.ndarray,
    right: np.ndarray,
    floor: float,
    stop: threading.Event,
) -> Generator[Progress, None, np.ndarray]:
    """The share of n-grams that each pair has in common: intersection over union, exactly.

    Args:
        texts: large_string without nulls, none empty.
        left, right: numbers of texts, int64, shape [pairs].
        floor: a pair whose sizes alone keep it below this is not looked at and gets 0.

    Returns:
        float32, shape [pairs].

    Raises:
        Stopped.
    """
    used = sorted_set(np.concatenate([left, right]))
    flat, offsets = gram_sets(texts.take(pa.array(used)), n)
    first, second = np.searchsorted(used, left), np.searchsorted(used, right)
    sizes = np.diff(offsets)
    small = np.minimum(sizes[first], sizes[second])
    large = np.maximum(sizes[first], sizes[second])
    worth = np.flatnonzero(small >= floor * large)
    similarity = np.zeros(len(left), np.float32)
    cuts = np.flatnonzero(np.diff(np.cumsum((small + large)[worth]) // BATCH_GRAMS)) + 1
    done = 0
    for batch in np.split(worth, cuts):
        yield Progress("compare", done, len(worth), "pairs")
        if stop.is_set():
            raise Stopped
        shared = _shared(flat, offsets, first[batch], second[batch])
        similarity[batch] = shared / np.maximum(1, (small + large)[batch] - shared)
        done += len(batch)
    yield Progress("compare", done, len(worth), "pairs")
    return similarity


def _shared(
    flat: np.ndarray, offsets: np.ndarray, first: np.ndarray, second: np.ndarray
) -> np.ndarray:
    """How many grams each pair shares: tag both sets with the pair, sort, count the twins."""
    counts = []
    step = 1 << (64 - GRAM_BITS)
    for start in range(0, len(first), step):
        some, others = first[start : start + step], second[start : start + step]
        tagged = np.concatenate([_tagged(flat, offsets, side) for side in (some, others)])
        tagged.sort()
        twins = tagged[1:][tagged[1:] == tagged[:-1]] >> np.uint64(GRAM_BITS)
        counts.append(np.bincount(twins.astype(np.int64), minlength=len(some)))
    return np.concatenate(counts) if counts else np.zeros(0, np.int64)


def _tagged(flat: np.ndarray, offsets: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """The sets of the given rows, one after another, each gram with its place in ``rows``."""
    sizes = offsets[rows + 1] - offsets[rows]
    starts = offsets[rows] - (np.cumsum(sizes) - sizes)
    pair = np.repeat(np.arange(len(rows), dtype=np.uint64), sizes)
    at = np.arange(int(sizes.sum())) + np.repeat(starts, sizes)
    tags: np.ndarray = pair << np.uint64(GRAM_BITS) | flat[at]
    return tags
