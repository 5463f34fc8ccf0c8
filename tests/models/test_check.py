"""What is not a whole, safe, causal language model is refused by its files, before loading."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests import tiny
from workbench.errors import (
    BadAdapter,
    BrokenWeights,
    IncompleteModel,
    ModelNotFound,
    NeedsRemoteCode,
    NotCausal,
    PickleWeights,
    UnknownArchitecture,
    WorkbenchError,
)
from workbench.models.check import check_adapter, check_config, check_folder, check_names
from workbench.models.estimate import config_of
from workbench.models.fetch import locate
from workbench.models.reference import ModelReference
from workbench.settings import Settings


@pytest.fixture
def folder(tiny_model: Path, tmp_path: Path) -> Path:
    """A copy that may be damaged."""
    return Path(shutil.copytree(tiny_model, tmp_path / "model"))


def configure(folder: Path, **changes: Any) -> None:
    path = folder / "config.json"
    config = {**json.loads(path.read_text()), **changes}
    path.write_text(json.dumps({key: value for key, value in config.items() if value is not None}))


def only_pickles(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")


def cut_weights(folder: Path) -> None:
    raw = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(raw[: len(raw) // 2])


def scrambled_header(folder: Path) -> None:
    raw = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(b"\xff" * 16 + raw[16:])


def missing_shard(folder: Path) -> None:
    shards = {f"model.{name}": "model-00002-of-00002.safetensors" for name in "ab"}
    index = json.dumps({"metadata": {}, "weight_map": shards})
    (folder / "model.safetensors.index.json").write_text(index)


DAMAGES: list[tuple[Callable[[Path], Any], type[WorkbenchError], str]] = [
    (lambda folder: (folder / "config.json").unlink(), IncompleteModel, "config.json"),
    (lambda folder: (folder / "config.json").write_text("{"), IncompleteModel, "config.json"),
    (lambda folder: (folder / "config.json").write_text("[1]"), IncompleteModel, "config.json"),
    (lambda folder: (folder / "config.json").write_bytes(b"\xff\xfe"), IncompleteModel, "config"),
    (lambda folder: (folder / "tokenizer.json").unlink(), IncompleteModel, "tokenizer"),
    (lambda folder: (folder / "model.safetensors").unlink(), IncompleteModel, "safetensors"),
    (missing_shard, IncompleteModel, "model-00002-of-00002.safetensors"),
    (only_pickles, PickleWeights, "pickle"),
    (cut_weights, BrokenWeights, "model.safetensors"),
    (scrambled_header, BrokenWeights, "model.safetensors"),
    (lambda folder: configure(folder, model_type="bert"), NotCausal, "LlamaForCausalLM"),
    (lambda folder: configure(folder, model_type="nonesuch"), UnknownArchitecture, "Llama"),
]
REFUSED_BY_CONFIG = (NotCausal, UnknownArchitecture)


@pytest.mark.parametrize(("damage", "error", "word"), DAMAGES)
def test_a_folder_that_is_not_a_model_says_why(
    folder: Path,
    damage: Callable[[Path], Any],
    error: type[WorkbenchError],
    word: str,
    settings: Settings,
) -> None:
    damage(folder)
    if word == "LlamaForCausalLM":
        configure(folder, architectures=["BertForMaskedLM"])
        word = "BertForMaskedLM"
    with pytest.raises(error, match=word) as caught:
        locate(ModelReference.parse(f"file:{folder}"), settings)
    assert "\n" not in str(caught.value)


def test_a_whole_folder_passes(folder: Path) -> None:
    check_folder(folder, "it", trust_remote_code=False)


def test_a_folder_that_is_not_there(settings: Settings, tmp_path: Path) -> None:
    reference = ModelReference.parse(f"file:{tmp_path}/nowhere")
    with pytest.raises(ModelNotFound):
        locate(reference, settings)
    with pytest.raises(ModelNotFound):
        config_of(reference, settings)


@pytest.mark.parametrize("content", ["{", "[]", "3"])
def test_an_estimate_needs_a_config_that_can_be_read(
    folder: Path, content: str, settings: Settings
) -> None:
    (folder / "config.json").write_text(content)
    with pytest.raises(IncompleteModel):
        config_of(ModelReference.parse(f"file:{folder}"), settings)


@pytest.mark.parametrize(
    "config",
    [
        {"model_type": "bert", "architectures": ["BertForMaskedLM"]},
        {"model_type": "bert", "architectures": ["BertModel"]},
        {"model_type": "t5", "architectures": ["T5ForConditionalGeneration"]},
        {"model_type": "vit", "architectures": ["ViTForImageClassification"]},
        {"model_type": "llama", "architectures": ["LlamaForSequenceClassification"]},
        {
            "model_type": "bart",
            "architectures": ["BartForConditionalGeneration"],
            "is_encoder_decoder": True,
        },
    ],
)
def test_known_models_that_do_not_continue_texts_are_refused(config: dict[str, Any]) -> None:
    with pytest.raises(NotCausal, match=config["architectures"][0]):
        check_config(config, "it", trust_remote_code=False)


@pytest.mark.parametrize(
    "config",
    [
        {"model_type": "llama", "architectures": ["LlamaForCausalLM"]},
        {"model_type": "gpt2", "architectures": ["GPT2LMHeadModel"]},
        {"model_type": "qwen2"},
        {"model_type": "gemma3", "architectures": ["Gemma3ForConditionalGeneration"]},
    ],
)
def test_causal_models_pass(config: dict[str, Any]) -> None:
    check_config(config, "it", trust_remote_code=False)


@pytest.mark.parametrize("kind", ["T5", "Bart", "Bert", "MBart"])
def test_what_transformers_itself_saves_of_other_models_is_refused(
    kind: str, tmp_path: Path
) -> None:
    import transformers

    ending = "ForMaskedLM" if kind == "Bert" else "ForConditionalGeneration"
    config = getattr(transformers, f"{kind}Config")(architectures=[f"{kind}{ending}"])
    config.save_pretrained(tmp_path)
    with pytest.raises(NotCausal):
        check_config(json.loads((tmp_path / "config.json").read_text()), "it", False)


def test_code_from_the_repository_is_refused_unless_the_owner_trusts_it() -> None:
    config = {"model_type": "odd", "auto_map": {"AutoModelForCausalLM": "modeling_odd.Odd"}}
    with pytest.raises(NeedsRemoteCode):
        check_config(config, "it", trust_remote_code=False)
    check_config(config, "it", trust_remote_code=True)


def test_a_known_model_needs_no_code_even_when_some_is_offered() -> None:
    config = {"model_type": "llama", "auto_map": {"AutoModelForCausalLM": "x.Y"}}
    check_config(config, "it", trust_remote_code=False)


def test_names_alone_tell_pickles_before_anything_is_downloaded() -> None:
    with pytest.raises(PickleWeights):
        check_names({"config.json", "tokenizer.json", "pytorch_model.bin"}, "it")
    check_names({"config.json", "tokenizer.json", "pytorch_model.bin", "m.safetensors"}, "it")


def test_an_adapter_must_be_one(tiny_adapter: Path, tiny_model: Path, tmp_path: Path) -> None:
    check_adapter(tiny_adapter, "run", "base")
    with pytest.raises(BadAdapter, match="not found"):
        check_adapter(tmp_path / "nowhere", "run", "base")
    with pytest.raises(BadAdapter, match="adapter_config"):
        check_adapter(tiny_model, "run", "base")
    shutil.copy(tiny_adapter / "adapter_config.json", tmp_path)
    (tmp_path / "adapter_model.bin").write_bytes(b"pickle")
    with pytest.raises(BadAdapter, match="safetensors"):
        check_adapter(tmp_path, "run", "base")


def test_a_slow_tokenizer_file_is_a_tokenizer_too() -> None:
    check_names({"config.json", "tokenizer.model", "m.safetensors"}, "it")
    with pytest.raises(IncompleteModel):
        check_names({"config.json", "tokenizer_config.json", "m.safetensors"}, "it")


def test_tiny_models_are_what_the_checks_expect(tiny_gpt2: Path, tiny_bytes: Path) -> None:
    for folder in (tiny_gpt2, tiny_bytes):
        check_folder(folder, "it", trust_remote_code=False)
    assert tiny.TEXT
