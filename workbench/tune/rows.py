"""A dataset's rows for a run: which are learned, which are held out, and what they are.

Reads ``data.parquet`` and ``dataset.json`` as the plain files they are, and refuses a dataset
whose owner has left rows out without saving. This module does not know tokens.
"""

from __future__ import annotations

import hashlib
import json
import unicodedata
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from workbench.errors import (
    BrokenFile,
    DatasetNotSaved,
    NoAnswers,
    NoDatasetChosen,
    NoRows,
    NoSuchDataset,
    TooFewRows,
    UnknownSplit,
)
from workbench.tune.mask import Messages
from workbench.tune.recipe import TuneRecipe
from workbench.workspace import Workspace

CHANGING = ("edit", "fill", "split")
"""Steps whose effect is not in ``data.parquet``, though they leave no row out."""
DEFAULT_TRAIN, DEFAULT_EVAL = "train", "validation"
LARGEST_HOLDOUT = 5
"""At most every fifth row is held out of a dataset without a part to measure with."""


@dataclass(frozen=True)
class Rows:
    """What a run learns from and what it is measured on."""

    train: list[Messages]
    held: list[Messages]
    train_rows: list[int]
    """Their numbers in the dataset. Shape [train]."""
    held_rows: list[int]
    sha256: str
    """Of ``data.parquet``."""
    licence: str = ""
    source: dict[str, Any] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    """``rows`` of the dataset, ``train``, ``held``, ``no_answer`` (left out), ``other_parts``
    (rows of other parts of the split), ``held_out`` (rows held out for want of such a part)."""


def load_rows(recipe: TuneRecipe, workspace: Workspace) -> Rows:
    """The rows of the recipe's dataset.

    Preference rows give their better answer. Rows held out for want of a split are those with
    the smallest hash of their text: the same ones in every run, whatever its seed, and equal
    rows lie on one side.

    Raises:
        NoDatasetChosen, NoSuchDataset, DatasetNotSaved, NoRows, NoAnswers, UnknownSplit,
        TooFewRows, BrokenFile.
    """
    if not recipe.dataset:
        raise NoDatasetChosen
    folder = workspace.dataset(recipe.dataset)
    log = _log(folder)
    _check_saved(folder.name, log)
    table = _table(folder, log)
    messages, answered = _messages(table), np.zeros(table.num_rows, bool)
    for number, row in enumerate(messages):
        answered[number] = has_answer(row)
    if not answered.any():
        raise NoAnswers(name=folder.name)
    train, held, wanted = _divided(recipe, table, messages, answered)
    return Rows(
        train=[messages[row] for row in train],
        held=[messages[row] for row in held],
        train_rows=train,
        held_rows=held,
        sha256=str(log["sha256"]),
        licence=str(log.get("licence", "")),
        source=log.get("source") or {},
        counts={
            "rows": table.num_rows,
            "train": len(train),
            "held": len(held),
            "no_answer": int((~answered).sum()),
            "other_parts": int(answered.sum()) - len(train) - len(held),
            "held_out": wanted,
        },
    )


def has_answer(messages: Messages) -> bool:
    """True if something of a row can be learned: words or tool calls of weight above 0."""
    return any(
        message["role"] in ("assistant", "text")
        and message.get("weight") != 0
        and bool((message.get("content") or "").strip() or message.get("tool_calls"))
        for message in messages
    )


def _log(folder: Path) -> dict[str, Any]:
    try:
        log = json.loads((folder / "dataset.json").read_text(encoding="utf-8"))
        if not (folder / "data.parquet").is_file():
            raise NoSuchDataset(name=folder.name)
        if not isinstance(log["steps"], list):
            raise TypeError
        int(log["rows"]), str(log["sha256"])
    except FileNotFoundError as error:
        raise NoSuchDataset(name=folder.name) from error
    except (ValueError, KeyError, TypeError) as error:
        reason = "it does not tell what the dataset is"
        raise BrokenFile(
            name=_inside(folder, "dataset.json"), format="JSON", reason=reason
        ) from error
    except OSError as error:
        raise _unreadable(folder, "dataset.json", "JSON", error) from error
    return dict(log)


def _check_saved(name: str, log: dict[str, Any]) -> None:
    steps = [step for step in log["steps"] if isinstance(step, dict)]
    kept = steps[-1].get("kept", log["rows"]) if steps else log["rows"]
    if kept < log["rows"] or any(step.get("kind") in CHANGING for step in steps):
        raise DatasetNotSaved(name=name)


