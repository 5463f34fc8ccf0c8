"""A short prompt, seeds and recipes for the fake Gemini."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import orjson

from tests.fake_gemini import FakeGemini
from workbench import jobs
from workbench.prompts import job, store
from workbench.prompts.recipe import GenerateRecipe
from workbench.prompts.rules import Rules
from workbench.prompts.teachers import Key, Options, TeacherChoice
from workbench.prompts.template import Template
from workbench.workspace import Workspace

KEY = Key("canary-key-for-tests")
TEXT = """Go on with the list, in Cantonese, up to number {{asked}}.
{{tasks}}
###
{{start}}. Instruction:"""


def prompt(**changes: Any) -> Template:
    chosen: dict[str, Any] = {"name": "few-shot", "per_request": 3, "asked": 20, **changes}
    return Template(template=chosen.pop("template", TEXT), shape="numbered", **chosen)


def seed_lines(count: int = 60) -> bytes:
    rows = (
        {
            "id": f"s{number}",
            "name": f"seed {number}",
            "instruction": f"第{number}題：講吓香港第{number}區有咩好食",
            "instances": [{"input": "", "output": f"第{number}區嘅雲吞麵好食。"}],
            "is_classification": False,
        }
        for number in range(count)
    )
    return b"\n".join(map(orjson.dumps, rows))


def recipe(server: FakeGemini, folder: Path, name: str = "run", **changes: Any) -> GenerateRecipe:
    seeds = folder / "seeds.jsonl"
    if not seeds.exists():
        folder.mkdir(parents=True, exist_ok=True)
        seeds.write_bytes(seed_lines())
    chosen: dict[str, Any] = {
        "template": prompt(),
        "seeds": str(seeds),
        "teacher": TeacherChoice("gemini", "gemini-2.5-flash", server.address),
        "options": Options(timeout=2),
        "rules": Rules(register="cantonese"),
        "rows": 40,
        "concurrency": 8,
    }
    return GenerateRecipe(name, **{**chosen, **changes})


def ended(name: str, workspace: Workspace, seconds: float = 60) -> str:
    """Wait until the run's process is gone; how it ended."""
    folder = job.find(name, workspace)
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        status = jobs.status_of(folder)
        if status not in ("queued", "running"):
            return status
        time.sleep(0.05)
    raise AssertionError(f"{name} did not end: {job.events_of(folder)[0][-3:]}")


def lines(workspace: Workspace, name: str, file: str) -> list[dict[str, Any]]:
    return list(store.lines(job.find(name, workspace) / file))
