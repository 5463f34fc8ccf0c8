"""Regular expressions written by strangers, with a limit for each and for all of them.

This module does not know what they are looked for.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

import regex

SECONDS_EACH = 0.05
QUICK = 0.01
"""A search that is over in this time is not counted."""


class Clock:
    """The time that some searches may take together."""

    def __init__(self, seconds: float) -> None:
        self._left = seconds

    def search(self, pattern: str, text: str, case_sensitive: bool = False) -> bool:
        """True if it is found; False for a broken expression, and for one out of time."""
        if self._left <= 0:
            return False
        begun = time.monotonic()
        flags = 0 if case_sensitive else regex.IGNORECASE
        try:
            found = regex.search(pattern, text, flags, timeout=min(SECONDS_EACH, self._left))
            return found is not None
        except (TimeoutError, regex.error, RecursionError, OverflowError, MemoryError):
            return False
        finally:
            took = time.monotonic() - begun
            self._left -= took if took > QUICK else 0

    def any(self, patterns: Sequence[str], text: str) -> bool:
        """True if one of them is found."""
        return any(self.search(pattern, text) for pattern in patterns)
