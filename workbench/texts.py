"""Texts as documents: from a paste, a file, a sample or a Hub dataset column.

A ``.txt`` is one running text; each row of a ``.jsonl``, ``.csv`` or ``.parquet`` is a
document. The encoding is detected from the bytes. This module does not know what
the documents are for.
"""

from __future__ import annotations

import csv
import functools
import hashlib
import io
import json
import re
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workbench.errors import (
    BrokenFile,
    DatasetUnavailable,
    EmptyFile,
    NoDataset,
    NoText,
    NotText,
    OutOfRange,
    TextNotFound,
    TextTooLarge,
    UnknownColumn,
)

SAMPLES = Path(__file__).resolve().parents[1] / "assets" / "samples"
DEFAULT_COLUMN = "text"
HUB_DATASET = re.compile(r"[\w\-][\w.\-]*/[\w\-][\w.\-]*", re.ASCII)
"""OWNER/NAME, and nothing that could be a folder above or an address."""
COMMON = " \n,.，。、！？"
BOMS = (
    (b"\xff\xfe\x00\x00", "utf-32"),
    (b"\x00\x00\xfe\xff", "utf-32"),
    (b"\xff\xfe", "utf-16"),
    (b"\xfe\xff", "utf-16"),
    (b"\xef\xbb\xbf", "utf-8-sig"),
)
WIDE = ("utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be")
# What a Chinese-speaking person's old files are in, before the rest of the world's.
LEGACY = ["big5hkscs", "gb18030", "shift_jis", "euc_jp", "euc_kr", "cp1252", "cp1251"]


@dataclass(frozen=True)
class Text:
    """Documents with a name; empty ones are left out."""

    name: str
    documents: tuple[str, ...]

    def __post_init__(self) -> None:
        if not any(self.documents):
            raise EmptyFile(name=self.name)

    @property
    def characters(self) -> int:
        """Unicode code points."""
        return sum(map(len, self.documents))

    @property
    def bytes(self) -> int:
        """Bytes in UTF-8."""
        return sum(len(document.encode()) for document in self.documents)

    @functools.cached_property
    def sha256(self) -> str:
        """The same documents give the same value, whatever file they came in."""
        whole = hashlib.sha256()
        for document in self.documents:
            raw = document.encode()
            whole.update(len(raw).to_bytes(8, "big") + raw)
        return whole.hexdigest()


def from_paste(text: str, limit: int, name: str = "The pasted text") -> Text:
    """One document, exactly as pasted.

    Raises:
        NoText, TextTooLarge.
    """
    clean = _with_bytes(text)
    _check_size(name, len(clean.encode()), limit)
    if not clean.strip():
        raise NoText
    return Text(name, (clean,))


def from_file(path: Path, limit: int, column: str = DEFAULT_COLUMN) -> Text:
    """The documents of a file, by its ending.

    Raises:
        TextNotFound, TextTooLarge, NotText, BrokenFile, UnknownColumn, EmptyFile.
    """
    if not path.is_file():
        raise TextNotFound(name=path.name)
    _check_size(path.name, path.stat().st_size, limit)
    ending = path.suffix.lower()
    if ending == ".parquet":
        documents = _parquet(path, column, limit)
    else:
        text = decode(path.read_bytes(), path.name)
        if ending in (".jsonl", ".ndjson"):
            documents = _jsonl(text, path.name, column)
        elif ending in (".csv", ".tsv"):
            documents = _csv(text, path.name, column, "\t" if ending == ".tsv" else ",")
        else:
            documents = [text]
    return Text(path.name, tuple(_with_bytes(one) for one in documents if one.strip()))


def _with_bytes(text: str) -> str:
    """Lone surrogates, which JSON can spell, have no bytes: a question mark stands for each."""
    return text.encode("utf-8", "replace").decode()


def sample_names() -> list[str]:
    """The bundled samples, Cantonese first."""
    order = ["cantonese", "written-chinese", "simplified-mandarin", "english"]
    return sorted((path.stem for path in SAMPLES.glob("*.jsonl")), key=order.index)


def sample(name: str) -> Text:
    """One bundled sample.

    Raises:
        TextNotFound.
    """
    if name not in sample_names():
        raise TextNotFound(name=name)
    return from_file(SAMPLES / f"{name}.jsonl", limit=10_000_000)


@dataclass(frozen=True)
class HubColumn:
    """A column of a dataset on the Hub, read as a stream and cut after ``rows``."""

    dataset: str
    config: str | None = None
    split: str = "train"
    column: str = DEFAULT_COLUMN
    rows: int = 100

    def __post_init__(self) -> None:
        if not self.dataset.strip():
            raise NoDataset
        # the library would take a folder of this machine, or an address, just as well
        if not HUB_DATASET.fullmatch(self.dataset) or Path(self.dataset).exists():
            raise DatasetUnavailable(name=self.dataset[:100], reason="that is not OWNER/NAME")
        if not 1 <= self.rows <= 10_000:
            raise OutOfRange(field="rows", value=self.rows, low=1, high=10_000)


