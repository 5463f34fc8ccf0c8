"""A file becomes a dataset whole or not at all, and the same whichever way it is read."""

from __future__ import annotations

import json
import random
import threading
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from tests.data.desk import PAIRS, dataset_of, files_of, talks
from tests.tiny import finish, never
from workbench.data import importing, storage
from workbench.data.dataset import Dataset, listed
from workbench.data.formats.mapping import Mapping, plain
from workbench.data.going_out import export_dataset
from workbench.data.importing import (
    Imported,
    ImportRequest,
    bring_corpus,
    import_file,
    look,
    remapped,
    write_examples,
)
from workbench.data.recipe import CorpusSource, FileSource
from workbench.data.rows import FIXED
from workbench.errors import (
    BadArchive,
    BadMapping,
    BadRecipe,
    BadRow,
    DatasetExists,
    FileTooLarge,
    InvalidName,
    NoRows,
    Stopped,
    TextNotFound,
    UnknownFormat,
    WorkbenchError,
)
from workbench.settings import Settings
from workbench.workspace import Workspace


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path / "workspace")


def lines(path: Path, records: list[Any]) -> Path:
    path.write_text("".join(json.dumps(one, ensure_ascii=False) + "\n" for one in records), "utf-8")
    return path


def alpaca(count: int) -> list[dict[str, Any]]:
    """Records with columns of every type."""
    dice = random.Random(4)
    return [
        {
            "instruction": f"{PAIRS[n % 8][0]}（第{n}條）",
            "input": "" if n % 3 else f"材料{n}",
            "output": PAIRS[n % 8][1],
            "score": n,
            "share": n + 0.5,
            "good": n % 2 == 0,
            "topic": dice.choice(["食", "行", "住"]),
        }
        for n in range(count)
    ]


def brought(path: Path, workspace: Workspace, name: str = "desk", **more: Any) -> Imported:
    request = ImportRequest(path, name, **more)
    made = finish(import_file(request, workspace, Settings(), never()))[1]
    assert isinstance(made, Imported)
    return made


def rows_of(workspace: Workspace, name: str = "desk") -> pa.Table:
    return storage.read_table(workspace.dataset(name) / storage.DATA)


# Two ways, one result


@pytest.mark.parametrize("changed", [None, {"score": 1.5}, {"extra_field": [1]}, {"score": None}])
def test_the_fast_way_and_the_slow_way_give_the_same_rows(
    changed: dict[str, Any] | None, workspace: Workspace, tmp_path: Path
) -> None:
    records = alpaca(2600)
    if changed:
        records[2500] |= changed
    brought(lines(tmp_path / "clean.jsonl", records), workspace, "fast")
    bad = lines(tmp_path / "bad.jsonl", records)
    with bad.open("a", encoding="utf-8") as file:
        file.write('{"instruction": "講到一半\n')
    made = brought(bad, workspace, "slow", called="clean.jsonl", skip_bad=True)
    assert (made.recipe.rows, made.bad_count) == (2600, 1)
    assert [(name, one.line) for name, one in made.bad] == [("clean.jsonl", 2601)]
    assert rows_of(workspace, "slow").equals(rows_of(workspace, "fast"))
    assert made.recipe.sha256 == Dataset(workspace, "fast").recipe.sha256


def test_the_same_records_in_any_container_are_the_same_rows(
    workspace: Workspace, tmp_path: Path
) -> None:
    import pyarrow.parquet as pq

    records = alpaca(700)
    jsonl = lines(tmp_path / "a.jsonl", records)
    (tmp_path / "a.json").write_text(json.dumps(records), "utf-8")
    pq.write_table(pa.Table.from_pylist(records), tmp_path / "a.parquet")
    hashes = set()
    for number, path in enumerate([jsonl, tmp_path / "a.json", tmp_path / "a.parquet"]):
        hashes.add(brought(path, workspace, f"d{number}", called="a").recipe.sha256)
    assert len(hashes) == 1


