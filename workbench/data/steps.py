"""Carrying out a step: what each kind does to the rows that are there now.

This module does not know where datasets lie, nor what was done before: it reads the
state it is given and returns an effect.
"""

from __future__ import annotations

import threading
from collections.abc import Generator
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa

from workbench.data.alike import (
    between,
    duplicate_findings,
    findings,
    likeness,
    overlap_findings,
    within,
)
from workbench.data.checks.findings import FINDINGS, CheckOptions
from workbench.data.dataset import Dataset
from workbench.data.query import View
from workbench.data.recipe import (
    Check,
    Decide,
    Done,
    Duplicates,
    Edit,
    Fill,
    Filter,
    Label,
    Overlap,
    Registers,
    Split,
    Step,
    Switch,
)
from workbench.data.rows import FIXED, Example, Message, dumps, filled, table_of
from workbench.data.shipped import slot_of
from workbench.data.state import Effect
from workbench.errors import BadStep, InputChanged, NoSuchRow, NothingLeft, Stopped
from workbench.events import Progress
from workbench.likeness.groups import grouped, split
from workbench.settings import Settings

BATCH = 10_000
Work = Generator[Progress, None, Effect]


def do(
    dataset: Dataset, step: Step, settings: Settings, stop: threading.Event
) -> Generator[Progress, None, Done]:
    """Do one step to a dataset and write it down.

    Raises:
        BadStep, BadExpression, QueryTooSlow, NoSuchRow, NothingLeft, Stopped.
    """
    step = _complete(dataset, step)
    return (yield from dataset.do(step, effect(dataset, step, settings, stop)))


def _complete(dataset: Dataset, step: Step) -> Step:
    """Write down which rows the other dataset had, so that a replay can tell."""
    if isinstance(step, Overlap):
        other = Dataset(dataset.workspace, step.other)
        if other.folder == dataset.folder:
            raise BadStep(reason="a dataset is not compared with itself, or no row would be left")
        if step.sha256 and step.sha256 != other.recipe.sha256:
            raise InputChanged(name=step.other, sha256=step.sha256)
        return replace(step, sha256=other.recipe.sha256)
    return step


def effect(dataset: Dataset, step: Step, settings: Settings, stop: threading.Event) -> Work:
    """What a step does to a dataset as it is now."""
    match step:
        case Check():
            return (yield from _check(dataset, step, stop))
        case Filter():
            return _filter(dataset, step)
        case Duplicates():
            pairs = yield from within(dataset, likeness(step), settings, stop)
            return Effect(
                duplicate_findings(dataset, pairs, step.threshold, step.rule, step.preferred)
            )
        case Overlap():
            other = Dataset(dataset.workspace, step.other)
            pairs = yield from between(dataset, other, likeness(step), settings, stop)
            return Effect(overlap_findings(pairs, step.threshold, step.other))
        case Split():
            return (yield from _split(dataset, step, settings, stop))
        case Registers():
            return (yield from _registers(dataset, step, stop))
        case Fill():
            return (yield from _fill(dataset, step, stop))
        case Edit():
            return _edit(dataset, step)
        case Decide():
            return _decide(dataset, step)
        case Switch():
            return _switch(dataset, step)
        case Label():
            _require_row(dataset, step.row)
            return Effect()


def _check(dataset: Dataset, step: Check, stop: threading.Event) -> Work:
    from workbench.data.checks import run as checks

    found = yield from checks.run(dataset.state.table, step.checks, options_of(step), stop)
    return Effect(found.cast(FINDINGS))


def options_of(step: Check) -> CheckOptions:
    """The options of a check step; what is not said is as usual.

    Raises:
        BadStep, BadSettings, OutOfRange.
    """
    given: dict[str, Any] = {
        k: tuple(v) if isinstance(v, list) else v for k, v in step.options.items()
    }
    try:
        return CheckOptions(**given)
    except TypeError as error:
        raise BadStep(reason="an option of the checks is not known") from error


