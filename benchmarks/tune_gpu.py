"""QLoRA on a GPU, 7B shape, NF4, rows up to 2,048 tokens: this project against TRL's SFTTrainer.

    python benchmarks/tune_gpu.py [--steps 8] [--repeats 5] [--only NUMBER ...] [--markdown]

Both train the same frozen base (a Llama of 7B shape with random weights, made here once), on the
same rows in the same order, with the same adapter, learning rate, seed, rows a step and number of
steps, taking turns in processes of their own. TRL keeps its defaults: rows padded to the longest
of eight, activations computed again. Ours is what a recipe gets on a card with as much free memory.

Rows are made up: their tokens come from a Markov chain over 512 of the vocabulary's, so that
there is something to learn, and their lengths are log-normal (median 249 tokens, cut at 2,048),
as those of a public set of Chinese assistant conversations are. ``--full`` makes every row 2,048
tokens long: then there is no padding to save.

Time is that of the steps after the first, in tokens that are not padding; memory the peak of
what was allocated; the held-out loss is measured on the same rows in the same way. Not measured:
loading, tokenizing, what is learned of a language. Needs CUDA and 40 GB of disk.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
from _machine import facts, ratios, table

SHAPE = {
    "hidden_size": 4096,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": 32,
    "intermediate_size": 11008,
    "vocab_size": 32000,
    "max_position_embeddings": 4096,
}
LENGTH, BATCH, USED = 2048, 32, 512
MEDIAN, SPREAD = 249, 0.95
HELD = 16
PACKAGES = ("torch", "transformers", "trl", "peft", "bitsandbytes")
TARGETS = {"speed": 1.5, "memory": 0.7, "loss": 0.01}


@dataclass(frozen=True)
class Contestant:
    """One way to train."""

    name: str
    ours: bool
    packing: bool = True
    checkpointing: str = "auto"


CONTESTANTS = (
    Contestant("this project", True),
    Contestant("TRL, its defaults", False),
    Contestant("ours, activations kept", True, checkpointing="off"),
    Contestant("ours, padded", True, packing=False),
)


def main() -> int:
    """Run the rounds, print the table; 1 if a target is missed."""
    options = _options()
    if options.child is not None:
        print(json.dumps(_contest(CONTESTANTS[options.child], options)))
        return 0
    with tempfile.TemporaryDirectory() as folder:
        options.folder = Path(folder)
        _make_base(options.folder / "base")
        found: dict[int, list[dict[str, float]]] = {number: [] for number in options.only}
        for turn in range(options.repeats):
            for number in options.only[:: 1 if turn % 2 == 0 else -1]:
                found[number].append(_in_child(number, options))
    return _report(found, options)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--only", type=int, nargs="+", default=[0, 1], metavar="NUMBER")
    parser.add_argument("--full", action="store_true", help="every row is 2,048 tokens long")
    parser.add_argument("--layers", type=int, default=SHAPE["num_hidden_layers"])
    parser.add_argument("--markdown", action="store_true")
    parser.add_argument("--child", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    return parser.parse_args()


def _in_child(number: int, options: argparse.Namespace) -> dict[str, float]:
    arguments = ["--child", str(number), "--folder", str(options.folder)]
    arguments += ["--steps", str(options.steps)] + ["--full"] * options.full
    done = subprocess.run([sys.executable, __file__, *arguments], capture_output=True, text=True)
    if done.returncode:
        print(f"{CONTESTANTS[number].name} failed:\n{done.stderr[-2000:]}", file=sys.stderr)
        return {"speed": float("nan"), "memory": float("nan"), "loss": float("nan")}
    got: dict[str, float] = json.loads(done.stdout.strip().splitlines()[-1])
    print(f"{CONTESTANTS[number].name}: {got}", file=sys.stderr, flush=True)
    return got


def _report(found: dict[int, list[dict[str, float]]], options: argparse.Namespace) -> int:
    figures = {
        number: {key: [one[key] for one in rounds] for key in ("speed", "memory", "loss")}
        for number, rounds in found.items()
    }
    middle = {
        number: {key: statistics.median(values) for key, values in one.items()}
        for number, one in figures.items()
    }
    first = options.only[0]
    lines = []
    for number, one in middle.items():
        against = ["", "", ""]
        if number != first:
            against = [
                ratios(figures[first]["speed"], figures[number]["speed"]),
                ratios(figures[first]["memory"], figures[number]["memory"]),
                f"{middle[first]['loss'] / one['loss'] - 1:+.2%}",
            ]
        lines.append([CONTESTANTS[number].name, f"{one['speed']:,.0f}",
                      f"{one['memory'] / 1e9:.1f}", f"{one['loss']:.4f}", *against])  # fmt: skip
    head = ["", "tokens a second", "peak GB", "held-out loss", "speed, first / this",
            "memory, first / this", "loss, first against this"]  # fmt: skip
    print("\n".join(table(head, lines, options.markdown)))
    print("\n".join(facts(options.repeats, PACKAGES)))
    shape = "2,048 tokens each" if options.full else f"median {MEDIAN} tokens, up to {LENGTH}"
    print(f"- {options.steps} steps of {BATCH} rows, {shape}; NF4, LoRA r 16 on all linear layers")
    if 1 not in middle or first != 0:
        return 0
    ours, theirs = middle[0], middle[1]
    return int(
        ours["speed"] < TARGETS["speed"] * theirs["speed"]
        or ours["memory"] > TARGETS["memory"] * theirs["memory"]
        or abs(ours["loss"] / theirs["loss"] - 1) > TARGETS["loss"]
    )


def _make_base(folder: Path) -> None:
    """A Llama of this shape whose weights mean nothing, saved with its configuration."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    shape = {**SHAPE, "num_hidden_layers": _options().layers}
    with torch.device("cuda"):
        model = LlamaForCausalLM._from_config(LlamaConfig(**shape), dtype=torch.bfloat16)
    model.save_pretrained(folder, max_shard_size="4GB")
    del model
    torch.cuda.empty_cache()


