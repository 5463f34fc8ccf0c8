"""What is kept of a dataset leaves: as a file of any format, or to the Hub with a card.

This module does not know how a format is written (``export``).
"""

from __future__ import annotations

import re
import shutil
import tempfile
import threading
from collections.abc import Generator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from workbench.data.dataset import Dataset
from workbench.data.mixing import finished
from workbench.data.recipe import MixSource, Recipe
from workbench.errors import BadShares, NothingLeft
from workbench.events import Progress

if TYPE_CHECKING:
    from workbench.data.export import Form, Written

ENDINGS = {"parquet": ".parquet", "csv": ".csv", "text": ".txt"}


def ending(form: str) -> str:
    """The usual end of a file's name in a form."""
    return ENDINGS.get(form, ".jsonl")


def splits(dataset: Dataset) -> list[str]:
    """The names of the parts of its split that have kept rows, the largest first."""
    table = finished(dataset.state)
    if "split" not in table.column_names:
        return []
    kept = table.column("split").cast(pa.string()).filter(pa.array(dataset.state.kept))
    counts = pc.value_counts(kept).to_pylist()
    found = [(-line["counts"], line["values"]) for line in counts if line["values"]]
    return [name for _, name in sorted(found)]


def rows_of(dataset: Dataset, split: str = "") -> np.ndarray:
    """The kept rows, or those of one part of the split. Shape [rows], int64.

    Raises:
        NothingLeft, BadShares.
    """
    rows = dataset.state.kept_rows()
    if split:
        table = finished(dataset.state)
        if "split" not in table.column_names:
            raise BadShares(reason=f"{dataset.name} is not split")
        inside = pc.fill_null(pc.equal(table.column("split").cast(pa.string()), split), False)
        rows = rows[inside.to_numpy()[rows]]
    if not len(rows):
        raise NothingLeft
    return rows


def export_dataset(
    dataset: Dataset, path: Path, form: Form, split: str, stop: threading.Event
) -> Generator[Progress, None, Written]:
    """Write the kept rows to one file.

    Raises:
        CannotExport, NothingLeft, BadShares, DiskFull, Stopped.
    """
    from workbench.data.export import write

    rows = rows_of(dataset, split)
    return (yield from write(finished(dataset.state), rows, path, form, stop))


def push_dataset(
    dataset: Dataset,
    repo: str,
    token: str | None,
    private: bool,
    licence: str,
    stop: threading.Event,
) -> Generator[Progress, None, str]:
    """Put the kept rows on the Hub, one file for each part of the split, with a card.

    Returns:
        The address of the dataset.

    Raises:
        DatasetUnavailable, HubUnreachable, CannotExport, NothingLeft, Stopped.
    """
    from workbench.data.publish import push_to_hub

    folder = Path(tempfile.mkdtemp())
    try:
        for split in splits(dataset) or [""]:
            path = folder / "data" / f"{_file_name(split) or 'train'}.parquet"
            yield from export_dataset(dataset, path, "parquet", split, stop)
        (folder / "dataset.json").write_text(dataset.recipe.dumps(), encoding="utf-8")
        (folder / "README.md").write_text(dataset_card(dataset, licence), encoding="utf-8")
        return push_to_hub(folder, repo, token, private)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def dataset_card(dataset: Dataset, licence: str = "") -> str:
    """The card: where the rows come from, what was done to them, and what is left."""
    from workbench.data.publish import card

    kept = dataset.state.kept_rows()
    counts = {"rows": len(kept), "rows read": dataset.state.count}
    for split in splits(dataset):
        counts[f"rows in {split}"] = len(rows_of(dataset, split))
    came_from = [(name, licence or own, rows) for name, own, rows in sources(dataset.recipe)]
    return card(dataset.name, came_from, told(dataset.recipe), counts)


def _file_name(split: str) -> str:
    """A part may be called anything, but its file may not lie anywhere."""
    return re.sub(r"[^\w\-]", "_", split)


def sources(recipe: Recipe) -> list[tuple[str, str, int]]:
    """Every input of a dataset: its name, its licence, its rows."""
    if isinstance(recipe.source, MixSource):
        parts = [Recipe.from_json(part.recipe, part.name) for part in recipe.source.parts]
        return [line for part in parts for line in sources(part)]
    name = getattr(recipe.source, "name", recipe.name)
    return [(name, recipe.licence, recipe.rows)]


def told(recipe: Recipe) -> list[str]:
    """Every step in a line of English, those of the parts of a mix first."""
    lines = []
    if isinstance(recipe.source, MixSource):
        for part in recipe.source.parts:
            before = told(Recipe.from_json(part.recipe, part.name))
            lines += [f"{part.name}: {line}" for line in before]
        names = ", ".join(part.name for part in recipe.source.parts)
        lines.append(f"{recipe.rows} rows taken from {names}, seed {recipe.source.seed}")
    for done in recipe.steps:
        lines.append(f"{done.step.kind}: {done.touched} rows touched, {done.kept} kept")
    return lines
