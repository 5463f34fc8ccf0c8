"""How well does a model predict a text, in units that all models share.

Every token is scored exactly once, each window starts with the model's own prefix
token, and the sum is divided by characters and by bytes, which do not depend on a
tokenizer. This module does not know where texts come from or who reads the events.
"""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from collections.abc import Generator, Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any

from workbench import logs
from workbench.compare.history import History, Identity
from workbench.compare.memory import PeakMemory
from workbench.compare.scoring import Scorer
from workbench.compare.windows import Window, batches, windows
from workbench.errors import (
    HalfPrecisionOverflow,
    NoModel,
    NoPrefixToken,
    NotANumber,
    OutOfMemory,
    OutOfRange,
    Stopped,
    WorkbenchError,
)
from workbench.events import Failed, Progress
from workbench.models.device import Precision, default_precision, is_out_of_memory
from workbench.models.estimate import DEFAULT_CONTEXT, check_context
from workbench.models.fetch import is_here, locate
from workbench.models.loader import LoadedModel, identity
from workbench.models.pool import ModelPool
from workbench.models.reference import ModelReference
from workbench.texts import Text

log = logs.get("perplexity")
KIND = "perplexity"
# Tokens of one padded batch: enough to keep the machine busy, few enough for its memory.
BATCH_TOKENS = {"cpu": 2048, "cuda": 16384}


@dataclass(frozen=True)
class PerplexityRequest:
    """Which models, on which text, seen through which window."""

    models: tuple[ModelReference, ...]
    """At least one."""
    text: Text
    precision: Precision | None = None
    """None: NF4 on a GPU, bf16 on a CPU."""
    context: int | None = None
    """Tokens of a window, prefix included. None: 1024, or the model's limit if that is less."""
    stride: int | None = None
    """Tokens a later window moves on by. None: half of the context."""
    again: bool = False
    """Compute even what is stored already."""

    def __post_init__(self) -> None:
        if not self.models:
            raise NoModel
        if self.context is not None and not 8 <= self.context <= 1_000_000:
            raise OutOfRange(field="context", value=self.context, low=8, high=1_000_000)
        most = (self.context or DEFAULT_CONTEXT) - 1
        if self.stride is not None and not 1 <= self.stride <= most:
            raise OutOfRange(field="stride", value=self.stride, low=1, high=most)


@dataclass(frozen=True)
class PerplexityResult:
    """One model's figures on one text."""

    model: str
    precision: Precision
    nll_nats: float
    """The negative log-likelihood of the whole text."""
    scored_tokens: int
    characters: int
    """Unicode code points of the text."""
    bytes: int
    """Bytes of the text in UTF-8."""
    seconds: float
    peak_memory_bytes: int
    """Highest resident set of the process, or memory allocated on the GPU, while scoring."""
    context: int
    stride: int
    unknown_tokens: int
    """Tokens that stand for characters the tokenizer does not know."""
    document_nll: tuple[float, ...]
    document_characters: tuple[int, ...]

    @property
    def bits_per_character(self) -> float:
        return self.nll_nats / math.log(2) / self.characters

    @property
    def bits_per_byte(self) -> float:
        return self.nll_nats / math.log(2) / self.bytes

    @property
    def token_perplexity(self) -> float:
        return math.exp(min(self.nll_nats / max(1, self.scored_tokens), 700))

    @property
    def characters_per_token(self) -> float:
        return self.characters / max(1, self.scored_tokens)

    @property
    def tokens_per_second(self) -> float:
        return self.scored_tokens / self.seconds if self.seconds else 0.0

    @property
    def label(self) -> str:
        return ModelReference.parse(self.model).label

    def figures(self) -> dict[str, Any]:
        """What ``perplexity --json`` prints for one model."""
        return {
            "model": self.model,
            "precision": self.precision,
            "nll_nats": self.nll_nats,
            "scored_tokens": self.scored_tokens,
            "characters": self.characters,
            "bytes": self.bytes,
            "bits_per_character": self.bits_per_character,
            "bits_per_byte": self.bits_per_byte,
            "token_perplexity": self.token_perplexity,
            "seconds": self.seconds,
            "tokens_per_second": self.tokens_per_second,
            "peak_memory_bytes": self.peak_memory_bytes,
        }

    @classmethod
    def from_stored(cls, stored: dict[str, Any]) -> PerplexityResult:
        lists = {name: tuple(stored[name]) for name in ("document_nll", "document_characters")}
        return cls(**{**stored, **lists})


