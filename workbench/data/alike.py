"""Rows of a dataset that say the same, or that another dataset also has.

Searching takes the time, choosing a threshold does not: the pairs are kept beside the
dataset, so that a threshold can be dragged. This module does not know how the searches
work (see ``duplicates`` and ``meaning``).
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from workbench.data import storage
from workbench.data.checks.findings import FINDINGS
from workbench.data.dataset import Dataset
from workbench.data.recipe import Duplicates, Method, Overlap, Part
from workbench.data.rows import characters, dumps
from workbench.events import Progress
from workbench.likeness import duplicates
from workbench.likeness.groups import Rule, grouped, keep_one
from workbench.likeness.pairs import Pairs, pairs_of
from workbench.settings import Settings

FLOORS: dict[Method, float] = {"exact": 1.0, "near": 0.5, "meaning": 0.85}
"""The least similarity that a search reports; thresholds are chosen above it."""
Search = Generator[Progress, None, Pairs]


@dataclass(frozen=True)
class Likeness:
    """What is compared, and how."""

    method: Method = "near"
    part: Part = "whole"
    model: str = ""


def within(
    dataset: Dataset, like: Likeness, settings: Settings, stop: threading.Event
) -> Generator[Progress, None, Pairs]:
    """Pairs among the kept rows, by their numbers in the dataset.

    Raises:
        Stopped, ModelNotFound, HubUnreachable.
    """
    rows = dataset.state.kept_rows()
    place = _place(dataset, like, rows, "")
    if place.exists():
        return _read(place)
    texts = dataset.state.query.texts(like.part, rows)
    found = yield from _search(texts, None, like, settings, stop)
    pairs = pairs_of(rows[found.left], rows[found.right], found.similarity, found.crowded)
    _write(place, pairs)
    return pairs


def between(
    dataset: Dataset, other: Dataset, like: Likeness, settings: Settings, stop: threading.Event
) -> Generator[Progress, None, Pairs]:
    """Kept rows of the dataset (left) that are like kept rows of the other (right).

    Raises:
        Stopped, ModelNotFound, HubUnreachable.
    """
    rows, others = dataset.state.kept_rows(), other.state.kept_rows()
    place = _place(dataset, like, rows, f"{other.recipe.dumps()}")
    if place.exists():
        return _read(place)
    texts = dataset.state.query.texts(like.part, rows)
    against = other.state.query.texts(like.part, others)
    found = yield from _search(texts, against, like, settings, stop)
    pairs = pairs_of(rows[found.left], others[found.right], found.similarity, found.crowded)
    _write(place, pairs)
    return pairs


def _search(
    texts: pa.ChunkedArray,
    against: pa.ChunkedArray | None,
    like: Likeness,
    settings: Settings,
    stop: threading.Event,
) -> Search:
    floor = FLOORS[like.method]
    if like.method == "exact":
        yield Progress("compare", 0, 0, "rows")
        exact = duplicates.exact
        return exact(texts) if against is None else duplicates.exact_between(texts, against)
    if like.method == "near":
        if against is None:
            return (yield from duplicates.near(texts, floor, stop=stop))
        return (yield from duplicates.near_between(texts, against, floor, stop=stop))
    return (yield from _by_meaning(texts, against, like, floor, settings, stop))


def _by_meaning(
    texts: pa.ChunkedArray,
    against: pa.ChunkedArray | None,
    like: Likeness,
    floor: float,
    settings: Settings,
    stop: threading.Event,
) -> Search:
    from workbench.likeness import meaning

    embed = _embedder(like, settings)
    if against is None:
        return (yield from meaning.meaning(texts, embed, floor, stop=stop))
    return (yield from meaning.meaning_between(texts, against, embed, floor, stop=stop))


def _embedder(like: Likeness, settings: Settings) -> Any:
    from workbench.likeness import embedders

    if like.model:
        return embedders.sentence_transformer(like.model, token=settings.token)
    return embedders.nano()


def duplicate_findings(
    dataset: Dataset, pairs: Pairs, threshold: float, rule: Rule, preferred: tuple[str, ...]
) -> pa.Table:
    """Of each group all rows but one, with the row they lost to."""
    state = dataset.state
    near = pairs.above(threshold)
    groups = grouped(near, state.count)
    dropped, winner = keep_one(
        groups,
        rule,
        lengths=characters(state.table),
        scores=_scores(dataset),
        sources=state.table.column("source").to_pylist() if rule == "source" else None,
        preferred=preferred,
    )
    rows = np.flatnonzero(dropped & state.kept)
    likest = _likest(near)
    facts = [
        dumps({"row": int(winner[row]), "similarity": round(likest.get(row, 1.0), 3)})
        for row in rows.tolist()
    ]
    return findings(rows, "duplicate", "duplicate", facts)


def overlap_findings(pairs: Pairs, threshold: float, other: str) -> pa.Table:
    """Every row that the other dataset also has, with the likest row there."""
    near = pairs.above(threshold)
    order = np.lexsort((-near.similarity, near.left))
    rows, first = np.unique(near.left[order], return_index=True)
    best = order[first]
    facts = [
        dumps({"other": other, "row": int(row), "similarity": round(float(alike), 3)})
        for row, alike in zip(near.right[best], near.similarity[best], strict=True)
    ]
    return findings(rows, "overlap", "overlap", facts)


def leaks(dataset: Dataset, pairs: Pairs, threshold: float, column: pa.Array) -> Pairs:
    """The pairs whose rows stand in different parts of a split; null is no part."""
    near = pairs.above(threshold)
    parts = column.to_numpy(zero_copy_only=False)
    left, right = parts[near.left], parts[near.right]
    apart = np.array(
        [a is not None and b is not None and a != b for a, b in zip(left, right, strict=True)],
        bool,
    )
    kept = dataset.state.kept
    apart &= kept[near.left] & kept[near.right] if len(near) else apart
    return pairs_of(near.left[apart], near.right[apart], near.similarity[apart], near.crowded)


def findings(rows: np.ndarray, check: str, kind: str, facts: list[str]) -> pa.Table:
    """Findings about whole rows."""
    count = len(rows)
    return pa.table(
        {
            "row": pa.array(rows, pa.int64()),
            "check": pa.array([check] * count, pa.string()),
            "kind": pa.array([kind] * count, pa.string()),
            "turn": pa.nulls(count, pa.int32()),
            "start": pa.nulls(count, pa.int32()),
            "end": pa.nulls(count, pa.int32()),
            "facts": pa.array(facts, pa.string()),
        },
        schema=FINDINGS,
    )


def likeness(step: Duplicates | Overlap) -> Likeness:
    """What a step compares."""
    return Likeness(step.method, step.part, step.model)


def _scores(dataset: Dataset) -> np.ndarray:
    """Ratings by hand, or the dataset's own column ``score`` or ``rating``. NaN where none."""
    state = dataset.state
    if state.labels:
        rated = state.label_columns()["rating"]
    else:
        own = [name for name in ("score", "rating") if name in state.table.column_names]
        numeric = [name for name in own if _is_number(state.table.schema.field(name).type)]
        if not numeric:
            return np.full(state.count, np.nan)
        rated = state.table.column(numeric[0])
    return np.asarray(rated.cast(pa.float64()).to_numpy(zero_copy_only=False), np.float64)


