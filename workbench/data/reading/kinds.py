"""What a file is, by its bytes and never by its name.

Everything that is no dataset is refused here in one sentence that says what it is instead.
This module does not read rows.
"""

from __future__ import annotations

import codecs
import re
from itertools import islice
from pathlib import Path

import orjson

from workbench.data.reading import arrowfiles
from workbench.data.reading.delimited import table_of
from workbench.data.reading.jsonvalues import WHITE
from workbench.data.reading.lines import MARK, numbered_lines, utf8_copy
from workbench.data.reading.opened import Kind, Opened, megabytes
from workbench.errors import BrokenFile, FileTooLarge, NoRows, WorkbenchError
from workbench.texts import BOMS, encoding_of

HEAD = 1 << 18
"""Bytes that are looked at."""
MOST_LINES = 100
REPLACED = "\ufffd"
SOUND = 20
"""Whole characters beyond ASCII for each broken one: another encoding has not so many."""
LFS = b"version https://git-lfs.github.com/spec/v1"
# What people rename, or download in place of what they wanted.
MAGIC: tuple[tuple[bytes, str], ...] = (
    (b"\x89PNG", "a PNG picture"),
    (b"\xff\xd8\xff", "a JPEG picture"),
    (b"GIF8", "a GIF picture"),
    (b"%PDF", "a PDF document"),
    (b"SQLite format 3\x00", "an SQLite database"),
    (b"\xd0\xcf\x11\xe0", "an old Word, Excel or PowerPoint file"),
    (b"{\\rtf", "an RTF document"),
    (b"GGUF", "a GGUF model"),
    (b"\x7fELF", "a program"),
    (b"MZ", "a program"),
    (b"\x93NUMPY", "a NumPy array"),
    (b"\x89HDF", "an HDF5 file"),
    (b"Obj\x01", "an Avro file"),
    (b"ORC", "an ORC file"),
    (b"PARE", "an encrypted Parquet file"),
    (b"BZh", "a bzip2 archive; only zip and gz are unpacked"),
    (b"\xfd7zXZ", "an xz archive; only zip and gz are unpacked"),
    (b"7z\xbc\xaf", "a 7-Zip archive; only zip and gz are unpacked"),
    (b"Rar!", "a RAR archive; only zip and gz are unpacked"),
    (b"\x28\xb5\x2f\xfd", "a zstd archive; only zip and gz are unpacked"),
)
PAGES = (
    ("<!doctype html", "a web page, as a failed download leaves behind"),
    ("<html", "a web page, as a failed download leaves behind"),
    ("<?xml", "XML"),
)
SCALARS = (b"null", b"true", b"false", b"[]", b"{}", b'""')
# What an array or object of rows begins with; "[Verse 1]" and "{{char}}" are text.
OPENING = re.compile(r"\[\s*[\[{\"\]]|\{\s*[\"'}]|[\[{]\s*\Z|\[\s*\{'")


def look(path: Path, name: str, spare: Path, limit: int) -> Opened:
    """What a plain file is; if it is not in UTF-8, a copy that is goes to ``spare``.

    Raises:
        BrokenFile, NotText, NoRows, FileTooLarge.
    """
    size = path.stat().st_size
    if size > limit:
        raise FileTooLarge(name=name, size=megabytes(size), limit=megabytes(limit))
    head = _head(path)
    if not head:
        raise NoRows(name=name)
    if kind := arrowfiles.kind_of(head):
        arrowfiles.check(path, kind, name, limit)
        return Opened(name, path, kind, size=size, limit=limit)
    _refuse_foreign(head, size, name)
    encoding = _encoding(head, size > len(head), name)
    returns = b"\r" in head and b"\n" not in head
    if encoding not in ("utf-8", "utf-8-sig") or returns:
        utf8_copy(path, spare, encoding, returns)
        path = spare
    return _look_at_text(path, name, encoding, size, limit)


