"""Rows in one sequence: who can keep them apart, in which bins they go, and the kernel on a GPU."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as some
from transformers import AutoModelForCausalLM, Gemma3TextConfig, LlamaConfig, MambaConfig

from workbench.tune import attention, plan
from workbench.tune.encode import Encoded
from workbench.tune.trainer import packed

SMALL = {"hidden_size": 64, "num_hidden_layers": 2, "vocab_size": 300}
LLAMA = LlamaConfig(**SMALL, num_attention_heads=4, num_key_value_heads=2, intermediate_size=128)
GEMMA = Gemma3TextConfig(
    **SMALL, num_attention_heads=4, num_key_value_heads=1, head_dim=32, intermediate_size=128,
    sliding_window=16,
)  # fmt: skip
MAMBA = MambaConfig(**SMALL, state_size=8)


def model_of(config: Any, dtype: torch.dtype = torch.float32) -> Any:
    torch.manual_seed(3)
    return AutoModelForCausalLM.from_config(config, dtype=dtype).eval()


def rows_of(*lengths: int) -> list[Encoded]:
    made = np.random.default_rng(5)
    ids = [made.integers(3, 300, length).tolist() for length in lengths]
    return [Encoded(row, [True] * len(row), ["text"] * len(row), len(row), False) for row in ids]


@pytest.mark.parametrize("config", [LLAMA, GEMMA])
def test_a_transformer_keeps_rows_apart(config: Any) -> None:
    assert attention.keeps_apart(model_of(config))


def test_a_model_that_remembers_does_not() -> None:
    assert not attention.keeps_apart(model_of(MAMBA))


def test_without_a_gpu_transformers_masks() -> None:
    model = model_of(LLAMA)
    assert not attention.use(model)
    assert model.config._attn_implementation == "sdpa"


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("config", [LLAMA, GEMMA])
def test_borders_give_what_each_row_gives_alone(config: Any) -> None:
    model, rows = model_of(config, torch.bfloat16).cuda(), rows_of(60, 1, 33)
    assert attention.use(model)
    batch = packed(rows, by_borders=True)
    batch.pop("labels")
    told = {name: one.cuda() if torch.is_tensor(one) else one for name, one in batch.items()}
    with torch.no_grad():
        together = model(**told, use_cache=False).logits.float()
        alone = [model(torch.tensor([row.ids]).cuda(), use_cache=False).logits for row in rows]
    apart = torch.cat(alone, dim=1).float()
    assert (together - apart).norm() / apart.norm() < 0.02


@given(
    lengths=some.lists(some.integers(1, 300), min_size=12, max_size=12),
    room=some.integers(1, 2000),
)
def test_bins_hold_every_row_once_and_are_level(lengths: list[int], room: int) -> None:
    planned, sizes = np.arange(12).reshape(3, 4), np.array(lengths)
    filled = plan.bins(planned, sizes, room)
    assert len({len(step) for step in filled}) == 1
    for step, rows in zip(filled, planned.tolist(), strict=True):
        assert sorted(row for one in step for row in one) == rows
        held = [sum(lengths[row] for row in one) for one in step]
        assert all(held)
        assert max(held) - min(held) <= max(lengths[row] for row in rows)


def test_as_few_bins_as_the_room_allows() -> None:
    lengths = np.array([100, 50, 50, 20, 20, 10])
    assert len(plan.bins(np.arange(6)[None], lengths, 1000)[0]) == 1
    assert len(plan.bins(np.arange(6)[None], lengths, 125)[0]) == 2
    assert len(plan.bins(np.arange(6)[None], lengths, 1)[0]) == 6
