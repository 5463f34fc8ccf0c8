"""``chat`` on the command line: answers with their identity, votes and conversations as files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.chat.test_arena import many
from tests.chat.test_conversation import BASE, answer
from workbench.__main__ import main
from workbench.chat import shelf
from workbench.chat.arena import Votes
from workbench.chat.conversation import Conversation
from workbench.models.fetch import locate
from workbench.models.loader import identity
from workbench.models.reference import ModelReference
from workbench.settings import Settings
from workbench.workspace import Workspace


@pytest.fixture
def said(capsys: pytest.CaptureFixture[str]) -> Any:
    def run(*arguments: str, code: int = 0) -> Any:
        assert main(["chat", *arguments, "--json"]) == code
        return json.loads(capsys.readouterr().out)

    return run


def test_base_and_tuned_answer_with_their_identity(
    said: Any, tiny_model: Path, tiny_adapter: Path, settings: Settings
) -> None:
    names = [f"file:{tiny_model}", f"file:{tiny_model}+{tiny_adapter}"]
    document = said(
        "--model", names[0], "--model", names[1], "--message", "佢哋", "--temperature", "0",
        "--max-new-tokens", "6", "--precision", "fp32", "--system", "SYS",
    )  # fmt: skip
    for name, found in zip(names, document["answers"], strict=True):
        reference = ModelReference.parse(name)
        assert found["model"] == name
        assert found["fingerprint"] == identity(locate(reference, settings))
        assert found["tuned"] is ("+" in name)
        assert "SYS" in found["received"]["text"]
    assert document["answers"][0]["text"] != document["answers"][1]["text"]


def test_a_request_that_is_wrong_is_one_line_and_2(
    capsys: pytest.CaptureFixture[str], tiny_model: Path
) -> None:
    assert main(["chat", "--message", "x"]) == 2
    assert main(["chat", "--model", f"file:{tiny_model}"]) == 2
    assert main(["chat", "--model", f"file:{tiny_model}", "--message", "x", "--strength", "2"]) == 2
    assert main(["chat", "--model", "a b", "--message", "x"]) == 2
    assert all(line for line in capsys.readouterr().err.strip().splitlines())


def test_an_adapter_that_is_not_there_is_a_failure_and_the_base_answers(
    said: Any, tiny_model: Path
) -> None:
    name = f"file:{tiny_model}"
    document = said("--model", f"{name}+file:/nowhere", "--model", name, "--message", "x",
                    "--max-new-tokens", "2", "--precision", "fp32", code=2)  # fmt: skip
    assert len(document["failures"]) == len(document["answers"]) == 1


def test_votes_and_conversations_leave_as_files(
    said: Any, settings: Settings, tmp_path: Path
) -> None:
    workspace = Workspace(settings.workspace)
    for one in many(12, 4, 0.9):
        Votes(workspace.results).add(one)
    assert said("standings")["enough"]
    assert said("votes", str(tmp_path / "votes.jsonl"))["pairs"] == 12
    assert len((tmp_path / "votes.jsonl").read_text("utf-8").splitlines()) == 12
    talk = Conversation().say("一").answered(1, [answer(BASE, "二")])
    shelf.save(talk, workspace)
    assert [one["name"] for one in said("list")["conversations"]] == [talk.name]
    said("export", talk.name, str(tmp_path / "talk.html"))
    assert "made/base" in (tmp_path / "talk.html").read_text("utf-8")
