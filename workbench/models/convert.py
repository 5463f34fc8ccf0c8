"""A GGUF file into a folder of safetensors, once.

transformers dequantizes; the folder appears under its name only when it is whole.
This module does not know where the file came from.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

from workbench.errors import BrokenWeights, DiskFull, UnknownArchitecture
from workbench.events import Progress
from workbench.models.watch import watched

MANIFEST = "trilogy.json"
# bfloat16 against the four to five bits a weight of the usual GGUF files, and some room.
GROWTH = 5


def convert(gguf: Path, folder: Path, sha256: str, model: str) -> Iterator[Progress]:
    """Write the model and the tokenizer inside ``gguf`` to ``folder``.

    Raises:
        BrokenWeights: the file is truncated or no GGUF at all.
        UnknownArchitecture: transformers cannot read this kind of GGUF.
        DiskFull: there is no room for the result.
    """
    check_gguf(gguf, model)
    check_room(gguf.stat().st_size * GROWTH, folder)
    beside = folder.with_name(f".{folder.name}.part")
    shutil.rmtree(beside, ignore_errors=True)
    started = time.monotonic()
    yield from watched(
        lambda: _write(gguf, beside, model),
        lambda: round(time.monotonic() - started),
        Progress("convert", 0, 0, "seconds", model),
    )
    (beside / MANIFEST).write_text(json.dumps({"source": model, "source_sha256": sha256}))
    shutil.rmtree(folder, ignore_errors=True)
    beside.rename(folder)


def check_gguf(path: Path, model: str) -> None:
    """Every tensor that the header promises must lie inside the file.

    Raises:
        BrokenWeights: it does not, or the header cannot be read.
    """
    from gguf import GGUFReader

    try:
        reader = GGUFReader(path)
        end = max((int(t.data_offset + t.n_bytes) for t in reader.tensors), default=0)
    except Exception as error:  # the reader raises whatever the damaged bytes lead it to
        raise BrokenWeights(model=model, reason="the GGUF header cannot be read") from error
    if not end or end > path.stat().st_size:
        raise BrokenWeights(model=model, reason="the file ends before its last tensor")


def check_room(needed: int, place: Path) -> None:
    """Raises DiskFull when fewer than ``needed`` bytes are free where ``place`` will be."""
    there = place
    while not there.exists():
        there = there.parent
    free = shutil.disk_usage(there).free
    if free < needed:
        raise DiskFull(needed=f"{needed / 1e9:.1f} GB", free=f"{free / 1e9:.1f} GB", place=there)


def _write(gguf: Path, folder: Path, model: str) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    source = {"pretrained_model_name_or_path": str(gguf.parent), "gguf_file": gguf.name}
    try:
        network = AutoModelForCausalLM.from_pretrained(
            **source,
            quantization_config=GgufConfig(dequantize=True),
            dtype=torch.bfloat16,
            trust_remote_code=False,
        )
        tokenizer = AutoTokenizer.from_pretrained(**source, trust_remote_code=False)
    except (ValueError, NotImplementedError, KeyError) as error:
        raise UnknownArchitecture(model=model, architecture=str(error)[:120]) from error
    network.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    _drop_invented_tokens(folder / "tokenizer.json", network.get_input_embeddings().num_embeddings)


def _drop_invented_tokens(path: Path, rows: int) -> None:
    """transformers may add a token that the file does not have, and no weights stand for it."""
    if path.is_file():
        written = json.loads(path.read_text(encoding="utf-8"))
        there = [token for token in written.get("added_tokens") or [] if token["id"] < rows]
        if len(there) < len(written.get("added_tokens") or []):
            path.write_text(json.dumps({**written, "added_tokens": there}), encoding="utf-8")
