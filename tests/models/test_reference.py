"""A model's name: every form a person may write, and none that names nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from workbench.errors import BadReference
from workbench.models.reference import ModelReference

FORMS = {
    "bundled:gemma-3-270m": ("bundled", "gemma-3-270m", None, None),
    "Qwen/Qwen2.5-7B": ("hub", "Qwen/Qwen2.5-7B", None, None),
    "Qwen/Qwen2.5-7B@main": ("hub", "Qwen/Qwen2.5-7B", "main", None),
    "Qwen/Qwen2.5-7B@refs/pr/1": ("hub", "Qwen/Qwen2.5-7B", "refs/pr/1", None),
    "gpt2": ("hub", "gpt2", None, None),
    "file:some/folder": ("folder", "some/folder", None, None),
    "file:/abs/模型 one": ("folder", "/abs/模型 one", None, None),
    "file:a/model.gguf": ("gguf", "a/model.gguf", None, None),
    "file:a/MODEL.GGUF": ("gguf", "a/MODEL.GGUF", None, None),
    "bundled:gemma-3-270m+my-run": ("bundled", "gemma-3-270m", None, "my-run"),
    "Qwen/Qwen2.5-7B@main+someone/lora": ("hub", "Qwen/Qwen2.5-7B", "main", "someone/lora"),
    "Qwen/Qwen2.5-7B+file:adapters/a": ("hub", "Qwen/Qwen2.5-7B", None, "file:adapters/a"),
    "file:some/folder+./adapter": ("folder", "some/folder", None, "./adapter"),
    "file:a/model.gguf+run": ("gguf", "a/model.gguf", None, "run"),
}


@pytest.mark.parametrize("text", FORMS)
def test_every_form_is_understood(text: str) -> None:
    found = ModelReference.parse(text)
    assert (found.kind, found.name, found.revision, found.adapter) == FORMS[text]


@pytest.mark.parametrize("text", FORMS)
def test_every_form_is_written_as_it_was_read(text: str) -> None:
    assert str(ModelReference.parse(text)) == text
    assert ModelReference.parse(str(ModelReference.parse(text))) == ModelReference.parse(text)


@pytest.mark.parametrize(
    "text",
    [
        *("", " ", "bundled:", "file:", "a/b/c", "/abs/path", "a b", "https://host/a/b", "a@"),
        *("a/b@", "a/b+", "+x", "a/b@bad revision", "../a", ".hidden", "a/.b", "a\nb", "a//b"),
    ],
)
def test_what_names_nothing_is_refused(text: str) -> None:
    with pytest.raises(BadReference):
        ModelReference.parse(text)


def test_the_refusal_repeats_what_was_written_but_not_all_of_it() -> None:
    with pytest.raises(BadReference, match="“a b”"):
        ModelReference.parse("a b")
    with pytest.raises(BadReference) as caught:
        ModelReference.parse("x y" * 1000)
    assert len(str(caught.value)) < 500


def test_white_space_around_a_name_is_nothing() -> None:
    assert str(ModelReference.parse("  Qwen/Qwen2.5-7B + run \n")) == "Qwen/Qwen2.5-7B+run"


def test_a_folder_that_is_there_may_have_a_plus_in_its_name(tmp_path: Path) -> None:
    (tmp_path / "c++").mkdir()
    found = ModelReference.parse(f"file:{tmp_path}/c++")
    assert (found.path, found.adapter) == (tmp_path / "c++", None)
    adapted = ModelReference.parse(f"file:{tmp_path}/c+++run")
    assert (adapted.path, adapted.adapter) == (tmp_path / "c++", "run")


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("bundled:gemma-3-270m", "gemma-3-270m"),
        ("Qwen/Qwen2.5-7B@main", "Qwen2.5-7B"),
        ("file:/a/long/way/to/model.gguf", "model.gguf"),
        ("file:/a/folder", "folder"),
        ("Qwen/Qwen2.5-7B+runs/good/adapter", "Qwen2.5-7B + adapter"),
    ],
)
def test_a_label_is_short(text: str, label: str) -> None:
    assert ModelReference.parse(text).label == label


def test_the_base_of_a_tuned_model_is_the_model_alone() -> None:
    tuned = ModelReference.parse("a/b@c+d")
    assert str(tuned.base) == "a/b@c"
    assert tuned.base.base == tuned.base
