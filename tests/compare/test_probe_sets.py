"""The shipped probe sets: complete, balanced, in the language they say, and right where it can
be worked out by a program."""

from __future__ import annotations

import datetime
import itertools
import math
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from workbench.data.checks.text import script

PROBES = Path(__file__).resolve().parents[2] / "assets" / "probes"
SIZES = {"hong-kong": 60, "cantonese-pairs": 60, "cantonese-cloze": 40, "logic": 40}
KINDS = {
    "hong-kong": "choice",
    "cantonese-pairs": "pairs",
    "cantonese-cloze": "cloze",
    "logic": "short",
}
WITH_OPTIONS = ("hong-kong", "cantonese-cloze")


def probe_set(name: str) -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((PROBES / f"{name}.yaml").read_text("utf-8"))
    return loaded


def items(name: str) -> list[dict[str, Any]]:
    return list(probe_set(name)["items"])


def every_item() -> list[dict[str, Any]]:
    return [item for name in SIZES for item in items(name)]


def said(item: dict[str, Any]) -> str:
    """All that an item says, its reason too."""
    parts = [item.get(field, "") for field in ("question", "answer", "better", "worse", "reason")]
    return "\n".join([*parts, *item.get("options", [])])


def asked(item: dict[str, Any]) -> str:
    return str(item.get("question") or item["better"] + item["worse"])


def test_nothing_else_is_shipped() -> None:
    assert {path.stem for path in PROBES.glob("*.yaml")} == SIZES.keys()


@pytest.mark.parametrize("name", SIZES)
def test_a_set_is_whole(name: str) -> None:
    found = probe_set(name)
    assert found["name"] == name
    assert found["kind"] == KINDS[name]
    assert found["title"].keys() == {"en", "zh-TW", "zh-CN"}
    assert len(found["items"]) == SIZES[name]
    for item in found["items"]:
        assert item["language"] in ("yue", "zh", "en")
        assert all(item[field].strip() == item[field] != "" for field in ("id", "topic", "reason"))


def test_ids_are_used_once() -> None:
    assert Counter(item["id"] for item in every_item()).most_common(1)[0][1] == 1


@pytest.mark.parametrize("name", WITH_OPTIONS)
def test_exactly_one_of_four_options_is_the_answer(name: str) -> None:
    for item in items(name):
        options = item["options"]
        assert len(set(options)) == 4
        assert options.count(item["answer"]) == 1
        prefixes = [
            one for one, other in itertools.permutations(options, 2) if other.startswith(one)
        ]
        assert prefixes == [], item["id"]


