"""One row of a dataset, whatever format it came from: a conversation plus columns.

The table is Arrow throughout; ``Example`` is the same row for code that works on one
row at a time. A row is known by its position, which never changes: edits replace a row
in place and nothing is taken out before export. This module does not know file formats.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc

ROLES = ("system", "user", "assistant", "tool", "text")
"""``text`` is plain text to be learned as it stands, with no turn around it."""

MESSAGE = pa.struct(
    [
        ("role", pa.string()),
        ("content", pa.string()),
        ("name", pa.string()),
        ("tool_calls", pa.string()),
        ("weight", pa.float64()),
    ]
)
MESSAGES = pa.list_(MESSAGE)
SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("messages", MESSAGES),
        ("input", pa.string()),
        ("chosen", MESSAGES),
        ("rejected", MESSAGES),
        ("tools", pa.string()),
        ("source", pa.string()),
        ("extra", pa.string()),
    ]
)
"""Every dataset has these columns, then its own scalar ones.

``input`` is the Alpaca input already contained in the last user message, kept so that the
row can be written as Alpaca again; ``tools`` and ``tool_calls`` are JSON; ``extra`` is a
JSON object of fields that are nested or whose type differs from the rest of their column.
"""
FIXED = tuple(SCHEMA.names)


@dataclass(frozen=True)
class Message:
    """One turn. ``tool_calls`` is JSON text; ``weight`` 0 means it is not learned from."""

    role: str
    content: str
    name: str | None = None
    tool_calls: str | None = None
    weight: float | None = None


@dataclass(frozen=True)
class Example:
    """One row: a conversation, or a prompt with a better and a worse answer."""

    messages: tuple[Message, ...]
    id: str | None = None
    input: str | None = None
    chosen: tuple[Message, ...] | None = None
    rejected: tuple[Message, ...] | None = None
    tools: str | None = None
    source: str | None = None
    columns: dict[str, Any] = field(default_factory=dict)
    """Every other field: scalars and nested values alike."""

    @property
    def prompt(self) -> str:
        """The last thing the user said before the last answer; a plain text has none."""
        said = [turn.content for turn in self.messages if turn.role == "user"]
        return said[-1] if said else ""

    @property
    def answer(self) -> str:
        """The last answer, the better one of a preference pair, or the plain text."""
        turns = self.chosen or self.messages
        said = [turn.content for turn in turns if turn.role in ("assistant", "text")]
        return said[-1] if said else ""

    @property
    def instruction(self) -> str:
        """The prompt without the Alpaca input that ends it."""
        return without_input(self.prompt, self.input)

    @property
    def text(self) -> str:
        """Every word of the row, turns on lines of their own."""
        turns = [*self.messages, *(self.chosen or ()), *(self.rejected or ())]
        return "\n".join(turn.content for turn in turns)


def without_input(prompt: str, given: str | None) -> str:
    """The instruction in front of an Alpaca input; the whole prompt if the input is not there."""
    if not given or given not in prompt:
        return prompt
    return prompt[: prompt.rindex(given)].rstrip()


def filled(example: Example, slot: re.Pattern[str], values: dict[str, str]) -> Example:
    """The row with every placeholder that ``slot`` finds filled by its first group's value."""

    def fill(text: str) -> str:
        return slot.sub(lambda found: values[found[1]], text)

    def turns(messages: tuple[Message, ...]) -> tuple[Message, ...]:
        return tuple(replace(turn, content=fill(turn.content)) for turn in messages)

    return replace(
        example,
        messages=turns(example.messages),
        input=None if example.input is None else fill(example.input),
        chosen=None if example.chosen is None else turns(example.chosen),
        rejected=None if example.rejected is None else turns(example.rejected),
    )


def schema_with(columns: dict[str, pa.DataType]) -> pa.Schema:
    """The fixed columns, then a dataset's own."""
    return pa.schema([*SCHEMA, *(pa.field(name, kind) for name, kind in columns.items())])


def table_of(examples: Iterable[Example], columns: dict[str, pa.DataType]) -> pa.Table:
    """Examples as a table; what does not fit a column's type goes to ``extra``."""
    schema = schema_with(columns)
    fields: dict[str, list[Any]] = {name: [] for name in schema.names}
    for example in examples:
        _append(fields, example, columns)
    arrays = [pa.array(fields[name], schema.field(name).type) for name in schema.names]
    return pa.Table.from_arrays(arrays, schema=schema)


