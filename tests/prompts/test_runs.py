"""Runs as processes: killed, stopped, out of money; nothing lost, nothing paid twice."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections import Counter
from pathlib import Path

import pytest

from tests.fake_gemini import FakeGemini, Plan
from tests.prompts.small import KEY, ended, lines, prompt, recipe
from workbench import jobs
from workbench.errors import (
    NoKey,
    NoSuchPromptRun,
    NothingKept,
    PromptRunBusy,
    PromptRunExists,
    PromptRunFinished,
    UnfilledSlot,
)
from workbench.prompts import job, runs, store
from workbench.prompts.ledger import Budget
from workbench.prompts.replay import keep, replay
from workbench.prompts.rules import Rules
from workbench.prompts.teachers import Key, TeacherChoice
from workbench.settings import Settings
from workbench.workspace import Workspace

# the whole size, 1,000 rows, is asked for by TRILOGY_KILLS=1; a quarter is enough to see it
ROWS = 1000 if os.environ.get("TRILOGY_KILLS") else 250


def done(work: object) -> object:
    while True:
        try:
            next(work)  # type: ignore[call-overload]
        except StopIteration as end:
            return end.value


def process_of(folder: Path) -> int:
    wanted = f"workbench.prompts.work\0{folder.absolute()}"
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if wanted in path.read_text():
                return int(path.parent.name)
        except OSError:
            continue
    raise AssertionError("no process of this run")


def test_three_kills_lose_no_row_and_pay_for_nothing_twice(
    server: FakeGemini, place: Workspace, chosen: Settings
) -> None:
    server.faults, server.delay = 0.05, 0.3
    server.kinds = tuple(kind for kind in server.kinds if kind != "hang")
    made = recipe(server, place.root, rows=ROWS)
    job.start(made, chosen, place, KEY)
    folder = job.find("run", place)
    held: set[str] = set()
    for kill in range(1, 4):
        until = time.monotonic() + 60
        while len(lines(place, "run", store.REPLIES)) < kill * ROWS // 110:
            assert time.monotonic() < until
            time.sleep(0.03)
        os.kill(process_of(folder), signal.SIGKILL)
        while jobs.held(folder / jobs.LOCK):
            time.sleep(0.02)
        assert jobs.status_of(folder) == "interrupted"
        before = {row["request"] + row["id"] for row in lines(place, "run", store.ROWS)}
        job.resume("run", chosen, place, KEY)
        held |= before
    assert ended("run", place, 120) == "done"

    rows = lines(place, "run", store.ROWS)
    assert len(rows) >= ROWS
    assert len({row["id"] for row in rows}) == len(rows)
    assert held <= {row["request"] + row["id"] for row in rows}
    assert not server.paid_twice()
    ledger = lines(place, "run", store.LEDGER)
    sent = Counter((line["hash"], line["attempt"]) for line in ledger if line["kind"] == "intent")
    over = Counter((line["hash"], line["attempt"]) for line in ledger if line["kind"] == "request")
    assert sent == over
    assert max(sent.values()) == 1
    outcomes = Counter(line["outcome"] for line in ledger if line["kind"] == "request")
    unheard = outcomes["lost"]
    assert unheard <= 3 * 8  # in flight at a kill, at most what runs at once
    heard = [one for one in server.asked if one.status]
    # what the server says it answered is in the ledger; what it could not deliver was lost
    assert 0 <= len(server.asked) - (sum(outcomes.values()) - unheard) <= unheard
    stored = {reply["hash"] for reply in lines(place, "run", store.REPLIES)}
    assert len(stored) <= len([one for one in heard if one.status == 200]) + outcomes["cut"]
    # every stored reply was read: the rows are those that a replay makes
    again = done(replay("run", place))
    assert [row["id"] for row in again.rows] == [row["id"] for row in rows]  # type: ignore[attr-defined]


def test_a_run_is_stopped_within_a_second_and_goes_on(
    server: FakeGemini, place: Workspace, chosen: Settings
) -> None:
    server.delay = 0.3
    job.start(recipe(server, place.root, rows=400), chosen, place, KEY)
    while len(lines(place, "run", store.REPLIES)) < 3:
        time.sleep(0.05)
    job.stop("run", place)
    begun = time.monotonic()
    assert ended("run", place) == "stopped"
    assert (
        time.monotonic() - begun < 6
    )  # a second, and the answers on their way; 400 rows take longer
    assert "lost" not in runs.outcomes("run", place)
    with pytest.raises(NoKey):
        job.resume("run", chosen, place, Key())
    job.resume("run", chosen, place, KEY, rows=60)
    assert ended("run", place) == "done"
    assert runs.one("run", place).meter.kept >= 60
    assert not server.paid_twice()
    with pytest.raises(PromptRunFinished):
        job.resume("run", chosen, place, KEY)


@pytest.mark.parametrize(
    ("budget", "why"),
    [(Budget(requests=5), "requests"), (Budget(tokens=9000), "tokens"),
     (Budget(money=0.02), "money")],
)  # fmt: skip
def test_a_budget_ends_a_run_cleanly(
    server: FakeGemini, place: Workspace, chosen: Settings, budget: Budget, why: str
) -> None:
    server.delay = 0.02
    made = recipe(server, place.root, rows=5000, budget=budget, concurrency=3)
    job.start(made, chosen, place, KEY)
    assert ended("run", place) == "stopped"
    run = runs.one("run", place)
    assert run.why == why
    assert run.meter.kept
    assert not budget.requests or run.meter.requests <= budget.requests
    assert not budget.tokens or run.meter.tokens <= budget.tokens
    assert not budget.money or (run.meter.money or 0) <= budget.money
    assert run.meter.tokens_out == sum(one.tokens_out for one in server.paid)


def test_a_spent_day_stops_it_and_a_wrong_key_fails_it(
    server: FakeGemini, place: Workspace, chosen: Settings
) -> None:
    server.plan(Plan(), Plan())
    server.always = Plan("day")
    job.start(recipe(server, place.root, rows=500), chosen, place, KEY)
    assert ended("run", place) == "stopped"
    assert runs.one("run", place).why == "day"
    kept = len(lines(place, "run", store.ROWS))
    server.always = Plan("wrong_key")
    job.resume("run", chosen, place, KEY)
    assert ended("run", place) == "failed"
    said = job.events_of(job.find("run", place))[0][-1]
    assert said["error"] == "WrongKey"
    assert len(lines(place, "run", store.ROWS)) == kept
    server.always = None
    job.resume("run", chosen, place, KEY, rows=kept + 10)
    assert ended("run", place) == "done"
    assert not server.paid_twice()


def test_the_key_is_nowhere(server: FakeGemini, place: Workspace, chosen: Settings) -> None:
    server.delay = 0.5
    job.start(recipe(server, place.root, rows=60), chosen, place, KEY)
    folder = job.find("run", place)
    while not lines(place, "run", store.LEDGER):
        time.sleep(0.05)
    number = process_of(folder)
    for part in ("cmdline", "environ"):
        assert KEY.value.encode() not in Path(f"/proc/{number}/{part}").read_bytes()
    assert ended("run", place) == "done"
    found = subprocess.run(
        ["grep", "-rl", KEY.value, str(place.root)], capture_output=True, text=True, check=False
    )
    assert found.stdout == ""


def test_nothing_kept_for_long_ends_it(
    server: FakeGemini, place: Workspace, chosen: Settings
) -> None:
    server.always = Plan("written")
    job.start(recipe(server, place.root, barren=3, concurrency=1), chosen, place, KEY)
    assert ended("run", place) == "stopped"
    assert runs.one("run", place).why == "barren"
    with pytest.raises(NothingKept):
        runs.write_rows("run", place, place.root / "out.jsonl")


def test_replay_under_other_rules_costs_nothing(
    server: FakeGemini, place: Workspace, chosen: Settings
) -> None:
    job.start(recipe(server, place.root, rows=60), chosen, place, KEY)
    assert ended("run", place) == "done"
    asked = len(server.asked)
    rows = lines(place, "run", store.ROWS)
    strict = done(replay("run", place, Rules(register="cantonese", duplicate=0.3)))
    assert strict.kept < len(rows)  # type: ignore[attr-defined]
    assert lines(place, "run", store.ROWS) == rows
    keep("run", place, Rules(register="cantonese", duplicate=0.3), strict)  # type: ignore[arg-type]
    assert len(lines(place, "run", store.ROWS)) == strict.kept  # type: ignore[attr-defined]
    assert len(server.asked) == asked


def test_what_can_be_seen_before_is_said_before(
    server: FakeGemini, place: Workspace, chosen: Settings
) -> None:
    made = recipe(server, place.root)
    with pytest.raises(NoKey):
        job.start(made, chosen, place, Key())
    holed = made.under(template=prompt(template="{{tasks}} {{weather}}"))
    with pytest.raises(UnfilledSlot, match="weather"):
        job.start(holed, chosen, place, KEY)
    with pytest.raises(NoSuchPromptRun):
        job.find("run", place)
    server.delay = 1
    job.start(made, chosen, place, KEY)
    with pytest.raises(PromptRunExists):
        job.start(made, chosen, place, KEY)
    with pytest.raises(PromptRunBusy):
        job.resume("run", chosen, place, KEY)
    assert not server.paid
    job.stop("run", place)
    ended("run", place)
    job.delete("run", place)
    assert job.listed(place) == []


def test_rows_are_asked_about_once_each(
    server: FakeGemini, place: Workspace, chosen: Settings
) -> None:
    template = prompt(
        name="polish", task="rewrite", per_request=1, asked=0, template="改好佢：{{output}}"
    )
    template = type(template)(**{**vars(template), "shape": "text"})
    made = recipe(server, place.root, template=template, rows=0, rules=Rules())
    job.start(made, chosen, place, KEY)
    assert ended("run", place) == "done"
    rows = lines(place, "run", store.ROWS)
    assert len(rows) == len(server.paid) == 60
    assert {row["seeds"] for row in rows} == {f"s{number}" for number in range(60)}
    assert rows[0]["messages"][0]["content"].startswith("第")


def test_a_run_on_a_model_of_the_workbench(
    tiny_model: Path, place: Workspace, chosen: Settings, server: FakeGemini
) -> None:
    teacher = TeacherChoice("local", f"file:{tiny_model}")
    made = recipe(server, place.root, teacher=teacher, budget=Budget(requests=2), concurrency=1)
    short = made.under(options=type(made.options)(max_tokens=8, timeout=60), template=prompt(
        template="{{tasks}}", per_request=1))  # fmt: skip
    job.start(short, chosen, place, Key())
    assert ended("run", place, 120) == "stopped"
    run = runs.one("run", place)
    assert (run.why, run.meter.money) == ("requests", 0.0)
    assert sum(run.meter.dropped.values()) >= 2
