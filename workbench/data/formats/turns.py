"""Conversations as files spell them, read into messages and written back.

A turn that is spelled in a way its message cannot show (two parts of text, a call with
spaces in its JSON, a field of its own) keeps that spelling beside the row, and gets it
back as long as the message has not been changed. This module knows a mapping and turns;
it does not know records, nor which field a conversation stands in.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Sequence
from typing import Any

from workbench.data.formats.mapping import CALL, Mapping, Unfit
from workbench.data.rows import Message, dumps, loads

Spellings = dict[str, dict[str, Any]]
"""Number of a turn, as text, to the fields of it that must be written as they were."""
EMPTY: tuple[Any, ...] = (None, "", [], {})
UNCALLED = "tool_calls"
"""Where a call turn keeps its JSON when name and arguments are not all there is."""


def words(value: Any, what: str) -> str:
    """A value that must be text; numbers are taken as people write them.

    Raises:
        Unfit: it is missing, no text, or holds half of a surrogate pair.
    """
    if value is None:
        raise Unfit(f"{what} is missing")
    if isinstance(value, int | float) and not isinstance(value, bool):
        return str(value)
    if not isinstance(value, str):
        raise Unfit(f"{what} is not text")
    return whole(value, what)


def whole(text: str, what: str) -> str:
    """The text, if every character of it can be written as UTF-8."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise Unfit(f"{what} holds half of a character (a lone surrogate)") from None
    return text


def read_turns(value: Any, mapping: Mapping) -> tuple[tuple[Message, ...], Spellings]:
    """The messages of a conversation, and what has to be kept of how they were spelled.

    Raises:
        Unfit: it is not a conversation in the mapping's spelling.
    """
    if isinstance(value, str) and value[:1] == "[":
        value = _parsed(value)
    if not isinstance(value, list):
        raise Unfit("the conversation is not a list")
    if not value:
        raise Unfit("the conversation is empty")
    if mapping.turns == "objects":
        return _read_objects(value, mapping)
    if mapping.turns == "pairs":
        return _read_pairs(value, mapping)
    if mapping.turns == "lists":
        return _alternating([one for pair in value for one in _two(pair)]), {}
    if mapping.turns == "users":
        return tuple(Message("user", words(one, "a turn")) for one in value), {}
    return _alternating(value), {}


def write_turns(
    messages: Sequence[Message], mapping: Mapping, spellings: Spellings | None = None
) -> list[Any]:
    """A conversation in the mapping's spelling.

    Raises:
        Unfit: the spelling cannot hold these messages.
    """
    if mapping.turns == "objects":
        return [
            write_turn(message, mapping, (spellings or {}).get(str(number)))
            for number, message in enumerate(messages)
        ]
    if mapping.turns == "pairs":
        return _write_pairs(messages, mapping, spellings or {})
    if mapping.turns == "users":
        return [_plain(message, "user") for message in messages]
    texts = [
        _plain(message, "user" if number % 2 == 0 else "assistant")
        for number, message in enumerate(messages)
    ]
    if mapping.turns == "lists":
        if len(texts) % 2:
            raise Unfit("its last question has no answer")
        return [texts[start : start + 2] for start in range(0, len(texts), 2)]
    return texts


def _plain(message: Message, role: str) -> str:
    if message.role != role:
        raise Unfit("its turns are not the user's and the assistant's in alternation")
    return bare(message)


def bare(message: Message) -> str:
    """The content of a message that has nothing but a content.

    Raises:
        Unfit: it has a name, a weight or a tool call as well.
    """
    if message.name is not None or message.tool_calls is not None or message.weight is not None:
        raise Unfit("a turn of it has a name, a weight or a tool call")
    return message.content


def _alternating(texts: Sequence[Any]) -> tuple[Message, ...]:
    return tuple(
        Message("assistant" if number % 2 else "user", words(text, "a turn"))
        for number, text in enumerate(texts)
    )


def _two(pair: Any) -> list[Any]:
    if not (isinstance(pair, list) and len(pair) == 2):
        raise Unfit("the conversation is not a list of question and answer")
    return pair


# Turns as objects.


def _read_objects(value: list[Any], mapping: Mapping) -> tuple[tuple[Message, ...], Spellings]:
    messages, spellings = [], {}
    for number, raw in enumerate(value):
        message = read_turn(raw, mapping)
        kept = _unlike(raw, write_turn(message, mapping))
        if kept:
            spellings[str(number)] = kept
        messages.append(message)
    return tuple(messages), spellings


