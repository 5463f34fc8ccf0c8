"""Texts cut by tokenizers: nothing lost, parts of characters said to be parts."""

from __future__ import annotations

from pathlib import Path

import pytest
from transformers import AutoTokenizer

from tests.tiny import never
from workbench.compare.tokenizers import (
    LETTERS,
    MOST_CHARACTERS,
    Cut,
    TokenizerRequest,
    cuts,
    letters,
    pieces,
    rate,
)
from workbench.errors import NoModel, NoText, TooLongToCut
from workbench.events import Failed
from workbench.models.reference import ModelReference
from workbench.settings import Settings
from workbench.texts import sample

TEXT = "佢哋 quick\n嘅"


def cut_with(names: list[str], text: str, settings: Settings) -> list[Cut | Failed]:
    request = TokenizerRequest(tuple(map(ModelReference.parse, names)), text)
    return [event for event in cuts(request, settings, never()) if isinstance(event, Cut | Failed)]


def test_pieces_are_the_text_and_bytes_are_shown_as_bytes(
    tiny_model: Path, tiny_bytes: Path, shared_settings: Settings
) -> None:
    found = cut_with([f"file:{tiny_model}", f"file:{tiny_bytes}"], TEXT, shared_settings)
    whole, parts = (one for one in found if isinstance(one, Cut))
    assert [piece.text for piece in whole.pieces][:-1] == list(TEXT)[:-1]
    assert whole.own.characters_per_token == 1
    spelled = [piece.text for piece in parts.pieces if piece.is_bytes]
    assert "".join(spelled).replace("⟩⟨", " ").strip("⟨⟩") == "佢哋嘅".encode().hex(" ").upper()
    assert [piece.text for piece in parts.pieces if not piece.is_bytes] == list(" quick\n")
    assert parts.own.tokens == len(TEXT.encode())


def test_rates_are_of_the_bundled_samples(tiny_bytes: Path, shared_settings: Settings) -> None:
    (found,) = cut_with([f"file:{tiny_bytes}"], TEXT, shared_settings)
    assert isinstance(found, Cut)
    text = sample("cantonese")
    assert found.cantonese.characters_per_token == pytest.approx(text.characters / text.bytes)
    assert found.letters == dict.fromkeys(LETTERS, 3)
    assert found.context == 256


def test_a_space_that_a_tokenizer_adds_of_itself_is_not_counted(tiny_model: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(tiny_model, trust_remote_code=False)
    plain = letters(tokenizer)

    class Prefixed:
        def __call__(self, texts: list[str], **options: object) -> dict[str, list[list[int]]]:
            made = tokenizer(texts, add_special_tokens=False)["input_ids"]
            return {"input_ids": [[0, *ids] for ids in made]}

    assert letters(Prefixed()) == plain == dict.fromkeys(LETTERS, 1)


def test_a_model_that_is_not_there_does_not_stop_the_next(
    tiny_model: Path, shared_settings: Settings
) -> None:
    found = cut_with(["file:/no/such/folder", f"file:{tiny_model}"], TEXT, shared_settings)
    assert [type(one) for one in found] == [Failed, Cut]


def test_special_tokens_in_a_text_are_cut_too_and_nothing_is_added(tiny_model: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(tiny_model, trust_remote_code=False)
    assert [piece.token for piece in pieces(tokenizer, "<s>")] == [tokenizer.bos_token_id]
    assert rate(tokenizer, ("ab", "c")).tokens == 3


@pytest.mark.parametrize(
    ("models", "text", "error"),
    [
        ((), "a", NoModel),
        (("a/b",), " \n", NoText),
        (("a/b",), "字" * (MOST_CHARACTERS + 1), TooLongToCut),
    ],
)
def test_a_request_that_cannot_be_done_is_refused(
    models: tuple[str, ...], text: str, error: type[Exception]
) -> None:
    with pytest.raises(error):
        TokenizerRequest(tuple(map(ModelReference.parse, models)), text)
