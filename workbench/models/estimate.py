"""How much memory a model will take, from its configuration alone.

The network is built on torch's meta device, where tensors have shapes and no
bytes, so the count of parameters is exact for any architecture transformers
knows. No weights are needed and nothing is downloaded but config.json.
"""

from __future__ import annotations

import functools
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workbench.errors import (
    ContextTooLong,
    DoesNotFit,
    FitsInPrecision,
    FitsNowhere,
    FitsShorter,
    LoadFailed,
    ModelNotFound,
    UnknownArchitecture,
)
from workbench.events import readable
from workbench.models import hub
from workbench.models.bundled import bundled
from workbench.models.check import check_config, read_config
from workbench.models.device import PRECISIONS, Precision, free_memory
from workbench.models.fetch import is_here, locate
from workbench.models.reference import ModelReference
from workbench.settings import Settings

ASSETS = Path(__file__).resolve().parents[2] / "assets" / "models"

# Bytes a weight of a quantized linear layer takes. NF4: 4 bits, an 8-bit scale for every
# 64 weights and a 32-bit one for every 64 * 256 (QLoRA, Dettmers et al. 2023, section 3).
LINEAR_BYTES = {"nf4": 0.5 + 1 / 64 + 4 / (64 * 256), "int8": 1.0, "bf16": 2.0, "fp32": 4.0}
OTHER_BYTES = {"nf4": 2, "int8": 2, "bf16": 2, "fp32": 4}
# Scoring holds one block of logits, [ROWS, COLUMNS] in the working type and in float32.
LOGIT_ROWS, LOGIT_COLUMNS = 1024, 4096
SHORT = 256
DEFAULT_CONTEXT = 1024


@dataclass(frozen=True)
class Shape:
    """What the estimate needs to know of an architecture."""

    linear: int
    """Parameters in linear layers that quantization replaces."""
    other: int
    """All other parameters: embeddings, norms, the output head."""
    cache_per_token: tuple[tuple[int, int], ...]
    """For each layer: elements kept a token, and the most tokens it keeps (0: all)."""
    width: int
    """The widest activation of a layer, in elements a token."""


@dataclass(frozen=True)
class MemoryEstimate:
    """Bytes, by what they are for."""

    weights: int
    cache: int
    workspace: int

    @property
    def total(self) -> int:
        return self.weights + self.cache + self.workspace


def estimate(
    config: dict[str, Any], precision: Precision, context: int = 1024, batch: int = 1
) -> MemoryEstimate:
    """Memory for one model with ``batch`` sequences of ``context`` tokens.

    Raises:
        LoadFailed: no network can be built from this configuration.
    """
    shape = shape_of(json.dumps(config, sort_keys=True))
    other = OTHER_BYTES[precision]
    kept = sum(
        size * (min(context, most) if most else context) for size, most in shape.cache_per_token
    )
    activations = 4 * shape.width * context * batch * other
    return MemoryEstimate(
        weights=int(shape.linear * LINEAR_BYTES[precision] + shape.other * other),
        cache=kept * batch * other,
        workspace=activations + LOGIT_ROWS * LOGIT_COLUMNS * (other + 4),
    )


def check_context(model: str, limit: int | None, context: int) -> None:
    """Raises ContextTooLong when the model says how much it reads, and this is more."""
    if limit and context > limit:
        raise ContextTooLong(context=context, model=model, limit=limit)


def check_fits(
    model: str, config: dict[str, Any], precision: Precision, context: int, budget: int
) -> MemoryEstimate:
    """The estimate, when it fits into ``budget`` bytes.

    Raises:
        DoesNotFit: it does not; the sentence says what would.
    """
    wanted = estimate(config, precision, context)
    if wanted.total <= budget:
        return wanted
    raise _refusal(model, config, precision, context, budget)


