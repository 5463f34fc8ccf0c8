"""Carries a run out: asks until there are enough rows, the budget is spent or somebody says stop.

Requests run side by side in threads; replies are stored by the thread that got them, before
anything else happens, and looked at one after another in the order in which they were stored.
Which request comes next follows from the run's own files alone. This module does not know whether
it runs in a process of its own.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from workbench.errors import DayLimit, Stopped
from workbench.prompts.autopsy import Autopsy, Embed, Verdict, row_of, tally
from workbench.prompts.ledger import Meter, Price, over, remaining
from workbench.prompts.recipe import GenerateRecipe
from workbench.prompts.seeds import Seed
from workbench.prompts.store import (
    ANSWERED,
    LEDGER,
    ROWS,
    VERDICTS,
    Appended,
    Store,
    ledger_line,
    lines,
    read_replies,
    write_made,
)
from workbench.prompts.teachers import Reply, Teacher
from workbench.prompts.template import Filled, fill
from workbench.prompts.weather import Limiter, Weather

LANDING_SECONDS = 15.0
"""Answers that are on their way at Stop are let in for so long: they are paid for."""
POLL = 0.2
ENDINGS = ("target", "rows", "requests", "tokens", "money", "barren", "day", "stopped")
"""Why a run is over: enough rows, every seed asked about, a part of the budget spent, nothing
kept any more, the day's quota, or the person."""

Tell = Callable[..., Any]


@dataclass(frozen=True)
class Ending:
    """How a run came to its end without a fault."""

    why: str
    meter: Meter