def _unlike(raw: dict[str, Any], written: dict[str, Any]) -> dict[str, Any]:
    return {
        key: value for key, value in raw.items() if written.get(key) != value and value not in EMPTY
    }


def keys(mapping: Mapping) -> tuple[str, str]:
    """The names under which a turn has its role and its content."""
    ours = mapping.format == "messages" or "role" in mapping.fields or "content" in mapping.fields
    role = mapping.name("from") or mapping.name("role", "role" if ours else "from")
    content = mapping.name("value") or mapping.name("content", "content" if ours else "value")
    return role, content


@functools.lru_cache(maxsize=64)
def _names(roles: tuple[tuple[str, str], ...]) -> tuple[dict[str, str], dict[str, str]]:
    """Their role to ours, and ours to the first of theirs."""
    return dict(reversed(roles)), {ours: theirs for theirs, ours in reversed(roles)}


def read_turn(raw: Any, mapping: Mapping) -> Message:
    """One turn that is an object with a role and a content.

    Raises:
        Unfit: it is not, or its role is not known.
    """
    if not isinstance(raw, dict):
        raise Unfit("a turn is not an object")
    role_key, content_key = keys(mapping)
    said = raw.get(role_key)
    if not isinstance(said, str):
        raise Unfit(f"a turn has no {role_key}")
    role = _names(mapping.roles)[0].get(said)
    if role is None:
        raise Unfit(f"the role '{said[:40]}' is not known")
    if role == CALL:
        kept = raw.get(UNCALLED)
        return Message(
            "assistant", "", tool_calls=kept if kept else _read_calls(raw.get(content_key))
        )
    calls = _calls_beside(raw, mapping)
    content = raw.get(content_key)
    if content is None and (calls is not None or raw.get("function_call")):
        content = ""
    return Message(
        role, _content(content, content_key), _name(raw, mapping), calls, _weight(raw, mapping)
    )


def _content(value: Any, key: str) -> str:
    if isinstance(value, list):
        return "".join(_part(part) for part in value)
    return words(value, f"the {key} of a turn")


def _part(part: Any) -> str:
    if isinstance(part, str):
        return whole(part, "a turn")
    if not isinstance(part, dict):
        raise Unfit("a part of a content is not an object")
    if part.get("type", "text") != "text":
        raise Unfit(f"a content has a part of the type {str(part['type'])[:40]}, which is no text")
    return words(next((part[key] for key in PART_KEYS if key in part), None), "a part of a turn")


PART_KEYS = ("text", "value", "content")


def _name(raw: dict[str, Any], mapping: Mapping) -> str | None:
    value = raw.get(mapping.name("name"))
    return whole(value, "a name") if isinstance(value, str) and value else None


def _weight(raw: dict[str, Any], mapping: Mapping) -> float | None:
    value = raw.get(mapping.name("weight"))
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if value is not None and number else None


def _calls_beside(raw: dict[str, Any], mapping: Mapping) -> str | None:
    value = raw.get(mapping.name("tool_calls"))
    if isinstance(value, str):
        return whole(value, "a tool call") or None
    return dumps(value) if isinstance(value, list | dict) and value else None


def write_turn(
    message: Message, mapping: Mapping, kept: dict[str, Any] | None = None
) -> dict[str, Any]:
    """One turn as an object, spelled as it was if it still says the same.

    Raises:
        Unfit: the mapping has no name for the role or no place for a part of it.
    """
    turn = _spelled(message, mapping)
    if not kept:
        return turn
    try:
        again = {**turn, **kept}
        if read_turn(again, mapping) == message:
            return again
    except Unfit:
        pass
    own = {*keys(mapping), *(mapping.name(part) for part in ("name", "tool_calls", "weight"))}
    return {**{key: value for key, value in kept.items() if key not in own}, **turn}


def _spelled(message: Message, mapping: Mapping) -> dict[str, Any]:
    role_key, content_key = keys(mapping)
    names = _names(mapping.roles)[1]
    if message.tool_calls is not None and not mapping.name("tool_calls"):
        return _call_turn(message, mapping, names)
    role = names.get(message.role)
    if role is None:
        raise Unfit(f"there is no name for the role {message.role} there")
    content: Any = message.content
    if mapping.name("parts"):
        content = [{"type": "text", mapping.name("parts"): content}]
    turn = {role_key: role, content_key: content}
    for part, value in (
        ("name", message.name),
        ("tool_calls", as_value(message.tool_calls, mapping)),
        ("weight", message.weight),
    ):
        if value is not None:
            turn[_place(part, mapping)] = value
    return turn


