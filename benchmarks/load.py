"""Guests at once: does the page still answer while the models are busy?

Starts ``app.py --share`` on this machine in a process of its own, and so many guests,
each with a cookie of their own, who ask for continuations over the HTTP queue one after
another, as the page does. Meanwhile the front page and a quick event are asked for
twice a second each.

Measured: seconds until the front page is whole, until a quick event is answered, and until
a continuation is done (its wait in the line included); answers, friendly refusals (line full,
quota used up) and errors; resident memory at the end of the first third and at the end.

Not measured: a browser's own work, and a network: everything goes through 127.0.0.1, and
the guests share the machine's cores with the app. Bounded: at most 200 guests, 30 minutes.

    python benchmarks/load.py --guests 50 --seconds 300 --markdown
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psutil
from _machine import facts, table

ROOT = Path(__file__).resolve().parents[1]
MOST_GUESTS, MOST_SECONDS, START_SECONDS = 200, 1800, 120
FRIENDLY = ("all that guests can use for now", "queue is full", "Queue is full")
PROMPTS = ("今日天氣好好，我哋", "香港最好食嘅嘢，一定係", "The best thing about rain is")
PACKAGES = ("gradio", "torch", "transformers")


@dataclass
class Notes:
    """What the guests and the watchers saw."""

    page: list[float] = field(default_factory=list)
    quick: list[float] = field(default_factory=list)
    done: list[float] = field(default_factory=list)
    friendly: int = 0
    errors: list[str] = field(default_factory=list)
    memory: list[tuple[float, int]] = field(default_factory=list)
    """Seconds since the start, and bytes."""


def main() -> int:
    options = _options()
    with tempfile.TemporaryDirectory() as folder, _app(options, Path(folder)) as (url, process):
        _ask(httpx.Client(base_url=url, timeout=300), options, 0)  # loads the model, unmeasured
        notes = _run(url, process, options)
    found = _figures(notes, options)
    if options.json:
        print(json.dumps(found, ensure_ascii=False))
    else:
        head = ["", "median", "95th percentile", "count"]
        rows = [
            [name, f"{one['median']:.3f} s", f"{one['p95']:.3f} s", str(one["count"])]
            for name, one in found["seconds"].items()
        ]
        for line in table(head, rows, options.markdown):
            print(line)
        print(
            f"\n{found['answers']} answers, {found['friendly']} friendly refusals, "
            f"{found['errors']} errors; memory {found['memory_early'] / 1e6:,.0f} MB after a "
            f"third, {found['memory_end'] / 1e6:,.0f} MB at the end.\n"
        )
        for line in facts(1, PACKAGES):
            print(line)
    for error in notes.errors[:5]:
        print(error, file=sys.stderr)
    return 1 if notes.errors else 0


def _run(url: str, process: psutil.Process, options: argparse.Namespace) -> Notes:
    notes, until = Notes(), time.monotonic() + options.seconds
    started = time.monotonic()
    guests = [
        threading.Thread(target=_guest, args=(url, options, number, until, notes))
        for number in range(options.guests)
    ]
    watchers = [
        threading.Thread(target=_watch_page, args=(url, until, notes)),
        threading.Thread(target=_watch_event, args=(url, until, notes)),
    ]
    for thread in (*guests, *watchers):
        thread.start()
    while time.monotonic() < until:
        notes.memory.append((time.monotonic() - started, process.memory_info().rss))
        time.sleep(min(1.0, options.seconds / 10))
    for thread in (*guests, *watchers):
        thread.join(options.seconds + 300)
    return notes


def _guest(url: str, options: argparse.Namespace, number: int, until: float, notes: Notes) -> None:
    with httpx.Client(base_url=url, timeout=300) as client:
        try:
            client.get("/")
            for turn in itertools.count():
                if time.monotonic() > until:
                    return
                started = time.monotonic()
                said = _ask(client, options, number * 1000 + turn)
                if "event: complete" in said:
                    notes.done.append(time.monotonic() - started)
                elif any(one in said for one in FRIENDLY):
                    notes.friendly += 1
                    time.sleep(1)
                else:
                    notes.errors.append(said[-300:])
                time.sleep(options.pause)
        except httpx.HTTPError as error:
            notes.errors.append(f"{type(error).__name__}: {error}")


def _ask(client: httpx.Client, options: argparse.Namespace, seed: int) -> str:
    data = [options.model, PROMPTS[seed % len(PROMPTS)], options.tokens, 0.9, 0.95, seed]
    return _call(client, "generate", data)


def _call(client: httpx.Client, name: str, data: list[Any]) -> str:
    joined = client.post(f"/gradio_api/call/{name}", json={"data": data})
    if joined.status_code != 200:
        return joined.text
    return client.get(f"/gradio_api/call/{name}/{joined.json()['event_id']}").text


def _watch_page(url: str, until: float, notes: Notes) -> None:
    with httpx.Client(base_url=url, timeout=60) as client:
        while time.monotonic() < until:
            notes.page.append(_timed(lambda: client.get("/")))
            time.sleep(0.5)


def _watch_event(url: str, until: float, notes: Notes) -> None:
    with httpx.Client(base_url=url, timeout=60) as client:
        while time.monotonic() < until:
            notes.quick.append(_timed(lambda: _call(client, "models", [])))
            time.sleep(0.5)


def _timed(work: Any) -> float:
    started = time.monotonic()
    work()
    return time.monotonic() - started


def _figures(notes: Notes, options: argparse.Namespace) -> dict[str, Any]:
    early = [size for when, size in notes.memory if when >= options.seconds / 3]
    named = {"front page": notes.page, "a quick event": notes.quick, "a continuation": notes.done}
    return {
        "guests": options.guests,
        "seconds": {name: _spread(times) for name, times in named.items()},
        "answers": len(notes.done),
        "friendly": notes.friendly,
        "errors": len(notes.errors),
        "memory_early": early[0] if early else 0,
        "memory_end": notes.memory[-1][1],
    }


def _spread(times: list[float]) -> dict[str, float]:
    if not times:
        return {"median": 0.0, "p95": 0.0, "count": 0}
    ordered = sorted(times)
    p95 = ordered[min(len(ordered) - 1, int(len(ordered) * 0.95))]
    return {"median": statistics.median(ordered), "p95": p95, "count": len(ordered)}


@contextmanager
def _app(options: argparse.Namespace, folder: Path) -> Iterator[tuple[str, psutil.Process]]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = {
        **os.environ,
        "TRILOGY_ALLOWED_MODELS": json.dumps([options.model]),
        "TRILOGY_GUEST_REQUESTS": "1000000",
        "TRILOGY_GUEST_TOKENS": "1000000000",
        "TRILOGY_GUEST_SECONDS": "1000000",
    }
    command = [sys.executable, "app.py", "--port", str(port), "--host", "127.0.0.1", "--share",
               "--no-tunnel", "--workspace", str(folder), "--log-level", "WARNING"]  # fmt: skip
    with (folder / "app.log").open("w") as log:
        running = subprocess.Popen(
            command, cwd=ROOT, env=environment, stdout=log, stderr=subprocess.STDOUT
        )
    url = f"http://127.0.0.1:{port}"
    try:
        _wait(url, running)
        yield url, psutil.Process(running.pid)
    finally:
        running.terminate()
        running.wait(20)


def _wait(url: str, running: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end and running.poll() is None:
        try:
            if httpx.get(url, timeout=2).status_code == 200:
                return
        except httpx.HTTPError:
            time.sleep(0.3)
    raise SystemExit("the app did not start")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--guests", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=300)
    parser.add_argument("--tokens", type=int, default=16, help="of each continuation")
    parser.add_argument("--pause", type=float, default=2.0, help="seconds a guest reads")
    parser.add_argument("--model", default="bundled:smollm2-135m-instruct")
    parser.add_argument("--markdown", action="store_true")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if not (1 <= options.guests <= MOST_GUESTS and 1 <= options.seconds <= MOST_SECONDS):
        parser.error(f"1 to {MOST_GUESTS} guests and 1 to {MOST_SECONDS} seconds")
    return options


if __name__ == "__main__":
    sys.exit(main())
