"""Adapters on one loaded base: attached to it, detached from it, and asked to speak.

One copy of the weights serves the base and every adapter. An attached adapter sleeps: whoever
else computes with the model gets the base, exactly. While some speak (under the model's
lock), every row of a batch names the adapter that writes it, or none.

An adapter's name is made from the content of its files, so what wrote a row can be told from
the rows that were woken. This module does not know what is written.
"""

from __future__ import annotations

import json
import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workbench import logs
from workbench.errors import BadAdapter
from workbench.models.fetch import Fetched
from workbench.models.loader import LoadedModel
from workbench.models.reference import ModelReference

log = logs.get("adapters")
MOST_ATTACHED = 6
"""Adapters on one base; the one that spoke longest ago makes room."""
KEPT_APART = (
    "modules_to_save",
    "trainable_token_indices",
    "layer_replication",
    "target_parameters",
)
"""What an adapter may hold besides low-rank layers; such a one is loaded as a model of its own."""


@dataclass
class Attached:
    """One adapter on one base."""

    name: str
    """What peft knows it by."""
    adapter: str
    """What a person calls it: a run's name, a folder or a Hub id."""
    fingerprint: str
    """Of the adapter's own files."""
    template: str
    """The chat template stored with it; empty if there is none."""
    mixes: bool
    """It may stand in one batch with the base and with others."""
    bytes: int = 0
    spoke: float = 0.0


def can_share(folder: Path) -> bool:
    """True if an adapter leaves the base as it is when it sleeps."""
    config = config_of(folder)
    plain = config.get("peft_type") == "LORA" and config.get("bias", "none") == "none"
    return plain and not any(config.get(name) for name in KEPT_APART)


def attach(loaded: LoadedModel, fetched: Fetched, reference: ModelReference) -> Attached:
    """Put an adapter on a base, unless it is there; whoever calls holds the model's lock.

    Raises:
        BadAdapter: it was made for another base, or is of a kind that changes the base.
    """
    if fetched.adapter is None or fetched.adapter_fingerprint is None:
        raise BadAdapter(adapter=reference.adapter, model=loaded.name, reason="there is none")
    name = f"a{fetched.adapter_fingerprint[:24]}"
    if name in loaded.attached:
        known: Attached = loaded.attached[name]
        return known
    while len(loaded.attached) >= MOST_ATTACHED:
        detach(loaded, min(loaded.attached.values(), key=lambda one: one.spoke).name)
    _load(loaded, fetched.adapter, name, reference)
    made = Attached(
        name=name,
        adapter=reference.adapter or "",
        fingerprint=fetched.adapter_fingerprint,
        template=stored_template(fetched.adapter),
        mixes=_mixes(loaded.adapted, name),
        bytes=_bytes(loaded.adapted, name),
        spoke=time.monotonic(),
    )
    loaded.attached[name] = made
    loaded.memory_bytes += made.bytes
    log.info("attached", model=loaded.name, adapter=made.adapter, fingerprint=made.fingerprint[:12])
    return made


def detach(loaded: LoadedModel, name: str) -> None:
    """Take an adapter off; whoever calls holds the model's lock. The last one leaves no trace."""
    gone: Attached | None = loaded.attached.pop(name, None)
    if gone is None:
        return
    loaded.memory_bytes -= gone.bytes
    _take_off(loaded, name)
    log.info("detached", model=loaded.name, adapter=gone.adapter)


@contextmanager
def speaking(
    loaded: LoadedModel,
    rows: Sequence[Attached | None],
    strengths: Sequence[float] | None = None,
) -> Iterator[None]:
    """Wake adapters for one batch; whoever calls holds the model's lock.

    Args:
        rows: the adapter that writes each row, None for the base. One that does not mix must
            write all of them.
        strengths: of each row's adapter, 1 being what it was trained with.
    """
    awake = {one.name: one for one in rows if one is not None}
    given = list(strengths or [1.0] * len(rows))
    try:
        if all(one.mixes for one in awake.values()):
            with _added(loaded, _spans(rows, given)):
                yield
        else:
            with _alone(loaded, *awake, strength=given[0]):
                yield
    finally:
        for one in awake.values():
            one.spoke = time.monotonic()


def _spans(
    rows: Sequence[Attached | None], strengths: Sequence[float]
) -> list[tuple[slice, str, float]]:
    """Neighbouring rows of one adapter and strength, as slices of the batch."""
    found: list[tuple[slice, str, float]] = []
    for at, (one, strength) in enumerate(zip(rows, strengths, strict=True)):
        if one is None:
            continue
        if found and found[-1][0].stop == at and found[-1][1:] == (one.name, strength):
            found[-1] = (slice(found[-1][0].start, at + 1), one.name, strength)
        else:
            found.append((slice(at, at + 1), one.name, strength))
    return found


