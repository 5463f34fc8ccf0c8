"""Checkpoints that are complete or absent, and never half of one.

    checkpoints/
      step-000020/        adapter, optimizer, scheduler, random numbers, manifest.json
      step-000040/

A checkpoint is written beside its place, every file is hashed into ``manifest.json``, which is
written last, everything is flushed to the disk and the folder is renamed. A reader trusts no
folder whose hashes do not agree. This module does not know what is in the files.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import re
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workbench.errors import DiskFull
from workbench.events import readable

VERSION = 1
MANIFEST = "manifest.json"
NAME = re.compile(r"step-(\d{6,})")
BESIDE = ".beside-"
SPARE = 16_000_000
"""Bytes left free on top of what is written, for events and for others on the same disk."""


@dataclass(frozen=True)
class Checkpoint:
    """A folder that verified when it was looked at."""

    folder: Path
    step: int


@dataclass(frozen=True)
class Damaged:
    """A folder that has a checkpoint's name and is none, and why."""

    folder: Path
    reason: str


def name_of(step: int) -> str:
    """``step-000020``: six digits or more, so that names sort as numbers do."""
    return f"step-{step:06d}"


def write(folder: Path, step: int, fill: Callable[[Path], None], needed: int = 0) -> Checkpoint:
    """Write one checkpoint, or leave everything as it was.

    Args:
        folder: where the checkpoints of a run are.
        fill: puts the files into the empty folder it is given.
        needed: bytes that will be written; the disk is looked at before.

    Raises:
        DiskFull: there is not enough room, or it ran out while writing. What was there is kept.
    """
    folder.mkdir(parents=True, exist_ok=True)
    check_space(folder, needed)
    beside = Path(tempfile.mkdtemp(dir=folder, prefix=BESIDE))
    try:
        fill(beside)
        _seal(beside, step)
        place = folder / name_of(step)
        old = _move_aside(place)
        beside.rename(place)
        sync(folder)
        if old:
            shutil.rmtree(old, ignore_errors=True)
    except BaseException as error:
        shutil.rmtree(beside, ignore_errors=True)
        if is_disk_full(error):
            raise disk_full(folder, needed) from error
        raise
    return Checkpoint(place, step)


def is_disk_full(error: BaseException | None) -> bool:
    """True for ENOSPC and EDQUOT, which torch and safetensors wrap in errors of their own."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            return True
        if "No space left on device" in str(error):
            return True
        error = error.__cause__ or error.__context__
    return False


def disk_full(folder: Path, needed: int) -> DiskFull:
    """The error, with the room that there is now."""
    free = readable(shutil.disk_usage(folder).free)
    return DiskFull(needed=readable(needed + SPARE), free=free, place=folder)


def check_space(folder: Path, needed: int) -> None:
    """Raises DiskFull when ``needed`` bytes and a little more do not fit."""
    if shutil.disk_usage(folder).free < needed + SPARE:
        raise disk_full(folder, needed)


def newest_verified(folder: Path) -> tuple[Checkpoint | None, list[Damaged]]:
    """The newest checkpoint whose every file is as it was written, and the damaged ones above it.

    Older checkpoints than the one found are not read.
    """
    damaged: list[Damaged] = []
    for step, path in reversed(_listed(folder)):
        reason = fault(path)
        if reason is None:
            return Checkpoint(path, step), damaged
        damaged.append(Damaged(path, reason))
    return None, damaged


def fault(path: Path) -> str | None:
    """What is wrong with a checkpoint; None when every file has the length and hash it had."""
    try:
        manifest = json.loads((path / MANIFEST).read_text("utf-8"))
        files: dict[str, dict[str, Any]] = manifest["files"]
        if manifest["sha256"] != _sha256_of_list(files):
            return f"{MANIFEST} was changed"
        for name, told in files.items():
            if reason := _file_fault(path / name, told):
                return reason
    except FileNotFoundError as error:
        return f"{Path(error.filename).name} is missing"
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return f"{MANIFEST} cannot be read"
    return None


def prune(folder: Path, keep: int = 2) -> None:
    """Delete all but the newest ``keep`` checkpoints that verify, and what a crash left behind.

    Damaged ones count for nothing: they go as soon as as many good ones are newer.
    """
    good = 0
    for _, path in reversed(_listed(folder)):
        if good >= keep:
            _delete(path)
        else:
            good += fault(path) is None
    clear_leftovers(folder)


def clear_leftovers(folder: Path) -> None:
    """Delete what was being written when a process died. Only its one writer may call this."""
    for path in folder.glob(f"{BESIDE}*"):
        shutil.rmtree(path, ignore_errors=True)


def replace_folder(beside: Path, place: Path) -> None:
    """Put a finished folder in its place; the old one stays until the new one is there."""
    for path in [*beside.rglob("*"), beside]:
        sync(path)
    old = _move_aside(place)
    beside.rename(place)
    sync(place.parent)
    if old:
        shutil.rmtree(old, ignore_errors=True)


def sync(path: Path) -> None:
    """Flush a file, or the names in a folder, to the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _listed(folder: Path) -> list[tuple[int, Path]]:
    """Folders that are named like checkpoints, oldest first."""
    if not folder.is_dir():
        return []
    found = [(NAME.fullmatch(path.name), path) for path in folder.iterdir()]
    return sorted((int(match[1]), path) for match, path in found if match)


def _seal(folder: Path, step: int) -> None:
    """Hash and flush every file, then write the list of them, last."""
    files = {}
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        sync(path)
        name = path.relative_to(folder).as_posix()
        files[name] = {"bytes": path.stat().st_size, "sha256": _sha256(path)}
    manifest = {
        "trilogy_checkpoint": VERSION,
        "step": step,
        "files": files,
        "sha256": _sha256_of_list(files),
    }
    with (folder / MANIFEST).open("w", encoding="utf-8") as file:
        json.dump(manifest, file, indent=1)
        file.flush()
        os.fsync(file.fileno())
    for path in [*(path for path in folder.rglob("*") if path.is_dir()), folder]:
        sync(path)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _sha256_of_list(files: dict[str, dict[str, Any]]) -> str:
    return hashlib.sha256(json.dumps(files, sort_keys=True).encode()).hexdigest()


def _file_fault(path: Path, told: dict[str, Any]) -> str | None:
    size = path.stat().st_size
    if size != told["bytes"]:
        return f"{path.name} has {size} bytes instead of {told['bytes']}"
    return None if _sha256(path) == told["sha256"] else f"{path.name} was changed"


def _move_aside(place: Path) -> Path | None:
    """A folder cannot be renamed onto another: the old one goes first, to be deleted later."""
    if not place.exists():
        return None
    aside = Path(tempfile.mkdtemp(dir=place.parent, prefix=BESIDE))
    place.rename(aside / place.name)
    return aside


def _delete(path: Path) -> None:
    """Out of sight first, so that a crash leaves no half of a checkpoint under its name."""
    aside = _move_aside(path)
    if aside:
        with contextlib.suppress(OSError):
            shutil.rmtree(aside)
