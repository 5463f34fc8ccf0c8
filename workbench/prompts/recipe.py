"""What a run is to do, in one frozen dataclass and one YAML file.

The file in a run's folder holds the whole template, so that a later change of the library changes
no run. No key is ever part of a recipe. This module does not know how a run is carried out.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

import orjson
import yaml

from workbench.errors import BadPromptRecipe, OutOfRange
from workbench.prompts import template as templates
from workbench.prompts.ledger import Budget
from workbench.prompts.rules import Rules
from workbench.prompts.seeds import DEFAULT
from workbench.prompts.teachers import Options, TeacherChoice
from workbench.prompts.template import Filled, Template
from workbench.workspace import Workspace, check_name

VERSION = 1
LARGEST_YAML = 1_000_000
MOST_AT_ONCE = 64


@dataclass(frozen=True)
class GenerateRecipe:
    """One run."""

    name: str
    template: Template
    seeds: str = DEFAULT
    """A shipped file, ``dataset:NAME``, or the path of a file."""
    teacher: TeacherChoice = field(default_factory=TeacherChoice)
    options: Options = field(default_factory=Options)
    rules: Rules = field(default_factory=Rules)
    values: Mapping[str, str] = field(default_factory=dict)
    """What fills slots that neither seeds nor the template fill."""
    rows: int = 100
    """Rows to keep; 0 asks about every seed once."""
    budget: Budget = field(default_factory=Budget)
    concurrency: int = 4
    per_minute: int = 0
    """Requests in any minute; 0 is no limit."""
    barren: int = 20
    """So many requests in a row without one row kept end the run; 0: never."""
    seed: int = 1

    def __post_init__(self) -> None:
        check_name(self.name)
        for name, value, low, high in (
            ("rows", self.rows, 0, 10_000_000),
            ("concurrency", self.concurrency, 1, MOST_AT_ONCE),
            ("per_minute", self.per_minute, 0, 100_000),
            ("barren", self.barren, 0, 100_000),
            ("seed", self.seed, 0, 2**32 - 1),
        ):
            if not low <= value <= high:
                raise OutOfRange(field=name, value=value, low=low, high=high)
        if self.template.samples and not self.rows:
            raise BadPromptRecipe(reason="rows must be at least 1 where seeds are drawn")

    def request_hash(self, filled: Filled, sequence: int) -> str:
        """Of everything that decides a request; the same request has the same one for ever."""
        said = [
            self.template.sha256, dict(filled.slots), self.teacher.kind, self.teacher.label,
            asdict(self.options), sequence,
        ]  # fmt: skip
        return hashlib.sha256(orjson.dumps(said, option=orjson.OPT_SORT_KEYS)).hexdigest()[:24]

    def to_yaml(self) -> str:
        said = {
            "trilogy_prompts": VERSION,
            "name": self.name,
            "seeds": self.seeds,
            "teacher": asdict(self.teacher),
            "options": asdict(self.options),
            "rules": asdict(self.rules),
            "values": dict(self.values),
            "rows": self.rows,
            "budget": asdict(self.budget),
            "concurrency": self.concurrency,
            "per_minute": self.per_minute,
            "barren": self.barren,
            "seed": self.seed,
            "prompt": yaml.safe_load(self.template.to_yaml()),
        }
        return yaml.safe_dump(said, allow_unicode=True, sort_keys=False, width=100)

    @classmethod
    def from_yaml(cls, text: str, workspace: Workspace, **given: Any) -> GenerateRecipe:
        """Read one; ``prompt`` is a whole template or the name of one. ``given`` fields win.

        Raises:
            BadPromptRecipe, NoSuchPrompt, BadPrompt, UnknownSlot, BadTeacher, OutOfRange.
        """
        said = {**_document(text), **{key: one for key, one in given.items() if one is not None}}
        if said.pop("trilogy_prompts", VERSION) != VERSION:
            raise BadPromptRecipe(reason=f"only version {VERSION} is known here")
        prompt = said.pop("prompt", None)
        if isinstance(prompt, str):
            template = templates.find(prompt, workspace)
        elif isinstance(prompt, dict):
            template = Template.from_yaml(yaml.safe_dump(prompt, allow_unicode=True))
        else:
            raise BadPromptRecipe(reason="the field prompt is missing")
        known = {one.name for one in fields(cls)}
        if unknown := sorted(map(str, said.keys() - known)):
            raise BadPromptRecipe(reason=f"there is no field {unknown[0][:40]}")
        if "name" not in said:
            raise BadPromptRecipe(reason="it has no name")
        try:
            said["teacher"] = TeacherChoice(**(said.get("teacher") or {}))
            said["options"] = Options(**(said.get("options") or {}))
            said["budget"] = Budget(**(said.get("budget") or {}))
            said["rules"] = Rules.of(template.rules, said.get("rules") or {})
            said["values"] = {
                str(key): str(value) for key, value in (said.get("values") or {}).items()
            }
            return cls(template=template, **said)
        except (TypeError, AttributeError) as error:
            raise BadPromptRecipe(reason=str(error).split(".__init__() ")[-1][:160]) from None

    def under(self, **changes: Any) -> GenerateRecipe:
        return replace(self, **changes)


def _document(text: str) -> dict[str, Any]:
    if len(text) > LARGEST_YAML:
        raise BadPromptRecipe(reason="it is too long to be a recipe")
    try:
        said = yaml.safe_load(text)
    except yaml.YAMLError as error:
        reason = " ".join(str(error).split())[:160]
        raise BadPromptRecipe(reason=f"it is not YAML: {reason}") from None
    if not isinstance(said, dict):
        raise BadPromptRecipe(reason="it is not a list of fields")
    return {str(key): value for key, value in said.items()}
