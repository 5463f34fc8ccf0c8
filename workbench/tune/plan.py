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
