"""One scorecard of several models: fluency, register, knowledge, reasoning, and what they cost.

What was measured before is taken from the history, the rest is measured now, one model after
the other, so that they need not fit into memory together. A part that fails leaves an empty
cell and a sentence; it does not stop the next. This module does not know how a card is drawn.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, field, replace

from workbench.compare.columns import SETS, Column, Measures, columns
from workbench.compare.continuation import ContinuationRequest, Token, Written, continuations
from workbench.compare.history import History
from workbench.compare.perplexity import PerplexityRequest, Scored, perplexities
from workbench.compare.probes.ask import ProbeRequest, probe
from workbench.compare.probes.items import ProbeSet
from workbench.compare.probes.reading import SHIPPED, read_probe
from workbench.compare.probes.results import Asked, Probed
from workbench.compare.tokenizers import cut_by
from workbench.errors import NoModel, OutOfRange, Stopped, WorkbenchError
from workbench.events import Failed, Progress
from workbench.language import Register
from workbench.models.device import Precision, default_precision
from workbench.models.estimate import config_of, estimate
from workbench.models.pool import ModelPool
from workbench.models.reference import ModelReference
from workbench.models.sampling import SamplingOptions
from workbench.texts import Text, sample

PROMPTS = (
    "今日收工之後，我同阿媽去咗",
    "香港最好食嘅嘢，一定係",
    "琴晚落好大雨，我喺巴士站",
    "阿媽成日話我，叫我唔好",
    "如果聽日唔使返工，我會",
    "佢一入到茶餐廳，就同伙記講",
    "細個嗰陣，我哋成班人最鍾意",
    "隔籬屋阿婆養咗隻貓，佢",
    "搭地鐵嗰陣，有個後生仔",
    "學廣東話最難嘅地方就係",
    "老細今朝開會嗰陣突然話",
    "食完飯之後，佢同我講咗個秘密，",
)
WRITING = SamplingOptions(max_new_tokens=40, samples=2, seed=1)
"""Two texts a beginning: 24 are enough for an interval."""
MOST_ITEMS = 10_000
CUT_TEXT = "佢哋琴日喺旺角食咗啲嘢，唔知幾好味，聽日仲要再嚟。"


TRIES = 2


@functools.cache
def shipped_sets() -> tuple[ProbeSet, ...]:
    """The four sets that come with the workbench."""
    return tuple(read_probe(SHIPPED / f"{name}.yaml", 1 << 20) for name in SETS.values())


@dataclass(frozen=True)
class ScorecardRequest:
    """Which models, and what they are asked."""

    models: tuple[ModelReference, ...]
    text: Text = field(default_factory=lambda: sample("cantonese"))
    """For fluency: what they predict."""
    register: Register = "cantonese"
    """The register their writing should have."""
    prompts: tuple[str, ...] = PROMPTS
    writing: SamplingOptions = WRITING
    probes: tuple[ProbeSet, ...] = field(default_factory=shipped_sets)
    """Sets of questions; a column of the card is filled by the shipped set of its name."""
    tries: int = TRIES
    """How often a short question is answered."""
    limit: int | None = None
    """Ask only the first so many questions of each set, and let it go on with so many prompts."""
    precision: Precision | None = None
    again: bool = False
    """Measure even what is stored already."""

    def __post_init__(self) -> None:
        if not self.models:
            raise NoModel
        if self.limit is not None and not 1 <= self.limit <= MOST_ITEMS:
            raise OutOfRange(field="limit", value=self.limit, low=1, high=MOST_ITEMS)
        object.__setattr__(self, "prompts", self.prompts[: self.limit])
        first = tuple(probe.first(self.limit) for probe in self.probes)
        object.__setattr__(self, "probes", first)
        object.__setattr__(self, "models", tuple(dict.fromkeys(self.models)))


@dataclass(frozen=True)
class Scorecard:
    """What was asked and what was measured; columns follow from it."""

    request: ScorecardRequest
    measured: tuple[Measures, ...]

    @property
    def columns(self) -> tuple[Column, ...]:
        return columns(self.measured, self.request.register)


@dataclass(frozen=True)
class Part:
    """One more part of the work is done."""

    card: Scorecard
    done: int
    total: int


@dataclass(frozen=True)
class Made:
    """The card, whole or as far as it came."""

    card: Scorecard


Event = Progress | Part | Failed | Made
Measure = Callable[[Measures], Generator[Progress, None, Measures]]


def scorecard(
    request: ScorecardRequest, pool: ModelPool, history: History, stop: threading.Event
) -> Iterator[Event]:
    """Measure what is missing, model by model and part by part; the card comes last.

    Stopping, or a part that fails, leaves cells empty: ``Failed`` says why.
    """
    precision = request.precision or default_precision()
    measured = [Measures(str(reference), precision) for reference in request.models]
    done, total = 0, 0
    for number, reference in enumerate(request.models):
        parts = _parts(request, reference, pool, history, stop)
        total = len(parts) * len(request.models)
        for part in parts:
            try:
                if stop.is_set():
                    raise Stopped
                measured[number] = yield from part(measured[number])
            except WorkbenchError as error:
                yield Failed(str(reference), error)
                if isinstance(error, Stopped):
                    yield Made(Scorecard(request, tuple(measured)))
                    return
                before = measured[number].failures
                said = tuple(dict.fromkeys([*before, str(error)]))
                measured[number] = replace(measured[number], failures=said)
            done += 1
            yield Part(Scorecard(request, tuple(measured)), done, total)
    yield Made(Scorecard(request, tuple(measured)))


def _parts(
    request: ScorecardRequest,
    reference: ModelReference,
    pool: ModelPool,
    history: History,
    stop: threading.Event,
) -> list[Measure]:
    """What is measured of one model, the cheap first; each adds to what is known already."""

    def costs(known: Measures) -> Generator[Progress, None, Measures]:
        cut = yield from cut_by(reference, CUT_TEXT, pool.settings, stop)
        config = config_of(reference, pool.settings)
        memory = estimate(config, request.precision or default_precision()).total
        return replace(known, cut=cut, memory_bytes=memory)

    def fluency(known: Measures) -> Generator[Progress, None, Measures]:
        asked = PerplexityRequest(
            (reference,), request.text, request.precision, again=request.again
        )
        for event in perplexities(asked, pool, history, stop):
            if isinstance(event, Scored):
                known = replace(known, fluency=event.result)
            else:
                yield from _passed(event)
        return known

    def writing(known: Measures) -> Generator[Progress, None, Measures]:
        asked = ContinuationRequest(
            (reference,), request.prompts, request.writing, request.precision, request.again
        )
        total = len(request.prompts) * request.writing.samples
        for event in continuations(asked, pool, history, stop):
            if isinstance(event, Written):
                known = replace(
                    known, writing=(*known.writing, event), fingerprint=event.fingerprint
                )
                yield Progress("write", len(known.writing), total, "answers", reference.label)
            elif not isinstance(event, Token):
                yield from _passed(event)
        return known

    def probing(asked: ProbeSet) -> Measure:
        def probed(known: Measures) -> Generator[Progress, None, Measures]:
            question = ProbeRequest(
                (reference,), (asked,), request.precision, request.tries, False, request.again
            )
            for event in probe(question, pool, history, stop):
                if isinstance(event, Probed):
                    known = replace(known, probes={**known.probes, asked.name: event.result})
                elif not isinstance(event, Asked):
                    yield from _passed(event)
            return known

        return probed

    return [costs, fluency, writing, *map(probing, request.probes)]


def _passed(event: Progress | Failed) -> Iterator[Progress]:
    """Progress goes on to whoever listens; a failure ends the part."""
    if isinstance(event, Failed):
        raise event.error
    yield event
