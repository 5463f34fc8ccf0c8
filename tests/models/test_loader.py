"""Loading: every precision, an adapter on top, progress, Stop, and one sentence when it fails."""

from __future__ import annotations

import json
import shutil
import threading
from pathlib import Path
from typing import Any

import pytest
import torch

from tests import tiny
from workbench.errors import BadAdapter, LoadFailed, PrecisionUnavailable, Stopped
from workbench.events import Progress, readable
from workbench.models.device import PRECISIONS, Precision, is_out_of_memory
from workbench.models.fetch import fetch, locate
from workbench.models.loader import load
from workbench.models.reference import ModelReference
from workbench.settings import Settings


@pytest.fixture(scope="session")
def wide_model(home: Path) -> Path:
    """Wide enough for blocks of 64 weights, which NF4 needs."""
    tokenizer = tiny.characters()
    model = tiny.network(tokenizer, hidden_size=128, intermediate_size=256)
    return tiny.save(home / "wide", model, tokenizer)


@pytest.mark.parametrize("precision", PRECISIONS)
def test_every_precision_loads_and_answers(
    precision: Precision, wide_model: Path, settings: Settings
) -> None:
    loaded = tiny.load(f"file:{wide_model}", precision, settings)
    assert loaded.precision == precision
    assert not any(weight.requires_grad for weight in loaded.model.parameters())
    assert not loaded.model.training
    ids = loaded.tokenizer(tiny.TEXT, return_tensors="pt")["input_ids"]
    with torch.inference_mode():
        assert loaded.model(ids).logits.isfinite().all()
    layer = loaded.model.model.layers[0].mlp.up_proj
    expected = {"nf4": "Linear4bit", "int8": "Linear8bitLt"}.get(precision, "Linear")
    assert type(layer).__name__ == expected


def test_a_model_too_narrow_for_nf4_says_so_when_it_is_loaded(
    tiny_model: Path, settings: Settings
) -> None:
    if torch.cuda.is_available():
        pytest.skip("the kernels of a GPU take any width")
    with pytest.raises(PrecisionUnavailable, match=r"nf4.*Choose bf16"):
        tiny.load(f"file:{tiny_model}", "nf4", settings)


def test_nf4_is_double_quantized(wide_model: Path, settings: Settings) -> None:
    loaded = tiny.load(f"file:{wide_model}", "nf4", settings)
    asked = loaded.model.config.quantization_config
    assert (asked.bnb_4bit_quant_type, asked.bnb_4bit_use_double_quant) == ("nf4", True)
    assert loaded.model.model.layers[0].mlp.up_proj.weight.quant_state.quant_type == "nf4"


def test_the_fingerprint_is_of_base_and_adapter(
    tiny_model: Path, tiny_adapter: Path, settings: Settings, tmp_path: Path
) -> None:
    def print_of(text: str) -> str:
        return tiny.load(text, "fp32", settings).fingerprint

    base = print_of(f"file:{tiny_model}")
    moved = shutil.copytree(tiny_model, tmp_path / "moved")
    assert print_of(f"file:{moved}") == base
    assert print_of(f"file:{tiny_model}+{tiny_adapter}") not in ("", base)
    config = json.loads((moved / "config.json").read_text())
    (moved / "config.json").write_text(json.dumps({**config, "rms_norm_eps": 0.1}))
    assert print_of(f"file:{moved}") != base


def test_an_adapter_may_be_a_run_of_the_workspace(
    tiny_model: Path, tiny_adapter: Path, settings: Settings
) -> None:
    shutil.copytree(tiny_adapter, settings.workspace / "runs" / "my-run" / "adapter")
    reference = ModelReference.parse(f"file:{tiny_model}+my-run")
    fetched = tiny.finish(fetch(reference, settings, tiny.never()))[1]
    assert fetched.adapter == settings.workspace / "runs" / "my-run" / "adapter"
    by_path = locate(ModelReference.parse(f"file:{tiny_model}+{tiny_adapter}"), settings)
    assert fetched.adapter_fingerprint == by_path.adapter_fingerprint