def _is_number(kind: pa.DataType) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind))


def _likest(pairs: Pairs) -> dict[int, float]:
    best: dict[int, float] = {}
    for side in (pairs.left, pairs.right):
        for row, alike in zip(side.tolist(), pairs.similarity.tolist(), strict=True):
            best[row] = max(alike, best.get(row, 0.0))
    return best


def _place(dataset: Dataset, like: Likeness, rows: np.ndarray, other: str) -> Path:
    """Where the pairs of exactly these texts are kept."""
    edits = [str(done.step) for done in dataset.recipe.steps if done.step.kind in ("edit", "fill")]
    what = json.dumps([dataset.recipe.sha256, like.method, like.part, like.model, edits, other])
    key = hashlib.sha256(what.encode() + rows.tobytes()).hexdigest()
    return dataset.folder / "pairs" / f"{key[:24]}.parquet"


def _write(place: Path, pairs: Pairs) -> None:
    table = pa.table({"left": pairs.left, "right": pairs.right, "similarity": pairs.similarity})
    schema = table.schema.with_metadata({"crowded": str(pairs.crowded)})
    storage.write_table(place, table.cast(schema))


def _read(place: Path) -> Pairs:
    table = storage.read_table(place)
    left, right, alike = (table.column(name).to_numpy() for name in table.column_names)
    crowded = int((table.schema.metadata or {}).get(b"crowded", b"0"))
    return pairs_of(left, right, alike, crowded)
