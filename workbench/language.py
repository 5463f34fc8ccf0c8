"""Which register a text is written in: Cantonese, written Chinese, mixed, neutral.

canto-filter decides first; where it says neutral and the text is long enough to
carry a sign, py3langid (limited to en, zh and yue) may still say Cantonese.
Neutral is an answer, not a fault: 「今日天氣好」 is the same in both. This module does
not know why anybody asks.
"""

from __future__ import annotations

import functools
import importlib
import re
from typing import Any, Literal

Register = Literal["cantonese", "written", "mixed", "neutral", "other"]
REGISTERS: tuple[Register, ...] = ("cantonese", "written", "mixed", "neutral", "other")

HAN = re.compile(r"[㐀-鿿豈-﫿\U00020000-\U0003ffff]")
LETTER = re.compile(r"[^\W\d_]")
# Below this many Han characters py3langid only guesses.
ENOUGH_HAN = 4
ENOUGH_SHARE = 0.3


def register(text: str) -> Register:
    """Label one text. ``other`` is anything that is hardly Chinese at all."""
    han = len(HAN.findall(text))
    letters = len(LETTER.findall(text))
    if not han or han < ENOUGH_SHARE * letters:
        return "other"
    from cantofilter import LanguageType, judge

    verdict = judge(text)
    if verdict != LanguageType.NEUTRAL:
        return _BY_VERDICT[verdict.value]
    if han >= ENOUGH_HAN and _identifier().classify(text)[0] == "yue":
        return "cantonese"
    return "neutral"


def telling(text: str, asked: Register) -> list[tuple[int, int]]:
    """The characters that made ``register`` say written Chinese or Cantonese.

    Args:
        asked: ``cantonese`` or ``written``; for others there are none.

    Returns:
        Start and end in code points, in their order; words that are loans are left out.
    """
    rules = importlib.import_module("cantofilter.judge")  # the package hides it by a function

    if asked == "cantonese":
        found = [*rules.CANTO_UNIQUE_CHAR.finditer(text), *rules.CANTO_UNIQUE_WORD.finditer(text)]
        return sorted(one.span() for one in found)
    if asked != "written":
        return []
    loans = [one.span() for one in rules.MANDO_LOAN.finditer(text)]
    spans = [one.span() for one in rules.MANDO_UNIQUE.finditer(text)]
    for one in rules.MANDO_FEATURE.finditer(text):
        start, end = one.span()
        if not any(left <= start and end <= right for left, right in loans):
            spans.append((start, end))
    return sorted(spans)


_BY_VERDICT: dict[str, Register] = {
    "cantonese": "cantonese",
    "mandarin": "written",
    "mixed": "mixed",
}


@functools.cache
def _identifier() -> Any:
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    identifier = LanguageIdentifier.from_model_file(MODEL_FILE)
    identifier.set_languages(["en", "zh", "yue"])
    return identifier
