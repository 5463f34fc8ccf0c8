"""Every kind of bad weather over real HTTP: what is asked again, what never is, how long."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest

from tests.fake_gemini import FakeGemini, Plan
from workbench.errors import (
    DayLimit,
    NoKey,
    RequestRefused,
    Stopped,
    TeacherDown,
    WrongKey,
)
from workbench.prompts.teachers import Key, Options, Reply, TeacherChoice, made
from workbench.prompts.weather import Limiter, Weather

KINDS = ["gemini", "openai"]
NEVER = threading.Event()


def teacher(server: FakeGemini, kind: str = "gemini", key: str = "good-key") -> Any:
    address = server.address if kind == "gemini" else f"{server.address}/v1"
    return made(TeacherChoice(kind, "gemini-2.5-flash", address), Key(key))


def asked(
    server: FakeGemini, kind: str = "gemini", patience: float = 3, timeout: float = 2, **more: Any
) -> tuple[Reply, list[Reply]]:
    tries: list[Reply] = []
    weather = Weather(teacher(server, kind), Limiter(0), patience)
    reply = weather.ask(
        "講句嘢。", Options(timeout=timeout, **more), None, NEVER, NEVER, lambda _n: None,
        lambda _n, one: tries.append(one),
    )  # fmt: skip
    return reply, tries


@pytest.mark.parametrize("kind", KINDS)
def test_an_answer_is_streamed_and_counted(server: FakeGemini, kind: str) -> None:
    said: list[str] = []
    server.plan(Plan(text="好天氣" * 400))
    reply = teacher(server, kind).ask("講", Options(), None, NEVER, said.append)
    assert (reply.outcome, reply.text) == ("ok", "好天氣" * 400)
    assert said[-1] == reply.text
    assert reply.tokens_in > 0 < reply.tokens_out
    assert server.paid[-1].tokens_out == reply.tokens_out


@pytest.mark.parametrize("kind", KINDS)
def test_models_are_listed(server: FakeGemini, kind: str) -> None:
    assert "gemini-2.5-flash" in teacher(server, kind).models()


@pytest.mark.parametrize(
    ("plan", "outcome"),
    [
        ("no_candidates", "empty"), ("empty", "empty"), ("blocked", "blocked"),
        ("safety", "blocked"), ("recitation", "blocked"), ("max_tokens", "truncated"),
        ("refusal", "ok"), ("english", "ok"), ("huge", "truncated"), ("cut", "cut"),
    ],
)  # fmt: skip
def test_what_may_have_been_paid_for_is_asked_once(
    server: FakeGemini, plan: str, outcome: str
) -> None:
    server.plan(plan)
    reply, tries = asked(server, timeout=10)
    assert reply.outcome == outcome
    assert len(tries) == len(server.asked) == 1


def test_a_server_that_hangs_is_left_in_time(server: FakeGemini) -> None:
    server.plan("hang")
    begun = time.monotonic()
    reply, tries = asked(server, timeout=1)
    assert (reply.outcome, len(tries)) == ("timeout", 1)
    assert time.monotonic() - begun < 3


@pytest.mark.parametrize("kind", KINDS)
def test_a_spent_minute_is_waited_for_as_long_as_the_server_says(
    server: FakeGemini, kind: str
) -> None:
    server.plan(Plan("minute", retry_after=1.5))
    begun = time.monotonic()
    reply, tries = asked(server, kind)
    assert [one.outcome for one in tries] == ["429_minute", "ok"]
    assert reply.outcome == "ok"
    assert 1.5 <= time.monotonic() - begun < 4


def test_a_spent_day_ends_it_though_it_too_names_seconds(server: FakeGemini) -> None:
    server.always = Plan("day")
    with pytest.raises(DayLimit):
        asked(server)
    assert len(server.asked) == 1


@pytest.mark.parametrize("plan", ["unavailable", "internal", "not_json"])
def test_a_server_that_fails_once_is_asked_again(server: FakeGemini, plan: str) -> None:
    server.plan(plan)
    reply, tries = asked(server)
    assert [one.outcome for one in tries] == ["5xx", "ok"]
    assert reply.text


def test_a_server_that_fails_for_ever_is_given_up_by_all_together(server: FakeGemini) -> None:
    server.always = Plan("unavailable")
    weather = Weather(teacher(server), Limiter(0), patience=2)
    ends: list[BaseException] = []

    def ask() -> None:
        try:
            weather.ask("講", Options(), None, NEVER, NEVER, lambda _n: None, lambda _n, _r: None)
        except BaseException as error:
            ends.append(error)

    begun = time.monotonic()
    threads = [threading.Thread(target=ask) for _ in range(4)]
    for one in threads:
        one.start()
    for one in threads:
        one.join(20)
    assert [type(one) for one in ends] == [TeacherDown] * 4
    assert time.monotonic() - begun < 4


def test_the_patience_of_a_run_with_its_last_try_is_below_a_minute() -> None:
    from workbench.prompts import weather

    assert weather.PATIENCE_SECONDS + 4 < 60


def test_nobody_there_is_failing_too(server: FakeGemini) -> None:
    server.stop()
    with pytest.raises(TeacherDown):
        asked(server, patience=1)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("plan", ["wrong_key", "forbidden", "key_echoed"])
def test_a_wrong_key_fails_at_once_and_is_not_said(
    server: FakeGemini, kind: str, plan: str
) -> None:
    server.always = Plan(plan)
    canary = "canary-3141592653"
    weather = Weather(teacher(server, kind, canary), Limiter(0))
    begun = time.monotonic()
    with pytest.raises(WrongKey) as caught:
        weather.ask("講", Options(), None, NEVER, NEVER, lambda _n: None, lambda _n, _r: None)
    assert time.monotonic() - begun < 2
    assert len(server.asked) == 1
    shown = "".join(map(repr, (caught.value, caught.value.facts, weather, teacher(server, kind))))
    assert canary not in shown
    assert canary not in repr(Key(canary)) + str(Key(canary))


def test_a_request_that_cannot_work_is_not_asked_again(server: FakeGemini) -> None:
    with pytest.raises(RequestRefused, match="404"):
        made(TeacherChoice("gemini", "no-such-model", server.address), Key("good")).ask(
            "講", Options(), None, NEVER, lambda _text: None
        )


def test_gemini_without_a_key_is_not_asked_at_all(server: FakeGemini) -> None:
    with pytest.raises(NoKey):
        made(TeacherChoice("gemini", "gemini-2.5-flash", server.address), Key())


def test_stop_is_heard_while_waiting_for_a_quota(server: FakeGemini) -> None:
    server.always = Plan("minute", retry_after=30)
    stop = threading.Event()
    weather = Weather(teacher(server), Limiter(0))
    threading.Timer(0.5, stop.set).start()
    begun = time.monotonic()
    with pytest.raises(Stopped):
        weather.ask("講", Options(), None, stop, stop, lambda _n: None, lambda _n, _r: None)
    assert time.monotonic() - begun < 1.5


def test_stop_is_heard_in_the_middle_of_an_answer(server: FakeGemini) -> None:
    stop = threading.Event()
    server.plan("huge")
    reply = teacher(server).ask("講", Options(), None, stop, lambda _text: stop.set())
    assert reply.outcome == "stopped"
    assert len(reply.text) < 2_000_000


def test_no_window_ever_holds_more_than_the_limit() -> None:
    limiter = Limiter(5, window=0.6)
    sent: list[float] = []
    lock = threading.Lock()

    def work() -> None:
        for _ in range(5):
            limiter.wait(NEVER)
            with lock:
                sent.append(time.monotonic())

    threads = [threading.Thread(target=work) for _ in range(4)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    sent.sort()
    assert len(sent) == 20
    # five gaps further lies another window; the clock of a loaded machine is read a bit late
    assert all(later - sooner > 0.55 for sooner, later in zip(sent, sent[5:], strict=False))


def test_what_an_earlier_process_sent_counts_too() -> None:
    now = time.time()
    assert Limiter(2, [now - 1, now - 2]).waiting() > 50
    assert Limiter(2, [now - 1, now - 100]).waiting() == 0


def test_thinking_safety_and_structure_are_asked_for(server: FakeGemini) -> None:
    options = Options(thinking=0, safety="BLOCK_NONE", structured=True, temperature=0.3)
    schema = {"type": "array", "items": {"type": "object", "properties": {
        "instruction": {"type": "string"}, "output": {"type": "string"}}}}  # fmt: skip
    teacher(server).ask("講", options, schema, NEVER, lambda _text: None)
    body = server.bodies[-1]
    config = body["generationConfig"]
    thinking = config[
        "thinkingConfig"
    ]  # the protocol takes both spellings, and clients send either
    assert thinking.get("thinkingBudget", thinking.get("thinking_budget")) == 0
    assert config["responseMimeType"] == "application/json"
    assert config["temperature"] == 0.3
    assert {one["threshold"] for one in body["safetySettings"]} == {"BLOCK_NONE"}
