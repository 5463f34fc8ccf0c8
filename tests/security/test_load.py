"""A short soak: guests at once meet no error, and memory does not grow with what they ask."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_guests_at_once_meet_no_error_and_memory_is_flat(tiny_model: Path) -> None:
    options = ["--guests", "12", "--seconds", "15", "--pause", "0.05", "--tokens", "8", "--json"]
    done = subprocess.run(
        [sys.executable, "benchmarks/load.py", *options, "--model", f"file:{tiny_model}"],
        cwd=ROOT, capture_output=True, text=True, timeout=240, env={**os.environ},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["errors"] == 0
    assert found["answers"] > 20
    # loading is over by then: 60 MB would be 5 MB an answer
    assert found["memory_end"] - found["memory_early"] < 60_000_000
