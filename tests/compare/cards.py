"""Scorecards made by hand, for tests of what is drawn and concluded."""

from __future__ import annotations

import math
from dataclasses import replace

from workbench.compare.columns import SETS, Measures
from workbench.compare.continuation import Place, Written
from workbench.compare.perplexity import PerplexityResult
from workbench.compare.probes.results import ItemResult, ProbeResult
from workbench.compare.scorecard import Scorecard, ScorecardRequest
from workbench.compare.tokenizers import Cut, Rate
from workbench.models.reference import ModelReference

EVIL = "<img src=x onerror=alert(1)>|`*"


def fluency(model: str, bits: list[float], size: int = 10) -> PerplexityResult:
    nll = tuple(value * size * math.log(2) for value in bits)
    return PerplexityResult(
        model=model, precision="bf16", nll_nats=sum(nll), scored_tokens=100,
        characters=size * len(bits), bytes=3 * size * len(bits), seconds=1.0,
        peak_memory_bytes=10**9, context=1024, stride=512, unknown_tokens=0,
        document_nll=nll, document_characters=(size,) * len(bits),
    )  # fmt: skip


def measures(model: str, bits: float = 6.0, right: float = 0.5, items: int = 60) -> Measures:
    """A model that predicts this well and has this share right of every set."""
    answered = tuple(
        ItemResult(f"i{number}", float(number < right * items), f"said {number}")
        for number in range(items)
    )
    probes = {
        name: ProbeResult(model, "bf16", "ab" * 32, name, "choice", answered)
        for name in SETS.values()
    }
    writing = tuple(
        Written(
            Place(model, number // 2, number % 2), f"寫咗 {number}", 10, 2.0, 10.0,
            "cantonese" if number < right * 24 else "other", "ab" * 32,
        )
        for number in range(24)
    )  # fmt: skip
    rate = Rate(1000, round(1000 / bits))
    return Measures(
        model=model,
        precision="bf16",
        fingerprint="ab" * 32,
        fluency=fluency(model, [bits + 0.1 * (number % 3) for number in range(20)]),
        writing=writing,
        probes=probes,
        cut=Cut(model, 300, 256, (), rate, {"cantonese": rate}, {}),
        memory_bytes=int(bits * 1e8),
    )


def card(*measured: Measures) -> Scorecard:
    models = tuple(ModelReference.parse(one.model) for one in measured)
    return Scorecard(ScorecardRequest(models), measured)


def evil_card() -> Scorecard:
    """Markup wherever a model, a file or a person can put some."""
    one = measures("a/one")
    bad = tuple(replace(written, text=EVIL) for written in one.writing)
    hostile = replace(one, writing=bad, failures=(EVIL,))
    made = card(hostile, measures("file:/tmp/<b>x</b>"))
    text = replace(made.request.text, name=EVIL)
    return replace(made, request=replace(made.request, prompts=(EVIL,) * 12, text=text))
