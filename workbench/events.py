"""What long work says while it runs: small frozen records, yielded one by one.

The command line prints them, tabs turn them into components and tests collect
them. An event knows nothing of who is listening.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from workbench.errors import WorkbenchError


@dataclass(frozen=True)
class Progress:
    """How far one stage has come.

    ``stage`` is one of: start, check, wait, download, unpack, convert, load, tokenize, score,
    write, read, compare, try, embed, label, fill.
    ``total`` is 0 when it is not known.
    """

    stage: str
    done: float
    total: float
    unit: str
    model: str = ""

    @property
    def share(self) -> float:
        """Between 0 and 1; 0 when the total is not known."""
        return min(1.0, self.done / self.total) if self.total else 0.0


@dataclass(frozen=True)
class Failed:
    """One part of the work ended in an error; the other parts go on."""

    model: str
    error: WorkbenchError


def readable(amount: float) -> str:
    """Bytes for people: 97 kB, 812 MB, 5.4 GB (decimal, as disks and cards are sold)."""
    if amount >= 1e9:
        return f"{amount / 1e9:.1f} GB"
    return f"{amount / 1e6:.0f} MB" if amount >= 1e6 else f"{amount / 1e3:.0f} kB"
