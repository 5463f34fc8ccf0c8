"""How the fields of a file's records correspond to the parts of a row.

A ``Mapping`` is what a person chooses, or ``detect`` finds, and what ``dataset.json``
remembers. This module holds no row and converts none; it does not know where records
come from.
"""

from __future__ import annotations

import re
from collections.abc import Mapping as AbstractMapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Any, Literal, get_args

from workbench.data.rows import FIXED, ROLES
from workbench.errors import BadMapping

Format = Literal[
    "alpaca",
    "seeds",
    "sharegpt",
    "messages",
    "prompt",
    "preference",
    "tools",
    "qa",
    "text",
]
Cut = Literal["paragraph", "length", "line", "file"]
Turns = Literal["objects", "pairs", "lists", "strings", "users"]
"""How a conversation spells its turns: ``objects`` with a role and a content, ``pairs`` of
what the user and the assistant say in one object, the same as ``lists`` of two, ``strings``
that take turns, or the ``users``' own strings with no answers."""
Answers = Literal["text", "turn", "turns", "whole", "list"]
"""How a preference spells its two answers: a string, one turn, several turns, the ``whole``
conversation each, or one ``list`` of strings in the field of the better one."""
FORMATS: tuple[Format, ...] = get_args(Format)

# Parts a format cannot be read without, each with the parts that may stand in for it.
NEEDED: dict[Format, tuple[tuple[str, ...], ...]] = {
    "alpaca": (("instruction",),),
    "seeds": (("instruction",), ("instances",), ("output",)),
    "sharegpt": (("conversations",),),
    "messages": (("messages",),),
    "prompt": (("prompt", "messages"),),
    "preference": (("chosen",),),
    "tools": (("conversations",),),
    "qa": (("question",),),
    "text": (),
}
PARTS = (
    *("id", "system", "history", "tools", "instruction", "input", "output", "instances"),
    *("conversations", "messages", "from", "value", "role", "content", "user", "assistant"),
    *("name", "tool_calls", "weight", "parts", "prompt", "completion", "chosen", "rejected"),
    *("question", "answer", "context", "text"),
)
IN_TURNS = (
    *("from", "value", "role", "content", "user", "assistant"),
    *("name", "tool_calls", "weight", "parts"),
)
CALL = "call"
"""The role, in a mapping, of a turn that is nothing but a tool call of the assistant."""
ROLE_NAMES: tuple[tuple[str, str], ...] = (
    *(("human", "user"), ("user", "user"), ("Human", "user"), ("User", "user")),
    *(("prompter", "user"), ("<|user|>", "user"), ("問", "user"), ("用户", "user")),
    *(("gpt", "assistant"), ("assistant", "assistant"), ("Assistant", "assistant")),
    *(("bot", "assistant"), ("chatgpt", "assistant"), ("model", "assistant")),
    *(("bing", "assistant"), ("bard", "assistant"), ("GPT", "assistant"), ("ai", "assistant")),
    *(("<|assistant|>", "assistant"), ("答", "assistant"), ("助手", "assistant")),
    *(("system", "system"), ("System", "system"), ("developer", "system")),
    *(("<|system|>", "system"), ("observation", "tool"), ("tool", "tool")),
    *(("function_response", "tool"), ("tool_response", "tool"), ("function", "tool")),
    *(("function_call", CALL), ("tool_call", CALL), ("text", "text")),
)
"""What files call the roles, and what they are here."""
OUR_ROLES: tuple[tuple[str, str], ...] = tuple((role, role) for role in ROLES)


class Unfit(Exception):
    """A record that does not fit its mapping; the text says why, in lower case."""


