"""What all benchmarks report alike: ratios, the machine, the versions, the date.

Prints no host name and no path.
"""

from __future__ import annotations

import os
import platform
import statistics
from collections.abc import Iterator, Sequence
from datetime import date
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import psutil


def ratios(ours: Sequence[float], theirs: Sequence[float]) -> str:
    """The ratio of the medians, and the least and most of the rounds' own ratios."""
    each = [mine / max(1e-9, other) for mine, other in zip(ours, theirs, strict=True)]
    middle = statistics.median(ours) / max(1e-9, statistics.median(theirs))
    return f"**{middle:.2f}** ({min(each):.2f}-{max(each):.2f})"


def table(head: Sequence[str], rows: Sequence[Sequence[str]], markdown: bool) -> Iterator[str]:
    """A Markdown table, or for each row its name and below it what each cell says."""
    if markdown:
        yield "| " + " | ".join(head) + " |"
        yield "|---|" + "---:|" * (len(head) - 1)
        yield from ("| " + " | ".join(row) + " |" for row in rows)
        return
    for row in rows:
        yield row[0]
        told = [f"{name} {cell}" for name, cell in zip(head[1:], row[1:], strict=True) if cell]
        yield "    " + "; ".join(told).replace("*", "")


def facts(rounds: int, packages: Sequence[str]) -> Iterator[str]:
    """Method, machine, versions and date, as a list."""
    found = [f"{name} {version(name)}" for name in packages if installed(name)]
    memory = psutil.virtual_memory().total / 2**30
    yield f"- Medians of {rounds} interleaved rounds, after one unmeasured turn each"
    yield f"- Machine: {_cores()} cores, {_processor()}, {memory:.0f} GiB memory"
    yield f"- Versions: Python {platform.python_version()}, {', '.join(found)}"
    yield f"- Date: {date.today().isoformat()}"


def installed(package: str) -> bool:
    try:
        version(package)
    except PackageNotFoundError:
        return False
    return True


def _cores() -> int:
    usable = getattr(os, "sched_getaffinity", None)
    return len(usable(0)) if usable else os.cpu_count() or 1


def _processor() -> str:
    """The CPU's model, and the instructions that matter for bf16."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    told = dict(line.split(":", 1) for line in reversed(lines) if ":" in line)
    said = {key.strip(): value.strip() for key, value in told.items()}
    fast = [name for name in ("avx512_bf16", "amx_bf16") if name in said.get("flags", "").split()]
    return " with ".join([said.get("model name", platform.machine()), *fast])
