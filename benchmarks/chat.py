"""Base and tuned at once: one pass over one copy, against two copies and against toggling.

Measured, taking turns, on a Llama with random weights and a LoRA adapter (r 16, all linear
layers), greedy, 128 new tokens each: (1) this project's one pass, (2) two loaded copies, one
after the other, (3) one copy, the adapter switched off and on, (4) the base alone. Besides:
what streaming costs (the same pass heard token by token, against one that nobody hears), and
the time to the first token. Memory is what was taken for each: of the GPU its peak, of a CPU
the process's resident memory.

Not measured: loading, quality (the weights are random), sampling, several GPUs. Nothing is
downloaded; needs torch, transformers and peft (and bitsandbytes for nf4).

    python benchmarks/chat.py --markdown
    python benchmarks/chat.py --device cuda --shape 7b --precision bf16 --markdown
"""

from __future__ import annotations

import argparse
import copy
import gc
import os
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import psutil
from _machine import facts, ratios, table

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from gpu import SHAPE as SEVEN
from gpu import random_model

from workbench.models.adapters import attach, speaking
from workbench.models.decoding import Row, decode
from workbench.models.fetch import Fetched
from workbench.models.loader import LoadedModel
from workbench.models.reference import ModelReference
from workbench.models.sampling import SamplingOptions

SMALL = {
    "hidden_size": 1024,
    "num_hidden_layers": 16,
    "num_attention_heads": 16,
    "num_key_value_heads": 4,
    "intermediate_size": 2816,
    "vocab_size": 20000,
    "max_position_embeddings": 4096,
}
SHAPES = {"small": SMALL, "7b": SEVEN}
PROMPT = 64
PACKAGES = ("torch", "transformers", "peft", "bitsandbytes")
NAMES = ("one pass", "two copies", "toggling", "base alone")
TARGETS = {
    "cuda": "at most 1.25 of one answer alone, 0.55 of two copies' memory",
    "cpu": "at most 1.2 of toggling, 0.6 of two copies' memory",
}


def main() -> int:
    options = _options()
    random.seed(0)
    prompt = random.choices(range(3, 3 + 19_000), k=PROMPT)
    sampling = SamplingOptions(options.tokens, temperature=0, repetition_penalty=1)
    with tempfile.TemporaryDirectory() as folder:
        _wake(options.device)
        before = _memory(options.device)
        bench = Bench(options, Path(folder), prompt, sampling)
        _forget_peak(options.device)
        bench.one_pass()
        one = _memory(options.device) - before
        bench.make_copy()
        _forget_peak(options.device)
        bench.two_copies()
        two = _memory(options.device) - before
        print("\n".join(bench.report(one, two)))
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--tokens", type=int, default=128)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--shape", choices=tuple(SHAPES), default="small")
    parser.add_argument("--precision", choices=("bf16", "nf4"), default="bf16")
    parser.add_argument("--markdown", action="store_true", help="a table for docs/benchmarks.md")
    return parser.parse_args()


