"""Runs as figures and as rows, read from what their processes wrote, however they ended.

This module starts and ends nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workbench import jobs
from workbench.errors import NothingKept, WorkbenchError
from workbench.prompts import job, judging, store
from workbench.prompts.autopsy import Verdict
from workbench.prompts.engine import finish_of
from workbench.prompts.ledger import Meter, prices, remaining, summed
from workbench.prompts.parsing import parse
from workbench.prompts.recipe import GenerateRecipe
from workbench.prompts.rules import Reason
from workbench.workspace import Workspace, write_atomically


@dataclass(frozen=True)
class Run:
    """One run and where it is."""

    name: str
    status: str
    """queued, running, stopped, interrupted, failed or done."""
    recipe: GenerateRecipe | None
    """None when recipe.yaml cannot be read, for instance by an older version."""
    meter: Meter
    left: dict[str, float | None]
    """Requests, money, tokens and seconds to the target, by what has been so far."""
    why: str
    """Why it is over, see ``engine.ENDINGS``; empty while it is not."""
    sentence: str
    """Why it failed; empty when it did not."""
    time: float

    def figures(self) -> dict[str, Any]:
        """Everything, fit for JSON."""
        return {
            "run": self.name,
            "status": self.status,
            "why": self.why or None,
            "sentence": self.sentence or None,
            "target": self.recipe.rows if self.recipe else None,
            **self.meter.figures(),
            "left": self.left,
        }


def listed(workspace: Workspace) -> list[Run]:
    """All runs of a workspace, the one that said something last first."""
    return [one(name, workspace) for name in job.listed(workspace)]


def one(name: str, workspace: Workspace) -> Run:
    """One run, in figures taken from its ledger.

    Raises:
        NoSuchPromptRun.
    """
    folder = job.find(name, workspace)
    try:
        recipe = job.recipe_of(folder, workspace)
        price = prices(workspace).of(recipe.teacher.kind, recipe.teacher.label)
    except (WorkbenchError, OSError):
        recipe, price = None, None
    meter = summed(store.lines(folder / store.LEDGER), price)
    for line in store.lines(folder / store.VERDICTS):
        _count(meter, line)
    said, _ = job.events_of(folder)
    status = jobs.status_of(folder)
    last = said[-1] if said else {}
    seconds = _working_seconds(said)
    return Run(
        name=name,
        status=status,
        recipe=recipe,
        meter=meter,
        left=remaining(meter, recipe.rows if recipe else 0, seconds),
        why=str(last.get("why", "")) if status in ("done", "stopped") else "",
        sentence=str(last.get("sentence", "")) if status == "failed" else "",
        time=float(last.get("time", 0) or jobs.read_state(folder).get("time", 0)),
    )


def noted(recipe: GenerateRecipe, reply: dict[str, Any], note: dict[str, Any]) -> list[Verdict]:
    """The verdicts on one reply as the run noted them, with the items they are about."""
    start = recipe.template.per_request + 1 if recipe.template.samples else 1
    cut = finish_of(reply) == "MAX_TOKENS"
    items = parse(reply["text"], recipe.template.shape, cut, start)
    return [
        Verdict(
            item, said["id"], Reason(**said["reason"]) if "reason" in said else None,
            said["register"], said["start"], said["end"],
        )
        for item, said in zip(items, note["items"], strict=False)
    ]  # fmt: skip


def _count(meter: Meter, line: dict[str, Any]) -> None:
    for item in line.get("items", ()):
        if reason := item.get("reason"):
            meter.dropped[str(reason["rule"])] += 1
        else:
            meter.kept += 1
            meter.registers[str(item.get("register", ""))] += 1


def _working_seconds(said: list[dict[str, Any]]) -> float:
    """Seconds by the clock in which the run was at work, its pauses left out."""
    total, since, last = 0.0, None, 0.0
    for event in said:
        if event["event"] == "begun":
            total += last - since if since is not None else 0.0
            since = float(event["time"])
        last = float(event["time"])
    return total + (last - since if since is not None else 0.0)


def rows(name: str, workspace: Workspace) -> Iterator[dict[str, Any]]:
    """The kept rows of a run, with score and tags where they have been judged.

    Raises:
        NoSuchPromptRun.
    """
    folder = job.find(name, workspace)
    scores = judging.scores(name, workspace)
    threshold = judging.threshold(name, workspace)
    for row in store.lines(folder / store.ROWS):
        score = scores.get(str(row.get("id")))
        if score is not None:
            row = {**row, **score}
            if threshold is not None and score["score"] < threshold:
                row["tags"] = "low_score"
        yield row


def write_rows(name: str, workspace: Workspace, path: Path) -> int:
    """The kept rows in the form of messages, which the Data room reads; how many there were.

    Raises:
        NoSuchPromptRun, NothingKept.
    """
    import orjson

    made = [orjson.dumps(row) + b"\n" for row in rows(name, workspace)]
    if not made:
        raise NothingKept(name=name)
    write_atomically(path, b"".join(made))
    return len(made)


def outcomes(name: str, workspace: Workspace) -> Counter[str]:
    """How the requests of a run went."""
    folder = job.find(name, workspace)
    return Counter(
        str(line["outcome"])
        for line in store.lines(folder / store.LEDGER)
        if line.get("kind") == "request"
    )
