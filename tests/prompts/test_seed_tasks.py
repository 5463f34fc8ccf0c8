"""The seed tasks that come with the workbench: whole, different from one another, Cantonese."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from workbench.language import register
from workbench.likeness import duplicates
from workbench.signs import script

FILE = Path(__file__).resolve().parents[2] / "assets" / "seeds" / "cantonese.jsonl"
MUST_BE_WRITTEN = {"formal_leave_letter", "spoken_to_written", "email_formal_complaint",
                   "formal_invite_decline", "email_subject"}  # fmt: skip


@pytest.fixture(scope="module")
def tasks() -> list[dict[str, Any]]:
    return [json.loads(line) for line in FILE.read_text("utf-8").splitlines()]


def near(texts: list[str], floor: float) -> list[tuple[str, str]]:
    search = duplicates.near(texts, floor=floor)
    while True:
        try:
            next(search)
        except StopIteration as done:
            pairs = done.value
            break
    return [(texts[one], texts[other]) for one, other in zip(pairs.left, pairs.right, strict=True)]


def test_there_are_175_whole_tasks(tasks: list[dict[str, Any]]) -> None:
    assert [one["id"] for one in tasks] == [f"seed_task_{number}" for number in range(175)]
    assert len({one["name"] for one in tasks}) == 175
    for one in tasks:
        assert list(one) == ["id", "name", "instruction", "instances", "is_classification"]
        assert one["instruction"].strip() == one["instruction"] != ""
        assert 1 <= len(one["instances"]) <= 3
        for instance in one["instances"]:
            assert list(instance) == ["input", "output"]
            assert instance["output"].strip() == instance["output"] != ""
            assert instance["input"].strip() == instance["input"]


def test_they_are_of_many_kinds(tasks: list[dict[str, Any]]) -> None:
    sorting = [one for one in tasks if one["is_classification"]]
    assert 25 <= len(sorting) <= 35
    assert all(len(case["output"]) <= 4 for one in sorting for case in one["instances"])
    assert 75 <= sum(not one["instances"][0]["input"] for one in tasks) <= 100
    assert sum(len(one["instances"]) > 1 for one in tasks) >= 20
    for one in tasks:
        inputs = [case["input"] for case in one["instances"]]
        assert len(set(inputs)) == len(inputs)
    lengths = sorted(len(one["instances"][0]["output"]) for one in tasks)
    assert lengths[20] <= 4 and lengths[-20] >= 140


def test_none_is_like_another(tasks: list[dict[str, Any]]) -> None:
    assert not near([one["instruction"] for one in tasks], 0.4)
    long = [one["instances"][0]["output"] for one in tasks if not one["is_classification"]]
    assert not near([text for text in long if len(text) >= 12], 0.3)


def rouge_l(one: str, other: str) -> float:
    """ROUGE-L over words split on white space, as Alpaca takes it (Lin 2004)."""
    left, right = one.split(), other.split()
    row = [0] * (len(right) + 1)
    for word in left:
        before = row
        row = [0]
        for place, against in enumerate(right):
            longest = before[place] + 1 if word == against else max(row[-1], before[place + 1])
            row.append(longest)
    return 2 * row[-1] / (len(left) + len(right))


def test_words_notice_nothing_where_characters_do(tasks: list[dict[str, Any]]) -> None:
    """One letter more is another text to words split on spaces, in Chinese."""
    texts = [one["instruction"] for one in tasks if len(one["instruction"]) > 12]
    twins = [text[:-1] + "呀" + text[-1] for text in texts if " " not in text]
    assert len(twins) > 100
    whole = [text for text in texts if " " not in text]
    assert max(rouge_l(one, other) for one, other in zip(whole, twins, strict=True)) == 0
    assert len(near(whole + twins, 0.7)) >= 0.98 * len(twins)
    assert rouge_l("tell me a short story", "tell me a short story please") > 0.9


def test_they_are_cantonese(tasks: list[dict[str, Any]]) -> None:
    asked = Counter(register(one["instruction"]) for one in tasks)
    assert asked["cantonese"] >= 168 and not asked["written"] and not asked["mixed"]
    for one in tasks:
        said = register(one["instances"][0]["output"])
        written = said in ("written", "mixed")
        assert not written or one["name"] in MUST_BE_WRITTEN, one["name"]
    formal = next(one for one in tasks if one["name"] == "formal_leave_letter")
    assert register(formal["instances"][0]["output"]) == "written"


def test_no_simplified_characters(tasks: list[dict[str, Any]]) -> None:
    for one in tasks:
        found = script("simplified").findall(json.dumps(one, ensure_ascii=False))
        assert not found, (one["name"], found)
