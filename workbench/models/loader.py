"""From checked files to a model in memory, with its progress, stoppable.

Knows precisions and devices; does not know where the files came from, how many
models there are, or what they will be asked.
"""

from __future__ import annotations

import gc
import queue
import threading
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from workbench.errors import (
    BadAdapter,
    LoadFailed,
    OutOfMemory,
    PrecisionUnavailable,
    Stopped,
    WorkbenchError,
)
from workbench.events import Progress
from workbench.models.device import Precision, device, is_out_of_memory
from workbench.models.fetch import Fetched
from workbench.models.reference import ModelReference

_one_at_a_time = threading.Lock()


@dataclass
class LoadedModel:
    """A model in memory, and everything that says which one it is."""

    reference: ModelReference
    precision: Precision
    fingerprint: str
    """Weights, tokenizer and adapter together."""
    device: str
    model: Any
    tokenizer: Any
    memory_bytes: int
    """Bytes of all parameters and buffers, counted once each."""
    lock: threading.Lock = field(default_factory=threading.Lock)
    """Held by whoever computes with the model; one at a time."""
    adapted: Any = None
    """The same weights with the layers of attached adapters, which sleep unless they are asked
    to speak (``adapters.py``); None without adapters."""
    attached: dict[str, Any] = field(default_factory=dict)
    """Attached adapters by the name that peft knows them by."""

    @property
    def name(self) -> str:
        return str(self.reference)

    @property
    def context_limit(self) -> int | None:
        """The most tokens the model was made for, prefix included; None when it does not say."""
        text = self.model.config.get_text_config()
        limit = getattr(text, "max_position_embeddings", None)
        return int(limit) if limit else None

    @property
    def prefix_token(self) -> int | None:
        """The token every window starts with: BOS, else EOS, else none."""
        bos, eos = self.tokenizer.bos_token_id, self.tokenizer.eos_token_id
        token = bos if bos is not None else eos
        return None if token is None else int(token)


def identity(fetched: Fetched) -> str:
    """The fingerprint of base and adapter together."""
    if fetched.adapter_fingerprint is None:
        return fetched.fingerprint
    return f"{fetched.fingerprint}+{fetched.adapter_fingerprint}"


def load(
    reference: ModelReference,
    fetched: Fetched,
    precision: Precision,
    trust_remote_code: bool,
    stop: threading.Event,
) -> Generator[Progress, None, LoadedModel]:
    """Load in a thread, yielding progress in weights.

    Raises:
        Stopped: ``stop`` was set; what had been loaded is freed.
        LoadFailed, OutOfMemory, BadAdapter, PrecisionUnavailable.
    """
    said: queue.SimpleQueue[Progress | LoadedModel | BaseException] = queue.SimpleQueue()

    def work() -> None:
        try:
            with _one_at_a_time, _bars(said, reference.label, stop):
                said.put(_load(reference, fetched, precision, trust_remote_code))
        except BaseException as error:  # handed to the one who waits, below
            said.put(_explained(error, reference, precision))

    threading.Thread(target=work, daemon=True).start()
    yield Progress("load", 0, 0, "weights", reference.label)
    while True:
        try:
            event = said.get(timeout=0.2)
        except queue.Empty:
            if stop.is_set():
                raise Stopped from None
            continue
        if isinstance(event, Progress):
            yield event
        elif isinstance(event, LoadedModel):
            return event
        else:
            _free()
            raise event


def _load(
    reference: ModelReference, fetched: Fetched, precision: Precision, trust_remote_code: bool
) -> LoadedModel:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    where = device()
    tokenizer = AutoTokenizer.from_pretrained(
        fetched.folder, trust_remote_code=trust_remote_code, local_files_only=True
    )
    model = AutoModelForCausalLM.from_pretrained(
        fetched.folder,
        dtype=torch.float32 if precision == "fp32" else torch.bfloat16,
        quantization_config=_quantization(precision),
        device_map={"": where},
        trust_remote_code=trust_remote_code,
        use_safetensors=True,
        local_files_only=True,
    )
    if fetched.adapter is not None:
        model = _with_adapter(model, fetched, reference)
    model.eval().requires_grad_(False)
    _check_vocabulary(model, tokenizer, reference)
    if precision in ("nf4", "int8"):
        _check_kernels(model, where, precision, reference)
    return LoadedModel(
        reference, precision, identity(fetched), where, model, tokenizer, _bytes(model)
    )


