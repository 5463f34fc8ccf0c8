"""Which texts may be alike? Locality-sensitive hashing over MinHash signatures.

A signature is cut into bands; texts that agree on a whole band meet in a bucket and are
worth comparing (Broder 1997; Leskovec, Rajaraman & Ullman, Mining of Massive Datasets,
chapter 3). rensa makes the signatures. This module proposes; it does not know
how alike the texts really are.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Generator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from workbench.errors import Stopped
from workbench.events import Progress
from workbench.likeness.shingles import (
    MULTIPLIER,
    batches,
    grams,
    lengths,
    sorted_set,
    stirred,
)

SEED = 42
MOST_PERMUTATIONS = 192
MISSED_AT_FLOOR = 0.05
# In a bucket above this size a text meets only its next few neighbours.
CROWD = 48
NEIGHBOURS = 4
HELD_PAIRS = 8_000_000


@dataclass(frozen=True)
class Bands:
    """``count`` bands of ``rows`` permutations each."""

    count: int
    rows: int

    @property
    def permutations(self) -> int:
        return self.count * self.rows

    def recall(self, similarity: float) -> float:
        """The probability that two texts of this Jaccard similarity meet: 1 - (1 - s^r)^b."""
        return 1 - (1 - similarity**self.rows) ** self.count


def bands_for(floor: float) -> Bands:
    """The most rows a band (the fewest useless meetings) that find 95% of pairs at the floor.

    Pairs above the floor are found more surely: with floor 0.5, 95.2% at 0.5 and 99.9% at 0.6.
    """
    best = Bands(MOST_PERMUTATIONS, 1)
    for rows in range(2, MOST_PERMUTATIONS):
        meeting = floor**rows
        if meeting >= 1:
            return Bands(1, MOST_PERMUTATIONS)
        count = math.ceil(math.log(MISSED_AT_FLOOR) / math.log1p(-meeting))
        if count * rows > MOST_PERMUTATIONS:
            break
        best = Bands(count, rows)
    return best


def candidates(
    texts: pa.Array, n: int, bands: Bands, sides: np.ndarray, stop: threading.Event
) -> Generator[Progress, None, tuple[np.ndarray, np.ndarray, int]]:
    """Pairs of texts that meet in some bucket.

    Args:
        texts: large_string, all different, none empty.
        n: code points of a gram.
        sides: uint8, shape [texts]: a pair is wanted where one has bit 1 and the other bit 2,
            so 3 everywhere wants every pair.

    Returns:
        Left and right, int64, left < right, each pair once; how many texts were in a bucket
        too crowded for all its pairs.

    Raises:
        Stopped.
    """
    keys = yield from band_keys(texts, n, bands, stop)
    # One order for all buckets, in which texts that share their first bands are neighbours.
    order = np.lexsort(keys[: min(4, bands.count)][::-1])
    keys, sides = keys[:, order], sides[order]
    crowded = np.zeros(len(order), bool)
    held: list[np.ndarray] = []
    for number, band in enumerate(keys):
        yield Progress("hash", len(order), len(order), "rows")
        if stop.is_set():
            raise Stopped
        held.append(_meetings(band, sides, crowded))
        if number == bands.count - 1 or sum(map(len, held)) > HELD_PAIRS:
            held = [sorted_set(np.concatenate(held))]
    codes = held[0] if held else np.zeros(0, np.int64)
    one, other = order[codes // max(1, len(order))], order[codes % max(1, len(order))]
    return np.minimum(one, other), np.maximum(one, other), int(crowded.sum())


def band_keys(
    texts: pa.Array, n: int, bands: Bands, stop: threading.Event
) -> Generator[Progress, None, np.ndarray]:
    """One number for each band of each text's signature. Shape [bands, texts], uint64."""
    from rensa import RMinHash

    keys = np.zeros((bands.count, len(texts)), np.uint64)
    for start, end in batches(lengths(texts)):
        yield Progress("hash", start, len(texts), "rows")
        if stop.is_set():
            raise Stopped
        flat, offsets = grams(texts.slice(start, end - start), n)
        made = RMinHash.digest_matrix_from_flat_token_hashes(
            flat, offsets, bands.permutations, SEED
        )
        digests = np.array(made.to_rows(), np.uint64).reshape(-1, bands.count, bands.rows)
        keys[:, start:end] = _folded(digests).T
    yield Progress("hash", len(texts), len(texts), "rows")
    return keys


