"""Steps are done, undone and read again from the disk, and nothing is ever half done."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.data.desk import PAIRS, dataset_of, done, files_of, snapshot, talk, talks
from tests.tiny import finish, never
from workbench.data import storage
from workbench.data.dataset import Dataset, delete, listed
from workbench.data.query import View
from workbench.data.recipe import (
    Check,
    Decide,
    Duplicates,
    Edit,
    Fill,
    Filter,
    Label,
    Overlap,
    Registers,
    Split,
    Step,
    Switch,
)
from workbench.data.rows import Example, Message
from workbench.data.shelf import MOST, Shelf
from workbench.data.steps import do
from workbench.errors import (
    BadExpression,
    BadRecipe,
    BadSettings,
    BadStep,
    InputChanged,
    InvalidName,
    NoSuchDataset,
    NoSuchRow,
    NothingLeft,
    NothingToUndo,
    Stopped,
    WorkbenchError,
)
from workbench.settings import Settings
from workbench.workspace import Workspace

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path / "workspace")


def mixed_rows() -> list[Example]:
    """Good rows, copies, an empty answer, an echo and a placeholder."""
    return [
        *talks(),
        talk(*PAIRS[0], score=50),
        talk(PAIRS[1][0], PAIRS[1][1] + "呀", score=51),
        talk("點解個天係藍色嘅？", "", score=52),
        talk("講多次俾我聽", "講多次俾我聽", score=53),
        talk("你叫咩名？", "我叫{{name}}，係{{author}}整嘅。", score=54),
    ]


@pytest.fixture
def desk(workspace: Workspace) -> Dataset:
    return dataset_of(mixed_rows(), workspace)


def opened(dataset: Dataset) -> Dataset:
    """The same dataset as another process would see it."""
    return Dataset(dataset.workspace, dataset.name)


def turns(*said: str) -> tuple[dict[str, Any], ...]:
    roles = ("user", "assistant")
    return tuple({"role": roles[at % 2], "content": text} for at, text in enumerate(said))


# Each kind of step


STEPS: dict[str, Step] = {
    "check": Check(("empty_answer", "echo", "unfilled"), ("empty_answer", "echo")),
    "filter": Filter("score < 52"),
    "search": Filter(search="食"),
    "exact": Duplicates("exact"),
    "near": Duplicates("near", threshold=0.6),
    "edit": Edit(2, turns("點去中環？", "坐港鐵啦。")),
    "drop": Decide("drop", (0, 1)),
    "keep": Decide("keep", where=("score > 51",)),
    "label": Label(3, 4, "chat", ("睇《歲月神偷》啦。",), "阿明"),
    "fill": Fill({"name": "三步", "author": "阿明"}),
    "registers": Registers(),
    "split": Split({"train": 0.7, "test": 0.3}, seed=3),
}


@pytest.mark.parametrize("name", STEPS)
def test_a_step_is_done_read_again_and_undone(name: str, desk: Dataset) -> None:
    start = snapshot(desk)
    first = done(desk, STEPS[name])
    after = snapshot(desk)
    assert after != start
    assert first.kept == sum(after["kept"])
    assert snapshot(opened(desk)) == after
    assert desk.undo() == first
    assert snapshot(desk) == start
    assert snapshot(opened(desk)) == start
    assert not list((desk.folder / "effects").glob("*"))


def random_step(dice: random.Random, desk: Dataset) -> Step:
    """Any step that can be done now."""
    row, number = dice.randrange(desk.state.count), len(desk.recipe.steps)
    others = [*STEPS.values(), Decide("clear", (row,)), Decide("keep", search="飯")]
    others += [Decide(dice.choice(("keep", "drop")), (row, (row + 3) % desk.state.count))]
    others += [
        Edit(row, turns(f"第{number}次問", f"第{number}次答")),
        Label(row, dice.randint(1, 5)),
    ]
    others += [Filter(f"score <> {row}"), Filter("NOT list_contains(tags, 'echo')")]
    switchable = list(desk.state.findings)
    if switchable:
        chosen = dice.choice(switchable)
        step = desk.state.findings[chosen][0]
        check = dice.choice(["", *step.checks]) if isinstance(step, Check) else ""
        others += [Switch(chosen, dice.random() < 0.4, check)] * 4
    return dice.choice(others)


@pytest.mark.parametrize("seed", range(6))
def test_any_steps_read_again_are_the_same_and_undone_are_the_start(
    seed: int, desk: Dataset
) -> None:
    dice = random.Random(seed)
    seen = [snapshot(desk)]
    for _ in range(8):
        try:
            done(desk, random_step(dice, desk))
        except NothingLeft:  # a split of nothing
            assert snapshot(desk) == seen[-1]
            continue
        seen.append(snapshot(desk))
    assert snapshot(opened(desk)) == seen[-1]
    for before in reversed(seen[:-1]):
        desk.undo()
        assert snapshot(desk) == before
    with pytest.raises(NothingToUndo):
        desk.undo()


# What they mean


def test_rows_are_tagged_and_only_those_of_dropping_checks_are_left_out(desk: Dataset) -> None:
    done(desk, STEPS["check"])
    state = desk.state
    assert state.tags().to_pylist()[10:] == [["empty_answer"], ["echo"], ["unfilled"]]
    assert np.flatnonzero(~state.kept).tolist() == [10, 11]
    assert [one.drops for one in state.reasons(12)] == [False, False]
    assert {check for _, check, _ in state.tallies()} == {"empty_answer", "echo", "unfilled"}


def test_a_check_is_switched_off_and_on_and_so_is_its_whole_step(desk: Dataset) -> None:
    done(desk, STEPS["check"])
    done(desk, Switch(1, on=False, check="echo"))
    assert np.flatnonzero(~desk.state.kept).tolist() == [10]
    assert desk.state.tags().to_pylist()[11] == []
    assert desk.state.reasons(11) == []
    done(desk, Switch(1, on=False))
    assert desk.state.kept.all()
    done(desk, Switch(1, on=True))
    assert np.flatnonzero(~desk.state.kept).tolist() == [10]
    done(desk, Switch(1, on=True, check="echo"))
    assert np.flatnonzero(~desk.state.kept).tolist() == [10, 11]
    assert len(desk.recipe.steps) == 5


def test_a_decision_by_hand_beats_every_tag_before_and_after_it(desk: Dataset) -> None:
    done(desk, Decide("keep", (10,)))
    done(desk, STEPS["check"])
    done(desk, Filter("score < 50"))
    done(desk, Decide("drop", (0,)))
    assert desk.state.kept[10]
    assert not desk.state.kept[0]
    done(desk, Decide("clear", (0, 10)))
    assert desk.state.kept[0]
    assert not desk.state.kept[10]


def test_a_decision_on_all_that_a_filter_shows_is_about_those_rows(desk: Dataset) -> None:
    last = done(desk, Decide("drop", where=("score >= 50",), search="食"))
    assert (last.touched, np.flatnonzero(~desk.state.kept).tolist()) == (1, [8])
    done(desk, Edit(0, turns("唔同咗", "完全唔同")))
    assert np.flatnonzero(~opened(desk).state.kept).tolist() == [8]


def test_an_edit_is_what_searches_filters_and_duplicates_see(desk: Dataset) -> None:
    assert done(desk, Duplicates("exact")).touched == 1
    desk.undo()
    done(desk, Edit(8, turns("全新嘅問題", "全新嘅答案")))
    assert desk.state.query.rows(View(search="全新嘅答案")).tolist() == [8]
    assert desk.state.query.rows(View(("prompt = '全新嘅問題'",))).tolist() == [8]
    assert done(desk, Duplicates("exact")).touched == 0
    done(desk, Edit(5, turns(*PAIRS[6])))
    assert done(desk, Duplicates("exact", rule="first")).touched == 1
    assert np.flatnonzero(~desk.state.kept).tolist() == [6]
    assert desk.state.example(8).columns == {"score": 50}


def test_an_edit_that_drops_the_alpaca_input_forgets_it(workspace: Workspace) -> None:
    row = Example(
        (Message("user", "譯做英文\n\n早晨"), Message("assistant", "Good morning")), input="早晨"
    )
    desk = dataset_of([row], workspace)
    done(desk, Edit(0, turns("譯做英文\n\n早晨呀", "Good morning")))
    assert desk.state.example(0).input == "早晨"
    done(desk, Edit(0, turns("點譯？", "Good morning")))
    assert desk.state.example(0).input is None


def test_placeholders_are_filled_and_others_stay(desk: Dataset) -> None:
    last = done(desk, Fill({"name": "三步"}))
    assert last.touched == 1
    assert desk.state.example(12).answer == "我叫三步，係{{author}}整嘅。"


def test_more_edits_than_a_thousand_are_put_in_at_once(workspace: Workspace) -> None:
    rows = [talk(f"問題{n}", "我叫{{name}}" if n % 3 else "冇名") for n in range(1800)]
    desk = dataset_of(rows, workspace)
    assert done(desk, Fill({"name": "三步"})).touched == 1200
    said = [example.answer for example in opened(desk).state.examples(list(range(1800)))]
    assert said == ["我叫三步" if n % 3 else "冇名" for n in range(1800)]


def test_labels_are_columns_and_the_last_one_holds(desk: Dataset) -> None:
    done(desk, Label(3, 2, "chat"))
    done(desk, Label(3, 5, "writing", ("好啲",), "阿明"))
    done(desk, Label(0, 1))
    query = desk.state.query
    assert query.rows(
        View(("rating = 5 AND task = 'writing' AND annotator = '阿明'",))
    ).tolist() == [3]
    assert query.rows(View(("rating IS NOT NULL",), order="rating")).tolist() == [0, 3]
    done(desk, Duplicates("exact", rule="highest"))
    assert not desk.state.kept[8]
    assert desk.state.kept[0]


def test_a_rating_of_its_own_can_be_filtered_until_a_person_rates(workspace: Workspace) -> None:
    rows = [talk(*pair, rating=number % 5) for number, pair in enumerate(PAIRS)]
    desk = dataset_of(rows, workspace)
    assert desk.state.query.rows(View(("rating >= 4",))).tolist() == [4]
    done(desk, Label(0, 5))
    assert desk.state.query.rows(View(("rating >= 4",))).tolist() == [0]


def test_registers_are_a_column(desk: Dataset) -> None:
    done(desk, Registers())
    assert desk.state.columns["register"].to_pylist()[0] == "cantonese"
    assert desk.state.columns["register"].to_pylist()[6] == "other"
    assert 6 in desk.state.query.rows(View(("register = 'other'",))).tolist()


def test_a_split_divides_the_kept_rows_with_likes_on_one_side(workspace: Workspace) -> None:
    rows = talks(60)
    likes = [talk(row.prompt, row.answer + "呀") for row in rows[10:40]]
    desk = dataset_of([*rows, *likes], workspace)
    done(desk, Decide("drop", (0, 1, 2)))
    done(desk, Split({"train": 0.6, "validation": 0.2, "test": 0.2}, seed=5))
    sides = desk.state.columns["split"].to_pylist()
    assert sides[:3] == [None] * 3
    assert {*sides[3:]} == {"train", "validation", "test"}
    assert [sides[at] for at in range(10, 40)] == sides[60:]
    once = sides
    desk.undo()
    done(desk, Split({"train": 0.6, "validation": 0.2, "test": 0.2}, seed=5))
    assert desk.state.columns["split"].to_pylist() == once


def test_what_another_dataset_has_too_is_left_out(desk: Dataset, workspace: Workspace) -> None:
    test = dataset_of([talk(*PAIRS[4]), talk("冇人問過", "冇人答過")], workspace, "test")
    last = done(desk, Overlap("test", method="exact"))
    assert np.flatnonzero(~desk.state.kept).tolist() == [4]
    assert isinstance(last.step, Overlap)
    assert last.step.sha256 == test.recipe.sha256
    assert desk.state.reasons(4)[0].facts == {"other": "test", "row": 0, "similarity": 1.0}
    with pytest.raises(InputChanged):
        done(desk, Overlap("test", sha256="00" * 32))


@pytest.mark.parametrize(
    ("step", "error"),
    [
        (Filter("nobody = 1"), BadExpression),
        (Check(("no_such_check",)), BadSettings),
        (Check(("echo",), options={"colour": 1}), BadStep),
        (Edit(13, turns("一", "二")), NoSuchRow),
        (Edit(-1, turns("一", "二")), NoSuchRow),
        (Edit(0, ({"role": "user", "content": "一", "mood": "x"},)), BadStep),
        (Edit(0, ({"content": "一"},)), BadStep),
        (Decide("drop", (0, 99)), NoSuchRow),
        (Label(99, 1), NoSuchRow),
        (Switch(1, on=False), BadStep),
        (Overlap("no-such"), NoSuchDataset),
        (Overlap("desk"), BadStep),
        (Overlap("../desk"), InvalidName),
        (Split({"train": 1}, seed=-1), WorkbenchError),
    ],
)
def test_a_step_that_cannot_be_done_changes_nothing(
    step: Step, error: type[Exception], desk: Dataset
) -> None:
    before, there = snapshot(desk), files_of(desk.folder)
    with pytest.raises(error) as caught:
        done(desk, step)
    assert len(str(caught.value).splitlines()) == 1
    assert snapshot(desk) == before
    assert {one for one in files_of(desk.folder) if "pairs" not in one} == there
    done(desk, Filter("true"))


# Half done


def broken_work() -> Any:
    yield from ()
    raise OSError(28, "No space left on device")


def test_work_that_fails_leaves_the_dataset_as_it_was(desk: Dataset) -> None:
    done(desk, STEPS["check"])
    before = snapshot(desk)
    with pytest.raises(OSError, match="No space"):
        finish(desk.do(Filter("true"), broken_work()))
    assert snapshot(desk) == before
    assert snapshot(opened(desk)) == before
    done(desk, Filter("true"))


@pytest.mark.parametrize("place", ["write_table", "write_atomically"])
def test_a_full_disk_leaves_the_dataset_as_it_was(
    place: str, desk: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    done(desk, STEPS["check"])
    before = snapshot(desk)

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    home = "workbench.data.storage" if place == "write_table" else "workbench.data.dataset"
    with monkeypatch.context() as patch, pytest.raises(OSError, match="No space"):
        patch.setattr(f"{home}.{place}", full)
        done(desk, Filter("score < 3"))
    assert snapshot(desk) == before
    assert snapshot(opened(desk)) == before
    done(desk, Filter("score < 4"))
    assert snapshot(opened(desk)) == snapshot(desk)


def test_a_step_that_is_stopped_leaves_the_dataset_as_it_was(desk: Dataset) -> None:
    before, stop = snapshot(desk), threading.Event()
    stop.set()
    for name in ("check", "near", "fill", "registers", "split"):
        with pytest.raises(Stopped):
            finish(do(desk, STEPS[name], Settings(), stop))
    assert snapshot(desk) == before
    work = do(desk, STEPS["check"], Settings(), never())
    next(work)
    work.close()
    assert snapshot(desk) == before
    done(desk, STEPS["check"])


KILLED = """
import os, signal, sys, threading
from pathlib import Path
from workbench.data import dataset
from workbench.data.recipe import Check, Filter
from workbench.data.steps import do
from workbench.settings import Settings
from workbench.workspace import Workspace
desk = dataset.Dataset(Workspace(Path(sys.argv[1])), "desk")
def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)
setattr(dataset, sys.argv[2], die)
if sys.argv[2] == "write_table":
    dataset.storage.write_table = die
