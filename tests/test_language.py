"""Register labels on sentences that a Hong Kong reader would not argue about."""

from __future__ import annotations

import pytest

from workbench.language import REGISTERS, register


@pytest.mark.parametrize(
    ("sentence", "label"),
    [
        ("佢哋今日去咗邊度食嘢呀？", "cantonese"),
        ("我唔知喎，聽日先話你知啦。", "cantonese"),
        ("呢件衫係咪你㗎？", "cantonese"),
        ("我哋搭緊𨋢上去。", "cantonese"),
        ("他們今天去了哪裏吃飯？", "written"),
        ("這件衣服是不是你的？", "written"),
        ("我不知道，明天再告訴你吧。", "written"),
        ("今日天氣好", "neutral"),
        ("一九九七年七月一日", "neutral"),
        ("香港", "neutral"),
        ("The quick brown fox jumps over the lazy dog.", "other"),
        ("Please send the 文件 to me before the end of the day, thank you.", "other"),
        ("1234 !!! 😀", "other"),
        ("", "other"),
    ],
)
def test_a_sentence_gets_its_label(sentence: str, label: str) -> None:
    assert register(sentence) == label


def test_two_registers_in_one_text_are_mixed() -> None:
    quoted = "他說：「佢哋今日唔會嚟㗎喇，我都唔知點解。」然後他們就離開了那裏，沒有再回來。"
    assert register(quoted) in ("mixed", "cantonese")
    assert set(REGISTERS) >= {"cantonese", "written", "mixed", "neutral", "other"}


@pytest.mark.parametrize(("name", "label"), [("cantonese", "cantonese"), ("english", "other")])
def test_the_samples_are_what_they_say(name: str, label: str) -> None:
    from workbench.texts import sample

    labels = [register(document) for document in sample(name).documents]
    assert labels.count(label) >= 18


def test_written_chinese_is_not_called_cantonese() -> None:
    from workbench.texts import sample

    labels = [register(document) for document in sample("written-chinese").documents]
    assert "cantonese" not in labels
