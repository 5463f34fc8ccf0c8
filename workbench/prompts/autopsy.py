"""What became of a reply: each of its items, kept or dropped, and why.

The same replies in the same order under the same rules give the same rows, so a run is read
again from its saved replies, without asking anybody. Duplicates are sought among the seeds and
everything kept so far. This module does not know where replies come from.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from workbench.likeness.growing import Growing
from workbench.prompts.parsing import Item, parse
from workbench.prompts.rules import Part, Reason, Rules, look
from workbench.prompts.seeds import Seed
from workbench.prompts.template import Template
from workbench.signs import judged

Embed = Callable[[list[str]], np.ndarray]
ABOUT_ROWS = ("score", "translate", "extend", "explain", "polish", "rewrite")
"""Tasks that answer about a row that is there: its instruction is no duplicate of itself."""
TRUNCATED = ("MAX_TOKENS", "length")
"""What teachers call an answer that ran out of tokens."""


@dataclass(frozen=True)
class Verdict:
    """One item and what became of it."""

    item: Item
    id: str
    """Of the row that it would be: SEQUENCE-NUMBER."""
    reason: Reason | None
    """None: it is kept."""
    register: str
    """Of the answer, or of the instruction where there is none."""
    start: int
    end: int
    """Code points of the raw reply that decided, or the whole item."""
    original: str = ""
    """The instruction that this one grew from, in the task ``evolve``."""

    @property
    def kept(self) -> bool:
        return self.reason is None


class Autopsy:
    """Looks at replies one after another and remembers what was kept."""

    def __init__(
        self,
        template: Template,
        rules: Rules,
        seeds: Sequence[Seed] = (),
        embed: Embed | None = None,
    ) -> None:
        self.template, self.rules = template, rules
        self.kept = 0
        self.dropped: Counter[str] = Counter()
        self.registers: Counter[str] = Counter()
        seeks = template.task not in ABOUT_ROWS
        self._index = Growing(rules.duplicate) if rules.duplicate and seeks else None
        meant = bool(rules.meaning and seeks and embed)
        self._meaning = _Meanings(rules.meaning, embed) if meant and embed else None
        if template.samples:
            for seed in seeds:
                self._remember(f"seed {seed.id}", seed.instruction)

    def examine(
        self, raw: str, sequence: int, finish: str = "", row: Seed | None = None
    ) -> list[Verdict]:
        """Take one reply apart and judge each item.

        Args:
            raw: the reply as it came.
            sequence: the number of its request.
            finish: why the teacher ended, in its own words.
            row: what was asked about, where there was one.
        """
        start = self.template.per_request + 1 if self.template.samples else 1
        items = parse(raw, self.template.shape, finish in TRUNCATED, start)
        return [
            self._verdict(raw, _completed(item, self.template.task, row), sequence, place, row)
            for place, item in enumerate(items, 1)
        ]

    def _verdict(
        self, raw: str, item: Item, sequence: int, place: int, row: Seed | None
    ) -> Verdict:
        reason = self._reason(item, row) or self._again(item)
        name = f"{sequence:06d}-{place:02d}"
        if reason is None:
            self.kept += 1
            self._remember(name, item.instruction)
        else:
            self.dropped[reason.rule] += 1
        register = judged(item.output or item.instruction) if reason is None or item.output else ""
        if reason is None:
            self.registers[register] += 1
        start, end = _where(raw, item, reason)
        grew = row.instruction if row is not None and self.template.task == "evolve" else ""
        return Verdict(item, name, reason, register, start, end, grew)

    def _reason(self, item: Item, row: Seed | None) -> Reason | None:
        """What is wrong with the item by itself, or beside the row it is about."""
        task = self.template.task
        if task == "score":
            return None if item.scores else Reason("no_parse", "reply", 0, item.end - item.start)
        if reason := look(item, self.rules, task != "evolve"):
            return reason
        if task == "evolve" and row is not None and self.rules.echo and self.rules.duplicate:
            near = Growing(self.rules.duplicate)
            near.add(row.id, row.instruction)
            if found := near.nearest(item.instruction):
                whole, fact = (0, len(item.instruction)), f"{found.similarity:.2f}"
                return Reason("echo", "instruction", *whole, fact, row.id, found.similarity)
        return None

    def _again(self, item: Item) -> Reason | None:
        """Nearly something that is there already."""
        whole = (0, len(item.instruction))
        if self._index is not None and (near := self._index.nearest(item.instruction)):
            fact = f"{near.similarity:.2f}"
            return Reason("duplicate", "instruction", *whole, fact, near.key, near.similarity)
        if self._meaning is not None:
            key, cosine = self._meaning.nearest(item.instruction)
            if cosine >= self.rules.meaning:
                fact = f"{cosine:.3f}"
                return Reason("meaning", "instruction", *whole, fact, key, cosine)
        return None

    def _remember(self, key: str, text: str) -> None:
        if self._index is not None:
            self._index.add(key, text)
        if self._meaning is not None:
            self._meaning.add(key, text)


class _Meanings:
    """Vectors of what was kept, in one growing block."""

    def __init__(self, floor: float, embed: Embed) -> None:
        self._floor, self._embed = floor, embed
        self._keys: list[str] = []
        self._held = np.zeros((0, 0), np.float32)
        self._last: tuple[str, np.ndarray] | None = None

    def nearest(self, text: str) -> tuple[str, float]:
        vector = self._vector(text)
        if not self._keys:
            return "", 0.0
        cosines = self._held[: len(self._keys)] @ vector
        best = int(cosines.argmax())
        return self._keys[best], float(cosines[best])

    def add(self, key: str, text: str) -> None:
        vector = self._vector(text)
        if len(self._keys) >= len(self._held):
            grown = np.zeros((max(256, 2 * len(self._held)), len(vector)), np.float32)
            if self._keys:
                grown[: len(self._keys)] = self._held[: len(self._keys)]
            self._held = grown
        self._held[len(self._keys)] = vector
        self._keys.append(key)

    def _vector(self, text: str) -> np.ndarray:
        if self._last is None or self._last[0] != text:
            made = np.asarray(self._embed([text]), np.float32)[0]
            size = float(np.linalg.norm(made))
            self._last = (text, made / size if size else made)
        return self._last[1]


def _completed(item: Item, task: str, row: Seed | None) -> Item:
    """What the reply leaves out because the prompt said it."""
    if row is None or item.problem not in (None, "no_output", "no_instruction"):
        return item
    if task == "evolve" and not item.instruction:
        return replace(item, instruction=item.output, output="", problem=None)
    if task == "extend" and item.turns and row.turns:
        return replace(item, turns=(*row.turns, *item.turns))
    if not item.instruction and not item.turns and item.output:
        return replace(item, instruction=row.instruction, input=row.input, problem=None)
    return item


def _where(raw: str, item: Item, reason: Reason | None) -> tuple[int, int]:
    """The deciding characters in the raw reply; the whole item where they are written otherwise."""
    if reason is None or reason.part == "reply" or reason.rule in ("duplicate", "meaning"):
        return item.start, item.end
    text: str = getattr(item, reason.part)
    at = raw.find(text, item.start, item.end) if text else -1
    if at < 0:
        wanted = text[reason.start : reason.end]
        at = raw.find(wanted, item.start, item.end) if wanted else -1
        return (at, at + len(wanted)) if at >= 0 else (item.start, item.end)
    return at + reason.start, at + reason.end


def row_of(verdict: Verdict, provenance: dict[str, Any]) -> dict[str, Any]:
    """A kept item as a row: messages, and beside them where it came from.

    The columns are scalars, as a dataset of the workspace has them.
    """
    item = verdict.item
    if item.scores:
        about = provenance.get("seeds", "")
        return {"id": verdict.id, "row": about, **dict(item.scores), **provenance}
    turns = item.turns
    if not turns:
        asked = f"{item.instruction}\n\n{item.input}" if item.input else item.instruction
        turns = (("user", asked), *((("assistant", item.output),) if item.output else ()))
    row: dict[str, Any] = {
        "id": verdict.id,
        "messages": [{"role": role, "content": text} for role, text in turns],
    }
    if item.input and not item.turns:
        row["input"] = item.input
    if verdict.original:
        row["original"] = verdict.original
    return {**row, "register": verdict.register, **provenance}


def tally(verdicts: Iterable[Verdict]) -> Counter[str]:
    """How many were kept, and dropped by which rule."""
    return Counter("kept" if one.reason is None else one.reason.rule for one in verdicts)


def dropped(verdicts: Iterable[Verdict]) -> Iterator[Verdict]:
    return (one for one in verdicts if not one.kept)


def part_of(verdict: Verdict) -> tuple[Part, str]:
    """The part in which the reason lies, and its text."""
    part = verdict.reason.part if verdict.reason else "reply"
    return part, "" if part == "reply" else getattr(verdict.item, part)
