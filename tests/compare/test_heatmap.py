"""Two models over the same characters: no gap, no overlap, and the bits add up."""

from __future__ import annotations

import itertools
import math
import random
from typing import Any

import pytest
import torch

from tests import tiny
from tests.fakes import Shelf
from tests.independent import all_logits, nll_of_each_token
from workbench.compare.heatmap import (
    HeatMapRequest,
    Mapped,
    Surprise,
    contrasts,
    heat_maps,
    spans,
    surprise,
)
from workbench.compare.perplexity import PerplexityRequest, score
from workbench.errors import (
    ContextTooLong,
    EmptyText,
    InvalidRequest,
    NoOffsets,
    NoPrefixToken,
    Stopped,
    TextError,
)
from workbench.models.loader import LoadedModel
from workbench.models.pool import ModelPool
from workbench.models.reference import ModelReference
from workbench.settings import Settings
from workbench.texts import Text

TEXTS = [
    "佢哋搭𨋢上去,  食咗 two pies 😀👨‍👩‍👧!\n\n\tReally?  係呀。  \n",
    "   leading and trailing   ",
    "\n",
    "𨋢",
    "a\r\nb\u3000c\u00a0d\u2028e",
    "éè e\u0301 한국어 ไทย ﷽",
    "<s> </s> <|endoftext|> <bos>",
    "x" * 300,
]


def seen(loaded: LoadedModel, text: str, context: int | None = None) -> Surprise:
    return surprise(loaded, text, context, tiny.never())


def covered(cells: Any, text: str) -> None:
    """The cells are the text cut into pieces: each character in exactly one."""
    assert [cell.start for cell in cells] == [0, *(cell.end for cell in cells)][:-1]
    assert all(cell.start < cell.end for cell in cells)
    assert cells[-1].end == len(text)
    assert "".join(text[cell.start : cell.end] for cell in cells) == text


@pytest.mark.parametrize("text", TEXTS)
def test_the_cells_cover_every_character_once(any_tiny: LoadedModel, text: str) -> None:
    covered(seen(any_tiny, text).cells, text)


@pytest.mark.parametrize("text", TEXTS[:-1])
def test_the_bits_are_those_of_the_perplexity(any_tiny: LoadedModel, text: str) -> None:
    nats = math.fsum(nll_of_each_token(any_tiny, text))
    assert seen(any_tiny, text).bits == pytest.approx(nats / math.log(2), rel=1e-5)


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize(
    ("first", "second"), itertools.combinations(["by_characters", "by_bytes", "by_pairs"], 2)
)
def test_two_models_are_compared_over_the_same_characters(
    first: str, second: str, text: str, request: pytest.FixtureRequest
) -> None:
    here, there = (seen(request.getfixturevalue(name), text) for name in (first, second))
    found = contrasts(here, there)
    covered(found, text)
    assert math.fsum(one.first for one in found) == pytest.approx(here.bits, rel=1e-9)
    assert math.fsum(one.second for one in found) == pytest.approx(there.bits, rel=1e-9)


def test_a_contrast_is_per_character_and_signed(
    by_characters: LoadedModel, by_bytes: LoadedModel
) -> None:
    text = "abc 喎"
    here, there = seen(by_characters, text), seen(by_bytes, text)
    for one, other in zip(contrasts(here, there), contrasts(there, here), strict=True):
        assert one.per_character == -other.per_character
        assert one.per_character == (one.first - one.second) / (one.end - one.start)
    assert all(one.per_character == 0 for one in contrasts(here, here))


def test_a_cell_holds_the_bytes_of_one_character(by_bytes: LoadedModel) -> None:
    cells = seen(by_bytes, "a喎b").cells
    assert [(cell.start, cell.end, len(cell.tokens)) for cell in cells] == [
        (0, 1, 1),
        (1, 2, 3),
        (2, 3, 1),
    ]
    assert [guess.token for guess in cells[1].tokens] == ["⟨E5⟩", "⟨96⟩", "⟨8E⟩"]
    product = math.prod(guess.probability for guess in cells[1].tokens)
    assert cells[1].bits == pytest.approx(-math.log2(product))
    assert cells[1].bits_per_character == cells[1].bits


def test_a_long_text_is_mapped_through_windows(by_characters: LoadedModel) -> None:
    text = tiny.TEXT * 3
    wanted = math.fsum(nll_of_each_token(by_characters, text, 32, 16))
    assert seen(by_characters, text, 32).bits == pytest.approx(wanted / math.log(2), rel=1e-5)
    covered(seen(by_characters, text, 32).cells, text)


def test_hovering_shows_what_was_expected_instead(by_characters: LoadedModel) -> None:
    text = "聽日先話你知"
    best = torch.softmax(all_logits(by_characters, text), 1).topk(3)
    for cell, values, tokens in zip(
        seen(by_characters, text).cells, best.values, best.indices, strict=True
    ):
        assert [guess.probability for guess in cell.expected] == pytest.approx(
            values.tolist(), rel=1e-4
        )
        assert [guess.token for guess in cell.expected] == [
            by_characters.tokenizer.decode([token]) for token in tokens
        ]
        assert cell.tokens[0].token == text[cell.start : cell.end]