@pytest.mark.parametrize("name", WITH_OPTIONS)
def test_a_favourite_position_wins_nothing(name: str) -> None:
    positions = Counter(item["options"].index(item["answer"]) for item in items(name))
    assert set(positions.values()) == {SIZES[name] // 4}


def test_neither_the_longest_nor_the_shortest_option_gives_the_answer_away() -> None:
    longest = shortest = 0
    for item in items("hong-kong"):
        others = [len(option) for option in item["options"] if option != item["answer"]]
        longest += len(item["answer"]) > max(others)
        shortest += len(item["answer"]) < min(others)
    assert longest <= 6
    assert shortest <= 6


def test_topics_are_spread() -> None:
    topics = Counter(item["topic"] for item in items("hong-kong"))
    assert topics.keys() == {
        *("districts", "transport", "government", "food", "history", "law", "pop culture")
    }
    assert min(topics.values()) >= 8
    pairs = Counter(item["topic"] for item in items("cantonese-pairs"))
    assert pairs["register"] == 30
    assert pairs.keys() - {"register"} == {"particle", "calque", "word order", "classifier"}
    languages = Counter(item["language"] for item in items("logic"))
    assert min(languages[language] for language in ("en", "yue", "zh")) >= 13


def test_a_cloze_has_one_blank() -> None:
    assert all(item["question"].count("＿＿") == 1 for item in items("cantonese-cloze"))


def test_cantonese_items_are_written_in_traditional_characters() -> None:
    for item in every_item():
        if item["language"] == "yue":
            assert not script("simplified").search(said(item)), item["id"]
        if item["language"] == "zh":
            assert not script("traditional").search(said(item)), item["id"]


def test_cantonese_questions_hold_no_written_chinese() -> None:
    """The worse half of a pair is written Chinese on purpose; a place called 的 is none."""
    for item in every_item():
        if item["language"] == "yue":
            ours = item.get("question", "") + item.get("better", "")
            bare = ours.replace("的士", "").replace("目的", "")
            assert not set(bare) & set("這們沒是的了他她吃喝哪給"), item["id"]


def test_no_two_items_ask_the_same() -> None:
    for name in SIZES:
        grams = {item["id"]: shingles(asked(item)) for item in items(name)}
        for one, other in itertools.combinations(grams, 2):
            alike = len(grams[one] & grams[other]) / len(grams[one] | grams[other])
            assert alike < 0.5, (one, other)


def shingles(text: str) -> set[str]:
    bare = "".join(filter(str.isalnum, text))
    return {bare[at : at + 3] for at in range(len(bare) - 2)}


def test_both_halves_of_a_pair_differ_and_are_of_a_length() -> None:
    for item in items("cantonese-pairs"):
        assert item["better"] != item["worse"]
        assert 0.6 < len(item["better"]) / len(item["worse"]) < 1.6, item["id"]


def weekday(today: int, later: int) -> int:
    """1 is Monday, as in ISO 8601."""
    monday = datetime.date(2024, 1, 1)
    return (monday + datetime.timedelta(days=today - 1 + later)).isoweekday()


def one_that(holds: Callable[[int], bool]) -> int:
    """The only whole number up to 1,000 of which it holds."""
    (found,) = filter(holds, range(1001))
    return found


def who_tells_the_truth() -> str:
    for truth in itertools.product((True, False), repeat=3):
        first, second, third = truth
        claims = (not second, not third, not first and not second)
        if truth == claims and sum(truth) == 1:
            return "甲乙丙"[truth.index(True)]
    raise AssertionError


def sure_of_two_alike(red: int, blue: int) -> int:
    return next(
        count
        for count in itertools.count(1)
        if all(
            max(taken, count - taken) >= 2
            for taken in range(count + 1)
            if taken <= red and count - taken <= blue
        )
    )


WORKED_OUT: dict[str, Callable[[], object]] = {
    "logic-001": lambda: 7 * 4 + 15,
    "logic-002": lambda: one_that(lambda x: 3 * x + 7 == 31),
    "logic-003": lambda: one_that(lambda x: x % 2 == 0 and x + (x - 2) + (x - 4) == 48),
    "logic-004": lambda: (11 * 60 + 15) - (9 * 60 + 40),
    "logic-007": lambda: 24 * (24 // 12),
    "logic-008": lambda: 240 * 15 // 100,
    "logic-009": lambda: 2 * (9 + 4),
    "logic-010": lambda: next(
        x * y for x in range(20) for y in range(20) if 2 * x + y == 11 and x - y == 1
    ),
    "logic-011": lambda: ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday"][
        weekday(3, 100) - 1
    ],
    "logic-012": lambda: sure_of_two_alike(5, 7),
    "logic-013": lambda: len(list(itertools.combinations(range(7), 2))),
    "logic-015": lambda: 200 - 3 * 38,
    "logic-016": lambda: 12 + 26 + 5,
    "logic-017": lambda: sum(range(1, 21)),
    "logic-018": lambda: one_that(lambda x: 6 * x - 5 == 49),
    "logic-019": lambda: f"{7 + (5 + 4 * 12) // 60}:{(5 + 4 * 12) % 60:02}",
    "logic-021": lambda: 250 * 8 // 10,
    "logic-022": lambda: math.gcd(24, 36),
    "logic-023": lambda: "星期" + "一二三四五六日"[weekday(6, 10) - 1],
    "logic-024": lambda: len(range(0, 31, 5)),
    "logic-025": lambda: one_that(lambda rabbits: 4 * rabbits + 2 * (10 - rabbits) == 28),
    "logic-026": lambda: 5**2 + 1,
    "logic-027": lambda: (36 // 4) ** 2,
    "logic-028": lambda: 540 // 45,
    "logic-029": lambda: one_that(lambda x: 5 * x - 9 == 2 * x + 12),
    "logic-030": lambda: 320 - 320 * 2 // 5,
    "logic-031": who_tells_the_truth,
    "logic-032": lambda: 5 * 4 * 3,
    "logic-033": lambda: one_that(lambda x: x - (50 - x) == 12),
    "logic-034": lambda: len(list(itertools.permutations("1234", 3))),
    "logic-035": lambda: 210 // 3 * 5,
    "logic-036": lambda: 2**10,
    "logic-037": lambda: 360 // 12 * 3,
    "logic-038": lambda: one_that(lambda hours: hours * (3 + 6) == 3 * 6),
    "logic-039": lambda: sum(a + b == 7 for a in range(1, 7) for b in range(1, 7)),
    "logic-040": lambda: 180 - 50 - 60,
}


@pytest.mark.parametrize("item", items("logic"), ids=lambda item: item["id"])
def test_answers_that_can_be_worked_out_are_right(item: dict[str, Any]) -> None:
    assert item["grade"] in ("exact", "numeric", "regex")
    if item["grade"] == "numeric":
        assert float(item["answer"]) == WORKED_OUT[item["id"]]()  # type: ignore[operator]
    elif item["id"] in WORKED_OUT:
        assert item["answer"] == WORKED_OUT[item["id"]]()
