"""A better and a worse answer to the same question, in the spellings people use.

Strings, single turns, several turns, whole conversations that begin alike, or one ranked
list. This module reads its parts out of a record and writes them; it does not know what
else a record holds.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from workbench.data.formats.asked import (
    Record,
    asked_part,
    kept_spellings,
    read_asked,
    take,
    write_asked,
)
from workbench.data.formats.mapping import Mapping, Unfit, inside_name
from workbench.data.formats.turns import (
    Spellings,
    bare,
    read_turn,
    read_turns,
    words,
    write_turn,
    write_turns,
)
from workbench.data.rows import Example, Message

BETWEEN = "answers_between"
"""The column for the answers of a ranked list between the best and the worst."""


def read_preference(rest: Record, mapping: Mapping) -> dict[str, Any]:
    part: dict[str, Any] = {"spellings": {}}
    turns: Sequence[Message] = ()
    talk = next((one for one in ("messages", "conversations") if one in mapping.fields), "")
    if talk:
        if rest.get(mapping.name(talk)) is None:
            raise Unfit(f"the field {mapping.name(talk)} is missing")
        before = take(rest, mapping, talk)
        if before != []:
            turns, part["spellings"]["messages"] = read_turns(before, mapping)
    elif asked_part(mapping) and mapping.answers != "whole":
        turns, part["input"] = read_asked(rest, mapping)
    if mapping.answers == "whole":
        return _read_whole(rest, mapping)
    if mapping.answers == "list":
        better, worse = _read_ranked(rest, mapping)
    else:
        better, worse = take(rest, mapping, "chosen"), take(rest, mapping, "rejected")
    part["messages"] = tuple(turns)
    for name, value in (("chosen", better), ("rejected", worse)):
        part[name], part["spellings"][name] = _read_answer(value, mapping, name)
    return part


def _read_ranked(rest: Record, mapping: Mapping) -> tuple[Any, Any]:
    """The best and the worst of a list; those between go to a column."""
    answers = take(rest, mapping, "chosen")
    if not isinstance(answers, list) or len(answers) < 2:
        raise Unfit(f"the field {mapping.name('chosen')} is not a list of two answers")
    if answers[1:-1]:
        rest[BETWEEN] = answers[1:-1]
    return answers[0], answers[-1]


def _read_answer(value: Any, mapping: Mapping, name: str) -> tuple[tuple[Message, ...], Spellings]:
    if isinstance(value, list):
        return read_turns(value, mapping)
    if isinstance(value, dict):
        message = read_turn(value, mapping)
        plainly = write_turn(message, mapping)
        kept = {key: one for key, one in value.items() if one and plainly.get(key) != one}
        return (message,), ({"0": kept} if kept else {})
    return (Message("assistant", words(value, f"the {name} answer")),), {}


def _read_whole(rest: Record, mapping: Mapping) -> dict[str, Any]:
    better, kept = read_turns(take(rest, mapping, "chosen"), mapping)
    worse, more = read_turns(take(rest, mapping, "rejected"), mapping)
    shared = _shared(better, worse)
    name = mapping.name("prompt")
    if name and rest.get(name) == _last_asked(better[:shared]):
        del rest[name]  # said again in the conversation
    return {
        "messages": better[:shared],
        "chosen": better[shared:],
        "rejected": worse[shared:],
        "spellings": {"chosen": kept, "rejected": more},
    }


def _shared(one: Sequence[Message], other: Sequence[Message]) -> int:
    """How many turns both begin with, so that each keeps at least one."""
    most = min(len(one), len(other)) - 1
    return next((at for at in range(most) if one[at] != other[at]), most)


def _last_asked(turns: Sequence[Message]) -> str | None:
    return next((turn.content for turn in reversed(turns) if turn.role == "user"), None)


def write_preference(example: Example, mapping: Mapping) -> Record:
    better, worse = example.chosen, example.rejected
    if not better or not worse:
        raise Unfit("it has no better and worse answer")
    if mapping.answers == "whole":
        return _write_whole(example, mapping)
    record = _write_before(example, mapping)
    if mapping.answers == "list":
        between = example.columns.get(BETWEEN)
        middle = between if isinstance(between, list) else []
        answers = [_one_answer(better), *middle, _one_answer(worse)]
        return {**record, mapping.name("chosen"): answers}
    for name, turns in (("chosen", better), ("rejected", worse)):
        record[mapping.name(name)] = _write_answer(turns, mapping, kept_spellings(example, name))
    return record


def _write_before(example: Example, mapping: Mapping) -> Record:
    talk = next((one for one in ("messages", "conversations") if one in mapping.fields), "")
    if talk:
        kept = kept_spellings(example, "messages")
        return {mapping.name(talk): write_turns(example.messages, mapping, kept)}
    if asked_part(mapping):
        return write_asked(example.messages, example.input, mapping)
    if example.messages:
        raise Unfit("it has turns before the answers, for which there is no field")
    return {}


def _write_answer(turns: Sequence[Message], mapping: Mapping, kept: Spellings) -> Any:
    if mapping.answers == "text":
        return _one_answer(turns)
    if mapping.answers == "turn":
        if len(turns) != 1:
            raise Unfit("its answers have more than one turn")
        return write_turn(turns[0], mapping, kept.get("0"))
    return write_turns(turns, mapping, kept)


def _one_answer(turns: Sequence[Message]) -> str:
    if len(turns) != 1 or turns[0].role != "assistant":
        raise Unfit("its answers are not one turn of the assistant's each")
    return bare(turns[0])


def _write_whole(example: Example, mapping: Mapping) -> Record:
    better = (*example.messages, *(example.chosen or ()))
    worse = (*example.messages, *(example.rejected or ()))
    if _shared(better, worse) != len(example.messages):
        raise Unfit("its two answers begin with the same turn")
    record: Record = {
        mapping.name("chosen"): write_turns(better, mapping, kept_spellings(example, "chosen")),
        mapping.name("rejected"): write_turns(worse, mapping, kept_spellings(example, "rejected")),
    }
    name, asked = mapping.name("prompt"), _last_asked(example.messages)
    if name and asked is not None and inside_name(name) not in example.columns:
        record[name] = asked
    return record
