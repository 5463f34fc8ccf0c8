"""The growing index says what comparing with everything would say; words of English would not."""

from __future__ import annotations

import random

import pytest

from workbench.errors import OutOfRange
from workbench.likeness.growing import Growing, bare, grams

FLOOR = 0.6


def jaccard(one: str, other: str) -> float:
    n = 3 if len(bare(one)) >= 12 else 2
    left, right = grams(bare(one), n), grams(bare(other), n)
    return len(left & right) / len(left | right)


def rouge_l(one: list[str], other: list[str]) -> float:
    """F-measure of the longest common subsequence (Lin 2004), over tokens."""
    row = [0] * (len(other) + 1)
    for a in one:
        before = 0
        for place, b in enumerate(other, 1):
            before, row[place] = (
                row[place],
                (before + 1 if a == b else max(row[place], row[place - 1])),
            )
    shared = row[-1]
    return 2 * shared / (len(one) + len(other)) if shared else 0.0


def variations(count: int) -> list[str]:
    draw = random.Random(4)
    base = (
        "寫一封信多謝隔籬屋嘅陳太幫手睇住隻貓講吓佢點樣乖同埋下次請佢飲茶兼且送返盒蛋撻畀佢哋一家"
    )
    texts = []
    for _ in range(count):
        letters = list(base[draw.randrange(8) : draw.randrange(14, len(base))])
        for _ in range(draw.randrange(5)):
            letters[draw.randrange(len(letters))] = draw.choice("一二三四五六七八九十")
        texts.append("".join(letters))
    return texts


def test_it_finds_exactly_what_comparing_with_all_finds() -> None:
    index, kept, found = Growing(FLOOR), [], 0
    for number, text in enumerate(variations(700)):
        best = max((jaccard(text, other) for other in kept), default=0.0)
        near = index.nearest(text)
        assert (near is not None) == (best >= FLOOR)
        if near is not None:
            assert near.similarity == pytest.approx(best)
            found += 1
        else:
            index.add(str(number), text)
            kept.append(text)
    assert found > 100
    assert len(index) == len(kept) > 100


def test_word_based_rouge_never_fires_on_chinese_and_this_does() -> None:
    one = "寫一段短訊約朋友聽日去旺角食火鍋，提佢帶遮。"
    other = "寫一段短訊約同事聽日去旺角食火鍋，提佢帶遮。"
    assert rouge_l(one.split(), other.split()) == 0.0
    assert rouge_l(one.split(), one.split()) == 1.0  # nothing but a whole copy
    index = Growing(FLOOR)
    index.add("seed 1", one)
    near = index.nearest(other)
    assert near is not None
    assert near.key == "seed 1"
    assert 0.6 <= near.similarity < 1


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("點解天係藍色？", "點解天係藍色"),
        ("ＡＢＣ同ｄｅｆ", "abc同DEF"),
        ("食 飯 未", "食飯未？！"),
    ],
)
def test_spelling_is_set_aside(one: str, other: str) -> None:
    index = Growing(1.0)
    index.add("1", one)
    near = index.nearest(other)
    assert near is not None
    assert near.similarity == 1


def test_a_text_of_nothing_is_like_nothing() -> None:
    index = Growing(FLOOR)
    index.add("1", "")
    index.add("2", "   ")
    assert index.nearest("") is None
    assert len(index) == 0


def test_a_floor_out_of_range_is_said() -> None:
    with pytest.raises(OutOfRange):
        Growing(0.1)
