"""What was done to a dataset, as plain values: its source and every step since.

A recipe is a log, not a wish list: switching a step off is a step too, so that doing
the same steps again on the same input gives the same rows. This module knows how steps
are spelled in ``dataset.json`` and what makes one valid, not how they are carried out.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, fields
from typing import Any, ClassVar, Literal, get_args

from workbench.errors import BadRecipe, BadStep, WorkbenchError

VERSION = 1
Part = Literal["prompt", "answer", "whole"]
Method = Literal["exact", "near", "meaning"]
Rule = Literal["longest", "highest", "first", "source"]
Decision = Literal["keep", "drop", "clear"]
PARTS: tuple[Part, ...] = get_args(Part)
METHODS: tuple[Method, ...] = get_args(Method)
RULES: tuple[Rule, ...] = get_args(Rule)
TASKS = (
    "open question", "closed question", "summary", "translation", "writing", "rewriting",
    "extraction", "classification", "reasoning", "code", "roleplay", "chat", "other",
)  # fmt: skip
MOST_ANSWERS = 3
DROPS = (
    "empty_answer", "roles", "echo", "same_pair", "length", "broken_task", "truncated", "refusal",
    "register", "repetition", "unfilled", "mojibake",
)  # fmt: skip
"""Checks whose rows are usually left out; what the others find is for a person to judge."""


@dataclass(frozen=True)
class Check:
    """Tag rows by named checks; those of ``drops`` are left out at export."""

    kind: ClassVar = "check"
    checks: tuple[str, ...]
    drops: tuple[str, ...] = ()
    options: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _require(bool(self.checks), "no check is chosen")


@dataclass(frozen=True)
class Filter:
    """Leave out what does not fulfil an SQL condition or does not hold the words."""

    kind: ClassVar = "filter"
    where: str = ""
    search: str = ""

    def __post_init__(self) -> None:
        _require(bool(self.where.strip() or self.search), "the filter is empty")


@dataclass(frozen=True)
class Duplicates:
    """Leave out all but one of each group of rows that say the same."""

    kind: ClassVar = "duplicates"
    method: Method = "near"
    part: Part = "whole"
    threshold: float = 0.8
    rule: Rule = "longest"
    preferred: tuple[str, ...] = ()
    """Sources, best first; for the rule ``source``."""
    model: str = ""
    """A sentence-transformers model of the Hub; empty is the bundled one."""

    def __post_init__(self) -> None:
        _require(self.method in METHODS, f"there is no method {self.method}")
        _require(self.part in PARTS, f"there is no part {self.part}")
        _require(self.rule in RULES, f"there is no rule {self.rule}")
        _require(0 < self.threshold <= 1, "the threshold must be above 0 and at most 1")


@dataclass(frozen=True)
class Overlap:
    """Leave out rows that another dataset, usually a test set, also has."""

    kind: ClassVar = "overlap"
    other: str
    sha256: str = ""
    """Of the other's data; filled in when the step is done, checked when it is replayed."""
    method: Method = "near"
    part: Part = "whole"
    threshold: float = 0.8
    model: str = ""

    def __post_init__(self) -> None:
        _require(bool(self.other), "no other dataset is chosen")
        _require(self.method in METHODS, f"there is no method {self.method}")
        _require(self.part in PARTS, f"there is no part {self.part}")
        _require(0 < self.threshold <= 1, "the threshold must be above 0 and at most 1")


@dataclass(frozen=True)
class Edit:
    """Put other words into one row."""

    kind: ClassVar = "edit"
    row: int
    messages: tuple[dict[str, Any], ...]
    chosen: tuple[dict[str, Any], ...] | None = None
    rejected: tuple[dict[str, Any], ...] | None = None

    def __post_init__(self) -> None:
        said = [turn.get("content") for turn in (*self.messages, *(self.chosen or ()))]
        _require(any(said), "the row would be empty")


