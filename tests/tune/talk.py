"""Conversations and datasets for the tests of tuning, all made up here."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from workbench.workspace import Workspace

MESSAGE = pa.struct(
    [
        ("role", pa.string()),
        ("content", pa.string()),
        ("name", pa.string()),
        ("tool_calls", pa.string()),
        ("weight", pa.float64()),
    ]
)


def turn(role: str, content: str, **more: Any) -> dict[str, Any]:
    return {
        "role": role, "content": content, "name": None, "tool_calls": None, "weight": None, **more
    }  # fmt: skip


def exchange(*said: str) -> list[dict[str, Any]]:
    """The user and the assistant by turns."""
    roles = ("user", "assistant")
    return [turn(roles[at % 2], text) for at, text in enumerate(said)]


LONG = [
    turn("system", "你係一個住喺深水埗嘅婆婆，講嘢好直。"),
    *exchange(
        "婆婆，今日去咗邊呀？", "落咗街市買餸囉，菜心貴到死。", "買咗咩呀？",
        "一斤排骨，\n兩條魚。 ", "煮晒今晚食？", "梗係啦，你嚟唔嚟食飯？",
    ),
]  # fmt: skip


def many(count: int) -> list[list[dict[str, Any]]]:
    return [exchange(f"第{n}條問題係咩呀？", f"第{n}個答案就係{n * 7}囉。") for n in range(count)]


def store(
    workspace: Workspace,
    rows: list[Any],
    name: str = "kc",
    steps: list[dict[str, Any]] | None = None,
    **columns: list[Any],
) -> Path:
    """A dataset as the workspace keeps it; ``columns`` may hold ``chosen`` and ``split``."""
    kinds = {"chosen": pa.list_(MESSAGE), "rejected": pa.list_(MESSAGE)}
    table = pa.table({"messages": pa.array(rows, pa.list_(MESSAGE))})
    for column, values in columns.items():
        table = table.append_column(column, pa.array(values, kinds.get(column, pa.string())))
    folder = workspace.dataset(name)
    folder.mkdir(parents=True)
    pq.write_table(table, folder / "data.parquet")
    write_log(folder, len(rows), steps)
    return folder


def write_log(folder: Path, rows: int, steps: list[dict[str, Any]] | None = None) -> None:
    log = {
        "trilogy_dataset": 1, "name": folder.name, "rows": rows, "licence": "CC0",
        "sha256": hashlib.sha256((folder / "data.parquet").read_bytes()).hexdigest(),
        "source": {"kind": "file", "name": "made up"}, "steps": steps or [],
    }  # fmt: skip
    (folder / "dataset.json").write_text(json.dumps(log), encoding="utf-8")
