"""Data: pages, filters, memory, imports and checks at the size of a million rows.

1. Looking: seconds until a page of 20 rows stands there, for sorting, filtering and searching
   as the Data tab does it. *First* is the first view of its kind after the dataset was opened;
   *again* are views of that kind with another condition, word or filter, never one seen before.
2. Filters against ``datasets.Dataset.filter`` with a Python lambda, which is handed only the
   column it needs; the rows found must be the same.
3. Memory of a new process that opens, sorts, filters, searches and checks, above what it held
   after its imports, against the bytes of the Arrow table.
4. Import of JSON Lines against ``datasets.load_dataset``: files to a dataset that is stored;
   the number of rows and a hash of all texts must be the same.
5. All checks over all rows.

Contestants take turns, in an order that moves on each round, after one unmeasured turn each.
Not measured: the drawing of the page, other formats, and what an import finds wrong.
Exits with 1 when results differ or a target is missed.

    python benchmarks/data.py --rows 1000000 --gigabytes 1 --repeats 5 --markdown
    python benchmarks/data.py --rows 50000 --gigabytes 0.05 --repeats 2
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import _rows
import numpy as np
import psutil
from _imports import finish, imported, loaded, same_texts
from _machine import facts, ratios, table

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import duckdb  # noqa: F401 - loaded before memory is measured

from workbench.data import steps, storage
from workbench.data.checks import run as checks
from workbench.data.checks.findings import CheckOptions
from workbench.data.dataset import Dataset, create
from workbench.data.query import View
from workbench.data.recipe import Check, CorpusSource
from workbench.data.state import State
from workbench.settings import Settings
from workbench.workspace import Workspace

MOST_SECONDS = 0.3
FILTER_SHARE = 0.2
MEMORY_SHARE = 2.0
IMPORT_SHARE = 1.0
PAGE = 20
NAME = "rows"
PACKAGES = ("pyarrow", "duckdb", "datasets", "numpy", "pycantonese")
WORDS = {
    "Chinese": ("鍾意", "香港", "點解", "朋友", "冇所謂", "讀書", "電影"),
    "English": ("general", "casual", "Internet", "camp", "office", "holiday", "tram"),
}
OTHERS = ("老師", "學生", "工作", "屋企", "食飯", "星期", "價錢")


@dataclass
class Contestant:
    """One way to a result; ``work`` gets the number of the round, and must agree in each."""

    name: str
    work: Callable[[int], Any]
    seconds: list[float] = field(default_factory=list)


@dataclass(frozen=True)
class Part:
    """What one part of the benchmark has to say."""

    title: str
    head: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]
    missed: tuple[str, ...] = ()


def main() -> int:
    options = _options()
    if options.memory_of:
        print(json.dumps(memory_used(Workspace(options.memory_of))))
        return 0
    parts = []
    with tempfile.TemporaryDirectory(prefix="trilogy-benchmark-", dir=options.folder) as folder:
        workspace = Workspace(Path(folder))
        _require_room(Path(folder), options)
        for part in _parts(workspace, options):
            print("\n".join(shown(part, options)), "\n", flush=True)
            parts.append(part)
    print("\n".join(facts(options.repeats, PACKAGES)))
    missed = [line for part in parts for line in part.missed]
    print("\n".join(f"missed: {line}" for line in missed), file=sys.stderr)
    return 1 if missed else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--gigabytes", type=float, default=1.0, help="of each imported file")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--only", default="", help="looking, filter, memory, import or checks")
    parser.add_argument("--folder", type=Path, help="where to put the files; else the usual place")
    parser.add_argument("--markdown", action="store_true", help="tables for docs/benchmarks.md")
    parser.add_argument("--memory-of", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.repeats < 1 or options.repeats > len(WORDS["Chinese"]) - 1:
        parser.error(f"the repeats must lie between 1 and {len(WORDS['Chinese']) - 1}")
    return options


def _require_room(folder: Path, options: argparse.Namespace) -> None:
    """A dataset and its copy, then a file with what both contestants make of it."""
    needed = max(options.rows * 2500, options.gigabytes * 4e9)
    if shutil.disk_usage(folder).free < needed:
        raise SystemExit(f"{needed / 1e9:.1f} GB of disk are needed.")


def _parts(workspace: Workspace, options: argparse.Namespace) -> Iterator[Part]:
    wanted = [options.only] if options.only else ["looking", "filter", "memory", "checks", "import"]
    if {"looking", "filter", "memory", "checks"} & {*wanted}:
        _rows.write(workspace.dataset(NAME) / storage.DATA, options.rows)
        create(workspace, NAME, CorpusSource("hkcancor", "exchanges", {}))
        storage.open_copy(workspace.dataset(NAME))
    for name in wanted:
        if name == "import":
            yield imports(workspace.root, options)
        elif name == "memory":
            yield memory(workspace)
        else:
            work = {"looking": looking, "filter": filters, "checks": checked}[name]
            yield work(Dataset(workspace, NAME), options)


# ---- looking


def looking(dataset: Dataset, options: argparse.Namespace) -> Part:
    lines, missed = [], []
    for name, views in _views(options.repeats).items():
        first, *again = [_page_seconds(dataset.state, view) for view in views]
        seconds, worked = zip(*again, strict=True)
        middle = statistics.median(seconds)
        missed += [f"{name} takes {middle:.2f} s"] if middle > MOST_SECONDS else []
        told = f"**{middle * 1000:.0f}** ({min(seconds) * 1000:.0f}-{max(seconds) * 1000:.0f})"
        processor = f"{statistics.median(worked) * 1000:.0f}"
        lines.append((name, f"{first[0] * 1000:.0f}", told, processor))
    nbytes = dataset.state.table.nbytes / 1e9
    title = f"Looking: {dataset.state.count:,} rows, an Arrow table of {nbytes:.2f} GB"
    head = ("a page of 20 rows", "first, ms", "again, ms", "again, processor ms")
    return Part(title, head, lines, tuple(missed))


def _views(repeats: int) -> dict[str, list[View]]:
    """Of each kind one view more than there are repeats, all different."""
    count = range(repeats + 1)
    filtered = [(), *((f"score > 0.{number + 1}",) for number in count)]
    orders = ("row", "score", "stars", "source", "id", "turns", "characters", "prompt", "answer")
    return {
        "filter: score > 0.5": [View((f"score > 0.5{number}",)) for number in count],
        "filter: characters > 400": [View((f"characters > {400 + number}",)) for number in count],
        "filter: turns = 4 and stars > 2": [
            View((f"turns = {2 * (number % 3) + 2} AND stars > {number // 3}",)) for number in count
        ],
        "filter: prompt LIKE '%鍾意%'": [
            View((f"prompt LIKE '%{WORDS['Chinese'][number]}%'",)) for number in count
        ],
        **{
            f"search: {language} word": [View(search=words[number]) for number in count]
            for language, words in WORDS.items()
        },
        **{
            f"sort by {order}, then filtered": [
                View(filtered[number], order=order) for number in count
            ]
            for order in orders
        },
        "filter, search and sort": [
            View((f"characters > 30{number}",), OTHERS[number], "prompt", True) for number in count
        ],
    }


def _page_seconds(state: State, view: View) -> tuple[float, float]:
    """Until the first, the middle and the last page of a view have been shown.

    Returns:
        Seconds, and seconds that all cores together worked for it.
    """
    started, worked = time.perf_counter(), time.process_time()
    found = state.query.rows(view)
    last = max(0, len(found) - 1) // PAGE
    for page in (0, last // 2, last):
        state.examples(found[page * PAGE : (page + 1) * PAGE])
    return time.perf_counter() - started, time.process_time() - worked


# ---- filters


def filters(dataset: Dataset, options: argparse.Namespace) -> Part:
    import datasets

    datasets.disable_progress_bars()
    theirs = datasets.Dataset(dataset.state.table).add_column("row", np.arange(dataset.state.count))
    lines, missed = [], []
    for name, column, condition, test in (
        ("score > 0.9", "score", _score, _high),
        ("prompt LIKE '%鍾意%'", "messages", _like, _said),
    ):
        contestants = [
            Contestant("this project", partial(_ours, dataset.state, condition)),
            Contestant("datasets", partial(_theirs, theirs, column, test)),
        ]
        missed += alternate(name, contestants, options.repeats, _same_rows)
        lines += _compared(name, contestants)
        missed += _judged(name, contestants, FILTER_SHARE)
    title = f"Filters: {dataset.state.count:,} rows"
    return Part(title, HEAD, lines, tuple(missed))


def _score(turn: int) -> str:
    return f"score > 0.9{turn}"


def _high(turn: int) -> Callable[[float], bool]:
    limit = float(f"0.9{turn}")
    return lambda score: score > limit


def _like(turn: int) -> str:
    return f"prompt LIKE '%{WORDS['Chinese'][turn]}%'"


def _said(turn: int) -> Callable[[list[dict[str, str]]], bool]:
    word = WORDS["Chinese"][turn]

    def test(messages: list[dict[str, str]]) -> bool:
        said = [message["content"] for message in messages if message["role"] == "user"]
        return bool(said) and word in said[-1]

    return test


def _ours(state: State, condition: Callable[[int], str], turn: int) -> np.ndarray:
    return state.query.rows(View((condition(turn),)))


def _theirs(rows: Any, column: str, test: Callable[[int], Any], turn: int) -> Any:
    return rows.filter(
        test(turn), input_columns=column, keep_in_memory=True, load_from_cache_file=False
    )


def _same_rows(_: int, ours: np.ndarray, theirs: Any) -> bool:
    return bool(np.array_equal(ours, theirs.with_format("numpy")["row"][:]))


# ---- memory


def memory(workspace: Workspace) -> Part:
    """Measured in a process of its own."""
    command = [sys.executable, __file__, "--memory-of", str(workspace.root)]
    told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    used: dict[str, int] = json.loads(told.splitlines()[-1])
    size = used.pop("table")
    lines = [(name, f"{rss / 1e6:.0f} MB", f"{rss / size:.2f}") for name, rss in used.items()]
    over = used["peak"] > MEMORY_SHARE * size
    missed = (f"memory peaks at {used['peak'] / size:.2f} of the table",) if over else ()
    title = f"Memory: an Arrow table of {size / 1e6:.0f} MB"
    return Part(title, ("resident, above the imports", "", "of the table"), lines, missed)


def memory_used(workspace: Workspace) -> dict[str, int]:
    """Bytes above those held after the imports, after each thing done, and the peak."""
    process, peak, done = psutil.Process(), 0, threading.Event()
    before = process.memory_info().rss
    used: dict[str, int] = {}

    def watch() -> None:
        nonlocal peak
        while not done.wait(0.01):
            peak = max(peak, process.memory_info().rss)

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    for name in _uses(Dataset(workspace, NAME), used):
        used[name] = process.memory_info().rss - before
    done.set()
    watcher.join()
    return {**used, "peak": peak - before}


def _uses(dataset: Dataset, used: dict[str, int]) -> Iterator[str]:
    state = dataset.state
    used["table"] = state.table.nbytes
    _page_seconds(state, View())
    yield "opened, three pages"
    for order in ("score", "prompt", "answer", "characters"):
        _page_seconds(state, View(order=order))
    yield "sorted by four columns"
    for one in ("score > 0.5", "characters > 400", "prompt LIKE '%鍾意%'", "turns = 4"):
        _page_seconds(state, View((one,), order="score"))
    for words in WORDS.values():
        _page_seconds(state, View(search=words[0]))
    yield "filtered and searched"
    for _ in steps.do(dataset, Check(tuple(checks.CHECKS)), Settings(), threading.Event()):
        pass
    _page_seconds(state, View(("list_has_any(tags, ['length'])",), order="score"))
    yield "tagged by all checks"
    dataset.undo()


# ---- checks


def checked(dataset: Dataset, _: argparse.Namespace) -> Part:
    """Information only: one run."""
    started = time.perf_counter()
    found = finish(
        checks.run(dataset.state.table, tuple(checks.CHECKS), CheckOptions(), threading.Event())
    )
    seconds = time.perf_counter() - started
    rows = f"{dataset.state.count / seconds:,.0f}"
    line = (f"all {len(checks.CHECKS)} checks", f"{seconds:.1f}", rows, f"{found.num_rows:,}")
    return Part(
        f"Checks: {dataset.state.count:,} rows", ("", "seconds", "rows/s", "findings"), [line]
    )


# ---- imports


def imports(folder: Path, options: argparse.Namespace) -> Part:
    import datasets

    datasets.disable_progress_bars()
    lines, missed = [], []
    size = int(options.gigabytes * 1e9)
    for name, shape in (("Alpaca", _rows.alpaca), ("messages", _rows.messages)):
        path = folder / f"{name}.jsonl"
        rows = _rows.write_lines(path, size, shape)
        contestants = [
            Contestant("this project", partial(imported, path)),
            Contestant("datasets", partial(loaded, path)),
        ]
        missed += alternate(name, contestants, options.repeats, same_texts)
        title = f"{name}, {path.stat().st_size / 1e9:.2f} GB, {rows:,} rows"
        lines += _compared(title, contestants)
        missed += _judged(f"import of {name}", contestants, IMPORT_SHARE)
        path.unlink()
    return Part("Import of JSON Lines", HEAD, lines, tuple(missed))


# ---- the measuring


def alternate(
    about: str, contestants: list[Contestant], repeats: int, same: Callable[[int, Any, Any], bool]
) -> list[str]:
    """Every contestant once a round; says in which rounds they did not agree."""
    faults = []
    for number in range(repeats + 1):  # the first round is not timed
        first = number % len(contestants)
        results = {}
        for one in contestants[first:] + contestants[:first]:
            started = time.perf_counter()
            results[one.name] = one.work(number)
            if number:
                one.seconds.append(time.perf_counter() - started)
        if not same(number, *(results[one.name] for one in contestants)):
            faults.append(f"{about}: results differ in round {number}")
        print(f"round {number} of {repeats} done", file=sys.stderr)
    return faults


# ---- the report

HEAD = ("", "seconds", "time, ours / theirs (rounds)")


def _compared(name: str, contestants: list[Contestant]) -> list[tuple[str, ...]]:
    ours, theirs = contestants
    return [
        (f"{name}: {ours.name}", f"{statistics.median(ours.seconds):.3f}", ""),
        (
            f"{name}: {theirs.name}",
            f"{statistics.median(theirs.seconds):.3f}",
            ratios(ours.seconds, theirs.seconds),
        ),
    ]


def _judged(name: str, contestants: list[Contestant], most: float) -> list[str]:
    mine, other = (statistics.median(one.seconds) for one in contestants)
    return [f"{name}: {mine / other:.2f}, not {most:.2f}"] if mine > most * other else []


def shown(part: Part, options: argparse.Namespace) -> Iterator[str]:
    yield f"{'### ' if options.markdown else ''}{part.title}"
    yield ""
    yield from table(part.head, part.rows, options.markdown)
    yield ""
    yield f"Load of the last minute, this benchmark included: {psutil.getloadavg()[0]:.1f}"


if __name__ == "__main__":
    sys.exit(main())