@pytest.mark.parametrize(
    ("offsets", "length", "wanted"),
    [
        ([(0, 1), (1, 2)], 2, [(0, 1, 0, 1), (1, 2, 1, 2)]),
        ([(0, 1), (0, 1), (0, 1), (1, 2)], 2, [(0, 1, 0, 3), (1, 2, 3, 4)]),
        ([(1, 2), (4, 5)], 6, [(0, 4, 0, 1), (4, 6, 1, 2)]),
        ([(0, 2), (1, 3), (3, 4)], 4, [(0, 3, 0, 2), (3, 4, 2, 3)]),
        ([(0, 0), (0, 3)], 3, [(0, 3, 0, 2)]),
        ([(0, 3), (3, 3), (3, 4)], 4, [(0, 3, 0, 2), (3, 4, 2, 3)]),
        ([(0, 3), (0, 0), (3, 4)], 4, [(0, 3, 0, 2), (3, 4, 2, 3)]),
        ([(0, 2), (2, 2)], 2, [(0, 2, 0, 2)]),
        ([(2, 2), (2, 3)], 3, [(0, 3, 0, 2)]),
    ],
)
def test_tokens_are_grouped_into_the_smallest_spans(
    offsets: list[tuple[int, int]], length: int, wanted: list[tuple[int, int, int, int]]
) -> None:
    assert spans(offsets, length) == wanted


@pytest.mark.parametrize("seed", range(30))
def test_spans_cover_everything_whatever_a_tokenizer_says(seed: int) -> None:
    draw = random.Random(seed)
    length, at, offsets = draw.randrange(1, 40), 0, []
    while at < length:
        end = min(length, at + draw.randrange(0, 4))
        offsets += [(at, end)] * draw.randrange(1, 3)
        at = end + draw.choice([0, 0, 0, 1])
    found = spans(offsets, length)
    assert [start for start, _, _, _ in found] == [0, *(end for _, end, _, _ in found)][:-1]
    assert found[-1][1] == length
    assert [first for _, _, first, _ in found] == [0, *(last for _, _, _, last in found)][:-1]
    assert found[-1][3] == len(offsets)
    assert all(start < end for start, end, _, _ in found)


# What is asked


def test_one_or_two_models_and_some_text() -> None:
    one = ModelReference.parse("a/b")
    for models in ((), (one, one, one)):
        with pytest.raises(InvalidRequest):
            HeatMapRequest(models, "text")
    with pytest.raises(EmptyText):
        HeatMapRequest((one,), "  \n")
    with pytest.raises(TextError, match=r"4,?000"):
        HeatMapRequest((one,), "x" * 4001)


def test_models_that_cannot_be_mapped_say_why(by_characters: LoadedModel) -> None:
    class Slow:
        is_fast = False

    with pytest.raises(NoOffsets):
        seen(tiny.in_memory(by_characters.model, Slow()), "x")
    tokenizer = tiny.merged_bytes()
    with pytest.raises(NoPrefixToken):
        seen(tiny.in_memory(tiny.network(tokenizer), tokenizer), "x")
    with pytest.raises(ContextTooLong):
        seen(by_characters, "x", 1000)


def test_a_stop_is_heard(by_characters: LoadedModel) -> None:
    stop = tiny.never()
    stop.set()
    with pytest.raises(Stopped):
        surprise(by_characters, "abc", None, stop)


def test_maps_come_one_after_the_other_and_free_their_models(
    tiny_model: Any, tiny_bytes: Any, by_characters: LoadedModel, by_bytes: LoadedModel
) -> None:
    models = {f"file:{tiny_model}": by_characters, f"file:{tiny_bytes}": by_bytes}
    references = tuple(map(ModelReference.parse, models))
    pool = ModelPool(Settings(), loader=Shelf(models))
    request = HeatMapRequest(references, "佢話 ok", "fp32")
    events = list(heat_maps(request, pool, tiny.never()))
    maps = [event.surprise for event in events if isinstance(event, Mapped)]
    assert [one.model for one in maps] == list(models)
    for reference in references:
        pool.unload(reference, "fp32")
    assert pool.loaded() == []


@pytest.mark.real
@pytest.mark.parametrize("text", TEXTS)
def test_the_bundled_models_score_exactly_the_same_characters(
    gemma: LoadedModel, smollm: LoadedModel, text: str
) -> None:
    maps = [seen(loaded, text) for loaded in (gemma, smollm)]
    for loaded, found in zip((gemma, smollm), maps, strict=True):
        covered(found.cells, text)
        if text.strip():
            asked = PerplexityRequest((loaded.reference,), Text("a text", (text,)))
            nats = tiny.finish(score(loaded, asked, tiny.never()))[1].nll_nats
            assert found.bits == pytest.approx(nats / math.log(2), rel=1e-6)
    found = contrasts(*maps)
    covered(found, text)
    assert math.fsum(one.first for one in found) == pytest.approx(maps[0].bits)
    assert math.fsum(one.second for one in found) == pytest.approx(maps[1].bits)
