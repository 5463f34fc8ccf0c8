"""Results are found again by what decided them, and leave the house safely."""

from __future__ import annotations

import csv
import io
import json
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from workbench.compare.history import History, Identity, Stored, export, versions
from workbench.errors import UnknownResult

ONE = Identity(
    kind="perplexity",
    model="bundled:gemma-3-270m",
    adapter=None,
    fingerprint="abc",
    precision="bf16",
    device="cpu",
    text_name="cantonese.jsonl",
    text_sha256="f00",
    options={"context": 1024, "stride": None},
)
RESULT = {"nll_nats": 12.5, "document_nll": [1.5, 11.0], "note": "好"}


@pytest.fixture
def history(tmp_path: Path) -> History:
    return History(tmp_path / "deep" / "results.sqlite")


def found(history: History, words: str = "", **more: Any) -> list[str]:
    return [row.identity.model for row in history.search(words, **more)]


def test_what_was_added_is_found(history: History) -> None:
    number = history.add(ONE, RESULT)
    row = history.find(ONE)
    assert row is not None
    assert (row.number, row.identity, row.result) == (number, ONE, RESULT)
    assert row.versions == versions()
    assert history.get(number) == row


def test_the_newest_of_the_same_request_is_found_and_the_older_stays(history: History) -> None:
    first = history.add(ONE, RESULT)
    second = history.add(ONE, {"nll_nats": 13.0})
    row = history.find(ONE)
    assert row is not None
    assert (row.number, row.result) == (second, {"nll_nats": 13.0})
    assert history.get(first).result == RESULT


@pytest.mark.parametrize(
    "change",
    [
        {"kind": "continuation"},
        {"fingerprint": "abd"},
        {"precision": "nf4"},
        {"device": "cuda"},
        {"text_sha256": "f01"},
        {"options": {"context": 512, "stride": None}},
        {"options": {"context": 1024, "stride": 1}},
    ],
)
def test_whatever_decides_a_result_is_part_of_its_key(
    history: History, change: dict[str, Any]
) -> None:
    history.add(ONE, RESULT)
    assert history.find(replace(ONE, **change)) is None


@pytest.mark.parametrize(
    "change",
    [
        {"text_name": "renamed.jsonl"},
        {"model": "file:/the/same/weights"},
        {"adapter": "the same run elsewhere"},
        {"options": {"stride": None, "context": 1024}},
    ],
)
def test_names_are_not_part_of_the_key(history: History, change: dict[str, Any]) -> None:
    history.add(ONE, RESULT)
    assert history.find(replace(ONE, **change)) is not None


def test_versions_name_what_can_change_a_figure() -> None:
    assert {"torch", "transformers", "bitsandbytes", "peft", "method"} == set(versions())


def test_a_number_that_is_not_there(history: History) -> None:
    with pytest.raises(UnknownResult, match="number 7"):
        history.get(7)


def test_search_wants_every_word_somewhere_and_shows_the_newest_first(history: History) -> None:
    history.add(replace(ONE, model="a/Qwen"), RESULT)
    history.add(replace(ONE, model="b/Llama", text_name="粵語.txt"), RESULT)
    history.add(replace(ONE, model="c/Llama", adapter="run-1", kind="continuation"), RESULT)
    assert found(history) == ["c/Llama", "b/Llama", "a/Qwen"]
    assert found(history, "llama") == ["c/Llama", "b/Llama"]
    assert found(history, "粵語") == ["b/Llama"]
    assert found(history, "llama bf16 run-1") == ["c/Llama"]
    assert found(history, "llama qwen") == []
    assert found(history, kind="continuation") == ["c/Llama"]
    assert found(history, most=1) == ["c/Llama"]


@pytest.mark.parametrize("word", ["%", "_", "!", "100%", "a_b", "'", '"; DROP TABLE results; --'])
def test_signs_in_a_search_mean_themselves(history: History, word: str) -> None:
    history.add(ONE, RESULT)
    assert found(history, word) == []
    history.add(replace(ONE, text_name=f"x{word}y"), RESULT)
    assert len(found(history, word)) == 1


def test_deleted_is_gone_and_the_rest_stays(history: History) -> None:
    numbers = [history.add(ONE, {"at": at}) for at in range(3)]
    assert history.delete([numbers[0], numbers[2], 99]) == 2
    assert [row.number for row in history.search()] == [numbers[1]]
    assert history.delete([]) == 0
    assert history.add(ONE, RESULT) not in numbers


def test_many_threads_and_a_second_history_write_at_once(history: History) -> None:
    trouble: list[BaseException] = []

    def write(own: History, at: int) -> None:
        try:
            for turn in range(10):
                own.add(replace(ONE, fingerprint=f"{at}-{turn}"), RESULT)
                assert own.find(replace(ONE, fingerprint=f"{at}-{turn}"))
        except BaseException as error:
            trouble.append(error)

    threads = [
        threading.Thread(target=write, args=(owner, at))
        for at, owner in enumerate([history, History(history.path)] * 4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert trouble == []
    assert len(history.search(most=1000)) == 80


def test_json_holds_everything(history: History) -> None:
    history.add(ONE, RESULT)
    document = json.loads(export(history.search(), "json"))
    assert document[0]["result"] == RESULT
    assert document[0]["identity"]["fingerprint"] == "abc"
    assert document[0]["versions"] == versions()


def read(rows: list[Stored]) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(export(rows, "csv"))))


def test_csv_holds_single_values_and_what_is_needed_to_repeat_them(history: History) -> None:
    history.add(ONE, RESULT)
    history.add(replace(ONE, kind="continuation", adapter="run"), {"prompt": 'a,\n"b"'})
    second, first = read(history.search())
    assert (first["nll_nats"], first["note"], first["precision"]) == ("12.5", "好", "bf16")
    assert json.loads(first["options"]) == ONE.options
    assert (first["fingerprint"], first["text_sha256"]) == ("abc", "f00")
    assert second["prompt"] == 'a,\n"b"'
    assert second["model"] == "bundled:gemma-3-270m+run"
    assert "document_nll" not in first


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r"])
def test_a_cell_that_looks_like_a_formula_is_disarmed(history: History, start: str) -> None:
    evil = f"{start}cmd|'/c calc'!A1"
    history.add(replace(ONE, text_name=evil, model=evil), {"prompt": evil, "value": -1.5})
    row = read(history.search())[0]
    for cell in (row["text"], row["model"], row["prompt"]):
        assert cell.startswith("'")
    assert row["value"] == "-1.5"


def test_markdown_is_one_table_whatever_is_in_the_cells(history: History) -> None:
    history.add(replace(ONE, text_name="a|b\nc"), RESULT)
    history.add(ONE, {"other": 1})
    lines = export(history.search(), "md").splitlines()
    assert len(lines) == 4
    assert len({line.replace("\\|", "").count("|") for line in lines}) == 1


def test_an_empty_history_can_be_exported(history: History) -> None:
    assert json.loads(export([], "json")) == []
    assert read([]) == []
    assert history.search() == []
