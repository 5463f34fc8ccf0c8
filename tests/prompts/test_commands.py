"""The command line does what the page does: generate, read again, judge, compare, save."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.fake_gemini import FakeGemini
from tests.prompts.small import TEXT, seed_lines
from workbench.__main__ import main
from workbench.data.dataset import listed
from workbench.prompts import judging, runs
from workbench.workspace import Workspace

KEY = "canary-on-the-line"


@pytest.fixture
def line(server: FakeGemini, place: Workspace, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> Any:
    monkeypatch.setenv("GEMINI_API_KEY", KEY)

    def call(*arguments: str, code: int = 0) -> Any:
        before = ("prompts", *arguments, "--workspace", str(place.root), "--json")
        assert main(list(before)) == code
        said = capsys.readouterr()
        assert KEY not in said.out + said.err
        return json.loads(said.out) if code == 0 else said.err

    return call


@pytest.fixture
def files(tmp_path: Path, server: FakeGemini) -> Path:
    (tmp_path / "seeds.jsonl").write_bytes(seed_lines())
    text = TEXT.replace("\n", "\n    ")
    (tmp_path / "recipe.yaml").write_text(
        f"name: a\nseeds: {tmp_path}/seeds.jsonl\nrows: 30\nconcurrency: 4\n"
        f"rules: {{register: cantonese}}\n"
        f"teacher: {{kind: gemini, model: gemini-2.5-flash, base_url: '{server.address}'}}\n"
        f"prompt:\n  name: few\n  shape: numbered\n  per_request: 3\n  asked: 20\n"
        f"  template: |\n    {text}\n"
    )
    return tmp_path


def test_from_a_recipe_to_a_dataset(
    line: Any, files: Path, server: FakeGemini, place: Workspace
) -> None:
    assert "gemini-2.5-flash" in line("models", "--base-url", server.address)["models"]
    recipe = str(files / "recipe.yaml")
    made = line("generate", recipe)
    assert (made["status"], made["why"]) == ("done", "target")
    assert made["kept"] >= 30
    assert made["money"] > 0
    again = line("replay", "a", "--set", "duplicate=0.35")
    assert again["before"]["kept"] == made["kept"] >= again["after"]["kept"]

    more = ("--teacher", "gemini:gemini-2.5-flash", "--base-url", server.address)
    judged = line("judge", "a", *more, "--concurrency", "8")
    assert judged["requests"] == made["kept"]
    scores = judging.scores("a", place)
    assert len(scores) == made["kept"]
    assert all(1 <= one["score"] <= 6 for one in scores.values())
    line("judge", "a", "--threshold", "4")
    tagged = [row for row in runs.rows("a", place) if row.get("tags") == "low_score"]
    assert len(tagged) == sum(one["score"] < 4 for one in scores.values())

    line("generate", recipe, "--name", "b", "--requests", "12", "--rows", "9999")
    line("generate", recipe, "--name", "c", "--requests", "12", "--rows", "9999")
    compared = line("compare", "b", "c")
    assert compared["pairs"] == 12
    assert compared["enough"]
    assert compared["kept"]["low"] <= compared["kept"]["value"] <= compared["kept"]["high"]
    assert not line("compare", "a", "b")["enough"]

    saved = line("save", "a", "mine")
    assert saved["rows"] == made["kept"]
    assert [one.name for one in listed(place)] == ["mine"]
    assert {one["run"] for one in line("list")["runs"]} == {"a", "a-scores", "b", "c"}


def test_a_wrong_request_ends_with_two_and_one_sentence(line: Any, files: Path) -> None:
    assert "no generation run called nobody" in line("replay", "nobody", code=2)
    recipe = str(files / "recipe.yaml")
    assert "no field colour" in line("generate", recipe, "--set", "colour=red", code=2)
    assert "temperature" in line("generate", recipe, "--set", "options.temperature=9", code=2)


def test_a_wrong_key_ends_with_one(line: Any, files: Path, server: FakeGemini, capsys: Any) -> None:
    server.keys = ("another",)
    assert main(["prompts", "generate", str(files / "recipe.yaml")]) == 1
    assert "does not accept this key" in capsys.readouterr().err
    assert len({one.number for one in server.asked}) <= 4
