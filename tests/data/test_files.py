"""Files are known by their bytes and give their rows with the lines they stand on."""

from __future__ import annotations

import bz2
import datetime
import decimal
import gzip
import json
import math
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as parquet
import pytest

from tests.data.bad_files import LINE, OTHER, PICTURE, lines, pretty, zipped
from workbench.data.reading.files import (
    Bad,
    Opened,
    Record,
    Unfit,
    arrow_batches,
    opened,
    records,
    sample,
)
from workbench.errors import BadArchive, BrokenFile, FileTooLarge

MUCH = 100_000_000
ROWS = [json.loads(LINE), json.loads(OTHER)]
TALK = [{"role": "user", "content": "食咗飯未？"}, {"role": "assistant", "content": "食咗喇。"}]


def looked_at(folder: Path, raw: bytes | str, name: str = "a.bin") -> tuple[Opened, list[Any]]:
    """What a file is and everything in it; the ending says nothing."""
    path = folder / name
    path.write_bytes(raw.encode() if isinstance(raw, str) else raw)
    with opened(path, MUCH) as files:
        assert len(files) == 1
        return files[0], list(records(files[0]))


def values(found: list[Any]) -> list[Any]:
    assert all(isinstance(one, Record) for one in found), found
    return [one.value for one in found]


def numbers(found: list[Any]) -> list[int]:
    return [one.line for one in found]


@pytest.mark.parametrize(
    ("raw", "kind"),
    [
        (lines(LINE, OTHER), "jsonl"),
        (f"[{LINE},{OTHER}]", "json"),
        (json.dumps(ROWS, indent=2), "json"),
        ("id,text\n1,甲\n2,乙\n", "csv"),
        ("id;text\n1;甲\n2;乙\n", "csv"),
        ("id\ttext\n1\t甲\n2\t乙\n", "tsv"),
        ("今日天氣好好，不如去行山。\n好呀，幾點？\n", "text"),
        ("[Verse 1]\n風繼續吹，\n不忍遠離。\n", "text"),
        ("{{char}} 同 {{user}} 喺茶樓。\n", "text"),
        ("# A heading\n\n| a | b |\n|---|---|\n| 1 | 2 |\n| 3 | 4 |\n", "text"),
        ("Well, I never.\nOh, is that so?\nYes, it is.\nNo, not at all, he said.\n", "text"),
        ("Dear John, hello\nI write, because\n", "text"),
        ("12\n7\n9\n", "text"),
    ],
)
def test_the_kind_is_told_by_the_bytes(tmp_path: Path, raw: str, kind: str) -> None:
    assert looked_at(tmp_path, raw, "a.parquet")[0].kind == kind


@pytest.mark.parametrize(
    "encoding",
    [
        "utf-8",
        "utf-8-sig",
        "utf-16",
        "utf-16-le",
        "utf-16-be",
        "utf-32",
        "utf-32-le",
        "utf-32-be",
        "big5hkscs",
        "gb18030",
    ],
)
@pytest.mark.parametrize("shape", ["jsonl", "json", "csv", "text"])
def test_every_shape_is_read_in_every_encoding(tmp_path: Path, encoding: str, shape: str) -> None:
    said = [
        "聽日我哋去邊度食嘢呀？",
        "佢話尖沙咀嗰間茶餐廳啲蛋撻好好食，不過要排隊。",
        "係咪真㗎？",
    ]
    rows = [{"id": str(at), "text": one} for at, one in enumerate(said)]
    raw = {
        "jsonl": "\n".join(json.dumps(row, ensure_ascii=False) for row in rows),
        "json": json.dumps(rows, ensure_ascii=False, indent=1),
        "csv": "id,text\n" + "".join(f"{row['id']},{row['text']}\n" for row in rows),
        "text": "\n".join(said),
    }[shape]
    file, found = looked_at(tmp_path, raw.encode(encoding))
    assert values(found) == (said if shape == "text" else rows)
    assert "x".encode(file.encoding)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "utf-16-le", "big5hkscs", "gb18030"])
def test_a_character_at_the_edge_of_what_is_looked_at_is_kept(
    tmp_path: Path, encoding: str
) -> None:
    said = [("x" * shift) + "點解天係藍色嘅呢，我唔知。" * 30_000 for shift in range(3)]
    for one in said:
        assert values(looked_at(tmp_path, one.encode(encoding))[1]) == [one]


