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
)
from workbench.data.rows import Example
from workbench.language import HAN, register
from workbench.signs import FENCE, HEAD, JUDGED, TAIL, cut, judged, pattern

Facts = dict[str, str | int | float]

_CODE_LINE = re.compile(r"[{}=<>\\`|\[\]]|[\w.]\(|^[#/@]|^[\"']")
_LINE = re.compile(f"[^{ENDS}]+")
_SAID = re.compile(r"\w")


def truncated(example: Example, _: CheckOptions) -> Iterator[Finding]:
    """An answer that stops in the middle: a code fence or bracket left open, a comma, a
    conjunction, or a long prose text whose last sentence has no end."""
    if is_plain(example):
        return
    for number, turn in answers(example):
        found = cut(turn.content) if TAIL.search(turn.content) else None
        if found:
            kind, start, end = found
            facts: Facts = {"text": excerpt(turn.content[start:end][-20:])}
            yield Finding("truncated", kind, number, start, end, facts)


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
    prose = FENCE.sub(lambda code: "\n" * len(code.group()), text)
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