def test_a_bad_line_far_down_is_named_by_its_number(workspace: Workspace, tmp_path: Path) -> None:
    path = lines(tmp_path / "a.jsonl", alpaca(10_000))
    raw = path.read_text("utf-8").splitlines(keepends=True)
    raw[7320] = '{"instruction": "爛咗"\n'
    path.write_text("".join(raw), "utf-8")
    with pytest.raises(BadRow, match=r"a\.jsonl, line 7321: "):
        brought(path, workspace)
    assert files_of(workspace.root) == set()
    made = brought(path, workspace, skip_bad=True)
    assert (made.recipe.rows, made.bad_count) == (9999, 1)
    assert isinstance(made.recipe.source, FileSource)
    assert made.recipe.source.bad_rows == 1


def test_rows_that_do_not_fit_are_named_and_left_out(workspace: Workspace, tmp_path: Path) -> None:
    records: list[Any] = alpaca(600)
    records[10] = {"instruction": 5}
    records[550] = {"nothing": "冇嘢"}
    path = lines(tmp_path / "a.jsonl", records)
    with pytest.raises(BadRow, match="line 11:"):
        brought(path, workspace)
    made = brought(path, workspace, skip_bad=True)
    assert [one.line for _, one in made.bad] == [11, 551]
    assert made.recipe.rows == 598


# Columns


def test_columns_of_its_own_have_types(workspace: Workspace, tmp_path: Path) -> None:
    brought(lines(tmp_path / "a.jsonl", alpaca(30)), workspace)
    schema = rows_of(workspace).schema
    own = {name: str(schema.field(name).type) for name in schema.names if name not in FIXED}
    assert own == {"score": "int64", "share": "double", "good": "bool", "topic": "string"}


def test_whole_numbers_and_fractions_in_one_column_come_back_as_they_were(
    workspace: Workspace, tmp_path: Path
) -> None:
    records = alpaca(1200)
    for at, value in ((3, 2.5), (1100, "三"), (1101, [1, 2]), (1102, 1 << 70)):
        records[at]["score"] = value
    brought(lines(tmp_path / "a.jsonl", records), workspace)
    examples = Dataset(workspace, "desk").state.examples([0, 3, 1100, 1101, 1102, 1199])
    assert [one.columns["score"] for one in examples] == [0, 2.5, "三", [1, 2], 1 << 70, 1199]


def test_a_type_that_changes_after_the_sample_goes_to_extra(
    workspace: Workspace, tmp_path: Path
) -> None:
    records = alpaca(importing.SAMPLE + 10)
    records[-1]["score"] = "好多"
    brought(lines(tmp_path / "a.jsonl", records), workspace)
    table = rows_of(workspace)
    assert str(table.schema.field("score").type) == "int64"
    assert table.column("score").null_count == 1
    last = Dataset(workspace, "desk").state.example(table.num_rows - 1)
    assert last.columns["score"] == "好多"


@pytest.mark.parametrize("count", [1, 499, 500, 501, 2001])
def test_no_row_is_lost_between_the_sample_and_the_rest(count: int, workspace: Workspace) -> None:
    examples = talks(count)
    made = dataset_of(examples, workspace)
    assert made.state.examples(list(range(count))) == examples


# Archives, mappings, plain text


def test_a_zip_is_read_file_by_file_each_in_its_own_format(
    workspace: Workspace, tmp_path: Path
) -> None:
    lines(tmp_path / "a.jsonl", alpaca(3))
    qa = "question,answer,score\n點解？,因為係,7\n邊度？,嗰度,8\n"
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as packed:
        packed.write(tmp_path / "a.jsonl", "甲.jsonl")
        packed.writestr("乙.csv", qa)
        packed.writestr("相.png", b"\x89PNG\r\n\x1a\n\x00\x00")
    seen = look(tmp_path / "all.zip", Settings())
    formats = {one.file.name: one.mapping.format for one in seen if one.mapping}
    assert formats == {"all.zip/甲.jsonl": "alpaca", "all.zip/乙.csv": "qa"}
    assert len(seen[0].left_out) == 1
    made = brought(tmp_path / "all.zip", workspace)
    assert made.recipe.rows == 5
    assert isinstance(made.recipe.source, FileSource)
    assert {*made.recipe.source.mappings} == {*formats}
    sources = Dataset(workspace, "desk").state.query.values(
        "SELECT source, count(*) FROM rows GROUP BY 1 ORDER BY 2"
    )
    assert sources == [("all.zip/乙.csv", 2), ("all.zip/甲.jsonl", 3)]


