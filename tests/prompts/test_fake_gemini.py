"""The test server, driven by the real google-genai client."""

from __future__ import annotations

import concurrent.futures
import json
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import httpx2  # which google-genai prefers where it is installed
import pytest
from google import genai
from google.genai import errors, types

from tests import fake_talk, fake_troubles
from tests.fake_gemini import FakeGemini, Plan
from tests.fake_replies import MODELS, tokens
from workbench.language import register
from workbench.likeness import duplicates

MODEL = MODELS[0]
PROMPT = """Go on to 12.
###
1. Instruction: 講個笑話
1. Input: <noinput>
1. Output: 好
###
2. Instruction:"""
UNTHINKING = types.GenerateContentConfig(thinking_config=types.ThinkingConfig(thinking_budget=0))
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def server() -> Iterator[FakeGemini]:
    one = FakeGemini(keys=("good-key",)).start()
    yield one
    one.stop()


def client(server: FakeGemini, key: str = "good-key", timeout: int = 60_000, **more: Any) -> Any:
    return genai.Client(
        api_key=key,
        http_options=types.HttpOptions(base_url=server.address, timeout=timeout, **more),
    )


def ask(server: FakeGemini, config: Any = UNTHINKING, prompt: str = PROMPT, **more: Any) -> Any:
    one = client(server, **more)  # kept: it closes its connections when it is collected
    return one.models.generate_content(model=MODEL, contents=prompt, config=config)


@pytest.mark.parametrize("version", ["v1", "v1beta"])
def test_the_client_finds_every_address(server: FakeGemini, version: str) -> None:
    one = client(server, api_version=version)
    assert [model.name for model in one.models.list()] == [f"models/{name}" for name in MODELS]
    assert one.models.get(model=MODEL).input_token_limit == 1_048_576
    assert one.models.count_tokens(model=MODEL, contents="落雨大").total_tokens == tokens("落雨大")
    whole = one.models.generate_content(model=MODEL, contents=PROMPT, config=UNTHINKING)
    assert whole.candidates[0].finish_reason == types.FinishReason.STOP
    assert "12. Instruction:" in whole.text and "13. Instruction:" not in whole.text
    assert whole.text.startswith("2. Instruction:")
    assert whole.usage_metadata.prompt_token_count == tokens(PROMPT)
    assert whole.usage_metadata.candidates_token_count == tokens(whole.text)
    assert {one.path.split("/")[1] for one in server.asked} == {version}


def test_a_stream_is_the_same_answer_in_pieces(server: FakeGemini) -> None:
    server.plan(Plan(text="一" * 150))
    one = client(server)  # a stream ends when its client is collected
    pieces = list(one.models.generate_content_stream(model=MODEL, contents=PROMPT))
    assert [len(piece.text) for piece in pieces] == [60, 60, 30]
    assert [piece.candidates[0].finish_reason for piece in pieces] == [None, None, "STOP"]
    assert pieces[-1].usage_metadata.candidates_token_count == tokens("一" * 150)


def test_thoughts_are_counted_and_come_out_of_the_limit(server: FakeGemini) -> None:
    thinking = ask(server, types.GenerateContentConfig(max_output_tokens=100))
    assert thinking.usage_metadata.thoughts_token_count == 40
    assert thinking.candidates[0].finish_reason == types.FinishReason.MAX_TOKENS
    assert 40 < thinking.usage_metadata.candidates_token_count <= 60
    assert ask(server).usage_metadata.thoughts_token_count is None
    assert server.paid[0].tokens_out <= 100
    starved = ask(server, types.GenerateContentConfig(max_output_tokens=40))
    assert starved.text is None
    assert starved.candidates[0].finish_reason == types.FinishReason.MAX_TOKENS
    assert server.paid[-1].tokens_out == 40


def test_a_wrong_key_is_400_and_says_so(server: FakeGemini) -> None:
    with pytest.raises(errors.ClientError) as caught:
        ask(server, key="another")
    assert (caught.value.code, caught.value.status) == (400, "INVALID_ARGUMENT")
    assert caught.value.details["error"]["details"][0]["reason"] == "API_KEY_INVALID"
    with pytest.raises(errors.ClientError, match="API_KEY_INVALID"):
        wrong = client(server, key="another")
        list(wrong.models.list())
    server.plan("forbidden", "key_echoed")
    with pytest.raises(errors.ClientError) as caught:
        ask(server)
    assert caught.value.code == 403
    with pytest.raises(errors.ClientError, match="good-key"):
        ask(server)
    assert not server.paid
    assert "good-key" not in json.dumps([vars(one) for one in server.asked])


