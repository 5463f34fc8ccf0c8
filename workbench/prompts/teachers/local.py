"""A model of this workbench as a teacher: free of charge, slow on a CPU, and it works offline.

A model with a chat template is asked through it; a base is given the prompt to go on with, as
self-instruct once did with GPT-3.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass
from typing import Any

from workbench.errors import Stopped
from workbench.events import Progress
from workbench.models.decoding import Either, Stoppable, decode, encode
from workbench.models.device import default_precision, is_lent
from workbench.models.lent import compute
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


@dataclass(frozen=True)
class _Asked:
    """One prompt for one model."""

    reference: ModelReference
    prompt: str
    options: Options
    seed: int

    @property
    def models(self) -> tuple[ModelReference, ...]:
        return (self.reference,)


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
        self._count += 1
        asked = _Asked(self._reference, prompt, options, self._count)
        # a borrowed process cannot hear this request's own stop, nor be heard before its end
        more = () if is_lent() else (stop, said)
        work = compute(_written, asked, self._pool, self._stop, *more)
        while True:
            if self._stop.is_set():
                work.close()
                raise Stopped
            try:
                self._tell(next(work))
            except StopIteration as ended:
                reply: Reply = ended.value
                return reply


def _written(
    asked: _Asked,
    pool: ModelPool,
    pressed: threading.Event,
    stop: Stoppable | None = None,
    said: Said = lambda _text: None,
) -> Generator[Progress, None, Reply]:
    options, stop = asked.options, stop or pressed
    loaded = yield from pool.open(asked.reference, default_precision(), pressed)
    begun = time.monotonic()
    late = _Late(options.timeout)
    try:
        templated = bool(own_template(loaded.tokenizer))
        text = _turned(loaded.tokenizer, asked.prompt) if templated else asked.prompt
        ids = (
            list(loaded.tokenizer(text, add_special_tokens=False)["input_ids"]) if templated else []
        )
        ids = ids or encode(loaded, text, options.max_tokens)
        sampling = SamplingOptions(
            max_new_tokens=min(options.max_tokens, 4096),
            temperature=options.temperature,
            top_p=options.top_p,
            repetition_penalty=REPETITION_PENALTY,
            seed=asked.seed,
        )
        with alone_with(loaded, pressed):
            rows, _ = decode(
                loaded, [ids], sampling, Either(stop, late), lambda _row, text: said(text)
            )
    finally:
        pool.release(loaded)
    (row,) = rows
    outcome: Any = "ok" if row.ended else "truncated"
    if not row.ended and stop.is_set():
        outcome = "stopped"
    elif not row.ended and late.is_set():
        outcome = "timeout"
    elif not row.text.strip():
        outcome = "empty"
    finish = "STOP" if row.ended else "MAX_TOKENS"
    return Reply(outcome, row.text, finish, len(ids), row.tokens, time.monotonic() - begun)


def _turned(tokenizer: Any, prompt: str) -> str:
    messages = [{"role": "user", "content": prompt}]
    return rendered(tokenizer, messages, add_generation_prompt=True)
