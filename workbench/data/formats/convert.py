"""Records of the formats people bring, as rows, and rows as records again.

What a format can hold comes back the same; what it cannot is refused, not dropped. Two
things are left behind on purpose: ``source``, which the dataset knows, and the Alpaca
``input`` where a format has no place for it, since the user's message contains it.

A field that is no part of the format becomes a column of the same name; one named like a
fixed column (``source``) gets one underscore more (``source_``) and loses it on the way
out. A column named like a part of the format it is written in gets one there. How single
turns were spelled, where a message cannot show it, stays in the column ``turn_fields``.
This module does not know files, tables or which format is meant.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from collections.abc import Set as AbstractSet
from typing import Any, get_args

from workbench.data.formats.asked import (
    EMPTY_TEXT,
    REPLY,
    TURN_FIELDS,
    Record,
    kept_spellings,
    no_pair,
    read_asking,
    read_system,
    take,
    write_asking,
    write_system,
)
from workbench.data.formats.detect import detect
from workbench.data.formats.mapping import (
    DEFAULTS,
    FORMATS,
    TEMPLATES,
    Answers,
    Cut,
    Format,
    Mapping,
    Template,
    Turns,
    Unfit,
    inside_name,
    outside_name,
)
from workbench.data.formats.plain_text import group_text
from workbench.data.formats.preferences import BETWEEN, read_preference, write_preference
from workbench.data.formats.turns import (
    Spellings,
    as_value,
    bare,
    read_turns,
    whole,
    words,
    write_turns,
)
from workbench.data.rows import FIXED, Example, Message, dumps
from workbench.errors import CannotExport

__all__ = [
    "DEFAULTS",
    "FORMATS",
    "TEMPLATES",
    "Answers",
    "Cut",
    "Format",
    "Mapping",
    "Template",
    "Turns",
    "Unfit",
    "detect",
    "from_example",
    "group_text",
    "inside_name",
    "merge_seeds",
    "outside_name",
    "to_examples",
]

TALK = {"sharegpt": "conversations", "tools": "conversations", "messages": "messages"}
INSTANCE_FIELDS = "instance_fields"
"""The column for fields of a seed task's instance besides its input and output."""


def to_examples(
    value: Record | list[Any] | str, mapping: Mapping, source: str | None = None
) -> list[Example]:
    """The rows of one record: one, or as many as a seed task has instances.

    Raises:
        Unfit: the record does not fit the mapping.
    """
    if isinstance(value, str):
        if mapping.format != "text":
            raise Unfit("it is plain text, without fields")
        return [Example((Message("text", whole(value, "the text")),), source=source)]
    if isinstance(value, list):  # a file whose records are bare conversations
        value = {mapping.name(TALK.get(mapping.format, ""), "conversations"): value}
    if mapping.format == "seeds":
        return _read_seeds(dict(value), mapping, source)
    rest = dict(value)
    read = _READERS.get(mapping.format, read_asking)
    return [_finished(read(rest, mapping), rest, mapping, source)]


def from_example(example: Example, mapping: Mapping, row: int = 0) -> Record | str:
    """The record of one row; text without a field for it is the string itself.

    Raises:
        CannotExport: the format cannot hold the row; it names the row and what is too much.
    """
    try:
        write = _WRITERS.get(mapping.format, write_asking)
        record = write(example, mapping)
        if isinstance(record, str):
            return _only_text(record, example)
        _add_rest(record, example, mapping)
        return record
    except Unfit as error:
        raise CannotExport(row=row, format=mapping.format, reason=error) from error


def _only_text(text: str, example: Example) -> str:
    if example.columns or example.id is not None or example.tools is not None:
        raise Unfit("plain text has no place for its columns")
    return text


# What every format has: an id, tools, and fields of its own.


def _finished(part: dict[str, Any], rest: Record, mapping: Mapping, source: str | None) -> Example:
    """An example of its parts and of what is left of the record."""
    spellings = {name: kept for name, kept in part.pop("spellings", {}).items() if kept}
    part.setdefault("id", _pop_text(rest, mapping.name("id", "id")))
    part["tools"] = _pop_json(rest, mapping.name("tools", "tools"))
    if source is not None and rest.get("source") == source:
        del rest["source"]
    rest = {name: one for name, one in rest.items() if one is not None}
    columns = {
        mapping.column(whole(name, "a name"), rest.keys()): one for name, one in rest.items()
    }
    for name, one in columns.items():
        if isinstance(one, str):
            whole(one, f"the field {name}")
    if spellings:
        columns[TURN_FIELDS] = spellings
    return Example(**part, source=source, columns=columns)


