"""Counts are what a person would count, whatever part of the rows is asked for."""

from __future__ import annotations

import threading
from collections.abc import Generator
from typing import Any

import numpy as np
import pytest

from workbench.data import statistics
from workbench.data.rows import Example, Message, table_of
from workbench.data.statistics import (
    counts,
    cut_at,
    histogram,
    length_histogram,
    register_shares,
    role_counts,
    source_shares,
    token_lengths,
    turn_counts,
)
from workbench.errors import OutOfRange, Stopped


def row(*said: str, source: str | None = None) -> Example:
    roles = ("user", "assistant")
    messages = tuple(Message(roles[at % 2], text) for at, text in enumerate(said))
    return Example(messages, source=source)


EXAMPLES = [
    row("佢喺邊度？", "佢喺屋企瞓緊覺。", source="a"),
    row("他在哪裏？", "他們說他還沒有回來。", source="b"),
    row("where?", "He is still at home with his sister.", source="a"),
    row("早晨", "早晨！", "食咗飯未？", "食咗喇，多謝你。"),
    Example((Message("text", "今日唔使返工，真係開心到飛起。"),)),
    Example(
        (Message("user", "去邊？"),),
        chosen=(Message("assistant", "去街市買餸囉。"),),
        rejected=(Message("assistant", "不知道。"),),
    ),
    row("有冇人？"),
]
TABLE = table_of(EXAMPLES, {})


def result(steps: Generator[Any, None, Any]) -> Any:
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value


def by_character(texts: list[str]) -> list[int]:
    return [len(text) for text in texts]


def test_rows_turns_and_characters_are_counted_as_by_hand() -> None:
    found = counts(TABLE)
    said = [
        turn.content
        for one in EXAMPLES
        for turn in [*one.messages, *(one.chosen or ()), *(one.rejected or ())]
    ]
    assert (found.rows, found.turns) == (len(EXAMPLES), len(said))
    assert found.characters == sum(map(len, said))
    assert counts(TABLE, np.array([3])).turns == 4


def test_every_length_falls_in_one_bin_of_the_histogram() -> None:
    lengths = np.array([0, 1, 2, 3, 4, 7, 8, 15, 16, 1000, 1024])
    found = histogram(lengths)
    for low, high, count in zip(found.edges, found.edges[1:], found.counts, strict=False):
        assert count == ((lengths >= low) & (lengths < high)).sum()
    assert sum(found.counts) == len(lengths) and found.edges[-1] > lengths.max()
    assert found.median == sorted(lengths)[5] and found.most == 1024
    assert length_histogram(TABLE).most == max(len(one.text.replace("\n", "")) for one in EXAMPLES)
    assert sum(histogram(np.zeros(0, np.int64)).counts) == 0


def test_tokens_of_a_row_are_those_of_its_turns_and_better_answer() -> None:
    found = result(token_lengths(TABLE, by_character, threading.Event()))
    wanted = [
        sum(len(turn.content) for turn in [*one.messages, *(one.chosen or ())]) for one in EXAMPLES
    ]
    assert found.tolist() == wanted
    some = result(token_lengths(TABLE, by_character, threading.Event(), np.array([5, 0])))
    assert some.tolist() == [wanted[5], wanted[0]]


def test_tokens_are_counted_in_chunks_with_progress(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(statistics, "CHUNK", 2)
    sizes: list[int] = []

    def counted(texts: list[str]) -> list[int]:
        sizes.append(len(texts))
        return by_character(texts)

    seen = list(token_lengths(TABLE, counted, threading.Event()))
    assert max(sizes) == 2
    assert [one.done for one in seen] == sorted(one.done for one in seen)
    assert seen[-1].share == 1


def test_counting_stops_when_told_to() -> None:
    stop = threading.Event()
    stop.set()
    with pytest.raises(Stopped):
        result(token_lengths(TABLE, by_character, stop))
    with pytest.raises(Stopped):
        result(register_shares(TABLE, stop))


def test_a_limit_cuts_rows_and_tokens() -> None:
    found = cut_at(np.array([5, 10, 15, 20]), 10)
    assert (found.rows, found.share, found.lost) == (2, 0.5, 15 / 50)
    assert cut_at(np.zeros(0, np.int64), 10).share == 0
    with pytest.raises(OutOfRange):
        cut_at(np.array([1]), 0)


def test_registers_are_those_of_the_last_answers() -> None:
    found = result(register_shares(TABLE, threading.Event()))
    assert found.counted == found.of == 6, "the row without an answer is not counted"
    assert not found.is_sample
    assert found.share("cantonese") == pytest.approx(4 / 6)
    assert dict(found.counts)["written"] == dict(found.counts)["other"] == 1
    assert [count for _, count in found.counts] == sorted(dict(found.counts).values(), reverse=True)


def test_a_large_set_is_sampled_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(statistics, "SAMPLE", 3)
    found = result(register_shares(TABLE.slice(0, 6), threading.Event()))
    assert found.is_sample and (found.counted, found.of) == (3, 6)
    assert found == result(register_shares(TABLE.slice(0, 6), threading.Event()))


def test_roles_turns_and_sources_are_counted() -> None:
    assert dict(role_counts(TABLE).counts) == {"user": 7, "assistant": 6, "text": 1}
    assert turn_counts(TABLE) == ((1, 3), (2, 3), (4, 1))
    assert source_shares(TABLE).counts == (("", 4), ("a", 2), ("b", 1))
    assert source_shares(TABLE, np.array([0, 2])).share("a") == 1


def test_an_empty_table_has_no_numbers_and_no_errors() -> None:
    empty = table_of([], {})
    assert counts(empty).characters == 0
    assert turn_counts(empty) == ()
    assert result(register_shares(empty, threading.Event())).share("cantonese") == 0
    assert result(token_lengths(empty, by_character, threading.Event())).tolist() == []
