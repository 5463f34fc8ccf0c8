"""From a reference to a folder on this machine that is safe to load.

Whatever must be downloaded or converted is done in a child process, which can be
stopped at any moment and leaves the files that are whole for the next try. Weights are
safetensors; pickles and programs from repositories are refused before anything
large is downloaded. This module does not load models.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Generator, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import workbench.errors as errors
from workbench.errors import (
    DownloadFailed,
    ModelNotFound,
    Stopped,
    WorkbenchError,
)
from workbench.events import Progress
from workbench.models import hub
from workbench.models.bundled import bundled, fetch_gguf
from workbench.models.check import check_adapter, check_folder
from workbench.models.convert import MANIFEST, convert
from workbench.models.reference import ModelReference
from workbench.settings import Settings
from workbench.workspace import Workspace, write_atomically


@dataclass(frozen=True)
class Fetched:
    """A model whose files are here and have been looked at."""

    folder: Path
    fingerprint: str
    """The same weights and tokenizer give the same fingerprint; any change gives another."""
    adapter: Path | None = None
    adapter_fingerprint: str | None = None


def fetch(
    reference: ModelReference, settings: Settings, stop: threading.Event
) -> Generator[Progress, None, Fetched]:
    """Bring a model here, in a child process unless its files are here already.

    Raises:
        Stopped: ``stop`` was set; the child is gone.
        ModelError, WorkFailed: the model cannot be used, and why.
    """
    if not is_here(reference, settings):
        yield from _in_child(reference, settings, stop)
    return locate(reference, settings)


def is_here(reference: ModelReference, settings: Settings) -> bool:
    """True when nothing has to be downloaded or converted."""
    if reference.kind == "hub" or _adapter_on_hub(reference, settings):
        return hub.is_pinned(reference) and not _adapter_on_hub(reference, settings)
    if reference.kind == "folder":
        return True
    return (_converted(reference, settings) / MANIFEST).exists()


def locate(reference: ModelReference, settings: Settings) -> Fetched:
    """The files of a model that has been fetched, checked and fingerprinted."""
    name = str(reference.base)
    if reference.kind == "hub":
        folder, fingerprint = hub.snapshot(reference)
    elif reference.kind == "folder":
        folder = reference.path
    else:
        folder = _converted(reference, settings)
    if not folder.is_dir():
        raise ModelNotFound(model=name)
    check_folder(folder, name, settings.trust_remote_code)
    if reference.kind == "folder":
        fingerprint = content_fingerprint(folder, settings)
    elif reference.kind != "hub":
        fingerprint = json.loads((folder / MANIFEST).read_text())["source_sha256"]
    if reference.adapter is None:
        return Fetched(folder, fingerprint)
    adapter = _adapter_folder(reference, settings)
    check_adapter(adapter, reference.adapter, name)
    return Fetched(folder, fingerprint, adapter, content_fingerprint(adapter, settings))


def fetch_here(reference: ModelReference, settings: Settings) -> Iterator[Progress]:
    """What the child does: download, check, convert."""
    if reference.kind == "hub":
        yield from hub.download(reference, settings)
    elif reference.kind == "bundled":
        yield from _bring_bundled(reference, settings)
    elif reference.kind == "gguf":
        yield from _bring_gguf(reference, settings)
    if _adapter_on_hub(reference, settings):
        adapter = ModelReference.parse(reference.adapter or "")
        yield from hub.download(adapter, settings, adapter_for=str(reference.base))


def _bring_bundled(reference: ModelReference, settings: Settings) -> Iterator[Progress]:
    model = bundled(reference.name)
    folder = _converted(reference, settings)
    with _locked(folder):
        if (folder / MANIFEST).exists():
            return
        work = folder.with_name(f".{folder.name}.fetch")
        yield from fetch_gguf(model, work)
        yield from convert(work / "model.gguf", folder, model.gguf_sha256, str(reference.base))
        shutil.rmtree(work, ignore_errors=True)


def _bring_gguf(reference: ModelReference, settings: Settings) -> Iterator[Progress]:
    if not reference.path.is_file():
        raise ModelNotFound(model=str(reference.base))
    folder = _converted(reference, settings)
    with _locked(folder):
        if not (folder / MANIFEST).exists():
            sha256 = _file_sha256(reference.path, settings)
            yield from convert(reference.path, folder, sha256, str(reference.base))


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    from filelock import FileLock

    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(folder.with_name(f".{folder.name}.lock")):
        yield


def _converted(reference: ModelReference, settings: Settings) -> Path:
    if reference.kind == "bundled":
        return settings.cache / "models" / bundled(reference.name).name
    if not reference.path.is_file():
        raise ModelNotFound(model=str(reference.base))
    return settings.cache / "models" / f"gguf-{_file_sha256(reference.path, settings)[:32]}"


def _adapter_on_hub(reference: ModelReference, settings: Settings) -> bool:
    if reference.adapter is None or _adapter_folder(reference, settings).exists():
        return False
    with contextlib.suppress(WorkbenchError):
        return ModelReference.parse(reference.adapter).kind == "hub"
    return False


def _adapter_folder(reference: ModelReference, settings: Settings) -> Path:
    """A run's name first, then a folder, then what the Hub's cache holds."""
    adapter = reference.adapter or ""
    with contextlib.suppress(WorkbenchError):
        run = Workspace(settings.workspace).run(adapter) / "adapter"
        if run.is_dir():
            return run
    folder = Path(adapter.removeprefix("file:")).expanduser()
    if folder.is_dir():
        return folder
    with contextlib.suppress(WorkbenchError):
        return hub.snapshot(ModelReference.parse(adapter))[0]
    return folder


def content_fingerprint(folder: Path, settings: Settings) -> str:
    """sha256 over the names and contents of all files that decide what the model does."""
    whole = hashlib.sha256()
    for path in sorted(folder.iterdir()):
        if path.suffix in {".safetensors", ".json", ".jinja", ".model", ".txt", ".py"}:
            whole.update(f"{path.name}:{_file_sha256(path, settings)};".encode())
    return whole.hexdigest()


def _file_sha256(path: Path, settings: Settings) -> str:
    """Hash once: remembered by path, size and time of change."""
    memory = settings.cache / "fingerprints.json"
    stat = path.stat()
    key = f"{path.resolve()}|{stat.st_size}|{stat.st_mtime_ns}"
    try:
        known = json.loads(memory.read_text())
    except (OSError, ValueError):
        known = {}
    if key not in known:
        with path.open("rb") as file:
            known[key] = hashlib.file_digest(file, "sha256").hexdigest()
        write_atomically(memory, json.dumps(known))
    return str(known[key])


def _in_child(
    reference: ModelReference, settings: Settings, stop: threading.Event
) -> Iterator[Progress]:
    """Run ``fetch_here`` in a child and hand on its events; stop it when asked or abandoned."""
    child = subprocess.Popen(
        [sys.executable, "-m", "workbench.models.fetch", str(reference)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        cwd=Path(__file__).resolve().parents[2],
        env=_child_environment(settings),
    )
    watcher = threading.Thread(target=_end_when, args=(stop, child), daemon=True)
    watcher.start()
    complaint: list[str] = []
    drain = threading.Thread(target=lambda: complaint.append(child.stderr.read()), daemon=True)  # type: ignore[union-attr]
    drain.start()
    try:
        for line in child.stdout or ():
            yield from _read_line(line)
        child.wait()
        drain.join(5)
        if stop.is_set():
            raise Stopped
        if child.returncode:
            last = "".join(complaint).strip().splitlines()[-1:] or ["the helper process ended"]
            raise DownloadFailed(model=str(reference), reason=last[0][:200])
    finally:
        _end(child)


def _child_environment(settings: Settings) -> dict[str, str]:
    """The child reads the same settings; the token travels in the environment only."""
    chosen = {
        "TRILOGY_CACHE": str(settings.cache.absolute()),
        "TRILOGY_WORKSPACE": str(settings.workspace.absolute()),
        "TRILOGY_TRUST_REMOTE_CODE": str(settings.trust_remote_code).lower(),
        "TRILOGY_CALLER": str(Path.cwd()),
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    }
    if settings.token:
        chosen["TRILOGY_HUB_TOKEN"] = settings.token
    return {**os.environ, **chosen}


def _read_line(line: str) -> Iterator[Progress]:
    try:
        said: dict[str, Any] = json.loads(line)
    except ValueError:
        return
    if "progress" in said:
        yield Progress(**said["progress"])
    if "error" in said:
        raise getattr(errors, said["error"])(**said["facts"])


def _end_when(stop: threading.Event, child: subprocess.Popen[str]) -> None:
    while child.poll() is None:
        if stop.wait(0.2):
            _end(child)


def _end(child: subprocess.Popen[str]) -> None:
    """The child leads its own session, so pip below it ends too."""
    if child.poll() is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
    child.wait()


def _say(say: Callable[[str], Any], **document: Any) -> None:
    say(json.dumps(document, ensure_ascii=False, default=str))


def main() -> None:
    """The child: events as JSON lines on standard output."""
    out = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # whatever a library prints must not mix with the events
    say: Callable[[str], Any] = lambda line: print(line, file=out, flush=True)  # noqa: E731
    os.chdir(os.environ.get("TRILOGY_CALLER", "."))
    try:
        for progress in fetch_here(ModelReference.parse(sys.argv[1]), Settings()):
            _say(say, progress=asdict(progress))
    except WorkbenchError as error:
        _say(say, error=type(error).__name__, facts=error.facts)
    except OSError as error:
        if error.errno != 28:
            raise
        facts = {"needed": "more bytes", "free": "0 GB", "place": Settings().cache}
        _say(say, error="DiskFull", facts=facts)


if __name__ == "__main__":
    main()
