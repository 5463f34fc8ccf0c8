"""Memory before loading: close to what is really taken, and helpful when it does not fit."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests import tiny
from workbench.errors import (
    DoesNotFit,
    FitsInPrecision,
    FitsNowhere,
    FitsShorter,
    LoadFailed,
    ModelNotFound,
    UnknownBundled,
    WorkbenchError,
)
from workbench.models.device import PRECISIONS, Precision
from workbench.models.estimate import available, check_fits, config_of, estimate
from workbench.models.reference import ModelReference
from workbench.settings import Settings

GB = 1e9
SEVEN: dict[str, Any] = {
    **{"model_type": "llama", "architectures": ["LlamaForCausalLM"], "vocab_size": 32000},
    **{"hidden_size": 4096, "intermediate_size": 11008, "num_hidden_layers": 32},
    **{"num_attention_heads": 32, "num_key_value_heads": 32, "max_position_embeddings": 4096},
}


@pytest.mark.parametrize("precision", ["bf16", "fp32"])
@pytest.mark.parametrize("name", ["tiny_model", "tiny_bytes", "tiny_gpt2"])
def test_the_weights_of_tiny_models_are_counted(
    name: str, precision: Precision, request: pytest.FixtureRequest, settings: Settings
) -> None:
    folder = request.getfixturevalue(name)
    config = json.loads((folder / "config.json").read_text())
    loaded = tiny.load(f"file:{folder}", precision, settings)
    assert estimate(config, precision).weights == pytest.approx(loaded.memory_bytes, rel=0.03)


@pytest.mark.parametrize("precision", ["nf4", "int8"])
def test_the_weights_of_a_quantized_model_are_counted(
    precision: Precision, tmp_path: Path, settings: Settings
) -> None:
    tokenizer = tiny.characters()
    wide = {"hidden_size": 512, "intermediate_size": 1024}
    tiny.save(tmp_path, tiny.network(tokenizer, **wide), tokenizer)
    config = json.loads((tmp_path / "config.json").read_text())
    loaded = tiny.load(f"file:{tmp_path}", precision, settings)
    assert estimate(config, precision).weights == pytest.approx(loaded.memory_bytes, rel=0.03)


@pytest.mark.real
@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("name", ["gemma-3-270m", "smollm2-135m-instruct"])
def test_the_weights_of_the_bundled_models_are_counted(
    name: str, precision: Precision, request: pytest.FixtureRequest, real_settings: Settings
) -> None:
    reference = ModelReference.parse(f"bundled:{name}")
    if precision == "bf16":
        loaded = request.getfixturevalue("gemma" if name.startswith("gemma") else "smollm")
    else:
        loaded = tiny.load(str(reference), precision, real_settings)
    guessed = estimate(config_of(reference, real_settings), precision).weights
    assert guessed == pytest.approx(loaded.memory_bytes, rel=0.03)


def test_a_model_of_seven_billion_is_what_people_say_it_is() -> None:
    assert 3.5 * GB < estimate(SEVEN, "nf4").total < 5.5 * GB
    assert estimate(SEVEN, "bf16").weights == pytest.approx(13.48 * GB, rel=0.01)
    assert estimate(SEVEN, "fp32").weights == 2 * estimate(SEVEN, "bf16").weights


def test_smaller_precisions_take_less() -> None:
    sizes = [estimate(SEVEN, precision).weights for precision in PRECISIONS]
    assert sizes == sorted(sizes)
    assert len(set(sizes)) == 4


def test_a_longer_context_and_a_larger_batch_take_more() -> None:
    totals = [estimate(SEVEN, "bf16", context).total for context in (64, 128, 1024, 4096)]
    assert totals == sorted(set(totals))
    one, four = estimate(SEVEN, "bf16"), estimate(SEVEN, "bf16", batch=4)
    assert four.cache == 4 * one.cache
    assert four.weights == one.weights


def test_the_cache_is_two_vectors_a_token_and_layer() -> None:
    assert estimate(SEVEN, "bf16", 1000).cache == 2 * 32 * 4096 * 1000 * 2
    grouped = {**SEVEN, "num_key_value_heads": 8}
    assert estimate(grouped, "bf16", 1000).cache == 2 * 32 * 1024 * 1000 * 2


def test_a_sliding_window_keeps_less() -> None:
    sliding = {
        **{"model_type": "gemma3_text", "architectures": ["Gemma3ForCausalLM"]},
        **{"vocab_size": 1000, "hidden_size": 64, "intermediate_size": 128, "head_dim": 16},
        **{"num_hidden_layers": 6, "num_attention_heads": 4, "num_key_value_heads": 2},
        "sliding_window": 128,
    }
    kinds = ["sliding_attention"] * 5 + ["full_attention"]
    mixed = estimate({**sliding, "layer_types": kinds}, "bf16", 1024).cache
    full = estimate({**sliding, "layer_types": ["full_attention"] * 6}, "bf16", 1024).cache
    assert mixed * 6 == full * (5 * 128 / 1024 + 1)


def test_what_fits_is_let_through() -> None:
    assert check_fits("it", SEVEN, "nf4", 1024, int(6 * GB)) == estimate(SEVEN, "nf4", 1024)


def refusal(precision: Precision, context: int, budget: float) -> DoesNotFit:
    with pytest.raises(DoesNotFit) as caught:
        check_fits("it", SEVEN, precision, context, int(budget))
    return caught.value


def test_a_smaller_precision_is_advised_where_one_fits() -> None:
    told = refusal("fp32", 1024, 16 * GB)
    assert isinstance(told, FitsInPrecision)
    assert told.facts["instead"] == "bf16"
    assert refusal("bf16", 1024, 9 * GB).facts["instead"] == "int8"
    assert refusal("bf16", 1024, 5 * GB).facts["instead"] == "nf4"


def test_a_shorter_context_is_advised_where_that_helps() -> None:
    assert isinstance(refusal("nf4", 4096, 4.3 * GB), FitsShorter)


def test_else_a_smaller_model_is_advised_with_its_size() -> None:
    told = refusal("bf16", 1024, 1 * GB)
    assert isinstance(told, FitsNowhere)
    assert 0.5 < float(told.facts["billions"]) < 2
    assert "1.0 GB" in str(told)


@pytest.mark.parametrize(
    "changes", [{"hidden_size": "wide"}, {"hidden_size": 100, "num_attention_heads": 7}]
)
def test_a_configuration_that_makes_no_network(changes: dict[str, Any]) -> None:
    with pytest.raises(LoadFailed) as caught:
        estimate({**SEVEN, **changes}, "bf16")
    assert "\n" not in str(caught.value)


def test_estimates_of_the_bundled_models_need_no_download(settings: Settings) -> None:
    for name in ("gemma-3-270m", "smollm2-135m-instruct"):
        reference = ModelReference.parse(f"bundled:{name}")
        assert 100e6 < estimate(config_of(reference, settings), "bf16").weights < 700e6
    assert not settings.cache.exists()


@pytest.mark.parametrize(
    ("text", "error"), [("bundled:none", UnknownBundled), ("file:/no/where", ModelNotFound)]
)
def test_what_is_not_there_has_no_estimate(
    text: str, error: type[WorkbenchError], settings: Settings
) -> None:
    with pytest.raises(error):
        config_of(ModelReference.parse(text), settings)


def test_the_owner_sets_the_limit(settings: Settings) -> None:
    assert available(settings.model_copy(update={"memory_gb": 0.5})) == 500_000_000
    assert available(settings) > 500_000_000
