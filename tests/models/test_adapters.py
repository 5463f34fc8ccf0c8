"""Adapters on one base: asleep they are not there, awake they are who they say they are."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from peft.tuners.lora import LoraLayer
from safetensors.torch import load_file, save_file

from tests import tiny
from workbench.errors import BadAdapter
from workbench.models import adapters
from workbench.models.adapters import attach, can_share, detach, speaking
from workbench.models.decoding import decode
from workbench.models.fetch import locate
from workbench.models.loader import LoadedModel, identity
from workbench.models.reference import ModelReference
from workbench.models.sampling import SamplingOptions
from workbench.settings import Settings

GREEDY = SamplingOptions(10, temperature=0, repetition_penalty=1)


@pytest.fixture
def base(tiny_model: Path, settings: Settings) -> LoadedModel:
    return tiny.load(f"file:{tiny_model}", "fp32", settings)


@pytest.fixture
def put_on(
    base: LoadedModel, tiny_model: Path, settings: Settings
) -> Callable[[Path], adapters.Attached]:
    def put(folder: Path) -> adapters.Attached:
        reference = ModelReference.parse(f"file:{tiny_model}+{folder}")
        return attach(base, locate(reference, settings), reference)

    return put


def ids(loaded: LoadedModel) -> Any:
    return loaded.tokenizer("佢哋今日")["input_ids"]


def logits(loaded: LoadedModel) -> Any:
    with torch.inference_mode():
        return loaded.model(torch.tensor([ids(loaded)])).logits


def alone(reference: str, settings: Settings) -> str:
    """What the model with its adapter inside writes, loaded as one model of its own."""
    loaded = tiny.load(reference, "fp32", settings)
    return decode(loaded, [ids(loaded)], GREEDY, tiny.never())[0][0].text


def test_asleep_the_base_is_exactly_the_base(
    base: LoadedModel, put_on: Any, tmp_path: Path, tiny_model: Path, tiny_adapter: Path
) -> None:
    before = logits(base)
    first = put_on(tiny_adapter)
    second = put_on(tiny.save_adapter(tmp_path / "other", tiny_model, seed=5))
    assert torch.equal(logits(base), before)
    with speaking(base, [first, None]):
        decode(base, [ids(base)] * 2, GREEDY, tiny.never())
    assert torch.equal(logits(base), before)
    detach(base, first.name)
    assert torch.equal(logits(base), before)
    detach(base, second.name)
    assert torch.equal(logits(base), before)
    assert base.adapted is None
    assert not hasattr(base.model, "peft_config")
    assert not [name for name, _ in base.model.named_modules() if "lora" in name]


@pytest.mark.parametrize("changes", [{}, {"use_dora": True}, {"use_rslora": True}])
def test_awake_it_writes_what_it_writes_alone(
    base: LoadedModel, put_on: Any, settings: Settings, tiny_model: Path, tmp_path: Path,
    changes: dict[str, Any],
) -> None:  # fmt: skip
    folder = tiny.save_adapter(tmp_path / "one", tiny_model, **changes)
    attached = put_on(folder)
    with speaking(base, [attached]):
        rows, _ = decode(base, [ids(base)], GREEDY, tiny.never())
    assert rows[0].text == alone(f"file:{tiny_model}+{folder}", settings)
    assert attached.mixes is ("use_dora" not in changes)


def test_strength_goes_from_the_base_to_the_adapter_and_is_put_back(
    base: LoadedModel, put_on: Any, tiny_adapter: Path
) -> None:
    attached = put_on(tiny_adapter)

    def written(strength: float) -> list[str]:
        with speaking(base, [None, attached], [1, strength]):
            rows, _ = decode(base, [ids(base)] * 2, GREEDY, tiny.never())
        return [row.text for row in rows]

    whole = written(1)
    assert whole[0] != whole[1]
    assert written(0) == [whole[0], whole[0]]
    assert written(0.5)[0] == whole[0]
    assert written(1) == whole


def test_a_failure_in_the_middle_puts_everything_to_sleep(
    base: LoadedModel, put_on: Any, tiny_adapter: Path
) -> None:
    before, attached = logits(base), put_on(tiny_adapter)
    with pytest.raises(ZeroDivisionError), speaking(base, [attached], [0.3]):
        raise ZeroDivisionError
    assert torch.equal(logits(base), before)
    layer = next(one for one in base.adapted.modules() if isinstance(one, LoraLayer))
    assert layer.scaling[attached.name] == layer.lora_alpha[attached.name] / layer.r[attached.name]


def test_the_name_is_made_of_the_content(
    base: LoadedModel, put_on: Any, settings: Settings, tiny_model: Path, tiny_adapter: Path,
    tmp_path: Path,
) -> None:  # fmt: skip
    first = put_on(tiny_adapter)
    assert put_on(Path(shutil.copytree(tiny_adapter, tmp_path / "copy"))) is first
    folder = Path(shutil.copytree(tiny_adapter, tmp_path / "changed"))
    weights = load_file(folder / "adapter_model.safetensors")
    save_file({key: -one for key, one in weights.items()}, folder / "adapter_model.safetensors")
    changed = put_on(folder)
    assert changed.name != first.name
    reference = ModelReference.parse(f"file:{tiny_model}+{folder}")
    whole = identity(locate(reference, settings))
    assert whole == f"{base.fingerprint}+{changed.fingerprint}"


def test_many_adapters_the_one_that_spoke_longest_ago_goes(
    base: LoadedModel, put_on: Any, tiny_model: Path, tmp_path: Path
) -> None:
    empty = base.memory_bytes
    made = [
        put_on(tiny.save_adapter(tmp_path / f"{seed}", tiny_model, seed=seed, r=1 + seed % 3))
        for seed in range(adapters.MOST_ATTACHED + 2)
    ]
    assert list(base.attached) == [one.name for one in made[2:]]
    assert base.memory_bytes == empty + sum(one.bytes for one in made[2:])
    for name in list(base.attached):
        detach(base, name)
    assert base.memory_bytes == empty


def for_another_base(folder: Path, targets: Any = ("q_proj", "down_proj"), **changes: Any) -> Path:
    tokenizer = tiny.characters()
    other = tiny.save(folder / "base", tiny.network(tokenizer, **changes), tokenizer)
    return tiny.save_adapter(folder / "adapter", other, target_modules=targets)


@pytest.mark.parametrize(
    "other",
    [
        {"hidden_size": 64}, {"num_hidden_layers": 3}, {"num_hidden_layers": 1},
        {"kind": "GPT2", "n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 64,
         "targets": "all-linear"},
    ],
)  # fmt: skip
@pytest.mark.parametrize("beside_another", [False, True])
def test_an_adapter_for_another_base_is_refused_and_leaves_no_trace(
    base: LoadedModel, put_on: Any, tmp_path: Path, tiny_adapter: Path, other: dict[str, Any],
    beside_another: bool,
) -> None:  # fmt: skip
    if beside_another:
        kept = put_on(tiny_adapter)
    before, memory = logits(base), base.memory_bytes
    with pytest.raises(BadAdapter) as caught:
        put_on(for_another_base(tmp_path, **other))
    assert "\n" not in str(caught.value)
    assert torch.equal(logits(base), before)
    assert base.memory_bytes == memory
    assert list(base.attached) == ([kept.name] if beside_another else [])
    if not beside_another:
        assert base.adapted is None
        assert not hasattr(base.model, "peft_config")
    put_on(tiny_adapter)


@pytest.mark.parametrize(
    ("change", "shared"),
    [
        ({}, True), ({"use_dora": True}, True), ({"bias": "all"}, False),
        ({"modules_to_save": ["lm_head"]}, False), ({"peft_type": "IA3"}, False),
        ({"trainable_token_indices": [1]}, False),
    ],
)  # fmt: skip
def test_what_changes_the_base_itself_is_kept_apart(
    tiny_adapter: Path, tmp_path: Path, put_on: Any, change: dict[str, Any], shared: bool
) -> None:
    folder = Path(shutil.copytree(tiny_adapter, tmp_path / "copy"))
    config = json.loads((folder / "adapter_config.json").read_text())
    (folder / "adapter_config.json").write_text(json.dumps({**config, **change}))
    assert can_share(folder) is shared
    if not shared:
        with pytest.raises(BadAdapter):
            put_on(folder)


def test_the_template_stored_with_an_adapter_is_found(tmp_path: Path) -> None:
    assert adapters.stored_template(tmp_path) == ""
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"chat_template": "old"}))
    assert adapters.stored_template(tmp_path) == "old"
    (tmp_path / "chat_template.jinja").write_text("new")
    assert adapters.stored_template(tmp_path) == "new"
