"""Doing a whole recipe again on the same input, which gives the same bytes.

The inputs are found by their hash among the files given. This module does not know what
the steps do.
"""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path

from workbench.data import storage
from workbench.data.dataset import Dataset, check_free, create, delete
from workbench.data.importing import ImportRequest, bring_corpus, bring_file
from workbench.data.mixing import mix, recipe_licence, request_of
from workbench.data.recipe import (
    CorpusSource,
    FileSource,
    HubSource,
    MixSource,
    Overlap,
    Recipe,
)
from workbench.data.steps import do
from workbench.errors import InputMissing
from workbench.events import Progress
from workbench.settings import Settings
from workbench.workspace import Workspace

MIXED = "trilogy.mixed"
"""A name for the mix while it is made; no part is called so."""
Work = Generator[Progress, None, Recipe]


@dataclass(frozen=True)
class Again:
    """What a replay gave."""

    recipe: Recipe
    same: bool
    """True if the rows are, byte for byte, those the recipe was made with."""


def replay(
    recipe: Recipe,
    inputs: list[Path],
    workspace: Workspace,
    name: str,
    settings: Settings,
    stop: threading.Event,
) -> Generator[Progress, None, Again]:
    """Make the dataset of a recipe again, under a name that is free.

    Args:
        inputs: files, and folders of files, among which the sources are looked for.

    Raises:
        InputMissing, DatasetExists, and whatever a step raises.
    """
    check_free(workspace, name)
    files = {storage.sha256(path): path for path in _files(inputs)}
    made = yield from _source(recipe, files, workspace, name, settings, stop)
    same = made.sha256 == recipe.sha256
    if not recipe.steps:
        return Again(made, same)
    try:
        dataset = Dataset(workspace, name)
        for done in recipe.steps:
            again = yield from do(dataset, done.step, settings, stop)
            same = same and (again.touched, again.kept) == (done.touched, done.kept)
    except BaseException:  # half of the steps would be another dataset
        delete(workspace, name)
        raise
    return Again(dataset.recipe, same)


def _source(
    recipe: Recipe,
    files: dict[str, Path],
    workspace: Workspace,
    name: str,
    settings: Settings,
    stop: threading.Event,
) -> Work:
    source = recipe.source
    match source:
        case FileSource():
            if source.sha256 not in files:
                raise InputMissing(name=source.name, sha256=source.sha256[:16])
            request = ImportRequest.of(source, files[source.sha256], name)
            return (yield from bring_file(request, workspace, settings, stop))
        case CorpusSource():
            return (yield from bring_corpus(source, workspace, name, stop))
        case HubSource():
            from workbench.data.hub import bring_hub

            return (yield from bring_hub(source, workspace, name, settings, stop))
        case MixSource():
            return (yield from _mixed(source, files, workspace, name, settings, stop))


def _mixed(
    source: MixSource,
    files: dict[str, Path],
    workspace: Workspace,
    name: str,
    settings: Settings,
    stop: threading.Event,
) -> Work:
    """Each part is made in a workspace of its own, and goes away with it.

    So a part may have been compared with another part, or with a dataset of its name.
    """
    workspace.datasets.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=workspace.datasets, prefix=".replay.") as folder:
        parts = []
        for number, part in enumerate(source.parts):
            inside = Workspace(Path(folder) / str(number))
            recipe = Recipe.from_json(part.recipe, part.name)
            _bring_others(recipe, workspace, inside)
            yield from replay(recipe, list(files.values()), inside, part.name, settings, stop)
            parts.append(Dataset(inside, part.name))
        yield from mix(parts, request_of(source, MIXED), stop)
        parts[0].workspace.dataset(MIXED).replace(check_free(workspace, name))
        return create(workspace, name, source, licence=recipe_licence(parts))


def _bring_others(recipe: Recipe, workspace: Workspace, inside: Workspace) -> None:
    """Overlap was looked for with other datasets, by parts of parts too: they must be at hand."""
    import shutil

    if isinstance(recipe.source, MixSource):
        for part in recipe.source.parts:
            _bring_others(Recipe.from_json(part.recipe, part.name), workspace, inside)
    for done in recipe.steps:
        if isinstance(done.step, Overlap):
            there, here = workspace.dataset(done.step.other), inside.dataset(done.step.other)
            if not there.exists():
                raise InputMissing(name=done.step.other, sha256=done.step.sha256[:16])
            if not here.exists():
                shutil.copytree(there, here)


def _files(inputs: list[Path]) -> list[Path]:
    found: list[Path] = []
    for given in inputs:
        found += sorted(given.rglob("*")) if given.is_dir() else [given]
    return [path for path in found if path.is_file()]