def test_an_adapter_for_another_model_is_refused(
    tiny_gpt2: Path, tiny_adapter: Path, settings: Settings
) -> None:
    with pytest.raises(BadAdapter) as caught:
        tiny.load(f"file:{tiny_gpt2}+{tiny_adapter}", "fp32", settings)
    assert "\n" not in str(caught.value)


def test_an_adapter_of_another_size_is_refused(
    tiny_adapter: Path, settings: Settings, tmp_path: Path
) -> None:
    tokenizer = tiny.characters()
    tiny.save(tmp_path / "wide", tiny.network(tokenizer, hidden_size=64), tokenizer)
    with pytest.raises(BadAdapter):
        tiny.load(f"file:{tmp_path}/wide+{tiny_adapter}", "fp32", settings)


@pytest.mark.parametrize("adapter", ["/no/where", "file:/no/where"])
def test_an_adapter_that_is_not_there(adapter: str, tiny_model: Path, settings: Settings) -> None:
    with pytest.raises(BadAdapter):
        tiny.load(f"file:{tiny_model}+{adapter}", "fp32", settings)


def test_a_tokenizer_with_more_tokens_than_weights_is_refused(
    settings: Settings, tmp_path: Path
) -> None:
    tokenizer = tiny.characters()
    tiny.save(tmp_path, tiny.network(tokenizer, vocab_size=len(tokenizer) - 5), tokenizer)
    with pytest.raises(LoadFailed, match="tokenizer has"):
        tiny.load(f"file:{tmp_path}", "fp32", settings)


def test_weights_of_another_shape_are_told_in_one_line(
    tiny_model: Path, settings: Settings, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(tiny_model, tmp_path / "model"))
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "intermediate_size": 48}))
    with pytest.raises(LoadFailed) as caught:
        tiny.load(f"file:{folder}", "fp32", settings)
    assert "\n" not in str(caught.value)


@pytest.mark.real
def test_progress_counts_weights_and_a_stop_ends_it(real_settings: Settings) -> None:
    reference = ModelReference.parse("bundled:smollm2-135m-instruct")
    fetched = locate(reference, real_settings)
    stop = threading.Event()
    seen: list[Progress] = []
    with pytest.raises(Stopped):
        for event in load(reference, fetched, "fp32", False, stop):
            seen.append(event)
            if event.total:
                stop.set()
    assert seen[-1].stage == "load"
    assert tiny.load(str(reference), "bf16", real_settings).memory_bytes > 200e6


def test_a_stop_before_it_starts_is_heard_too(tiny_model: Path, settings: Settings) -> None:
    reference = ModelReference.parse(f"file:{tiny_model}")
    stop = tiny.never()
    stop.set()
    with pytest.raises(Stopped):
        tiny.finish(load(reference, locate(reference, settings), "fp32", False, stop))
    assert tiny.load(str(reference), "fp32", settings).memory_bytes > 0


def test_the_prefix_is_bos_or_else_eos(any_tiny: Any) -> None:
    tokenizer = any_tiny.tokenizer
    bos = tokenizer.bos_token_id
    assert any_tiny.prefix_token == (tokenizer.eos_token_id if bos is None else bos)
    assert any_tiny.context_limit == 256


@pytest.mark.real
def test_the_bundled_models_have_their_prefix_tokens(gemma: Any, smollm: Any) -> None:
    assert gemma.tokenizer.convert_ids_to_tokens(gemma.prefix_token) == "<bos>"
    assert smollm.prefix_token == smollm.tokenizer.bos_token_id
    assert gemma.context_limit == 32768
    assert smollm.context_limit == 8192


@pytest.mark.parametrize(
    ("error", "yes"),
    [
        (MemoryError(), True),
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"), True),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"), True),
        (RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate"), True),
        (RuntimeError("shape mismatch"), False),
        (ValueError("out of memory"), False),
    ],
)
def test_running_out_of_memory_is_known_by_its_names(error: Exception, yes: bool) -> None:
    assert is_out_of_memory(error) == yes


def test_sizes_are_written_for_people() -> None:
    assert [readable(812e6), readable(5.44e9), readable(0)] == ["812 MB", "5.4 GB", "0 kB"]
