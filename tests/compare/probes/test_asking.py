"""Sets put to models: favourite letters show, known texts show, what is done is kept."""

from __future__ import annotations

import json
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tests import tiny
from workbench.__main__ import main
from workbench.compare.history import History
from workbench.compare.probes.ask import Asker, ProbeRequest, probe
from workbench.compare.probes.by_likelihood import copies
from workbench.compare.probes.items import Choice, Item, ProbeSet, Suspect
from workbench.compare.probes.reading import open_probe, shipped_names
from workbench.compare.probes.results import Asked, ItemResult, Probed, ProbeResult
from workbench.errors import Stopped
from workbench.events import Failed
from workbench.models.loader import LoadedModel
from workbench.models.pool import ModelPool
from workbench.models.reference import ModelReference
from workbench.settings import Settings


def questions(count: int) -> tuple[Choice, ...]:
    return tuple(
        Choice(id=f"q{at}", question=f"{at}?", options=("a", "bc", "d e", "fox"), answer=at % 4)
        for at in range(count)
    )


def answered(loaded: LoadedModel, items: Sequence[Item], kind: Any = "choice") -> ProbeResult:
    request = ProbeRequest((loaded.reference,), (ProbeSet("mine", kind, tuple(items)),))
    results: list[ItemResult] = tiny.finish(Asker(loaded, request).answer(items, tiny.never()))[1]
    return ProbeResult(loaded.name, "fp32", "f", "mine", kind, tuple(results))


def always(said: str) -> LoadedModel:
    """A model that says one thing again and again, whatever it reads."""
    import torch

    tokenizer = tiny.characters()
    tokenizer.add_tokens(said)
    model = tiny.network(tokenizer)
    head = torch.nn.Linear(model.config.hidden_size, len(tokenizer))
    torch.nn.init.zeros_(head.weight)
    torch.nn.init.zeros_(head.bias)
    with torch.no_grad():
        head.bias[tokenizer.convert_tokens_to_ids(said)] = 9.0
    model.set_output_embeddings(head)
    return tiny.in_memory(model, tokenizer, "made/parrot")


def test_a_favourite_letter_shows_and_wins_what_guessing_wins() -> None:
    found = answered(always("C."), questions(6))
    assert found.letters == {"C": 24}
    assert found.written.value == 0.25
    assert found.unreadable == 0


def test_what_is_no_letter_is_counted_as_unreadable_and_wrong() -> None:
    found = answered(always("。"), questions(3))
    assert found.unreadable == 12
    assert found.written.value == 0
    assert found.letters == {}


def test_three_ways_of_comparing_come_from_the_same_likelihoods(any_tiny: LoadedModel) -> None:
    found = answered(any_tiny, questions(8))
    for one in found.items:
        held = one.likelihoods
        assert held
        assert held.per_character == pytest.approx([a / b for a, b in zip(
            held.raw, (1, 2, 3, 3), strict=True)])  # fmt: skip
        assert held.without_prior == pytest.approx(
            [a - b for a, b in zip(held.raw, held.prior, strict=True)]
        )
        assert one.score == float(held.raw.index(max(held.raw)) == held.answer)
    assert found.by("raw") == found.share


KNOWN = "The quick brown fox jumps. 佢哋今日去咗邊度食嘢呀"
STRANGE = "dog lazy the over Jumped wolf big a and then"


def test_a_text_learned_by_heart_is_told_from_a_strange_one() -> None:
    import torch

    tokenizer = tiny.characters()
    model = tiny.network(tokenizer, initializer_range=0.05).requires_grad_(True)
    suspects = [Suspect(id="known", text=KNOWN), Suspect(id="strange", text=STRANGE)]
    before = answered(tiny.in_memory(model, tokenizer), suspects, "contamination")
    ids = torch.tensor([[tokenizer.bos_token_id, *tokenizer(KNOWN)["input_ids"]]])
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    for _ in range(150):
        optimizer.zero_grad()
        model(ids, labels=ids).loss.backward()
        optimizer.step()
    loaded = tiny.in_memory(model.requires_grad_(False), tokenizer, "made/known")
    known, strange = answered(loaded, suspects, "contamination").items
    assert known.familiarity and strange.familiarity
    assert known.score == 1.0
    assert known.familiarity.min_k > max(known.familiarity.copies)
    assert known.familiarity.min_k > strange.familiarity.min_k + 1
    untrained = before.items[0].familiarity
    assert untrained and untrained.min_k < known.familiarity.min_k - 1


@pytest.mark.parametrize(
    ("item", "rule"),
    [
        (Suspect(id="a", text="邊個大？", options=("甲", "乙", "丙")), "options"),
        (Suspect(id="a", text="佢有 12 個蘋果，食咗 3 個。"), "digits"),
        (Suspect(id="a", text="今日落雨。聽日出太陽。後日唔知。"), "sentences"),
        (Suspect(id="a", text="今日落雨聽日出太陽後日唔知"), "characters"),
    ],
)
def test_copies_say_nearly_the_same_and_are_the_same_every_time(item: Suspect, rule: str) -> None:
    found, made = copies(item)
    assert found == rule
    assert made == copies(item)[1]
    assert len(made) == len(set(made)) > 0
    whole = "\n".join([item.text, *item.options])
    for one in made:
        assert one != whole
        assert len(one) == len(whole)
        if rule != "digits":
            assert sorted(one) == sorted(whole)


# ---- kept and found again


