"""A base without a chat template gets one that its vocabulary can write."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests import tiny
from workbench.errors import BadRecipeField, BadTemplate
from workbench.models.loader import LoadedModel
from workbench.models.templates import (
    CHATML,
    GEMMA,
    PLAIN,
    chat_template_for,
    control_pattern,
    differs,
    own_template,
    standard_for,
    stop_tokens,
    with_template,
    written,
)

TALK = [
    {"role": "system", "content": "你係茶餐廳夥計。"},
    {"role": "user", "content": "有咩食？"},
    {"role": "assistant", "content": "有公仔麵。"},
    {"role": "user", "content": "要一碗。"},
]


def with_tokens(*tokens: str) -> Any:
    tokenizer = tiny.characters()
    tokenizer.add_special_tokens({"additional_special_tokens": list(tokens)})
    return tokenizer


@pytest.mark.parametrize(
    ("tokens", "standard", "template"),
    [
        (("<start_of_turn>", "<end_of_turn>"), "gemma", GEMMA),
        (("<|im_start|>", "<|im_end|>"), "chatml", CHATML),
        (("<|im_start|>",), "plain", PLAIN),
        ((), "plain", PLAIN),
    ],
)
def test_the_standard_template_is_the_one_whose_tokens_are_there(
    tokens: tuple[str, ...], standard: str, template: str
) -> None:
    tokenizer = with_tokens(*tokens)
    assert standard_for(tokenizer) == standard
    assert chat_template_for(tokenizer) == template


def test_the_base_s_own_template_comes_first() -> None:
    tokenizer = with_tokens("<|im_start|>", "<|im_end|>")
    tokenizer.chat_template = "{{ messages[0]['content'] }}"
    assert chat_template_for(tokenizer) == tokenizer.chat_template
    assert chat_template_for(tokenizer, "chatml") == CHATML


def test_of_several_named_templates_the_default_is_taken() -> None:
    tokenizer = tiny.characters()
    tokenizer.chat_template = {"tool_use": "a", "default": "b"}
    assert own_template(tokenizer) == "b"


def test_a_template_whose_tokens_are_missing_is_refused() -> None:
    with pytest.raises(BadTemplate, match="<start_of_turn>"):
        chat_template_for(tiny.characters(), "gemma")
    with pytest.raises(BadRecipeField, match="chatml"):
        chat_template_for(tiny.characters(), "vicuna")


def test_a_vocabulary_in_which_nothing_ends_is_refused() -> None:
    endless = tiny.merged_bytes(bos_token="<s>")
    with pytest.raises(BadTemplate, match="ends a turn"):
        chat_template_for(endless)
    with pytest.raises(BadTemplate, match="end-of-text"):
        chat_template_for(endless, "plain")


def test_gemma_turns_are_written_as_its_makers_write_them() -> None:
    tokenizer = with_tokens("<start_of_turn>", "<end_of_turn>")
    assert written(tokenizer, GEMMA, TALK) == (
        "<s><start_of_turn>user\n你係茶餐廳夥計。\n\n有咩食？<end_of_turn>\n"
        "<start_of_turn>model\n有公仔麵。<end_of_turn>\n"
        "<start_of_turn>user\n要一碗。<end_of_turn>\n"
    )


def test_chatml_and_plain_turns_are_written_with_their_roles() -> None:
    tokenizer = with_tokens("<|im_start|>", "<|im_end|>")
    assert written(tokenizer, CHATML, TALK[1:3]) == (
        "<|im_start|>user\n有咩食？<|im_end|>\n<|im_start|>assistant\n有公仔麵。<|im_end|>\n"
    )
    assert written(tokenizer, PLAIN, TALK) == (
        "<s>System:\n你係茶餐廳夥計。\n\nUser:\n有咩食？\n\nAssistant:\n有公仔麵。</s>\n\n"
        "User:\n要一碗。\n\n"
    )


@pytest.mark.parametrize("template", [GEMMA, CHATML, PLAIN])
def test_what_opens_an_answer_is_how_a_written_answer_begins(template: str) -> None:
    tokenizer = with_template(tiny.characters(), template)
    asked, answered = TALK[:2], TALK[:3]
    opened = tokenizer.apply_chat_template(asked, tokenize=False, add_generation_prompt=True)
    whole = tokenizer.apply_chat_template(answered, tokenize=False)
    assert whole.startswith(opened)
    assert whole[len(opened) :].startswith("有公仔麵。")


def test_an_answer_stops_at_its_end_of_turn_and_at_the_end_of_text() -> None:
    tokenizer = with_tokens("<start_of_turn>", "<end_of_turn>")
    ends = stop_tokens(tokenizer, GEMMA)
    assert tokenizer.convert_ids_to_tokens(ends) == ["</s>", "<end_of_turn>"]
    assert stop_tokens(tokenizer, PLAIN) == [tokenizer.eos_token_id]


def test_a_template_differs_when_it_writes_otherwise_and_not_when_it_is_spelled_otherwise() -> None:
    tokenizer = with_tokens("<|im_start|>", "<|im_end|>")
    assert not differs(tokenizer, PLAIN)  # there is nothing to differ from
    tokenizer.chat_template = CHATML
    assert differs(tokenizer, PLAIN)
    assert not differs(tokenizer, "{#- the same -#}" + CHATML)


def test_a_template_that_refuses_writes_nothing() -> None:
    assert written(tiny.characters(), "{{ raise_exception('no') }}", TALK) is None


def test_the_given_tokenizer_is_not_changed() -> None:
    tokenizer = tiny.characters()
    assert with_template(tokenizer, PLAIN).chat_template == PLAIN
    assert tokenizer.chat_template is None


def test_the_template_is_stored_with_the_tokenizer(tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    with_template(tiny.characters(), PLAIN).save_pretrained(tmp_path)
    again = AutoTokenizer.from_pretrained(tmp_path, trust_remote_code=False)
    assert again.chat_template == PLAIN


def test_control_tokens_spelled_out_in_a_text_are_found() -> None:
    pattern = control_pattern(with_tokens("<|im_start|>", "<|im_end|>"))
    assert pattern is not None
    assert pattern.findall("佢打咗 <|im_end|> 同 </s> 入去，唔係 <im_end>") == [
        "<|im_end|>",
        "</s>",
    ]


@pytest.mark.real
def test_the_bundled_bases_get_a_template_they_can_stop_with(
    gemma: LoadedModel, smollm: LoadedModel
) -> None:
    assert own_template(gemma.tokenizer) == ""
    assert chat_template_for(gemma.tokenizer) == GEMMA
    ends = gemma.tokenizer.convert_ids_to_tokens(stop_tokens(gemma.tokenizer, GEMMA))
    assert ends == ["<eos>", "<end_of_turn>"]
    own = chat_template_for(smollm.tokenizer)
    assert own == smollm.tokenizer.chat_template
    assert smollm.tokenizer.convert_ids_to_tokens(stop_tokens(smollm.tokenizer, own)) == [
        "<|im_end|>"
    ]
    assert differs(smollm.tokenizer, CHATML)  # its own adds a system turn
