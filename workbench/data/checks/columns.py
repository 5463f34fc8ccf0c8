"""Which rows a check need look at at all, found on whole columns at once.

Every function here may name too many rows, never too few: the checks then look closely at
those it names. It knows Arrow and regular expressions of RE2; not what a fault is.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from workbench.data.checks.findings import ANSWERING
from workbench.data.rows import characters, turn_texts

Rows = np.ndarray[Any, np.dtype[np.bool_]]
"""One mark a row: whether to look at it. Shape [rows]."""

GRAM = 8
"""Characters in a piece by which repetition is measured."""
ENDS = "。！？!?；;\n"
"""What ends a sentence, for the sake of finding it again."""
_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)


@dataclass(frozen=True)
class Turns:
    """Turns of a table: contents, the row of each and its role. Shapes [turns]."""

    texts: pa.Array
    rows: np.ndarray
    roles: pa.Array

    def where(self, mask: np.ndarray) -> Turns:
        """Those of a mask."""
        kept = pa.array(mask)
        return Turns(pc.filter(self.texts, kept), self.rows[mask], pc.filter(self.roles, kept))


@dataclass(frozen=True)
class Columns:
    """A slice of a dataset with its turns laid out flat."""

    table: pa.Table

    @property
    def size(self) -> int:
        """Rows."""
        return int(self.table.num_rows)

    @functools.cached_property
    def turns(self) -> Turns:
        """Every turn: messages, chosen, rejected."""
        return _joined([_turns(self.table, name) for name in ("messages", "chosen", "rejected")])

    @functools.cached_property
    def messages(self) -> Turns:
        """The turns of ``messages`` alone, in order."""
        return _turns(self.table, "messages")

    @functools.cached_property
    def answers(self) -> Turns:
        """Answers to learn from and plain texts."""
        learned = _joined([self.messages, _turns(self.table, "chosen")])
        return learned.where(_mask(pc.is_in(learned.roles, pa.array(ANSWERING))))

    @functools.cached_property
    def prompts(self) -> Turns:
        """What the user says."""
        return self.messages.where(_mask(pc.equal(self.messages.roles, "user")))

    @functools.cached_property
    def characters(self) -> np.ndarray:
        """Code points of each row. Shape [rows]."""
        return characters(self.table)

    def rows_of(self, rows: np.ndarray) -> Rows:
        """Row numbers as marks."""
        found = np.zeros(self.size, np.bool_)
        found[rows] = True
        return found

    def matching(self, turns: Turns, pattern: re.Pattern[str]) -> Rows:
        """Rows with a turn in which the pattern is found. RE2 must read it as ``re`` does."""
        careless = bool(pattern.flags & re.IGNORECASE)
        found = pc.match_substring_regex(turns.texts, pattern.pattern, ignore_case=careless)
        return self.rows_of(turns.rows[_mask(found)])

    def pairs(self) -> Rows:
        """Rows with a better and a worse answer."""
        return _mask(pc.is_valid(self.table.column("chosen")))


def _turns(table: pa.Table, column: str) -> Turns:
    texts, rows = turn_texts(table, column)
    roles = [
        pc.struct_field(pc.list_flatten(chunk), "role") for chunk in table.column(column).chunks
    ]
    return Turns(_flat(texts), rows, _flat(pa.chunked_array(roles, pa.string())))


def _flat(array: Any) -> pa.Array:
    """One array, whether it came in chunks or not."""
    if not isinstance(array, pa.ChunkedArray):
        return array
    return pa.concat_arrays(array.chunks) if array.chunks else pa.array([], array.type)


def _joined(parts: Sequence[Turns]) -> Turns:
    return Turns(
        pa.concat_arrays([part.texts for part in parts]),
        np.concatenate([part.rows for part in parts]),
        pa.concat_arrays([part.roles for part in parts]),
    )


def _mask(array: Any) -> Rows:
    marks = _flat(pc.fill_null(array, False))
    return np.asarray(marks.to_numpy(zero_copy_only=False), dtype=np.bool_)


def lengths(texts: pa.Array) -> np.ndarray:
    """Code points of each text, 0 for none. Shape [texts], int64."""
    counted = _flat(pc.fill_null(pc.utf8_length(texts), 0))
    return np.asarray(counted.to_numpy(zero_copy_only=False), np.int64)


def repeating(turns: Turns, repeats: int, loop_share: float) -> np.ndarray:
    """Rows with a turn in which sentences or pieces of 8 characters come again and again.

    Pieces are hashed with their turn, sorted, and equal neighbours counted: a hash that two
    pieces share names a row too many, never one too few.

    Returns:
        Row numbers, unique.
    """
    kept = turns.where(lengths(turns.texts) >= 2 * GRAM)
    sizes = lengths(kept.texts)
    if not len(sizes):
        return np.zeros(0, np.int64)
    points = np.frombuffer("".join(kept.texts.to_pylist()).encode("utf-32-le"), np.uint32)
    owner = np.repeat(np.arange(len(sizes), dtype=np.uint64), sizes)
    keys = _keys(points, owner)
    inside = owner[: len(keys)] == owner[GRAM - 1 :]
    begins = np.sort(keys[inside & _begins(points, owner)[: len(keys)]])
    often = begins[repeats - 1 :] == begins[: max(0, len(begins) - repeats + 1)]
    found = _looping(np.sort(keys[inside]), sizes, loop_share)
    found[(begins[repeats - 1 :][often] >> np.uint64(40)).astype(np.int64)] = True
    return np.unique(kept.rows[found])


def _keys(points: np.ndarray, owner: np.ndarray) -> np.ndarray:
    """A hash of the 8 characters from each one on, with the number of the text in the upper
    24 bits. Shape [characters - 7]."""
    hashed = points[: len(points) - GRAM + 1].astype(np.uint64)
    for shift in range(1, GRAM):
        hashed *= _MULTIPLIER
        hashed += points[shift : shift + len(hashed)]
    hashed ^= hashed >> np.uint64(29)
    hashed *= _MULTIPLIER
    hashed >>= np.uint64(24)
    hashed |= owner[: len(hashed)] << np.uint64(40)
    return hashed


def _begins(points: np.ndarray, owner: np.ndarray) -> np.ndarray:
    """Characters with which a sentence may begin: no space, and behind nothing but spaces
    comes an end of a sentence, the end of code or the start of the text."""
    kind = _kinds()[np.minimum(points, 0xFFFF)]
    solid = np.flatnonzero(kind != 1)
    starts = kind[solid] == 0
    starts[1:] &= (kind[solid[:-1]] == 2) | (owner[solid[1:]] != owner[solid[:-1]])
    begins = np.zeros(len(points), np.bool_)
    begins[solid[starts]] = True
    return begins


@functools.cache
def _kinds() -> np.ndarray:
    """0 for a character, 1 for a space, 2 for what ends a sentence. Shape [65536]."""
    kinds = np.array([chr(point).isspace() for point in range(0x10000)], np.uint8)
    kinds[[ord(character) for character in ENDS + "`"]] = 2
    return kinds


def _looping(keys: np.ndarray, sizes: np.ndarray, share: float) -> Rows:
    """Texts in which at least this share of the sorted keys was there before."""
    again = keys[1:][keys[1:] == keys[:-1]]
    counts = np.bincount((again >> np.uint64(40)).astype(np.int64), minlength=len(sizes))
    # not less by a rounding: the exact share is 1 - different / pieces
    found: Rows = counts + 1e-6 >= share * (sizes - GRAM + 1)
    return found
