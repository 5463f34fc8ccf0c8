"""What a model is like at one moment: held-out loss, what it forgets, how it answers.

The forgetting line is bits per character on three fixed texts that no tuning here is about:
English, written Chinese and code (``assets/tune``). This module does not know steps or runs.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workbench.errors import Stopped
from workbench.tune.encode import Encoded
from workbench.tune.head import IGNORED, Head

NEUTRAL = Path(__file__).resolve().parents[2] / "assets" / "tune"
KINDS = ("english", "written", "code")
WINDOW = 512
"""Tokens of one stretch of a neutral text, prefix included."""
BATCH_TOKENS = {"cpu": 2048, "cuda": 16384}
"""Tokens of one padded batch of held-out rows."""


@dataclass(frozen=True)
class Measured:
    """Sums over texts, from which the figures follow."""

    nats: float
    tokens: int
    characters: int

    @property
    def loss(self) -> float:
        """Nats a learned token; what trainers call the loss."""
        return self.nats / max(1, self.tokens)

    @property
    def bits_per_character(self) -> float:
        """NLL / ln 2 / characters of the learned words; end tokens count above, not below."""
        return self.nats / math.log(2) / max(1, self.characters)


def held_out(head: Head, rows: Sequence[Encoded], stop: threading.Event) -> Measured:
    """The loss on rows that are not learned from, the same ones at every evaluation.

    Raises:
        Stopped.
    """
    nats, tokens = 0.0, 0
    with _at_rest(head):
        for batch in _batches(rows, BATCH_TOKENS[head.device.type]):
            if stop.is_set():
                raise Stopped
            nll = head.nll(**padded(batch, head.device)).double()
            nats += float(nll.sum())
            tokens += len(nll)
    return Measured(nats, tokens, sum(row.characters for row in rows))


def forgetting(
    head: Head, tokenizer: Any, limit: int | None, stop: threading.Event
) -> dict[str, float]:
    """Bits per character on the neutral texts: rising means that something is being forgotten.

    Args:
        limit: the most tokens the model was made for; None when it does not say.

    Raises:
        Stopped.
    """
    found = {}
    with _at_rest(head):
        for kind in KINDS:
            text = (NEUTRAL / f"{kind}.txt").read_text("utf-8").strip()
            nats = 0.0
            for window in _windows(text, tokenizer, min(WINDOW, limit or WINDOW)):
                if stop.is_set():
                    raise Stopped
                nats += float(head.nll(**padded([window], head.device)).double().sum())
            found[kind] = nats / math.log(2) / len(text)
    return found


def answers(
    model: Any,
    tokenizer: Any,
    prompts: Sequence[str],
    most_tokens: int,
    stops: Sequence[int],
    stop: threading.Event,
) -> list[str]:
    """What the model says to each prompt, taking the likeliest token every time.

    Args:
        tokenizer: with the chat template that the run trains in.
        stops: tokens at which an answer ends.

    Raises:
        Stopped, BadTemplate.
    """
    from transformers import StoppingCriteria, StoppingCriteriaList

    from workbench.models.decoding import reserved_of
    from workbench.models.sampling import SamplingOptions, processors
    from workbench.models.tokenizer import rendered

    class Pressed(StoppingCriteria):  # type: ignore[misc]
        def __call__(self, _ids: Any, _scores: Any, **_options: Any) -> Any:
            return stop.is_set()

    if not prompts:
        return []
    greedy = SamplingOptions(temperature=0, repetition_penalty=1)
    asked = [
        rendered(tokenizer, [{"role": "user", "content": prompt}], add_generation_prompt=True)
        for prompt in prompts
    ]
    ids = tokenizer(asked, add_special_tokens=False)["input_ids"]
    batch = _padded_left(ids, stops[0], model.device)
    with _quiet(model):
        said = model.generate(
            **batch,
            max_new_tokens=most_tokens,
            do_sample=False,
            eos_token_id=list(stops),
            pad_token_id=stops[0],
            stopping_criteria=StoppingCriteriaList([Pressed()]),
            logits_processor=processors(greedy, never=reserved_of(tokenizer)),
        )
    if stop.is_set():
        raise Stopped
    fresh = said[:, batch["input_ids"].shape[1] :]
    said = tokenizer.batch_decode(fresh, skip_special_tokens=True)
    return [text.rstrip("\ufffd").strip() for text in said]  # cut within a character


def padded(rows: Sequence[Encoded], device: Any) -> dict[str, Any]:
    """Rows as one batch, padded on the right: ids, labels, attention_mask, int64 [B, L] each."""
    import torch

    longest = max(len(row.ids) for row in rows)
    ids = torch.zeros((len(rows), longest), dtype=torch.long)
    labels = torch.full_like(ids, IGNORED)
    mask = torch.zeros_like(ids)
    for at, row in enumerate(rows):
        ids[at, : len(row.ids)] = torch.tensor(row.ids)
        labels[at, : len(row.ids)] = torch.tensor(row.labels)
        mask[at, : len(row.ids)] = 1
    batch = {"ids": ids, "labels": labels, "attention_mask": mask}
    return {name: tensor.to(device) for name, tensor in batch.items()}


def _batches(rows: Sequence[Encoded], most: int) -> Iterator[list[Encoded]]:
    """Rows of like length together, at most ``most`` tokens with their padding."""
    batch: list[Encoded] = []
    for row in sorted(rows, key=lambda row: -len(row.ids)):
        if batch and len(batch[0].ids) * (len(batch) + 1) > most:
            yield batch
            batch = []
        batch.append(row)
    if batch:
        yield batch


def _windows(text: str, tokenizer: Any, length: int) -> Iterator[Encoded]:
    """A text in stretches, each after the model's own prefix token, which is not scored."""
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    bos, eos = tokenizer.bos_token_id, tokenizer.eos_token_id
    prefix = [token for token in (bos if bos is not None else eos,) if token is not None]
    room = length - len(prefix)
    for at in range(0, len(ids), room):
        part = ids[at : at + room]
        mask = [False] * len(prefix) + [True] * len(part)
        yield Encoded([*prefix, *part], mask, ["text"] * len(mask), 0, cut=False)


def _padded_left(ids: list[list[int]], filler: int, device: Any) -> dict[str, Any]:
    import torch

    longest = max(map(len, ids))
    rows = [[filler] * (longest - len(row)) + row for row in ids]
    mask = [[0] * (longest - len(row)) + [1] * len(row) for row in ids]
    made = {"input_ids": torch.tensor(rows), "attention_mask": torch.tensor(mask)}
    return {name: tensor.to(device) for name, tensor in made.items()}


class _at_rest:
    """Without dropout and without gradients; as it was before, afterwards."""

    def __init__(self, head: Head) -> None:
        import torch

        self._network = head.network
        self._training = head.network.training
        self._gradients = torch.no_grad()

    def __enter__(self) -> None:
        self._network.eval()
        self._gradients.__enter__()

    def __exit__(self, *error: Any) -> None:
        self._gradients.__exit__(*error)
        self._network.train(self._training)


class _quiet:
    """At rest, and with the cache that decoding needs and training must not have."""

    def __init__(self, model: Any) -> None:
        import torch

        self._model, self._training = model, model.training
        self._cache = model.config.use_cache
        self._gradients = torch.no_grad()

    def __enter__(self) -> None:
        self._model.eval()
        self._model.config.use_cache = True
        self._gradients.__enter__()

    def __exit__(self, *error: Any) -> None:
        self._gradients.__exit__(*error)
        self._model.config.use_cache = self._cache
        self._model.train(self._training)
