"""Filters are one condition over the columns and nothing else; search and order are exact."""

from __future__ import annotations

import threading

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.data.desk import talk
from workbench.data import query
from workbench.data.expressions import LAMBDAS
from workbench.data.query import LONGEST, Query, View
from workbench.data.rows import SCHEMA, Example, Message, table_of
from workbench.errors import BadExpression, QueryTooSlow

KINDS = {"score": pa.int64(), "share": pa.float64(), "good": pa.bool_(), "topic": pa.string()}
ROWS = [
    talk(
        "你食咗飯未呀？", "食咗喇！Hello World", id="a", score=3, share=0.5, good=True, topic="食"
    ),
    talk(
        "去邊呀？", "返屋企。50% off (really)", id="b", score=1, share=0.25, good=False, topic="行"
    ),
    talk("喺度做咩？", "睇緊書，it's \x00 odd", id="c", source="從前.jsonl"),
    Example(
        (Message("system", "你係一個廚師"), Message("user", "點整蛋撻？")),
        chosen=(Message("assistant", "先整撻皮，再落蛋漿。"),),
        rejected=(Message("assistant", "去茶餐廳買啦！"),),
        id="d",
        columns={"score": 2, "share": 0.75},
    ),
    Example((Message("text", "純文字一段，冇問冇答。"),), id="e"),
]


@pytest.fixture
def rows() -> Query:
    beside = {
        "tags": pa.array([["echo"], [], ["echo", "length"], [], []], pa.list_(pa.string())),
        "kept": pa.array([False, True, False, True, True]),
    }
    return Query(table_of(ROWS, KINDS), beside)


def found(rows: Query, *where: str, search: str = "", order: str = "", down: bool = False) -> str:
    """The ids of the rows shown, as one word."""
    numbers = rows.rows(View(where, search, order, down))
    return "".join("abcde"[row] for row in numbers)


# Filters


@pytest.mark.parametrize(
    ("where", "shown"),
    [
        ("score >= 2", "ad"),
        ("share < 0.6 AND score IS NOT NULL", "ab"),
        ("good", "a"),
        ("NOT good", "b"),
        ("good IS NULL", "cde"),
        ("topic = '食'", "a"),
        ("topic LIKE '%行%' OR topic ILIKE '食'", "ab"),
        ("id IN ('b', 'e')", "be"),
        ("source = '從前.jsonl'", "c"),
        ("kept", "bde"),
        ("list_contains(tags, 'length')", "c"),
        ("list_has_any(tags, ['echo', 'refusal'])", "ac"),
        ("len(tags) = 0", "bde"),
        ("prompt LIKE '%蛋撻%'", "d"),
        ("answer LIKE '%蛋漿%'", "d"),
        ("answer LIKE '%純文字%'", "e"),
        ("system IS NOT NULL", "d"),
        ("turns = 1", "e"),
        ("characters BETWEEN 11 AND 12", "de"),
        ("row < 2", "ab"),
        ("chosen IS NOT NULL AND rejected[1].content LIKE '%茶餐廳%'", "d"),
        ("len(list_filter(messages, lambda m: m.role = 'user')) = 1", "abcd"),
        ("regexp_matches(answer, '^返')", "b"),
        ("CASE WHEN score > 2 THEN true ELSE false END", "a"),
        ("score::varchar = '1' -- 淨係要呢個", "b"),
        ("score IN (1, 2) /* 兩個 */", "bd"),
        ("true\n", "abcde"),
    ],
)
def test_every_kind_of_column_can_be_filtered(rows: Query, where: str, shown: str) -> None:
    assert found(rows, where) == shown


def test_filters_hold_together_and_each_says_what_it_takes(rows: Query) -> None:
    stack = ("score IS NOT NULL", "score < 3", "kept AND good")
    assert found(rows, *stack) == ""
    assert found(rows, *stack[:2]) == "bd"
    assert rows.taken(stack) == [2, 1, 2]
    assert rows.taken(()) == []


def test_a_comment_in_one_filter_does_not_swallow_the_next(rows: Query) -> None:
    assert found(rows, "score > 0 -- ", "score < 2") == "b"


# Order


@pytest.mark.parametrize("down", [False, True])
def test_every_sortable_column_sorts_with_what_is_missing_last(rows: Query, down: bool) -> None:
    for name in rows.sortable:
        numbers = rows.rows(View(order=name, descending=down)).tolist()
        values = [rows.values(f'SELECT "{name}" FROM rows ORDER BY row')[row][0] for row in numbers]
        there = [value for value in values if value is not None]
        assert sorted(numbers) == [0, 1, 2, 3, 4]
        assert values == [*there, *[None] * (5 - len(there))]
        if there and not isinstance(there[0], list):
            assert there == sorted(there, reverse=down), name


def test_equal_values_stay_in_the_order_of_the_file() -> None:
    same = Query(table_of([talk("早晨", "早", n=1) for _ in range(3000)], {"n": pa.int64()}))
    assert same.rows(View(order="n", descending=True)).tolist() == list(range(3000))