def _append(
    fields: dict[str, list[Any]], example: Example, columns: dict[str, pa.DataType]
) -> None:
    fields["id"].append(example.id)
    fields["messages"].append(as_dicts(example.messages))
    fields["input"].append(example.input)
    fields["chosen"].append(as_dicts(example.chosen))
    fields["rejected"].append(as_dicts(example.rejected))
    fields["tools"].append(example.tools)
    fields["source"].append(example.source)
    rest = dict(example.columns)
    for name, kind in columns.items():
        value = rest.get(name)
        fits = value is not None and fits_type(value, kind)
        fields[name].append(value if fits else None)
        if fits:
            del rest[name]
    fields["extra"].append(dumps(rest) if rest else None)


def fits_type(value: Any, kind: pa.DataType) -> bool:
    """True if a value can stand in a column of this type and come back the same."""
    if pa.types.is_boolean(kind):
        return isinstance(value, bool)
    if pa.types.is_integer(kind):
        return isinstance(value, int) and not isinstance(value, bool) and abs(value) < 1 << 63
    if pa.types.is_floating(kind):
        return isinstance(value, float)
    return isinstance(value, str)


def as_dicts(messages: Iterable[Message] | None) -> list[dict[str, Any]] | None:
    """Messages as Arrow wants them."""
    if messages is None:
        return None
    return [
        {
            "role": turn.role,
            "content": turn.content,
            "name": turn.name,
            "tool_calls": turn.tool_calls,
            "weight": turn.weight,
        }
        for turn in messages
    ]


def examples_of(table: pa.Table) -> Iterator[Example]:
    """The rows of a table, one by one, batch by batch."""
    for batch in table.to_batches(max_chunksize=1024):
        for row in batch.to_pylist():
            yield example_of(row)


def example_of(row: dict[str, Any]) -> Example:
    """One row of ``Table.to_pylist``; columns that are null were not there."""
    columns = {
        name: value for name, value in row.items() if name not in FIXED and value is not None
    }
    if row.get("extra"):
        columns.update(loads(row["extra"]))
    return Example(
        messages=_messages(row["messages"]) or (),
        id=row.get("id"),
        input=row.get("input"),
        chosen=_messages(row.get("chosen")),
        rejected=_messages(row.get("rejected")),
        tools=row.get("tools"),
        source=row.get("source"),
        columns=columns,
    )


def _messages(turns: list[dict[str, Any]] | None) -> tuple[Message, ...] | None:
    return None if turns is None else tuple(Message(**turn) for turn in turns)


def dumps(value: Any) -> str:
    """JSON in one canonical spelling: sorted keys, no spaces, any size of integer."""
    import json

    try:
        return orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode()
    except TypeError:  # integers beyond 64 bits, lone surrogates
        return json.dumps(value, sort_keys=True, separators=(",", ":"))


def loads(text: str | bytes) -> Any:
    """JSON as Python values; integers keep every digit and NaN is read as Python reads it."""
    import json

    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return json.loads(text)


def turn_texts(table: pa.Table, column: str = "messages") -> tuple[pa.ChunkedArray, np.ndarray]:
    """Every message content of a column, without copying it, and the row of each.

    Returns:
        Texts, shape [turns]; row numbers, int64, shape [turns].
    """
    texts, rows, before = [], [np.zeros(0, np.int64)], 0
    for chunk in table.column(column).chunks:
        texts.append(pc.struct_field(pc.list_flatten(chunk), "content"))
        inside = pc.list_parent_indices(chunk).to_numpy(zero_copy_only=False)
        rows.append(inside.astype(np.int64) + before)
        before += len(chunk)
    return pa.chunked_array(texts, pa.string()), np.concatenate(rows)


def characters(table: pa.Table) -> np.ndarray:
    """Unicode code points in the messages and answers of each row. Shape [rows], int64."""
    total = np.zeros(table.num_rows, np.int64)
    for column in ("messages", "chosen", "rejected"):
        texts, rows = turn_texts(table, column)
        lengths = pc.fill_null(pc.utf8_length(texts), 0).to_numpy()
        total += np.bincount(rows, weights=lengths, minlength=table.num_rows).astype(np.int64)
    return total


def pick(table: pa.Table, rows: np.ndarray | list[int]) -> pa.Table:
    """A few rows in the order given; faster than ``take`` on nested columns of many chunks."""
    parts = [table.slice(int(row), 1) for row in rows]
    return pa.concat_tables(parts) if parts else table.slice(0, 0)
