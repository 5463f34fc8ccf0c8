"""Downloads from a Hub of our own over real HTTP: looked at first, stoppable, and kept."""

from __future__ import annotations

import json
import shutil
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests import tiny
from tests.fake_hub import COMMIT, FakeHub
from workbench.errors import (
    BadAdapter,
    DownloadFailed,
    GatedModel,
    HubUnreachable,
    IncompleteModel,
    ModelNotFound,
    NeedsRemoteCode,
    NotCausal,
    PickleWeights,
    Stopped,
)
from workbench.models.estimate import config_of, estimate
from workbench.models.fetch import fetch, fetch_here, is_here, locate
from workbench.models.reference import ModelReference
from workbench.settings import Settings

NOWHERE = "http://127.0.0.1:9"
SECRET = "hf_ThisIsASecretThatNobodyMaySee"


@pytest.fixture
def name(request: pytest.FixtureRequest) -> str:
    """Another repository for each test: the Hub's cache is shared by the whole run."""
    return f"owner/{abs(hash(request.node.nodeid)) % 10**10}"


@pytest.fixture
def reference(name: str) -> ModelReference:
    return ModelReference.parse(name)


@pytest.fixture
def folder(tiny_model: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_model, tmp_path / "model"))


def reconfigure(folder: Path, **changes: Any) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, **changes}))


def bring(reference: ModelReference, settings: Settings) -> list[Any]:
    """What the child does, without a child."""
    return list(fetch_here(reference, settings))


# What is brought


def test_a_model_is_downloaded_with_progress_and_loads(
    hub: FakeHub, folder: Path, name: str, settings: Settings
) -> None:
    hub.offer(name, folder, pause=0.05)
    events, fetched = tiny.finish(fetch(ModelReference.parse(name), settings, tiny.never()))
    weights = (folder / "model.safetensors").stat().st_size
    seen = [event for event in events if event.stage == "download"]
    assert seen[0].total >= weights
    assert seen[-1].done == seen[-1].total
    assert any(0 < event.done < event.total for event in seen)
    assert fetched.fingerprint == f"{name}@{COMMIT}"
    loaded = tiny.load(name, "fp32", settings)
    assert loaded.name == name
    assert loaded.model.config.vocab_size == len(loaded.tokenizer)


def test_only_what_is_needed_is_downloaded(
    hub: FakeHub, folder: Path, name: str, reference: ModelReference, settings: Settings
) -> None:
    extra = ("pytorch_model.bin", "model.onnx", "modeling_own.py", "flax_model.msgpack")
    for file in extra:
        (folder / file).write_bytes(b"x" * 100)
    hub.offer(name, folder)
    bring(reference, settings)
    assert {"model.safetensors", "config.json", "tokenizer.json"} <= set(hub.downloads())
    assert not {*extra, "README.md"} & set(hub.downloads())
    assert not {*extra} & {path.name for path in locate(reference, settings).folder.iterdir()}


def test_code_is_downloaded_only_where_the_owner_trusts_it(
    hub: FakeHub, folder: Path, name: str, reference: ModelReference, settings: Settings
) -> None:
    (folder / "modeling_own.py").write_text("raise SystemExit")
    hub.offer(name, folder)
    bring(reference, settings.model_copy(update={"trust_remote_code": True}))
    assert "modeling_own.py" in hub.downloads()


def test_a_pinned_commit_that_is_here_is_not_asked_for_again(
    hub: FakeHub, folder: Path, name: str, settings: Settings
) -> None:
    pinned = ModelReference.parse(f"{name}@{COMMIT}")
    hub.offer(name, folder)
    assert not is_here(pinned, settings)
    bring(pinned, settings)
    assert is_here(pinned, settings)
    hub.asked.clear()
    events, fetched = tiny.finish(fetch(pinned, settings, tiny.never()))
    assert (events, hub.asked) == ([], [])
    assert fetched.fingerprint == f"{name}@{COMMIT}"