@contextmanager
def _added(loaded: LoadedModel, spans: list[tuple[slice, str, float]]) -> Iterator[None]:
    """Every layer adds to its output what the adapters of the rows add.

    peft can do this itself (``adapter_names``), but picks rows by a list of numbers, which on
    a GPU waits for the CPU in every layer; slices do not.
    """

    def add(layer: Any, given: tuple[Any, ...], output: Any) -> Any:
        for rows, name, strength in spans:
            if name in layer.lora_A:
                down, up = layer.lora_A[name], layer.lora_B[name]
                more = up(down(given[0][rows].to(down.weight.dtype)))
                output[rows] += (more * (layer.scaling[name] * strength)).to(output.dtype)
        return output

    layers = _layers(loaded.adapted) if spans else []
    hooks = [layer.register_forward_hook(add) for layer in layers]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


@contextmanager
def _alone(loaded: LoadedModel, name: str, *, strength: float) -> Iterator[None]:
    """The whole batch is one adapter's, in peft's own way."""
    layers = _layers(loaded.adapted)
    for layer in layers:
        layer.set_scale(name, strength)
    loaded.adapted.base_model.enable_adapter_layers()
    loaded.adapted.base_model.set_adapter(name)
    try:
        yield
    finally:
        loaded.adapted.base_model.disable_adapter_layers()
        loaded.model.requires_grad_(False)
        for layer in layers:
            layer.set_scale(name, 1.0)


def config_of(folder: Path) -> dict[str, Any]:
    """What an adapter says of itself."""
    try:
        config = json.loads((folder / "adapter_config.json").read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return config if isinstance(config, dict) else {}


def stored_template(folder: Path) -> str:
    """The chat template beside an adapter, empty if there is none."""
    try:
        return (folder / "chat_template.jinja").read_text("utf-8")
    except (OSError, ValueError):
        pass
    try:
        config = json.loads((folder / "tokenizer_config.json").read_text("utf-8"))
    except (OSError, ValueError):
        return ""
    found = config.get("chat_template") if isinstance(config, dict) else None
    return found if isinstance(found, str) else ""


def _load(loaded: LoadedModel, folder: Path, name: str, reference: ModelReference) -> None:
    """The layers of an adapter go into the model, asleep; if that fails, nothing has happened."""
    from peft import PeftConfig, PeftModelForCausalLM

    if not can_share(folder):
        reason = "it changes more of the base than its own layers"
        raise BadAdapter(adapter=reference.adapter, model=str(reference.base), reason=reason)
    try:
        config = PeftConfig.from_pretrained(folder)
        config.inference_mode = True
        with warnings.catch_warnings():  # peft warns of what is looked at below
            warnings.simplefilter("ignore")
            if loaded.adapted is None:
                loaded.adapted = PeftModelForCausalLM(loaded.model, config, adapter_name=name)
            found = loaded.adapted.load_adapter(
                folder, adapter_name=name, is_trainable=False, torch_device=loaded.device
            )
        stored, made = _stored_weights(folder), len(_weights(loaded.adapted, name))
        if found.missing_keys or found.unexpected_keys or stored != made:
            raise ValueError(f"it has {stored} weights where this base would have {made}")
    except (ValueError, RuntimeError, KeyError, TypeError, OSError) as error:
        _take_off(loaded, name)
        reason = (str(error).strip().splitlines() or ["it cannot be read"])[0][:160]
        raise BadAdapter(
            adapter=reference.adapter, model=str(reference.base), reason=reason.rstrip(".")
        ) from error
    loaded.adapted.base_model.disable_adapter_layers()
    loaded.model.eval().requires_grad_(False)


def _take_off(loaded: LoadedModel, name: str) -> None:
    if loaded.adapted is None:
        _bare(loaded.model)
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if name in loaded.adapted.peft_config and len(loaded.adapted.peft_config) > 1:
            loaded.adapted.delete_adapter(name)
            loaded.adapted.base_model.disable_adapter_layers()
        elif name in loaded.adapted.peft_config:
            loaded.adapted.unload()
            loaded.adapted = None
            _bare(loaded.model)
    loaded.model.eval().requires_grad_(False)


def _bare(model: Any) -> None:
    """peft leaves a mark on a model that it has been in, and layers when it failed half-way."""
    from peft.tuners.tuners_utils import BaseTunerLayer

    for path, layer in list(model.named_modules()):
        if isinstance(layer, BaseTunerLayer):
            parent, _, child = path.rpartition(".")
            setattr(model.get_submodule(parent), child, layer.get_base_layer())
    if hasattr(model, "peft_config"):
        del model.peft_config


def _layers(adapted: Any) -> list[Any]:
    from peft.tuners.lora import LoraLayer

    return [layer for layer in adapted.modules() if isinstance(layer, LoraLayer)]


def _mixes(adapted: Any, name: str) -> bool:
    """True if all it does is to add to the outputs of linear layers."""
    mine = [layer for layer in _layers(adapted) if name in layer.r]
    return all(name in layer.lora_A and name not in layer.lora_variant for layer in mine)


def _weights(adapted: Any, name: str) -> list[Any]:
    return [weight for path, weight in adapted.named_parameters() if name in path.split(".")]


def _stored_weights(folder: Path) -> int:
    """How many tensors are in the adapter's file."""
    from safetensors import safe_open

    with safe_open(folder / "adapter_model.safetensors", framework="pt") as file:
        return len(list(file.keys()))


def _bytes(adapted: Any, name: str) -> int:
    return sum(weight.numel() * weight.element_size() for weight in _weights(adapted, name))
