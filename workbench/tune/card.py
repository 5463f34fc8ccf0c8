"""The model card that a run writes by itself: what was done, with figures and samples.

Built from the run's own files, so that it can be written again at any time. This module does
not know how a run is made.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml

from workbench import __version__, eventlog
from workbench.models.bundled import BUNDLED
from workbench.models.reference import ModelReference
from workbench.tune import job
from workbench.tune.recipe import TuneRecipe
from workbench.workspace import Workspace, write_atomically

CARD = "card.md"
SHOWN = ("lora_r", "lora_alpha", "lora_dropout", "learning_rate", "schedule", "batch", "steps",
         "epochs", "max_length", "precision", "packing", "answers_only", "seed")  # fmt: skip


def write_card(folder: Path, workspace: Workspace) -> str:
    """Write ``card.md`` of a run and return its text."""
    text = card(folder, workspace)
    write_atomically(folder / CARD, text)
    return text


def card(folder: Path, workspace: Workspace) -> str:
    """The card as Markdown with YAML front matter."""
    recipe = TuneRecipe.from_yaml((folder / job.RECIPE).read_text("utf-8"))
    said = eventlog.read(folder / job.EVENTS)[0]
    parts = [
        _front(recipe),
        f"# {recipe.name}",
        f"A LoRA adapter for `{recipe.base}`, trained with Trilogy {__version__} "
        f"on the dataset `{recipe.dataset}`.",
        _scores(said),
        _samples(said),
        _data(recipe, said, workspace),
        _recipe(recipe),
        _versions(said),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _front(recipe: TuneRecipe) -> str:
    reference = ModelReference.parse(recipe.base)
    front: dict[str, Any] = {"library_name": "peft", "tags": ["lora", "trilogy"]}
    if reference.kind == "hub":
        front["base_model"] = reference.name
    return f"---\n{yaml.safe_dump(front, sort_keys=False)}---"


def _scores(said: list[dict[str, Any]]) -> str:
    found = [one for one in said if one["event"] == "evaluation"]
    if not found:
        return ""
    names = sorted({name for one in found for name in one.get("forgetting") or {}})
    head = ["step", "held-out loss", "bits per character", *(f"{name}, bits" for name in names)]
    lines = ["| " + " | ".join(head) + " |", "|" + "---:|" * len(head)]
    for one in _thinned(found):
        figures = [one.get("loss"), one.get("bits_per_character")]
        figures += [(one.get("forgetting") or {}).get(name) for name in names]
        cells = [str(one["step"]), *(_figure(value) for value in figures)]
        lines.append("| " + " | ".join(cells) + " |")
    note = "The last columns are texts that were not trained on: if they rise, it forgets."
    return "## Curves\n\n" + "\n".join(lines) + f"\n\n{note}"


def _samples(said: list[dict[str, Any]]) -> str:
    found = [one for one in said if one["event"] == "sample"]
    if not found:
        return ""
    first: dict[str, dict[str, Any]] = {}
    for one in found:
        first.setdefault(one["prompt"], one)
    last = {one["prompt"]: one for one in found}
    lines = []
    for prompt in first:
        lines.append(f"**{_plain(prompt)}**\n")
        for name, one in (("before", first[prompt]), ("after", last[prompt])):
            register = one.get("register", "")
            lines.append(f"- {name} ({register}, step {one['step']}): {_plain(one['text'])}")
        lines.append("")
    return "## Before and after\n\n" + "\n".join(lines).rstrip()


def _data(recipe: TuneRecipe, said: list[dict[str, Any]], workspace: Workspace) -> str:
    ready: dict[str, Any] = next((one for one in reversed(said) if one["event"] == "ready"), {})
    lines = [
        f"- dataset `{recipe.dataset}`, sha256 {ready.get('dataset_sha256', 'not known')}",
        f"- {ready.get('rows', '?')} rows learned, {ready.get('held_rows', '?')} held out, "
        f"{ready.get('learned_tokens', '?')} tokens learned from",
    ]
    path = workspace.datasets / recipe.dataset / "dataset.json"
    if recipe.dataset and path.is_file():
        document = json.loads(path.read_text("utf-8"))
        lines.append(f"- licence of the data: {document.get('licence') or 'not known'}")
    reference = ModelReference.parse(recipe.base)
    if reference.kind == "bundled" and reference.name in BUNDLED:
        model = BUNDLED[reference.name]
        lines.append(f"- licence of the base: {model.licence}, {model.terms}")
    else:
        lines.append("- licence of the base: see its own card")
    return "## Data and licences\n\n" + "\n".join(lines)


def _recipe(recipe: TuneRecipe) -> str:
    lines = [f"- {name}: {getattr(recipe, name)}" for name in SHOWN]
    return f"## Recipe\n\nsha256 {recipe.sha256}\n\n" + "\n".join(lines)


def _versions(said: list[dict[str, Any]]) -> str:
    ready: dict[str, Any] = next((one for one in reversed(said) if one["event"] == "ready"), {})
    versions = ready.get("versions") or {}
    if not versions:
        return ""
    listed = ", ".join(f"{name} {version}" for name, version in versions.items())
    print_of = ready.get("base_fingerprint", "")
    return f"## Versions\n\n{listed}. Fingerprint of the base: {print_of}."


def _thinned(found: list[dict[str, Any]], most: int = 12) -> list[dict[str, Any]]:
    step = max(1, -(-len(found) // most))
    kept = found[::step]
    return kept if kept[-1] is found[-1] else [*kept, found[-1]]


def _figure(value: Any) -> str:
    return f"{value:.3f}" if isinstance(value, int | float) else "–"


def _plain(text: str) -> str:
    """One line that Markdown leaves alone."""
    flat = " ".join(text.split())
    for mark in "\\`*_[]<>|#":
        flat = flat.replace(mark, f"\\{mark}")
    return flat
