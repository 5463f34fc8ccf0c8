"""What happens after every step: figures are told, and now and then it measures and saves.

Everything hangs on the moment right after an optimizer step, when a checkpoint of that step is
exact: the figures of the step first, then an evaluation if one is due, then a checkpoint. This
module does not know how a step is computed.
"""

from __future__ import annotations

import functools
import json
import math
import shutil
import statistics
import tempfile
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from workbench.errors import BadTemplate, LossNotANumber, Stopped
from workbench.eventlog import EventLog
from workbench.events import Progress
from workbench.language import register
from workbench.tune import checkpoints, evaluation
from workbench.tune.encode import Encoded
from workbench.tune.recipe import TuneRecipe
from workbench.tune.trainer import (
    ADAPTER_CONFIG,
    ADAPTER_WEIGHTS,
    Lesson,
    bytes_to_save,
    save_adapter,
    save_state,
)

PROGRESS = "progress.json"
CHECKPOINTS = "checkpoints"
BEST = "best"
ADAPTER = "adapter"
KEPT = 2
"""Checkpoints that are kept, besides the best."""
RECENT = 20
"""Steps whose durations say how long the rest will take."""


class Watch:
    """Looks on while a trainer trains: tells, measures, saves and stops it.

    ``trainer`` and ``head`` are put in before training begins.
    """

    trainer: Any
    head: Any

    def __init__(
        self,
        recipe: TuneRecipe,
        folder: Path,
        log: EventLog,
        lesson: Lesson,
        held: Sequence[Encoded],
        tokenizer: Any,
        stops: Sequence[int],
        stop: threading.Event,
    ) -> None:
        self.recipe, self.folder, self.log, self.lesson = recipe, folder, log, lesson
        self.held, self.tokenizer, self.stops, self.stop = held, tokenizer, stops, stop
        self.step = 0
        self.stopped = False
        self.unmeasured = True
        """True while the evaluation that is due at ``step`` has not been made."""
        self.best: tuple[int, float] | None = None
        self._begun = time.monotonic()
        self._durations: deque[float] = deque(maxlen=RECENT)
        self._measuring = 0.0

    def restore(self, checkpoint: Path) -> None:
        """Remember what was known when this checkpoint was saved."""
        said = json.loads((checkpoint / PROGRESS).read_text("utf-8"))
        self.unmeasured = bool(said["unmeasured"])
        self.best = best_of(self.folder) or (tuple(said["best"]) if said["best"] else None)

    def begin(self, step: int) -> None:
        """Before the first step: a run is measured once before it has learned anything.

        Raises:
            Stopped: nothing has been learned yet, so there is nothing to save.
        """
        self.step = step
        if self.unmeasured:
            self._measured()
        if self.stop.is_set():
            raise Stopped

    def step_begins(self) -> None:
        self._begun = time.monotonic()

    def step_ends(self, step: int, logs: dict[str, float]) -> bool:
        """After an optimizer step; True when training should stop here.

        Raises:
            LossNotANumber: before anything of it is saved.
            DiskFull.
        """
        self.step = step
        self._durations.append(time.monotonic() - self._begun)
        self._check_finite(logs)
        self._tell(logs)
        last, early = step >= self.lesson.steps, False
        self.unmeasured = last or step % self.recipe.eval_every == 0
        if self.unmeasured:
            self._measured()
            early = not self.unmeasured and self._no_better()
        if last or early or self.stop.is_set() or step % self.recipe.save_every == 0:
            self.save()
        self.stopped = self.stop.is_set() and (self.unmeasured or not (last or early))
        return self.stopped or early

    def save(self) -> None:
        """A checkpoint of this very moment; older ones than the newest two go."""
        folder = self.folder / CHECKPOINTS
        needed = bytes_to_save(self.trainer.model)
        checkpoints.write(folder, self.step, self._fill, needed)
        self.log.write("saved", step=self.step)
        self.log.sync()
        checkpoints.prune(folder, KEPT)

    def finish(self) -> Path:
        """Make ``adapter/``: the best one when asked for, else the one of this moment."""
        best, _ = checkpoints.newest_verified(self.folder / BEST)
        beside = Path(tempfile.mkdtemp(dir=self.folder, prefix=checkpoints.BESIDE))
        beside.chmod(0o755)
        if self.recipe.keep_best and best is not None:
            for name in (ADAPTER_CONFIG, ADAPTER_WEIGHTS):
                shutil.copyfile(best.folder / name, beside / name)
        else:
            save_adapter(self.trainer.model, beside)
        self.tokenizer.save_pretrained(beside)
        checkpoints.replace_folder(beside, self.folder / ADAPTER)
        return self.folder / ADAPTER

    def _fill(self, folder: Path) -> None:
        save_state(self.trainer, folder)
        state = {"step": self.step, "unmeasured": self.unmeasured, "best": self.best}
        (folder / PROGRESS).write_text(json.dumps(state), "utf-8")

    def _check_finite(self, logs: dict[str, float]) -> None:
        figures = [float(logs.get(name, 0.0)) for name in ("loss", "grad_norm")]
        if not all(map(math.isfinite, figures)):
            rows = sorted({row.row for row in self.lesson.at(self.step)})
            shown = ", ".join(map(str, rows[:20])) + (", …" if len(rows) > 20 else "")
            raise LossNotANumber(step=self.step, rows=shown)

    def _tell(self, logs: dict[str, float]) -> None:
        rows = self.lesson.at(self.step)
        learned = sum(sum(row.labels_mask[1:]) for row in rows)
        characters = sum(row.characters for row in rows)
        tokens = sum(len(row.ids) for row in rows)
        self.log.write(
            "step",
            step=self.step,
            steps=self.lesson.steps,
            loss=logs["loss"],
            bits_per_character=logs["loss"] * learned / math.log(2) / max(1, characters),
            learning_rate=logs.get("learning_rate"),
            grad_norm=logs.get("grad_norm"),
            tokens=tokens,
            tokens_per_second=tokens / max(1e-9, self._durations[-1]),
            memory_bytes=memory_bytes(),
            seconds_left=self._seconds_left(),
        )

    def _seconds_left(self) -> float:
        left = self.lesson.steps - self.step
        evaluations = math.ceil(left / self.recipe.eval_every)
        return left * statistics.fmean(self._durations) + evaluations * self._measuring

    def _measured(self) -> None:
        """Evaluate, unless Stop is pressed first; then the evaluation is still due."""
        begun = time.monotonic()
        try:
            self._evaluate()
        except Stopped:
            return
        self.unmeasured = False
        self._measuring = time.monotonic() - begun

    def _evaluate(self) -> None:
        self.log.progress(Progress("evaluate", self.step, self.lesson.steps, "steps"))
        found = evaluation.held_out(self.head, self.held, self.stop) if self.held else None
        text = self.trainer.model.config.get_text_config()
        limit = getattr(text, "max_position_embeddings", None)
        forgetting = evaluation.forgetting(self.head, self.tokenizer, limit, self.stop)
        said = self._answers()
        self.log.write(
            "evaluation",
            step=self.step,
            loss=found.loss if found else None,
            bits_per_character=found.bits_per_character if found else None,
            forgetting=forgetting,
        )
        for prompt, text in zip(self.recipe.prompts, said, strict=False):
            facts = {"prompt": prompt, "text": text, "register": register(text)}
            self.log.write("sample", step=self.step, **facts)
        if found is not None and self.step:
            self._keep_if_best(found.loss)

    def _answers(self) -> list[str]:
        prompts, most = self.recipe.prompts, self.recipe.sample_tokens
        model = self.trainer.model
        try:
            return evaluation.answers(model, self.tokenizer, prompts, most, self.stops, self.stop)
        except BadTemplate as error:
            self.log.write("notice", key="no_answers", facts=error.facts)
            return []

    def _keep_if_best(self, loss: float) -> None:
        if self.best is not None and not loss < self.best[1]:
            return
        self.best = (self.step, loss)
        if self.recipe.keep_best:
            needed = bytes_to_save(self.trainer.model) // 3
            checkpoints.write(self.folder / BEST, self.step, self._fill_best, needed)
            checkpoints.prune(self.folder / BEST, 1)

    def _fill_best(self, folder: Path) -> None:
        save_adapter(self.trainer.model, folder)
        state = {"step": self.step, "loss": self.best[1] if self.best else None}
        (folder / PROGRESS).write_text(json.dumps(state), "utf-8")

    def _no_better(self) -> bool:
        """True when the held-out loss has not fallen for as many evaluations as are allowed."""
        if not self.recipe.patience or self.best is None:
            return False
        if self.step - self.best[0] < self.recipe.patience * self.recipe.eval_every:
            return False
        facts = {"step": self.step, "best_step": self.best[0]}
        self.log.write("notice", key="stopped_early", facts=facts)
        return True