def test_lines_of_a_text_keep_their_numbers_and_blanks(tmp_path: Path) -> None:
    found = looked_at(tmp_path, "一\r\n\r\n三\u2028三\n")[1]
    assert [(one.line, one.value) for one in found] == [(1, "一"), (2, ""), (3, "三\u2028三")]


def test_old_mac_line_ends_are_line_ends(tmp_path: Path) -> None:
    found = looked_at(tmp_path, lines(LINE, OTHER).replace("\n", "\r"))[1]
    assert (values(found), numbers(found)) == (ROWS, [1, 2])


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (json.dumps({"data": ROWS, "version": 2}), ROWS),
        (json.dumps({"version": {"a": 1}, "rows": ROWS}), ROWS),
        (json.dumps({"name": "x", "examples": []}), [{"name": "x", "examples": []}]),
        (json.dumps({"train": ROWS[:1], "test": ROWS[1:]}), None),
        (json.dumps({"data": ["甲", "乙"]}), ["甲", "乙"]),
        (json.dumps(["甲", "乙"]), ["甲", "乙"]),
        (json.dumps([TALK, TALK]), [{"messages": TALK}] * 2),
        (json.dumps([["你好", "早晨"]]), [{"conversations": ["你好", "早晨"]}]),
        (lines('"甲"', '"乙"'), ["甲", "乙"]),
        (json.dumps({"messages": TALK}), [{"messages": TALK}]),
        (json.dumps({"messages": TALK}, indent=2), [{"messages": TALK}]),
        (json.dumps(ROWS[0], indent=2), ROWS[:1]),
        (pretty(3), ROWS[:1] * 3),
        (",\n".join([LINE, OTHER]), ROWS),
        (json.dumps({"a": [1, 2], "b": ["x", "y"]}), [{"a": 1, "b": "x"}, {"a": 2, "b": "y"}]),
        (
            json.dumps({"a": {"0": 1, "1": 2}, "b": {"0": 3, "1": 4}}),
            [{"a": 1, "b": 3}, {"a": 2, "b": 4}],
        ),
        (json.dumps({"columns": ["a"], "index": [0, 1], "data": [[1], [2]]}), [{"a": 1}, {"a": 2}]),
        (
            json.dumps({"x1": {"t": 1}, "x2": {"t": 2}}),
            [{"id": "x1", "t": 1}, {"id": "x2", "t": 2}],
        ),
        (json.dumps({"rows": [{"row_idx": 0, "row": ROWS[0], "truncated_cells": []}]}), ROWS[:1]),
    ],
)
def test_rows_are_found_in_whatever_shape_json_has(
    tmp_path: Path, raw: str, expected: list | None
) -> None:
    if expected is None:
        splits = ("train", "test")
        expected = [{**row, "split": split} for row, split in zip(ROWS, splits, strict=True)]
    assert values(looked_at(tmp_path, raw)[1]) == expected


def test_elements_of_an_array_tell_the_line_they_start_on(tmp_path: Path) -> None:
    raw = json.dumps([{"text": f"第 {at} 句"} for at in range(5000)], indent=2, ensure_ascii=False)
    found = looked_at(tmp_path, raw)[1]
    assert numbers(found) == [2 + 3 * at for at in range(5000)]
    assert numbers(looked_at(tmp_path, f'{{"data": [\n{LINE},\n\n{OTHER}]}}')[1]) == [2, 4]


def test_a_long_array_is_read_across_many_chunks(tmp_path: Path) -> None:
    rows = [{"at": at, "text": "講嘢" * (at % 997) * 3, "n": 10**at % 997} for at in range(3000)]
    raw = json.dumps(rows, ensure_ascii=False)
    assert len(raw.encode()) > 5_000_000
    assert values(looked_at(tmp_path, raw)[1]) == rows


def test_numbers_keep_every_digit_on_the_slow_way(tmp_path: Path) -> None:
    big, small = 12345678901234567890123, -9223372036854775809
    found = values(looked_at(tmp_path, lines(f'{{"a": {big}}}', f'{{"a": {small}}}'))[1])
    assert [row["a"] for row in found] == [big, small]
    assert math.isnan(values(looked_at(tmp_path, '{"a": NaN}')[1])[0]["a"])


def test_quoted_fields_may_hold_line_ends_and_delimiters(tmp_path: Path) -> None:
    raw = 'id,text\n1,"佢話:\n""好呀"", 真係"\n2,plain\n'
    file, found = looked_at(tmp_path, raw)
    assert file.header == ("id", "text")
    assert values(found) == [
        {"id": "1", "text": '佢話:\n"好呀", 真係'},
        {"id": "2", "text": "plain"},
    ]
    assert numbers(found) == [2, 4]


