"""How likely a model holds continuations: batched, longest first, a shared context read once.

Where several continuations follow one context, the context is read once and its keys and
values are used for all; whether that gives what reading everything gives is checked on the
model itself, and one that differs is read whole. Knows tokens; not questions.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from workbench.compare.scoring import Scorer
from workbench.errors import ContextTooLong, NoPrefixToken, OutOfMemory, Stopped
from workbench.models.decoding import Stoppable, pad_of, padded_left
from workbench.models.device import is_out_of_memory
from workbench.models.loader import LoadedModel

# Tokens of one batch: less than perplexity takes, so that Stop is heard within a second.
BATCH_TOKENS = {"cpu": 1024, "cuda": 16384}
SAME = {"fp32": 1e-3}
SAME_ROUNDED = 0.5
"""Nats a token by which the two ways may differ; bf16 rounds both, a wrong way is far off."""


@dataclass(frozen=True)
class Continued:
    """Token ids of what is read and of what is scored after it, neither empty."""

    context: tuple[int, ...]
    scored: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.context) + len(self.scored)


def after(loaded: LoadedModel, context: str, continuation: str) -> Continued:
    """A continuation as lm-evaluation-harness takes it (``_encode_pair``).

    Spaces at the end of the context go to the continuation; both together are cut into tokens,
    and what lies beyond the context's own number of tokens is scored. Special tokens are those
    that the tokenizer adds by itself.
    """
    bare = context.rstrip()
    continuation, context = context[len(bare) :] + continuation, bare
    read, whole = _ids(loaded, context), _ids(loaded, context + continuation)
    if not read:
        return _cut(loaded, (_prefix(loaded),), whole)
    if len(whole) <= len(read):  # the option melted into the context's last token
        read = whole[:-1] or [_prefix(loaded)]
        whole = [*read, whole[-1]]
    return _cut(loaded, tuple(read), whole[len(read) :])


def alone(loaded: LoadedModel, text: str) -> Continued:
    """A whole text after the model's prefix token."""
    ids = loaded.tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]
    return _cut(loaded, (_prefix(loaded),), ids)


def _prefix(loaded: LoadedModel) -> int:
    if loaded.prefix_token is None:
        raise NoPrefixToken(model=loaded.reference.label)
    return loaded.prefix_token


def _ids(loaded: LoadedModel, text: str) -> list[int]:
    begin = loaded.tokenizer.bos_token
    own = {"add_special_tokens": False} if begin and text.startswith(begin) else {}
    return list(loaded.tokenizer.encode(text, **own))


def _cut(loaded: LoadedModel, context: tuple[int, ...], scored: Sequence[int]) -> Continued:
    """Within what the model can read; a long context loses its beginning."""
    limit = loaded.context_limit
    room = limit + 1 - len(scored) if limit else len(context)
    if room < 1:
        raise ContextTooLong(context=len(scored) + 1, model=loaded.reference.label, limit=limit)
    return Continued(context[-room:], tuple(scored))