def _refusal(
    model: str, config: dict[str, Any], precision: Precision, context: int, budget: int
) -> DoesNotFit:
    """The refusal that names what would fit: a precision, a shorter context, a smaller model."""
    asked = {
        "model": model,
        "precision": precision,
        "needed": readable(estimate(config, precision, context).total),
        "available": readable(budget),
    }
    for smaller in reversed(PRECISIONS[: PRECISIONS.index(precision)]):
        if (size := estimate(config, smaller, context).total) <= budget:
            return FitsInPrecision(**asked, instead=smaller, less=readable(size))
    if (size := estimate(config, "nf4", SHORT).total) <= budget and context > SHORT:
        return FitsShorter(**asked, context=SHORT, less=readable(size))
    # A third on top of the weights for embeddings, which stay in bf16, and for the work.
    largest = budget / LINEAR_BYTES["nf4"] / 1.33 / 1e9
    return FitsNowhere(**asked, billions=f"{largest:.1f}")


def config_of(reference: ModelReference, settings: Settings) -> dict[str, Any]:
    """The configuration of a model, without its weights.

    Raises:
        ModelError, NoNetwork: there is no model there, or it is not one we load.
    """
    if reference.kind == "bundled":
        name = bundled(reference.name).name
        config: dict[str, Any] = json.loads((ASSETS / f"{name}.json").read_text())
    elif reference.kind == "hub":
        config = hub.config_of(reference, settings)
    elif reference.kind == "folder":
        if not reference.path.is_dir():
            raise ModelNotFound(model=str(reference.base))
        config = read_config(reference.path / "config.json", str(reference.base))
    elif is_here(reference, settings):  # converted before; its header is slow to read
        folder = locate(reference, settings).folder
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    else:
        config = _gguf_config(reference)
    check_config(config, str(reference.base), settings.trust_remote_code)
    return config


def available(settings: Settings, held: int = 0) -> int:
    """Bytes that one more model may take, ``held`` of them taken by models that could go."""
    free = int(0.8 * (free_memory() + held))
    if settings.memory_gb is None:
        return free
    return min(free, int(settings.memory_gb * 1e9))


def _gguf_config(reference: ModelReference) -> dict[str, Any]:
    from transformers import AutoConfig

    from workbench.models.convert import check_gguf

    if not reference.path.is_file():
        raise ModelNotFound(model=str(reference.base))
    check_gguf(reference.path, str(reference.base))
    try:
        config = AutoConfig.from_pretrained(
            reference.path.parent, gguf_file=reference.path.name, trust_remote_code=False
        )
    except (ValueError, NotImplementedError, KeyError) as error:
        reason = str(error)[:120]
        raise UnknownArchitecture(model=str(reference.base), architecture=reason) from error
    return dict(config.to_dict())


@functools.lru_cache(maxsize=64)
def shape_of(config_json: str) -> Shape:
    """Build the network without memory and count."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    raw = json.loads(config_json)
    try:
        config = AutoConfig.for_model(**raw)
        with torch.device("meta"):
            network = AutoModelForCausalLM.from_config(config, trust_remote_code=False)
    except Exception as error:  # a configuration from a stranger can fail in any way
        said = " ".join(str(error).split())[:100]
        reason = f"its config.json does not describe a network ({said})"
        raise LoadFailed(model=raw.get("model_type", "the model"), reason=reason) from error
    head = network.get_output_embeddings()
    linear = sum(
        module.weight.numel()
        for module in network.modules()
        if isinstance(module, torch.nn.Linear) and module is not head
    )
    everything = sum(parameter.numel() for parameter in set(network.parameters()))
    text = config.get_text_config()
    width = max(getattr(text, "intermediate_size", None) or 4 * text.hidden_size, text.hidden_size)
    return Shape(linear, everything - linear, _cache_sizes(text), width)


def _cache_sizes(config: Any) -> tuple[tuple[int, int], ...]:
    heads = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
    size = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    layers = config.num_hidden_layers
    kinds = getattr(config, "layer_types", None) or ["full_attention"] * layers
    window = getattr(config, "sliding_window", None) or 0
    return tuple((2 * heads * size, window if kind == "sliding_attention" else 0) for kind in kinds)
