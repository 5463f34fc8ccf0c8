"""What the steps so far amount to: which rows are kept, and every reason why not.

A step's result is an ``Effect``; a ``State`` is a table with effects folded into it.
This module does not know how an effect was worked out, nor where it is stored.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from workbench.data.query import Query
from workbench.data.recipe import Check, Decide, Label, Step, Switch, Tagging
from workbench.data.rows import Example, example_of, loads, pick


@dataclass(frozen=True)
class Effect:
    """What one step does to the rows; the parts that do not apply are None."""

    findings: pa.Table | None = None
    rows: np.ndarray | None = None
    """Rows a by-hand decision is about."""
    patch: pa.Table | None = None
    """New rows in the table's own schema, with their numbers in ``row``, ascending."""
    columns: pa.Table | None = None
    """Whole columns beside the table."""

    @property
    def touched(self) -> int:
        """Rows that the step is about."""
        if self.findings is not None:
            return len(pc.unique(self.findings.column("row")))
        if self.rows is not None:
            return len(self.rows)
        return 0 if self.patch is None else int(self.patch.num_rows)


@dataclass(frozen=True)
class Reason:
    """One reason why a row is tagged."""

    step: int
    check: str
    kind: str
    turn: int | None
    start: int | None
    end: int | None
    facts: dict[str, Any]
    drops: bool


def label_columns(labels: dict[int, Label], count: int) -> dict[str, pa.Array]:
    """Rating, task, annotator and better answers as columns of a table of ``count`` rows."""
    rows = sorted(labels)
    place = np.full(count, -1)
    place[rows] = np.arange(len(rows))
    where = pa.array(place, mask=place < 0)
    values = {
        "rating": pa.array([labels[row].rating for row in rows], pa.int8()),
        "task": pa.array([labels[row].task for row in rows], pa.string()),
        "annotator": pa.array([labels[row].annotator or None for row in rows], pa.string()),
        "improved": pa.array(
            [list(labels[row].answers) or None for row in rows], pa.list_(pa.string())
        ),
    }
    return {name: few.take(where) for name, few in values.items()}


