"""Prompt templates: text with named slots, how its replies are read, and its versions.

A template is a YAML file, in ``assets/prompts`` or in the workspace. A slot is written
``{{name}}``; one that nothing fills is an error that names it, never an empty hole in a prompt
that is paid for. Slots are filled from

- ``tasks``, ``start``, ``asked``: the sampled seeds as a numbered list, the number that comes
  next, and the number of the last item wanted;
- the row itself: ``instruction``, ``input``, ``output``, ``conversation``, ``document``, ``id``,
  ``name``, and every other column by its own name;
- ``choices`` of the template: one of the list, another one from request to request;
- ``values`` that the person gives.

This module does not know who is asked.
"""

from __future__ import annotations

import difflib
import functools
import hashlib
import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import yaml

from workbench.errors import BadPrompt, NoSuchPrompt, UnfilledSlot, UnknownSlot
from workbench.prompts.seeds import Seed
from workbench.workspace import Workspace, check_name, write_atomically

LIBRARY = Path(__file__).resolve().parents[2] / "assets" / "prompts"
NOT_PROMPTS = ("prices",)
Shape = Literal["numbered", "json", "score", "versions", "conversation", "text"]
SHAPES: tuple[Shape, ...] = ("numbered", "json", "score", "versions", "conversation", "text")
TASKS = (
    "self-instruct", "evolve", "score", "translate", "question-answer", "conversation",
    "roleplay", "extend", "explain", "polish", "rewrite",
)  # fmt: skip
SLOT = re.compile(r"\{\{\s*([A-Za-z_]\w*)\s*\}\}")
LABELS = ("Instruction", "Input", "Output")
NO_INPUT = "<noinput>"
LANGUAGES = ("en", "zh-TW", "zh-CN")
LONGEST = 200_000


@dataclass(frozen=True)
class Template:
    """One version of one prompt."""

    name: str
    template: str
    shape: Shape
    task: str = "self-instruct"
    version: int = 1
    title: Mapping[str, str] = field(default_factory=dict)
    about: Mapping[str, str] = field(default_factory=dict)
    slots: Mapping[str, str] = field(default_factory=dict)
    """What each slot holds, for the person who edits the text."""
    per_request: int = 1
    """Seeds sampled into one request, without replacement; 0 asks with no example at all."""
    asked: int = 0
    """The number that the last item should carry; 0 where it does not apply."""
    labels: tuple[str, ...] = LABELS
    """How instruction, input and output are called in ``tasks``."""
    choices: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    schema: Mapping[str, Any] | None = None
    """A JSON schema: the teacher is asked for structured output."""
    rules: Mapping[str, Any] = field(default_factory=dict)
    """Defaults of the autopsy's rules."""
    source: str = ""
    """``library`` or ``workspace``; not part of what the template says."""

    def __post_init__(self) -> None:
        check_name(self.name)
        problems = [
            (not self.template.strip(), "its text is empty"),
            (len(self.template) > LONGEST, f"its text is longer than {LONGEST:,} characters"),
            (self.shape not in SHAPES, f"the shape must be one of {', '.join(SHAPES)}"),
            (self.task not in TASKS, f"the task must be one of {', '.join(TASKS)}"),
            (not 0 <= self.per_request <= 100, "per_request must be between 0 and 100"),
            (not 0 <= self.asked <= 500, "asked must be between 0 and 500"),
            (self.version < 1, "version must be at least 1"),
            (len(self.labels) != 3, "labels must be three words"),
        ]
        for wrong, reason in problems:
            if wrong:
                raise BadPrompt(name=self.name, reason=reason)
        if self.slots:
            for slot in self.holes:
                if slot not in self.slots and slot not in self.choices:
                    raise UnknownSlot(name=self.name, slot=slot)

    @property
    def holes(self) -> tuple[str, ...]:
        """The names of the slots in the text, each once, in their order."""
        return tuple(dict.fromkeys(SLOT.findall(self.template)))

    @property
    def samples(self) -> bool:
        """True when seeds are drawn as examples, False when each row is asked about once."""
        return self.task == "self-instruct"

    @property
    def label(self) -> str:
        return f"{self.name}@{self.version}"

    @property
    def sha256(self) -> str:
        """Of what decides the prompt and the reading of its reply."""
        return hashlib.sha256(self.to_yaml().encode()).hexdigest()

    def called(self, language: str) -> str:
        return self.title.get(language) or self.title.get("en") or self.name

    def says(self, language: str) -> str:
        return self.about.get(language) or self.about.get("en") or ""

    def to_yaml(self) -> str:
        said = {key: value for key, value in asdict(self).items() if key != "source"}
        said["labels"] = list(self.labels)
        said["choices"] = {name: list(some) for name, some in self.choices.items()}
        return yaml.safe_dump(said, allow_unicode=True, sort_keys=False, width=100)

    @classmethod
    def from_yaml(cls, text: str, name: str = "prompt", source: str = "") -> Template:
        """Read one.

        Raises:
            BadPrompt, UnknownSlot, InvalidName.
        """
        try:
            said = yaml.safe_load(text)
        except yaml.YAMLError as error:
            reason = " ".join(str(error).split())[:160]
            raise BadPrompt(name=name, reason=f"it is not YAML: {reason}") from None
        if not isinstance(said, dict):
            raise BadPrompt(name=name, reason="it is not a list of fields")
        known = set(cls.__dataclass_fields__) - {"source"}
        if unknown := sorted(map(str, said.keys() - known)):
            raise BadPrompt(name=name, reason=f"the field {unknown[0]} is not known")
        said = {"name": name, **said}
        for needed in ("template", "shape"):
            if not isinstance(said.get(needed), str):
                raise BadPrompt(name=str(said["name"]), reason=f"the field {needed} is missing")
        try:
            said["labels"] = tuple(said.get("labels") or LABELS)
            choices = said.get("choices") or {}
            said["choices"] = {key: tuple(map(str, some)) for key, some in choices.items()}
            for key in ("title", "about", "slots", "rules"):
                said[key] = dict(said.get(key) or {})
            return cls(**said, source=source)
        except (TypeError, ValueError, AttributeError) as error:
            raise BadPrompt(name=str(said["name"]), reason=str(error)[:160]) from None


