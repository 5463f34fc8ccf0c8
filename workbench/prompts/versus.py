"""Two versions of a prompt on the same seeds: yield, price and register, and whether it is enough.

Both runs draw with the same seed, so that request number k of either has the same examples, and
requests are compared in pairs. This module asks nobody.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from workbench.intervals import ENOUGH_DOCUMENTS, Difference, ratios_apart, wilson
from workbench.prompts import job, store
from workbench.prompts.ledger import Price, prices
from workbench.workspace import Workspace


@dataclass(frozen=True)
class Side:
    """One version, over the requests that both have answered."""

    run: str
    prompt: str
    requests: int
    items: int
    kept: int
    cantonese: int
    """Kept rows in Cantonese."""
    money: float | None

    @property
    def kept_interval(self) -> tuple[float, float]:
        return wilson(self.kept, self.items)

    @property
    def cantonese_interval(self) -> tuple[float, float]:
        return wilson(self.cantonese, self.kept)


@dataclass(frozen=True)
class Versus:
    """Two sides and how far they are apart."""

    one: Side
    other: Side
    pairs: int
    kept: Difference
    """Share of items kept, ``one`` minus ``other``."""
    per_request: Difference
    """Rows kept a request."""
    price: Difference
    """Dollars a kept row."""
    cantonese: Difference
    """Share of kept rows in Cantonese."""

    @property
    def enough(self) -> bool:
        """False: too few pairs of requests to say anything."""
        return self.pairs >= ENOUGH_DOCUMENTS

    def figures(self) -> dict[str, Any]:
        """Everything, fit for JSON."""
        from dataclasses import asdict

        return {**asdict(self), "enough": self.enough}


@dataclass(frozen=True)
class _Request:
    items: int
    kept: int
    cantonese: int
    money: float | None


def compare(one: str, other: str, workspace: Workspace) -> Versus:
    """What two runs made of the requests that both have answered.

    Raises:
        NoSuchPromptRun.
    """
    left, right = _requests(one, workspace), _requests(other, workspace)
    shared = sorted(left.keys() & right.keys())
    mine, theirs = [left[number] for number in shared], [right[number] for number in shared]

    def apart(part: str, whole: str) -> Difference:
        if any(getattr(entry, part) is None for entry in (*mine, *theirs)):
            return Difference(float("nan"), None, None)
        columns = [
            [getattr(entry, field) if field else 1 for entry in side]
            for side in (mine, theirs)
            for field in (part, whole)
        ]
        return ratios_apart(*columns)

    return Versus(
        _side(one, mine, workspace),
        _side(other, theirs, workspace),
        len(shared),
        kept=apart("kept", "items"),
        per_request=apart("kept", ""),
        price=apart("money", "kept"),
        cantonese=apart("cantonese", "kept"),
    )


def _side(run: str, requests: list[_Request], workspace: Workspace) -> Side:
    recipe = job.recipe_of(job.find(run, workspace), workspace)
    paid = [entry.money for entry in requests]
    known = [money for money in paid if money is not None]
    return Side(
        run,
        recipe.template.label,
        len(requests),
        sum(entry.items for entry in requests),
        sum(entry.kept for entry in requests),
        sum(entry.cantonese for entry in requests),
        sum(known) if len(known) == len(paid) else None,
    )


def _requests(run: str, workspace: Workspace) -> dict[int, _Request]:
    folder = job.find(run, workspace)
    recipe = job.recipe_of(folder, workspace)
    price: Price | None = prices(workspace).of(recipe.teacher.kind, recipe.teacher.label)
    spent = {
        int(line["sequence"]): (int(line["tokens_in"]), int(line["tokens_out"]))
        for line in store.lines(folder / store.LEDGER)
        if line["kind"] == "request" and "tokens_in" in line
    }
    found = {}
    for line in store.lines(folder / store.VERDICTS):
        kept = [item for item in line["items"] if "reason" not in item]
        number = int(line["sequence"])
        tokens = spent.get(number, (0, 0))
        found[number] = _Request(
            len(line["items"]),
            len(kept),
            sum(item["register"] == "cantonese" for item in kept),
            None if price is None else price.of(*tokens),
        )
    return found