class Bench:
    def __init__(self, model: Path, settings: Settings, count: int = 40) -> None:
        self.reference = ModelReference.parse(f"file:{model}")
        self.probe = ProbeSet("mine", "choice", questions(count))
        self.settings = settings
        self.history = History(settings.workspace / "results.sqlite")
        self.pool = ModelPool(settings)

    def events(self, stop: threading.Event | None = None, **changes: Any) -> Any:
        options = {"precision": "fp32", "writes": False, **changes}
        request = ProbeRequest((self.reference,), (self.probe,), **options)
        return probe(request, self.pool, self.history, stop or tiny.never())

    def result(self, **changes: Any) -> ProbeResult:
        return next(one.result for one in self.events(**changes) if isinstance(one, Probed))


def test_stop_keeps_what_is_done_and_the_rest_is_asked_later(
    tiny_model: Path, settings: Settings, tmp_path: Path
) -> None:
    bench = Bench(tiny_model, settings)
    stop = threading.Event()
    kept: list[str] = []
    for event in bench.events(stop):
        if isinstance(event, Asked):
            kept.append(event.result.item)
            stop.set()
        if isinstance(event, Failed):
            assert isinstance(event.error, Stopped)
    assert 0 < len(kept) < 40
    whole = bench.result()
    assert {one.item for one in whole.items if one.reused} == set(kept)
    alone = Bench(tiny_model, settings.model_copy(update={"workspace": tmp_path / "other"}))
    for one, other in zip(whole.items, alone.result().items, strict=True):
        assert one.likelihoods and other.likelihoods
        assert one.likelihoods.raw == pytest.approx(other.likelihoods.raw, abs=1e-4)


def test_what_was_asked_before_is_answered_without_loading(
    tiny_model: Path, settings: Settings
) -> None:
    first = Bench(tiny_model, settings, 5)
    first.result()
    later = Bench(tiny_model, settings, 5)
    found = later.result()
    assert all(one.reused for one in found.items)
    assert later.pool.loaded() == []
    assert not any(one.reused for one in later.result(again=True).items)


def test_an_edited_question_is_asked_anew_and_a_new_reason_is_not(
    tiny_model: Path, settings: Settings
) -> None:
    bench = Bench(tiny_model, settings, 5)
    bench.result()
    odd, *others = bench.probe.items
    assert isinstance(odd, Choice)
    edited = Choice(id=odd.id, question="other?", options=odd.options, answer=odd.answer)
    reasoned = Choice(
        id="q1", question="1?", options=odd.options, answer=1, topic="t", reason="because"
    )
    bench.probe = ProbeSet("mine", "choice", (edited, reasoned, *others[1:]))
    assert [one.reused for one in bench.result().items] == [False, True, True, True, True]


# ---- the command line


@pytest.fixture(scope="module")
def reader(home: Path) -> str:
    """A model with room for solved examples and a question."""
    tokenizer = tiny.characters()
    model = tiny.network(tokenizer, max_position_embeddings=1024)
    return f"file:{tiny.save(home / 'reader', model, tokenizer)}"


@pytest.mark.parametrize("name", shipped_names())
def test_every_shipped_set_on_the_command_line(
    name: str, reader: str, capsys: pytest.CaptureFixture[str]
) -> None:
    order = ["probe", "--model", reader, "--set", name, "--limit", "2", "--json"]
    assert main([*order, "--precision", "fp32", "--tries", "1"]) == 0
    document = json.loads(capsys.readouterr().out)
    found = document["results"][0]
    assert document["sets"] == [{"name": name, "kind": found["kind"], "items": 2, "left_out": 0}]
    ids = [item.id for item in open_probe(name, 10**7).items[:2]]
    assert [one["id"] for one in found["items"]] == ids
    assert found["total"]["count"] == 2
    assert 0 <= found["total"]["low"] <= found["total"]["share"] <= found["total"]["high"] <= 1


def test_a_file_of_ones_own_with_a_bad_row(
    tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [
        {"id": "a", "question": "1?", "options": ["a", "b"], "answer": "a"},
        {"id": "b", "question": "2?", "options": ["a", "b"], "answer": "z"},
    ]
    mine = tmp_path / "mine.jsonl"
    mine.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    order = ["probe", "--model", f"file:{tiny_model}", "--set", str(mine), "--precision", "fp32"]
    assert main([*order, "--json"]) == 2
    assert "row 2: the answer “z” is not among" in capsys.readouterr().err
    assert main([*order, "--json", "--skip-bad"]) == 0
    said = capsys.readouterr()
    document = json.loads(said.out)
    assert document["sets"][0]["left_out"] == 1
    assert [one["id"] for one in document["results"][0]["items"]] == ["a"]
    assert "row 2" in said.err


def test_whether_a_shipped_set_has_been_seen(
    reader: str, capsys: pytest.CaptureFixture[str]
) -> None:
    order = ["probe", "--model", reader, "--precision", "fp32", "--limit", "2", "--seen", "--json"]
    assert main([*order, *(word for name in shipped_names() for word in ("--set", name))]) == 0
    document = json.loads(capsys.readouterr().out)
    for asked, found in zip(document["sets"], document["results"], strict=True):
        assert found["kind"] == "contamination"
        assert 0 <= found["familiarity"] <= 1
        assert len(found["items"]) == asked["items"] > 0
        assert asked["items"] + asked["left_out"] == 2  # some are too short to tell
