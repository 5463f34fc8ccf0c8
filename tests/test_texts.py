"""Texts come in every encoding and shape that people's files have."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pyarrow
import pyarrow.parquet as parquet
import pytest

from workbench import texts
from workbench.errors import (
    BrokenFile,
    DatasetUnavailable,
    EmptyText,
    InvalidRequest,
    NotText,
    TextNotFound,
    TextTooLarge,
    UnknownColumn,
)
from workbench.texts import HubColumn, Text, decode, from_file, from_hub, from_paste, sample

CANTONESE = "聽日我哋去邊度食嘢呀？\n佢話尖沙咀嗰間茶餐廳啲蛋撻好好食，不過要排隊。\n係咪真㗎？"
MANDARIN = "明天我们去哪里吃饭？他说尖沙咀那家茶餐厅的蛋挞很好吃，不过要排队。是真的吗？"
JAPANESE = "今日はとても良い天気ですね。明日は友達と一緒に映画を見に行く予定です。"
FRENCH = "Où est le café ? Ça va très bien — « merci » l’été dernier, c’était naïf."
MUCH = 10_000_000


def written(folder: Path, name: str, content: bytes | str) -> Path:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


@pytest.mark.parametrize(
    "encoding",
    ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "big5hkscs", "gb18030"],
)
def test_cantonese_is_read_in_every_usual_encoding(encoding: str) -> None:
    assert decode(CANTONESE.encode(encoding), "a file") == CANTONESE


@pytest.mark.parametrize("name", ["cantonese", "written-chinese"])
@pytest.mark.parametrize("encoding", ["big5hkscs", "gb18030", "utf-16-le", "utf-16-be"])
def test_every_sample_survives_an_old_encoding(name: str, encoding: str) -> None:
    wrong = [one for one in sample(name).documents if decode(one.encode(encoding), "x") != one]
    assert wrong == []


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
def test_utf16_without_a_mark_needs_no_ascii_to_be_known(encoding: str) -> None:
    raw = "佢話聽日會嚟，我就等佢。真係唔知點算好呀！".encode(encoding)
    assert b"\x00" not in raw
    assert decode(raw, "a file") == "佢話聽日會嚟，我就等佢。真係唔知點算好呀！"


@pytest.mark.parametrize(
    ("text", "encoding"),
    [(MANDARIN, "gbk"), (JAPANESE, "shift_jis"), (JAPANESE, "euc_jp"), (FRENCH, "cp1252")],
)
def test_other_old_encodings_are_told_apart(text: str, encoding: str) -> None:
    assert decode(text.encode(encoding), "a file") == text


def test_utf32_with_big_endian_mark_is_read() -> None:
    raw = b"\x00\x00\xfe\xff" + CANTONESE.encode("utf-32-be")
    assert decode(raw, "a file") == CANTONESE


def test_nul_bytes_are_named_as_such() -> None:
    with pytest.raises(BrokenFile, match=r"program\.exe.*NUL bytes"):
        decode(b"MZ\x90\x00\x03\x00\x00\x00abc", "program.exe")


def test_nul_characters_behind_a_mark_are_refused_too() -> None:
    with pytest.raises(BrokenFile, match="NUL"):
        decode("a\x00b".encode("utf-16"), "a file")


@pytest.mark.parametrize("seed", range(8))
def test_random_bytes_are_not_taken_for_text(seed: int) -> None:
    noise = random.Random(seed).randbytes(3000)
    with pytest.raises((NotText, BrokenFile)):
        decode(noise, "noise")


def test_a_mark_with_something_else_behind_it_is_not_text() -> None:
    with pytest.raises(NotText):
        decode(b"\xef\xbb\xbf\xff\xff\xff", "a file")


def test_a_txt_is_one_running_text(tmp_path: Path) -> None:
    path = written(tmp_path, "a.txt", "one\n\ntwo\n\n\nthree\n")
    assert from_file(path, MUCH).documents == ("one\n\ntwo\n\n\nthree\n",)


def test_rows_of_jsonl_are_documents_and_empty_ones_are_left_out(tmp_path: Path) -> None:
    rows = [{"text": "甲"}, {"text": "  "}, {"other": 1}, {"text": "乙"}]
    path = written(tmp_path, "a.jsonl", "\n\n".join(map(json.dumps, rows)))
    assert from_file(path, MUCH).documents == ("甲", "乙")


def test_jsonl_may_hold_bare_strings(tmp_path: Path) -> None:
    path = written(tmp_path, "a.jsonl", '"甲"\r\n"乙"\r\n')
    assert from_file(path, MUCH).documents == ("甲", "乙")


def test_line_separators_inside_a_json_string_do_not_end_the_row(tmp_path: Path) -> None:
    rows = [{"text": "一\u2028二\u0085三"}, {"text": "四"}]
    lines = "\n".join(json.dumps(row, ensure_ascii=False) for row in rows)
    path = written(tmp_path, "a.jsonl", lines)
    assert from_file(path, MUCH).documents == ("一\u2028二\u0085三", "四")


def test_half_a_surrogate_pair_in_json_does_not_break_the_count(tmp_path: Path) -> None:
    text = from_file(written(tmp_path, "a.jsonl", '{"text": "a\\ud83db"}'), MUCH)
    assert text.documents == ("a?b",)
    assert (text.characters, text.bytes) == (3, 3)


def test_a_line_that_is_not_json_is_counted_out(tmp_path: Path) -> None:
    path = written(tmp_path, "a.jsonl", '{"text": "x"}\n\n{"text": \n')
    with pytest.raises(BrokenFile, match="line 3 is not JSON"):
        from_file(path, MUCH)


def test_a_missing_column_is_answered_with_those_there_are(tmp_path: Path) -> None:
    path = written(tmp_path, "a.jsonl", '{"body": "x", "title": "y", "stars": 5}')
    with pytest.raises(UnknownColumn, match=r"“text”. It has: body, title\."):
        from_file(path, MUCH)
    assert from_file(path, MUCH, column="body").documents == ("x",)


def test_csv_keeps_line_ends_and_commas_inside_quotes(tmp_path: Path) -> None:
    path = written(tmp_path, "a.csv", 'id,text\n1,"佢話:\n""好呀"", 真係"\n2,plain\n')
    assert from_file(path, MUCH).documents == ('佢話:\n"好呀", 真係', "plain")


def test_csv_in_big5_with_hong_kong_characters(tmp_path: Path) -> None:
    table = "id,text\n" + "".join(f"{at},{line}\n" for at, line in enumerate(CANTONESE.split("\n")))
    path = written(tmp_path, "a.csv", table.encode("big5hkscs"))
    assert from_file(path, MUCH).documents == tuple(CANTONESE.split("\n"))


def test_an_unclosed_quote_in_csv_is_told(tmp_path: Path) -> None:
    path = written(tmp_path, "a.csv", 'id,text\n1,"never closed\n2,x\n')
    with pytest.raises(BrokenFile, match="CSV"):
        from_file(path, MUCH)


def test_tsv_is_split_at_tabs(tmp_path: Path) -> None:
    path = written(tmp_path, "a.tsv", "id\ttext\n1\ta, b\n")
    assert from_file(path, MUCH).documents == ("a, b",)


def test_a_csv_with_a_head_and_no_rows_is_empty(tmp_path: Path) -> None:
    with pytest.raises(EmptyText):
        from_file(written(tmp_path, "a.csv", "id,text\n"), MUCH)


def test_rows_of_parquet_are_documents(tmp_path: Path) -> None:
    table = pyarrow.table({"text": ["甲", None, "", "乙"], "label": [1, 2, 3, 4]})
    parquet.write_table(table, tmp_path / "a.parquet")
    assert from_file(tmp_path / "a.parquet", MUCH).documents == ("甲", "乙")


def test_a_parquet_column_of_numbers_is_no_text_column(tmp_path: Path) -> None:
    parquet.write_table(pyarrow.table({"text": [1, 2], "body": ["x", "y"]}), tmp_path / "a.parquet")
    with pytest.raises(UnknownColumn, match="It has: body"):
        from_file(tmp_path / "a.parquet", MUCH)


@pytest.mark.parametrize("damage", [lambda raw: raw[:-20], lambda raw: b"PAR1" + b"\x07" * 200])
def test_a_damaged_parquet_is_told_in_a_sentence(tmp_path: Path, damage) -> None:
    parquet.write_table(pyarrow.table({"text": ["a" * 500]}), tmp_path / "whole.parquet")
    path = written(tmp_path, "a.parquet", damage((tmp_path / "whole.parquet").read_bytes()))
    with pytest.raises(BrokenFile, match="Parquet"):
        from_file(path, MUCH)


def test_a_small_parquet_that_unpacks_to_much_stops_at_the_limit(tmp_path: Path) -> None:
    table = pyarrow.table({"text": ["a" * 1_000_000] * 40})
    parquet.write_table(table, tmp_path / "bomb.parquet", compression="zstd")
    assert (tmp_path / "bomb.parquet").stat().st_size < 1_000_000
    with pytest.raises(TextTooLarge):
        from_file(tmp_path / "bomb.parquet", 2_000_000)


def test_fifty_megabytes_are_refused_before_they_are_read(tmp_path: Path) -> None:
    path = tmp_path / "huge.txt"
    with path.open("wb") as file:
        file.truncate(50_000_000)
    with pytest.raises(TextTooLarge, match=r"huge.txt is 50.0 MB; at most 10.0 MB"):
        from_file(path, MUCH)
    with pytest.raises(TextTooLarge):
        from_paste("粵" * 4_000_000, MUCH)


@pytest.mark.parametrize("nothing", ["", " \n\t　"])
def test_a_text_without_a_visible_character_is_empty(tmp_path: Path, nothing: str) -> None:
    with pytest.raises(EmptyText):
        from_paste(nothing, MUCH)
    with pytest.raises(EmptyText):
        from_file(written(tmp_path, "a.txt", nothing), MUCH)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(TextNotFound, match=r"gone\.txt"):
        from_file(tmp_path / "gone.txt", MUCH)
    with pytest.raises(TextNotFound):
        from_file(tmp_path, MUCH)


def test_characters_are_code_points_and_bytes_are_utf8() -> None:
    text = Text("x", ("𨋢a", "粵"))
    assert (text.characters, text.bytes) == (3, 4 + 1 + 3)


def test_the_hash_is_of_the_documents_and_not_of_the_name() -> None:
    assert Text("x", ("ab", "c")).sha256 == Text("y", ("ab", "c")).sha256
    assert Text("x", ("ab", "c")).sha256 != Text("x", ("a", "bc")).sha256


def test_pasted_text_is_kept_as_it_is() -> None:
    assert from_paste("  two  spaces \n", MUCH).documents == ("  two  spaces \n",)


def test_the_samples_are_parallel() -> None:
    assert texts.sample_names()[0] == "cantonese"
    assert len(texts.sample_names()) == 4
    rows = {
        name: [
            json.loads(line) for line in (texts.SAMPLES / f"{name}.jsonl").open(encoding="utf-8")
        ]
        for name in texts.sample_names()
    }
    ids = {name: [row["id"] for row in found] for name, found in rows.items()}
    assert all(len(sample(name).documents) == 20 for name in rows)
    assert all(found == ids["cantonese"] for found in ids.values())
    assert len(set(ids["cantonese"])) == 20


def test_a_sample_that_is_not_there() -> None:
    with pytest.raises(TextNotFound):
        sample("../secrets")


@pytest.mark.parametrize("wrong", [{"dataset": " "}, {"dataset": "a/b", "rows": 0}])
def test_a_dataset_is_asked_for_sensibly(wrong: dict) -> None:
    with pytest.raises(InvalidRequest):
        HubColumn(**wrong)


def test_a_dataset_that_the_hub_does_not_have_is_told_in_one_line(hub) -> None:
    with pytest.raises(DatasetUnavailable) as caught:
        from_hub(HubColumn("nobody/nothing"), MUCH)
    assert "\n" not in str(caught.value)
