"""Checks on what an answer says: cut short, refused, in the wrong register, round in circles,
or to a task that did not survive translation.

They judge form, not truth. This module does not know whether an answer is right.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator

import numpy as np

from workbench.data.checks.columns import ENDS, GRAM, Columns, Rows, repeating
from workbench.data.checks.findings import (
    CheckOptions,
    Finding,
    answers,
    excerpt,
    is_plain,
    pattern,
)
from workbench.data.rows import Example
from workbench.language import HAN, register

Facts = dict[str, str | int | float]

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
_FENCE = re.compile(r"```.*?(?:```|\Z)", re.DOTALL)
_CODE_LINE = re.compile(r"[{}=<>\\`|\[\]]|[\w.]\(|^[#/@]|^[\"']")
_LINE = re.compile(f"[^{ENDS}]+")
_SAID = re.compile(r"\w")


def truncated(example: Example, _: CheckOptions) -> Iterator[Finding]:
    """An answer that stops in the middle: a code fence or bracket left open, a comma, a
    conjunction, or a long prose text whose last sentence has no end."""
    if is_plain(example):
        return
    for number, turn in answers(example):
        found = _cut(turn.content) if TAIL.search(turn.content) else None
        if found:
            kind, start, end = found
            facts: Facts = {"text": excerpt(turn.content[start:end][-20:])}
            yield Finding("truncated", kind, number, start, end, facts)


def _cut(text: str) -> tuple[str, int, int] | None:
    """How and where a text is cut off, if it is."""
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


def refusal(example: Example, _: CheckOptions) -> Iterator[Finding]:
    """The answer declines, or speaks of itself as an AI though nobody asked what it is."""
    if is_plain(example):
        return
    asked = any(
        pattern("asks_who").search(turn.content) for turn in example.messages if turn.role == "user"
    )
    for number, turn in answers(example):
        declined = pattern("refusals").search(turn.content[:HEAD])
        owned = None if asked else pattern("as_an_ai").search(turn.content)
        for kind, found in (("refusal", declined), ("as_an_ai", owned)):
            if found:
                facts: Facts = {"text": excerpt(found.group())}
                yield Finding("refusal", kind, number, *found.span(), facts)


def may_refusal(columns: Columns, _: CheckOptions) -> Rows:
    """Rows with such words in an answer."""
    return columns.matching(columns.answers, pattern("refusals", "as_an_ai"))


def may_truncated(columns: Columns, _: CheckOptions) -> Rows:
    """Rows with an answer that ends without an end, or holds code."""
    return columns.matching(columns.answers, TAIL)


def wrong_register(example: Example, options: CheckOptions) -> Iterator[Finding]:
    """An answer in a register that the set is not meant to be in. Neutral is no fault."""
    if not options.expected:
        return
    spoken = " ".join(turn.content for turn in example.messages if turn.role == "user")
    for number, turn in answers(example):
        found = judged(turn.content)
        if found in ("neutral", *options.expected):
            continue
        if pattern("speaks_of_language").search(spoken):
            return
        yield Finding("register", "wrong_register", number, facts={"register": found})


def judged(text: str) -> str:
    """The register by the first 400 characters outside code; too little of another language
    to tell counts as neutral."""
    prose = _FENCE.sub(" ", text) if "```" in text else text
    found = register(prose[:JUDGED])
    if found == "other" and sum(map(str.isalpha, prose[:JUDGED])) < LETTERS_OF_OTHER:
        return "neutral"
    return found


def may_wrong_register(columns: Columns, options: CheckOptions) -> Rows:
    """Exactly the rows with an answer of another register."""
    found = np.zeros(columns.size, bool)
    if not options.expected:
        return found
    fine = {"neutral", *options.expected}
    said = columns.answers
    for row, text in zip(said.rows.tolist(), said.texts.to_pylist(), strict=True):
        if not found[row] and judged(text) not in fine:
            found[row] = True
    return found


def repetition(example: Example, options: CheckOptions) -> Iterator[Finding]:
    """The same sentence again and again, or a text that goes round in circles."""
    for number, turn in answers(example):
        again = _repeated_sentence(turn.content, options.repeats)
        if again:
            start, end, count = again
            facts: Facts = {"text": excerpt(turn.content[start:end]), "count": count}
            yield Finding("repetition", "repeated_sentence", number, start, end, facts)
            continue
        share, at = repeated_share(turn.content)
        if share >= options.loop_share and _SAID.search(turn.content[at : at + GRAM]):
            facts = {"percent": round(100 * share)}
            yield Finding("repetition", "loop", number, at, at + GRAM, facts)


def _repeated_sentence(text: str, repeats: int) -> tuple[int, int, int] | None:
    """Where a sentence comes back for the first time, and how often it is there."""
    prose = _FENCE.sub(lambda code: "\n" * len(code.group()), text)
    said = [found for found in _LINE.finditer(prose) if len(found.group().strip()) >= GRAM]
    counts = Counter(found.group().strip() for found in said)
    often = {one for one, count in counts.items() if count >= repeats and _wordy(one)}
    seen = set()
    for found in said:
        sentence = found.group().strip()
        if sentence in often and sentence in seen:
            start = found.start() + found.group().index(sentence)
            return start, start + len(sentence), counts[sentence]
        seen.add(sentence)
    return None


def _wordy(sentence: str) -> bool:
    """Rules, table lines and the like hold few letters; code may repeat itself."""
    return sum(map(str.isalpha, sentence)) >= GRAM // 2 and not _CODE_LINE.search(sentence)


def repeated_share(text: str) -> tuple[float, int]:
    """The share of pieces of 8 characters that were there before, and where the first comes
    back. A text under 40 characters has none: 哈哈哈哈 is a laugh."""
    if len(text) < 5 * GRAM:
        return 0.0, 0
    pieces = [text[at : at + GRAM] for at in range(len(text) - GRAM + 1)]
    seen: set[str] = set()
    first = None
    for at, piece in enumerate(pieces):
        if piece not in seen:
            seen.add(piece)
        elif first is None:
            first = at
    return 1 - len(seen) / len(pieces), first or 0


def may_repetition(columns: Columns, options: CheckOptions) -> Rows:
    """Rows with enough equal pieces in an answer."""
    return columns.rows_of(repeating(columns.answers, options.repeats, options.loop_share))


def broken_task(example: Example, _: CheckOptions) -> Iterator[Finding]:
    """A task that translation has broken, judged by the last prompt and its answer."""
    if is_plain(example) or not (asked := example.instruction):
        return
    number = max(at for at, turn in enumerate(example.messages) if turn.role == "user")
    for kind, found in _broken(example, asked):
        facts: Facts = {"text": excerpt(found.group())}
        yield Finding("broken_task", kind, number, *found.span(), facts)


def _broken(example: Example, asked: str) -> Iterator[tuple[str, re.Match[str]]]:
    chinese = bool(HAN.search(asked))
    corrects = pattern("correction").search(asked)
    if corrects and _nothing_corrected(example):
        yield "nothing_corrected", corrects
    plays = pattern("wordplay").search(asked) if chinese else None
    if plays:
        yield "wordplay", plays
    wants = pattern("to_cantonese").search(asked)
    if wants and example.input and register(example.input[:JUDGED]) == "cantonese":
        yield "already_cantonese", wants
    wants = pattern("to_english").search(asked)
    if wants and HAN.search(example.answer) and register(example.answer[:JUDGED]) != "other":
        yield "not_english", wants


def _nothing_corrected(example: Example) -> bool:
    """The answer is the input, or says that nothing is wrong with it."""
    said = "".join(example.answer.split())
    given = "".join((example.input or "").split())
    if given and said == given:
        return True
    return bool(said) and bool(pattern("nothing_to_correct").search(example.answer))


def may_broken_task(columns: Columns, _: CheckOptions) -> Rows:
    """Rows in which the user speaks of such a task."""
    asked = pattern("correction", "wordplay", "to_cantonese", "to_english")
    return columns.matching(columns.prompts, asked)
