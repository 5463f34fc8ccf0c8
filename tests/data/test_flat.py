"""Flat columns say what the lists say, and a search never joins two turns."""

from __future__ import annotations

import random

import duckdb
import numpy as np
import pyarrow as pa
import pytest

from workbench.data import flat
from workbench.data.query import DERIVED, Query, View
from workbench.data.rows import Example, Message, table_of

WORDS = ("", "飯", "食咗", "早晨", "Hello", "kK", "straße", "一二三四五六七八九", "\x00", "a b")
ROLES = ("system", "user", "assistant", "tool", "text")


def drawn(draw: random.Random) -> Example:
    def said(most: int) -> tuple[Message, ...]:
        return tuple(
            Message(draw.choice(ROLES), "".join(draw.choices(WORDS, k=draw.randint(0, 4))))
            for _ in range(draw.randint(0, most))
        )

    better = said(3) if draw.random() < 0.3 else None
    return Example(said(6), chosen=better, rejected=better and said(2))


@pytest.fixture(params=range(6))
def table(request: pytest.FixtureRequest) -> pa.Table:
    """Rows of every shape, in chunks that are slices of others."""
    draw = random.Random(request.param)
    whole = table_of([drawn(draw) for _ in range(150)], {})
    return pa.concat_tables([whole.slice(3, 40), whole.slice(80), whole.slice(10, 1), whole])


@pytest.mark.parametrize("name", flat.PICKED)
def test_a_flat_column_is_the_one_that_sql_gives(table: pa.Table, name: str) -> None:
    column = flat.column(table, name)
    column.validate(full=True)
    asked = duckdb.from_arrow(table).project(DERIVED[name]).fetchall()
    assert column.to_pylist() == [value for (value,) in asked]


def test_all_texts_of_a_row_stand_one_after_another(table: pa.Table) -> None:
    rows = flat.Said(table.column("messages")).rows
    rows.validate(full=True)
    lists = table.column("messages").to_pylist()
    assert rows.column("text").to_pylist() == ["".join(t["content"] for t in one) for one in lists]


@pytest.mark.parametrize("word", ["飯食", "飯", "早晨Hello", "hello", "KK", "ss", "ß", "b a", "k"])
def test_a_word_is_found_inside_of_one_turn_only(table: pa.Table, word: str) -> None:
    found = Query(table).rows(View(search=word))
    sql = " OR ".join(
        f"len(list_filter({column}, lambda m: regexp_matches(m.content, '(?i){word}'))) > 0"
        for column in ("messages", "chosen", "rejected")
    )
    numbered = table.append_column("row", pa.array(np.arange(table.num_rows)))
    asked = duckdb.from_arrow(numbered).filter(sql).project("row").fetchall()
    assert found.tolist() == sorted(row for (row,) in asked)


def test_a_text_that_is_null_is_no_prompt() -> None:
    kind = table_of([], {}).schema.field("messages").type
    turn = {"role": "user", "content": None, "name": None, "tool_calls": None, "weight": None}
    table = table_of([Example(()), Example(())], {}).drop_columns(["messages"])
    lists = pa.array([[{**turn, "content": "早晨"}, turn], None], kind)
    column = flat.column(table.append_column("messages", lists), "prompt")
    assert column.to_pylist() == [None, None]


def test_a_sorted_view_of_a_filter_is_the_filter_of_the_sorted_rows(table: pa.Table) -> None:
    query = Query(table)
    for order in ("prompt", "characters", "turns", "answer", "row"):
        for down in (False, True):
            sorted_rows = query.rows(View(order=order, descending=down)).tolist()
            kept = set(query.rows(View(("turns > 2",))).tolist())
            shown = query.rows(View(("turns > 2",), order=order, descending=down)).tolist()
            assert shown == [row for row in sorted_rows if row in kept]


def test_other_rows_and_other_columns_are_seen_at_once(table: pa.Table) -> None:
    query = Query(table, {"stars": pa.array(np.arange(table.num_rows))})
    before = query.rows(View(order="stars")).tolist()
    query.update({"stars": pa.array(np.arange(table.num_rows)[::-1])})
    assert query.rows(View(order="stars")).tolist() == before[::-1]
    query.rows(View(("prompt = '飯'",), search="飯"))
    other = table_of([Example((Message("user", "飯"),))] * table.num_rows, {})
    query.update({}, other)
    assert len(query.rows(View(("prompt = '飯'",), search="飯"))) == table.num_rows