def test_a_mapping_can_be_corrected(workspace: Workspace, tmp_path: Path) -> None:
    records = [{"ask": asked, "reply": said, "n": at} for at, (asked, said) in enumerate(PAIRS)]
    path = lines(tmp_path / "own.jsonl", records)
    with pytest.raises(UnknownFormat, match=r"own\.jsonl.*ask"):
        brought(path, workspace)
    assert look(path, Settings())[0].mapping is None
    mapping = remapped(None, "qa", {"question": "ask", "answer": "reply"})
    made = brought(path, workspace, mappings={"own.jsonl": mapping})
    assert made.recipe.rows == len(PAIRS)
    state = Dataset(workspace, "desk").state
    assert (state.example(1).prompt, state.example(1).answer) == PAIRS[1]
    assert state.example(1).columns == {"n": 1}
    with pytest.raises(BadMapping):
        remapped(None, "qa", {"mood": "ask"})


@pytest.mark.parametrize(
    ("cut", "length", "rows"),
    [("file", 0, 1), ("line", 0, 6), ("paragraph", 0, 3), ("length", 12, 0)],
)
def test_plain_text_is_cut_as_asked(
    cut: Any, length: int, rows: int, workspace: Workspace, tmp_path: Path
) -> None:
    text = "今日好熱。\n我去咗沙灘。\n\n啲水好凍。\n游咗半個鐘。\n\n返屋企沖涼。\n瞓咗一陣。\n"
    path = tmp_path / "日記.txt"
    path.write_text(text, "utf-8")
    mapping = Mapping("text", {}, cut=cut, length=length or 2000)
    made = brought(path, workspace, mappings={"日記.txt": mapping})
    said = [
        one.answer for one in Dataset(workspace, "desk").state.examples(np.arange(made.recipe.rows))
    ]
    if rows:
        assert made.recipe.rows == rows
    else:
        assert all(len(one) <= length for one in said)
    assert "".join("".join(said).split()) == "".join(text.split())


# Nothing half done


@pytest.mark.parametrize(
    ("name", "raw", "error"),
    [
        ("a.jsonl", b"", WorkbenchError),
        ("a.jsonl", b"\n\n", WorkbenchError),
        ("a.json", b"[]", NoRows),
        ("a.json", b"[{]", BadRow),
        ("a.zip", b"PK\x03\x04 and nothing", BadArchive),
        ("a.jsonl", b'{"instruction": "x"}\n' * 3 + b'{"colour": 1}\n', BadRow),
        ("a.csv", b"colour,size\nred,1\nblue,2\n", UnknownFormat),
    ],
)
def test_an_import_that_fails_leaves_nothing(
    name: str, raw: bytes, error: type[Exception], workspace: Workspace, tmp_path: Path
) -> None:
    (tmp_path / name).write_bytes(raw)
    with pytest.raises(error) as caught:
        brought(tmp_path / name, workspace)
    assert len(str(caught.value).splitlines()) == 1
    assert listed(workspace) == []
    assert not workspace.dataset("desk").exists()
    with pytest.raises(TextNotFound):
        brought(tmp_path / "no-such.jsonl", workspace)


def test_a_file_too_large_is_refused(workspace: Workspace, tmp_path: Path) -> None:
    path = lines(tmp_path / "a.jsonl", alpaca(100))
    small = Settings(max_data_mb=0.001)
    with pytest.raises(FileTooLarge):
        finish(import_file(ImportRequest(path, "desk"), workspace, small, never()))
    assert not workspace.dataset("desk").exists()


