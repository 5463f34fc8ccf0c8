"""Parquet, Arrow and well-behaved JSON Lines as Arrow batches, or as plain values.

Nothing is unpickled: an extension type is read as the type it is stored in. Strings that
look like dates stay strings. This module does not know what the columns are for.
"""

from __future__ import annotations

import base64
import datetime
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from workbench.data.reading.jsonvalues import NOT_UTF8, skip_mark
from workbench.data.reading.opened import (
    DEEPEST,
    LONGEST,
    TOO_DEEP,
    Bad,
    Kind,
    Opened,
    Record,
    megabytes,
    phrase,
    unique_names,
)
from workbench.errors import BrokenFile, FileTooLarge

BLOCK = 16 << 20
PIECE = 4 << 20
FIRST_ROWS = 64
MOST_ROWS = 1024
CONTINUED = b"\xff\xff\xff\xff"
EXACT = float(1 << 53)
"""Above this a float64 no longer tells neighbouring integers apart."""
TURNS = frozenset(
    ("messages", "conversations", "conversation", "chosen", "rejected", "turns", "dialog")
)
"""Columns in whose objects a missing key and a null mean the same."""
Item = TypeVar("Item")
NO_BRACKETS = bytes(byte for byte in range(256) if byte not in b"[]{}\n")


class Unfit(Exception):
    """The fast way would change values or cannot go on; ``records`` can."""


def kind_of(head: bytes) -> Kind | None:
    """``parquet`` or ``arrow`` if that is how the bytes begin."""
    if head.startswith(b"PAR1"):
        return "parquet"
    if head.startswith((b"ARROW1", b"FEA1")) or (head.startswith(CONTINUED) and len(head) > 8):
        return "arrow"
    return None


def check(path: Path, kind: Kind, name: str, limit: int) -> None:
    """Open a columnar file once and look at its schema.

    Raises:
        BrokenFile, FileTooLarge.
    """
    shown = "Parquet" if kind == "parquet" else "Arrow"
    try:
        size, columns = _parquet_size(path) if kind == "parquet" else _arrow_size(path)
    except (pa.ArrowException, OSError, ValueError, KeyError, NotImplementedError) as error:
        raise BrokenFile(name=name, format=shown, reason=_reason(error)) from error
    if not columns:
        raise BrokenFile(name=name, format=shown, reason="it has no columns")
    if size > limit:
        raise FileTooLarge(name=name, size=megabytes(size), limit=megabytes(limit))


def _parquet_size(path: Path) -> tuple[int, int]:
    """Bytes that the metadata say it unpacks to, and columns."""
    import pyarrow.parquet as parquet

    with parquet.ParquetFile(path) as file:
        groups = (file.metadata.row_group(at) for at in range(file.num_row_groups))
        return sum(max(0, group.total_byte_size) for group in groups), len(file.schema_arrow)


def _arrow_size(path: Path) -> tuple[int, int]:
    """Arrow does not say what it unpacks to: 0 bytes, and columns."""
    with _reader(path) as reader:
        return 0, len(reader.schema)


def _reason(error: BaseException) -> str:
    text = phrase(error, 120)
    if "magic bytes" in text or "smaller than" in text or "footer" in text.lower():
        return "it is cut short or damaged"
    return f"it is damaged ({text})"


def _reader(path: Path) -> Any:
    """A reader of record batches, whether they are in the file or in the stream format.

    Raises:
        pa.ArrowException, OSError.
    """
    source = pa.memory_map(str(path))
    stream = source.read(4) == CONTINUED
    source.seek(0)
    return pa.ipc.open_stream(source) if stream else pa.ipc.open_file(source)


def batches(file: Opened) -> Iterator[pa.RecordBatch]:
    """The batches of a parquet or arrow file, of some 16 MB if rows are even.

    Raises:
        pa.ArrowException, OSError, FileTooLarge.
    """
    total = 0
    for batch in _parquet(file.path) if file.kind == "parquet" else _arrow(file.path):
        total += batch.nbytes
        if total > file.limit:
            size = f"more than {megabytes(file.limit)}"
            raise FileTooLarge(name=file.name, size=size, limit=megabytes(file.limit))
        yield batch.rename_columns(list(unique_names(batch.schema.names)))


