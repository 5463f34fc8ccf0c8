"""Several loaded models under one memory budget, shared by everybody on the page.

The same model asked for twice at once is loaded once; the second waits and gets
the same one. A model in use is never evicted; otherwise the least recently used
goes first. The pool does not know what the models are asked.
"""

from __future__ import annotations

import gc
import threading
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from workbench import logs
from workbench.errors import DoesNotFit, ModelBusy, Stopped, WorkbenchError
from workbench.events import Progress
from workbench.models.device import Precision, device
from workbench.models.estimate import (
    DEFAULT_CONTEXT,
    available,
    check_context,
    check_fits,
    config_of,
)
from workbench.models.fetch import fetch
from workbench.models.loader import LoadedModel, load
from workbench.models.reference import ModelReference
from workbench.settings import Settings

log = logs.get("models")
Key = tuple[str, Precision]
Loader = Callable[
    [ModelReference, Precision, Settings, threading.Event], Generator[Progress, None, LoadedModel]
]


def fetch_and_load(
    reference: ModelReference, precision: Precision, settings: Settings, stop: threading.Event
) -> Generator[Progress, None, LoadedModel]:
    """Bring the files of a model here, then load it."""
    fetched = yield from fetch(reference, settings, stop)
    return (yield from load(reference, fetched, precision, settings.trust_remote_code, stop))


@dataclass
class _Slot:
    """One model: being loaded (``loaded`` is None) or there."""

    loaded: LoadedModel | None = None
    error: WorkbenchError | None = None
    abandoned: bool = False
    ready: threading.Event = field(default_factory=threading.Event)
    progress: Progress | None = None
    reserved: int = 0
    """Bytes it will take, while it is being loaded."""
    users: int = 0
    used: float = 0.0


