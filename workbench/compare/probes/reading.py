"""From a file to questions that can be asked: YAML, JSONL, and CSV for multiple choice.

A row that cannot be asked is named with its number and the reason; the good ones can be used
when the person says so. This module does not know models.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterator
from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from typing import Any

import yaml

from workbench.compare.probes.items import (
    BLANK,
    CLASSES,
    KINDS,
    BadRow,
    Choice,
    Item,
    Kind,
    ProbeSet,
)
from workbench.errors import (
    BadProbeFile,
    BadProbeRows,
    EmptyFile,
    NoProbeItems,
    NoSuchProbe,
    TextNotFound,
    TextTooLarge,
)
from workbench.texts import decode

SHIPPED = Path(__file__).resolve().parents[3] / "assets" / "probes"
ORDER = ("hong-kong", "cantonese-pairs", "cantonese-cloze", "logic")
ENDINGS = (".yaml", ".yml", ".jsonl", ".ndjson", ".csv", ".tsv")
POINTER = b"version https://git-lfs"
OPTION = re.compile(r"(?:option|選項|选项)?[ _-]?(?:[A-Ja-j]|10|[0-9])", re.IGNORECASE)
BLANKS = re.compile("[＿_]{2,}")
SEPARATOR = "|"
MOST_ITEMS = 10_000
TOLD = 8
"""Bad rows named in one sentence."""


@dataclass(frozen=True)
class _Rows:
    """What a file holds: its head, and rows with their numbers."""

    head: dict[str, Any]
    rows: list[tuple[int, Any]]
    """A row is a dictionary, or a ``ValueError`` where not even that could be read."""


def shipped_names() -> list[str]:
    """The sets that come with the workbench, in the order they are shown."""
    names = [path.stem for path in SHIPPED.glob("*.yaml")]
    return sorted(names, key=lambda name: (ORDER.index(name) if name in ORDER else 99, name))


def open_probe(name: str, limit: int, skip_bad: bool = False) -> ProbeSet:
    """A shipped set by its name, or a person's own by its file.

    Raises:
        NoSuchProbe, and what ``read_probe`` raises.
    """
    if name in shipped_names():
        return read_probe(SHIPPED / f"{name}.yaml", limit)
    path = Path(name)
    if path.suffix.lower() not in ENDINGS and not path.is_file():
        raise NoSuchProbe(name=name, names=", ".join(shipped_names()))
    return read_probe(path, limit, skip_bad)


def read_probe(path: Path, limit: int, skip_bad: bool = False) -> ProbeSet:
    """Read and check a file of questions.

    Args:
        limit: the most bytes it may have.
        skip_bad: leave rows out that cannot be asked; they are listed in ``bad``.

    Raises:
        TextNotFound, TextTooLarge, EmptyFile, NotText, BrokenFile: from reading it.
        BadProbeFile: it is none. BadProbeRows: some rows are not. NoProbeItems: all are not.
    """
    if not path.is_file():
        raise TextNotFound(name=path.name)
    size = path.stat().st_size
    if size > limit:
        raise TextTooLarge(
            name=path.name, size=f"{size / 1e6:.1f} MB", limit=f"{limit / 1e6:.1f} MB"
        )
    return parse(path.read_bytes(), path.name, skip_bad)


def parse(raw: bytes, name: str, skip_bad: bool = False) -> ProbeSet:
    """The same for bytes; the ending of ``name`` says what they are."""
    if raw.startswith(POINTER):
        raise BadProbeFile(
            name=name, reason="it is a Git-LFS pointer, not the file itself; fetch it with git lfs"
        )
    text = _decoded(raw, name)
    if not text.strip():
        raise EmptyFile(name=name)
    ending = Path(name).suffix.lower()
    if ending in (".csv", ".tsv"):
        found = _csv(text, name, "\t" if ending == ".tsv" else ",")
    else:
        found = (_jsonl if ending in (".jsonl", ".ndjson") else _yaml)(text, name)
    if len(found.rows) > MOST_ITEMS:
        raise BadProbeFile(name=name, reason=f"it has more than {MOST_ITEMS} items")
    return _checked(found, name, skip_bad)


def _decoded(raw: bytes, name: str) -> str:
    """Text; bytes that do not fit in with an otherwise UTF-8 file become U+FFFD, found later."""
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        odd = [line for line in raw.split(b"\n") if not line.isascii()]
        good = sum(_is_utf8(line) for line in odd)
        if b"\x00" not in raw and good and 2 * good >= len(odd):
            return raw.decode("utf-8", "replace")
    return decode(raw, name)


def _is_utf8(line: bytes) -> bool:
    try:
        line.decode()
    except UnicodeDecodeError:
        return False
    return True


def _yaml(text: str, name: str) -> _Rows:
    try:
        loaded = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f" in line {mark.line + 1}" if mark else ""
        raise BadProbeFile(name=name, reason=f"it is not YAML{where}") from error
    head = loaded if isinstance(loaded, dict) else {"items": loaded}
    rows = head.get("items")
    if not isinstance(rows, list):
        raise BadProbeFile(name=name, reason="it has no list of items")
    return _Rows(head, list(enumerate(rows, 1)))


def _jsonl(text: str, name: str) -> _Rows:
    head: dict[str, Any] = {}
    rows: list[tuple[int, Any]] = []
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            row = ValueError("it is not JSON")
        if not rows and not head and isinstance(row, dict) and "kind" in row and "id" not in row:
            head = row
            continue
        rows.append((number, row))
    if rows and all(isinstance(row, ValueError) for _, row in rows):
        raise BadProbeFile(name=name, reason="no line of it is JSON")
    return _Rows(head, rows)


def _csv(text: str, name: str, delimiter: str) -> _Rows:
    csv.field_size_limit(1 << 30)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        columns = [column.strip().lower() for column in next(reader)]
        if "question" not in columns or "answer" not in columns:
            seen = ", ".join(columns)[:80]
            raise BadProbeFile(
                name=name,
                reason="its first line must name the columns (id, question, A, B, C, D, answer), "
                f"and reads: {seen}",
            )
        rows = [(line, _from_cells(columns, cells)) for line, cells in _numbered(reader)]
    except csv.Error as error:
        reason = f"line {reader.line_num}: {error}"
        raise BadProbeFile(name=name, reason=reason) from error
    return _Rows({}, rows)


def _numbered(reader: Any) -> Iterator[tuple[int, list[str]]]:
    """Rows with the line each begins in; empty ones left out."""
    line = reader.line_num + 1
    for cells in reader:
        if any(cell.strip() for cell in cells):
            yield line, cells
        line = reader.line_num + 1


def _from_cells(columns: list[str], cells: list[str]) -> Any:
    if len(cells) > len(columns):
        return ValueError(f"it has {len(cells)} cells, the first line names {len(columns)}")
    row: dict[str, Any] = dict(zip(columns, cells, strict=False))
    lettered = [column for column in columns if OPTION.fullmatch(column)]
    if lettered:
        row["options"] = [row[column] for column in lettered if row.get(column, "").strip()]
    elif row.get("options"):
        row["options"] = [one.strip() for one in row["options"].split(SEPARATOR)]
    if row.get("accept"):
        row["accept"] = [one.strip() for one in row["accept"].split(SEPARATOR)]
    return {key: value for key, value in row.items() if value != ""}


def _checked(found: _Rows, name: str, skip_bad: bool) -> ProbeSet:
    kind = _kind(found, name)
    items: list[Item] = []
    bad: list[BadRow] = []
    seen: dict[str, int] = {}
    warnings: list[BadRow] = []
    for number, row in found.rows:
        try:
            item = _item(kind, row)
            if item.id in seen:
                raise ValueError(f"the id {item.id} is used in row {seen[item.id]} already")
        except ValueError as error:
            bad.append(BadRow(number, str(error)))
            continue
        seen[item.id] = number
        items.append(item)
        if isinstance(item, Choice) and kind == "choice" and item.prefixes:
            one, other = item.prefixes[0]
            warnings.append(BadRow(number, f"“{other}” begins with “{one}”"))
    if not items:
        raise NoProbeItems(name=name, rows=_told(bad) or "it has no rows")
    if bad and not skip_bad:
        raise BadProbeRows(name=name, count=len(bad), rows=_told(bad))
    title = found.head.get("title")
    return ProbeSet(
        name=str(found.head.get("name") or Path(name).stem),
        kind=kind,
        items=tuple(items),
        title={str(key): str(value) for key, value in title.items()}
        if isinstance(title, dict)
        else {},
        licence=str(found.head.get("licence") or ""),
        bad=tuple(bad),
        warnings=tuple(warnings),
    )


def _told(bad: list[BadRow]) -> str:
    said = "; ".join(f"row {one.row}: {one.reason}" for one in bad[:TOLD])
    return f"{said}; and {len(bad) - TOLD} more" if len(bad) > TOLD else said


def _kind(found: _Rows, name: str) -> Kind:
    """As the head says, or as the fields of most rows show."""
    said = found.head.get("kind")
    if said is None:
        rows = [row for _, row in found.rows if isinstance(row, dict)]
        guesses = [_guess(row) for row in rows]
        said = max(KINDS, key=guesses.count) if guesses else "choice"
    if said not in KINDS:
        raise BadProbeFile(
            name=name,
            reason=f"its kind is “{str(said)[:40]}”, it must be one of {', '.join(KINDS)}",
        )
    kind: Kind = said
    return kind


def _guess(row: dict[str, Any]) -> Kind:
    if "better" in row or "worse" in row:
        return "pairs"
    if "text" in row:
        return "contamination"
    if "options" not in row:
        return "short"
    asked = str(row.get("sentence") or row.get("question") or "")
    return "cloze" if BLANKS.search(asked) else "choice"


def _item(kind: Kind, row: Any) -> Item:
    """One item.

    Raises:
        ValueError: with the reason.
    """
    if isinstance(row, ValueError):
        raise row
    if not isinstance(row, dict):
        raise ValueError("it is not a set of fields")
    if "\ufffd" in json.dumps(row, ensure_ascii=False, default=str):
        raise ValueError("it holds bytes that are not UTF-8, as most of the file is")
    values = {name: value for name, value in row.items() if value is not None}
    if kind == "cloze":
        asked = _text(values, "sentence" if "sentence" in values else "question")
        values["question"] = BLANKS.sub(BLANK, asked)
    made = CLASSES[kind]
    names = [field.name for field in fields(made) if field.name in values]
    given = {name: _value(name, values[name]) for name in names}
    missing = [said for name, said in _needed(made).items() if name not in given]
    if missing:
        raise ValueError(f"the {missing[0]} is missing")
    if kind in ("choice", "cloze"):
        given["answer"] = _position(given["answer"], given["options"])
    given.setdefault("language", _language(values))
    return made(**given)


def _value(name: str, value: Any) -> Any:
    """A field as the item has it."""
    if name in ("options", "accept"):
        return _texts(value, name)
    if name == "tolerance":
        return _number(value, name)
    return bool(value) if name == "same_meaning" else _plain(value, name)


def _needed(made: type[Item]) -> dict[str, str]:
    names = {"better": "better text", "worse": "worse text"}
    return {
        field.name: names.get(field.name, field.name)
        for field in fields(made)
        if field.default is MISSING and field.default_factory is MISSING
    }


def _text(values: dict[str, Any], field: str) -> str:
    value = values.get(field)
    if value is None:
        raise ValueError(f"the {field} is missing")
    return _plain(value, field)


def _plain(value: Any, field: str) -> str:
    if isinstance(value, bool):
        raise ValueError(f"the {field} reads as {str(value).lower()}: put it in quotes")
    if isinstance(value, (dict, list)):
        raise ValueError(f"the {field} is not a text")
    text = str(value).strip()
    return text.encode("utf-8", "replace").decode()


def _texts(value: Any, field: str) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise ValueError(f"the {field} are not a list")
    return tuple(_plain(one, field) for one in value)


def _number(value: Any, field: str) -> float:
    try:
        return float(value)
    except (TypeError, ValueError) as error:
        raise ValueError(f"the {field} is not a number") from error


def _position(answer: str, options: tuple[str, ...]) -> int:
    """The answer as a position: it is an option's text, or a number counted from 0."""
    if answer in options:
        return options.index(answer)
    if answer.isascii() and answer.isdigit() and int(answer) < len(options):
        return int(answer)
    raise ValueError(f"the answer “{answer[:40]}” is not among the options")


def _language(values: dict[str, Any]) -> str:
    """Cantonese where there are Chinese characters, English where there are none."""
    said = json.dumps(values, ensure_ascii=False, default=str)
    return "yue" if re.search("[\u4e00-\u9fff]", said) else "en"
