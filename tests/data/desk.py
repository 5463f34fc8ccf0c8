"""Small datasets on the desk of a test: rows written by hand, steps done to their end."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa

from tests.tiny import finish, never
from workbench.data import storage
from workbench.data.dataset import Dataset, create
from workbench.data.importing import write_examples
from workbench.data.recipe import CorpusSource, Done, Step
from workbench.data.rows import Example, Message
from workbench.data.steps import do
from workbench.settings import Settings
from workbench.workspace import Workspace

PAIRS = (
    ("你食咗飯未呀？", "食咗喇，頭先去咗樓下茶餐廳食咗個叉燒飯。"),
    ("聽日落唔落雨㗎？", "天文台話聽日有幾陣驟雨，出街記得帶遮。"),
    ("點樣去中環？", "搭港鐵荃灣綫去到尾站就係喇。"),
    ("介紹套戲俾我睇", "你可以睇吓《歲月神偷》，好感人㗎。"),
    ("幫我諗個貓名", "叫「豆花」啦，又白又滑，幾得意。"),
    ("我今日好攰", "咁你早啲瞓啦，唔好成日捱夜。"),
    ("How do I say thank you?", "For a gift say 多謝; for a favour say 唔該."),
    ("雞蛋仔點整㗎？", "用雞蛋、糖、麵粉同淡奶打勻，倒落模度烘三分鐘就得。"),
)


def talk(asked: str, said: str, **columns: Any) -> Example:
    """One question and its answer, with columns of its own."""
    fixed = {
        key: columns.pop(key) for key in ("id", "source", "chosen", "rejected") if key in columns
    }
    turns = (Message("user", asked), Message("assistant", said))
    return Example(turns, columns=columns, **fixed)


def talks(count: int = len(PAIRS)) -> list[Example]:
    """Different rows; after the first eight each has its number in it."""
    made = []
    for number in range(count):
        asked, said = PAIRS[number % len(PAIRS)]
        again = number // len(PAIRS)
        marked = "".join(chr(0x4E00 + (number * 977 + at * 131) % 20_000) for at in range(40))
        made.append(talk(asked, f"{said}{marked if again else ''}", score=number))
    return made


def dataset_of(examples: list[Example], workspace: Workspace, name: str = "desk") -> Dataset:
    """The rows as a dataset of the workspace, open."""
    finish(write_examples(examples, workspace.dataset(name) / storage.DATA, never()))
    create(workspace, name, CorpusSource("made", "by hand"))
    return Dataset(workspace, name)


def done(dataset: Dataset, step: Step) -> Done:
    """Do a step to its end."""
    found = finish(do(dataset, step, Settings(), never()))[1]
    assert isinstance(found, Done)
    return found


def snapshot(dataset: Dataset) -> dict[str, Any]:
    """Everything that can be seen of a dataset's state."""
    state = dataset.state
    return {
        "table": state.table.to_pylist(),
        "kept": state.kept.tolist(),
        "decisions": state.decisions.tolist(),
        "tags": state.tags().to_pylist(),
        "reasons": [state.reasons(row) for row in range(state.count)],
        "tallies": state.tallies(),
        "off": sorted(state.off),
        "labels": {name: one.to_pylist() for name, one in state.label_columns().items()},
        "columns": {name: pa.array(one).to_pylist() for name, one in state.columns.items()},
        "recipe": dataset.recipe.to_json(),
    }


def files_of(folder: Path) -> set[str]:
    """What lies in a workspace, hidden files too."""
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
