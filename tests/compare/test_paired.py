"""Intervals for paired scores: a published example, and what must always hold."""

from __future__ import annotations

import random

import pytest

from workbench.compare.paired import ENOUGH_ITEMS, paired, share
from workbench.intervals import wilson


def outcomes(both: int, first: int, second: int, neither: int) -> tuple[list[float], list[float]]:
    pairs = [(1, 1)] * both + [(1, 0)] * first + [(0, 1)] * second + [(0, 0)] * neither
    return [float(one) for one, _ in pairs], [float(other) for _, other in pairs]


def test_newcombes_example_comes_out_as_he_published_it() -> None:
    """Statistics in Medicine 17 (1998) 2635, table II: 36, 12, 2, 0 by method 10."""
    found = paired(*outcomes(36, 12, 2, 0))
    assert found.value == pytest.approx(0.2)
    assert found.low == pytest.approx(0.0569, abs=5e-5)
    assert found.high == pytest.approx(0.3404, abs=5e-5)


def test_wilson_is_wilson() -> None:
    """Newcombe 1998 (Statistics in Medicine 17:857), table I: 81/263, 15/148, 0/20, 1/29."""
    published = {(81, 263): (0.2553, 0.3662), (15, 148): (0.0624, 0.1605)}
    published |= {(0, 20): (0.0, 0.1611), (1, 29): (0.0061, 0.1718)}
    for (right, count), expected in published.items():
        assert wilson(right, count) == pytest.approx(expected, abs=5e-5)


def test_equal_models_are_never_told_apart_and_opposite_ones_always() -> None:
    scores = [float(number % 3 == 0) for number in range(60)]
    assert not paired(scores, scores).is_clear
    assert paired([1.0] * 60, [0.0] * 60).is_clear


def test_the_interval_turns_with_the_sides() -> None:
    one, other = outcomes(20, 9, 4, 7)
    there, back = paired(one, other), paired(other, one)
    assert there.low is not None
    assert back.high == pytest.approx(-there.low)
    assert there.low < there.value < (there.high or 0)


def test_too_few_items_have_no_interval() -> None:
    assert paired([1.0] * (ENOUGH_ITEMS - 1), [0.0] * (ENOUGH_ITEMS - 1)).low is None
    assert paired([1.0] * ENOUGH_ITEMS, [0.0] * ENOUGH_ITEMS).low is not None


def test_scores_between_right_and_wrong_are_drawn_again() -> None:
    draw = random.Random(3)
    one = [draw.choice([0, 0.5, 1]) for _ in range(40)]
    mean, low, high = share(one)
    assert low < mean < high
    assert not paired(one, one).is_clear
    assert paired([min(1.0, score + 0.4) for score in one], one).is_clear


def test_the_interval_holds_what_it_promises() -> None:
    """Of two equal models with 60 items, about one comparison in twenty may look clear."""
    draw = random.Random(5)
    wrong = 0
    for _ in range(600):
        hard = [draw.random() for _ in range(60)]
        one = [float(draw.random() < chance) for chance in hard]
        other = [float(draw.random() < chance) for chance in hard]
        wrong += paired(one, other).is_clear
    assert wrong / 600 < 0.08
