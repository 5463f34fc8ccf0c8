"""What fits is counted before anything is loaded, and agrees with what training really takes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests import tiny
from workbench.errors import DoesNotFit, FitsInPrecision, FitsNowhere, FitsShorter
from workbench.models.estimate import config_of
from workbench.models.reference import ModelReference
from workbench.settings import Settings
from workbench.tune.estimate import counted, estimate, fitting, micro_batches
from workbench.tune.recipe import TuneRecipe, from_preset

ROOT = Path(__file__).resolve().parents[2]
GEMMA = "bundled:gemma-3-270m"
SMOLLM = "bundled:smollm2-135m-instruct"


def config(reference: str) -> dict[str, Any]:
    return config_of(ModelReference.parse(reference), Settings())


def recipe(**fields: Any) -> TuneRecipe:
    return TuneRecipe("a", **{"precision": "bf16", **fields})


def really_kept(model: Any, tokens: Any, **options: Any) -> tuple[int, int]:
    """Bytes that autograd keeps of a PEFT model's pass on real tensors; weights of the adapter."""
    import torch
    from peft import LoraConfig, get_peft_model

    model = get_peft_model(model, LoraConfig(target_modules="all-linear", **options)).train()
    known = {one.untyped_storage()._cdata for one in [*model.parameters(), *model.buffers()]}
    kept = {}

    def keep(tensor: Any) -> Any:
        storage = tensor.untyped_storage()
        if storage._cdata not in known:
            kept[storage._cdata] = storage
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        seen = torch.ones_like(tokens)
        seen[0, -5:] = 0  # a batch without padding needs no mask, and is rare
        model.get_base_model().base_model(tokens, attention_mask=seen, use_cache=False)
    trained = sum(one.numel() for one in model.parameters() if one.requires_grad)
    return sum(one.nbytes() for one in kept.values()), trained


@pytest.mark.parametrize("kind", ["Llama", "Qwen2", "Gemma3Text"])
@pytest.mark.parametrize("dropout", [0.0, 0.1])
def test_what_autograd_keeps_is_what_was_counted(kind: str, dropout: float) -> None:
    import torch

    shape = {"head_dim": 8} if kind == "Gemma3Text" else {}
    model = tiny.network(tiny.characters(), kind, **shape)
    raw = model.config.to_dict()
    tokens = torch.zeros((3, 40), dtype=torch.long)
    kept, trained = really_kept(model, tokens, r=4, lora_dropout=dropout)
    asked = recipe(precision="fp32", lora_r=4, lora_dropout=dropout)
    assert estimate(asked, raw, 3, 40).adapter == 4 * trained
    assert counted(asked, raw, "fp32", 40).kept(3) == pytest.approx(kept, rel=0.02)


def test_more_rows_longer_rows_and_a_larger_adapter_take_more() -> None:
    raw = config(GEMMA)
    plain = estimate(recipe(), raw, 2, 128)
    assert estimate(recipe(), raw, 4, 128).activations > 1.9 * plain.activations
    assert estimate(recipe(), raw, 2, 256).activations > 1.9 * plain.activations
    double = estimate(recipe(lora_r=32), raw, 2, 128)
    assert (double.adapter, double.optimizer) == (2 * plain.adapter, 2 * plain.optimizer)
    assert estimate(recipe(optimizer="paged_adamw_8bit"), raw, 2, 128).optimizer == (
        plain.optimizer / 4
    )
    assert estimate(recipe(dora=True), raw, 2, 128).activations > plain.activations
    assert estimate(recipe(precision="nf4"), raw, 2, 128).weights < plain.weights
    assert plain.total > plain.weights + plain.activations


def test_computing_again_keeps_the_inputs_of_layers_only() -> None:
    raw = config(GEMMA)
    kept = estimate(recipe(), raw, 4, 256)
    again = estimate(recipe(), raw, 4, 256, recompute=True)
    assert again.activations < kept.activations / 5
    assert again.weights == kept.weights


def test_a_micro_batch_divides_the_batch() -> None:
    assert micro_batches(recipe(batch=12), 64) == [12, 6, 4, 3, 2, 1]
    assert micro_batches(recipe(batch=12, micro_batch=5), 64) == [5]


