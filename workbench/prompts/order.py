"""Does the order sway a judge? Pairs of a run's rows, scored together in both orders.

Every reply is written down before the next is asked for, so that what was paid for is kept and
a stopped question goes on where it stopped. What the figures mean is for ``agreement`` to say.
"""

from __future__ import annotations

import random
import re
import time
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from workbench.errors import NothingKept
from workbench.events import Progress
from workbench.models.decoding import Stoppable
from workbench.prompts import job, store
from workbench.prompts.agreement import Sway, sway
from workbench.prompts.judging import ASKED, HIGHEST, LOWEST
from workbench.prompts.teachers import Options, Reply, Teacher
from workbench.prompts.weather import Limiter, Weather
from workbench.workspace import Workspace

FILE = "order.jsonl"
OPTIONS = Options(temperature=0.0, max_tokens=1024)
FIGURES = re.compile(r'"?\b(first|second)\b"?\s*[:：=]\s*([1-6])(?!\d)', re.IGNORECASE)
SCHEMA = {
    "type": "object",
    "properties": {
        "first": {"type": "integer", "minimum": LOWEST, "maximum": HIGHEST},
        "second": {"type": "integer", "minimum": LOWEST, "maximum": HIGHEST},
    },
    "required": ["first", "second"],
}
PROMPT = """You check training data for an assistant that speaks Cantonese. Below are two rows, \
each a task and its answer. Score each answer from 1 (wrong, empty or about something else) to 6 \
(one would show it as an example), both by the same measure. Which one stands first says nothing \
about them.

Reply with JSON and nothing else: {{"first": score, "second": score}}

First row
{first}

Second row
{second}"""
Row = dict[str, Any]


def pairs(
    run: str, workspace: Workspace, count: int = ASKED, seed: int = 1
) -> list[tuple[Row, Row]]:
    """Rows drawn two by two, no row twice; the same ones every time.

    Raises:
        NoSuchPromptRun. NothingKept: fewer than two rows.
    """
    rows = list(store.lines(job.find(run, workspace) / store.ROWS))
    if len(rows) < 2:
        raise NothingKept(name=run)
    random.Random(seed).shuffle(rows)
    return list(zip(rows[::2], rows[1::2], strict=False))[:count]


def ask(
    run: str,
    workspace: Workspace,
    teacher: Teacher,
    stop: Stoppable,
    per_minute: int = 0,
    count: int = ASKED,
) -> Iterator[Progress]:
    """Ask for what is missing: two requests a pair, one after the other.

    Raises:
        NoSuchPromptRun, NothingKept, Stopped, WrongKey, DayLimit, TeacherDown, RequestRefused.
    """
    folder = job.find(run, workspace)
    known = _known(run, workspace)
    orders = [order for pair in pairs(run, workspace, count) for order in (pair, pair[::-1])]
    missing = [order for order in orders if _ids(order) not in known]
    weather = Weather(teacher, Limiter(per_minute))
    written = store.Appended(folder / FILE)
    order = orders[0]

    def came(attempt: int, reply: Reply) -> None:
        one, other = _ids(order)
        said = {"first": one, "second": other, "scores": read(reply.text), "text": reply.text}
        facts = {"attempt": attempt, "model": teacher.model, "time": time.time(), **asdict(reply)}
        written.write({**store.ledger_line(facts), **said})

    try:
        for number, order in enumerate(missing, len(orders) - len(missing)):
            yield Progress("score", number, len(orders), "requests", teacher.model)
            text = PROMPT.format(first=_said(order[0]), second=_said(order[1]))
            weather.ask(text, OPTIONS, SCHEMA, stop, stop, lambda _attempt: None, came)
    finally:
        written.close()


def read(text: str) -> tuple[int, int] | None:
    """The two scores of a reply; None where there are none to be read."""
    named = {name.lower(): int(figure) for name, figure in FIGURES.findall(text)}
    return (named["first"], named["second"]) if len(named) == 2 else None


def found(run: str, workspace: Workspace) -> Sway | None:
    """What the pairs say that were scored in both orders; None before there is one.

    Raises:
        NoSuchPromptRun.
    """
    known = _known(run, workspace)
    both = [
        (scores, known[other, one])
        for (one, other), scores in known.items()
        if one < other and scores and known.get((other, one))
    ]
    if not both:
        return None
    forward = [first - second for (first, second), _ in both]
    backward = [second - first for _, back in both if back for first, second in (back,)]
    return sway(forward, backward)


def _known(run: str, workspace: Workspace) -> dict[tuple[str, str], tuple[int, int] | None]:
    """Scores by the ids of the two rows, in the order in which they were shown."""
    lines = store.lines(job.find(run, workspace) / FILE)
    return {
        (str(one["first"]), str(one["second"])): tuple(one["scores"]) if one["scores"] else None
        for one in lines
        if one.get("outcome") == "ok"
    }


def _ids(order: tuple[Row, ...]) -> tuple[str, str]:
    return str(order[0]["id"]), str(order[1]["id"])


def _said(row: Row) -> str:
    turns = ((turn["role"], turn["content"]) for turn in row["messages"])
    return "\n".join(f"{'Task' if role == 'user' else role}: {text}" for role, text in turns)
