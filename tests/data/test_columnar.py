"""The fast way gives exactly what the slow way gives, or steps aside."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.data import strategies as rows
from workbench.data.formats.columnar import choose_columns, convert
from workbench.data.formats.convert import (
    DEFAULTS,
    TEMPLATES,
    Mapping,
    Unfit,
    detect,
    from_example,
    to_examples,
)
from workbench.data.rows import Example, Message, examples_of, table_of

many = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow], database=None
)


def slowly(
    records: list[Any], mapping: Mapping, columns: dict[str, pa.DataType], source: str | None
) -> pa.Table:
    examples = [one for record in records for one in to_examples(record, mapping, source)]
    return table_of(examples, columns)


def both_ways(records: list[Any], mapping: Mapping, source: str | None = "f") -> bool:
    """True if the fast way did it; what it did is what the slow way does."""
    try:
        batch = pa.RecordBatch.from_pylist(records)
    except (pa.ArrowException, OverflowError):
        return False  # no reader would make a batch of these
    plain = batch.to_pylist()
    try:
        examples = [one for record in plain for one in to_examples(record, mapping, source)]
    except Unfit:
        assert convert(batch, mapping, source, {}) is None
        return False
    columns = choose_columns(examples)
    found = convert(batch, mapping, source, columns)
    if found is None:
        return False
    found.validate(full=True)
    assert found.schema == table_of([], columns).schema
    assert found.to_pylist() == slowly(plain, mapping, columns, source).to_pylist()
    assert found == slowly(plain, mapping, columns, source)
    return True


@st.composite
def flat(draw: st.DrawFn, names: list[str], extra: list[str]) -> list[dict[str, Any]]:
    """Records of texts, some of them missing, with columns of one type each."""
    kinds = {name: draw(st.sampled_from(KINDS)) for name in extra}
    return draw(
        st.lists(
            st.fixed_dictionaries(
                dict.fromkeys(names, rows.texts),
                optional={name: st.none() | kind for name, kind in kinds.items()},
            ),
            min_size=1,
            max_size=5,
        )
    )


KINDS = [rows.texts, st.booleans(), st.integers(-(2**63), 2**63 - 1), st.floats(allow_nan=False)]


@many
@given(
    flat(["instruction", "output"], ["input", "system", "id", "source", "score", "tools"]),
    st.sampled_from(sorted(TEMPLATES)),
    st.sampled_from([None, "f"]),
)
def test_alpaca_batches_are_the_same_both_ways(
    records: list[Any], template: str, source: str | None
) -> None:
    both_ways(records, replace(DEFAULTS["alpaca"], template=TEMPLATES[template]), source)


@many
@given(flat(["question", "answer"], ["context", "id", "id_", "answer_", "label"]))
def test_question_batches_are_the_same_both_ways(records: list[Any]) -> None:
    both_ways(records, DEFAULTS["qa"])


@many
@given(flat(["text"], ["id", "year", "source_"]))
def test_text_batches_are_the_same_both_ways(records: list[Any]) -> None:
    both_ways(records, DEFAULTS["text"])


@many
@given(st.lists(rows.conversation() | rows.asked(), min_size=1, max_size=4))
def test_conversation_batches_are_the_same_both_ways(examples: list[Example]) -> None:
    records = [from_example(one, DEFAULTS["sharegpt"]) for one in examples]
    both_ways(records, DEFAULTS["sharegpt"])


@many
@given(st.lists(rows.anything(), min_size=1, max_size=4))
def test_message_batches_are_the_same_both_ways(examples: list[Example]) -> None:
    records = [from_example(one, DEFAULTS["messages"]) for one in examples]
    both_ways(records, DEFAULTS["messages"])


TALK = [{"from": "human", "value": "喂"}, {"from": "gpt", "value": "係"}]
FAST: dict[str, list[dict[str, Any]]] = {
    "alpaca": [{"instruction": "行", "input": "路", "output": "好"}] * 3,
    "alpaca with empty history": [
        {"instruction": "行", "input": "", "output": "好", "history": []},
        {"instruction": "", "input": "只有資料", "output": "好", "history": None},
    ],
    "alpaca with some system texts": [
        {"system": "廚師", "instruction": "煲湯", "output": "慢火", "id": "1"},
        {"system": "", "instruction": "行", "output": "", "score": 0.5},
        {"instruction": "行", "output": "好", "topic": "食"},
    ],
    "qa with its own source": [{"question": "邊度", "answer": "灣仔", "source": "wiki"}],
    "prompt": [{"prompt": "行", "completion": "好", "id": 3}],
    "only prompts": [{"prompt": "行"}],
    "text": [{"text": "一段"}, {"text": ""}],
    "sharegpt": [{"id": "a", "conversations": TALK}, {"conversations": TALK * 2}],
    "messages": [
        {
            "messages": [
                {"role": "system", "content": "幫手", "name": None, "weight": 0},
                {"role": "user", "content": "喂", "name": "ming", "weight": 1},
            ],
            "tools": "[]",
        }
    ],
}


@pytest.mark.parametrize("name", FAST)
def test_clean_batches_go_the_fast_way(name: str) -> None:
    assert both_ways(FAST[name], detect(FAST[name]))


@pytest.mark.parametrize("name", FAST)
def test_a_slice_of_a_batch_is_only_that_slice(name: str) -> None:
    records = FAST[name] * 3
    mapping = detect(records)
    columns = choose_columns(one for record in records for one in to_examples(record, mapping, "f"))
    batch = pa.RecordBatch.from_pylist(records).slice(1, len(records) - 2)
    found = convert(batch, mapping, "f", columns)
    assert found is not None
    assert found == slowly(batch.to_pylist(), mapping, columns, "f")


@pytest.mark.parametrize("kind", [pa.large_string(), pa.dictionary(pa.int32(), pa.string())])
def test_text_of_any_arrow_type_goes_the_fast_way(kind: pa.DataType) -> None:
    texts = pa.array(["行", "企"], pa.string()).cast(kind)
    batch = pa.RecordBatch.from_arrays([texts, texts], names=["instruction", "output"])
    found = convert(batch, DEFAULTS["alpaca"], "f", {})
    assert found == slowly(batch.to_pylist(), DEFAULTS["alpaca"], {}, "f")


SLOW: dict[str, list[dict[str, Any]]] = {
    "a history": [{"instruction": "行", "output": "好", "history": [["一", "二"]]}],
    "a missing answer": [{"instruction": "行", "output": None}],
    "a number for a text": [{"instruction": 1, "output": "好"}],
    "a nested field": [{"instruction": "行", "output": "好", "meta": {"a": 1}}],
    "a list field": [{"instruction": "行", "output": "好", "tags": ["a"]}],
    "a role nobody knows": [{"conversations": [{"from": "foo", "value": "一"}]}],
    "a role of another name": [
        {"conversations": [{"from": "human", "value": "一"}, {"from": "user", "value": "一"}]}
    ],
    "a call": [{"conversations": [{"from": "function_call", "value": '{"name": "a"}'}]}],
    "a field in a turn": [{"conversations": [{"from": "human", "value": "一", "time": 3}]}],
    "parts": [{"messages": [{"role": "user", "content": [{"type": "text", "text": "一"}]}]}],
    "no turns": [{"conversations": []}, {"conversations": TALK}],
}


@pytest.mark.parametrize("name", SLOW)
def test_unusual_batches_are_left_to_the_slow_way(name: str) -> None:
    mapping = DEFAULTS[
        "messages"
        if "messages" in SLOW[name][0]
        else "sharegpt"
        if "conversations" in SLOW[name][0]
        else "alpaca"
    ]
    batch = pa.RecordBatch.from_pylist(SLOW[name])
    assert convert(batch, mapping, "f", {}) is None


def test_a_column_of_another_type_than_the_dataset_is_left_to_the_slow_way() -> None:
    batch = pa.RecordBatch.from_pylist([{"text": "一", "year": 2020}])
    assert convert(batch, DEFAULTS["text"], "f", {"year": pa.float64()}) is None
    assert convert(batch, DEFAULTS["text"], "f", {}) is None


def test_columns_are_those_of_one_scalar_type() -> None:
    found = choose_columns(
        Example((Message("text", "一"),), columns=columns)
        for columns in (
            {"a": 1, "b": "x", "c": True, "d": 0.5, "e": [1], "f": 1, "g": 1 << 70, "h": "h"},
            {"a": 2, "f": "one", "H": "h", "id": "x"},
        )
    )
    assert found == {
        "a": pa.int64(),
        "b": pa.string(),
        "c": pa.bool_(),
        "d": pa.float64(),
        "h": pa.string(),
    }


def test_there_are_never_too_many_columns() -> None:
    example = Example((), columns={f"field {number}": number for number in range(500)})
    assert len(choose_columns([example])) < 100


@many
@given(st.lists(rows.anything(), min_size=1, max_size=4))
def test_whatever_columns_are_chosen_the_rows_come_back(examples: list[Example]) -> None:
    assert list(examples_of(table_of(examples, choose_columns(examples)))) == examples