def test_on_a_cpu_more_than_a_thousand_tokens_at_once_are_of_no_use() -> None:
    assert micro_batches(recipe(batch=16), 256) == [4, 2, 1]
    assert micro_batches(recipe(batch=16), 4096) == [1]


def test_the_largest_micro_batch_that_fits_is_found() -> None:
    raw, asked = config(GEMMA), recipe(batch=8, max_length=64)
    totals = {size: estimate(asked, raw, size, 64).total for size in (1, 2, 4, 8)}
    assert sorted(totals.values()) == list(totals.values())
    for size, total in totals.items():
        found = fitting(asked, raw, total)
        assert (found.micro_batch, found.total, found.recompute) == (size, total, False)
        if size > 1:
            assert fitting(asked, raw, total - 1).micro_batch == size // 2
    assert fitting(asked, raw, 10**11).micro_batch == 8


def test_activations_are_computed_again_only_when_nothing_else_fits() -> None:
    raw, asked = config(GEMMA), recipe(batch=4, max_length=4096)
    kept = estimate(asked, raw, 1, 4096).total
    assert not fitting(asked, raw, kept).recompute
    assert fitting(asked, raw, kept - 1).recompute


def test_the_length_of_the_longest_row_counts_when_it_is_known() -> None:
    raw, asked = config(GEMMA), recipe(batch=8, max_length=2048)
    assert fitting(asked, raw, 10**10, length=100).length == 100
    assert fitting(asked, raw, 10**10, length=10_000).length == 2048


def test_a_refusal_says_what_would_fit() -> None:
    raw, asked = config(GEMMA), recipe(precision="fp32", batch=4, max_length=1024)
    least = {
        precision: estimate(asked, raw, 1, 1024, True, precision).total
        for precision in ("nf4", "bf16", "fp32")
    }
    assert least["nf4"] < least["bf16"] < least["fp32"]
    with pytest.raises(FitsInPrecision, match="bf16"):
        fitting(asked, raw, least["bf16"])
    shorter = estimate(asked, raw, 1, 256, True, "nf4").total
    with pytest.raises(FitsShorter, match="256"):
        fitting(asked, raw, shorter)
    with pytest.raises(FitsNowhere):
        fitting(asked, raw, 100_000_000)
    with pytest.raises(DoesNotFit, match="fp32"):
        fitting(asked, raw, least["fp32"] - 1_000_000_000)


def test_a_base_that_cannot_be_traced_is_estimated_from_its_layers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import workbench.tune.estimate as module

    def fails(*_: Any, **__: Any) -> int:
        raise RuntimeError("this architecture looks at its numbers")

    raw = {**config(SMOLLM), "rope_theta": 12345.0}  # not traced before
    whole = estimate(recipe(), config(SMOLLM), 2, 256)
    monkeypatch.setattr(module, "_kept", fails)
    guessed = estimate(recipe(), raw, 2, 256)
    assert guessed.adapter == whole.adapter
    assert guessed.activations == pytest.approx(whole.activations, rel=0.4)


def test_the_cpu_preset_fits_a_small_machine() -> None:
    found = fitting(from_preset("cpu", "a"), config(GEMMA), 4 * 10**9)
    assert not found.recompute


@pytest.mark.real
@pytest.mark.parametrize(
    ("reference", "precision", "batch", "length", "dropout"),
    [(GEMMA, "bf16", 2, 128, 0.0), (GEMMA, "bf16", 4, 192, 0.05), (SMOLLM, "bf16", 4, 128, 0.05)],
)
def test_the_estimate_is_within_a_third_of_what_was_measured(
    reference: str, precision: Any, batch: int, length: int, dropout: float
) -> None:
    command = [sys.executable, "-m", "tests.tune.measure", reference, precision]
    command += [str(batch), str(length), "8", str(dropout)]
    done = subprocess.run(
        command, cwd=ROOT, env={**os.environ}, capture_output=True, text=True, check=True
    )
    measured = json.loads(done.stdout.splitlines()[-1])
    asked = recipe(precision=precision, lora_r=8, lora_dropout=dropout)
    told = estimate(asked, config(reference), batch, length)
    assert told.adapter == 4 * measured["trained"]
    assert told.total == pytest.approx(measured["peak"], rel=0.3)
