"""Tokens are counted without weights, and a chat template from a stranger cannot hang the app."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest

from tests import tiny
from tests.tiny import finish, never
from workbench.errors import BadTemplate, IncompleteModel, ModelNotFound
from workbench.models import tokenizer as tokenizers
from workbench.models.reference import ModelReference
from workbench.models.tokenizer import bring_tokenizer, rendered, token_counts
from workbench.settings import Settings

TURNS = [{"role": "user", "content": "食咗飯未?"}, {"role": "assistant", "content": "食咗喇!"}]
PLAIN = "{% for m in messages %}<{{ m['role'] }}>{{ m['content'] }}{% endfor %}"
ENDLESS = "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}"


@pytest.fixture
def reader() -> Any:
    return tiny.characters()


def with_template(reader: Any, template: str) -> Any:
    reader.chat_template = template
    return reader


def test_tokens_are_counted_without_special_ones(reader: Any) -> None:
    texts = ["佢哋今日", "", "The quick", "佢" * 700]
    assert token_counts(reader, texts) == [4, 0, 9, 700]
    assert token_counts(reader, []) == []
    assert token_counts(tiny.single_bytes(), ["佢", "a"]) == [3, 1]


def test_the_tokenizer_of_a_folder_is_brought_without_its_weights(
    tiny_model: Path, tmp_path: Path, settings: Settings
) -> None:
    reference = ModelReference.parse(f"file:{tiny_model}")
    reader = finish(bring_tokenizer(reference, settings, never()))[1]
    assert token_counts(reader, ["佢哋"]) == [2]
    with pytest.raises(ModelNotFound):
        finish(bring_tokenizer(ModelReference.parse(f"file:{tmp_path}/x"), settings, never()))


def test_a_model_without_a_tokenizer_is_said_to_be_incomplete(
    tmp_path: Path, settings: Settings
) -> None:
    tiny.network(tiny.characters()).save_pretrained(tmp_path / "bare")
    reference = ModelReference.parse(f"file:{tmp_path / 'bare'}")
    with pytest.raises(IncompleteModel, match="tokenizer"):
        finish(bring_tokenizer(reference, settings, never()))


def test_a_conversation_is_rendered_by_the_template(reader: Any) -> None:
    assert rendered(with_template(reader, PLAIN), TURNS) == "<user>食咗飯未?<assistant>食咗喇!"


def test_options_reach_the_template(reader: Any) -> None:
    template = PLAIN + "{% if add_generation_prompt %}<assistant>{% endif %}"
    made = rendered(with_template(reader, template), TURNS[:1], add_generation_prompt=True)
    assert made == "<user>食咗飯未?<assistant>"


def test_a_model_without_a_template_is_said_so(reader: Any) -> None:
    with pytest.raises(BadTemplate, match="brings none"):
        rendered(reader, TURNS)


@pytest.mark.parametrize(
    "template",
    [
        "{{ raise_exception('Roles must alternate.') }}",
        "{{ messages[99]['content'] }}",
        "{{ nobody.there }}",
        "{% for m in messages %}",
        "{{ 1 / 0 }}",
        "{{ ''.__class__.__mro__[1].__subclasses__() }}",
    ],
)
def test_a_template_that_refuses_or_is_broken_is_one_sentence(template: str, reader: Any) -> None:
    with pytest.raises(BadTemplate) as caught:
        rendered(with_template(reader, template), TURNS)
    sentence = str(caught.value)
    assert len(sentence.splitlines()) == 1
    assert sentence.startswith("The chat template cannot be used: ")
    assert ".." not in sentence


def test_a_template_that_loops_is_given_up_and_does_not_go_on(
    reader: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tokenizers, "SECONDS", 0.2)
    with pytest.raises(BadTemplate, match=r"did not end within 0\.2 seconds"):
        rendered(with_template(reader, ENDLESS), TURNS)
    for thread in threading.enumerate():
        if thread.name == tokenizers.THREAD:
            thread.join(30)
            assert not thread.is_alive()
    assert rendered(with_template(reader, PLAIN), TURNS[:1]) == "<user>食咗飯未?"
