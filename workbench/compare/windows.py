"""Which tokens are scored in which window: every token exactly once.

A window is a run of tokens after one prefix token, which makes it ``context`` long
at most. This module does not know what a token is.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True)
class Window:
    """Tokens ``start:end`` of a document are read, and ``score_from:end`` are scored."""

    document: int
    number: int
    """Counted from 0 within the document."""
    start: int
    score_from: int
    end: int

    @property
    def length(self) -> int:
        """Tokens of the input, prefix included."""
        return self.end - self.start + 1

    @property
    def scored(self) -> int:
        return self.end - self.score_from


def windows(tokens: int, context: int, stride: int, document: int = 0) -> Iterator[Window]:
    """Cut a document of ``tokens`` tokens into windows.

    The first window scores everything in it; each later one moves on by ``stride`` tokens
    and reads as many earlier ones as ``context`` leaves room for.

    Args:
        context: the most tokens a window may have, its prefix included; at least 2.
        stride: tokens a later window scores; between 1 and ``context - 1``.
    """
    room = context - 1
    end = min(room, tokens)
    if tokens:
        yield Window(document, 0, 0, 0, end)
    number = 1
    while end < tokens:
        score_from, end = end, min(end + stride, tokens)
        yield Window(document, number, max(0, end - room), score_from, end)
        number += 1


def batches(planned: list[Window], most_tokens: int) -> Iterator[list[Window]]:
    """Group windows of like length so that a padded batch has at most ``most_tokens``.

    A single window may be longer than that; it then goes alone.
    """
    batch: list[Window] = []
    for window in sorted(planned, key=lambda window: -window.length):
        if batch and batch[0].length * (len(batch) + 1) > most_tokens:
            yield batch
            batch = []
        batch.append(window)
    if batch:
        yield batch
