"""Signs by which a text gives itself away: cut short, refused, in another script or register.

The word lists lie in ``assets/data``. They judge form, not truth. This module does not know
whether the text is a row of a dataset or an answer that has just come.
"""

from __future__ import annotations

import functools
import re
from pathlib import Path
from typing import Any

from workbench.language import Register, register

ASSETS = Path(__file__).resolve().parents[1] / "assets" / "data"
HEAD = 150
"""Characters of an answer in which a refusal is looked for."""
JUDGED = 400
"""Characters of an answer by which its register is judged."""
LETTERS_OF_OTHER = 30
LONG = 200
LONG_LINE = 15

# Ends with a letter, a comma or an opening bracket; or may hold code that is cut off.
_SPACE = "[ \t\r\n\f\xa0　]*"
_ENDLESS = re.compile(f"[A-Za-z0-9À-ɏ㐀-鿿、，,；;：:（(「『《【“]{_SPACE}$")
TAIL = re.compile(f"{_ENDLESS.pattern}|```")
_OPEN = re.compile(f"[、，,；：:（(「『《【“]{_SPACE}$")
_JOINING = re.compile(
    "(?:但係|而且|因為|因为|所以|以及|同埋|如果|不過|不过|但是|仲有|包括|例如|譬如|並且|并且|或者|還有|还有|或|並|并"
    "|甚至|由於|由于|關於|关于|對於|对于|通過|通过|為咗|為了|为了|一個|一个|一啲|呢個|嗰個|這個|这个|某個)$"
    r"|\b(?:and|or|but|because|the|of|with|a|an|which|that is)$"
)
_SIGN_OFF = re.compile(
    "regards|sincerely|yours|truly|love|cheers|best|thanks|thank you"
    "|敬上|此致|敬禮|敬礼|祝好|謹啟|順頌",
    re.IGNORECASE,
)
_SENTENCE_END = re.compile("[。！？!?]|[a-z]\\. ")
_NOT_PROSE = re.compile(
    r"^\s*(?:[-*•#>|+\d(（①-⑳—]|[A-Za-z]\.|第.{1,4}[章節步天日行])"
    r"|[#|=<>{}\\]|https?:| [-—–] ?[A-Z]"
)
_PAIRS = (("（", "）"), ("「", "」"), ("『", "』"), ("《", "》"), ("【", "】"), ("“", "”"))
FENCE = re.compile(r"```.*?(?:```|\Z)", re.DOTALL)


@functools.cache
def word_list(name: str) -> dict[str, Any]:
    """One YAML file of ``assets/data``."""
    import yaml

    listed: dict[str, Any] = yaml.safe_load((ASSETS / f"{name}.yaml").read_text("utf-8"))
    return listed


@functools.cache
def pattern(*names: str) -> re.Pattern[str]:
    """Patterns of ``assets/data/checks.yaml`` as alternatives, regardless of case.

    ``\\b`` and ``\\w`` are those of ASCII, as in RE2, which finds the candidate rows:
    both engines must see the same matches.
    """
    lists = word_list("checks")
    listed = [one for name in names for one in lists[name]]
    return re.compile("|".join(f"(?:{one})" for one in listed), re.ASCII | re.IGNORECASE)


@functools.cache
def script(name: str) -> re.Pattern[str]:
    """The characters that only one script writes."""
    return re.compile(f"[{''.join(word_list('scripts')[name].split())}]")


def cut(text: str) -> tuple[str, int, int] | None:
    """How and where a text is cut off, if it is: a kind, start and end in code points."""
    body = text.rstrip(" \t\r\n\f\xa0　")
    size = len(body)
    if text.count("```") % 2:
        at = text.rindex("```")
        return "open_fence", at, at + 3
    if not _ENDLESS.search(body):
        return None
    line = body[body.rfind("\n") + 1 :]
    if _OPEN.search(body):
        signed = len(line) <= 25 and _SIGN_OFF.search(line)
        return None if signed or size < 8 else ("ends_with_comma", size - 1, size)
    joined = _JOINING.search(body) if size >= 2 * LONG_LINE else None
    if joined:
        return "ends_with_conjunction", *joined.span()
    return _open_bracket(body) or _unended(body, line)


def _open_bracket(body: str) -> tuple[str, int, int] | None:
    """The last opening bracket, if nothing closes it and the text ends on a letter."""
    for left, right in _PAIRS:
        at = body.rfind(left)
        if at > body.rfind(right) and body.count(left) > body.count(right):
            return "open_bracket", at, at + 1
    return None


def _unended(body: str, line: str) -> tuple[str, int, int] | None:
    """Prose that ended its sentences so far, and not the last one. Lists and code may do so."""
    if len(body) < LONG or len(line) < LONG_LINE or _NOT_PROSE.search(line):
        return None
    ended = _SENTENCE_END.findall(body)
    inside = list(re.finditer("[。！？!?，,]", line))
    lines = [one.rstrip() for one in body[: -len(line)].split("\n") if len(one) >= LONG_LINE]
    habit = all(one[-1] in "。！？!?：:.”」）)" for one in lines)
    if len(ended) < 4 or not inside or not habit:
        return None
    return "no_end", len(body) - len(line) + inside[-1].end(), len(body)


def judged(text: str) -> str:
    """The register by the first 400 characters outside code; too little of another language
    to tell counts as neutral."""
    prose = FENCE.sub(" ", text) if "```" in text else text
    return _judged(prose[:JUDGED])


@functools.lru_cache(maxsize=1024)
def _judged(prose: str) -> Register:
    found = register(prose)
    if found == "other" and sum(map(str.isalpha, prose)) < LETTERS_OF_OTHER:
        return "neutral"
    return found
