"""Templates, seeds, recipes, prices and comparing: what is asked, and what it costs."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest

from tests.prompts.small import prompt, seed_lines
from workbench.errors import (
    BadPrices,
    BadPrompt,
    BadPromptRecipe,
    BadTeacher,
    NoSeeds,
    NoSuchPrompt,
    OutOfRange,
    UnfilledSlot,
    UnknownSlot,
)
from workbench.intervals import ratios_apart, wilson
from workbench.prompts import ledger, seeds, template
from workbench.prompts.ledger import Budget, Meter, Price, Prices, over, remaining
from workbench.prompts.recipe import GenerateRecipe
from workbench.prompts.teachers import Key, Options, TeacherChoice, environment_key
from workbench.prompts.template import Template
from workbench.workspace import Workspace


def read() -> tuple[seeds.Seed, ...]:
    return seeds.read(seed_lines(), "seeds.jsonl").seeds


def test_seeds_are_drawn_without_replacement_and_by_the_number_alone() -> None:
    found = read()
    first = [template.fill(prompt(), found, number) for number in range(200)]
    assert all(len(set(one.seeds)) == 3 for one in first)
    assert [one.text for one in first] == [
        template.fill(prompt(), found, number).text for number in range(200)
    ]
    assert len({one.seeds for one in first}) > 190
    assert "4. Instruction:" in first[0].text


def test_a_slot_is_filled_or_named() -> None:
    with pytest.raises(UnfilledSlot, match="weather"):
        template.fill(prompt(template="{{tasks}} {{weather}}"), read(), 0)
    filled = template.fill(
        prompt(template="{{tasks}} {{weather}}"), read(), 0, values={"weather": "{{start}}"}
    )
    assert filled.text.endswith("{{start}}")  # what was filled in is not filled again
    with pytest.raises(UnknownSlot, match="start"):
        prompt(slots={"tasks": "the seeds", "asked": "how many"})


@pytest.mark.parametrize(
    "text", ["- a\n- b", "template: [", "shape: numbered", "template: a\nshape: round",
             "template: a\nshape: text\ncolour: red", "template: a\nshape: text\nversion: zero"],
)  # fmt: skip
def test_what_is_no_prompt_is_one_sentence(text: str) -> None:
    with pytest.raises(BadPrompt):
        Template.from_yaml(text)


def test_versions_are_kept_and_told_apart(tmp_path: Path) -> None:
    place = Workspace(tmp_path)
    first = template.save(prompt(), place)
    assert template.save(prompt(), place) == first
    second = template.save(replace(first, template=f"{first.template}\nBe brief."), place)
    assert (first.label, second.label) == ("few-shot@1", "few-shot@2")
    assert template.find("few-shot", place) == second
    assert template.find("few-shot@1", place) == first
    assert [line for line in template.changes(first, second) if line[0] != "same"] == [
        ("in", "Be brief.")
    ]
    with pytest.raises(NoSuchPrompt):
        template.find("few-shot@3", place)


def test_broken_rows_are_named_and_the_others_used() -> None:
    raw = b'{"instruction": "ok", "output": "yes"}\n{half\n[1]\n{"name": "x"}\n\n'
    found = seeds.read(raw, "mine.jsonl")
    assert [one.instruction for one in found.seeds] == ["ok"]
    assert [line for line, _ in found.broken] == [2, 3, 4]
    with pytest.raises(NoSeeds, match="line 1"):
        seeds.read(b"{half", "mine.jsonl")
    with pytest.raises(NoSeeds, match="empty"):
        seeds.read(b"", "mine.jsonl")


def test_a_recipe_comes_back_as_it_was(tmp_path: Path) -> None:
    made = GenerateRecipe(
        "run", prompt(rules={"duplicate": 0.5}), teacher=TeacherChoice("gemini", "g"), rows=7
    )
    again = GenerateRecipe.from_yaml(made.to_yaml(), Workspace(tmp_path))
    assert again == made
    filled = template.fill(made.template, read(), 3)
    assert made.request_hash(filled, 3) == again.request_hash(filled, 3)
    assert made.request_hash(filled, 4) != made.request_hash(filled, 3)
    warmer = made.under(options=Options(temperature=0.1))
    assert warmer.request_hash(filled, 3) != made.request_hash(filled, 3)


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("name: a", BadPromptRecipe), ("{", BadPromptRecipe), ("- 1", BadPromptRecipe),
        ("name: a\nprompt: nobody", NoSuchPrompt),
        ("name: a\nprompt: {template: a, shape: text}\nteacher: {kind: oracle}", BadTeacher),
        ("name: a\nprompt: {template: a, shape: text}\nteacher: {key: x}", BadPromptRecipe),
        ("name: a\nprompt: {template: a, shape: text}\nrows: -1", OutOfRange),
        ("name: a\nprompt: {template: a, shape: text}\nbudget: {money: -1}", BadPromptRecipe),
    ],
)  # fmt: skip
def test_a_recipe_that_cannot_be_used_is_one_sentence(
    tmp_path: Path, text: str, error: type[Exception]
) -> None:
    with pytest.raises(error):
        GenerateRecipe.from_yaml(text, Workspace(tmp_path))


def test_the_owners_key_goes_to_the_owners_address_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GEMINI_API_KEY", "owner-key")
    assert environment_key(TeacherChoice("gemini", "g")) == Key("owner-key")
    assert not environment_key(TeacherChoice("gemini", "g", "http://evil.example"))
    for bad in ("ftp://a", "http://user:word@a", "http://a/?key=1"):
        with pytest.raises(BadTeacher):
            TeacherChoice("gemini", "g", bad)


def test_prices_are_found_by_the_longest_name(tmp_path: Path) -> None:
    table = Prices(
        "2025-11", {"gemini-2.5-flash": Price(1, 2), "gemini-2.5-flash-lite": Price(3, 4)}
    )
    assert table.of("gemini", "models/gemini-2.5-flash") == Price(1, 2)
    assert table.of("gemini", "gemini-2.5-flash-lite-preview-09") == Price(3, 4)
    assert table.of("gemini", "gemini-9") is None
    assert table.of("local", "bundled:any") == Price(0, 0)
    assert ledger.prices().of("gemini", "gemini-2.5-flash") is not None
    own = Workspace(tmp_path)
    (tmp_path / "prices.yaml").write_text("as_of: today\nmodels: {mine: {input: 5, output: 6}}")
    assert ledger.prices(own).of("openai", "mine") == Price(5, 6)
    (tmp_path / "prices.yaml").write_text("models: {mine: {input: dear}}")
    with pytest.raises(BadPrices):
        ledger.prices(own)


def test_a_budget_holds_back_what_is_on_its_way() -> None:
    meter = Meter(Price(1, 1))
    for _ in range(4):
        meter.note({"outcome": "ok", "tokens_in": 100, "tokens_out": 900})
    assert meter.money == pytest.approx(0.004)
    assert over(Budget(requests=5), meter, 1, 5, 0) == "requests"
    assert over(Budget(tokens=6000), meter, 0, 4, 0) == ""
    assert over(Budget(tokens=6000), meter, 2, 6, 0) == "tokens"
    assert over(Budget(money=0.0055), meter, 1, 5, 0) == "money"
    assert over(Budget(money=0.0055), meter, 0, 4, 0) == ""
    assert over(Budget(tokens=500), Meter(), 0, 0, 4096) == "tokens"
    meter.kept = 20
    assert remaining(meter, 100, 60)["seconds"] == 240
    assert remaining(meter, 100, 60)["money"] == pytest.approx(0.016)


def test_wilson_is_the_interval_in_the_books() -> None:
    low, high = wilson(8, 10)
    assert (round(low, 4), round(high, 4)) == (0.4902, 0.9433)
    assert wilson(0, 0) == (0.0, 1.0)
    assert wilson(0, 20)[0] == pytest.approx(0)
    assert wilson(20, 20)[1] == pytest.approx(1)


def test_ratios_of_clusters_are_compared_in_pairs() -> None:
    same = ratios_apart([5] * 20, [10] * 20, [5] * 20, [10] * 20)
    assert (same.value, same.low, same.high) == (0, 0, 0)
    apart = ratios_apart([9, 8] * 10, [10] * 20, [4, 5] * 10, [10] * 20)
    assert apart.value == pytest.approx(0.4)
    assert apart.is_clear
    few = ratios_apart([9] * 5, [10] * 5, [4] * 5, [10] * 5)
    assert (few.low, few.is_clear) == (None, False)
    assert math.isnan(ratios_apart([], [], [], []).value)