def _place(part: str, mapping: Mapping) -> str:
    name = mapping.name(part)
    if not name:
        raise Unfit(f"a turn of it has a {part}, for which there is no place")
    return name


def as_value(text: str | None, mapping: Mapping) -> Any:
    """JSON text as the mapping writes it: as a value, if that gives the same text again."""
    if text is None or not mapping.nested:
        return text
    try:
        value = loads(text)
        return value if isinstance(value, list | dict) and value and dumps(value) == text else text
    except ValueError:
        return text


# Turns that are nothing but a tool call.


def _call_turn(message: Message, mapping: Mapping, names: dict[str, str]) -> dict[str, Any]:
    role_key, content_key = keys(mapping)
    if CALL not in names or message.role != "assistant":
        raise Unfit("a turn of it has a tool call, for which there is no place")
    if message.content or message.name is not None or message.weight is not None:
        raise Unfit("a turn of it has more than a tool call")
    text = message.tool_calls or ""
    shown = _write_calls(text)
    turn = {role_key: names[CALL], content_key: shown}
    return turn if _read_calls(shown) == text else {**turn, UNCALLED: text}


def _read_calls(value: Any) -> str:
    """A call of name and arguments, or a list of them, as the JSON that messages have."""
    found = _parsed(value) if isinstance(value, str) else value
    calls = found if isinstance(found, list) else [found]
    if not all(isinstance(call, dict) and isinstance(call.get("name"), str) for call in calls):
        raise Unfit("a tool call has no name")
    return dumps([_as_function(call) for call in calls])


def _as_function(call: dict[str, Any]) -> dict[str, Any]:
    arguments = call.get("arguments", {})
    text = arguments if isinstance(arguments, str) else json.dumps(arguments, ensure_ascii=False)
    whole(text + call["name"], "a tool call")
    return {"type": "function", "function": {"name": call["name"], "arguments": text}}


def _write_calls(text: str) -> str:
    calls = _parsed(text)
    shown = [_shown(call) for call in (calls if isinstance(calls, list) else [calls])]
    return shown[0] if len(shown) == 1 else f"[{', '.join(shown)}]"


def _shown(call: Any) -> str:
    function = call.get("function", call) if isinstance(call, dict) else None
    if not (isinstance(function, dict) and isinstance(function.get("name"), str)):
        raise Unfit("a tool call of it has no name")
    arguments = function.get("arguments", {})
    text = arguments if _is_json(arguments) else json.dumps(arguments, ensure_ascii=False)
    return f'{{"name": {json.dumps(function["name"], ensure_ascii=False)}, "arguments": {text}}}'


def _is_json(value: Any) -> bool:
    try:
        return isinstance(value, str) and isinstance(json.loads(value), dict | list)
    except (ValueError, RecursionError):
        return False


def _parsed(text: str) -> Any:
    try:
        return loads(text)
    except (ValueError, RecursionError):
        raise Unfit("a field that should hold JSON does not") from None


# Turns in pairs: what the user said and what the assistant said in one object.


def _read_pairs(value: list[Any], mapping: Mapping) -> tuple[tuple[Message, ...], Spellings]:
    asks, answers = mapping.name("user", "user"), mapping.name("assistant", "assistant")
    messages: list[Message] = []
    spellings = {}
    for pair in value:
        if not isinstance(pair, dict) or not (pair.get(asks) or pair.get(answers)):
            raise Unfit(f"a turn has neither {asks} nor {answers}")
        kept = {key: one for key, one in pair.items() if key not in (asks, answers)}
        if any(one not in EMPTY for one in kept.values()):
            spellings[str(len(messages))] = kept
        for role, key in (("user", asks), ("assistant", answers)):
            if pair.get(key) is not None:
                messages.append(Message(role, words(pair[key], "a turn")))
    return tuple(messages), spellings


def _write_pairs(
    messages: Sequence[Message], mapping: Mapping, spellings: Spellings
) -> list[dict[str, Any]]:
    asks, answers = mapping.name("user", "user"), mapping.name("assistant", "assistant")
    pairs: list[dict[str, Any]] = []
    for number, message in enumerate(messages):
        if message.role not in ("user", "assistant"):
            raise Unfit(f"there is no name for the role {message.role} there")
        key = asks if message.role == "user" else answers
        last = pairs[-1] if pairs else {}
        if key == asks or answers in last or not last:
            pairs.append(dict(spellings.get(str(number), {})))
        pairs[-1][key] = bare(message)
    if any(not (pair.get(asks) or pair.get(answers)) for pair in pairs):
        raise Unfit("a turn of it is empty")
    return pairs