def _quantization(precision: Precision) -> Any:
    import logging

    import torch
    from transformers import BitsAndBytesConfig

    # bitsandbytes says at every layer of every pass that int8 computes in float16.
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)
    if precision == "nf4":
        return BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type="nf4",
            bnb_4bit_use_double_quant=True,
            bnb_4bit_compute_dtype=torch.bfloat16,
        )
    return BitsAndBytesConfig(load_in_8bit=True) if precision == "int8" else None


def _with_adapter(model: Any, fetched: Fetched, reference: ModelReference) -> Any:
    from peft import PeftModel

    try:
        return PeftModel.from_pretrained(model, fetched.adapter, is_trainable=False)
    except (ValueError, RuntimeError, KeyError, TypeError) as error:
        reason = str(error).splitlines()[0][:160]
        raise BadAdapter(
            adapter=reference.adapter, model=str(reference.base), reason=reason
        ) from error


def _check_vocabulary(model: Any, tokenizer: Any, reference: ModelReference) -> None:
    rows = model.get_input_embeddings().weight.shape[0]
    if len(tokenizer) > rows:
        reason = f"its tokenizer has {len(tokenizer)} tokens and its weights only {rows}"
        raise LoadFailed(model=reference.label, reason=reason)


def _check_kernels(model: Any, where: str, precision: Precision, reference: ModelReference) -> None:
    """Quantized kernels want certain sizes and say so only when they are used."""
    import torch

    try:
        with torch.inference_mode():
            for length in (1, 2):
                model(torch.zeros((1, length), dtype=torch.long, device=where), use_cache=False)
    except (RuntimeError, AssertionError) as error:
        if is_out_of_memory(error):
            raise
        raise PrecisionUnavailable(
            precision=precision,
            model=reference.label,
            reason=(str(error).strip().splitlines() or [type(error).__name__])[0][:120],
            instead="bf16",
        ) from error


def _bytes(model: Any) -> int:
    """What the weights really take; quantized layers keep their scales outside ``parameters``."""
    seen: dict[int, int] = {}
    for tensor in [*model.parameters(), *model.buffers()]:
        seen[tensor.data_ptr()] = tensor.numel() * tensor.element_size()
        state = getattr(tensor, "quant_state", None)
        for part in (state, getattr(state, "state2", None)):
            for scale in (getattr(part, "absmax", None), getattr(part, "code", None)):
                if scale is not None:
                    seen[scale.data_ptr()] = scale.numel() * scale.element_size()
    return sum(seen.values())


def _explained(
    error: BaseException, reference: ModelReference, precision: Precision
) -> BaseException:
    if isinstance(error, WorkbenchError):
        return error
    if is_out_of_memory(error):
        return OutOfMemory(model=reference.label)
    reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
    if precision in ("nf4", "int8") and "bitsandbytes" in str(error).lower():
        return PrecisionUnavailable(
            precision=precision, model=reference.label, reason=reason, instead="bf16"
        )
    known = LoadFailed(model=reference.label, reason=reason)
    known.__cause__ = error
    return known


def _free() -> None:
    gc.collect()
    if device() == "cuda":
        import torch

        torch.cuda.empty_cache()


@contextmanager
def _bars(said: queue.SimpleQueue[Any], model: str, stop: threading.Event) -> Iterator[None]:
    """Turn transformers' own progress bars into events, and stop inside them."""
    from transformers.utils import logging

    class Bar:
        def __init__(self, items: Any, total: int) -> None:
            self.items, self.total = items, total

        def __iter__(self) -> Iterator[Any]:
            step = max(1, self.total // 50)
            for number, item in enumerate(self.items):
                if stop.is_set():
                    raise Stopped
                if number % step == 0:
                    said.put(Progress("load", number, self.total, "weights", model))
                yield item

        def __getattr__(self, _name: str) -> Any:
            return lambda *_args, **_options: None

        def __enter__(self) -> Bar:
            return self

        def __exit__(self, *_error: object) -> None:
            return None

    def make(_factory: Any, args: tuple[Any, ...], options: dict[str, Any]) -> Any:
        items = args[0] if args else options.get("iterable") or ()
        total = options.get("total") or (len(items) if hasattr(items, "__len__") else 0)
        return Bar(items, total)

    before = logging.set_tqdm_hook(make)
    try:
        yield
    finally:
        logging.set_tqdm_hook(before)