def _rows(count: int, full: bool, seed: int) -> list[list[int]]:
    """Token ids of rows: each token is one of eight that may follow the one before."""
    random = np.random.default_rng(seed)
    follow = np.random.default_rng(7).integers(3, 3 + USED, (USED, 8))
    lengths = np.exp(random.normal(np.log(MEDIAN), SPREAD, count)).astype(int).clip(16, LENGTH)
    rows = []
    for length in [LENGTH] * count if full else lengths.tolist():
        at, row = int(random.integers(USED)), [1]
        for choice in random.integers(0, 8, length - 1):
            row.append(int(follow[at, choice]))
            at = row[-1] - 3
        rows.append(row)
    return rows


def _contest(who: Contestant, options: argparse.Namespace) -> dict[str, float]:
    import torch
    import transformers

    transformers.logging.set_verbosity_error()
    rows = _rows(options.steps * BATCH, options.full, seed=1)
    model = _base(options.folder / "base")
    torch.cuda.reset_peak_memory_stats()
    times: list[float] = []
    run = _ours if who.ours else _theirs
    tuned, notes = run(who, model, rows, options, times)
    tokens = [
        sum(map(len, rows[step * BATCH : (step + 1) * BATCH])) for step in range(options.steps)
    ]
    seconds = [after - before for before, after in pairwise(times)]
    peak = float(torch.cuda.max_memory_allocated())
    return {
        "speed": sum(tokens[1:]) / sum(seconds),
        "memory": peak,
        "loss": _held_out(tuned, options),
        **notes,
    }


def _base(folder: Path) -> Any:
    import torch
    from transformers import AutoModelForCausalLM, BitsAndBytesConfig

    four = BitsAndBytesConfig(
        load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=torch.bfloat16,
    )  # fmt: skip
    return AutoModelForCausalLM.from_pretrained(
        folder, dtype=torch.bfloat16, quantization_config=four, device_map={"": "cuda"},
        trust_remote_code=False,
    )  # fmt: skip


