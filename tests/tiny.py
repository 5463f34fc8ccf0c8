"""Tiny models made on the fly: a few thousand random weights and a real fast tokenizer.

Random weights are drawn wide, so that a token that is scored wrongly shows in the sum.
"""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

from workbench.models.loader import LoadedModel

TEXT = "佢哋今日去咗邊度食嘢呀? The quick brown fox jumps.\n我唔知喎, 聽日先話你知啦!"
SMALL = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4}
SHAPE = {**SMALL, "intermediate_size": 64, "num_key_value_heads": 2, "initializer_range": 0.4}


def characters() -> Any:
    """One token a character; what is not in the vocabulary is ``<unk>``."""
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers

    known = sorted({*TEXT, *"abcdefghijklmnopqrstuvwxyz ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789，。"})
    vocabulary = {token: at for at, token in enumerate(["<unk>", "<s>", "</s>", *known])}
    inner = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    inner.pre_tokenizer = pre_tokenizers.Split(Regex(r"[\s\S]"), "isolated")
    inner.decoder = decoders.Fuse()
    return _fast(inner, bos_token="<s>", eos_token="</s>", unk_token="<unk>")


def single_bytes() -> Any:
    """One token a byte, so that a Chinese character takes three."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: at for at, token in enumerate([*letters, "<|begin|>", "<|end|>"])}
    inner = Tokenizer(models.BPE(vocabulary, []))
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = decoders.ByteLevel()
    return _fast(inner, bos_token="<|begin|>", eos_token="<|end|>")


def merged_bytes(**special: str) -> Any:
    """Byte pairs learned from a line or two: tokens of several characters and of parts of one."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    inner = Tokenizer(models.BPE())
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=290,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        special_tokens=list(special.values()),
        show_progress=False,
    )
    inner.train_from_iterator([TEXT] * 4, trainer)
    return _fast(inner, **special)


def _fast(inner: Any, **special: str) -> Any:
    from transformers import PreTrainedTokenizerFast

    return PreTrainedTokenizerFast(
        tokenizer_object=inner, clean_up_tokenization_spaces=False, **special
    )


def network(tokenizer: Any, kind: str = "Llama", seed: int = 7, **changes: Any) -> Any:
    """A causal language model of that architecture, with as many rows as the tokenizer needs."""
    import torch
    import transformers

    options = {
        **SHAPE,
        "vocab_size": len(tokenizer),
        "max_position_embeddings": 256,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": None,
        **changes,
    }
    torch.manual_seed(seed)
    config = getattr(transformers, f"{kind}Config")(**options)
    model = transformers.AutoModelForCausalLM.from_config(config)
    return model.eval().requires_grad_(False)


def save(folder: Path, model: Any, tokenizer: Any) -> Path:
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def save_adapter(folder: Path, base: Path, seed: int = 11, **changes: Any) -> Path:
    """A LoRA adapter whose random weights change every answer."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    torch.manual_seed(seed)
    model = AutoModelForCausalLM.from_pretrained(base)
    options = {"r": 4, "target_modules": "all-linear", "init_lora_weights": False, **changes}
    recipe = LoraConfig(**options)
    adapted = get_peft_model(model, recipe)
    with torch.no_grad():
        for name, weight in adapted.named_parameters():
            if "lora_" in name:
                weight.normal_(0, 0.3)
    adapted.save_pretrained(folder)
    return folder


def in_memory(model: Any, tokenizer: Any, name: str = "made/here") -> LoadedModel:
    """A loaded model that never was on disk."""
    from workbench.models.reference import ModelReference

    return LoadedModel(
        reference=ModelReference.parse(name),
        precision="fp32",
        fingerprint=name,
        device="cpu",
        model=model,
        tokenizer=tokenizer,
        memory_bytes=sum(weight.numel() * 4 for weight in model.parameters()),
    )


def finish(work: Any) -> tuple[list[Any], Any]:
    """Run a generator to its end: what it yielded and what it returned."""
    events = []
    while True:
        try:
            events.append(next(work))
        except StopIteration as end:
            return events, end.value


def never() -> threading.Event:
    """A stop button that nobody presses."""
    return threading.Event()


def load(reference: str, precision: Any, settings: Any) -> LoadedModel:
    """Fetch and load through the workbench's own way."""
    from workbench.models.pool import fetch_and_load
    from workbench.models.reference import ModelReference

    work = fetch_and_load(ModelReference.parse(reference), precision, settings, never())
    return finish(work)[1]


GGUF_NAMES = {
    **{"self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v"},
    **{"self_attn.o_proj": "attn_output", "input_layernorm": "attn_norm"},
    **{"mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down"},
    **{"post_attention_layernorm": "ffn_norm", "model.embed_tokens": "token_embd"},
    **{"model.norm": "output_norm", "lm_head": "output"},
}


def save_gguf(path: Path, model: Any, tokenizer: Any, architecture: str = "llama") -> Path:
    """A Llama with a byte-pair tokenizer as one GGUF file in float32."""
    import json

    from gguf import GGUFWriter

    config = model.config
    writer = GGUFWriter(path, architecture)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_vocab_size(config.vocab_size)
    inside = json.loads(tokenizer.backend_tokenizer.to_str())["model"]
    tokens = sorted(tokenizer.get_vocab(), key=tokenizer.get_vocab().get)
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list(tokens)
    writer.add_token_types([3 if token in tokenizer.all_special_tokens else 1 for token in tokens])
    writer.add_token_merges([" ".join(pair) for pair in inside["merges"]])
    writer.add_bos_token_id(tokenizer.bos_token_id)
    writer.add_eos_token_id(tokenizer.eos_token_id)
    for name, weight in model.state_dict().items():
        writer.add_tensor(*_as_gguf(name.removesuffix(".weight"), weight.float(), config))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def _as_gguf(name: str, weight: Any, config: Any) -> tuple[str, Any]:
    """llama.cpp's name of a tensor, and its rows in llama.cpp's order."""
    heads = {
        "self_attn.q_proj": config.num_attention_heads,
        "self_attn.k_proj": config.num_key_value_heads,
    }
    layer, _, rest = name.removeprefix("model.layers.").partition(".")
    if not layer.isdigit():
        return f"{GGUF_NAMES[name]}.weight", weight.numpy()
    if rest in heads:
        halves = weight.reshape(heads[rest], 2, -1, weight.shape[1])
        weight = halves.swapaxes(1, 2).reshape(weight.shape)
    return f"blk.{layer}.{GGUF_NAMES[rest]}.weight", weight.contiguous().numpy()
