"""One short QLoRA job: this project's training against TRL's SFTTrainer with its defaults.

    python benchmarks/tune.py [--steps 8] [--repeats 5] [--precision bf16] [--markdown]

Same base (Gemma 3 270M, bundled), rows (HKCanCor), template, adapter, learning rate, seed, rows
a step and number of steps; each round trains both, one after the other, in processes of their
own. Time is that of the steps after the first, memory the peak of the process above what it
held before the base was loaded.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from _machine import facts, ratios, table

ROWS, BATCH, LENGTH = 200, 8, 256
PACKAGES = ("torch", "transformers", "trl", "peft", "bitsandbytes")
CONTESTANTS = ("this project", "TRL, its defaults", "TRL, the same rows at once")
TARGETS = {"time": 1.0, "memory": 0.8}


def main() -> int:
    """Run the rounds, print the table; 1 if a target is missed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--precision", choices=("bf16", "nf4"), default="bf16")
    parser.add_argument("--markdown", action="store_true")
    parser.add_argument("--child", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child is not None:
        print(json.dumps(_contest(options.child, options)))
        return 0
    with tempfile.TemporaryDirectory() as folder:
        options.folder = Path(folder)
        _make_dataset(options.folder)
        found: list[list[dict[str, float]]] = [[] for _ in CONTESTANTS]
        for turn in range(options.repeats + 1):
            for number in range(len(CONTESTANTS)):
                got = _in_child(number, turn, options)
                if turn:
                    found[number].append(got)
    return _report(found, options)


def _report(found: list[list[dict[str, float]]], options: argparse.Namespace) -> int:
    seconds = [[one["seconds"] for one in mine] for mine in found]
    memory = [[one["memory"] for one in mine] for mine in found]
    loss = [statistics.median(one["loss"] for one in mine) for mine in found]
    lines = []
    for number, name in enumerate(CONTESTANTS):
        against = ["", ""]
        if number:
            against = [ratios(seconds[0], seconds[number]), ratios(memory[0], memory[number])]
        spent = f"{statistics.median(seconds[number]):.2f}"
        held = f"{statistics.median(memory[number]) / 1e6:,.0f}"
        lines.append([name, spent, held, f"{loss[number]:.3f}", *against])
    head = ["", "seconds a step", "peak MB", "training loss", "time, ours / theirs",
            "memory, ours / theirs"]  # fmt: skip
    print("\n".join(table(head, lines, options.markdown)))
    print("\n".join(facts(options.repeats, PACKAGES)))
    print(f"- {options.steps} steps of {BATCH} rows, up to {LENGTH} tokens, {options.precision}")
    time_ratio = statistics.median(seconds[0]) / statistics.median(seconds[1])
    memory_ratio = statistics.median(memory[0]) / statistics.median(memory[1])
    missed = time_ratio > TARGETS["time"] or memory_ratio > TARGETS["memory"]
    return int(missed)


def _in_child(number: int, turn: int, options: argparse.Namespace) -> dict[str, float]:
    print(f"round {turn}: {CONTESTANTS[number]}", file=sys.stderr)
    arguments = ["--child", str(number), "--folder", str(options.folder)]
    arguments += ["--steps", str(options.steps), "--precision", options.precision]
    done = subprocess.run(
        [sys.executable, __file__, *arguments], capture_output=True, text=True, check=True
    )
    got: dict[str, float] = json.loads(done.stdout.strip().splitlines()[-1])
    return got


def _make_dataset(folder: Path) -> None:
    """The first conversations of HKCanCor as a dataset of a workspace."""
    from itertools import islice

    import pyarrow as pa

    from workbench.data import storage
    from workbench.data.corpora import hkcancor
    from workbench.data.dataset import create
    from workbench.data.recipe import CorpusSource
    from workbench.data.rows import table_of
    from workbench.workspace import Workspace

    workspace = Workspace(folder)
    rows: pa.Table = table_of(islice(hkcancor("exchanges"), ROWS), {})
    storage.write_table(workspace.dataset("talk") / storage.DATA, rows)
    create(workspace, "talk", CorpusSource("hkcancor", "exchanges"))


def _contest(number: int, options: argparse.Namespace) -> dict[str, float]:
    import torch
    import transformers
    import trl  # noqa: F401

    transformers.logging.set_verbosity_error()
    before = _peak()
    times, losses = _ours(options) if number == 0 else _theirs(options, number == 2)
    assert torch.isfinite(torch.tensor(losses)).all()
    each = [after - start for start, after in pairwise(times)]
    return {
        "seconds": statistics.median(each),
        "memory": _peak() - before,
        "loss": statistics.mean(losses),
    }


def _ours(options: argparse.Namespace) -> tuple[list[float], list[float]]:
    """Train as the page does, without evaluations between the steps."""
    from workbench import jobs
    from workbench.settings import Settings
    from workbench.tune import job, train
    from workbench.tune.recipe import TuneRecipe
    from workbench.workspace import Workspace

    name = f"ours-{time.time_ns()}"
    folder = Workspace(options.folder).run(name)
    folder.mkdir(parents=True)
    (folder / job.RECIPE).write_text(_recipe(name, options, TuneRecipe).to_yaml(), "utf-8")
    jobs.write_state(folder, status="queued", queued_at=time.time(), step=0)
    settings = Settings(workspace=options.folder)
    assert train.carry_out(folder, settings, threading.Event()) == 0, folder / "log.txt"
    steps = [one for one in job.events_of(folder) if one["event"] == "step"]
    return [one["time"] for one in steps], [one["loss"] for one in steps]


def _recipe(name: str, options: argparse.Namespace, kind: Any) -> Any:
    return kind(
        name=name, dataset="talk", precision=options.precision, steps=options.steps, batch=BATCH,
        max_length=LENGTH, lora_r=8, lora_alpha=16, lora_dropout=0.0, learning_rate=1e-3,
        holdout=2, eval_every=10_000, save_every=10_000, prompts=(), sample_tokens=1,
    )  # fmt: skip


def _theirs(options: argparse.Namespace, same_rows: bool) -> tuple[list[float], list[float]]:
    """SFTTrainer as its documentation shows it, told only what the job is."""
    import torch
    from datasets import Dataset
    from peft import LoraConfig
    from transformers import (
        AutoModelForCausalLM,
        AutoTokenizer,
        BitsAndBytesConfig,
        TrainerCallback,
    )
    from trl.trainer.sft_config import SFTConfig
    from trl.trainer.sft_trainer import SFTTrainer

    from workbench.models.fetch import locate
    from workbench.models.reference import ModelReference
    from workbench.models.templates import chat_template_for
    from workbench.settings import Settings
    from workbench.tune.recipe import TuneRecipe
    from workbench.tune.rows import load_rows
    from workbench.workspace import Workspace

    recipe = _recipe("theirs", options, TuneRecipe)
    folder = locate(ModelReference.parse(recipe.base), Settings()).folder
    tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
    tokenizer.chat_template = chat_template_for(tokenizer, "auto")
    rows = load_rows(recipe, Workspace(options.folder)).train
    plain = [[{key: one[key] for key in ("role", "content")} for one in row] for row in rows]
    four = BitsAndBytesConfig(
        load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=torch.bfloat16,
    )  # fmt: skip
    model = AutoModelForCausalLM.from_pretrained(
        folder, dtype=torch.bfloat16, trust_remote_code=False,
        quantization_config=four if options.precision == "nf4" else None,
    )  # fmt: skip
    at_once = 4 if same_rows else BATCH
    config = SFTConfig(
        output_dir=str(options.folder / f"trl-{time.time_ns()}"), max_steps=options.steps,
        per_device_train_batch_size=at_once, gradient_accumulation_steps=BATCH // at_once,
        learning_rate=1e-3, lr_scheduler_type="cosine", warmup_steps=0.03, max_length=LENGTH,
        seed=0, use_cpu=not torch.cuda.is_available(), bf16=True, logging_steps=1,
        save_strategy="no", report_to="none", disable_tqdm=True,
    )  # fmt: skip
    times: list[float] = []
    losses: list[float] = []

    class Clock(TrainerCallback):  # type: ignore[misc]
        def on_log(self, *_: Any, logs: dict[str, Any] | None = None, **__: Any) -> None:
            if logs and "loss" in logs:
                times.append(time.time())
                losses.append(float(logs["loss"]))

    lora = LoraConfig(r=8, lora_alpha=16, lora_dropout=0.0, target_modules="all-linear",
                      task_type="CAUSAL_LM")  # fmt: skip
    trainer = SFTTrainer(
        model, args=config, train_dataset=Dataset.from_dict({"messages": plain}),
        processing_class=tokenizer, peft_config=lora, callbacks=[Clock()],
    )  # fmt: skip
    trainer.train()
    return times, losses


def _peak() -> float:
    """Bytes: the most that this process has held."""
    return float(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)


if __name__ == "__main__":
    sys.exit(main())
