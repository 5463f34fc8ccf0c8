"""Every result, with what is needed to repeat it, in ``results.sqlite``.

A result is found again by everything that decided it: weights, precision, adapter,
text, options and versions. This module does not know what a result means.
"""

from __future__ import annotations

import csv
import functools
import hashlib
import importlib.metadata
import io
import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from workbench.errors import UnknownResult
from workbench.models.device import Precision, device
from workbench.models.reference import ModelReference
from workbench.texts import Text

ExportFormat = Literal["csv", "json", "md"]
# Raised when the same request would give other figures than before.
METHOD = 1
PACKAGES = ("torch", "transformers", "bitsandbytes", "peft")

SCHEMA = """
CREATE TABLE IF NOT EXISTS results (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    kind TEXT NOT NULL, key TEXT NOT NULL, created TEXT NOT NULL,
    model TEXT NOT NULL, adapter TEXT, fingerprint TEXT NOT NULL,
    precision TEXT NOT NULL, device TEXT NOT NULL,
    text_name TEXT NOT NULL, text_sha256 TEXT NOT NULL,
    options TEXT NOT NULL, versions TEXT NOT NULL, result TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS results_by_key ON results (kind, key);
"""


@functools.cache
def versions() -> dict[str, str]:
    """The versions that can change a figure."""
    found = {name: importlib.metadata.version(name) for name in PACKAGES}
    return {**found, "method": str(METHOD)}


@dataclass(frozen=True)
class Identity:
    """Everything that decides a result."""

    kind: str
    model: str
    adapter: str | None
    fingerprint: str
    precision: str
    device: str
    text_name: str
    """For people; two names of the same text are the same text."""
    text_sha256: str
    options: dict[str, Any]

    @classmethod
    def of(
        cls,
        kind: str,
        reference: ModelReference,
        precision: Precision,
        fingerprint: str,
        text: Text,
        options: dict[str, Any],
    ) -> Identity:
        """The identity of a result that is computed on this machine."""
        return cls(
            kind=kind,
            model=str(reference.base),
            adapter=reference.adapter,
            fingerprint=fingerprint,
            precision=precision,
            device=device(),
            text_name=text.name,
            text_sha256=text.sha256,
            options=options,
        )

    @property
    def key(self) -> str:
        deciding = {**asdict(self), "versions": versions()}
        for name in ("text_name", "model", "adapter"):
            deciding.pop(name)
        return hashlib.sha256(json.dumps(deciding, sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True)
class Stored:
    """One row of the history."""

    number: int
    created: str
    identity: Identity
    versions: dict[str, str]
    result: dict[str, Any]

    @property
    def model(self) -> str:
        adapter = self.identity.adapter
        return f"{self.identity.model}+{adapter}" if adapter else self.identity.model


class History:
    """Results on disk; safe to use from several threads and processes."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with closing(sqlite3.connect(self.path, timeout=30)) as connection:
            connection.row_factory = sqlite3.Row
            connection.execute("PRAGMA journal_mode=WAL")
            connection.executescript(SCHEMA)
            with connection:
                yield connection

    def add(self, identity: Identity, result: dict[str, Any]) -> int:
        """Store a result and return its number; an earlier one of the same key stays."""
        row = {
            **asdict(identity),
            "key": identity.key,
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
            "options": json.dumps(identity.options, ensure_ascii=False),
            "versions": json.dumps(versions()),
            "result": json.dumps(result, ensure_ascii=False),
        }
        names = ", ".join(row)
        marks = ", ".join(f":{name}" for name in row)
        with self._open() as connection:
            done = connection.execute(f"INSERT INTO results ({names}) VALUES ({marks})", row)
            return int(done.lastrowid or 0)

    def find(self, identity: Identity) -> Stored | None:
        """The newest result of the same request."""
        rows = self._rows(
            "WHERE kind = ? AND key = ? ORDER BY number DESC LIMIT 1", identity.kind, identity.key
        )
        return rows[0] if rows else None

    def get(self, number: int) -> Stored:
        """One result.

        Raises:
            UnknownResult.
        """
        rows = self._rows("WHERE number = ?", number)
        if not rows:
            raise UnknownResult(number=number)
        return rows[0]

    def search(self, words: str = "", kind: str | None = None, most: int = 200) -> list[Stored]:
        """Results whose model, text, precision or kind holds every word, the newest first."""
        where, values = ["1"], []
        for word in words.split():
            where.append(
                "(model || ' ' || ifnull(adapter,'') || ' ' || text_name || ' ' || precision"
                " || ' ' || kind || ' ' || created) LIKE ? ESCAPE '!'"
            )
            safe = word.replace("!", "!!").replace("%", "!%").replace("_", "!_")
            values.append(f"%{safe}%")
        if kind:
            where.append("kind = ?")
            values.append(kind)
        return self._rows(f"WHERE {' AND '.join(where)} ORDER BY number DESC LIMIT {most}", *values)

    def delete(self, numbers: list[int]) -> int:
        """Delete results; returns how many there were."""
        with self._open() as connection:
            marks = ", ".join("?" * len(numbers))
            return connection.execute(
                f"DELETE FROM results WHERE number IN ({marks})", numbers
            ).rowcount

    def _rows(self, where: str, *values: Any) -> list[Stored]:
        with self._open() as connection:
            return [
                _stored(row) for row in connection.execute(f"SELECT * FROM results {where}", values)
            ]


def _stored(row: sqlite3.Row) -> Stored:
    values = dict(row)
    number, created = values.pop("number"), values.pop("created")
    values.pop("key")
    result = json.loads(values.pop("result"))
    used = json.loads(values.pop("versions"))
    options = json.loads(values.pop("options"))
    return Stored(number, created, Identity(**values, options=options), used, result)


def export(rows: list[Stored], form: ExportFormat) -> str:
    """Results as a document; JSON holds everything, CSV and Markdown the single values."""
    if form == "json":
        return json.dumps([asdict(row) for row in rows], ensure_ascii=False, indent=2)
    flat = [_flat(row) for row in rows]
    names = list(dict.fromkeys(name for row in flat for name in row))
    if form == "csv":
        out = io.StringIO(newline="")
        writer = csv.DictWriter(out, names, restval="")  # \r\n, so that both are quoted in cells
        writer.writeheader()
        writer.writerows({key: _no_formula(value) for key, value in row.items()} for row in flat)
        return out.getvalue()
    lines = ["| " + " | ".join(names) + " |", "|" + " --- |" * len(names)]
    lines += ["| " + " | ".join(_cell(row.get(name, "")) for name in names) + " |" for row in flat]
    return "\n".join(lines) + "\n"


def _flat(row: Stored) -> dict[str, Any]:
    who = row.identity
    single = {
        key: value for key, value in row.result.items() if not isinstance(value, (list, dict))
    }
    single.pop("model", None)
    return {
        "number": row.number,
        "created": row.created,
        "kind": who.kind,
        "model": row.model,
        "device": who.device,
        "text": who.text_name,
        **{"precision": who.precision, **single},
        "options": json.dumps(who.options, ensure_ascii=False),
        "fingerprint": who.fingerprint,
        "text_sha256": who.text_sha256,
        "versions": json.dumps(row.versions),
    }


def _no_formula(value: Any) -> Any:
    """A cell that starts like a formula is run by spreadsheets; a quote in front stops that."""
    return f"'{value}" if isinstance(value, str) and value[:1] in "=+-@\t\r" and value else value


def _cell(value: Any) -> str:
    return str(value).replace("\\", "\\\\").replace("|", "\\|").replace("\n", " ")
