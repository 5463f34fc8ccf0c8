"""Rows for the data benchmarks: real ones repeated until there are enough, all different.

The rows are HKCanCor exchanges, several folded into one conversation of two to six turns and
300 to 500 characters, the bundled samples (four languages and registers, plain texts) and the
identity set. Every text of a row ends in the row's number. This module measures nothing.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from workbench.data import corpora, shipped, storage
from workbench.data.formats.convert import to_examples
from workbench.data.formats.mapping import DEFAULTS
from workbench.data.rows import MESSAGES, Example, Message, schema_with, table_of

SAMPLES = Path(__file__).resolve().parents[1] / "assets" / "samples"
COLUMNS = {"score": pa.float64(), "stars": pa.int64()}
LEAST = 300
"""Characters of a folded conversation, at least."""
BLOCK = 50_000


def base(seed: int = 1) -> list[Example]:
    """A few thousand real rows: about 19 of 20 are folded conversations."""
    draw = random.Random(seed)
    talks = list(_folded())
    others = [*_samples(), *shipped.examples("identity", "all", {})]
    while len(talks) < len(others) * 19:
        talks += _folded(draw)
    rows = talks + others
    draw.shuffle(rows)
    return rows


def _folded(draw: random.Random | None = None) -> Iterator[Example]:
    """Exchanges put on top of one another, first turn to first turn, until they are long."""
    exchanges = [one.messages for one in corpora.hkcancor("exchanges")]
    if draw:
        draw.shuffle(exchanges)
    together: list[tuple[Message, ...]] = []
    for one in exchanges:
        together.append(one)
        if sum(len(turn.content) for part in together for turn in part) >= LEAST:
            yield Example(_stacked(together), source=corpora.SOURCE)
            together = []


def _stacked(together: list[tuple[Message, ...]]) -> tuple[Message, ...]:
    turns = max(map(len, together))
    said = [
        "".join(part[turn].content for part in together if turn < len(part))
        for turn in range(turns)
    ]
    return tuple(
        Message("assistant" if turn % 2 else "user", text) for turn, text in enumerate(said)
    )


def _samples() -> Iterator[Example]:
    for path in sorted(SAMPLES.glob("*.jsonl")):
        for line in path.read_bytes().splitlines():
            yield from to_examples(orjson.loads(line), DEFAULTS["text"], f"sample {path.stem}")


def write(path: Path, rows: int, seed: int = 1) -> None:
    """So many rows as a dataset's Parquet file."""
    few = table_of(base(seed), {})
    draw = np.random.default_rng(seed)
    with storage.sink(path, schema_with(COLUMNS)) as sink:
        for start in range(0, rows, BLOCK):
            numbers = np.arange(start, min(rows, start + BLOCK))
            sink.write(_numbered(few, numbers, draw))


def _numbered(few: pa.Table, numbers: np.ndarray, draw: np.random.Generator) -> pa.Table:
    """Rows of the few in turn, each message with the number of its row at the end."""
    block = few.take(pa.array(numbers % few.num_rows)).combine_chunks()
    columns = {name: block.column(name).combine_chunks() for name in block.column_names}
    lists = columns["messages"]
    turns = pc.list_flatten(lists)
    owners = pa.array(numbers).take(pc.list_parent_indices(lists)).cast(pa.string())
    fields = dict(zip([field.name for field in turns.type], turns.flatten(), strict=True))
    fields["content"] = pc.binary_join_element_wise(fields["content"], owners, " ")
    structs = pa.StructArray.from_arrays(list(fields.values()), fields=list(turns.type))
    columns["messages"] = pa.ListArray.from_arrays(lists.offsets, structs, type=MESSAGES)
    columns["id"] = pa.array(numbers).cast(pa.string())
    columns["score"] = pa.array(draw.random(len(numbers)))
    columns["stars"] = pa.array(draw.integers(1, 6, len(numbers)))
    schema = schema_with(COLUMNS)
    return pa.Table.from_arrays([columns[name] for name in schema.names], schema=schema)


Shape = Callable[[int, Example], dict[str, Any]]


def alpaca(number: int, row: Example) -> dict[str, Any]:
    """Instruction, input and output."""
    turns = [turn.content for turn in row.messages]
    half = len(turns) // 2
    return {
        "instruction": f"{turns[0]} {number}",
        "input": "" if number % 3 else "".join(turns[1:half]),
        "output": "".join(turns[max(1, half) :]) or turns[0],
        "stars": number % 5 + 1,
    }


def messages(number: int, row: Example) -> dict[str, Any]:
    """A list of roles and contents."""
    turns = [{"role": turn.role, "content": turn.content} for turn in row.messages]
    if turns[0]["role"] == "text":
        turns = [{"role": "user", "content": "?"}, {"role": "assistant", "content": row.text}]
    turns[0]["content"] += f" {number}"
    return {"id": str(number), "messages": turns, "score": number / 7}


def write_lines(path: Path, size: int, shape: Shape, seed: int = 1) -> int:
    """JSON Lines of some ``size`` bytes; returns how many."""
    few, number, written = base(seed), 0, 0
    with path.open("wb") as file:
        while written < size:
            line = orjson.dumps(shape(number, few[number % len(few)])) + b"\n"
            written += file.write(line)
            number += 1
    return number
