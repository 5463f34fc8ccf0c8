"""A dataset's rows as a file that other programs read: Parquet, JSON, CSV or plain text.

The same rows give the same bytes. A row the form cannot hold is an error that names it,
and the old file stays until the new one is whole. In CSV, cells that a spreadsheet would
run as a formula get an apostrophe in front; ``rearm`` takes it away again. This module
does not know where rows come from, nor who downloads the file.
"""

from __future__ import annotations

import csv
import errno
import hashlib
import json
import os
import re
import shutil
import tempfile
import threading
from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Literal

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from workbench.data.formats.convert import (
    DEFAULTS,
    Mapping,
    from_example,
    inside_name,
    merge_seeds,
)
from workbench.data.formats.mapping import plain
from workbench.data.formats.plain_text import LOOKED_AT, blocks
from workbench.data.rows import dumps, example_of
from workbench.errors import CannotExport, DiskFull, Stopped
from workbench.events import Progress

Form = Literal[
    "parquet",
    "messages",
    "alpaca",
    "sharegpt",
    "preference",
    "tools",
    "prompt",
    "seeds",
    "qa",
    "csv",
    "text",
    "text-jsonl",
]
"""``text`` is plain text with blank lines between rows, ``text-jsonl`` has one a line in a
field; the others but Parquet and CSV are JSON Lines, or one JSON array if the path ends in
``.json``."""
STEP = 2000
"""Rows that are in Python's hands at a time."""
ROW_GROUP = 20_000
FORMULA = re.compile(r"'*[=+\-@\t\r\n＝＋－＠]")
"""How a cell begins that a spreadsheet might run, with or without apostrophes in front."""
Steps = Generator[Progress, None, None]


@dataclass(frozen=True)
class Written:
    """What was written."""

    path: Path
    rows: int
    bytes: int
    sha256: str


def write(
    table: pa.Table,
    keep: np.ndarray,
    path: Path,
    form: Form,
    stop: threading.Event,
    mapping: Mapping | None = None,
) -> Generator[Progress, None, Written]:
    """Write the rows of a table, in the order of ``keep``, to one file.

    Args:
        keep: row numbers. Shape [rows], int64.
        mapping: the field names to write; those of ``formats.DEFAULTS`` if None.

    Raises:
        CannotExport: a row does not fit the form. Stopped. DiskFull.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, beside = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            yield from _content(file, table, keep, form, stop, mapping, path.suffix == ".json")
            file.flush()
            os.fsync(file.fileno())
        report = Written(path, len(keep), Path(beside).stat().st_size, _sha256(Path(beside)))
        Path(beside).replace(path)
        return report
    except OSError as error:
        raise _full(error, table, path) from error
    finally:
        Path(beside).unlink(missing_ok=True)


def _full(error: OSError, table: pa.Table, path: Path) -> Exception:
    if error.errno != errno.ENOSPC:
        return error
    free = shutil.disk_usage(path.parent).free
    needed, left = (f"{size / 1e6:.0f} MB" for size in (table.nbytes, free))
    return DiskFull(needed=needed, free=left, place=path.parent.name)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _content(
    file: IO[bytes],
    table: pa.Table,
    keep: np.ndarray,
    form: Form,
    stop: threading.Event,
    mapping: Mapping | None,
    array: bool,
) -> Steps:
    if form == "parquet":
        yield from _parquet(file, table, keep, stop)
    elif form == "csv":
        yield from _csv(file, table, keep, stop, mapping or _flat(table, keep))
    elif form == "text":
        yield from _plain_text(file, table, keep, stop)
    else:
        chosen = mapping or DEFAULTS["text" if form == "text-jsonl" else form]
        yield from _json(file, table, keep, stop, chosen, array)


def _parts(table: pa.Table, keep: np.ndarray, step: int) -> Iterator[tuple[np.ndarray, pa.Table]]:
    """Row numbers and their rows, so many at a time.

    A stretch of the table is cut out first: taking from all of a large table would join
    its chunks, and text in one Arrow array ends at 2 GB.
    """
    for start in range(0, len(keep), step):
        rows = keep[start : start + step]
        low, high = int(rows.min()), int(rows.max()) + 1
        part = table.slice(low, high - low)
        yield (
            rows,
            part.take(pa.array(rows - low))
            if high - low != len(rows) or not _rising(rows)
            else part,
        )


def _rising(rows: np.ndarray) -> bool:
    return bool((np.diff(rows) == 1).all())


def _checked(done: int, total: int, stop: threading.Event) -> Progress:
    if stop.is_set():
        raise Stopped
    return Progress("write", done, total, "rows")


def _parquet(file: IO[bytes], table: pa.Table, keep: np.ndarray, stop: threading.Event) -> Steps:
    schema = table.schema.remove_metadata()
    done = 0
    with pq.ParquetWriter(
        file, schema, version="2.6", compression="zstd", compression_level=3
    ) as writer:
        for rows, part in _parts(table, keep, ROW_GROUP):
            yield _checked(done, len(keep), stop)
            writer.write_table(part.replace_schema_metadata(None), row_group_size=ROW_GROUP)
            done += len(rows)
    yield _checked(done, len(keep), stop)


# JSON.


def _records(
    table: pa.Table, keep: np.ndarray, mapping: Mapping
) -> Iterator[tuple[int, dict[str, Any] | str]]:
    """Each row's number and record."""
    for rows, part in _parts(table, keep, STEP):
        for row, values in zip(rows.tolist(), part.to_pylist(), strict=True):
            example = example_of(values)
            record = from_example(example, mapping, row)
            # a dataset's own column of that name comes first
            named = example.source is not None and inside_name("source") not in example.columns
            if named and mapping.format == "messages" and isinstance(record, dict):
                record["source"] = example.source
            yield row, record


