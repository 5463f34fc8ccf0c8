"""Checks on the shape of a row: who speaks when, what is empty, what is too short or too long.

Plain texts have no turns and are spared what concerns turns. This module does not know
what the words mean.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from workbench.data.checks.columns import Columns, Rows, Turns, lengths
from workbench.data.checks.findings import (
    BLANK,
    CheckOptions,
    Finding,
    answers,
    excerpt,
    is_plain,
    last_line,
    turns,
)
from workbench.data.rows import ROLES, Example, Message

ENOUGH = 4
"""Letters an echo has at the least: 「你好」 may be answered with 「你好」."""
HEAD = 24
"""Characters at the head in which those letters must be."""


def empty_input(example: Example, _: CheckOptions) -> Iterator[Finding]:
    """The user says nothing, or only that there is no input."""
    first = True
    for number, turn in enumerate(example.messages):
        if turn.role != "user":
            continue
        if BLANK.match(turn.content):
            yield Finding("empty_input", "empty_user", number)
        else:
            yield from _placeholder(turn.content, number, first)
        first = False


def _placeholder(text: str, number: int, first: bool) -> Iterator[Finding]:
    """All of the first message, or the last line of any: a later 「無」 alone is an answer."""
    found = last_line("placeholder_inputs").search(text)
    if found and (first or not BLANK.match(text[: found.start()])):
        at, end = found.span("it")
        yield Finding("empty_input", "placeholder_input", number, at, end, {"text": text[at:end]})


def may_empty_input(columns: Columns, _: CheckOptions) -> Rows:
    """Rows in which a user's message is blank or ends in a placeholder."""
    ending = columns.matching(columns.prompts, last_line("placeholder_inputs"))
    return ending | columns.matching(columns.prompts, BLANK)


def empty_answer(example: Example, _: CheckOptions) -> Iterator[Finding]:
    """An answer without a word, or with a placeholder in its place."""
    for number, turn in answers(example):
        if turn.tool_calls:
            continue
        if BLANK.match(turn.content):
            kind = "empty_text" if turn.role == "text" else "empty_answer"
            yield Finding("empty_answer", kind, number)
            continue
        found = last_line("placeholder_answers").search(turn.content)
        if found and BLANK.match(turn.content[: found.start()]):
            at, end = found.span("it")
            facts: dict[str, str | int | float] = {"text": turn.content[at:end]}
            yield Finding("empty_answer", "placeholder_answer", number, at, end, facts)


def may_empty_answer(columns: Columns, _: CheckOptions) -> Rows:
    """Rows with an answer that is blank or ends in a placeholder."""
    ending = columns.matching(columns.answers, last_line("placeholder_answers"))
    return ending | columns.matching(columns.answers, BLANK)


def echo(example: Example, _: CheckOptions) -> Iterator[Finding]:
    """The answer only repeats the prompt, its instruction or its input.

    Texts of which one is more than twice as long as the other are not compared.
    """
    prompt = ""
    for number, turn in enumerate([*example.messages, *(example.chosen or ())]):
        if turn.role == "user":
            prompt = turn.content
        elif turn.role == "assistant" and prompt:
            kind = _echoed(turn.content, prompt, example.input)
            if kind:
                yield Finding("echo", kind, number, 0, len(turn.content))


def _echoed(said: str, prompt: str, given: str | None) -> str | None:
    size = len(given or "")
    others = [("same_as_prompt", prompt, len(prompt))]
    if given:
        if given in prompt:
            instruction = prompt[: prompt.rindex(given)]
            others.append(("same_as_prompt", instruction, len(prompt) - size))
        others.append(("same_as_input", given, size))
    for kind, other, length in others:
        near = len(said) <= 2 * length and length <= 2 * len(said)
        if near and _alike(said, other):
            return kind
    return None


def _alike(one: str, other: str) -> bool:
    begin = normal(one[:HEAD])[:ENOUGH]
    if len(begin) < ENOUGH or begin != normal(other[:HEAD])[:ENOUGH]:
        return False
    return normal(one) == normal(other)


