"""How varied are the instructions? Their first verb and its object, as self-instruct shows it.

Self-instruct (Wang et al. 2023, section 3) takes root verb and direct object from an English
parser. Here a list of instruction verbs does for Cantonese, written Chinese and English: what
is polite is taken off the front, the longest verb that fits is read, and the object is the
noun-like piece after it. Rough, and fast. This module does not know what is asked.
"""

from __future__ import annotations

import functools
import re
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from workbench.errors import OutOfRange
from workbench.language import HAN
from workbench.signs import word_list

OBJECT = 4
"""Han characters of an object at the most."""
LEAD = 40
"""Characters after a preface in which its verb is looked for."""
_END = re.compile("[，。、；：！？,.;:!?\n「」『』“”\"'‘’（）()《》〈〉【】\\[\\]{}<>]")
# From a helping word on, what follows is no longer the object.
_OBJECT_END = re.compile(
    "嚟|來|来|以便|並|并|用嚟|用来|用來|當中|入面|之間|之间|中$|中嘅|同埋|同(?=[一兩佢你我])|以及|和|與|与|或|關於|关于"
    "|有關|有关|係咪|是否|有冇|有沒有|有没有|係|是|畀我|俾我|給我|给我|我$"
)
_MEASURE = re.compile(
    "(?:[一兩两三四五六七八九十幾几每呢嗰這这該该某]|[0-9]{1,3})?"
    "(?:個|个|首|篇|段|句(?!子)|封|份|條(?!件)|条(?!件)|種(?!類)|种(?!类)|項(?!目)|项(?!目)|張|张|位|隻|只|套|場|场|啲|些|部(?!分)"
    "|本|件|款|則|则|組|组|系列)"
)
_LEADING = re.compile(
    "下面|以下|下列|上述|給定|给定|提供|指定|特定|所有|呢啲|呢|這些|这些|嗰啲|可能|關於|关于|有關|有关"
    "|一下|下(?!一)|吓|咗|過|低|出|到|成(?![語语本績绩果功員员份])|為|为|我|你|佢|嘅|的|緊"
)
_OF = re.compile("[嘅的]")
_LATIN_WORD = re.compile("[A-Za-z][A-Za-z'’\\-]*")


@dataclass(frozen=True)
class Opening:
    """A verb that instructions begin with, and its most frequent objects."""

    verb: str
    count: int
    objects: tuple[tuple[str, int], ...]


@dataclass(frozen=True)
class Openings:
    """The most frequent openings, and how much of all the instructions they tell of."""

    openings: tuple[Opening, ...]
    covered: float
    """The share of instructions that begin with a known verb, shown or not; between 0 and 1."""
    counted: int


def top_openings(texts: Iterable[str], verbs: int = 20, objects: int = 4) -> Openings:
    """The most frequent verbs and their objects.

    Args:
        texts: instructions, without their inputs.
        verbs: how many verbs to list.
        objects: how many objects of each.

    Raises:
        OutOfRange: verbs or objects is not between 1 and 1,000.
    """
    for name, value in (("verbs", verbs), ("objects", objects)):
        if not 1 <= value <= 1000:
            raise OutOfRange(field=name, value=value, low=1, high=1000)
    found: defaultdict[str, Counter[str]] = defaultdict(Counter)
    counted = 0
    for text in texts:
        counted += 1
        if read := opening(text):
            found[read[0]][read[1]] += 1
    ranked = sorted(found.items(), key=lambda pair: (-pair[1].total(), pair[0]))
    known = sum(one.total() for one in found.values())
    listed = tuple(_opening(verb, seen, objects) for verb, seen in ranked[:verbs])
    return Openings(listed, known / counted if counted else 0.0, counted)


def _opening(verb: str, seen: Counter[str], objects: int) -> Opening:
    named = [(thing, count) for thing, count in seen.items() if thing]
    named.sort(key=lambda pair: (-pair[1], pair[0]))
    return Opening(verb, seen.total(), tuple(named[:objects]))


def opening(text: str) -> tuple[str, str] | None:
    """The first verb of an instruction and its object, "" if there is none to be seen.

    None if the instruction begins with no known verb, as questions do.
    """
    line = next((one.strip() for one in text.split("\n") if one.strip()), "")[:200]
    if HAN.match(line) or (HAN.search(line) and not _english_verb(line)):
        return _chinese(line)
    return _english(line)


