"""Who wins a column: only somebody who clearly does."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.compare.cards import fluency, measures
from workbench.compare.columns import COLUMNS, SHARES, Column, ColumnName, Measures, columns


def named(name: ColumnName, *measured: Measures) -> Column:
    return next(column for column in columns(measured) if column.name == name)


def test_every_column_is_there_in_its_order() -> None:
    assert tuple(column.name for column in columns([measures("a/b")])) == COLUMNS


@pytest.mark.parametrize("name", SHARES)
def test_clearly_more_wins_a_share(name: ColumnName) -> None:
    found = named(name, measures("a/weak", right=0.2), measures("a/strong", right=0.9))
    assert found.verdict == "winner"
    assert found.winner == "a/strong"
    for cell in found.cells:
        assert cell.low is not None
        assert cell.high is not None
        assert cell.low < (cell.value or 0) < cell.high


def test_fewer_bits_win_fluency() -> None:
    found = named("fluency", measures("a/good", bits=5), measures("a/bad", bits=9))
    assert found.winner == "a/good"


@pytest.mark.parametrize("name", ["fluency", "register", "knowledge", "reasoning"])
def test_equal_models_have_no_winner(name: ColumnName) -> None:
    found = named(name, measures("a/one"), measures("a/other"))
    assert found.verdict == "unclear"
    assert found.winner is None


def test_the_best_of_three_must_beat_both() -> None:
    low, middle, high = (measures(f"a/{share}", right=share) for share in (0.1, 0.88, 0.9))
    assert named("knowledge", low, middle, high).verdict == "unclear"
    assert named("knowledge", low, measures("a/mid", right=0.5), high).winner == "a/0.9"


def test_too_few_items_are_said_to_be_too_few() -> None:
    few = named("knowledge", measures("a/x", right=1, items=8), measures("a/y", right=0, items=8))
    assert few.verdict == "few"
    assert few.winner is None
    short = [
        replace(measures(f"a/{bits}"), fluency=fluency(f"a/{bits}", [bits] * 3)) for bits in (5, 9)
    ]
    assert named("fluency", *short).verdict == "few"


def test_what_was_not_asked_of_both_is_not_compared() -> None:
    one, other = measures("a/one", right=0.9), measures("a/other", right=0.1)
    asked = {
        name: replace(found, items=tuple(replace(one, item=f"x{one.item}") for one in found.items))
        for name, found in other.probes.items()
    }
    assert named("knowledge", one, replace(other, probes=asked)).verdict == "few"
    texts = replace(other, fluency=fluency("a/other", [9.0] * 20, size=11))
    assert named("fluency", one, texts).verdict == "few"


def test_counts_need_no_interval_and_speed_gets_no_winner() -> None:
    small, large = measures("a/small", bits=4), measures("a/large", bits=8)
    assert named("memory", small, large).winner == "a/small"
    assert named("tokens", small, small).verdict == "unclear"
    speed = named("speed", small, large)
    assert speed.verdict == "once"
    assert speed.winner is None
    assert speed.cells[0].value == pytest.approx(10.0)


def test_what_is_missing_is_empty_and_alone_wins_nothing() -> None:
    bare = Measures("a/bare", "bf16")
    assert {column.verdict for column in columns([bare])} == {"empty"}
    assert named("knowledge", bare, measures("a/one")).verdict == "one"
    assert named("knowledge", bare, measures("a/one")).winner is None