def best_of(folder: Path) -> tuple[int, float] | None:
    """Step and held-out loss of the best adapter so far; None when there is none."""
    best, _ = checkpoints.newest_verified(folder / BEST)
    if best is None:
        return None
    said = json.loads((best.folder / PROGRESS).read_text("utf-8"))
    return int(said["step"]), float(said["loss"])


def memory_bytes() -> int:
    """Highest memory allocated on the GPU so far; on a CPU what the process holds now."""
    import psutil
    import torch

    if torch.cuda.is_available():
        return int(torch.cuda.max_memory_allocated())
    return int(psutil.Process().memory_info().rss)


@functools.cache
def _callback_class() -> Any:
    from transformers import TrainerCallback

    class Callback(TrainerCallback):  # type: ignore[misc]
        """Hands the trainer's moments on to a watch."""

        def __init__(self, watch: Watch) -> None:
            self.watch = watch

        def on_train_begin(self, _args: Any, state: Any, _control: Any, **_rest: Any) -> Any:
            self.watch.begin(state.global_step)

        def on_step_begin(self, *_args: Any, **_rest: Any) -> Any:
            self.watch.step_begins()

        def on_log(
            self, _args: Any, state: Any, control: Any, logs: dict[str, float], **_rest: Any
        ) -> Any:
            if "loss" in logs and self.watch.step_ends(state.global_step, logs):
                control.should_training_stop = True

    return Callback


def callback(watch: Watch) -> Callable[..., Any]:
    """The watch as something that a trainer calls."""
    made: Callable[..., Any] = _callback_class()(watch)
    return made
