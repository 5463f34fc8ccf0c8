"""Files in: what a file is by its bytes, and its records one by one, in bounded memory.

Whatever a person drops, packed or not, in any encoding, comes out as plain rows with the
line each stands on; what cannot be read is told with its line, and the rest goes on. This
module does not know what the fields of a row mean.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa

from workbench.data.reading import arrowfiles
from workbench.data.reading.archives import Budget, Member, is_archive, unpack
from workbench.data.reading.arrowfiles import Unfit
from workbench.data.reading.delimited import Table, table_rows
from workbench.data.reading.jsonrows import json_lines, json_rows
from workbench.data.reading.jsonvalues import NOT_UTF8, NUL
from workbench.data.reading.kinds import look
from workbench.data.reading.lines import numbered_lines
from workbench.data.reading.opened import TOO_LONG, Bad, Kind, Opened, Record, safe_name
from workbench.errors import BadArchive, BrokenFile, FileTooLarge, TextNotFound, WorkbenchError

__all__ = [
    "Bad",
    "Kind",
    "Opened",
    "Record",
    "Unfit",
    "arrow_batches",
    "opened",
    "records",
    "sample",
]


@contextmanager
def opened(path: Path, limit: int, name: str | None = None) -> Iterator[list[Opened]]:
    """The data files in a file: itself, or those in a gz or zip, in the order of their names.

    Members of a zip that are no data are left out if others are; each ``Opened`` names them.
    Copies live in a temporary folder and are gone afterwards.

    Args:
        limit: bytes that everything may have when unpacked.
        name: what the person calls the file.

    Raises:
        TextNotFound, BrokenFile, NotText, NoRows, FileTooLarge, BadArchive.
    """
    shown = safe_name(path.name if name is None else name)
    _check_place(path, shown)
    with tempfile.TemporaryDirectory(prefix="trilogy-files-") as folder:
        yield _all_in(path, shown, Path(folder), limit)


def _check_place(path: Path, name: str) -> None:
    """Raises:
    TextNotFound, BrokenFile.
    """
    try:
        if not path.exists():
            raise TextNotFound(name=name)
        if not path.is_file():
            what = "it is a folder" if path.is_dir() else "it is no ordinary file"
            raise BrokenFile(name=name, format="data", reason=what)
        with path.open("rb"):
            pass
    except (OSError, ValueError) as error:
        reason = "it may not be read" if isinstance(error, PermissionError) else "it has no place"
        raise BrokenFile(name=name, format="data", reason=reason) from error


def _all_in(path: Path, name: str, folder: Path, limit: int) -> list[Opened]:
    with path.open("rb") as file:
        packed = is_archive(file.read(4))
    if not packed:
        return [look(path, name, folder / "copy", limit)]
    found: list[Opened] = []
    faults: list[WorkbenchError] = []
    for at, member in enumerate(unpack(path, name, folder, Budget(name, limit, limit))):
        try:
            found.append(_looked_at(member, folder / f"copy-{at}", limit))
        except FileTooLarge:
            raise
        except WorkbenchError as error:
            faults.append(error)
    if not found:
        raise _no_data(name, faults)
    return [replace(one, left_out=tuple(map(str, faults))) for one in found]


def _looked_at(member: Member, spare: Path, limit: int) -> Opened:
    if member.error:
        raise member.error
    return look(member.path, member.name, spare, limit)


def _no_data(name: str, faults: list[WorkbenchError]) -> WorkbenchError:
    if len(faults) == 1:
        return faults[0]
    first = str(faults[0]).rstrip(".")
    return BadArchive(name=name, reason=f"none of its {len(faults)} files is data. {first}")


def records(file: Opened) -> Iterator[Record | Bad]:
    """Every row with its line, and every place that could not be read.

    Values are what JSON can hold (and NaN, and integers of any length), or texts. Rows of
    csv have text in every field; lines of a plain text are records of their own, blank
    ones too. A list in place of an object becomes ``{"messages": list}`` if its elements
    have roles, else ``{"conversations": list}``. Of a key that is there twice in one
    object the last value counts.

    Raises:
        FileTooLarge: a columnar file unpacks to more than was allowed.
    """
    if file.kind in ("parquet", "arrow"):
        return arrowfiles.rows_of(file)
    if file.kind == "jsonl":
        return json_lines(file.path)
    if file.kind == "json":
        return json_rows(file.path)
    if file.kind == "text":
        return _text_lines(file.path)
    table = Table(file.delimiter, file.header, file.width, file.skip)
    return table_rows(numbered_lines(file.path), table)


def _text_lines(path: Path) -> Iterator[Record | Bad]:
    for number, line in numbered_lines(path):
        if line is None:
            yield Bad(number, TOO_LONG)
        elif b"\x00" in line:
            yield Bad(number, NUL)
        else:
            try:
                yield Record(number, line.decode("utf-8").removesuffix("\r"))
            except UnicodeDecodeError:
                yield Bad(number, NOT_UTF8)


def arrow_batches(file: Opened) -> Iterator[pa.RecordBatch] | None:
    """The fast columnar way, or None where there is none; then ``records`` is the way.

    Parquet, Arrow, and JSON Lines whose objects have the same fields. Values are those
    that ``records`` gives, but that a missing field is null and that a column of integers
    and fractions is float64; columns of dates, binary and other types come as they are.

    Raises:
        Unfit: while iterating, when a later block differs or holds a bad line. Forget the
            batches and begin again with ``records``.
        FileTooLarge: the file unpacks to more than was allowed.
    """
    return arrowfiles.fast_batches(file)


def sample(file: Opened, count: int = 200) -> list[dict[str, Any] | str]:
    """The values of the first rows that can be read."""
    good = (one.value for one in records(file) if isinstance(one, Record))
    return list(islice(good, count))
