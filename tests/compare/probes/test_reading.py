"""Files of questions: what can be asked, what is wrong row by row, and how answers are read."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as some

from workbench.compare.probes.grading import grade, number_in, read_letter
from workbench.compare.probes.items import Choice, Short
from workbench.compare.probes.reading import open_probe, parse, read_probe, shipped_names
from workbench.errors import (
    BadProbeFile,
    BadProbeRows,
    EmptyFile,
    NoProbeItems,
    NoSuchProbe,
    TextNotFound,
    TextTooLarge,
)

LIMIT = 1_000_000
GOOD = {"id": "a", "question": "邊個係首都？", "options": ["北京", "上海"], "answer": "北京"}


def lines(*rows: object) -> bytes:
    return "\n".join(
        row if isinstance(row, str) else json.dumps(row, ensure_ascii=False) for row in rows
    ).encode()


@pytest.mark.parametrize("name", shipped_names())
def test_every_shipped_set_is_whole(name: str) -> None:
    found = open_probe(name, LIMIT)
    assert len(found.items) >= 40
    assert not found.bad
    assert set(found.title) == {"en", "zh-TW", "zh-CN"}


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({**GOOD, "id": "b", "answer": "廣州"}, "row 2: the answer “廣州” is not among"),
        (GOOD, "row 2: the id a is used in row 1 already"),
        ({**GOOD, "id": "b", "options": ["北京"]}, "row 2: there are 1 options"),
        ({**GOOD, "id": "b", "options": ["北京", "北京"]}, "row 2: two options are the same"),
        ({"id": "b", "options": ["甲", "乙"], "answer": "甲"}, "row 2: the question is missing"),
        ('{"id": "b", "question"', "row 2: it is not JSON"),
        ([1, 2], "row 2: it is not a set of fields"),
        ({**GOOD, "id": "b", "options": "北京"}, "row 2: the options are not a list"),
    ],
)
def test_a_row_that_cannot_be_asked_is_named_and_the_good_ones_can_be_used(
    row: object, reason: str
) -> None:
    raw = lines(GOOD, row)
    with pytest.raises(BadProbeRows) as refused:
        parse(raw, "mine.jsonl")
    assert reason in str(refused.value)
    kept = parse(raw, "mine.jsonl", skip_bad=True)
    assert [item.id for item in kept.items] == ["a"]
    assert [bad.row for bad in kept.bad] == [2]


def test_five_options_are_fine_and_a_prefix_is_told() -> None:
    row = {**GOOD, "options": ["北京", "北京市", "丙", "丁", "戊"]}
    found = parse(lines(row), "mine.jsonl")
    assert isinstance(found.items[0], Choice)
    assert found.warnings[0].reason == "“北京市” begins with “北京”"


def test_bytes_of_another_encoding_cost_their_row_only() -> None:
    odd = json.dumps({**GOOD, "id": "b"}, ensure_ascii=False).encode("big5hkscs")
    raw = lines(GOOD, {**GOOD, "id": "c"}) + b"\n" + odd
    assert [one.row for one in parse(raw, "mine.jsonl", skip_bad=True).bad] == [3]
    whole = lines(GOOD).decode().encode("big5hkscs")
    assert parse(whole, "mine.jsonl").items[0].asked == "邊個係首都？"


@pytest.mark.parametrize(
    ("name", "raw", "error"),
    [
        ("a.yaml", b"", EmptyFile),
        ("a.jsonl", b" \n\n", EmptyFile),
        ("a.yaml", b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", BadProbeFile),
        ("a.yaml", b"items: 3", BadProbeFile),
        ("a.yaml", b"items: [", BadProbeFile),
        ("a.yaml", b"[" * 5000, BadProbeFile),
        ("a.yaml", b"kind: dance\nitems: [{id: a}]", BadProbeFile),
        ("a.yaml", b"items: []", NoProbeItems),
        ("a.jsonl", b"not json\nnor this", BadProbeFile),
        ("a.csv", "首都,北京,上海\n".encode(), BadProbeFile),
    ],
)
def test_a_file_that_holds_no_questions_is_one_sentence(
    name: str, raw: bytes, error: type[Exception]
) -> None:
    with pytest.raises(error):
        parse(raw, name)


def test_a_file_that_is_not_there_too_large_or_unknown(tmp_path: Path) -> None:
    with pytest.raises(TextNotFound):
        read_probe(tmp_path / "none.yaml", LIMIT)
    large = tmp_path / "large.jsonl"
    large.write_bytes(lines(GOOD))
    with pytest.raises(TextTooLarge):
        read_probe(large, 10)
    with pytest.raises(NoSuchProbe):
        open_probe("no-such-set", LIMIT)


def test_a_table_with_lettered_options() -> None:
    raw = "id,question,A,B,C,answer\n1,邊個?,甲,乙,,乙\n2,幾多?,一,二,三,0\n".encode()
    first, second = parse(raw, "a.csv").items
    assert isinstance(first, Choice)
    assert isinstance(second, Choice)
    assert (first.options, first.right) == (("甲", "乙"), "乙")
    assert second.right == "一"


WORDS = some.text("甲乙丙丁abc", min_size=1, max_size=6)


@given(options=some.lists(WORDS, min_size=2, max_size=10, unique=True), at=some.integers(0, 9))
def test_whatever_is_written_comes_back(options: list[str], at: int) -> None:
    answer = options[at % len(options)]
    row = {"id": "x", "question": "邊個？", "options": options, "answer": answer}
    item = parse(lines(row), "a.jsonl").items[0]
    assert isinstance(item, Choice)
    assert (list(item.options), item.right) == (options, answer)


@given(some.binary(max_size=300), some.sampled_from(["a.yaml", "a.jsonl", "a.csv"]))
def test_any_bytes_are_questions_or_one_of_our_sentences(raw: bytes, name: str) -> None:
    from workbench.errors import WorkbenchError

    try:
        assert parse(raw, name, skip_bad=True).items
    except WorkbenchError as error:
        assert str(error)


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("答案係 12。", 12), ("１２", 12), ("1,234.5 蚊", 1234.5), ("-3", -3), ("3/4", 0.75),
        ("十二", 12), ("兩百零五", 205), ("一萬二千", 12000), ("三點五", 3.5), ("負七", -7),
        ("先加 5，再乘 2，得 30", 30), ("唔知", None),
    ],
)  # fmt: skip
def test_numbers_are_read_as_people_write_them(text: str, number: float | None) -> None:
    assert number_in(text) == number


def test_an_answer_is_graded_by_its_stated_rule() -> None:
    exact = Short(id="a", question="？", answer="Victoria Peak", accept=("太平山",))
    assert grade(exact, "答案：「太平山」。", False)[1]
    assert grade(exact, "ｖｉｃｔｏｒｉａ ｐｅａｋ", False)[1]
    assert not grade(exact, "獅子山", False)[1]
    near = Short(id="b", question="？", answer="3.14", grade="numeric", tolerance=0.01)
    assert grade(near, "大約 3.1416", False)[1]
    assert grade(near, "唔知", False) == ("", False)
    pattern = Short(id="c", question="？", answer="^(星期)?日", grade="regex")
    assert grade(pattern, "星期日", False)[1]


def test_the_letter_that_was_chosen_is_put_back_in_order() -> None:
    item = Choice(id="a", question="？", options=("甲", "乙", "丙"), answer=0)
    assert read_letter("B", item, (2, 0, 1)) == 0
    assert read_letter("我揀乙", item, (0, 1, 2)) == 1
    assert read_letter("唔知喎", item, (0, 1, 2)) is None
