"""The first verb and its object, in three languages and without a parser."""

from __future__ import annotations

import pytest

from workbench.data.openings import opening, top_openings
from workbench.errors import OutOfRange


@pytest.mark.parametrize(
    ("text", "verb", "thing"),
    [
        ("寫一首關於夏天嘅詩", "寫", "詩"),
        ("唔該幫我寫一封電郵", "寫", "電郵"),
        ("可唔可以列出三種生果？", "列出", "生果"),
        ("請解釋以下成語，並舉例。", "解釋", "成語"),
        ("總結呢篇文章。", "總結", "文章"),
        ("将下面的句子翻译成英文", "翻译", "句子"),
        ("根據以下資料，寫一段介紹。", "寫", "介紹"),
        ("请写一篇关于环保的文章", "写", "文章"),
        ("推荐一部电影", "推荐", "电影"),
        ("Please write a short story about a cat.", "write", "story"),
        ("Can you list three benefits of sleep?", "list", "benefits"),
        ("Summarize the following article in one sentence.", "summarize", "article"),
        ("Come up with a name for a shop", "come", "name"),
        ("\n\nGenerate a list of rivers", "generate", "list"),
    ],
)
def test_the_verb_and_its_object_are_read(text: str, verb: str, thing: str) -> None:
    assert opening(text) == (verb, thing)


@pytest.mark.parametrize("text", ["", "  \n", "今日幾度？", "What is the capital?", "123", "？！"])
def test_a_question_begins_with_no_verb(text: str) -> None:
    assert opening(text) is None


def test_openings_are_ranked_and_the_rest_is_counted() -> None:
    texts = ["寫一首詩", "寫一首詩", "寫一封信", "解釋成語", "Write a poem", "今日幾度？"]
    found = top_openings(texts, verbs=2, objects=1)
    assert [(one.verb, one.count, one.objects) for one in found.openings] == [
        ("寫", 3, (("詩", 2),)),
        ("write", 1, (("poem", 1),)),
    ]
    assert (found.covered, found.counted) == (5 / 6, 6)


def test_no_instructions_are_no_openings() -> None:
    assert top_openings([]).openings == () and top_openings([]).covered == 0


def test_a_long_line_is_read_by_its_beginning() -> None:
    assert opening("唔該" * 5000 + "寫一首詩") is None
    assert opening("寫" + "一首" * 100_000 + "詩") is not None


def test_how_many_to_list_is_checked() -> None:
    with pytest.raises(OutOfRange):
        top_openings(["寫一首詩"], verbs=0)
