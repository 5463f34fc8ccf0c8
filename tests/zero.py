"""ZeroGPU as it is, but for the GPU: the real package forks, pickles and hands back.

What asks Hugging Face for a GPU, and what moves tensors to it, is left out; processes, queues
and errors are those of ``spaces``.
"""

from __future__ import annotations

import multiprocessing
import sys
from collections.abc import Callable, Iterator
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from workbench.models import lent


class Lender:
    """Stands where the service is asked for a GPU."""

    def __init__(self) -> None:
        self.durations: list[int] = []
        self.refuses = ""
        self.again = True
        """Whether a process that did one call gets the next one too."""

    def schedule(self, task_id: Any, request: Any, duration: Any, gpu_size: Any) -> Any:
        if self.refuses:
            import gradio

            raise gradio.Error(self.refuses)
        self.durations.append(int(duration.total_seconds()))
        return SimpleNamespace(
            allowToken="", nvidiaIndex=0, nvidiaUUID="", idle=self.again and len(self.durations) > 1
        )


@pytest.fixture
def lender(monkeypatch: pytest.MonkeyPatch) -> Iterator[Lender]:
    """The process has no GPU of its own any more, and borrows."""
    lender = Lender()
    nothing: Callable[..., Any] = lambda *_args, **_options: None  # noqa: E731
    client = SimpleNamespace(
        schedule=lender.schedule, allow=nothing, release=nothing, duration_warning=nothing,
        get_duration_seconds=lambda duration, _size: int(duration.total_seconds()),
    )  # fmt: skip
    tensors = ModuleType("spaces.zero.torch")  # the real one needs a torch that knows CUDA
    for name in ("unpatch", "init", "move", "enter_mode"):
        setattr(tensors, name, nothing)
    tensors.size = lambda: 0  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "spaces.zero.torch", tensors)
    from spaces.zero import wrappers

    monkeypatch.setattr(wrappers, "client", client)
    monkeypatch.setenv("SPACES_ZERO_GPU", "true")
    borrowed = wrappers.generator_function_wrapper(lent.at_work, lent._duration, None)
    monkeypatch.setattr(lent, "borrowed", borrowed)
    before = set(multiprocessing.active_children())
    yield lender
    # an idle one would hold open whatever this process had open when it was forked
    for child in set(multiprocessing.active_children()) - before:
        child.kill()
        child.join(10)
