"""What leaves is what is kept, part by part, with a card that says where it came from."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import yaml

from tests.data.desk import dataset_of, done, talks
from tests.fake_hub import FakeHub
from tests.tiny import finish, never
from workbench.data.dataset import Dataset
from workbench.data.going_out import (
    dataset_card,
    ending,
    export_dataset,
    push_dataset,
    rows_of,
    splits,
    told,
)
from workbench.data.importing import bring_corpus
from workbench.data.mixing import MixRequest, Share, mix
from workbench.data.recipe import Check, CorpusSource, Decide, Filter, Label, Split
from workbench.errors import BadShares, NothingLeft, Stopped, WorkbenchError
from workbench.workspace import Workspace


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path / "workspace")


@pytest.fixture
def desk(workspace: Workspace) -> Dataset:
    return dataset_of(talks(30), workspace)


def test_only_what_is_kept_is_written(desk: Dataset, tmp_path: Path) -> None:
    done(desk, Filter("score < 10"))
    done(desk, Decide("keep", (20,)))
    done(desk, Label(1, 5, "chat"))
    out = tmp_path / f"out{ending('messages')}"
    report = finish(export_dataset(desk, out, "messages", "", never()))[1]
    lines = [json.loads(line) for line in out.read_text("utf-8").splitlines()]
    assert report.rows == len(lines) == 11
    assert lines[-1]["score"] == 20
    assert (lines[1]["rating"], lines[1]["task"]) == (5, "chat")
    assert "rating" not in lines[0]


def test_each_part_of_a_split_is_written_alone(desk: Dataset, tmp_path: Path) -> None:
    assert splits(desk) == []
    with pytest.raises(BadShares, match="not split"):
        rows_of(desk, "train")
    done(desk, Split({"test": 0.2, "train": 0.8}, 2))
    assert splits(desk) == ["train", "test"]
    rows = {name: rows_of(desk, name).tolist() for name in ("train", "test")}
    assert sorted([*rows["train"], *rows["test"]]) == list(range(30))
    done(desk, Decide("drop", (rows["test"][0],)))
    assert rows_of(desk, "test").tolist() == rows["test"][1:]
    with pytest.raises(NothingLeft):
        rows_of(desk, "validation")
    out = tmp_path / f"x{ending('parquet')}"
    finish(export_dataset(desk, out, "parquet", "train", never()))
    assert pq.read_table(out).column("split").to_pylist() == ["train"] * len(rows["train"])
    done(desk, Filter("split = 'train'"))
    assert splits(desk) == ["train"]
    assert "rows in train" in dataset_card(desk)


def test_nothing_kept_is_nothing_written(desk: Dataset, tmp_path: Path) -> None:
    done(desk, Filter("false"))
    with pytest.raises(NothingLeft):
        finish(export_dataset(desk, tmp_path / "out.jsonl", "messages", "", never()))
    stop = threading.Event()
    stop.set()
    desk.undo()
    with pytest.raises(Stopped):
        finish(export_dataset(desk, tmp_path / "out.jsonl", "messages", "", stop))
    assert [path.name for path in tmp_path.iterdir()] == ["workspace"]


def test_the_card_names_sources_licences_steps_and_rows(
    desk: Dataset, workspace: Workspace
) -> None:
    finish(bring_corpus(CorpusSource("identity", "yue"), workspace, "me", never()))
    done(desk, Check(("echo",), ("echo",)))
    parts = [desk, Dataset(workspace, "me")]
    finish(mix(parts, MixRequest("both", (Share("desk"), Share("me"))), never()))
    both = Dataset(workspace, "both")
    done(both, Filter("score < 3 OR score IS NULL"))
    text = dataset_card(both)
    front = yaml.safe_load(text.split("---")[1])
    assert front["pretty_name"] == "both"
    assert front["license"] == "other"
    assert "language" not in front
    assert "| identity | Apache-2.0 |" in text
    assert "desk: check" in text
    assert f"| rows | {both.recipe.steps[-1].kept} |" in text
    assert told(both.recipe)[-1].startswith("filter: ")
    mine = yaml.safe_load(dataset_card(both, "cc-by-4.0").split("---")[1])
    assert mine["license"] == "cc-by-4.0"


def test_a_push_to_a_hub_that_refuses_is_one_sentence(
    desk: Dataset, hub: FakeHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[Path] = []

    def seen(folder: Path, *_: object) -> str:
        made.extend(
            path.relative_to(folder) for path in sorted(folder.rglob("*")) if path.is_file()
        )
        return "there"

    done(desk, Split({"../../x": 0.5, "test": 0.5}))
    hub.broken = 403
    with pytest.raises(WorkbenchError) as caught:
        finish(push_dataset(desk, "owner/name", "token", True, "", never()))
    assert len(str(caught.value).splitlines()) == 1
    monkeypatch.setattr("workbench.data.publish.push_to_hub", seen)
    assert finish(push_dataset(desk, "owner/name", None, True, "", never()))[1] == "there"
    names = ["README.md", "data/______x.parquet", "data/test.parquet", "dataset.json"]
    assert [str(path) for path in made] == names
