"""How much memory a run will take, before anything is loaded, and the largest batch that fits.

What training keeps between going forwards and backwards is not guessed: the network is built
from its configuration with tensors that have shapes and no bytes, an adapter is put in, one
forward pass is made, and what autograd would keep is counted. No weights are needed. This
module does not know rows, nor how a run is started.
"""

from __future__ import annotations

import functools
import json
from dataclasses import dataclass
from typing import Any

from workbench.errors import DoesNotFit, FitsInPrecision, FitsNowhere, FitsShorter
from workbench.events import readable
from workbench.models.device import PRECISIONS, Precision, default_precision, device
from workbench.models.estimate import LINEAR_BYTES, OTHER_BYTES, shape_of
from workbench.tune.recipe import TuneRecipe

PROGRAM = {"cpu": 700_000_000, "cuda": 500_000_000}
"""Bytes of Python and its libraries, measured; of a CUDA context on a GPU, assumed."""
OPTIMIZER_BYTES = {"adamw": 8, "paged_adamw_8bit": 2}
"""Two moments of every weight of the adapter, in float32 or in 8 bits."""
LOGITS = {"cpu": 1024 * 4096 * 6, "cuda": 1024 * 32768 * 6}
"""One block of logits and its float32 copy; all of them never exist at once."""
HEAP = {"cpu": 1.8, "cuda": 1.1}
"""What the allocator takes for a byte that is kept: on a CPU, glibc's heap has holes where
tensors of other sizes were. 1.7 to 1.8 was measured with both bundled models; that of a GPU is
assumed."""
ENOUGH_TOKENS = {"cpu": 1024, "cuda": 8192}
"""A micro-batch has no more tokens than this unless asked. On a CPU 256, 1024 and 2048 tokens
took about the same time a token, and memory in proportion; on an H200 a 7B in NF4 was 1.2 times
as fast with 16,384 as with 4,096, and took 1.7 times the memory."""
EASILY = 0.25
"""On a GPU activations are kept, unless the recipe says otherwise, when the whole micro-batch
then fits into this share of what is free: a 7B on an H200 was a quarter faster so, in five
times the memory."""
SHORTER = 256
GUESSED_BYTES = 6
"""Kept for each input and output of a linear layer and token, when the pass cannot be made.
5.4 was counted for Gemma 3 in bf16 with dropout."""


@dataclass(frozen=True)
class TuneEstimate:
    """Bytes, by what they are for, of a run with this micro-batch and length."""

    micro_batch: int
    length: int
    """Tokens of the longest row."""
    recompute: bool
    """True if activations are computed again going backwards instead of being kept."""
    weights: int
    adapter: int
    gradients: int
    optimizer: int
    activations: int
    logits: int
    program: int

    @property
    def total(self) -> int:
        parts = (self.weights, self.adapter, self.gradients, self.optimizer)
        return sum(parts) + self.activations + self.logits + self.program


def precision_of(recipe: TuneRecipe) -> Precision:
    """What ``auto`` means on this machine: NF4 on a GPU, bf16 on a CPU."""
    return default_precision() if recipe.precision == "auto" else recipe.precision


def estimate(
    recipe: TuneRecipe,
    config: dict[str, Any],
    micro_batch: int,
    length: int,
    recompute: bool = False,
    precision: Precision | None = None,
) -> TuneEstimate:
    """Memory of a run, from the configuration alone.

    Args:
        config: of the base, as ``models.estimate.config_of`` gives it.
        micro_batch: rows that go through the model at once.
        length: tokens of the longest of them, which the others are padded to.
        precision: instead of the recipe's.

    Raises:
        LoadFailed: no network can be built from this configuration.
    """
    precision, place = precision or precision_of(recipe), device()
    shape = shape_of(json.dumps(config, sort_keys=True))
    trace = counted(recipe, config, precision, length)
    kept = trace.kept(micro_batch)
    if recompute:
        kept = trace.inputs * micro_batch + kept // max(1, trace.layers)
    # the widest layer's gradient, its input and one more are there at once going backwards
    passing = 3 * 4 * shape.width * micro_batch * length
    optimizer = recipe.optimizer
    if optimizer == "auto":
        optimizer = "paged_adamw_8bit" if place == "cuda" else "adamw"
    unpacked = 4 * trace.largest if precision in ("nf4", "int8") else 0
    return TuneEstimate(
        micro_batch=micro_batch,
        length=length,
        recompute=recompute,
        weights=int(shape.linear * LINEAR_BYTES[precision] + shape.other * OTHER_BYTES[precision])
        + unpacked,
        adapter=4 * trace.trained,
        gradients=4 * trace.trained,
        optimizer=OPTIMIZER_BYTES[optimizer] * trace.trained,
        activations=int(HEAP[place] * (kept + passing)),
        logits=LOGITS[place],
        program=PROGRAM[place],
    )


