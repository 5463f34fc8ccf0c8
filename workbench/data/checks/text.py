"""Checks on the characters of every turn: damage, leftovers of other programs, unfilled gaps.

They look at prompts and answers alike. This module does not know what a row is for.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from workbench.data.checks.columns import Columns, Rows
from workbench.data.checks.findings import CheckOptions, Finding, turns
from workbench.data.rows import Example
from workbench.language import HAN
from workbench.signs import pattern, script

Facts = dict[str, str | int | float]

CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ue000-\uf8ff]")
ZERO_WIDTH = re.compile("[\u00ad\u180e\u200b-\u200f\u202a-\u202e\u2060-\u2064\u2066-\u2069\ufeff]")
# Scripts that need joiners: Arabic, Persian and those of South Asia.
_JOINING = re.compile("[\u0600-\u08ff\u0900-\u0dff]")
_PICTURE = re.compile(
    "[\u00a9\u00ae\u203c-\u2049\u2100-\u27bf\u2934-\u2b55\u3030\u303d\u3297\u3299"
    "\ufe0f\U0001f000-\U0001faff\U000e0020-\U000e007f]"
)
# Letters that ftfy needs beside one another to see mojibake, then the classics of Chinese.
_SUSPECT = re.compile(
    "[\x80-\x9f\u00a1-\u00b6\u00b8-\u00d6\u00d8-\u00f6\u00f8-\u052f\u2020\u2021‚„‰‹™√]"
)
_REPLACED = re.compile("\ufffd|锟斤拷|锟斤|斤拷|烫烫烫|屯屯屯|鈥[攓渓溿檛橙]|锛[岀氬佹]|銆[傚佹]")
MOJIBAKE = re.compile(f"{_REPLACED.pattern}|{_SUSPECT.pattern}")
UNFILLED = re.compile(r"\{\{|\$\{|[\[［【〔]|<[A-Z]")
_GAPS = re.compile(
    r"\{\{ ?[\w.\- ]{1,40} ?\}\}"
    r"|\$\{[A-Za-z_]\w{0,39}\}"
    r"|<[A-Z][A-Z]{2,}(?:[_ ][A-Z]+)*>"
    r"|[\[［【〔](?:your|insert|company|recipient|sender|customer|client|first|last|full|enter|add)"
    r"\b[^\]］】〕\n]{0,40}[\]］】〕]"
    r"|[\[［](?:name|date|address|city|phone|email|title|position)[\]］]"
    r"|[\[［【〔〈](?:你嘅|你的|您的|您嘅|我嘅|我的|填寫|填写|填入|插入|輸入|输入|請填|请填)"
    r"[^\]］】〕〉\n]{0,20}[\]］】〕〉]"
    r"|[\[［【〔](?:姓名|名字|人名|公司名稱|公司名称|公司名|日期|地址|地點|地点|電話|电话|聯絡方式|职位|職位)"
    r"[\]］】〕]",
    re.IGNORECASE,
)
_TAG = re.compile(r"<([A-Z]+)>")
_CODE = re.compile(r"```.*?(?:```|\Z)|`[^`\n]+`", re.DOTALL)
LATIN = "A-Za-zÀ-ÖØ-öø-ɏ"
_LOOKALIKE = "аеорсухіјѕһԁѵАВЕЅІЈКМНОРСТХΑΒΕΖΗΙΚΜΝΟΡΤΥΧο"
LOOKALIKE = re.compile(f"[A-Za-z]{{2}}[{_LOOKALIKE}]|[{_LOOKALIKE}][A-Za-z]{{2}}")
_WORD = re.compile(f"[A-Za-z{_LOOKALIKE}]+")
_KANA = re.compile("[ぁ-ゖァ-ヺ]")


def control(example: Example, _: CheckOptions) -> Iterator[Finding]:
    """Control characters, and private ones that only one font can draw."""
    for number, turn in enumerate(turns(example)):
        found = list(CONTROL.finditer(turn.content))
        for kind, private in (("control", False), ("private_use", True)):
            of_kind = [one for one in found if (one.group() >= "\ue000") is private]
            if of_kind:
                facts = _code_facts(of_kind[0].group(), len(of_kind))
                yield Finding("control", kind, number, *of_kind[0].span(), facts)


def _code_facts(character: str, count: int) -> Facts:
    return {"code": f"U+{ord(character):04X}", "count": count}


def zero_width(example: Example, _: CheckOptions) -> Iterator[Finding]:
    """Characters that nobody sees; joiners inside emoji and in scripts that need them are fine."""
    for number, turn in enumerate(turns(example)):
        text = turn.content
        found = [one for one in ZERO_WIDTH.finditer(text) if not _joins(text, one.start())]
        if found:
            facts = _code_facts(found[0].group(), len(found))
            yield Finding("zero_width", "zero_width", number, *found[0].span(), facts)


def _joins(text: str, at: int) -> bool:
    if text[at] not in "\u200c\u200d" or not 0 < at < len(text) - 1:
        return False
    if _JOINING.match(text[at - 1]):
        return True
    return bool(_PICTURE.match(text[at - 1]) and _PICTURE.match(text[at + 1]))


def mojibake(example: Example, _: CheckOptions) -> Iterator[Finding]:
    """Text once read in the wrong encoding."""
    for number, turn in enumerate(turns(example)):
        text = turn.content
        lost = _REPLACED.search(text)
        if lost:
            facts: Facts = {"text": lost.group()}
            yield Finding("mojibake", "replaced", number, *lost.span(), facts)
        elif _SUSPECT.search(text):
            yield from _garbled(text, number)


def _garbled(text: str, number: int) -> Iterator[Finding]:
    """What ftfy finds bad (Speer 2019), once code and pictures drawn in boxes are set aside."""
    from ftfy.badness import BADNESS_RE

    bad = (one for one in BADNESS_RE.finditer(text) if _SUSPECT.search(one.group()))
    # a Han character beside an accent is two languages, not one damaged
    found = next((one for one in bad if not HAN.search(one.group())), None)
    if found:
        facts: Facts = {"text": found.group().strip()}
        yield Finding("mojibake", "garbled", number, *found.span(), facts)


def scripts(example: Example, _: CheckOptions) -> Iterator[Finding]:
    """Simplified characters among Traditional ones, the reverse, and foreign lookalikes.

    A row that speaks of languages is left alone: it may well quote both.
    """
    whole = "\n".join(turn.content for turn in example.messages if turn.role == "user")
    spared = bool(pattern("speaks_of_language").search(whole))
    for number, turn in enumerate(turns(example)):
        if not spared:
            yield from _two_scripts(turn.content, number)
        found = next(_disguised(turn.content), None)
        if found:
            facts: Facts = {"text": found.group()[:40]}
            yield Finding("scripts", "lookalike", number, *found.span(), facts)


def _two_scripts(text: str, number: int) -> Iterator[Finding]:
    traditional = list(script("traditional").finditer(text))
    simplified = list(script("simplified").finditer(text))
    if not traditional or not simplified or _KANA.search(text):
        return
    fewer = min(traditional, simplified, key=len)
    kind = "traditional_in_simplified" if fewer is traditional else "simplified_in_traditional"
    shown = "".join(dict.fromkeys(one.group() for one in fewer))[:12]
    facts: Facts = {"text": shown, "count": len(fewer)}
    yield Finding("scripts", kind, number, *fewer[0].span(), facts)


def _disguised(text: str) -> Iterator[re.Match[str]]:
    """Words in which a Cyrillic or Greek letter stands between Latin ones."""
    if not LOOKALIKE.search(text):
        return
    for word in _WORD.finditer(text):
        if LOOKALIKE.search(word.group()):
            yield word


def unfilled(example: Example, _: CheckOptions) -> Iterator[Finding]:
    """Gaps of a template that nobody filled: {{name}}, ${x}, [Your Name], 【姓名】."""
    for number, turn in enumerate(turns(example)):
        text = turn.content
        if not UNFILLED.search(text):
            continue
        code = [one.span() for one in _CODE.finditer(text)]
        for gap in _GAPS.finditer(text):
            inside = any(start <= gap.start() < end for start, end in code)
            if not inside and not _is_markup(text, gap.group()):
                yield Finding("unfilled", "unfilled", number, *gap.span(), {"text": gap.group()})


def _is_markup(text: str, gap: str) -> bool:
    """True for a tag that is closed again, and for ``<Name>``, which IGNORECASE let in."""
    if not gap.startswith("<"):
        return False
    tag = _TAG.fullmatch(gap)
    return not gap.isupper() or bool(tag and f"</{tag.group(1)}>" in text)


def sign(searched: re.Pattern[str]) -> Callable[[Columns, CheckOptions], Rows]:
    """Rows with a turn in which a pattern is found."""

    def may(columns: Columns, _: CheckOptions) -> Rows:
        return columns.matching(columns.turns, searched)

    return may


def may_scripts(columns: Columns, _: CheckOptions) -> Rows:
    """Rows with characters of both scripts, or with a word in disguise."""
    found = columns.matching(columns.turns, LOOKALIKE)
    both = columns.matching(columns.turns, script("traditional"))
    both &= columns.matching(columns.turns, script("simplified"))
    return found | both
