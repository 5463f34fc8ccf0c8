"""Questions with their answers: what Alpaca, question-answer and prompt records share.

A system text, earlier turns, an instruction with or without an input, and a reply. This
module reads parts out of a record, taking them away, and writes them; it does not know
what else a record holds.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from workbench.data.formats.mapping import Mapping, Unfit
from workbench.data.formats.turns import Spellings, bare, read_turns, words, write_turns
from workbench.data.rows import Example, Message, loads

Record = dict[str, Any]
ASKED = {"alpaca": "instruction", "seeds": "instruction", "prompt": "prompt", "qa": "question"}
GIVEN = {"alpaca": "input", "preference": "input", "qa": "context"}
REPLY = {"alpaca": "output", "prompt": "completion", "qa": "answer"}
EMPTY_TEXT: tuple[Any, ...] = (None, "", [])
TURN_FIELDS = "turn_fields"
"""The column for spellings of turns: part of the row, number of the turn, fields."""


def take(rest: Record, mapping: Mapping, part: str) -> Any:
    """Take the field of a part out of a record; None if it is not there."""
    name = mapping.name(part)
    return rest.pop(name, None) if name else None


def kept_spellings(example: Example, place: str) -> Spellings:
    kept = example.columns.get(TURN_FIELDS)
    found = kept.get(place) if isinstance(kept, dict) else None
    return found if isinstance(found, dict) else {}


def no_pair(example: Example) -> None:
    if example.chosen is not None or example.rejected is not None:
        raise Unfit("it has a better and a worse answer")


def asked_part(mapping: Mapping) -> str:
    if mapping.format == "preference":
        return next((part for part in ("instruction", "prompt") if part in mapping.fields), "")
    return ASKED[mapping.format]


def read_asking(rest: Record, mapping: Mapping) -> dict[str, Any]:
    if "messages" in mapping.fields:  # a prompt and a completion that are lists of messages
        asked, kept = read_turns(take(rest, mapping, "messages"), mapping)
        answer, more = read_turns(take(rest, mapping, "completion"), mapping)
        return {"messages": asked + answer, "spellings": {"messages": kept, "completion": more}}
    turns, given = read_asked(rest, mapping)
    reply = mapping.name(REPLY[mapping.format])
    if reply:
        turns.append(Message("assistant", words(rest.pop(reply, None), f"the field {reply}")))
    return {"messages": tuple(turns), "input": given}


def read_asked(rest: Record, mapping: Mapping) -> tuple[list[Message], str | None]:
    """System, earlier turns and the question; and the input in the question."""
    part = asked_part(mapping)
    name = mapping.name(part)
    turns = read_system(rest, mapping) + _read_history(take(rest, mapping, "history"))
    instruction = rest.pop(name, None)
    given_name = mapping.name(GIVEN.get(mapping.format, ""))
    raw = rest.pop(given_name, None) if given_name else None
    given = words(raw, f"the field {given_name}") if raw not in EMPTY_TEXT else None
    asked = "" if instruction is None and given else words(instruction, f"the field {name}")
    return [*turns, Message("user", mapping.template.fill(asked, given))], given


def read_system(rest: Record, mapping: Mapping) -> list[Message]:
    value = take(rest, mapping, "system")
    return [] if value in EMPTY_TEXT else [Message("system", words(value, "the system text"))]


def _read_history(value: Any) -> list[Message]:
    if isinstance(value, str) and value:
        try:
            value = loads(value)
        except ValueError:
            raise Unfit("the history is not a list") from None
    if value in EMPTY_TEXT:
        return []
    if not (isinstance(value, list) and all(isinstance(p, list) and len(p) == 2 for p in value)):
        raise Unfit("the history is not a list of questions with their answers")
    return [
        Message(role, words(said, "a turn of the history"))
        for pair in value
        for role, said in zip(("user", "assistant"), pair, strict=True)
    ]


def write_asking(example: Example, mapping: Mapping) -> Record:
    no_pair(example)
    turns = example.messages
    if "messages" in mapping.fields:
        return _write_prompt_turns(example, mapping)
    reply = mapping.name(REPLY[mapping.format])
    answered = bool(turns) and turns[-1].role == "assistant"
    if bool(reply) != answered:
        raise Unfit("it has no answer at its end" if reply else "it has an answer")
    asked = turns[:-1] if answered else turns
    record = write_asked(asked, example.input, mapping)
    return {**record, reply: bare(turns[-1])} if reply else record


def _write_prompt_turns(example: Example, mapping: Mapping) -> Record:
    asks = [number for number, turn in enumerate(example.messages) if turn.role != "assistant"]
    at = asks[-1] + 1 if asks else 0
    prompt, answer = example.messages[:at], example.messages[at:]
    if not prompt or not answer:
        raise Unfit("it is not a question and an answer at its end")
    parts = (("messages", prompt), ("completion", answer))
    return {
        mapping.name(part): write_turns(turns, mapping, kept_spellings(example, part))
        for part, turns in parts
    }


def write_asked(turns: Sequence[Message], given: str | None, mapping: Mapping) -> Record:
    record, turns = write_system(turns, mapping)
    if not turns or turns[-1].role != "user":
        raise Unfit("it is not a question of the user's and its answer")
    earlier, asked = turns[:-1], bare(turns[-1])
    given_name = mapping.name(GIVEN.get(mapping.format, ""))
    parts = mapping.template.split(asked, given if given_name else None)
    if parts is None:
        # an input that the message no longer contains: the message alone is the truth
        parts = mapping.template.split(asked, None)
    if parts is None:
        raise Unfit("its question is not made with the template")
    record[mapping.name(asked_part(mapping))] = parts[0]
    if given_name:
        record[given_name] = parts[1]
    if earlier:
        record[_history_name(mapping)] = _write_history(earlier)
    return record


def _history_name(mapping: Mapping) -> str:
    if not mapping.name("history"):
        raise Unfit("it has earlier turns, for which there is no field")
    return mapping.name("history")


def _write_history(turns: Sequence[Message]) -> list[list[str]]:
    roles = [turn.role for turn in turns]
    if roles != ["user", "assistant"] * (len(turns) // 2):
        raise Unfit("its turns are not the user's and the assistant's in alternation")
    return [[bare(turns[at]), bare(turns[at + 1])] for at in range(0, len(turns), 2)]


def write_system(turns: Sequence[Message], mapping: Mapping) -> tuple[Record, Sequence[Message]]:
    """The field for a leading system turn, and the turns after it."""
    name = mapping.name("system")
    if not (name and turns and turns[0].role == "system" and turns[0].content):
        return {}, turns
    return {name: bare(turns[0])}, turns[1:]
