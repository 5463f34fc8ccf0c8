"""The loss of the learned tokens, without ever holding all logits, forwards and backwards.

The network's body runs over the batch; its output head is then applied to the learned
positions only, in blocks of the vocabulary (as in Cut Your Losses, Wijmans et al. 2024, here
without a kernel): one pass for the log-sum-exp, and when a gradient is wanted a second one for
softmax minus one-hot, times the weights. The head is frozen, so that is all the gradient there
is. Knows tensors; does not know rows, steps or runs.
"""

from __future__ import annotations

import contextlib
import functools
from typing import Any

ROWS = 1024
COLUMNS = {"cpu": 4096, "cuda": 32768}
"""One block of logits: small enough for a CPU's cache, large enough for a GPU."""
PROBE_LENGTH = 8
TOLERANCE = 0.02
IGNORED = -100


class Head:
    """The body and the head of a causal model, perhaps with a LoRA adapter inside."""

    def __init__(self, model: Any, autocast: bool = False) -> None:
        """Take a model apart.

        Args:
            model: a transformers model, or a PEFT model around one.
            autocast: compute in bfloat16 whatever the adapter's weights are.
        """
        adapted = hasattr(model, "peft_config") and hasattr(model, "get_base_model")
        self.network = model.get_base_model() if adapted else model
        text = self.network.config.get_text_config()
        self.cap = getattr(text, "final_logit_softcapping", None)
        self.device = self.network.get_input_embeddings().weight.device
        self._autocast = autocast
        self.split = self._can_split() and self._agrees()

    def nll(self, ids: Any, labels: Any, **inputs: Any) -> Any:
        """Negative log-likelihood of every learned token, in nats.

        Args:
            ids: int64 [B, L].
            labels: int64 [B, L], as the ids, ``IGNORED`` where nothing is learned. They are
                shifted here: position t predicts label t + 1.
            inputs: attention_mask or position_ids, as the body takes them.

        Returns:
            float32 [N], in the order of the batch; differentiable in the adapter.
        """
        targets = labels[:, 1:]
        learned = targets != IGNORED
        with self._precision():
            if self.split:
                hidden = self.network.base_model(ids, use_cache=False, **inputs).last_hidden_state
                hidden = hidden[:, :-1][learned]
            else:
                logits = self.network(ids, use_cache=False, **inputs).logits[:, :-1][learned]
        if self.split:
            return self._blockwise(hidden, targets[learned])
        from torch.nn.functional import cross_entropy

        return cross_entropy(logits.float(), targets[learned], reduction="none")

    def _blockwise(self, hidden: Any, targets: Any) -> Any:
        import torch

        head = self.network.get_output_embeddings()
        columns = COLUMNS[hidden.device.type]
        function = _function()
        parts = [
            function.apply(
                rows.to(head.weight.dtype), head.weight, head.bias, at, self.cap, columns
            )
            for rows, at in zip(hidden.split(ROWS), targets.split(ROWS), strict=True)
        ]
        return torch.cat(parts) if parts else hidden.float().sum(-1)

    def _precision(self) -> Any:
        import torch

        if not self._autocast:
            return contextlib.nullcontext()
        return torch.autocast(self.device.type, torch.bfloat16)

    def _can_split(self) -> bool:
        """A plain frozen head, and no scaling of logits that we do not know."""
        import torch

        head = self.network.get_output_embeddings()
        if type(head) is not torch.nn.Linear or head.weight.requires_grad:
            return False
        return bool(head.weight.is_floating_point() and head.weight.device == self.device)

    def _agrees(self) -> bool:
        """Taken apart, the model must say what it says whole; some scale their logits."""
        import torch

        vocabulary = self.network.get_input_embeddings().weight.shape[0]
        ids = (torch.arange(PROBE_LENGTH) * 7919 % vocabulary)[None].to(self.device)
        training = self.network.training
        self.network.eval()
        try:
            with torch.no_grad(), self._precision():
                logits = self.network(ids, use_cache=False).logits[0, :-1].float()
                output = self.network.base_model(ids, use_cache=False)
            hidden = getattr(output, "last_hidden_state", None)
            if hidden is None or hidden.shape[1] != PROBE_LENGTH:
                return False
            with torch.no_grad():
                apart = self._blockwise(hidden[0, :-1], ids[0, 1:])
            whole = torch.nn.functional.cross_entropy(logits, ids[0, 1:], reduction="none")
        finally:
            self.network.train(training)
        return bool((apart - whole).abs().max() <= TOLERANCE * whole.abs().max())


