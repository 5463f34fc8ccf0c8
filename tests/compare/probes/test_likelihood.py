"""Log-likelihoods of continuations: what a plain pass over everything gives, whatever the batch."""

from __future__ import annotations

import math
from typing import Any

import pytest

from tests import tiny
from workbench.compare.probes.likelihood import Continued, Judge, after, alone
from workbench.errors import ContextTooLong, Stopped
from workbench.models.loader import LoadedModel

QUESTIONS = ("佢哋今日去咗邊度", "The quick", "聽日先話你知啦", "呀")
OPTIONS = ("食嘢", "食嘢呀?", " fox jumps", "我", "唔知喎, 聽日")


def plainly(loaded: LoadedModel, one: Continued) -> list[float]:
    """One sequence alone, all logits, the usual log-softmax."""
    import torch

    ids = torch.tensor([[*one.context, *one.scored]])
    with torch.inference_mode():
        logits = loaded.model(ids[:, :-1]).logits[0].float().log_softmax(-1)
    chosen = logits[len(one.context) - 1 :].gather(1, torch.tensor(one.scored)[:, None])
    values: list[float] = chosen[:, 0].tolist()
    return values


def asked(loaded: LoadedModel) -> list[Continued]:
    return [after(loaded, question, option) for question in QUESTIONS for option in OPTIONS]


def test_each_token_is_scored_as_in_a_plain_pass(any_tiny: LoadedModel) -> None:
    judge = Judge(any_tiny)
    _, found = tiny.finish(judge.score(asked(any_tiny), tiny.never()))
    assert judge.reuses is True
    for one in asked(any_tiny):
        assert found[one] == pytest.approx(plainly(any_tiny, one), abs=1e-4)


@pytest.mark.parametrize("kind", ["Gemma3Text", "Mistral", "Qwen2", "GPTNeoX", "Mamba"])
def test_other_architectures_agree_too(kind: str) -> None:
    """A sliding window shorter than the question, and one without keys and values to share."""
    tokenizer = tiny.characters()
    odd: dict[str, dict[str, Any]] = {
        "Gemma3Text": {"sliding_window": 4, "head_dim": 8, "num_hidden_layers": 3},
        "Mistral": {"sliding_window": 4},
        "Mamba": {"state_size": 4},
    }
    loaded = tiny.in_memory(tiny.network(tokenizer, kind, **odd.get(kind, {})), tokenizer, kind)
    judge = Judge(loaded)
    _, found = tiny.finish(judge.score(asked(loaded), tiny.never()))
    for one in asked(loaded):
        assert found[one] == pytest.approx(plainly(loaded, one), abs=1e-3)


def test_a_cache_that_lies_is_found_out_and_not_used(
    by_characters: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    judge = Judge(by_characters)
    honest = judge._scorer.read

    def forgetful(ids: Any, **options: Any) -> Any:
        if "past_key_values" in options:
            options["position_ids"] = options["position_ids"] * 0
        return honest(ids, **options)

    monkeypatch.setattr(judge._scorer, "read", forgetful)
    _, found = tiny.finish(judge.score(asked(by_characters), tiny.never()))
    assert judge.reuses is False
    for one in asked(by_characters):
        assert found[one] == pytest.approx(plainly(by_characters, one), abs=1e-4)


def test_spaces_between_belong_to_the_continuation(by_characters: LoadedModel) -> None:
    assert after(by_characters, "The quick  ", "fox") == after(by_characters, "The quick", "  fox")


def test_an_option_that_melts_into_the_context_is_still_scored(by_pairs: LoadedModel) -> None:
    tokenizer = by_pairs.tokenizer
    vocabulary = sorted(tokenizer.get_vocab(), key=len)
    merged = next(
        text
        for token in reversed(vocabulary)
        if len(text := tokenizer.convert_tokens_to_string([token])) == 2 and text.isascii()
        if len(tokenizer.encode(text)) == 1 and len(tokenizer.encode(text[0])) == 1
        if not text[0].isspace()
    )
    one = after(by_pairs, merged[0], merged[1])
    assert one.scored
    assert one.context


def test_a_long_context_loses_its_beginning(by_characters: LoadedModel) -> None:
    one = after(by_characters, "食" * 400, "呀?")
    assert len(one) == 257
    assert len(one.scored) == 2
    _, found = tiny.finish(Judge(by_characters).score([one], tiny.never()))
    assert all(map(math.isfinite, found[one]))
    with pytest.raises(ContextTooLong):
        alone(by_characters, "食" * 400)


def test_stop_is_heard(by_characters: LoadedModel) -> None:
    stop = tiny.never()
    work = Judge(by_characters).score([alone(by_characters, "食" * n) for n in range(1, 90)], stop)
    next(work)
    stop.set()
    with pytest.raises(Stopped):
        next(work)
