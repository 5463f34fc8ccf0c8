"""Files, shipped corpora and values of any kind become a dataset of the workspace.

The format is found by content and can be said instead; clean big files go the columnar
way, everything else row by row, with the same result. This module does not know how bytes
are read (``files``) nor what the fields of a format are (``formats``).
"""

from __future__ import annotations

import threading
from collections.abc import Generator, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from workbench.data import shipped, storage
from workbench.data.dataset import check_free, create
from workbench.data.formats import columnar
from workbench.data.formats.convert import detect, to_examples
from workbench.data.formats.mapping import DEFAULTS, Mapping, Unfit
from workbench.data.formats.plain_text import group_text
from workbench.data.reading import files
from workbench.data.reading.files import Bad, Opened, Record
from workbench.data.recipe import CorpusSource, FileSource, Recipe
from workbench.data.rows import FIXED, SCHEMA, Example, example_of, schema_with, table_of
from workbench.errors import BadRow, NoRows, Stopped, UnknownFormat
from workbench.events import Progress
from workbench.settings import Settings
from workbench.workspace import Workspace

BATCH = 2_000
SAMPLE = 500
"""Rows that decide the format and the types of the columns."""
SCALARS = (pa.string(), pa.int64(), pa.float64(), pa.bool_())
OWN_SOURCE = "source_"
"""What ``formats`` calls a field of the file named ``source``."""
NAMED = 1_000
"""Bad rows that are named one by one; more are only counted."""


@dataclass(frozen=True)
class ImportRequest:
    """A file to be read into a dataset."""

    path: Path
    name: str
    """Of the dataset."""
    called: str = ""
    """What the person calls the file; empty is its own name."""
    mappings: dict[str, Mapping] = field(default_factory=dict)
    """By file name, for what was not detected as it should be."""
    skip_bad: bool = False

    @classmethod
    def of(cls, source: FileSource, path: Path, name: str) -> ImportRequest:
        """The request that a dataset was once made with, for another copy of the file."""
        mappings = {file: Mapping.from_json(one) for file, one in source.mappings.items()}
        return cls(path, name, source.name, mappings, source.skip_bad)


@dataclass(frozen=True)
class Imported:
    """What came of an import."""

    recipe: Recipe
    bad: tuple[tuple[str, Bad], ...]
    """File and place of the rows left out; at most a thousand of them."""
    bad_count: int


@dataclass(frozen=True)
class Look:
    """What one file seems to be, before anything is imported."""

    file: Opened
    mapping: Mapping | None
    """None if no known format fits."""
    fields: tuple[str, ...]
    examples: tuple[Example, ...]
    values: tuple[Any, ...]
    """The same rows as they stand in the file."""
    left_out: tuple[str, ...]
    """Members of the archive that are no data, each with why."""


def look(path: Path, settings: Settings, called: str = "", count: int = 5) -> list[Look]:
    """The first rows of each file, and the format they are taken for.

    Raises:
        whatever ``files.opened`` raises.
    """
    with files.opened(path, settings.max_data_bytes, called or path.name) as opened:
        return [_looked(file, count) for file in opened]


def _looked(file: Opened, count: int) -> Look:
    values = _sample(file)
    try:
        mapping = detect(values)
    except UnknownFormat:
        mapping = None
    fields = dict.fromkeys(name for one in values if isinstance(one, dict) for name in one)
    examples: list[Example] = []
    shown = _texts(values, mapping)[:count] if mapping else values[:count]
    for value in shown if mapping else ():
        try:
            examples += to_examples(value, mapping, file.name)  # type: ignore[arg-type]
        except Unfit:
            continue
    return Look(file, mapping, tuple(fields), tuple(examples[:count]), tuple(shown), file.left_out)


def bring_file(
    request: ImportRequest, workspace: Workspace, settings: Settings, stop: threading.Event
) -> Generator[Progress, None, Recipe]:
    """Read a file into a new dataset.

    Raises:
        DatasetExists, UnknownFormat, BadRow, NoRows, Stopped, and what ``opened`` raises.
    """
    return (yield from import_file(request, workspace, settings, stop)).recipe


