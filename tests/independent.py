"""The same numbers computed in the plainest way, to judge the fast one by.

Each token is scored on its own, in float64 over all logits, after the prefix token and
whatever lies to its left. Nothing of ``workbench.compare`` is used.
"""

from __future__ import annotations

from typing import Any

from workbench.models.loader import LoadedModel


def nll_of_each_token(
    loaded: LoadedModel, text: str, context: int = 10**9, stride: int = 1
) -> list[float]:
    """Nats of every token of one document."""
    import torch

    ids = loaded.tokenizer(text, add_special_tokens=False)["input_ids"]
    bos, eos = loaded.tokenizer.bos_token_id, loaded.tokenizer.eos_token_id
    prefix = eos if bos is None else bos
    found = []
    for at, token in enumerate(ids):
        left = ids[first_read(at, len(ids), context, stride) : at]
        with torch.inference_mode():
            logits = loaded.model(torch.tensor([[prefix, *left]])).logits[0, -1]
        found.append(-float(torch.log_softmax(logits.double(), 0)[token]))
    return found


def first_read(at: int, length: int, context: int, stride: int) -> int:
    """The leftmost token that the window scoring token ``at`` reads."""
    room = context - 1
    if at < room:
        return 0
    steps = (at - room) // stride + 1
    return max(0, min(room + steps * stride, length) - room)


def all_logits(loaded: LoadedModel, text: str) -> Any:
    """float64 [tokens, vocabulary]: what was expected in place of each token of a short text."""
    import torch

    ids = loaded.tokenizer(text, add_special_tokens=False)["input_ids"]
    bos, eos = loaded.tokenizer.bos_token_id, loaded.tokenizer.eos_token_id
    with torch.inference_mode():
        logits = loaded.model(torch.tensor([[eos if bos is None else bos, *ids]])).logits
    return logits[0, :-1].double()
