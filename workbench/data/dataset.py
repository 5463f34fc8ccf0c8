"""One dataset of the workspace: its rows, its log of steps, and doing or undoing one.

    datasets/<name>/data.parquet    the rows as they came, never changed
    datasets/<name>/dataset.json    where they came from and every step since
    datasets/<name>/effects/        what each step did, so that it need not be done again

This module does not know how a step works out its effect (see ``steps``).
"""

from __future__ import annotations

import json
import threading
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa

from workbench.data import storage
from workbench.data.recipe import Done, Recipe, Source, Step
from workbench.data.rows import SCHEMA
from workbench.data.state import Effect, State
from workbench.errors import BadRecipe, BadStep, DatasetExists, NoSuchDataset, NothingToUndo
from workbench.events import Progress
from workbench.workspace import Workspace, write_atomically

if TYPE_CHECKING:
    from collections.abc import Iterator

PARTS = ("findings", "rows", "patch", "columns")
Work = Generator[Progress, None, Effect]


@dataclass(frozen=True)
class Summary:
    """One line of the list of datasets."""

    name: str
    rows: int
    kept: int
    steps: int
    source: str
    bytes: int


def listed(workspace: Workspace) -> list[Summary]:
    """Every dataset of the workspace, by name; what cannot be read is left out."""
    found = []
    folder = workspace.datasets
    for log in sorted(folder.glob(f"*/{storage.LOG}")) if folder.is_dir() else []:
        if log.parent.name.startswith("."):
            continue
        try:
            recipe = read_recipe(log)
            size = (log.parent / storage.DATA).stat().st_size
        except (BadRecipe, OSError):
            continue
        kept = recipe.steps[-1].kept if recipe.steps else recipe.rows
        found.append(
            Summary(recipe.name, recipe.rows, kept, len(recipe.steps), recipe.source.kind, size)
        )
    return found


def read_recipe(path: Path) -> Recipe:
    """The recipe in a ``dataset.json``.

    Raises:
        BadRecipe.
    """
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BadRecipe(name=path.name, reason="it is not JSON") from error
    return Recipe.from_json(document, path.name)


def create(
    workspace: Workspace, name: str, source: Source, licence: str = "", notes: str = ""
) -> Recipe:
    """Write the log of a dataset whose ``data.parquet`` has just been put in place."""
    folder = workspace.dataset(name)
    data = folder / storage.DATA
    rows = storage.metadata(data).num_rows
    recipe = Recipe(folder.name, source, rows, storage.sha256(data), licence=licence, notes=notes)
    write_atomically(folder / storage.LOG, recipe.dumps())
    return recipe


def check_free(workspace: Workspace, name: str) -> Path:
    """The folder for a new dataset.

    Raises:
        InvalidName, DatasetExists.
    """
    folder = workspace.dataset(name)
    if (folder / storage.LOG).exists():
        raise DatasetExists(name=folder.name)
    return folder


def delete(workspace: Workspace, name: str) -> None:
    """Delete a dataset with its log.

    Raises:
        InvalidName, NoSuchDataset.
    """
    folder = workspace.dataset(name)
    if not (folder / storage.LOG).exists():
        raise NoSuchDataset(name=folder.name)
    storage.remove_tree(folder)


