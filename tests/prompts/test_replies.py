"""Replies in every shape Gemini is known to answer in, each with what must be read out of it.

A reply is ``NN-name.txt``; beside it ``NN-name.yaml`` says its shape, how it ended, which items it
holds and what is dropped: the rule, and the exact characters of the reply that decided.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from workbench.prompts.autopsy import Autopsy, Verdict
from workbench.prompts.parsing import Item
from workbench.prompts.rules import Rules
from workbench.prompts.seeds import Seed
from workbench.prompts.template import SHAPES, Template

FILES = sorted((Path(__file__).parent / "replies").glob("*.txt"))
TASK = {"score": "score", "versions": "polish", "conversation": "conversation", "text": "rewrite"}
ROW = Seed("row", "呢條係原本嘅題目", output="原本嘅答案")


def looked_at(path: Path) -> tuple[str, dict[str, Any], list[Verdict]]:
    raw = path.read_bytes().decode()
    said: dict[str, Any] = yaml.safe_load(path.with_suffix(".yaml").read_text("utf-8"))
    template = Template(
        "recorded", "…", said["shape"], TASK.get(said["shape"], "self-instruct"),
        per_request=said.get("first", 1) - 1,
    )  # fmt: skip
    row = ROW if said["shape"] in ("versions", "text", "score") else None
    autopsy = Autopsy(template, Rules.of(said.get("rules", {})))
    return raw, said, autopsy.examine(raw, 0, said["finish_reason"], row)


def shown(item: Item, wanted: dict[str, Any]) -> dict[str, Any]:
    """The parts of an item that are wanted, as YAML writes them."""
    parts: dict[str, Any] = {
        "instruction": item.instruction,
        "input": item.input,
        "output": item.output,
        "scores": dict(item.scores),
        "turns": [list(turn) for turn in item.turns],
    }
    return {name: parts[name] for name in wanted}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_reply_is_read_exactly(path: Path) -> None:
    raw, said, found = looked_at(path)
    kept = [one.item for one in found if one.kept]
    wanted = said["items"]
    assert len(kept) == len(wanted), [(one.item, one.reason) for one in found]
    assert [shown(one, want) for one, want in zip(kept, wanted, strict=True)] == wanted
    dropped = [
        {"rule": one.reason.rule, "text": raw[one.start : one.end]} for one in found if one.reason
    ]
    assert dropped == said.get("dropped", [])


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_item_knows_its_place(path: Path) -> None:
    """Items follow one another in the reply, and what they say stands where they point."""
    raw, said, found = looked_at(path)
    places = [(one.item.start, one.item.end) for one in found]
    assert places == sorted(places)
    if said["shape"] in ("numbered", "text"):
        for one in found:
            lines = one.item.output.splitlines()
            assert all(line in raw[one.item.start : one.item.end] for line in lines)


def test_the_collection_holds_every_shape() -> None:
    shapes = [
        yaml.safe_load(path.with_suffix(".yaml").read_text("utf-8"))["shape"] for path in FILES
    ]
    assert len(FILES) >= 40 and set(shapes) == set(SHAPES)
    assert all(path.with_suffix(".yaml").is_file() for path in FILES)
