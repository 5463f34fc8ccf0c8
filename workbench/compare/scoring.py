"""The negative log-likelihood of chosen tokens, without ever holding all logits.

The network's body runs once over a batch; its output head is then applied to the
scored positions only, in blocks of the vocabulary, keeping a running log-sum-exp
(as in Cut Your Losses, Wijmans et al. 2024, here without a kernel). Knows tensors;
does not know texts, windows or results.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from workbench.models.loader import LoadedModel

# Rows and columns of one block of logits: small enough for a CPU's cache, large for a GPU.
BLOCK = {"cpu": (1024, 4096), "cuda": (4096, 32768)}
PROBE_LENGTH = 8
TOLERANCE = 0.01


@dataclass(frozen=True)
class Scores:
    """For N scored positions, all on the CPU."""

    nll: Any
    """float64 [N], nats."""
    best_tokens: Any = None
    """int64 [N, K], what the model held most likely, best first."""
    best_nll: Any = None
    """float64 [N, K], nats."""


class Scorer:
    """Scores positions under one loaded model."""

    def __init__(self, loaded: LoadedModel) -> None:
        self._model = loaded.model
        network = loaded.model.get_base_model() if _is_adapted(loaded.model) else loaded.model
        self._body = network.base_model
        self._head = network.get_output_embeddings()
        self._shape = _logit_shape(network.config.get_text_config())
        self._rows, self._columns = BLOCK[loaded.device]
        self._device = loaded.device
        self.split = self._head is not None and self._agrees()

    def score(self, ids: Any, positions: Any, targets: Any, top: int = 0) -> Scores:
        """Score ``targets`` as what follows ``positions``.

        Args:
            ids: int64 [B, L], padded on the right with any token: a causal model does not
                look ahead, so padding changes nothing before it.
            positions: (rows, columns), two int64 [N], of the inputs whose next token is scored.
            targets: int64 [N].
            top: how many of the likeliest tokens to return as well.
        """
        import torch

        with torch.inference_mode():
            if self.split:
                hidden = self._body(ids.to(self._device), use_cache=False).last_hidden_state
                return self.apply_head(hidden[positions[0], positions[1]], targets, top)
            logits = self._model(ids.to(self._device), use_cache=False).logits
            chosen = logits[positions[0], positions[1]]
            parts = [_whole(chosen, targets.to(self._device), top)]
            return Scores(*(_joined(part) for part in zip(*parts, strict=True)))

    def read(self, ids: Any, **options: Any) -> Any:
        """The body's output for ids [B, L], its cache with it; only of a model that is split."""
        return self._body(ids, use_cache=True, **options)

    def apply_head(self, hidden: Any, targets: Any, top: int = 0) -> Scores:
        """Score ``targets`` [N] from the hidden states [N, H] that come just before them."""
        import torch

        with torch.inference_mode():
            parts = [
                self._blockwise(hidden[row : row + self._rows], at, top)
                for row, at in _chunks(targets.to(self._device), self._rows)
            ]
            return Scores(*(_joined(part) for part in zip(*parts, strict=True)))

    def _blockwise(self, hidden: Any, targets: Any, top: int) -> tuple[Any, Any, Any]:
        """hidden [R, H], targets [R] -> nll [R], best tokens [R, K], their nll [R, K]."""
        import torch

        wanted = torch.zeros(len(targets), dtype=torch.float32, device=hidden.device)
        total = torch.full_like(wanted, -torch.inf, dtype=torch.float64)
        best = (hidden.new_empty((len(targets), 0), dtype=torch.float32), targets.new_empty(0))
        for start, logits in self._blocks(hidden):
            inside = (targets >= start) & (targets < start + logits.shape[1])
            wanted[inside] = logits[inside, targets[inside] - start]
            if top:
                best = _merge(best, logits, start, top)
            torch.logaddexp(total, _log_sum(logits).double(), out=total)
        nll = total - wanted.double()
        if not top:
            return nll, None, None
        return nll, best[1], total[:, None] - best[0].double()

    def _blocks(self, hidden: Any) -> Any:
        """Yield (first column, float32 logits [R, C]); each block overwrites the one before.

        One pair of buffers for all blocks: a fresh pair for each would be scattered over
        the heap, and paged in again and again.
        """
        import torch

        if type(self._head) is not torch.nn.Linear:
            yield 0, self._shape(self._head(hidden).float())
            return
        weight, bias = self._head.weight, self._head.bias
        columns = min(self._columns, weight.shape[0])
        products = hidden.new_empty((len(hidden), columns))
        buffer = torch.empty_like(products, dtype=torch.float32)
        for start in range(0, weight.shape[0], columns):
            part = weight[start : start + columns].T
            product, logits = products[:, : part.shape[1]], buffer[:, : part.shape[1]]
            if bias is None:
                torch.mm(hidden, part, out=product)
            else:
                torch.addmm(bias[start : start + columns], hidden, part, out=product)
            yield start, self._shape(logits.copy_(product))

    def _agrees(self) -> bool:
        """Body and head, taken apart, must give what the whole model gives."""
        import torch

        vocabulary = self._model.get_input_embeddings().weight.shape[0]
        ids = (torch.arange(PROBE_LENGTH) * 7919 % vocabulary)[None].to(self._device)
        with torch.inference_mode():
            whole = self._model(ids, use_cache=False).logits[0].float()
            output = self._body(ids, use_cache=False)
            hidden = getattr(output, "last_hidden_state", None)
            if hidden is None or hidden.shape[1] != PROBE_LENGTH:
                return False
            apart = torch.cat([logits.clone() for _, logits in self._blocks(hidden[0])], 1)
        same_shape = apart.shape == whole.shape
        return bool(same_shape and (apart - whole).abs().max() < TOLERANCE * whole.abs().max())


