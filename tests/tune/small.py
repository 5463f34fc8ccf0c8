"""A dataset of a few lines and a recipe that trains a tiny model in a second or two."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as parquet

from workbench.tune.recipe import TuneRecipe
from workbench.workspace import Workspace

ASKED = ("你去咗邊度呀？", "今日食咩呀?", "佢哋聽日嚟唔嚟?", "你知唔知呀?", "how are you?")
SAID = ("我去咗食嘢。", "我唔知喎, 聽日先話你知啦!", "佢哋今日嚟。", "我唔知呀!", "fine, and you?")


def rows(count: int = 40) -> list[list[dict[str, Any]]]:
    """Short exchanges, no two the same."""
    return [
        [
            turn("user", f"{ASKED[at % 5]} {at}"),
            turn("assistant", f"{SAID[at * 7 % 5]} {SAID[at * 3 % 5][: at % 9]}"),
        ]
        for at in range(count)
    ]


def turn(role: str, content: str) -> dict[str, Any]:
    return {"role": role, "content": content, "name": None, "tool_calls": None, "weight": None}


def dataset(workspace: Workspace, name: str = "lines", messages: Any = None) -> Path:
    """Write a dataset as the Data tab leaves it."""
    folder = workspace.dataset(name)
    folder.mkdir(parents=True, exist_ok=True)
    given = rows() if messages is None else messages
    kind = pa.struct([(field, pa.string()) for field in ("role", "content", "name", "tool_calls")])
    kind = pa.struct([*kind, pa.field("weight", pa.float64())])
    table = pa.table({"messages": pa.array(given, pa.list_(kind))})
    parquet.write_table(table, folder / "data.parquet")
    sha256 = hashlib.sha256((folder / "data.parquet").read_bytes()).hexdigest()
    log = {"sha256": sha256, "rows": len(given), "steps": [], "licence": "CC0-1.0", "source": {}}
    (folder / "dataset.json").write_text(json.dumps(log), "utf-8")
    return folder


def recipe(base: Path, name: str = "first", **changes: Any) -> TuneRecipe:
    """Twelve steps of four rows."""
    choices: dict[str, Any] = {
        "base": f"file:{base}",
        "dataset": "lines",
        "precision": "fp32",
        "max_length": 96,
        "lora_r": 4,
        "lora_alpha": 8,
        "lora_dropout": 0.1,
        "learning_rate": 5e-3,
        "steps": 12,
        "batch": 4,
        "micro_batch": 2,
        "eval_every": 4,
        "save_every": 3,
        "holdout": 8,
        "prompts": ("你知唔知呀?", "how are you?"),
        "sample_tokens": 4,
    }
    return TuneRecipe(name=name, **{**choices, **changes})
