"""Malformed and hostile files, each with what is to come of it.

``CASES`` only describes them; ``Case.make`` writes one into a folder.
"""

from __future__ import annotations

import gzip
import io
import json
import os
import pickle
import sqlite3
import struct
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as parquet

from workbench.errors import (
    BadArchive,
    BrokenFile,
    FileTooLarge,
    NoRows,
    NotText,
    TextNotFound,
    WorkbenchError,
)

LIMIT = 400_000_000
LINE = '{"instruction": "點解天係藍色？", "output": "因為日光畀空氣散射咗。"}'
OTHER = '{"instruction": "幾點開門？", "output": "朝早九點。"}'


@dataclass(frozen=True)
class Case:
    """One file and what it gives: an error, or some good rows and some bad lines."""

    name: str
    content: bytes | Callable[[Path], None]
    error: tuple[type[WorkbenchError], ...] = ()
    good: int = 0
    bad: tuple[int, ...] = ()
    says: str = ""
    """Stands in the sentence, or in the reason of the first bad line."""
    limit: int = LIMIT
    big: bool = False

    def make(self, folder: Path) -> Path:
        path = folder / self.name
        if isinstance(self.content, bytes):
            path.write_bytes(self.content)
        else:
            self.content(path)
        return path


def refused(
    name: str,
    content: bytes | Callable[[Path], None],
    *errors: type[WorkbenchError],
    says: str = "",
    limit: int = LIMIT,
    big: bool = False,
) -> Case:
    return Case(name, content, errors, says=says, limit=limit, big=big)


def read(
    name: str,
    content: bytes | str | Callable[[Path], None],
    good: int,
    *bad: int,
    says: str = "",
    big: bool = False,
) -> Case:
    raw = content.encode("utf-8") if isinstance(content, str) else content
    return Case(name, raw, good=good, bad=bad, says=says, big=big)


def lines(*texts: str) -> str:
    return "\n".join(texts) + "\n"


