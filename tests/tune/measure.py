"""Train a few steps as the workbench does and print the highest memory of the process.

Run on its own: ``python -m tests.tune.measure REFERENCE PRECISION BATCH LENGTH RANK DROPOUT``.
Prints one JSON object: ``kept`` (bytes that autograd kept), ``peak`` and ``start`` (resident).
"""

from __future__ import annotations

import json
import sys
import threading
import time
from typing import Any

import psutil


def main(name: str, precision: Any, batch: int, length: int, rank: int, dropout: float) -> None:
    import torch
    from peft import LoraConfig, get_peft_model

    from tests.tiny import load
    from workbench.settings import Settings
    from workbench.tune.head import Head

    torch.set_num_threads(2)
    process, peak, over = psutil.Process(), [0], threading.Event()

    def watch() -> None:
        while not over.is_set():
            peak[0] = max(peak[0], process.memory_info().rss)
            time.sleep(0.005)

    watcher = threading.Thread(target=watch)
    watcher.start()
    model = load(name, precision, Settings()).model
    recipe = LoraConfig(
        r=rank, lora_dropout=dropout, target_modules="all-linear", task_type="CAUSAL_LM"
    )
    model = get_peft_model(model, recipe)
    weights = [weight for weight in model.parameters() if weight.requires_grad]
    for weight in weights:
        weight.data = weight.data.float()
    head = Head(model.train(), autocast=precision != "fp32")
    optimizer = torch.optim.AdamW(weights, lr=1e-4)
    start = process.memory_info().rss
    known = {one.untyped_storage()._cdata for one in [*model.parameters(), *model.buffers()]}
    kept: dict[int, int] = {}

    def keep(tensor: Any) -> Any:
        storage = tensor.untyped_storage()
        if storage._cdata not in known:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    for step in range(3):
        ids = torch.randint(10, model.config.get_text_config().vocab_size - 10, (batch, length))
        seen = torch.ones_like(ids)
        seen[0, -length // 8 :] = 0  # rows of one length need no mask, and are rare
        kept.clear()
        # the head keeps [learned tokens, width] only; the body is what is counted
        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            loss = head.nll(ids, ids.clone(), attention_mask=seen).mean()
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        del loss, step
    over.set()
    watcher.join()
    trained = sum(weight.numel() for weight in weights)
    said = {"kept": sum(kept.values()), "peak": peak[0], "start": start, "trained": trained}
    print(json.dumps(said))


if __name__ == "__main__":
    _, name, precision, batch, length, rank, dropout = sys.argv
    main(name, precision, int(batch), int(length), int(rank), float(dropout))
