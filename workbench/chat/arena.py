"""Blind votes: two answers without names, one verdict, and what many verdicts say.

The names are told only by the vote itself. Votes lie in ``results.sqlite`` with a random
visitor's number and nothing else of the person. Does not know how answers are made.
"""

from __future__ import annotations

import functools
import json
import random
import re
import sqlite3
import uuid
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, get_args

import yaml

from workbench.chat.conversation import Answer
from workbench.errors import BadVote

Verdict = Literal["first", "second", "tie", "bad"]
VERDICTS: tuple[Verdict, ...] = get_args(Verdict)
PROMPTS = Path(__file__).resolve().parents[2] / "assets" / "chat" / "prompts.yaml"
LONGEST_REASON = 1000
VISITOR = re.compile(r"[0-9a-f]{32}")
SCHEMA = """
CREATE TABLE IF NOT EXISTS votes (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    duel TEXT NOT NULL UNIQUE, created TEXT NOT NULL, visitor TEXT NOT NULL,
    prompt TEXT NOT NULL, system TEXT NOT NULL, character TEXT NOT NULL,
    first TEXT NOT NULL, second TEXT NOT NULL, verdict TEXT NOT NULL, reason TEXT NOT NULL
);
"""


@dataclass(frozen=True)
class Duel:
    """Two answers to one question, in the order in which they are shown."""

    prompt: str
    first: Answer
    second: Answer
    system: str = ""
    character: str = ""
    name: str = field(default_factory=lambda: uuid.uuid4().hex)

    def __post_init__(self) -> None:
        if not self.first.text.strip() or not self.second.text.strip():
            raise BadVote(reason="one of the answers is empty")
        if side(self.first) == side(self.second):
            raise BadVote(reason="both answers come from the same weights")


@dataclass(frozen=True)
class Vote:
    """What a visitor thought of a duel."""

    duel: Duel
    verdict: Verdict
    visitor: str
    """A random number that a page was given; it says nothing of the person."""
    reason: str = ""
    created: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))

    def __post_init__(self) -> None:
        if self.verdict not in VERDICTS:
            raise BadVote(reason=f"“{str(self.verdict)[:40]}” is not a verdict")
        if len(self.reason) > LONGEST_REASON:
            raise BadVote(reason=f"the reason is longer than {LONGEST_REASON} characters")

    @property
    def sides(self) -> tuple[str, str]:
        """Who stood first and second: a name for people, and a part of the fingerprint."""
        return side(self.duel.first), side(self.duel.second)


def side(answer: Answer) -> str:
    """One contestant: the same name with other weights is another one."""
    strength = f" @{answer.strength:g}" if answer.adapter and answer.strength != 1 else ""
    base, _, adapter = answer.fingerprint.partition("+")
    return f"{answer.name}{strength} #{(adapter or base)[:8]}"


def shuffled(voices: Sequence[Any]) -> list[Any]:
    """Who stands first is drawn by lot before anything is written."""
    return random.SystemRandom().sample(list(voices), len(voices))


def known_visitor(number: str | None) -> str:
    """The number that a page brought back, or a new one."""
    plain = number or ""
    return plain if VISITOR.fullmatch(plain) else uuid.uuid4().hex


@functools.cache
def prompts(language: str) -> tuple[str, ...]:
    """Questions to vote on, in the language of the page."""
    found = yaml.safe_load(PROMPTS.read_text("utf-8"))
    return tuple(found.get(language, found["en"]))


class Votes:
    """Votes on disk; safe to use from several threads and processes."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def add(self, vote: Vote) -> None:
        """Raises BadVote: this duel has been voted on already."""
        duel = vote.duel
        row = (
            duel.name, vote.created, vote.visitor, duel.prompt, duel.system, duel.character,
            json.dumps(asdict(duel.first)), json.dumps(asdict(duel.second)), vote.verdict,
            vote.reason.strip(),
        )  # fmt: skip
        names = "duel, created, visitor, prompt, system, character, first, second, verdict, reason"
        with self._open() as database:
            try:
                database.execute(f"INSERT INTO votes ({names}) VALUES ({','.join('?' * 10)})", row)
            except sqlite3.IntegrityError:
                raise BadVote(reason="there is a vote on these two answers already") from None

    def all(self) -> list[Vote]:
        """Every vote, oldest first."""
        if not self.path.exists():
            return []
        with self._open() as database:
            rows = database.execute("SELECT * FROM votes ORDER BY number").fetchall()
        return [_vote(row) for row in rows]

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with closing(sqlite3.connect(self.path, timeout=30)) as database:
            database.row_factory = sqlite3.Row
            database.execute("PRAGMA journal_mode=WAL")
            database.executescript(SCHEMA)
            with database:
                yield database


def _vote(row: sqlite3.Row) -> Vote:
    first, second = (_answer(json.loads(row[name])) for name in ("first", "second"))
    duel = Duel(row["prompt"], first, second, row["system"], row["character"], row["duel"])
    return Vote(duel, row["verdict"], row["visitor"], row["reason"], row["created"])


def _answer(plain: dict[str, Any]) -> Answer:
    return Answer(**{**plain, "fired": tuple((name, n) for name, n in plain["fired"])})


def as_preferences(votes: Sequence[Vote]) -> list[dict[str, Any]]:
    """Votes that chose, as rows that trainers of preferences read: messages, chosen, rejected."""
    rows = []
    for vote in votes:
        if vote.verdict not in ("first", "second"):
            continue
        duel = vote.duel
        pair = (duel.first, duel.second)
        better, worse = pair if vote.verdict == "first" else pair[::-1]
        asked = [{"role": "system", "content": duel.system}] if duel.system else []
        rows.append(
            {
                "prompt": [*asked, {"role": "user", "content": duel.prompt}],
                "chosen": [{"role": "assistant", "content": better.text}],
                "rejected": [{"role": "assistant", "content": worse.text}],
                "chosen_model": side(better),
                "rejected_model": side(worse),
                "reason": vote.reason,
                "character": duel.character,
            }
        )
    return rows
