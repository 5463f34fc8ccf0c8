"""What this machine can compute on, and how much memory is there to use.

Imports torch only inside the functions that need it.
"""

from __future__ import annotations

import functools
import os
from pathlib import Path
from typing import Literal

Precision = Literal["nf4", "int8", "bf16", "fp32"]
PRECISIONS: tuple[Precision, ...] = ("nf4", "int8", "bf16", "fp32")


@functools.cache
def device() -> str:
    """``cuda`` when a GPU is there, else ``cpu``."""
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def is_lent() -> bool:
    """Whether a GPU must be borrowed for each call, as on ZeroGPU."""
    return os.environ.get("SPACES_ZERO_GPU", "").lower() in ("1", "t", "true")


def default_precision() -> Precision:
    """NF4 on a GPU, as the field does; bf16 on a CPU, where NF4 is unpacked at every pass."""
    return "nf4" if device() == "cuda" else "bf16"


def free_memory() -> int:
    """Bytes that could still be taken: on the GPU, or of this machine (or container)."""
    if device() == "cuda":
        import torch

        if is_lent() and not torch.cuda.is_initialized():
            return int(torch.cuda.get_device_properties(0).total_memory)  # of the one to come
        return int(torch.cuda.mem_get_info()[0])
    import psutil

    free = int(psutil.virtual_memory().available)
    return min(free, container_free() or free)


def container_free() -> int | None:
    """What a cgroup leaves, which ``available`` does not know; None without a limit."""
    base = Path("/sys/fs/cgroup")
    try:
        limit = (base / "memory.max").read_text().strip()
        used = int((base / "memory.current").read_text())
    except OSError:
        return None
    return None if limit == "max" else max(0, int(limit) - used)


def is_out_of_memory(error: BaseException) -> bool:
    """torch says it in three ways: its own class on CUDA, a RuntimeError on a CPU, Python's."""
    if isinstance(error, MemoryError):
        return True
    text = str(error).lower()
    return isinstance(error, RuntimeError) and (
        "out of memory" in text or "can't allocate memory" in text or "not enough memory" in text
    )