@dataclass(frozen=True)
class Template:
    """How an instruction and its input become one user message.

    The two slots are filled in one pass, so that a person's own ``{input}`` survives.
    """

    with_input: str = "{instruction}\n\n{input}"
    without_input: str = "{instruction}"

    def __post_init__(self) -> None:
        for text, slots in ((self.with_input, 2), (self.without_input, 1)):
            found = re.findall(r"\{(?:instruction|input)\}", text)
            if len(found) != slots or len(set(found)) != slots or "{instruction}" not in found:
                wanted = "{instruction} and {input}" if slots == 2 else "only {instruction}"
                reason = f"a template must hold {wanted}, once"
                raise BadMapping(name="the template", format="alpaca", reason=reason)

    def fill(self, instruction: str, given: str | None) -> str:
        """The user message; an input that stands alone takes the instruction's place."""
        if not given:
            return self.without_input.replace("{instruction}", instruction)
        if not instruction:
            return self.without_input.replace("{instruction}", given)
        slots = {"{instruction}": instruction, "{input}": given}
        return re.sub(r"\{instruction\}|\{input\}", lambda m: slots[m[0]], self.with_input)

    def split(self, message: str, given: str | None) -> tuple[str, str] | None:
        """Instruction and input of a message, so that ``fill`` gives it again; else None."""
        if given:
            before, after = self.around(given)
            inside = _between(message, before, after)
            if inside:
                return inside, given
            if message == self.fill("", given):
                return "", given
        before, after = self.without_input.split("{instruction}")
        inside = _between(message, before, after)
        return None if inside is None else (inside, "")

    def around(self, given: str) -> tuple[str, str]:
        """What stands before and after the instruction when there is this input."""
        before, after = self.with_input.split("{instruction}")
        return before.replace("{input}", given), after.replace("{input}", given)


def _between(text: str, before: str, after: str) -> str | None:
    long_enough = len(text) >= len(before) + len(after)
    if not (long_enough and text.startswith(before) and text.endswith(after)):
        return None
    return text[len(before) : len(text) - len(after)]


TEMPLATES: dict[str, Template] = {
    "plain": Template(),
    "alpaca-en": Template(
        "Here is a task, followed by material that belongs to it. Write an answer that does "
        "what the task asks.\n\n### Instruction:\n{instruction}\n\n### Input:\n{input}\n\n"
        "### Response:",
        "Here is a task. Write an answer that does what the task asks.\n\n"
        "### Instruction:\n{instruction}\n\n### Response:",
    ),
    "alpaca-yue": Template(
        "下面有一項工作，仲有做嗰陣要用嘅資料。請寫一個答到要求嘅回應。\n\n"
        "### 指示：\n{instruction}\n\n### 資料：\n{input}\n\n### 回應：",
        "下面有一項工作。請寫一個答到要求嘅回應。\n\n### 指示：\n{instruction}\n\n### 回應：",
    ),
    "alpaca-zh": Template(
        "下面是一项任务，以及完成它所需的材料。请写出符合要求的回答。\n\n"
        "### 指令：\n{instruction}\n\n### 输入：\n{input}\n\n### 回答：",
        "下面是一项任务。请写出符合要求的回答。\n\n### 指令：\n{instruction}\n\n### 回答：",
    ),
}


