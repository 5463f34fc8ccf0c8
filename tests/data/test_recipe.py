"""A recipe is plain JSON that says the same when it is read again, or is refused in a sentence."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from workbench.data.dataset import read_recipe
from workbench.data.recipe import (
    KINDS,
    SOURCES,
    Check,
    CorpusSource,
    Decide,
    Done,
    Duplicates,
    Edit,
    FileSource,
    Fill,
    Filter,
    HubSource,
    Label,
    MixPart,
    MixSource,
    Overlap,
    Recipe,
    Registers,
    Source,
    Split,
    Step,
    Switch,
    step_of,
)
from workbench.errors import BadRecipe, BadStep

TURNS = ({"role": "user", "content": "早晨"}, {"role": "assistant", "content": "早晨呀！"})
STEPS: list[Step] = [
    Check(("echo", "length"), ("echo",), {"max_characters": 500}),
    Filter("score > 1", "飯"),
    Duplicates("near", "answer", 0.75, "source", ("甲", "乙")),
    Overlap("test", "ab" * 32, "exact"),
    Edit(3, TURNS, TURNS[1:], None),
    Decide("drop", (1, 4)),
    Decide("keep", where=("score > 1", "kept"), search="茶"),
    Switch(1, False, "echo"),
    Label(2, 5, "chat", ("好啲嘅答案",), "阿明"),
    Fill({"name": "小三"}),
    Registers("prompt"),
    Split({"train": 0.9, "test": 0.1}, 7, threshold=0.6),
]
CORPUS = CorpusSource("hkcancor", "dialogues", {"name": "x"})
SOURCES_MADE: list[Source] = [
    FileSource("a.zip", "cd" * 32, {"a.zip/x.csv": {"format": "qa"}}, True, 3),
    HubSource("owner/name", "default", "train", "c0ffee", 100, {"format": "alpaca"}),
    CORPUS,
    MixSource((MixPart("a", Recipe("a", CORPUS, 1, "00").to_json(), 0.5, 0, "train"),), 10, 3),
]


@pytest.mark.parametrize("source", SOURCES_MADE, ids=lambda one: str(one.kind))
def test_every_source_and_step_is_read_as_it_was_written(source: Source) -> None:
    steps = tuple(Done(step, number, 10 - number) for number, step in enumerate(STEPS))
    recipe = Recipe("名", source, 10, "ef" * 32, steps, "CC BY 4.0", "話")
    again = Recipe.from_json(json.loads(recipe.dumps()))
    assert again == recipe
    assert again.dumps() == recipe.dumps()


def test_every_kind_is_tried() -> None:
    assert {step.kind for step in STEPS} == set(KINDS)
    assert {source.kind for source in SOURCES_MADE} == set(SOURCES)


def test_a_step_of_defaults_is_written_in_its_name_alone() -> None:
    written = Recipe("a", CORPUS, 1, "", (Done(Duplicates(), 0, 1),)).to_json()
    assert written["steps"] == [{"kind": "duplicates", "touched": 0, "kept": 1}]


@pytest.mark.parametrize(
    "document",
    [
        {"kind": "check", "checks": []},
        {"kind": "filter"},
        {"kind": "filter", "where": " "},
        {"kind": "duplicates", "method": "guess"},
        {"kind": "duplicates", "threshold": 0},
        {"kind": "duplicates", "threshold": "high"},
        {"kind": "duplicates", "rule": "best"},
        {"kind": "overlap", "other": ""},
        {"kind": "overlap"},
        {"kind": "edit", "row": 1, "messages": []},
        {"kind": "edit", "row": 1, "messages": ["早晨"]},
        {"kind": "decide", "decision": "perhaps"},
        {"kind": "label", "row": 1, "rating": 6},
        {"kind": "label", "row": 1, "rating": "good"},
        {"kind": "label", "row": 1, "answers": ["a", "b", "c", "d"]},
        {"kind": "fill", "values": {}},
        {"kind": "split", "weights": {}},
        {"kind": "split", "weights": {"train": -1, "test": 2}},
        {"kind": "split", "weights": {"": 1}},
        {"kind": "split", "weights": [1, 2]},
        {"kind": "split", "weights": {"train": "most"}},
        {"kind": "dance"},
        {},
    ],
)
def test_a_wrong_step_is_refused_in_one_sentence(document: dict[str, Any]) -> None:
    with pytest.raises(BadStep) as caught:
        step_of(document)
    assert len(str(caught.value).splitlines()) == 1
    assert ".." not in str(caught.value)


GOOD = Recipe("a", CORPUS, 3, "ab", (Done(Filter("true"), 0, 3),)).to_json()


@pytest.mark.parametrize(
    "document",
    [
        [],
        {},
        "dataset",
        {**GOOD, "trilogy_dataset": 99},
        {**GOOD, "rows": "many"},
        {**GOOD, "source": {"kind": "dream"}},
        {**GOOD, "source": {"kind": "file"}},
        {**GOOD, "source": None},
        {**GOOD, "steps": [{"kind": "dance", "touched": 0, "kept": 0}]},
        {**GOOD, "steps": [{"kind": "filter", "where": "true"}]},
        {**GOOD, "steps": 5},
        {key: value for key, value in GOOD.items() if key != "sha256"},
    ],
)
def test_what_is_no_recipe_is_refused_in_one_sentence(document: Any) -> None:
    with pytest.raises(BadRecipe) as caught:
        Recipe.from_json(document, "mine.json")
    sentence = str(caught.value)
    assert sentence.startswith("mine.json is not a recipe")
    assert len(sentence.splitlines()) == 1
    assert not sentence.endswith("..")


@pytest.mark.parametrize("raw", [b"", b"{", b"\xff\xfe\x00", b"[1, 2", b"null"])
def test_a_file_that_is_no_recipe_is_refused(raw: bytes, tmp_path: Path) -> None:
    (tmp_path / "dataset.json").write_bytes(raw)
    with pytest.raises(BadRecipe, match=r"dataset\.json"):
        read_recipe(tmp_path / "dataset.json")
    with pytest.raises(BadRecipe):
        read_recipe(tmp_path / "no-such.json")
