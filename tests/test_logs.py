"""Log lines are JSON and never hold a secret, however deep it hides."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from workbench import logs

HUB = "hf_AbCdEfGhIjKlMnOpQrStUvWxYz"
GOOGLE = "AIzaSyA1234567890abcdefghijklmnopqrs"


@pytest.mark.parametrize("style", ["json", "text"])
@pytest.mark.parametrize(
    "facts",
    [
        {"message": f"tried with {HUB}"},
        {"token": "no known form"},
        {"hub_token": HUB},
        {"settings": {"deep": {"api_key": "no known form", "list": [f"x {GOOGLE}"]}}},
        {"headers": [{"Authorization": "Basic bm8ga25vd24gZm9ybQ=="}]},
        {"header": "Authorization: Bearer no-known-form"},
        {"tried": (HUB, {"url": f"https://host/?key={GOOGLE}"})},
        {"error": ValueError(f"401 for {HUB}")},
        {"place": Path(f"/cache/{HUB}")},
        {"set": {HUB}},
        {"mapping": {HUB: 1}},
    ],
)
def test_a_secret_never_comes_out(
    style: Any, facts: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    logs.configure("INFO", style)
    logs.get("test").info("said", **facts)
    line = capsys.readouterr().err
    assert "said" in line
    for secret in (HUB, GOOGLE, "no known form", "no-known-form", "bm8ga25vd24"):
        assert secret not in line


def test_a_secret_in_a_trace_is_hidden(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("INFO", "json")
    try:
        raise ValueError(f"the Hub refused {HUB}")
    except ValueError:
        logs.get("test").exception("failed")
    line = capsys.readouterr().err
    assert HUB not in line
    assert "ValueError: the Hub refused [hidden]" in json.loads(line)["exception"]


def test_json_lines_parse_and_say_who_and_when(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("INFO", "json")
    logs.get("pool").info("loaded", model="粵語/模型", seconds=1.5)
    said = json.loads(capsys.readouterr().err)
    assert said.pop("timestamp").endswith("Z")
    assert said == {
        "event": "loaded",
        "part": "pool",
        "model": "粵語/模型",
        "seconds": 1.5,
        "level": "info",
    }


def test_a_logger_from_before_the_configuration_obeys_it(
    capsys: pytest.CaptureFixture[str],
) -> None:
    early = logs.get("models")
    logs.configure("INFO", "json")
    early.info("loaded", message=f"with {HUB}")
    out, err = capsys.readouterr()
    assert out == ""
    assert json.loads(err)["message"] == "with [hidden]"


def test_what_is_below_the_level_is_not_said(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("WARNING", "json")
    logs.get("pool").info("chatter")
    assert capsys.readouterr().err == ""


def test_nothing_goes_to_standard_output(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("INFO", "text")
    logs.get("pool").error("trouble")
    assert capsys.readouterr().out == ""
