"""Is a folder a whole, safe, causal language model (or a whole, safe adapter)?

Looks at names and at config.json only: nothing is loaded and no code is run.
"""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

from workbench.errors import (
    BadAdapter,
    BrokenWeights,
    IncompleteModel,
    NeedsRemoteCode,
    NotCausal,
    PickleWeights,
    UnknownArchitecture,
)

PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl")
TOKENIZERS = {"tokenizer.json", "tokenizer.model", "vocab.json", "spiece.model", "tekken.json"}


def check_names(names: set[str], model: str) -> None:
    """Judge a model by the names of its files, before any of them is downloaded.

    Raises:
        IncompleteModel: no configuration, no weights or no tokenizer.
        PickleWeights: the weights come only as pickles.
    """
    if "config.json" not in names:
        raise IncompleteModel(model=model, missing="config.json")
    if not any(name.endswith(".safetensors") for name in names):
        if any(name.endswith(PICKLES) for name in names):
            raise PickleWeights(model=model)
        raise IncompleteModel(model=model, missing="*.safetensors")
    if not names & TOKENIZERS:
        raise IncompleteModel(model=model, missing="tokenizer.json")


def check_config(config: dict[str, Any], model: str, trust_remote_code: bool) -> None:
    """Judge a model by its config.json.

    Raises:
        NeedsRemoteCode: transformers does not know it without the repository's own code.
        NotCausal: it is known, and it is not a causal language model.
        UnknownArchitecture: it is not known at all.
    """
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

    kind = config.get("model_type", "")
    names = config.get("architectures") or []
    architecture = names[0] if names else kind
    if config.get("is_encoder_decoder"):
        raise NotCausal(model=model, architecture=architecture)
    if kind not in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES:
        if "auto_map" in config:
            if trust_remote_code:
                return
            raise NeedsRemoteCode(model=model)
        if _known(kind):
            raise NotCausal(model=model, architecture=architecture)
        raise UnknownArchitecture(model=model, architecture=architecture or "none named")
    causal = MODEL_FOR_CAUSAL_LM_MAPPING_NAMES[kind]
    expected = {causal} if isinstance(causal, str) else set(causal)
    if names and not expected & set(names) and not architecture.endswith(_CAUSAL_ENDINGS):
        raise NotCausal(model=model, architecture=architecture)


_CAUSAL_ENDINGS = ("ForCausalLM", "LMHeadModel", "ForConditionalGeneration")


def check_folder(folder: Path, model: str, trust_remote_code: bool) -> None:
    """All of the above for a folder on this machine, and that no shard is cut short."""
    check_names({path.name for path in folder.iterdir()}, model)
    check_config(read_config(folder / "config.json", model), model, trust_remote_code)
    for missing in missing_shards(folder):
        raise IncompleteModel(model=model, missing=missing)
    for shard in sorted(folder.glob("*.safetensors")):
        check_safetensors(shard, model)


def read_config(path: Path, model: str) -> dict[str, Any]:
    """A config.json.

    Raises:
        IncompleteModel: it is not there, or it is no JSON object.
    """
    if not path.is_file():
        raise IncompleteModel(model=model, missing="config.json")
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(config, dict):
            raise ValueError("not an object")
    except ValueError as error:
        raise IncompleteModel(model=model, missing="config.json") from error
    return config


def missing_shards(folder: Path) -> list[str]:
    """Weight files that an index promises and that are not there."""
    promised: set[str] = set()
    for index in folder.glob("*.safetensors.index.json"):
        with contextlib.suppress(ValueError, AttributeError):
            promised |= set(json.loads(index.read_text())["weight_map"].values())
    return sorted(name for name in promised if not (folder / name).is_file())


def check_safetensors(path: Path, model: str) -> None:
    """The header must say exactly what the file holds.

    Raises:
        BrokenWeights: it is cut short or damaged.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy"):
            pass
    except (SafetensorError, OSError) as error:
        raise BrokenWeights(model=model, reason=f"{path.name}: {error}") from error


def check_adapter(folder: Path, adapter: str, model: str) -> None:
    """Raises BadAdapter when the folder is not a PEFT adapter in safetensors."""
    names = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
    if "adapter_config.json" not in names:
        reason = "no adapter_config.json was found" if names else "it was not found"
        raise BadAdapter(adapter=adapter, model=model, reason=reason)
    if "adapter_model.safetensors" not in names:
        raise BadAdapter(adapter=adapter, model=model, reason="its weights are not safetensors")


def _known(kind: str) -> bool:
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING_NAMES

    return kind in CONFIG_MAPPING_NAMES
