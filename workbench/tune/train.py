"""The training process: ``python -m workbench.tune.train RUN_FOLDER``.

Reads the run's recipe, waits for its turn, trains, and says everything in events.jsonl; it ends
as stopped, failed or done, or is killed and leaves checkpoints that verify. Every error ends in
an event that a person can read. This module does not know who started it, nor who reads.
"""

from __future__ import annotations

import contextlib
import errno
import importlib.metadata
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Generator, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from workbench import jobs
from workbench.errors import (
    DiskFull,
    DoesNotFit,
    NothingLearned,
    OutOfMemory,
    RunChanged,
    Stopped,
    TrainingFailed,
    WorkbenchError,
)
from workbench.eventlog import EventLog
from workbench.events import Progress
from workbench.models.device import Precision, device, is_out_of_memory
from workbench.models.estimate import available, config_of
from workbench.models.fetch import fetch
from workbench.models.loader import load
from workbench.models.reference import ModelReference
from workbench.models.templates import chat_template_for
from workbench.settings import Settings
from workbench.tune import attention, checkpoints, job, plan
from workbench.tune.card import write_card
from workbench.tune.encode import Encoded, Encoder, encode_rows, report
from workbench.tune.estimate import fitting, precision_of
from workbench.tune.recipe import TuneRecipe
from workbench.tune.rows import Rows, load_rows
from workbench.tune.trainer import Lesson, Setup, free, make, never_packed
from workbench.tune.watch import ADAPTER, CHECKPOINTS, Watch, callback
from workbench.workspace import Workspace

HALVINGS = 3
"""Times the micro-batch is halved when memory runs out."""
NICENESS = 5
POLL_SECONDS = 0.2
PACKAGES = ("torch", "transformers", "peft", "trl", "bitsandbytes")


@dataclass
class Prepared:
    """What is the same however often training is tried again."""

    recipe: TuneRecipe
    folder: Path
    settings: Settings
    log: EventLog
    stop: threading.Event
    lesson: Lesson
    held: list[Encoded]
    tokenizer: Any
    stops: list[int]
    precision: Precision
    micro_batch: int
    recompute: bool


def main(folder: Path) -> int:
    """What the process does: take the run's lock, hear signals, be nice, carry the run out."""
    lock = jobs.own(folder)
    if lock is None:
        return 0  # another process has this run
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    threading.Thread(target=watch_file, args=(folder, stop), daemon=True).start()
    os.chdir(os.environ.get(job.CALLER, "."))
    if device() == "cpu":
        os.nice(NICENESS)
    return carry_out(folder, Settings(), stop)


def carry_out(
    folder: Path,
    settings: Settings,
    stop: threading.Event,
    paused: Callable[[], bool] = lambda: False,
) -> int:
    """Train the run in this folder to whatever end it comes to. 0: done or stopped; else 1.

    Args:
        paused: whether a stop is not a person's: the run stays in the queue and goes on later.
    """
    log = EventLog(folder / job.EVENTS)
    try:
        with _explained():
            run(folder, settings, log, stop)
    except Stopped:
        if paused() and not (folder / job.STOP).exists():
            log.write("paused", step=reached(folder))
            jobs.write_state(folder, status="queued", step=reached(folder))
        else:
            _end(folder, log, "stopped", step=reached(folder))
    except WorkbenchError as error:
        traceback.print_exc()
        give_up(folder, error)
        return 1
    return 0


def give_up(folder: Path, error: WorkbenchError) -> None:
    """Say how a run ended that nobody is at work on any more."""
    log = EventLog(folder / job.EVENTS)
    if isinstance(error, Stopped):
        _end(folder, log, "stopped", step=reached(folder))
        return
    facts = {name: str(value) for name, value in error.facts.items()}
    said = {"error": type(error).__name__, "facts": facts, "sentence": str(error)}
    _end(folder, log, "failed", **said)


