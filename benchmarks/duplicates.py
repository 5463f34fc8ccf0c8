"""Near duplicates: this project and datasketch, on Chinese rows with planted copies.

Rows are different passages of HKCanCor utterances, drawn and joined at random; one row in
twenty is a copy of another with characters changed, taken out or put in until the Jaccard
similarity of their character n-grams has come down to a drawn value between 0.6 and 0.95.
Contestants share one process and take turns, in an order that moves on each round, after one
unmeasured turn each on the first thousandth of the rows.

Measured: wall time from strings to pairs, the highest resident memory above what the process
held right before (sampled every 20 ms), and the share of planted pairs found. datasketch is
used as its documentation does: a Python loop of ``MinHash.update`` over the encoded n-grams
of each row, 128 permutations, ``MinHashLSH`` with threshold 0.5, every row queried. It is
handed the normal forms, and its pairs are not verified; ours normalises and verifies. A
second loop gives it all n-grams of a row at once (``update_batch``).

Not measured: pairs that are in the corpus by chance.

    python benchmarks/duplicates.py --rows 20000 --rounds 5 --markdown
    python benchmarks/duplicates.py --rows 100000 --rounds 1 --markdown
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import gc
import itertools
import random
import statistics
import sys
import threading
import time
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from _machine import facts, ratios, table

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from workbench.likeness.duplicates import near, normalize

SAMPLE_SECONDS = 0.02
PLANTED = 20  # one row in so many
BINS = (0.6, 0.7, 0.8, 0.9, 1.0)
THRESHOLD = 0.5
PERMUTATIONS = 128
PACKAGES = ("datasketch", "rensa", "numpy", "pyarrow", "pycantonese")
Found = set[tuple[int, int]]


@dataclass(frozen=True)
class Corpus:
    """Rows, and which of them are edited copies of which, with their true similarity."""

    rows: list[str]
    planted: dict[tuple[int, int], float]


@dataclass
class Contestant:
    """One way to the pairs; ``work`` takes rows and returns pairs, lower number first."""

    name: str
    work: Callable[[list[str]], Found]
    found: Found = field(default_factory=set)
    seconds: list[float] = field(default_factory=list)
    extra_bytes: list[int] = field(default_factory=list)


def main() -> int:
    options = _options()
    corpus = make_corpus(options.rows, options.ngram, options.seed)
    normal = normalize(corpus.rows).to_pylist()
    contestants = [
        Contestant("this project", lambda rows: ours(rows, options.ngram)),
        Contestant("datasketch, update", lambda rows: theirs(normal, rows, options.ngram)),
        Contestant(
            "datasketch, update_batch", lambda rows: theirs(normal, rows, options.ngram, bulk=True)
        ),
    ]
    for one in contestants:
        one.work(corpus.rows[: max(2, options.rows // 1000)])
    for number in range(options.rounds):
        first = number % len(contestants)
        for one in contestants[first:] + contestants[:first]:
            take_turn(one, corpus.rows)
        print(f"round {number + 1} of {options.rounds} done", file=sys.stderr)
    print("\n".join(report(contestants, corpus, options)))
    mine, usual = (recall(one.found, corpus, BINS[0], 1.0) for one in contestants[:2])
    return 0 if mine >= usual else 1


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--ngram", type=int, default=5, help="characters, for all contestants")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--markdown", action="store_true", help="tables for docs/benchmarks.md")
    return parser.parse_args()


# ---- the rows


def make_corpus(count: int, n: int, seed: int) -> Corpus:
    draw = random.Random(seed)
    utterances = _utterances()
    letters = "".join(utterances)
    made: dict[str, str] = {}
    while len(made) < count - count // PLANTED:
        passage = _passage(utterances, draw)
        made.setdefault(_bare(passage), passage)  # no exact copies: they are another matter
    rows = list(made.values())
    planted = {}
    for _ in range(count // PLANTED):
        source = draw.randrange(count - count // PLANTED)
        copy, similarity = _edited(rows[source], draw.uniform(0.6, 0.95), n, letters, draw)
        planted[source, len(rows)] = similarity
        rows.append(copy)
    return Corpus(rows, planted)


def _utterances() -> list[str]:
    import pycantonese

    files: Any = pycantonese.hkcancor().utterances(by_file=True)
    joined = ["".join(token.word for token in line.tokens) for file in files for line in file]
    return [line for line in joined if len(line) > 3]


def _passage(utterances: list[str], draw: random.Random) -> str:
    """Utterances until 50 to 150 characters are together."""
    wanted, passage = draw.randint(50, 150), ""
    while len(passage) < wanted:
        passage += draw.choice(utterances)
    return passage


def _edited(
    row: str, target: float, n: int, letters: str, draw: random.Random
) -> tuple[str, float]:
    """Change one character after another until the similarity has come down to the target."""
    origin, copy, similarity = _gram_set(_bare(row), n), list(row), 1.0
    while similarity > target:
        at, kind = draw.randrange(len(copy)), draw.randrange(3)
        copy[at : at + (kind < 2)] = [draw.choice(letters)] if kind else []
        grams = _gram_set(_bare("".join(copy)), n)
        similarity = len(origin & grams) / len(origin | grams)
    return "".join(copy), similarity


def _bare(text: str) -> str:
    """What ``normalize`` does, as far as this corpus needs it, written independently."""
    import unicodedata

    folded = unicodedata.normalize("NFKC", text).lower()
    return "".join(one for one in folded if unicodedata.category(one)[0] not in "PZC")


def _gram_set(text: str, n: int) -> set[str]:
    return {text[start : start + n] for start in range(len(text) - n + 1)}


# ---- the contestants


def ours(rows: list[str], n: int) -> Found:
    pairs = drain(near(rows, floor=THRESHOLD, ngram=n))
    return set(zip(pairs.left.tolist(), pairs.right.tolist(), strict=True))


def theirs(normal: list[str], rows: list[str], n: int, bulk: bool = False) -> Found:
    from datasketch import MinHash, MinHashLSH

    index = MinHashLSH(threshold=THRESHOLD, num_perm=PERMUTATIONS)
    hashes = []
    for number, text in enumerate(normal[: len(rows)]):
        minhash = MinHash(num_perm=PERMUTATIONS)
        grams = _gram_set(text, n)
        if bulk:
            minhash.update_batch([gram.encode() for gram in grams])
        else:
            for gram in grams:
                minhash.update(gram.encode())
        index.insert(number, minhash)
        hashes.append(minhash)
    return {
        (other, number)
        for number, minhash in enumerate(hashes)
        for other in index.query(minhash)
        if other < number
    }


def drain(work: Generator[Any, None, Any]) -> Any:
    """What a generator returns; its events are dropped."""
    while True:
        try:
            next(work)
        except StopIteration as finished:
            return finished.value


# ---- the measuring


def take_turn(one: Contestant, rows: list[str]) -> None:
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
    one.found = one.work(rows)
    one.seconds.append(time.perf_counter() - started)
    done.set()
    watcher.join()
    one.extra_bytes.append(peak - before)


def recall(found: Found, corpus: Corpus, low: float, high: float) -> float:
    """The share of the planted pairs of a similarity from low to below high that was found."""
    meant = [pair for pair, similarity in corpus.planted.items() if low <= similarity < high]
    return float(np.mean([pair in found for pair in meant])) if meant else float("nan")


# ---- the report


def report(
    contestants: list[Contestant], corpus: Corpus, options: argparse.Namespace
) -> Iterator[str]:
    mark = "### " if options.markdown else ""
    sizes = [len(row) for row in corpus.rows]
    yield f"{mark}Near duplicates among {len(corpus.rows)} Chinese rows"
    yield ""
    head = ("", "seconds", "rows/s", "extra memory", "pairs", "time, ours / theirs (rounds)")
    measured = [_row(one, contestants[0], len(corpus.rows)) for one in contestants]
    yield from table(head, measured, options.markdown)
    yield ""
    bins = list(itertools.pairwise(BINS))
    names = [f"{low:.1f} to {high:.1f} ({_planted(corpus, low, high)})" for low, high in bins]
    shares = [
        (one.name, *(f"{recall(one.found, corpus, low, high):.1%}" for low, high in bins))
        for one in contestants
    ]
    yield from table(("planted pairs found, by Jaccard", *names), shares, options.markdown)
    yield ""
    middle = statistics.median(sizes)
    yield f"- Rows of {min(sizes)} to {max(sizes)} characters, median {middle:.0f}"
    yield f"- Character {options.ngram}-grams; {len(corpus.planted)} planted pairs"
    yield "- Text: HKCanCor (Luke & Wong 2015, CC BY 4.0) through pycantonese"
    yield from facts(options.rounds, PACKAGES)


def _planted(corpus: Corpus, low: float, high: float) -> int:
    return sum(low <= similarity < high for similarity in corpus.planted.values())


def _row(one: Contestant, first: Contestant, rows: int) -> tuple[str, ...]:
    seconds = statistics.median(one.seconds)
    return (
        one.name,
        f"{seconds:.2f}",
        f"{rows / seconds:.0f}",
        f"{statistics.median(one.extra_bytes) / 1e6:.0f} MB",
        str(len(one.found)),
        "" if one is first else ratios(first.seconds, one.seconds),
    )


if __name__ == "__main__":
    sys.exit(main())