def import_file(
    request: ImportRequest, workspace: Workspace, settings: Settings, stop: threading.Event
) -> Generator[Progress, None, Imported]:
    """As ``bring_file``, and say which rows were bad."""
    folder = check_free(workspace, request.name)
    called = request.called or request.path.name
    yield Progress("read", 0, 0, "rows", called)
    with (
        ThreadPoolExecutor(1) as beside,
        files.opened(request.path, settings.max_data_bytes, called) as opened,
    ):
        hashed = beside.submit(storage.sha256, request.path)
        mappings = {file.name: _mapping(file, request) for file in opened}
        columns = columnar.choose_columns(_first_rows(opened, mappings))
        reader = _Reader(request.skip_bad, columns, stop)
        told = _tells_source(columns, mappings)
        kept = {name: kind for name, kind in columns.items() if not (told and name == OWN_SOURCE)}
        with storage.sink(folder / storage.DATA, schema_with(kept)) as sink:
            for file in opened:
                for table in reader.tables(file, mappings[file.name]):
                    sink.write(_with_source(table) if told else table)
                    yield Progress("read", sink.rows, 0, "rows", file.name)
            if not sink.rows:
                raise NoRows(name=called)
            check_free(workspace, request.name)  # nobody took the name meanwhile
    source = FileSource(
        called,
        hashed.result(),
        {name: mapping.to_json() for name, mapping in mappings.items()},
        request.skip_bad,
        reader.bad_count,
    )
    recipe = create(workspace, folder.name, source)
    return Imported(recipe, tuple(reader.bad), reader.bad_count)


def is_ours(schema: pa.Schema) -> bool:
    """True for a file with the columns of a dataset as it is stored here, and scalars beside."""
    ours = all(
        field.name in schema.names and schema.field(field.name).type == field.type
        for field in SCHEMA
    )
    own = [schema.field(name).type for name in schema.names if name not in FIXED]
    return ours and all(kind in SCALARS for kind in own)


def _schema_of(file: Opened) -> pa.Schema | None:
    return storage.schema(file.path) if file.kind == "parquet" else None


def _as_stored(batch: pa.RecordBatch, columns: dict[str, pa.DataType]) -> pa.Table:
    table = pa.Table.from_batches([batch])
    for name, kind in columns.items():
        if name not in table.column_names:
            table = table.append_column(name, pa.nulls(table.num_rows, kind))
    return table.select(schema_with(columns).names).cast(schema_with(columns))


def _tells_source(columns: dict[str, pa.DataType], mappings: dict[str, Mapping]) -> bool:
    """True for messages with a field ``source``, as they are written here: it is the row's."""
    messages = all(mapping.name("messages") == "messages" for mapping in mappings.values())
    return messages and columns.get(OWN_SOURCE) == pa.string()


def _with_source(table: pa.Table) -> pa.Table:
    own = table.column(OWN_SOURCE)
    source = pc.coalesce(own, table.column("source"))
    place = table.column_names.index("source")
    return table.set_column(place, "source", source).drop_columns([OWN_SOURCE])


def bring_corpus(
    source: CorpusSource, workspace: Workspace, name: str, stop: threading.Event
) -> Generator[Progress, None, Recipe]:
    """A corpus that comes with the workbench, as a dataset.

    Raises:
        DatasetExists, BadRecipe, Stopped.
    """
    folder = check_free(workspace, name)
    examples = shipped.examples(source.name, source.form, source.values)
    yield from write_examples(examples, folder / storage.DATA, stop)
    return create(workspace, folder.name, source, licence=shipped.LICENCES[source.name])


def write_examples(
    examples: Iterable[Example], path: Path, stop: threading.Event
) -> Generator[Progress, None, int]:
    """Any examples to a dataset's file; the first rows decide the types of the columns."""
    rows = iter(examples)
    first = list(islice(rows, SAMPLE))
    columns = columnar.choose_columns(first)
    with storage.sink(path, schema_with(columns)) as sink:
        for batch in _batches(_chain(first, rows)):
            if stop.is_set():
                raise Stopped
            sink.write(table_of(batch, columns))
            yield Progress("read", sink.rows, 0, "rows")
        if not sink.rows:
            raise NoRows(name=path.parent.name)
        return sink.rows


