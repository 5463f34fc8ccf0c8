"""The saved replies of a run read again under other rules, without asking and without paying.

Only ``keep`` writes anything. This module does not know where the rules come from.
"""

from __future__ import annotations

import os
import threading
from collections import Counter
from collections.abc import Generator
from dataclasses import dataclass, field
from typing import Any

from workbench import jobs
from workbench.errors import PromptRunBusy, Stopped
from workbench.events import Progress
from workbench.prompts import job, store
from workbench.prompts.autopsy import Autopsy, Embed, Verdict
from workbench.prompts.engine import finish_of, rows_of, said_of
from workbench.prompts.rules import Rules
from workbench.workspace import Workspace, write_atomically

EVERY = 10


@dataclass
class Replayed:
    """What the rules make of the saved replies."""

    kept: int = 0
    dropped: Counter[str] = field(default_factory=Counter)
    registers: Counter[str] = field(default_factory=Counter)
    rows: list[dict[str, Any]] = field(default_factory=list)
    verdicts: list[dict[str, Any]] = field(default_factory=list)
    read: list[tuple[dict[str, Any], list[Verdict]]] = field(default_factory=list)
    """The last replies with what became of them, for somebody to look at."""

    def figures(self) -> dict[str, Any]:
        return {
            "kept": self.kept,
            "dropped": dict(self.dropped),
            "registers": dict(self.registers),
        }


def replay(
    name: str,
    workspace: Workspace,
    rules: Rules | None = None,
    embed: Embed | None = None,
    stop: threading.Event | None = None,
    show: int = 0,
) -> Generator[Progress, None, Replayed]:
    """Read every saved reply of a run again.

    Args:
        rules: other rules; None takes those of the run.
        show: of so many last replies the verdicts are handed back whole.

    Raises:
        NoSuchPromptRun, Stopped.
    """
    folder = job.find(name, workspace)
    recipe = job.recipe_of(folder, workspace)
    replies = list(store.read_replies(folder))
    seeds = store.read_seeds(folder)
    autopsy = Autopsy(recipe.template, rules or recipe.rules, seeds, embed)
    made = Replayed()
    for number, reply in enumerate(replies):
        if number % EVERY == 0:
            yield Progress("read", number, len(replies), "replies")
            if stop is not None and stop.is_set():
                raise Stopped
        row = None
        if not recipe.template.samples and seeds:
            row = seeds[int(reply["sequence"]) % len(seeds)]
        found: list[Verdict] = []
        if reply["text"] or reply["outcome"] == "ok":
            found = autopsy.examine(reply["text"], int(reply["sequence"]), finish_of(reply), row)
        made.rows += rows_of(recipe, reply, found)
        made.verdicts.append(said_of(reply, found))
        if number >= len(replies) - show:
            made.read.append((reply, found))
    made.kept, made.dropped = autopsy.kept, autopsy.dropped
    made.registers = autopsy.registers
    yield Progress("read", len(replies), len(replies), "replies")
    return made


def keep(name: str, workspace: Workspace, rules: Rules, made: Replayed) -> None:
    """Make these rules and their rows the run's own.

    Raises:
        NoSuchPromptRun, PromptRunBusy.
    """
    folder = job.find(name, workspace)
    lock = jobs.take(folder / jobs.LOCK, job.patience(folder))
    if lock is None:
        raise PromptRunBusy(name=name)
    try:
        recipe = job.recipe_of(folder, workspace).under(rules=rules)
        write_atomically(folder / job.RECIPE, recipe.to_yaml())
        store.write_made(folder, made.rows, made.verdicts)
    finally:
        os.close(lock)
