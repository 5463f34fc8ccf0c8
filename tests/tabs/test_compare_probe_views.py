"""Probes on the page: the right option and each answer marked, nobody's markup."""

from __future__ import annotations

import re
from dataclasses import replace

from tabs._compare_probe_views import disagreed, questions_view, totals_view
from workbench.compare.probes.items import Choice, Pair, ProbeSet
from workbench.compare.probes.results import Familiarity, ItemResult, Likelihoods, Written

EVIL = "<img src=x onerror=alert(1)>"
ASKED = [
    Choice(
        id=f"q{number}",
        topic="food",
        question=f"問題 {number}",
        options=("錯", "啱", "唔啱"),
        answer=1,
    )
    for number in range(40)
]


def answered(*scores: float) -> dict[str, ItemResult]:
    return {
        f"q{number}": ItemResult(f"q{number}", score, "啱" if score else "錯")
        for number, score in enumerate(scores)
    }


def test_every_question_is_a_row_with_the_right_option_marked() -> None:
    answers = {"a/one": answered(*[1.0] * 40), "a/two": answered(*[0.0] * 40)}
    drawn = questions_view("en", ASKED, answers, only_apart=False)
    assert drawn.count("<tr data-item=") == 40
    assert drawn.count("✓ 啱</li>") == 40
    assert drawn.count('class="right"><span><b>✓') == 40
    assert drawn.count('class="wrong"><span><b>✗') == 40
    assert "40 of 40 questions" in drawn


def test_only_where_they_disagree() -> None:
    answers = {"a/one": answered(*[1.0] * 39, 0.0), "a/two": answered(*[1.0] * 40)}
    drawn = questions_view("en", ASKED, answers, only_apart=True)
    assert re.findall(r'data-item="(\w+)"', drawn) == ["q39"]
    same = questions_view("en", ASKED, {"a/one": answers["a/one"]}, only_apart=True)
    assert "agree on every question" in same
    assert not disagreed(ASKED[0], {"a/one": {}, "a/two": {}})


def test_totals_name_a_winner_only_when_it_is_clear() -> None:
    strong, weak = answered(*[1.0] * 36, *[0.0] * 4), answered(*[1.0] * 8, *[0.0] * 32)
    drawn = totals_view("en", "Set", ASKED, {"a/weak": weak, "a/strong": strong})
    assert "strong is clearly better than weak: 70 points" in drawn
    assert "36 of 40 right, 95%: 77 to 96%" in drawn
    same = totals_view("en", "Set", ASKED, {"a/x": weak, "a/y": weak})
    assert "cannot be told apart" in same
    few = totals_view("en", "Set", ASKED[:5], {"a/x": weak, "a/y": strong})
    assert "5 questions are too few" in few
    assert "clearly" not in totals_view("en", "Set", ASKED, {"a/x": strong})


def test_topics_are_told_apart() -> None:
    mixed = [
        replace(one, topic="law" if number % 4 else "food") for number, one in enumerate(ASKED)
    ]
    drawn = totals_view("en", "Set", mixed, {"a/x": answered(*[1.0, 0.0, 0.0, 0.0] * 10)})
    assert "food 10/10 · law 0/30" in drawn
    assert "topics" not in totals_view("en", "Set", ASKED, {"a/x": answered(*[1.0] * 40)})


def test_what_people_and_models_write_is_never_markup() -> None:
    one = Choice(
        id=EVIL, topic=EVIL, question=EVIL, options=(EVIL, f"{EVIL}!"), answer=0, reason=EVIL
    )
    answers = {"a/b": {EVIL: ItemResult(EVIL, 0.5, EVIL)}}
    drawn = questions_view("en", [one], answers, False) + totals_view("en", EVIL, [one], answers)
    assert "<img" not in drawn
    assert drawn.count("&lt;img") >= 7
    pair = Pair(id="p", better=EVIL, worse=f"{EVIL}!")
    assert "<img" not in questions_view("en", [pair], {"a/b": {}}, False)


def test_other_ways_of_comparing_stand_below_the_bar() -> None:
    held = Likelihoods(
        raw=(-9.0, -8.0, -7.0), prior=(-8.0, -2.0, -1.0), characters=(1, 1, 2), answer=1
    )
    right = Written("B", "啱", True, "B")
    lost = Written("嗯", "", False)
    found = {
        one.id: ItemResult(one.id, 0.0, "唔啱", held, written=(right, right, lost)) for one in ASKED
    }
    drawn = totals_view("en", "Set", ASKED, {"a/x": found})
    assert "per character 0%" in drawn
    assert "without the option&#x27;s own likelihood 0%" in drawn
    assert "in writing 67%" in drawn
    assert "40 could not be read; letters B 80" in drawn


def test_texts_that_may_have_been_seen_are_neither_right_nor_wrong() -> None:
    known = Familiarity(-3.0, (-4.0, -2.0), -1.0, (-2.0, -0.5), "options")
    one = ProbeSet("mine", "choice", tuple(ASKED[:1])).suspects().items[0]
    answers = {"a/x": {"q0": ItemResult("q0", known.rank, "x", familiarity=known)}}
    drawn = totals_view("en", "Set", [one], answers) + questions_view("en", [one], answers, False)
    assert "likelier than 1 of 2 copies; Min-20% -3.00 nats" in drawn
    assert "50% is what a model that never saw it gives" in drawn
    assert "✓" not in drawn
    assert "✗" not in drawn