class Generation:
    """One run at work."""

    def __init__(
        self,
        folder: Path,
        recipe: GenerateRecipe,
        seeds: list[Seed],
        teacher: Teacher,
        price: Price | None,
        tell: Tell,
        embed: Embed | None = None,
        landing: float = LANDING_SECONDS,
    ) -> None:
        self.recipe, self.seeds, self.tell = recipe, seeds, tell
        self.store = Store(folder)
        self.standing = self.store.settle()
        self.meter = Meter(price)
        self.autopsy = Autopsy(recipe.template, recipe.rules, seeds, embed)
        self.landing = landing
        self._looked_at = 0
        self._rebuild()
        self._rows = Appended(folder / ROWS, durable=False)
        self._verdicts = Appended(folder / VERDICTS, durable=False)
        limiter = Limiter(recipe.per_minute, self.standing.sent)
        self._weather = Weather(teacher, limiter)
        self._teacher = teacher
        self._came: queue.Queue[dict[str, Any] | BaseException] = queue.Queue()
        self._storing = threading.Lock()
        self._stop, self._hard = threading.Event(), threading.Event()
        self._launched = self.standing.attempts
        self._meter_lock = threading.Lock()
        self._begun = time.monotonic()
        self._barren = 0

    def _rebuild(self) -> None:
        """Read every stored reply again, as if it came now."""
        rows: list[dict[str, Any]] = []
        verdicts: list[dict[str, Any]] = []
        for reply in read_replies(self.store.folder):
            found = self._examined(reply)
            verdicts.append(said_of(reply, found))
            rows += rows_of(self.recipe, reply, found)
        for line in lines(self.store.folder / LEDGER):
            if line.get("kind") == "request":
                self.meter.note(line)
        write_made(self.store.folder, rows, verdicts)

    def run(self, stop: threading.Event) -> Ending:
        """Ask until there is a reason to end.

        Raises:
            WrongKey, RequestRefused, TeacherDown, UnfilledSlot, and whatever a local model raises.
        """
        self._told = ""
        numbers = self._numbers()
        in_flight, why, failure = 0, "", None
        stopped_at = 0.0
        with ThreadPoolExecutor(self.recipe.concurrency, "teacher") as pool:
            while True:
                if stop.is_set() and not self._stop.is_set():
                    why = why or "stopped"
                    self._stop.set()
                    stopped_at = time.monotonic()
                    self.tell("stopping", in_flight=in_flight)
                while not why and in_flight < self.recipe.concurrency:
                    why = self._enough(in_flight)
                    if why or not self._room(in_flight):
                        break
                    number = next(numbers, None)
                    if number is None:
                        why = "rows"
                        break
                    pool.submit(self._work, number)
                    in_flight += 1
                    self._launched += 1
                if not in_flight:
                    break
                try:
                    came = self._came.get(timeout=POLL)
                except queue.Empty:
                    if stopped_at and time.monotonic() - stopped_at > self.landing:
                        self._hard.set()
                    continue
                in_flight -= 1
                if isinstance(came, BaseException):
                    failure = failure or self._failed(came)
                    why = why or ("day" if isinstance(came, DayLimit) else "failed")
                    self._stop.set()
                    stopped_at = stopped_at or time.monotonic()
                else:
                    self._examine(came, in_flight)
        self.close()
        if failure is not None and why == "failed":
            raise failure
        return Ending("target" if why == "rows" and self._reached() else why, self.meter)

    def close(self) -> None:
        for one in (self._rows, self._verdicts, self.store):
            one.close()

    def _failed(self, error: BaseException) -> BaseException | None:
        return None if isinstance(error, Stopped | DayLimit) else error

    def _reached(self) -> bool:
        return bool(self.recipe.rows) and self.autopsy.kept >= self.recipe.rows

    def _enough(self, in_flight: int) -> str:
        """Why no further request should be sent, or ''."""
        if self._reached():
            return "target"
        if self.recipe.barren and self._barren >= self.recipe.barren:
            return "barren"
        worst = self.recipe.options.max_tokens + 2 * len(self.recipe.template.template)
        with self._meter_lock:
            return over(self.recipe.budget, self.meter, in_flight, self._launched, worst)

    def _room(self, in_flight: int) -> bool:
        """False when what is on its way will probably do: nobody pays for rows nobody asked for."""
        if not self.recipe.rows or not in_flight:
            return True
        expected = self.autopsy.kept / self._looked_at if self.autopsy.kept else self._hoped()
        return self.autopsy.kept + in_flight * expected < self.recipe.rows

    def _hoped(self) -> float:
        template = self.recipe.template
        return max(1, template.asked - template.per_request) if template.samples else 1

    def _numbers(self) -> Iterator[int]:
        """Requests that were sent and not paid for first, then new ones."""
        yield from sorted(self.standing.open)
        done = self.standing.answered
        number = 0
        end = None if self.recipe.template.samples else len(self.seeds)
        while end is None or number < end:
            if number not in done and number not in self.standing.open:
                yield number
            number += 1

    def filled(self, sequence: int) -> Filled:
        recipe = self.recipe
        return fill(recipe.template, self.seeds, sequence, recipe.seed, recipe.values)

    def _work(self, sequence: int) -> None:
        """One request from its prompt to its stored reply; in a thread of its own."""
        try:
            filled = self.filled(sequence)
            name = self.recipe.request_hash(filled, sequence)
            facts = {"hash": name, "sequence": sequence, "model": self._teacher.model}

            def sending(attempt: int) -> None:
                self._launched += attempt > 0
                self.store.ledger.write(
                    {"kind": "intent", **facts, "attempt": attempt, "time": time.time()}
                )

            def came(attempt: int, reply: Reply) -> None:
                line = {**facts, "attempt": attempt, "time": time.time(), **asdict(reply)}
                if reply.outcome in ANSWERED:
                    line["seeds"] = list(filled.seeds)
                    with self._storing:
                        self.store.replies.write(line)
                        self._came.put(line)
                self.store.ledger.write(ledger_line(line))
                with self._meter_lock:
                    self.meter.note(line)
                if reply.outcome not in ANSWERED:
                    self.tell(
                        "weather", outcome=reply.outcome, wait=reply.wait, sequence=sequence,
                        reason=reply.reason,
                    )  # fmt: skip

            self._weather.ask(
                filled.text, self.recipe.options, self.recipe.template.schema, self._stop,
                self._hard, sending, came,
            )  # fmt: skip
        except BaseException as error:
            self._came.put(error)

    def _row(self, reply: dict[str, Any]) -> Seed | None:
        """The row that a reply is about."""
        if self.recipe.template.samples or not self.seeds:
            return None
        return self.seeds[int(reply["sequence"]) % len(self.seeds)]

    def _examined(self, reply: dict[str, Any]) -> list[Verdict]:
        self._looked_at += 1
        if not reply["text"] and reply["outcome"] != "ok":
            return []
        found = self.autopsy.examine(
            reply["text"], int(reply["sequence"]), finish_of(reply), self._row(reply)
        )
        self.meter.kept = self.autopsy.kept
        self.meter.dropped = self.autopsy.dropped
        self.meter.registers = self.autopsy.registers
        return found

    def _examine(self, reply: dict[str, Any], in_flight: int) -> None:
        found = self._examined(reply)
        rows = rows_of(self.recipe, reply, found)
        if rows:
            self._rows.write(*rows)
        self._verdicts.write(said_of(reply, found))
        self._barren = 0 if rows else self._barren + 1
        seconds = time.monotonic() - self._begun
        with self._meter_lock:
            figures = self.meter.figures()
        self.tell(
            "reply",
            sequence=reply["sequence"],
            outcome=reply["outcome"],
            finish=reply["finish"],
            tally=dict(tally(found)),
            in_flight=in_flight,
            meter=figures,
            left=remaining(self.meter, self.recipe.rows, seconds),
        )


def rows_of(
    recipe: GenerateRecipe, reply: dict[str, Any], found: list[Verdict]
) -> list[dict[str, Any]]:
    """The rows of one reply, each with where it came from."""
    provenance = {
        "prompt": recipe.template.label,
        "model": reply["model"],
        "seeds": " ".join(reply.get("seeds", ())),
        "request": reply["hash"],
        "run": recipe.name,
    }
    return [row_of(one, provenance) for one in found if one.kept]


def finish_of(reply: dict[str, Any]) -> str:
    """A reply that was cut off in any way ends in the middle of its last item."""
    cut = reply["outcome"] in ("truncated", "cut", "timeout", "stopped")
    return "MAX_TOKENS" if cut else str(reply["finish"])


def said_of(reply: dict[str, Any], found: list[Verdict]) -> dict[str, Any]:
    """What became of a reply, as a line of verdicts."""
    return {
        "sequence": reply["sequence"],
        "hash": reply["hash"],
        "outcome": reply["outcome"],
        "items": [
            {
                "id": one.id,
                "start": one.start,
                "end": one.end,
                "item": [one.item.start, one.item.end],
                "register": one.register,
                **({"reason": asdict(one.reason)} if one.reason else {}),
            }
            for one in found
        ],
    }
