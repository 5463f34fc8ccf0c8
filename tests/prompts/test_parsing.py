"""Replies as teachers write them: tolerant, and nothing lost without a word."""

from __future__ import annotations

import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.prompts.parsing import Item, parse

SHAPES = ("numbered", "json", "score", "versions", "conversation", "text")


def plain(items: tuple[Item, ...]) -> list[tuple[str, str, str, str | None]]:
    return [(one.instruction, one.input, one.output, one.problem) for one in items]


NUMBERED = """好，以下係任務：

###
4. **指示：** 將以下句子改成禮貌啲。
4. 輸入： 走開！
4. 輸出：唔好意思，借一借。

###
５．指示：寫一首關於茶餐廳嘅短詩
５．輸入：<noinput>
５．輸出：
凍檸茶，走甜
一杯解千愁
###
## 6. Instruction: 講吓點解要飲水
**Input:** 無
**Output:** 因為身體要水。
###
7. 指示：下一條"""


def test_numbered_sections_in_every_spelling() -> None:
    items = parse(NUMBERED, "numbered")
    assert plain(items) == [
        ("將以下句子改成禮貌啲。", "走開！", "唔好意思，借一借。", None),
        ("寫一首關於茶餐廳嘅短詩", "", "凍檸茶，走甜\n一杯解千愁", None),
        ("講吓點解要飲水", "", "因為身體要水。", None),
        ("下一條", "", "", "cut"),
    ]
    assert [one.number for one in items] == [4, 5, 6, 7]
    assert NUMBERED[items[1].start : items[1].end].startswith("５．指示")


def test_a_base_goes_on_where_the_prompt_ends() -> None:
    raw = " 寫句祝福\n4. 輸入：<noinput>\n4. 輸出：生日快樂！\n###\n5. 指示：數到三\n5. 輸出：好"
    assert plain(parse(raw, "numbered", start=4)) == [
        ("寫句祝福", "", "生日快樂！", None),
        ("數到三", "", "好", None),
    ]


def test_a_list_inside_an_answer_is_no_new_item() -> None:
    raw = "1. 指示：列三樣水果\n1. 輸出：\n1. 蘋果\n2. 橙\n3. 蕉\n2. 指示：再嚟\n2. 輸出：好"
    assert parse(raw, "numbered")[0].output == "1. 蘋果\n2. 橙\n3. 蕉"


def test_out_of_tokens_the_last_item_is_cut() -> None:
    raw = "1. 指示：甲乙丙\n1. 輸出：丁\n2. 指示：戊己庚\n2. 輸出：辛壬"
    assert [one.problem for one in parse(raw, "numbered", truncated=True)] == [None, "cut"]


TASKS = [{"instruction": "甲", "input": "", "output": "乙"},
         {"instruction": "丙", "input": "丁", "output": "戊"}]  # fmt: skip


@pytest.mark.parametrize(
    "raw",
    [
        json.dumps(TASKS, ensure_ascii=False),
        json.dumps({"tasks": TASKS}, ensure_ascii=False),
        f"好：\n```json\n{json.dumps(TASKS, ensure_ascii=False, indent=2)}\n```\n仲要唔要？",
        "\n".join(json.dumps(one) for one in TASKS),
        '[{"指示": "甲", "輸出": "乙",}, {"Instruction": "丙", "Input": "丁", "Output": "戊"},]',
    ],
)
def test_json_in_every_dress(raw: str) -> None:
    assert plain(parse(raw, "json")) == [("甲", "", "乙", None), ("丙", "丁", "戊", None)]


def test_half_a_json_keeps_what_is_whole() -> None:
    raw = json.dumps({"tasks": TASKS}, ensure_ascii=False)
    cut = raw[: raw.index("戊")]
    assert plain(parse(cut, "json")) == [("甲", "", "乙", None), ("", "", "", "cut")]


def test_a_reply_of_two_megabytes_costs_its_length() -> None:
    begun = time.monotonic()
    for raw in ("{" * 2_000_000, '{"a":' * 80_000, "1. 指示：" * 50_000, "用戶：" * 80_000):
        for shape in SHAPES:
            assert parse(raw, shape)
    assert time.monotonic() - begun < 60


@pytest.mark.parametrize(
    ("raw", "wanted"),
    [
        ("Score: 4", [(("score", 4.0),)]),
        ("理由……\n**質素：** 5 分\n複雜度：３", [(("quality", 5.0), ("complexity", 3.0))]),
        ('{"reason": "好", "quality": 2}', [(("quality", 2.0),)]),
        ("[1] Score: 4\n[2] Score: 6", [(("score", 4.0),), (("score", 6.0),)]),
        ("5", [(("score", 5.0),)]),
    ],
)
def test_scores(raw: str, wanted: list[object]) -> None:
    assert [one.scores for one in parse(raw, "score")] == wanted


@pytest.mark.parametrize(
    "raw",
    ["版本一：甲\n版本二：乙\n版本三：丙",
     "**Version 1:** 甲\n**Version 2 (warm):** 乙\n### Version 3\n丙",
     "1. 甲\n2. 乙\n3. 丙", '["甲", "乙", "丙"]'],
)  # fmt: skip
def test_versions(raw: str) -> None:
    assert [one.output for one in parse(raw, "versions")] == ["甲", "乙", "丙"]


@pytest.mark.parametrize(
    "raw",
    [
        "顧客：幾點開門？\n客服：九點。",
        "**User:** 幾點開門？\n**Assistant:** 九點。",
        "阿明：幾點開門？\n店主：九點。",
        '[{"role": "user", "content": "幾點開門？"}, {"role": "assistant", "content": "九點。"}]',
        '{"turns": [{"from": "human", "value": "幾點開門？"}, {"from": "gpt", "value": "九點。"}]}',
    ],
)  # fmt: skip
def test_conversations(raw: str) -> None:
    (item,) = parse(raw, "conversation")
    assert item.turns == (("user", "幾點開門？"), ("assistant", "九點。"))


def test_thanks_that_nobody_answers_are_no_lesson() -> None:
    (item,) = parse("顧客：幾點開門？\n客服：九點。\n顧客：唔該", "conversation")
    assert item.turns[-1] == ("assistant", "九點。")


@given(st.text(max_size=400), st.sampled_from(SHAPES), st.booleans())
def test_any_text_is_read_and_every_item_lies_in_it(raw: str, shape: str, cut: bool) -> None:
    items = parse(raw, shape, cut)
    assert items
    assert all(0 <= one.start <= one.end <= len(raw) for one in items)
