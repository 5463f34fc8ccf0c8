"""Multiple choice by likelihood: this project against lm-evaluation-harness, the same items.

Two hundred questions with four options: the shipped Hong Kong set, and beginnings of recorded
dialogues (HKCanCor) with what was said next among three sentences from elsewhere. Measured:
wall time from items to answers, tokenizing included, and memory above what the process held,
of contestants that share one process and one set of loaded weights on the CPU and take turns.
This project also scores each option by itself, which the harness does not; the harness is
given its best batch of three. In fp32 every answer must be the same, in bf16 near ties may not.

Not measured: loading, answers in writing, the GPU. Exits with 1 when an answer differs in fp32.

    python benchmarks/probes.py --rounds 5 --markdown
"""

from __future__ import annotations

import os

os.environ["CUDA_VISIBLE_DEVICES"] = ""  # before torch is imported
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import argparse
import logging
import random
import statistics
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import cast

from _machine import facts, ratios, table
from perplexity import MODEL, Contestant, corpus, drain, measure, quietly, read_weights, timed

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from workbench.compare.probes.ask import Asker, ProbeRequest
from workbench.compare.probes.items import Choice, ProbeSet
from workbench.compare.probes.prompts import before_option
from workbench.compare.probes.reading import open_probe
from workbench.models.device import Precision
from workbench.models.loader import LoadedModel
from workbench.models.pool import fetch_and_load
from workbench.models.reference import ModelReference
from workbench.settings import Settings

BATCHES = (1, 8, 32)
TRIED = 20
"""Questions on which the harness's batch is chosen."""
PRECISIONS: tuple[Precision, ...] = ("fp32", "bf16")
PACKAGES = ("torch", "transformers", "lm-eval", "pycantonese")
Picks = list[int]


def main() -> int:
    options = _options()
    logging.disable(logging.WARNING)
    items = questions(options.items)
    same: list[bool] = []
    for precision in options.precision or PRECISIONS:
        loaded = drain(
            fetch_and_load(ModelReference.parse(MODEL), precision, Settings(), threading.Event())
        )
        picks: dict[str, Picks] = {}
        contestants = list(_contestants(loaded, items, picks))
        measure(contestants, options.rounds, lambda one=loaded: read_weights(one))  # type: ignore[misc]
        print("\n".join(report(contestants, picks, items, precision, options.markdown)))
        same += [precision != "fp32" or _different(picks) == 0]
    print("\n".join([f"- Model: {MODEL}", *facts(options.rounds, PACKAGES)]))
    return 0 if all(same) else 1


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--items", type=int, default=200)
    parser.add_argument("--precision", action="append", choices=PRECISIONS)
    parser.add_argument("--markdown", action="store_true", help="tables for docs/benchmarks.md")
    return parser.parse_args()


def questions(count: int) -> list[Choice]:
    """The shipped questions first, then what was said next; the same ones every time."""
    shipped = cast(tuple[Choice, ...], open_probe("hong-kong", 10**7).items)
    return [*shipped, *_said_next(count - len(shipped))][:count]


def _said_next(count: int) -> Iterator[Choice]:
    draw = random.Random(7)
    files = corpus()[1]
    others = [line for lines in files for line in lines if 6 <= len(line) <= 30]
    for number in range(max(0, count)):
        lines = draw.choice([each for each in files if len(each) > 8])
        at = draw.randrange(4, len(lines))
        options = [lines[at], *draw.sample(others, 3)]
        if len(set(options)) < 4 or not lines[at].strip():
            options[0] += "。"
        order = draw.sample(range(4), 4)
        yield Choice(
            id=f"next-{number}",
            question="\n".join(lines[at - 4 : at]),
            options=tuple(options[one] for one in order),
            answer=order.index(0),
        )


# ---- the contestants


def _contestants(
    loaded: LoadedModel, items: Sequence[Choice], picks: dict[str, Picks]
) -> Iterator[Contestant]:
    """Each notes what it picked, and returns the share that is right."""

    def contestant(name: str, work: Callable[[], Picks]) -> Contestant:
        def noted() -> float:
            picks[name] = work()
            right = (pick == item.answer for pick, item in zip(picks[name], items, strict=True))
            return sum(right) / len(items)

        return Contestant(name, "choice", noted, len(items))

    yield contestant("this project", lambda: ours(loaded, items))
    best = min(BATCHES, key=lambda size: timed(_harness(loaded, items[:TRIED], size)))
    yield contestant(f"lm-evaluation-harness, batch {best}", _harness(loaded, items, best))


def ours(loaded: LoadedModel, items: Sequence[Choice]) -> Picks:
    """As the workbench asks: longest first, in groups; without the answers in writing."""
    probe = ProbeSet("benchmark", "choice", tuple(items))
    asker = Asker(loaded, ProbeRequest((loaded.reference,), (probe,), writes=False))
    at = {item.id: number for number, item in enumerate(items)}
    picks = [0] * len(items)
    for one in drain(asker.answer(sorted(items, key=lambda one: -len(one.asked)), _never())):
        assert one.likelihoods
        picks[at[one.item]] = one.likelihoods.pick()
    return picks


def _harness(loaded: LoadedModel, items: Sequence[Choice], batch: int) -> Callable[[], Picks]:
    from lm_eval.api.instance import Instance
    from lm_eval.models.huggingface import HFLM

    harness = HFLM(
        pretrained=loaded.model,
        tokenizer=loaded.tokenizer,
        max_length=loaded.context_limit,
        batch_size=batch,
        softmax_dtype="float32",
    )

    def work() -> Picks:
        asked: list[Instance] = []
        for item in items:
            context, gap = before_option(item)
            asked += [
                Instance("loglikelihood", {}, (context, gap + option), len(asked))
                for option in item.options
            ]
        with quietly():
            found = iter(harness.loglikelihood(asked, disable_tqdm=True))
        each = [[next(found)[0] for _ in item.options] for item in items]
        return [scores.index(max(scores)) for scores in each]

    return work


def _never() -> threading.Event:
    return threading.Event()


# ---- the report


def _different(picks: dict[str, Picks]) -> int:
    """Questions that not all have answered alike."""
    return sum(len(set(each)) > 1 for each in zip(*picks.values(), strict=True))


def report(
    contestants: Sequence[Contestant],
    picks: dict[str, Picks],
    items: Sequence[Choice],
    precision: Precision,
    markdown: bool,
) -> Iterator[str]:
    mine = contestants[0]
    head = ("", "seconds", "questions/s", "right", "extra memory", "time, ours / theirs (rounds)")
    rows = []
    for one in contestants:
        seconds = statistics.median(one.seconds)
        rows.append(
            (
                one.name,
                f"{seconds:.2f}",
                f"{len(items) / seconds:.1f}",
                f"{one.found:.1%}",
                f"{statistics.median(one.extra_bytes) / 1e6:.0f} MB",
                "" if one is mine else ratios(mine.seconds, one.seconds),
            )
        )
    title = f"{len(items)} questions, {sum(len(item.options) for item in items)} options"
    yield from (f"{'### ' if markdown else ''}Probes, {precision}: {title}", "")
    yield from (*table(head, rows, markdown), "")
    yield f"- Questions answered differently: {_different(picks)}"
    yield f"- Questions: the shipped Hong Kong set; then {corpus()[0]}"
    yield ""


if __name__ == "__main__":
    sys.exit(main())
