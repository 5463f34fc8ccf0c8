"""Rows scored by a teacher, and rated by a person before the teacher is believed.

A judging run is a run like any other: its seeds are the kept rows of the run it judges, its task
is ``score``. Ratings and the threshold lie beside the judged run. Rows below the threshold are
tagged and stay. How well the two agree is for ``agreement`` to say.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any

import yaml

from workbench.errors import BadPromptRecipe, NoSuchPromptRun, NothingKept, OutOfRange
from workbench.prompts import job, store
from workbench.prompts.recipe import GenerateRecipe
from workbench.prompts.seeds import RUN
from workbench.prompts.template import Template
from workbench.workspace import Workspace, write_atomically

SUFFIX = "-scores"
SCORER = "score-quality"
"""The prompt that scores, when none is chosen."""
RATINGS, SETTINGS = "ratings.jsonl", "judging.yaml"
LOWEST, HIGHEST = 1, 6
ASKED = 20
"""Rows that a person rates before the teacher is believed."""
THRESHOLD = 3.0


def name_of(run: str) -> str:
    """Of the judging run that belongs to a run."""
    return f"{run[: 80 - len(SUFFIX)]}{SUFFIX}"


def recipe_for(run: str, template: Template, workspace: Workspace, **chosen: Any) -> GenerateRecipe:
    """A recipe that asks about every kept row of a run once.

    Args:
        chosen: teacher, options, budget, concurrency and so on, as ``GenerateRecipe`` has them.

    Raises:
        NoSuchPromptRun, NothingKept, BadPromptRecipe.
    """
    folder = job.find(run, workspace)
    if template.task != "score":
        raise BadPromptRecipe(reason=f"{template.label} is not a prompt that scores")
    if next(store.lines(folder / store.ROWS), None) is None:
        raise NothingKept(name=run)
    return GenerateRecipe(name_of(run), template, seeds=f"{RUN}{run}", rows=0, barren=0, **chosen)


def scores(run: str, workspace: Workspace) -> dict[str, dict[str, float]]:
    """What the teacher gave each row: ``score`` and every axis it named; by the row's id.

    ``score`` is the figure of that name, else the mean of the others.
    """
    try:
        folder = job.find(name_of(run), workspace)
    except NoSuchPromptRun:
        return {}
    found: dict[str, dict[str, float]] = {}
    for line in store.lines(folder / store.ROWS):
        axes = {
            key: float(value)
            for key, value in line.items()
            if key in ("score", "quality", "complexity") and isinstance(value, int | float)
        }
        if axes and line.get("row"):
            axes.setdefault("score", sum(axes.values()) / len(axes))
            found[str(line["row"])] = axes
    return found


def to_rate(
    run: str, workspace: Workspace, count: int = ASKED, seed: int = 1
) -> list[dict[str, Any]]:
    """Rows for a person to rate: drawn over the whole range of the teacher's scores.

    Raises:
        NoSuchPromptRun.
    """
    folder = job.find(run, workspace)
    rows = list(store.lines(folder / store.ROWS))
    given = scores(run, workspace)
    draw = random.Random(seed)
    draw.shuffle(rows)
    rows.sort(key=lambda row: given.get(str(row["id"]), {}).get("score", 0.0))
    if len(rows) <= count:
        chosen = rows
    else:
        chosen = [rows[round(place * (len(rows) - 1) / (count - 1))] for place in range(count)]
    draw.shuffle(chosen)
    return chosen


def rate(run: str, row: str, rating: int, workspace: Workspace) -> None:
    """Remember what a person gave a row; of several ratings the last holds.

    Raises:
        NoSuchPromptRun, OutOfRange.
    """
    if not LOWEST <= rating <= HIGHEST:
        raise OutOfRange(field="rating", value=rating, low=LOWEST, high=HIGHEST)
    appended = store.Appended(job.find(run, workspace) / RATINGS)
    appended.write({"row": row, "rating": rating})
    appended.close()


def ratings(run: str, workspace: Workspace) -> dict[str, int]:
    """What a person gave, by the row's id."""
    folder = job.find(run, workspace)
    return {str(one["row"]): int(one["rating"]) for one in store.lines(folder / RATINGS)}


def threshold(run: str, workspace: Workspace) -> float | None:
    """Below which a row is tagged; None until it is chosen."""
    path = job.find(run, workspace) / SETTINGS
    if not path.is_file():
        return None
    said: Mapping[str, Any] = yaml.safe_load(path.read_text("utf-8")) or {}
    value = said.get("threshold")
    return float(value) if isinstance(value, int | float) else None


def choose_threshold(run: str, value: float, workspace: Workspace) -> None:
    """Raises NoSuchPromptRun, OutOfRange."""
    if not LOWEST <= value <= HIGHEST:
        raise OutOfRange(field="threshold", value=value, low=LOWEST, high=HIGHEST)
    path = job.find(run, workspace) / SETTINGS
    write_atomically(path, yaml.safe_dump({"threshold": float(value)}))
