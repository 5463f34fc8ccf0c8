"""Sets of questions put to models: what was answered before is found again, the rest is asked.

Items go in small groups, the longest first; each group is stored when it is done, so that what
was stopped goes on from there. This module does not know files or how answers are shown.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

from workbench import logs
from workbench.compare.history import History
from workbench.compare.memory import PeakMemory
from workbench.compare.probes.by_likelihood import compared
from workbench.compare.probes.by_writing import Writer
from workbench.compare.probes.items import Choice, Item, ProbeSet, Short
from workbench.compare.probes.likelihood import Judge
from workbench.compare.probes.results import Asked, Event, ItemResult, Probed, ProbeResult
from workbench.compare.probes.stored import Answers, key
from workbench.errors import NoModel, NoProbe, OutOfRange, Stopped, WorkbenchError
from workbench.events import Failed, Progress
from workbench.models.device import Precision, default_precision
from workbench.models.fetch import is_here, locate
from workbench.models.loader import LoadedModel, identity
from workbench.models.pool import ModelPool
from workbench.models.reference import ModelReference

log = logs.get("probes")
GROUP = {"cpu": 16, "cuda": 128}
"""Items asked together and stored together."""
TRIES = 4


@dataclass(frozen=True)
class ProbeRequest:
    """Which models are asked what."""

    models: tuple[ModelReference, ...]
    probes: tuple[ProbeSet, ...]
    precision: Precision | None = None
    tries: int = TRIES
    """How often a short question is answered."""
    writes: bool = True
    """Let multiple choice also be answered in writing, once for every order of the options."""
    again: bool = False
    """Ask even what is stored already."""

    def __post_init__(self) -> None:
        if not self.models:
            raise NoModel
        if not self.probes or not all(probe.items for probe in self.probes):
            raise NoProbe
        if not 1 <= self.tries <= 32:
            raise OutOfRange(field="tries", value=self.tries, low=1, high=32)

    def options(self, probe: ProbeSet) -> dict[str, Any]:
        """Those that decide the answers to a set."""
        named: dict[str, dict[str, Any]] = {
            "choice": {"writes": self.writes},
            "short": {"tries": self.tries},
        }
        return named.get(probe.kind, {})


Known = dict[str, ItemResult]
"""Results by item id."""


def probe(
    request: ProbeRequest, pool: ModelPool, history: History, stop: threading.Event
) -> Iterator[Event]:
    """Ask every model in turn; one that fails does not stop the next."""
    answers = Answers(history.path)
    for reference in dict.fromkeys(request.models):
        try:
            yield from _one(request, reference, pool, answers, stop)
        except Stopped as stopped:
            yield Failed(str(reference), stopped)
            return
        except WorkbenchError as error:
            log.warning("failed", model=str(reference), error=type(error).__name__)
            yield Failed(str(reference), error)


def _one(
    request: ProbeRequest,
    reference: ModelReference,
    pool: ModelPool,
    answers: Answers,
    stop: threading.Event,
) -> Iterator[Event]:
    precision = request.precision or default_precision()
    if is_here(reference, pool.settings):
        fingerprint = identity(locate(reference, pool.settings))
        known = [_known(request, one, fingerprint, precision, answers) for one in request.probes]
        if all(
            len(found) == len(one.items) for one, found in zip(request.probes, known, strict=True)
        ):
            for one, found in zip(request.probes, known, strict=True):
                yield from _all_known(reference, precision, fingerprint, one, found)
            return
    loaded = yield from pool.open(reference, precision, stop)
    with pool.using(loaded, stop):
        for one in request.probes:
            yield from ask(loaded, one, request, answers, stop)


def _known(
    request: ProbeRequest,
    probe: ProbeSet,
    fingerprint: str,
    precision: Precision,
    answers: Answers,
) -> Known:
    if request.again:
        return {}
    options = request.options(probe)
    wanted = {key(item, fingerprint, precision, options): item for item in probe.items}
    found = answers.find(wanted)
    return {wanted[name].id: result for name, result in found.items()}


def _all_known(
    reference: ModelReference, precision: Precision, fingerprint: str, probe: ProbeSet, known: Known
) -> Iterator[Event]:
    results = tuple(known[item.id] for item in probe.items)
    for one in results:
        yield Asked(str(reference), probe, one)
    yield Probed(
        ProbeResult(str(reference), precision, fingerprint, probe.name, probe.kind, results), probe
    )


def ask(
    loaded: LoadedModel,
    probe: ProbeSet,
    request: ProbeRequest,
    answers: Answers,
    stop: threading.Event,
) -> Iterator[Event]:
    """Put one set to a loaded model, whose lock the caller holds.

    Raises:
        Stopped, OutOfMemory, ContextTooLong, NoPrefixToken, AnswerNotANumber, BadTemplate.
    """
    known = _known(request, probe, loaded.fingerprint, loaded.precision, answers)
    for item in probe.items:
        if item.id in known:
            yield Asked(loaded.name, probe, known[item.id])
    missing = [item for item in probe.items if item.id not in known]
    asker = Asker(loaded, request)
    with PeakMemory(loaded.device) as memory:
        started = time.perf_counter()
        yield from _missing(asker, probe, missing, known, answers, stop)
        seconds = time.perf_counter() - started
    result = ProbeResult(
        model=loaded.name,
        precision=loaded.precision,
        fingerprint=loaded.fingerprint,
        probe=probe.name,
        kind=probe.kind,
        items=tuple(known[item.id] for item in probe.items),
        seconds=seconds if missing else 0.0,
        tokens=asker.tokens,
        peak_memory_bytes=memory.bytes if missing else 0,
        with_template=asker.with_template and probe.kind in ("choice", "short"),
    )
    yield Probed(result, probe)


def _missing(
    asker: Asker,
    probe: ProbeSet,
    missing: Sequence[Item],
    known: Known,
    answers: Answers,
    stop: threading.Event,
) -> Iterator[Event]:
    """Ask what is not known yet, group by group; ``known`` grows."""
    loaded, options = asker.loaded, asker.request.options(probe)
    total = len(probe.items)
    label = loaded.reference.label
    yield Progress("score", len(known), total, "questions", label)
    ordered = sorted(missing, key=lambda item: -len(item.asked))
    for group in _groups(ordered, GROUP[loaded.device]):
        done = len(known)
        results: list[ItemResult] = []
        for share in _returning(asker.answer(group, stop), results):
            yield Progress("score", done + share * len(group), total, "questions", label)
        keys = [key(item, loaded.fingerprint, loaded.precision, options) for item in group]
        answers.add(list(zip(keys, results, strict=True)))
        for one in results:
            known[one.item] = one
            yield Asked(loaded.name, probe, one)


class Asker:
    """Answers groups of items under one loaded model."""

    def __init__(self, loaded: LoadedModel, request: ProbeRequest) -> None:
        self.loaded, self.request = loaded, request
        self._writer = Writer(loaded)
        self._judge: Judge | None = None

    @property
    def with_template(self) -> bool:
        return self._writer.with_template

    @property
    def tokens(self) -> int:
        """Scored and written."""
        return self._writer.tokens + (self._judge.tokens if self._judge else 0)

    def answer(
        self, group: Sequence[Item], stop: threading.Event
    ) -> Generator[float, None, list[ItemResult]]:
        """Results in the order of the group; yields the share of the work that is done."""
        if isinstance(group[0], Short):
            short = cast(Sequence[Short], group)
            tries = self.request.tries
            results = yield from _shares(
                self._writer.short(short, tries, stop), tries * len(group), 0, 1
            )
            return results
        if self._judge is None:
            self._judge = Judge(self.loaded)
        writes = type(group[0]) is Choice and self.request.writes
        most = sum(len(getattr(item, "options", "xx")) or 2 for item in group)
        middle = 0.5 if writes else 1.0
        results = yield from _shares(
            compared(self.loaded, self._judge, group, stop), 2 * most, 0, middle
        )
        if not writes:
            return results
        letters = yield from _shares(
            self._writer.letters(cast(Sequence[Choice], group), stop), most, middle, 1
        )
        return [
            replace(one, written=written) for one, written in zip(results, letters, strict=True)
        ]


def _shares(
    work: Generator[int, None, list[Any]], total: int, low: float, high: float
) -> Generator[float, None, list[Any]]:
    """Counts as a share between ``low`` and ``high``; an estimate of the total will do."""
    while True:
        try:
            done = next(work)
        except StopIteration as finished:
            value: list[Any] = finished.value
            return value
        yield low + (high - low) * min(1.0, done / max(1, total))


def _returning(
    work: Generator[float, None, list[ItemResult]], results: list[ItemResult]
) -> Iterator[float]:
    results += yield from work


def _groups(items: Sequence[Item], size: int) -> Iterator[Sequence[Item]]:
    for at in range(0, len(items), size):
        yield items[at : at + size]