def test_an_estimate_asks_for_no_weights(
    hub: FakeHub, folder: Path, name: str, reference: ModelReference, settings: Settings
) -> None:
    hub.offer(name, folder)
    config = config_of(reference, settings)
    assert estimate(config, "fp32").weights > 0
    assert hub.downloads() == ["config.json"]


def test_an_adapter_comes_from_the_hub_too(
    hub: FakeHub, tiny_adapter: Path, tiny_model: Path, name: str, settings: Settings
) -> None:
    hub.offer(name, tiny_adapter)
    adapted = ModelReference.parse(f"file:{tiny_model}+{name}")
    assert not is_here(adapted, settings)
    bring(adapted, settings)
    fetched = locate(adapted, settings)
    assert fetched.adapter is not None
    assert (fetched.adapter / "adapter_model.safetensors").is_file()
    assert fetched.adapter_fingerprint


def test_an_adapter_in_a_pickle_is_refused(
    hub: FakeHub,
    tiny_adapter: Path,
    tiny_model: Path,
    name: str,
    settings: Settings,
    tmp_path: Path,
) -> None:
    copy = Path(shutil.copytree(tiny_adapter, tmp_path / "adapter"))
    (copy / "adapter_model.safetensors").rename(copy / "adapter_model.bin")
    hub.offer(name, copy)
    adapted = ModelReference.parse(f"file:{tiny_model}+{name}")
    bring(adapted, settings)
    with pytest.raises(BadAdapter, match="safetensors"):
        locate(adapted, settings)
    assert "adapter_model.bin" not in hub.downloads()


# What is refused, before any weight is asked for


def test_a_model_that_does_not_exist(
    hub: FakeHub, reference: ModelReference, settings: Settings
) -> None:
    with pytest.raises(ModelNotFound, match=str(reference)):
        bring(reference, settings)
    with pytest.raises(ModelNotFound):
        config_of(reference, settings)


def test_a_revision_that_does_not_exist(
    hub: FakeHub, folder: Path, name: str, settings: Settings
) -> None:
    hub.offer(name, folder)
    with pytest.raises(ModelNotFound, match="@no-such-branch"):
        bring(ModelReference.parse(f"{name}@no-such-branch"), settings)


@pytest.mark.parametrize(("status", "code"), [(401, "GatedRepo"), (403, "GatedRepo"), (403, "")])
def test_a_gated_model_says_what_to_do(
    hub: FakeHub,
    folder: Path,
    name: str,
    reference: ModelReference,
    settings: Settings,
    status: int,
    code: str,
) -> None:
    hub.offer(name, folder, error=(status, code), token=SECRET)
    with pytest.raises(GatedModel, match="HF_TOKEN"):
        bring(reference, settings)
    with pytest.raises(GatedModel):
        config_of(reference, settings)
    assert [path for path in hub.downloads() if path.endswith(".safetensors")] == []