def run(folder: Path, settings: Settings, log: EventLog, stop: threading.Event) -> None:
    """Wait for its turn, prepare, train; say how it ended.

    Raises:
        Stopped: before anything was learned, or after everything learned was saved.
        WorkbenchError: whatever went wrong.
    """
    recipe = TuneRecipe.from_yaml((folder / job.RECIPE).read_text("utf-8"))
    turn = jobs.wait_for_turn(folder, stop, lambda ahead: log.write("queued", before=ahead))
    try:
        jobs.write_state(folder, status="running")
        for leftover in (folder, folder / CHECKPOINTS):
            checkpoints.clear_leftovers(leftover)
        prepared = _prepare(recipe, folder, settings, log, stop)
        watch = _train(prepared)
        watch.finish()
        if watch.stopped:
            raise Stopped
        facts = {"best_step": watch.best[0] if watch.best else None}
        _end(folder, log, "done", step=watch.step, adapter=ADAPTER, **facts)
        _card(folder)
    finally:
        os.close(turn)


def _prepare(
    recipe: TuneRecipe, folder: Path, settings: Settings, log: EventLog, stop: threading.Event
) -> Prepared:
    """Rows, tokenizer, tokens and mask; and a check that a resumed run is still the same."""
    from transformers import AutoTokenizer

    rows = load_rows(recipe, _workspace(folder))
    reference = ModelReference.parse(recipe.base)
    fetched = _told(fetch(reference, settings, stop), log)
    begun = {"dataset": rows.sha256, "base": fetched.fingerprint, "recipe": recipe.sha256}
    _check_same(folder, recipe, begun)
    tokenizer = AutoTokenizer.from_pretrained(
        fetched.folder, trust_remote_code=settings.trust_remote_code, local_files_only=True
    )
    template = chat_template_for(tokenizer, recipe.template)
    encoder = Encoder(tokenizer, template, recipe.max_length, recipe.answers_only)
    train, held = _encoded(encoder, rows, recipe, log, stop)
    lesson = Lesson.of(recipe, train)
    longest = max(len(row.ids) for row in train)
    micro_batch, recompute = _fitting(recipe, config_of(reference, settings), settings, longest)
    told = report(train, tokenizer, template)
    log.write(
        "ready",
        **{**asdict(told), **rows.counts, "rows": len(train), "held_rows": len(held)},
        steps=lesson.steps,
        micro_batch=micro_batch,
        precision=precision_of(recipe),
        device=device(),
        versions={name: importlib.metadata.version(name) for name in PACKAGES},
        base_fingerprint=fetched.fingerprint,
        dataset_sha256=rows.sha256,
        licence=rows.licence,
        template=template,
    )
    jobs.write_state(folder, begun=begun, steps=lesson.steps)
    return Prepared(
        recipe, folder, settings, log, stop, lesson, held, encoder.tokenizer,
        sorted(encoder.stops), precision_of(recipe), micro_batch, recompute,
    )  # fmt: skip


def _encoded(
    encoder: Encoder, rows: Rows, recipe: TuneRecipe, log: EventLog, stop: threading.Event
) -> tuple[list[Encoded], list[Encoded]]:
    """Rows from which something is learned, and held-out rows on which something is measured."""
    found = []
    for messages, numbers in ((rows.train, rows.train_rows), (rows.held, rows.held_rows)):
        encoded, refused = _told(encode_rows(encoder, messages, numbers, stop), log)
        if refused:
            log.write("notice", key="rows_refused", facts=refused)
        found.append([row for row in encoded if any(row.labels_mask[1:])])
    if not found[0]:
        raise NothingLearned(name=recipe.dataset, length=recipe.max_length)
    return found[0], found[1]


def _check_same(folder: Path, recipe: TuneRecipe, begun: dict[str, str]) -> None:
    """What a run was begun with must still be there when there is something to go on from."""
    before = jobs.read_state(folder).get("begun")
    found, _ = checkpoints.newest_verified(folder / CHECKPOINTS)
    if before is None or found is None:
        return
    for what, now in begun.items():
        if before.get(what) != now:
            raise RunChanged(name=recipe.name, what=f"the {what}")


