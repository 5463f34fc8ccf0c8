"""A teacher's reply, taken apart: numbered sections, JSON, scores, versions, turns, plain text.

Tolerant on purpose. Full-width digits and colons, bold marks, headings, code fences, labels in
English and Chinese, a preamble and half a JSON are all met in real replies. What cannot be read
is an item too, with its ``problem``, so that nothing is lost without a word. Every item says
which characters of the reply it came from. This module does not judge what it reads.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from workbench.signs import pattern

PROBLEMS = ("no_parse", "no_instruction", "no_output", "cut")
"""Nothing readable; a part is missing; the reply ended in the middle of it."""


@dataclass(frozen=True)
class Item:
    """One thing that a reply holds."""

    instruction: str = ""
    input: str = ""
    output: str = ""
    start: int = 0
    end: int = 0
    """Code points of the raw reply, ``raw[start:end]``."""
    number: int = 0
    """As the teacher counted, or from 1 where it did not."""
    problem: str | None = None
    turns: tuple[tuple[str, str], ...] = ()
    """Role (user, assistant) and text, in the shape ``conversation``."""
    scores: tuple[tuple[str, float], ...] = ()
    """Name and value, in the shape ``score``."""


def parse(raw: str, shape: str, truncated: bool = False, start: int = 1) -> tuple[Item, ...]:
    """Take a reply apart.

    Args:
        raw: as it came.
        shape: of the template.
        truncated: the teacher said that it ran out of tokens, so the last item is cut.
        start: the number of the first item, for a reply that goes on without saying it.

    Returns:
        The items in their order; a reply of nothing readable is one item, ``no_parse``.
    """
    items = list(_READERS[shape](raw, start))
    if not items:
        begin, end = _trimmed(raw, 0, len(raw))
        return (Item(start=begin, end=end, problem="cut" if truncated and raw else "no_parse"),)
    if truncated and shape != "score":
        items[-1] = replace(items[-1], problem="cut")
    return tuple(items)


# --- numbered sections -------------------------------------------------------------------------

_DIGITS = "[0-9０-９]{1,4}"
_MARKS = r"[*_＊`]{0,3}"
_NAMES: dict[str, str] = {
    "instruction": "instruction|task|指示|指令|任務|任务|題目|题目|問題|问题|question",
    "input": "input|輸入|输入|資料|材料",
    "output": "output|response|answer|輸出|输出|回應|回应|回答|答案",
}
_LABEL = "|".join(f"(?P<{part}>{names})" for part, names in _NAMES.items())
_SECTION = re.compile(
    rf"(?:^|(?<=\n))[ \t　\ufeff]*(?:[-•*+][ \t]+)?(?:#{{1,6}}[ \t]*)?{_MARKS}[ \t　]*"
    rf"(?:(?:task|item|no\.?|第|任務|任务|題目|题目)?[ \t　]*(?P<number>{_DIGITS})[ \t　]*"
    rf"(?:[.．。、)）:：題题條条\-]|(?=[ \t　*_]))?{_MARKS}\s*(?:#{{1,6}}[ \t]*)?{_MARKS}[ \t　]*)?"
    rf"[【\[［〔]?[ \t]*(?:{_LABEL})[ \t　]*(?P<second>{_DIGITS})?[ \t　]*{_MARKS}"
    rf"(?:[】\]］〕][ \t]*[:：]?|[ \t　]*[:：]|(?<=\*\*)[ \t]*(?=\r?\n)){_MARKS}",
    re.IGNORECASE,
)
_RULE = re.compile(
    r"(?:^|\n)[ \t]*(?:#{1,6}|-{3,}|={3,}|\*{3,}|_{3,}|```\w*|</?(?:tasks?|items?)>)[ \t]*(?=\n|$)"
)
_FAREWELL = re.compile(
    r"\n[ \t]*\n(?:#{1,6}[ \t]*|-{3,}[ \t]*)?\n*"
    r"(?:希望(?:呢啲|以上|這些|这些|呢批)|以上(?:就)?(?:係|是)[^\n]{0,12}(?:任務|任务|題|题)"
    r"|如(?:果|需)[^\n]{0,12}(?:更多|多啲)[^\n]{0,6}(?:任務|任务|題|题)"
    r"|I hope (?:these|the) |Let me know if )[^\n]*\s*$"
)
"""What a chat model says when it has finished, in a paragraph of its own."""
FAREWELL = 300
"""Characters at the end of a reply in which it is looked for."""
_HANGING = re.compile(
    rf"(?:^|\n)[ \t　]*(?:#{{1,6}}[ \t]*)?{_MARKS}(?:(?:task|item|第|任務|任务|題目|题目)[ \t　]*)?"
    rf"{_DIGITS}[ \t　]*[.．。、)）:：題题]?{_MARKS}[ \t]*$",
    re.IGNORECASE,
)
_WIDE = str.maketrans("０１２３４５６７８９", "0123456789")


def _numbered(raw: str, start: int) -> Iterator[Item]:
    """Sections with a label; an item begins with its instruction."""
    found = _labelled(raw)
    groups: list[list[re.Match[str] | None]] = []
    if found and found[0].lastgroup and _part(found[0]) != "instruction":
        groups.append([None])  # the prompt ended with the label, the reply goes on behind it
    for one in found:
        if _part(one) == "instruction" or not groups:
            groups.append([])
        groups[-1].append(one)
    if not found and raw.strip():
        return
    number = start - 1
    for place, group in enumerate(groups):
        begin = group[0].start() if group[0] is not None else 0
        following = groups[place + 1][0] if place + 1 < len(groups) else None
        end = following.start() if following is not None else len(raw)
        said = next((_number(one) for one in group if one is not None and _number(one)), 0)
        number = said or number + 1
        yield _section_item(raw, group, begin, end, number, place + 1 == len(groups))


def _labelled(raw: str) -> list[re.Match[str]]:
    """The labels of a reply. Another word for what an item has already is its text.

    So 「答案：」 under an output stays in it, and 「問題：」 in an input begins no item.
    """
    kept: list[re.Match[str]] = []
    item: dict[str, re.Match[str]] = {}
    for one in _SECTION.finditer(raw):
        part = _part(one)
        before = item.get(part)
        if before is not None and before[part].lower() != one[part].lower():
            begins = part == "instruction" and not _number(before) and "output" in item
            if not _number(one) and not begins:
                continue
        if part == "instruction":
            item = {}
        item.setdefault(part, one)
        kept.append(one)
    return kept


def _part(found: re.Match[str]) -> str:
    return next(part for part in _NAMES if found[part])


def _number(found: re.Match[str]) -> int:
    said = found["number"] or found["second"] or "0"
    return int(said.translate(_WIDE))


def _section_item(
    raw: str, group: list[re.Match[str] | None], begin: int, end: int, number: int, last: bool
) -> Item:
    parts = {"instruction": "", "input": "", "output": ""}
    seen = set()
    for place, one in enumerate(group):
        after = group[place + 1] if place + 1 < len(group) else None
        until = after.start() if after is not None else end
        part = "instruction" if one is None else _part(one)
        text = raw[one.end() if one is not None else 0 : until]
        if last and after is None:
            text = text.replace("\r\n", "\n").rstrip()
            text = text[:-FAREWELL] + _FAREWELL.sub("", text[-FAREWELL:])
        text = _cleaned(text)
        parts[part] = f"{parts[part]}\n{text}".strip() if part in seen else text
        seen.add(part)
    problem = None
    if not parts["instruction"]:
        problem = "no_instruction"
    elif not parts["output"]:
        problem = "cut" if last else "no_output"
    begin, end = _trimmed(raw, begin, end)
    return Item(
        parts["instruction"], _given(parts["input"]), parts["output"], begin, end, number, problem
    )


def _cleaned(text: str) -> str:
    """A section without what only divides it from the next, its lines ending as ours do."""
    text = text.replace("\r\n", "\n")
    before = None
    while before != text:
        before = text
        text = text.strip()
        rule = list(_RULE.finditer(text))
        if rule and rule[-1].end() == len(text) and not _closes_fence(text, rule[-1]):
            text = text[: rule[-1].start()]
        if hanging := _HANGING.search(text):
            text = text[: hanging.start()]
    if text.startswith(("**", "__")) and text.count(text[:2]) == 1:
        text = text[2:].lstrip()
    if text.endswith(("**", "__")) and text.count(text[-2:]) == 1:
        text = text[:-2].rstrip()
    return text


def _closes_fence(text: str, rule: re.Match[str]) -> bool:
    return rule.group().strip().startswith("```") and text.count("```") % 2 == 0


def _given(text: str) -> str:
    """An input, or nothing where the teacher says that there is none."""
    return "" if pattern("placeholder_inputs").fullmatch(text.strip(" *_`")) else text


def _trimmed(raw: str, begin: int, end: int) -> tuple[int, int]:
    """The same stretch without white space at its ends."""
    text = raw[begin:end]
    left = len(text) - len(text.lstrip())
    return begin + left, begin + max(left, len(text.rstrip()))


# --- JSON ----------------------------------------------------------------------------------------

_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[{}]', re.DOTALL)
_TRAILING_COMMA = re.compile(r",(\s*[}\]])")
DEEPEST = 4
"""Objects deeper than this are parts of items, not items."""
_KEYS: dict[str, tuple[str, ...]] = {
    "instruction": (
        "instruction", "指示", "指令", "任務", "题目", "題目", "question", "問題", "问题", "prompt",
    ),
    "input": ("input", "輸入", "输入", "context"),
    "output": ("output", "response", "answer", "輸出", "输出", "回應", "回答", "答案"),
}  # fmt: skip


def objects(
    raw: str, is_item: Callable[[Mapping[str, Any]], bool]
) -> tuple[list[tuple[int, int, dict[str, Any]]], int | None]:
    """The JSON objects of a reply that are items, and where a cut one begins, if one is.

    One pass over the braces, so that a reply of two megabytes costs no more than its length.
    """
    opened: list[int] = []
    closed: list[tuple[int, int, int]] = []
    for token in _TOKEN.finditer(raw):
        if token.group() == "{":
            opened.append(token.start())
        elif token.group() == "}" and opened:
            closed.append((opened.pop(), token.end(), len(opened)))
    found: list[tuple[int, int, dict[str, Any]]] = []
    reached = -1
    for begin, end, depth in sorted(closed):
        if begin < reached or depth >= DEEPEST + len(opened):
            continue
        value = _loaded(raw[begin:end])
        if isinstance(value, dict) and is_item(value):
            found.append((begin, end, value))
            reached = end
    cut = next((place for place in reversed(opened) if place >= reached), None)
    if cut is not None and '"' not in raw[cut:]:
        cut = None
    if cut is not None and any(begin > cut for begin, _, _ in found):
        cut = None
    return found, cut


def _loaded(text: str) -> Any:
    for attempt in (text, _TRAILING_COMMA.sub(r"\1", text)):
        try:
            return json.loads(attempt, strict=False)
        except (ValueError, RecursionError):
            continue
    return None


def _value(said: Mapping[str, Any], part: str) -> str | None:
    lowered = {str(key).strip().lower(): value for key, value in said.items()}
    for key in _KEYS[part]:
        if key in lowered:
            value = lowered[key]
            if value is None:
                return ""
            return (
                value.strip() if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
            )
    return None


def _is_task(said: Mapping[str, Any]) -> bool:
    return _value(said, "instruction") is not None or _value(said, "output") is not None


def _json(raw: str, start: int) -> Iterator[Item]:
    found, cut = objects(raw, _is_task)
    number = start - 1
    for begin, end, said in found:
        number += 1
        parts = {part: _value(said, part) or "" for part in _KEYS}
        problem = None
        if _value(said, "instruction") is None or not parts["instruction"]:
            problem = "no_instruction"
        elif not parts["output"]:
            problem = "no_output"
        yield Item(
            parts["instruction"], _given(parts["input"]), parts["output"],
            begin, end, number, problem,
        )  # fmt: skip
    if cut is not None:
        begin, end = _trimmed(raw, cut, len(raw))
        yield Item(start=begin, end=end, number=number + 1, problem="cut")


# --- scores --------------------------------------------------------------------------------------

_AXES: dict[str, str] = {
    "quality": "quality|質素|質量|质量|品質",
    "complexity": "complexity|difficulty|複雜程度|複雜度|复杂程度|复杂度|難度|难度",
    "score": "score|rating|overall|分數|分数|評分|评分|總分|总分|得分",
}
_AXIS = "|".join(f"(?P<{name}>{words})" for name, words in _AXES.items())
_FIGURE = r"(?P<value>[0-9０-９](?:[.．][0-9０-９]{1,2})?)"
_SCORE = re.compile(
    rf"(?:{_AXIS})[ \t　]*(?P<index>{_DIGITS})?(?:[ \t]*[(（]1[^)）\n]{{1,6}}6[)）])?"
    r"[ \t　*_\"'」]*(?:[:：=]|係|是|is)?[ \t　*_\"']*"
    rf"{_FIGURE}(?![0-9０-９])",
    re.IGNORECASE,
)
_MARKED = re.compile(rf"(?:^|(?<=\n))[ \t]*[*_]*[\[【(（]?(?P<mark>{_DIGITS})[\]】)）.．、:：]")
_BARE = re.compile(
    rf"(?:^|(?<=\n))[ \t*_]*(?:[\[【(（]?(?P<mark>{_DIGITS})[\]】)）.．、:：][ \t*_]*)?"
    rf"{_FIGURE}[ \t]*(?:分|/[ \t]*[0-9０-９]{{1,2}})?[ \t*_。.]*(?=\n|$)"
)


def _scores(raw: str, start: int) -> Iterator[Item]:
    """Named scores, an item for each numbered answer; else bare figures, one a line."""
    named = list(_SCORE.finditer(raw))
    if not named:
        for place, bare in enumerate(_BARE.finditer(raw)):
            number = int((bare["mark"] or str(start + place)).translate(_WIDE))
            value = float(bare["value"].translate(_WIDE).replace("．", "."))
            begin, end = _trimmed(raw, *bare.span())
            yield _scored([("score", value)], begin, end, number)
        return
    marks = list(_MARKED.finditer(raw))
    held: list[tuple[str, float]] = []
    number, begin, end = 0, 0, 0
    for one in named:
        name = next(axis for axis in _AXES if one[axis])
        above = [mark for mark in marks if mark.start() <= one.start()]
        said = one["index"] or (above[-1]["mark"] if above else None)
        mine = int(said.translate(_WIDE)) if said else number or start
        if held and (mine != number or name in dict(held)):
            yield _scored(held, begin, end, number)
            held = []
            mine = mine if said else number + 1
        if not held:
            number = mine
            begin = above[-1].start() if above and not one["index"] else one.start()
        held.append((name, float(one["value"].translate(_WIDE).replace("．", "."))))
        end = one.end()
    yield _scored(held, begin, end, number)


def _scored(held: list[tuple[str, float]], begin: int, end: int, number: int) -> Item:
    return Item(output=f"{held[0][1]:g}", start=begin, end=end, number=number, scores=tuple(held))


# --- versions ------------------------------------------------------------------------------------

_ORDINAL = "[0-9０-９]|[一二三四五六七八九]|[①-⑨]"
_VERSION = re.compile(
    rf"(?:^|(?<=\n))[ \t　]*(?:#{{1,6}}[ \t]*)?{_MARKS}[【\[［]?[ \t]*"
    rf"(?:(?:version|versions|版本|版)[ \t　]*(?P<one>{_ORDINAL})"
    rf"|第[ \t　]*(?P<two>{_ORDINAL})[ \t　]*個?(?:版本|版)"
    r"|(?P<three>[0-9０-９](?=[.．、)）])|[①-⑨]))"
    r"(?:[ \t　]*[(（][^)）\n]{0,30}[)）]|[ \t　]*[-–—][^\n:：]{0,30})?"
    rf"[ \t　]*{_MARKS}(?:[】\]］][ \t]*[:：]?|[:：.．、)）]|(?=[ \t　\n])){_MARKS}",
    re.IGNORECASE,
)
_COUNTED = {character: place for place, character in enumerate("一二三四五六七八九", 1)} | {
    chr(ord("①") + place): place + 1 for place in range(9)
}


def _versions(raw: str, _start: int) -> Iterator[Item]:
    """Answers headed Version 1, 版本一 or plainly 1., or a JSON list of texts."""
    listed = _listed(raw)
    if listed:
        for place, text in enumerate(listed):
            at = raw.find(json.dumps(text, ensure_ascii=False)[1:-1][:40])
            begin = max(0, at)
            yield Item(output=text.strip(), start=begin, end=begin + len(text), number=place + 1)
        return
    found = list(_VERSION.finditer(raw))
    if named := [one for one in found if one["one"] or one["two"]]:
        found = named  # a plain 1. is then a list inside a version
    for place, one in enumerate(found):
        until = found[place + 1].start() if place + 1 < len(found) else len(raw)
        said = one["one"] or one["two"] or one["three"]
        number = _COUNTED.get(said) or int(said.translate(_WIDE))
        text = _cleaned(raw[one.end() : until])
        begin, end = _trimmed(raw, one.start(), until)
        yield Item(
            output=text, start=begin, end=end, number=number, problem=None if text else "no_output"
        )


def _listed(raw: str) -> list[str]:
    """The texts of a JSON reply: a list, or an object with one."""
    body = raw.strip().removeprefix("```json").removeprefix("```").removesuffix("```").strip()
    if not body.startswith(("[", "{")):
        return []
    value = _loaded(body)
    if isinstance(value, dict):
        lists = [one for one in value.values() if isinstance(one, list)]
        value = lists[0] if lists else list(value.values())
    return value if isinstance(value, list) and all(isinstance(one, str) for one in value) else []


# --- conversations -------------------------------------------------------------------------------

_ASKS = (
    "user|human|customer|client|visitor|player|q"
    "|用戶|用户|使用者|顧客|顾客|客人|客戶|客户|市民|玩家|問|问|你"
)
_ANSWERS = (
    "assistant|agent|ai|bot|support|model|character|staff|a"
    "|助手|助理|客服|客戶服務員|職員|职员|店員|答|角色"
)
_SPEAKER = re.compile(
    rf"(?:^|(?<=\n))[ \t　]*(?:[-•*][ \t]+)?(?:{_DIGITS}[.．、)）][ \t]*)?[*_]{{0,3}}[【\[［]?"
    r"(?P<name>[^\n:：*【】\[\]［］，。！？「」]{1,20}?)[】\]］]?[*_]{0,3}[ \t]*[:：][*_]{0,3}",
    re.IGNORECASE,
)
_BETWEEN = re.compile(
    r"(?:^|(?<=\n))[ \t]*(?:#{1,6}[^\n:：]*|-{3,}|={3,}|\*{3,}"
    r"|[*_]{0,3}[【\[［]?(?:對話|对话|conversation|dialogue)[ \t]*"
    rf"(?:{_DIGITS}|[一二三四五六七八九十])?"
    r"[】\]］]?[:：]?[*_]{0,3})[ \t]*(?=\n|$)",
    re.IGNORECASE,
)
_TURN_LISTS = ("messages", "conversations", "conversation", "turns", "dialogue", "對話")
_ROLES = {"from": "role", "value": "content", "speaker": "role", "text": "content"}


def _conversations(raw: str, start: int) -> Iterator[Item]:
    """Turns in JSON, or lines that begin with who speaks; dividers begin a new conversation."""
    found, cut = objects(raw, lambda said: bool(_turns_of(said)))
    if found:
        for place, (begin, end, said) in enumerate(found):
            yield _conversation(_turns_of(said), begin, end, start + place)
        if cut is not None:
            yield Item(
                start=cut, end=_trimmed(raw, cut, len(raw))[1],
                number=start + len(found), problem="cut",
            )  # fmt: skip
        return
    listed = _turns_of({"messages": _loaded(_fenceless(raw))})
    if listed:
        yield _conversation(listed, *_trimmed(raw, 0, len(raw)), start)
        return
    edges = [0, *(edge for one in _BETWEEN.finditer(raw) for edge in one.span()), len(raw)]
    number = start
    for begin, end in zip(edges[::2], edges[1::2], strict=True):
        turns, first = _spoken(raw[begin:end])
        if turns:
            left, right = _trimmed(raw, begin + first, end)
            yield _conversation(turns, left, right, number)
            number += 1


def _fenceless(raw: str) -> str:
    return raw.strip().removeprefix("```json").removeprefix("```").removesuffix("```").strip()


def _conversation(turns: Sequence[tuple[str, str]], begin: int, end: int, number: int) -> Item:
    turns = list(turns)
    while turns and turns[-1][0] == "user" and any(role == "assistant" for role, _ in turns):
        turns.pop()  # nobody answers it, so there is nothing to learn from
    asked = [text for role, text in turns if role == "user"]
    answered = [text for role, text in turns if role == "assistant"]
    problem = "no_instruction" if not asked else "no_output" if not answered else None
    return Item(
        asked[0] if asked else "", "", answered[-1] if answered else "",
        begin, end, number, problem, tuple(turns),
    )  # fmt: skip


def _turns_of(said: Mapping[str, Any]) -> list[tuple[str, str]]:
    for key in _TURN_LISTS:
        listed = said.get(key)
        if not isinstance(listed, list) or not listed:
            continue
        turns: list[tuple[str, str]] = []
        for one in listed:
            if not isinstance(one, dict):
                return []
            plain = {_ROLES.get(str(name), str(name)): value for name, value in one.items()}
            if not isinstance(plain.get("content"), str) or "role" not in plain:
                return []
            turns.append((_role(str(plain["role"]), len(turns)), plain["content"].strip()))
        return turns
    return []


def _role(name: str, place: int) -> str:
    """Who speaks: by name, or by turns where the name tells nothing."""
    plain = name.strip().lower()
    if re.fullmatch(_ASKS, plain):
        return "user"
    if re.fullmatch(f"{_ANSWERS}|gpt", plain):
        return "assistant"
    return "user" if place % 2 == 0 else "assistant"


def _spoken(text: str) -> tuple[list[tuple[str, str]], int]:
    """Turns of a script and where the first begins. Names that are no role: the first one asks."""
    marks = list(_SPEAKER.finditer(text))
    known = [one for one in marks if re.fullmatch(f"{_ASKS}|{_ANSWERS}", _named(one), re.I)]
    if len({_named(one) for one in known}) < 2:
        names = [_named(one) for one in marks]
        often = [name for name in dict.fromkeys(names) if names.count(name) > 1 or len(names) == 2]
        if len(often) != 2:
            return [], 0
        known = [one for one in marks if _named(one) in often]
    if len(known) < 2:
        return [], 0
    by_role = [re.fullmatch(_ASKS, _named(one), re.I) is not None for one in known]
    tells = any(by_role) and not all(by_role)
    first_name = _named(known[0])
    turns: list[tuple[str, str]] = []
    for place, one in enumerate(known):
        until = known[place + 1].start() if place + 1 < len(known) else len(text)
        asks = by_role[place] if tells else _named(one) == first_name
        role, said = ("user" if asks else "assistant"), _cleaned(text[one.end() : until])
        if turns and turns[-1][0] == role:
            turns[-1] = (role, f"{turns[-1][1]}\n{said}".strip())
        else:
            turns.append((role, said))
    return turns, known[0].start()


def _named(found: re.Match[str]) -> str:
    return found["name"].strip().lower()


# --- plain text ----------------------------------------------------------------------------------


def _text(raw: str, start: int) -> Iterator[Item]:
    """The whole reply is the answer, without a fence around all of it."""
    text = raw.strip().replace("\r\n", "\n")
    if text.startswith("```") and text.endswith("```") and text.count("```") == 2:
        text = text.split("\n", 1)[-1].removesuffix("```").strip() if "\n" in text else text
    if text:
        begin, end = _trimmed(raw, 0, len(raw))
        yield Item(output=text, start=begin, end=end, number=start)


_READERS: dict[str, Callable[[str, int], Iterator[Item]]] = {
    "numbered": _numbered,
    "json": _json,
    "score": _scores,
    "versions": _versions,
    "conversation": _conversations,
    "text": _text,
}
