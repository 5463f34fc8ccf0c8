"""Runs are processes of their own: started, followed, queued, stopped, resumed, listed, deleted."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from tests import tiny
from tests.tune import small
from workbench import eventlog, jobs
from workbench.console import finished
from workbench.errors import (
    ModelNotFound,
    NoSuchDataset,
    NoSuchRun,
    RunBusy,
    RunExists,
    RunFinished,
    Stopped,
)
from workbench.eventlog import EventLog
from workbench.settings import Settings
from workbench.tune import job, runs, trial
from workbench.workspace import Workspace

ROOT = Path(__file__).resolve().parents[2]
HOLD = """
import sys, time
from pathlib import Path
from workbench import jobs
assert jobs.take(Path(sys.argv[1])) is not None
print("held", flush=True)
time.sleep(60)
"""


@pytest.fixture
def workspace(settings: Settings) -> Workspace:
    made = Workspace(settings.workspace.absolute())
    small.dataset(made)
    return made


def a_run(workspace: Workspace, base: Path, name: str = "first", **state: object) -> Path:
    folder = workspace.run(name)
    folder.mkdir(parents=True)
    (folder / job.RECIPE).write_text(small.recipe(base, name).to_yaml(), "utf-8")
    jobs.write_state(folder, **{"status": "queued", "queued_at": time.time(), **state})
    return folder


def holder(path: Path) -> subprocess.Popen[str]:
    """Another process that has taken a lock."""
    command = [sys.executable, "-c", HOLD, str(path)]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT)
    assert child.stdout is not None
    assert child.stdout.readline() == "held\n"
    return child


def until(workspace: Workspace, name: str, status: str) -> None:
    end = time.monotonic() + 120
    while job.status(name, workspace) != status:
        assert time.monotonic() < end, job.events_of(workspace.run(name))[-3:]
        time.sleep(0.05)


def test_two_runs_wait_for_one_another_stop_and_go_on(
    tiny_model: Path, workspace: Workspace, settings: Settings
) -> None:
    long = small.recipe(tiny_model, "first", steps=3000, eval_every=1000, save_every=1000)
    job.start(long, settings, workspace)
    job.start(small.recipe(tiny_model, "second", steps=2), settings, workspace)
    with pytest.raises(RunExists):
        job.start(long, settings, workspace)
    for said in job.follow("first", workspace):
        if said["event"] == "step" and said["step"] >= 5:
            break
    assert job.status("second", workspace) == "queued"
    with pytest.raises(RunBusy):
        job.resume("first", settings, workspace)
    with pytest.raises(RunBusy):
        job.delete("first", workspace)
    job.stop("first", workspace)
    told = [said["event"] for said in job.follow("second", workspace)]
    assert told[0] == "queued"
    assert told[-1] == "done"
    assert job.status("first", workspace) == "stopped"
    reached = runs.one("first", workspace).step
    assert reached >= 5
    before = (workspace.run("first") / job.EVENTS).stat().st_size
    job.resume("first", settings, workspace)
    for said in job.follow("first", workspace, before):
        if said["event"] == "step":
            break
    assert said["step"] == reached + 1
    job.stop("first", workspace)
    until(workspace, "first", "stopped")
    job.delete("first", workspace)
    assert [run.name for run in runs.listed(workspace)] == ["second"]
    with pytest.raises(RunFinished):
        job.resume("second", settings, workspace)


def test_a_killed_process_leaves_an_interrupted_run_that_resumes(
    tiny_model: Path, workspace: Workspace, settings: Settings
) -> None:
    folder = job.start(small.recipe(tiny_model, steps=400, save_every=2), settings, workspace)
    for said in job.follow("first", workspace):
        if said["event"] == "saved":
            os.kill(process_of(folder), signal.SIGKILL)
            break
    rest = list(job.follow("first", workspace, said["offset"]))
    assert rest[-1]["event"] == "interrupted"
    assert runs.one("first", workspace).status == "interrupted"
    job.resume("first", settings, workspace)
    for said in job.follow("first", workspace, rest[-1]["offset"]):
        if said["event"] == "resumed":
            break
    assert said["step"] >= 2
    os.kill(process_of(folder), signal.SIGTERM)
    until(workspace, "first", "stopped")


def process_of(folder: Path) -> int:
    import psutil

    for process in psutil.process_iter(["cmdline"]):
        if str(folder) in (process.info["cmdline"] or []):
            return int(process.pid)
    raise AssertionError("no process trains this run")


def test_a_queued_run_can_be_stopped(tiny_model: Path, workspace: Workspace) -> None:
    folder = a_run(workspace, tiny_model)
    other = holder(folder.parent / jobs.TRAINING)
    stop, told = threading.Event(), []

    def say(ahead: int) -> None:
        told.append(ahead)
        stop.set()

    try:
        with pytest.raises(Stopped):
            jobs.wait_for_turn(folder, stop, say)
    finally:
        other.kill()
        other.wait()
    assert told == [1]


def test_who_came_first_is_served_first(tiny_model: Path, workspace: Workspace) -> None:
    early = a_run(workspace, tiny_model, "early", queued_at=1.0)
    late = a_run(workspace, tiny_model, "late", queued_at=2.0)
    dead = a_run(workspace, tiny_model, "dead", queued_at=0.5)
    waiting = [holder(folder / jobs.LOCK) for folder in (early, late)]
    try:
        assert (jobs.before(early), jobs.before(late)) == (0, 1)
        assert jobs.status_of(dead) == "interrupted"
    finally:
        for child in waiting:
            child.kill()
            child.wait()
    assert jobs.before(late) == 0


def test_only_one_of_two_starts_at_once_gets_the_name(
    tiny_model: Path, workspace: Workspace, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(job.jobs, "launch", lambda *_: None)
    both, found = threading.Barrier(2), []

    def start() -> None:
        both.wait()
        try:
            job.start(small.recipe(tiny_model), settings, workspace)
            found.append("started")
        except RunExists:
            found.append("refused")

    threads = [threading.Thread(target=start) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(found) == ["refused", "started"]
    assert [path.name for path in (workspace.root / "runs").iterdir()] == ["first"]


def test_what_cannot_be_trained_is_refused_before_a_process_is_started(
    tiny_model: Path, workspace: Workspace, settings: Settings
) -> None:
    with pytest.raises(NoSuchDataset):
        job.start(small.recipe(tiny_model, dataset="nowhere"), settings, workspace)
    with pytest.raises(ModelNotFound):
        job.start(small.recipe(tiny_model / "nowhere"), settings, workspace)
    assert runs.listed(workspace) == []


def test_a_run_that_is_not_there_is_said_so(workspace: Workspace, settings: Settings) -> None:
    for ask in (job.status, job.stop, job.delete, runs.one):
        with pytest.raises(NoSuchRun):
            ask("nowhere", workspace)


def test_half_a_line_is_passed_over_and_the_next_writer_begins_a_new_one(tmp_path: Path) -> None:
    path = tmp_path / job.EVENTS
    log = EventLog(path)
    log.write("step", step=1, loss=2.0)
    with path.open("ab") as file:
        file.write('{"event": "sample", "text": "食咗'.encode()[:-1])
    found, offset = eventlog.read(path)
    assert [said["event"] for said in found] == ["step"]
    EventLog(path).write("step", step=2, loss=float("nan"))
    found, _ = eventlog.read(path, offset)
    assert [(said["step"], said["loss"]) for said in found] == [(2, None)]


def test_lines_that_are_no_events_are_passed_over(tmp_path: Path) -> None:
    path = tmp_path / job.EVENTS
    path.write_bytes(b'\n[1]\n{"event": 3}\n\xff\xfe\n{"event": "done", "time": 1}\n')
    assert [said["event"] for said in eventlog.read(path)[0]] == ["done"]


def test_steps_that_were_lost_and_learned_again_are_counted_once(
    tiny_model: Path, workspace: Workspace
) -> None:
    folder = a_run(workspace, tiny_model, status="stopped")
    log = EventLog(folder / job.EVENTS)
    log.write("ready", steps=6)
    neutral = {"english": 1.0, "written": 2.0, "code": 3.0}
    log.write("evaluation", step=0, loss=4.0, bits_per_character=8.0, forgetting=neutral)
    for step in (1, 2, 3, 4):
        log.write("step", step=step, loss=10.0 + step)
    log.write("evaluation", step=4, loss=1.0, bits_per_character=2.0, forgetting=neutral)
    log.write("sample", step=4, prompt="食咗飯未？", text="未呀", register="cantonese")
    log.write("resumed", step=2, damaged=[])
    for step in (3, 4, 5):
        log.write("step", step=step, loss=20.0 + step)
    log.write("evaluation", step=5, loss=3.0, bits_per_character=6.0, forgetting=neutral)
    curves = runs.curves(folder)
    assert curves["steps"]["step"].tolist() == [1, 2, 3, 4, 5]
    assert curves["steps"]["loss"].tolist() == [11, 12, 23, 24, 25]
    assert np.isnan(curves["steps"]["grad_norm"]).all()
    assert curves["evaluations"]["step"].tolist() == [0, 5]
    assert curves["evaluations"]["code"].tolist() == [3, 3]
    assert runs.samples(folder) == {}
    run = runs.one("first", workspace)
    assert (run.step, run.steps, run.status) == (5, 6, "stopped")
    assert run.fall == pytest.approx(0.25)


def test_a_run_whose_files_are_damaged_is_still_listed(
    tiny_model: Path, workspace: Workspace
) -> None:
    folder = a_run(workspace, tiny_model)
    (folder / job.RECIPE).write_text("trilogy_recipe: 99\n", "utf-8")
    (folder / jobs.STATE).write_text('{"status": "run', "utf-8")
    (folder / job.EVENTS).write_bytes(b"\x00\x01 nothing")
    (run,) = runs.listed(workspace)
    assert (run.status, run.recipe, run.step) == ("interrupted", None, 0)


def test_the_token_is_not_on_the_command_line_of_a_run(
    tiny_model: Path, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = Settings(workspace=workspace.root, hub_token="hf_secretsecret")
    given = jobs._environment(settings, workspace, 5)
    assert given["TRILOGY_HUB_TOKEN"] == "hf_secretsecret"
    assert json.dumps(given).count("hf_secretsecret") == 1


def test_a_trial_says_how_long_the_whole_would_take_and_leaves_nothing(
    tiny_model: Path, workspace: Workspace, settings: Settings
) -> None:
    recipe = small.recipe(tiny_model, "whole", steps=50, eval_every=20)
    work = trial.trial(recipe, settings, workspace, tiny.never())
    found = finished(work)
    assert (found.steps, found.evaluations) == (50, 4)
    assert found.tokens_per_second > 0
    assert found.seconds == pytest.approx(50 * found.step_seconds + 4 * found.evaluation_seconds)
    assert runs.listed(workspace) == []


def test_a_trial_is_not_made_beside_a_run_that_trains(
    tiny_model: Path, workspace: Workspace, settings: Settings
) -> None:
    a_run(workspace, tiny_model, "long", queued_at=1.0, status="running")
    busy = [holder(workspace.run("long") / jobs.LOCK), holder(workspace.runs / jobs.TRAINING)]
    try:
        with pytest.raises(RunBusy, match="long"):
            finished(trial.trial(small.recipe(tiny_model, "x"), settings, workspace, tiny.never()))
    finally:
        for one in busy:
            one.kill()
    assert [one.name for one in runs.listed(workspace)] == ["long"]
