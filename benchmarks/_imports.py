"""One file of JSON Lines imported in two ways, and whether the same came of it.

This module measures nothing.
"""

from __future__ import annotations

import hashlib
import shutil
import sys
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from workbench.data import storage
from workbench.data.importing import ImportRequest, import_file
from workbench.settings import Settings
from workbench.workspace import Workspace

NAME = "imported"


def finish(work: Any) -> Any:
    """What a generator returns; its events are dropped."""
    while True:
        try:
            next(work)
        except StopIteration as finished:
            return finished.value


@dataclass(frozen=True)
class Brought:
    """What an import left behind: its folder, its rows, and its texts when they are asked for."""

    folder: Path
    rows: int
    texts: Callable[[], Iterable[str]]


def imported(path: Path, _: int) -> Brought:
    folder = Path(tempfile.mkdtemp(dir=path.parent))
    request = ImportRequest(path, NAME)
    done = finish(import_file(request, Workspace(folder), Settings(), threading.Event()))
    data = Workspace(folder).dataset(NAME) / storage.DATA
    return Brought(folder, done.recipe.rows, lambda: _turns(storage.read_table(data)))


def loaded(path: Path, _: int) -> Brought:
    import datasets

    folder = Path(tempfile.mkdtemp(dir=path.parent))
    rows = datasets.load_dataset("json", data_files=str(path), cache_dir=str(folder), split="train")
    return Brought(folder, len(rows), lambda: _fields(rows))


def same_texts(number: int, ours: Brought, theirs: Brought) -> bool:
    """Rows in every round, every text in the first, which is not timed."""
    same = ours.rows == theirs.rows
    if same and not number:
        same = _hash(ours.texts()) == _hash(theirs.texts())
    shutil.rmtree(ours.folder)
    shutil.rmtree(theirs.folder)
    return same


def _turns(stored: pa.Table) -> Iterator[str]:
    """Prompts and answers in the order of the file, an Alpaca input not told twice."""
    for batch in stored.select(["messages"]).to_batches(max_chunksize=1000):
        for row in batch.to_pylist():
            yield from (turn["content"] for turn in row["messages"])


def _fields(rows: Any) -> Iterator[str]:
    for row in rows:
        if "messages" in row:
            yield from (turn["content"] for turn in row["messages"])
        else:
            yield "\n\n".join(part for part in (row["instruction"], row["input"]) if part)
            yield row["output"]


def _hash(texts: Iterable[str]) -> str:
    whole = hashlib.sha256()
    for text in texts:
        whole.update(text.encode() + b"\x00")
    return whole.hexdigest()
