"""What a stranger wrote is escaped, and what decided is marked."""

from __future__ import annotations

import pytest

from tabs._prompts_judge_views import drawn
from tabs._prompts_try import preview
from tabs._prompts_views import duration, marked, money, side_by_side, tally
from tabs._words import LANGUAGES
from workbench.prompts.agreement import agreement
from workbench.prompts.autopsy import Autopsy
from workbench.prompts.rules import Rules
from workbench.prompts.seeds import Seed, Seeds
from workbench.prompts.template import Template, fill

EVIL = "<img src=x onerror=alert(1)>"
RAW = f"""1. 指示：講吓點解海水係鹹嘅{EVIL}
1. 輸出：因為雨水將啲鹽沖晒落海。
2. 指示：解釋點解要飲水
2. 輸出：這是因為他們需要水。{EVIL}"""


def looked() -> list[object]:
    autopsy = Autopsy(Template("t", "{{tasks}}", "numbered"), Rules(register="cantonese"))
    return list(autopsy.examine(RAW, 0))


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_reply_is_escaped_in_every_language(language: str) -> None:
    shown = side_by_side(language, RAW, looked())  # type: ignore[arg-type]
    assert "<img" not in shown
    assert shown.count("tri-found-kept") == 1
    assert shown.count("tri-found-dropped") == 1


def test_the_deciding_characters_are_marked_in_the_reply() -> None:
    shown = marked(RAW, looked())  # type: ignore[arg-type]
    assert "<mark>這</mark>是因為" in shown
    assert shown.count("tri-item-kept") == 1


def test_what_fills_a_prompt_is_marked_and_escaped() -> None:
    template = Template("t", "講：{{instruction}}" + EVIL, "text", task="rewrite")
    seeds = (Seed("a", EVIL),)
    shown = preview("en", template, fill(template, seeds, 0), Seeds(seeds, ((3, EVIL),)))
    assert "<img" not in shown
    assert "<mark>&lt;img" in shown


def test_figures_are_for_people() -> None:
    assert money("en", None) == "price not known"
    assert (money("en", 12.5), money("en", 0.00123)) == ("$12.50", "$0.0012")
    assert (duration("en", 30), duration("en", 600)) == ("30 s", "10 min")
    assert duration("en", None) == "–"
    assert "near-duplicates" in tally("en", 3, {"duplicate": 2})


def test_agreement_says_when_it_is_not_enough() -> None:
    few = {str(number): 3 for number in range(5)}
    assert "15 more rows" in drawn("en", agreement(few, few))
    many = {str(number): 1 + number % 6 for number in range(24)}
    shown = drawn("en", agreement(many, many))
    assert "more rows" not in shown
    assert "1.00" in shown
