"""Logits taken apart give what the whole gives, for every kind of head, or are not taken apart."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, LlamaForCausalLM

from tests import tiny
from tests.independent import all_logits, nll_of_each_token
from workbench.compare.scoring import Scorer, Scores
from workbench.models.loader import LoadedModel

ARCHITECTURES: dict[str, dict[str, Any]] = {
    "Llama": {},
    "Mistral": {"sliding_window": 8},
    "Qwen2": {"tie_word_embeddings": True},
    "Gemma2": {"head_dim": 8, "final_logit_softcapping": 3.0, "sliding_window": 8},
    "Gemma3Text": {"head_dim": 8, "sliding_window": 8},
    "Cohere": {"logit_scale": 0.25},
    "Granite": {"logits_scaling": 4.0},
    "GPTNeoX": {},
    "GPT2": {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 256},
    "Phi": {},
}


def scored(loaded: LoadedModel, text: str, top: int = 0) -> Scores:
    ids = loaded.tokenizer(text, add_special_tokens=False)["input_ids"]
    columns = torch.arange(len(ids))
    return Scorer(loaded).score(
        torch.tensor([[loaded.prefix_token, *ids]]),
        (torch.zeros_like(columns), columns),
        torch.tensor(ids),
        top=top,
    )


def made(kind: str, **changes: Any) -> LoadedModel:
    tokenizer = tiny.characters()
    return tiny.in_memory(tiny.network(tokenizer, kind, **changes), tokenizer)


@pytest.mark.parametrize("kind", ARCHITECTURES)
def test_every_architecture_is_scored_as_it_scores_itself(kind: str) -> None:
    loaded = made(kind, **ARCHITECTURES[kind])
    assert Scorer(loaded).split
    wanted = torch.tensor(nll_of_each_token(loaded, tiny.TEXT), dtype=torch.float64)
    assert torch.allclose(scored(loaded, tiny.TEXT).nll, wanted, rtol=1e-5, atol=1e-5)
    assert wanted.std() > 0.05  # a model that expects everything alike would prove nothing


def test_a_vocabulary_of_several_blocks_is_added_up() -> None:
    tokenizer = tiny.characters()
    loaded = tiny.in_memory(tiny.network(tokenizer, vocab_size=20_000), tokenizer)
    wanted = torch.tensor(nll_of_each_token(loaded, "多啲block"), dtype=torch.float64)
    assert torch.allclose(scored(loaded, "多啲block").nll, wanted, rtol=1e-5, atol=1e-5)


def test_more_positions_than_a_block_has_rows() -> None:
    loaded = made("Llama", max_position_embeddings=2048)
    text = tiny.TEXT * 12
    assert len(text) > 512
    logits = all_logits(loaded, text)
    ids = torch.tensor(loaded.tokenizer(text, add_special_tokens=False)["input_ids"])
    wanted = -torch.log_softmax(logits, 1).gather(1, ids[:, None])[:, 0]
    assert torch.allclose(scored(loaded, text).nll, wanted, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("rows", [100, 9000, 20_000])
def test_what_was_expected_instead_is_the_top_of_the_whole_softmax(rows: int) -> None:
    tokenizer = tiny.characters()
    loaded = tiny.in_memory(tiny.network(tokenizer, vocab_size=max(rows, 200)), tokenizer)
    found = scored(loaded, tiny.TEXT, top=5)
    best = torch.log_softmax(all_logits(loaded, tiny.TEXT), 1).topk(5)
    assert torch.equal(found.best_tokens, best.indices)
    assert torch.allclose(found.best_nll, -best.values, rtol=1e-5, atol=1e-5)


def test_numbers_are_float64_and_on_the_cpu(by_characters: LoadedModel) -> None:
    found = scored(by_characters, "abc", top=2)
    assert found.nll.dtype == found.best_nll.dtype == torch.float64
    assert found.nll.device.type == "cpu"
    assert found.best_tokens.shape == found.best_nll.shape == (3, 2)
    assert scored(by_characters, "abc").best_tokens is None


class Mirrored(LlamaForCausalLM):
    """Does something to the logits that no configuration tells of."""

    def forward(self, *args: Any, **options: Any) -> Any:
        output = super().forward(*args, **options)
        output.logits = output.logits.flip(-1)
        return output


class Sharpened(LlamaForCausalLM):
    """Changes the logits a little only, which would be easy to overlook."""

    def forward(self, *args: Any, **options: Any) -> Any:
        output = super().forward(*args, **options)
        output.logits = output.logits * 1.03
        return output


@pytest.mark.parametrize("kind", [Mirrored, Sharpened])
def test_a_model_that_cannot_be_taken_apart_is_used_whole(kind: type[LlamaForCausalLM]) -> None:
    tokenizer = tiny.characters()
    odd = kind(tiny.network(tokenizer).config).eval()
    loaded = tiny.in_memory(odd, tokenizer)
    assert not Scorer(loaded).split
    wanted = torch.tensor(nll_of_each_token(loaded, tiny.TEXT), dtype=torch.float64)
    found = scored(loaded, tiny.TEXT, top=3)
    assert torch.allclose(found.nll, wanted, rtol=1e-5, atol=1e-5)
    best = torch.log_softmax(all_logits(loaded, tiny.TEXT), 1).topk(3)
    assert torch.equal(found.best_tokens, best.indices)
    assert torch.allclose(found.best_nll, -best.values, rtol=1e-5, atol=1e-5)


class Halved(torch.nn.Linear):
    """A head that is not a plain linear layer, as quantized and adapted ones are not."""

    def forward(self, hidden: Any) -> Any:
        return super().forward(hidden) / 2


def test_a_head_of_another_kind_is_called_and_not_cut_up() -> None:
    loaded = made("Llama")
    head = Halved(32, len(loaded.tokenizer), bias=False)
    head.weight = loaded.model.lm_head.weight
    loaded.model.lm_head = head
    assert Scorer(loaded).split
    wanted = torch.tensor(nll_of_each_token(loaded, tiny.TEXT), dtype=torch.float64)
    assert torch.allclose(scored(loaded, tiny.TEXT).nll, wanted, rtol=1e-5, atol=1e-5)


def test_a_head_with_a_bias_is_added_in_every_block() -> None:
    tokenizer = tiny.characters()
    model = tiny.network(tokenizer, vocab_size=20_000)
    head = torch.nn.Linear(32, 20_000)
    torch.nn.init.normal_(head.bias)
    model.lm_head = head
    loaded = tiny.in_memory(model.requires_grad_(False), tokenizer)
    wanted = torch.tensor(nll_of_each_token(loaded, "bias"), dtype=torch.float64)
    assert torch.allclose(scored(loaded, "bias").nll, wanted, rtol=1e-5, atol=1e-5)


def test_an_adapter_is_scored_as_peft_runs_it(tiny_model: Any, tiny_adapter: Any) -> None:
    from peft import PeftModel

    base = AutoModelForCausalLM.from_pretrained(tiny_model, dtype=torch.float32).eval()
    plain = scored(tiny.in_memory(base, tiny.characters()), tiny.TEXT).nll
    adapted = tiny.in_memory(PeftModel.from_pretrained(base, tiny_adapter), tiny.characters())
    assert Scorer(adapted).split
    found = scored(adapted, tiny.TEXT).nll
    wanted = torch.tensor(nll_of_each_token(adapted, tiny.TEXT), dtype=torch.float64)
    assert torch.allclose(found, wanted, rtol=1e-5, atol=1e-5)
    merged = tiny.in_memory(adapted.model.merge_and_unload(), tiny.characters())
    assert torch.allclose(found, scored(merged, tiny.TEXT).nll, rtol=1e-4, atol=1e-4)
    assert (found - plain).abs().max() > 0.5


def test_padding_on_the_right_changes_nothing(by_characters: LoadedModel) -> None:
    ids = by_characters.tokenizer(tiny.TEXT, add_special_tokens=False)["input_ids"][:20]
    row = torch.tensor([[by_characters.prefix_token, *ids]])
    columns = torch.arange(len(ids))
    places = (torch.zeros_like(columns), columns)
    scorer = Scorer(by_characters)
    alone = scorer.score(row, places, torch.tensor(ids)).nll
    longer = torch.nn.functional.pad(row, (0, 30), value=by_characters.prefix_token)
    assert torch.allclose(
        scorer.score(longer, places, torch.tensor(ids)).nll, alone, rtol=1e-5, atol=1e-5
    )


@pytest.mark.real
@pytest.mark.parametrize("name", ["gemma", "smollm"])
def test_the_bundled_models_can_be_taken_apart(name: str, request: pytest.FixtureRequest) -> None:
    assert Scorer(request.getfixturevalue(name)).split