def test_the_owners_token_opens_a_gated_model(
    hub: FakeHub, folder: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.offer(name, folder, error=(401, "GatedRepo"), token=SECRET)
    monkeypatch.setenv("HF_TOKEN", SECRET)
    settings = Settings()
    monkeypatch.delenv("HF_TOKEN")
    fetched = tiny.finish(fetch(ModelReference.parse(name), settings, tiny.never()))[1]
    assert (fetched.folder / "model.safetensors").is_file()


def test_pickles_only(
    hub: FakeHub, folder: Path, name: str, reference: ModelReference, settings: Settings
) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    hub.offer(name, folder)
    with pytest.raises(PickleWeights):
        bring(reference, settings)
    assert hub.downloads() == []


def test_code_from_the_repository(
    hub: FakeHub, folder: Path, name: str, reference: ModelReference, settings: Settings
) -> None:
    reconfigure(folder, model_type="own", auto_map={"AutoModelForCausalLM": "modeling_own.Own"})
    hub.offer(name, folder)
    with pytest.raises(NeedsRemoteCode):
        bring(reference, settings)
    assert hub.downloads() == ["config.json"]


def test_a_model_of_another_kind(
    hub: FakeHub, folder: Path, name: str, reference: ModelReference, settings: Settings
) -> None:
    reconfigure(folder, model_type="bert", architectures=["BertForMaskedLM"])
    hub.offer(name, folder)
    with pytest.raises(NotCausal):
        bring(reference, settings)
    assert hub.downloads() == ["config.json"]


def test_a_config_that_is_not_json(
    hub: FakeHub, folder: Path, name: str, reference: ModelReference, settings: Settings
) -> None:
    (folder / "config.json").write_text("<html>")
    hub.offer(name, folder)
    with pytest.raises(IncompleteModel):
        bring(reference, settings)
    with pytest.raises(IncompleteModel):
        config_of(reference, settings)


def test_no_tokenizer(
    hub: FakeHub, folder: Path, name: str, reference: ModelReference, settings: Settings
) -> None:
    (folder / "tokenizer.json").unlink()
    hub.offer(name, folder)
    with pytest.raises(IncompleteModel):
        bring(reference, settings)


# Without a network


def test_without_a_network_nothing_can_come(
    reference: ModelReference, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", NOWHERE)
    with pytest.raises(HubUnreachable, match=str(reference)) as caught:
        tiny.finish(fetch(reference, settings, tiny.never()))
    assert "\n" not in str(caught.value)


def test_without_a_network_what_came_before_is_used(
    hub: FakeHub,
    folder: Path,
    name: str,
    reference: ModelReference,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    hub.offer(name, folder)
    bring(reference, settings)
    monkeypatch.setenv("HF_ENDPOINT", NOWHERE)
    fetched = tiny.finish(fetch(reference, settings, tiny.never()))[1]
    assert (fetched.folder / "model.safetensors").is_file()


def test_a_hub_in_trouble_is_told_in_a_sentence(
    hub: FakeHub, folder: Path, name: str, reference: ModelReference, settings: Settings
) -> None:
    hub.offer(name, folder)
    hub.broken = 500
    with pytest.raises(DownloadFailed, match="500"):
        bring(reference, settings)


# Stop


def running(work: Iterator[Any]) -> threading.Thread:
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    return thread


def children() -> list[psutil.Process]:
    return [
        child
        for child in psutil.Process().children(recursive=True)
        if "workbench.models.fetch" in child.cmdline()
    ]


@pytest.mark.parametrize("way", ["stop", "close"])
def test_a_slow_download_ends_when_told_and_can_be_taken_up_again(
    way: str, hub: FakeHub, folder: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository = hub.offer(name, folder, pause=2)
    monkeypatch.setenv("HF_TOKEN", SECRET)
    settings = Settings()
    stop = threading.Event()
    work = fetch(ModelReference.parse(name), settings, stop)
    while not hub.downloads(".safetensors"):
        next(work)
    assert children()
    assert not [child for child in children() if SECRET in " ".join(child.cmdline())]
    pressed = time.monotonic()
    if way == "stop":
        stop.set()
        with pytest.raises(Stopped):
            tiny.finish(work)
    else:
        work.close()
    assert time.monotonic() - pressed < 2
    assert children() == []
    assert not is_here(ModelReference.parse(f"{name}@{COMMIT}"), settings)
    repository.pause = 0
    fetched = tiny.finish(fetch(ModelReference.parse(name), settings, tiny.never()))[1]
    assert (fetched.folder / "model.safetensors").is_file()
    # the tokenizer had arrived before, and is not asked for again
    assert hub.downloads().count("tokenizer.json") == 1


def test_half_of_the_shards_is_not_a_model(
    hub: FakeHub, folder: Path, name: str, settings: Settings
) -> None:
    weights = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").unlink()
    for number in (1, 2):
        (folder / f"model-{number}.safetensors").write_bytes(weights)
    index = {"weight_map": {"a": "model-1.safetensors", "b": "model-2.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    hub.offer(name, folder)
    pinned = ModelReference.parse(f"{name}@{COMMIT}")
    bring(pinned, settings)
    assert is_here(pinned, settings)
    (locate(pinned, settings).folder / "model-2.safetensors").unlink()
    assert not is_here(pinned, settings)
    bring(pinned, settings)
    assert is_here(pinned, settings)
