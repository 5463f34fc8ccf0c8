"""Rows of a JSON file, whatever shape it has: an array, objects one after another, or one.

One object may hold the rows in a list (``{"data": [...]}``), be a table by columns, as
pandas writes it, or name each row by an id. This module does not know what the fields
of a row mean.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from workbench.data.reading.jsonvalues import Scanner, Unreadable, Unusable, skip_mark, value_of
from workbench.data.reading.lines import numbered_lines
from workbench.data.reading.opened import TOO_LONG, Bad, Record

SPLITS = ("train", "test", "validation", "valid", "val", "dev", "eval")
WRAPPERS = (
    *("data", "rows", "examples", "items", "records", "instances", "dataset", "samples"),
    *SPLITS,
)
REST = "the rest of the file is not read"


def json_lines(path: Path) -> Iterator[Record | Bad]:
    """One value a line; a bad line does not harm the others."""
    for number, line in numbered_lines(path):
        if line is None:
            yield Bad(number, TOO_LONG)
        elif line.strip():
            try:
                yield row(number, value_of(line))
            except Unreadable as error:
                yield Bad(number, error.reason)


def json_rows(path: Path) -> Iterator[Record | Bad]:
    """Rows of a JSON text of any shape, decoded one by one.

    After a fault the rows before it stand, and the place of the fault is the last thing
    told, since where the next row begins cannot be known.
    """
    with path.open("rb") as file:
        scanner = Scanner(skip_mark(file))
        try:
            yield from _top(scanner)
        except Unreadable as error:
            yield Bad(scanner.line + error.below, f"{error.reason}; {REST}")


def row(line: int, value: Any) -> Record | Bad:
    """A value as a row: an object or a text is one, a list is a conversation."""
    if isinstance(value, dict | str):
        return Record(line, value)
    if isinstance(value, list) and value:
        turns = isinstance(value[0], dict) and "role" in value[0]
        return Record(line, {"messages" if turns else "conversations": value})
    kinds = {list: "an empty list", bool: "true or false", type(None): "null"}
    return Bad(line, f"{kinds.get(type(value), 'a number')} where a row should be")


def _top(scanner: Scanner) -> Iterator[Record | Bad]:
    """Values one after another, with or without commas between them."""
    first = True
    while start := scanner.peek():
        if start == "[":
            yield from _elements(scanner, None)
        elif start == "{":
            yield from _object(scanner, first)
        else:
            yield from _value(scanner)
        scanner.take(",")
        first = False


def _value(scanner: Scanner) -> Iterator[Record | Bad]:
    line = scanner.line
    try:
        yield row(line, scanner.value())
    except Unusable as error:
        yield Bad(line, error.reason)


def _elements(scanner: Scanner, split: str | None) -> Iterator[Record | Bad]:
    """The elements of the array that stands next.

    Raises:
        Unreadable: the array is broken or cut short.
    """
    scanner.take("[")
    while not scanner.take("]"):
        for one in _value(scanner):
            yield _tagged(one, split)
        if not scanner.take(",") and scanner.peek() != "]":
            raise Unreadable(_missing(scanner, "]"))


def _missing(scanner: Scanner, closing: str) -> str:
    if not scanner.peek():
        return f"not JSON: the file ends before the closing {closing}"
    return f"not JSON: a comma or {closing} is missing"


def _tagged(one: Record | Bad, split: str | None) -> Record | Bad:
    """A row told from which split it is, and without the wrapping of the Hub's viewer."""
    if isinstance(one, Bad) or isinstance(one.value, str):
        return one
    value = one.value
    if value.keys() >= {"row_idx", "row"} and isinstance(value["row"], dict):
        value = value["row"]
    if split and "split" not in value:
        value = {**value, "split": split}
    return Record(one.line, value)