def _chinese(line: str) -> tuple[str, str] | None:
    rest = _without_polite(line)
    if preface := _prefaces().match(rest):
        return _after_preface(rest, preface)
    found = _verbs().match(rest)
    return (found.group(), _chinese_object(rest[found.end() :])) if found else None


def _without_polite(line: str) -> str:
    while found := _polite().match(line):
        line = line[found.end() :]
    return line


def _after_preface(rest: str, preface: re.Match[str]) -> tuple[str, str] | None:
    """「根據以下資料，寫…」, 「為 X 寫…」 and 「將 X 翻譯成…」, where X is the object."""
    body = re.split("[。？！\n]", rest[preface.end() :], maxsplit=1)[0]
    _, comma, after = body.partition("，")
    found = _verbs().match(after := _without_polite(after)) if comma else None
    if found:
        return found.group(), _chinese_object(after[found.end() :])
    found = _sure_verbs().search(body[:LEAD], 1)
    if not found:
        return None
    whole = preface.group() in ("將", "将", "把", "對", "对")
    given = body[: found.start()] if whole else body[found.end() :]
    return found.group(), _chinese_object(given.removesuffix("進行").removesuffix("进行"))


def _chinese_object(rest: str) -> str:
    """The end of the first noun-like piece: 「一首關於夏天嘅詩」 is 詩, 「以下句子」 is 句子."""
    piece = _END.split(_stripped(rest), maxsplit=1)[0]
    if HAN.search(piece[:1]) is None:
        word = _LATIN_WORD.match(piece.strip())
        return word.group().lower() if word else ""
    parts = [part for part in _OF.split(piece) if part]
    last = _stripped(parts[-1]) if parts else ""
    end = _OBJECT_END.search(last, 1)
    last = last[: end.start()] if end else last
    return "".join(HAN.findall(last))[-OBJECT:]


def _stripped(rest: str) -> str:
    """Without measure words, numbers and helping words in front."""
    before = None
    while rest != before:
        before = rest
        rest = rest.lstrip(" \u3000")
        for front in (_LEADING, _MEASURE):
            found = front.match(rest)
            rest = rest[found.end() :] if found else rest
    return rest


def _english(line: str) -> tuple[str, str] | None:
    said = line.lower()
    while found := _POLITE.match(said):
        said = said[found.end() :].lstrip(" ,")
    words = _LATIN_WORD.findall(_END.split(said, maxsplit=1)[0].replace("’", "'"))
    if not words or words[0] not in _set("english"):
        return None
    return words[0], _head(words[1:])


def _head(words: list[str]) -> str:
    """The last word of the first noun phrase, which ends at a preposition or a form in -ing."""
    ends, skipped = _set("english_ends"), _set("english_skipped")
    at = 0
    while at < len(words) and (words[at] in ends | skipped or words[at] == "up"):
        at += 1
    phrase: list[str] = []
    for word in words[at : at + 8]:
        if word in _set("english_questions") or word in ends or (phrase and word.endswith("ing")):
            break
        if word not in skipped:
            phrase.append(word)
    return phrase[-1] if phrase else ""


def _english_verb(line: str) -> bool:
    return _english(line) is not None


def _listed(name: str) -> list[str]:
    return [word for line in word_list("openings")[name] for word in line.split()]


@functools.cache
def _set(name: str) -> frozenset[str]:
    return frozenset(_listed(name))


@functools.cache
def _verbs() -> re.Pattern[str]:
    return _longest_first(_listed("chinese"))


@functools.cache
def _sure_verbs() -> re.Pattern[str]:
    """Verbs that are seldom part of another word: two characters, or 寫."""
    listed = [verb for verb in _listed("chinese") if len(verb) > 1 or verb in "寫写畀俾"]
    return _longest_first(listed)


@functools.cache
def _prefaces() -> re.Pattern[str]:
    return _longest_first(_listed("chinese_prefaces"))


@functools.cache
def _polite() -> re.Pattern[str]:
    return re.compile(f"[\\s，,：:]+|{_longest_first(_listed('chinese_polite')).pattern}")


def _longest_first(words: list[str]) -> re.Pattern[str]:
    return re.compile("|".join(sorted(map(re.escape, set(words)), key=len, reverse=True)))


_POLITE = re.compile(
    r"(?:please|kindly|now|(?:can|could|would|will) you|help me(?: to)?|you should|you need to"
    r"|your task is to|i (?:want|need|would like) you to|i'd like you to)\b"
)