def fitting(
    recipe: TuneRecipe, config: dict[str, Any], budget: int, length: int | None = None
) -> TuneEstimate:
    """The largest micro-batch that fits into ``budget`` bytes and is of use.

    It divides the recipe's batch. The recipe's own micro-batch is taken as it is. Activations
    are kept or computed again as the recipe says; ``auto`` keeps them where that is easy.

    Args:
        length: tokens of the longest row; the recipe's maximum when it is not known.

    Raises:
        DoesNotFit: not even one row does; the sentence says what would.
        LoadFailed: no network can be built from this configuration.
    """
    length = min(length or recipe.max_length, recipe.max_length)
    found = _largest(recipe, config, budget, length, precision_of(recipe))
    if found is None:
        raise _refusal(recipe, config, budget, length)
    return found


def micro_batches(recipe: TuneRecipe, length: int) -> list[int]:
    """Rows that may go through the model at once, largest first: divisors of the batch."""
    if recipe.micro_batch:
        return [recipe.micro_batch]
    sizes = [size for size in range(recipe.batch, 0, -1) if recipe.batch % size == 0]
    return [size for size in sizes if size == 1 or size * length <= ENOUGH_TOKENS[device()]]


def _largest(
    recipe: TuneRecipe, config: dict[str, Any], budget: int, length: int, precision: Precision
) -> TuneEstimate | None:
    """With activations kept, computed again, or the first of these that is easy."""
    chosen, place = recipe.activation_checkpointing, device()
    sizes = micro_batches(recipe, length)
    if chosen == "auto" and place == "cuda":
        kept = estimate(recipe, config, sizes[0], length, False, precision)
        if kept.total <= EASILY * budget:
            return kept
    ways = {"on": (True,), "off": (False,)}.get(
        chosen, (False, True) if place == "cpu" else (True,)
    )
    for recompute in ways:
        for size in sizes:
            wanted = estimate(recipe, config, size, length, recompute, precision)
            if wanted.total <= budget:
                return wanted
    return None


def _refusal(recipe: TuneRecipe, config: dict[str, Any], budget: int, length: int) -> DoesNotFit:
    """What would fit instead: a smaller precision, shorter rows, a smaller model."""
    precision, smallest = precision_of(recipe), micro_batches(recipe, length)[-1]
    needed = estimate(recipe, config, smallest, length, recompute=True).total
    asked = {
        "model": recipe.base,
        "precision": precision,
        "needed": readable(needed),
        "available": readable(budget),
    }
    for smaller in reversed(PRECISIONS[: PRECISIONS.index(precision)]):
        if found := _largest(recipe, config, budget, length, smaller):
            return FitsInPrecision(**asked, instead=smaller, less=readable(found.total))
    if length > SHORTER and (found := _largest(recipe, config, budget, SHORTER, "nf4")):
        return FitsShorter(**asked, context=SHORTER, less=readable(found.total))
    room = max(0, budget - PROGRAM[device()])
    # half of it for embeddings, which stay in bf16, the adapter and the activations
    return FitsNowhere(**asked, billions=f"{room / LINEAR_BYTES['nf4'] / 2 / 1e9:.1f}")


@dataclass(frozen=True)
class Trace:
    """What a forward pass of one row, and of two, says of a network with an adapter."""

    one: int
    """Bytes that autograd keeps of one row until it goes backwards; parameters not counted."""
    two: int
    inputs: int
    """Bytes of one row's inputs of all layers, which stay when activations are computed again."""
    trained: int
    """Weights of the adapter."""
    layers: int
    largest: int
    """Weights of the largest linear layer."""

    def kept(self, rows: int) -> int:
        """Of so many rows: some is kept once, the rest is the same for every row."""
        return self.one + (rows - 1) * (self.two - self.one)


def counted(recipe: TuneRecipe, config: dict[str, Any], precision: Precision, length: int) -> Trace:
    """What a pass over rows of ``length`` tokens keeps; the same question is answered once.

    Rows are taken to differ in length, as they nearly always do: padding needs a mask.
    """
    raw, full = json.dumps(config, sort_keys=True), precision == "fp32"
    return _trace(raw, recipe.lora_r, recipe.lora_dropout > 0, recipe.dora, full, length)