def _held_out(model: Any, options: argparse.Namespace) -> float:
    """Nats a token on rows that were not learned from, one at a time."""
    import torch

    from workbench.tune.head import Head

    head = Head(model, autocast=True)
    model.eval()
    nats, tokens = 0.0, 0
    with torch.no_grad():
        for row in _rows(HELD, options.full, seed=2):
            ids = torch.tensor([row], device="cuda")
            nll = head.nll(ids, ids.clone())
            nats, tokens = nats + float(nll.double().sum()), tokens + len(nll)
    return nats / tokens


def _clock(times: list[float]) -> Any:
    import torch
    from transformers import TrainerCallback

    class Clock(TrainerCallback):  # type: ignore[misc]
        def on_step_end(self, *_: Any, **__: Any) -> None:
            torch.cuda.synchronize()
            times.append(time.perf_counter())

    return Clock()


def _tokenizer() -> Any:
    """Any tokenizer will do, as rows come as tokens; it only knows which one pads."""
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from transformers import PreTrainedTokenizerFast

    words = Tokenizer(WordLevel({"<pad>": 0, "<s>": 1, "</s>": 2}, unk_token="<pad>"))
    return PreTrainedTokenizerFast(
        tokenizer_object=words, pad_token="<pad>", bos_token="<s>", eos_token="</s>"
    )


def _ours(
    who: Contestant, model: Any, rows: list[list[int]], options: argparse.Namespace,
    times: list[float],
) -> tuple[Any, dict[str, Any]]:  # fmt: skip
    """As a run of the Tune tab trains, without evaluations and checkpoints between the steps."""
    from workbench.models.estimate import available
    from workbench.settings import Settings
    from workbench.tune.encode import Encoded
    from workbench.tune.estimate import fitting
    from workbench.tune.recipe import TuneRecipe
    from workbench.tune.trainer import Lesson, Setup, make

    recipe = TuneRecipe(
        name="bench", precision="nf4", steps=options.steps, batch=BATCH, max_length=LENGTH,
        packing=who.packing, learning_rate=1e-3, prompts=(),
        activation_checkpointing=who.checkpointing,  # type: ignore[arg-type]
    )  # fmt: skip
    lines = [Encoded(row, [True] * len(row), ["text"] * len(row), len(row), False) for row in rows]
    order = np.arange(len(rows)).reshape(options.steps, BATCH)
    config = json.loads((options.folder / "base" / "config.json").read_text("utf-8"))
    chosen = fitting(recipe, config, available(Settings()), max(map(len, rows)))
    lesson = Lesson(lines, order)
    setup = Setup("cuda", chosen.micro_batch, True, chosen.recompute, who.packing)
    folder = options.folder / f"ours-{time.time_ns()}"
    trainer, _ = make(recipe, model, _tokenizer(), lesson, setup, folder, _clock(times))
    trainer.train()
    return trainer.model, {"micro": chosen.micro_batch, "recompute": chosen.recompute,
                           "estimated": chosen.total}  # fmt: skip


def _theirs(
    _who: Contestant, model: Any, rows: list[list[int]], options: argparse.Namespace,
    times: list[float],
) -> tuple[Any, dict[str, Any]]:  # fmt: skip
    """SFTTrainer as its documentation shows it, told only what the job is."""
    from datasets import Dataset
    from peft import LoraConfig
    from trl.trainer.sft_config import SFTConfig
    from trl.trainer.sft_trainer import SFTTrainer

    config = SFTConfig(
        output_dir=str(options.folder / f"trl-{time.time_ns()}"), max_steps=options.steps,
        gradient_accumulation_steps=BATCH // 8, learning_rate=1e-3, lr_scheduler_type="cosine",
        warmup_steps=1, max_length=LENGTH, seed=0, train_sampling_strategy="sequential",
        save_strategy="no", report_to="none", disable_tqdm=True,
    )  # fmt: skip
    lora = LoraConfig(r=16, lora_alpha=32, lora_dropout=0.05, target_modules="all-linear",
                      task_type="CAUSAL_LM")  # fmt: skip
    trainer = SFTTrainer(
        model, args=config, train_dataset=Dataset.from_dict({"input_ids": rows}),
        processing_class=_tokenizer(), peft_config=lora, callbacks=[_clock(times)],
    )  # fmt: skip
    trainer.train()
    return trainer.model, {}


if __name__ == "__main__":
    sys.exit(main())
