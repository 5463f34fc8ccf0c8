"""Which rows a run learns from and which it is measured on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.tune.talk import exchange, many, store, turn, write_log
from workbench.errors import (
    BrokenFile,
    DatasetNotSaved,
    NoAnswers,
    NoDatasetChosen,
    NoRows,
    NoSuchDataset,
    TooFewRows,
    UnknownSplit,
)
from workbench.tune.overlap import PROBES, overlap, probes_in
from workbench.tune.recipe import TuneRecipe
from workbench.tune.rows import has_answer, held_texts, load_rows, normal
from workbench.workspace import Workspace


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path)


def recipe(**fields: Any) -> TuneRecipe:
    return TuneRecipe("a", **{"dataset": "kc", **fields})


def test_the_parts_of_a_split_are_learned_and_held_out(workspace: Workspace) -> None:
    rows = many(6)
    parts = ["train", "test", "train", "validation", None, "train"]
    store(workspace, rows, split=parts)
    found = load_rows(recipe(), workspace)
    assert found.train == [rows[0], rows[2], rows[5]]
    assert (found.train_rows, found.held_rows) == ([0, 2, 5], [3])
    assert found.held == [rows[3]]
    assert found.counts == {
        "rows": 6, "train": 3, "held": 1, "no_answer": 0, "other_parts": 2, "held_out": 0,
    }  # fmt: skip
    assert found.licence == "CC0"
    assert found.source["kind"] == "file"


def test_an_empty_part_to_learn_takes_all_that_is_not_held_out(workspace: Workspace) -> None:
    store(workspace, many(4), split=["train", "test", "validation", None])
    assert load_rows(recipe(train_split=""), workspace).train_rows == [0, 1, 3]


def test_without_a_split_rows_are_held_out_and_at_most_a_fifth(workspace: Workspace) -> None:
    store(workspace, many(50))
    found = load_rows(recipe(), workspace)
    assert len(found.held) == found.counts["held_out"] == 10
    assert sorted([*found.train_rows, *found.held_rows]) == list(range(50))
    assert len(load_rows(recipe(holdout=3), workspace).held) == 3


def test_the_same_rows_are_held_out_whatever_the_seed_and_their_order(workspace: Workspace) -> None:
    rows = many(40)
    store(workspace, rows)
    store(workspace, rows[::-1], name="turned")
    first = load_rows(recipe(seed=1), workspace).held
    again = load_rows(recipe(seed=2, dataset="turned"), workspace).held
    assert sorted(map(str, first)) == sorted(map(str, again))


def test_equal_rows_lie_on_one_side(workspace: Workspace) -> None:
    store(workspace, [*many(15), *many(15), *many(15)])
    found = load_rows(recipe(), workspace)
    assert found.held
    assert overlap(found.train, found.held).rows == 0


def test_a_split_without_a_validation_part_holds_out_of_its_training_rows(
    workspace: Workspace,
) -> None:
    store(workspace, many(20), split=["train"] * 15 + ["test"] * 5)
    found = load_rows(recipe(), workspace)
    assert len(found.held) == 3
    assert max(found.train_rows + found.held_rows) == 14


def test_a_part_that_is_not_there_is_refused_with_those_that_are(workspace: Workspace) -> None:
    store(workspace, many(3), split=["a", "b", "b"])
    for fields in ({"train_split": "c"}, {"train_split": "train"}, {"eval_split": "dev"}):
        wanted = {"train_split": "a", **fields}
        with pytest.raises(UnknownSplit, match="a, b"):
            load_rows(recipe(**wanted), workspace)


def test_a_part_asked_for_of_a_dataset_that_was_never_split_is_refused(
    workspace: Workspace,
) -> None:
    store(workspace, many(9))
    with pytest.raises(UnknownSplit):
        load_rows(recipe(eval_split="dev"), workspace)


def test_preference_rows_give_their_better_answer(workspace: Workspace) -> None:
    asked = [[turn("user", f"幾點呀{n}？")] for n in range(10)]
    better = [[turn("assistant", f"{n}點。")] for n in range(10)]
    worse = [[turn("assistant", "唔知。")] for _ in range(10)]
    store(workspace, asked, chosen=better, rejected=worse)
    found = load_rows(recipe(), workspace)
    number = found.train_rows[0]
    assert found.train[0] == [*asked[number], *better[number]]


def test_rows_without_an_answer_are_left_out_and_counted(workspace: Workspace) -> None:
    silent = [
        [turn("user", "喂？")],
        [turn("user", "喂？"), turn("assistant", "  ")],
        [turn("user", "喂？"), turn("assistant", "喺度。", weight=0.0)],
        [],
        None,
    ]
    store(workspace, [*many(10), *silent])
    found = load_rows(recipe(), workspace)
    assert found.counts["no_answer"] == 5
    assert set(found.train_rows) | set(found.held_rows) == set(range(10))


def test_plain_text_and_tool_calls_are_something_to_learn() -> None:
    assert has_answer([turn("text", "落雨收衫。")])
    assert has_answer([turn("user", "天氣？"), turn("assistant", "", tool_calls="[]")])
    assert not has_answer([turn("system", "你係助手。")])


def test_a_dataset_with_nothing_to_learn_is_refused(workspace: Workspace) -> None:
    store(workspace, [[turn("user", "喂？")]] * 5)
    with pytest.raises(NoAnswers):
        load_rows(recipe(), workspace)


def test_an_empty_dataset_and_one_row_are_refused(workspace: Workspace) -> None:
    store(workspace, [], name="none")
    store(workspace, many(1), name="one")
    with pytest.raises(NoRows):
        load_rows(recipe(dataset="none"), workspace)
    with pytest.raises(TooFewRows):
        load_rows(recipe(dataset="one"), workspace)


def test_no_dataset_and_a_dataset_that_is_gone_are_refused(workspace: Workspace) -> None:
    with pytest.raises(NoDatasetChosen):
        load_rows(recipe(dataset=""), workspace)
    with pytest.raises(NoSuchDataset):
        load_rows(recipe(), workspace)
    folder = store(workspace, many(3))
    (folder / "data.parquet").unlink()
    with pytest.raises(NoSuchDataset):
        load_rows(recipe(), workspace)


@pytest.mark.parametrize(
    "steps",
    [
        [{"kind": "check", "checks": ["echo"], "touched": 1, "kept": 8}],
        [{"kind": "filter", "where": "a", "touched": 2, "kept": 8}, {"kind": "switch", "kept": 9}],
        [{"kind": "edit", "row": 1, "touched": 1, "kept": 10}],
        [{"kind": "fill", "values": {"name": "阿明"}, "touched": 1, "kept": 10}],
        [{"kind": "split", "weights": {"train": 1}, "touched": 0, "kept": 10}],
    ],
)
def test_a_dataset_whose_changes_are_not_saved_is_refused(
    workspace: Workspace, steps: list[dict[str, Any]]
) -> None:
    store(workspace, many(10), steps=steps)
    with pytest.raises(DatasetNotSaved, match="kc"):
        load_rows(recipe(), workspace)


def test_steps_that_leave_every_row_as_it_is_do_no_harm(workspace: Workspace) -> None:
    looked = [{"kind": "check", "checks": ["echo"], "touched": 0, "kept": 10}]
    store(workspace, many(10), steps=[*looked, {"kind": "registers", "touched": 0, "kept": 10}])
    assert load_rows(recipe(), workspace).counts["rows"] == 10


def test_damaged_files_are_named(workspace: Workspace) -> None:
    folder = store(workspace, many(10))
    data, whole = folder / "data.parquet", (folder / "data.parquet").read_bytes()
    data.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(BrokenFile, match=r"kc/data\.parquet"):
        load_rows(recipe(), workspace)
    write_log(folder, 10)  # even if the log agrees, it is no Parquet
    with pytest.raises(BrokenFile, match=r"kc/data\.parquet"):
        load_rows(recipe(), workspace)
    for text in ("{", "[]", '{"rows": 3}', '{"steps": 3, "rows": 3, "sha256": ""}'):
        (folder / "dataset.json").write_text(text)
        with pytest.raises(BrokenFile, match=r"kc/dataset\.json"):
            load_rows(recipe(), workspace)


def test_two_copies_of_a_text_are_the_same_whatever_their_marks_and_width() -> None:
    assert normal("你好，ＡＢＣ １２３！") == normal("你好 abc 123")
    assert normal("你好") != normal("您好")
    assert normal("……") == normal(" …… ") != ""


def test_overlap_counts_whole_rows_and_long_turns() -> None:
    long = "我哋上個星期六去咗大澳睇日落，坐咗成個鐘頭巴士先到，真係好攰。"
    held = [exchange("去咗邊呀？", long), exchange("食飯未？", "食咗喇。")]
    train = [
        exchange("食飯未", "食咗喇"),  # the same row without its marks
        exchange("上星期六做咩？", long),  # one long turn is the same
        exchange("飲茶未？", "食咗喇。"),  # a short turn is no coincidence worth telling
        exchange("聽日呢？", "聽日去行山。"),
    ]
    found = overlap(train, held)
    assert (found.rows, found.turns) == (1, 1)
    assert overlap(train[2:], held).rows == 0


def test_a_row_that_holds_a_question_of_the_probes_is_counted() -> None:
    asked = [{"role": "user", "content": "我係咪喺度做緊題目呀,你話呢?"}]
    known = [{"role": "user", "content": "你 食 咗 飯 未 呀 ？今日點呀"}]
    first = yaml.safe_load((PROBES / "hong-kong.yaml").read_text("utf-8"))["items"][0]["question"]
    probe = [{"role": "user", "content": first}, {"role": "assistant", "content": "唔知。"}]
    assert probes_in([asked, known]) == 0
    assert probes_in([asked, probe, probe]) == 2


def test_what_a_run_is_judged_by_is_what_it_held_out(workspace: Workspace) -> None:
    store(workspace, many(20))
    held = load_rows(recipe(), workspace).held
    texts = held_texts(recipe(), workspace)
    assert len(texts) == len(held) == 4
    assert all(
        turn["content"] in text for row, text in zip(held, texts, strict=True) for turn in row
    )
