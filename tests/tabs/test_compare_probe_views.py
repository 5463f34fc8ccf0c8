"""Probes on the page: the right option and each answer marked, nobody's markup."""

from __future__ import annotations

import re

from tabs._compare_probe_views import Asked, disagreed, questions_view, totals_view
from workbench.compare.columns import Answered

EVIL = "<img src=x onerror=alert(1)>"
ASKED = [
    Asked(f"q{number}", "food", "yue", f"問題 {number}", "啱", ("錯", "唔啱"), "因為")
    for number in range(40)
]


def answered(*scores: float) -> dict[str, Answered]:
    return {
        f"q{number}": Answered(f"q{number}", score, "啱" if score else "錯")
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


def test_what_people_and_models_write_is_never_markup() -> None:
    one = Asked(EVIL, EVIL, "yue", EVIL, EVIL, (EVIL,), EVIL)
    answers = {"a/b": {EVIL: Answered(EVIL, 0.5, EVIL)}}
    drawn = questions_view("en", [one], answers, False) + totals_view("en", EVIL, [one], answers)
    assert "<img" not in drawn
    assert drawn.count("&lt;img") >= 7
