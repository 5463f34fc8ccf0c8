"""Who may do what: three roles, one table of named actions, quotas, and the owner's token.

At home everybody is the owner. Shared by link, the owner is whoever redeemed the token
and all others are guests; on a public Space the owner signs in and all others are visitors.
Uses and sessions are kept in memory: a restart forgets them. This module knows
neither the page nor HTTP; who is asking is told to it.
"""

from __future__ import annotations

import hashlib
import hmac
import math
import secrets
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal, get_args

from workbench.errors import LockedOut, NotForGuests, NotForVisitors, QuotaUsedUp

Mode = Literal["local", "share", "space"]
Role = Literal["owner", "guest", "visitor"]
Action = Literal[
    "look", "own", "work", "chat", "compare", "vote", "generate", "import_file",
    "import_from_hub", "import_from_url", "generate_with_owner_key", "load_any_model", "unload",
    "train", "delete", "export",
]  # fmt: skip
ACTIONS: tuple[Action, ...] = get_args(Action)

EVERYONE: frozenset[Role] = frozenset(get_args(Role))
OWNER: frozenset[Role] = frozenset({"owner"})
MAY: dict[Action, frozenset[Role]] = {
    "look": EVERYONE,  # see, follow, choose, press Stop on one's own work
    "own": EVERYONE,  # edit, delete or undo what lies in one's own workspace
    "work": EVERYONE,  # compute on one's own rows: checks, duplicates, mixes, files out
    "chat": EVERYONE,
    "compare": EVERYONE,  # perplexity, continuations, probes, heat maps
    "vote": EVERYONE,
    "generate": EVERYONE,  # data from prompts, with a key of one's own or a model here
    "import_file": EVERYONE,
    "import_from_hub": EVERYONE,  # without the owner's token
    "import_from_url": OWNER,
    "generate_with_owner_key": OWNER,
    "load_any_model": OWNER,  # others: what is loaded already, or allowed by name
    "unload": OWNER,
    "train": OWNER,  # start, stop and resume a run
    "delete": OWNER,  # runs, results and votes of the house
    "export": OWNER,  # adapters, merged weights, anything sent to the Hub
}
"""The table: which roles may do what."""

COUNTED: frozenset[Action] = frozenset(
    {"work", "chat", "compare", "vote", "generate", "import_file", "import_from_hub"}
)
"""Actions that use up a quota; looking does not."""

Spent = Literal["requests", "tokens", "seconds"]
WINDOW_SECONDS = 3600.0
TOGETHER = "everyone"
MOST_KEYS = 10_000
WRONG_BEFORE_LOCK = 5
LOCK_SECONDS = 60.0
SESSION_SECONDS = 30 * 86_400.0


@dataclass(frozen=True)
class Visitor:
    """Somebody at the page."""

    role: Role
    id: str
    """A plain name, for a folder of their own."""
    key: str = ""
    """Whose quota is used up; the id, if empty."""

    @property
    def is_owner(self) -> bool:
        return self.role == "owner"

    def may(self, action: Action) -> bool:
        """True if the table allows it."""
        return self.role in MAY[action]

    def must(self, action: Action) -> None:
        """Raise unless the table allows it.

        Raises:
            NotForGuests, NotForVisitors.
        """
        if not self.may(action):
            raise NotForGuests if self.role == "guest" else NotForVisitors


@dataclass(frozen=True)
class Limits:
    """What one visitor may use in an hour, and how many such shares all may use together."""

    requests: float = 200
    tokens: float = 40_000
    seconds: float = 900
    """Seconds in which a handler of theirs was computing."""
    shares: float = 20


