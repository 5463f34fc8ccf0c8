"""Names from people cannot leave the workspace, and files are whole or not there."""

from __future__ import annotations

from pathlib import Path

import pytest

from workbench.errors import InvalidName
from workbench.workspace import Workspace, check_name, write_atomically


@pytest.mark.parametrize("name", ["run-1", "粵語_v2", "a", "Ünïcode.2", "x" * 80, "a..b"])
def test_plain_names_may_be_used(name: str) -> None:
    assert check_name(name) == name


@pytest.mark.parametrize(
    "name",
    [
        *("", " ", ".", "..", "../up", "a/b", "a\\b", "/etc", ".hidden", "x" * 81),
        *("nul\x00l", "CON", "nul", "trailing.", "a b", "a\nb", "~", "a:b", "$(x)", "a\u202eb"),
    ],
)
def test_names_that_could_do_harm_are_refused(name: str) -> None:
    with pytest.raises(InvalidName):
        check_name(name)


def test_a_run_lies_below_the_workspace(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    assert workspace.run("first").is_relative_to(tmp_path)
    with pytest.raises(InvalidName):
        workspace.run("../../etc")


def test_a_file_is_written_with_its_folders(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b.json"
    write_atomically(path, "粵")
    assert path.read_bytes() == "粵".encode()
    write_atomically(path, b"new")
    assert path.read_bytes() == b"new"
    assert list(path.parent.iterdir()) == [path]


def test_a_write_that_fails_leaves_the_old_file_and_nothing_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    write_atomically(path, "old")
    with pytest.raises(TypeError):
        write_atomically(path, 12.5)  # type: ignore[arg-type]
    with pytest.raises(UnicodeEncodeError):
        write_atomically(path, "\ud800")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_rename_that_fails_cleans_up(tmp_path: Path) -> None:
    (tmp_path / "taken").mkdir()
    with pytest.raises(OSError):
        write_atomically(tmp_path / "taken", "x")
    assert list(tmp_path.iterdir()) == [tmp_path / "taken"]