@pytest.mark.parametrize(
    ("raw", "header", "first"),
    [
        ("sep=;\nid;text\n1;甲\n", ("id", "text"), {"id": "1", "text": "甲"}),
        ("# made by hand\nid|text\n1|甲\n", ("id", "text"), {"id": "1", "text": "甲"}),
        ("1,甲\n2,乙\n3,丙\n", None, {"column_1": "1", "column_2": "甲"}),
        ("你好|yue\n早晨|yue\n多謝|yue\n", None, {"column_1": "你好", "column_2": "yue"}),
        ("text,,text\na,b,c\nd,e,f\n", ("text", "column_2", "text_2"), None),
        ("id,text\r\n1,甲\r\n", ("id", "text"), {"id": "1", "text": "甲"}),
    ],
)
def test_a_table_is_read_with_or_without_its_head(
    tmp_path: Path, raw: str, header: tuple | None, first: dict | None
) -> None:
    file, found = looked_at(tmp_path, raw)
    assert file.header == header
    assert first is None or found[0].value == first


def test_many_forgotten_quotes_cost_their_own_lines_only(tmp_path: Path) -> None:
    raw = "id,text\n" + "".join(
        f'{at},"好\n' if at % 50 == 1 else f"{at},好\n" for at in range(500)
    )
    found = looked_at(tmp_path, raw)[1]
    bad = [one.line for one in found if isinstance(one, Bad)]
    assert bad == [at + 2 for at in range(500) if at % 50 == 1]
    assert len(found) == 500


def test_a_zip_gives_its_data_and_names_what_it_leaves_out(tmp_path: Path) -> None:
    members = {
        "b/甲.jsonl": lines(LINE, OTHER).encode(),
        "a.csv.gz": gzip.compress("id,text\n1,甲\n".encode()),
        "cover.png": PICTURE,
        "inner.zip": zipped({"x.jsonl": LINE.encode()}),
        "__MACOSX/b/._x": b"\x00\x05",
        ".hidden": b"x",
    }
    path = tmp_path / "all.zip"
    path.write_bytes(zipped(members))
    with opened(path, MUCH, "我嘅.zip") as files:
        assert [file.name for file in files] == ["我嘅.zip/a.csv", "我嘅.zip/b/甲.jsonl"]
        assert [len(sample(file)) for file in files] == [1, 2]
        assert [len(file.left_out) for file in files] == [2, 2]
        assert "PNG" in files[0].left_out[0]
        kept = [file.path for file in files]
    assert not any(one.exists() for one in kept)


def test_a_gz_is_its_content_and_several_parts_are_one(tmp_path: Path) -> None:
    raw = gzip.compress((LINE + "\n").encode()) + gzip.compress(OTHER.encode())
    file, found = looked_at(tmp_path, raw, "a.jsonl.gz")
    assert (file.name, values(found)) == ("a.jsonl", ROWS)


def test_what_cannot_be_unpacked_says_so(tmp_path: Path) -> None:
    with pytest.raises(BrokenFile, match="bzip2"):
        looked_at(tmp_path, bz2.compress(LINE.encode()))