@dataclass(frozen=True)
class Decide:
    """Keep or drop rows by hand, whatever the checks say; ``clear`` takes that back."""

    kind: ClassVar = "decide"
    decision: Decision
    rows: tuple[int, ...] = ()
    where: tuple[str, ...] = ()
    search: str = ""
    """Instead of rows: all that a filter shows."""

    def __post_init__(self) -> None:
        _require(self.decision in get_args(Decision), f"there is no decision {self.decision}")


@dataclass(frozen=True)
class Switch:
    """Switch an earlier step, or one check of it, off or on again."""

    kind: ClassVar = "switch"
    step: int
    """Its number, from 1."""
    on: bool
    check: str = ""


@dataclass(frozen=True)
class Label:
    """What a person thinks of one row: a rating, its type, better answers."""

    kind: ClassVar = "label"
    row: int
    rating: int | None = None
    task: str | None = None
    answers: tuple[str, ...] = ()
    annotator: str = ""

    def __post_init__(self) -> None:
        rated = self.rating is None or 1 <= self.rating <= 5
        _require(rated, "a rating is between 1 and 5")
        _require(len(self.answers) <= MOST_ANSWERS, f"at most {MOST_ANSWERS} answers are kept")
        _require(len(self.task or "") <= 80, "the task type is longer than 80 characters")


@dataclass(frozen=True)
class Fill:
    """Fill placeholders such as {{name}} and {{author}} in every row."""

    kind: ClassVar = "fill"
    values: dict[str, str]

    def __post_init__(self) -> None:
        _require(bool(self.values), "no value is given")


@dataclass(frozen=True)
class Registers:
    """Add the column ``register``: Cantonese, written Chinese, mixed, neutral, other."""

    kind: ClassVar = "registers"
    part: Part = "answer"


@dataclass(frozen=True)
class Split:
    """Divide the kept rows, near-duplicates on one side; adds the column ``split``."""

    kind: ClassVar = "split"
    weights: dict[str, float]
    seed: int = 0
    method: Method = "near"
    part: Part = "whole"
    threshold: float = 0.7

    def __post_init__(self) -> None:
        shares = list(self.weights.values())
        _require(all(share >= 0 for share in shares), "a share is below 0")
        _require(sum(shares) > 0, "all shares are 0")
        _require(all(self.weights), "a part of the split has no name")


Tagging = Check | Filter | Duplicates | Overlap
"""Steps that leave rows out for a reason."""
Step = Tagging | Edit | Decide | Switch | Label | Fill | Registers | Split
KINDS: dict[str, type[Step]] = {step.kind: step for step in get_args(Step)}


@dataclass(frozen=True)
class FileSource:
    """A file that a person brought; only its name and hash are kept."""

    kind: ClassVar = "file"
    name: str
    sha256: str
    mappings: dict[str, dict[str, Any]]
    """By the name of the file; a zip has one for each file in it that was read."""
    skip_bad: bool = False
    bad_rows: int = 0


@dataclass(frozen=True)
class HubSource:
    """A dataset of the Hub at one commit."""

    kind: ClassVar = "hub"
    name: str
    config: str
    split: str
    commit: str
    rows: int
    """At most so many; 0 is all."""
    mapping: dict[str, Any]


@dataclass(frozen=True)
class CorpusSource:
    """A corpus that comes with the workbench."""

    kind: ClassVar = "corpus"
    name: str
    form: str
    values: dict[str, str] = field(default_factory=dict)
    """What fills its placeholders."""


@dataclass(frozen=True)
class MixPart:
    """Rows taken from one dataset as it was: its whole recipe is kept here."""

    name: str
    recipe: dict[str, Any]
    weight: float = 0
    """Share of the total; 0 with ``count`` 0 means every row that is kept."""
    count: int = 0
    split: str = ""
    """Only rows of this part of its split; empty is all."""


@dataclass(frozen=True)
class MixSource:
    """Kept rows of one or more datasets."""

    kind: ClassVar = "mix"
    parts: tuple[MixPart, ...]
    total: int = 0
    """Rows wanted when weights are given; 0 is as many as the weights allow."""
    seed: int = 0
    shuffle: bool = True
    answers: Literal["original", "improved", "preference"] = "original"
    """``improved`` puts the first better answer in place; ``preference`` makes pairs."""


