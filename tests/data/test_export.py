"""What is written can be read again, the same bytes each time, and never half of it."""

from __future__ import annotations

import csv
import hashlib
import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.data import strategies as rows
from workbench.data.export import FORMULA, Form, Written, disarm, rearm, write
from workbench.data.formats.columnar import choose_columns
from workbench.data.formats.convert import DEFAULTS, Mapping, detect, group_text, to_examples
from workbench.data.publish import card, push_to_hub
from workbench.data.rows import Example, Message, examples_of, table_of
from workbench.errors import CannotExport, DatasetUnavailable, HubUnreachable, Stopped
from workbench.events import Progress

many = settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
    database=None,
)
JSON_FORMS = [
    form for form in get_args(Form) if form not in ("parquet", "csv", "text", "text-jsonl")
]


def table(examples: list[Example]) -> pa.Table:
    return table_of(examples, choose_columns(examples))


def written(
    made: pa.Table,
    path: Path,
    form: Form,
    keep: list[int] | None = None,
    stop: threading.Event | None = None,
    mapping: Mapping | None = None,
    heard: Callable[[Progress], None] = lambda _: None,
) -> Written:
    chosen = np.arange(made.num_rows) if keep is None else np.array(keep, np.int64)
    work = write(made, chosen, path, form, stop or threading.Event(), mapping)
    while True:
        try:
            heard(next(work))
        except StopIteration as done:
            assert isinstance(done.value, Written)
            return done.value


def lines(path: Path) -> list[Any]:
    return [json.loads(line) for line in path.read_bytes().split(b"\n") if line]


def chat(said: str, **more: Any) -> Example:
    return Example((Message("user", said), Message("assistant", f"{said}，係呀")), **more)


CHATS = [chat(said, id=said, columns={"n": n}) for n, said in enumerate("甲乙丙丁戊")]


PAIR = Example(
    (Message("user", "講"),),
    chosen=(Message("assistant", "係"),),
    rejected=(Message("assistant", "是"),),
)


@many
@given(st.lists(rows.anything(), max_size=4))
def test_messages_and_back_lose_nothing(tmp_path: Path, examples: list[Example]) -> None:
    made = table(examples)
    path = tmp_path / "out.jsonl"
    written(made, path, "messages")
    mapping = DEFAULTS["messages"]
    back = [
        one
        for record, example in zip(lines(path), examples, strict=True)
        for one in to_examples(record, mapping, example.source)
    ]
    assert back == examples


@many
@given(st.lists(rows.anything(), max_size=4))
def test_parquet_and_back_is_the_same_table(tmp_path: Path, examples: list[Example]) -> None:
    made = table(examples)
    path = tmp_path / "out.parquet"
    written(made, path, "parquet")
    assert pq.read_table(path) == made


@many
@given(st.lists(rows.alpaca(), min_size=1, max_size=4))
def test_csv_and_back_keeps_the_words_with_formulas_disarmed(
    tmp_path: Path, examples: list[Example]
) -> None:
    path = tmp_path / "out.csv"
    written(table(examples), path, "csv")
    with path.open(encoding="utf-8-sig", newline="") as file:
        cells = [list(row) for row in csv.reader(file)]
    running = [cell for row in cells for cell in row if FORMULA.match(cell)]
    assert all(cell.startswith("'") or is_number(cell) for cell in running)
    names = [rearm(cell) for cell in cells[0]]
    fields = {part: part for part in ("instruction", "input", "output", "system", "history")}
    for row, example in zip(cells[1:], examples, strict=True):
        record = {name: rearm(cell) for name, cell in zip(names, row, strict=True) if cell}
        read = to_examples({"output": "", "instruction": "", **record}, Mapping("alpaca", fields))
        assert read[0].messages == example.messages
        assert read[0].input == example.input
        assert read[0].id == example.id


def is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


@many
@given(rows.texts)
def test_a_cell_is_never_a_formula_and_comes_back(text: str) -> None:
    assert rearm(disarm(text)) == text
    assert not disarm(text).startswith(tuple("=+-@\t\r＝＋－＠"))


