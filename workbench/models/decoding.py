"""A loaded model writes: a batch of rows, token by token, stoppable, timed by its own work.

Knows tokens, sampling and turns. Does not know what the rows are for: continuations, chat,
answers to probes and generated data all come through here.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from workbench.errors import ContextTooLong
from workbench.models.loader import LoadedModel
from workbench.models.sampling import SamplingOptions, processors
from workbench.models.turns import Turns


class Stoppable(Protocol):
    """A ``threading.Event``, or anything else that can say that it is over."""

    def is_set(self) -> bool: ...


@dataclass(frozen=True)
class Either:
    """Stopped by the person, or left by the page."""

    first: Stoppable
    second: Stoppable

    def is_set(self) -> bool:
        return self.first.is_set() or self.second.is_set()


@dataclass(frozen=True)
class Row:
    """What one row of a batch became."""

    text: str
    tokens: int
    ended: bool
    """The model ended it; False when it ran out of tokens or was stopped."""
    first: float = 0.0
    """Seconds of work until its first token."""
    seconds: float = 0.0
    """Seconds of work until its last token; other rows of the batch may take longer."""


def decode(
    loaded: LoadedModel,
    prompts: Sequence[Sequence[int]],
    options: SamplingOptions,
    stop: Stoppable,
    said: Callable[[int, str], Any] = lambda _row, _text: None,
    turns: Turns | None = None,
    stops: Sequence[int] = (),
    seeds: Sequence[int] | None = None,
) -> tuple[list[Row], float]:
    """Write one row for each prompt, all in one batch; whoever calls holds the model's lock.

    Args:
        prompts: token ids of each row, none empty; padded on the left here.
        said: called with a row's number and its whole text so far whenever it has grown.
        turns: step aside after every token for others in this line.
        stops: tokens that end a row, besides the model's own.
        seeds: of each row; counted up from the options' own when not told.

    Returns:
        The rows; seconds at work, the turns of others left out.
    """
    import torch
    from transformers import StoppingCriteriaList

    ends = [*ends_of(loaded), *stops]
    clock = Clock(turns, stop)
    streamer = Streamer(loaded.tokenizer, len(prompts), ends, said, clock.seconds)
    ids, mask = padded_left(prompts, pad_of(loaded), loaded.device)
    with torch.inference_mode():
        loaded.model.generate(
            input_ids=ids,
            attention_mask=mask,
            do_sample=False,
            max_new_tokens=options.max_new_tokens,
            logits_processor=processors(
                options, len(prompts), seeds, reserved_of(loaded.tokenizer)
            ),
            stopping_criteria=StoppingCriteriaList([clock]),
            streamer=streamer,
            pad_token_id=pad_of(loaded),
            eos_token_id=ends or None,
            **plain_generation(),
        )
    return streamer.rows(), clock.seconds()


RESERVED = re.compile(r"<unused\d+>|\[unused\d+\]|<\|reserved_special_token_\d+\|>")


def reserved_of(tokenizer: Any) -> list[int]:
    """Places kept free in a vocabulary: no training made them mean anything.

    A lightly tuned model may still write one, and a person would read ``<unused1479>``.
    """
    known = getattr(tokenizer, "_reserved", None)
    if known is None:
        vocabulary = tokenizer.get_vocab().items()
        known = sorted(number for text, number in vocabulary if RESERVED.fullmatch(text))
        tokenizer._reserved = known
    return list(known)


def ends_of(loaded: LoadedModel) -> list[int]:
    """The tokens at which the model itself ends a text."""
    ends = loaded.model.generation_config.eos_token_id or loaded.tokenizer.eos_token_id
    if ends is None:
        return []
    return list(ends) if isinstance(ends, (list, tuple)) else [int(ends)]


def pad_of(loaded: LoadedModel) -> int:
    """The token that fills a batch; it is masked, so that any will do."""
    pad, eos = loaded.tokenizer.pad_token_id, loaded.tokenizer.eos_token_id
    return int(pad if pad is not None else eos or 0)


def padded_left(prompts: Sequence[Sequence[int]], pad: int, where: Any) -> tuple[Any, Any]:
    """Rows of different lengths as one batch. Token ids and mask, int64 [rows, longest]."""
    import torch

    longest = max(map(len, prompts))
    ids = [[pad] * (longest - len(row)) + list(row) for row in prompts]
    mask = [[0] * (longest - len(row)) + [1] * len(row) for row in prompts]
    return torch.tensor(ids, device=where), torch.tensor(mask, device=where)


def plain_generation() -> dict[str, Any]:
    """Switch off whatever sampling the model's own generation_config.json asks for."""
    return {
        "temperature": None,
        "top_k": None,
        "top_p": None,
        "min_p": None,
        "repetition_penalty": 1.0,
        "num_beams": 1,
    }