def test_an_unknown_column_to_sort_by_is_refused(rows: Query) -> None:
    for name in ("nothing", "messages", 'score" DESC; --'):
        with pytest.raises(BadExpression, match="no column"):
            rows.rows(View(order=name))


# Search


@pytest.mark.parametrize(
    ("words", "shown"),
    [
        ("hello world", "a"),
        ("HELLO", "a"),
        ("蛋漿", "d"),
        ("茶餐廳", "d"),
        ("廚師", "d"),
        ("50% off (", "b"),
        ("(REALLY)", "b"),
        (".*", ""),
        ("[a-z]", ""),
        ("%", "b"),
        ("_", ""),
        ("it's", "c"),
        ("' OR true --", ""),
        ("\x00", "c"),
        ("\x00 ODD", "c"),
        ('"', ""),
        ("\\", ""),
        ("d", "acd"),
        ("冇問冇答", "e"),
        ("無人講過", ""),
    ],
)
def test_words_are_found_as_they_stand_and_without_case(
    rows: Query, words: str, shown: str
) -> None:
    assert found(rows, search=words) == shown


small = st.text(st.sampled_from("aAbé飯食 .(*\x00"), max_size=6)
conversations = st.lists(
    st.builds(Message, st.sampled_from(["system", "user", "assistant", "tool", "text"]), small),
    min_size=1,
    max_size=4,
).map(tuple)
ways_on = st.tuples(conversations, small).map(lambda two: (*two[0], Message("assistant", two[1])))
any_rows = st.lists(
    st.builds(
        Example,
        conversations,
        id=st.none() | small,
        chosen=st.none() | ways_on,
        rejected=st.none() | ways_on,
    ),
    max_size=12,
)


@given(any_rows, small.filter(bool), st.integers(0, 3))
@settings(max_examples=30, deadline=None, database=None)
def test_search_and_derived_columns_are_what_python_says(
    examples: list[Example], word: str, cut: int
) -> None:
    table = pa.concat_tables([table_of(examples, {}), table_of(examples[:cut], {})])
    both = [*examples, *examples[:cut]]
    asked = Query(table)

    def says(one: Example) -> bool:
        turns = [*one.messages, *(one.chosen or ()), *(one.rejected or ())]
        return one.id == word or any(word.lower() in turn.content.lower() for turn in turns)

    assert asked.rows(View(search=word)).tolist() == [
        row for row, one in enumerate(both) if says(one)
    ]
    for part in ("prompt", "answer"):
        expected = [getattr(one, part) for one in both]
        assert asked.texts(part).to_pylist() == expected
        filled = asked.rows(View((f"coalesce({part}, '') = ''",))).tolist()
        assert filled == [row for row, text in enumerate(expected) if not text]
        assert asked.texts(part).to_pylist() == expected
    assert asked.values("SELECT turns FROM rows ORDER BY row") == [
        (len(one.messages),) for one in both
    ]
    lengths = [sum(len(turn.content) for turn in one.messages) for one in both]
    order = asked.rows(View(order="characters", descending=True)).tolist()
    assert [lengths[row] for row in order] == sorted(lengths, reverse=True)


def test_search_and_filters_hold_together(rows: Query) -> None:
    assert found(rows, "score = 3", search="hello") == "a"
    assert found(rows, "score = 1", search="hello") == ""


def test_an_unpaired_surrogate_is_no_crash(rows: Query) -> None:
    with pytest.raises(BadExpression):
        rows.rows(View(search="\ud800"))


# What is refused


@pytest.mark.parametrize(
    "where",
    [
        "id IN (SELECT id FROM rows)",
        "EXISTS (FROM rows)",
        "score > ALL (SELECT 1)",
        "score = ANY ([1, 2])",
        "EXISTS (FROM read_csv('/etc/passwd'))",
        "(SELECT content FROM read_text('/etc/passwd')) IS NULL",
        "true) UNION SELECT row FROM rows WHERE (true",
        "true) EXCEPT SELECT 0 WHERE (true",
        "true) ORDER BY (row",
        "true) LIMIT (1",
        "true) GROUP BY row HAVING (true",
        "true) GROUP BY row HAVING (row IN (SELECT 0)",
        "true) GROUP BY ALL --",
        "true) QUALIFY (row_number() OVER () = 1",
        "true) USING SAMPLE (1 ROWS",
        "true; SELECT 1",
        "true); DROP VIEW rows; SELECT (1",
        "true); COPY rows TO 'out.csv'; SELECT (1",
        "true); ATTACH 'x.db'; SELECT (1",
        "true); SET memory_limit='1TB'; SELECT (1",
        "true /*",
        "true)\x00",
        "read_csv('/etc/passwd')",
        "glob('*') IS NULL",
        "getenv('HOME') IS NOT NULL",
        "current_setting('memory_limit') IS NOT NULL",
        "getvariable('x') IS NULL",
        "write_log('x') IS NULL",
        "pg_sleep(60) IS NULL",
        "len(range(1000000000)) > 0",
        "len(repeat('x', 1000000000)) > 0",
        "random() < 0.5",
        "nobody IS NULL",
        "score = ?",
        "score = $1",
        "#1 = 0",
        "COLUMNS(*) IS NOT NULL",
        "count(*) > 0",
        "sum(score) OVER () > 0",
        "unnest(messages) IS NULL",
        "score > '三'",
        "id",
        "",
        "  ",
        "score >",
        "{{rows}}",
        "not " * 900 + "true",
        "(" * 1500 + "true" + ")" * 1500,
        "1" + "+1" * 1900 + " > 0",
        "true" + " " * LONGEST,
    ],
)
def test_what_is_not_one_condition_is_refused_in_one_line(rows: Query, where: str) -> None:
    before = found(rows)
    with pytest.raises(BadExpression) as caught:
        rows.rows(View((where,)))
    sentence = str(caught.value)
    assert len(sentence.splitlines()) == 1
    assert sentence.startswith("The filter cannot be used: ")
    assert len(sentence) < 300
    assert " Error: " not in sentence
    assert found(rows) == before


