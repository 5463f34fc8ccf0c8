"""A model of this workbench as a teacher: free of charge, slow on a CPU, and it works offline.

A model with a chat template is asked through it; a base is given the prompt to go on with, as
self-instruct once did with GPT-3.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

from workbench.errors import Stopped
from workbench.events import Progress
from workbench.models.decoding import Either, Stoppable, decode, encode
from workbench.models.device import default_precision
from workbench.models.pool import ModelPool, alone_with
from workbench.models.reference import ModelReference
from workbench.models.sampling import SamplingOptions
from workbench.models.templates import own_template
from workbench.models.tokenizer import rendered
from workbench.prompts.teachers import Options, Reply, Said, TeacherChoice

REPETITION_PENALTY = 1.1


class _Late:
    """Set when the time is up."""

    def __init__(self, seconds: float) -> None:
        self._end = time.monotonic() + seconds

    def is_set(self) -> bool:
        return time.monotonic() > self._end


class Local:
    """One loaded model. ``tell`` hears how the loading goes."""

    def __init__(
        self,
        choice: TeacherChoice,
        pool: ModelPool,
        stop: threading.Event,
        tell: Callable[[Progress], Any] = lambda _progress: None,
    ) -> None:
        self.model = choice.model
        self._reference = ModelReference.parse(choice.model)
        self._pool, self._stop, self._tell = pool, stop, tell
        self._count = 0

    def models(self) -> list[str]:
        return [self.model]

    def ask(
        self,
        prompt: str,
        options: Options,
        schema: Mapping[str, Any] | None,  # noqa: ARG002  a base knows no schema
        stop: Stoppable,
        said: Said,
    ) -> Reply:
        loaded = self._opened()
        begun = time.monotonic()
        late = _Late(options.timeout)
        try:
            templated = bool(own_template(loaded.tokenizer))
            text = _turned(loaded.tokenizer, prompt) if templated else prompt
            ids = (
                list(loaded.tokenizer(text, add_special_tokens=False)["input_ids"])
                if templated
                else []
            )
            ids = ids or encode(loaded, text, options.max_tokens)
            self._count += 1
            sampling = SamplingOptions(
                max_new_tokens=min(options.max_tokens, 4096),
                temperature=options.temperature,
                top_p=options.top_p,
                repetition_penalty=REPETITION_PENALTY,
                seed=self._count,
            )
            with alone_with(loaded, self._stop):
                rows, _ = decode(
                    loaded, [ids], sampling, Either(stop, late), lambda _row, text: said(text)
                )
        finally:
            self._pool.release(loaded)
        (row,) = rows
        seconds = time.monotonic() - begun
        outcome: Any = "ok" if row.ended else "truncated"
        if not row.ended and stop.is_set():
            outcome = "stopped"
        elif not row.ended and late.is_set():
            outcome = "timeout"
        elif not row.text.strip():
            outcome = "empty"
        finish = "STOP" if row.ended else "MAX_TOKENS"
        return Reply(outcome, row.text, finish, len(ids), row.tokens, seconds)

    def _opened(self) -> Any:
        work = self._pool.open(self._reference, default_precision(), self._stop)
        while True:
            if self._stop.is_set():
                work.close()
                raise Stopped
            try:
                self._tell(next(work))
            except StopIteration as ended:
                return ended.value


def _turned(tokenizer: Any, prompt: str) -> str:
    messages = [{"role": "user", "content": prompt}]
    return rendered(tokenizer, messages, add_generation_prompt=True)
