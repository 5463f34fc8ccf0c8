"""What a tuning job is to do: one frozen dataclass, and the same thing as YAML.

A recipe holds choices, not facts: whether the base exists, the dataset has rows or the job
fits into memory is found out by those who do the work. This module does not load anything.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Literal, get_args

import yaml

from workbench.errors import BadRecipeField, BadTuneRecipe, OutOfRange, TooManyPrompts
from workbench.models.reference import ModelReference
from workbench.workspace import check_name

VERSION = 1
PRESETS = Path(__file__).resolve().parents[2] / "assets" / "recipes"
MOST_PROMPTS = 6
MOST_CHARACTERS = 2000
"""Of one prompt."""
LARGEST_YAML = 100_000

TunePrecision = Literal["auto", "nf4", "int8", "bf16", "fp32"]
Template = Literal["auto", "gemma", "chatml", "plain"]
Optimizer = Literal["auto", "adamw", "paged_adamw_8bit"]
Schedule = Literal["cosine", "linear", "constant"]
Checkpointing = Literal["auto", "on", "off"]

PROMPTS = (
    "今晚食咩好呀？",
    "你放假通常做啲咩？",
    "點解香港人咁鍾意飲茶？",
    "我今日做到好攰，聽日仲要開早會。",
    "请用一句话介绍北京的冬天。",
    "What is the capital of France?",
)
"""Four in Cantonese, and two that show what is forgotten."""

CHOICES: dict[str, tuple[str, ...]] = {
    "precision": get_args(TunePrecision),
    "template": get_args(Template),
    "optimizer": get_args(Optimizer),
    "schedule": get_args(Schedule),
    "activation_checkpointing": get_args(Checkpointing),
}
RANGES: dict[str, tuple[float, float]] = {
    "holdout": (1, 100_000),
    "max_length": (16, 131_072),
    "lora_r": (1, 1024),
    "lora_alpha": (1, 4096),
    "lora_dropout": (0, 0.9),
    "learning_rate": (1e-7, 1e-2),
    "warmup": (0, 0.5),
    "weight_decay": (0, 1),
    "max_grad_norm": (0, 100),
    "steps": (0, 1_000_000),
    "epochs": (0.01, 100),
    "batch": (1, 4096),
    "micro_batch": (0, 4096),
    "seed": (0, 2**32 - 1),
    "eval_every": (1, 100_000),
    "save_every": (1, 100_000),
    "patience": (0, 1000),
    "sample_tokens": (1, 1024),
}
"""Lowest and highest value of each number; both are allowed."""


@dataclass(frozen=True)
class TuneRecipe:
    """Everything that decides what a run does.

    Raises:
        InvalidName, BadReference, BadRecipeField, OutOfRange, TooManyPrompts.
    """

    name: str
    """The run's name, and so the name of its folder and of its adapter."""
    base: str = "bundled:gemma-3-270m"
    """The model to start from, without an adapter."""
    dataset: str = ""
    """A dataset of the workspace; empty while none is chosen."""
    train_split: str = "train"
    """Rows of this part of the split are learned; empty takes every row not held out."""
    eval_split: str = "validation"
    """Rows of this part are held out to measure with; empty holds ``holdout`` rows out."""
    holdout: int = 100
    """Rows held out when the dataset has no part to measure with."""
    precision: TunePrecision = "auto"
    """Of the frozen base: NF4 on a GPU and bf16 on a CPU unless said."""
    template: Template = "auto"
    """How turns are written: the base's own way, else the standard one for its tokens."""
    max_length: int = 1024
    """Tokens of a row; what is longer is cut at its end."""
    lora_r: int = 16
    """Rank of the adapter: how much it can hold."""
    lora_alpha: int = 32
    """Strength of the adapter: its output is multiplied by alpha / r."""
    lora_dropout: float = 0.05
    """Share of the adapter's inputs that is left out at random while it learns."""
    rslora: bool = False
    """Multiply by alpha / sqrt(r) instead, which keeps high ranks useful (Kalajdzievski 2023)."""
    dora: bool = False
    """Learn magnitude and direction apart (Liu et al. 2024): slower, often a little better."""
    optimizer: Optimizer = "auto"
    """AdamW; on a GPU the paged 8-bit one, which keeps its state in a quarter of the memory."""
    learning_rate: float = 2e-4
    """The highest step size, reached after the warm-up."""
    schedule: Schedule = "cosine"
    """How the learning rate falls after the warm-up."""
    warmup: float = 0.03
    """Share of the steps in which the learning rate rises."""
    weight_decay: float = 0.0
    """How strongly the adapter's weights are drawn to zero."""
    max_grad_norm: float = 1.0
    """Longer gradients are shortened to this; 0 leaves them alone."""
    steps: int = 0
    """Optimizer steps; 0 goes by epochs."""
    epochs: float = 1.0
    """Times every row is seen, when steps is 0."""
    batch: int = 16
    """Rows that one optimizer step learns from."""
    micro_batch: int = 0
    """Rows that go through the model at once; 0 takes as many as fit."""
    seed: int = 0
    """Decides the order of rows, the first adapter weights and dropout."""
    answers_only: bool = True
    """Learn from the assistant's turns only, and not from what the user says."""
    packing: bool = True
    """Put short rows together in one sequence, without letting them see one another."""
    activation_checkpointing: Checkpointing = "auto"
    """Compute activations again instead of keeping them: slower, in far less memory."""
    eval_every: int = 20
    """Steps between two evaluations; one is made before the first step too."""
    save_every: int = 20
    """Steps between two checkpoints: the most that a crash can cost."""
    patience: int = 0
    """Evaluations without improvement after which the run stops early; 0 never does."""
    keep_best: bool = True
    """Make the adapter from the checkpoint with the lowest held-out loss, not from the last."""
    prompts: tuple[str, ...] = PROMPTS
    """Answered before the first step and at every evaluation; at most six."""
    sample_tokens: int = 64
    """Tokens of such an answer at most."""

    def __post_init__(self) -> None:
        for one in fields(self):
            _check_kind(one.name, str(one.type), getattr(self, one.name))
            if one.type == "float":  # 1 and 1.0 are the same choice and the same YAML
                object.__setattr__(self, one.name, float(getattr(self, one.name)))
        check_name(self.name)
        if ModelReference.parse(self.base).adapter is not None:
            raise BadRecipeField(field="base", value=self.base, allowed="a model without adapter")
        if self.dataset:
            check_name(self.dataset)
        for name, among in CHOICES.items():
            if getattr(self, name) not in among:
                raise BadRecipeField(
                    field=name, value=getattr(self, name), allowed=f"one of {', '.join(among)}"
                )
        self._check_numbers()
        self._check_parts()

    def _check_numbers(self) -> None:
        for name, (low, high) in RANGES.items():
            value = getattr(self, name)
            if not low <= value <= high:
                raise OutOfRange(field=name, value=value, low=low, high=high)
        if self.micro_batch > self.batch:
            raise OutOfRange(field="micro_batch", value=self.micro_batch, low=0, high=self.batch)

    def _check_parts(self) -> None:
        if self.train_split and self.train_split == self.eval_split:
            allowed = "another part than the one that is learned"
            raise BadRecipeField(field="eval_split", value=self.eval_split, allowed=allowed)
        if len(self.prompts) > MOST_PROMPTS:
            raise TooManyPrompts(count=len(self.prompts), most=MOST_PROMPTS)
        for prompt in self.prompts:
            if not prompt.strip() or len(prompt) > MOST_CHARACTERS:
                allowed = f"a text of 1 to {MOST_CHARACTERS} characters"
                raise BadRecipeField(field="prompts", value=prompt[:40], allowed=allowed)

    def to_yaml(self) -> str:
        """Canonical: every field, in the order above."""
        document = {"trilogy_recipe": VERSION, **asdict(self), "prompts": list(self.prompts)}
        return yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=100)

    @classmethod
    def from_yaml(cls, text: str, **given: Any) -> TuneRecipe:
        """Read a recipe; fields that are not there have their defaults, ``given`` ones win.

        Raises:
            BadTuneRecipe: not YAML, of another version, or with a field that does not exist.
            Everything ``TuneRecipe`` raises.
        """
        values = {**fields_of(text), **given}
        if "name" not in values:
            raise BadTuneRecipe(reason="it has no name")
        return cls(**values)

    @property
    def sha256(self) -> str:
        """Of its canonical YAML."""
        return hashlib.sha256(self.to_yaml().encode()).hexdigest()