list(do(desk, Check(("echo",), ("echo",)), Settings(), threading.Event()))
"""


@pytest.mark.parametrize("place", ["write_table", "write_atomically"])
def test_a_process_killed_while_it_does_a_step_leaves_the_dataset_as_it_was(
    place: str, desk: Dataset
) -> None:
    done(desk, Filter("score < 54"))
    before = snapshot(desk)
    killed = subprocess.run(
        [sys.executable, "-c", KILLED, str(desk.workspace.root), place],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        check=False,
    )
    assert killed.returncode == -signal.SIGKILL
    again = opened(desk)
    assert snapshot(again) == before
    done(again, Filter("score < 3"))
    assert snapshot(opened(again)) == snapshot(again)
    assert again.state.kept.tolist() == [score < 3 for score in (*range(8), *range(50, 55))]


# Several at once


def test_two_steps_at_once_are_refused(desk: Dataset) -> None:
    first = do(desk, STEPS["check"], Settings(), never())
    next(first)
    with pytest.raises(BadStep, match="another step"):
        done(desk, Filter("true"))
    with pytest.raises(BadStep, match="another step"):
        desk.undo()
    finish(first)
    done(desk, Filter("true"))
    assert len(desk.recipe.steps) == 2


def test_the_steps_of_another_process_are_seen_before_the_next(desk: Dataset) -> None:
    other = opened(desk)
    for step in (STEPS["check"], STEPS["filter"]):
        done(other, step)
        desk.refresh()
        assert snapshot(desk) == snapshot(other)
    done(desk, STEPS["drop"])
    other.undo()
    assert len(other.recipe.steps) == 2
    done(other, STEPS["keep"])
    desk.refresh()
    assert snapshot(desk) == snapshot(other)


def test_a_step_done_meanwhile_by_another_process_is_not_overwritten(desk: Dataset) -> None:
    other = opened(desk)
    slow = do(desk, STEPS["check"], Settings(), never())
    next(slow)
    done(other, STEPS["filter"])
    desk.refresh()
    with pytest.raises(BadStep, match="meanwhile"):
        finish(slow)
    assert snapshot(opened(desk)) == snapshot(other)
    done(desk, STEPS["check"])
    assert [one.step.kind for one in opened(desk).recipe.steps] == ["filter", "check"]


def test_a_dataset_deleted_while_a_step_is_done_stays_deleted(desk: Dataset) -> None:
    slow = do(desk, STEPS["check"], Settings(), never())
    next(slow)
    delete(desk.workspace, "desk")
    with pytest.raises(NoSuchDataset):
        finish(slow)
    assert listed(desk.workspace) == []
    assert not desk.folder.exists()


def test_a_shelf_keeps_a_few_open_and_sees_what_others_did(workspace: Workspace) -> None:
    shelf = Shelf()
    for number in range(MOST + 2):
        dataset_of(talks(3), workspace, f"d{number}")
    first = shelf.open(workspace, "d0")
    assert shelf.open(workspace, "d0") is first
    done(Dataset(workspace, "d0"), Filter("score > 0"))
    assert len(shelf.open(workspace, "d0").recipe.steps) == 1
    for number in range(1, MOST + 2):
        shelf.open(workspace, f"d{number}")
    assert shelf.open(workspace, "d0") is not first
    shelf.close(workspace, "d0")
    delete(workspace, "d0")
    with pytest.raises(NoSuchDataset):
        shelf.open(workspace, "d0")


# Broken folders


def test_a_broken_dataset_is_told_in_a_sentence_and_left_out_of_the_list(
    workspace: Workspace,
) -> None:
    def harm(name: str, file: str, content: bytes | None) -> None:
        desk = dataset_of(mixed_rows(), workspace, name)
        done(desk, STEPS["check"])
        place = desk.folder / file
        place.unlink() if content is None else place.write_bytes(content)
        (desk.folder / storage.COPY).unlink()
        with pytest.raises(BadRecipe) as caught:
            Dataset(workspace, name)
        assert len(str(caught.value).splitlines()) == 1

    harm("no-rows", storage.DATA, None)
    harm("bad-rows", storage.DATA, b"PAR1 and then nothing")
    harm("no-effect", "effects/0001.findings.parquet", None)
    harm("bad-effect", "effects/0001.findings.parquet", b"nothing")
    harm("bad-log", storage.LOG, b'{"trilogy_dataset": 1')
    dataset_of(talks(2), workspace, "good")
    names = [one.name for one in listed(workspace)]
    assert "good" in names
    assert not {"no-rows", "bad-log"} & {*names}


def test_rows_of_another_dataset_are_noticed(desk: Dataset, workspace: Workspace) -> None:
    other = dataset_of(talks(3), workspace, "other")
    (desk.folder / storage.DATA).write_bytes((other.folder / storage.DATA).read_bytes())
    (desk.folder / storage.COPY).unlink()
    with pytest.raises(BadRecipe, match="rows"):
        opened(desk)


@pytest.mark.parametrize("name", ["", " ", "../x", "a/b", ".hidden", "con", "x" * 81, "a\x00b"])
def test_bad_names_are_refused(name: str, workspace: Workspace) -> None:
    with pytest.raises(InvalidName):
        Dataset(workspace, name)
    with pytest.raises(InvalidName):
        delete(workspace, name)


def test_datasets_are_listed_with_their_figures(desk: Dataset, workspace: Workspace) -> None:
    done(desk, STEPS["check"])
    dataset_of(talks(2), workspace, "廣東話")
    shown = {one.name: (one.rows, one.kept, one.steps) for one in listed(workspace)}
    assert shown == {"desk": (13, 11, 1), "廣東話": (2, 2, 0)}
    assert listed(Workspace(workspace.root / "nowhere")) == []
    delete(workspace, "desk")
    assert [one.name for one in listed(workspace)] == ["廣東話"]
    assert not [name for name in files_of(workspace.root) if "deleted" in name]
