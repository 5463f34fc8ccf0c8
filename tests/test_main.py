"""The command line: one JSON document on stdout, progress on stderr, honest exit codes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from workbench import __version__
from workbench.__main__ import main

ROOT = Path(__file__).resolve().parents[1]
SAMPLE = ROOT / "assets" / "samples" / "cantonese.jsonl"
GEMMA, SMOLLM = "bundled:gemma-3-270m", "bundled:smollm2-135m-instruct"
KEYS = [
    *("model", "precision", "nll_nats", "scored_tokens", "characters", "bytes"),
    *("bits_per_character", "bits_per_byte", "token_perplexity"),
    *("seconds", "tokens_per_second", "peak_memory_bytes"),
]


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "workbench", *arguments],
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def said(capsys: pytest.CaptureFixture[str]) -> tuple[Any, str]:
    """The document on standard output, which must be one, and what is on standard error."""
    out, err = capsys.readouterr()
    return json.loads(out), err


# With the bundled models, as a person would


@pytest.fixture(scope="module")
def perplexity(tmp_path_factory: pytest.TempPathFactory) -> subprocess.CompletedProcess[str]:
    from tests.conftest import REAL_CACHE

    workspace = tmp_path_factory.mktemp("cli")
    models = [part for name in (GEMMA, SMOLLM) for part in ("--model", name)]
    arguments = ["--text", str(SAMPLE), "--json", "--workspace", str(workspace)]
    return run("perplexity", *models, *arguments, TRILOGY_CACHE=str(REAL_CACHE))


@pytest.mark.real
def test_the_document_has_exactly_the_promised_keys(
    perplexity: subprocess.CompletedProcess[str],
) -> None:
    assert perplexity.returncode == 0, perplexity.stderr
    document = json.loads(perplexity.stdout)
    assert list(document) == ["text", "results"]
    assert list(document["text"]) == ["documents", "characters", "bytes"]
    assert [list(row) for row in document["results"]] == [KEYS, KEYS]
    assert [row["model"] for row in document["results"]] == [GEMMA, SMOLLM]


@pytest.mark.real
def test_gemma_is_better_in_bits_and_smollm_in_token_perplexity(
    perplexity: subprocess.CompletedProcess[str],
) -> None:
    document = json.loads(perplexity.stdout)
    gemma, smollm = document["results"]
    assert gemma["bits_per_character"] < smollm["bits_per_character"]
    assert gemma["token_perplexity"] > smollm["token_perplexity"]
    for row in (gemma, smollm):
        assert (row["characters"], row["bytes"]) == (
            document["text"]["characters"],
            document["text"]["bytes"],
        )
    assert document["text"]["documents"] == 20


@pytest.mark.real
def test_progress_goes_to_standard_error(perplexity: subprocess.CompletedProcess[str]) -> None:
    assert "score gemma-3-270m" in perplexity.stderr
    assert "score smollm2-135m-instruct" in perplexity.stderr


@pytest.mark.real
def test_generate_writes_after_the_prompt(capsys: pytest.CaptureFixture[str]) -> None:
    asked = ["generate", "--model", SMOLLM, "--prompt", "Hong Kong is", "--max-new-tokens", "5"]
    assert main([*asked, "--temperature", "0", "--json"]) == 0
    document, _ = said(capsys)
    row = document["results"][0]
    assert list(document) == ["options", "results"]
    assert (row["model"], row["prompt"], row["register"]) == (SMOLLM, "Hong Kong is", "other")
    assert 1 <= row["tokens"] <= 5
    assert main([*asked, "--temperature", "0"]) == 0
    assert capsys.readouterr().out.strip().endswith(f"Hong Kong is{row['text']}")


@pytest.mark.real
def test_models_that_are_here_are_listed_as_such(
    capsys: pytest.CaptureFixture[str], gemma: Any, smollm: Any
) -> None:
    assert main(["models", "list", "--json"]) == 0
    document, _ = said(capsys)
    assert {row["model"]: row["fetched"] for row in document["models"]} == {
        GEMMA: True,
        SMOLLM: True,
    }


# With tiny models


def score(folder: Path, text: Path, *more: str) -> int:
    return main(
        [
            "perplexity",
            "--model",
            f"file:{folder}",
            "--text",
            str(text),
            "--precision",
            "fp32",
            *more,
        ]
    )


def test_a_text_is_scored_for_people(
    tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a.txt").write_text("佢哋今日去咗邊度?")
    assert score(tiny_model, tmp_path / "a.txt") == 0
    assert "bits per character" in capsys.readouterr().out


def test_a_second_run_is_answered_from_the_history(
    tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a.csv").write_text("body\n佢哋\n今日\n")
    asked = (tiny_model, tmp_path / "a.csv", "--column", "body", "--context", "16", "--json")
    assert score(*asked) == 0
    first, _ = said(capsys)
    assert score(*asked) == 0
    second, progress = said(capsys)
    assert second == first
    assert "score" not in progress
    assert score(*asked, "--again") == 0
    assert said(capsys)[0]["results"][0]["nll_nats"] == first["results"][0]["nll_nats"]


def test_one_model_that_fails_leaves_the_figures_of_the_other(
    tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a.txt").write_text("佢哋")
    code = score(tiny_model, tmp_path / "a.txt", "--model", "file:/no/where", "--json")
    document, err = said(capsys)
    assert code == 2
    assert [row["model"] for row in document["results"]] == [f"file:{tiny_model}"]
    assert [row["model"] for row in document["failures"]] == ["file:/no/where"]
    assert "No model was found at file:/no/where" in err


def test_a_broken_model_is_a_failure_and_not_a_wrong_request(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "x.gguf").write_bytes(b"GGUF")
    (tmp_path / "a.txt").write_text("佢哋")
    assert score(tmp_path / "x.gguf", tmp_path / "a.txt", "--json") == 1
    assert said(capsys)[0]["results"] == []


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["perplexity", "--model", "a b", "--text", str(SAMPLE)], "does not name a model"),
        (["perplexity", "--model", "a/b", "--text", "/no/such.txt"], "no file called such.txt"),
        (["perplexity", "--model", "bundled:x", "--text", str(SAMPLE)], "No bundled model"),
        (["perplexity", "--model", "a/b", "--text", str(SAMPLE), "--context", "3"], "context is 3"),
        (
            ["perplexity", "--model", "a/b", "--text", str(SAMPLE), "--column", "x"],
            "no text column",
        ),
        (["generate", "--model", "a/b", "--prompt", " "], "no text"),
        (["generate", "--model", "a/b", "--prompt", "x", "--top-p", "2"], "top_p is 2"),
        (["models", "estimate", "file:/no/where"], "No model was found"),
        (["models", "fetch", "bundled:x"], "No bundled model"),
    ],
)
def test_a_wrong_request_is_one_line_and_exit_2(
    arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert words in err
    assert len(err.strip().splitlines()) == 1


@pytest.mark.parametrize("arguments", [[], ["perplexity"], ["generate", "--seed", "x"], ["sing"]])
def test_a_misspelt_command_is_exit_2(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2


def test_models_that_are_not_here_are_listed_with_their_size(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["models", "list"]) == 0
    out = capsys.readouterr().out
    assert "238 MB to fetch" in out
    assert "Gemma Terms of Use" in out


def test_an_estimate_comes_in_numbers(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "estimate", SMOLLM, "--precision", "nf4", "--json"]) == 0
    document, _ = said(capsys)
    parts = [document[f"{part}_bytes"] for part in ("weights", "cache", "workspace")]
    assert document["total_bytes"] == sum(parts)
    assert document["fits"] is True
    assert (document["model"], document["precision"]) == (SMOLLM, "nf4")


def test_what_does_not_fit_is_said_so(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRILOGY_MEMORY_GB", "0.05")
    assert main(["models", "estimate", SMOLLM]) == 0
    assert "does not fit" in capsys.readouterr().out


def test_a_folder_is_fetched_where_it_is(
    tiny_model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["models", "fetch", f"file:{tiny_model}", "--json"]) == 0
    document, _ = said(capsys)
    assert document["folder"] == str(tiny_model)
    assert len(document["fingerprint"]) == 64


def test_the_version_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--version"])
    assert capsys.readouterr().out.strip() == __version__


def test_the_workspace_can_be_chosen(tiny_model: Path, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("佢哋")
    assert score(tiny_model, tmp_path / "a.txt", "--workspace", str(tmp_path / "mine")) == 0
    assert (tmp_path / "mine" / "results.sqlite").is_file()