class State:
    """A table and what is known about each of its rows."""

    def __init__(self, table: pa.Table) -> None:
        self.table = table
        self.count: int = table.num_rows
        self.findings: dict[int, tuple[Tagging, pa.Table]] = {}
        self._rows: dict[int, np.ndarray] = {}
        self.off: set[tuple[int, str]] = set()
        self.decisions = np.zeros(self.count, np.int8)
        self.labels: dict[int, Label] = {}
        self.columns: dict[str, pa.Array] = {}
        self._query: Query | None = None
        self._fresh = False
        self._kept: np.ndarray | None = None
        self._tags: pa.Array | None = None
        self._labelled: dict[str, pa.Array] | None = None

    def apply(self, number: int, step: Step, effect: Effect) -> None:
        """Fold one step in. ``number`` counts from 1."""
        if effect.findings is not None:
            found = effect.findings.combine_chunks()
            self.findings[number] = (step, found)  # type: ignore[assignment]
            self._rows[number] = found.column("row").to_numpy()
            self._tags = None
        elif isinstance(step, Switch):
            change = self.off.discard if step.on else self.off.add
            change((step.step, step.check))
            self._tags = None
        elif isinstance(step, Decide):
            value = {"keep": 1, "drop": -1, "clear": 0}[step.decision]
            self.decisions[effect.rows if effect.rows is not None else list(step.rows)] = value
        elif isinstance(step, Label):
            self.labels[step.row] = step
            self._labelled = None
        if effect.patch is not None:
            self.table = patched(self.table, effect.patch)
        if effect.columns is not None:
            for name in effect.columns.column_names:
                self.columns[name] = effect.columns.column(name).combine_chunks()
        self._kept, self._fresh = None, False

    @property
    def kept(self) -> np.ndarray:
        """True for each row that would be exported. Shape [rows], bool."""
        if self._kept is None:
            kept = np.ones(self.count, bool)
            for rows in self._dropping():
                kept[rows] = False
            kept[self.decisions > 0] = True
            kept[self.decisions < 0] = False
            self._kept = kept
        return self._kept

    def kept_rows(self) -> np.ndarray:
        """The numbers of the kept rows. Shape [kept], int64."""
        return np.flatnonzero(self.kept)

    def is_on(self, number: int, check: str = "") -> bool:
        """False if the step, or this check of it, is switched off."""
        return (number, "") not in self.off and (number, check) not in self.off

    def drops(self, number: int, check: str) -> bool:
        """True if a finding of this check leaves its row out."""
        step = self.findings[number][0]
        return self.is_on(number, check) and (not isinstance(step, Check) or check in step.drops)

    def _dropping(self) -> Iterator[np.ndarray]:
        for number, (step, found) in self.findings.items():
            if not self.is_on(number):
                continue
            rows = self._rows[number]
            if isinstance(step, Check):
                wanted = [check for check in step.drops if self.is_on(number, check)]
                chosen = pc.is_in(found.column("check"), pa.array(wanted, pa.string()))
                rows = rows[chosen.to_numpy()]
            yield rows

    def reasons(self, row: int) -> list[Reason]:
        """Every finding of a row that is switched on, in the order of the steps."""
        found = []
        for number, (_, table) in self.findings.items():
            rows = self._rows[number]
            first, last = np.searchsorted(rows, [row, row + 1])
            for line in table.slice(first, last - first).to_pylist():
                check = line.pop("check")
                del line["row"]
                line["facts"] = loads(line["facts"]) if line["facts"] else {}
                if self.is_on(number, check):
                    found.append(Reason(number, check, drops=self.drops(number, check), **line))
        return found

    def tallies(self) -> list[tuple[int, str, int]]:
        """Of each step and check: how many rows it tags (step number, check, rows)."""
        lines = []
        for number, (_, table) in self.findings.items():
            pairs = table.select(["check", "row"]).group_by(["check", "row"]).aggregate([])
            counts = pairs.group_by("check").aggregate([("row", "count")]).to_pylist()
            lines += [(number, line["check"], line["row_count"]) for line in counts]
        return sorted(lines, key=lambda line: (line[0], -line[2], line[1]))

    def tags(self) -> pa.Array:
        """The names of the checks that found something, once each. list<string> [rows]."""
        if self._tags is None:
            self._tags = self._tagged()
        return self._tags

    def _tagged(self) -> pa.Array:
        names: list[str] = []
        keys = [np.zeros(0, np.int64)]
        for number, (_, table) in self.findings.items():
            coded = table.column("check").combine_chunks().dictionary_encode()
            here = coded.dictionary.to_pylist()
            names += [name for name in here if name not in names]
            code = np.array([names.index(name) for name in here], np.int64)
            on = np.array([self.is_on(number, name) for name in here], bool)
            indices = coded.indices.to_numpy(zero_copy_only=False)
            rows = self._rows[number]
            keys.append((rows * 1000 + code[indices])[on[indices]] if len(rows) else rows)
        unique = np.unique(np.concatenate(keys))
        offsets = np.searchsorted(unique // 1000, np.arange(self.count + 1))
        values = pa.array(names, pa.string()).take(pa.array(unique % 1000))
        return pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), values)

    @property
    def query(self) -> Query:
        """The table with tags, labels and the split beside it, ready to be asked."""
        if self._query is None:
            self._query = Query(self.table, self._beside())
        elif not self._fresh:
            self._query.update(self._beside(), self.table)
        self._fresh = True
        return self._query

    def _beside(self) -> dict[str, pa.Array]:
        # a rating of the dataset's own is seen until a person rates
        own = () if self.labels else {name.lower() for name in self.table.column_names}
        labels = {name: one for name, one in self.label_columns().items() if name not in own}
        kept = pa.array(self.kept)
        return {"tags": self.tags(), "kept": kept, **labels, **self.columns}

    def label_columns(self) -> dict[str, pa.Array]:
        """What people said of the rows: rating, task, annotator, improved."""
        if self._labelled is None:
            self._labelled = label_columns(self.labels, self.count)
        return self._labelled

    def example(self, row: int) -> Example:
        """One row as it now reads."""
        return example_of(self.table.slice(row, 1).to_pylist()[0])

    def examples(self, rows: np.ndarray | list[int]) -> list[Example]:
        return [example_of(line) for line in pick(self.table, rows).to_pylist()]


def patched(table: pa.Table, patch: pa.Table) -> pa.Table:
    """A table in which some rows are others; nothing else is copied."""
    numbers = patch.column("row").to_numpy()
    rows = patch.drop_columns(["row"])
    if len(numbers) > 1000:
        return _woven(table, rows, numbers)
    parts, before = [], 0
    for place, number in enumerate(numbers.tolist()):
        parts += [table.slice(before, number - before), rows.slice(place, 1)]
        before = number + 1
    return pa.concat_tables([*parts, table.slice(before)])


def _woven(table: pa.Table, rows: pa.Table, numbers: np.ndarray) -> pa.Table:
    """Many replacements at once: one take over both tables."""
    order = np.arange(table.num_rows)
    order[numbers] = table.num_rows + np.arange(len(numbers))
    return pa.concat_tables([table, rows]).take(pa.array(order))
