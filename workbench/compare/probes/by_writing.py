"""Items that are answered in writing: a letter for a choice, a few words for a short question.

Batched and length-sorted; what a model drew for one item does not depend on the others. This
module does not know likelihoods.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace

from workbench.compare.probes.grading import grade, read_letter
from workbench.compare.probes.items import Choice, Item, Short
from workbench.compare.probes.prompts import LETTERS, for_letter, for_short, rotated
from workbench.compare.probes.results import ItemResult, Written
from workbench.errors import OutOfMemory, Stopped
from workbench.models.decoding import Stoppable, decode, encode
from workbench.models.device import is_out_of_memory
from workbench.models.loader import LoadedModel
from workbench.models.sampling import SamplingOptions

ROWS = {"cpu": 16, "cuda": 64}
"""Written at once."""
LETTER = SamplingOptions(max_new_tokens=6, temperature=0, top_k=0, top_p=1, repetition_penalty=1)
SHORT = SamplingOptions(max_new_tokens=64, temperature=0.3, top_k=0, top_p=1, repetition_penalty=1)
AFTER_EXAMPLES = 16
"""New tokens for a short answer after solved examples, where no reasoning is asked for."""


@dataclass(frozen=True)
class _Row:
    """One answer to be written."""

    item: int
    ids: tuple[int, ...]
    seed: int
    order: tuple[int, ...] = ()
    """Of the options, where a letter is asked for."""


class Writer:
    """Lets one loaded model write, whose lock the caller holds."""

    def __init__(self, loaded: LoadedModel) -> None:
        self.tokens = 0
        """Written so far."""
        self._loaded = loaded
        self.with_template = bool(loaded.tokenizer.chat_template)

    def letters(
        self, items: Sequence[Choice], stop: Stoppable
    ) -> Generator[int, None, list[tuple[Written, ...]]]:
        """Every item once in each rotation of its options; yields how many are written."""
        rows = [
            self._row(at, item, LETTER, rotated(item, turn))
            for at, item in enumerate(items)
            for turn in range(len(item.options))
        ]
        texts = yield from self._written(rows, LETTER, stop)
        found: list[list[Written]] = [[] for _ in items]
        for row, text in zip(rows, texts, strict=True):
            found[row.item].append(_lettered(items[row.item], text, row.order))
        return [tuple(one) for one in found]

    def short(
        self, items: Sequence[Short], tries: int, stop: Stoppable
    ) -> Generator[int, None, list[ItemResult]]:
        """Every item several times; its score is the share that was right."""
        options = SHORT
        if not self.with_template:
            options = replace(SHORT, max_new_tokens=AFTER_EXAMPLES)
        rows = [
            self._row(at, item, options, turn=turn)
            for at, item in enumerate(items)
            for turn in range(tries)
        ]
        texts = yield from self._written(rows, options, stop)
        found: list[list[Written]] = [[] for _ in items]
        for row, text in zip(rows, texts, strict=True):
            read, right = grade(items[row.item], text, ends_at_line=not self.with_template)
            found[row.item].append(Written(text, read, right))
        return [_mean(item, tuple(one)) for item, one in zip(items, found, strict=True)]

    def _row(
        self,
        at: int,
        item: Item,
        options: SamplingOptions,
        order: tuple[int, ...] = (),
        turn: int = 0,
    ) -> _Row:
        tokenizer = self._loaded.tokenizer
        if isinstance(item, Choice):
            prompt = for_letter(tokenizer, item, order)
        else:
            assert isinstance(item, Short)
            prompt = for_short(tokenizer, item)
        ids = encode(self._loaded, prompt, options.max_new_tokens, rendered=self.with_template)
        return _Row(at, tuple(ids), int(item.sha256[:7], 16) + turn, order)

    def _written(
        self, rows: Sequence[_Row], options: SamplingOptions, stop: Stoppable
    ) -> Generator[int, None, list[str]]:
        """The text of every row, in the rows' order.

        Raises:
            Stopped, OutOfMemory.
        """
        texts: dict[int, str] = {}
        waiting = sorted(range(len(rows)), key=lambda at: len(rows[at].ids))
        size = ROWS[self._loaded.device]
        while waiting:
            now = waiting[-size:]
            chosen = [rows[at] for at in now]
            try:
                written, _ = decode(
                    self._loaded,
                    [row.ids for row in chosen],
                    options,
                    stop,
                    seeds=[row.seed for row in chosen],
                )
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
                if size == 1:
                    raise OutOfMemory(model=self._loaded.reference.label) from error
                size = max(1, len(now) // 2)
                continue
            if stop.is_set():
                raise Stopped
            waiting = waiting[: -len(now)]
            self.tokens += sum(one.tokens for one in written)
            texts |= {at: one.text for at, one in zip(now, written, strict=True)}
            yield len(texts)
        return [texts[at] for at in range(len(rows))]


def _lettered(item: Choice, text: str, order: tuple[int, ...]) -> Written:
    option = read_letter(text, item, order)
    if option is None:
        return Written(text, "", False)
    letter = LETTERS[order.index(option)]
    return Written(text, item.options[option], option == item.answer, letter)


def _mean(item: Short, written: tuple[Written, ...]) -> ItemResult:
    """The share of tries that were right; what was said most often stands for all."""
    right = sum(one.right for one in written) / len(written)
    said = [one.read or one.text.strip() for one in written]
    return ItemResult(item.id, right, max(said, key=said.count)[:200], written=written)
