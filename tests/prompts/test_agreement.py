"""Agreement of a person and a judge, against scikit-learn and SciPy, and on cases known by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from workbench.errors import OutOfRange
from workbench.prompts.agreement import ENOUGH, Agreement, agreement, sway


def named(values: list[float]) -> dict[str, float]:
    return {f"row {place}": value for place, value in enumerate(values)}


def drawn(rows: int, noise: float, seed: int = 1) -> tuple[dict[str, float], dict[str, float]]:
    """A person, and a judge who agrees up to noise."""
    draw = np.random.default_rng(seed)
    person = draw.integers(1, 7, rows)
    judge = np.clip(np.round(person + draw.normal(0, noise, rows)), 1, 6)
    return named(person.tolist()), named(judge.tolist())


@pytest.mark.parametrize("noise", [0.3, 1.0, 3.0])
def test_kappa_is_that_of_scikit_learn(noise: float) -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    person, judge = drawn(60, noise)
    expected = metrics.cohen_kappa_score(
        list(person.values()), list(judge.values()), weights="quadratic"
    )
    said = agreement(person, judge)
    assert said.kappa.value == pytest.approx(expected)
    table = metrics.confusion_matrix(
        list(person.values()), list(judge.values()), labels=[1, 2, 3, 4, 5, 6]
    )
    assert np.array_equal(said.confusion, table)


def test_spearman_is_that_of_scipy() -> None:
    stats = pytest.importorskip("scipy.stats")
    person, judge = drawn(50, 1.0)
    lengths = {row: int(9 * value + place % 7) for place, (row, value) in enumerate(judge.items())}
    said = agreement(person, judge, lengths)
    expected = stats.spearmanr(list(judge.values()), list(lengths.values())).statistic
    assert said.length is not None and said.length.value == pytest.approx(expected)


def test_by_hand() -> None:
    """Four rows: differences 0, 0, 1, 1; variances 5 / 4 and 9 / 4 around means 2.5 and 3."""
    said = agreement(named([1, 2, 3, 4]), named([1, 2, 4, 5]))
    expected = 1.25 + 2.5 + 0.25
    assert said.kappa.value == pytest.approx(1 - 0.5 / expected)
    assert said.bias.value == pytest.approx(0.5)
    assert (said.equal, said.near, said.rows) == (0.5, 1.0, 4)
    assert said.confusion[2] == (0, 0, 0, 1, 0, 0)


def test_the_same_the_opposite_and_chance() -> None:
    values = [1, 2, 3, 4, 5, 6] * 10
    assert agreement(named(values), named(values)).kappa.value == 1
    assert agreement(named(values), named(values[::-1])).kappa.value == pytest.approx(-1)
    shuffled = np.random.default_rng(3).permutation(values).tolist()
    chance = agreement(named(values), named(shuffled)).kappa
    assert chance.value == pytest.approx(0, abs=0.25) and not chance.is_clear


def test_not_enough_yet() -> None:
    person, judge = drawn(ENOUGH - 1, 0.5)
    few = agreement(person, judge)
    assert not few.enough and few.missing == 1
    assert few.kappa.value is not None and few.kappa.low is None and not few.kappa.is_clear
    person, judge = drawn(ENOUGH, 0.5)
    assert agreement(person, judge).kappa.low is not None and agreement(person, judge).enough
    none = agreement({}, {})
    assert none.rows == 0 and none.kappa.value is None and none.missing == ENOUGH
    assert none.equal == 0 and sum(map(sum, none.confusion)) == 0


def test_one_score_for_all_says_nothing() -> None:
    same = agreement(named([4] * 30), named([4] * 30))
    assert same.kappa.value is None and same.kappa.low is None and same.bias.value == 0
    lazy = agreement(named([1, 3, 6] * 10), named([4] * 30), {f"row {n}": n for n in range(30)})
    assert lazy.kappa.value == pytest.approx(0)
    assert lazy.length is not None and lazy.length.value is None


def test_the_interval_holds_what_is_true_nineteen_times_in_twenty() -> None:
    draw = np.random.default_rng(8)
    hits = 0
    for _ in range(60):
        gained = draw.choice([0, 1], 60)  # half a point on average
        found = sway(gained.tolist(), (-gained).tolist()).first
        assert found.low is not None and found.high is not None
        hits += found.low <= 0.5 <= found.high
    assert hits >= 52


def length_case(likes_length: bool) -> Agreement:
    draw = np.random.default_rng(5)
    person = draw.integers(1, 7, 80)
    lengths = draw.integers(10, 500, 80)
    judge = np.clip(1 + lengths // 84, 1, 6) if likes_length else person
    sizes = dict(zip(named(person.tolist()), map(int, lengths), strict=True))
    return agreement(named(person.tolist()), named(judge.tolist()), sizes)


def test_a_judge_who_likes_long_answers_is_found_out() -> None:
    swayed, fair = length_case(True), length_case(False)
    assert swayed.length_sway is not None and swayed.length_sway.is_clear
    assert swayed.length_sway.value is not None and swayed.length_sway.value > 0.6
    assert fair.length_sway is not None and fair.length_sway.value == 0
    assert not fair.length_sway.is_clear


def test_a_judge_who_likes_what_comes_first_is_found_out() -> None:
    draw = np.random.default_rng(6)
    true = draw.normal(0, 1, 40)
    swayed = sway((true + 1).tolist(), (true - 1).tolist())
    assert swayed.first.value == pytest.approx(1) and swayed.first.is_clear and swayed.enough
    assert swayed.flipped == pytest.approx(np.mean(np.abs(true) < 1))
    fair = sway((true + 0.01 * draw.normal(0, 1, 40)).tolist(), true.tolist())
    assert not fair.first.is_clear and fair.flipped < 0.1
    assert sway([], []).first.value is None
    with pytest.raises(ValueError, match="both orders"):
        sway([1.0], [])


def test_thresholds_are_a_picture_to_choose_from() -> None:
    said = agreement(named([1, 2, 4, 5, 6, 3]), named([1, 4, 3.5, 5, 6, 2]))
    by = {one.at: one for one in said.thresholds}
    assert list(by) == [1, 2, 3, 3.5, 4, 5, 6]
    assert (by[1].kept, by[1].good, by[1].recall) == (6, 3, 1)
    assert by[4].precision == pytest.approx(2 / 3) and by[4].recall == pytest.approx(2 / 3)
    assert by[5].precision == 1 and by[5].recall == pytest.approx(2 / 3)
    low, high = by[1].low, by[1].high
    assert low is not None and high is not None
    # Wilson's interval of 3 in 6, from its formula with z = 1.96
    reach = 1.96 * math.sqrt(0.25 / 6 + 1.96**2 / 144) / (1 + 1.96**2 / 6)
    assert (low, high) == (
        pytest.approx(0.5 - reach, abs=1e-4),
        pytest.approx(0.5 + reach, abs=1e-4),
    )
    nothing = agreement(named([1, 1]), named([2, 3])).thresholds
    assert nothing[-1].kept == 0 and nothing[-1].precision is None and nothing[0].recall is None


def test_only_rows_of_both_count_and_scores_are_checked() -> None:
    said = agreement({"a": 3, "b": 4}, {"b": 4, "c": 6})
    assert said.rows == 1 and said.confusion[3][3] == 1
    assert said.length is None
    with pytest.raises(OutOfRange):
        agreement({"a": 0}, {"a": 3})
    with pytest.raises(OutOfRange):
        agreement({"a": 3}, {"a": math.nan})