@pytest.mark.parametrize(("kind", "quota"), [("minute", "PerMinute"), ("day", "PerDay")])
def test_429_tells_which_quota_and_how_long(server: FakeGemini, kind: str, quota: str) -> None:
    server.plan(Plan(kind, retry_after=12.5))
    with pytest.raises(errors.ClientError) as caught:
        ask(server)
    details = {one["@type"].split(".")[-1]: one for one in caught.value.details["error"]["details"]}
    assert caught.value.code == 429
    assert quota in details["QuotaFailure"]["violations"][0]["quotaId"]
    assert details["RetryInfo"]["retryDelay"] == "12.5s"


def test_server_errors_once_and_for_ever(server: FakeGemini) -> None:
    server.plan("internal", "unavailable", "not_json")
    for code in (500, 503, 502):
        with pytest.raises(errors.ServerError) as caught:
            ask(server)
        assert caught.value.code == code
    assert ask(server).text
    server.always = Plan("unavailable")
    for _ in range(3):
        with pytest.raises(errors.ServerError):
            ask(server)
    assert Counter(one.status for one in server.asked) == {503: 4, 500: 1, 502: 1, 200: 1}


def test_a_hang_outlasts_the_timeout_and_a_cut_breaks_the_line(server: FakeGemini) -> None:
    server.plan("hang", "cut", "cut")
    one = client(server)
    began = time.monotonic()
    with pytest.raises(httpx2.TimeoutException):
        ask(server, timeout=300)
    assert time.monotonic() - began < 2
    with pytest.raises(httpx2.RemoteProtocolError):
        ask(server)
    with pytest.raises(httpx2.RemoteProtocolError):
        list(one.models.generate_content_stream(model=MODEL, contents=PROMPT))
    assert not server.paid


def test_answers_without_a_word(server: FakeGemini) -> None:
    server.plan("no_candidates", "blocked", "safety", "recitation", "empty")
    nothing, blocked, unsafe, recited, empty = (ask(server) for _ in range(5))
    assert not nothing.candidates and nothing.prompt_feedback is None
    assert blocked.prompt_feedback.block_reason == types.BlockedReason.PROHIBITED_CONTENT
    assert unsafe.candidates[0].finish_reason == types.FinishReason.SAFETY
    assert recited.candidates[0].finish_reason == types.FinishReason.RECITATION
    assert empty.candidates[0].finish_reason == types.FinishReason.STOP
    assert [one.text for one in (nothing, blocked, unsafe, recited, empty)] == [None] * 5
    assert len(server.paid) == 5  # the prompt was read, so it is paid for


def test_words_that_are_wrong(server: FakeGemini) -> None:
    server.plan(
        "written", "simplified", "english", "refusal", "max_tokens", "huge", Plan(text="好")
    )
    texts = [ask(server) for _ in range(7)]
    assert register(texts[0].text) == "written"
    assert "们" in texts[1].text and register(texts[2].text) == "other"
    assert texts[3].text == fake_talk.REFUSAL
    assert texts[4].candidates[0].finish_reason == types.FinishReason.MAX_TOKENS
    assert len(texts[5].text) > 1_900_000 and len(texts[5].text.encode()) > 2_000_000
    assert texts[6].text == "好"


SCHEMA = {
    "type": "array",
    "minItems": 4,
    "maxItems": 4,
    "items": {
        "type": "object",
        "properties": {
            "instruction": {"type": "string"},
            "score": {"type": "integer", "minimum": 1, "maximum": 6},
            "level": {"type": "string", "enum": ["易", "難"]},
        },
        "required": ["instruction", "score", "level"],
    },
}


def test_structured_output_keeps_to_the_schema(server: FakeGemini) -> None:
    wanted = types.GenerateContentConfig(
        response_mime_type="application/json", response_json_schema=SCHEMA
    )
    made = json.loads(ask(server, wanted).text)
    assert len({one["instruction"] for one in made}) == 4
    assert all(set(one) == {"instruction", "score", "level"} for one in made)
    assert all(1 <= one["score"] <= 6 and one["level"] in "易難" for one in made)
    native = types.GenerateContentConfig(
        response_mime_type="application/json",
        response_schema={"type": "OBJECT", "properties": {"output": {"type": "STRING"}}},
    )
    assert list(json.loads(ask(server, native).text)) == ["output"]
    server.plan("half")
    with pytest.raises(json.JSONDecodeError):
        json.loads(ask(server, wanted).text)