def _is_adapted(model: Any) -> bool:
    return hasattr(model, "peft_config") and hasattr(model, "get_base_model")


def _logit_shape(config: Any) -> Callable[[Any], Any]:
    """What some architectures do to the logits after the head."""
    cap = getattr(config, "final_logit_softcapping", None)
    scale = getattr(config, "logit_scale", None) or 1 / (getattr(config, "logits_scaling", 0) or 1)
    if cap:
        return lambda logits: logits.mul_(scale / cap).tanh_().mul_(cap)
    return (lambda logits: logits) if scale == 1 else (lambda logits: logits.mul_(scale))


def _log_sum(logits: Any) -> Any:
    """The log-sum-exp of each row, worked out in place: the logits are gone afterwards."""
    import torch

    peak = logits.amax(1, keepdim=True).clamp_(min=torch.finfo(logits.dtype).min)
    return logits.sub_(peak).exp_().sum(1).log_().add_(peak[:, 0])


def _merge(best: tuple[Any, Any], logits: Any, start: int, top: int) -> tuple[Any, Any]:
    """Keep the ``top`` largest of those kept so far and a new block."""
    import torch

    values, places = logits.topk(min(top, logits.shape[1]), dim=1)
    if best[0].shape[1]:
        values = torch.cat([best[0], values], 1)
        tokens = torch.cat([best[1], places + start], 1)
    else:
        tokens = places + start
    values, order = values.topk(min(top, values.shape[1]), dim=1)
    return values, tokens.gather(1, order)


def _whole(logits: Any, targets: Any, top: int) -> tuple[Any, Any, Any]:
    import torch

    total = torch.logsumexp(logits.float(), 1).double()
    nll = total - logits.float().gather(1, targets[:, None])[:, 0].double()
    if not top:
        return nll, None, None
    values, tokens = logits.float().topk(top, dim=1)
    return nll, tokens, total[:, None] - values.double()


def _chunks(targets: Any, rows: int) -> list[tuple[int, Any]]:
    return [(row, targets[row : row + rows]) for row in range(0, len(targets), rows)]


def _joined(parts: tuple[Any, ...]) -> Any:
    import torch

    return None if parts[0] is None else torch.cat(parts).cpu()
