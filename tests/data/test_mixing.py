"""Mixes have the rows that were asked for, the same each time, as they are to be learned from."""

from __future__ import annotations

import threading
from collections import Counter
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.data.desk import PAIRS, dataset_of, done, files_of, talk, talks
from tests.tiny import finish, never
from workbench.data.dataset import Dataset, listed
from workbench.data.mixing import (
    MixRequest,
    Share,
    counts,
    finished,
    mix,
    recipe_licence,
    request_of,
    saved,
    shares_by,
)
from workbench.data.recipe import Check, Decide, Duplicates, Edit, Filter, Label, MixSource, Split
from workbench.data.rows import Example, Message
from workbench.errors import BadShares, DatasetExists, InvalidName, NothingLeft, Stopped
from workbench.workspace import Workspace


@pytest.fixture
def workspace(tmp_path: Any) -> Workspace:
    return Workspace(tmp_path / "workspace")


@pytest.fixture
def parts(workspace: Workspace) -> list[Dataset]:
    first = dataset_of(talks(40), workspace, "talk")
    rows = [talk(f"第{n}課問咩？", f"第{n}課答案", level=n, score=n / 2) for n in range(20)]
    return [first, dataset_of(rows, workspace, "lesson")]


def mixed(parts: list[Dataset], *shares: Share, name: str = "mix", **more: Any) -> Dataset:
    finish(mix(parts, MixRequest(name, shares, **more), never()))
    return Dataset(parts[0].workspace, name)


def sources(dataset: Dataset) -> dict[str, int]:
    return dict(Counter(dataset.state.table.column("source").to_pylist()))


def said(dataset: Dataset) -> list[str]:
    return [one.answer for one in dataset.state.examples(list(range(dataset.state.count)))]


# How many


def test_without_shares_everything_that_is_kept_is_there_once(parts: list[Dataset]) -> None:
    done(parts[0], Decide("drop", (0, 1)))
    made = mixed(parts, Share("talk"), Share("lesson"))
    assert sources(made) == {"talk": 38, "lesson": 20}
    assert sorted(said(made)) == sorted([*said(parts[0])[2:], *said(parts[1])])


@pytest.mark.parametrize(
    ("weights", "total", "expected"),
    [
        ((1, 1), 0, (20, 20)),
        ((3, 1), 0, (40, 13)),
        ((0.5, 0.5), 20, (10, 10)),
        ((0.7, 0.3), 9, (6, 3)),
        ((1, 0), 0, (40, 0)),
        ((1, 3), 60, (15, 20)),
        ((1, 1), 1000, (30, 20)),
        ((0, 0), 30, (20, 10)),
    ],
)
def test_weights_share_a_total(
    weights: tuple[float, float],
    total: int,
    expected: tuple[int, int],
    parts: list[Dataset],
) -> None:
    shares = [Share(part.name, weight) for part, weight in zip(parts, weights, strict=True)]
    made = mixed(parts, *shares, total=total)
    there = sources(made)
    assert (there.get("talk", 0), there.get("lesson", 0)) == expected


def test_counts_are_taken_and_a_part_that_is_too_small_gives_all_it_has(
    parts: list[Dataset],
) -> None:
    made = mixed(parts, Share("talk", count=7), Share("lesson", count=999))
    assert sources(made) == {"talk": 7, "lesson": 20}


@given(
    st.lists(st.tuples(st.integers(0, 50), st.floats(0, 5)), min_size=1, max_size=5),
    st.integers(0, 200),
)
@settings(max_examples=200, deadline=None, database=None)
def test_shares_never_ask_for_more_than_there_is(
    given_parts: list[tuple[int, float]], total: int
) -> None:
    shares = tuple(Share(f"d{at}", weight) for at, (_, weight) in enumerate(given_parts))
    pools = [pool for pool, _ in given_parts]
    taken = counts(pools, MixRequest("m", shares, total))
    assert all(0 <= some <= pool for some, pool in zip(taken, pools, strict=True))
    assert not total or sum(taken) <= total


@pytest.mark.parametrize(
    "request_",
    [
        {"shares": ()},
        {"shares": (Share("a"), Share("a"))},
        {"shares": (Share("a", 1), Share("b", count=3))},
        {"shares": (Share("a"),), "total": -1},
        {"shares": (Share("a"),), "seed": -1},
        {"shares": (Share("a", count=3),), "total": 9},
        {"shares": (Share("a"),), "answers": "best"},
    ],
)
def test_a_wrong_request_is_refused(request_: dict[str, Any]) -> None:
    with pytest.raises(BadShares):
        MixRequest("m", **request_)


