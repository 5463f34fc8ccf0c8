"""What a prompt is filled with: seed tasks of a file, or the rows of a dataset.

A seed file is JSON lines, ``{"id", "name", "instruction", "instances": [{"input", "output"}],
"is_classification"}``, as self-instruct has it (Wang et al. 2022). Rows that cannot be read are
counted and named, and the others are used. This module does not know templates.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import orjson

from workbench.errors import NoSeeds, NoSuchDataset
from workbench.workspace import Workspace

LIBRARY = Path(__file__).resolve().parents[2] / "assets" / "seeds"
DEFAULT = "cantonese"
DATASET = "dataset:"
"""In front of the name of a dataset of the workspace."""
RUN = "run:"
"""In front of the name of a generation run, whose kept rows are meant."""
MOST = 1_000_000
ASKING, ANSWERING = ("user",), ("assistant", "text")


@dataclass(frozen=True)
class Seed:
    """One task or one row."""

    id: str
    instruction: str
    input: str = ""
    output: str = ""
    name: str = ""
    is_classification: bool = False
    turns: tuple[tuple[str, str], ...] = ()
    """Role and text, where the row is a conversation."""
    columns: Mapping[str, str] = field(default_factory=dict)

    def slots(self) -> dict[str, str]:
        """What a template can ask for by name."""
        said = self.turns or (("user", self.asked), ("assistant", self.output))
        return {
            **self.columns,
            "id": self.id,
            "name": self.name,
            "instruction": self.instruction,
            "input": self.input,
            "output": self.output,
            "document": self.output or self.asked,
            "conversation": "\n".join(f"{role}: {text}" for role, text in said if text),
        }

    @property
    def asked(self) -> str:
        """Instruction and input as one text."""
        return f"{self.instruction}\n\n{self.input}" if self.input else self.instruction

    def to_json(self) -> bytes:
        return orjson.dumps(asdict(self))

    @classmethod
    def from_json(cls, said: Mapping[str, Any]) -> Seed:
        turns = tuple((role, text) for role, text in said.get("turns") or ())
        return cls(**{**said, "turns": turns})


@dataclass(frozen=True)
class Seeds:
    """What could be read, and what could not."""

    seeds: tuple[Seed, ...]
    broken: tuple[tuple[int, str], ...] = ()
    """Line and reason of every row left out."""


def shipped() -> list[str]:
    """The seed files that come with the workbench."""
    return sorted(path.stem for path in LIBRARY.glob("*.jsonl"))


def load(source: str, workspace: Workspace) -> Seeds:
    """Seeds of a shipped file, a dataset (``dataset:NAME``), a run (``run:NAME``) or a file.

    Raises:
        NoSeeds: nothing in it can be used.
        NoSuchDataset, InvalidName.
    """
    if source.startswith(DATASET):
        return of_dataset(source.removeprefix(DATASET), workspace)
    if source.startswith(RUN):
        path = workspace.prompt_run(source.removeprefix(RUN)) / "rows.jsonl"
        return read(path.read_bytes() if path.is_file() else b"", source)
    shelf = LIBRARY / f"{source}.jsonl"
    path = shelf if source and "/" not in source and shelf.is_file() else Path(source)
    try:
        raw = path.read_bytes()
    except OSError:
        raise NoSeeds(name=source[:100], reason="there is no such file") from None
    return read(raw, path.name)


def read(raw: bytes, name: str) -> Seeds:
    """Seeds out of JSON lines.

    Raises:
        NoSeeds.
    """
    seeds: list[Seed] = []
    broken: list[tuple[int, str]] = []
    for number, line in enumerate(raw.split(b"\n"), 1):
        if not line.strip():
            continue
        try:
            seeds += _seeds_of(orjson.loads(line), number)
        except orjson.JSONDecodeError:
            broken.append((number, "it is not JSON"))
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            broken.append((number, str(error).strip("'") or "it is not a task"))
    if not seeds:
        reason = f"line {broken[0][0]}: {broken[0][1]}" if broken else "it is empty"
        raise NoSeeds(name=name[:100], reason=reason)
    return Seeds(tuple(seeds), tuple(broken))


def _seeds_of(said: Any, number: int) -> Iterator[Seed]:
    """One seed a line: of several instances the first, as Alpaca does."""
    if not isinstance(said, dict):
        raise ValueError("it is not an object")
    if "messages" in said:
        yield _of_turns(said, number)
        return
    instruction = said.get("instruction")
    if not isinstance(instruction, str) or not instruction.strip():
        raise ValueError("it has no instruction")
    instances = said.get("instances") or [said]
    if not isinstance(instances, list) or not isinstance(instances[0], dict):
        raise ValueError("instances is not a list of objects")
    given, output = instances[0].get("input") or "", instances[0].get("output") or ""
    if not isinstance(given, str) or not isinstance(output, str):
        raise ValueError("input and output must be texts")
    yield Seed(
        id=str(said.get("id") or f"row-{number}"),
        instruction=instruction.strip(),
        input=given.strip(),
        output=output.strip(),
        name=str(said.get("name") or ""),
        is_classification=bool(said.get("is_classification")),
    )


def _of_turns(said: dict[str, Any], number: int) -> Seed:
    turns = tuple(
        (str(turn["role"]), str(turn.get("content") or "")) for turn in said["messages"] or ()
    )
    asked = [text for role, text in turns if role in ASKING]
    answered = [text for role, text in turns if role in ANSWERING]
    if not asked and not answered:
        raise ValueError("it has no turn")
    instruction, given = (asked[-1] if asked else ""), str(said.get("input") or "")
    if given and instruction.endswith(given):
        instruction = instruction[: -len(given)].rstrip()
    scalars = {
        str(key): str(value)
        for key, value in said.items()
        if isinstance(value, str | int | float | bool) and key not in ("id", "input")
    }
    return Seed(
        id=str(said.get("id") or f"row-{number}"),
        instruction=instruction,
        input=given,
        output=answered[-1] if answered else "",
        turns=turns,
        columns=scalars,
    )


def of_dataset(name: str, workspace: Workspace) -> Seeds:
    """The rows of a dataset, read as the plain file that it is.

    Raises:
        NoSuchDataset, NoSeeds, InvalidName.
    """
    path = workspace.dataset(name) / "data.parquet"
    if not path.is_file():
        raise NoSuchDataset(name=name[:100])
    import pyarrow.parquet as pq

    seeds: list[Seed] = []
    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches(batch_size=4096):
            for row in batch.to_pylist():
                try:
                    seeds.append(_of_turns(row, len(seeds) + 1))
                except (ValueError, KeyError, TypeError):
                    continue
                if len(seeds) >= MOST:
                    return Seeds(tuple(seeds))
    if not seeds:
        raise NoSeeds(name=name, reason="it has no rows")
    return Seeds(tuple(seeds))
