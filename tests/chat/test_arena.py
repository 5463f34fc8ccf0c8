"""Votes that count: blind, fair, and not decided by one visitor."""

from __future__ import annotations

import math
import random
import sqlite3
import threading
from pathlib import Path

import numpy
import pytest
from scipy.optimize import minimize

from workbench.chat.arena import (
    Duel,
    Vote,
    Votes,
    as_preferences,
    known_visitor,
    prompts,
    shuffled,
    side,
)
from workbench.chat.conversation import Answer
from workbench.chat.standings import ENOUGH_VOTES, SCALE, standings, strengths, wilson
from workbench.errors import BadVote


def answer(name: str, text: str = "好") -> Answer:
    base, _, adapter = name.partition("+")
    return Answer(
        name, text, base, adapter, f"{base:x<64}" + (f"+{adapter:y<64}" if adapter else "")
    )


def vote(first: str, second: str, verdict: str, visitor: str = "v") -> Vote:
    return Vote(Duel("q", answer(first), answer(second)), verdict, visitor)  # type: ignore[arg-type]


def many(count: int, visitors: int, share: float, seed: int = 1) -> list[Vote]:
    """Votes in which ``b+r`` is better with this share, its place drawn by lot."""
    draw, found = random.Random(seed), []
    for number in range(count):
        names = draw.sample(["b", "b+r"], 2)
        better = "b+r" if draw.random() < share else "b"
        verdict = "first" if names[0] == better else "second"
        found.append(vote(*names, verdict, f"visitor {number % visitors}"))
    return found


# Votes


def test_they_are_kept_and_come_back(tmp_path: Path) -> None:
    votes = Votes(tmp_path / "results.sqlite")
    assert votes.all() == []
    given = [vote("b", "b+r", verdict) for verdict in ("first", "second", "tie", "bad")]
    for one in given:
        votes.add(one)
    assert votes.all() == given


def test_a_duel_is_voted_on_once(tmp_path: Path) -> None:
    votes = Votes(tmp_path / "results.sqlite")
    one = vote("b", "b+r", "first")
    votes.add(one)
    with pytest.raises(BadVote):
        votes.add(Vote(one.duel, "second", "another"))
    assert len(votes.all()) == 1


def test_they_stand_beside_other_results(tmp_path: Path) -> None:
    path = tmp_path / "results.sqlite"
    with sqlite3.connect(path) as database:
        database.execute("CREATE TABLE results (number INTEGER)")
    Votes(path).add(vote("b", "b+r", "tie"))
    with sqlite3.connect(path) as database:
        assert database.execute("SELECT count(*) FROM results").fetchone() == (0,)


def test_twenty_visitors_vote_at_once(tmp_path: Path) -> None:
    votes = Votes(tmp_path / "results.sqlite")
    work = [
        threading.Thread(target=votes.add, args=(vote("b", "b+r", "first", str(at)),))
        for at in range(20)
    ]
    for one in work:
        one.start()
    for one in work:
        one.join(60)
    assert {one.visitor for one in votes.all()} == {str(at) for at in range(20)}


def test_nothing_is_kept_of_the_person_but_a_random_number(tmp_path: Path) -> None:
    path = tmp_path / "results.sqlite"
    Votes(path).add(vote("b", "b+r", "first", known_visitor("")))
    with sqlite3.connect(path) as database:
        columns = [row[1] for row in database.execute("PRAGMA table_info(votes)")]
    assert columns == ["number", "duel", "created", "visitor", "prompt", "system", "character",
                       "first", "second", "verdict", "reason"]  # fmt: skip


def test_a_page_may_bring_its_number_back_and_nothing_else() -> None:
    number = known_visitor(None)
    assert known_visitor(number) == number
    for wrong in ("me@example.org", "x" * 32, number + "0", "' OR 1=1"):
        assert known_visitor(wrong) != wrong


def test_what_cannot_be_voted_on_is_refused() -> None:
    with pytest.raises(BadVote):
        Duel("q", answer("b"), answer("b"))
    with pytest.raises(BadVote):
        Duel("q", answer("b"), answer("b+r", " "))
    with pytest.raises(BadVote):
        vote("b", "b+r", "best")
    with pytest.raises(BadVote):
        Vote(Duel("q", answer("b"), answer("b+r")), "tie", "v", "x" * 1001)


def test_the_order_is_drawn_by_lot() -> None:
    first = [shuffled(["a", "b"])[0] for _ in range(400)]
    assert 120 < first.count("a") < 280


def test_the_same_name_with_other_weights_is_another_contestant() -> None:
    assert side(answer("b+r")) != side(answer("b"))
    one = Answer("b+r", "x", "b", "r", "f+1234567890")
    other = Answer("b+r", "x", "b", "r", "f+9934567890")
    assert side(one) != side(other)