def _head(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(HEAD)


def _refuse_foreign(head: bytes, size: int, name: str) -> None:
    """Raises:
    BrokenFile: the file is of a well-known kind that holds no rows.
    """
    what = next((what for magic, what in MAGIC if head.startswith(magic)), "")
    if head[:1] == b"\x80" and head[1:2] in b"\x02\x03\x04\x05" and head[1:2]:
        what = "a Python pickle, which can hide programs"
    elif head[8:10] == b'{"' and int.from_bytes(head[:8], "little") < 1 << 32 and b"\0" in head[:8]:
        what = "a safetensors model"
    elif head[257:262] == b"ustar":
        what = "a tar archive; only zip and gz are unpacked"
    elif head[:4] == b"RIFF" or head[4:8] == b"ftyp" or head[:3] == b"ID3":
        what = "a picture, sound or video"
    elif head.startswith(LFS):
        what = f"a Git LFS pointer of {size} bytes; fetch the file itself with git lfs pull"
    if what:
        raise BrokenFile(name=name, format="data", reason=f"it is {what}")


def _encoding(head: bytes, cut: bool, name: str) -> str:
    """The codec of a file, from its first bytes.

    Raises:
        NotText, BrokenFile.
    """
    if any(head.startswith(mark) for mark, _ in BOMS):
        return encoding_of(head, name)
    if _is_utf8(head, cut):
        return "utf-8"
    if found := _wide_json(head):
        return found
    fault: WorkbenchError | None = None
    for part in _parts(head) if cut else [head]:
        try:
            return encoding_of(part, name)
        except WorkbenchError as error:
            fault = fault or error
    assert fault
    raise fault


def _is_utf8(head: bytes, cut: bool) -> bool:
    """UTF-8 throughout, or with so few faults that they are faults and no other encoding."""
    text = codecs.getincrementaldecoder("utf-8")("replace").decode(head, final=not cut)
    faults = text.count(REPLACED)
    wide = sum(character > "\x7f" for character in text) if faults else 0
    if wide - faults < SOUND * faults or b"\x00" in head:
        return _mostly_utf8(head)
    return True


def _mostly_utf8(head: bytes) -> bool:
    """True for JSON Lines of which most lines are whole, as after a crash."""
    lines = [line for line in head.split(b"\n")[:MOST_LINES] if line.strip(b"\x00 \t\r")]
    return sum(map(_is_value, lines)) * 2 > len(lines) and len(lines) > 1


def _parts(head: bytes) -> list[bytes]:
    """A head cut off in the middle of a character, and again without some of its end."""
    whole_lines = head[: head.rfind(b"\n") + 1]
    even = len(head) // 4 * 4
    parts = [head[:even], head[: even - 2], whole_lines, *(head[:-at] for at in range(1, 4))]
    return [part for part in parts if part]


def _wide_json(head: bytes) -> str:
    """UTF-16 or UTF-32 without a mark, from the zeros in the first two characters of JSON."""
    zeros = "".join("x" if byte else "0" for byte in head[:4])
    found = {
        "x000": "utf-32-le",
        "000x": "utf-32-be",
        "x0x0": "utf-16-le",
        "0x0x": "utf-16-be",
    }.get(zeros, "")
    first = head[:4].strip(b"\x00")[:1]
    return found if first in (b"{", b"[", b'"') else ""


def _look_at_text(path: Path, name: str, encoding: str, size: int, limit: int) -> Opened:
    head = _head(path).removeprefix(MARK)
    start = head.decode("utf-8", "replace").lstrip()
    if not start and not _has_ink(path):
        raise NoRows(name=name)
    for opening, what in PAGES:
        if start[:100].lower().startswith(opening):
            raise BrokenFile(name=name, format="data", reason=f"it is {what}")
    kind = _json_kind(path, head, start)
    if kind:
        return Opened(name, path, kind, encoding, size, limit=limit)
    whole = len(head) < HEAD - len(MARK)
    lines = list(islice(numbered_lines(path), head.count(b"\n") + whole))
    table = table_of(lines[:1000])
    if table is None:
        return Opened(name, path, "text", encoding, size, limit=limit)
    kind = "tsv" if table.delimiter == "\t" else "csv"
    return Opened(
        *(name, path, kind, encoding, size, table.delimiter, table.header, table.width),
        skip=table.skip,
        limit=limit,
    )


def _has_ink(path: Path) -> bool:
    """True if anything but white space is in a file."""
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    with path.open("rb") as file:
        chunks = iter(lambda: file.read(1 << 20), b"")
        return any(decoder.decode(chunk).strip(f"{WHITE}\u3000\xa0") for chunk in chunks)


def _json_kind(path: Path, head: bytes, start: str) -> Kind | None:
    """JSON Lines if most lines are values of their own; JSON if it begins like it."""
    lines = [line for line in head.split(b"\n") if line.strip()]
    whole = lines[:-1] if len(head) >= HEAD - len(MARK) and len(lines) > 1 else lines
    values = sum(map(_is_value, whole[:MOST_LINES]))
    scalars = sum(line.strip() in SCALARS for line in whole[:MOST_LINES])
    if values and (values + scalars) * 2 >= min(len(whole), MOST_LINES) and len(whole) > 1:
        return "jsonl"
    if not OPENING.match(start[:1000]) and not values:
        return None
    if len(whole) == 1 and _goes_on(path):
        return "jsonl"
    return "json" if not start.startswith(("{'", "[{'")) else "jsonl"


def _is_value(line: bytes) -> bool:
    """True for a line that is an object, a list or a text by itself."""
    bare = line.removeprefix(MARK).strip()
    if len(bare) < 3 or bare[:1] not in b'{["':
        return False
    try:
        orjson.loads(bare)
    except orjson.JSONDecodeError:
        return False
    return True


def _goes_on(path: Path) -> bool:
    """True if a file whose first line is very long has another that begins a value."""
    for number, line in islice(numbered_lines(path), 3):
        if number > 1 and line and line.lstrip()[:1] in (b"{", b"["):
            return True
    return False
