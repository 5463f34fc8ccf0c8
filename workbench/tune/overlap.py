"""Is what is learned also what is measured with? Held-out rows, and the shipped probes.

The probes are read as the plain files they are; how they are asked is not known here.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path

import yaml

from workbench.tune.mask import Messages
from workbench.tune.rows import normal, text_of

PROBES = Path(__file__).resolve().parents[2] / "assets" / "probes"
LONG_TURN = 20
"""Characters from which one turn that two rows share is no coincidence."""
SHORT_QUESTION = 8
"""Letters below which equal questions say nothing."""


@dataclass(frozen=True)
class Overlap:
    """Rows to learn that the rows to measure with also have."""

    rows: int
    """Equal as a whole, after ``normal``."""
    turns: int
    """Not equal, but one turn of at least 20 characters is the same."""


def overlap(train: list[Messages], held: list[Messages]) -> Overlap:
    """Count the rows of ``train`` that are, or share a long turn with, a row of ``held``."""
    wholes = {normal(text_of(row)) for row in held}
    long = {turn for row in held for turn in _long_turns(row)}
    same = [normal(text_of(row)) in wholes for row in train]
    shared = sum(
        not equal and not long.isdisjoint(_long_turns(row))
        for equal, row in zip(same, train, strict=True)
    )
    return Overlap(rows=sum(same), turns=shared)


def _long_turns(messages: Messages) -> set[str]:
    turns = {normal(m.get("content") or "") for m in messages if m["role"] != "system"}
    return {turn for turn in turns if len(turn) >= LONG_TURN}


def probes_in(train: list[Messages]) -> int:
    """Count the rows in which a turn is a question, or a sentence, of the shipped probes."""
    known = _probes()
    return sum(
        any(normal(message.get("content") or "") in known for message in row) for row in train
    )


@functools.cache
def _probes() -> frozenset[str]:
    found = set()
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    for path in sorted(PROBES.glob("*.yaml")):
        for item in (yaml.load(path.read_text("utf-8"), loader) or {}).get("items", []):  # noqa: S506
            for key in ("question", "better", "worse"):
                found.add(normal(str(item.get(key) or "")))
    return frozenset(text for text in found if len(text) >= SHORT_QUESTION)