def _folded(digests: np.ndarray) -> np.ndarray:
    """[texts, bands, rows] to [texts, bands]: one hash for each band."""
    folded = np.zeros(digests.shape[:2], np.uint64)
    for row in range(digests.shape[2]):
        folded *= np.uint64(MULTIPLIER)
        folded += digests[:, :, row]
    return stirred(folded)


def _meetings(band: np.ndarray, sides: np.ndarray, crowded: np.ndarray) -> np.ndarray:
    """Pairs of one band as ``low * texts + high``; marks who was in a crowd.

    The place is packed beneath the key, so one sort groups the texts and keeps their order.
    """
    count = len(band)
    bits = np.uint64(max(1, count.bit_length()))
    packed = np.sort(band >> bits << bits | np.arange(count, dtype=np.uint64))
    places = (packed & (np.uint64(1) << bits) - np.uint64(1)).astype(np.int64)
    starts = np.flatnonzero(np.diff(packed >> bits, prepend=~packed[:1] >> bits))
    sizes = np.diff(starts, append=count)
    starts, sizes = starts[sizes > 1], sizes[sizes > 1]
    crowded[places[_runs(starts[sizes > CROWD], sizes[sizes > CROWD])]] = True
    at, ends = _runs(starts, sizes), np.repeat(starts + sizes, sizes)
    reach = np.repeat(np.where(sizes > CROWD, NEIGHBOURS, CROWD), sizes)
    found = [_across_crowds(places, sides, starts[sizes > CROWD], sizes[sizes > CROWD])]
    for step in range(1, CROWD):
        near = (at + step < ends) & (step <= reach)
        at, ends, reach = at[near], ends[near], reach[near]
        if not len(at):
            break
        found.append(_coded(places[at], places[at + step], sides))
    return np.concatenate(found)


def _runs(starts: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """The numbers of several ranges, one after another."""
    shifts = np.repeat(starts - (np.cumsum(sizes) - sizes), sizes)
    numbers: np.ndarray = np.arange(len(shifts)) + shifts
    return numbers


def _coded(low: np.ndarray, high: np.ndarray, sides: np.ndarray) -> np.ndarray:
    """Wanted pairs as one number each; within a bucket places rise, so low < high."""
    one, other = sides[low], sides[high]
    wanted = ((one & 1) & (other >> 1)) | ((one >> 1) & (other & 1))
    coded: np.ndarray = (low * len(sides) + high)[wanted.astype(bool)]
    return coded


def _across_crowds(
    places: np.ndarray, sides: np.ndarray, starts: np.ndarray, sizes: np.ndarray
) -> np.ndarray:
    """In a crowd of two sides, each text meets the nearest of the other before and after it."""
    if not len(starts) or sides.min() == 3:
        return np.zeros(0, np.int64)
    at, begins, ends = (
        _runs(starts, sizes),
        np.repeat(starts, sizes),
        np.repeat(starts + sizes, sizes),
    )
    found = []
    for side in (1, 2):
        there = (sides[places[at]] & side).astype(bool)
        before = np.maximum.accumulate(np.where(there, at, -1))
        after = np.minimum.accumulate(np.where(there, at, len(places))[::-1])[::-1]
        one, other = (before >= begins) & (before < at), (after < ends) & (after > at)
        found.append(_coded(places[before[one]], places[at[one]], sides))
        found.append(_coded(places[at[other]], places[after[other]], sides))
    return np.concatenate(found)