def _table(folder: Path, log: dict[str, Any]) -> pa.Table:
    """The columns that matter, checked against the log.

    Raises:
        NoSuchDataset, BrokenFile, NoRows.
    """
    data, shown = folder / "data.parquet", _inside(folder, "data.parquet")
    try:
        with data.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
        if found != log["sha256"]:
            reason = "its rows are not those that its log speaks of"
            raise BrokenFile(name=shown, format="Parquet", reason=reason)
        names = pq.read_schema(data).names
        wanted = [name for name in ("messages", "chosen", "split") if name in names]
        table = pq.read_table(data, columns=wanted)
    except FileNotFoundError as error:
        raise NoSuchDataset(name=folder.name) from error
    except (OSError, pa.ArrowException) as error:
        raise _unreadable(folder, "data.parquet", "Parquet", error) from error
    if "messages" not in table.column_names:
        raise BrokenFile(name=shown, format="Parquet", reason="it has no column messages")
    if not table.num_rows:
        raise NoRows(name=folder.name)
    return table


def _messages(table: pa.Table) -> list[Messages]:
    rows = table.column("messages").to_pylist()
    if "chosen" not in table.column_names:
        return [row or [] for row in rows]
    better = table.column("chosen").to_pylist()
    return [[*(row or []), *(more or [])] for row, more in zip(rows, better, strict=True)]


def _divided(
    recipe: TuneRecipe, table: pa.Table, messages: list[Messages], answered: np.ndarray
) -> tuple[list[int], list[int], int]:
    """Row numbers to learn and to measure with, and how many were held out by hash."""
    parts = _parts(table)
    names = sorted({part for part in parts if part})
    train = _part(recipe.dataset, recipe.train_split, parts, names, DEFAULT_TRAIN)
    held = _part(recipe.dataset, recipe.eval_split, parts, names, DEFAULT_EVAL)
    learn = np.ones(len(parts), bool) if train is None else train
    if held is not None:
        learn = learn & ~held
        return _numbers(recipe, learn & answered), _numbers(recipe, held & answered), 0
    rows = _numbers(recipe, learn & answered)
    chosen = _hold_out(recipe, messages, rows)
    return [row for row in rows if row not in chosen], sorted(chosen), len(chosen)


def _parts(table: pa.Table) -> np.ndarray:
    """The part of the split that each row is in, empty if none. Shape [rows], objects."""
    if "split" in table.column_names and pa.types.is_string(table.schema.field("split").type):
        return np.array(pc.fill_null(table.column("split"), "").to_pylist(), object)
    return np.full(table.num_rows, "", object)


def _part(
    dataset: str, wanted: str, parts: np.ndarray, names: list[str], default: str
) -> np.ndarray | None:
    """The rows of one part; None if none is asked for, or only by default and there is none.

    Raises:
        UnknownSplit: a part was asked for by name, or rows are split, and it is not there.
    """
    if not wanted:
        return None
    if wanted in names:
        return np.array([part == wanted for part in parts], bool)
    if wanted == default and (not names or default == DEFAULT_EVAL):
        return None
    raise UnknownSplit(name=dataset, split=wanted, splits=", ".join(names) or "none")


def _numbers(recipe: TuneRecipe, chosen: np.ndarray) -> list[int]:
    rows = [int(row) for row in np.flatnonzero(chosen)]
    if not rows:
        raise NoAnswers(name=recipe.dataset)
    return rows


def _hold_out(recipe: TuneRecipe, messages: list[Messages], rows: list[int]) -> set[int]:
    """At most ``recipe.holdout`` rows, and at most a fifth; equal texts stay together."""
    most = min(recipe.holdout, max(1, len(rows) // LARGEST_HOLDOUT))
    alike: dict[str, list[int]] = {}
    for row in rows:
        text = normal(text_of(messages[row]))
        alike.setdefault(hashlib.sha256(text.encode("utf-8", "replace")).hexdigest(), []).append(
            row
        )
    held: set[int] = set()
    for digest in sorted(alike):
        if len(held) + len(alike[digest]) <= most:
            held.update(alike[digest])
    if not held or len(held) == len(rows):
        raise TooFewRows(name=recipe.dataset, count=len(rows), holdout=recipe.holdout)
    return held


def text_of(messages: Messages) -> str:
    """Every word of a row, a turn a line."""
    return "\n".join(message.get("content") or "" for message in messages)


def normal(text: str) -> str:
    """Letters and digits only, in one width and case: what two copies of a text share.

    NFKC (Unicode Standard Annex 15), then case folding; marks, punctuation and spaces go, unless
    nothing else is there. Traditional and simplified characters stay what they are.
    """
    folded = unicodedata.normalize("NFKC", text).casefold()
    return "".join(filter(str.isalnum, folded)) or "".join(folded.split())


def held_texts(recipe: TuneRecipe, workspace: Workspace) -> tuple[str, ...]:
    """Each held-out row as one text, its turns a line each: what a run is judged by.

    Raises:
        As ``load_rows`` does.
    """
    texts = [text_of(row) for row in load_rows(recipe, workspace).held]
    return tuple(text for text in texts if text.strip())


def _inside(folder: Path, name: str) -> str:
    return f"{folder.name}/{name}"


def _unreadable(folder: Path, name: str, kind: str, error: BaseException) -> BrokenFile:
    reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:120].rstrip(".")
    return BrokenFile(name=_inside(folder, name), format=kind, reason=reason)