@functools.lru_cache(maxsize=256)
def _trace(raw: str, rank: int, dropout: bool, dora: bool, full: bool, length: int) -> Trace:
    """Make the passes with tensors without bytes; a formula stands in where that is impossible."""
    import torch
    from torch._subclasses.fake_tensor import FakeTensorMode
    from transformers import AutoConfig, AutoModelForCausalLM

    config = AutoConfig.for_model(**json.loads(raw))
    dtype = torch.float32 if full else torch.bfloat16
    try:
        with FakeTensorMode(allow_non_fake_inputs=True), torch.random.fork_rng(devices=[]):
            model = AutoModelForCausalLM.from_config(config, dtype=dtype, trust_remote_code=False)
            linear = _adapt(model, rank, dropout, dora)
            one, two = (_kept(model, rows, length, autocast=not full) for rows in (1, 2))
    except Exception:  # code of any architecture, run in a way it was not written for
        linear = _linear_sizes(config)
        one = GUESSED_BYTES * sum(map(sum, linear)) * length
        two = 2 * one
    text = config.get_text_config()
    return Trace(
        one=one,
        two=two,
        inputs=text.num_hidden_layers * text.hidden_size * length * (4 if full else 2),
        trained=sum(rank * (wide + deep) + (deep if dora else 0) for wide, deep in linear),
        layers=int(text.num_hidden_layers),
        largest=max((wide * deep for wide, deep in linear), default=0),
    )


def _linear_sizes(config: Any) -> list[tuple[int, int]]:
    """Inputs and outputs of every linear layer but the head."""
    import torch
    from transformers import AutoModelForCausalLM

    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config, trust_remote_code=False)
    return [(layer.in_features, layer.out_features) for _, _, layer in _linear_layers(model)]


def _linear_layers(model: Any) -> list[tuple[Any, str, Any]]:
    """Parent, name and layer of every linear layer that gets an adapter: all but the head."""
    import torch

    head = model.get_output_embeddings()
    return [
        (parent, name, child)
        for parent in model.modules()
        for name, child in parent.named_children()
        if isinstance(child, torch.nn.Linear) and child is not head
    ]


def _adapt(model: Any, rank: int, dropout: bool, dora: bool) -> list[tuple[int, int]]:
    """Put a LoRA in float32 around every linear layer, as PEFT does; their sizes."""
    model.requires_grad_(False)
    layers = _linear_layers(model)
    for parent, name, layer in layers:
        setattr(parent, name, _adapted(layer, rank, dropout, dora))
    return [(layer.in_features, layer.out_features) for _, _, layer in layers]


def _adapted(base: Any, rank: int, dropout: bool, dora: bool) -> Any:
    import torch
    from torch import nn

    class Adapted(nn.Module):
        """The forward pass of ``peft.tuners.lora.Linear``, without its ways of being switched."""

        def __init__(self) -> None:
            super().__init__()
            self.base = base
            self.down = nn.Linear(base.in_features, rank, bias=False, dtype=torch.float32)
            self.up = nn.Linear(rank, base.out_features, bias=False, dtype=torch.float32)
            self.drop = nn.Dropout(0.1) if dropout else nn.Identity()
            self.size = nn.Parameter(torch.ones(base.out_features)) if dora else None

        def forward(self, x: Any) -> Any:
            plain = self.base(x)
            added = self.up(self.down(self.drop(x.to(torch.float32)))) * 2.0
            if self.size is not None:
                added = (self.size - 1) * plain + self.size * added
            return (plain + added).to(plain.dtype)

    return Adapted()


def _kept(model: Any, batch: int, length: int, autocast: bool) -> int:
    """Bytes of what autograd keeps of one forward pass through the body, each storage once."""
    import torch

    model.train()
    weights = [*model.parameters(), *model.buffers()]
    known = {weight.untyped_storage()._cdata for weight in weights}
    kept: dict[int, Any] = {}  # holds the storages, so that no number is used twice

    def keep(tensor: Any) -> Any:
        storage = tensor.untyped_storage()
        if storage._cdata not in known:
            kept[storage._cdata] = storage
        return tensor

    ids = torch.zeros((batch, length), dtype=torch.long)
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
            model.base_model(ids, attention_mask=torch.ones_like(ids), use_cache=False)
    return sum(storage.nbytes() for storage in kept.values())