@pytest.mark.parametrize("bad", [False, True])
def test_an_import_that_is_stopped_or_left_leaves_nothing(
    bad: bool, workspace: Workspace, tmp_path: Path
) -> None:
    path = lines(tmp_path / "a.jsonl", [*alpaca(5000), *([{"x": 1}] if bad else [])])
    request = ImportRequest(path, "desk", skip_bad=True)
    stop = threading.Event()
    work = import_file(request, workspace, Settings(), stop)
    next(work)
    next(work)
    stop.set()
    with pytest.raises(Stopped):
        finish(work)
    assert not workspace.dataset("desk").exists()
    work = import_file(request, workspace, Settings(), never())
    next(work)
    next(work)
    work.close()
    assert not workspace.dataset("desk").exists()
    assert brought(path, workspace, skip_bad=True).recipe.rows == 5000


def test_a_name_that_is_taken_keeps_what_it_names(workspace: Workspace, tmp_path: Path) -> None:
    first = brought(lines(tmp_path / "a.jsonl", alpaca(3)), workspace)
    path = lines(tmp_path / "b.jsonl", alpaca(4))
    with pytest.raises(DatasetExists, match="desk"):
        brought(path, workspace)
    assert Dataset(workspace, "desk").recipe == first.recipe


def test_a_name_that_is_taken_while_the_file_is_read_keeps_what_it_names(
    workspace: Workspace, tmp_path: Path
) -> None:
    slow = import_file(
        ImportRequest(lines(tmp_path / "a.jsonl", alpaca(9)), "desk"),
        workspace,
        Settings(),
        never(),
    )
    next(slow)
    first = brought(lines(tmp_path / "b.jsonl", alpaca(4)), workspace)
    with pytest.raises(DatasetExists):
        finish(slow)
    assert Dataset(workspace, "desk").recipe == first.recipe
    assert Dataset(workspace, "desk").state.count == 4


@pytest.mark.parametrize("name", ["", "../x", "a/b", ".x", "nul", "x."])
def test_bad_names_are_refused(name: str, workspace: Workspace, tmp_path: Path) -> None:
    path = lines(tmp_path / "a.jsonl", alpaca(3))
    with pytest.raises(InvalidName):
        brought(path, workspace, name)
    assert files_of(tmp_path) == {"a.jsonl"}


def test_spaces_around_a_name_do_not_count(workspace: Workspace, tmp_path: Path) -> None:
    made = brought(lines(tmp_path / "a.jsonl", alpaca(3)), workspace, " desk ")
    assert made.recipe.name == "desk"
    assert [one.name for one in listed(workspace)] == ["desk"]


def test_a_file_is_known_by_the_name_it_is_given(workspace: Workspace, tmp_path: Path) -> None:
    path = lines(tmp_path / "tmp83x.jsonl", alpaca(3))
    made = brought(path, workspace, called="我嘅資料.jsonl")
    assert isinstance(made.recipe.source, FileSource)
    assert made.recipe.source.name == "我嘅資料.jsonl"
    assert made.recipe.source.sha256 == storage.sha256(path)
    assert str(tmp_path) not in made.recipe.dumps()
    assert Dataset(workspace, "desk").state.example(0).source == "我嘅資料.jsonl"


def test_a_corpus_that_is_not_there_is_refused(workspace: Workspace) -> None:
    with pytest.raises(BadRecipe, match="no corpus"):
        finish(bring_corpus(CorpusSource("shakespeare", "plays"), workspace, "desk", never()))
    with pytest.raises(NoRows):
        finish(write_examples([], workspace.dataset("desk") / storage.DATA, never()))
    assert not workspace.dataset("desk").exists()


# Out and in again

