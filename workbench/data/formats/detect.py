"""Which format a file's records are in, judged by what the records hold.

Field names are looked for in any case and in Chinese too, and lists are recognised by
their elements, whatever their field is called. Nothing is converted here, and this
module does not know files.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import Any

from workbench.data.formats.mapping import (
    CALL,
    OUR_ROLES,
    ROLE_NAMES,
    Answers,
    Format,
    Mapping,
    Turns,
)
from workbench.data.rows import FIXED
from workbench.errors import UnknownFormat

Record = dict[str, Any]
INSTRUCTION = ("instruction", "instructions", "指令", "指示", "任務", "任务", "問題", "问题")
INPUT = ("input", "context", "輸入", "输入", "資料", "材料")
OUTPUT = (
    *("output", "response", "answer", "輸出", "输出", "回應", "回应", "回答", "回覆", "答案"),
    *("completion", "target"),
)
PROMPT = ("prompt", "query", "input", "提示", "提示詞", "提示词")
COMPLETION = ("completion", "response", "answer", "output", "reply", "回應", "回应", "回答")
QUESTION = ("question", "problem", "提問", "提问")
ANSWER = ("answer", "solution", "response", "output", "final_answer", "答案", "回答")
CONTEXT = ("context", "passage", "paragraph", "input", "段落")
CHOSEN = ("chosen", "preferred", "better", "accepted", "chosen_response", "winner")
REJECTED = ("rejected", "dispreferred", "worse", "rejected_response", "loser")
SYSTEM = ("system", "system_prompt", "系統", "系统")
TALK = ("conversations", "conversation", "messages", "items", "dialog", "dialogue", "dialogs")
TEXT = ("text", "content", "body", "document", "sentence", "文本", "內容", "内容", "句子")
LABEL = ("label", "labels", "category", "class", "lang", "language", "register", "tag", "標籤")
ROLE_KEYS = ("from", "role", "speaker", "author")
CONTENT_KEYS = ("value", "content", "text", "message", "utterance")
ASKS = ("user", "human", "question", "instruction", "prompt", "q", "input")
ANSWERS = ("assistant", "gpt", "bot", "answer", "response", "output", "a", "chosen")
WEIGHTS = ("weight", "loss_weight")
HEADERLESS = re.compile(r"column_\d+")
MOST_NAMED = 40


class Fields:
    """What the samples' fields are called and what they hold."""

    def __init__(self, samples: Sequence[Record]) -> None:
        self.samples = samples
        held = Counter(
            name for one in samples for name, value in one.items() if value not in (None, "")
        )
        self.names = [name for name, _ in held.most_common()]
        self.known = {name.strip().lower(): name for one in samples for name in one}
        self.often = {name for name, count in held.items() if 2 * count >= len(samples)}

    def values(self, name: str) -> list[Any]:
        return [one[name] for one in self.samples if one.get(name) is not None]

    def holds(self, name: str, kind: type) -> bool:
        """True if most of the values there are of this kind."""
        values = self.values(name)
        return bool(values) and 2 * sum(isinstance(one, kind) for one in values) > len(values)

    def text(self, names: Sequence[str], seldom: bool = False) -> str:
        """The first of these fields that holds text, in most records unless ``seldom``."""
        for wanted in names:
            name = self.known.get(wanted, "")
            if name and self.holds(name, str) and (seldom or name in self.often):
                return name
        return ""

    def lists(self, names: Sequence[str]) -> list[str]:
        """Fields that hold lists: these first, then any other."""
        first = [self.known[name] for name in names if name in self.known]
        rest = [name for name in self.names if name not in first]
        return [name for name in (*first, *rest) if self.holds(name, list)]


def detect(samples: Sequence[Record | list[Any] | str], name: str = "the file") -> Mapping:
    """The mapping that fits most of the samples.

    Raises:
        UnknownFormat: none does; it lists the fields.
    """
    records = [_as_record(one) for one in samples if not isinstance(one, str)]
    if 2 * len(records) < len(samples):
        return Mapping("text", {})
    fields = Fields([one for one in records if one])
    for look in LOOKS:
        found = look(fields)
        if found is not None:
            return found
    shown = ", ".join(fields.names[:MOST_NAMED]) or "none"
    raise UnknownFormat(name=name, fields=shown)


def _as_record(value: Record | list[Any] | Any) -> Record:
    if isinstance(value, list):
        return {"conversations": value}
    return value if isinstance(value, dict) else {}


