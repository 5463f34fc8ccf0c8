"""A checkpoint is complete or absent, and a damaged one is never taken."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from workbench.errors import DiskFull
from workbench.tune import checkpoints
from workbench.tune.checkpoints import MANIFEST, newest_verified, prune, write


def filler(text: str) -> Callable[[Path], None]:
    def fill(folder: Path) -> None:
        (folder / "weights.bin").write_bytes(text.encode() * 1000)
        (folder / "inner").mkdir()
        (folder / "inner" / "state.json").write_text(json.dumps({"said": text}), "utf-8")

    return fill


@pytest.fixture
def three(tmp_path: Path) -> Path:
    folder = tmp_path / "checkpoints"
    for step in (20, 40, 60):
        write(folder, step, filler(f"第{step}步"))
    return folder


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_the_newest_is_found_and_holds_what_was_written(three: Path) -> None:
    found, damaged = newest_verified(three)
    assert found is not None
    assert (found.step, damaged) == (60, [])
    assert json.loads((found.folder / "inner" / "state.json").read_text("utf-8")) == {
        "said": "第60步"
    }


def test_no_folder_means_no_checkpoint(tmp_path: Path) -> None:
    assert newest_verified(tmp_path / "nowhere") == (None, [])


@pytest.mark.parametrize("name", ["weights.bin", "inner/state.json", MANIFEST])
def test_a_truncated_file_is_named_and_the_one_before_is_taken(three: Path, name: str) -> None:
    path = three / "step-000060" / name
    path.write_bytes(path.read_bytes()[:-1])
    found, damaged = newest_verified(three)
    assert found is not None
    assert found.step == 40
    assert [one.folder.name for one in damaged] == ["step-000060"]
    assert Path(name).name in damaged[0].reason


@pytest.mark.parametrize("name", ["weights.bin", "inner/state.json", MANIFEST])
def test_a_deleted_file_is_named_and_the_one_before_is_taken(three: Path, name: str) -> None:
    (three / "step-000060" / name).unlink()
    found, damaged = newest_verified(three)
    assert found is not None
    assert found.step == 40
    assert damaged[0].reason == f"{Path(name).name} is missing"


@pytest.mark.parametrize("at", [0, 1500, -1])
def test_a_single_changed_byte_is_noticed(three: Path, at: int) -> None:
    path = three / "step-000060" / "weights.bin"
    raw = bytearray(path.read_bytes())
    raw[at] ^= 1
    path.write_bytes(raw)
    assert checkpoints.fault(path.parent) == "weights.bin was changed"


def test_a_list_that_lost_a_file_is_noticed(three: Path) -> None:
    path = three / "step-000060" / MANIFEST
    manifest = json.loads(path.read_text("utf-8"))
    del manifest["files"]["weights.bin"]
    path.write_text(json.dumps(manifest), "utf-8")
    assert checkpoints.fault(path.parent) == f"{MANIFEST} was changed"


def test_a_manifest_that_is_json_of_another_shape_is_damage(three: Path) -> None:
    (three / "step-000060" / MANIFEST).write_text("[1, 2]", "utf-8")
    assert checkpoints.fault(three / "step-000060") == f"{MANIFEST} cannot be read"


def test_what_was_being_written_when_the_process_died_is_not_a_checkpoint(three: Path) -> None:
    (three / f"{checkpoints.BESIDE}abc").mkdir()
    filler("未寫完")(three / f"{checkpoints.BESIDE}abc")
    found, damaged = newest_verified(three)
    assert found is not None
    assert (found.step, damaged) == (60, [])
    checkpoints.clear_leftovers(three)
    assert names(three) == ["step-000020", "step-000040", "step-000060"]


def test_a_failure_while_writing_leaves_everything_as_it_was(three: Path) -> None:
    def fail(folder: Path) -> None:
        filler("一半")(folder)
        raise RuntimeError("the power went")

    with pytest.raises(RuntimeError, match="the power went"):
        write(three, 80, fail)
    assert names(three) == ["step-000020", "step-000040", "step-000060"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_disk_that_fills_up_while_writing_is_said_so_and_the_rest_kept(three: Path) -> None:
    def fill(folder: Path) -> None:
        filler("一半")(folder)
        with Path("/dev/full").open("wb", buffering=0) as file:
            file.write(b"x")

    with pytest.raises(DiskFull):
        write(three, 80, fill, needed=123)
    assert names(three) == ["step-000020", "step-000040", "step-000060"]
    assert newest_verified(three)[1] == []


def test_the_disk_is_looked_at_before_anything_is_written(three: Path) -> None:
    def never(folder: Path) -> None:
        raise AssertionError("nothing may be written")

    with pytest.raises(DiskFull, match="needed"):
        write(three, 80, never, needed=shutil.disk_usage(three).total * 2)
    assert names(three) == ["step-000020", "step-000040", "step-000060"]


def test_a_damaged_one_is_replaced_when_its_step_comes_again(three: Path) -> None:
    (three / "step-000060" / "weights.bin").unlink()
    again = write(three, 60, filler("再嚟"))
    assert checkpoints.fault(again.folder) is None
    assert names(three) == ["step-000020", "step-000040", "step-000060"]


def test_pruning_keeps_the_newest_two(three: Path) -> None:
    prune(three, keep=2)
    assert names(three) == ["step-000040", "step-000060"]


def test_pruning_counts_only_those_that_verify(three: Path) -> None:
    (three / "step-000060" / "weights.bin").unlink()
    prune(three, keep=2)
    assert names(three) == ["step-000020", "step-000040", "step-000060"]
    write(three, 80, filler("八十"))
    prune(three, keep=2)
    assert names(three) == ["step-000040", "step-000060", "step-000080"]


def test_steps_beyond_a_million_still_sort_as_numbers(tmp_path: Path) -> None:
    for step in (999_999, 1_000_000):
        write(tmp_path, step, filler("大"))
    found, _ = newest_verified(tmp_path)
    assert found is not None
    assert found.step == 1_000_000


def test_a_folder_replaces_another_whole(tmp_path: Path) -> None:
    for text in ("舊", "新"):
        beside = tmp_path / "beside"
        beside.mkdir()
        filler(text)(beside)
        checkpoints.replace_folder(beside, tmp_path / "adapter")
    assert names(tmp_path) == ["adapter"]
    assert (tmp_path / "adapter" / "weights.bin").read_bytes().decode()[0] == "新"