def test_the_other_protocol(server: FakeGemini) -> None:
    headers = {"Authorization": "Bearer good-key"}
    with httpx.Client(base_url=f"{server.address}/v1", headers=headers) as one:
        assert [model["id"] for model in one.get("models").json()["data"]] == list(MODELS)
        asked: dict[str, Any] = {"model": "any", "messages": [{"role": "user", "content": PROMPT}]}
        whole = one.post("chat/completions", json=asked).json()
        assert whole["choices"][0]["message"]["content"].startswith("2. Instruction:")
        assert whole["usage"]["prompt_tokens"] == tokens(PROMPT)
        server.plan(Plan(text="一" * 70))
        with one.stream("POST", "chat/completions", json={**asked, "stream": True}) as flow:
            lines = [line for line in flow.iter_lines() if line]
        assert lines[-1] == "data: [DONE]"
        pieces = [json.loads(line[6:])["choices"][0]["delta"] for line in lines[:-1]]
        assert "".join(piece.get("content", "") for piece in pieces) == "一" * 70
        schema = {"type": "json_schema", "json_schema": {"name": "x", "schema": SCHEMA}}
        made = one.post("chat/completions", json={**asked, "response_format": schema}).json()
        assert len(json.loads(made["choices"][0]["message"]["content"])) == 4
        server.plan("minute")
        refused = one.post("chat/completions", json=asked)
        assert (refused.status_code, refused.headers["Retry-After"]) == (429, "1")
        wrong = one.post("chat/completions", json=asked, headers={"Authorization": "Bearer x"})
        assert wrong.status_code == 400


def test_the_limit_a_minute_is_kept_and_says_when_to_come_back(server: FakeGemini) -> None:
    server.requests_per_minute, server.minute = 3, 3
    for _ in range(3):
        ask(server)
    with pytest.raises(errors.ClientError, match="PerMinute") as caught:
        ask(server)
    wait = caught.value.details["error"]["details"][-1]["retryDelay"]
    assert 0 < float(wait.removesuffix("s")) <= 3
    time.sleep(float(wait.removesuffix("s")) + 0.02)
    assert ask(server).text
    assert server.most_per_minute <= 4
    server.requests_per_minute, server.requests_per_day = 0, 4
    with pytest.raises(errors.ClientError, match="PerDay"):
        ask(server)


def test_the_log_knows_what_was_paid_and_what_was_paid_twice(
    server: FakeGemini, tmp_path: Path
) -> None:
    server.log_file = tmp_path / "log.jsonl"
    server.plan("ok", "unavailable", "ok", "ok")
    ask(server, prompt="一")
    with pytest.raises(errors.ServerError):
        ask(server, prompt="二")
    assert len(server.paid) == 1 and not server.paid_twice()
    ask(server, prompt="二")
    ask(server, prompt="一")
    assert server.paid_twice() == [server.paid[0].body]
    kept = [json.loads(line) for line in server.log_file.read_text().splitlines()]
    assert [one["paid"] for one in kept] == [True, False, True, True]
    assert httpx.get(f"{server.address}/log").json() == kept


def test_who_hangs_up_does_not_pay(server: FakeGemini) -> None:
    server.plan(Plan(delay=1.5))
    with pytest.raises(httpx2.TimeoutException):
        ask(server, timeout=200)
    until = time.monotonic() + 5
    while not server.asked and time.monotonic() < until:
        time.sleep(0.02)
    assert server.asked[0].status == 0 and not server.paid


def test_faults_come_as_often_as_asked_and_eight_at_once_are_served(server: FakeGemini) -> None:
    server.faults, server.delay, server.hang = 0.3, 0.05, 0.05
    one = client(server)

    def call(number: int) -> str:
        try:
            one.models.generate_content(model=MODEL, contents=f"{number}", config=UNTHINKING)
        except Exception as error:
            return type(error).__name__
        return "answered"

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        list(pool.map(call, range(160)))
    kinds = Counter(asked.kind for asked in server.asked)
    assert 160 * 0.18 < 160 - kinds["ok"] < 160 * 0.42
    assert len(set(kinds) & set(fake_troubles.AT_RANDOM)) >= 10
    assert len({asked.number for asked in server.asked}) == 160


def test_thousands_of_tasks_differ_and_are_cantonese() -> None:
    made = [fake_talk.task(number) for number in range(3000)]
    search = duplicates.near([one["instruction"] for one in made], floor=0.6)
    while True:
        try:
            next(search)
        except StopIteration as done:
            assert not len(done.value.left)
            break
    labels = Counter(register(one["instruction"] + one["output"]) for one in made)
    assert labels["cantonese"] > 0.97 * len(made)


def test_by_hand_it_says_how_to_reach_it(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "tests.fake_gemini", "--port", "0", "--delay-ms", "0"],
        stdout=subprocess.PIPE, text=True, cwd=ROOT,
    ) as child:  # fmt: skip
        try:
            assert child.stdout is not None
            address = child.stdout.readline().split()[-1]
            assert httpx.get(f"{address}/v1/models", headers={"x-goog-api-key": "k"}).is_success
        finally:
            child.terminate()
