"""Rows that say the same in other words: embeddings, and who is nearest to whom.

An embedder is any function from texts to vectors; ``embedders`` has two. Up to some
60,000 rows every pair is looked at, beyond that a graph index proposes neighbours. This
module does not know models. Cosines mean different things under different ones:
multilingual-e5 puts unrelated Cantonese instructions at 0.80 to 0.94 (measured on 175 of
them), so a floor for it must lie above that.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator
from typing import Any

import numpy as np
import pyarrow as pa

from workbench.errors import OutOfRange, Stopped
from workbench.events import Progress
from workbench.likeness.duplicates import Texts
from workbench.likeness.pairs import Pairs, across_rows, among_rows, firsts, no_pairs, pairs_of
from workbench.likeness.shingles import as_array, distinct, normalize

Embed = Callable[[list[str]], np.ndarray]
"""Texts to vectors, shape [texts, dimensions]; the lengths of the vectors do not matter."""

TEXTS_AT_ONCE = 32
# Looking at 40,000 rows with each other took a third of the time of an index (2 cores).
MOST_EXACT = 60_000**2
QUERIES_AT_ONCE = 512


def embeddings(
    texts: Texts, embed: Embed, stop: threading.Event | None = None, at_once: int = TEXTS_AT_ONCE
) -> Generator[Progress, None, np.ndarray]:
    """The vector of every row, to be kept by whoever asks again.

    Rows with the same normal form share the vector of the first of them. A row without
    letters, or whose vector is not finite, gets zeros and is like nothing.

    Args:
        at_once: texts handed over at a time; Stop is heard in between.

    Returns:
        float32, shape [rows, dimensions], each of length 1 or 0.

    Raises:
        Stopped.
    """
    whole = as_array(texts)
    codes, different = distinct(normalize(whole))
    chosen = whole.take(pa.array(firsts(codes, len(different)))).to_pylist()
    parts = [np.zeros((0, 0), np.float32)]
    for start in range(0, len(chosen), at_once):
        yield Progress("embed", start, len(chosen), "rows")
        if stop is not None and stop.is_set():
            raise Stopped
        parts.append(unit(np.asarray(embed(chosen[start : start + at_once]), np.float32)))
    yield Progress("embed", len(chosen), len(chosen), "rows")
    made = np.concatenate(parts[1:]) if len(parts) > 1 else parts[0]
    vectors = np.zeros((len(whole), made.shape[1]), np.float32)
    vectors[codes >= 0] = made[codes[codes >= 0]]
    return vectors


def unit(vectors: np.ndarray) -> np.ndarray:
    """Rows scaled to length 1; zeros where that cannot be. Shape as given, float32."""
    sizes = np.linalg.norm(vectors.astype(np.float64), axis=1, keepdims=True)
    usable = np.isfinite(sizes) & (sizes > 0)
    scaled = np.divide(vectors, sizes, out=np.zeros(vectors.shape, np.float64), where=usable)
    lengthened: np.ndarray = scaled.astype(np.float32)
    return lengthened


def meaning(
    texts: Texts,
    embed: Embed,
    floor: float = 0.8,
    neighbours: int = 10,
    stop: threading.Event | None = None,
) -> Generator[Progress, None, Pairs]:
    """Each row with those of its nearest neighbours whose cosine is at least ``floor``.

    Raises:
        OutOfRange, Stopped.
    """
    _check(floor, neighbours)
    vectors = yield from embeddings(texts, embed, stop)
    return (yield from similar(vectors, floor, neighbours, stop))


def meaning_between(
    a: Texts,
    b: Texts,
    embed: Embed,
    floor: float = 0.8,
    neighbours: int = 10,
    stop: threading.Event | None = None,
) -> Generator[Progress, None, Pairs]:
    """For each row of B its nearest rows of A; left is in A, right in B.

    Raises:
        OutOfRange, Stopped.
    """
    _check(floor, neighbours)
    first, second = as_array(a), as_array(b)
    # Together, so that rows with the same normal form share a vector across the two.
    vectors = yield from embeddings(pa.concat_arrays([first, second]), embed, stop)
    one, other = vectors[: len(first)], vectors[len(first) :]
    return (yield from similar_between(one, other, floor, neighbours, stop))


def similar(
    vectors: np.ndarray,
    floor: float = 0.8,
    neighbours: int = 10,
    stop: threading.Event | None = None,
) -> Generator[Progress, None, Pairs]:
    """What ``meaning`` finds, from vectors of length 1 (or 0) made before.

    Equal vectors are collapsed first and come back as chains.

    Raises:
        OutOfRange, Stopped.
    """
    _check(floor, neighbours)
    codes, count = _numbered(vectors)
    base = vectors[firsts(codes, count)]
    found = yield from _nearest(base, None, floor, neighbours, stop or threading.Event())
    low, high = np.minimum(found.left, found.right), np.maximum(found.left, found.right)
    return among_rows(pairs_of(low, high, found.similarity), codes, count)


def similar_between(
    a: np.ndarray,
    b: np.ndarray,
    floor: float = 0.8,
    neighbours: int = 10,
    stop: threading.Event | None = None,
) -> Generator[Progress, None, Pairs]:
    """What ``meaning_between`` finds, from vectors made before.

    Raises:
        OutOfRange, Stopped.
    """
    _check(floor, neighbours)
    if not a.size or not b.size:
        return no_pairs()
    joined = np.concatenate([a, b])
    codes, count = _numbered(joined)
    codes_a, codes_b = codes[: len(a)], codes[len(a) :]
    kinds_a, kinds_b = (np.unique(side[side >= 0]) for side in (codes_a, codes_b))
    different = joined[firsts(codes, count)]
    found = yield from _nearest(
        different[kinds_a], different[kinds_b], floor, neighbours, stop or threading.Event()
    )
    meant = pairs_of(kinds_a[found.left], kinds_b[found.right], found.similarity)
    return across_rows(meant, codes_a, codes_b, count)


def _check(floor: float, neighbours: int) -> None:
    if not -1 <= floor <= 1:
        raise OutOfRange(field="floor", value=floor, low=-1, high=1)
    if not 1 <= neighbours <= 1000:
        raise OutOfRange(field="neighbours", value=neighbours, low=1, high=1000)


def _numbered(vectors: np.ndarray) -> tuple[np.ndarray, int]:
    """The same vector has the same number; zeros and what is not finite have -1."""
    if not vectors.size:
        return np.full(len(vectors), -1, np.int64), 0
    usable = np.flatnonzero(np.isfinite(vectors).all(axis=1) & vectors.any(axis=1))
    raw = np.ascontiguousarray(vectors[usable], np.float32)
    kind = pa.binary(raw.shape[1] * 4)
    held = pa.Array.from_buffers(kind, len(raw), [None, pa.py_buffer(raw)])
    encoded = held.dictionary_encode()
    codes = np.full(len(vectors), -1, np.int64)
    codes[usable] = encoded.indices.to_numpy()
    return codes, len(encoded.dictionary)


def _nearest(
    base: np.ndarray,
    queries: np.ndarray | None,
    floor: float,
    neighbours: int,
    stop: threading.Event,
) -> Generator[Progress, None, Pairs]:
    """The nearest rows of ``base`` to each query; without queries, to each other."""
    asked = base if queries is None else queries
    most = min(len(base), neighbours + (queries is None))
    if not most or not len(asked):
        return no_pairs()
    index = None
    if len(base) * len(asked) > MOST_EXACT:
        index = yield from _indexed(base, stop)
    near, far = [], []
    for start in range(0, len(asked), QUERIES_AT_ONCE):
        yield Progress("compare", start, len(asked), "rows")
        if stop.is_set():
            raise Stopped
        some = asked[start : start + QUERIES_AT_ONCE]
        keys = _looked_up(index, some, most) if index is not None else _ranked(base, some, most)
        near.append(keys.ravel())
        far.append(np.repeat(np.arange(start, start + len(some)), most))
    yield Progress("compare", len(asked), len(asked), "rows")
    left, right = np.concatenate(near), np.concatenate(far)
    real = (left >= 0) & ((left != right) if queries is None else True)
    return _measured(base, asked, left[real], right[real]).above(floor)


def _ranked(base: np.ndarray, some: np.ndarray, most: int) -> np.ndarray:
    """The nearest rows of the base by looking at all. Shape [queries, most]."""
    scores = some @ base.T
    return np.argpartition(-scores, most - 1, axis=1)[:, :most]


def _indexed(base: np.ndarray, stop: threading.Event) -> Generator[Progress, None, Any]:
    """A graph of neighbours (HNSW, Malkov & Yashunin 2016), built by one thread.

    Several threads would make another graph each time, and other pairs.
    """
    from usearch.index import Index

    index = Index(ndim=base.shape[1], metric="ip", dtype="f32")
    for start in range(0, len(base), QUERIES_AT_ONCE):
        yield Progress("index", start, len(base), "rows")
        if stop.is_set():
            raise Stopped
        end = min(start + QUERIES_AT_ONCE, len(base))
        index.add(np.arange(start, end), base[start:end], threads=1)
    return index


def _looked_up(index: Any, some: np.ndarray, most: int) -> np.ndarray:
    """The nearest rows by the index, -1 where it found fewer. Shape [queries, most]."""
    found = index.search(some, most)
    keys = np.asarray(found.keys).astype(np.int64).reshape(len(some), most)
    counts = np.asarray(getattr(found, "counts", [most])).reshape(-1, 1)
    return np.where(np.arange(most) < counts, keys, -1)


def _measured(base: np.ndarray, asked: np.ndarray, left: np.ndarray, right: np.ndarray) -> Pairs:
    """Pairs with their cosine, from the vectors themselves."""
    scores = np.zeros(len(left), np.float32)
    for start in range(0, len(left), 65536):
        part = slice(start, start + 65536)
        scores[part] = np.einsum("ij,ij->i", base[left[part]], asked[right[part]])
    return pairs_of(left, right, scores)
