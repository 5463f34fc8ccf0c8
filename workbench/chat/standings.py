"""Who wins, and how sure that is.

Bradley and Terry's model with ties after Davidson (1970, JASA 65:317): with strengths p, the
first of a pair is better with probability p1 / (p1 + p2 + t * sqrt(p1 * p2)), and it is a tie
with t * sqrt(p1 * p2) over the same. Fitted by Davidson's own iteration; half a win each way
for every pair that met keeps strengths finite. "Both bad" counts as a tie and is reported too.

No visitor's votes on a pair weigh more than ``MOST_WEIGHT`` votes, and the intervals are a
bootstrap over visitors, not votes (Efron & Tibshirani 1993): one eager visitor decides nothing.
Knows verdicts; not answers or models.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from workbench.chat.arena import Vote

DRAWS = 400
SEED = 20
ROUNDS = 200
MOST_WEIGHT = 3.0
ENOUGH_VISITORS = 3
ENOUGH_VOTES = 10
SCALE = 400 / math.log(10)
"""Points as in chess: 400 more is ten to one."""


@dataclass(frozen=True)
class Place:
    """One contestant."""

    name: str
    votes: int
    won: int
    lost: int
    tied: int
    """Ties and both bad."""
    points: float
    """0 is the average of all."""
    low: float
    high: float

    @property
    def win_rate(self) -> float:
        """Wins and half the ties, of all its votes."""
        return (self.won + self.tied / 2) / self.votes if self.votes else 0.0


@dataclass(frozen=True)
class Standings:
    """What the votes say so far."""

    places: tuple[Place, ...]
    """The strongest first."""
    votes: int
    visitors: int
    weight: float
    """What the votes weigh after no visitor counts too much."""
    both_bad: int
    first_won: int
    """Votes for the answer that stood first, of ``decided``."""
    decided: int

    @property
    def enough(self) -> bool:
        """True when the order may be looked at."""
        return self.visitors >= ENOUGH_VISITORS and self.weight >= ENOUGH_VOTES

    @property
    def clear(self) -> bool:
        """The first is ahead of the second beyond chance."""
        return self.enough and len(self.places) > 1 and self.places[0].low > self.places[1].high

    @property
    def first_share(self) -> tuple[float, float, float]:
        """How often the first place won, with Wilson's interval at 95%; no bias is one half."""
        return wilson(self.first_won, self.decided)


def standings(votes: Sequence[Vote]) -> Standings:
    """Fit all votes."""
    names = sorted({name for vote in votes for name in vote.sides})
    decided = [vote for vote in votes if vote.verdict in ("first", "second")]
    weights = weights_of(votes)
    return Standings(
        places=_places(votes, names, weights),
        votes=len(votes),
        visitors=len({vote.visitor for vote in votes}),
        weight=sum(weights),
        both_bad=sum(vote.verdict == "bad" for vote in votes),
        first_won=sum(vote.verdict == "first" for vote in decided),
        decided=len(decided),
    )


def weights_of(votes: Sequence[Vote]) -> list[float]:
    """One each, less where a visitor has voted on a pair more often than ``MOST_WEIGHT``."""
    pairs = [(vote.visitor, frozenset(vote.sides)) for vote in votes]
    counts = Counter(pairs)
    return [min(1.0, MOST_WEIGHT / counts[pair]) for pair in pairs]


def strengths(wins: Any, ties: Any) -> Any:
    """Davidson's model.

    Args:
        wins: [models, models] weighted votes for the row against the column.
        ties: [models, models] symmetric, each tie once in either half.

    Returns:
        Natural logarithms of the strengths, their mean 0. Shape [models].
    """
    import numpy

    met = (wins + wins.T + ties) > 0
    wins = wins + 0.5 * met
    played = wins + wins.T + ties
    score = 2 * wins.sum(1) + ties.sum(1)
    total = ties.sum() / 2
    power, tie = numpy.ones(len(wins)), 1.0 if total else 0.0
    for _ in range(ROUNDS):
        roots = numpy.sqrt(numpy.outer(power, power))
        below = power[:, None] + power[None, :] + tie * roots
        share = played * (2 + tie * numpy.sqrt(power[None, :] / power[:, None])) / below
        new = score / numpy.maximum(share.sum(1), 1e-12)
        new = numpy.where(played.sum(1) > 0, new, 1.0)
        new /= numpy.exp(numpy.log(new).mean())
        if total:
            tie = total / max((numpy.triu(played * roots / below)).sum(), 1e-12)
        done = numpy.abs(numpy.log(new / power)).max() < 1e-7
        power = new
        if done:
            break
    return numpy.log(power)


def wilson(count: int, total: int, z: float = 1.959964) -> tuple[float, float, float]:
    """A share with its score interval (Wilson 1927)."""
    if not total:
        return 0.5, 0.0, 1.0
    share = count / total
    middle = (share + z * z / (2 * total)) / (1 + z * z / total)
    half = z / (1 + z * z / total)
    half *= math.sqrt(share * (1 - share) / total + z * z / (4 * total * total))
    return share, max(0.0, middle - half), min(1.0, middle + half)


def _places(votes: Sequence[Vote], names: list[str], weights: list[float]) -> tuple[Place, ...]:
    import numpy

    if not names:
        return ()
    index = {name: at for at, name in enumerate(names)}
    visitors = sorted({vote.visitor for vote in votes})
    number = {visitor: at for at, visitor in enumerate(visitors)}
    shape = (len(visitors), len(names), len(names))
    wins, ties = numpy.zeros(shape), numpy.zeros(shape)
    tallies: dict[str, Counter[str]] = {name: Counter() for name in names}
    for vote, weight in zip(votes, weights, strict=True):
        one, other = vote.sides
        who, at, to = number[vote.visitor], index[one], index[other]
        if vote.verdict in ("tie", "bad"):
            ties[who, at, to] += weight
            ties[who, to, at] += weight
        else:
            winner, loser = (at, to) if vote.verdict == "first" else (to, at)
            wins[who, winner, loser] += weight
        _tally(tallies, vote)
    points = strengths(wins.sum(0), ties.sum(0)) * SCALE
    drawn = numpy.random.default_rng(SEED).integers(0, len(visitors), (DRAWS, len(visitors)))
    many = numpy.array([strengths(wins[row].sum(0), ties[row].sum(0)) for row in drawn]) * SCALE
    low, high = numpy.percentile(many, [2.5, 97.5], axis=0)
    found = [
        Place(
            name, sum(tallies[name].values()), tallies[name]["won"], tallies[name]["lost"],
            tallies[name]["tied"], float(points[at]), float(low[at]), float(high[at]),
        )
        for name, at in index.items()
    ]  # fmt: skip
    return tuple(sorted(found, key=lambda place: -place.points))


def _tally(tallies: dict[str, Counter[str]], vote: Vote) -> None:
    one, other = vote.sides
    if vote.verdict in ("tie", "bad"):
        tallies[one]["tied"] += 1
        tallies[other]["tied"] += 1
    else:
        better, worse = (one, other) if vote.verdict == "first" else (other, one)
        tallies[better]["won"] += 1
        tallies[worse]["lost"] += 1
