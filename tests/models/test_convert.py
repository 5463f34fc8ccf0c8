"""A GGUF file becomes a folder once, whole, or not at all."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from tests import tiny
from workbench.errors import BrokenWeights, DiskFull, ModelNotFound, UnknownArchitecture
from workbench.models.convert import MANIFEST, check_room, convert
from workbench.models.estimate import config_of, estimate
from workbench.models.fetch import fetch, fetch_here, is_here
from workbench.models.reference import ModelReference
from workbench.settings import Settings

SPECIAL = {"bos_token": "<|begin|>", "eos_token": "<|end|>"}


@pytest.fixture(scope="session")
def gguf(home: Path) -> Path:
    tokenizer = tiny.merged_bytes(**SPECIAL)
    return tiny.save_gguf(home / "tiny.gguf", tiny.network(tokenizer), tokenizer)


def test_the_converted_model_is_the_same_model(gguf: Path, settings: Settings) -> None:
    loaded = tiny.load(f"file:{gguf}", "fp32", settings)
    tokenizer = tiny.merged_bytes(**SPECIAL)
    assert loaded.tokenizer(tiny.TEXT)["input_ids"] == tokenizer(tiny.TEXT)["input_ids"]
    assert loaded.prefix_token == tokenizer.bos_token_id
    original = tiny.network(tokenizer)
    for weight in original.parameters():
        weight.copy_(weight.bfloat16())
    ids = tokenizer(tiny.TEXT, return_tensors="pt")["input_ids"]
    with torch.inference_mode():
        here, there = loaded.model(ids).logits, original(ids).logits
    assert torch.allclose(here, there, atol=1e-3)


def test_a_second_fetch_converts_nothing(gguf: Path, settings: Settings) -> None:
    reference = ModelReference.parse(f"file:{gguf}")
    assert not is_here(reference, settings)
    events, fetched = tiny.finish(fetch(reference, settings, tiny.never()))
    assert "convert" in {event.stage for event in events}
    assert json.loads((fetched.folder / MANIFEST).read_text())["source_sha256"]
    assert is_here(reference, settings)
    again, same = tiny.finish(fetch(reference, settings, tiny.never()))
    assert again == []
    assert same == fetched


def test_the_fingerprint_is_of_the_content_and_not_of_the_place(
    gguf: Path, settings: Settings, tmp_path: Path
) -> None:
    (tmp_path / "copy.gguf").write_bytes(gguf.read_bytes())
    for name in (gguf, tmp_path / "copy.gguf"):
        list(fetch_here(ModelReference.parse(f"file:{name}"), settings))
    assert len(list((settings.cache / "models").glob("gguf-*"))) == 1


@pytest.mark.parametrize("share", [0.2, 0.6, 0.99])
def test_a_truncated_file_is_damaged(
    gguf: Path, share: float, settings: Settings, tmp_path: Path
) -> None:
    raw = gguf.read_bytes()
    cut = tmp_path / "cut.gguf"
    cut.write_bytes(raw[: int(len(raw) * share)])
    reference = ModelReference.parse(f"file:{cut}")
    with pytest.raises(BrokenWeights, match=r"cut\.gguf"):
        list(fetch_here(reference, settings))
    with pytest.raises(BrokenWeights):
        config_of(reference, settings)
    assert not is_here(reference, settings)


@pytest.mark.parametrize("content", [b"", b"GGUF", b"not a model at all" * 100, b"\x00" * 5000])
def test_garbage_is_damaged_too(content: bytes, settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "x.gguf").write_bytes(content)
    with pytest.raises(BrokenWeights):
        list(fetch_here(ModelReference.parse(f"file:{tmp_path}/x.gguf"), settings))


def test_the_child_tells_of_damage_in_one_sentence(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "x.gguf").write_bytes(b"GGUF" * 10)
    with pytest.raises(BrokenWeights) as caught:
        tiny.load(f"file:{tmp_path}/x.gguf", "fp32", settings)
    assert "\n" not in str(caught.value)


def test_an_architecture_that_transformers_cannot_read(settings: Settings, tmp_path: Path) -> None:
    tokenizer = tiny.merged_bytes(**SPECIAL)
    path = tiny.save_gguf(tmp_path / "x.gguf", tiny.network(tokenizer), tokenizer, "nonesuch")
    reference = ModelReference.parse(f"file:{path}")
    with pytest.raises(UnknownArchitecture):
        list(fetch_here(reference, settings))
    with pytest.raises(UnknownArchitecture):
        config_of(reference, settings)
    assert not is_here(reference, settings)


def test_a_file_that_is_not_there(settings: Settings, tmp_path: Path) -> None:
    reference = ModelReference.parse(f"file:{tmp_path}/nowhere.gguf")
    with pytest.raises(ModelNotFound):
        is_here(reference, settings)
    with pytest.raises(ModelNotFound):
        config_of(reference, settings)


def test_its_memory_is_estimated_from_the_header(gguf: Path, settings: Settings) -> None:
    config = config_of(ModelReference.parse(f"file:{gguf}"), settings)
    loaded = tiny.load(f"file:{gguf}", "bf16", settings)
    assert estimate(config, "bf16").weights == pytest.approx(loaded.memory_bytes, rel=0.03)


def test_no_room_is_told_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(DiskFull, match="GB are needed"):
        check_room(10**18, tmp_path / "not" / "there" / "yet")
    check_room(1, tmp_path)


def test_what_a_broken_try_left_is_replaced(gguf: Path, tmp_path: Path) -> None:
    folder = tmp_path / "done"
    for leftover in (tmp_path / ".done.part", folder):
        leftover.mkdir()
        (leftover / "half.safetensors").write_bytes(b"half")
    list(convert(gguf, folder, "sha", "it"))
    assert not (tmp_path / ".done.part").exists()
    assert not (folder / "half.safetensors").exists()
    assert (folder / "model.safetensors").is_file()