class Dataset:
    """A dataset that is open: its state can be asked, and steps done to it."""

    def __init__(self, workspace: Workspace, name: str) -> None:
        self.folder = workspace.dataset(name)
        self.workspace = workspace
        if not (self.folder / storage.LOG).exists():
            raise NoSuchDataset(name=self.folder.name)
        self._lock = threading.RLock()
        self._busy = False
        self._load()

    def _load(self) -> None:
        stamp = self._written()
        recipe = read_recipe(self.folder / storage.LOG)
        try:
            state = self._folded(recipe)
        except (OSError, pa.ArrowException, IndexError, KeyError) as error:
            reason = "its rows, or what its steps did, cannot be read"
            raise BadRecipe(name=recipe.name, reason=reason) from error
        self._stamp, self.recipe, self.state = stamp, recipe, state

    def _folded(self, recipe: Recipe) -> State:
        """The rows with every step folded in.

        Raises:
            BadRecipe: they do not give what the log says.
        """
        table = storage.open_copy(self.folder)
        if table.column_names[: len(SCHEMA)] != SCHEMA.names or table.num_rows != recipe.rows:
            raise BadRecipe(name=recipe.name, reason="its rows are not those it speaks of")
        state = State(table)
        for number, done in enumerate(recipe.steps, 1):
            state.apply(number, done.step, self._effect(number))
        if recipe.steps and int(state.kept.sum()) != recipe.steps[-1].kept:
            raise BadRecipe(name=recipe.name, reason="its steps do not leave the rows it says")
        return state

    def _written(self) -> tuple[int, int, int]:
        """What changes whenever the log is written, even twice within a tick of the clock."""
        try:
            found = (self.folder / storage.LOG).stat()
        except OSError as error:
            raise NoSuchDataset(name=self.folder.name) from error
        return found.st_mtime_ns, found.st_ino, found.st_size

    def refresh(self) -> None:
        """Read the log again if another process has written it.

        Raises:
            NoSuchDataset, BadRecipe.
        """
        with self._lock:
            if self._written() != self._stamp:
                self._load()

    @property
    def name(self) -> str:
        return self.recipe.name

    def do(self, step: Step, work: Work) -> Generator[Progress, None, Done]:
        """Do a step: work out its effect, store it, then write it into the log.

        Raises:
            BadStep: another step is being done to this dataset, or was meanwhile.
        """
        with self._alone():
            self.refresh()
            before = self._stamp
            effect = yield from work
            with self._lock:
                if self._written() != before:
                    raise BadStep(reason="another program changed the dataset meanwhile; try again")
                return self._finish(step, effect)

    def _finish(self, step: Step, effect: Effect) -> Done:
        """Store an effect, fold it in and log it; if that fails all is as it was before."""
        number = len(self.recipe.steps) + 1
        try:
            self._store(number, effect)
            self.state.apply(number, step, effect)
            kept = int(self.state.kept.sum())
            done = Done(step, effect.touched or _inline(step), kept)
            self._save(replace(self.recipe, steps=(*self.recipe.steps, done)))
        except BaseException:
            self._load()
            raise
        return done

    def undo(self) -> Done:
        """Take the last step back.

        Raises:
            NothingToUndo, BadStep.
        """
        with self._alone(), self._lock:
            self.refresh()
            if not self.recipe.steps:
                raise NothingToUndo
            *before, last = self.recipe.steps
            self._save(replace(self.recipe, steps=tuple(before)))
            self._forget(len(before) + 1)
            self._load()
        return last

    def _save(self, recipe: Recipe) -> None:
        log = self.folder / storage.LOG
        write_atomically(log, recipe.dumps())
        self.recipe, self._stamp = recipe, self._written()

    @contextmanager
    def _alone(self) -> Iterator[None]:
        with self._lock:
            if self._busy:
                raise BadStep(reason="another step is being done to this dataset; wait for it")
            self._busy = True
        try:
            yield
        finally:
            self._busy = False

    def _path(self, number: int, part: str) -> Path:
        return self.folder / "effects" / f"{number:04}.{part}.parquet"

    def _store(self, number: int, effect: Effect) -> None:
        self._forget(number)
        rows = None if effect.rows is None else pa.table({"row": pa.array(effect.rows, pa.int64())})
        parts = {
            "findings": effect.findings,
            "rows": rows,
            "patch": effect.patch,
            "columns": effect.columns,
        }
        for part, table in parts.items():
            if table is not None:
                storage.write_table(self._path(number, part), table)

    def _effect(self, number: int) -> Effect:
        there = {part: self._path(number, part) for part in PARTS}
        read = {p: storage.read_table(path) for p, path in there.items() if path.exists()}
        rows = read.pop("rows", None)
        return Effect(**read, rows=None if rows is None else rows.column("row").to_numpy())

    def _forget(self, number: int) -> None:
        for part in PARTS:
            self._path(number, part).unlink(missing_ok=True)


def _inline(step: Step) -> int:
    """Rows touched by a step that is told whole in the log."""
    rows = getattr(step, "rows", ())
    return len(rows) or int(hasattr(step, "row"))


def finish(work: Generator[Progress, None, Done]) -> Done:
    """Do a step that takes no time worth showing."""
    while True:
        try:
            next(work)
        except StopIteration as end:
            done: Done = end.value
            return done
