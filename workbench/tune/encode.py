"""From rows to token ids, and to the mask of what is learned from.

An answer is learned with the token that ends it, a plain text is learned whole, a turn of
weight 0 is not learned. This module does not know where rows come from, nor how a model learns.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Generator, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from workbench.errors import BadTemplate, Stopped
from workbench.events import Progress
from workbench.models import templates
from workbench.models.tokenizer import rendered
from workbench.tune.mask import Kind, Messages, Span, for_template, marks, spans_of, tokens_of

BATCH = 256
"""Rows that are tokenized together."""


@dataclass(frozen=True)
class Encoded:
    """One row as the model will see it."""

    ids: list[int]
    """Shape [tokens], at most the maximum length."""
    labels_mask: list[bool]
    """True for a token that is learned from. Shape [tokens]."""
    kinds: list[Kind]
    """``template``, ``text`` or ``end`` (of a turn or text). Shape [tokens]."""
    characters: int
    """Unicode code points of the words that are learned; end tokens have none."""
    cut: bool
    """True if the row was longer than the maximum length."""
    row: int = -1
    """Its number in the dataset."""
    endless: int = 0
    """Answers that are learned without a token that ends them, though nothing was cut."""
    control: bool = False
    """True if its words spell out a control token of the model."""
    calls_lost: bool = False
    """True if the template does not write the tool calls of an answer."""

    @property
    def learned(self) -> int:
        """Tokens that are learned from."""
        return sum(self.labels_mask)

    @property
    def labels(self) -> list[int]:
        """Ids where they are learned, else -100, as trainers want them. Not shifted."""
        return [token if on else -100 for token, on in zip(self.ids, self.labels_mask, strict=True)]


@dataclass(frozen=True)
class _Written:
    """A row as text, before it is tokenized; ``roles`` and ``weights`` are by turn."""

    text: str
    spans: list[Span]
    learned: frozenset[int]
    """Turns that are learned from."""
    calls: frozenset[int] = frozenset()
    """Turns of those that call tools and say nothing else."""
    plain: bool = False


class Encoder:
    """Writes rows in one template, and tells what is learned of them.

    Args:
        tokenizer: a fast one; it is not changed.
        template: Jinja text, as ``templates.chat_template_for`` gives it.
        max_length: tokens of a row; the rest is cut.
        answers_only: learn nothing but the assistant's turns.

    Raises:
        BadTemplate: the template cannot write a question, or the tokenizer cannot say which
            characters a token stands for.
    """

    def __init__(
        self, tokenizer: Any, template: str, max_length: int, answers_only: bool = True
    ) -> None:
        if not tokenizer.is_fast:
            reason = "the tokenizer of this base does not tell where its tokens lie in a text"
            raise BadTemplate(reason=reason)
        self.tokenizer = templates.with_template(tokenizer, template)
        self.max_length, self.answers_only = max_length, answers_only
        self.stops = frozenset(templates.stop_tokens(tokenizer, template))
        self._control = templates.control_pattern(tokenizer)
        asked = [templates.TRIAL[0][0]]
        before, begun = self._render(asked), self._render(asked, add_generation_prompt=True)
        self._opening = begun.removeprefix(before) if begun.startswith(before) else ""

    def encode(self, messages: Messages, row: int = -1) -> Encoded:
        """One row; a plain text that is too long keeps its beginning only.

        Raises:
            BadTemplate: the template refuses the conversation.
        """
        pieces = self._tokenized([self._write(messages)], [row])[0]
        return replace(pieces[0], cut=True) if len(pieces) > 1 else pieces[0]

    def encode_all(self, rows: Sequence[Messages], numbers: Sequence[int]) -> list[Encoded]:
        """Several rows at once; a plain text that is too long becomes several pieces.

        Raises:
            BadTemplate: the template refuses one of them.
        """
        pieces = self._tokenized([self._write(messages) for messages in rows], numbers)
        return [piece for row in pieces for piece in row]

    def _render(self, messages: Messages, **options: Any) -> str:
        return rendered(self.tokenizer, messages, **options)

    def _write(self, messages: Messages) -> _Written:
        roles = {message["role"] for message in messages}
        weights = [message.get("weight") for message in messages]
        taught = frozenset(
            number
            for number, message in enumerate(messages)
            if message["role"] in ("assistant", "text") and weights[number] != 0
        )
        if roles == {"text"}:
            text = "\n\n".join(message["content"] or "" for message in messages)
            whole = frozenset({0}) if taught else frozenset()
            return _Written(text, [Span(0, len(text), 0)], whole, plain=True)
        if "text" in roles:
            raise BadTemplate(reason="plain text and turns are mixed in one row")
        text, spans = spans_of(self._render, for_template(messages), self._opening)
        if not self.answers_only:
            taught = frozenset(n for n in range(len(messages)) if weights[n] != 0)
        calls = {n for n in taught if messages[n].get("tool_calls") and not messages[n]["content"]}
        return _Written(text, spans, taught, frozenset(calls))

    def _tokenized(self, rows: list[_Written], numbers: Sequence[int]) -> list[list[Encoded]]:
        batch = self.tokenizer(
            [one.text for one in rows], add_special_tokens=False, return_offsets_mapping=True
        )
        found = zip(rows, numbers, batch["input_ids"], batch["offset_mapping"], strict=True)
        return [
            self._plain(one, number, ids, offsets)
            if one.plain
            else [self._turns(one, number, ids, offsets)]
            for one, number, ids, offsets in found
        ]

    def _turns(self, one: _Written, row: int, ids: list[int], offsets: Any) -> Encoded:
        tokens = tokens_of(ids, offsets)
        kinds, turns = marks(tokens, one.spans, self.stops, one.text)
        said = np.array([kind != "template" for kind in kinds], bool)
        taught = np.isin(turns, list(one.learned))
        if not self.answers_only:  # the template too, but neither its first token nor weight 0
            taught |= turns == -1
            taught[:1] &= len(ids) == 0 or ids[0] != self.tokenizer.bos_token_id
        else:
            taught &= said
        ended = set(turns[[at for at, kind in enumerate(kinds) if kind == "end"]].tolist())
        worded = set(turns[[at for at, kind in enumerate(kinds) if kind == "text"]].tolist())
        return Encoded(
            ids=tokens.ids[: self.max_length],
            labels_mask=taught[: self.max_length].tolist(),
            kinds=kinds[: self.max_length],
            characters=_characters(tokens, kinds, taught, self.max_length),
            cut=len(ids) > self.max_length,
            row=row,
            endless=len((one.learned & worded) - ended),
            control=self._spells_control(one),
            calls_lost=bool(one.calls - worded),
        )

    def _plain(self, one: _Written, row: int, ids: list[int], offsets: Any) -> list[Encoded]:
        """A text in pieces that fit, each behind the prefix token, the last with its end."""
        begin, end = self.tokenizer.bos_token_id, self.tokenizer.eos_token_id
        prefix = [token for token in (begin if begin is not None else end,) if token is not None]
        suffix = [end] if end is not None and ids else []
        taught, control = bool(one.learned and ids), self._spells_control(one)
        tokens, room = tokens_of(ids, offsets), max(1, self.max_length - len(prefix))
        whole, pieces = [*tokens.ids, *suffix], []
        for at in range(0, len(whole) or 1, room):
            part = whole[at : at + room]
            words = min(len(part), len(ids) - at)
            kinds = _repeat("template", len(prefix)) + _repeat("text", words)
            kinds += _repeat("end", len(part) - words)
            pieces.append(
                Encoded(
                    ids=[*prefix, *part],
                    labels_mask=[False] * len(prefix) + [taught] * len(part),
                    kinds=kinds,
                    characters=int(tokens.ends[at + words - 1] - tokens.starts[at])
                    if taught and words
                    else 0,
                    cut=False,
                    row=row,
                    endless=int(taught and not suffix),
                    control=control,
                )
            )
        return pieces

    def _spells_control(self, one: _Written) -> bool:
        if self._control is None:
            return False
        parts = [one.text[span.start : span.end] for span in one.spans if not span.whole]
        return any(self._control.search(part) for part in parts)


def _repeat(kind: Kind, times: int) -> list[Kind]:
    return [kind] * times


def _characters(tokens: Any, kinds: list[Kind], taught: np.ndarray, limit: int) -> int:
    """Under the learned words within ``limit``; one that takes three tokens counts once."""
    text = taught & np.array([kind == "text" for kind in kinds], bool)
    text[limit:] = False
    if not text.any():
        return 0
    covered = np.zeros(int(tokens.ends.max()), bool)
    for start, end in zip(tokens.starts[text], tokens.ends[text], strict=True):
        covered[start:end] = True
    return int(covered.sum())


def encode_rows(
    encoder: Encoder,
    rows: Sequence[Messages],
    numbers: Sequence[int],
    stop: threading.Event,
) -> Generator[Progress, None, tuple[list[Encoded], dict[str, int]]]:
    """Every row that the template accepts, in order, with long plain texts in pieces.

    Returns:
        Encoded rows, and how many rows were refused for which reason.

    Raises:
        BadTemplate: the template refuses every row.
        Stopped.
    """
    encoded: list[Encoded] = []
    refused: Counter[str] = Counter()
    for at in range(0, len(rows), BATCH):
        if stop.is_set():
            raise Stopped
        yield Progress("tokenize", at, len(rows), "rows")
        some, theirs = rows[at : at + BATCH], numbers[at : at + BATCH]
        try:
            encoded += encoder.encode_all(some, theirs)
        except BadTemplate:
            encoded += _one_by_one(encoder, some, theirs, refused)
    yield Progress("tokenize", len(rows), len(rows), "rows")
    if rows and not encoded:
        raise BadTemplate(reason=refused.most_common(1)[0][0])
    return encoded, dict(refused)


def _one_by_one(
    encoder: Encoder, rows: Sequence[Messages], numbers: Sequence[int], refused: Counter[str]
) -> list[Encoded]:
    encoded = []
    for messages, number in zip(rows, numbers, strict=True):
        try:
            encoded += encoder.encode_all([messages], [number])
        except BadTemplate as error:
            refused[str(error.facts["reason"])] += 1
    return encoded


@dataclass(frozen=True)
class Report:
    """What there is to learn from, in numbers, and what a person should know before starting."""

    rows: int
    tokens: int
    learned_tokens: int
    characters: int
    """Of the words that are learned."""
    longest: int
    """Tokens of the longest row, after cutting."""
    cut: int
    """Rows that were longer than the maximum length and lost their end."""
    masked: int
    """Rows of which nothing is learned."""
    endless: int
    """Rows with an answer that is learned without a token that ends it, though not cut."""
    control: int
    """Rows whose words spell out a control token."""
    calls_lost: int
    """Rows with tool calls that the template does not write."""
    warnings: tuple[str, ...]
    """Of ``end_not_learned``, ``template_differs``, ``template_added``, ``rows_cut``,
    ``rows_masked``, ``control_tokens``, ``tool_calls_lost``."""


def report(
    encoded: Iterable[Encoded], tokenizer: Any = None, template: str | None = None
) -> Report:
    """Counts over encoded rows; with the base's tokenizer also whether the template is its own."""
    rows = list(encoded)
    counts = {
        "rows_cut": sum(row.cut for row in rows),
        "rows_masked": sum(not any(row.labels_mask) for row in rows),
        "end_not_learned": sum(row.endless > 0 for row in rows),
        "control_tokens": sum(row.control for row in rows),
        "tool_calls_lost": sum(row.calls_lost for row in rows),
    }
    warnings = [name for name, count in counts.items() if count]
    if tokenizer is not None and template is not None:
        if not templates.own_template(tokenizer):
            warnings.append("template_added")
        elif templates.differs(tokenizer, template):
            warnings.append("template_differs")
    return Report(
        rows=len(rows),
        tokens=sum(len(row.ids) for row in rows),
        learned_tokens=sum(row.learned for row in rows),
        characters=sum(row.characters for row in rows),
        longest=max((len(row.ids) for row in rows), default=0),
        cut=counts["rows_cut"],
        masked=counts["rows_masked"],
        endless=counts["end_not_learned"],
        control=counts["control_tokens"],
        calls_lost=counts["tool_calls_lost"],
        warnings=tuple(warnings),
    )