def test_preferences_hold_the_better_and_the_worse() -> None:
    duel = Duel("q", answer("b", "worse"), answer("b+r", "better"), system="s")
    rows = as_preferences([Vote(duel, one, "v") for one in ("second", "tie", "bad")])  # type: ignore[arg-type]
    assert len(rows) == 1
    assert rows[0]["chosen"] == [{"role": "assistant", "content": "better"}]
    assert rows[0]["rejected"] == [{"role": "assistant", "content": "worse"}]
    assert [one["role"] for one in rows[0]["prompt"]] == ["system", "user"]


@pytest.mark.parametrize("language", ["en", "zh-TW", "zh-CN"])
def test_there_are_questions_in_every_language(language: str) -> None:
    found = prompts(language)
    assert len(found) == len(set(found)) >= 9


# Standings


def likelihood(values: numpy.ndarray, wins: numpy.ndarray, ties: numpy.ndarray) -> float:
    """Davidson's, written out pair by pair, with the same half a win each way."""
    powers, tie, total = numpy.exp(values[:-1]), math.exp(values[-1]), 0.0
    for i in range(len(powers)):
        for j in range(i + 1, len(powers)):
            root = tie * math.sqrt(powers[i] * powers[j])
            below = powers[i] + powers[j] + root
            met = 0.5 if wins[i, j] + wins[j, i] + ties[i, j] else 0.0
            total += (wins[i, j] + met) * math.log(powers[i] / below)
            total += (wins[j, i] + met) * math.log(powers[j] / below)
            total += ties[i, j] * math.log(root / below)
    return -total


@pytest.mark.parametrize("seed", range(5))
def test_strengths_are_the_likeliest(seed: int) -> None:
    draw = numpy.random.default_rng(seed)
    wins = draw.integers(0, 12, (4, 4)).astype(float)
    numpy.fill_diagonal(wins, 0)
    ties = draw.integers(1, 6, (4, 4)).astype(float)
    ties = numpy.triu(ties, 1) + numpy.triu(ties, 1).T
    found = strengths(wins, ties)
    best = minimize(likelihood, numpy.zeros(5), args=(wins, ties), method="BFGS").x[:-1]
    assert found == pytest.approx(best - best.mean(), abs=1e-3)
    assert found.mean() == pytest.approx(0, abs=1e-9)


def test_two_without_ties_are_the_odds() -> None:
    found = strengths(numpy.array([[0, 30.0], [10.0, 0]]), numpy.zeros((2, 2)))
    assert found[0] - found[1] == pytest.approx(math.log(30.5 / 10.5), abs=1e-4)


def test_who_never_loses_has_a_strength_all_the_same() -> None:
    found = strengths(numpy.array([[0, 20.0], [0, 0]]), numpy.zeros((2, 2)))
    assert numpy.isfinite(found).all()
    assert found[0] > found[1]


def test_many_visitors_who_prefer_one_decide() -> None:
    found = standings(many(60, 12, 0.85))
    assert found.enough
    assert found.clear
    assert found.places[0].name.startswith("b+r")
    assert found.places[0].win_rate > 0.7
    assert found.places[0].low <= found.places[0].points <= found.places[0].high


def test_many_visitors_who_do_not_care_decide_nothing() -> None:
    found = standings(many(60, 12, 0.5))
    assert found.enough
    assert not found.clear


def test_ten_votes_by_one_visitor_decide_nothing() -> None:
    eager = [vote("b", "b+r", "second", "eager") for _ in range(100)]
    found = standings(eager)
    assert found.visitors == 1
    assert not found.enough
    assert found.weight == pytest.approx(3)


def test_one_eager_visitor_does_not_outvote_the_others() -> None:
    others = [vote("b", "b+r", "first", f"visitor {at}") for at in range(12)]
    eager = [vote("b", "b+r", "second", "eager") for _ in range(200)]
    found = standings(others + eager)
    assert found.places[0].name.startswith("b #")


def test_not_enough_until_there_are() -> None:
    assert not standings(many(9, 9, 1.0)).enough
    assert not standings(many(40, 2, 1.0)).enough
    assert standings(many(ENOUGH_VOTES, 5, 1.0)).enough
    assert not standings([]).enough


def test_a_place_that_helps_is_seen() -> None:
    draw = random.Random(3)
    votes = [vote(*draw.sample(["b", "b+r"], 2), "first", f"v{at % 9}") for at in range(40)]
    share, low, _ = standings(votes).first_share
    assert share == 1
    assert low > 0.5
    assert standings(many(60, 12, 0.8)).first_share[1] < 0.5


def test_ties_and_both_bad_are_told_apart_and_move_nobody() -> None:
    votes = [vote("b", "b+r", verdict, f"v{at}") for at, verdict in enumerate(["tie", "bad"] * 6)]
    found = standings(votes)
    assert found.both_bad == 6
    assert [place.points for place in found.places] == pytest.approx([0, 0])
    assert found.decided == 0


def test_wilson_is_wilson() -> None:
    assert wilson(8, 10) == pytest.approx((0.8, 0.4901625, 0.9433178), abs=1e-5)
    assert wilson(0, 0) == (0.5, 0.0, 1.0)
    assert pytest.approx(173.7178, abs=1e-3) == SCALE
