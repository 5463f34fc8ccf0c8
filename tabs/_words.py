"""The words on the screen, in three languages, by key: ``assets/words/LANGUAGE/ROOM.yaml``.

Labels are handed to the browser, which picks the language (``label``); sentences
made on the server are said in the language the page reports (``say``). A key that
is missing is a bug, and a test finds it. This module does not know the page.
"""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import gradio as gr
import yaml

from workbench.errors import WorkbenchError

FOLDER = Path(__file__).resolve().parents[1] / "assets" / "words"
LANGUAGES = ("en", "zh-TW", "zh-CN")
"""English, Cantonese for Hong Kong readers, Simplified Chinese."""


@functools.cache
def words() -> dict[str, dict[str, str]]:
    """Language to key to words; nested keys are joined with dots."""
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    found: dict[str, dict[str, str]] = {language: {} for language in LANGUAGES}
    for language, ours in found.items():
        for path in sorted((FOLDER / language).glob("*.yaml")):
            more = _flat(yaml.load(path.read_text("utf-8"), loader))  # noqa: S506
            if twice := ours.keys() & more.keys():
                raise KeyError(f"{path} says again: {sorted(twice)}")
            ours |= more
    return found


@functools.cache
def translations() -> gr.I18n:
    """What the browser needs to say every label."""
    return gr.I18n(**words())


def label(key: str) -> Any:
    """A label, a placeholder or a choice that the browser translates."""
    if key not in words()["en"]:
        raise KeyError(f"no words for {key}")
    return translations()(key)


def say(language: str, key: str, **facts: Any) -> str:
    """A sentence in one language, filled with facts; an unknown language is English."""
    return words().get(language, words()["en"])[key].format(**facts)


def explain(language: str, error: WorkbenchError) -> str:
    """An error as a sentence in one language."""
    facts = dict(error.facts)
    if "field" in facts:
        facts["field"] = say(language, f"field.{facts['field']}")
    return say(language, f"error.{type(error).__name__}", **facts)


def _flat(tree: dict[str, Any], above: str = "") -> dict[str, str]:
    flat: dict[str, str] = {}
    for key, value in tree.items():
        name = f"{above}{key}"
        flat.update(_flat(value, f"{name}.") if isinstance(value, dict) else {name: str(value)})
    return flat