def _beside(fields: Fields, taken: dict[str, str]) -> dict[str, str]:
    """The parts that any format can have: id, system, tools."""
    found = {"id": fields.text(("id",), seldom=True), "system": fields.text(SYSTEM, seldom=True)}
    tools = fields.known.get("tools", "")
    if tools and any(isinstance(one, str | list) for one in fields.values(tools)):
        found["tools"] = tools
    return taken | {part: name for part, name in found.items() if name and part not in taken}


def _nested(fields: Fields, parts: dict[str, str]) -> bool:
    tools = parts.get("tools", "")
    return bool(tools) and fields.holds(tools, list)


# Questions with their answers.


def _asked(fields: Fields, part: str, names: Sequence[str], given: str, more: Sequence[str]) -> Any:
    """Question, input and history, as far as they are there."""
    asked = fields.text(names)
    if not asked:
        return None
    parts = {part: asked}
    extra = next((one for one in more if fields.known.get(one) not in (None, asked)), "")
    if given and extra and _is_text_or_empty(fields, fields.known[extra]):
        parts[given] = fields.known[extra]
    history = fields.known.get("history", "")
    if history and all(isinstance(one, list | str) for one in fields.values(history)):
        parts["history"] = history
    return parts


def _is_text_or_empty(fields: Fields, name: str) -> bool:
    return all(isinstance(one, str) for one in fields.values(name))


def _answered(
    fields: Fields, form: Format, parts: dict[str, str] | None, part: str, names: Sequence[str]
) -> Mapping | None:
    if parts is None:
        return None
    left = [name for name in names if fields.known.get(name) not in parts.values()]
    answer = fields.text(left)
    if not answer:
        return None
    parts = _beside(fields, {**parts, part: answer})
    return Mapping(form, parts, nested=_nested(fields, parts))


def _alpaca(fields: Fields) -> Mapping | None:
    parts = _asked(fields, "instruction", INSTRUCTION, "input", INPUT)
    return _answered(fields, "alpaca", parts, "output", OUTPUT)


def _prompt(fields: Fields) -> Mapping | None:
    parts = _asked(fields, "prompt", PROMPT, "", ())
    return _answered(fields, "prompt", parts, "completion", COMPLETION)


def _prompt_of_turns(fields: Fields) -> Mapping | None:
    """A prompt and a completion that are lists of messages, as TRL has them."""
    prompt, completion = (fields.known.get(name, "") for name in ("prompt", "completion"))
    if not (fields.holds(prompt, list) and fields.holds(completion, list)):
        return None
    parts = _turn_parts([turn for one in fields.values(prompt) for turn in one])
    if not parts:
        return None
    roles = _roles(fields, [prompt, completion], parts)
    parts = _beside(fields, {"messages": prompt, "completion": completion, **parts})
    return Mapping("prompt", parts, roles, nested=True)


def _qa(fields: Fields) -> Mapping | None:
    parts = _asked(fields, "question", QUESTION, "context", CONTEXT)
    return _answered(fields, "qa", parts, "answer", ANSWER)


def _questions(fields: Fields) -> Mapping | None:
    """Questions without answers, as a list of prompts is."""
    forms: tuple[tuple[Format, str, tuple[str, ...], str, tuple[str, ...]], ...] = (
        ("alpaca", "instruction", INSTRUCTION, "input", INPUT),
        ("prompt", "prompt", ("prompt", "query", "提示", "提示詞", "提示词"), "", ()),
        ("qa", "question", QUESTION, "context", CONTEXT),
    )
    for form, part, names, given, more in forms:
        parts = _asked(fields, part, names, given, more)
        if parts:
            return Mapping(form, _beside(fields, parts))
    return None


def _seeds(fields: Fields) -> Mapping | None:
    instruction, instances = fields.text(INSTRUCTION), fields.known.get("instances", "")
    inner = [one for value in fields.values(instances) if isinstance(value, list) for one in value]
    if not instruction or not inner:
        return None
    within = Fields([one for one in inner if isinstance(one, dict)])
    output, given = within.text(OUTPUT), within.known.get("input", "")
    if not output:
        return None
    parts = {"instruction": instruction, "instances": instances, "output": output}
    return Mapping("seeds", _beside(fields, parts | ({"input": given} if given else {})))


# Conversations.


