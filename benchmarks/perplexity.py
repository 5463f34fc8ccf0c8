"""Perplexity: this project, the usual sliding-window loop and lm-evaluation-harness.

Measured: wall time from text to sum, tokenizing included, and the highest resident
memory above what the process held right before (sampled every 5 ms), of contestants
that share one process, one set of loaded bf16 weights on the CPU and one text. They
take turns, in an order that moves on each round, after one unmeasured turn each.

1. One running text, with window and stride: this project against the loop of the
   transformers documentation at batch 1. The loop here weighs its windows correctly
   and starts each with BOS, so both must give the same NLL.
2. Documents that fit in one window: this project against the harness, whose later
   windows do not overlap and do not start with BOS. It is told not to add BOS, because
   it puts the prefix token itself, and to take its softmax in float32; with its default
   dtype, bfloat16 here, it is timed too, but its sum is a rounded one.

Not measured: loading, the GPU (see ``gpu.py``), and how good the model is. Exits with 1
when an NLL that must be the same is not.

    python benchmarks/perplexity.py --rounds 5 --markdown
"""

from __future__ import annotations

import os

os.environ["CUDA_VISIBLE_DEVICES"] = ""  # before torch is imported
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import argparse
import contextlib
import ctypes
import gc
import io
import logging
import statistics
import sys
import threading
import time
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypeVar

import psutil
from _machine import facts, installed, ratios, table

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from workbench.compare.perplexity import PerplexityRequest, score
from workbench.models.loader import LoadedModel
from workbench.models.pool import fetch_and_load
from workbench.models.reference import ModelReference
from workbench.settings import Settings
from workbench.texts import Text, sample

MODEL = "bundled:gemma-3-270m"
SAMPLE_SECONDS = 0.005
HARNESS_BATCHES = (2, 4)
DOCUMENT_TOKENS = (300, 375, 450, 525, 600)
SAME_NLL = 1e-4
PACKAGES = ("torch", "transformers", "lm-eval", "pycantonese")
Returned = TypeVar("Returned")


@dataclass(frozen=True)
class Texts:
    """The same corpus cut in the two ways that are needed."""

    source: str
    running: str
    documents: tuple[str, ...]


@dataclass
class Contestant:
    """One way to the number that ``work`` returns; here the NLL of the whole text in nats."""

    name: str
    group: str
    work: Callable[[], float]
    tokens: int
    must_agree: bool = True
    found: float = 0.0
    seconds: list[float] = field(default_factory=list)
    extra_bytes: list[int] = field(default_factory=list)


def main() -> int:
    options = _options()
    logging.disable(logging.WARNING)
    loaded = drain(
        fetch_and_load(ModelReference.parse(MODEL), "bf16", Settings(), threading.Event())
    )
    texts = read_texts(loaded.tokenizer, options.tokens, options.context)
    contestants = [
        *running_text(loaded, texts, options.context, options.stride),
        *documents(loaded, texts, options.context),
    ]
    measure(contestants, options.rounds, lambda: read_weights(loaded))
    print("\n".join(report(contestants, texts, options)))
    return 0 if all(_agrees(one, _ours(one, contestants)) for one in contestants) else 1


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--tokens", type=int, default=4096, help="of each of the two texts")
    parser.add_argument("--context", type=int, default=1024, help="tokens, prefix included")
    parser.add_argument("--stride", type=int, default=512)
    parser.add_argument("--markdown", action="store_true", help="tables for docs/benchmarks.md")
    options = parser.parse_args()
    if not 0 < options.stride < options.context:
        parser.error("the stride must be smaller than the context")
    return options


# ---- the texts


def read_texts(tokenizer: Any, tokens: int, context: int) -> Texts:
    source, dialogues = corpus()
    lines = [line for dialogue in dialogues for line in dialogue]
    running = _first_tokens("\n".join(lines), tokens, tokenizer)
    cut: list[str] = []
    size = 0
    for number, dialogue in enumerate(dialogues):
        wanted = DOCUMENT_TOKENS[number % len(DOCUMENT_TOKENS)]
        cut.append(_first_tokens("\n".join(dialogue), min(wanted, context - 1), tokenizer))
        size += _count(tokenizer, cut[-1])
        if size >= tokens:
            break
    return Texts(source, running, tuple(cut))