@dataclass(frozen=True)
class Scored:
    """One model is done."""

    result: PerplexityResult
    number: int
    """Its place in the history."""
    reused: bool
    """True when it was stored already and not computed again."""


Event = Progress | Scored | Failed


def perplexities(
    request: PerplexityRequest, pool: ModelPool, history: History, stop: threading.Event
) -> Iterator[Event]:
    """Score the text under each model in turn; a model that fails does not stop the next."""
    for reference in dict.fromkeys(request.models):
        try:
            yield from _one(request, reference, pool, history, stop)
        except Stopped as stopped:
            yield Failed(str(reference), stopped)
            return
        except WorkbenchError as error:
            log.warning("failed", model=str(reference), error=type(error).__name__)
            yield Failed(str(reference), error)


def _one(
    request: PerplexityRequest,
    reference: ModelReference,
    pool: ModelPool,
    history: History,
    stop: threading.Event,
) -> Iterator[Event]:
    precision = request.precision or default_precision()
    if is_here(reference, pool.settings):
        fingerprint = identity(locate(reference, pool.settings))
        known = (
            None if request.again else _find(request, reference, precision, fingerprint, history)
        )
        if known:
            yield known
            return
    loaded = yield from pool.open(reference, precision, stop, request.context)
    with pool.using(loaded, stop):
        known = (
            None
            if request.again
            else _find(request, reference, precision, loaded.fingerprint, history)
        )
        if known:
            yield known
            return
        result = yield from score(loaded, request, stop)
    who = _identity(request, reference, precision, loaded.fingerprint)
    yield Scored(result, history.add(who, asdict(result)), reused=False)


def _identity(
    request: PerplexityRequest, reference: ModelReference, precision: Precision, fingerprint: str
) -> Identity:
    options = {"context": request.context, "stride": request.stride}
    return Identity.of(KIND, reference, precision, fingerprint, request.text, options)


def _find(
    request: PerplexityRequest,
    reference: ModelReference,
    precision: Precision,
    fingerprint: str,
    history: History,
) -> Scored | None:
    stored = history.find(_identity(request, reference, precision, fingerprint))
    if stored is None:
        return None
    result = PerplexityResult.from_stored(stored.result)
    return Scored(replace(result, model=str(reference)), stored.number, reused=True)