@dataclass(frozen=True)
class Mapping:
    """Which field of a record holds which part of a row, and how it is spelled there."""

    format: Format
    fields: AbstractMapping[str, str]
    """Part to field name. ``parts`` names the key under which a part of a content has its text."""
    roles: tuple[tuple[str, str], ...] = ROLE_NAMES
    """What the file calls a role, and what it is here; the first name is written."""
    turns: Turns = "objects"
    answers: Answers = "text"
    nested: bool = False
    """Tools and tool calls are written as JSON values rather than as JSON text."""
    cut: Cut = "paragraph"
    """What one row is in a plain text file."""
    length: int = 2000
    """The most characters of a row when ``cut`` is ``length``."""
    template: Template = Template()

    def __post_init__(self) -> None:
        object.__setattr__(self, "fields", dict(self.fields))
        if self.format not in FORMATS:
            raise BadMapping(name="the file", format=self.format, reason="no such format is known")
        reason = self._fault()
        if reason:
            raise BadMapping(name="the file", format=self.format, reason=reason)

    def _fault(self) -> str:
        for choices in NEEDED[self.format]:
            if not any(self.fields.get(part) for part in choices):
                return f"it is not said which field is the {' or the '.join(choices)}"
        for part, name in self.fields.items():
            if part not in PARTS:
                return f"“{part}” is not a part of a row"
            if not (isinstance(name, str) and name):
                return f"the field of the {part} has no name"
        for theirs, ours in self.roles:
            if not (isinstance(theirs, str) and ours in (*ROLES, CALL)):
                return f"“{ours}” is not a role"
        return self._fault_in_choices()

    def _fault_in_choices(self) -> str:
        for value, kind, name in (
            (self.turns, Turns, "turns"),
            (self.answers, Answers, "answers"),
            (self.cut, Cut, "cut"),
        ):
            if value not in get_args(kind):
                return f"“{value}” is no way to spell {name}"
        if type(self.length) is not int or not 1 <= self.length <= 10_000_000:
            return "the length must be between 1 and 10000000"
        needs_rejected = self.format == "preference" and self.answers != "list"
        return "it is not said which field is the rejected" * (
            needs_rejected and not self.fields.get("rejected")
        )

    def __hash__(self) -> int:
        return hash((self.format, tuple(sorted(self.fields.items())), self.roles, self.turns))

    def name(self, part: str, default: str = "") -> str:
        """The field that holds a part, or the default."""
        return self.fields.get(part, default)

    @property
    def own(self) -> frozenset[str]:
        """The fields of a record that the format itself uses."""
        names = {name for part, name in self.fields.items() if part not in IN_TURNS}
        return frozenset({*names, "id", "tools"})

    def column(self, name: str, taken: AbstractSet[str]) -> str:
        """The column for a field of a record in which the fields ``taken`` are columns too.

        ``output_``, beside the format's own ``output``, is a column called ``output``.
        """
        plain_name = name[:-1]
        if name.endswith("_") and plain_name in self.own and plain_name not in taken:
            return inside_name(plain_name)
        return inside_name(name)

    def to_json(self) -> dict[str, Any]:
        """Plain values for ``dataset.json``."""
        return {
            "format": self.format,
            "fields": dict(self.fields),
            "roles": [list(pair) for pair in self.roles],
            "turns": self.turns,
            "answers": self.answers,
            "nested": self.nested,
            "cut": self.cut,
            "length": self.length,
            "template": [self.template.with_input, self.template.without_input],
        }

    @classmethod
    def from_json(cls, value: Any) -> Mapping:
        """What ``to_json`` gave.

        Raises:
            BadMapping: it is something else.
        """
        try:
            known = {**value, "template": Template(*value.get("template", ()))}
            if "roles" in known:
                known["roles"] = tuple((theirs, ours) for theirs, ours in known["roles"])
            return cls(**known)
        except (TypeError, ValueError, AttributeError) as error:
            reason = "it is not a mapping that was written here"
            raise BadMapping(name="the file", format="a mapping", reason=reason) from error


def plain(*names: str) -> dict[str, str]:
    """Parts that are called what they are."""
    return {name: name for name in names}


def inside_name(field: str) -> str:
    """The column for a field: the same name, and one underscore more if that is taken."""
    return f"{field}_" if field.rstrip("_") in FIXED else field


def outside_name(column: str) -> str:
    """The field for a column; ``inside_name`` undone."""
    taken = column.rstrip("_") in FIXED and column.endswith("_")
    return column[:-1] if taken else column


_TURN = plain("role", "content", "name", "tool_calls", "weight")
DEFAULTS: dict[Format, Mapping] = {
    "alpaca": Mapping("alpaca", plain("instruction", "input", "output", "history", "system")),
    "seeds": Mapping("seeds", plain("instruction", "instances", "input", "output")),
    "sharegpt": Mapping("sharegpt", plain("conversations", "from", "value")),
    "messages": Mapping(
        "messages",
        {**plain("messages", "chosen", "rejected", "input", "tools"), **_TURN},
        roles=OUR_ROLES,
        nested=True,
    ),
    "prompt": Mapping("prompt", plain("prompt", "completion")),
    "preference": Mapping(
        "preference",
        {"messages": "prompt", **plain("chosen", "rejected"), **_TURN},
        roles=OUR_ROLES,
        answers="turns",
        nested=True,
    ),
    "tools": Mapping("tools", plain("conversations", "from", "value", "system", "tools")),
    "qa": Mapping("qa", plain("question", "context", "answer")),
    "text": Mapping("text", plain("text")),
}
"""How each format is written when nothing else is said."""