class Bench:
    """One model with an adapter on it, and a second copy with the same adapter inside."""

    def __init__(
        self, options: argparse.Namespace, folder: Path, prompt: list[int], sampling: Any
    ) -> None:
        self.options, self.prompt, self.sampling = options, prompt, sampling
        self.loaded = random_model(options.precision, SHAPES[options.shape], options.device)
        self.loaded.tokenizer = _tokenizer(SHAPES[options.shape]["vocab_size"])
        self.loaded.model.generation_config.eos_token_id = None
        self.adapter = folder / "adapter"
        _save_adapter(self.loaded, self.adapter)
        reference = ModelReference.parse(f"random/llama+{self.adapter}")
        fetched = Fetched(folder, "random", self.adapter, "0" * 64)
        self.attached = attach(self.loaded, fetched, reference)
        self.copy: LoadedModel | None = None

    def make_copy(self) -> None:
        """The tuned model as a model of its own, as two loaded copies would be."""
        from peft import PeftModel

        fresh = random_model(self.options.precision, SHAPES[self.options.shape],
                             self.options.device)  # fmt: skip
        tuned = PeftModel.from_pretrained(fresh.model, self.adapter).eval().requires_grad_(False)
        tuned.generation_config.eos_token_id = None
        self.copy = copy.copy(self.loaded)
        self.copy.model = tuned

    def one_pass(self) -> list[Row]:
        with speaking(self.loaded, [None, self.attached]):
            return self._written(self.loaded, 2)

    def two_copies(self) -> list[Row]:
        assert self.copy is not None
        return [*self._written(self.loaded), *self._written(self.copy)]

    def toggling(self) -> list[Row]:
        found = self._written(self.loaded)
        with speaking(self.loaded, [self.attached]):
            return found + self._written(self.loaded)

    def alone(self) -> list[Row]:
        return self._written(self.loaded)

    def unheard(self) -> list[Row]:
        """The same pass by ``generate`` itself, with nobody listening."""
        import torch

        where = self.loaded.device
        ids = torch.tensor([self.prompt] * 2, device=where)
        with speaking(self.loaded, [None, self.attached]), torch.inference_mode():
            self.loaded.model.generate(
                input_ids=ids, attention_mask=torch.ones_like(ids), do_sample=False,
                max_new_tokens=self.options.tokens, pad_token_id=0,
            )  # fmt: skip
        return []

    def _written(self, loaded: LoadedModel, rows: int = 1) -> list[Row]:
        found, _ = decode(loaded, [self.prompt] * rows, self.sampling, _Never())
        return found

    def report(self, one: float, two: float) -> Iterator[str]:
        """Rounds that take turns, then the table."""
        contestants = (self.one_pass, self.two_copies, self.toggling, self.alone, self.unheard)
        seconds: list[list[float]] = [[] for _ in contestants]
        first: list[float] = []
        for number in range(self.options.rounds + 1):
            order = list(enumerate(contestants))
            for at, work in order if number % 2 else reversed(order):
                spent, rows = _timed(work, self.options.device)
                if number:
                    seconds[at].append(spent)
                    if at == 0:
                        first.append(rows[0].first)
        yield from table(
            ("", "seconds", "one pass / this", "memory"),
            [self._row(at, seconds, one, two) for at in range(len(NAMES))],
            self.options.markdown,
        )
        yield ""
        yield f"- One pass against two copies: {one / two:.2f} of the memory"
        yield f"- Streaming: {ratios(seconds[0], seconds[4])} of the time of a pass nobody hears"
        step = statistics.median(seconds[3]) / self.options.tokens
        yield (
            f"- First token after {statistics.median(first) * 1000:.0f} ms; "
            f"one step of the base alone {step * 1000:.0f} ms"
        )
        shape = f"{self.options.shape} shape, {self.options.precision}, {self.options.device}"
        yield f"- {shape}: {PROMPT} tokens in, {self.options.tokens} out"
        yield f"- Wanted: {TARGETS[self.options.device]}; streaming at most 1.05"
        yield from facts(self.options.rounds, PACKAGES)

    def _row(self, at: int, seconds: list[list[float]], one: float, two: float) -> list[str]:
        held = two if at == 1 else one
        against = ratios(seconds[0], seconds[at]) if at else ""
        memory = f"{held / 1e9:.2f} GB" if at < 2 else ""
        return [NAMES[at], f"{statistics.median(seconds[at]):.2f}", against, memory]


class _Never:
    def is_set(self) -> bool:
        return False


def _tokenizer(vocabulary: int) -> Any:
    """A real fast tokenizer: one Chinese character a token, no token that ends a text."""
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    letters = {chr(0x4E00 + at): at for at in range(min(vocabulary, 20_000))}
    letters |= {f"<extra {at}>": at for at in range(len(letters), vocabulary)}
    inner = Tokenizer(models.WordLevel(letters, unk_token="<none>"))
    inner.pre_tokenizer = pre_tokenizers.Split(Regex(r"[\s\S]"), "isolated")
    inner.decoder = decoders.Fuse()
    return PreTrainedTokenizerFast(tokenizer_object=inner)


def _save_adapter(loaded: LoadedModel, folder: Path) -> None:
    from peft import LoraConfig, get_peft_model

    recipe = LoraConfig(r=16, lora_alpha=32, target_modules="all-linear", init_lora_weights=False)
    adapted = get_peft_model(loaded.model, recipe)
    adapted.save_pretrained(folder)
    loaded.model = adapted.unload()
    if hasattr(loaded.model, "peft_config"):
        del loaded.model.peft_config
    loaded.model.eval().requires_grad_(False)


def _wake(device: str) -> None:
    """What the libraries themselves take is not counted."""
    import peft  # noqa: F401

    tiny = {**SMALL, "hidden_size": 64, "num_hidden_layers": 1, "intermediate_size": 64}
    model = random_model("bf16", tiny, device).model
    import torch

    with torch.inference_mode():
        model.generate(torch.ones((1, 8), dtype=torch.long, device=device), max_new_tokens=2)


def _timed(work: Callable[[], list[Row]], device: str) -> tuple[float, list[Row]]:
    _wait(device)
    started = time.perf_counter()
    rows = work()
    _wait(device)
    return time.perf_counter() - started, rows


def _memory(device: str) -> float:
    """Bytes: the GPU's peak since it was forgotten, or the resident memory now."""
    gc.collect()
    if device == "cuda":
        import torch

        return float(torch.cuda.max_memory_allocated())
    return float(psutil.Process().memory_info().rss)


def _forget_peak(device: str) -> None:
    """Making a model in nf4 takes more than having it."""
    if device == "cuda":
        import torch

        gc.collect()
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()


def _wait(device: str) -> None:
    import torch

    if device == "cuda":
        torch.cuda.synchronize()


if __name__ == "__main__":
    sys.exit(main())
