"""Every prompt of the library: whole, in three languages, and read back from a reply."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests import fake_talk
from workbench.prompts.autopsy import Autopsy
from workbench.prompts.parsing import parse
from workbench.prompts.rules import Rules
from workbench.prompts.seeds import Seed, load
from workbench.prompts.template import LANGUAGES, LIBRARY, TASKS, Template, fill
from workbench.signs import script
from workbench.workspace import Workspace

FILES = sorted(path for path in LIBRARY.glob("*.yaml") if path.stem != "prices")
VALUES = {"original": "講個笑話。"}
"""What no row of the seeds holds."""
NOT_SPOKEN = re.compile("[的是在了不這們沒]")


def read(path: Path) -> Template:
    return Template.from_yaml(path.read_text("utf-8"), path.stem, "library")


@pytest.fixture(scope="module")
def seeds() -> tuple[Seed, ...]:
    return load("cantonese", Workspace(Path("nowhere"))).seeds


every = pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)


def test_there_is_one_for_every_task() -> None:
    made = [read(path) for path in FILES]
    assert len(made) >= 14
    assert {one.task for one in made} == set(TASKS)
    assert sum(one.task == "evolve" for one in made) == 6
    assert {"score-quality", "score-complexity", "evolve-check"} <= {one.name for one in made}


@every
def test_it_is_whole_and_speaks_three_languages(path: Path) -> None:
    said: dict[str, Any] = yaml.safe_load(path.read_text("utf-8"))
    template = read(path)
    assert template.name == path.stem and template.version == 1
    for words in (template.title, template.about):
        assert list(words) == list(LANGUAGES)
        assert all(words[language].strip() for language in LANGUAGES)
        assert not NOT_SPOKEN.search(words["zh-TW"]), words["zh-TW"]
        assert not script("simplified").search(words["zh-TW"])
        assert not script("traditional").search(words["zh-CN"])
    assert all(len(template.title[language]) <= 48 for language in LANGUAGES)
    assert set(template.slots) == set(template.holes)
    assert set(template.choices) <= set(template.holes)
    assert all(len(some) >= 5 for some in template.choices.values())
    Rules.of(template.rules)
    assert template.template == said["template"]


@every
def test_the_slots_are_filled_from_the_seeds(path: Path, seeds: tuple[Seed, ...]) -> None:
    template = read(path)
    text = fill(template, seeds, 0, values=VALUES).text
    assert "{{" not in text and "}}" not in text
    assert text == fill(template, seeds, 0, values=VALUES).text
    assert (
        text != fill(template, seeds, 1, values={}).text
        if "original" not in template.slots
        else True
    )


@every
@pytest.mark.parametrize("structured", [False, True])
def test_a_reply_to_it_is_read_back(path: Path, structured: bool, seeds: tuple[Seed, ...]) -> None:
    """The prompt says its form clearly enough for the test server to answer in it."""
    template = read(path)
    if structured and template.schema is None:
        pytest.skip("it has no schema")
    filled = fill(template, seeds, 2, values=VALUES)
    if structured:
        value = fake_talk.filled(dict(template.schema or {}), 0, 0)
        raw = json.dumps(value, ensure_ascii=False)
    else:
        raw, _ = fake_talk.answer(filled.text, 0, 0)
    autopsy = Autopsy(template, Rules.of(template.rules), seeds)
    found = autopsy.examine(raw, 0, "STOP", filled.row)
    assert not [one.item.problem for one in found if one.reason and one.reason.rule == "no_parse"]
    assert any(one.kept for one in found), [one.reason for one in found]
    if template.shape == "numbered" and "asked" in template.holes:
        assert len(found) == template.asked - template.per_request
    if template.shape == "versions":
        assert len(found) == 3


def test_a_declined_translation_is_dropped_by_its_mark(seeds: tuple[Seed, ...]) -> None:
    template = read(LIBRARY / "translate-to-cantonese.yaml")
    rules = Rules.of(template.rules)
    assert rules.decline in template.template
    row = Seed("1", "Find a word that rhymes with 'cat'.", output="hat")
    reply = {"instruction": row.instruction, "input": "", "output": "【譯唔到】押英文韻"}
    raw = json.dumps(reply, ensure_ascii=False)
    (one,) = Autopsy(template, rules).examine(raw, 0, "STOP", row)
    assert one.reason is not None and one.reason.rule == "declined"
    assert raw[one.start : one.end] == "【譯唔到】押英文韻"


@every
def test_a_mark_of_declining_stands_in_the_prompt(path: Path) -> None:
    template = read(path)
    mark = template.rules.get("decline")
    assert mark is None or mark in template.template


@every
def test_a_shape_that_needs_json_has_a_schema(path: Path) -> None:
    template = read(path)
    assert template.shape != "json" or template.schema is not None
    if template.schema is not None:
        raw = json.dumps(fake_talk.filled(dict(template.schema), 5, 0), ensure_ascii=False)
        assert not [one.problem for one in parse(raw, template.shape) if one.problem == "no_parse"]
