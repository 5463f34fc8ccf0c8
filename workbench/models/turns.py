"""Several threads that take turns, one step each, in a fair order.

Two models that decode at once on the same cores fight over them; taking turns token
by token keeps both streams moving, and lets each be timed by its own work alone.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager


class Turns:
    """Only the thread at the head of the line works; ``step`` sends it to the back."""

    def __init__(self, expected: int = 1) -> None:
        """Nobody begins before so many threads have joined."""
        self._line: deque[int] = deque()
        self._missing = expected
        self._changed = threading.Condition()

    @contextmanager
    def joined(self) -> Iterator[None]:
        """Stand in line, and leave it at the end."""
        me = threading.get_ident()
        with self._changed:
            self._line.append(me)
            self._missing -= 1
            self._changed.notify_all()
            self._wait(me)
        try:
            yield
        finally:
            with self._changed:
                self._line.remove(me)
                self._changed.notify_all()

    def step(self) -> None:
        """Let every other thread in line work once, then come back."""
        me = threading.get_ident()
        with self._changed:
            if self._line[0] == me:
                self._line.rotate(-1)
                self._changed.notify_all()
            self._wait(me)

    def _wait(self, me: int) -> None:
        self._changed.wait_for(lambda: self._missing <= 0 and self._line[0] == me)