def _pop_text(rest: Record, name: str) -> str | None:
    """Take a field that holds text; an empty one counts as none."""
    if not isinstance(rest.get(name), str):
        return None
    return whole(rest.pop(name), f"the field {name}") or None


def _pop_json(rest: Record, name: str) -> str | None:
    value = rest.get(name)
    if isinstance(value, list | dict) and value:
        del rest[name]
        return dumps(value)
    if value in ([], {}):
        del rest[name]
    return _pop_text(rest, name)


def _add_rest(record: Record, example: Example, mapping: Mapping) -> None:
    """Id, tools and columns; a column that would be read as something else is refused."""
    if example.id is not None:
        record[mapping.name("id", "id")] = example.id
    if example.tools is not None:
        record[mapping.name("tools", "tools")] = as_value(example.tools, mapping)
    own = _own_columns(example, mapping)
    taken = {name for name in own if name in record}
    whole_record = record | _named(own, taken)
    # an optional field that the row leaves empty may be taken for a part of the format
    near = {f"{name}_" for name in mapping.own}
    doubtful = (mapping.own | near) & own.keys() - taken
    if doubtful and not _reads_as(whole_record, example, mapping):
        whole_record = record | _named(own, taken | doubtful)
        if not _reads_as(whole_record, example, mapping):
            raise Unfit("a column of its own has the name of a part of the format")
    record.update(whole_record)


def _reads_as(record: Record, example: Example, mapping: Mapping) -> bool:
    try:
        return to_examples(record, mapping, example.source) == [example]
    except Unfit:
        return False


def _own_columns(example: Example, mapping: Mapping) -> Record:
    """The columns under the names they had in a file."""
    spelled = {TURN_FIELDS, INSTANCE_FIELDS, BETWEEN} - _loose(example, mapping)
    if any(column in FIXED for column in example.columns):
        raise Unfit("a column of its own has the name of a fixed one")
    columns = {name: one for name, one in example.columns.items() if name not in spelled}
    return {outside_name(name): one for name, one in columns.items()}


def _named(own: Record, taken: AbstractSet[str]) -> Record:
    """Columns whose names are taken get an underscore; ``Mapping.column`` takes it away."""
    named = {f"{name}_" if name in taken else name: one for name, one in own.items()}
    if len(named) < len(own):
        raise Unfit("two columns of its own would have one name")
    return named


def _loose(example: Example, mapping: Mapping) -> set[str]:
    """The columns for spellings that this format does not itself write back."""
    used = set()
    if isinstance(example.columns.get(TURN_FIELDS), dict) and _has_turns(mapping):
        used.add(TURN_FIELDS)
    if mapping.format == "seeds" and isinstance(example.columns.get(INSTANCE_FIELDS), dict):
        used.add(INSTANCE_FIELDS)
    if mapping.answers == "list" and isinstance(example.columns.get(BETWEEN), list):
        used.add(BETWEEN)
    return {TURN_FIELDS, INSTANCE_FIELDS, BETWEEN} - used


def _has_turns(mapping: Mapping) -> bool:
    talks = mapping.format in TALK or "messages" in mapping.fields
    return talks or "conversations" in mapping.fields or mapping.answers not in ("text", "list")


# Seed tasks: one instruction, several instances.


def _read_seeds(record: Record, mapping: Mapping, source: str | None) -> list[Example]:
    instances = record.pop(mapping.name("instances"), None)
    if not isinstance(instances, list) or not instances:
        raise Unfit(f"the field {mapping.name('instances')} is not a list of instances")
    return [_read_instance(dict(record), one, mapping, source) for one in instances]


def _read_instance(rest: Record, instance: Any, mapping: Mapping, source: str | None) -> Example:
    if not isinstance(instance, dict):
        raise Unfit("an instance is not an object")
    own = dict(instance)
    instruction = words(take(rest, mapping, "instruction"), "the instruction")
    raw = take(own, mapping, "input")
    given = words(raw, "the input of an instance") if raw not in EMPTY_TEXT else None
    reply = words(take(own, mapping, "output"), "the output of an instance")
    asked = Message("user", mapping.template.fill(instruction, given))
    own = {name: value for name, value in own.items() if value is not None}
    if own:
        rest[INSTANCE_FIELDS] = own
    part = {"messages": (asked, Message("assistant", reply)), "input": given}
    return _finished(part, rest, mapping, source)


