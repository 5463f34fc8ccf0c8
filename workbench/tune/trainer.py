"""TRL's SFTTrainer, told what to learn from, and made to stop, save and go on as it should.

Rows come tokenized and in a fixed order; the loss of the learned tokens is taken without all
logits; the saving of Trainer itself is off and ``watch.py`` does it. This module does not know
where rows come from nor when anything is saved.
"""

from __future__ import annotations

import contextlib
import gc
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from workbench.tune import attention, plan
from workbench.tune.encode import Encoded
from workbench.tune.head import IGNORED, Head
from workbench.tune.recipe import TuneRecipe

ADAPTER_WEIGHTS = "adapter_model.safetensors"
ADAPTER_CONFIG = "adapter_config.json"
TRAINER_STATE = "trainer_state.json"
FILLER = 0
"""What pads a row: any token does, as padding is neither seen nor learned."""


@dataclass(frozen=True)
class Lesson:
    """What is learned, in which order: all that the trainer knows of the data."""

    rows: Sequence[Encoded]
    order: np.ndarray
    """int64 [steps, batch]: the rows of every step."""

    @classmethod
    def of(cls, recipe: TuneRecipe, rows: Sequence[Encoded]) -> Lesson:
        """Rows in the order that the recipe's seed gives them."""
        steps = plan.steps_of(len(rows), recipe.batch, recipe.steps, recipe.epochs)
        planned = plan.order(len(rows), recipe.batch, steps, recipe.seed)
        lengths = np.array([len(row.ids) for row in rows], np.int64)
        return cls(rows, plan.by_length(planned, lengths))

    @property
    def steps(self) -> int:
        return len(self.order)

    def passes(self, micro_batch: int, packing: bool) -> list[list[int]]:
        """The rows that go through the model at once, as many times in every step.

        Packed rows are put together so that no pass is longer than ``micro_batch`` of the
        longest row would be.
        """
        if not packing:
            return self.order.reshape(-1, micro_batch).tolist()  # type: ignore[no-any-return]
        lengths = np.array([len(row.ids) for row in self.rows], np.int64)
        filled = plan.bins(self.order, lengths, micro_batch * int(lengths[self.order].max()))
        return [rows for step in filled for rows in step]

    def at(self, step: int) -> list[Encoded]:
        """The rows that step 1, 2, ... learns from."""
        return [self.rows[row] for row in self.order[step - 1]]


@dataclass(frozen=True)
class Setup:
    """How the machine is used; nothing here changes what is learned."""

    device: str
    micro_batch: int
    """Rows that go through the model at once; divides the recipe's batch."""
    autocast: bool
    """Compute in bfloat16 whatever the adapter's weights are."""
    recompute: bool = False
    """Activations are computed again when going backwards, instead of being kept."""
    packing: bool = False
    """Rows that go through at once lie one after another, instead of side by side."""


