"""Asking until it is answered, or until asking again would be wrong.

A per-minute quota is waited for as long as the server says, by everybody at once; a per-day quota
ends the run; a server that keeps failing is given up within a minute, counted over all requests;
what may have been paid for is never asked twice. This module does not know who is asked.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any

from workbench.errors import DayLimit, RequestRefused, Stopped, TeacherDown, WrongKey
from workbench.models.decoding import Stoppable
from workbench.prompts.teachers import Options, Reply, Said, Teacher

WINDOW_SECONDS = 60.0
MARGIN = 1.0
"""A request leaves here a moment before the server counts it."""
PATIENCE_SECONDS = 55.0
"""A server that fails this long without one answer is given up; a minute with the last try."""
FIRST_PAUSE = 0.5
LONGEST_PAUSE = 8.0
MINUTE_PAUSE = 15.0
"""Where a per-minute quota does not say how long."""
QUOTA_SECONDS = 900.0
"""Nothing but a spent per-minute quota for so long is no weather any more."""
MOST_LOST = 6
"""So many requests in a row that hang or are cut off, and nobody more is sent after them."""
POLL = 0.1


class Limiter:
    """At most so many requests in any minute, whoever sends them."""

    def __init__(
        self, per_minute: int, sent: Iterable[float] = (), window: float = WINDOW_SECONDS
    ) -> None:
        """``per_minute`` 0 is no limit; ``sent`` are times (``time.time``) of earlier requests."""
        self._most, self._window = per_minute, window + MARGIN * window / WINDOW_SECONDS
        now, wall = time.monotonic(), time.time()
        ago = sorted(wall - one for one in sent)
        recent = [now - one for one in reversed(ago) if 0 <= one < self._window]
        self._sent: deque[float] = deque(recent, maxlen=max(1, per_minute) if per_minute else None)
        self._lock = threading.Lock()
        self._free_at = 0.0

    def pause(self, seconds: float) -> None:
        """Nobody asks before so many seconds are over."""
        with self._lock:
            self._free_at = max(self._free_at, time.monotonic() + seconds)

    def wait(self, stop: Stoppable) -> None:
        """Wait until one more may be sent, and count it.

        Raises:
            Stopped.
        """
        while not stop.is_set():
            left = self._take()
            if left <= 0:
                return
            time.sleep(min(left, POLL))
        raise Stopped

    def waiting(self) -> float:
        """Seconds until the next request may go."""
        with self._lock:
            return max(0.0, self._left(time.monotonic()))

    def _take(self) -> float:
        with self._lock:
            now = time.monotonic()
            left = self._left(now)
            if left <= 0 and self._most:
                self._sent.append(now)
            return left

    def _left(self, now: float) -> float:
        full = self._most and len(self._sent) >= self._most
        until = self._sent[0] + self._window if full else 0.0
        return max(until, self._free_at) - now


class Weather:
    """One teacher under one limit, asked by several threads."""

    def __init__(self, teacher: Teacher, limiter: Limiter, patience: float = PATIENCE_SECONDS):
        self._teacher, self._limiter, self._patience = teacher, limiter, patience
        self._lock = threading.Lock()
        self._failing_since: float | None = None
        self._quota_since: float | None = None
        self._lost = 0

    def ask(
        self,
        prompt: str,
        options: Options,
        schema: Mapping[str, Any] | None,
        stop: Stoppable,
        hard: Stoppable,
        sending: Callable[[int], Any],
        came: Callable[[int, Reply], Any],
        said: Said = lambda _text: None,
    ) -> Reply:
        """Ask, and again where nothing can have been paid for.

        Args:
            stop: before the next attempt; an answer on its way is let in.
            hard: at once, whatever is on its way.
            sending, came: called before and after each attempt, numbered from 0.

        Raises:
            DayLimit, TeacherDown, Stopped, WrongKey, RequestRefused.
        """
        attempt = 0
        while True:
            self._limiter.wait(stop)
            sending(attempt)
            try:
                reply = self._teacher.ask(prompt, self._within(options), schema, hard, said)
            except WrongKey:
                came(attempt, Reply("wrong_key"))
                raise
            except RequestRefused as error:
                came(attempt, Reply("refused", reason=str(error.facts["reason"])))
                raise
            came(attempt, reply)
            if not self._again(reply, attempt, stop):
                return reply
            attempt += 1

    def _within(self, options: Options) -> Options:
        """While the server fails, an attempt gets no more time than there is patience left."""
        with self._lock:
            since = self._failing_since
        if since is None:
            return options
        left = self._patience + 4 - (time.monotonic() - since)
        return replace(options, timeout=max(1.0, min(options.timeout, left)))

    def _again(self, reply: Reply, attempt: int, stop: Stoppable) -> bool:
        """Wait and say True where this request should be sent once more."""
        if reply.outcome == "429_day":
            raise DayLimit(teacher=self._teacher.model)
        if reply.outcome == "429_minute":
            wait = reply.wait or MINUTE_PAUSE
            self._limiter.pause(wait)
            with self._lock:
                self._quota_since = self._quota_since or time.monotonic()
                spent = time.monotonic() - self._quota_since
            if spent > QUOTA_SECONDS:
                raise self._down(spent, "quota per minute")
            return True
        if reply.outcome == "5xx":
            with self._lock:
                self._failing_since = self._failing_since or time.monotonic()
                spent = time.monotonic() - self._failing_since
            wait = max(reply.wait, min(LONGEST_PAUSE, FIRST_PAUSE * 2**attempt))
            if spent + wait > self._patience:
                raise self._down(spent, reply.reason)
            _sleep(wait, stop)
            return True
        with self._lock:
            self._lost = self._lost + 1 if reply.outcome in ("timeout", "cut") else 0
            if not self._lost:
                self._failing_since = self._quota_since = None
            if self._lost >= MOST_LOST:
                raise self._down(reply.seconds, reply.reason or reply.outcome)
        return False

    def _down(self, seconds: float, reason: str) -> TeacherDown:
        said = " ".join(reason.split()).rstrip(".") or "no reason given"
        return TeacherDown(teacher=self._teacher.model, seconds=round(seconds), reason=said[:160])


def _sleep(seconds: float, stop: Stoppable) -> None:
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        if stop.is_set():
            raise Stopped
        time.sleep(min(left, POLL))
