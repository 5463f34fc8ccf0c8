"""A judge that favours what stands first is found out; what was paid for is asked once."""

from __future__ import annotations

import json
import threading
from typing import Any

import pytest

from tests.fake_gemini import FakeGemini, Plan
from tests.prompts import small
from workbench.errors import NothingKept, Stopped
from workbench.prompts import order, store
from workbench.prompts.teachers import Options, Reply
from workbench.workspace import Workspace


class Judge:
    """Scores by the number in a row, and gives what it is shown first more."""

    model = "made-up"

    def __init__(self, gain: int) -> None:
        self.gain = gain
        self.asked: list[str] = []
        self.outcome: Any = "ok"

    def ask(self, prompt: str, _options: Options, _schema: Any, _stop: Any, _said: Any) -> Reply:
        self.asked.append(prompt)
        rows = prompt.split("First row")[1].split("Second row")
        first, second = (2 + int(row.split("#")[1].split("#")[0]) % 3 for row in rows)
        figures = {"first": min(6, first + self.gain), "second": second}
        return Reply(
            self.outcome, f"```json\n{json.dumps(figures)}\n```", tokens_in=9, tokens_out=4
        )


@pytest.fixture
def run(place: Workspace) -> str:
    folder = place.prompt_run("mine")
    folder.mkdir(parents=True)
    kept = store.Appended(folder / store.ROWS)
    for number in range(50):
        turns = [
            {"role": "user", "content": f"問題 #{number}#"},
            {"role": "assistant", "content": "答案"},
        ]
        kept.write({"id": f"r{number:02}", "messages": turns})
    kept.close()
    (folder / "recipe.yaml").write_text("name: mine\n")
    return "mine"


def asked(run: str, place: Workspace, judge: Judge, stop: threading.Event | None = None) -> None:
    list(order.ask(run, place, judge, stop or threading.Event()))


@pytest.mark.parametrize(("gain", "clear"), [(0, False), (2, True)])
def test_what_stands_first_is_worth_what_the_judge_gives_for_it(
    gain: int, clear: bool, run: str, place: Workspace
) -> None:
    judge = Judge(gain)
    asked(run, place, judge)
    found = order.found(run, place)
    assert found and found.pairs == 20 and found.enough
    assert len(judge.asked) == 40
    assert found.first.value == pytest.approx(gain)
    assert found.first.is_clear is clear
    assert (found.flipped > 0) is clear


def test_stopped_it_keeps_what_was_paid_for_and_asks_for_the_rest_only(
    run: str, place: Workspace
) -> None:
    judge, stop = Judge(0), threading.Event()
    work = order.ask(run, place, judge, stop)
    for _ in range(8):
        next(work)
    stop.set()
    with pytest.raises(Stopped):
        list(work)
    assert len(judge.asked) == 7
    found = order.found(run, place)
    assert found and found.pairs == 3 and not found.enough
    asked(run, place, judge)
    assert len(judge.asked) == len(set(judge.asked)) == 40
    asked(run, place, judge)
    assert len(judge.asked) == 40


def test_a_reply_without_scores_counts_for_nothing_and_is_kept(run: str, place: Workspace) -> None:
    assert order.read('{"first": 3, "second": 6}') == (3, 6)
    assert order.read("First: 2\nSecond： 5") == (2, 5)
    for text in ("", "both are fine", '{"first": 3}', '{"first": 30, "second": 7}'):
        assert order.read(text) is None
    judge = Judge(0)
    judge.outcome = "blocked"
    asked(run, place, judge)
    assert order.found(run, place) is None
    lines = list(store.lines(place.prompt_run(run) / order.FILE))
    assert len(lines) == 40
    assert all(line["tokens_out"] == 4 for line in lines)


def test_one_row_makes_no_pair(place: Workspace) -> None:
    folder = place.prompt_run("small")
    folder.mkdir(parents=True)
    (folder / "recipe.yaml").write_text("name: small\n")
    with pytest.raises(NothingKept):
        order.pairs("small", place)


def test_the_command_line_asks_over_the_network(
    run: str, place: Workspace, server: FakeGemini, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    from workbench.__main__ import main

    monkeypatch.setenv("GEMINI_API_KEY", small.KEY.value)
    server.always = Plan(text='{"first": 5, "second": 4}')
    more = ["--teacher", "gemini:gemini-2.5-flash", "--base-url", server.address, "--json"]
    options = ["--workspace", str(place.root), *more]
    assert main(["prompts", "judge", run, "--order", *options]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["pairs"] == 20
    assert found["first"]["value"] == 1
    assert len(server.asked) == 40