def _json(
    file: IO[bytes],
    table: pa.Table,
    keep: np.ndarray,
    stop: threading.Event,
    mapping: Mapping,
    array: bool,
) -> Steps:
    counted = _Counted(_records(table, keep, mapping))
    records: Iterable[Any] = counted
    if mapping.format == "seeds":
        records = merge_seeds(counted, mapping)
    separator = b""
    file.write(b"[" if array else b"")
    for number, record in enumerate(records):
        if number % STEP == 0:
            yield _checked(max(0, counted.done - 1), len(keep), stop)
        file.write(separator + (b"\n" if array else b"") + _encoded(record))
        file.write(b"" if array else b"\n")
        separator = b"," if array else b""
    file.write(b"\n]\n" if array else b"")
    yield _checked(counted.done, len(keep), stop)


class _Counted:
    """Records as they are asked for, and how many rows they came from."""

    def __init__(self, records: Iterator[tuple[int, dict[str, Any] | str]]) -> None:
        self._records = records
        self.done = 0

    def __iter__(self) -> Iterator[Any]:
        for _, record in self._records:
            self.done += 1
            yield record


def _encoded(record: Any) -> bytes:
    try:
        return orjson.dumps(record)
    except TypeError:  # integers beyond 64 bits, lone surrogates in nested fields
        return json.dumps(record, separators=(",", ":")).encode()


# CSV.


def _flat(table: pa.Table, keep: np.ndarray) -> Mapping:
    """The fields of a CSV: plain text, two answers, or a question and an answer."""
    fields = plain("instruction", "input", "output", "system", "history")
    kinds = {"text": 0, "pair": 0}
    for _, part in _parts(table.select(["messages", "chosen"]), keep, ROW_GROUP):
        kinds["pair"] += len(part) - part.column("chosen").null_count
        roles = [turns[0]["role"] if turns else "" for turns in part.column("messages").to_pylist()]
        kinds["text"] += roles.count("text")
    if kinds["text"] == len(keep):
        return DEFAULTS["text"]
    if not kinds["pair"]:
        return Mapping("alpaca", fields)
    del fields["output"]
    return Mapping("preference", {**fields, **plain("chosen", "rejected")})


def _csv(
    file: IO[bytes], table: pa.Table, keep: np.ndarray, stop: threading.Event, mapping: Mapping
) -> Steps:
    """Two rounds: the first finds the columns, and any row that cannot be written."""
    import io

    names = dict.fromkeys(mapping.name(part) for part in ("instruction", "input", "output"))
    names = {name: None for name in names if name}
    for number, (row, record) in enumerate(_records(table, keep, mapping)):
        if number % STEP == 0:
            yield _checked(number // 2, len(keep), stop)
        names |= dict.fromkeys(_fields_of(record, row))
    text = io.TextIOWrapper(file, encoding="utf-8-sig", newline="", write_through=True)
    writer = csv.writer(text)
    writer.writerow([disarm(name) for name in names])
    for number, (_, record) in enumerate(_records(table, keep, mapping)):
        if number % STEP == 0:
            yield _checked((len(keep) + number) // 2, len(keep), stop)
        if isinstance(record, dict):
            writer.writerow([_cell(record.get(name)) for name in names])
    text.flush()
    text.detach()
    yield _checked(len(keep), len(keep), stop)


def _fields_of(record: dict[str, Any] | str, row: int) -> Iterable[str]:
    if isinstance(record, str):
        raise CannotExport(row=row, format="csv", reason="it has no field for its text")
    return record


def _cell(value: Any) -> str:
    if isinstance(value, str):
        return disarm(value)
    if value is None:
        return ""
    return dumps(value) if isinstance(value, list | dict | bool) else repr(value)


def disarm(text: str) -> str:
    """A cell that no spreadsheet takes for a formula: an apostrophe goes in front if it might.

    A cell that begins with apostrophes and then a sign gets one more, so that ``rearm``
    gives every text back.
    """
    return f"'{text}" if FORMULA.match(text) else text


def rearm(text: str) -> str:
    """The text that ``disarm`` was given. Only for files that were written here."""
    return text[1:] if text.startswith("'") and FORMULA.match(text) else text


# Plain text.


def _plain_text(file: IO[bytes], table: pa.Table, keep: np.ndarray, stop: threading.Event) -> Steps:
    mapping = Mapping("text", {})
    only_texts = table.select([name for name in table.column_names if name in _TEXT_COLUMNS])
    for number, (row, record) in enumerate(_text_records(only_texts, keep, mapping)):
        if number % STEP == 0:
            yield _checked(number, len(keep), stop)
        reason = _divided(record, first=number == 0, alone=len(keep) == 1)
        if reason:
            raise CannotExport(row=row, format="text", reason=reason)
        file.write((b"\n" if number else b"") + record.encode() + b"\n")
    yield _checked(len(keep), len(keep), stop)


_TEXT_COLUMNS = ("messages", "chosen", "rejected")


def _text_records(table: pa.Table, keep: np.ndarray, mapping: Mapping) -> Iterator[tuple[int, str]]:
    for row, record in _records(table, keep, mapping):
        assert isinstance(record, str)
        yield row, record


def _divided(text: str, first: bool, alone: bool) -> str:
    """Why a text would not come back as one row; empty if it would."""
    lines = text.split("\n")
    if "\r" in text:
        return "it holds a carriage return, which ends a line there"
    if [block for _, block in blocks(enumerate(lines, 1))] != [text]:
        return "it is empty, or holds a blank line or a heading, which divide rows there"
    if first and len(lines) > 1 and (alone or len(lines) >= LOOKED_AT):
        return "its lines would be read as rows of their own"
    return ""
