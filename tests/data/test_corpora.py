"""HKCanCor comes whole, in three forms, with nothing changed."""

from __future__ import annotations

import pytest

from workbench.data.corpora import CITATION, FORMS, LICENCE, TURNS, hkcancor, joined
from workbench.data.rows import examples_of, table_of
from workbench.errors import BadSettings
from workbench.language import register


def test_the_corpus_is_as_large_as_its_authors_say() -> None:
    said = list(hkcancor("utterances"))
    assert len(said) == 16_159
    assert sum(len(one.text) for one in said) == 201_681
    assert len(list(hkcancor("dialogues"))) == 58


@pytest.mark.parametrize("form", FORMS)
def test_every_row_has_a_name_of_its_own_and_survives_the_table(form) -> None:
    examples = list(hkcancor(form))
    assert len({one.id for one in examples}) == len(examples)
    table = table_of(examples[:50], {})
    assert list(examples_of(table)) == examples[:50]


def test_utterances_are_plain_texts_with_dialogue_and_speaker() -> None:
    first = next(hkcancor("utterances"))
    assert [turn.role for turn in first.messages] == ["text"]
    assert first.id == f"{first.columns['dialogue']}:0"
    assert first.columns["speaker"] and first.source == "HKCanCor"


def test_dialogues_hold_every_utterance_behind_its_speaker() -> None:
    said: dict[str, list[str]] = {}
    for one in hkcancor("utterances"):
        line = f"{one.columns['speaker']}：{one.text}"
        said.setdefault(one.columns["dialogue"], []).append(line)
    assert {one.id: one.text.split("\n") for one in hkcancor("dialogues")} == said


def test_exchanges_alternate_and_lose_no_more_than_a_last_turn() -> None:
    exchanges = list(hkcancor("exchanges"))
    for one in exchanges:
        roles = [turn.role for turn in one.messages]
        assert roles == ["user", "assistant"] * (len(roles) // 2)
        assert 2 <= len(roles) <= TURNS
    for dialogue in list(hkcancor("dialogues"))[:5]:
        kept = "".join(
            turn.content.replace(" ", "")
            for one in exchanges
            if one.columns["dialogue"] == dialogue.id
            for turn in one.messages
        )
        lines = [line.partition("：")[2] for line in dialogue.text.split("\n")]
        whole = "".join(lines).replace(" ", "")
        assert whole.startswith(kept)
        assert len(whole) - len(kept) < len(whole) / 2


def test_words_are_joined_as_cantonese_writes_them() -> None:
    assert joined(["我", "好", "like", "呢", "個", "idea", "呀"]) == "我好like呢個idea呀"
    assert joined(["High", "season", "去", "?"]) == "High season去?"
    assert joined(["a", "b", "c"]) == "a b c"
    assert joined([]) == ""


def test_the_corpus_is_cantonese() -> None:
    judged = [register(one.text[:1000]) for one in hkcancor("dialogues")]
    assert judged.count("cantonese") + judged.count("mixed") > 0.9 * len(judged)


def test_an_unknown_form_is_refused_and_the_source_is_named() -> None:
    with pytest.raises(BadSettings):
        next(hkcancor("words"))  # type: ignore[arg-type]
    assert "Luke" in CITATION and LICENCE.startswith("CC BY")