def encode(loaded: LoadedModel, prompt: str, new_tokens: int, rendered: bool = False) -> list[int]:
    """The prompt as the tokenizer wants it.

    Args:
        rendered: by a chat template, which has written the special tokens itself.

    Raises:
        ContextTooLong: prompt and new tokens together are more than the model allows.
    """
    ids: list[int] = loaded.tokenizer(prompt, add_special_tokens=not rendered)["input_ids"]
    if not ids and loaded.prefix_token is not None:
        ids = [loaded.prefix_token]
    limit = loaded.context_limit
    if limit is not None and len(ids) + new_tokens > limit:
        raise ContextTooLong(
            context=len(ids) + new_tokens, model=loaded.reference.label, limit=limit
        )
    return list(ids)


class Streamer:
    """Collects tokens of all rows and says each row's text as it grows."""

    def __init__(
        self,
        tokenizer: Any,
        rows: int,
        stops: Sequence[int],
        said: Callable[[int, str], Any],
        now: Callable[[], float] = time.perf_counter,
    ) -> None:
        self.ended = [False] * rows
        self._texts = [GrowingText(tokenizer) for _ in range(rows)]
        self._times: list[list[float]] = [[] for _ in range(rows)]
        self._said, self._now = said, now
        self._special = {*stops, *tokenizer.all_special_ids}
        self._is_prompt = True

    def put(self, value: Any) -> None:
        """``generate`` hands over the prompt first, then one token a row."""
        if self._is_prompt:
            self._is_prompt = False
            return
        now = self._now()
        for row, token in enumerate(value.reshape(-1).tolist()):
            if self.ended[row]:
                continue
            self.ended[row] = token in self._special
            if not self.ended[row]:
                self._times[row].append(now)
                self._said(row, self._texts[row].add(token))

    def end(self) -> None:
        """``generate`` is done; a row that used up its tokens has ended too."""

    def rows(self) -> list[Row]:
        """What the rows have become."""
        return [
            Row(
                text.text,
                len(times),
                ended,
                times[0] if times else 0.0,
                times[-1] if times else 0.0,
            )
            for text, times, ended in zip(self._texts, self._times, self.ended, strict=True)
        ]


class GrowingText:
    """Tokens become text one by one, without decoding again what is settled.

    What a token adds is what the text of the last few tokens gains by it: some tokenizers
    drop a space at the beginning of what they decode, so at least one token before is decoded
    with it. A character whose bytes have not all come yet is held back.
    """

    MOST_HELD = 24
    """Tokens held back before they are taken for bytes that never become a character."""

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        self._window: list[int] = []
        self._settled = 0
        """Tokens at the head of the window that are in the text already."""
        self._before = ""
        """The text of those tokens."""
        self._text = ""

    def add(self, token: int) -> str:
        """All of the text so far."""
        self._window.append(token)
        now: str = self._tokenizer.decode(self._window, clean_up_tokenization_spaces=False)
        held = len(self._window) - self._settled
        if now.endswith("\ufffd") and held < self.MOST_HELD:
            return self.text
        self._text += now[len(self._before) :]
        self._window = self._window[self._settled :]
        self._settled = len(self._window)
        self._before = self._tokenizer.decode(self._window, clean_up_tokenization_spaces=False)
        return self.text

    @property
    def text(self) -> str:
        """What is known for certain."""
        return self._text.rstrip("\ufffd")


class Clock:
    """A stopping criterion that lets the other models have their turn, and keeps time."""

    def __init__(self, turns: Turns | None, stop: Stoppable) -> None:
        self._turns, self._stop = turns, stop
        self._worked = 0.0
        self._since = time.perf_counter()

    def __call__(self, input_ids: Any, _scores: Any, **_options: Any) -> Any:
        import torch

        self._worked += time.perf_counter() - self._since
        if self._turns is not None:
            self._turns.step()
        self._since = time.perf_counter()
        stop = self._stop.is_set()
        return torch.full((input_ids.shape[0],), stop, device=input_ids.device)

    def seconds(self) -> float:
        return self._worked + time.perf_counter() - self._since