def fields_of(text: str) -> dict[str, Any]:
    """The fields that a whole or partial recipe in YAML names, with values of the right kind.

    Raises:
        BadTuneRecipe.
    """
    document = _document(text)
    version = document.pop("trilogy_recipe", None)
    if not isinstance(version, int) or isinstance(version, bool) or version < 1:
        raise BadTuneRecipe(reason=f"it does not say trilogy_recipe: {VERSION}")
    if version > VERSION:
        raise BadTuneRecipe(reason=f"it is of version {version}, and only {VERSION} is known here")
    kinds = {one.name: str(one.type) for one in fields(TuneRecipe)}
    unknown = [str(name) for name in document if name not in kinds]
    if unknown:
        raise BadTuneRecipe(reason=f"there is no field {unknown[0][:40]}")
    return {name: _as_kind(kinds[name], value) for name, value in document.items()}


def _document(text: str) -> dict[Any, Any]:
    if len(text) > LARGEST_YAML:
        raise BadTuneRecipe(reason="it is too long to be a recipe")
    try:
        document = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise BadTuneRecipe(reason="it is not YAML") from error
    if not isinstance(document, dict):
        raise BadTuneRecipe(reason="it is not a list of fields and values")
    return document


def _as_kind(kind: str, value: Any) -> Any:
    """YAML reads 2e-4 as a word, 1 as a whole number and a name like 2026 as a year."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if kind == "float" and isinstance(value, str):
        try:
            return float(value)
        except ValueError:
            return value
    if kind == "float" and number:
        return float(value)
    if kind == "str":
        return "" if value is None else str(value) if number else value
    return tuple(value) if isinstance(value, list) else value


def _check_kind(name: str, kind: str, value: Any) -> None:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if kind == "bool":
        right, allowed = isinstance(value, bool), "true or false"
    elif kind == "int":
        right, allowed = number and isinstance(value, int), "a whole number"
    elif kind == "float":
        right, allowed = number and math.isfinite(value), "a number"
    elif kind.startswith("tuple"):
        texts = isinstance(value, tuple) and all(isinstance(one, str) for one in value)
        right, allowed = texts, "a list of texts"
    else:
        right, allowed = isinstance(value, str), "a text"
    if not right:
        raise BadRecipeField(field=name, value=str(value)[:80], allowed=allowed)


def difference(first: TuneRecipe, second: TuneRecipe) -> dict[str, tuple[Any, Any]]:
    """Fields in which two recipes differ, with the value of each; the name is no difference."""
    one, other = asdict(first), asdict(second)
    return {
        name: (one[name], other[name])
        for name in one
        if name != "name" and one[name] != other[name]
    }


def presets() -> dict[str, dict[str, Any]]:
    """The recipes that come with the workbench: the fields each one sets, by its name."""
    return {
        path.stem: fields_of(path.read_text("utf-8")) for path in sorted(PRESETS.glob("*.yaml"))
    }


def from_preset(preset: str, name: str, changes: Mapping[str, Any] | None = None) -> TuneRecipe:
    """A shipped recipe under a run's name, with some fields changed.

    Raises:
        BadRecipeField: there is no such preset. Everything ``TuneRecipe`` raises.
    """
    known = presets()
    if preset not in known:
        allowed = f"one of {', '.join(known)}"
        raise BadRecipeField(field="preset", value=preset[:80], allowed=allowed)
    return TuneRecipe(**{**known[preset], **(changes or {}), "name": name})