def zipped(members: dict[str, bytes], **changes: int) -> bytes:
    """A zip; ``attributes`` and ``flags`` are set on every member."""
    whole = io.BytesIO()
    with zipfile.ZipFile(whole, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, raw in members.items():
            info = zipfile.ZipInfo(name)
            info.external_attr = changes.get("attributes", 0)
            info.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(info, raw)
    return whole.getvalue()


def locked() -> bytes:
    """A zip whose member says that it is encrypted."""
    raw = bytearray(zipped({"a.jsonl": LINE.encode()}))
    raw[6] |= 1
    raw[raw.index(b"PK\x01\x02") + 8] |= 1
    return bytes(raw)


def table(**columns: list) -> bytes:
    whole = io.BytesIO()
    parquet.write_table(pa.table(columns), whole)
    return whole.getvalue()


GOOD_PARQUET = table(instruction=["你好"] * 50, output=["早晨"] * 50)


def with_schema_metadata(metadata: dict[bytes, bytes]) -> bytes:
    whole = io.BytesIO()
    there = pa.table({"text": ["甲", "乙"]}).replace_schema_metadata(metadata)
    parquet.write_table(there, whole)
    return whole.getvalue()


def pickled_extension() -> bytes:
    """A column that asks to be unpickled; doing so would raise."""
    field = pa.field(
        "text",
        pa.string(),
        metadata={
            b"ARROW:extension:name": b"arrow.py_extension_type",
            b"ARROW:extension:metadata": b"cos\nsystem\n(S'exit 9'\ntR.",
        },
    )
    whole = io.BytesIO()
    parquet.write_table(pa.table([pa.array(["甲", "乙"])], schema=pa.schema([field])), whole)
    return whole.getvalue()


def not_utf8_parquet() -> bytes:
    bad = pa.array([b"good", b"\xff\xfe", b"fine"]).view(pa.string())
    whole = io.BytesIO()
    parquet.write_table(pa.table({"text": bad}), whole)
    return whole.getvalue()


def damaged_pages() -> bytes:
    """A whole footer over data that was overwritten."""
    raw = bytearray(GOOD_PARQUET)
    raw[4:60] = b"\xaa" * 56
    return bytes(raw)


def hostile_arrow() -> bytes:
    """Offsets of a string column that point far outside of its data."""
    whole = io.BytesIO()
    array = pa.Array.from_buffers(
        pa.string(),
        2,
        [None, pa.py_buffer(struct.pack("<3i", 0, 1 << 30, 8)), pa.py_buffer(b"x" * 8)],
    )
    batch = pa.RecordBatch.from_arrays([array], ["text"])
    with pa.ipc.new_file(whole, batch.schema) as writer:
        writer.write_batch(batch)
    return whole.getvalue()


def parquet_bomb(path: Path) -> None:
    there = pa.table({"text": ["a" * 1_000_000] * 200})
    parquet.write_table(there, path, compression="zstd")


def gz_bomb(path: Path) -> None:
    with gzip.open(path, "wb", compresslevel=1) as file:
        for _ in range(120):
            file.write(bytes(1_000_000))


def zip_bomb(path: Path) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for at in range(12):
            archive.writestr(f"{at}.txt", bytes(10_000_000))


def one_long_line(path: Path) -> None:
    with path.open("wb") as file:
        file.write(b'{"text": "')
        for _ in range(200):
            file.write(b"a" * 1_000_000)
        file.write(b'"}\n' + LINE.encode() + b"\n")


def one_long_line_below(path: Path) -> None:
    with path.open("wb") as file:
        file.write((LINE + "\n").encode() * 3 + b'{"text": "')
        for _ in range(100):
            file.write(b"a" * 1_000_000)
        file.write(b'"}\n' + LINE.encode() + b"\n")


def one_long_text(path: Path) -> None:
    with path.open("wb") as file:
        for _ in range(200):
            file.write(b"a" * 1_000_000)
        file.write("\n之後仲有一行。\n".encode())


def long_array(path: Path) -> None:
    """An array whose second element is never closed."""
    with path.open("wb") as file:
        file.write(b"[" + LINE.encode() + b',\n{"text": "')
        for _ in range(150):
            file.write(b"a" * 1_000_000)


def database(path: Path) -> None:
    with sqlite3.connect(path) as there:
        there.execute("create table a (b text)")
    there.close()


def tar(path: Path) -> None:
    import tarfile

    with tarfile.open(path, "w") as archive:
        info = tarfile.TarInfo("a.jsonl")
        info.size = len(LINE.encode())
        archive.addfile(info, io.BytesIO(LINE.encode()))


def office(folder: str) -> bytes:
    return zipped({"[Content_Types].xml": b"<Types/>", f"{folder}/document.xml": b"<x/>"})


def late_garbage(path: Path) -> None:
    """Big5 for longer than is looked at, then a line that no Big5 has."""
    good = ("佢話聽日會嚟，我就等佢。" * 20 + "\n").encode("big5hkscs")
    path.write_bytes(good * 1000 + b"\xff\xff\xff\n" + good)


POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 123456\n"
PAGE = b"\n<!DOCTYPE html>\n<html><body>404 Not Found</body></html>\n"
PICTURE = b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 4
DEEP = "[" * 100_000 + "]" * 100_000
ARRAY = f"[\n{LINE},\n{OTHER}\n]"
HEAD = "id,text\n"

CASES: tuple[Case, ...] = (
    # what is not data at all
    refused("empty.jsonl", b"", NoRows, says="holds no rows"),
    refused("white.json", b" \n\t \r\n" * 9, NoRows),
    refused("a mark.txt", b"\xef\xbb\xbf", NoRows),
    refused("blank lines.txt", b"\n" * 1_000_000, NoRows, big=True),
    refused("pointer.parquet", POINTER, BrokenFile, says="Git LFS pointer"),
    refused("page.json", PAGE, BrokenFile, says="web page"),
    refused("feed.csv", b"<?xml version='1.0'?><a/>", BrokenFile, says="XML"),
    refused("picture.json", PICTURE, BrokenFile, says="PNG"),
    refused("paper.json", b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n", BrokenFile, says="PDF"),
    refused("pickled.json", pickle.dumps({"a": 1}), BrokenFile, says="pickle"),
    refused("base.json", database, BrokenFile, says="SQLite"),
    refused("letter.json", office("word"), BadArchive, says="Word"),
    refused("sheet.csv", office("xl"), BadArchive, says="Excel"),
    refused("weights.json", zipped({"m/data.pkl": b"x"}), BadArchive, says="PyTorch"),
    refused("rich.txt", b"{\\rtf1\\ansi hello}", BrokenFile, says="RTF"),
    refused("model.json", b"GGUF\x03\x00\x00\x00" + bytes(40), BrokenFile, says="GGUF"),
    refused("program.txt", b"MZ\x90\x00\x03\x00\x00\x00abc", BrokenFile, says="program"),
    refused("noise.jsonl", bytes(i * i * 7 % 251 for i in range(3000)), BrokenFile, NotText),
    refused("many.tar", tar, BrokenFile, says="tar"),
    refused("odd.jsonl", b"BZh91AY&SY", BrokenFile, says="bzip2"),
    refused("name\n\x1b[31m\u202egnp.json", PICTURE, BrokenFile, says="PNG"),
    # archives
    refused("cut.jsonl.gz", gzip.compress(LINE.encode() * 99)[:-20], BadArchive, says="cut short"),
    refused("wrong.gz", b"\x1f\x8b\x08\x00" + b"\xaa" * 60, BadArchive),
    refused("sum.gz", gzip.compress(b"x" * 99)[:-8] + bytes(8), BadArchive, says="damaged"),
    refused("bomb.gz", gz_bomb, FileTooLarge, limit=50_000_000, big=True),
    refused("bomb.zip", zip_bomb, FileTooLarge, limit=50_000_000, big=True),
    refused("up.zip", zipped({"../up.jsonl": LINE.encode()}), BadArchive, says="leads out"),
    refused("root.zip", zipped({"/etc/a.jsonl": LINE.encode()}), BadArchive, says="leads out"),
    refused("drive.zip", zipped({"C:\\a.jsonl": LINE.encode()}), BadArchive, says="leads out"),
    refused(
        "link.zip",
        zipped({"a.jsonl": b"/etc/passwd"}, attributes=0o120777 << 16),
        BadArchive,
        says="link",
    ),
    refused("locked.zip", locked(), BadArchive, says="password"),
    refused("cut.zip", zipped({"a.jsonl": LINE.encode() * 99})[:-30], BadArchive, says="cut short"),
    refused("nothing.zip", zipped({}), BadArchive, says="no files"),
    refused("clutter.zip", zipped({"__MACOSX/._a": b"x", ".DS_Store": b"y"}), BadArchive),
    refused("nested.zip", zipped({"in.zip": zipped({"a.jsonl": LINE.encode()})}), BadArchive),
    refused("pictures.zip", zipped({"a.png": PICTURE, "b.png": PICTURE}), BadArchive, says="none"),
    refused(
        "deep.gz",
        gzip.compress(gzip.compress(gzip.compress(LINE.encode()))),
        BadArchive,
        says="packed",
    ),
    # parquet and arrow
    refused("cut.parquet", GOOD_PARQUET[:-20], BrokenFile, says="Parquet"),
    refused("head.parquet", b"PAR1" + b"\x07" * 200, BrokenFile, says="Parquet"),
    refused("tiny.parquet", b"PAR1", BrokenFile, says="Parquet"),
    refused("locked.parquet", b"PARE" + bytes(50), BrokenFile, says="encrypted"),
    refused("cut.arrow", b"ARROW1\x00\x00" + b"\x01" * 64, BrokenFile, says="Arrow"),
    refused("stream.arrow", b"\xff\xff\xff\xff\x10\x00\x00\x00" + b"\x01" * 64, BrokenFile),
    read("pandas.parquet", with_schema_metadata({b"pandas": b"{not json"}), 2),
    read("hidden.parquet", pickled_extension(), 2),
    read("bytes.parquet", not_utf8_parquet(), 2, 2, says="no text"),
    read("overwritten.parquet", damaged_pages(), 0, 1, says="damaged"),
    read("hostile.arrow", hostile_arrow(), 0, 1, says="damaged"),
    refused("bomb.parquet", parquet_bomb, FileTooLarge, limit=100_000_000, big=True),
    # JSON Lines
    read("one bad.jsonl", lines(LINE, '{"a": 1', OTHER), 2, 2, says="ends in the middle"),
    read("last cut.jsonl", lines(LINE, OTHER) + LINE[:30], 2, 3, says="ends in the middle"),
    read("first bad.jsonl", lines("oops", LINE, OTHER), 2, 1, says="not JSON"),
    read("single quotes.jsonl", lines("{'a': 1}", "{'a': 2}"), 0, 1, 2, says="single quotes"),
    read("blank between.jsonl", lines(LINE, "", " ", "x", OTHER), 2, 4),
    read("two on a line.jsonl", lines(LINE, LINE + OTHER, OTHER), 2, 2, says="something more"),
    read("no rows.jsonl", lines(LINE, "null", "5", "true", "[]", OTHER), 2, 2, 3, 4, 5),
    read("half pair.jsonl", lines(LINE, '{"a": "x\\ud83d"}', OTHER), 2, 2, says="surrogate"),
    read("half key.jsonl", lines(LINE, '{"\\udc00": 1}', OTHER), 2, 2, says="surrogate"),
    read("not a number.jsonl", lines(LINE, '{"a": NaN, "b": -Infinity}', OTHER), 3),
    read("digits.jsonl", lines(LINE, '{"a": %s}' % ("7" * 400), OTHER), 3),
    read("more digits.jsonl", lines(LINE, '{"a": %s}' % ("7" * 5000), OTHER), 2, 2, says="4,300"),
    read("huge.jsonl", lines(LINE, '{"a": 1e999}', OTHER), 3),
    read("deep.jsonl", lines(LINE, DEEP, '{"a":' * 20_000, OTHER), 2, 2, 3, says="nested"),
    read("rather deep.jsonl", lines(LINE, "[" * 500 + "]" * 500, OTHER), 2, 2, says="nested"),
    read("bytes.jsonl", LINE.encode() + b'\n{"a": "\xff\xfe"}\n' + OTHER.encode(), 2, 2),
    read("zeros.jsonl", LINE.encode() + b"\n" + OTHER.encode() + b"\n" + bytes(600), 2, 3),
    read("control.jsonl", lines(LINE, '{"a": "x\x01y"}', OTHER), 2, 2, says="control"),
    read("mixed.jsonl", lines(LINE, '{"a": {"b": [1]}}', '"text"', '[{"role": "user"}]'), 4),
    read("twice.jsonl", lines('{"a": 1, "a": 2}', LINE), 2),
    read("marks.jsonl", "\ufeff" + lines(LINE, "\ufeff" + OTHER), 2),
    read("separators.jsonl", lines(LINE, '{"a": "x\u2028y\u0085z"}'), 2),
    read("long first.jsonl", one_long_line, 1, 1, says="longer than 64 MB", big=True),
    read("long below.jsonl", one_long_line_below, 4, 4, says="longer than 64 MB", big=True),
    # JSON
    read("cut.json", ARRAY[:-30], 1, 3, says="ends in the middle"),
    read("no end.json", ARRAY[:-1], 2, 4, says="before the closing ]"),
    read("no comma.json", f"[{LINE}\n{OTHER}]", 1, 2, says="comma"),
    read("no commas.json", ARRAY.replace("},", "}"), 2, 1, 4),
    read("broken.json", ARRAY.replace(OTHER, '{"a": b}'), 1, 3, says="not JSON"),
    read("late.json", f'[\n{LINE},\n{{"a": 1,\n"b" 2}}]', 1, 4, says="delimiter"),
    read("deep.json", f"[{LINE},\n{DEEP}]", 1, 2, says="nested"),
    read("numbers.json", f"[{LINE},\n1,\nnull,\n{OTHER}]", 2, 2, 3, says="a number"),
    read("half pair.json", f'[{LINE},\n{{"a": "\\ud83d"}},\n{OTHER}]', 2, 2, says="surrogate"),
    read("bytes.json", ARRAY.encode().replace(b"},", b'},{"a": "\xff"},'), 2, 2, says="no text"),
    read("cut wrapper.json", f'{{"data": [\n{LINE},\n{OTHER},\n{{"a"', 2, 4),
    read("behind.json", f"[\n{LINE}\n]\nHello", 1, 4, says="not JSON"),
    read("nothing in it.json", "[]", 0),
    read("open.json", "[", 0, 1),
    read("endless.json", long_array, 1, 2, says="longer than 64 MB", big=True),
    # tables
    read("fields.csv", HEAD + "1,甲\n2,乙,丙\n3\n4,丁\n", 2, 3, 4, says="3 fields"),
    read("quote.csv", HEAD + '1,"never closed\n2,乙\n3,丙\n', 2, 2, says="never closed"),
    read("behind quote.csv", HEAD + '1,"甲"乙\n2,丙\n', 1, 2, says="closing quote"),
    read("bytes.csv", b"id,text\n1,a\n2,\xff\n3,c\n" + b"4,d\n" * 9 + "5,é\n".encode(), 13),
    read("zeros.csv", HEAD + "1,甲\n" * 70_000 + "2,\x00\n3,丙\n", 70_001, 70_002, says="NUL"),
    read("same names.csv", "text,text,text\n1,2,3\n4,5,6\n", 2),
    # running text
    read("long.txt", one_long_text, 1, 1, says="longer than 64 MB", big=True),
    read("late.txt", late_garbage, 1001, 1001, says="no text"),
)


def without_file(folder: Path) -> dict[str, tuple[Path, type[WorkbenchError]]]:
    """Places that are no files, by what they are."""
    pipe = folder / "pipe.jsonl"
    os.mkfifo(pipe)
    (folder / "folder.jsonl").mkdir()
    (folder / "nowhere.jsonl").symlink_to(folder / "gone")
    return {
        "a pipe": (pipe, BrokenFile),
        "a folder": (folder / "folder.jsonl", BrokenFile),
        "a link to nowhere": (folder / "nowhere.jsonl", TextNotFound),
        "nothing": (folder / "gone.jsonl", TextNotFound),
        "a name too long": (folder / ("x" * 5000), BrokenFile),
        "a name with a zero": (folder / "a\x00b", TextNotFound),
    }


def pretty(rows: int) -> str:
    """Objects over several lines, one after another, as some programs print them."""
    one = json.dumps(json.loads(LINE), ensure_ascii=False, indent=2)
    return "\n".join([one] * rows)