def _parquet(path: Path) -> Iterator[pa.RecordBatch]:
    """Batches whose number of rows follows the size of the first in each row group.

    The sizes in the metadata say nothing of a text that is there once and used often.
    """
    import pyarrow.parquet as parquet

    with parquet.ParquetFile(path) as file:
        for group in range(file.num_row_groups):
            first = next(file.iter_batches(batch_size=FIRST_ROWS, row_groups=[group]), None)
            if first is not None:
                each = max(1, first.nbytes // max(1, first.num_rows))
                rows = max(1, min(MOST_ROWS, BLOCK // each))
                yield from file.iter_batches(batch_size=rows, row_groups=[group])


def _arrow(path: Path) -> Iterator[pa.RecordBatch]:
    """Batches checked to the last offset, since a hostile one would read foreign memory."""
    with _reader(path) as reader:
        if hasattr(reader, "num_record_batches"):
            found = (reader.get_batch(at) for at in range(reader.num_record_batches))
        else:
            found = iter(reader)
        for batch in found:
            _check_offsets(batch)
            for at in range(0, batch.num_rows, MOST_ROWS):
                yield batch.slice(at, MOST_ROWS)


def _check_offsets(batch: pa.RecordBatch) -> None:
    """Everything but whether texts are UTF-8, which is told row by row.

    Raises:
        pa.ArrowInvalid.
    """
    for column in batch.columns:
        if pa.types.is_string(column.type):
            column.view(pa.binary()).validate(full=True)
        elif pa.types.is_large_string(column.type):
            column.view(pa.large_binary()).validate(full=True)
        else:
            column.validate(full=True)


def rows_of(file: Opened) -> Iterator[Record | Bad]:
    """The rows of a parquet or arrow file with plain values, by row number from 1."""
    row = 1
    try:
        for batch in batches(file):
            yield from _plain_rows(batch, row)
            row += batch.num_rows
    except (pa.ArrowException, OSError) as error:
        yield Bad(row, f"{_reason(error)}; the rest of the file is not read")


def _plain_rows(batch: pa.RecordBatch, first: int) -> Iterator[Record | Bad]:
    values: list[dict[str, Any]] | None
    try:
        values = batch.to_pylist()
    except (ValueError, OverflowError):  # row by row, then, to tell which one it is
        values = None
    for at in range(batch.num_rows):
        try:
            value = values[at] if values is not None else batch.slice(at, 1).to_pylist()[0]
            yield Record(first + at, {name: plain(one) for name, one in value.items()})
        except UnicodeDecodeError:
            yield Bad(first + at, NOT_UTF8)
        except (ValueError, OverflowError) as error:
            yield Bad(first + at, f"a value cannot be read ({phrase(error, 80)})")


def plain(value: Any, level: int = 0) -> Any:
    """A value as JSON has it: dates in ISO 8601, bytes in base64, maps as objects.

    Raises:
        ValueError: it is nested too deep.
    """
    if value is None or isinstance(value, str | bool | int | float):
        return value
    if level > DEEPEST:
        raise ValueError(TOO_DEEP)
    if isinstance(value, dict):
        return {str(key): plain(one, level + 1) for key, one in value.items()}
    if isinstance(value, list | tuple):
        if value and all(isinstance(one, tuple) and len(one) == 2 for one in value):
            return {str(key): plain(one, level + 1) for key, one in value}
        return [plain(one, level + 1) for one in value]
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, datetime.datetime | datetime.date | datetime.time):
        return value.isoformat()
    return str(value)


def fast_batches(file: Opened) -> Iterator[pa.RecordBatch] | None:
    """The columnar way through a file, or None if there is none.

    Extension types come as they are stored, dictionaries and wide strings as plain ones.

    Raises:
        Unfit: later on, when something turns up that only ``records`` can read.
        FileTooLarge.
    """
    if file.kind in ("parquet", "arrow"):
        found = _simple_batches(file)
    elif file.kind == "jsonl":
        found = _json_batches(file.path)
    else:
        return None
    try:
        first = next(found, None)
    except Unfit:
        return None
    return iter(()) if first is None else chain([first], found)


def _simple_batches(file: Opened) -> Iterator[pa.RecordBatch]:
    try:
        for batch in batches(file):
            columns = [_simple(column) for column in batch.columns]
            simple = pa.RecordBatch.from_arrays(columns, names=batch.schema.names)
            simple.validate(full=True)
            yield simple
    except (pa.ArrowException, OSError) as error:
        raise Unfit(phrase(error)) from error


def _simple(column: pa.Array) -> pa.Array:
    while isinstance(column, pa.ExtensionArray):
        column = column.storage
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if pa.types.is_large_string(column.type) or column.type == pa.string_view():
        column = column.cast(pa.string())
    return column


def _json_batches(path: Path) -> Iterator[pa.RecordBatch]:
    """JSON Lines block by block, all in the schema of the first.

    Raises:
        Unfit.
    """
    for table, lines in ahead(_json_tables(path)):
        try:
            table.validate(full=True)
        except (pa.ArrowException, ValueError) as error:
            raise Unfit(phrase(error)) from error
        if table.num_rows != lines:
            raise Unfit("a line holds more or less than one value")
        for name, column in zip(table.column_names, table.columns, strict=True):
            _check_numbers(column)
            _check_objects(name, column)
        yield from table.combine_chunks().to_batches()


def _json_tables(path: Path) -> Iterator[tuple[pa.Table, int]]:
    """Each block as Arrow reads it, not validated yet, and how many rows it should have."""
    schema: pa.Schema | None = None
    for block in _blocks(path):
        lines = _lines_with_brackets(block)
        if schema is None:
            schema = _with_strings(_read_json(block, None).schema)
        yield _read_json(block, schema), lines


def ahead(found: Iterator[Item]) -> Iterator[Item]:
    """The same items; the next is made on a thread of its own while one is looked at."""
    with ThreadPoolExecutor(1) as beside:
        coming = beside.submit(next, found, None)
        while (item := coming.result()) is not None:
            coming = beside.submit(next, found, None)
            yield item


def _blocks(path: Path) -> Iterator[bytes]:
    """Whole lines, some 16 MB at a time.

    Raises:
        Unfit: a line is too long.
    """
    with path.open("rb") as raw:
        file = skip_mark(raw)
        start, end = file.tell(), path.stat().st_size
        while start < end:
            # where the block ends is found first: joining it to its last line would copy it
            file.seek(start + BLOCK - 1)
            size = BLOCK - 1 + len(file.readline(LONGEST))
            file.seek(start)
            block = file.read(size)
            if len(block) > LONGEST:
                raise Unfit("a line is too long")
            start += size
            if block and not block.isspace():
                yield block


def _lines_with_brackets(block: bytes) -> int:
    """As many lines as objects, if the block is what it should be.

    Arrow's reader takes a NUL for the end, and overflows the stack on deep nesting, so it
    never gets to see either. Brackets inside of texts count too; then the slow way is taken
    for nothing.

    Raises:
        Unfit.
    """
    if b"\x00" in block:
        raise Unfit("there is a NUL in it")
    raw = np.frombuffer(block.translate(None, NO_BRACKETS), np.uint8)
    ends = np.flatnonzero(raw == 0x0A)
    held = np.diff(np.concatenate(([-1], ends, [len(raw)]))) - 1
    if held.max() > DEEPEST:
        _check_depth(raw, ends)
    return int(np.count_nonzero(held))


def _check_depth(raw: np.ndarray, ends: np.ndarray) -> None:
    """Raises:
    Unfit: the brackets of a line, which ends at these places, are nested too deep.
    """
    folded = raw | 0x20  # [ and { become {, ] and } become }
    levels = np.cumsum((folded == 0x7B).astype(np.int32) - (folded == 0x7D))
    below = np.concatenate((np.zeros(1, levels.dtype), levels[ends]))
    line = np.searchsorted(ends, np.arange(len(levels)), side="left")
    if (levels - below[line]).max() > DEEPEST:
        raise Unfit(TOO_DEEP)


def _read_json(block: bytes, schema: pa.Schema | None) -> pa.Table:
    """Raises:
    Unfit: a line is bad, or does not fit the schema.
    """
    import pyarrow.json as json

    parse = json.ParseOptions(
        explicit_schema=schema,
        newlines_in_values=False,
        unexpected_field_behavior="infer" if schema is None else "error",
    )
    # small pieces stay in the processor's cache and are read side by side, but no line may
    # be longer than one
    size = PIECE if schema is not None and _has_short_lines(block) else len(block) + 1
    read = json.ReadOptions(use_threads=True, block_size=size)
    try:
        return json.read_json(pa.BufferReader(block), read_options=read, parse_options=parse)
    except (pa.ArrowException, OSError, ValueError) as error:
        raise Unfit(phrase(error)) from error


def _has_short_lines(block: bytes) -> bool:
    """True if no line is longer than a piece, for each half of a piece ends one."""
    half = PIECE // 2
    return all(block.find(b"\n", at, at + half) >= 0 for at in range(0, len(block), half))


def _with_strings(schema: pa.Schema) -> pa.Schema:
    return pa.schema([pa.field(field.name, _with_string(field.type)) for field in schema])


def _with_string(kind: pa.DataType) -> pa.DataType:
    """A type in which what looked like a date, or was always null, is a string."""
    if pa.types.is_timestamp(kind) or pa.types.is_null(kind):
        return pa.string()
    if pa.types.is_list(kind):
        return pa.list_(_with_string(kind.value_type))
    if pa.types.is_struct(kind):
        return pa.struct([pa.field(field.name, _with_string(field.type)) for field in kind])
    return kind


def _check_numbers(column: Any) -> None:
    """Raises:
    Unfit: a float may have been a longer integer.
    """
    for values in _leaves(column, pa.types.is_floating):
        if (pc.max(pc.abs(values)).as_py() or 0) >= EXACT:
            raise Unfit("a number is too long for float64")


def _check_objects(name: str, column: Any) -> None:
    """Raises:
    Unfit: a key of an object was null or not there, which cannot be told apart now.
    """
    for values in _leaves(column, pa.types.is_struct):
        if not values.type.num_fields:
            raise Unfit("an object is empty")
        flat = not any(pa.types.is_nested(field.type) for field in values.type)
        if name in TURNS and flat:
            continue
        inner = (pc.struct_field(values, [at]) for at in range(values.type.num_fields))
        if any(one.null_count for one in inner):
            raise Unfit("objects of one column have different keys")


def _leaves(column: Any, wanted: Callable[[Any], bool]) -> Iterator[Any]:
    """The arrays of a wanted type anywhere inside a column."""
    if wanted(column.type):
        yield column
    if pa.types.is_list(column.type):
        yield from _leaves(pc.list_flatten(column), wanted)
    elif pa.types.is_struct(column.type):
        for at in range(column.type.num_fields):
            yield from _leaves(pc.struct_field(column, [at]), wanted)