def corpus() -> tuple[str, list[list[str]]]:
    """HKCanCor as lines of dialogues; without pycantonese the bundled Cantonese sample."""
    try:
        import pycantonese
    except ImportError:
        passages = sample("cantonese").documents
        fives = [list(passages[start : start + 5]) for start in range(0, len(passages), 5)]
        return "the bundled Cantonese sample (pycantonese is not installed)", fives
    files: Any = pycantonese.hkcancor().utterances(by_file=True)
    return (
        f"HKCanCor (Luke & Wong 2015, CC BY 4.0) through pycantonese {version('pycantonese')}",
        [["".join(token.word for token in line.tokens) for line in file] for file in files],
    )


def _first_tokens(text: str, tokens: int, tokenizer: Any) -> str:
    """The beginning of a text, cut between two of its characters."""
    text = text[: tokens * 8]
    ends = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True, verbose=False)
    offsets = ends["offset_mapping"]
    return text if len(offsets) <= tokens else text[: offsets[tokens][0]]


def _count(tokenizer: Any, text: str) -> int:
    return len(tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"])


# ---- the contestants


def running_text(
    loaded: LoadedModel, texts: Texts, context: int, stride: int
) -> Iterator[Contestant]:
    group, tokens = "running text", _count(loaded.tokenizer, texts.running)
    text = Text("running text", (texts.running,))
    yield Contestant("this project", group, _this_project(loaded, text, context, stride), tokens)
    yield Contestant(
        "transformers loop, batch 1",
        group,
        lambda: usual_loop(loaded, texts.running, context, stride),
        tokens,
    )


def documents(loaded: LoadedModel, texts: Texts, context: int) -> Iterator[Contestant]:
    """Nothing but this project when lm-eval is not installed."""
    group = "documents"
    tokens = sum(_count(loaded.tokenizer, document) for document in texts.documents)
    text = Text("documents", texts.documents)
    work = _this_project(loaded, text, context, context // 2)
    yield Contestant("this project", group, work, tokens)
    if not installed("lm-eval"):
        print("lm-eval is not installed: not compared (benchmarks/requirements.txt)")
        return
    runs = {size: _harness(loaded, texts.documents, context, size) for size in HARNESS_BATCHES}
    best = min(runs, key=lambda size: timed(runs[size]))
    for size in (1, best):
        one = _harness(loaded, texts.documents, context, size)
        name = f"lm-evaluation-harness, batch {size}"
        yield Contestant(name, group, one, tokens, must_agree=size == 1)
    rounded = _harness(loaded, texts.documents, context, best, softmax=None)
    name = f"lm-evaluation-harness, batch {best}, softmax in bf16"
    yield Contestant(name, group, rounded, tokens, must_agree=False)


def _this_project(
    loaded: LoadedModel, text: Text, context: int, stride: int
) -> Callable[[], float]:
    request = PerplexityRequest((loaded.reference,), text, "bf16", context, stride)
    return lambda: drain(score(loaded, request, threading.Event())).nll_nats


def usual_loop(loaded: LoadedModel, text: str, context: int, stride: int) -> float:
    """Windows one by one, labels of -100 for what only gives context, the model's own loss."""
    import torch

    model, prefix = loaded.model, loaded.prefix_token
    tokens = loaded.tokenizer(text, add_special_tokens=False, verbose=False, return_tensors="pt")
    ids = tokens["input_ids"][0]
    total, scored_to = 0.0, 0
    while scored_to < len(ids):
        end = min(scored_to + (stride if scored_to else context - 1), len(ids))
        window = ids[max(0, end - (context - 1)) : end]
        inputs = torch.cat([torch.tensor([prefix]), window])[None]
        labels = inputs.clone()
        labels[:, : -(end - scored_to)] = -100
        with torch.no_grad():
            loss = model(inputs, labels=labels).loss
        total += loss.item() * (end - scored_to)
        scored_to = end
    return total


def _harness(
    loaded: LoadedModel,
    texts: tuple[str, ...],
    context: int,
    batch: int,
    softmax: str | None = "float32",
) -> Callable[[], float]:
    from lm_eval.api.instance import Instance
    from lm_eval.models.huggingface import HFLM

    harness = HFLM(
        pretrained=loaded.model,
        tokenizer=loaded.tokenizer,
        max_length=context,
        batch_size=batch,
        add_bos_token=False,
        prefix_token_id=loaded.prefix_token,
        softmax_dtype=softmax,
    )
    for text in texts:
        ids = harness.tok_encode(text)
        if loaded.prefix_token in ids or len(ids) >= context:
            raise SystemExit("The harness would add BOS twice, or cut a document in two.")

    def work() -> float:
        requests = [
            Instance("loglikelihood_rolling", {}, (text,), number)
            for number, text in enumerate(texts)
        ]
        with quietly():
            return -float(sum(harness.loglikelihood_rolling(requests, disable_tqdm=True)))

    return work


def quietly() -> contextlib.redirect_stderr[io.StringIO]:
    """Without the harness's progress bars."""
    return contextlib.redirect_stderr(io.StringIO())


def drain(work: Generator[Any, None, Returned]) -> Returned:
    """What a generator returns; its events are dropped."""
    while True:
        try:
            next(work)
        except StopIteration as finished:
            returned: Returned = finished.value
            return returned


# ---- the measuring


def measure(contestants: list[Contestant], rounds: int, prepare: Callable[[], None]) -> None:
    for one in contestants:
        one.found = one.work()
    for number in range(rounds):
        first = number % len(contestants)
        for one in contestants[first:] + contestants[:first]:
            prepare()
            _take_turn(one)
        print(f"round {number + 1} of {rounds} done", file=sys.stderr)


def read_weights(loaded: LoadedModel) -> None:
    """Weights are mapped from a file: what the system dropped must not count as extra."""
    import torch

    with torch.no_grad():
        loaded.model(torch.full((1, 8), loaded.prefix_token))


def _take_turn(one: Contestant) -> None:
    gc.collect()
    with contextlib.suppress(OSError, AttributeError):  # only glibc has it
        ctypes.CDLL("libc.so.6").malloc_trim(0)
    process = psutil.Process()
    before = peak = process.memory_info().rss
    done = threading.Event()

    def watch() -> None:
        nonlocal peak
        while not done.wait(SAMPLE_SECONDS):
            peak = max(peak, process.memory_info().rss)

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    started = time.perf_counter()
    one.work()
    one.seconds.append(time.perf_counter() - started)
    done.set()
    watcher.join()
    one.extra_bytes.append(peak - before)


def timed(work: Callable[[], Any]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


# ---- the report


def report(
    contestants: list[Contestant], texts: Texts, options: argparse.Namespace
) -> Iterator[str]:
    mark = "### " if options.markdown else ""
    about = {
        "running text": f"window {options.context}, stride {options.stride}",
        "documents": f"{len(texts.documents)} documents, each in one window",
    }
    for group, detail in about.items():
        members = [one for one in contestants if one.group == group]
        title = f"{mark}{group.capitalize()}: {members[0].tokens} tokens, {detail}"
        rows = [_row(one, members[0]) for one in members]
        yield from (title, "", *table(HEAD, rows, options.markdown), "")
    yield f"- Text: {texts.source}"
    yield f"- Model: {MODEL}, bf16"
    yield from facts(options.rounds, PACKAGES)


HEAD = (
    "",
    "seconds",
    "tokens/s",
    "nats/token",
    "NLL difference",
    "extra memory",
    "time, ours / theirs (rounds)",
    "memory, ours / theirs (rounds)",
)


def _row(one: Contestant, ours: Contestant) -> tuple[str, ...]:
    seconds = statistics.median(one.seconds)
    row = (
        one.name,
        f"{seconds:.2f}",
        f"{one.tokens / seconds:.0f}",
        f"{one.found / one.tokens:.5f}",
    )
    extra = f"{statistics.median(one.extra_bytes) / 1e6:.0f} MB"
    if one is ours:
        return (*row, "", extra, "", "")
    return (
        *row,
        f"{_difference(one, ours):.1e}",
        extra,
        ratios(ours.seconds, one.seconds),
        ratios(ours.extra_bytes, one.extra_bytes),
    )


def _ours(one: Contestant, contestants: list[Contestant]) -> Contestant:
    return next(other for other in contestants if other.group == one.group)


def _difference(one: Contestant, ours: Contestant) -> float:
    return abs(one.found - ours.found) / ours.found


def _agrees(one: Contestant, ours: Contestant) -> bool:
    return not one.must_agree or _difference(one, ours) <= SAME_NLL


if __name__ == "__main__":
    sys.exit(main())