Source = FileSource | HubSource | CorpusSource | MixSource
SOURCES: dict[str, type[Source]] = {source.kind: source for source in get_args(Source)}


@dataclass(frozen=True)
class Done:
    """A step and what it did: rows touched, and rows kept after it."""

    step: Step
    touched: int
    kept: int


@dataclass(frozen=True)
class Recipe:
    """Everything that makes a dataset what it is."""

    name: str
    source: Source
    rows: int
    sha256: str
    """Of the rows as they were read or mixed, before any step: ``data.parquet``."""
    steps: tuple[Done, ...] = ()
    licence: str = ""
    notes: str = ""

    def to_json(self) -> dict[str, Any]:
        """As it is written to ``dataset.json``."""
        source = {"kind": self.source.kind, **asdict(self.source)}
        steps = [
            {
                "kind": done.step.kind,
                **_brief(done.step),
                "touched": done.touched,
                "kept": done.kept,
            }
            for done in self.steps
        ]
        return {
            "trilogy_dataset": VERSION,
            "name": self.name,
            "rows": self.rows,
            "sha256": self.sha256,
            "licence": self.licence,
            "notes": self.notes,
            "source": source,
            "steps": steps,
        }

    @classmethod
    def from_json(cls, document: Any, name: str = "dataset.json") -> Recipe:
        """Read what ``to_json`` gave.

        Raises:
            BadRecipe: it is something else, of a later version, or holds a step that is none.
        """
        try:
            if document["trilogy_dataset"] != VERSION:
                raise BadRecipe(name=name, reason="it was made by another version")
            return cls(
                name=str(document["name"]),
                source=_source(document["source"]),
                rows=int(document["rows"]),
                sha256=str(document["sha256"]),
                steps=tuple(_done(step) for step in document["steps"]),
                licence=str(document.get("licence", "")),
                notes=str(document.get("notes", "")),
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            missing = isinstance(error, KeyError)
            reason = f"there is no {error}" if missing else _phrase(error)
            raise BadRecipe(name=name, reason=reason) from error

    def dumps(self) -> str:
        return json.dumps(self.to_json(), ensure_ascii=False, indent=1) + "\n"


def step_of(document: dict[str, Any]) -> Step:
    """One step from its JSON.

    Raises:
        BadStep: there is no such kind, or its values are wrong.
    """
    kind = KINDS.get(str(document.get("kind")))
    _require(kind is not None, f"there is no step {document.get('kind')}")
    assert kind is not None
    try:
        return kind(**_values(kind, document))
    except (TypeError, ValueError, AttributeError) as error:
        raise BadStep(reason=_phrase(error)) from error


def _source(document: dict[str, Any]) -> Source:
    kind = SOURCES[document["kind"]]
    values = _values(kind, document)
    if kind is MixSource:
        values["parts"] = tuple(MixPart(**part) for part in values["parts"])
    return kind(**values)


def _done(document: dict[str, Any]) -> Done:
    try:
        step = step_of(document)
    except WorkbenchError as error:
        raise ValueError(error.facts.get("reason", str(error))) from error
    return Done(step, int(document["touched"]), int(document["kept"]))


def _values(kind: type, document: dict[str, Any]) -> dict[str, Any]:
    names = {one.name for one in fields(kind)}
    given = {key: value for key, value in document.items() if key in names}
    return {key: tuple(v) if isinstance(v, list) else v for key, v in given.items()}


def _brief(step: Step) -> dict[str, Any]:
    """Only what differs from the defaults, so that a person can read it."""
    plain = {one.name: one.default for one in fields(step)}
    return {
        key: value
        for key, value in asdict(step).items()
        if value != plain[key] and value not in ({}, ())
    }


def _phrase(error: Exception) -> str:
    """What Python says of a value, fit to end a sentence."""
    lines = str(error).strip().splitlines() or ["a value is wrong"]
    return lines[0].replace(".__init__()", "")[:120].rstrip(". ")


def _require(condition: bool, reason: str) -> None:
    if not condition:
        raise BadStep(reason=reason)