def _turn_parts(turns: Sequence[Any]) -> dict[str, str]:
    """Under which keys turns have their role, content and the rest; empty if they are none."""
    objects = [turn for turn in turns if isinstance(turn, dict)]
    held = Counter(key for turn in objects for key in turn)
    often = {key for key, count in held.items() if 10 * count >= 9 * len(objects)}
    role = next((key for key in ROLE_KEYS if key in often), "")
    content = next((key for key in CONTENT_KEYS if 2 * held[key] > len(objects)), "")
    if not role or not content or 2 * len(objects) <= len(turns):
        return {}
    ours = (role, content) == ("role", "content")
    parts = {"role": role, "content": content} if ours else {"from": role, "value": content}
    if ours:
        parts |= {"name": "name", "tool_calls": "tool_calls", "weight": "weight"}
    weight = next((key for key in WEIGHTS if key in held), "")
    if weight:
        parts["weight"] = weight
    return parts | _inner_parts([turn.get(content) for turn in objects])


def _inner_parts(contents: Sequence[Any]) -> dict[str, str]:
    lists = [one for one in contents if isinstance(one, list) and one]
    if 2 * len(lists) <= len(contents):
        return {}
    first = next((part for one in lists for part in one if isinstance(part, dict)), {})
    return {"parts": next((key for key in ("text", "value", "content") if key in first), "text")}


def _roles(
    fields: Fields, names: Sequence[str], parts: dict[str, str]
) -> tuple[tuple[str, str], ...]:
    """The roles as these records call them, the most frequent first, then all others known."""
    key = parts.get("from") or parts.get("role", "role")
    counted = Counter(
        turn.get(key)
        for name in names
        for value in fields.values(name)
        for turn in (value if isinstance(value, list) else [value])
        if isinstance(turn, dict) and isinstance(turn.get(key), str)
    )
    known = dict((*ROLE_NAMES, *OUR_ROLES))
    found = [(said, known[said]) for said, _ in counted.most_common() if said in known]
    rest = (*OUR_ROLES, *ROLE_NAMES) if key == "role" else ROLE_NAMES
    return tuple(dict.fromkeys((*found, *rest)))


def _talk(fields: Fields) -> Mapping | None:
    for name in fields.lists((*TALK, "turns", "chat")):
        lists = [one for one in fields.values(name) if isinstance(one, list) and one]
        turns = [turn for one in lists for turn in one]
        parts = _turn_parts(turns)
        if parts:
            return _objects(fields, name, parts)
        named = name.strip().lower()
        if turns and named in (*TALK, "turns", "chat"):
            found = _pairs_or_strings(fields, name, turns)
            if found is not None:
                return found
    return None


def _objects(fields: Fields, name: str, parts: dict[str, str]) -> Mapping:
    roles = _roles(fields, [name], parts)
    if "role" in parts:
        whole = _beside(fields, {"messages": name, **parts})
        return Mapping("messages", {**whole, **_ours(fields, whole)}, roles, nested=True)
    whole = _beside(fields, {"conversations": name, **parts})
    known = dict(roles)
    key = parts["from"]
    calls = any(
        isinstance(turn, dict) and known.get(str(turn.get(key))) == CALL
        for value in fields.values(name)
        if isinstance(value, list)
        for turn in value
    )
    form: Format = "tools" if calls or "tools" in whole else "sharegpt"
    return Mapping(form, whole, roles, nested=_nested(fields, whole))


def _ours(fields: Fields, taken: dict[str, str]) -> dict[str, str]:
    """What stands beside messages in our own spelling of them."""
    names = [name for name in ("input", "chosen", "rejected") if name in fields.names]
    return {name: name for name in names if name in FIXED and name not in taken.values()}


def _pairs_or_strings(fields: Fields, name: str, turns: Sequence[Any]) -> Mapping | None:
    spelled: Turns
    parts = {"conversations": name}
    if all(isinstance(turn, dict) for turn in turns):
        held = {key for turn in turns for key in turn}
        asks = next((key for key in ASKS if key in held), "")
        answers = next((key for key in ANSWERS if key in held), "")
        if not (asks and answers):
            return None
        spelled, parts = "pairs", {**parts, "user": asks, "assistant": answers}
    elif all(isinstance(turn, str) for turn in turns):
        spelled = "users" if name.strip().lower() == "turns" else "strings"
    elif all(isinstance(turn, list) and len(turn) == 2 for turn in turns):
        spelled = "lists"
    else:
        return None
    return Mapping("sharegpt", _beside(fields, parts), turns=spelled)


