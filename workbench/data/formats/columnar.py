"""The same rows as ``formats.to_examples``, made from Arrow columns without a Python loop.

A batch that holds anything unusual (a number for a text, an earlier turn, a role of
another name, a nested field) is not done here at all: the caller takes the slow way,
which is the one that defines what a row is. This module does not read files.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from workbench.data.formats.asked import ASKED, GIVEN, REPLY
from workbench.data.formats.mapping import CALL, Mapping, Template
from workbench.data.formats.turns import keys
from workbench.data.rows import FIXED, MESSAGE, MESSAGES, SCHEMA, Example, fits_type, schema_with

KINDS: tuple[tuple[type, pa.DataType], ...] = (
    (bool, pa.bool_()),
    (int, pa.int64()),
    (float, pa.float64()),
    (str, pa.string()),
)
MOST_COLUMNS = 64


class _Slow(Exception):
    """This batch is for the slow way."""


def choose_columns(samples: Iterable[Example]) -> dict[str, pa.DataType]:
    """The columns a dataset gets for fields of its own, and their types.

    A field becomes a column if all its values in the sample have one scalar type: text,
    whole number of 64 bits, fraction, or yes and no. Nested and mixed ones stay in ``extra``,
    and so does a name that differs from another only in its case (SQL sees one), and what
    is beyond 64 columns. Fields named like a fixed column have one underscore more already
    (``formats.inside_name``), which ``from_example`` takes away again.
    """
    seen: Counter[str] = Counter()
    kinds: dict[str, set[pa.DataType | None]] = {}
    for example in samples:
        for name, value in example.columns.items():
            if value is not None:
                seen[name] += 1
                kinds.setdefault(name, set()).add(_kind(value))
    chosen: dict[str, pa.DataType] = {}
    taken = {name.lower() for name in FIXED}
    for name, _ in seen.most_common():
        kind = next(iter(kinds[name])) if len(kinds[name]) == 1 else None
        if kind is not None and name and name.lower() not in taken and len(chosen) < MOST_COLUMNS:
            taken.add(name.lower())
            chosen[name] = kind
    return {name: chosen[name] for name in kinds if name in chosen}


def _kind(value: Any) -> pa.DataType | None:
    found = next((kind for type_, kind in KINDS if isinstance(value, type_)), None)
    return found if found is not None and fits_type(value, found) else None


def convert(
    batch: pa.RecordBatch,
    mapping: Mapping,
    source: str | None,
    schema_columns: dict[str, pa.DataType],
) -> pa.Table | None:
    """The rows of a batch of records; None if only the slow way can do them.

    Equal to ``table_of(to_examples(record, mapping, source) ..., schema_columns)``.
    """
    if len(set(batch.schema.names)) != batch.num_columns:
        return None
    rest = dict(zip(batch.schema.names, batch.columns, strict=True))
    rows = batch.num_rows
    try:
        made = _parts(rest, mapping, rows)
        made["id"] = _given_text(rest, mapping.name("id", "id"), rows)
        made["tools"] = _given_text(rest, mapping.name("tools", "tools"), rows)
        made["source"] = pa.array([source], pa.string()).take(pa.array(np.zeros(rows, np.int64)))
        made |= _own_columns(rest, mapping, source, schema_columns)
    except _Slow:
        return None
    schema = schema_with(schema_columns)
    arrays = [
        made[field.name] if field.name in made else pa.nulls(rows, field.type) for field in schema
    ]
    return pa.Table.from_arrays(arrays, schema=schema)


def _parts(rest: dict[str, pa.Array], mapping: Mapping, rows: int) -> dict[str, pa.Array]:
    if mapping.format == "text" and mapping.name("text"):
        text = _text(rest, mapping.name("text"))
        return {"messages": _conversations([("text", text, None)], rows)}
    if mapping.format in REPLY and "messages" not in mapping.fields:
        return _asking(rest, mapping, rows)
    if mapping.format in ("sharegpt", "tools", "messages") and mapping.turns == "objects":
        return _talk(rest, mapping, rows)
    raise _Slow


# Columns of one value a row.


def _as_text(array: pa.Array) -> pa.Array:
    kind = array.type
    if pa.types.is_null(kind):
        return pa.nulls(len(array), pa.string())
    if pa.types.is_dictionary(kind):
        array, kind = array.dictionary_decode(), kind.value_type
    if not (pa.types.is_string(kind) or pa.types.is_large_string(kind)):
        raise _Slow
    return array.cast(pa.string())


def _text(rest: dict[str, pa.Array], name: str) -> pa.Array:
    """A field that every row needs; it is taken out of the rest."""
    if name not in rest:
        raise _Slow
    text = _as_text(rest.pop(name))
    if text.null_count:
        raise _Slow
    return text


def _given_text(rest: dict[str, pa.Array], name: str, rows: int) -> pa.Array:
    """A field of text that may be missing; empty counts as missing.

    One of another scalar type is left where it is, to become a column of its own.
    """
    if not name or name not in rest:
        return pa.nulls(rows, pa.string())
    kind = rest[name].type
    if pa.types.is_nested(kind) and rest[name].null_count < rows:
        raise _Slow
    if pa.types.is_boolean(kind) or pa.types.is_integer(kind) or pa.types.is_floating(kind):
        return pa.nulls(rows, pa.string())
    return _filled(_as_text_or_null(rest.pop(name)))


def _as_text_or_null(array: pa.Array) -> pa.Array:
    empty = array.null_count == len(array)
    return pa.nulls(len(array), pa.string()) if empty else _as_text(array)


def _filled(text: pa.Array) -> pa.Array:
    """The text, null where it is empty."""
    full = pc.fill_null(pc.greater(pc.binary_length(text), 0), False)
    return pc.if_else(full, text, pa.scalar(None, pa.string()))


def _own_columns(
    rest: dict[str, pa.Array],
    mapping: Mapping,
    source: str | None,
    columns: dict[str, pa.DataType],
) -> dict[str, pa.Array]:
    """What is left of the records, each field in the column of its name."""
    filled = {name: array for name, array in rest.items() if array.null_count < len(array)}
    made = {}
    for name, array in filled.items():
        if name.endswith("_") and name[:-1] in mapping.own and name[:-1] in filled:
            raise _Slow  # which column it is depends on the row
        column = mapping.column(name, filled.keys())
        kind = columns.get(column)
        value = array.dictionary_decode() if pa.types.is_dictionary(array.type) else array
        if kind is None or not _same(value.type, kind):
            raise _Slow
        if name == "source" and source is not None and _any_equal(value, source):
            raise _Slow
        made[column] = value.cast(kind)
    return made


def _any_equal(values: pa.Array, text: str) -> bool:
    return pa.types.is_string(values.type) and bool(pc.any(pc.equal(values, text)).as_py())


def _same(kind: pa.DataType, wanted: pa.DataType) -> bool:
    """True if every value of one type is, as Python sees it, a value of the other."""
    if pa.types.is_string(wanted):
        return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))
    if pa.types.is_integer(wanted):
        return bool(pa.types.is_integer(kind) and kind != pa.uint64())
    if pa.types.is_floating(wanted):
        return bool(pa.types.is_floating(kind) and kind != pa.float16())
    return bool(pa.types.is_boolean(wanted) and pa.types.is_boolean(kind))


# Questions with their answers.


def _asking(rest: dict[str, pa.Array], mapping: Mapping, rows: int) -> dict[str, pa.Array]:
    asked = _text(rest, mapping.name(ASKED[mapping.format]))
    given = _optional(rest, mapping.name(GIVEN.get(mapping.format, "")), rows)
    system = _optional(rest, mapping.name("system"), rows)
    _no_history(rest, mapping.name("history"))
    turns = [("user", _prompts(asked, given, mapping.template), None)]
    if system.null_count < rows:
        turns.insert(0, ("system", pc.fill_null(system, ""), pc.is_valid(system)))
    reply = mapping.name(REPLY[mapping.format])
    if reply:
        turns.append(("assistant", _text(rest, reply), None))
    return {"messages": _conversations(turns, rows), "input": given}


def _optional(rest: dict[str, pa.Array], name: str, rows: int) -> pa.Array:
    """Text that may be missing or empty, and must not be anything else."""
    if not name or name not in rest:
        return pa.nulls(rows, pa.string())
    return _filled(_as_text_or_null(rest.pop(name)))


def _no_history(rest: dict[str, pa.Array], name: str) -> None:
    if not name or name not in rest:
        return
    array = rest.pop(name)
    lists = pa.types.is_list(array.type) or pa.types.is_large_list(array.type)
    if array.null_count == len(array):
        return
    if not lists or pc.max(pc.list_value_length(array)).as_py():
        raise _Slow


def _prompts(asked: pa.Array, given: pa.Array, template: Template) -> pa.Array:
    """``Template.fill`` for whole columns."""
    alone = _filled_slots(template.without_input, asked, asked)
    if given.null_count == len(given):
        return alone
    some = pc.fill_null(given, "")
    both = _filled_slots(template.with_input, asked, some)
    only_given = _filled_slots(template.without_input, some, some)
    unasked = pc.equal(pc.binary_length(asked), 0)
    return pc.if_else(pc.is_null(given), alone, pc.if_else(unasked, only_given, both))


def _filled_slots(text: str, instruction: pa.Array, given: pa.Array) -> pa.Array:
    if text == "{instruction}":
        return instruction
    pieces: list[Any] = []
    for number, around in enumerate(text.split("{instruction}")):
        pieces += [instruction] if number else []
        for again, piece in enumerate(around.split("{input}")):
            pieces += [given] if again else []
            pieces += [piece] if piece else []
    return pc.binary_join_element_wise(*pieces, "")


def _conversations(turns: list[tuple[str, pa.Array, pa.Array | None]], rows: int) -> pa.Array:
    """Lists of messages from one column a turn; a turn may be missing in some rows."""
    present = np.ones((rows, len(turns)), bool)
    for number, (_, _, there) in enumerate(turns):
        if there is not None:
            present[:, number] = there.to_numpy(zero_copy_only=False)
    which = np.arange(rows * len(turns), dtype=np.int64).reshape(len(turns), rows).T[present]
    contents = pa.concat_arrays([text for _, text, _ in turns])
    roles = pa.array([role for role, _, _ in turns], pa.string())
    ends = np.concatenate([[0], np.cumsum(present.sum(axis=1))])
    if len(turns) > 1:
        contents = contents.take(pa.array(which))
    return _listed(roles.take(pa.array(which // max(1, rows))), contents, ends)


def _listed(
    roles: pa.Array,
    contents: pa.Array,
    ends: np.ndarray,
    names: pa.Array | None = None,
    weights: pa.Array | None = None,
) -> pa.Array:
    count = len(contents)
    fields = [
        roles,
        contents,
        pa.nulls(count, pa.string()) if names is None else names,
        pa.nulls(count, pa.string()),
        pa.nulls(count, pa.float64()) if weights is None else weights,
    ]
    turns = pa.StructArray.from_arrays(fields, fields=list(MESSAGE))
    return pa.ListArray.from_arrays(pa.array(ends, pa.int32()), turns, type=MESSAGES)


# Conversations.


def _talk(rest: dict[str, pa.Array], mapping: Mapping, rows: int) -> dict[str, pa.Array]:
    if mapping.name("parts"):
        raise _Slow
    part = "messages" if mapping.format == "messages" else "conversations"
    made = {"messages": _turns(rest.pop(mapping.name(part), None), mapping)}
    if _optional(rest, mapping.name("system"), rows).null_count < rows:
        raise _Slow
    if mapping.format == "messages":
        made["input"] = _given_text(rest, mapping.name("input"), rows)
        for name in (mapping.name("chosen"), mapping.name("rejected")):
            if name in rest and rest[name].null_count < rows:
                raise _Slow
    return made


def _turns(lists: pa.Array | None, mapping: Mapping) -> pa.Array:
    if lists is None or lists.null_count:
        raise _Slow
    if not (pa.types.is_list(lists.type) or pa.types.is_large_list(lists.type)):
        raise _Slow
    turns = lists.flatten()
    lengths = pc.list_value_length(lists).to_numpy(zero_copy_only=False)
    if not pa.types.is_struct(turns.type) or turns.null_count or not lengths.all():
        raise _Slow
    inner = dict(zip([field.name for field in turns.type], turns.flatten(), strict=True))
    role_key, content_key = keys(mapping)
    roles = _roles(_text(inner, role_key), mapping)
    contents = _text(inner, content_key)
    names = _given_text(inner, mapping.name("name"), len(turns))
    weights = _weights(inner, mapping.name("weight"))
    if any(array.null_count < len(array) for array in inner.values()):
        raise _Slow
    ends = np.concatenate([[0], np.cumsum(lengths)])
    return _listed(roles, contents, ends, names, weights)


def _roles(said: pa.Array, mapping: Mapping) -> pa.Array:
    """Our names of the roles; one that would be written back differently is for the slow way."""
    written: dict[str, str] = {}
    for theirs, ours in mapping.roles:
        written.setdefault(ours, theirs)
    plain = {
        theirs: ours
        for ours, theirs in written.items()
        if dict(reversed(mapping.roles))[theirs] == ours
    }
    plain = {theirs: ours for theirs, ours in plain.items() if ours != CALL}
    at = pc.index_in(said, value_set=pa.array(list(plain), pa.string()))
    if at.null_count:
        raise _Slow
    return pa.array(list(plain.values()), pa.string()).take(at)


def _weights(inner: dict[str, pa.Array], name: str) -> pa.Array | None:
    if not name or name not in inner:
        return None
    array = inner.pop(name)
    if array.null_count == len(array):
        return None
    if not (pa.types.is_integer(array.type) or pa.types.is_floating(array.type)):
        raise _Slow
    weights = array.cast(pa.float64())
    if pc.any(pc.is_nan(weights)).as_py():
        raise _Slow
    return weights


assert SCHEMA.field("messages").type == MESSAGES
