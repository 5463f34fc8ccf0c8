"""Which rows every step learns from, known before the first step from the recipe alone.

The order does not depend on how many rows go through the model at once, nor on where a run was
interrupted: step ``s`` sees the same rows in any case. This module does not know tokens.
"""

from __future__ import annotations

import math

import numpy as np


def steps_of(rows: int, batch: int, steps: int, epochs: float) -> int:
    """Optimizer steps of a run: as asked, else enough to see every row ``epochs`` times."""
    return steps or max(1, math.ceil(rows * epochs / batch))


def order(rows: int, batch: int, steps: int, seed: int) -> np.ndarray:
    """The rows of every step: one shuffle of all rows after another, cut into batches.

    Returns:
        int64, shape [steps, batch]. A dataset smaller than a batch fills it more than once.
    """
    rounds = math.ceil(steps * batch / rows)
    shuffled = [np.random.default_rng([seed, at]).permutation(rows) for at in range(rounds)]
    return np.concatenate(shuffled)[: steps * batch].reshape(steps, batch).astype(np.int64)


def by_length(planned: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """The same rows in every step, longest first, so that like goes with like.

    A step's gradient is a sum over its rows and does not depend on their order; padding and the
    moment at which memory runs out do: with the longest first it runs out at once.

    Args:
        planned: int64 [steps, batch].
        lengths: tokens of each row, int64 [rows].
    """
    sorting = np.argsort(-lengths[planned], axis=1, kind="stable")
    return np.take_along_axis(planned, sorting, axis=1)


def micro_batch(batch: int, at_most: int) -> int:
    """The largest divisor of ``batch`` that is not more than ``at_most``, so that steps align."""
    return max(size for size in range(1, min(batch, max(1, at_most)) + 1) if batch % size == 0)


def bins(planned: np.ndarray, lengths: np.ndarray, room: int) -> list[list[list[int]]]:
    """Every step's rows in bins of nearly equal length, as many in every step.

    The longest row goes first, each into the bin with the least in it (Graham 1969), so that
    what goes through the model at once is as small as the number of bins allows.

    Args:
        planned: int64 [steps, batch].
        lengths: tokens of each row, int64 [rows].
        room: tokens that a bin should hold at most; a single row may be longer.

    Returns:
        Rows by step and bin; no bin is empty.
    """
    totals = lengths[planned].sum(axis=1)
    count = int(max(1, min(planned.shape[1], math.ceil(totals.max() / max(1, room)))))
    return [_level(step, lengths, count) for step in planned.tolist()]


def _level(rows: list[int], lengths: np.ndarray, count: int) -> list[list[int]]:
    filled: list[list[int]] = [[] for _ in range(count)]
    held = [0] * count
    for row in sorted(rows, key=lambda row: -int(lengths[row])):
        least = min(range(count), key=lambda number: (held[number], number))
        filled[least].append(row)
        held[least] += int(lengths[row])
    return filled
