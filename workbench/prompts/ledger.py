"""What was asked, what it cost, and how far the money goes: lines of a ledger, and a meter.

Prices are a table that a person can edit, ``assets/prompts/prices.yaml``, or ``prices.yaml`` in the
workspace, which beats it. A model that is not in the table has no price, and the meter says so
instead of inventing one. This module does not ask anybody.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from workbench.errors import BadPrices, BadPromptRecipe
from workbench.prompts.template import LIBRARY
from workbench.workspace import Workspace

PRICES = "prices.yaml"
MILLION = 1_000_000
UNPAID = ("429_minute", "429_day", "5xx", "wrong_key", "refused")
"""Outcomes after which the same request may be sent again."""
ENOUGH_REQUESTS = 3


@dataclass(frozen=True)
class Price:
    """Dollars for a million tokens."""

    input: float
    output: float

    def of(self, tokens_in: int, tokens_out: int) -> float:
        return (tokens_in * self.input + tokens_out * self.output) / MILLION


FREE = Price(0.0, 0.0)


@dataclass(frozen=True)
class Prices:
    """The table, and the day on which it was looked up."""

    as_of: str
    models: Mapping[str, Price]

    def of(self, kind: str, model: str) -> Price | None:
        """The price of a model: its own line, else that of the longest name it begins with."""
        if kind == "local":
            return FREE
        name = model.removeprefix("models/")
        fitting = [one for one in self.models if name == one or name.startswith(f"{one}-")]
        return self.models[max(fitting, key=len)] if fitting else None


def prices(workspace: Workspace | None = None) -> Prices:
    """The table in use.

    Raises:
        BadPrices.
    """
    own = workspace.root / PRICES if workspace is not None else None
    path = own if own is not None and own.is_file() else LIBRARY / PRICES
    return read_prices(path)


def read_prices(path: Path) -> Prices:
    """One table.

    Raises:
        BadPrices.
    """
    try:
        said = yaml.safe_load(path.read_text("utf-8"))
        models = {
            str(name): Price(float(one["input"]), float(one["output"]))
            for name, one in said["models"].items()
        }
        return Prices(str(said["as_of"]), models)
    except (OSError, yaml.YAMLError, KeyError, TypeError, ValueError, AttributeError) as error:
        reason = " ".join(str(error).split())[:160] or type(error).__name__
        raise BadPrices(reason=reason) from None


@dataclass(frozen=True)
class Budget:
    """Where a run stops by itself; 0 is no limit."""

    requests: int = 0
    tokens: int = 0
    money: float = 0.0
    """Dollars."""

    def __post_init__(self) -> None:
        if min(self.requests, self.tokens, self.money) < 0:
            raise BadPromptRecipe(reason="a budget cannot be negative")


@dataclass
class Meter:
    """Sums over a run, as they stand now."""

    price: Price | None = None
    requests: int = 0
    """Attempts that got an answer of any kind."""
    outcomes: Counter[str] = field(default_factory=Counter)
    tokens_in: int = 0
    tokens_out: int = 0
    seconds: float = 0.0
    """Of all requests together, also of those that ran side by side."""
    kept: int = 0
    dropped: Counter[str] = field(default_factory=Counter)
    registers: Counter[str] = field(default_factory=Counter)

    def note(self, line: Mapping[str, Any]) -> None:
        """Take in one finished line of the ledger."""
        self.requests += 1
        self.outcomes[str(line["outcome"])] += 1
        self.tokens_in += int(line.get("tokens_in", 0))
        self.tokens_out += int(line.get("tokens_out", 0))
        self.seconds += float(line.get("seconds", 0))

    @property
    def tokens(self) -> int:
        return self.tokens_in + self.tokens_out

    @property
    def money(self) -> float | None:
        """Dollars; None when the price is not known."""
        return None if self.price is None else self.price.of(self.tokens_in, self.tokens_out)

    @property
    def paid(self) -> int:
        """Requests that may have been paid for."""
        return sum(count for outcome, count in self.outcomes.items() if outcome not in UNPAID)

    @property
    def rows_per_dollar(self) -> float | None:
        money = self.money
        return self.kept / money if money else None

    @property
    def yielded(self) -> float | None:
        """The share of items that were kept."""
        items = self.kept + sum(self.dropped.values())
        return self.kept / items if items else None

    def figures(self) -> dict[str, Any]:
        """Everything, fit for JSON."""
        return {
            "requests": self.requests,
            "paid_requests": self.paid,
            "outcomes": dict(self.outcomes),
            "tokens_in": self.tokens_in,
            "tokens_out": self.tokens_out,
            "money": self.money,
            "kept": self.kept,
            "dropped": dict(self.dropped),
            "registers": dict(self.registers),
            "rows_per_dollar": self.rows_per_dollar,
            "yield": self.yielded,
        }


def over(budget: Budget, meter: Meter, in_flight: int, launched: int, worst: int) -> str:
    """Which part of the budget one more request could break: requests, tokens, money or ''.

    Args:
        in_flight: requests on their way, which will cost what the others did on average.
        launched: attempts begun so far, answered or not.
        worst: tokens that one request may cost, for as long as there is no average.
    """
    if budget.requests and launched >= budget.requests:
        return "requests"
    known = meter.paid >= ENOUGH_REQUESTS
    each = meter.tokens / meter.paid if known else worst
    coming = (in_flight + 1) * each
    if budget.tokens and meter.tokens + coming > budget.tokens:
        return "tokens"
    money = meter.money
    if budget.money and money is not None and meter.price is not None:
        per_token = (
            money / meter.tokens
            if known and meter.tokens
            else max(meter.price.input, meter.price.output) / MILLION
        )
        if money + coming * per_token > budget.money:
            return "money"
    return ""


def remaining(meter: Meter, target: int, seconds: float) -> dict[str, float | None]:
    """What the rest of the way to a target will take, by what has been so far.

    Args:
        seconds: by the clock since the run began.
    """
    left = max(0, target - meter.kept)
    if not meter.kept or not target:
        return {"requests": None, "money": None, "seconds": None, "tokens": None}
    share = left / meter.kept
    money = meter.money
    return {
        "requests": meter.paid * share,
        "money": None if money is None else money * share,
        "seconds": seconds * share,
        "tokens": meter.tokens * share,
    }


def summed(lines: Iterable[Mapping[str, Any]], price: Price | None) -> Meter:
    """A meter over the finished lines of a ledger."""
    meter = Meter(price)
    for line in lines:
        if line.get("kind") == "request":
            meter.note(line)
    return meter