class _Reader:
    """Reads files into tables of one schema, the columnar way as long as it goes."""

    def __init__(
        self, skip_bad: bool, columns: dict[str, pa.DataType], stop: threading.Event
    ) -> None:
        self.bad: list[tuple[str, Bad]] = []
        self.bad_count = 0
        self._skip_bad = skip_bad
        self._columns = columns
        self._stop = stop

    def tables(self, file: Opened, mapping: Mapping) -> Iterator[pa.Table]:
        done = 0
        for table in self._columnar(file, mapping):
            done += table.num_rows
            yield table
            self._check_stop()
        if not self._left:
            return
        for batch in _batches(self._examples(file, mapping, done)):
            yield table_of(batch, self._columns)
            self._check_stop()

    def _columnar(self, file: Opened, mapping: Mapping) -> Iterator[pa.Table]:
        """Tables as long as every batch fits; ``_left`` says if rows remain for the slow way."""
        self._left = True
        batches = files.arrow_batches(file)
        if batches is None:
            return
        try:
            for batch in batches:
                if is_ours(batch.schema):
                    yield _as_stored(batch, self._columns)
                    continue
                table = columnar.convert(batch, mapping, file.name, self._columns)
                if table is None:
                    return
                yield table
        except files.Unfit:
            return
        self._left = False

    def _examples(self, file: Opened, mapping: Mapping, skip: int) -> Iterator[Example]:
        """Row by row from record number ``skip``; a record of the columnar way was one row."""
        for number, record in enumerate(_records(file, mapping)):
            if number < skip:
                continue
            if isinstance(record, Bad):
                self._is_bad(file, record)
                continue
            try:
                yield from to_examples(record.value, mapping, file.name)
            except Unfit as error:
                self._is_bad(file, Bad(record.line, str(error)))

    def _is_bad(self, file: Opened, bad: Bad) -> None:
        if not self._skip_bad:
            raise BadRow(name=file.name, line=bad.line, reason=bad.reason)
        self.bad_count += 1
        if len(self.bad) < NAMED:
            self.bad.append((file.name, bad))

    def _check_stop(self) -> None:
        if self._stop.is_set():
            raise Stopped


def _mapping(file: Opened, request: ImportRequest) -> Mapping:
    if said := request.mappings.get(file.name):
        return said
    values = _sample(file)
    if not values:
        first = next((one for one in files.records(file) if isinstance(one, Bad)), None)
        if first is not None:
            raise BadRow(name=file.name, line=first.line, reason=first.reason)
        raise NoRows(name=file.name)
    try:
        return detect(values)
    except UnknownFormat as error:
        raise UnknownFormat(name=file.name, fields=error.facts["fields"]) from error


def _sample(file: Opened) -> list[Any]:
    return files.sample(file, SAMPLE)


def _texts(values: list[Any], mapping: Mapping) -> list[Any]:
    """Lines of plain text gathered as they will be; other values as they are."""
    if not values or not isinstance(values[0], str):
        return values
    return [text for _, text in group_text(enumerate(values, 1), mapping)]


def _records(file: Opened, mapping: Mapping) -> Iterator[Record | Bad]:
    """The records of a file; lines of plain text are gathered into rows."""
    found = files.records(file)
    if file.kind != "text":
        yield from found
        return
    waiting: list[Bad] = []

    def lines() -> Iterator[tuple[int, str]]:
        for one in found:
            if isinstance(one, Bad):
                waiting.append(one)
            else:
                yield one.line, str(one.value)

    for line, text in group_text(lines(), mapping):
        yield from _drained(waiting)
        yield Record(line, text)
    yield from _drained(waiting)


def _drained(waiting: list[Bad]) -> Iterator[Bad]:
    while waiting:
        yield waiting.pop(0)


def _first_rows(opened: list[Opened], mappings: dict[str, Mapping]) -> Iterator[Example]:
    """The first rows of every file, which decide the dataset's own columns."""
    for file in opened:
        stored = _schema_of(file)
        ours = stored is not None and is_ours(stored)
        for value in _sample(file):
            try:
                yield from [example_of(value)] if ours else to_examples(value, mappings[file.name])
            except Unfit:
                continue


def _chain(first: list[Example], rest: Iterator[Example]) -> Iterator[Example]:
    yield from first
    yield from rest


def _batches(examples: Iterator[Example]) -> Iterator[list[Example]]:
    batch: list[Example] = []
    for example in examples:
        batch.append(example)
        if len(batch) == BATCH:
            yield batch
            batch = []
    if batch:
        yield batch


def remapped(found: Mapping | None, format: str | None, fields: dict[str, str]) -> Mapping:
    """The mapping that was found, corrected by a person.

    Raises:
        BadMapping.
    """
    base = found
    if base is None or (format and format != base.format):
        base = DEFAULTS[format or "messages"]  # type: ignore[index]
    return replace(base, fields={**base.fields, **fields})