def test_csv_says_that_it_is_utf8(tmp_path: Path) -> None:
    path = tmp_path / "out.csv"
    written(table(CHATS), path, "csv")
    raw = path.read_bytes()
    assert raw.startswith(b"\xef\xbb\xbf")
    assert raw.count(b"\xef\xbb\xbf") == 1
    assert raw.decode("utf-8-sig").splitlines()[0] == "instruction,input,output,id,n"


def test_csv_has_two_answers_or_texts_where_the_rows_have(tmp_path: Path) -> None:
    written(table([PAIR]), tmp_path / "pair.csv", "csv")
    written(table([Example((Message("text", "一段"),))]), tmp_path / "text.csv", "csv")
    heads = [
        (tmp_path / name).read_text("utf-8-sig").splitlines()[0]
        for name in ("pair.csv", "text.csv")
    ]
    assert heads == ["instruction,input,chosen,rejected", "text"]


@pytest.mark.parametrize("form", JSON_FORMS)
def test_every_form_is_detected_as_itself(tmp_path: Path, form: Any) -> None:
    examples = [PAIR] * 3 if form == "preference" else CHATS
    if form == "tools":
        examples = [chat("天氣", tools='[{"name":"weather"}]')]
    for name in ("out.jsonl", "out.json"):
        path = tmp_path / name
        written(table(examples), path, form)
        found = json.loads(path.read_bytes()) if path.suffix == ".json" else lines(path)
        mapping = detect(found)
        assert mapping.format == form
        assert [one for record in found for one in to_examples(record, mapping)] == examples


def test_seeds_are_put_together_again(tmp_path: Path) -> None:
    record = {
        "id": "seed",
        "instruction": "打招呼",
        "instances": [{"input": "朝早", "output": "早晨"}, {"input": "夜晚", "output": "早唞"}],
    }
    examples = to_examples(record, DEFAULTS["seeds"])
    written(table(examples), tmp_path / "out.json", "seeds")
    assert json.loads((tmp_path / "out.json").read_bytes()) == [record]


@many
@given(st.lists(rows.texts.filter(str.strip), min_size=1, max_size=5))
def test_plain_text_comes_back_or_is_refused(tmp_path: Path, texts: list[str]) -> None:
    path = tmp_path / "out.txt"
    made = table([Example((Message("text", text),)) for text in texts])
    try:
        written(made, path, "text")
    except CannotExport:
        assert any("\n" in text or "\r" in text or "# " in text for text in texts)
        return
    found = enumerate(path.read_bytes().decode().split("\n"), 1)
    assert [text for _, text in group_text(found, Mapping("text", {}))] == texts


def test_texts_can_be_json_lines(tmp_path: Path) -> None:
    written(table([Example((Message("text", "一\n\n二"),))]), tmp_path / "a.jsonl", "text-jsonl")
    assert lines(tmp_path / "a.jsonl") == [{"text": "一\n\n二"}]


@pytest.mark.parametrize("form", ["parquet", "messages", "csv"])
def test_the_same_rows_give_the_same_bytes(tmp_path: Path, form: Any) -> None:
    made = table(CHATS * 700)
    pieces = pa.concat_tables([made.slice(0, 1), made.slice(1, 2300), made.slice(2301)])
    first = written(made, tmp_path / "a", form)
    second = written(pieces, tmp_path / "b", form)
    assert (first.sha256, first.bytes) == (second.sha256, second.bytes)
    raw = (tmp_path / "a").read_bytes()
    assert first.sha256 == hashlib.sha256(raw).hexdigest()
    assert (first.rows, first.bytes) == (3500, len(raw))


@pytest.mark.parametrize("keep", [[4, 0, 2, 2], [1], [], [3, 4]])
def test_only_the_kept_rows_are_written_in_their_order(tmp_path: Path, keep: list[int]) -> None:
    written(table(CHATS), tmp_path / "a.parquet", "parquet", keep)
    written(table(CHATS), tmp_path / "a.jsonl", "messages", keep)
    written(table(CHATS), tmp_path / "a.json", "alpaca", keep)
    expected = [CHATS[row] for row in keep]
    assert list(examples_of(pq.read_table(tmp_path / "a.parquet"))) == expected
    assert [record["n"] for record in lines(tmp_path / "a.jsonl")] == keep
    assert [record["n"] for record in json.loads((tmp_path / "a.json").read_bytes())] == keep


