"""The highest memory while something ran: of the GPU, or of this process."""

from __future__ import annotations

import threading
from types import TracebackType

EVERY_SECONDS = 0.02


class PeakMemory:
    """A context whose ``bytes`` is the peak between entering and leaving.

    On CUDA it is what torch had allocated on the device; elsewhere the resident set of
    this process, sampled every 20 ms. ``base`` is the value at the start.
    """

    def __init__(self, device: str) -> None:
        self._device = device
        self.base = self.bytes = 0

    def __enter__(self) -> PeakMemory:
        self.base = self.bytes = self._now()
        if self._device == "cuda":
            import torch

            torch.cuda.reset_peak_memory_stats()
        else:
            self._done = threading.Event()
            self._thread = threading.Thread(target=self._watch, daemon=True)
            self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._device == "cuda":
            import torch

            self.bytes = int(torch.cuda.max_memory_allocated())
        else:
            self._done.set()
            self._thread.join()

    def _watch(self) -> None:
        while not self._done.wait(EVERY_SECONDS):
            self.bytes = max(self.bytes, self._now())

    def _now(self) -> int:
        if self._device == "cuda":
            import torch

            return int(torch.cuda.memory_allocated())
        import psutil

        return int(psutil.Process().memory_info().rss)
