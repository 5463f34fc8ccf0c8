"""The pool: one load for many, one budget for all, and nobody is left waiting."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import pytest

from tests import tiny
from workbench.errors import DoesNotFit, LoadFailed, ModelBusy, ModelNotFound, Stopped
from workbench.events import Progress
from workbench.models.device import Precision
from workbench.models.estimate import config_of, estimate
from workbench.models.loader import LoadedModel
from workbench.models.pool import ModelPool
from workbench.models.reference import ModelReference
from workbench.settings import Settings

MB = 1_000_000


class Workshop:
    """A loader that makes a model when it is let, and counts."""

    def __init__(self, memory: int = 0) -> None:
        self.memory = memory
        self.started: list[str] = []
        self.closed = 0
        self.failures: list[Exception] = []
        self.gate = threading.Event()
        self.gate.set()

    def __call__(
        self, reference: ModelReference, precision: Any, settings: Any, stop: threading.Event
    ) -> Generator[Progress, None, LoadedModel]:
        self.started.append(str(reference))
        try:
            yield Progress("load", 1, 4, "weights", reference.label)
            while not self.gate.wait(0.01):
                if stop.is_set():
                    raise Stopped
                yield Progress("load", 2, 4, "weights", reference.label)
        except GeneratorExit:
            self.closed += 1
            raise
        if self.failures:
            raise self.failures.pop()
        return LoadedModel(reference, precision, "print", "cpu", None, None, self.memory)


class Visitor(threading.Thread):
    """Somebody else on the page who opens a model."""

    def __init__(self, pool: ModelPool, reference: ModelReference) -> None:
        super().__init__(daemon=True)
        self.pool, self.reference = pool, reference
        self.stop, self.leave = threading.Event(), threading.Event()
        self.events: list[Progress] = []
        self.loaded: LoadedModel | None = None
        self.error: BaseException | None = None
        self.start()

    def run(self) -> None:
        work = self.pool.open(self.reference, "fp32", self.stop)
        try:
            while not self.leave.is_set():
                self.events.append(next(work))
            work.close()
        except StopIteration as end:
            self.loaded = end.value
        except BaseException as error:
            self.error = error

    def done(self) -> Visitor:
        self.join(20)
        assert not self.is_alive()
        return self


def eventually(true: Callable[[], Any]) -> None:
    until = time.monotonic() + 20
    while not true():
        assert time.monotonic() < until
        time.sleep(0.01)


@pytest.fixture
def references(tiny_model: Path, tmp_path: Path) -> list[ModelReference]:
    """Several names for a tiny model, so that the pool takes them for several models."""
    links = [tmp_path / f"model-{number}" for number in range(4)]
    for link in links:
        link.symlink_to(tiny_model)
    return [ModelReference.parse(f"file:{link}") for link in links]


def opened(pool: ModelPool, reference: ModelReference, **more: Any) -> LoadedModel:
    return tiny.finish(pool.open(reference, "fp32", tiny.never(), **more))[1]


def names(pool: ModelPool) -> list[str]:
    return [model.name for model in pool.loaded()]


def test_two_visitors_who_ask_at_once_get_the_same_model_loaded_once(
    references: list[ModelReference], settings: Settings
) -> None:
    shop = Workshop()
    shop.gate.clear()
    pool = ModelPool(settings, shop)
    visitors = [Visitor(pool, references[0]) for _ in range(4)]
    eventually(lambda: all(visitor.events for visitor in visitors))
    eventually(lambda: all(visitor.events[-1].done == 2 for visitor in visitors))
    shop.gate.set()
    found = [visitor.done().loaded for visitor in visitors]
    assert len(shop.started) == 1
    assert found[0] is not None
    assert all(one is found[0] for one in found)


def test_it_stays_pinned_until_the_last_visitor_releases_it(
    references: list[ModelReference], settings: Settings
) -> None:
    pool = ModelPool(settings, Workshop())
    first, second = opened(pool, references[0]), opened(pool, references[0])
    assert first is second
    pool.release(first)
    with pytest.raises(ModelBusy):
        pool.unload(references[0], "fp32")
    pool.release(second)
    pool.unload(references[0], "fp32")
    assert pool.loaded() == []
    pool.unload(references[0], "fp32")


def test_precisions_are_different_models(
    references: list[ModelReference], settings: Settings
) -> None:
    shop = Workshop()
    pool = ModelPool(settings, shop)
    opened(pool, references[0])
    tiny.finish(pool.open(references[0], "bf16", tiny.never()))
    assert [model.precision for model in pool.loaded()] == ["bf16", "fp32"]
    assert len(shop.started) == 2


def test_the_least_recently_used_goes_first(
    references: list[ModelReference], settings: Settings
) -> None:
    shop = Workshop(memory=40 * MB)
    pool = ModelPool(settings.model_copy(update={"memory_gb": 0.11}), shop)
    first, second, third, fourth = references
    for reference in (first, second):
        pool.release(opened(pool, reference))
    pool.release(opened(pool, first))  # used again, so the second is the older one now
    pool.release(opened(pool, third))
    assert names(pool) == [str(third), str(first)]
    pool.release(opened(pool, fourth))
    assert names(pool) == [str(fourth), str(third)]
    assert shop.started == [str(one) for one in references]


def test_a_model_in_use_is_never_evicted(
    references: list[ModelReference], settings: Settings
) -> None:
    pool = ModelPool(settings.model_copy(update={"memory_gb": 0.11}), Workshop(40 * MB))
    held = opened(pool, references[0])
    for reference in references[1:]:
        pool.release(opened(pool, reference))
    assert held in pool.loaded()
    also = opened(pool, references[1])
    with pytest.raises(DoesNotFit):
        opened(pool, references[2])
    assert set(map(id, pool.loaded())) == {id(held), id(also)}
    pool.release(held)
    assert opened(pool, references[2]).name == str(references[2])


def test_what_can_never_fit_is_refused_and_nothing_is_loaded(
    references: list[ModelReference], settings: Settings
) -> None:
    shop = Workshop()
    pool = ModelPool(settings.model_copy(update={"memory_gb": 0.001}), shop)
    with pytest.raises(DoesNotFit):
        opened(pool, references[0])
    assert shop.started == []


def test_a_model_that_is_not_there_is_not_remembered(settings: Settings, tmp_path: Path) -> None:
    shop = Workshop()
    pool = ModelPool(settings, shop)
    nothing = ModelReference.parse(f"file:{tmp_path}/later")
    for _ in range(2):
        with pytest.raises(ModelNotFound):
            opened(pool, nothing)
    assert shop.started == []


def test_a_failed_load_fails_for_all_who_wait_and_the_next_try_works(
    references: list[ModelReference], settings: Settings
) -> None:
    shop = Workshop()
    shop.gate.clear()
    shop.failures.append(LoadFailed(model="m", reason="bad luck"))
    pool = ModelPool(settings, shop)
    visitors = [Visitor(pool, references[0]) for _ in range(2)]
    eventually(lambda: all(visitor.events for visitor in visitors))
    shop.gate.set()
    assert all(isinstance(visitor.done().error, LoadFailed) for visitor in visitors)
    assert pool.loaded() == []
    assert opened(pool, references[0]).name == str(references[0])
    assert len(shop.started) == 2


def test_a_bug_in_the_loader_does_not_lock_the_others_out(
    references: list[ModelReference], settings: Settings
) -> None:
    shop = Workshop()
    shop.failures.append(ZeroDivisionError("a bug"))
    pool = ModelPool(settings, shop)
    with pytest.raises(ZeroDivisionError):
        opened(pool, references[0])
    assert opened(pool, references[0]) is pool.loaded()[0]


@pytest.mark.parametrize("way", ["stop", "leave"])
def test_when_the_first_gives_up_the_second_loads_it_itself(
    way: str, references: list[ModelReference], settings: Settings
) -> None:
    shop = Workshop()
    shop.gate.clear()
    pool = ModelPool(settings, shop)
    first = Visitor(pool, references[0])
    eventually(lambda: first.events)
    second = Visitor(pool, references[0])
    eventually(lambda: second.events)
    getattr(first, way).set()
    first.done()
    assert isinstance(first.error, Stopped) == (way == "stop")
    eventually(lambda: len(shop.started) == 2)
    shop.gate.set()
    assert second.done().loaded is pool.loaded()[0]
    assert shop.closed == (way == "leave")


@pytest.mark.parametrize("way", ["stop", "leave"])
def test_a_visitor_who_waits_may_leave_without_disturbing_the_first(
    way: str, references: list[ModelReference], settings: Settings
) -> None:
    shop = Workshop()
    shop.gate.clear()
    pool = ModelPool(settings, shop)
    first = Visitor(pool, references[0])
    eventually(lambda: first.events)
    second = Visitor(pool, references[0])
    eventually(lambda: second.events)
    getattr(second, way).set()
    second.done()
    shop.gate.set()
    loaded = first.done().loaded
    assert loaded is not None
    pool.release(loaded)
    pool.unload(references[0], "fp32")
    assert pool.loaded() == []


def test_only_one_computes_with_a_model_at_a_time(
    references: list[ModelReference], settings: Settings
) -> None:
    pool = ModelPool(settings, Workshop())
    inside, most = [], []

    def work() -> None:
        with pool.using(opened(pool, references[0]), tiny.never()):
            inside.append(1)
            most.append(len(inside))
            time.sleep(0.005)
            inside.pop()

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert most == [1] * 8
    pool.unload(references[0], "fp32")


def test_a_model_is_free_again_after_work_that_failed(
    references: list[ModelReference], settings: Settings
) -> None:
    pool = ModelPool(settings, Workshop())
    with pytest.raises(ZeroDivisionError):
        with pool.using(opened(pool, references[0]), tiny.never()):
            raise ZeroDivisionError
    pool.unload(references[0], "fp32")


def test_the_real_loader_loads_what_the_folder_holds(tiny_model: Path, settings: Settings) -> None:
    pool = ModelPool(settings)
    events, loaded = tiny.finish(
        pool.open(ModelReference.parse(f"file:{tiny_model}"), "fp32", tiny.never())
    )
    assert {event.stage for event in events} >= {"check", "load"}
    weights = [*loaded.model.parameters(), *loaded.model.buffers()]
    assert loaded.memory_bytes == sum(weight.numel() * 4 for weight in weights) > 0
    assert loaded.name == f"file:{tiny_model}"


def test_stop_is_heard_while_somebody_else_is_at_work(
    references: list[ModelReference], settings: Settings
) -> None:
    pool = ModelPool(settings, Workshop())
    stop = threading.Event()
    with pool.using(opened(pool, references[0]), tiny.never()):
        threading.Timer(0.3, stop.set).start()
        with pytest.raises(Stopped), pool.using(opened(pool, references[0]), stop):
            pytest.fail("two at once")
    pool.unload(references[0], "fp32")


def test_a_model_still_loading_keeps_its_memory_promised(
    settings: Settings, tiny_model: Path, tiny_bytes: Path
) -> None:
    """Two different models that load at once must not both count the same free memory."""
    config = config_of(ModelReference.parse(f"file:{tiny_model}"), settings)
    one = estimate(config, "fp32", 1024).total
    go = threading.Event()

    def waits(
        reference: ModelReference, precision: Precision, settings: Settings, stop: threading.Event
    ) -> Generator[Progress, None, LoadedModel]:
        yield Progress("load", 0, 1, "weights")
        go.wait(10)
        raise Stopped

    pool = ModelPool(settings.model_copy(update={"memory_gb": 1.5 * one / 1e9}), waits)
    first = pool.open(ModelReference.parse(f"file:{tiny_model}"), "fp32", threading.Event())
    next(first), next(first)
    second = pool.open(ModelReference.parse(f"file:{tiny_bytes}"), "fp32", threading.Event())
    with pytest.raises(DoesNotFit):
        for _ in second:
            pass
    first.close()
    third = pool.open(ModelReference.parse(f"file:{tiny_bytes}"), "fp32", threading.Event())
    assert [next(third).stage, next(third).stage] == ["check", "load"]
    third.close()