def normal(text: str) -> str:
    """Letters and digits alone, one width, one case."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    return "".join(filter(str.isalnum, folded))


def may_echo(columns: Columns, _: CheckOptions) -> Rows:
    """Rows with an answer about as long as a prompt, an input or what is left without it."""
    prompts, said = columns.prompts, columns.answers
    sizes = lengths(prompts.texts)
    most, least = np.zeros(columns.size, np.int64), np.full(columns.size, 1 << 40)
    np.maximum.at(most, prompts.rows, sizes)
    np.minimum.at(least, prompts.rows, sizes)
    given = lengths(columns.table.column("input"))
    length, row = lengths(said.texts), said.rows
    found = np.zeros(len(row), bool)
    for taken in (np.zeros_like(given), given):
        low, high = (least - taken)[row], (most - taken)[row]
        found |= (length <= 2 * high) & (low <= 2 * length)
    found |= (length <= 2 * given[row]) & (given[row] <= 2 * length)
    return columns.rows_of(row[found])


def same_pair(example: Example, _: CheckOptions) -> Iterator[Finding]:
    """The better and the worse answer are the same words."""
    if example.chosen is None or example.rejected is None:
        return
    better = [turn.content.strip() for turn in example.chosen]
    if better == [turn.content.strip() for turn in example.rejected]:
        yield Finding("same_pair", "same_pair")


def may_same_pair(columns: Columns, _: CheckOptions) -> Rows:
    """Every row with two answers: they are few beside plain conversations."""
    return columns.pairs()


def length(example: Example, options: CheckOptions) -> Iterator[Finding]:
    """An answer below the least, a row above the most number of characters."""
    for number, turn in answers(example):
        size = len(turn.content)
        if size < options.min_characters and not turn.tool_calls and not BLANK.match(turn.content):
            facts: dict[str, str | int | float] = {"count": size, "least": options.min_characters}
            yield Finding("length", "too_short", number, 0, size, facts)
    total = sum(len(turn.content) for turn in turns(example))
    if total > options.max_characters:
        facts = {"count": total, "most": options.max_characters}
        yield Finding("length", "too_long", facts=facts)


def may_length(columns: Columns, options: CheckOptions) -> Rows:
    """Exactly the rows above, and those with a short answer."""
    said = columns.answers
    short = columns.rows_of(said.rows[lengths(said.texts) < options.min_characters])
    return short | (columns.characters > options.max_characters)


def roles(example: Example, _: CheckOptions) -> Iterator[Finding]:
    """Turns out of order: two in a row, an end with the user, a late system message..."""
    if is_plain(example):
        return
    if not example.messages:
        yield Finding("roles", "no_turns")
        return
    for number, turn in enumerate(example.messages):
        kind = _out_of_order(example.messages, number)
        if kind:
            yield Finding("roles", kind, number, facts={"role": excerpt(turn.role)})
    last = example.messages[-1].role
    if last == "user" and example.chosen is None:
        yield Finding("roles", "ends_with_user", len(example.messages) - 1)


def _out_of_order(messages: tuple[Message, ...], number: int) -> str | None:
    """The one fault of a turn that matters most."""
    role = messages[number].role
    before = messages[number - 1] if number else None
    if role not in ROLES:
        return "unknown_role"
    if role == "system":
        return "late_system" if before else None
    if role == "tool":
        return None if _is_called(messages, number) else "tool_without_call"
    if role != "user" and (before is None or (before.role == "system" and number == 1)):
        return "first_not_user"
    return "twice_in_a_row" if before and before.role == role else None


def _is_called(messages: tuple[Message, ...], number: int) -> bool:
    """True if an assistant's call comes before a tool's answer, or before several of them."""
    while number and messages[number].role == "tool":
        number -= 1
    return messages[number].role == "assistant" and bool(messages[number].tool_calls)


def may_roles(columns: Columns, _: CheckOptions) -> Rows:
    """Rows that are not [system] (user assistant)+ or plain texts."""
    said = columns.messages
    codes = _codes(said)
    row = said.rows
    first = np.r_[True, row[1:] != row[:-1]] if len(row) else np.zeros(0, bool)
    before = np.r_[-1, codes[:-1]] if len(row) else codes
    second = np.r_[False, first[:-1]] if len(row) else first
    after_system = second & ~first & (before == 0)
    opening = first | after_system
    right = np.where(
        opening, codes == 1, (codes == 1) & (before == 2) | (codes == 2) & (before == 1)
    )
    right |= (codes == 0) & first
    right |= (codes == 4) & (opening | (before == 4)) & ~after_system
    faulty = columns.rows_of(row[~right])
    present = columns.rows_of(row)
    ends = np.r_[row[1:] != row[:-1], True] if len(row) else first
    unanswered = columns.rows_of(row[ends & (codes != 2) & (codes != 4)])
    return faulty | ~present | (unanswered & ~columns.pairs())


def _codes(said: Turns) -> np.ndarray:
    """Roles as numbers, -1 for an unknown one. Shape [turns]."""
    found = pc.index_in(said.roles, value_set=pa.array(ROLES))
    return np.asarray(pc.fill_null(found, -1).to_numpy(zero_copy_only=False), np.int64)