def make(
    recipe: TuneRecipe,
    model: Any,
    tokenizer: Any,
    lesson: Lesson,
    setup: Setup,
    folder: Path,
    callback: Any,
) -> tuple[Any, Head]:
    """An SFTTrainer with a fresh LoRA adapter around ``model``, and its loss taken apart.

    The adapter's weights are in float32: updates of a learning rate such as 2e-4 are too small
    for bfloat16, in which TRL would keep them for quantized bases.
    """
    import torch
    from datasets import Dataset
    from transformers import PrinterCallback

    model.config.use_cache = False
    by_borders = setup.packing and attention.use(model)
    passes = lesson.passes(setup.micro_batch, setup.packing)
    trainer = _trainer_class()(
        model=model,
        args=_arguments(recipe, setup, lesson.steps, len(passes) // lesson.steps, folder),
        data_collator=_collator(lesson.rows, setup.packing, by_borders),
        train_dataset=Dataset.from_dict({"rows": passes}),
        processing_class=tokenizer,
        peft_config=_lora(recipe),
        callbacks=[callback],
    )
    trainer.remove_callback(PrinterCallback)
    # the reference, not the folder on this machine that it was loaded from
    trainer.model.peft_config["default"].base_model_name_or_path = recipe.base
    for weight in trainer.model.parameters():
        if weight.requires_grad:
            weight.data = weight.data.to(torch.float32)
    head = Head(trainer.model, setup.autocast)
    trainer.use_head(head if setup.device == "cpu" else None)
    return trainer, head


@contextlib.contextmanager
def never_packed() -> Iterator[None]:
    """Load a base here whose 4-bit weights stay as they are when it is evaluated.

    On a CPU with AVX512-BF16, bitsandbytes repacks them at the first pass that is not training,
    for good, and a packed layer passes no gradient back to the layers below it: a run that
    evaluates before its first step would hardly learn, and without a word.
    """
    import bitsandbytes.nn.modules as found

    modules: Any = found

    before = modules.has_avx512bf16
    modules.has_avx512bf16 = lambda: False
    try:
        yield
    finally:
        modules.has_avx512bf16 = before


def optimizer_name(recipe: TuneRecipe, device: str) -> str:
    """Trainer's name of the optimizer; ``auto`` is the paged 8-bit AdamW on a GPU."""
    if recipe.optimizer == "auto":
        return "paged_adamw_8bit" if device == "cuda" else "adamw_torch"
    return "adamw_torch" if recipe.optimizer == "adamw" else recipe.optimizer


def save_state(trainer: Any, folder: Path) -> None:
    """Everything that training needs to go on: adapter, optimizer, scheduler, random numbers."""
    save_adapter(trainer.model, folder)
    # Trainer reads these back itself, so they are written by the same hand
    trainer._save_optimizer_and_scheduler(str(folder))
    trainer._save_rng_state(str(folder))
    trainer.state.log_history.clear()  # our events hold it, and it would grow without end
    trainer.state.save_to_json(str(folder / TRAINER_STATE))


def save_adapter(model: Any, folder: Path) -> None:
    """adapter_config.json and adapter_model.safetensors."""
    model.save_pretrained(folder, safe_serialization=True, save_embedding_layers=False)
    (folder / "README.md").unlink(missing_ok=True)


def bytes_to_save(model: Any) -> int:
    """What a checkpoint takes at most: weights and two moments in float32, and small files."""
    trained = sum(int(weight.numel()) for weight in model.parameters() if weight.requires_grad)
    return 12 * trained + 1_000_000


def free() -> None:
    """Give back the memory of what nobody refers to any more."""
    import torch

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def _arguments(recipe: TuneRecipe, setup: Setup, steps: int, passes: int, folder: Path) -> Any:
    from trl.trainer.sft_config import SFTConfig

    return SFTConfig(
        output_dir=str(folder),
        max_steps=steps,
        per_device_train_batch_size=1,  # one pass; the rows in it are the collator's
        gradient_accumulation_steps=passes,
        train_sampling_strategy="sequential",
        learning_rate=recipe.learning_rate,
        lr_scheduler_type="constant_with_warmup"
        if recipe.schedule == "constant"
        else recipe.schedule,
        warmup_steps=math.ceil(recipe.warmup * steps),
        weight_decay=recipe.weight_decay,
        max_grad_norm=recipe.max_grad_norm,
        optim=optimizer_name(recipe, setup.device),
        seed=recipe.seed,
        bf16=setup.autocast,
        use_cpu=setup.device == "cpu",
        activation_checkpointing=setup.recompute,
        gradient_checkpointing=setup.recompute,
        max_length=None,
        dataset_kwargs={"skip_prepare_dataset": True},
        remove_unused_columns=False,
        dataloader_pin_memory=setup.device == "cuda",
        logging_steps=1,
        logging_nan_inf_filter=False,  # we stop at the first one
        save_strategy="no",
        eval_strategy="no",
        report_to=[],
        disable_tqdm=True,
    )


def _lora(recipe: TuneRecipe) -> Any:
    from peft import LoraConfig

    return LoraConfig(
        r=recipe.lora_r,
        lora_alpha=recipe.lora_alpha,
        lora_dropout=recipe.lora_dropout,
        use_rslora=recipe.rslora,
        use_dora=recipe.dora,
        target_modules="all-linear",
        bias="none",
        task_type="CAUSAL_LM",
    )


def _collator(
    rows: Sequence[Encoded], packing: bool, by_borders: bool
) -> Callable[[list[dict[str, list[int]]]], Any]:
    from workbench.tune.evaluation import padded

    def pad(picked: list[dict[str, list[int]]]) -> dict[str, Any]:
        batch = padded([rows[row] for row in picked[0]["rows"]], "cpu")
        return {"input_ids": batch.pop("ids"), **batch}

    def pack(picked: list[dict[str, list[int]]]) -> dict[str, Any]:
        return packed([rows[row] for row in picked[0]["rows"]], by_borders)

    return pack if packing else pad


def packed(rows: Sequence[Encoded], by_borders: bool = False) -> dict[str, Any]:
    """Rows one after another in one sequence, int64 [1, L], which do not see one another.

    Positions begin again at every row; without an attention mask transformers takes that as the
    border between sequences and masks across it. With ``by_borders`` attention is told instead.
    """
    import torch

    ids = [token for row in rows for token in row.ids]
    labels = [label for row in rows for label in [IGNORED, *row.labels[1:]]]
    positions = [at for row in rows for at in range(len(row.ids))]
    made = {"input_ids": ids, "labels": labels, "position_ids": positions}
    tensors = {name: torch.tensor([values]) for name, values in made.items()}
    return (
        {**tensors, **attention.borders([len(row.ids) for row in rows])} if by_borders else tensors
    )


def _trainer_class() -> Any:
    from trl.trainer.sft_trainer import SFTTrainer

    base: Any = SFTTrainer

    class Trainer(base):
        """SFTTrainer with our loss on a CPU, and an adapter that is read back as it was."""

        def use_head(self, head: Head | None) -> None:
            """Take the loss through this head; None leaves it to TRL's kernel."""
            self._head = head
            if head is not None:
                self.model_accepts_loss_kwargs = True
                self.loss_is_scaled_for_ga = True

        def compute_loss(
            self,
            model: Any,
            inputs: dict[str, Any],
            return_outputs: bool = False,
            num_items_in_batch: Any = None,
        ) -> Any:
            if self._head is None:
                return super().compute_loss(model, inputs, return_outputs, num_items_in_batch)
            ids, labels = inputs.pop("input_ids"), inputs.pop("labels")
            nll = self._head.nll(ids, labels, **inputs)
            return nll.sum() / max(1, int(num_items_in_batch))

        def _load_from_checkpoint(self, resume_from_checkpoint: str, _model: Any = None) -> None:
            """The adapter's weights into those that are there; PEFT would make new ones."""
            from peft import set_peft_model_state_dict
            from safetensors.torch import load_file

            weights = load_file(str(Path(resume_from_checkpoint) / ADAPTER_WEIGHTS))
            set_peft_model_state_dict(self.model, weights)

    return Trainer
