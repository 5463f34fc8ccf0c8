"""Scoring on a GPU: tokens a second, and the share of what its matrix units can do.

Measured, taking turns: the product of two large bf16 matrices (the ceiling), and the
scoring of random tokens by a Llama of 7B shape with random weights, in bf16 and in NF4
with double quantization. The share counts the operations that scoring needs (matrix
products and causal attention, each token once) against the ceiling of the same run.
NF4 weights are unpacked and then multiplied in bf16, so the ceiling is the same.

Not measured: loading, tokenizing real text, quality (the weights are random), several
GPUs. Needs CUDA and about 20 GB of GPU memory; nothing is downloaded.

    python benchmarks/gpu.py --rounds 5 --markdown
"""

from __future__ import annotations

import argparse
import importlib
import random
import statistics
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from _machine import facts, table

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from workbench.compare.perplexity import PerplexityRequest, PerplexityResult, score
from workbench.models.device import Precision
from workbench.models.loader import LoadedModel
from workbench.models.reference import ModelReference
from workbench.texts import Text

SHAPE = {
    "hidden_size": 4096,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": 32,
    "intermediate_size": 11008,
    "vocab_size": 32000,
    "max_position_embeddings": 4096,
}
# NF4 first: it is made from bf16, and the two at once would not fit on a 24 GB card.
ORDER: tuple[Precision, ...] = ("nf4", "bf16")
NEEDED_BYTES = 19e9
CEILING_SIZE = 8192
CEILING_PRODUCTS = 20
PACKAGES = ("torch", "transformers", "bitsandbytes")


class Letters:
    """A tokenizer that gives each character one token, so that a text has a known length."""

    bos_token_id, eos_token_id, unk_token_id = 1, 2, None
    first = 3

    def __init__(self, vocabulary: int) -> None:
        self.vocabulary = vocabulary

    def __call__(self, text: str, **_options: Any) -> dict[str, list[int]]:
        room = self.vocabulary - self.first
        return {"input_ids": [self.first + ord(letter) % room for letter in text]}


@dataclass
class Run:
    """One precision's figures, round by round."""

    loaded: LoadedModel
    seconds: list[float] = field(default_factory=list)
    peak_bytes: int = 0


def main() -> int:
    options = _options()
    import torch

    if not torch.cuda.is_available():
        raise SystemExit("No CUDA GPU is here, so there is nothing to measure.")
    if torch.cuda.mem_get_info()[0] < NEEDED_BYTES:
        raise SystemExit(f"This needs {NEEDED_BYTES / 1e9:.0f} GB of free GPU memory.")
    runs = [Run(random_model(precision, SHAPE, "cuda")) for precision in ORDER]
    request = _request(options.tokens, options.context)
    for run in runs:
        scored(run.loaded, request)
    ceilings = [ceiling("cuda")]
    for number in range(options.rounds):
        ceilings.append(ceiling("cuda"))
        for run in runs if number % 2 == 0 else reversed(runs):
            result = scored(run.loaded, request)
            run.seconds.append(result.seconds)
            run.peak_bytes = max(run.peak_bytes, result.peak_memory_bytes)
    print("\n".join(report(runs, statistics.median(ceilings[1:]), options)))
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--tokens", type=int, default=65536)
    parser.add_argument("--context", type=int, default=2048)
    parser.add_argument("--markdown", action="store_true", help="a table for docs/benchmarks.md")
    return parser.parse_args()


