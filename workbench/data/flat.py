"""Nested messages as flat columns over the same bytes: no text is copied.

A million conversations are searched and filtered as fast as memory is read only if the
database sees one text a row. This module does not know what is asked of the columns.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

INLINE = 12
"""Bytes of a text that stand in an Arrow string view itself."""


@dataclass(frozen=True)
class Turns:
    """The messages of one chunk: row ``r`` has turns ``ends[r]`` up to ``ends[r + 1]``."""

    ends: np.ndarray
    """Shape [rows + 1], from 0."""
    contents: pa.StringArray
    """Shape [turns]; empty where there is none."""
    said: np.ndarray
    """False where the content is null. Shape [turns], bool."""
    roles: pa.Array

    @property
    def places(self) -> np.ndarray:
        """Where each content begins in the bytes, and where the last ends. [turns + 1]."""
        raw = self.contents.buffers()[1]
        if raw is None or not raw.size:
            return np.zeros(1, np.int32)
        first = self.contents.offset
        return np.frombuffer(raw, np.int32)[first : first + len(self.contents) + 1]

    @property
    def data(self) -> pa.Buffer:
        """The bytes that ``places`` point into."""
        return self.contents.buffers()[2] or pa.py_buffer(b"")


def turns_of(lists: pa.ListArray) -> Turns:
    """One chunk of a column of messages; a list that is null has no turns."""
    offsets = lists.offsets.to_numpy()
    hidden = lists.is_null().to_numpy(zero_copy_only=False) & (np.diff(offsets) > 0)
    if hidden.any():  # Arrow allows elements under a null; nobody makes them
        lists = pa.array(lists.to_pylist(), lists.type)
        offsets = lists.offsets.to_numpy()
    turns = lists.values.slice(offsets[0], offsets[-1] - offsets[0])
    contents = pc.struct_field(turns, "content")
    said = contents.is_valid().to_numpy(zero_copy_only=False)
    if contents.null_count:
        contents = pc.fill_null(contents, "")
    return Turns(offsets - offsets[0], contents, said, pc.struct_field(turns, "role"))


def whole(turns: Turns) -> pa.StringArray:
    """All contents of each row one after another, with nothing between. Shape [rows]."""
    ends = np.ascontiguousarray(turns.places[turns.ends])
    return pa.StringArray.from_buffers(len(ends) - 1, pa.py_buffer(ends), turns.data)


@dataclass(frozen=True)
class Picked:
    """One turn of each row."""

    turns: Turns
    which: np.ndarray
    """Number of the turn in the chunk, -1 for none. Shape [rows]."""

    def spans(self) -> tuple[np.ndarray, np.ndarray]:
        """First byte and number of bytes of each text; 0 and 0 for none. Shapes [rows]."""
        places, at = self.turns.places, np.maximum(self.which, 0)
        if len(places) < 2:
            return np.zeros_like(at), np.zeros_like(at)
        start = np.where(self.which < 0, 0, places[at])
        return start, np.where(self.which < 0, 0, places[at + 1] - places[at])


def picked(turns: Turns, roles: Collection[str] | None, last: bool = True) -> Picked:
    """The last turn, or the first, in one of these roles (None: in any); null is none."""
    count = len(turns.said)
    wanted = np.ones(count, bool)
    if roles is not None:
        wanted = pc.is_in(turns.roles, pa.array(list(roles))).to_numpy(zero_copy_only=False)
    first, after = turns.ends[:-1], turns.ends[1:]
    chosen = np.flatnonzero(wanted)
    if last:
        at = np.searchsorted(chosen, after) - 1
        found = np.where(at >= 0, np.append(chosen, -1)[at], -1)
        found = np.where(found >= first, found, -1)
    else:
        at = np.searchsorted(chosen, first)
        found = np.append(chosen, count)[at]
        found = np.where(found < after, found, -1)
    return Picked(turns, np.where(np.append(turns.said, True)[found], found, -1))


def views(better: Picked, other: Picked | None = None) -> pa.Array:
    """The texts as string views; where ``better`` has none, those of ``other``. [rows]."""
    parts = [better] if other is None else [better, other]
    source = np.where(better.which >= 0, 0, len(parts) - 1)
    spans = [part.spans() for part in parts]
    start, length = (
        np.where(source == 0, mine, theirs)
        for mine, theirs in zip(spans[0], spans[-1], strict=True)
    )
    long = length > INLINE
    view = np.zeros((len(source), 4), np.int32)
    view[:, 0] = length
    for number, part in enumerate(parts):
        for some, size in ((long, 4), (~long, INLINE)):
            mine = np.flatnonzero(some & (source == number))
            view[mine, 1 : 1 + size // 4] = _heads(part.turns.data, start[mine], length[mine], size)
    view[long, 2], view[long, 3] = source[long], start[long]
    there = np.where(source == 0, better.which, parts[-1].which) >= 0
    buffers = [pa.array(there).buffers()[1], pa.py_buffer(view), *(p.turns.data for p in parts)]
    return pa.Array.from_buffers(pa.string_view(), len(view), buffers, int((~there).sum()))


def _heads(data: pa.Buffer, start: np.ndarray, length: np.ndarray, size: int) -> np.ndarray:
    """The first bytes of each text, zeros behind its end. Shape [texts, size / 4], int32."""
    raw = np.frombuffer(data, np.uint8) if data.size else np.zeros(1, np.uint8)
    heads = np.zeros((len(start), size), np.uint8)
    for at in range(size):
        there = np.minimum(start + at, len(raw) - 1)
        heads[:, at] = np.where(at < length, raw[there], 0)
    return heads.view(np.int32)


PICKED = ("prompt", "answer", "system")


def column(table: pa.Table, name: str) -> pa.ChunkedArray:
    """One of ``PICKED`` as ``query.DERIVED`` has it. string_view, shape [rows]."""
    batches = table.select(["messages", "chosen"]).to_batches()
    return pa.chunked_array([_texts(name, batch) for batch in batches], pa.string_view())


def _texts(name: str, batch: pa.RecordBatch) -> pa.Array:
    turns, better = turns_of(batch.column("messages")), batch.column("chosen")
    if name == "prompt":
        return views(picked(turns, ("user",)))
    if name == "system":
        return views(picked(turns, ("system",), last=False))
    answer = picked(turns, ("assistant", "text"))
    if better.null_count == len(better):
        return views(answer)
    return views(picked(turns_of(better), None), answer)


@dataclass(frozen=True)
class Seams:
    """The bytes on both sides of each place where two turns of a row meet."""

    rows: np.ndarray
    before: np.ndarray
    after: np.ndarray

    def rows_with(self, word: str) -> np.ndarray:
        """Rows in which ``word`` may lie across a seam; too many, never too few."""
        if len(word) < 2:
            return self.rows[:0]
        left, right = _bytes_of(word[:-1], -1), _bytes_of(word[1:], 0)
        return np.unique(self.rows[left[self.before] & right[self.after]])


def _bytes_of(characters: str, which: int) -> np.ndarray:
    """True for the last or the first byte of each, in any case. Shape [256], bool."""
    marked = np.zeros(256, bool)
    either = characters.lower() + characters.upper()
    for character in {*characters, *either.lower(), *either.upper()}:
        marked[character.encode("utf-8", "surrogatepass")[which]] = True
    if characters.lower() != characters.upper():
        marked[128:] = True  # the sign of the kelvin is a k, too
    return marked


def seams(turns: Turns) -> Seams:
    """The seams of one chunk; turns without a text are passed over."""
    places = turns.places
    owners = np.repeat(np.arange(len(turns.ends) - 1, dtype=np.int32), np.diff(turns.ends))
    full = np.flatnonzero(np.diff(places))
    same = owners[full[:-1]] == owners[full[1:]]
    left, right = full[:-1][same], full[1:][same]
    if not len(left):
        return Seams(*(np.zeros(0, kind) for kind in (np.int32, np.uint8, np.uint8)))
    raw = np.frombuffer(turns.data, np.uint8)
    return Seams(owners[left], raw[places[left + 1] - 1], raw[places[right]])


class Said:
    """All texts of one column of messages, to be searched without opening the lists."""

    def __init__(self, lists: pa.ChunkedArray) -> None:
        self._turns = [turns_of(chunk) for chunk in lists.chunks]
        self._seams = [seams(turns) for turns in self._turns]
        self._first = np.cumsum([0, *(len(chunk) for chunk in lists.chunks)])[:-1]
        texts = pa.chunked_array([whole(turns) for turns in self._turns], pa.string())
        self.rows = pa.table({"row": pa.array(np.arange(len(lists))), "text": texts})
        """Row numbers, and all turns of each row as one text."""

    def doubtful(self, word: str, found: np.ndarray) -> pa.Table:
        """The single turns of the found rows in which ``word`` may lie across two turns.

        Args:
            found: shape [rows], bool.

        Returns:
            Columns ``row`` and ``text``.
        """
        parts = [self.rows.slice(0, 0)]
        for first, turns, meet in zip(self._first, self._turns, self._seams, strict=True):
            doubted = meet.rows_with(word)
            doubted = doubted[found[doubted + first]]
            if len(doubted):
                parts.append(_turns_in(turns, doubted, int(first)))
        return pa.concat_tables(parts)


def _turns_in(turns: Turns, rows: np.ndarray, first: int) -> pa.Table:
    """Every turn of some rows of a chunk, whose rows are counted from ``first``."""
    lengths = np.diff(turns.ends)[rows]
    before = np.cumsum(lengths) - lengths
    numbers = np.repeat(turns.ends[rows] - before, lengths) + np.arange(lengths.sum())
    owners = np.repeat(rows.astype(np.int64) + first, lengths)
    return pa.table({"row": pa.array(owners), "text": turns.contents.take(pa.array(numbers))})