def _train(prepared: Prepared) -> Watch:
    """Train, with half the micro-batch each time memory runs out.

    Raises:
        OutOfMemory: even the smallest that was tried is too large.
    """
    recipe, log = prepared.recipe, prepared.log
    micro, autocast = prepared.micro_batch, prepared.precision != "fp32"
    for again in range(HALVINGS + 1):
        try:
            setup = Setup(device(), micro, autocast, prepared.recompute, recipe.packing)
            return _attempt(prepared, setup)
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            if again == HALVINGS or micro == 1:
                raise OutOfMemory(model=recipe.name) from error
        free()  # outside of the handler, which still holds what failed
        smaller = plan.micro_batch(recipe.batch, micro // 2)
        log.write("notice", key="micro_batch_halved", facts={"from": micro, "to": smaller})
        micro = smaller
    raise AssertionError("the loop above always ends")


def _attempt(prepared: Prepared, setup: Setup) -> Watch:
    """Load the base, put an adapter on it, go on from the newest checkpoint, train to an end."""
    recipe, folder, log = prepared.recipe, prepared.folder, prepared.log
    reference = ModelReference.parse(recipe.base)
    fetched = _told(fetch(reference, prepared.settings, prepared.stop), log)
    trust = prepared.settings.trust_remote_code
    loading = load(reference, fetched, prepared.precision, trust, prepared.stop)
    with never_packed():
        model = _told(loading, log).model
    watch = Watch(
        recipe, folder, log, prepared.lesson, prepared.held,
        prepared.tokenizer, prepared.stops, prepared.stop,
    )  # fmt: skip
    if setup.packing and not attention.keeps_apart(model):
        log.write("notice", key="cannot_pack", facts={})
        setup = replace(setup, packing=False)
    watch.trainer, watch.head = make(
        recipe, model, prepared.tokenizer, prepared.lesson, setup, folder, callback(watch)
    )
    log.write("begun", **asdict(setup))
    found, damaged = checkpoints.newest_verified(folder / CHECKPOINTS)
    if found is not None:
        watch.restore(found.folder)
    if found is not None or damaged:
        names = [{"name": one.folder.name, "reason": one.reason} for one in damaged]
        log.write("resumed", step=found.step if found else 0, damaged=names)
    watch.trainer.train(resume_from_checkpoint=str(found.folder) if found else None)
    return watch


def _fitting(
    recipe: TuneRecipe, config: dict[str, Any], settings: Settings, longest: int
) -> tuple[int, bool]:
    """The micro-batch, and whether activations must be computed again to make it fit.

    A micro-batch that was asked for is tried even when the estimate says that it does not fit.

    Raises:
        DoesNotFit.
    """
    try:
        chosen = fitting(recipe, config, available(settings), longest)
    except DoesNotFit:
        if not recipe.micro_batch:
            raise
        return plan.micro_batch(recipe.batch, recipe.micro_batch), True
    return plan.micro_batch(recipe.batch, chosen.micro_batch), chosen.recompute


def _told(work: Generator[Progress, None, Any], log: EventLog) -> Any:
    """Run work to its end, writing its progress into the log."""
    while True:
        try:
            log.progress(next(work))
        except StopIteration as end:
            return end.value


def _card(folder: Path) -> None:
    """A run is done with or without its card, which can be written again."""
    try:
        write_card(folder, _workspace(folder))
    except Exception:
        traceback.print_exc()


def _workspace(folder: Path) -> Workspace:
    return Workspace(folder.absolute().parents[1])


def reached(folder: Path) -> int:
    """The step from which a stopped run goes on."""
    found, _ = checkpoints.newest_verified(folder / CHECKPOINTS)
    return found.step if found else 0


def _end(folder: Path, log: EventLog, event: str, **facts: Any) -> None:
    """The last word; on a full disk there may be none, and the run is shown as interrupted."""
    log.write(event, **facts)
    log.sync()
    (folder / job.STOP).unlink(missing_ok=True)
    with contextlib.suppress(OSError):
        jobs.write_state(folder, status=event, step=facts.get("step", reached(folder)))


def watch_file(folder: Path, stop: threading.Event) -> None:
    """Stop when the file ``stop`` appears in the run's folder."""
    while not stop.wait(POLL_SECONDS):
        if (folder / job.STOP).exists():
            stop.set()


@contextlib.contextmanager
def _explained() -> Iterator[None]:
    """Whatever is raised becomes an error of ours, with its trace in the run's log."""
    try:
        yield
    except WorkbenchError:
        raise
    except Exception as error:
        if isinstance(error, OSError) and error.errno == errno.ENOSPC:
            raise DiskFull(needed="more bytes", free="0 kB", place="the workspace") from error
        if is_out_of_memory(error):
            raise OutOfMemory(model="this run") from error
        reason = (str(error).strip().splitlines() or [""])[0][:200].rstrip(".")
        raise TrainingFailed(reason=reason or type(error).__name__) from error


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
