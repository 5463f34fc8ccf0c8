"""Each rule drops what it should, points at the characters that decided, and lets the rest be."""

from __future__ import annotations

from typing import Any

import pytest

from workbench.errors import BadPromptRecipe, OutOfRange
from workbench.prompts.autopsy import Autopsy, Verdict, row_of
from workbench.prompts.rules import RULES, Rules
from workbench.prompts.seeds import Seed
from workbench.prompts.template import Template

SEEDS = [Seed("1", "寫一段短訊約朋友聽日去旺角食火鍋，提佢帶遮。")]


def autopsy(shape: str = "numbered", task: str = "self-instruct", **rules: Any) -> Autopsy:
    template = Template("t", "{{tasks}}", shape, task=task)  # type: ignore[arg-type]
    return Autopsy(template, Rules(**{"register": "cantonese", **rules}), SEEDS)


def one(instruction: str, output: str, given: str = "<noinput>", **rules: Any) -> Verdict:
    raw = f"1. 指示：{instruction}\n1. 輸入：{given}\n1. 輸出：{output}"
    (verdict,) = autopsy(**rules).examine(raw, 7)
    if verdict.reason is not None and verdict.reason.part != "reply":
        part = getattr(verdict.item, verdict.reason.part)
        assert part[verdict.reason.start : verdict.reason.end]
        assert raw[verdict.start : verdict.end] in raw
    return verdict


GOOD = ("講吓點解海水係鹹嘅。", "因為雨水將石頭入面嘅鹽沖晒落海，日積月累就鹹咗。")


@pytest.mark.parametrize(
    ("instruction", "output", "rule", "decided"),
    [
        ("畫一幅維港夜景嘅圖。", "好呀。", "media", "畫一幅維港夜景嘅圖"),
        ("Draw a picture of a cat for me", "好呀。", "media", "Draw a picture of a cat for me"),
        ("介紹吓你鍾意食咩。", "作為一個AI，我唔識食嘢。", "refused", "作為一個AI"),
        (GOOD[0], "對唔住，我冇辦法答呢條問題。", "refused", "對唔住"),
        (GOOD[0], "因為这个海水入面有好多盐。", "simplified", "这"),
        (GOOD[0], "這是因為它們的礦物質沒有被沖走。", "written", "這"),
        (GOOD[0], "Because rain carries salt into the sea over time.", "language", "Because"),
        (GOOD[0], f"{GOOD[1]}另外河水都會帶鹽落海，同埋因為", "truncated", "因為"),
        (GOOD[0], GOOD[0], "echo", GOOD[0]),
        ("講", "好。", "too_short", "講"),
        ("寫一段短訊約同事聽日去旺角食火鍋，提佢帶遮。", "聽日食火鍋呀！", "duplicate", ""),
    ],
)
def test_a_rule_and_the_characters_that_decided(
    instruction: str, output: str, rule: str, decided: str
) -> None:
    reason = one(instruction, output).reason
    assert reason is not None
    assert reason.rule == rule
    assert rule in RULES
    if decided:
        text = instruction if reason.part == "instruction" else output
        assert text[reason.start : reason.end].startswith(decided)
    if rule == "duplicate":
        assert reason.near == "seed 1"
        assert 0.6 <= reason.similarity < 1


@pytest.mark.parametrize(
    ("instruction", "output"),
    [
        GOOD,
        ("點樣影相先至靚？", "搵好光線，手定啲，影多幾張揀返張好嘅。"),
        ("將呢句譯做英文：食咗飯未？", "Have you eaten yet?"),
        ("你叫咩名？", "我係一個AI助手。"),
        ("呢句係開心定唔開心：今日好靚仔。", "開心"),
        ("今日天氣好。你點睇？", "天氣好，出街行下。"),
    ],
)
def test_what_is_fine_is_kept(instruction: str, output: str) -> None:
    assert one(instruction, output).reason is None


