"""What a run leaves for others: the adapter as it is, merged weights, or a repository.

Merged weights are compared with base and adapter before they are kept. This module does not
know how the adapter was trained.
"""

from __future__ import annotations

import shutil
import tempfile
import threading
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workbench.errors import BrokenWeights, DatasetUnavailable, NoAdapter, Stopped
from workbench.events import Progress
from workbench.models.fetch import Fetched, fetch
from workbench.models.reference import ModelReference
from workbench.settings import Settings
from workbench.tune import job
from workbench.tune.recipe import TuneRecipe
from workbench.workspace import Workspace

ADAPTER = "adapter"
TRIALS = ("今日天氣好好，我哋一齊", "The best thing about the city is", "def add(a, b):")
AGREE = 0.99
"""Least correlation of the logits of merged and unmerged weights, which differ by rounding."""


@dataclass(frozen=True)
class Merged:
    """Where merged weights are, and how well they agree with base and adapter."""

    folder: Path
    agreement: float
    """Correlation of the logits after three short texts; 1 is the same."""


def adapter_of(name: str, workspace: Workspace) -> Path:
    """The folder of a run's adapter.

    Raises:
        NoSuchRun, NoAdapter: it has not been finished or stopped yet.
    """
    folder = job.find(name, workspace) / ADAPTER
    if not (folder / "adapter_model.safetensors").is_file():
        raise NoAdapter(name=name)
    return folder


def zip_adapter(name: str, workspace: Workspace, out: Path) -> Path:
    """The adapter, its card and its recipe in one zip file, whose path ends in .zip.

    Raises:
        NoSuchRun, NoAdapter.
    """
    folder = adapter_of(name, workspace)
    with tempfile.TemporaryDirectory() as gathered:
        inside = Path(gathered) / name
        shutil.copytree(folder, inside)
        for extra in (job.RECIPE, "card.md"):
            source = folder.parent / extra
            if source.is_file():
                target = "README.md" if extra == "card.md" else extra
                shutil.copy(source, inside / target)
        out.parent.mkdir(parents=True, exist_ok=True)
        return Path(shutil.make_archive(str(out.with_suffix("")), "zip", gathered))


def merge(
    name: str, workspace: Workspace, out: Path, settings: Settings, stop: threading.Event
) -> Generator[Progress, None, Merged]:
    """Write base and adapter as one model in bf16 safetensors, once the two agree.

    Raises:
        NoSuchRun, NoAdapter, ModelError, BrokenWeights, Stopped.
    """
    adapter = adapter_of(name, workspace)
    recipe = TuneRecipe.from_yaml((adapter.parent / job.RECIPE).read_text("utf-8"))
    fetched = yield from fetch(ModelReference.parse(recipe.base), settings, stop)
    yield Progress("load", 0, 2, "models", recipe.base)
    model, tokenizer = _with_adapter(fetched, adapter, settings)
    before = _logits(model, tokenizer)
    yield Progress("load", 1, 2, "models", recipe.base)
    if stop.is_set():
        raise Stopped
    merged = model.merge_and_unload()
    agreement = _correlation(before, _logits(merged, tokenizer))
    if not agreement >= AGREE:
        reason = f"merged and unmerged weights agree only to {agreement:.3f}"
        raise BrokenWeights(model=f"{recipe.base}+{name}", reason=reason)
    yield Progress("write", 0, 0, "files", name)
    out.parent.mkdir(parents=True, exist_ok=True)
    beside = Path(tempfile.mkdtemp(dir=out.parent, prefix=".merging-"))
    try:
        merged.save_pretrained(beside)
        tokenizer.save_pretrained(beside)
        beside.chmod(0o755)
        beside.replace(out)
    finally:
        shutil.rmtree(beside, ignore_errors=True)
    return Merged(out, agreement)


def push(
    name: str, workspace: Workspace, repo: str, token: str | None, private: bool = True
) -> str:
    """Put the adapter with its card on the Hub; the address it has then.

    Raises:
        NoSuchRun, NoAdapter, DatasetUnavailable: the Hub refused or cannot be reached.
    """
    from huggingface_hub import HfApi

    with tempfile.TemporaryDirectory() as folder:
        path = zip_adapter(name, workspace, Path(folder) / "adapter.zip")
        inside = Path(folder) / "unpacked"
        shutil.unpack_archive(path, inside)
        api = HfApi(token=token)
        try:
            made = api.create_repo(repo, private=private, exist_ok=True)
            api.upload_folder(repo_id=made.repo_id, folder_path=inside / name)
        except Exception as error:  # the library raises whatever the Hub answers
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
            raise DatasetUnavailable(name=repo, reason=reason.rstrip(".")) from error
    return str(made)


def _with_adapter(fetched: Fetched, adapter: Path, settings: Settings) -> tuple[Any, Any]:
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer

    base = AutoModelForCausalLM.from_pretrained(
        fetched.folder,
        dtype=torch.bfloat16,
        trust_remote_code=settings.trust_remote_code,
        use_safetensors=True,
        local_files_only=True,
    )
    tokenizer = AutoTokenizer.from_pretrained(
        adapter, trust_remote_code=settings.trust_remote_code, local_files_only=True
    )
    return PeftModel.from_pretrained(base, adapter).eval(), tokenizer


def _logits(model: Any, tokenizer: Any) -> Any:
    """Of the token after each trial text, float64. Shape [texts, vocabulary]."""
    import torch

    rows = []
    with torch.inference_mode():
        for text in TRIALS:
            ids = tokenizer(text, return_tensors="pt").input_ids.to(model.device)
            rows.append(model(input_ids=ids).logits[0, -1].double().cpu())
    return torch.stack(rows)


def _correlation(one: Any, other: Any) -> float:
    """The least of the rows' Pearson correlations."""
    import torch

    pairs = [torch.corrcoef(torch.stack(pair))[0, 1] for pair in zip(one, other, strict=True)]
    return float(min(pairs))
