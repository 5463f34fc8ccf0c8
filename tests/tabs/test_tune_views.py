"""A run on the page: what is learned is coloured right, events become sentences and curves."""

from __future__ import annotations

import re
from typing import Any

import pytest

from tabs._tune_recipe import GROUPS, ORDER, as_widget, recipe_of
from tabs._tune_views import answers, coloured, duration, forgetting_alarm, live, pieces
from tabs._words import LANGUAGES, words
from workbench.models.loader import LoadedModel
from workbench.models.templates import chat_template_for
from workbench.tune.encode import Encoder
from workbench.tune.recipe import TuneRecipe, presets

RECIPE = TuneRecipe(name="try", dataset="talk", steps=40)


def event(name: str, **facts: Any) -> dict[str, Any]:
    return {"event": name, "time": 1.0, **facts}


SAID = [
    event("ready", rows=90, held_rows=10, learned_tokens=1234, cut=1, masked=0, micro_batch=4,
          steps=40),
    event("evaluation", step=0, loss=4.0, bits_per_character=8.0,
          forgetting={"english": 1.0, "written": 4.0, "code": 0.8}),
    event("sample", step=0, prompt="食咗飯未？", text="<script>alert(1)</script>",
          register="other"),
    event("step", step=1, loss=3.5, learning_rate=1e-4, grad_norm=1.5, tokens_per_second=80.0,
          memory_bytes=2_000_000_000, seconds_left=95),
    event("step", step=2, loss=None, learning_rate=2e-4, grad_norm=1.0, tokens_per_second=81.0,
          memory_bytes=2_000_000_000, seconds_left=None),
    event("evaluation", step=20, loss=2.0, bits_per_character=5.0,
          forgetting={"english": 1.6, "written": 4.1, "code": 0.8}),
    event("sample", step=20, prompt="食咗飯未？", text="食咗喇，你呢？", register="cantonese"),
]  # fmt: skip


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_run_is_told_in_every_language_without_running_what_it_says(language: str) -> None:
    html = live(language, "try", "running", SAID)
    assert "<script>" not in html
    assert "1:35" not in html  # the last step does not know what is left
    assert html.count("<svg") == 5
    assert words()[language]["register.cantonese"] in html


@pytest.mark.parametrize(
    "status", ["queued", "running", "stopped", "interrupted", "failed", "done"]
)
def test_every_status_has_a_word(status: str) -> None:
    for language in LANGUAGES:
        assert words()[language][f"status.{status}"] in live(language, "try", status, SAID)


def test_what_is_forgotten_raises_an_alarm_and_what_is_kept_does_not() -> None:
    alarm = forgetting_alarm("en", SAID)
    assert "English 1.00 → 1.60" in alarm
    assert "written" not in alarm
    assert forgetting_alarm("en", SAID[:2]) == ""


def test_answers_stand_in_the_order_they_were_asked_in() -> None:
    more = [event("sample", step=0, prompt=prompt, text="…", register="other") for prompt in "ba"]
    found = re.findall(r"<h5>(.*?)</h5>", answers("en", [*SAID, *more]))
    assert found == ["食咗飯未？", "b", "a"]


def test_a_failure_is_said_in_the_language_of_the_page() -> None:
    failed = event("failed", error="NoDatasetChosen", facts={}, sentence="In English.")
    assert words()["zh-TW"]["error.NoDatasetChosen"] in live("zh-TW", "try", "failed", [failed])
    unknown = event("failed", error="NeverHeardOf", facts={}, sentence="In English.")
    assert "In English." in live("zh-TW", "try", "failed", [unknown])


@pytest.mark.parametrize(("seconds", "shown"), [(0, "0:00"), (95, "1:35"), (3723, "1:02:03")])
def test_durations(seconds: float, shown: str) -> None:
    assert duration(seconds) == shown


@pytest.mark.real
def test_every_character_of_a_row_is_shown_once_and_answers_are_coloured(
    gemma: LoadedModel,
) -> None:
    tokenizer = gemma.tokenizer
    encoder = Encoder(tokenizer, chat_template_for(tokenizer), 128)
    row = encoder.encode(
        [
            {"role": "user", "content": "瞓咗未呀？"},
            {"role": "assistant", "content": "未呀，睇緊戲囉🎬。"},
        ]
    )
    said = pieces(tokenizer, row.ids)
    assert len(said) == len(row.ids)
    assert "\ufffd" not in "".join(said)
    learned = "".join(piece for piece, on in zip(said, row.labels_mask, strict=True) if on)
    assert learned == "未呀，睇緊戲囉🎬。<end_of_turn>"
    html = coloured("en", row, said)
    assert html.count("learned end") == 1


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_notice_is_a_sentence(language: str) -> None:
    facts = {
        "micro_batch_halved": {"from": 8, "to": 4},
        "stopped_early": {"patience": 3},
        "rows_refused": {"no user turn": 3, "too deep": 2},
        "no_answers": {},
    }
    said = [event("notice", key=key, facts=some) for key, some in facts.items()]
    html = live(language, "try", "running", said)
    assert html.count("tri-warning") == 4
    assert "5" in html


def test_the_widgets_say_the_recipe_they_were_given() -> None:
    for fields in [{}, *presets().values()]:
        recipe = TuneRecipe(name="try", **fields)
        values = [as_widget(name, getattr(recipe, name)) for name in ORDER]
        assert recipe_of(values) == recipe
    assert recipe_of([as_widget(name, getattr(RECIPE, name)) for name in ORDER]) == RECIPE


def test_every_field_of_a_recipe_has_a_widget_and_words() -> None:
    fields = {one.name for one in TuneRecipe.__dataclass_fields__.values()}
    assert set(ORDER) == fields
    assert {one for group in GROUPS.values() for one in group} < fields
    for language in LANGUAGES:
        for name in fields:
            assert words()[language][f"recipe.{name}"]
            assert words()[language][f"recipe.{name}_info"]
