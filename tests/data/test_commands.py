"""Every verb of ``data``: one document on stdout, one sentence on stderr, honest exit codes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.data.desk import PAIRS
from tests.fake_hub import FakeHub
from workbench.__main__ import main

ROOT = Path(__file__).resolve().parents[2]
Said = pytest.CaptureFixture[str]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    rows = [
        {"instruction": asked, "input": "", "output": said, "score": number}
        for number, (asked, said) in enumerate(PAIRS)
    ]
    rows += [rows[0], {"instruction": "無答案", "input": "", "output": "", "score": 9}]
    rows += [{"instruction": "你叫咩名", "input": "", "output": "我叫{{name}}", "score": 10}]
    path = tmp_path / "種子.jsonl"
    path.write_text("".join(json.dumps(one, ensure_ascii=False) + "\n" for one in rows), "utf-8")
    return path


def data(capsys: Said, *arguments: str, code: int = 0) -> Any:
    """Run a verb with ``--json``; its one document."""
    capsys.readouterr()
    assert main(["data", *arguments, "--json"]) == code
    return json.loads(capsys.readouterr().out)


def told(capsys: Said, *arguments: str) -> str:
    """Run a verb for people; what it says."""
    capsys.readouterr()
    assert main(["data", *arguments]) == 0
    out, _ = capsys.readouterr()
    with pytest.raises(ValueError, match=r".*"):
        json.loads(out)
    return out


def refused(capsys: Said, *arguments: str, code: int = 2) -> str:
    """Run a verb that cannot be done; its one sentence."""
    capsys.readouterr()
    assert main(["data", *arguments]) == code
    out, err = capsys.readouterr()
    assert out == ""
    sentences = [line for line in err.splitlines() if line.strip()]
    assert "Traceback" not in err
    return sentences[-1]


@pytest.fixture
def desk(file: Path, capsys: Said) -> str:
    assert data(capsys, "import", str(file), "--name", "desk")["rows"] == 11
    return "desk"


def test_a_file_comes_in_is_listed_and_described(file: Path, capsys: Said) -> None:
    assert data(capsys, "list") == {"datasets": []}
    assert "no dataset yet" in told(capsys, "list")
    seen = data(capsys, "info", str(file))["files"]
    assert (seen[0]["format"], seen[0]["kind"]) == ("alpaca", "jsonl")
    assert seen[0]["first"][0]["instruction"] == PAIRS[0][0]
    assert "alpaca" in told(capsys, "info", str(file))
    made = data(capsys, "import", str(file), "--name", "desk")
    assert (made["rows"], made["bad"], made["source"]["name"]) == (11, [], file.name)
    listed = data(capsys, "list")["datasets"]
    assert [(one["name"], one["kept"]) for one in listed] == [("desk", 11)]
    shown = data(capsys, "info", "desk")
    assert shown["sources"] == {file.name: 11}
    assert "score" in shown["columns"]
    assert "11 of 11" in told(capsys, "info", "desk")


def test_bad_rows_are_named_or_left_out(file: Path, capsys: Said) -> None:
    with file.open("a", encoding="utf-8") as more:
        more.write('{"instruction": 5\n')
    said = refused(capsys, "import", str(file), "--name", "desk")
    assert "line 12" in said
    made = data(capsys, "import", str(file), "--name", "desk", "--skip-bad")
    assert made["bad"][0]["line"] == 12
    assert "1 bad rows left out" in told(
        capsys, "import", str(file), "--name", "again", "--skip-bad"
    )


def test_fields_can_be_named(tmp_path: Path, capsys: Said) -> None:
    path = tmp_path / "own.jsonl"
    path.write_text('{"ask": "點解？", "reply": "因為係"}\n', "utf-8")
    assert "fit no format" in refused(capsys, "import", str(path), "--name", "own")
    fields = ["--format", "qa", "--field", "question=ask", "--field", "answer=reply"]
    assert data(capsys, "import", str(path), "--name", "own", *fields)["rows"] == 1
    assert "NAME=VALUE" in refused(
        capsys, "import", str(path), "--name", "x", "--format", "qa", "--field", "ask"
    )


def test_corpora_come_in_by_name(capsys: Said) -> None:
    made = data(capsys, "import", "corpus:identity", "--name", "me", "--value", "name=三步")
    assert made["source"]["values"] == {"name": "三步"}
    asked = ["import", "corpus:hkcancor", "--name", "speech", "--form", "dialogues"]
    assert "58 rows" in told(capsys, *asked)
    assert "no corpus" in refused(capsys, "import", "corpus:x", "--name", "x")


def test_a_hub_dataset_that_is_not_there_is_one_sentence(hub: FakeHub, capsys: Said) -> None:
    assert "a/b" in refused(capsys, "import", "hub:a/b", "--name", "x")
    assert "OWNER/NAME" in refused(capsys, "import", "hub:", "--name", "x")


@pytest.mark.parametrize("form", ["messages", "sharegpt", "qa", "csv", "parquet"])
def test_a_file_is_converted_without_a_dataset(
    form: str, file: Path, tmp_path: Path, capsys: Said
) -> None:
    suffix = form if form in ("csv", "parquet") else "jsonl"
    out = tmp_path / f"out.{suffix}"
    made = data(capsys, "convert", str(file), str(out), "--to", form)
    assert made["rows"] == 11
    assert (made["path"], made["bytes"]) == (str(out), out.stat().st_size)
    assert data(capsys, "list") == {"datasets": []}
    assert data(capsys, "info", str(out))["files"][0]["format"] is not None


def test_rows_are_checked_filtered_and_made_unique(desk: str, capsys: Said) -> None:
    made = data(capsys, "clean", desk)
    assert made["tags"]["empty_answer"] == 1
    assert made["tags"]["unfilled"] == 1
    assert data(capsys, "undo", desk) == {"undone": "check", "kept": 11}
    narrow = ["--check", "length", "--drop", "length", "--min", "30", "--max", "2000"]
    assert "length" in data(capsys, "clean", desk, *narrow)["tags"]
    data(capsys, "undo", desk)
    assert data(capsys, "dedup", desk, "--method", "exact")["kept"] == 10
    assert data(capsys, "filter", desk, "--where", "score < 9")["kept"] == 8
    assert data(capsys, "filter", desk, "--search", "食")["kept"] == 1
    assert "kept" in told(capsys, "dedup", desk, "--threshold", "0.7", "--rule", "first")
    assert [one["kind"] for one in data(capsys, "steps", desk)["steps"]] == [
        *("duplicates", "filter", "filter", "duplicates"),
    ]


def test_rows_are_labelled_filled_decided_and_split(desk: str, capsys: Said) -> None:
    assert data(capsys, "fill", desk, "--value", "name=三步")["touched"] == 1
    label = [
        "--row",
        "2",
        "--rating",
        "5",
        "--task",
        "chat",
        "--answer",
        "好啲",
        "--annotator",
        "明",
    ]
    assert data(capsys, "label", desk, *label)["touched"] == 1
    assert data(capsys, "label", desk, "--registers")["kind"] == "registers"
    assert data(capsys, "decide", desk, "drop", "--row", "0", "--row", "1")["kept"] == 9
    assert data(capsys, "decide", desk, "keep", "--where", "score = 0")["kept"] == 10
    shares = ["--part-of", "train=0.5", "--part-of", "test=0.5", "--seed", "1"]
    assert sum(data(capsys, "split", desk, *shares)["split"].values()) == 10
    assert "train" in told(capsys, "split", desk)


def test_a_check_is_switched_off_and_on(desk: str, capsys: Said) -> None:
    data(capsys, "clean", desk)
    before = data(capsys, "info", desk)["kept"]
    after = data(capsys, "switch", desk, "1", "off", "--check", "empty_answer")["kept"]
    assert after == before + 1
    assert data(capsys, "switch", desk, "1", "off")["kept"] == 11
    assert data(capsys, "switch", desk, "1", "on")["kept"] == after
    assert "step 7" in refused(capsys, "switch", desk, "7", "off")


def test_what_another_has_is_left_out(desk: str, file: Path, capsys: Said) -> None:
    data(capsys, "import", str(file), "--name", "test")
    data(capsys, "filter", "test", "--where", "score < 3")
    made = data(capsys, "overlap", desk, "--with", "test", "--method", "exact")
    assert made["kept"] == 7


def test_datasets_are_mixed_saved_written_and_deleted(
    desk: str, file: Path, tmp_path: Path, capsys: Said
) -> None:
    data(capsys, "import", str(file), "--name", "other")
    asked = ["mix", "both", "--from", "desk:0.5", "--from", "other:0.5", "--total", "6"]
    assert data(capsys, *asked, "--seed", "3")["rows"] == 6
    counts = ["mix", "few", "--from", "desk", "--from", "other", "--count", "desk=2"]
    assert data(capsys, *counts)["rows"] == 13
    data(capsys, "filter", desk, "--where", "score < 5")
    assert data(capsys, "save", desk, "clean")["rows"] == 6
    out = tmp_path / "out.jsonl"
    made = data(capsys, "export", "clean", str(out), "--to", "alpaca")
    assert (made["rows"], len(out.read_text("utf-8").splitlines())) == (6, 6)
    assert "sha256" in told(capsys, "export", "clean", str(out))
    assert data(capsys, "delete", "few", "--yes") == {"deleted": "few"}
    names = [one["name"] for one in data(capsys, "list")["datasets"]]
    assert names == ["both", "clean", "desk", "other"]


def test_a_recipe_is_done_again(desk: str, file: Path, tmp_path: Path, capsys: Said) -> None:
    data(capsys, "dedup", desk, "--method", "exact")
    data(capsys, "save", desk, "clean")
    folder = tmp_path / "workspace" / "datasets" / "clean"
    asked = ["replay", str(folder), "--input", str(file), "--name", "again"]
    made = data(capsys, *asked)
    assert (made["same"], made["rows"]) == (True, 10)
    assert "the same bytes" in told(
        capsys, "replay", str(folder / "dataset.json"), "--input", str(tmp_path), "--name", "b"
    )
    said = refused(capsys, "replay", str(folder), "--name", "c")
    assert file.name in said
    document = json.loads((folder / "dataset.json").read_text("utf-8"))
    document["sha256"] = "00"
    (tmp_path / "changed.json").write_text(json.dumps(document))
    changed = ["replay", str(tmp_path / "changed.json"), "--input", str(file), "--name", "d"]
    assert data(capsys, *changed, code=1)["same"] is False
    assert "not a recipe" in refused(capsys, "replay", str(file), "--name", "e")


def test_a_push_that_the_hub_refuses_is_one_sentence(desk: str, hub: FakeHub, capsys: Said) -> None:
    hub.broken = 403
    assert "owner/name" in refused(capsys, "push", desk, "owner/name")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["info", "nothing"], "no dataset called nothing"),
        (["clean", "nothing"], "no dataset called nothing"),
        (["clean", "desk", "--check", "mood"], "no check called mood"),
        (["clean", "desk", "--expect", "klingon"], "not a register"),
        (["dedup", "desk", "--threshold", "7"], "threshold"),
        (["overlap", "desk", "--with", "nothing"], "no dataset called nothing"),
        (["filter", "desk"], "filter is empty"),
        (["filter", "desk", "--where", "mood = 1"], "filter cannot be used"),
        (["label", "desk"], "no row is named"),
        (["label", "desk", "--row", "99", "--rating", "1"], "no row number 99"),
        (["label", "desk", "--row", "0", "--rating", "9"], "between 1 and 5"),
        (["decide", "desk", "drop"], "no row is named"),
        (["fill", "desk"], "no value"),
        (["fill", "desk", "--value", "x"], "NAME=VALUE"),
        (["split", "desk", "--part-of", "train=most"], "not a number"),
        (["split", "desk", "--part-of", "train=1", "--seed", "-1"], "seed"),
        (["undo", "desk"], "no step to undo"),
        (["mix", "m", "--from", "desk:lots"], "no number"),
        (["mix", "m", "--from", "desk:nan"], "share of desk"),
        (["mix", "m", "--from", "desk", "--count", "other=3"], "other"),
        (["mix", "m", "--from", "desk", "--from", "desk"], "twice"),
        (["mix", "desk", "--from", "desk"], "already a dataset"),
        (["save", "desk", "a/b"], "cannot be a name"),
        (["export", "desk", "x.jsonl", "--split", "train"], "not split"),
        (["delete", "nothing", "--yes"], "no dataset called nothing"),
        (["replay", "no-such.json", "--name", "x"], "not a recipe"),
        (["import", "no-such.jsonl", "--name", "x"], "no file called no-such.jsonl"),
        (["import", ".", "--name", "x"], "folder"),
        (["convert", "no-such.jsonl", "out.jsonl", "--to", "qa"], "no file called"),
    ],
)
def test_a_wrong_request_is_one_sentence_and_exit_2(
    arguments: list[str], words: str, desk: str, capsys: Said
) -> None:
    assert words in refused(capsys, *arguments)
    assert [one["steps"] for one in data(capsys, "list")["datasets"]] == [0]


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["sing"],
        ["import", "x"],
        ["delete", "desk"],
        ["mix", "m"],
        ["import", "x", "--name", "y", "--format", "parquet"],
        ["export", "desk", "x", "--to", "docx"],
    ],
)
def test_a_misspelt_command_is_exit_2(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["data", *arguments])
    assert caught.value.code == 2


# As a program


def program(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "workbench", "data", *arguments]
    return subprocess.run(
        command, cwd=ROOT, env={**os.environ}, capture_output=True, text=True, check=False
    )


def test_progress_goes_to_standard_error_and_the_document_to_standard_out(
    file: Path, tmp_path: Path
) -> None:
    workspace = ["--workspace", str(tmp_path / "mine")]
    made = program("import", str(file), "--name", "desk", "--json", *workspace)
    assert made.returncode == 0, made.stderr
    assert json.loads(made.stdout)["rows"] == 11
    assert "read" in made.stderr
    assert (tmp_path / "mine" / "datasets" / "desk" / "data.parquet").is_file()
    wrong = program("filter", "desk", "--where", "true) OR (SELECT true", *workspace)
    assert (wrong.returncode, wrong.stdout) == (2, "")
    assert len(wrong.stderr.strip().splitlines()) == 1
