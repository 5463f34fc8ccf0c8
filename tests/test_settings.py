"""Options beat the environment, which beats the file."""

from __future__ import annotations

from pathlib import Path

import pytest

from workbench.errors import BadSettings
from workbench.settings import Settings, default_cache, from_options, load


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "trilogy.toml"
    monkeypatch.setenv("TRILOGY_CONFIG", str(path))
    return path


def test_the_file_is_read(config: Path) -> None:
    config.write_text("port = 7001\nmemory_gb = 3.5\n")
    assert (Settings().port, Settings().memory_gb) == (7001, 3.5)


def test_the_environment_beats_the_file(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config.write_text("port = 7001\nmemory_gb = 3\n")
    monkeypatch.setenv("TRILOGY_PORT", "7002")
    assert (Settings().port, Settings().memory_gb) == (7002, 3)


def test_options_beat_everything(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config.write_text("port = 7001\n")
    monkeypatch.setenv("TRILOGY_PORT", "7002")
    assert from_options(["--port", "7003"]).port == 7003
    assert from_options([]).port == 7002


def test_options_are_spelled_with_dashes_and_flags_need_no_value() -> None:
    chosen = from_options(["--trust-remote-code", "--max-text-mb", "2.5"])
    assert chosen.trust_remote_code
    assert chosen.max_text_bytes == 2_500_000


def test_nothing_is_trusted_or_opened_to_others_unless_asked() -> None:
    assert (Settings().trust_remote_code, Settings().host, Settings().token) == (False, None, None)


@pytest.mark.parametrize("name", ["TRILOGY_HUB_TOKEN", "HF_TOKEN"])
def test_the_token_comes_from_the_environment_and_is_not_shown(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, "hf_secretsecretsecret")
    settings = Settings()
    assert settings.token == "hf_secretsecretsecret"
    assert "hf_secret" not in repr(settings) + str(settings) + settings.model_dump_json()


@pytest.mark.parametrize("options", [["--port", "70000"], ["--memory-gb", "0"]])
def test_nonsense_is_refused_at_start_in_one_sentence(options: list[str]) -> None:
    with pytest.raises(BadSettings, match=options[0].strip("-").replace("-", "_")):
        from_options(options)


@pytest.mark.parametrize(
    ("name", "value"), [("PORT", "abc"), ("MEMORY_GB", "-3"), ("ALLOWED_MODELS", "not json")]
)
def test_nonsense_in_the_environment_is_one_sentence(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(f"TRILOGY_{name}", value)
    with pytest.raises(BadSettings, match=name.lower()):
        load()


def test_a_broken_file_is_one_sentence(config: Path) -> None:
    config.write_text("port = ")
    with pytest.raises(BadSettings, match="cannot be used"):
        load()


def test_the_cache_follows_the_usual_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere/else")
    assert default_cache() == Path("/somewhere/else/trilogy")