class Judge:
    """Scores continuations under one loaded model, whose lock the caller holds."""

    def __init__(self, loaded: LoadedModel) -> None:
        self.tokens = 0
        """Scored so far."""
        self._loaded = loaded
        try:
            self._scorer = Scorer(loaded)
        except (RuntimeError, MemoryError) as error:
            raise self._explained(error) from error
        self._reuses: bool | None = None if self._scorer.split else False

    @property
    def reuses(self) -> bool | None:
        """Whether shared contexts are read once; None as long as it was not tried."""
        return self._reuses

    def score(
        self, asked: Iterable[Continued], stop: Stoppable
    ) -> Generator[int, None, dict[Continued, tuple[float, ...]]]:
        """The log-probability of every scored token, nats; yields how many are done.

        Raises:
            Stopped, OutOfMemory.
        """
        found: dict[Continued, tuple[float, ...]] = {}
        waiting = list(_batches(set(asked), BATCH_TOKENS[self._loaded.device]))[::-1]
        while waiting:
            if stop.is_set():
                raise Stopped
            batch = waiting.pop()
            try:
                found |= self._batch(batch)
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error) or len(batch) == 1:
                    raise self._explained(error) from error
                half = len(batch) // 2
                waiting += [batch[half:], batch[:half]]
                continue
            self.tokens += sum(len(one.scored) for one in batch)
            yield len(found)
        return found

    def _explained(self, error: Exception) -> Exception:
        if is_out_of_memory(error):
            return OutOfMemory(model=self._loaded.reference.label)
        return error

    def _batch(self, batch: list[Continued]) -> dict[Continued, tuple[float, ...]]:
        shared = len({one.context for one in batch}) < len(batch)
        if not shared or self._reuses is False:
            return self._whole(batch)
        if self._reuses is None:
            self._reuses = self._is_safe(batch)
            return self._batch(batch)
        return self._reusing(batch)

    def _is_safe(self, batch: list[Continued]) -> bool:
        """Both ways must give the same, on the longest of what is asked."""
        some = batch[:4]
        whole = self._whole(some)
        try:
            reused = self._reusing(some)
        except (TypeError, ValueError, AttributeError, NotImplementedError, RuntimeError) as error:
            if is_out_of_memory(error):
                raise
            return False
        bound = SAME.get(self._loaded.precision, SAME_ROUNDED)
        gaps = (abs(a - b) for one in some for a, b in zip(whole[one], reused[one], strict=True))
        return all(gap <= bound for gap in gaps)

    def _whole(self, batch: list[Continued]) -> dict[Continued, tuple[float, ...]]:
        """Context and continuation in one row, padded on the right."""
        import torch

        longest = max(map(len, batch)) - 1
        ids = torch.full((len(batch), longest), pad_of(self._loaded))
        rows: list[int] = []
        columns: list[int] = []
        for row, one in enumerate(batch):
            ids[row, : len(one) - 1] = torch.tensor([*one.context, *one.scored[:-1]])
            rows += [row] * len(one.scored)
            columns += range(len(one.context) - 1, len(one) - 1)
        places = (torch.tensor(rows), torch.tensor(columns))
        targets = torch.tensor([token for one in batch for token in one.scored])
        return _shared_out(batch, self._scorer.score(ids, places, targets).nll)

    def _reusing(self, batch: list[Continued]) -> dict[Continued, tuple[float, ...]]:
        """Every context once, padded on the left; then all continuations from its cache."""
        import torch

        where = self._loaded.device
        contexts = list(dict.fromkeys(one.context for one in batch))
        at = {context: row for row, context in enumerate(contexts)}
        owner = torch.tensor([at[one.context] for one in batch], device=where)
        ids, mask = padded_left(contexts, pad_of(self._loaded), where)
        with torch.inference_mode():
            read = self._scorer.read(
                ids, attention_mask=mask, position_ids=(mask.cumsum(1) - 1).clamp(min=0)
            )
            hidden = read.last_hidden_state[:, -1][owner][:, None]
            width = max(len(one.scored) for one in batch) - 1
            if width:
                hidden = torch.cat([hidden, self._continued(batch, read, owner, mask, width)], 1)
            kept = torch.tensor(
                [[at < len(one.scored) for at in range(width + 1)] for one in batch], device=where
            )
            targets = torch.tensor([token for one in batch for token in one.scored])
            return _shared_out(batch, self._scorer.apply_head(hidden[kept], targets).nll)

    def _continued(
        self, batch: list[Continued], read: Any, owner: Any, mask: Any, width: int
    ) -> Any:
        """Hidden states [rows, width, H] of all continuations but their last tokens."""
        import torch

        cache = read.past_key_values
        cache.batch_select_indices(owner)
        pad = pad_of(self._loaded)
        rows = [[*one.scored[:-1]] + [pad] * (width + 1 - len(one.scored)) for one in batch]
        ids = torch.tensor(rows, device=owner.device)
        begin = mask.sum(1)[owner]
        steps = torch.arange(width, device=owner.device)
        return self._scorer.read(
            ids,
            attention_mask=torch.cat([mask[owner], torch.ones_like(ids)], 1),
            position_ids=begin[:, None] + steps,
            past_key_values=cache,
        ).last_hidden_state


def _shared_out(batch: list[Continued], nll: Any) -> dict[Continued, tuple[float, ...]]:
    parts = nll.split([len(one.scored) for one in batch])
    return {one: tuple((-part).tolist()) for one, part in zip(batch, parts, strict=True)}


def _batches(asked: set[Continued], most: int) -> Iterable[list[Continued]]:
    """Longest contexts first, those of one context together; ``most`` padded tokens a batch."""
    batch: list[Continued] = []
    for one in sorted(asked, key=lambda one: (-len(one.context), one.context, -len(one.scored))):
        contexts = {each.context for each in batch} | {one.context}
        width = max(len(each.scored) for each in [*batch, one])
        size = len(contexts) * len((batch or [one])[0].context) + (len(batch) + 1) * width
        if batch and size > most:
            yield batch
            batch = []
        batch.append(one)
    if batch:
        yield batch