def _filter(dataset: Dataset, step: Filter) -> Effect:
    state = dataset.state
    where = (step.where,) if step.where.strip() else ()
    inside = np.zeros(state.count, bool)
    inside[state.query.rows(View(where, step.search))] = True
    rows = np.flatnonzero(~inside)
    facts = dumps({"where": step.where or step.search})
    return Effect(findings(rows, "filter", "filtered", [facts] * len(rows)))


def _split(dataset: Dataset, step: Split, settings: Settings, stop: threading.Event) -> Work:
    state = dataset.state
    rows = state.kept_rows()
    if not len(rows):
        raise NothingLeft
    like = likeness(Duplicates(step.method, step.part, step.threshold))
    pairs = yield from within(dataset, like, settings, stop)
    near = pairs.above(step.threshold)
    groups = grouped(near, state.count)[rows]
    _, labels = np.unique(groups, return_inverse=True)
    first = np.unique(labels, return_index=True)[1]
    sides = np.full(state.count, None, object)
    sides[rows] = split(first[labels].astype(np.int64), step.weights, step.seed)
    return Effect(columns=pa.table({"split": pa.array(sides, pa.string())}))


def _registers(dataset: Dataset, step: Registers, stop: threading.Event) -> Work:
    from workbench.language import register

    texts = dataset.state.query.texts(step.part)
    labels: list[str] = []
    for start in range(0, len(texts), BATCH):
        if stop.is_set():
            raise Stopped
        yield Progress("label", start, len(texts), "rows")
        labels += [register(text) for text in texts.slice(start, BATCH).to_pylist()]
    return Effect(columns=pa.table({"register": pa.array(labels, pa.string())}))


def _fill(dataset: Dataset, step: Fill, stop: threading.Event) -> Work:
    slot = slot_of(step.values)
    state = dataset.state
    rows = state.query.rows(View(search="{{"))
    numbers, changed = [], []
    for start in range(0, len(rows), BATCH):
        if stop.is_set():
            raise Stopped
        yield Progress("fill", start, len(rows), "rows")
        part = rows[start : start + BATCH]
        for row, example in zip(part.tolist(), state.examples(part), strict=True):
            after = filled(example, slot, step.values)
            if after != example:
                numbers.append(row)
                changed.append(after)
    return Effect(patch=patch(dataset, numbers, changed))


def _edit(dataset: Dataset, step: Edit) -> Effect:
    _require_row(dataset, step.row)
    before = dataset.state.example(step.row)
    after = replace(
        before,
        messages=_turns(step.messages) or (),
        chosen=_turns(step.chosen),
        rejected=_turns(step.rejected),
    )
    if before.input and before.input not in after.prompt:
        after = replace(after, input=None)
    return Effect(patch=patch(dataset, [step.row], [after]))


def _turns(turns: tuple[dict[str, Any], ...] | None) -> tuple[Message, ...] | None:
    if turns is None:
        return None
    try:
        return tuple(Message(**turn) for turn in turns)
    except TypeError as error:
        raise BadStep(reason="a turn needs a role and a content and nothing unknown") from error


def patch(dataset: Dataset, rows: list[int], examples: list[Example]) -> pa.Table:
    """New rows in the table's own schema, with their numbers."""
    schema = dataset.state.table.schema
    own = {name: schema.field(name).type for name in schema.names if name not in FIXED}
    table = table_of(examples, own)
    return table.append_column("row", pa.array(rows, pa.int64()))


def _decide(dataset: Dataset, step: Decide) -> Effect:
    state = dataset.state
    if step.where or step.search:
        return Effect(rows=np.sort(state.query.rows(View(step.where, step.search))))
    for row in step.rows:
        _require_row(dataset, row)
    return Effect()


def _switch(dataset: Dataset, step: Switch) -> Effect:
    if step.step not in dataset.state.findings:
        raise BadStep(reason=f"step {step.step} leaves nothing out, so it cannot be switched")
    return Effect()


def _require_row(dataset: Dataset, row: int) -> None:
    if not 0 <= row < dataset.state.count:
        raise NoSuchRow(row=row, count=dataset.state.count)
