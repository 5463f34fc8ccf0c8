"""Tables on disk: Parquet to keep, an uncompressed Arrow copy to look at.

The Parquet file is the dataset; the copy beside it can be deleted at any time and is
made again when it is needed. Same rows, same bytes. This module does not know what
the rows mean.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

ROW_GROUP = 50_000
"""Rows of one group; also of one chunk of the copy."""
DATA, COPY, LOG = "data.parquet", "view.arrow", "dataset.json"


@contextmanager
def beside(path: Path) -> Iterator[Path]:
    """A temporary path that becomes ``path`` when all went well, and vanishes otherwise."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        with suppress(OSError):  # the folder goes too if it was made for this file alone
            path.parent.rmdir()
        raise


class Sink:
    """Rows to a Parquet file, gathered into groups of one size however they arrive.

    Groups are packed and written on a thread of their own, one at a time.
    """

    def __init__(self, path: Path, schema: pa.Schema) -> None:
        self.rows = 0
        self._waiting: list[pa.Table] = []
        self._schema = schema
        repeated = [name for name in ("source", "check", "kind") if name in schema.names]
        self._writer = pq.ParquetWriter(
            path, schema, compression="zstd", compression_level=1, use_dictionary=repeated
        )
        self._thread = ThreadPoolExecutor(1)
        self._writing: Future[None] | None = None

    def write(self, table: pa.Table) -> None:
        """Add rows, which must have the sink's schema."""
        self.rows += table.num_rows
        self._waiting.append(table)
        while sum(part.num_rows for part in self._waiting) >= ROW_GROUP:
            whole = pa.concat_tables(self._waiting)
            self._group(whole.slice(0, ROW_GROUP))
            self._waiting = [whole.slice(ROW_GROUP)]

    def _group(self, rows: pa.Table) -> None:
        """Hand a group over as soon as the one before is written."""
        if self._writing is not None:
            self._writing.result()
        self._writing = self._thread.submit(
            self._writer.write_table, rows, row_group_size=ROW_GROUP
        )

    def close(self) -> None:
        try:
            rest = [part for part in self._waiting if part.num_rows]
            if rest or not self.rows:
                self._group(pa.concat_tables(rest) if rest else self._schema.empty_table())
            if self._writing is not None:
                self._writing.result()
        finally:
            self._thread.shutdown()
            self._writer.close()


@contextmanager
def sink(path: Path, schema: pa.Schema) -> Iterator[Sink]:
    """A sink whose file appears when everything has been written, or not at all."""
    with beside(path) as temporary:
        opened = Sink(temporary, schema)
        try:
            yield opened
        finally:
            opened.close()


def write_table(path: Path, table: pa.Table) -> None:
    """A whole table as one Parquet file."""
    with sink(path, table.schema) as rows:
        rows.write(table)


def read_table(path: Path) -> pa.Table:
    """A small Parquet file, whole."""
    return pq.read_table(path, memory_map=True)


def open_copy(folder: Path) -> pa.Table:
    """The rows of a dataset, mapped from the disk and not read into memory."""
    data, copy = folder / DATA, folder / COPY
    if not copy.exists() or copy.stat().st_mtime_ns < data.stat().st_mtime_ns:
        _make_copy(data, copy)
    return pa.ipc.open_file(pa.memory_map(str(copy))).read_all()


def _make_copy(data: Path, copy: Path) -> None:
    with pq.ParquetFile(data) as file, beside(copy) as temporary:
        with pa.OSFile(str(temporary), "wb") as out, pa.ipc.new_file(out, file.schema_arrow) as to:
            for group in range(file.num_row_groups):
                to.write_table(file.read_row_group(group), max_chunksize=ROW_GROUP)


def sha256(path: Path) -> str:
    """Of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def remove_tree(folder: Path) -> None:
    """Take a dataset's folder away in one step, then delete what was in it."""
    import shutil

    gone = Path(tempfile.mkdtemp(dir=folder.parent, prefix=".deleted."))
    folder.replace(gone / folder.name)
    shutil.rmtree(gone, ignore_errors=True)


def schema(path: Path) -> pa.Schema:
    """The columns of a Parquet file, without its data."""
    return pq.read_schema(path)


def metadata(path: Path) -> Any:
    """Schema and number of rows of a Parquet file, without its data."""
    return pq.read_metadata(path)
