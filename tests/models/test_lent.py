"""A GPU that is lent: the same answers from a forked process, in slices, with Stop and errors."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from tests import tiny
from tests.zero import Lender
from workbench.chat.duo import Answered, ChatRequest, Voice, chat
from workbench.chat.messages import Message
from workbench.compare.continuation import ContinuationRequest, Written, continuations
from workbench.compare.heatmap import HeatMapRequest, Mapped, heat_maps
from workbench.compare.history import History
from workbench.compare.perplexity import PerplexityRequest, Scored, perplexities
from workbench.compare.probes.ask import ProbeRequest, probe
from workbench.compare.probes.items import Choice, ProbeSet
from workbench.compare.probes.results import Probed
from workbench.compare.scorecard import Made, ScorecardRequest, scorecard
from workbench.errors import GpuNotLent, GpuTimeUp, OutOfRange, Stopped
from workbench.events import Failed
from workbench.models import lent
from workbench.models.lent import compute
from workbench.models.pool import ModelPool
from workbench.models.reference import ModelReference
from workbench.models.sampling import SamplingOptions
from workbench.settings import Settings
from workbench.texts import Text


class Desk:
    def __init__(self, model: Path, settings: Settings) -> None:
        self.reference = ModelReference.parse(f"file:{model}")
        self.settings = settings
        self.pool = ModelPool(settings)
        self.history = History(settings.workspace / "results.sqlite")

    def measured(self, work: Any, asked: Any, **options: Any) -> list[Any]:
        stop = tiny.never()
        return list(compute(work, asked, self.pool, self.history, stop, slices=True, **options))

    def computed(self, work: Any, asked: Any) -> list[Any]:
        return list(compute(work, asked, self.pool, tiny.never()))


@pytest.fixture
def desk(tiny_model: Path, settings: Settings) -> Desk:
    return Desk(tiny_model, settings)


def only(events: list[Any], kind: type) -> Any:
    failures = [event for event in events if isinstance(event, Failed)]
    assert not failures, failures
    return next(event for event in events if isinstance(event, kind))


def asked_of(desk: Desk) -> dict[str, Any]:
    """One request for every kind of work."""
    one = (desk.reference,)
    dull = SamplingOptions(max_new_tokens=6, temperature=0)
    questions = tuple(
        Choice(id=f"q{at}", question=f"{at}?", options=("a", "bc"), answer=at % 2)
        for at in range(20)
    )
    return {
        "perplexity": PerplexityRequest(one, Text("t", ("佢哋今日去咗邊度食嘢呀?",)), "fp32"),
        "writing": ContinuationRequest(one, ("佢哋",), dull, precision="fp32"),
        "map": HeatMapRequest(one, "佢哋今日去咗邊度", "fp32"),
        "probe": ProbeRequest(one, (ProbeSet("mine", "choice", questions),), "fp32", writes=False),
        "chat": ChatRequest(
            (Voice(desk.reference),), ((Message("user", "佢哋"),),), dull, precision="fp32"
        ),
    }


def everything(desk: Desk) -> list[Any]:
    """What the page shows of each kind of work, without what is timed."""
    asked = asked_of(desk)
    scored = only(desk.measured(perplexities, asked["perplexity"]), Scored).result
    written = only(desk.measured(continuations, asked["writing"]), Written)
    mapped = only(desk.computed(heat_maps, asked["map"]), Mapped).surprise
    probed = only(desk.measured(probe, asked["probe"]), Probed).result
    answered = only(desk.computed(chat, asked["chat"]), Answered)
    return [
        pytest.approx(scored.nll_nats, rel=1e-5), written.text, mapped.model, mapped,
        [one.said for one in probed.items], answered.text, answered.who,
    ]  # fmt: skip


def test_every_kind_of_work_says_the_same_from_a_borrowed_process(
    tiny_model: Path, settings: Settings, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    here = everything(Desk(tiny_model, settings))
    lender = request.getfixturevalue("lender")
    away = Desk(tiny_model, settings.model_copy(update={"workspace": tmp_path / "away"}))
    assert everything(away) == here
    assert away.pool.loaded() == []  # nothing was loaded where there is no GPU
    assert lender.durations == [120, 120, 60, 120, 60]


def test_a_scorecard_comes_back_whole(desk: Desk, lender: Lender) -> None:
    text = Text("t", ("佢哋今日去咗邊度食嘢呀?",) * 3)
    asked = ScorecardRequest((desk.reference,), text=text, limit=1, precision="fp32")
    tokens = replace(asked, probes=asked_of(desk)["probe"].probes)
    card = only(desk.measured(scorecard, tokens), Made).card
    assert len(card.measured) == 1


@dataclass(frozen=True)
class Task:
    """Work made up for the tests."""

    models: tuple[ModelReference, ...] = ()
    folder: str = ""
    steps: int = 0


def where(_asked: Task, _pool: ModelPool, _stop: threading.Event) -> Iterator[int]:
    yield os.getpid()


def counting(asked: Task, _pool: ModelPool, stop: threading.Event) -> Iterator[int]:
    """A step each tenth of a second; what is done is kept in files and said again."""
    for step in range(asked.steps):
        kept = Path(asked.folder) / str(step)
        if not kept.exists():
            if stop.wait(0.1):
                raise Stopped
            kept.touch()
        yield step


def waiting(_asked: Task, _pool: ModelPool, stop: threading.Event) -> Iterator[int]:
    """Says the same of old every time, and nothing new."""
    yield 1
    stop.wait(60)
    raise Stopped


def wrong(_asked: Task, _pool: ModelPool, _stop: threading.Event) -> Iterator[int]:
    yield 1
    raise OutOfRange(field="x", value=1, low=2, high=3)


def broken(_asked: Task, _pool: ModelPool, _stop: threading.Event) -> Iterator[int]:
    yield 1
    raise ValueError("a secret detail")


def dying(_asked: Task, _pool: ModelPool, _stop: threading.Event) -> Iterator[int]:
    yield 1
    os._exit(9)


def summing(asked: Task, _pool: ModelPool, _stop: threading.Event) -> Iterator[int]:
    yield 1
    return asked.steps  # type: ignore[return-value]


def run(settings: Settings, work: Any, asked: Task, **options: Any) -> list[Any]:
    return list(compute(work, asked, ModelPool(settings), tiny.never(), **options))


def test_elsewhere_nothing_is_borrowed(settings: Settings) -> None:
    assert run(settings, where, Task()) == [os.getpid()]


def test_work_goes_to_another_process_which_may_come_again(
    settings: Settings, lender: Lender
) -> None:
    (first,), (second,) = run(settings, where, Task()), run(settings, where, Task())
    assert os.getpid() != first == second
    lender.again = False
    assert run(settings, where, Task()) != [first]


def test_an_error_of_ours_arrives_as_itself(settings: Settings, lender: Lender) -> None:
    heard = compute(wrong, Task(), ModelPool(settings), tiny.never())
    assert next(heard) == 1
    with pytest.raises(OutOfRange, match="x is 1, but it must be between 2 and 3"):
        next(heard)


@pytest.mark.parametrize("work", [broken, dying])
def test_a_fault_or_a_death_over_there_is_one_sentence(
    work: Any, settings: Settings, lender: Lender
) -> None:
    heard = compute(work, Task(), ModelPool(settings), tiny.never())
    assert next(heard) == 1
    with pytest.raises(GpuNotLent) as raised:
        next(heard)
    assert "secret" not in str(raised.value)
    assert run(settings, where, Task())  # the next one gets a process again


def test_a_service_that_refuses_is_told_with_its_reason(settings: Settings, lender: Lender) -> None:
    lender.refuses = "You have exceeded your <b>GPU quota</b>"
    with pytest.raises(GpuNotLent, match=r"No GPU was lent: You have exceeded your GPU quota\."):
        run(settings, where, Task())


def test_what_the_work_returns_comes_back(settings: Settings, lender: Lender) -> None:
    work = compute(summing, Task(steps=7), ModelPool(settings), tiny.never())
    assert tiny.finish(work) == ([1], 7)


def test_slices_go_on_where_the_last_one_stopped(
    settings: Settings, lender: Lender, tmp_path: Path
) -> None:
    asked = Task(folder=str(tmp_path), steps=25)
    heard = run(settings, counting, asked, slices=True, seconds=lent.SPARE_SECONDS + 1)
    assert sorted(set(heard)) == list(range(25))
    assert 3 <= len(lender.durations) <= 6


def test_work_that_cannot_be_sliced_says_that_the_time_was_up(
    settings: Settings, lender: Lender, tmp_path: Path
) -> None:
    asked = Task(folder=str(tmp_path), steps=25)
    with pytest.raises(GpuTimeUp):
        run(settings, counting, asked, seconds=lent.SPARE_SECONDS + 1)
    assert len(lender.durations) == 1
    assert (tmp_path / "0").exists()


def test_a_slice_that_gets_nowhere_is_the_last(settings: Settings, lender: Lender) -> None:
    with pytest.raises(GpuTimeUp):
        run(settings, waiting, Task(), slices=True, seconds=lent.SPARE_SECONDS + 1)
    assert len(lender.durations) == 2


@pytest.mark.parametrize("how", ["stop", "close"])
def test_stop_and_a_closed_page_are_heard_over_there(
    how: str, settings: Settings, lender: Lender, tmp_path: Path
) -> None:
    stop = threading.Event()
    asked = Task(folder=str(tmp_path), steps=600)
    heard = compute(counting, asked, ModelPool(settings), stop)
    next(heard)
    started = time.monotonic()
    if how == "close":
        heard.close()
    else:
        stop.set()
        with pytest.raises(Stopped):
            list(heard)
    assert time.monotonic() - started < 3
    done = len(list(tmp_path.iterdir()))
    time.sleep(0.5)
    assert len(list(tmp_path.iterdir())) == done < 60
