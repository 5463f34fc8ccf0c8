"""Numbers about a dataset: how much, how long, in which register, who speaks, from where.

Lengths are Unicode code points, or tokens of whatever tokenizer the caller brings; words
are never counted, as Chinese does not set them apart. This module does not know models.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from workbench.data.checks.findings import ANSWERING
from workbench.data.rows import characters, turn_texts
from workbench.errors import OutOfRange, Stopped
from workbench.events import Progress
from workbench.language import REGISTERS, register
from workbench.signs import JUDGED

Tokens = Callable[[list[str]], list[int]]
"""Texts to their lengths in tokens, one for each."""

CHUNK = 1000
SAMPLE = 20_000
SEED = 20
COLUMNS = ("messages", "chosen", "rejected")


@dataclass(frozen=True)
class Counts:
    """How much there is."""

    rows: int
    turns: int
    """Messages, and both answers of preference rows."""
    characters: int


@dataclass(frozen=True)
class Histogram:
    """How many lengths lie from one edge up to, not including, the next."""

    edges: tuple[int, ...]
    """0, 1, 2, 4, 8, ... up to the first that is above all lengths."""
    counts: tuple[int, ...]
    """One fewer than edges."""
    median: int
    near_most: int
    """95% of the lengths are no greater."""
    most: int


@dataclass(frozen=True)
class Cut:
    """What a limit on the length of a row would cut off."""

    limit: int
    rows: int
    """Rows longer than the limit."""
    share: float
    lost: float
    """The share of all tokens, or characters, that lie beyond the limit."""


@dataclass(frozen=True)
class Shares:
    """Counts of labels, the most frequent first, and of how many rows they were taken."""

    counts: tuple[tuple[str, int], ...]
    counted: int
    of: int

    @property
    def is_sample(self) -> bool:
        """True if not every row was looked at: say so wherever the shares are shown."""
        return self.counted < self.of

    def share(self, label: str) -> float:
        """Between 0 and 1."""
        return dict(self.counts).get(label, 0) / self.counted if self.counted else 0.0


def counts(table: pa.Table, rows: np.ndarray | None = None) -> Counts:
    """Rows, turns and characters."""
    part = _taken(table, rows)
    turns = sum(len(turn_texts(part, column)[1]) for column in COLUMNS)
    return Counts(part.num_rows, turns, int(characters(part).sum()))


def length_histogram(table: pa.Table, rows: np.ndarray | None = None) -> Histogram:
    """Lengths of the rows in characters."""
    return histogram(characters(_taken(table, rows)))


def histogram(lengths: np.ndarray) -> Histogram:
    """Lengths, shape [n], in bins that double."""
    if not len(lengths):
        return Histogram((0, 1), (0,), 0, 0, 0)
    most = int(lengths.max())
    edges = [0, *(1 << power for power in range(most.bit_length() + 1))]
    counted, _ = np.histogram(lengths, [*edges[:-1], edges[-1] - 0.5])
    middle, near = np.percentile(lengths, [50, 95], method="inverted_cdf")
    return Histogram(tuple(edges), tuple(map(int, counted)), int(middle), int(near), most)


def token_lengths(
    table: pa.Table, tokens: Tokens, stop: threading.Event, rows: np.ndarray | None = None
) -> Generator[Progress, None, np.ndarray]:
    """Tokens of each row: of its messages and its better answer, without a chat template.

    Returns:
        Shape [rows], int64.

    Raises:
        Stopped.
    """
    part = _taken(table, rows)
    lengths = np.zeros(part.num_rows, np.int64)
    said = [turn_texts(part, column) for column in ("messages", "chosen")]
    total, done = sum(len(owners) for _, owners in said), 0
    for texts, owners in said:
        for start in range(0, len(owners), CHUNK):
            if stop.is_set():
                raise Stopped()
            yield Progress("tokenize", done + start, total, "turns")
            chunk = [text or "" for text in texts.slice(start, CHUNK).to_pylist()]
            np.add.at(lengths, owners[start : start + CHUNK], tokens(chunk))
        done += len(owners)
    yield Progress("tokenize", total, total, "turns")
    return lengths


def cut_at(lengths: np.ndarray, limit: int) -> Cut:
    """What a limit would cut.

    Args:
        lengths: shape [rows], in tokens or characters.
        limit: in the same unit.

    Raises:
        OutOfRange: the limit is below 1.
    """
    if limit < 1:
        raise OutOfRange(field="limit", value=limit, low=1, high=1 << 30)
    beyond = np.maximum(lengths - limit, 0)
    over = int((beyond > 0).sum())
    total = int(lengths.sum())
    share = over / len(lengths) if len(lengths) else 0.0
    return Cut(limit, over, share, int(beyond.sum()) / total if total else 0.0)


def register_shares(
    table: pa.Table, stop: threading.Event, rows: np.ndarray | None = None
) -> Generator[Progress, None, Shares]:
    """The register of each row's last answer, or of its plain text, by the first 400
    characters; of 20,000 rows drawn at random if there are more.

    Rows without an answer are not counted.

    Raises:
        Stopped.
    """
    numbers = np.arange(table.num_rows) if rows is None else np.asarray(rows, np.int64)
    drawn = numbers
    if len(numbers) > SAMPLE:
        drawn = np.sort(np.random.default_rng(SEED).choice(numbers, SAMPLE, replace=False))
    texts = _answers(_taken(table, None if drawn is numbers and rows is None else drawn))
    labels: Counter[str] = Counter()
    for start in range(0, len(texts), CHUNK):
        if stop.is_set():
            raise Stopped()
        yield Progress("check", start, len(texts), "rows")
        labels.update(register(text[:JUDGED]) for text in texts[start : start + CHUNK])
    yield Progress("check", len(texts), len(texts), "rows")
    listed = [(name, labels[name]) for name in REGISTERS if labels[name]]
    ordered = tuple(sorted(listed, key=lambda pair: -pair[1]))
    of = len(numbers) if len(drawn) < len(numbers) else len(texts)
    return Shares(ordered, len(texts), of)


def _answers(table: pa.Table) -> list[str]:
    """The last answer of each row that has one, as ``Example.answer`` picks it."""
    last: dict[int, str] = {}
    for column in ("messages", "chosen"):
        texts, owners = turn_texts(table, column)
        answering = pc.is_in(_roles(table, column), pa.array(ANSWERING))
        mask = answering.to_numpy().astype(bool)
        said = texts.filter(pa.array(mask)).to_pylist()
        last.update(zip(owners[mask].tolist(), said, strict=True))
    return [text for _, text in sorted(last.items()) if text]


def role_counts(table: pa.Table, rows: np.ndarray | None = None) -> Shares:
    """How many turns each role has, in the messages and the better answers."""
    part = _taken(table, rows)
    roles = [*_roles(part, "messages").chunks, *_roles(part, "chosen").chunks]
    return _shares(pa.chunked_array(roles, pa.string()))


def turn_counts(table: pa.Table, rows: np.ndarray | None = None) -> tuple[tuple[int, int], ...]:
    """How many rows have how many messages: pairs of turns and rows, fewest turns first."""
    part = _taken(table, rows)
    lengths = pc.fill_null(pc.list_value_length(part.column("messages")), 0)
    found, how_many = np.unique(lengths.to_numpy(), return_counts=True)
    return tuple(zip(map(int, found), map(int, how_many), strict=True))


def source_shares(table: pa.Table, rows: np.ndarray | None = None) -> Shares:
    """How many rows come from each source; "" for those that do not say."""
    return _shares(pc.fill_null(_taken(table, rows).column("source"), ""))


def _shares(labels: Any) -> Shares:
    counted = [
        (str(one["values"]), int(one["counts"])) for one in pc.value_counts(labels).to_pylist()
    ]
    ordered = tuple(sorted(counted, key=lambda pair: (-pair[1], pair[0])))
    return Shares(ordered, len(labels), len(labels))


def _roles(table: pa.Table, column: str) -> pa.ChunkedArray:
    roles = [
        pc.struct_field(pc.list_flatten(chunk), "role") for chunk in table.column(column).chunks
    ]
    return pa.chunked_array(roles, pa.string())


def _taken(table: pa.Table, rows: np.ndarray | None) -> pa.Table:
    return table if rows is None else table.take(pa.array(np.asarray(rows, np.int64)))