@dataclass
class Quotas:
    """Uses of the last hour, by visitor and of all together; the owner is not counted.

    A use counts when it is over, except that a request counts when it begins: one long
    answer may pass a limit, the next is refused.
    """

    limits: Limits = field(default_factory=Limits)
    clock: Callable[[], float] = time.monotonic
    _used: dict[str, deque[tuple[float, Spent, float]]] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def ask(self, visitor: Visitor) -> None:
        """Begin a request.

        Raises:
            QuotaUsedUp: theirs, or that of all guests together, is used up for now.
        """
        if visitor.is_owner:
            return
        with self._lock:
            mine = visitor.key or visitor.id
            for key, shares in ((mine, 1.0), (TOGETHER, self.limits.shares)):
                for what in get_args(Spent):
                    self._check(key, what, getattr(self.limits, what) * shares)
            self._add(mine, "requests", 1)

    def spend(self, visitor: Visitor, what: Spent, amount: float) -> None:
        """Count what was used."""
        if not visitor.is_owner and amount > 0:
            with self._lock:
                self._add(visitor.key or visitor.id, what, amount)

    def used(self, visitor: Visitor, what: Spent) -> float:
        """What a visitor used in the last hour."""
        with self._lock:
            return self._sum(visitor.key or visitor.id, what)

    def _check(self, key: str, what: Spent, limit: float) -> None:
        if self._sum(key, what) < limit:
            return
        uses = self._used.get(key, ())
        first = next((then for then, kind, _ in uses if kind == what), self.clock())
        minutes = math.ceil((first + WINDOW_SECONDS - self.clock()) / 60)
        raise QuotaUsedUp(minutes=max(1, minutes))

    def _sum(self, key: str, what: Spent) -> float:
        uses = self._used.get(key)
        if uses is None:
            return 0.0
        while uses and uses[0][0] <= self.clock() - WINDOW_SECONDS:
            uses.popleft()
        if not uses:
            del self._used[key]
        return sum(amount for _, kind, amount in uses if kind == what)

    def _add(self, key: str, what: Spent, amount: float) -> None:
        for one in (key, TOGETHER):
            if one not in self._used and len(self._used) >= MOST_KEYS:
                self._used.pop(next(name for name in self._used if name != TOGETHER))
            self._used.setdefault(one, deque()).append((self.clock(), what, amount))


class Keys:
    """The owner's one-time tokens and sessions, and the signed names of guests.

    Only hashes are kept, and all comparisons take the same time whatever is wrong.
    """

    def __init__(self, secret: bytes, clock: Callable[[], float] = time.monotonic) -> None:
        self._secret = secret
        self._clock = clock
        self._tokens: list[bytes] = []
        self._sessions: dict[bytes, float] = {}
        self._wrong: dict[str, deque[float]] = {}
        self._lock = threading.Lock()

    @property
    def owner_cookie(self) -> str:
        """A name that differs between workbenches of one machine, which share their cookies."""
        return f"trilogy-owner-{self._sign('owner')[:8]}"

    @property
    def guest_cookie(self) -> str:
        return f"trilogy-guest-{self._sign('guest')[:8]}"

    def issue(self) -> str:
        """A token that makes whoever brings it first the owner."""
        token = secrets.token_urlsafe(32)
        with self._lock:
            self._tokens.append(_hash(token))
        return token

    def redeem(self, token: str, address: str) -> str | None:
        """A session for the token, which is then used up; None if it is wrong.

        Raises:
            LockedOut: too many wrong ones from this address within a minute.
        """
        with self._lock:
            wrong = self._wrong.setdefault(address, deque(maxlen=WRONG_BEFORE_LOCK))
            locked = len(wrong) == WRONG_BEFORE_LOCK and wrong[0] > self._clock() - LOCK_SECONDS
            if locked:
                raise LockedOut(seconds=math.ceil(wrong[0] + LOCK_SECONDS - self._clock()))
            given, right = _hash(token), None
            for kept in self._tokens:
                if hmac.compare_digest(kept, given):
                    right = kept
            if right is None:
                wrong.append(self._clock())
                self._forget_wrong()
                return None
            self._tokens.remove(right)
            session = secrets.token_urlsafe(32)
            self._sessions[_hash(session)] = self._clock() + SESSION_SECONDS
            return session

    def is_owner(self, session: str | None) -> bool:
        """True for a session that a token was exchanged for."""
        if not session:
            return False
        given = _hash(session)
        with self._lock:
            return any(
                hmac.compare_digest(kept, given) and until > self._clock()
                for kept, until in self._sessions.items()
            )

    def name_guest(self) -> str:
        """A fresh signed name for a guest."""
        name = secrets.token_hex(8)
        return f"{name}.{self._sign(name)}"

    def guest(self, signed: str | None) -> str | None:
        """The name, if we signed it."""
        name, _, signature = (signed or "").partition(".")
        return name if name and hmac.compare_digest(self._sign(name), signature) else None

    def _sign(self, name: str) -> str:
        return hmac.new(self._secret, name.encode(), hashlib.sha256).hexdigest()[:32]

    def _forget_wrong(self) -> None:
        """Addresses that have been quiet for a minute need not be remembered."""
        old = self._clock() - LOCK_SECONDS
        for address in [one for one, wrong in self._wrong.items() if not wrong or wrong[-1] < old]:
            del self._wrong[address]


def _hash(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()
