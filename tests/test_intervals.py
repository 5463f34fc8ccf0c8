"""The interval of a difference: exact in the middle, honest at the edges."""

from __future__ import annotations

import math
import random
import statistics

import pytest

from workbench.intervals import ENOUGH_DOCUMENTS, difference


def drawn(seed: int, documents: int, apart: float) -> tuple[list[float], list[float], list[int]]:
    """Two models' nats per document, ``apart`` bits a character from each other on average."""
    draw = random.Random(seed)
    sizes = [draw.randrange(40, 160) for _ in range(documents)]
    second = [size * draw.gauss(4, 0.4) for size in sizes]
    first = [
        nats + size * math.log(2) * draw.gauss(apart, 0.3)
        for nats, size in zip(second, sizes, strict=True)
    ]
    return first, second, sizes


def test_the_difference_is_in_bits_per_character_of_the_whole() -> None:
    found = difference([2 * math.log(2), 4 * math.log(2)], [0.0, math.log(2)], [3, 7])
    assert found.value == pytest.approx((2 + 3) / 10, rel=1e-12)


def test_few_documents_give_no_interval() -> None:
    first, second, sizes = drawn(1, ENOUGH_DOCUMENTS - 1, 1)
    found = difference(first, second, sizes)
    assert (found.low, found.high, found.is_clear) == (None, None, False)
    assert difference(*drawn(1, ENOUGH_DOCUMENTS, 1)).low is not None


def test_two_models_that_score_alike_do_not_differ() -> None:
    nats = [10.0 + at for at in range(20)]
    found = difference(nats, nats, [5] * 20)
    assert (found.value, found.low, found.high, found.is_clear) == (0, 0, 0, False)


def test_the_same_figures_give_the_same_interval() -> None:
    assert difference(*drawn(2, 30, 0.2)) == difference(*drawn(2, 30, 0.2))


def test_swapping_the_models_turns_the_sign() -> None:
    first, second, sizes = drawn(3, 30, 0.5)
    here, there = difference(first, second, sizes), difference(second, first, sizes)
    assert here.value == -there.value
    assert (here.low, here.high) == pytest.approx((-there.high, -there.low))


def test_a_large_difference_is_clear_and_none_is_not() -> None:
    assert difference(*drawn(4, 40, 1.0)).is_clear
    assert difference(*drawn(4, 40, -1.0)).is_clear
    assert not difference(*drawn(4, 40, 0.0)).is_clear


def test_the_interval_is_close_to_the_normal_approximation() -> None:
    first, second, sizes = drawn(5, 200, 0.3)
    found = difference(first, second, sizes)
    apart = [(a - b) / math.log(2) for a, b in zip(first, second, strict=True)]
    left = [bits - found.value * size for bits, size in zip(apart, sizes, strict=True)]
    error = math.sqrt(len(left)) * statistics.stdev(left) / sum(sizes)
    assert found.low == pytest.approx(found.value - 1.96 * error, abs=0.15 * error)
    assert found.high == pytest.approx(found.value + 1.96 * error, abs=0.15 * error)


def test_the_interval_holds_the_truth_about_as_often_as_it_says() -> None:
    held = 0
    for seed in range(60):
        found = difference(*drawn(1000 + seed, 40, 0.25))
        held += found.low <= 0.25 <= found.high
    assert held >= 50  # 95% of 60 is 57; fewer than 50 has a chance below one in a thousand
