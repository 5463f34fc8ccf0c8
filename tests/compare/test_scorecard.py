"""Making a scorecard: every part measured once, stored, stoppable, and one failure is one gap."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

import pytest

from tests import tiny
from workbench.__main__ import main
from workbench.compare.history import History
from workbench.compare.scorecard import (
    Failed,
    Made,
    Part,
    Scorecard,
    ScorecardRequest,
    scorecard,
    shipped_sets,
)
from workbench.errors import ModelNotFound, NoModel, Stopped
from workbench.models.pool import ModelPool
from workbench.models.reference import ModelReference
from workbench.models.sampling import SamplingOptions
from workbench.settings import Settings
from workbench.texts import Text

TEXT = Text("held out", tuple(f"佢哋今日去咗邊度食嘢呀 {number}" for number in range(12)))
FEW = SamplingOptions(max_new_tokens=4, samples=2, seed=1)


def request(*models: Path | str, **changes: Any) -> ScorecardRequest:
    names = [name if isinstance(name, str) else f"file:{name}" for name in models]
    asked: dict[str, Any] = {"text": TEXT, "prompts": ("佢哋", "The"), "writing": FEW, **changes}
    asked.setdefault("probes", tuple(probe.first(3) for probe in shipped_sets()[:3]))
    return ScorecardRequest(tuple(map(ModelReference.parse, names)), precision="fp32", **asked)


def made(asked: ScorecardRequest, settings: Settings, history: Path) -> tuple[list[Any], Scorecard]:
    events = list(scorecard(asked, ModelPool(settings), History(history), threading.Event()))
    assert isinstance(events[-1], Made)
    return events, events[-1].card


def test_every_part_of_every_model_is_measured(
    tiny_model: Path, tiny_bytes: Path, shared_settings: Settings, tmp_path: Path
) -> None:
    asked = request(tiny_model, tiny_bytes, tiny_model)
    events, card = made(asked, shared_settings, tmp_path / "results.sqlite")
    assert len(card.measured) == 2
    parts = [event for event in events if isinstance(event, Part)]
    assert [part.done for part in parts] == list(range(1, parts[0].total + 1))
    for one in card.measured:
        assert one.failures == ()
        assert one.fluency is not None
        assert one.fluency.characters == TEXT.characters
        assert len(one.writing) == 4
        assert one.cut is not None
        assert one.memory_bytes
        assert [len(found.items) for found in one.probes.values()] == [3, 3, 3]
    assert card.measured[0].fingerprint != card.measured[1].fingerprint


def test_what_is_stored_is_not_measured_again(
    tiny_model: Path, shared_settings: Settings, tmp_path: Path
) -> None:
    asked = request(tiny_model)
    _, first = made(asked, shared_settings, tmp_path / "results.sqlite")

    def refuses(*_: Any) -> Any:
        raise AssertionError("a model was loaded")

    pool = ModelPool(shared_settings, loader=refuses)
    events = list(scorecard(asked, pool, History(tmp_path / "results.sqlite"), threading.Event()))
    again = events[-1].card  # type: ignore[union-attr]
    assert again.measured[0].fluency == first.measured[0].fluency
    assert [one.text for one in again.measured[0].writing] == [
        one.text for one in first.measured[0].writing
    ]


def test_a_model_that_fails_leaves_a_gap_and_a_sentence(
    tiny_model: Path, shared_settings: Settings, tmp_path: Path
) -> None:
    asked = request("file:/no/such/folder", tiny_model)
    events, card = made(asked, shared_settings, tmp_path / "results.sqlite")
    failed = [event for event in events if isinstance(event, Failed)]
    assert {type(event.error) for event in failed} == {ModelNotFound}
    missing, there = card.measured
    assert len(missing.failures) == 1
    assert missing.fluency is None
    assert there.fluency is not None
    assert {column.verdict for column in card.columns if column.name == "fluency"} == {"one"}


def test_stop_keeps_what_is_done(
    tiny_model: Path, tiny_bytes: Path, shared_settings: Settings, tmp_path: Path
) -> None:
    stop, done, card = threading.Event(), 0, None
    asked = request(tiny_model, tiny_bytes)
    pool, history = ModelPool(shared_settings), History(tmp_path / "results.sqlite")
    for event in scorecard(asked, pool, history, stop):
        if isinstance(event, Part):
            done = event.done
            if done == 2:
                stop.set()
        elif isinstance(event, Failed):
            assert isinstance(event.error, Stopped)
        elif isinstance(event, Made):
            card = event.card
    assert done == 2
    assert card is not None
    assert card.measured[0].fluency is not None
    assert card.measured[1].fluency is None


def test_no_model_is_refused() -> None:
    with pytest.raises(NoModel):
        ScorecardRequest(())


@pytest.fixture(scope="module")
def roomy(home: Path) -> Path:
    """A tiny model with room for every question that is shipped."""
    tokenizer = tiny.characters()
    network = tiny.network(tokenizer, max_position_embeddings=1024)
    return tiny.save(home / "roomy", network, tokenizer)


def test_the_command_line_writes_a_report(
    roomy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text, out = tmp_path / "text.txt", tmp_path / "card.html"
    text.write_text("佢哋今日去咗邊度食嘢呀?", encoding="utf-8")
    arguments = ["--model", f"file:{roomy}", "--text", str(text), "--precision", "fp32"]
    arguments += ["--workspace", str(tmp_path / "ws"), "--out", str(out), "--json"]
    arguments += ["--limit", "2"]
    assert main(["scorecard", *arguments]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["settings"]["text"]["characters"] == 12
    assert document["models"][0]["fluency"]["bits_per_character"] > 0
    assert [len(found["items"]) for found in document["models"][0]["probes"]] == [2] * 4
    assert out.read_text("utf-8").startswith("<!doctype html>")


def test_a_report_of_an_unknown_kind_is_a_wrong_request(tiny_model: Path) -> None:
    with pytest.raises(SystemExit) as end:
        main(["scorecard", "--model", f"file:{tiny_model}", "--out", "card.docx"])
    assert end.value.code == 2


def test_tokens_on_the_command_line(tiny_bytes: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["tokens", "--model", f"file:{tiny_bytes}", "--text", "嘅a", "--json"]) == 0
    (found,) = json.loads(capsys.readouterr().out)["models"]
    assert [token["text"] for token in found["tokens"]] == ["⟨E5⟩", "⟨98⟩", "⟨85⟩", "a"]