def random_model(precision: Precision, shape: dict[str, int], device: str) -> LoadedModel:
    """A Llama of this shape whose weights mean nothing."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    with torch.device(device):
        model = LlamaForCausalLM._from_config(LlamaConfig(**shape), dtype=torch.bfloat16)
    model.eval().requires_grad_(False)
    if precision == "nf4":
        _quantize(model, device)
    size = sum(tensor.numel() * tensor.element_size() for tensor in model.parameters())
    reference = ModelReference.parse("random/llama-of-7b-shape")
    tokenizer = Letters(shape["vocab_size"])
    return LoadedModel(reference, precision, "random", device, model, tokenizer, size)


def _quantize(model: Any, device: str) -> None:
    """Every linear layer of the body to NF4; the head stays in bf16, as when loading."""
    import torch

    parts: Any = importlib.import_module("bitsandbytes.nn")
    linears = [
        (module, name, child)
        for module in model.model.modules()
        for name, child in module.named_children()
        if type(child) is torch.nn.Linear
    ]
    while linears:  # one at a time, so that the bf16 weights go as the packed ones come
        module, name, child = linears.pop()
        packed = parts.Linear4bit(
            child.in_features,
            child.out_features,
            bias=False,
            compute_dtype=torch.bfloat16,
            compress_statistics=True,
            quant_type="nf4",
            device="meta",
        )
        packed.weight = parts.Params4bit(
            child.weight.data, requires_grad=False, compress_statistics=True, quant_type="nf4"
        )
        setattr(module, name, packed.to(device))
        del child


def _request(tokens: int, context: int) -> PerplexityRequest:
    """Windows that do not overlap: every token is read once and scored once."""
    letters = random.Random(0).choices([chr(code) for code in range(0x4E00, 0x9FA5)], k=tokens)
    text = Text("random letters", ("".join(letters),))
    reference = ModelReference.parse("random/llama-of-7b-shape")
    return PerplexityRequest((reference,), text, None, context, context - 1)


def scored(loaded: LoadedModel, request: PerplexityRequest) -> PerplexityResult:
    work = score(loaded, request, threading.Event())
    while True:
        try:
            next(work)
        except StopIteration as finished:
            result: PerplexityResult = finished.value
            return result


def ceiling(device: str, size: int = CEILING_SIZE) -> float:
    """Operations a second of a product of two square bf16 matrices."""
    import torch

    one = torch.randn(size, size, device=device, dtype=torch.bfloat16)
    other = torch.randn(size, size, device=device, dtype=torch.bfloat16)
    product = one @ other
    _wait(device)
    started = time.perf_counter()
    for _ in range(CEILING_PRODUCTS):
        torch.mm(one, other, out=product)
    _wait(device)
    return 2 * size**3 * CEILING_PRODUCTS / (time.perf_counter() - started)


def _wait(device: str) -> None:
    import torch

    if device == "cuda":
        torch.cuda.synchronize()


def operations(tokens: int, context: int, shape: dict[str, int]) -> float:
    """What scoring needs: two a weight and token, and attention to half a window on average."""
    hidden, layers = shape["hidden_size"], shape["num_hidden_layers"]
    weights = layers * (4 * hidden**2 + 3 * hidden * shape["intermediate_size"])
    attention = layers * 4 * hidden * (context / 2)
    return tokens * (2 * (weights + hidden * shape["vocab_size"]) + attention)


def report(runs: list[Run], most: float, options: argparse.Namespace) -> Iterator[str]:
    needed = operations(options.tokens, options.context, SHAPE)
    head = ("", "seconds", "tokens/s (least-most)", "TFLOP/s", "share of ceiling", "peak memory")
    rows = []
    for run in runs:
        seconds = statistics.median(run.seconds)
        speeds = [options.tokens / each for each in run.seconds]
        rows.append(
            (
                f"7B shape, {run.loaded.precision}",
                f"{seconds:.2f}",
                f"{options.tokens / seconds:.0f} ({min(speeds):.0f}-{max(speeds):.0f})",
                f"{needed / seconds / 1e12:.0f}",
                f"**{needed / seconds / most:.0%}**",
                f"{run.peak_bytes / 1e9:.1f} GB",
            )
        )
    yield from table(head, rows, options.markdown)
    yield ""
    yield f"- {options.tokens} random tokens, windows of {options.context} without overlap"
    yield f"- Ceiling: {most / 1e12:.0f} TFLOP/s, bf16 matrices of {CEILING_SIZE} x {CEILING_SIZE}"
    yield f"- GPU: {_gpu()}"
    yield from facts(options.rounds, PACKAGES)


def _gpu() -> str:
    import torch

    memory = torch.cuda.get_device_properties(0).total_memory / 2**30
    return f"{torch.cuda.get_device_name(0)}, {memory:.0f} GiB, CUDA {torch.version.cuda}"


if __name__ == "__main__":
    sys.exit(main())