def window_size(loaded: LoadedModel, context: int | None, stride: int | None) -> tuple[int, int]:
    """Context and stride for one model.

    Raises:
        ContextTooLong: more than the model was made for was asked.
    """
    limit = loaded.context_limit
    if context is not None:
        check_context(loaded.reference.label, limit, context)
    chosen = context or min(DEFAULT_CONTEXT, limit or DEFAULT_CONTEXT)
    return chosen, min(stride or chosen // 2, chosen - 1)


def score(
    loaded: LoadedModel, request: PerplexityRequest, stop: threading.Event
) -> Generator[Progress, None, PerplexityResult]:
    """Score all documents under one loaded model, yielding progress in tokens.

    Raises:
        ContextTooLong, NoPrefixToken, NumericalFault, OutOfMemory, Stopped.
    """
    if loaded.prefix_token is None:
        raise NoPrefixToken(model=loaded.reference.label)
    context, stride = window_size(loaded, request.context, request.stride)
    label = loaded.reference.label
    yield Progress("tokenize", 0, len(request.text.documents), "documents", label)
    tokens = [_tokens(loaded, document) for document in request.text.documents]
    planned = [
        window
        for number, document in enumerate(tokens)
        for window in windows(len(document), context, stride, number)
    ]
    sums = [0.0] * len(tokens)
    done, total = 0, sum(map(len, tokens))
    with PeakMemory(loaded.device) as memory:
        scorer = _scorer(loaded)
        started = time.perf_counter()
        for batch in _shrinking(scorer, loaded, tokens, planned):
            if stop.is_set():
                raise Stopped
            for window, nll in batch:
                sums[window.document] += nll
                done += window.scored
            yield Progress("score", done, total, "tokens", label)
        seconds = time.perf_counter() - started
    unknown = loaded.tokenizer.unk_token_id
    return PerplexityResult(
        model=loaded.name,
        precision=loaded.precision,
        nll_nats=math.fsum(sums),
        scored_tokens=total,
        characters=request.text.characters,
        bytes=request.text.bytes,
        seconds=seconds,
        peak_memory_bytes=memory.bytes,
        context=context,
        stride=stride,
        unknown_tokens=0 if unknown is None else sum(each.count(unknown) for each in tokens),
        document_nll=tuple(sums),
        document_characters=tuple(map(len, request.text.documents)),
    )


def _scorer(loaded: LoadedModel) -> Scorer:
    """It runs the model once to see whether it can be taken apart, which takes memory too."""
    try:
        return Scorer(loaded)
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        raise OutOfMemory(model=loaded.reference.label) from error


def _tokens(loaded: LoadedModel, document: str) -> list[int]:
    encoded = loaded.tokenizer(document, add_special_tokens=False, verbose=False)
    return list(encoded["input_ids"])


def _shrinking(
    scorer: Scorer, loaded: LoadedModel, tokens: list[list[int]], planned: list[Window]
) -> Iterator[list[tuple[Window, float]]]:
    """Score batch by batch; when the memory runs out, go on with smaller batches.

    Raises:
        OutOfMemory: even one window is too much.
    """
    waiting = deque(batches(planned, BATCH_TOKENS[loaded.device]))
    while waiting:
        batch = waiting[0]
        try:
            scored = _score_batch(scorer, loaded, tokens, batch)
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            if len(batch) == 1:
                raise OutOfMemory(model=loaded.reference.label) from error
            size = batch[0].length * len(batch) // 2
            waiting = deque(smaller for large in waiting for smaller in batches(large, size))
            continue
        waiting.popleft()
        yield scored


def _score_batch(
    scorer: Scorer, loaded: LoadedModel, tokens: list[list[int]], batch: list[Window]
) -> list[tuple[Window, float]]:
    import torch

    prefix = loaded.prefix_token or 0
    ids = torch.full((len(batch), batch[0].length), prefix)
    rows: list[int] = []
    columns: list[int] = []
    targets: list[int] = []
    for row, window in enumerate(batch):
        read = tokens[window.document][window.start : window.end]
        ids[row, 1 : window.length] = torch.tensor(read)
        first = window.score_from - window.start
        rows += [row] * window.scored
        columns += range(first, first + window.scored)
        targets += read[first:]
    places = (torch.tensor(rows), torch.tensor(columns))
    nll = scorer.score(ids, places, torch.tensor(targets)).nll
    parts = nll.split([window.scored for window in batch])
    for window, part in zip(batch, parts, strict=True):
        _check_finite(part, window, loaded)
    return [(window, float(part.sum())) for window, part in zip(batch, parts, strict=True)]


def _check_finite(nll: Any, window: Window, loaded: LoadedModel) -> None:
    wrong = (~nll.isfinite()).nonzero()
    if len(wrong):
        precision = str(loaded.model.dtype).removeprefix("torch.")
        where = {
            "model": loaded.reference.label,
            "token": window.score_from + int(wrong[0]) + 1,
            "window": window.number + 1,
            "document": window.document + 1,
        }
        if precision == "float16":
            raise HalfPrecisionOverflow(**where)
        raise NotANumber(**where, precision=precision)
