"""Which characters of a rendered conversation are an answer, and which tokens those are.

Any chat template must do, also one that trims, reorders or adds text of its own. So the
conversation is rendered twice, once with a marker in place of every turn's words: what stands
between the markers is the template's, the rest is ours. This module knows neither datasets
nor files, and does not render: it is handed a function that does.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from workbench.errors import BadTemplate

Kind = Literal["template", "text", "end"]
Messages = list[dict[str, Any]]
Render = Callable[..., str]
"""``render(messages)`` or ``render(messages, add_generation_prompt=True)`` gives text."""

# Private-use characters, which no text of a person holds and no template looks for.
OPEN, CLOSE = "\ue0f0", "\ue0f1"


@dataclass(frozen=True)
class Span:
    """The characters of one turn: what it says, without the template around it."""

    start: int
    end: int
    turn: int
    """Its number among the messages."""
    whole: bool = False
    """True if it holds the end of the turn as well."""


def for_template(messages: Messages) -> Messages:
    """Messages as templates expect them: no empty fields, tool calls as values and not as text.

    Raises:
        BadTemplate: the tool calls of a turn are not JSON.
    """
    plain = []
    for message in messages:
        turn = {"role": message["role"], "content": message.get("content") or ""}
        if message.get("name"):
            turn["name"] = message["name"]
        if message.get("tool_calls"):
            try:
                turn["tool_calls"] = json.loads(message["tool_calls"])
            except ValueError as error:
                raise BadTemplate(reason="the tool calls of a turn are not JSON") from error
        plain.append(turn)
    return plain


def spans_of(render: Render, messages: Messages, opening: str) -> tuple[str, list[Span]]:
    """The rendered conversation, and where the words of each turn stand in it.

    Args:
        render: the template at work.
        messages: as ``for_template`` gives them.
        opening: what the template writes for an answer to begin; an answer's span starts right
            after it, so that text which the template itself puts before the words is learned.

    Raises:
        BadTemplate: the template refuses the conversation, or hides where its turns are.
    """
    text = render(messages)
    marked = [{**turn, "content": f"{OPEN}{at}{CLOSE}"} for at, turn in enumerate(messages)]
    pieces = None
    if not any("tool_calls" in turn for turn in messages):
        pieces = _pieces(_or_none(render, marked), len(messages))
    if pieces is None:
        return text, _by_prefixes(render, messages, text)
    return text, _between(text, messages, pieces, opening)


def _or_none(render: Render, messages: Messages) -> str | None:
    try:
        return render(messages)
    except BadTemplate:
        return None


def _pieces(text: str | None, turns: int) -> list[str] | None:
    """What the template writes before, between and after the markers; None if one is missing."""
    pieces, rest = [], text or ""
    for at in range(turns):
        before, marker, rest = rest.partition(f"{OPEN}{at}{CLOSE}")
        if not marker:
            return None
        pieces.append(before)
    return None if OPEN in rest else [*pieces, rest]


def _between(text: str, messages: Messages, pieces: list[str], opening: str) -> list[Span]:
    if not text.startswith(pieces[0]):
        raise _hidden()
    spans, at = [], len(pieces[0])
    for number, turn in enumerate(messages):
        end = _end_of_turn(text, at, turn["content"], pieces[number + 1])
        start = at
        if turn["role"] == "assistant" and opening and opening in pieces[number]:
            start -= len(pieces[number]) - pieces[number].rindex(opening) - len(opening)
        spans.append(Span(start, end, number))
        at = end + len(pieces[number + 1])
    if at != len(text):
        raise _hidden()
    return spans


def _end_of_turn(text: str, start: int, content: str, following: str) -> int:
    """Where the words end: they stand as they are, trimmed, or changed by the template."""
    for said in (content, content.strip(), content.lstrip(), content.rstrip()):
        if text.startswith(said + following, start):
            return start + len(said)
    end = text.find(following, start) if following else len(text)
    if end < 0:
        raise _hidden()
    return end


def _by_prefixes(render: Render, messages: Messages, text: str) -> list[Span]:
    """For answers that are more than words: what comes with the turn and not before it."""
    spans = []
    for number, turn in enumerate(messages):
        if turn["role"] != "assistant":
            continue
        before = render(messages[:number], add_generation_prompt=True)
        after = render(messages[: number + 1])
        if not (text.startswith(before) and text.startswith(after) and len(before) < len(after)):
            raise _hidden()
        spans.append(Span(len(before), len(after), number, whole=True))
    return spans


def _hidden() -> BadTemplate:
    return BadTemplate(reason="it hides where the turns of a conversation begin and end")


@dataclass(frozen=True)
class Tokens:
    """A tokenized text: ids, and the characters each stands for. Shape [tokens] each."""

    ids: list[int]
    starts: np.ndarray
    ends: np.ndarray


def tokens_of(ids: Sequence[int], offsets: Sequence[tuple[int, int]]) -> Tokens:
    """Offsets as a fast tokenizer gives them, made to rise: some give (0, 0) for special tokens."""
    both = np.asarray(offsets, np.int64).reshape(-1, 2)
    starts = np.maximum.accumulate(both[:, 0]) if len(both) else both[:, 0]
    return Tokens(list(ids), starts, np.maximum(both[:, 1], starts))


def marks(
    tokens: Tokens, spans: list[Span], stops: frozenset[int], text: str
) -> tuple[list[Kind], np.ndarray]:
    """What each token is, and the turn whose words or end it belongs to.

    A token that begins in the template and reaches into an answer is the template's: when the
    model answers, it comes before the answer. Between the words and the end token only white
    space may stand; it counts as part of the end.

    Returns:
        Kinds, shape [tokens]; turn numbers, int64, shape [tokens], -1 for the template.
    """
    kinds: list[Kind] = ["template"] * len(tokens.ids)
    turns = np.full(len(tokens.ids), -1, np.int64)
    for span in spans:
        first = int(np.searchsorted(tokens.starts, span.start))
        last = int(np.searchsorted(tokens.starts, span.end))
        if span.whole:
            last = _end_inside(tokens.ids, first, last, stops)
        end = _end_token(tokens, last, stops, text)
        after = last if end is None or last <= first else end + 1
        for at in range(first, after):
            kinds[at] = "text" if at < last else "end"
        turns[first:after] = span.turn
    return kinds, turns


def _end_inside(ids: list[int], first: int, last: int, stops: frozenset[int]) -> int:
    """Where the end token is among the last tokens of a span that holds it."""
    found = [at for at in range(first, last) if ids[at] in stops]
    return found[-1] if found else last


def _end_token(tokens: Tokens, at: int, stops: frozenset[int], text: str) -> int | None:
    while at < len(tokens.ids):
        if tokens.ids[at] in stops:
            return at
        if text[tokens.starts[at] : tokens.ends[at]].strip():
            return None
        at += 1
    return None