def test_a_python_variable_is_not_a_table(rows: Query) -> None:
    secret = pa.table({"row": [1]})
    assert secret.num_rows == 1
    for where in ("secret IS NULL", "row IN (FROM secret)"):
        with pytest.raises(BadExpression):
            rows.rows(View((where,)))


def test_lambdas_may_stand_in_one_another_only_so_deep(rows: Query) -> None:
    def nested(depth: int) -> str:
        inside = "true"
        for level in range(depth):
            inside = f"len(list_filter(messages, lambda x{level}: {inside})) > 0"
        return inside

    assert found(rows, nested(LAMBDAS)) == "abcde"
    with pytest.raises(BadExpression, match="lambdas"):
        rows.rows(View((nested(LAMBDAS + 1),)))


def test_a_slow_filter_is_stopped_and_the_next_one_answers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    few = table_of([talk(f"問題{n}", "答" * 200) for n in range(1000)], {})
    many = Query(pa.concat_tables([few] * 60))
    monkeypatch.setattr(query, "SECONDS", 0.02)
    slow = "len(list_filter(messages, lambda m: md5(md5(md5(m.content))) = 'x')) > 0"
    with pytest.raises(QueryTooSlow, match=r"0\.02 seconds"):
        many.rows(View((slow,)))
    monkeypatch.setattr(query, "SECONDS", 10)
    assert len(many.rows(View(("prompt = '問題7'",)))) == 60


# The columns


@pytest.mark.parametrize(
    "name", ["row", "Row", "KEPT", "Answer", "answer", "prompt", 'a"b', "用戶"]
)
def test_a_column_of_any_name_changes_no_row_and_no_text(name: str) -> None:
    made = table_of(
        [talk("問", "答", **{name: 7}), talk("再問", "再答", **{name: 9})], {name: pa.int64()}
    )
    own = Query(made, {"kept": pa.array([True, False])})
    assert own.rows(View(("kept",))).tolist() == [0]
    assert own.rows(View(("true",))).tolist() == [0, 1]
    assert own.texts("answer").to_pylist() == ["答", "再答"]
    assert own.texts("prompt", np.array([1])).to_pylist() == ["再問"]
    for column in own.sortable:
        assert sorted(own.rows(View(order=column)).tolist()) == [0, 1]


def test_texts_are_the_parts_of_each_row(rows: Query) -> None:
    assert rows.texts("prompt").to_pylist()[3:] == ["點整蛋撻？", ""]
    assert rows.texts("answer").to_pylist()[3] == "先整撻皮，再落蛋漿。"
    assert rows.texts("whole").to_pylist()[3] == "你係一個廚師\n點整蛋撻？\n先整撻皮，再落蛋漿。"


def test_other_columns_beside_the_rows_are_seen_at_once(rows: Query) -> None:
    assert found(rows, "kept") == "bde"
    rows.update({"kept": pa.array([True] * 5), "split": pa.array(["train"] * 4 + [None])})
    assert found(rows, "kept") == "abcde"
    assert found(rows, "split = 'train'") == "abcd"
    assert [name for name in rows.names if name == "tags"] == []


def test_an_empty_table_has_no_rows() -> None:
    empty = Query(SCHEMA.empty_table())
    assert empty.rows(View()).tolist() == []
    assert empty.rows(View(("turns > 1",), "飯", "answer")).tolist() == []
    assert empty.texts("whole").to_pylist() == []
    assert empty.taken(("true",)) == [0]


def test_several_threads_get_their_own_answers(rows: Query) -> None:
    wrong: list[str] = []

    def ask(number: int) -> None:
        for _ in range(20):
            if found(rows, f"row = {number}") != "abcde"[number]:
                wrong.append("another's")
            rows.update({"kept": pa.array([True] * 5)})

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