@dataclass(frozen=True)
class Filled:
    """A prompt ready to be sent, and the seeds in it."""

    text: str
    seeds: tuple[str, ...]
    slots: Mapping[str, str]
    row: Seed | None = None
    """The row that is asked about, where there is one."""


def fill(
    template: Template,
    seeds: Sequence[Seed],
    sequence: int,
    seed: int = 1,
    values: Mapping[str, str] | None = None,
) -> Filled:
    """The prompt of one request. The same arguments give the same text, whatever came before.

    Args:
        seeds: all there are; which of them go in follows from ``sequence``.
        sequence: the number of the request in its run, from 0.
        seed: of the drawing.

    Raises:
        UnfilledSlot: nothing fills a slot of the text.
    """
    draw = random.Random(f"{seed}:{sequence}")
    chosen: list[Seed] = []
    row: Seed | None = None
    if template.samples:
        chosen = draw.sample(list(seeds), min(template.per_request, len(seeds)))
    elif seeds:
        row = seeds[sequence % len(seeds)]
        chosen = [row]
    filling: dict[str, str] = {}
    if row is not None:
        filling |= row.slots()
    filling |= {name: draw.choice(some) for name, some in template.choices.items() if some}
    filling |= {
        "tasks": numbered(chosen, template.labels),
        "start": str(len(chosen) + 1),
        "asked": str(template.asked),
    }
    filling |= values or {}
    for slot in template.holes:
        if slot not in filling:
            raise UnfilledSlot(name=template.label, slot=slot)
    used = {slot: filling[slot] for slot in template.holes}
    text = SLOT.sub(lambda found: used[found[1]], template.template)
    return Filled(text.strip("\n"), tuple(one.id for one in chosen), used, row)


def numbered(seeds: Sequence[Seed], labels: Sequence[str] = LABELS) -> str:
    """Seeds as the list that the teacher is asked to go on with (Wang et al. 2022; Alpaca)."""
    said = []
    for number, one in enumerate(seeds, 1):
        parts = (one.instruction, one.input or NO_INPUT, one.output)
        lines = (
            f"{number}. {label}: {part}" if len(part.splitlines()) < 2
            else f"{number}. {label}:\n{part}"
            for label, part in zip(labels, parts, strict=True)
        )  # fmt: skip
        said.append("###\n" + "\n".join(lines))
    return "\n".join(said)


@functools.cache
def _library() -> tuple[Template, ...]:
    return tuple(
        Template.from_yaml(path.read_text("utf-8"), path.stem, "library")
        for path in sorted(LIBRARY.glob("*.yaml"))
        if path.stem not in NOT_PROMPTS
    )


def folder_of(workspace: Workspace) -> Path:
    """Where the person's own versions are kept, one file a version."""
    return workspace.root / "prompt-versions"


def listed(workspace: Workspace) -> list[Template]:
    """The library and the person's own, the newest version of a name last."""
    own = []
    for path in folder_of(workspace).glob("*/*.yaml"):
        try:
            own.append(Template.from_yaml(path.read_text("utf-8"), path.parent.name, "workspace"))
        except (BadPrompt, UnknownSlot):
            continue  # somebody edits it at this moment, or an older version wrote it
    return sorted([*_library(), *own], key=lambda one: (one.name, one.version))


def find(label: str, workspace: Workspace) -> Template:
    """By ``name`` (the newest version) or ``name@version``.

    Raises:
        NoSuchPrompt.
    """
    name, _, version = label.partition("@")
    fitting = [
        one
        for one in listed(workspace)
        if one.name == name and (not version or str(one.version) == version)
    ]
    if not fitting:
        raise NoSuchPrompt(name=label[:100])
    return fitting[-1]


def save(template: Template, workspace: Workspace) -> Template:
    """Keep a changed text as the next version of its name; an unchanged one is not kept twice."""
    before = [one for one in listed(workspace) if one.name == template.name]
    for one in before:
        if replace(one, version=1, source="") == replace(template, version=1, source=""):
            return one
    kept = replace(
        template, version=max((one.version for one in before), default=0) + 1, source="workspace"
    )
    path = folder_of(workspace) / check_name(kept.name) / f"{kept.version:04d}.yaml"
    write_atomically(path, kept.to_yaml())
    return kept


def changes(before: Template, after: Template) -> list[tuple[Literal["same", "out", "in"], str]]:
    """Line by line, what one version says and the other does not."""
    old, new = before.template.splitlines(), after.template.splitlines()
    found: list[tuple[Literal["same", "out", "in"], str]] = []
    for tag, a, b, c, d in difflib.SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        if tag == "equal":
            found += [("same", line) for line in old[a:b]]
            continue
        found += [("out", line) for line in old[a:b]]
        found += [("in", line) for line in new[c:d]]
    return found
