"""Start: from a new process to the first page, against a bare Gradio app.

Measured: the time from starting ``python app.py`` until ``GET /`` answers 200 with the
whole HTML, and the same for a Gradio app of one text box and one button with the same
launch options (analytics, server-side rendering and monitoring off). The two take turns
after one unmeasured start each, so that both find their files in the disk cache.

Not measured: the browser's own work, the first visit to a tab, and loading a model;
torch and transformers are imported when first needed.

    python benchmarks/startup.py --rounds 5 --markdown
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from _machine import facts, ratios, table

ROOT = Path(__file__).resolve().parents[1]
EVERY_SECONDS = 0.01
LIMIT_SECONDS = 120
BARE = """
import sys
import gradio as gr

with gr.Blocks(title="Bare", analytics_enabled=False) as page:
    text = gr.Textbox()
    gr.Button().click(lambda value: value, text, text)
page.launch(
    server_port=int(sys.argv[1]),
    run_history=False,
    enable_monitoring=False,
    strict_cors=True,
    ssr_mode=False,
    footer_links=[],
    mcp_server=False,
)
"""


def main() -> int:
    options = _options()
    with tempfile.TemporaryDirectory() as folder:
        apps: dict[str, Callable[[int], list[str]]] = {
            "this project": lambda port: [
                *(sys.executable, "app.py", "--port", str(port)),
                *("--workspace", folder),
            ],
            "bare Gradio app": lambda port: [sys.executable, "-c", BARE, str(port)],
        }
        seconds: dict[str, list[float]] = {name: [] for name in apps}
        for command in apps.values():
            first_page(command)
        for number in range(options.rounds):
            order = list(apps) if number % 2 == 0 else list(reversed(apps))
            for name in order:
                seconds[name].append(first_page(apps[name]))
    print("\n".join(report(seconds, options.markdown)))
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--markdown", action="store_true", help="a table for docs/benchmarks.md")
    return parser.parse_args()


def first_page(command: Callable[[int], list[str]]) -> float:
    """Start, wait for the page, end the process; the seconds between the first two."""
    port = _free_port()
    environment = {**os.environ, "GRADIO_ANALYTICS_ENABLED": "False"}
    with tempfile.TemporaryFile() as said:
        started = time.perf_counter()
        process = subprocess.Popen(
            command(port), cwd=ROOT, env=environment, stdout=said, stderr=subprocess.STDOUT
        )
        try:
            while not _has_page(port):
                if process.poll() is not None or time.perf_counter() - started > LIMIT_SECONDS:
                    said.seek(0)
                    raise SystemExit(f"No page came:\n{said.read().decode(errors='replace')}")
                time.sleep(EVERY_SECONDS)
            return time.perf_counter() - started
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _has_page(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    with contextlib.closing(connection):
        try:
            connection.request("GET", "/")
            answer = connection.getresponse()
            page = answer.read()
        except (OSError, http.client.HTTPException):
            return False
    return answer.status == 200 and b"gradio" in page and page.rstrip().endswith(b"</html>")


def report(seconds: dict[str, list[float]], markdown: bool) -> Iterator[str]:
    ours, bare = seconds.values()
    rows = [
        (name, f"{statistics.median(each):.2f}", f"{min(each):.2f}-{max(each):.2f}")
        for name, each in seconds.items()
    ]
    yield from table(("", "seconds to the first page", "least-most"), rows, markdown)
    ratio = ratios(ours, bare)
    yield ""
    yield f"Ratio of the medians (rounds): {ratio if markdown else ratio.replace('*', '')}"
    yield ""
    yield from facts(len(ours), ("gradio",))


if __name__ == "__main__":
    sys.exit(main())