def test_the_limit_counts_all_members_together(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    path.write_bytes(zipped({f"{at}.txt": b"word " * 2000 for at in range(10)}))
    with opened(path, 100_000) as files:
        assert sum(file.size for file in files) == 100_000
    with pytest.raises(FileTooLarge), opened(path, 99_999):
        pass


def test_the_limit_holds_for_a_plain_file_too(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(b"x" * 1001)
    with pytest.raises(FileTooLarge, match=r"a\.txt"), opened(path, 1000):
        pass


def test_too_many_members_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    path.write_bytes(zipped({f"{at}.txt": b"x" for at in range(1001)}))
    with pytest.raises(BadArchive, match="more than 1000"), opened(path, MUCH):
        pass


def odd_table() -> pa.Table:
    day = datetime.date(2024, 2, 9)
    return pa.table(
        {
            "text": pa.array(["甲", None]).dictionary_encode(),
            "day": pa.array([day, None]),
            "moment": pa.array([datetime.datetime(2024, 2, 9, 8, 30), None]),
            "price": pa.array([decimal.Decimal("1.50"), None]),
            "raw": pa.array([b"\x00\xff", None]),
            "pairs": pa.array([[("a", 1)], None], pa.map_(pa.string(), pa.int64())),
            "inner": pa.array([{"a": [1, 2]}, None]),
            "long": pa.array(["x", None], pa.large_string()),
        }
    )


ODD = {
    "text": "甲",
    "day": "2024-02-09",
    "moment": "2024-02-09T08:30:00",
    "price": "1.50",
    "raw": "AP8=",
    "pairs": {"a": 1},
    "inner": {"a": [1, 2]},
    "long": "x",
}


@pytest.mark.parametrize("form", ["parquet", "file", "stream"])
def test_odd_types_become_plain_values(tmp_path: Path, form: str) -> None:
    path, there = tmp_path / "a.jsonl", odd_table()
    if form == "parquet":
        parquet.write_table(there, path)
    else:
        new = pa.ipc.new_file if form == "file" else pa.ipc.new_stream
        with new(path, there.schema) as writer:
            writer.write_table(there)
    with opened(path, MUCH) as files:
        assert files[0].kind == ("parquet" if form == "parquet" else "arrow")
        found = list(records(files[0]))
        assert values(found) == [ODD, dict.fromkeys(ODD)]
        assert numbers(found) == [1, 2]
        assert json.loads(json.dumps(found[0].value)) == ODD
        batches = arrow_batches(files[0])
        assert batches is not None
        assert next(batches).schema.field("text").type == pa.string()


def test_rows_of_parquet_are_counted_over_row_groups(tmp_path: Path) -> None:
    there = pa.table({"at": list(range(5000))})
    parquet.write_table(there, tmp_path / "a", row_group_size=700)
    with opened(tmp_path / "a", MUCH) as files:
        found = list(records(files[0]))
    assert [(one.line, one.value["at"]) for one in found] == [(at + 1, at) for at in range(5000)]


def fast(folder: Path, raw: str) -> list[dict] | None:
    path = folder / "fast"
    path.write_text(raw, encoding="utf-8")
    with opened(path, MUCH) as files:
        batches = arrow_batches(files[0])
        return None if batches is None else [row for one in batches for row in one.to_pylist()]


@pytest.mark.parametrize(
    "rows",
    [
        ROWS,
        [{"day": "2024-02-09", "at": "2024-02-09 08:30:00"}, {"day": "x", "at": "y"}],
        [{"messages": TALK, "n": 1}, {"messages": TALK[:1], "n": 2}],
        [{"text": "a{[[", "f": 0.1, "b": True}, {"text": "\u2028", "f": 2.5, "b": False}],
        [{"tags": ["2024-01-01"], "none": None}, {"tags": [], "none": None}],
    ],
)
def test_the_fast_way_gives_what_the_slow_way_gives(tmp_path: Path, rows: list[dict]) -> None:
    raw = lines(*(json.dumps(row, ensure_ascii=False) for row in rows))
    assert fast(tmp_path, raw) == rows == values(looked_at(tmp_path, raw)[1])


@pytest.mark.parametrize(
    "raw",
    [
        lines('{"a": 12345678901234567890123}', '{"a": 1}'),
        lines('{"a": 9007199254740993}', '{"a": 1.5}'),
        lines('{"a": 1, "a": 2}', '{"a": 3}'),
        lines('{"a": {"b": 1}}', '{"a": {"c": 1}}'),
        lines('{"a": 1}{"a": 2}', "", '{"a": 3}'),
        lines('{"a": "x"}', '{"a": 1}'),
        lines('{"a": %s}' % ("[" * 300 + "]" * 300), '{"a": []}'),
        lines(LINE, '{"a": '),
        lines('{"a": "\\ud83d"}', LINE),
    ],
)
def test_the_fast_way_declines_what_it_would_change(tmp_path: Path, raw: str) -> None:
    assert fast(tmp_path, raw) is None


def test_a_late_surprise_ends_the_fast_way(tmp_path: Path) -> None:
    with pytest.raises(Unfit):
        fast(tmp_path, (LINE + "\n") * 200_000 + '{"other": 1}\n')


def test_other_kinds_have_no_fast_way(tmp_path: Path) -> None:
    assert fast(tmp_path, "id,text\n1,甲\n2,乙\n") is None


def test_a_sample_stops_early(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_text((LINE + "\n") * 500, encoding="utf-8")
    with opened(path, MUCH) as files:
        assert len(sample(files[0])) == 200
        assert sample(files[0], 3) == ROWS[:1] * 3