def from_hub(source: HubColumn, limit: int, token: str | None = None) -> Text:
    """The first rows of a Hub dataset.

    Raises:
        DatasetUnavailable, UnknownColumn, EmptyFile, TextTooLarge.
    """
    from datasets import load_dataset

    try:
        stream = load_dataset(
            source.dataset, source.config, split=source.split, streaming=True, token=token
        )
        rows = list(stream.take(source.rows))
    except Exception as error:  # the library raises whatever the Hub or the file makes it
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
        raise DatasetUnavailable(name=source.dataset, reason=reason) from error
    documents = _pick(rows, source.dataset, source.column)
    _check_size(source.dataset, sum(len(document.encode()) for document in documents), limit)
    return Text(source.dataset, tuple(document for document in documents if document.strip()))


def decode(raw: bytes, name: str) -> str:
    """Bytes to text in whatever encoding they are.

    Raises:
        NotText, BrokenFile: no encoding fits, or NUL bytes show that it is no text.
    """
    encoding = encoding_of(raw, name)
    try:
        text = raw.decode(encoding)
    except UnicodeDecodeError as error:
        raise NotText(name=name) from error
    if "\x00" in text:
        raise _holds_nul(name)
    return text


def encoding_of(raw: bytes, name: str) -> str:
    """The codec in which bytes are text; after a byte order mark they may still not be.

    A mark decides, then strict UTF-8, then UTF-16 or UTF-32 without a mark, then the
    guess of charset-normalizer among the encodings old files are in.

    Raises:
        NotText, BrokenFile: no encoding fits, or NUL bytes show that it is no text.
    """
    for mark, encoding in BOMS:
        if raw.startswith(mark):
            return encoding
    if b"\x00" not in raw and _reads_as(raw, "utf-8"):
        return "utf-8"
    unmarked = max(WIDE, key=lambda encoding: _signs_of_text(_reads_as(raw, encoding)))
    if _signs_of_text(_reads_as(raw, unmarked)) > 0:
        return unmarked
    if b"\x00" in raw:
        raise _holds_nul(name)
    return _guessed(raw, name)


def _reads_as(raw: bytes, encoding: str) -> str:
    try:
        return raw.decode(encoding) or " "
    except UnicodeDecodeError:
        return ""


def _signs_of_text(text: str) -> float:
    """The share of spaces and common punctuation; 0 when unassigned code points abound."""
    if not text or "\x00" in text:
        return 0
    odd = sum(unicodedata.category(character) in ("Cn", "Co", "Cs") for character in text)
    return 0 if odd > 0.02 * len(text) else sum(map(text.count, COMMON)) / len(text)


def _holds_nul(name: str) -> BrokenFile:
    return BrokenFile(name=name, format="text", reason="it holds NUL bytes, as programs do")


def _guessed(raw: bytes, name: str) -> str:
    from charset_normalizer import from_bytes

    best = from_bytes(raw, cp_isolation=LEGACY, threshold=0.3).best()
    if best is None:
        raise NotText(name=name)
    return best.encoding


def _check_size(name: str, size: int, limit: int) -> None:
    if size > limit:
        raise TextTooLarge(name=name, size=f"{size / 1e6:.1f} MB", limit=f"{limit / 1e6:.1f} MB")


def _jsonl(text: str, name: str, column: str) -> list[str]:
    rows: list[Any] = []
    # not splitlines: U+2028 and U+0085 are plain characters inside a JSON string
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            rows.append(json.loads(line))
        except ValueError as error:
            reason = f"line {number} is not JSON"
            raise BrokenFile(name=name, format="JSON Lines", reason=reason) from error
    if rows and all(isinstance(row, str) for row in rows):
        return rows
    return _pick([row for row in rows if isinstance(row, dict)], name, column)


def _csv(text: str, name: str, column: str, delimiter: str) -> list[str]:
    csv.field_size_limit(1 << 30)
    try:
        reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
        return _pick(list(reader), name, column)
    except csv.Error as error:
        raise BrokenFile(name=name, format="CSV", reason=str(error)) from error


def _parquet(path: Path, column: str, limit: int) -> list[str]:
    import pyarrow as arrow
    import pyarrow.parquet as parquet

    try:
        file = parquet.ParquetFile(path)
        names = [field.name for field in file.schema_arrow if _is_text(field.type)]
        if column not in names:
            raise UnknownColumn(name=path.name, column=column, columns=", ".join(names) or "none")
        return list(_column_within(file, column, limit, path.name))
    except (arrow.ArrowException, OSError) as error:
        reason = str(error).splitlines()[0][:120]
        raise BrokenFile(name=path.name, format="Parquet", reason=reason) from error


def _column_within(file: Any, column: str, limit: int, name: str) -> Iterator[str]:
    """Row by row, so that a small file that unpacks to a huge one stops at the limit."""
    size = 0
    for batch in file.iter_batches(batch_size=1024, columns=[column]):
        for value in batch.column(0).to_pylist():
            size += len((value or "").encode())
            _check_size(name, size, limit)
            yield value or ""


def _is_text(kind: Any) -> bool:
    import pyarrow.types as types

    return bool(types.is_string(kind) or types.is_large_string(kind))


def _pick(rows: Iterable[dict[str, Any]], name: str, column: str) -> list[str]:
    """One column of rows, which must exist and hold text."""
    listed = list(rows)
    if not listed:
        raise EmptyFile(name=name)
    if not any(isinstance(row.get(column), str) for row in listed):
        found = {
            key for row in listed[:100] for key, value in row.items() if isinstance(value, str)
        }
        raise UnknownColumn(
            name=name, column=column, columns=", ".join(sorted(map(str, found))) or "none"
        )
    return [row[column] if isinstance(row.get(column), str) else "" for row in listed]
