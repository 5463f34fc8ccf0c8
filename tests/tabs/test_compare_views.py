"""What the Compare tab says of results: the right verdict, and nobody's markup."""

from __future__ import annotations

import math

from tabs._compare_views import heatmap_view, perplexity_view, writing_view
from workbench.compare.continuation import Place, Token, Written
from workbench.compare.heatmap import Cell, Guess, Surprise, contrasts
from workbench.compare.perplexity import PerplexityResult

EVIL = "<img src=x onerror=alert(1)>"


def result(
    model: str, bits: list[float], tokens: int = 100, unknown: int = 0, size: int = 10
) -> PerplexityResult:
    nll = tuple(value * size * math.log(2) for value in bits)
    return PerplexityResult(
        model=model, precision="bf16", nll_nats=sum(nll), scored_tokens=tokens,
        characters=size * len(bits), bytes=3 * size * len(bits), seconds=1.0,
        peak_memory_bytes=10**9, context=1024, stride=512, unknown_tokens=unknown,
        document_nll=nll, document_characters=(size,) * len(bits),
    )  # fmt: skip


def test_a_clear_difference_is_called_clear() -> None:
    good, bad = result("a/good", [5.0, 5.2] * 10), result("a/bad", [8.0, 8.3] * 10)
    drawn = perplexity_view("en", [bad, good], set())
    assert "good predicts this text best: 5.10 bits per character, against 8.15 for bad" in drawn
    assert drawn.index('data-model="a/good"') < drawn.index('data-model="a/bad"')


def test_a_difference_within_the_noise_is_not() -> None:
    one, other = result("a/one", [5.0, 7.0] * 10), result("a/other", [7.0, 5.02] * 10)
    assert "cannot be told apart" in perplexity_view("en", [one, other], set())


def test_too_few_documents_have_no_interval() -> None:
    drawn = perplexity_view("en", [result("a/one", [5.0]), result("a/other", [7.0])], set())
    assert "No interval" in drawn
    assert "95%:" not in drawn


def test_different_tokenizers_are_warned_of_only_when_they_differ() -> None:
    same = perplexity_view("en", [result("a/x", [5.0] * 20), result("a/y", [6.0] * 20)], set())
    assert "token perplexities cannot be compared" not in same
    fine = result("a/y", [6.0] * 20, tokens=1000)
    misled = perplexity_view("en", [result("a/x", [5.0] * 20), fine], set())
    assert "Do not go by token perplexity here" in misled


def test_unknown_tokens_are_told() -> None:
    assert "does not know 7" in perplexity_view("en", [result("a/x", [5.0], unknown=7)], set())


def test_the_heat_map_shows_the_whole_text_escaped() -> None:
    cells = (
        Cell(0, 5, 3.0, (Guess(EVIL, 0.5),), (Guess("b", 0.9),)),
        Cell(5, len(EVIL), 9.0, (Guess("c", 0.1),), (Guess("d", 0.2),)),
    )
    one = Surprise("a/one", "one", cells)
    two = Surprise("a/two", "two", (Cell(0, len(EVIL), 10.0, (), ()),))
    drawn = heatmap_view("en", EVIL, [one, two], contrasts(one, two))
    assert "<img" not in drawn
    assert "one: 12.0 bits" in drawn
    assert "two: 10.0 bits" in drawn


def test_what_models_write_is_never_markup() -> None:
    place = Place("a/b", 0, 0)
    done = Written(place, EVIL, 3, 1.0, 3.0, "other", "ff" * 32)
    for sample in (Token(place, EVIL), done):
        drawn = writing_view("en", [EVIL], ["a/b"], {("a/b", 0, 0): sample})
        assert "<img" not in drawn
        assert "&lt;img" in drawn