WRITTEN: dict[str, tuple[str, str]] = {
    "alpaca": (
        "a.jsonl",
        '{"instruction": "譯做英文", "input": "早晨", "output": "Good morning", "score": 3}\n'
        '{"instruction": "點樣去中環？", "input": "", "output": "搭港鐵。\\n坐到尾站。"}\n',
    ),
    "seeds": (
        "a.jsonl",
        '{"id": "s1", "instruction": "改寫句子", "instances": '
        '[{"input": "我好攰", "output": "我好疲倦"}, {"input": "", "output": "冇得改"}]}\n'
        '{"id": "s2", "instruction": "數到三", "instances": [{"input": "", "output": "一二三"}]}\n',
    ),
    "sharegpt": (
        "a.json",
        '[{"conversations": [{"from": "system", "value": "你係侍應"}, '
        '{"from": "human", "value": "有咩好食？"}, {"from": "gpt", "value": "菠蘿油啦！"}]}, '
        '{"conversations": [{"from": "human", "value": "埋單"}, {"from": "gpt", "value": "好"}]}]',
    ),
    "messages": (
        "a.jsonl",
        '{"messages": [{"role": "user", "content": "落雨未？"}, '
        '{"role": "assistant", "content": "未落。", "weight": 0.0}], "topic": "天氣"}\n',
    ),
    "prompt": ("a.jsonl", '{"prompt": "從前有隻貓", "completion": "，佢好鍾意瞓覺。", "n": 1}\n'),
    "preference": (
        "a.jsonl",
        '{"prompt": [{"role": "user", "content": "問好"}], '
        '"chosen": [{"role": "assistant", "content": "你好呀！"}], '
        '"rejected": [{"role": "assistant", "content": "嗯"}]}\n',
    ),
    "tools": (
        "a.jsonl",
        '{"conversations": [{"from": "human", "value": "香港幾度？"}, '
        '{"from": "function_call", "value": "{\\"name\\": \\"weather\\", \\"arguments\\": '
        '{\\"city\\": \\"香港\\"}}"}, {"from": "observation", "value": "廿八度"}, '
        '{"from": "gpt", "value": "而家廿八度。"}], '
        '"tools": "[{\\"name\\": \\"weather\\"}]"}\n',
    ),
    "qa": (
        "a.jsonl",
        '{"question": "邊個係主角？", "answer": "小三", "context": "小三行入茶餐廳。", "page": 4}\n'
        '{"question": "佢去邊？", "answer": "茶餐廳", "context": "小三行入茶餐廳。", "page": 4}\n',
    ),
    "csv": ("a.csv", "instruction,input,output,score\n講笑,,我唔識講笑,3\n=1+1係咩,,係二,4\n"),
    "text": ("a.txt", "今日好熱，\n去咗游水。\n\n聽日會落雨。\n"),
    "text-jsonl": ("a.jsonl", '{"text": "今日好熱，\\n\\n去咗游水。"}\n{"text": "聽日會落雨。"}\n'),
    "parquet": ("a.jsonl", '{"instruction": "講笑", "output": "唔識", "score": 3, "good": true}\n'),
}


@pytest.mark.parametrize("form", WRITTEN)
def test_a_hand_written_file_goes_out_in_its_format_and_in_again(
    form: Any, workspace: Workspace, tmp_path: Path
) -> None:
    name, content = WRITTEN[form]
    (tmp_path / name).write_text(content, "utf-8")
    brought(tmp_path / name, workspace, "first", called="甲")
    first = Dataset(workspace, "first")
    out = tmp_path / "out" / (name if form != "parquet" else "a.parquet")
    report = finish(export_dataset(first, out, form, "", never()))[1]
    assert report.rows == first.state.count
    if form == "seeds":
        assert len(out.read_text("utf-8").splitlines()) == 2
    brought(out, workspace, "second", called="甲")
    again = [
        one.__dict__ for one in Dataset(workspace, "second").state.examples(np.arange(report.rows))
    ]
    before = [one.__dict__ for one in first.state.examples(np.arange(report.rows))]
    if form == "csv":  # a cell that a spreadsheet would run has an apostrophe now
        assert again[1]["messages"][0].content == "'=1+1係咩"
        again, before = again[:1], before[:1]
    assert again == before
    if form not in ("csv", "parquet"):
        assert rows_of(workspace, "second").equals(rows_of(workspace, "first"))


def test_the_fields_of_a_mapping_are_remembered(workspace: Workspace, tmp_path: Path) -> None:
    mapping = Mapping("qa", plain("question", "answer") | {"context": "page"})
    path = lines(tmp_path / "a.jsonl", [{"question": "邊度？", "answer": "嗰度", "page": "第一頁"}])
    made = brought(path, workspace, mappings={"a.jsonl": mapping})
    assert isinstance(made.recipe.source, FileSource)
    assert Mapping.from_json(made.recipe.source.mappings["a.jsonl"]) == mapping
