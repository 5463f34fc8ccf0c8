"""Attention within rows that lie one after another in one sequence, without a mask of all pairs.

On a GPU torch's variable-length flash attention is told where rows begin; a mask would cost the
square of the whole sequence. Whatever comes without borders (evaluation, answers) is attended to
as transformers does. This module does not know what the rows are.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

NAME = "rows_in_a_row"
BORDERS = "cu_seq_lens_q"
"""The name that transformers hands borders down by to every attention layer."""
LONGEST = "max_length_q"
WIDEST_HEAD = 256
"""Flash attention knows no wider heads."""
AMPERE = (8, 0)
PROBE = 8
TOLERANCE = 0.05
"""Relative difference of logits, which bfloat16 and kernels for other shapes may cause."""


def borders(lengths: Sequence[int]) -> dict[str, Any]:
    """What a packed sequence hands down to attention. Borders: int32 [rows + 1], from 0.

    The mask of four dimensions is empty: transformers passes such a one on as it is, and
    attention that knows the borders does not look at it.
    """
    import torch

    ends = torch.tensor([0, *lengths]).cumsum(0).to(torch.int32)
    return {BORDERS: ends, LONGEST: max(lengths), "attention_mask": torch.zeros(1, 1, 1, 1)}


def use(model: Any) -> bool:
    """Let a model on a GPU attend by borders; False, and nothing changed, where it cannot.

    Not for models with capped attention scores or wide heads, which this kernel does not know,
    nor in float32, which it would round.
    """
    import torch
    from transformers import AttentionInterface, AttentionMaskInterface
    from transformers.masking_utils import sdpa_mask

    text = model.config.get_text_config()
    heads = getattr(text, "num_attention_heads", 0)
    width = getattr(text, "head_dim", None) or (text.hidden_size // heads if heads else 0)
    plain = getattr(text, "attn_logit_softcapping", None) is None
    known = model.config._attn_implementation == "sdpa" and plain and 0 < width <= WIDEST_HEAD
    if not known or model.device.type != "cuda" or model.dtype == torch.float32:
        return False
    if torch.cuda.get_device_capability(model.device) < AMPERE:
        return False
    AttentionInterface.register(NAME, _attend)
    AttentionMaskInterface.register(NAME, sdpa_mask)
    model.set_attn_implementation(NAME)
    if keeps_apart(model, **borders([PROBE, PROBE])):
        return True
    model.set_attn_implementation("sdpa")
    return False


def keeps_apart(model: Any, **told: Any) -> bool:
    """True if rows of one sequence do not see one another; a model with a memory mixes them.

    Args:
        told: what attention is told of the borders; nothing lets transformers mask.
    """
    import torch

    vocabulary = model.get_input_embeddings().weight.shape[0]
    first, second = ((torch.arange(PROBE) * step % vocabulary)[None] for step in (7919, 104_729))
    told["position_ids"] = torch.arange(PROBE).repeat(2)[None]
    told = {
        name: one.to(model.device) if torch.is_tensor(one) else one for name, one in told.items()
    }
    training = model.training
    model.eval()
    try:
        with torch.no_grad():
            alone = model(second.to(model.device), use_cache=False).logits.float()
            both = torch.cat([first, second], dim=1).to(model.device)
            after = model(both, use_cache=False, **told).logits.float()
        apart = (after[:, PROBE:] - alone).norm() / alone.norm()
        return bool(apart < TOLERANCE)
    except Exception:  # code of any architecture, run in a way it was not written for
        return False
    finally:
        model.train(training)


def _attend(
    module: Any, query: Any, key: Any, value: Any, attention_mask: Any, **more: Any
) -> tuple[Any, Any]:
    """As transformers' attention functions: [1, heads, L, width] in, [1, L, heads, width] out."""
    from transformers.integrations.sdpa_attention import sdpa_attention_forward

    ends = more.get(BORDERS)
    if ends is None:
        attended: tuple[Any, Any] = sdpa_attention_forward(
            module, query, key, value, attention_mask, **more
        )
        return attended
    from torch.nn.attention.varlen import varlen_attn

    window = more.get("sliding_window") or getattr(module, "sliding_window", None)
    rows = [part[0].transpose(0, 1).to(value.dtype) for part in (query, key, value)]
    if rows[0].shape[1] != rows[1].shape[1]:
        shared = rows[0].shape[1] // rows[1].shape[1]
        rows[1:] = [part.repeat_interleave(shared, dim=1) for part in rows[1:]]
    found = varlen_attn(
        *rows, ends, ends, more[LONGEST], more[LONGEST],
        scale=more.get("scaling"), window_size=(window - 1 if window else -1, 0),
    )  # fmt: skip
    return found[None], None
