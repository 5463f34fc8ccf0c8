"""Generation: rows a second at concurrency 8 against a sequential loop, and 100,000 items read.

Measured, against a server of our own that speaks the Gemini protocol and answers in 400 ms:

- the same number of requests, each reply read by the same autopsy, by a plain loop over
  google-genai and by a run (stored, flushed to the disk, in the ledger) at concurrency 8;
- the most requests within any 60 seconds that the server saw, with a limit of so many a minute;
- seconds to parse, label and compare 100,000 items, made of HKCanCor's utterances.

Not measured: a real service, and starting a process for a run.

    python benchmarks/prompts.py --rounds 5 --markdown
"""

from __future__ import annotations

import argparse
import random
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from _machine import facts, ratios, table

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.fake_gemini import FakeGemini
from workbench.prompts import seeds
from workbench.prompts.autopsy import Autopsy
from workbench.prompts.engine import Generation
from workbench.prompts.ledger import Budget, Price
from workbench.prompts.recipe import GenerateRecipe
from workbench.prompts.rules import Rules
from workbench.prompts.teachers import Key, TeacherChoice, made
from workbench.prompts.template import Template, fill, find
from workbench.workspace import Workspace

MODEL = "gemini-2.5-flash"
PROMPT = "self-instruct-english"
KEY = Key("benchmark")
ITEMS_IN_REPLY = 20
MANY_ROWS = 1_000_000
PRICE = Price(0.3, 2.5)
PACKAGES = ("google-genai", "httpx", "canto-filter", "py3langid")


def main() -> int:
    options = _options()
    server = FakeGemini(delay=options.delay_ms / 1000).start()
    with tempfile.TemporaryDirectory() as folder:
        workspace = Workspace(Path(folder))
        template = find(PROMPT, workspace)
        found = list(seeds.load(seeds.DEFAULT, workspace).seeds)
        contestants: dict[str, Callable[[int], float]] = {
            "sequential loop": lambda _round: _loop(server, template, found, options.requests),
            "concurrency 8": lambda turn: _run(
                server, template, found, options.requests, workspace.prompts / f"run-{turn}"
            ),
        }
        speeds: dict[str, list[float]] = {name: [] for name in contestants}
        names = list(contestants)
        for turn in range(options.rounds + 1):
            for name in names[turn % 2 :] + names[: turn % 2]:
                speed = contestants[name](turn)
                if turn:
                    speeds[name].append(speed)
        most = _limited(template, found, workspace, options.per_minute)
    server.stop()
    seconds = _read(options.items)
    rows = [
        [name, f"{statistics.median(each):.1f}", ratios(each, speeds["sequential loop"])]
        for name, each in speeds.items()
    ]
    lines = [
        *table(["", "rows a second", "ratio"], rows, options.markdown),
        "",
        f"- A limit of {options.per_minute} a minute: at most {most} requests within 60 s",
        f"- {options.items:,} items parsed, labelled and compared in {seconds:.1f} s",
        *facts(options.rounds, PACKAGES),
    ]
    print("\n".join(lines))
    return int(most > options.per_minute)


def _loop(server: FakeGemini, template: Template, found: list[seeds.Seed], count: int) -> float:
    """Ask, wait, read, ask: rows a second."""
    from google import genai
    from google.genai import types

    client = genai.Client(
        api_key=KEY.value, http_options=types.HttpOptions(base_url=server.address)
    )
    autopsy = Autopsy(template, Rules.of(template.rules), found)
    begun = time.monotonic()
    for number in range(count):
        reply = client.models.generate_content(
            model=MODEL, contents=fill(template, found, number).text
        )
        autopsy.examine(reply.text or "", number)
    return autopsy.kept / (time.monotonic() - begun)


def _run(
    server: FakeGemini, template: Template, found: list[seeds.Seed], count: int, folder: Path,
    per_minute: int = 0,
) -> float:  # fmt: skip
    """The same as a run: rows a second."""
    folder.mkdir(parents=True)
    teacher = TeacherChoice("gemini", MODEL, server.address)
    recipe = GenerateRecipe(
        "run", template, teacher=teacher, rules=Rules.of(template.rules), rows=MANY_ROWS,
        budget=Budget(requests=count), concurrency=8, per_minute=per_minute, barren=0,
    )  # fmt: skip
    begun = time.monotonic()
    run = Generation(
        folder, recipe, found, made(teacher, KEY), PRICE, lambda *_said, **_facts: None
    )
    ending = run.run(threading.Event())
    return ending.meter.kept / (time.monotonic() - begun)


def _limited(
    template: Template, found: list[seeds.Seed], workspace: Workspace, per_minute: int
) -> int:
    """The most requests that the server saw within a minute, when more would have gone out."""
    server = FakeGemini(delay=0.05).start()
    folder = workspace.prompts / "limited"
    _run(server, template, found, per_minute + per_minute // 4, folder, per_minute)
    server.stop()
    return server.most_per_minute


def _read(count: int) -> float:
    """Seconds to take so many items apart and judge them."""
    template = Template("few-shot", "{{tasks}}", "numbered", per_request=3)
    replies = list(_replies(count))
    autopsy = Autopsy(template, Rules(register="cantonese"))
    begun = time.monotonic()
    for number, reply in enumerate(replies):
        autopsy.examine(reply, number)
    return time.monotonic() - begun


def _replies(count: int) -> Iterator[str]:
    """Numbered replies out of spoken Cantonese, one item in ten nearly one before it."""
    import pycantonese

    corpus: Any = pycantonese.hkcancor()
    spoken = ["".join(t.word for t in u.tokens) for u in corpus.utterances()]
    spoken = [one for one in spoken if len(one) > 3]
    draw = random.Random(1)
    asked = ["".join(draw.sample(spoken, 2)) for _ in range(count)]
    for place in range(10, count, 10):
        text = asked[place - 7]
        at = draw.randrange(len(text))
        asked[place] = f"{text[:at]}啊{text[at:]}"
    for start in range(0, count, ITEMS_IN_REPLY):
        yield "\n".join(
            f"###\n{number}. 指示：{text}\n{number}. 輸入：<noinput>\n"
            f"{number}. 輸出：{draw.choice(spoken)}{draw.choice(spoken)}。"
            for number, text in enumerate(asked[start : start + ITEMS_IN_REPLY], 4)
        )


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--requests", type=int, default=40, help="of each turn")
    parser.add_argument("--delay-ms", type=float, default=400)
    parser.add_argument("--per-minute", type=int, default=60)
    parser.add_argument("--items", type=int, default=100_000)
    parser.add_argument("--markdown", action="store_true")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
