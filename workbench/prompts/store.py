"""The files of a run, so written that no reply that was paid for is lost or asked for again.

    replies.jsonl   every answer as it came: appended and flushed to the disk before anything else
    ledger.jsonl    {"kind": "intent"} before a request is sent, {"kind": "request"} when it is over
    rows.jsonl      what was kept; made of the replies, and made again when a run goes on
    verdicts.jsonl  what became of each reply's items; made of the replies too

A killed process leaves half a line at most, which is passed over. This module does not know what
a reply says.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from workbench.prompts.ledger import UNPAID
from workbench.prompts.seeds import Seed
from workbench.workspace import write_atomically

REPLIES, LEDGER, ROWS, VERDICTS = "replies.jsonl", "ledger.jsonl", "rows.jsonl", "verdicts.jsonl"
SEEDS = "seeds.jsonl"
ANSWERED = ("ok", "blocked", "truncated", "empty", "malformed", "timeout", "cut", "stopped")
"""Outcomes that are kept as a reply, even without a word in it: the request is over."""


class Appended:
    """A file of JSON lines with one writer; each line is on the disk when ``write`` returns."""

    def __init__(self, path: Path, durable: bool = True) -> None:
        self._durable = durable
        self._lock = threading.Lock()
        self._file = path.open("ab")
        if path.stat().st_size and _is_cut(path):
            self._file.write(b"\n")
            self._file.flush()

    def write(self, *lines: Mapping[str, Any]) -> None:
        """Raises OSError: the disk is full."""
        raw = b"".join(orjson.dumps(one) + b"\n" for one in lines)
        with self._lock:
            self._file.write(raw)
            self._file.flush()
            if self._durable:
                os.fsync(self._file.fileno())

    def close(self) -> None:
        self._file.close()


def _is_cut(path: Path) -> bool:
    with path.open("rb") as file:
        file.seek(-1, os.SEEK_END)
        return file.read(1) != b"\n"


def lines(path: Path) -> Iterator[dict[str, Any]]:
    """The whole lines of a file; one that is cut or no object is passed over."""
    try:
        file = path.open("rb")
    except FileNotFoundError:
        return
    with file:
        for raw in file:
            try:
                said = orjson.loads(raw)
            except orjson.JSONDecodeError:
                continue
            if isinstance(said, dict):
                yield said


def tail(path: Path, count: int, most_bytes: int = 12_000_000) -> list[dict[str, Any]]:
    """The last whole lines of a file, without reading all of it."""
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            file.seek(max(0, size - most_bytes))
            raw = file.read()
    except FileNotFoundError:
        return []
    found: list[dict[str, Any]] = []
    for line in reversed(raw.split(b"\n")):
        if len(found) >= count:
            break
        try:
            said = orjson.loads(line)
        except orjson.JSONDecodeError:
            continue
        if isinstance(said, dict):
            found.append(said)
    return found[::-1]


@dataclass
class Standing:
    """How far a run has come, read from its files."""

    answered: set[int] = field(default_factory=set)
    """Sequence numbers that are over: a reply, or a loss that may have been paid for."""
    open: set[int] = field(default_factory=set)
    """Sent, refused by a quota or a failing server, and so not paid for: they go first."""
    highest: int = -1
    sent: list[float] = field(default_factory=list)
    """When requests were sent, as ``time.time``."""
    attempts: int = 0


class Store:
    """The one writer of a run's files."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.replies = Appended(folder / REPLIES)
        self.ledger = Appended(folder / LEDGER)

    def close(self) -> None:
        self.replies.close()
        self.ledger.close()

    def settle(self) -> Standing:
        """Write into the ledger what a killed process could not, and say where the run stands.

        A reply without its line gets it. A request that was sent and never heard of again is
        ``lost``: it may have been paid for, and it is not sent again.
        """
        standing = Standing()
        pending: dict[tuple[str, int], dict[str, Any]] = {}
        last: dict[int, str] = {}
        for line in lines(self.folder / LEDGER):
            key = (str(line["hash"]), int(line["attempt"]))
            standing.highest = max(standing.highest, int(line["sequence"]))
            if line["kind"] == "intent":
                pending[key] = line
                standing.sent.append(float(line["time"]))
                standing.attempts += 1
            else:
                pending.pop(key, None)
                last[int(line["sequence"])] = str(line["outcome"])
        for reply in read_replies(self.folder):
            key = (str(reply["hash"]), int(reply["attempt"]))
            standing.answered.add(int(reply["sequence"]))
            standing.highest = max(standing.highest, int(reply["sequence"]))
            if pending.pop(key, None) is not None:
                self.ledger.write(ledger_line(reply))
        for intent in pending.values():
            lost = {**intent, "kind": "request", "outcome": "lost", "time": time.time()}
            self.ledger.write(lost)
            last[int(intent["sequence"])] = "lost"
        standing.open = {
            number
            for number, outcome in last.items()
            if outcome in UNPAID and number not in standing.answered
        }
        standing.answered |= set(last) - standing.open
        return standing


def write_made(
    folder: Path, rows: Iterable[dict[str, Any]], verdicts: Iterable[dict[str, Any]]
) -> None:
    """Write rows and verdicts anew, each whole or not at all."""
    for name, made in ((ROWS, rows), (VERDICTS, verdicts)):
        write_atomically(folder / name, b"".join(orjson.dumps(one) + b"\n" for one in made))


def read_replies(folder: Path) -> Iterator[dict[str, Any]]:
    """Each request's reply once, in the order in which they came."""
    seen: set[str] = set()
    for reply in lines(folder / REPLIES):
        if reply.get("hash") and reply["hash"] not in seen:
            seen.add(reply["hash"])
            yield reply


def ledger_line(reply: Mapping[str, Any]) -> dict[str, Any]:
    """The finished line of the ledger that belongs to a reply."""
    kept = (
        "hash", "sequence", "attempt", "outcome", "finish", "tokens_in", "tokens_out", "seconds",
        "wait", "reason", "model", "time",
    )  # fmt: skip
    return {"kind": "request", **{name: reply[name] for name in kept if name in reply}}


def write_seeds(folder: Path, seeds: Iterable[Seed]) -> None:
    write_atomically(folder / SEEDS, b"".join(one.to_json() + b"\n" for one in seeds))


def read_seeds(folder: Path) -> list[Seed]:
    return [Seed.from_json(said) for said in lines(folder / SEEDS)]
