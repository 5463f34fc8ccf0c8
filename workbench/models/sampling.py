"""How the next token is chosen, with randomness that belongs to one sample only.

transformers' own processors bend the distribution; the draw is made with the
Gumbel-max trick (Gumbel 1954; argmax of logits plus Gumbel noise is a sample from
their softmax) from a generator per row, so that the same seed gives the same text
whatever else is running.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from workbench.errors import OutOfRange


@dataclass(frozen=True)
class SamplingOptions:
    """Sampling as the field knows it."""

    max_new_tokens: int = 96
    temperature: float = 0.9
    """0 takes the likeliest token every time."""
    top_k: int = 50
    """0 switches it off."""
    top_p: float = 0.95
    min_p: float = 0.0
    repetition_penalty: float = 1.2
    """1 switches it off."""
    seed: int = 1
    samples: int = 1

    def __post_init__(self) -> None:
        rules: list[tuple[str, float, float, float]] = [
            ("max_new_tokens", self.max_new_tokens, 1, 4096),
            ("temperature", self.temperature, 0, 5),
            ("top_k", self.top_k, 0, 1_000_000),
            ("top_p", self.top_p, 0.01, 1),
            ("min_p", self.min_p, 0, 0.99),
            ("repetition_penalty", self.repetition_penalty, 0.5, 3),
            ("seed", self.seed, 0, 2**32 - 1),
            ("samples", self.samples, 1, 8),
        ]
        for field, value, low, high in rules:
            if not isinstance(value, int | float) or not low <= value <= high:
                raise OutOfRange(field=field, value=value, low=low, high=high)


# The Cantonese series' own settings, greedy decoding, and two others that people use.
PRESETS = {
    "series": SamplingOptions(),
    "greedy": SamplingOptions(temperature=0, top_k=0, top_p=1, repetition_penalty=1),
    "gentle": SamplingOptions(temperature=0.7, top_k=0, top_p=0.9, repetition_penalty=1.1),
    "min-p": SamplingOptions(temperature=1, top_k=0, top_p=1, min_p=0.08, repetition_penalty=1.05),
}


def processors(
    options: SamplingOptions,
    rows: int | None = None,
    seeds: Sequence[int] | None = None,
    never: Sequence[int] = (),
) -> Any:
    """The chain for ``generate(do_sample=False)``: bend, cut, then draw.

    Args:
        rows: of the batch; as many as there are samples when not told.
        seeds: of each row; row ``i`` has the options' own plus ``i`` when not told.
        never: tokens that are not to be written.
    """
    from transformers import (
        LogitsProcessorList,
        MinPLogitsWarper,
        RepetitionPenaltyLogitsProcessor,
        TemperatureLogitsWarper,
        TopKLogitsWarper,
        TopPLogitsWarper,
    )

    chain = LogitsProcessorList()  # whose parts refuse a whole number, which a slider gives
    if never:
        chain.append(without(never))
    if options.repetition_penalty != 1:
        chain.append(RepetitionPenaltyLogitsProcessor(float(options.repetition_penalty)))
    if options.temperature == 0:
        return chain
    if options.temperature != 1:
        chain.append(TemperatureLogitsWarper(float(options.temperature)))
    if options.top_k:
        chain.append(TopKLogitsWarper(options.top_k))
    if options.top_p < 1:
        chain.append(TopPLogitsWarper(float(options.top_p)))
    if options.min_p:
        chain.append(MinPLogitsWarper(float(options.min_p)))
    chain.append(
        seeded_draw(seeds or [options.seed + row for row in range(rows or options.samples)])
    )
    return chain


def without(tokens: Sequence[int]) -> Any:
    """A processor that leaves tokens out (transformers' own compares all of the vocabulary)."""
    import torch
    from transformers import LogitsProcessor

    class Without(LogitsProcessor):
        def __init__(self) -> None:
            self.ids = torch.tensor(tokens)

        def __call__(self, _input_ids: Any, scores: Any) -> Any:
            self.ids = self.ids.to(scores.device)
            return scores.index_fill(1, self.ids, -torch.inf)

    return Without()


def seeded_draw(seeds: Sequence[int]) -> Any:
    """A processor that adds Gumbel noise; each row draws from a generator of its own."""
    import torch
    from transformers import LogitsProcessor

    class SeededDraw(LogitsProcessor):
        def __init__(self) -> None:
            self.generators = [torch.Generator().manual_seed(seed) for seed in seeds]

        def __call__(self, _input_ids: Any, scores: Any) -> Any:
            uniform = torch.stack(
                [torch.rand(scores.shape[1], generator=own) for own in self.generators]
            )
            noise = -torch.log(-torch.log(uniform.clamp_(1e-20, 1 - 1e-7)))
            return scores.float() + noise.to(scores.device)

    return SeededDraw()
