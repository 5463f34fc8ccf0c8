"""Every check of a dataset, one row at a time or a whole table at once.

Checks tag; nothing is taken out. ``run`` finds the rows worth a look on whole columns and
then asks the same functions that ``check_row`` asks, so both say the same. This module does
not know what is done about a finding.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Iterator, Sequence

import numpy as np
import pyarrow as pa

from workbench.data.checks import answers as checks_answers
from workbench.data.checks import personal
from workbench.data.checks import text as checks_text
from workbench.data.checks import turns as checks_turns
from workbench.data.checks.columns import Columns, Rows
from workbench.data.checks.findings import FINDINGS, CheckOptions, Finding
from workbench.data.checks.text import sign
from workbench.data.rows import Example, dumps, examples_of
from workbench.errors import BadSettings, Stopped
from workbench.events import Progress

__all__ = ["CHECKS", "FINDINGS", "CheckOptions", "Finding", "check_row", "run"]

Check = Callable[[Example, CheckOptions], Iterator[Finding]]
Candidates = Callable[[Columns, CheckOptions], Rows]

CHECKS: dict[str, Check] = {
    "empty_input": checks_turns.empty_input,
    "empty_answer": checks_turns.empty_answer,
    "roles": checks_turns.roles,
    "echo": checks_turns.echo,
    "same_pair": checks_turns.same_pair,
    "length": checks_turns.length,
    "broken_task": checks_answers.broken_task,
    "truncated": checks_answers.truncated,
    "refusal": checks_answers.refusal,
    "register": checks_answers.wrong_register,
    "repetition": checks_answers.repetition,
    "unfilled": checks_text.unfilled,
    "scripts": checks_text.scripts,
    "mojibake": checks_text.mojibake,
    "control": checks_text.control,
    "zero_width": checks_text.zero_width,
    "url": personal.url,
    "email": personal.email,
    "phone": personal.phone,
    "hkid": personal.hkid,
}
"""In the order in which the page lists them."""

CANDIDATES: dict[str, Candidates] = {
    "empty_input": checks_turns.may_empty_input,
    "empty_answer": checks_turns.may_empty_answer,
    "roles": checks_turns.may_roles,
    "echo": checks_turns.may_echo,
    "same_pair": checks_turns.may_same_pair,
    "length": checks_turns.may_length,
    "broken_task": checks_answers.may_broken_task,
    "truncated": checks_answers.may_truncated,
    "refusal": checks_answers.may_refusal,
    "register": checks_answers.may_wrong_register,
    "repetition": checks_answers.may_repetition,
    "unfilled": sign(checks_text.UNFILLED),
    "scripts": checks_text.may_scripts,
    "mojibake": sign(checks_text.MOJIBAKE),
    "control": sign(checks_text.CONTROL),
    "zero_width": sign(checks_text.ZERO_WIDTH),
    "url": sign(personal.URL_SIGN),
    "email": sign(personal.EMAIL_SIGN),
    "phone": sign(personal.PHONE_SIGN),
    "hkid": sign(personal.HKID_SIGN),
}

CHUNK = 10_000
STEP = 512


def check_row(example: Example, chosen: Sequence[str], options: CheckOptions) -> Iterator[Finding]:
    """What the chosen checks say about one row, in the order of ``CHECKS``."""
    for name, check in CHECKS.items():
        if name in chosen:
            yield from check(example, options)


def run(
    table: pa.Table,
    chosen: Sequence[str],
    options: CheckOptions,
    stop: threading.Event,
    rows: np.ndarray | None = None,
) -> Generator[Progress, None, pa.Table]:
    """Check a dataset.

    Args:
        table: the dataset, schema of ``workbench.data.rows``.
        chosen: ids of ``CHECKS``.
        stop: set by whoever does not want to wait any longer.
        rows: the row numbers to check, shape [n]; all if None.

    Returns:
        Findings, schema ``FINDINGS``, by row number.

    Raises:
        BadSettings: a check is not known. Stopped.
    """
    unknown = [name for name in chosen if name not in CHECKS]
    if unknown:
        raise BadSettings(reason=f"there is no check called {unknown[0]}")
    numbers = np.arange(table.num_rows) if rows is None else np.unique(np.asarray(rows, np.int64))
    parts = []
    for start in range(0, len(numbers), CHUNK):
        yield Progress("inspect", start, len(numbers), "rows")
        taken = numbers[start : start + CHUNK]
        part = table.slice(start, CHUNK) if rows is None else table.take(pa.array(taken))
        parts.append(_findings(part, taken, chosen, options, stop))
    yield Progress("inspect", len(numbers), len(numbers), "rows")
    return pa.concat_tables([FINDINGS.empty_table(), *parts])


def _findings(
    part: pa.Table,
    numbers: np.ndarray,
    chosen: Sequence[str],
    options: CheckOptions,
    stop: threading.Event,
) -> pa.Table:
    """The findings of one slice, whose rows have these numbers."""
    asked = _asked(Columns(part), chosen, options, stop)
    some = np.flatnonzero(
        np.logical_or.reduce([np.zeros(part.num_rows, np.bool_), *asked.values()])
    )
    found: list[tuple[int, Finding]] = []
    for at, example in enumerate(examples_of(part.take(pa.array(some, pa.int64())))):
        if at % STEP == 0 and stop.is_set():
            raise Stopped()
        row = int(some[at])
        names = [name for name, mask in asked.items() if mask[row]]
        found += [(int(numbers[row]), one) for one in check_row(example, names, options)]
    return _table(found)


def _asked(
    columns: Columns, chosen: Sequence[str], options: CheckOptions, stop: threading.Event
) -> dict[str, Rows]:
    """The rows that each check has to look at. Shapes [rows], bool."""
    asked = {}
    for name in CHECKS:
        if stop.is_set():
            raise Stopped()
        if name in chosen:
            asked[name] = CANDIDATES[name](columns, options)
    return asked


def _table(found: list[tuple[int, Finding]]) -> pa.Table:
    fields = {
        "row": [row for row, _ in found],
        "check": [one.check for _, one in found],
        "kind": [one.kind for _, one in found],
        "turn": [one.turn for _, one in found],
        "start": [one.start for _, one in found],
        "end": [one.end for _, one in found],
        "facts": [dumps(one.facts) for _, one in found],
    }
    return pa.table(fields, schema=FINDINGS)