# Two answers.


def _preference(fields: Fields) -> Mapping | None:
    better = next((fields.known[one] for one in CHOSEN if one in fields.known), "")
    worse = next((fields.known[one] for one in REJECTED if one in fields.known), "")
    if not (better in fields.often and worse in fields.often):
        return _ranked(fields)
    names = {"chosen": better, "rejected": worse}
    if fields.holds(better, str):
        return _with_prompt(fields, names, "text")
    values = fields.values(better)
    turns = [turn for one in values for turn in (one if isinstance(one, list) else [one])]
    parts = _turn_parts(turns)
    if not parts:
        return None
    if fields.holds(better, dict):
        return _with_prompt(fields, {**names, **parts}, "turn")
    whole = _begins_with_question(values, parts)
    return _with_prompt(fields, {**names, **parts}, "whole" if whole else "turns")


def _begins_with_question(values: Sequence[Any], parts: dict[str, str]) -> bool:
    known = dict(ROLE_NAMES)
    key = parts.get("from") or parts["role"]
    firsts = [one[0].get(key) for one in values if isinstance(one, list) and one and one[0]]
    asking = sum(known.get(str(said)) in ("user", "system") for said in firsts)
    return 2 * asking > len(firsts)


def _with_prompt(fields: Fields, parts: dict[str, str], answers: Answers) -> Mapping | None:
    """A preference's fields, with whatever comes before its answers."""
    names = [parts["chosen"], parts["rejected"]]
    if answers != "whole":
        parts = {**_before(fields, names), **parts}
    elif fields.text(("prompt",)):
        parts = {**parts, "prompt": fields.known["prompt"]}
    talk = parts.get("messages") or parts.get("conversations")
    parts = _beside(fields, parts)
    if talk or answers == "whole":
        parts.pop("system", None)
    nested = "role" in parts or _nested(fields, parts)
    roles = _roles(fields, [*names, *([talk] if talk else [])], parts)
    return Mapping("preference", parts, roles, answers=answers, nested=nested)


def _before(fields: Fields, taken: Sequence[str]) -> dict[str, str]:
    for name in fields.lists((*TALK, "prompt")):
        turns = [turn for one in fields.values(name) if isinstance(one, list) for turn in one]
        parts = _turn_parts(turns) if name not in taken else {}
        if parts:
            return {("messages" if "role" in parts else "conversations"): name, **parts}
    asked = _asked(fields, "instruction", INSTRUCTION, "input", INPUT)
    if asked is None:
        asked = _asked(fields, "prompt", (*PROMPT, *QUESTION), "", ())
    return asked or {}


def _ranked(fields: Fields) -> Mapping | None:
    """An instruction whose output is a list of answers, the best first."""
    name = next((fields.known[one] for one in OUTPUT if one in fields.known), "")
    lists = [one for one in fields.values(name) if isinstance(one, list) and len(one) > 1]
    texts = [one for one in lists if all(isinstance(answer, str) for answer in one)]
    asked = _asked(fields, "instruction", INSTRUCTION, "input", INPUT)
    if asked is None or not lists or 2 * len(texts) <= len(fields.samples):
        return None
    return Mapping("preference", _beside(fields, {**asked, "chosen": name}), answers="list")


# Plain text in a field.


def _text(fields: Fields) -> Mapping | None:
    name = fields.text(TEXT)
    strings = [one for one in fields.names if fields.holds(one, str)]
    labels = [one for one in strings if one.strip().lower() in LABEL]
    if not name and strings and all(HEADERLESS.fullmatch(one) for one in fields.names):
        name = max(strings, key=lambda one: _average(fields.values(one)))
    if not name and labels and len(strings) == len(labels) + 1:
        name = next(one for one in strings if one not in labels)
    return Mapping("text", _beside_text(fields, {"text": name})) if name else None


def _average(values: Sequence[Any]) -> float:
    return sum(len(one) for one in values if isinstance(one, str)) / max(1, len(values))


def _beside_text(fields: Fields, parts: dict[str, str]) -> dict[str, str]:
    identity = fields.text(("id",), seldom=True)
    return {**parts, "id": identity} if identity else parts


LOOKS = (_preference, _seeds, _prompt_of_turns, _talk, _alpaca, _prompt, _qa, _questions, _text)
"""In this order: a preference has a prompt too, and a conversation may have an instruction."""
