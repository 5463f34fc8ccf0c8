"""From a reference to checked files, in a child that can be ended at any moment."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests import tiny
from workbench.errors import ModelNotFound
from workbench.events import Progress
from workbench.models.fetch import content_fingerprint, fetch, is_here, locate
from workbench.models.reference import ModelReference
from workbench.models.watch import folder_bytes, watched
from workbench.settings import Settings

ROOT = Path(__file__).resolve().parents[2]


def test_a_folder_is_used_where_it_lies(tiny_model: Path, settings: Settings) -> None:
    reference = ModelReference.parse(f"file:{tiny_model}")
    assert is_here(reference, settings)
    events, fetched = tiny.finish(fetch(reference, settings, tiny.never()))
    assert events == []
    assert fetched.folder == tiny_model
    assert fetched.adapter is None


def test_a_fingerprint_changes_with_any_file_that_decides(
    tmp_path: Path, settings: Settings
) -> None:
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "notes.md").write_text("nothing that decides")
    first = content_fingerprint(tmp_path, settings)
    (tmp_path / "notes.md").write_text("something else")
    assert content_fingerprint(tmp_path, settings) == first
    (tmp_path / "config.json").write_text('{"a": 1}')
    second = content_fingerprint(tmp_path, settings)
    assert second != first
    (tmp_path / "config.json").rename(tmp_path / "other.json")
    assert content_fingerprint(tmp_path, settings) not in (first, second)


def test_hashes_are_remembered_and_a_broken_memory_is_forgotten(
    tmp_path: Path, settings: Settings
) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    first = content_fingerprint(folder, settings)
    memory = settings.cache / "fingerprints.json"
    assert len(json.loads(memory.read_text())) == 1
    memory.write_text("{ broken")
    assert content_fingerprint(folder, settings) == first


def child(*arguments: str) -> list[dict]:
    done = subprocess.run(
        [sys.executable, "-m", "workbench.models.fetch", *arguments],
        cwd=ROOT,
        env=dict(os.environ),
        capture_output=True,
        text=True,
        check=True,
    )
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_the_child_speaks_in_json_lines_only(tmp_path: Path) -> None:
    said = child(f"file:{tmp_path}/模型.gguf")
    assert said == [{"error": "ModelNotFound", "facts": {"model": f"file:{tmp_path}/模型.gguf"}}]


def test_relative_names_are_meant_from_where_the_person_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: Settings
) -> None:
    tokenizer = tiny.merged_bytes(bos_token="<|begin|>", eos_token="<|end|>")
    tiny.save_gguf(tmp_path / "here.gguf", tiny.network(tokenizer), tokenizer)
    monkeypatch.chdir(tmp_path)
    fetched = tiny.finish(fetch(ModelReference.parse("file:here.gguf"), settings, tiny.never()))[1]
    assert (fetched.folder / "model.safetensors").is_file()


def test_what_is_not_there_is_not_found(tmp_path: Path, settings: Settings) -> None:
    for name in (f"file:{tmp_path}/nowhere", f"file:{tmp_path}/nowhere.gguf"):
        with pytest.raises(ModelNotFound):
            locate(ModelReference.parse(name), settings)


# Progress of work that tells none


def test_watched_work_is_measured_from_outside() -> None:
    events = list(watched(lambda: None, lambda: 5, Progress("download", 0, 10, "bytes")))
    assert (events[0].done, events[-1].done) == (0, 10)
    assert events[-1].share == 1


def test_watched_work_hands_on_what_it_raised() -> None:
    def fail() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        list(watched(fail, lambda: 0, Progress("convert", 0, 0, "seconds")))


def test_more_than_everything_is_never_reported() -> None:
    events = list(watched(lambda: None, lambda: 99, Progress("download", 0, 10, "bytes")))
    assert max(event.done for event in events) == 10


def test_bytes_of_a_folder_are_counted_once(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "x").write_bytes(b"12345")
    (tmp_path / "link").symlink_to(tmp_path / "a" / "x")
    assert folder_bytes(tmp_path) == 5
    assert folder_bytes(tmp_path / "nowhere") == 0


def test_a_share_is_between_nothing_and_all() -> None:
    assert Progress("load", 5, 0, "weights").share == 0
    assert Progress("load", 5, 10, "weights").share == 0.5
    assert Progress("load", 11, 10, "weights").share == 1
