"""Where in a text is a model surprised, and where do two models differ?

Tokens of different tokenizers do not line up; characters do. Each model's bits are
laid on the characters its tokens cover, and two models are compared over the
smallest spans that begin and end at token borders of both. This module does not
know colours.
"""

from __future__ import annotations

import itertools
import math
import threading
from collections.abc import Generator, Sequence
from dataclasses import dataclass

from workbench.compare.perplexity import window_size
from workbench.compare.scoring import Scorer
from workbench.compare.windows import windows
from workbench.errors import (
    NoModel,
    NoOffsets,
    NoPrefixToken,
    NoText,
    OutOfMemory,
    Stopped,
    TooLongForMap,
    TooManyModels,
)
from workbench.events import Progress
from workbench.models.device import Precision, default_precision, is_out_of_memory
from workbench.models.loader import LoadedModel
from workbench.models.pool import ModelPool
from workbench.models.reference import ModelReference
from workbench.models.tokenizer import readable_token

MOST_CHARACTERS = 4000
ALTERNATIVES = 3


@dataclass(frozen=True)
class HeatMapRequest:
    """Two models (or one) and a short text."""

    models: tuple[ModelReference, ...]
    text: str
    precision: Precision | None = None
    context: int | None = None

    def __post_init__(self) -> None:
        if not self.models:
            raise NoModel
        if len(self.models) > 2:
            raise TooManyModels(count=len(self.models), most=2)
        if not self.text.strip():
            raise NoText
        if len(self.text) > MOST_CHARACTERS:
            raise TooLongForMap(characters=len(self.text), limit=MOST_CHARACTERS)


@dataclass(frozen=True)
class Guess:
    """A token the model held possible, and how likely."""

    token: str
    probability: float


@dataclass(frozen=True)
class Cell:
    """The smallest span ``start:end`` of characters that whole tokens cover."""

    start: int
    end: int
    bits: float
    """Surprise of the whole span: minus log2 of its probability."""
    tokens: tuple[Guess, ...]
    """The tokens it is made of, each with the probability it was given."""
    expected: tuple[Guess, ...]
    """What the model held likeliest where the span begins."""

    @property
    def bits_per_character(self) -> float:
        return self.bits / max(1, self.end - self.start)


@dataclass(frozen=True)
class Surprise:
    """One model's cells over a text; together they cover every character once."""

    model: str
    label: str
    cells: tuple[Cell, ...]

    @property
    def bits(self) -> float:
        return math.fsum(cell.bits for cell in self.cells)


@dataclass(frozen=True)
class Contrast:
    """Bits of two models over the same span of characters."""

    start: int
    end: int
    first: float
    second: float

    @property
    def per_character(self) -> float:
        """Above zero where the first model is the more surprised one."""
        return (self.first - self.second) / max(1, self.end - self.start)


@dataclass(frozen=True)
class Mapped:
    """One model is done."""

    surprise: Surprise


def heat_maps(
    request: HeatMapRequest, pool: ModelPool, stop: threading.Event
) -> Generator[Progress | Mapped, None, None]:
    """Score the text token by token under each model.

    Raises:
        NoOffsets, NoPrefixToken, ContextTooLong, OutOfMemory, Stopped, ModelError.
    """
    for reference in request.models:
        precision = request.precision or default_precision()
        loaded = yield from pool.open(reference, precision, stop)
        with pool.using(loaded, stop):
            yield Progress("score", 0, len(request.text), "characters", reference.label)
            yield Mapped(surprise(loaded, request.text, request.context, stop))


def surprise(
    loaded: LoadedModel, text: str, context: int | None, stop: threading.Event
) -> Surprise:
    """The cells of one text under one loaded model."""
    if not loaded.tokenizer.is_fast:
        raise NoOffsets(model=loaded.reference.label)
    if loaded.prefix_token is None:
        raise NoPrefixToken(model=loaded.reference.label)
    encoded = loaded.tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
    ids, offsets = encoded["input_ids"], encoded["offset_mapping"]
    try:
        scores = _score(loaded, ids, context, stop)
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        raise OutOfMemory(model=loaded.reference.label) from error
    cells = []
    for start, end, first, last in spans(offsets, len(text)):
        tokens = [_guess(loaded, ids[at], scores[at][0]) for at in range(first, last)]
        expected = [_guess(loaded, token, nll) for token, nll in scores[first][1]]
        bits = math.fsum(scores[at][0] for at in range(first, last)) / math.log(2)
        cells.append(Cell(start, end, bits, tuple(tokens), tuple(expected)))
    return Surprise(loaded.name, loaded.reference.label, tuple(cells))


def spans(offsets: Sequence[tuple[int, int]], length: int) -> list[tuple[int, int, int, int]]:
    """Group tokens into the smallest spans that cover ``0:length`` without a gap.

    Several tokens may stand for one character (bytes of it), a token for several, and
    some characters for no token (white space that a tokenizer drops): those join the
    span before them, as do tokens that stand for no character.

    Returns:
        (first character, end character, first token, end token) of each span.
    """
    groups: list[list[int]] = []
    for number, (start, end) in enumerate(offsets):
        starts_inside = groups and (start < groups[-1][1] or groups[-1][0] == groups[-1][1])
        if groups and (starts_inside or start == end):
            groups[-1][1] = max(groups[-1][1], end)
            groups[-1][3] = number + 1
        else:
            groups.append([start, end, number, number + 1])
    for here, following in itertools.pairwise(groups):
        here[1] = following[0]
    if groups:
        groups[0][0], groups[-1][1] = 0, length
    return [(start, end, first, last) for start, end, first, last in groups]


def contrasts(first: Surprise, second: Surprise) -> list[Contrast]:
    """Compare two models over the smallest spans that both can tell apart."""
    shared = {cell.end for cell in first.cells} & {cell.end for cell in second.cells}
    ends = sorted(shared)
    starts = [0, *ends[:-1]]
    return [
        Contrast(start, end, _between(first, start, end), _between(second, start, end))
        for start, end in zip(starts, ends, strict=True)
    ]


def _between(surprise: Surprise, start: int, end: int) -> float:
    return math.fsum(cell.bits for cell in surprise.cells if start <= cell.start < end)


def _score(
    loaded: LoadedModel, ids: list[int], context: int | None, stop: threading.Event
) -> list[tuple[float, list[tuple[int, float]]]]:
    """For each token its nll, and the likeliest tokens in its place with theirs (nats)."""
    import torch

    size, stride = window_size(loaded, context, None)
    scorer = Scorer(loaded)
    scores: list[tuple[float, list[tuple[int, float]]]] = []
    for window in windows(len(ids), size, stride):
        if stop.is_set():
            raise Stopped
        read = ids[window.start : window.end]
        first = window.score_from - window.start
        columns = torch.arange(first, first + window.scored)
        found = scorer.score(
            torch.tensor([[loaded.prefix_token, *read]]),
            (torch.zeros_like(columns), columns),
            torch.tensor(read[first:]),
            top=ALTERNATIVES,
        )
        rows = zip(found.nll, found.best_tokens, found.best_nll, strict=True)
        for nll, tokens, values in rows:
            scores.append((float(nll), list(zip(tokens.tolist(), values.tolist(), strict=True))))
    return scores


def _guess(loaded: LoadedModel, token: int, nll: float) -> Guess:
    return Guess(readable_token(loaded.tokenizer, token), math.exp(-nll))
