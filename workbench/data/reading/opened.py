"""What is known of a file once it is open, and what one reading step gives.

These records pass between the readers beside this file. Nothing here reads anything.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

Kind = Literal["json", "jsonl", "csv", "tsv", "parquet", "arrow", "text"]
"""``csv`` is any table of text with a delimiter other than a tab: ``,`` ``;`` or ``|``."""

LONGEST = 64 << 20
"""Bytes of the longest line, and of the longest element of a JSON array, that is read."""
TOO_LONG = "longer than 64 MB"
DEEPEST = 100
"""Levels of brackets; JSON nested deeper is no data and could exhaust the stack."""
TOO_DEEP = f"nested more than {DEEPEST} levels deep"
LONGEST_NAME = 120


@dataclass(frozen=True)
class Opened:
    """One plain file, whose bytes have been looked at."""

    name: str
    """What the person calls it; inside a zip ``archive.zip/inner.jsonl``. Safe to show."""
    path: Path
    """Unpacked, and in UTF-8 (perhaps with a mark) whatever ``encoding`` it came in."""
    kind: Kind
    encoding: str = "utf-8"
    """The Python codec of the file as it came; utf-8 for the binary kinds."""
    size: int = 0
    """Bytes, unpacked, as it came."""
    delimiter: str = ","
    header: tuple[str, ...] | None = None
    """Names of the columns, made unique; None if the first row is a row like the others."""
    width: int = 0
    """Fields in a row of csv or tsv."""
    skip: int = 0
    """Lines at the head of a csv that are no rows: ``sep=;`` and ``#`` comments."""
    left_out: tuple[str, ...] = ()
    """Sentences on the members of the same archive that are no data."""
    limit: int = 1 << 62
    """Bytes that a columnar file may unpack to."""

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of the fields of a csv or tsv."""
        return self.header or tuple(f"column_{at}" for at in range(1, self.width + 1))


@dataclass(frozen=True)
class Record:
    """One row as it stands in the file."""

    line: int
    """1-based line of the file on which it starts; the row number in parquet and arrow."""
    value: dict[str, Any] | str


@dataclass(frozen=True)
class Bad:
    """A place that could not be read, and why."""

    line: int
    reason: str
    """A phrase without a full stop."""


def safe_name(name: str) -> str:
    """A name without control, format and unpaired characters, not too long to show."""
    shown = "".join(
        character if unicodedata.category(character)[0] not in "CZ" else " " for character in name
    )
    shown = " ".join(shown.split())
    if len(shown) > LONGEST_NAME:
        shown = f"{shown[: LONGEST_NAME - 20]}…{shown[-19:]}"
    return shown or "a file without a name"


def phrase(text: object, longest: int = 160) -> str:
    """The first line of a library's message, fit to stand inside a sentence."""
    lines = str(text).strip().splitlines()
    shown = safe_name(lines[0] if lines else type(text).__name__)
    return shown[:longest].rstrip(" .")


def megabytes(size: int) -> str:
    """A size as it is shown: ``12.5 MB``."""
    return f"{size / 1e6:.1f} MB"


def unique_names(names: list[str]) -> tuple[str, ...]:
    """Names of columns: stripped, empty ones numbered, repeated ones told apart."""
    found: list[str] = []
    for at, name in enumerate(names, 1):
        plain = name.strip() or f"column_{at}"
        told, count = plain, 1
        while told in found:
            count += 1
            told = f"{plain}_{count}"
        found.append(told)
    return tuple(found)
