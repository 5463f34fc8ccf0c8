"""The person's folders are redirected, the Hub is one of our own, and tiny models are made once."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog

from tests import tiny
from tests.fake_hub import FakeHub
from tests.zero import lender  # noqa: F401  a fixture of models and of tune
from workbench.models.loader import LoadedModel
from workbench.settings import Settings, default_cache

REAL_CACHE = Path(os.environ.get("TRILOGY_CACHE") or default_cache())
# huggingface_hub reads these when it is imported, so they hold for the whole run.
HUB_HOME = tempfile.TemporaryDirectory(prefix="hub-home-")
HUB = FakeHub()
FORGOTTEN = (
    "HF_TOKEN",
    "HUGGING_FACE_HUB_TOKEN",
    "HF_HUB_OFFLINE",
    "HF_HUB_CACHE",
    "HF_TOKEN_PATH",
)


def pytest_configure(config: pytest.Config) -> None:
    for name in list(os.environ):
        if name in FORGOTTEN or (name.startswith("TRILOGY_") and name != "TRILOGY_KILLS"):
            del os.environ[name]
    # the same everywhere, GPU or not; CUDA_VISIBLE_DEVICES=0 asks for the GPU
    os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")
    # threads that wait without spinning: other work may run on the same cores
    os.environ["OMP_WAIT_POLICY"] = "PASSIVE"
    if hasattr(config, "workerinput"):  # two at a time: each computes on one core
        os.environ.setdefault("OMP_NUM_THREADS", "1")
    os.environ["HF_HOME"] = HUB_HOME.name
    os.environ["HF_ENDPOINT"] = HUB.address
    HUB.start()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The rooms whose tests take long begin, so that two workers end at the same time."""
    slow = ("tests/e2e", "tests/tune", "tests/security", "tests/compare", "tests/prompts")
    items.sort(key=lambda item: next(
        (at for at, room in enumerate(slow) if item.nodeid.startswith(room)), len(slow)
    ))  # fmt: skip


def pytest_unconfigure(config: pytest.Config) -> None:
    HUB.stop()
    HUB_HOME.cleanup()


@pytest.fixture(autouse=True)
def folders(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[None]:
    """No test sees the person's workspace; converted models are shared by real tests only."""
    real = any(request.node.get_closest_marker(name) for name in ("real", "e2e"))
    monkeypatch.setenv("TRILOGY_WORKSPACE", str(tmp_path / "workspace"))
    monkeypatch.setenv("TRILOGY_CACHE", str(REAL_CACHE if real else tmp_path / "cache"))
    monkeypatch.setenv("TRILOGY_CONFIG", str(tmp_path / "no-such-file.toml"))
    yield
    structlog.reset_defaults()


@pytest.fixture
def settings(folders: None) -> Settings:
    return Settings()


@pytest.fixture
def hub() -> Iterator[FakeHub]:
    """Our own Hub, empty and forgetful of what was asked before."""
    HUB.clear()
    yield HUB
    HUB.clear()


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the tiny models are kept during one run."""
    return tmp_path_factory.mktemp("tiny")


@pytest.fixture(scope="session")
def shared_settings(home: Path) -> Settings:
    return Settings(workspace=home / "workspace", cache=home / "cache")


@pytest.fixture(scope="session")
def real_settings(home: Path) -> Settings:
    return Settings(workspace=home / "workspace", cache=REAL_CACHE)


@pytest.fixture(scope="session")
def tiny_model(home: Path) -> Path:
    """A folder with a Llama that reads characters."""
    tokenizer = tiny.characters()
    return tiny.save(home / "characters", tiny.network(tokenizer), tokenizer)


@pytest.fixture(scope="session")
def tiny_bytes(home: Path) -> Path:
    """A folder with a Llama that reads bytes."""
    tokenizer = tiny.single_bytes()
    return tiny.save(home / "bytes", tiny.network(tokenizer, seed=8), tokenizer)


@pytest.fixture(scope="session")
def tiny_gpt2(home: Path) -> Path:
    """A folder with a GPT-2 that has an end-of-text token and no other."""
    tokenizer = tiny.merged_bytes(eos_token="<|endoftext|>")
    model = tiny.network(tokenizer, "GPT2", seed=9, n_embd=32, n_layer=2, n_head=4, n_positions=256)
    return tiny.save(home / "gpt2", model, tokenizer)


@pytest.fixture(scope="session")
def tiny_adapter(home: Path, tiny_model: Path) -> Path:
    """A LoRA adapter for ``tiny_model``."""
    return tiny.save_adapter(home / "adapter", tiny_model)


@pytest.fixture(scope="session")
def by_characters(tiny_model: Path, shared_settings: Settings) -> LoadedModel:
    return tiny.load(f"file:{tiny_model}", "fp32", shared_settings)


@pytest.fixture(scope="session")
def by_bytes(tiny_bytes: Path, shared_settings: Settings) -> LoadedModel:
    return tiny.load(f"file:{tiny_bytes}", "fp32", shared_settings)


@pytest.fixture(scope="session")
def by_pairs(tiny_gpt2: Path, shared_settings: Settings) -> LoadedModel:
    return tiny.load(f"file:{tiny_gpt2}", "fp32", shared_settings)


@pytest.fixture(scope="session")
def gemma(real_settings: Settings) -> LoadedModel:
    return tiny.load("bundled:gemma-3-270m", "bf16", real_settings)


@pytest.fixture(scope="session")
def smollm(real_settings: Settings) -> LoadedModel:
    return tiny.load("bundled:smollm2-135m-instruct", "bf16", real_settings)


@pytest.fixture(params=["by_characters", "by_bytes", "by_pairs"])
def any_tiny(request: pytest.FixtureRequest) -> Any:
    """Each tiny model in turn, loaded in fp32."""
    return request.getfixturevalue(request.param)
