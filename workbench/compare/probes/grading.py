"""What a written answer is read as, and whether it is right: by rules that can be read here.

Full-width digits and letters count as plain ones (NFKC). Patterns come from strangers and are
given up after a second. This module does not know who wrote the answer.
"""

from __future__ import annotations

import re
import string
import unicodedata
from typing import Any

from workbench.compare.probes.items import Choice, Short

PATTERN_SECONDS = 1.0
MARKS = re.compile(r"(?:答案|answer)\s*(?:是|係|is)?\s*[:：]?\s*", re.IGNORECASE)
NUMBER = re.compile(r"[-−]?\d[\d,]*(?:\.\d+)?(?:\s*/\s*\d+)?|[-−]?\.\d+")
DIGITS = {**dict(zip("零一二三四五六七八九", range(10), strict=True)), "〇": 0, "兩": 2, "两": 2}
UNITS = {"十": 10, "百": 100, "千": 1000}
CHINESE = re.compile(f"[負负]?[{''.join(DIGITS)}十百千萬万點点]+")
EDGES = " \t\n。.,，!！?？:：;；\"'“”「」『』()（）[]【】*`"


def read_letter(text: str, item: Choice, order: tuple[int, ...]) -> int | None:
    """Which option an answer chose, counted in the item's own order; None: unreadable.

    The first letter of the list that stands alone (no other Latin letter beside it); where
    there is none, the one option whose whole text occurs.
    """
    plain = unicodedata.normalize("NFKC", text)
    # only an answer's beginning: a base goes on with questions of its own
    plain = plain.strip().split("\n\n")[0]
    letters = string.ascii_uppercase[: len(order)]
    alone = re.search(rf"(?<![A-Za-z])([{letters}])(?![A-Za-z'’])", plain)
    if alone:
        return order[letters.index(alone[1])]
    named = [at for at, option in enumerate(item.options) if option in text]
    return named[0] if len(named) == 1 else None


def grade(item: Short, text: str, ends_at_line: bool) -> tuple[str, bool]:
    """What an answer was read as (empty: nothing could be read), and whether it is right.

    What follows the last answer mark counts, or all of it where there is none. Exact: the same
    letters after NFKC, case and outer punctuation aside. Numeric: its last
    number within the tolerance. Regex: found anywhere in it.

    Args:
        ends_at_line: only the first line is the answer, as after solved examples.
    """
    said = answer_part(text, ends_at_line)
    if item.grade == "numeric":
        number = number_in(said)
        if number is None:
            return "", False
        wanted = [number_in(one) for one in item.accepted]
        near = any(one is not None and abs(number - one) <= item.tolerance for one in wanted)
        return f"{number:g}", near
    if item.grade == "regex":
        return said, bool(said) and any(_found(one, said) for one in item.accepted)
    return said, bool(said) and bare(said) in {bare(one) for one in item.accepted}


def answer_part(text: str, ends_at_line: bool) -> str:
    """The part of a text that is the answer."""
    text = text.strip()
    if ends_at_line:
        text = text.split("\n")[0]
    return MARKS.split(text)[-1].strip() or text


def bare(text: str) -> str:
    """For comparing: NFKC, lower case, no punctuation at the edges, no spaces."""
    plain = unicodedata.normalize("NFKC", text).casefold()
    return "".join(plain.strip(EDGES).split())


def number_in(text: str) -> float | None:
    """The last number in digits (a fraction too); without any, the last in Chinese; None: none."""
    plain = unicodedata.normalize("NFKC", text)
    found = [_digits(one) for one in NUMBER.findall(plain)]
    if not found:
        found = [_chinese(one) for one in CHINESE.findall(plain)]
    return next((number for number in reversed(found) if number is not None), None)


def _digits(text: str) -> float | None:
    text = text.replace(",", "").replace("−", "-")
    over, _, under = text.partition("/")
    if under:
        return float(over) / float(under) if float(under) else None
    return float(over)


def _chinese(text: str) -> float | None:
    """十二, 兩百零五, 三千四百, 一萬二千, 三點五, 二〇二四."""
    sign = -1 if text[0] in "負负" else 1
    whole, _, after = text.lstrip("負负").replace("点", "點").partition("點")
    if after and not all(character in DIGITS for character in after):
        return None
    value = _whole(whole.replace("万", "萬"))
    if value is None:
        return None
    return sign * (value + (float("0." + "".join(str(DIGITS[one]) for one in after or "零"))))


def _whole(text: str) -> int | None:
    if text and all(character in DIGITS for character in text):
        return int("".join(str(DIGITS[character]) for character in text))
    over, many, under = text.partition("萬")
    if many:
        high, low = _whole(over), _whole(under) if under else 0
        return None if high is None or low is None else high * 10_000 + low
    total = digit = 0
    for character in text:
        if character in DIGITS:
            digit = DIGITS[character]
        elif character in UNITS:
            total += (digit or 1) * UNITS[character]
            digit = 0
        else:
            return None
    return total + digit if text else None


def checked_pattern(pattern: str) -> Any:
    """A compiled pattern.

    Raises:
        ValueError: it is none.
    """
    import regex

    try:
        return regex.compile(pattern)
    except regex.error as error:
        raise ValueError(f"“{pattern}” is not a pattern: {error}") from error


def _found(pattern: str, text: str) -> bool:
    try:
        return bool(checked_pattern(pattern).search(text, timeout=PATTERN_SECONDS))
    except TimeoutError:
        return False
