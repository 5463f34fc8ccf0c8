"""A recipe done again on the same input gives the same bytes, or says what is missing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.data.desk import PAIRS, done, files_of
from tests.tiny import finish, never
from workbench.data.dataset import Dataset, listed, read_recipe
from workbench.data.importing import ImportRequest, bring_corpus, import_file
from workbench.data.mixing import MixRequest, Share, mix, saved
from workbench.data.recipe import (
    DROPS,
    Check,
    CorpusSource,
    Decide,
    Duplicates,
    Edit,
    Fill,
    Filter,
    Label,
    Overlap,
    Recipe,
    Split,
    Switch,
)
from workbench.data.replay import Again, replay
from workbench.errors import (
    BadRecipe,
    DatasetExists,
    InputChanged,
    InputMissing,
    InvalidName,
    NoSuchDataset,
)
from workbench.settings import Settings
from workbench.workspace import Workspace


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path / "workspace")


@pytest.fixture
def seeds(tmp_path: Path) -> Path:
    path = tmp_path / "inputs" / "種子.jsonl"
    path.parent.mkdir()
    rows = [
        {"instruction": asked, "input": "", "output": said + "呀" * (at // 8), "score": at}
        for at in range(24)
        for asked, said in [PAIRS[at % 8]]
    ]
    rows += [{"instruction": "無答案", "input": "", "output": "", "score": 99}]
    path.write_text("".join(json.dumps(one, ensure_ascii=False) + "\n" for one in rows), "utf-8")
    return path


def brought(path: Path, workspace: Workspace, name: str = "seeds") -> Dataset:
    finish(import_file(ImportRequest(path, name), workspace, Settings(), never()))
    return Dataset(workspace, name)


def again(recipe: Recipe, inputs: list[Path], workspace: Workspace, name: str = "again") -> Again:
    made = finish(replay(recipe, inputs, workspace, name, Settings(), never()))[1]
    assert isinstance(made, Again)
    return made


def worked_on(desk: Dataset) -> Dataset:
    """Steps of every kind that can be done to the seeds."""
    turns = ({"role": "user", "content": "改咗"}, {"role": "assistant", "content": "我叫{{name}}"})
    done(desk, Check(DROPS, DROPS))
    done(desk, Edit(3, turns))
    done(desk, Fill({"name": "三步"}))
    done(desk, Duplicates("near", threshold=0.7))
    done(desk, Decide("keep", (24,)))
    done(desk, Decide("drop", where=("score BETWEEN 5 AND 6",)))
    done(desk, Switch(1, on=False, check="length"))
    done(desk, Label(2, 4, "chat", ("好啲",), "阿明"))
    done(desk, Split({"train": 0.8, "test": 0.2}, 3))
    return desk


def test_a_file_with_every_kind_of_step_gives_the_same_rows(
    seeds: Path, workspace: Workspace
) -> None:
    desk = worked_on(brought(seeds, workspace))
    made = again(desk.recipe, [seeds.parent], workspace)
    assert made.same
    twin = Dataset(workspace, "again")
    assert twin.recipe.steps == desk.recipe.steps
    assert twin.recipe.sha256 == desk.recipe.sha256
    assert twin.state.table.equals(desk.state.table)
    assert twin.state.kept.tolist() == desk.state.kept.tolist()
    assert twin.state.columns["split"].equals(desk.state.columns["split"])


def test_the_whole_way_from_files_and_corpora_to_a_saved_mix(
    seeds: Path, workspace: Workspace, tmp_path: Path
) -> None:
    parts = [brought(seeds, workspace)]
    corpora = (("speech", "hkcancor", "dialogues"), ("identity", "identity", "yue"))
    for name, corpus, form in corpora:
        source = CorpusSource(corpus, form, {"name": "三步"} if corpus == "identity" else {})
        finish(bring_corpus(source, workspace, name, never()))
        parts.append(Dataset(workspace, name))
    done(parts[0], Check(("empty_answer",), ("empty_answer",)))
    shares = (Share("seeds", 0.6), Share("speech", 0.2), Share("identity", 0.2))
    finish(mix(parts, MixRequest("mix", shares, total=30, seed=7), never()))
    desk = Dataset(workspace, "mix")
    done(desk, Check(("echo", "length"), ("echo",), {"max_characters": 4000}))
    done(desk, Duplicates("near", threshold=0.6))
    done(desk, Decide("drop", (0,)))
    done(desk, Split({"train": 0.9, "test": 0.1}, 1))
    finish(mix([desk], saved("mix", "final"), never()))
    final = Dataset(workspace, "final")
    assert "HKCanCor" in final.state.table.column("source").to_pylist()
    assert final.recipe.licence == "CC BY 4.0; Apache-2.0"

    log = final.folder / "dataset.json"
    elsewhere = Workspace(tmp_path / "elsewhere")
    made = again(read_recipe(log), [seeds], elsewhere, "final")
    assert made.same
    assert made.recipe.sha256 == final.recipe.sha256
    twin = elsewhere.dataset("final")
    assert (twin / "data.parquet").read_bytes() == (final.folder / "data.parquet").read_bytes()
    assert (twin / "dataset.json").read_bytes() == log.read_bytes()
    assert [one.name for one in listed(elsewhere)] == ["final"]
    assert not [path for path in elsewhere.datasets.iterdir() if path.name.startswith(".")]


def test_an_input_that_changed_or_is_not_there_is_named(seeds: Path, workspace: Workspace) -> None:
    desk = worked_on(brought(seeds, workspace))
    finish(mix([desk], saved("seeds", "clean"), never()))
    for recipe in (desk.recipe, Dataset(workspace, "clean").recipe):
        with pytest.raises(InputMissing, match=r"種子\.jsonl"):
            again(recipe, [], workspace)
    seeds.write_text(seeds.read_text("utf-8").replace("飯", "麵"), "utf-8")
    before = files_of(workspace.root)
    for recipe in (desk.recipe, Dataset(workspace, "clean").recipe):
        with pytest.raises(InputMissing, match=r"種子\.jsonl"):
            again(recipe, [seeds.parent], workspace)
    assert {one for one in files_of(workspace.root) if "view.arrow" not in one} <= before


def test_the_file_may_have_another_name_now(
    seeds: Path, workspace: Workspace, tmp_path: Path
) -> None:
    desk = brought(seeds, workspace)
    moved = seeds.rename(tmp_path / "whatever.bin")
    made = again(desk.recipe, [moved], workspace)
    assert made.same
    assert made.recipe.source == desk.recipe.source


def test_rows_that_are_not_the_same_are_told(seeds: Path, workspace: Workspace) -> None:
    desk = brought(seeds, workspace)
    done(desk, Filter("score < 5"))
    document = desk.recipe.to_json()
    document["steps"][0]["where"] = "score < 6"
    assert not again(Recipe.from_json(document), [seeds], workspace).same
    document["sha256"] = "00" * 32
    document["steps"] = []
    assert not again(Recipe.from_json(document), [seeds], workspace, "more").same


def test_a_step_that_cannot_be_done_again_leaves_nothing(seeds: Path, workspace: Workspace) -> None:
    other = brought(seeds, workspace, "other")
    desk = brought(seeds, workspace)
    done(desk, Filter("score < 20"))
    done(desk, Overlap("other", method="exact"))
    assert again(desk.recipe, [seeds], workspace).same
    document = desk.recipe.to_json()
    document["steps"][1]["sha256"] = "00" * 32
    with pytest.raises(InputChanged, match="other"):
        again(Recipe.from_json(document), [seeds], workspace, "changed")
    document["steps"][1]["other"] = "gone"
    with pytest.raises(NoSuchDataset):
        again(Recipe.from_json(document), [seeds], workspace, "changed")
    assert not workspace.dataset("changed").exists()
    assert other.folder.exists()


def test_a_part_compared_with_another_part_is_made_again(
    seeds: Path, workspace: Workspace, tmp_path: Path
) -> None:
    train, test = brought(seeds, workspace, "train"), brought(seeds, workspace, "test")
    done(test, Filter("score < 4"))
    done(train, Overlap("test", method="exact"))
    finish(mix([train, test], MixRequest("both", (Share("train"), Share("test"))), never()))
    finish(mix([Dataset(workspace, "both")], saved("both", "deep"), never()))
    for name in ("both", "deep"):
        made = again(Dataset(workspace, name).recipe, [seeds], workspace, f"{name}-again")
        assert made.same
        assert made.recipe.sha256 == Dataset(workspace, name).recipe.sha256
    recipe = Dataset(workspace, "deep").recipe
    with pytest.raises(InputMissing, match="test"):
        again(recipe, [seeds], Workspace(tmp_path / "elsewhere"))


@pytest.mark.parametrize(
    ("name", "error"), [("seeds", DatasetExists), ("../x", InvalidName), ("", InvalidName)]
)
def test_a_name_that_cannot_be_had_is_refused(
    name: str, error: type[Exception], seeds: Path, workspace: Workspace
) -> None:
    desk = brought(seeds, workspace)
    before = files_of(workspace.root)
    with pytest.raises(error):
        again(desk.recipe, [seeds], workspace, name)
    assert files_of(workspace.root) == before


@pytest.mark.parametrize(
    "change",
    [
        {"source": {"kind": "corpus", "name": "shakespeare", "form": "plays"}},
        {"source": {"kind": "mix", "parts": [{"name": "a", "recipe": {}}]}},
    ],
)
def test_a_recipe_of_something_unknown_is_one_sentence(
    change: dict[str, Any], seeds: Path, workspace: Workspace
) -> None:
    recipe = Recipe.from_json({**brought(seeds, workspace).recipe.to_json(), **change})
    with pytest.raises(BadRecipe) as caught:
        again(recipe, [seeds], workspace)
    assert len(str(caught.value).splitlines()) == 1
    assert [one.name for one in listed(workspace)] == ["seeds"]
