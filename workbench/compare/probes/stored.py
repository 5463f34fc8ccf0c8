"""Answers to probe items, each by itself, in ``results.sqlite``: asked once, found again.

An answer is known by everything that decided it: weights, precision, device, versions, the
item's own words and how it was asked. This module does not know what an answer means.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from workbench.compare.history import versions
from workbench.compare.probes.items import Item
from workbench.compare.probes.results import ItemResult
from workbench.models.device import Precision, device

# Raised when the same question would be asked or graded in another way.
METHOD = 1
AT_ONCE = 500
SCHEMA = "CREATE TABLE IF NOT EXISTS probe_answers (key TEXT PRIMARY KEY, answer TEXT NOT NULL)"


def key(item: Item, fingerprint: str, precision: Precision, options: dict[str, Any]) -> str:
    """Equal for two askings that must give the same answer."""
    deciding = {
        "item": item.sha256,
        "fingerprint": fingerprint,
        "precision": precision,
        "device": device(),
        "options": options,
        "versions": versions(),
        "method": METHOD,
    }
    return hashlib.sha256(json.dumps(deciding, sort_keys=True).encode()).hexdigest()


class Answers:
    """Answers on disk; safe to use from several threads and processes."""

    def __init__(self, path: Path) -> None:
        self._path = path

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with closing(sqlite3.connect(self._path, timeout=30)) as connection:
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute(SCHEMA)
            with connection:
                yield connection

    def find(self, wanted: dict[str, Item]) -> dict[str, ItemResult]:
        """Those that are there, by key.

        Args:
            wanted: items by key.
        """
        found: dict[str, ItemResult] = {}
        keys = list(wanted)
        with self._open() as connection:
            for at in range(0, len(keys), AT_ONCE):
                part = keys[at : at + AT_ONCE]
                marks = ", ".join("?" * len(part))
                rows = connection.execute(
                    f"SELECT key, answer FROM probe_answers WHERE key IN ({marks})", part
                )
                for name, answer in rows:
                    found[name] = ItemResult.from_stored(wanted[name].id, json.loads(answer))
        return found

    def add(self, results: Sequence[tuple[str, ItemResult]]) -> None:
        """Store answers by key; an earlier one of the same key goes."""
        rows = [(name, json.dumps(asdict(one), ensure_ascii=False)) for name, one in results]
        with self._open() as connection:
            connection.executemany("INSERT OR REPLACE INTO probe_answers VALUES (?, ?)", rows)