@functools.cache
def _function() -> Any:
    """The autograd function, made when torch is there."""
    import torch

    class Likelihood(torch.autograd.Function):
        """hidden [N, H], weight [V, H], targets [N] -> nll float32 [N]."""

        @staticmethod
        def forward(
            ctx: Any, hidden: Any, weight: Any, bias: Any, targets: Any, cap: Any, columns: int
        ) -> Any:
            blocks = _Blocks(hidden, weight, bias, cap, columns)
            total, wanted = blocks.sums(targets)
            if ctx.needs_input_grad[0]:
                ctx.save_for_backward(blocks.gradient(targets, total))
            return total - wanted

        @staticmethod
        def backward(ctx: Any, *above: Any) -> Any:
            (gradient,) = ctx.saved_tensors
            scaled = gradient * above[0][:, None].to(gradient.dtype)
            return scaled, None, None, None, None, None

    return Likelihood


class _Blocks:
    """Logits of a few rows, block by block; one pair of buffers for all blocks."""

    def __init__(self, hidden: Any, weight: Any, bias: Any, cap: Any, columns: int) -> None:
        import torch

        self.hidden, self.weight, self.bias, self.cap = hidden, weight, bias, cap
        self.columns = min(columns, weight.shape[0])
        self.products = hidden.new_empty((len(hidden), self.columns))
        self.buffer = torch.empty_like(self.products, dtype=torch.float32)

    def _each(self) -> Any:
        """Yield (first column, weights [C, H], float32 logits [N, C] that may be overwritten)."""
        import torch

        for start in range(0, self.weight.shape[0], self.columns):
            part = self.weight[start : start + self.columns]
            product, logits = self.products[:, : len(part)], self.buffer[:, : len(part)]
            if self.bias is None:
                torch.mm(self.hidden, part.T, out=product)
            else:
                torch.addmm(self.bias[start : start + len(part)], self.hidden, part.T, out=product)
            logits.copy_(product)
            if self.cap:
                logits.div_(self.cap).tanh_().mul_(self.cap)
            yield start, part, logits

    def sums(self, targets: Any) -> tuple[Any, Any]:
        """The log-sum-exp of each row and the logit of its target. float32 [N] each."""
        import torch

        wanted = torch.zeros(len(targets), dtype=torch.float32, device=targets.device)
        total = torch.full_like(wanted, -torch.inf)
        for start, part, logits in self._each():
            at = targets - start
            inside = (at >= 0) & (at < len(part))
            found = logits.gather(1, at.clamp(0, len(part) - 1)[:, None])[:, 0]
            wanted = torch.where(inside, found, wanted)
            peak = logits.amax(1, keepdim=True).clamp_(min=torch.finfo(logits.dtype).min)
            here = logits.sub_(peak).exp_().sum(1).log_().add_(peak[:, 0])
            torch.logaddexp(total, here, out=total)
        return total, wanted

    def gradient(self, targets: Any, total: Any) -> Any:
        """d nll / d hidden for each row: (softmax - one-hot) times the weights. [N, H]."""
        import torch

        whole = torch.zeros(self.hidden.shape, dtype=torch.float32, device=self.hidden.device)
        for start, part, logits in self._each():
            slope = 1 - (logits / self.cap).square() if self.cap else None
            logits.sub_(total[:, None]).exp_()
            at = targets - start
            inside = ((at >= 0) & (at < len(part))).float()
            logits.scatter_add_(1, at.clamp(0, len(part) - 1)[:, None], -inside[:, None])
            if slope is not None:
                logits.mul_(slope)
            whole += self.products[:, : len(part)].copy_(logits) @ part
        return whole.to(self.hidden.dtype)