@pytest.mark.parametrize("form", ["qa", "csv", "text", "preference"])
def test_a_row_that_does_not_fit_is_named_and_the_old_file_stays(tmp_path: Path, form: Any) -> None:
    long = Example(CHATS[0].messages * 2)
    odd = Example((Message("tool", "晴"),)) if form == "csv" else long
    path = tmp_path / "out"
    path.write_bytes(b"old")
    with pytest.raises(CannotExport) as error:
        written(table([*CHATS, odd]), path, form, [5])
    assert error.value.facts["row"] == 5
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_stopping_leaves_the_old_file(tmp_path: Path) -> None:
    path, stop = tmp_path / "out", threading.Event()
    path.write_bytes(b"old")
    with pytest.raises(Stopped):
        written(table(CHATS * 2000), path, "messages", stop=stop, heard=lambda _: stop.set())
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_leaving_off_in_the_middle_leaves_nothing_behind(tmp_path: Path) -> None:
    work = write(table(CHATS), np.arange(5), tmp_path / "out", "messages", threading.Event())
    next(work)
    work.close()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("form", ["parquet", "messages", "csv", "text-jsonl"])
def test_progress_goes_up_to_the_last_row(tmp_path: Path, form: Any) -> None:
    examples = [Example((Message("text", "一段"),))] * 4500
    heard: list[Progress] = []
    made = table(CHATS * 900 if form != "text-jsonl" else examples)
    written(made, tmp_path / "out", form, heard=heard.append)
    done = [event.done for event in heard]
    assert done == sorted(done)
    assert (done[0], done[-1]) == (0, 4500)
    assert {(event.stage, event.unit, event.total) for event in heard} == {("write", "rows", 4500)}


def test_messages_name_the_source_of_a_row(tmp_path: Path) -> None:
    examples = [chat("甲", source="a.jsonl"), chat("乙", source="a", columns={"source_": "wiki"})]
    written(table(examples), tmp_path / "out", "messages")
    assert [record["source"] for record in lines(tmp_path / "out")] == ["a.jsonl", "wiki"]


# The card and the Hub.


def test_a_card_has_front_matter_that_yaml_reads() -> None:
    text = card(
        "飲茶 | dim sum",
        [("a.jsonl", "cc-by-4.0", 1200), ("b\n|x", "", 3)],
        ["took out 3 copies", "kept Cantonese"],
        {"rows": 1200, "train": 1100},
        ["yue"],
        ["instruction"],
    )
    _, front, body = text.split("---\n", 2)
    read = yaml.safe_load(front)
    assert read["license"] == "other"
    assert read["language"] == ["yue"]
    assert read["size_categories"] == ["1K<n<10K"]
    assert "| a.jsonl | cc-by-4.0 | 1,200 |" in body
    assert "| b \\|x | not known | 3 |" in body
    assert "1. took out 3 copies" in body


@pytest.mark.parametrize(
    ("licences", "expected"),
    [
        (["MIT", "mit"], "mit"),
        (["mit", "cc-by-4.0"], "other"),
        (["mit", ""], "other"),
        ([""], "unknown"),
        ([], "unknown"),
    ],
)
def test_a_licence_is_claimed_only_if_all_sources_share_it(
    licences: list[str], expected: str
) -> None:
    text = card("a", [("a", licence, 1) for licence in licences], [], {})
    assert yaml.safe_load(text.split("---\n")[1])["license"] == expected


def test_a_hub_that_refuses_is_a_sentence(tmp_path: Path, hub: Any) -> None:
    hub.broken = 403
    with pytest.raises(DatasetUnavailable, match="the Hub answered"):
        push_to_hub(tmp_path, "someone/some-data", "token")


def test_a_name_that_is_no_repository_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(DatasetUnavailable, match="OWNER/NAME"):
        push_to_hub(tmp_path, "not a name/with/slashes", "token")


def test_no_network_is_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub

    class Elsewhere(huggingface_hub.HfApi):
        def __init__(self, token: str | None = None) -> None:
            super().__init__("http://127.0.0.1:9", token)

    monkeypatch.setattr(huggingface_hub, "HfApi", Elsewhere)
    with pytest.raises(HubUnreachable):
        push_to_hub(tmp_path, "someone/some-data", "token")
