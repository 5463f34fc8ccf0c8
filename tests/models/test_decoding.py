"""Text that grows token by token is the text of all tokens, without a broken character."""

from __future__ import annotations

import itertools
import random
from typing import Any

import pytest

from tests import tiny
from workbench.models.decoding import GrowingText, Streamer, decode, reserved_of
from workbench.models.loader import LoadedModel
from workbench.models.reference import ModelReference
from workbench.models.sampling import SamplingOptions
from workbench.models.tokenizer import bring_tokenizer
from workbench.settings import Settings

HARD = "👩‍👩‍👧 食𨋢𠺢飯 🇭🇰 café é\n한국어 👍🏽 ok"
"""Joined emoji, characters outside the first plane, flags, marks that combine."""


class Counting:
    """A tokenizer that counts how many tokens it was asked to decode."""

    def __init__(self, inner: Any) -> None:
        self.inner, self.decoded = inner, 0
        self.all_special_ids = inner.all_special_ids

    def decode(self, tokens: list[int], **options: Any) -> str:
        self.decoded += len(tokens)
        return str(self.inner.decode(tokens, **options))


def grown(tokenizer: Any, tokens: list[int]) -> list[str]:
    text = GrowingText(tokenizer)
    return [text.add(token) for token in tokens]


def byte_fallback() -> Any:
    """As Gemma and Llama have it: characters, and a token for every byte of those unknown."""
    from tokenizers import Tokenizer, decoders, models
    from transformers import PreTrainedTokenizerFast

    pieces = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256)), *"▁ok食飯caf"]
    inner = Tokenizer(
        models.BPE({piece: at for at, piece in enumerate(pieces)}, [], byte_fallback=True,
                   unk_token="<unk>")
    )  # fmt: skip
    inner.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(),
         decoders.Strip(" ", 1, 0)]
    )  # fmt: skip
    return PreTrainedTokenizerFast(
        tokenizer_object=inner, bos_token="<s>", eos_token="</s>", unk_token="<unk>"
    )


@pytest.mark.parametrize("make", [tiny.single_bytes, tiny.merged_bytes, byte_fallback])
def test_characters_split_across_tokens_come_whole(make: Any) -> None:
    tokenizer = make()
    tokens = tokenizer(HARD, add_special_tokens=False)["input_ids"]
    steps = grown(tokenizer, tokens)
    assert steps[-1] == tokenizer.decode(tokens, clean_up_tokenization_spaces=False)
    for before, after in itertools.pairwise(steps):
        assert after.startswith(before)
    assert not any("\ufffd" in step for step in steps)
    assert all(HARD.startswith(step) for step in steps)


@pytest.mark.real
@pytest.mark.parametrize("name", ["gemma-3-270m", "smollm2-135m-instruct"])
def test_characters_split_across_tokens_of_a_real_tokenizer_come_whole(
    name: str, real_settings: Settings
) -> None:
    work = bring_tokenizer(ModelReference("bundled", name), real_settings, tiny.never())
    tokenizer = tiny.finish(work)[1]
    tokens = tokenizer(HARD, add_special_tokens=False)["input_ids"]
    steps = grown(tokenizer, tokens)
    assert steps[-1] == tokenizer.decode(tokens, clean_up_tokenization_spaces=False) == HARD
    assert all(HARD.startswith(step) for step in steps)
    assert len(tokens) > len(set(steps))  # some tokens hold only a part of a character


def test_a_space_that_a_tokenizer_drops_at_the_beginning_is_dropped_once() -> None:
    tokenizer = byte_fallback()
    tokens = tokenizer.convert_tokens_to_ids(["▁", "o", "k", "▁", "食", "▁", "▁", "飯"])
    assert grown(tokenizer, tokens)[-1] == "ok 食  飯" == tokenizer.decode(tokens)


@pytest.mark.parametrize("seed", range(20))
def test_bytes_that_are_no_text_end_as_the_tokenizer_would_have_them(seed: int) -> None:
    tokenizer = tiny.single_bytes()
    tokens = random.Random(seed).choices(range(256), k=120)
    wanted = tokenizer.decode(tokens, clean_up_tokenization_spaces=False).rstrip("\ufffd")
    assert grown(tokenizer, tokens)[-1] == wanted


def test_bytes_that_never_become_a_character_do_not_pile_up() -> None:
    tokenizer = Counting(tiny.single_bytes())
    lead = tokenizer.inner.convert_tokens_to_ids("ð")  # 0xF0, the first of four bytes
    grown(tokenizer, [lead] * 400)
    assert tokenizer.decoded < 400 * 2 * GrowingText.MOST_HELD


def test_each_token_costs_the_same_however_long_the_text_is() -> None:
    tokenizer = Counting(tiny.characters())
    grown(tokenizer, tokenizer.inner("食" * 50)["input_ids"])
    short = tokenizer.decoded
    tokenizer.decoded = 0
    grown(tokenizer, tokenizer.inner("食" * 500)["input_ids"])
    assert tokenizer.decoded <= 10.5 * short


def test_a_row_that_ended_hears_no_more() -> None:
    import torch

    tokenizer = tiny.characters()
    heard: list[tuple[int, str]] = []
    streamer = Streamer(tokenizer, 2, [], lambda row, text: heard.append((row, text)))
    streamer.put(torch.zeros(2, 3, dtype=torch.long))
    a, b = tokenizer.convert_tokens_to_ids(["a", "b"])
    for step in ([a, tokenizer.eos_token_id], [b, b], [a, a]):
        streamer.put(torch.tensor(step))
    assert heard == [(0, "a"), (0, "ab"), (0, "aba")]
    rows = streamer.rows()
    assert [(row.text, row.tokens, row.ended) for row in rows] == [("aba", 3, False), ("", 0, True)]


def test_rows_are_timed_by_their_own_tokens(by_characters: LoadedModel) -> None:
    ids = by_characters.tokenizer("佢")["input_ids"]
    rows, seconds = decode(by_characters, [ids] * 2, SamplingOptions(12), tiny.never())
    for row in rows:
        assert 0 < row.first <= row.seconds <= seconds


def test_the_same_seed_for_every_row_gives_every_row_the_same_text(
    by_characters: LoadedModel,
) -> None:
    ids = by_characters.tokenizer("佢")["input_ids"]
    rows, _ = decode(by_characters, [ids] * 3, SamplingOptions(12), tiny.never(), seeds=[4] * 3)
    alone, _ = decode(by_characters, [ids], SamplingOptions(12, seed=4), tiny.never())
    assert [row.text for row in rows] == [alone[0].text] * 3


def test_places_kept_free_in_a_vocabulary_are_never_written() -> None:
    tokenizer = tiny.characters()
    tokenizer.add_tokens(["<unused7>", "<|reserved_special_token_3|>", "<used>"])
    model = tiny.network(tokenizer)
    loaded = tiny.in_memory(model, tokenizer)
    free = tokenizer.convert_tokens_to_ids(["<unused7>", "<|reserved_special_token_3|>"])
    assert reserved_of(tokenizer) == sorted(free)
    seen: set[str] = set()
    for temperature in (0, 5):  # at 5 nearly every token is as likely as any other
        options = SamplingOptions(max_new_tokens=200, temperature=temperature, top_k=0, top_p=1)
        rows, _ = decode(loaded, [tokenizer.encode("佢哋")] * 16, options, tiny.never())
        text = "".join(row.text for row in rows)
        seen |= {name for name in ("<unused7>", "reserved", "<used>") if name in text}
    assert seen == {"<used>"}