@pytest.mark.parametrize("share", [{"weight": -1}, {"count": -1}, {"weight": float("nan")}])
def test_a_wrong_share_is_refused(share: dict[str, Any]) -> None:
    with pytest.raises(BadShares, match="share of a"):
        Share("a", **share)


# Which, and in what order


def test_the_same_seed_gives_the_same_bytes_and_another_one_does_not(parts: list[Dataset]) -> None:
    shares = (Share("talk", 0.5), Share("lesson", 0.5))
    made = [
        mixed(parts, *shares, name=f"m{at}", total=20, seed=seed).recipe.sha256
        for at, seed in enumerate((3, 3, 4))
    ]
    assert made[0] == made[1] != made[2]


def test_without_shuffling_the_order_of_the_parts_is_kept(parts: list[Dataset]) -> None:
    made = mixed(parts, Share("talk"), Share("lesson"), shuffle=False)
    assert said(made) == [*said(parts[0]), *said(parts[1])]
    assert said(mixed(parts, Share("talk"), Share("lesson"), name="other")) != said(made)


def test_a_mix_of_more_rows_than_are_written_at_once_loses_none(
    parts: list[Dataset], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = mixed(parts, Share("talk"), Share("lesson")).recipe.sha256
    monkeypatch.setattr("workbench.data.mixing.BATCH", 7)
    assert mixed(parts, Share("talk"), Share("lesson"), name="again").recipe.sha256 == whole


def test_only_the_chosen_part_of_a_split_is_taken(parts: list[Dataset]) -> None:
    done(parts[0], Split({"train": 0.75, "test": 0.25}, 1))
    done(parts[0], Decide("drop", (5,)))
    sides = parts[0].state.columns["split"].to_pylist()
    made = mixed(parts, Share("talk", split="train"), Share("lesson"))
    assert sources(made)["talk"] == sides.count("train") - (sides[5] == "train")
    with pytest.raises(BadShares, match="lesson is not split"):
        mixed(parts, Share("talk"), Share("lesson", split="train"), name="x")
    with pytest.raises(NothingLeft):
        mixed(parts[:1], Share("talk", split="no-such"), name="x")


def test_a_part_of_a_split_is_found_in_a_saved_dataset_too(parts: list[Dataset]) -> None:
    done(parts[0], Split({"train": 0.5, "test": 0.5}))
    finish(mix(parts[:1], saved("talk", "clean"), never()))
    clean = Dataset(parts[0].workspace, "clean")
    assert sources(mixed([clean], Share("clean", split="test"))) == {"talk": 20}


# What the rows look like


def test_a_saved_dataset_has_what_is_kept_in_its_order_with_edits_and_columns(
    parts: list[Dataset],
) -> None:
    turns = ({"role": "user", "content": "改咗"}, {"role": "assistant", "content": "改咗嘅答案"})
    done(parts[0], Edit(3, turns))
    done(parts[0], Filter("score < 6"))
    done(parts[0], Decide("drop", (0,)))
    done(parts[0], Label(4, 5, "chat"))
    finish(mix(parts[:1], saved("talk", "clean"), never()))
    clean = Dataset(parts[0].workspace, "clean")
    assert said(clean) == [said(parts[0])[at] for at in (1, 2, 3, 4, 5)]
    assert said(clean)[2] == "改咗嘅答案"
    rows = clean.state.table.to_pylist()
    assert [row["score"] for row in rows] == [1, 2, 3, 4, 5]
    assert [row["rating"] for row in rows] == [None, None, None, 5, None]
    assert isinstance(clean.recipe.source, MixSource)
    assert clean.recipe.source.parts[0].recipe["steps"][0]["kind"] == "edit"


def test_columns_of_different_types_keep_every_value(parts: list[Dataset]) -> None:
    made = mixed(parts, Share("talk"), Share("lesson"), shuffle=False)
    names = made.state.table.column_names
    assert "level" in names
    assert "score" not in names
    rows = made.state.examples([0, 1, 40, 41])
    assert [row.columns["score"] for row in rows] == [0, 1, 0.0, 0.5]
    assert [type(row.columns["score"]) for row in rows] == [int, int, float, float]
    assert [row.columns.get("level") for row in rows] == [None, None, 0, 1]


def test_better_answers_take_the_place_of_the_original_or_make_pairs(workspace: Workspace) -> None:
    pair = Example(
        (Message("user", "問好"),),
        chosen=(Message("assistant", "你好"),),
        rejected=(Message("assistant", "嗯"),),
    )
    asked = Example((Message("user", "冇人答"),))
    desk = dataset_of([*(talk(*one) for one in PAIRS[:3]), pair, asked], workspace)
    for row in (1, 3, 4):
        done(desk, Label(row, 5, answers=("好啲嘅答案", "第二個")))
    made = {}
    for answers in ("original", "improved", "preference"):
        finish(mix([desk], saved("desk", answers, answers), never()))
        made[answers] = Dataset(workspace, answers).state.examples(list(range(5)))
    assert [one.answer for one in made["original"]] == [
        PAIRS[0][1],
        PAIRS[1][1],
        PAIRS[2][1],
        "你好",
        "",
    ]
    better = [PAIRS[0][1], "好啲嘅答案", PAIRS[2][1], "好啲嘅答案", "好啲嘅答案"]
    assert [one.answer for one in made["improved"]] == better
    assert [one.answer for one in made["preference"]] == better
    one = made["preference"][1]
    assert [turn.role for turn in one.messages] == ["user"]
    assert one.rejected == (Message("assistant", PAIRS[1][1]),)
    assert made["preference"][0].chosen is None
    assert made["improved"][3].prompt == made["preference"][3].prompt == "問好"
    assert made["preference"][3].rejected == pair.rejected
    assert [turn.role for turn in made["improved"][4].messages] == ["user", "assistant"]


def test_a_column_of_its_own_called_improved_is_no_better_answer(workspace: Workspace) -> None:
    desk = dataset_of([talk("問", "答", improved="係")], workspace)
    finish(mix([desk], saved("desk", "out", "improved"), never()))
    assert said(Dataset(workspace, "out")) == ["答"]


def test_the_source_of_a_row_is_kept_or_is_its_dataset(workspace: Workspace) -> None:
    rows = [talk("一", "二", source="舊檔案.jsonl"), talk("三", "四")]
    desk = dataset_of(rows, workspace)
    assert sources(mixed([desk], Share("desk"))) == {"舊檔案.jsonl": 1, "desk": 1}


def test_licences_are_each_named_once(parts: list[Dataset]) -> None:
    from dataclasses import replace

    for part, licence in zip(parts, ("CC BY 4.0", "CC BY 4.0"), strict=True):
        part.recipe = replace(part.recipe, licence=licence)
    assert recipe_licence(parts) == "CC BY 4.0"
    parts[1].recipe = replace(parts[1].recipe, licence="Apache-2.0")
    assert recipe_licence(parts) == "CC BY 4.0; Apache-2.0"
    assert mixed(parts, Share("talk"), Share("lesson")).recipe.licence == "CC BY 4.0; Apache-2.0"


# Empty, taken, stopped


def test_an_empty_part_gives_nothing_and_two_of_them_are_refused(parts: list[Dataset]) -> None:
    done(parts[0], Filter("false"))
    assert sources(mixed(parts, Share("talk"), Share("lesson"))) == {"lesson": 20}
    done(parts[1], Filter("false"))
    with pytest.raises(NothingLeft):
        mixed(parts, Share("talk"), Share("lesson"), name="x")
    assert [one.name for one in listed(parts[0].workspace)] == ["lesson", "mix", "talk"]


def test_a_mix_that_is_stopped_or_whose_name_is_taken_leaves_nothing(parts: list[Dataset]) -> None:
    before = files_of(parts[0].workspace.root)
    stop = threading.Event()
    stop.set()
    with pytest.raises(Stopped):
        finish(mix(parts, MixRequest("new", (Share("talk"), Share("lesson"))), stop))
    with pytest.raises(DatasetExists):
        mixed(parts, Share("talk"), Share("lesson"), name="talk")
    with pytest.raises(InvalidName):
        mixed(parts, Share("talk"), Share("lesson"), name="../x")
    assert files_of(parts[0].workspace.root) == before
    assert not parts[0].workspace.dataset("new").exists()


def test_a_mix_of_mixes_remembers_every_step(parts: list[Dataset]) -> None:
    done(parts[0], Check(("echo",)))
    inner = mixed(parts, Share("talk"), Share("lesson"), name="inner")
    done(inner, Duplicates("exact"))
    outer = mixed([inner], Share("inner", count=10), name="outer")
    assert isinstance(outer.recipe.source, MixSource)
    deep = outer.recipe.source.parts[0].recipe
    assert [one["kind"] for one in deep["steps"]] == ["duplicates"]
    assert deep["source"]["parts"][0]["recipe"]["steps"][0]["kind"] == "check"
    assert request_of(outer.recipe.source, "x").shares == (Share("inner", count=10),)


def test_rows_are_counted_by_any_column(parts: list[Dataset]) -> None:
    rows = parts[0].state.kept_rows()
    assert sum(shares_by(parts[0].state, rows, "score").values()) == 40
    assert shares_by(parts[0].state, rows[:3], "source") == {"": 3}
    assert finished(parts[0].state).num_rows == 40