class ModelPool:
    """Loaded models by reference and precision."""

    def __init__(self, settings: Settings, loader: Loader = fetch_and_load) -> None:
        self.settings = settings
        self._loader = loader
        self._slots: dict[Key, _Slot] = {}
        self._lock = threading.Lock()
        self._room = threading.Lock()

    def loaded(self) -> list[LoadedModel]:
        """What is in memory, the most recently used first."""
        with self._lock:
            slots = sorted(self._slots.values(), key=lambda slot: -slot.used)
            return [slot.loaded for slot in slots if slot.loaded is not None]

    def open(
        self,
        reference: ModelReference,
        precision: Precision,
        stop: threading.Event,
        context: int | None = None,
    ) -> Generator[Progress, None, LoadedModel]:
        """Yield progress, return the model, pinned: ``release`` it when done.

        Args:
            context: tokens there must be room for; None is 1024, or the model's limit.

        Raises:
            ContextTooLong: more than the model was made for, said before it is loaded.
            DoesNotFit: it would not fit even after everything idle is evicted.
            Stopped, ModelError, WorkFailed: from fetching and loading.
        """
        key = (str(reference), precision)
        while True:
            with self._lock:
                slot = self._slots.get(key)
                mine = slot is None
                if slot is None:
                    slot = self._slots[key] = _Slot()
                slot.users += 1
            if mine:
                yield from self._load(key, slot, reference, stop, context)
            else:
                yield from self._wait(slot, reference, stop)
            if slot.loaded is not None:
                slot.used = time.monotonic()
                return slot.loaded
            if slot.error is not None and not slot.abandoned:
                raise slot.error
            # the one who was loading it gave up; try ourselves

    def release(self, model: LoadedModel) -> None:
        """The model may be evicted again."""
        with self._lock:
            for slot in self._slots.values():
                if slot.loaded is model:
                    slot.users = max(0, slot.users - 1)
                    slot.used = time.monotonic()

    @contextmanager
    def using(self, model: LoadedModel, stop: threading.Event) -> Iterator[LoadedModel]:
        """Compute with a model that ``open`` returned; released at the end.

        Raises:
            Stopped: ``stop`` was set while somebody else was at work with it.
        """
        try:
            with alone_with(model, stop):
                yield model
        finally:
            self.release(model)

    def unload(self, reference: ModelReference, precision: Precision) -> None:
        """Take one model out of memory.

        Raises:
            ModelBusy: somebody is using it.
        """
        with self._lock:
            slot = self._slots.get((str(reference), precision))
            if slot is None:
                return
            if slot.users:
                raise ModelBusy(model=reference.label)
            del self._slots[(str(reference), precision)]
        log.info("unloaded", model=str(reference), precision=precision)
        _collect(slot)

    def _load(
        self,
        key: Key,
        slot: _Slot,
        reference: ModelReference,
        stop: threading.Event,
        context: int | None,
    ) -> Iterator[Progress]:
        started = time.monotonic()
        try:
            yield Progress("check", 0, 0, "bytes", reference.label)
            self._make_room(reference, slot, key[1], context)
            work = self._loader(reference, key[1], self.settings, stop)
            slot.loaded = yield from _noting(work, slot)
        except BaseException as error:
            stopped = isinstance(error, (Stopped, GeneratorExit))
            slot.error = error if isinstance(error, WorkbenchError) else None
            slot.abandoned = stopped or slot.error is None
            with self._lock:
                self._slots.pop(key, None)
            raise
        finally:
            slot.reserved = 0
            slot.ready.set()
        seconds = round(time.monotonic() - started, 2)
        log.info("loaded", model=key[0], precision=key[1], seconds=seconds)

    def _wait(
        self, slot: _Slot, reference: ModelReference, stop: threading.Event
    ) -> Iterator[Progress]:
        try:
            while not slot.ready.wait(0.3):
                if stop.is_set():
                    raise Stopped
                yield slot.progress or Progress("wait", 0, 0, "", reference.label)
        except BaseException:  # stopped, or the page was closed: not a user any more
            with self._lock:
                slot.users -= 1
            raise

    def _make_room(
        self, reference: ModelReference, slot: _Slot, precision: Precision, context: int | None
    ) -> None:
        """Evict the least recently used idle models until the new one fits, and reserve it."""
        config = config_of(reference, self.settings)
        limit = config.get("max_position_embeddings")
        context = context or min(DEFAULT_CONTEXT, limit or DEFAULT_CONTEXT)
        check_context(reference.label, limit, context)
        if self.settings.trust_remote_code and "auto_map" in config:
            return  # only the repository's own code could tell its size
        with self._room:
            while True:
                try:
                    fits = check_fits(reference.label, config, precision, context, self._budget())
                    slot.reserved = fits.total
                    return
                except DoesNotFit:
                    if not self._evict_one():
                        raise

    def _budget(self) -> int:
        """Bytes one more model may take, those promised to models still loading left out."""
        with self._lock:
            promised = sum(slot.reserved for slot in self._slots.values())
        budget = available(self.settings)
        if self.settings.memory_gb is not None:
            held = sum(model.memory_bytes for model in self.loaded())
            budget = min(budget, int(self.settings.memory_gb * 1e9) - held)
        return budget - promised

    def _evict_one(self) -> bool:
        with self._lock:
            idle = [
                (slot.used, key)
                for key, slot in self._slots.items()
                if slot.loaded is not None and not slot.users
            ]
            if not idle:
                return False
            key = min(idle)[1]
            slot = self._slots.pop(key)
        log.info("evicted", model=key[0], precision=key[1])
        _collect(slot)
        return True


@contextmanager
def alone_with(model: LoadedModel, stop: threading.Event) -> Iterator[None]:
    """Wait until nobody else is at work with the model.

    Raises:
        Stopped: ``stop`` was set meanwhile.
    """
    while not model.lock.acquire(timeout=0.2):
        if stop.is_set():
            raise Stopped
    try:
        yield
    finally:
        model.lock.release()


def _noting(
    work: Generator[Progress, None, LoadedModel], slot: _Slot
) -> Generator[Progress, None, LoadedModel]:
    """Pass progress on and leave a copy for those who wait."""
    while True:
        try:
            slot.progress = next(work)
        except StopIteration as finished:
            return finished.value  # type: ignore[no-any-return]
        try:
            yield slot.progress
        except GeneratorExit:
            work.close()
            raise


def _collect(slot: _Slot) -> None:
    slot.loaded = None
    gc.collect()
    if device() == "cuda":
        import torch

        torch.cuda.empty_cache()