def _object(scanner: Scanner, first: bool) -> Iterator[Record | Bad]:
    """One object: a row, or the rows it holds.

    Raises:
        Unreadable.
    """
    line = scanner.line
    scanner.take("{")
    fields: dict[str, Any] = {}
    lines: dict[str, int] = {}
    wrapped, fault = False, None
    while not scanner.take("}"):
        try:
            key = _key(scanner)
            lines[key] = scanner.line
            if key in WRAPPERS and "columns" not in fields and scanner.peek() == "[":
                rows = _wrapped(scanner, key, fields)
                if rows is not None:
                    wrapped = True
                    yield from rows
            else:
                fields[key] = scanner.value()
        except Unusable as error:
            fault = fault or Bad(line, error.reason)
        if not scanner.take(",") and scanner.peek() != "}":
            raise Unreadable(_missing(scanner, "}"))
    if fault:
        yield fault
    elif not wrapped:
        alone = first and not scanner.peek()
        yield from _expanded(fields, lines, line) if alone else [Record(line, fields)]


def _key(scanner: Scanner) -> str:
    if scanner.peek() != '"':
        ended = (
            "the file ends in the middle" if not scanner.peek() else "a key in quotes is missing"
        )
        raise Unreadable(f"not JSON: {ended}")
    key = scanner.value()
    if not scanner.take(":"):
        raise Unreadable("not JSON: a colon is missing behind a key")
    scanner.peek()
    return str(key)


def _wrapped(scanner: Scanner, key: str, fields: dict[str, Any]) -> Iterator[Record | Bad] | None:
    """The rows of a list that wraps rows; a list of plain values is a field like others."""
    if scanner.second() in ("{", "["):
        return _elements(scanner, key if key in SPLITS else None)
    if not fields and scanner.second() == '"':
        return _elements(scanner, None)
    fields[key] = scanner.value()
    return None


def _expanded(fields: dict[str, Any], lines: dict[str, int], line: int) -> Iterator[Record | Bad]:
    """The rows in a file that is one object."""
    if fields.keys() >= {"columns", "data"}:
        yield from _split_table(fields, lines["data"])
    elif table := _by_columns(fields):
        yield from (Record(line, one) for one in table)
    elif len(fields) > 1 and _are_rows(fields):
        for key, value in fields.items():
            yield Record(lines[key], value if "id" in value else {"id": key, **value})
    else:
        yield Record(line, fields)


def _are_rows(fields: dict[str, Any]) -> bool:
    """True if every field is an object and all of them share a key."""
    values = list(fields.values())
    if not all(isinstance(value, dict) for value in values):
        return False
    return bool(set.intersection(*(set(value) for value in values)))


def _split_table(fields: dict[str, Any], line: int) -> Iterator[Record | Bad]:
    """The names of the columns apart from the rows, as pandas writes ``orient="split"``."""
    names, rows = fields["columns"], fields["data"]
    if not isinstance(names, list) or not isinstance(rows, list):
        yield Record(line, fields)
        return
    for number, one in enumerate(rows, 1):
        if isinstance(one, list) and len(one) == len(names):
            yield Record(line, dict(zip(map(str, names), one, strict=True)))
        else:
            yield Bad(line, f"row {number} of data has not the {len(names)} fields of columns")


def _by_columns(fields: dict[str, Any]) -> list[dict[str, Any]]:
    """The rows of a table written column by column; none if it is not one."""
    names, columns = list(fields), list(fields.values())
    if len(names) < 2:
        return []
    if all(isinstance(one, dict) and one for one in columns):  # pandas, orient="columns"
        places = list(columns[0])
        if not all(place.isdigit() and list(one) == places for one in columns for place in one):
            return []
        columns = [list(one.values()) for one in columns]
    if not all(isinstance(one, list) for one in columns) or len(set(map(len, columns))) != 1:
        return []
    if all(_is_turn(one) for column in columns for one in column):  # a conversation each: one row
        return []
    return [dict(zip(names, one, strict=True)) for one in zip(*columns, strict=True)]


def _is_turn(value: Any) -> bool:
    return isinstance(value, dict) and bool(value.keys() & {"role", "from"})