def test_a_rule_that_is_off_drops_nothing() -> None:
    assert one("畫一幅維港夜景嘅圖。", "好呀。", media=False).reason is None
    assert one(GOOD[0], "這是因為它們的礦物質。", register="any").reason is None
    assert one(SEEDS[0].instruction, "好呀，聽日見！", duplicate=0.0).reason is None


def test_mixed_register_is_kept_unless_told_otherwise() -> None:
    text = "因為佢哋嘅鹽係由石頭沖出嚟的，這些嘢留喺海入面。"
    assert one(GOOD[0], text).reason is None
    reason = one(GOOD[0], text, mixed=False).reason
    assert reason is not None
    assert reason.rule == "mixed"


def test_a_teacher_that_declines_is_heard() -> None:
    template = Template("t", "{{instruction}}", "json", task="translate")
    looked = Autopsy(template, Rules(decline="【譯唔到】"))
    raw = '{"instruction": "Correct the tense.", "input": "I go", "output": "【譯唔到】講文法"}'
    (verdict,) = looked.examine(raw, 0, row=Seed("a", "Correct the tense."))
    assert verdict.reason is not None
    assert verdict.reason.rule == "declined"


def test_the_second_of_two_alike_is_dropped_and_names_the_first() -> None:
    looked = autopsy()
    raw = "1. 指示：{0}\n1. 輸出：{1}"
    (first,) = looked.examine(raw.format(*GOOD), 3)
    (second,) = looked.examine(raw.format(GOOD[0].replace("鹹", "咸"), "因為有鹽囉。"), 4)
    assert first.reason is None
    assert second.reason is not None
    assert second.reason.near == first.id == "000003-01"


def test_meaning_by_embeddings() -> None:
    import numpy as np

    def embed(texts: list[str]) -> np.ndarray:
        return np.array([[1.0, 0.0] if "海" in text else [0.0, 1.0] for text in texts])

    template = Template("t", "{{tasks}}", "numbered")
    looked = Autopsy(template, Rules(meaning=0.95), [Seed("1", "海水點解係鹹")], embed)
    raw = "1. 指示：解釋大海鹹味由邊度嚟\n1. 輸出：鹽。\n2. 指示：山點解咁高\n2. 輸出：擠出嚟。"
    first, second = looked.examine(raw, 0)
    assert first.reason is not None
    assert (first.reason.rule, first.reason.near) == ("meaning", "seed 1")
    assert second.reason is None


def test_an_evolved_task_needs_no_answer_but_something_new() -> None:
    looked = autopsy("json", "evolve")
    row = Seed("9", "解釋點解天係藍色嘅。", output="因為光。")
    same, new = (
        looked.examine(f'{{"instruction": "{text}", "input": ""}}', number, row=row)[0]
        for number, text in enumerate(
            ("解釋下點解天係藍色嘅。", "點解日落嗰陣個天唔係藍色，而係橙紅色？用兩句講清楚。")
        )
    )
    assert same.reason is not None
    assert same.reason.rule == "echo"
    assert new.reason is None
    assert row_of(new, {})["original"] == row.instruction


def test_a_row_carries_where_it_came_from() -> None:
    verdict = one(GOOD[0], GOOD[1], "海水")
    row = row_of(verdict, {"prompt": "p@2", "model": "m", "seeds": "1 2 3", "request": "abc"})
    assert row["messages"] == [
        {"role": "user", "content": f"{GOOD[0]}\n\n海水"},
        {"role": "assistant", "content": GOOD[1]},
    ]
    assert row["input"] == "海水"
    assert (row["prompt"], row["seeds"], row["register"]) == ("p@2", "1 2 3", "cantonese")


def test_rules_that_are_none_are_refused() -> None:
    with pytest.raises(BadPromptRecipe, match="no rule called colour"):
        Rules.of({"colour": 1})
    with pytest.raises(BadPromptRecipe, match="media cannot be"):
        Rules.of({"media": "yes"})
    with pytest.raises(OutOfRange):
        Rules(duplicate=0.1)