def _write_seed(example: Example, mapping: Mapping) -> Record:
    no_pair(example)
    if [turn.role for turn in example.messages] != ["user", "assistant"]:
        raise Unfit("it is not one question and its answer")
    asked, reply = map(bare, example.messages)
    given = example.input if mapping.name("input") else None
    parts = mapping.template.split(asked, given) or mapping.template.split(asked, None)
    if parts is None:
        raise Unfit("its question is not made with the template")
    own = example.columns.get(INSTANCE_FIELDS)
    instance = {mapping.name("output"): reply, **(own if isinstance(own, dict) else {})}
    if mapping.name("input"):
        instance = {mapping.name("input"): parts[1], **instance}
    return {mapping.name("instruction"): parts[0], mapping.name("instances"): [instance]}


def merge_seeds(records: Iterable[Record], mapping: Mapping) -> Iterator[Record]:
    """Seed tasks that follow one another and differ only in their instances, as one.

    Only tasks with the same id are merged; their rows come from one task.
    """
    name, key = mapping.name("instances"), mapping.name("id", "id")
    held: Record | None = None
    for record in records:
        same = held is not None and key in record and _but(held, name) == _but(record, name)
        if held is not None and same:
            held[name] = [*held[name], *record[name]]
            continue
        if held is not None:
            yield held
        held = record
    if held is not None:
        yield held


def _but(record: Record, name: str) -> Record:
    return {key: value for key, value in record.items() if key != name}


# Conversations.


def _read_talk(rest: Record, mapping: Mapping) -> dict[str, Any]:
    name = mapping.name(TALK[mapping.format])
    if rest.get(name) is None:
        raise Unfit(f"the field {name} is missing")
    said = rest.pop(name)
    # two answers need no question
    pair = mapping.format == "messages" and bool(rest.get(mapping.name("chosen")))
    turns, kept = ((), Spellings()) if said == [] and pair else read_turns(said, mapping)
    part: dict[str, Any] = {"messages": (*read_system(rest, mapping), *turns)}
    part["spellings"] = {"messages": kept}
    if mapping.format == "messages":
        _read_answers_beside(rest, mapping, part)
    return part


def _read_answers_beside(rest: Record, mapping: Mapping, part: dict[str, Any]) -> None:
    """In our own spelling of messages, all that a row can have stands beside them."""
    part["input"] = _pop_text(rest, mapping.name("input"))
    for name in ("chosen", "rejected"):
        value = rest.get(mapping.name(name))
        if isinstance(value, list) and value and isinstance(value[0], dict):
            turns, kept = read_turns(rest.pop(mapping.name(name)), mapping)
            part[name] = turns
            part["spellings"][name] = kept


def _write_talk(example: Example, mapping: Mapping) -> Record:
    if not example.messages and not (example.chosen and mapping.name("chosen")):
        raise Unfit("it has no turns")
    record, turns = write_system(example.messages, mapping)
    if not turns:
        record, turns = {}, example.messages  # a system text alone is a turn
    kept = kept_spellings(example, "messages")
    record[mapping.name(TALK[mapping.format])] = write_turns(turns, mapping, kept)
    if mapping.format == "messages" and mapping.name("input") and example.input is not None:
        record[mapping.name("input")] = example.input
    for name, answer in (("chosen", example.chosen), ("rejected", example.rejected)):
        if answer is not None:
            if mapping.format != "messages" or not mapping.name(name):
                raise Unfit("it has a better and a worse answer")
            kept = kept_spellings(example, name)
            record[mapping.name(name)] = write_turns(answer, mapping, kept)
    return record


# Plain text.


def _read_text(rest: Record, mapping: Mapping) -> dict[str, Any]:
    name = mapping.name("text")
    if not name:
        raise Unfit("it has fields; it is no plain text")
    return {"messages": (Message("text", words(rest.pop(name, None), f"the field {name}")),)}


def _write_text(example: Example, mapping: Mapping) -> Record | str:
    no_pair(example)
    if len(example.messages) != 1 or example.messages[0].role != "text":
        raise Unfit("it is a conversation, not plain text")
    text = bare(example.messages[0])
    return {mapping.name("text"): text} if mapping.name("text") else text


_READERS: dict[str, Callable[[Record, Mapping], dict[str, Any]]] = {
    "sharegpt": _read_talk,
    "tools": _read_talk,
    "messages": _read_talk,
    "preference": read_preference,
    "text": _read_text,
}
_WRITERS: dict[str, Callable[[Example, Mapping], Record | str]] = {
    "seeds": _write_seed,
    "sharegpt": _write_talk,
    "tools": _write_talk,
    "messages": _write_talk,
    "preference": write_preference,
    "text": _write_text,
}
assert set(get_args(Format)) == {*_READERS, *_WRITERS, *REPLY}
