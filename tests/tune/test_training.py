"""A run trains, stops, goes on as if nothing had happened, and leaves an adapter that works."""

from __future__ import annotations

import json
import math
import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests import tiny
from tests.tune import small
from workbench import jobs
from workbench.settings import Settings
from workbench.tune import checkpoints, job, runs, train
from workbench.tune.head import Head
from workbench.tune.recipe import TuneRecipe
from workbench.tune.trainer import never_packed
from workbench.workspace import Workspace


@pytest.fixture
def workspace(settings: Settings) -> Workspace:
    made = Workspace(settings.workspace.absolute())
    small.dataset(made)
    return made


class WhenItSays(threading.Event):
    """A Stop button that is pressed once a run has said something."""

    def __init__(
        self, folder: Path, event: str, step: int = 0, then: Callable[[], Any] | None = None
    ) -> None:
        super().__init__()
        self.folder, self.event, self.step, self.then = folder, event, step, then

    def is_set(self) -> bool:
        said = [one for one in job.events_of(self.folder) if one["event"] == self.event]
        if said and said[-1].get("step", 0) >= self.step:
            if self.then is None:
                return True
            self.then()
        return False


def prepare(recipe: TuneRecipe, workspace: Workspace) -> Path:
    """A run's folder as ``start`` leaves it, with no process at work on it."""
    folder = workspace.run(recipe.name)
    folder.mkdir(parents=True)
    (folder / job.RECIPE).write_text(recipe.to_yaml(), "utf-8")
    jobs.write_state(folder, status="queued", queued_at=0)
    return folder


def trained(
    recipe: TuneRecipe, workspace: Workspace, settings: Settings, expected: str = "done"
) -> Path:
    folder = prepare(recipe, workspace)
    train.carry_out(folder, settings, tiny.never())
    assert jobs.status_of(folder) == expected, job.events_of(folder)[-1]
    return folder


def losses(folder: Path) -> list[float]:
    return [float(loss) for loss in runs.curves(folder)["steps"]["loss"]]


def said(folder: Path, event: str) -> list[dict[str, Any]]:
    return [one for one in job.events_of(folder) if one["event"] == event]


def weights(folder: Path) -> dict[str, Any]:
    from safetensors.numpy import load_file

    return dict(load_file(folder / "adapter_model.safetensors"))


def same(first: dict[str, Any], second: dict[str, Any]) -> bool:
    return first.keys() == second.keys() and all(
        np.array_equal(first[name], second[name]) for name in first
    )


def test_a_run_learns_and_its_adapter_is_used_like_any_other(
    tiny_model: Path, workspace: Workspace, settings: Settings
) -> None:
    recipe = small.recipe(tiny_model, steps=40, eval_every=20, learning_rate=1e-2)
    folder = trained(recipe, workspace, settings)
    run = runs.one("first", workspace)
    assert run.fall is not None
    assert run.fall > 0.1
    config = json.loads((folder / "adapter" / "adapter_config.json").read_text("utf-8"))
    assert config["base_model_name_or_path"] == recipe.base
    assert (folder / "adapter" / "chat_template.jinja").read_text("utf-8").strip()
    loaded = tiny.load(f"{recipe.base}+first", "fp32", settings)
    base = tiny.load(recipe.base, "fp32", settings)
    ids = base.tokenizer("你知唔知呀?", return_tensors="pt")["input_ids"].to(base.device)
    assert (loaded.model(ids).logits - base.model(ids).logits).abs().max() > 0.1


def test_the_events_tell_the_whole_story(
    tiny_model: Path, workspace: Workspace, settings: Settings
) -> None:
    folder = trained(small.recipe(tiny_model), workspace, settings)
    ready = said(folder, "ready")[0]
    assert (ready["rows"], ready["held_rows"], ready["steps"]) == (32, 8, 12)
    assert ready["versions"].keys() == {"torch", "transformers", "peft", "trl", "bitsandbytes"}
    assert [one["step"] for one in said(folder, "step")] == list(range(1, 13))
    assert [one["step"] for one in said(folder, "evaluation")] == [0, 4, 8, 12]
    assert [one["step"] for one in said(folder, "saved")] == [3, 6, 9, 12]
    assert len(said(folder, "sample")) == 4 * 2
    assert {one["register"] for one in said(folder, "sample")} <= {
        "cantonese", "written", "mixed", "neutral", "other",
    }  # fmt: skip
    assert said(folder, "evaluation")[0]["forgetting"].keys() == {"english", "written", "code"}
    assert job.events_of(folder)[-1]["event"] == "done"
    assert sorted(path.name for path in (folder / "checkpoints").iterdir()) == [
        "step-000009",
        "step-000012",
    ]


def test_bits_per_character_follow_from_the_loss(
    tiny_model: Path, workspace: Workspace, settings: Settings
) -> None:
    """Every tiny token is one character; an answer's end token has none."""
    folder = trained(small.recipe(tiny_model, steps=1), workspace, settings)
    step = said(folder, "step")[0]
    ready = said(folder, "ready")[0]
    ratio = step["bits_per_character"] * math.log(2) / step["loss"]
    assert 1 < ratio < ready["learned_tokens"] / ready["characters"] * 1.2


def test_the_same_recipe_and_seed_give_the_same_adapter(
    tiny_model: Path, workspace: Workspace, settings: Settings
) -> None:
    first = trained(small.recipe(tiny_model, "first"), workspace, settings)
    second = trained(small.recipe(tiny_model, "second"), workspace, settings)
    other = trained(small.recipe(tiny_model, "third", seed=1), workspace, settings)
    assert losses(first) == losses(second)
    assert same(weights(first / "adapter"), weights(second / "adapter"))
    assert not same(weights(first / "adapter"), weights(other / "adapter"))


@pytest.mark.parametrize("step", [1, 3, 5, 8])
def test_a_stopped_run_goes_on_as_if_it_had_never_stopped(
    step: int, tiny_model: Path, workspace: Workspace, settings: Settings
) -> None:
    whole = trained(small.recipe(tiny_model, "whole"), workspace, settings)
    folder = prepare(small.recipe(tiny_model, "parts"), workspace)
    train.carry_out(folder, settings, WhenItSays(folder, "step", step))
    assert jobs.status_of(folder) == "stopped"
    assert said(folder, "stopped")[0]["step"] == step
    assert (folder / "adapter" / "adapter_model.safetensors").is_file()
    train.carry_out(folder, settings, tiny.never())
    assert jobs.status_of(folder) == "done"
    assert losses(folder) == losses(whole)
    for group in ("loss", "english"):
        ours = runs.curves(folder)["evaluations"][group]
        assert np.array_equal(ours, runs.curves(whole)["evaluations"][group])
    assert same(weights(folder / "adapter"), weights(whole / "adapter"))


@pytest.mark.parametrize(
    "changes",
    [
        {"precision": "bf16"},
        {"precision": "nf4"},
        {"precision": "bf16", "packing": True, "dora": True},
        {"rslora": True, "schedule": "linear", "optimizer": "adamw", "weight_decay": 0.01},
    ],
)
def test_every_kind_of_run_goes_on_exactly(
    changes: dict[str, Any], home: Path, workspace: Workspace, settings: Settings
) -> None:
    tokenizer = tiny.characters()  # nf4 packs 64 weights together
    base = tiny.save(home / "wide", tiny.network(tokenizer, hidden_size=64), tokenizer)
    whole = trained(small.recipe(base, "whole", **changes), workspace, settings)
    folder = prepare(small.recipe(base, "parts", **changes), workspace)
    train.carry_out(folder, settings, WhenItSays(folder, "step", 5))
    train.carry_out(folder, settings, tiny.never())
    assert losses(folder) == losses(whole)
    assert same(weights(folder / "adapter"), weights(whole / "adapter"))


def test_a_four_bit_base_that_was_evaluated_still_passes_gradients_back(
    home: Path, shared_settings: Settings
) -> None:
    """bitsandbytes would repack it on some CPUs, and packed layers have no gradient."""
    import torch

    tokenizer = tiny.characters()
    base = tiny.save(home / "wide", tiny.network(tokenizer, hidden_size=64), tokenizer)
    with never_packed():
        model = tiny.load(f"file:{base}", "nf4", shared_settings).model
    ids = tokenizer("我唔知喎, 聽日先話你知啦!", return_tensors="pt")["input_ids"].to(model.device)

    def slope() -> Any:
        given = model.get_input_embeddings()(ids).detach().requires_grad_()
        model(inputs_embeds=given, labels=ids).loss.backward()
        return given.grad

    model.train()
    before = slope()
    with torch.no_grad():
        model.eval()(ids)
    model.train()
    assert torch.equal(slope(), before)


def test_activations_that_are_computed_again_change_nothing(
    tiny_model: Path, workspace: Workspace, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = trained(small.recipe(tiny_model, "kept"), workspace, settings)
    monkeypatch.setattr(train, "_fitting", lambda *_: (2, True))
    again = trained(small.recipe(tiny_model, "again"), workspace, settings)
    assert said(again, "begun")[0]["recompute"] is True
    assert losses(again) == pytest.approx(losses(whole), rel=1e-5)


def test_stopping_before_anything_is_learned_leaves_nothing_half_done(
    tiny_model: Path, workspace: Workspace, settings: Settings
) -> None:
    folder = prepare(small.recipe(tiny_model), workspace)
    train.carry_out(folder, settings, WhenItSays(folder, "begun"))
    assert jobs.status_of(folder) == "stopped"
    assert checkpoints.newest_verified(folder / "checkpoints") == (None, [])
    train.carry_out(folder, settings, tiny.never())
    assert jobs.status_of(folder) == "done"
    assert len(losses(folder)) == 12


def test_a_damaged_checkpoint_is_named_and_the_one_before_it_used(
    tiny_model: Path, workspace: Workspace, settings: Settings
) -> None:
    whole = trained(small.recipe(tiny_model, "whole"), workspace, settings)
    folder = prepare(small.recipe(tiny_model, "parts"), workspace)
    train.carry_out(folder, settings, WhenItSays(folder, "step", 8))
    (folder / "checkpoints" / "step-000008" / "optimizer.pt").unlink()
    train.carry_out(folder, settings, tiny.never())
    resumed = said(folder, "resumed")[0]
    assert resumed["step"] == 6
    assert resumed["damaged"] == [{"name": "step-000008", "reason": "optimizer.pt is missing"}]
    assert losses(folder) == losses(whole)


def test_the_micro_batch_changes_nothing_that_is_learned(
    tiny_model: Path, workspace: Workspace, settings: Settings
) -> None:
    found = []
    for micro in (1, 2, 4):
        recipe = small.recipe(tiny_model, f"by{micro}", micro_batch=micro, lora_dropout=0.0)
        found.append(losses(trained(recipe, workspace, settings)))
    assert found[1] == pytest.approx(found[0], rel=1e-4)
    assert found[2] == pytest.approx(found[0], rel=1e-4)


def test_packed_rows_do_not_see_one_another(
    tiny_model: Path, workspace: Workspace, settings: Settings
) -> None:
    plain = small.recipe(tiny_model, "plain", lora_dropout=0.0)
    packed = small.recipe(tiny_model, "packed", lora_dropout=0.0, packing=True, micro_batch=4)
    assert losses(trained(packed, workspace, settings)) == pytest.approx(
        losses(trained(plain, workspace, settings)), rel=1e-4
    )


@pytest.mark.skipif(torch.cuda.is_available(), reason="on a GPU the loss is TRL's")
def test_when_memory_runs_out_the_micro_batch_is_halved_and_it_says_so(
    tiny_model: Path, workspace: Workspace, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    calm = small.recipe(tiny_model, "calm", micro_batch=1, lora_dropout=0.0)
    expected = losses(trained(calm, workspace, settings))
    real = Head.nll

    def greedy(self: Head, ids: Any, labels: Any, **inputs: Any) -> Any:
        if self.network.training and len(ids) > 1 and len(said(folder, "step")) >= 4:
            raise RuntimeError("[enforce fail] DefaultCPUAllocator: not enough memory")
        return real(self, ids, labels, **inputs)

    padded = small.recipe(tiny_model, "greedy", micro_batch=4, lora_dropout=0.0, packing=False)
    folder = prepare(padded, workspace)
    monkeypatch.setattr(Head, "nll", greedy)
    train.carry_out(folder, settings, tiny.never())
    assert jobs.status_of(folder) == "done"
    halved = [one["facts"] for one in said(folder, "notice") if one["key"] == "micro_batch_halved"]
    assert halved == [{"from": 4, "to": 2}, {"from": 2, "to": 1}]
    assert losses(folder) == pytest.approx(expected, rel=1e-4)


@pytest.mark.skipif(torch.cuda.is_available(), reason="on a GPU the loss is TRL's")
def test_packed_rows_too_go_through_in_smaller_parts_when_memory_runs_out(
    tiny_model: Path, workspace: Workspace, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    calm = small.recipe(tiny_model, "calm", micro_batch=4, lora_dropout=0.0)
    expected = losses(trained(calm, workspace, settings))
    real, largest = Head.nll, []

    def greedy(self: Head, ids: Any, labels: Any, **inputs: Any) -> Any:
        if self.network.training:
            largest.append(ids.shape[1])
            if ids.shape[1] > 0.7 * max(largest):
                raise RuntimeError("[enforce fail] DefaultCPUAllocator: not enough memory")
        return real(self, ids, labels, **inputs)

    folder = prepare(small.recipe(tiny_model, "parts", micro_batch=4, lora_dropout=0.0), workspace)
    monkeypatch.setattr(Head, "nll", greedy)
    train.carry_out(folder, settings, tiny.never())
    assert jobs.status_of(folder) == "done"
    halved = [one["facts"] for one in said(folder, "notice") if one["key"] == "micro_batch_halved"]
    assert halved[0] == {"from": 4, "to": 2}
    assert losses(folder) == pytest.approx(expected, rel=1e-4)


def test_when_even_one_row_does_not_fit_it_fails_in_words(
    tiny_model: Path, workspace: Workspace, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(self: Head, ids: Any, labels: Any, **inputs: Any) -> Any:
        raise MemoryError

    monkeypatch.setattr(Head, "nll", full)
    folder = trained(small.recipe(tiny_model), workspace, settings, "failed")
    assert said(folder, "failed")[0]["error"] == "OutOfMemory"


def test_a_loss_that_is_no_number_stops_and_names_step_and_rows(
    home: Path, workspace: Workspace, settings: Settings
) -> None:
    import torch

    tokenizer = tiny.characters()
    model = tiny.network(tokenizer)
    with torch.no_grad():
        model.get_input_embeddings().weight[tokenizer.convert_tokens_to_ids("佢")] = math.inf
    base = tiny.save(home / "sick", model, tokenizer)
    folder = trained(small.recipe(base, "sick"), workspace, settings, "failed")
    failed = said(folder, "failed")[0]
    assert failed["error"] == "LossNotANumber"
    assert int(failed["facts"]["step"]) == len(said(folder, "step")) + 1
    found, _ = checkpoints.newest_verified(folder / "checkpoints")
    assert found is None or all(np.isfinite(one).all() for one in weights(found.folder).values())


def test_it_stops_early_and_keeps_the_best_when_it_only_forgets(
    tiny_model: Path, workspace: Workspace, settings: Settings
) -> None:
    """Held-out rows of another language get worse with every step."""
    recipe = small.recipe(
        tiny_model, steps=60, eval_every=2, patience=2, learning_rate=1e-2, lora_dropout=0.0
    )
    held = [
        [small.turn("user", "你去咗邊度呀？"), small.turn("assistant", text)]
        for text in ("The quick brown fox jumps", "over the lazy dog", "again and again")
    ]
    folder = small.dataset(workspace, "lines", [*small.rows(), *held])
    _split(folder, ["train"] * 40 + ["validation"] * 3)
    run = trained(recipe, workspace, settings)
    evaluations = runs.curves(run)["evaluations"]
    best = int(evaluations["step"][1:][np.argmin(evaluations["loss"][1:])])
    assert said(run, "notice")[-1]["key"] == "stopped_early"
    assert said(run, "step")[-1]["step"] == best + 4 < 60
    assert said(run, "done")[0]["best_step"] == best
    (kept,) = (run / "best").iterdir()
    assert kept.name == checkpoints.name_of(best)
    assert same(weights(run / "adapter"), weights(kept))


def _split(folder: Path, parts: list[str]) -> None:
    import hashlib

    import pyarrow as pa
    import pyarrow.parquet as parquet

    path = folder / "data.parquet"
    table = parquet.read_table(path).append_column("split", pa.array(parts))
    parquet.write_table(table, path)
    log = json.loads((folder / "dataset.json").read_text("utf-8"))
    log["sha256"] = hashlib.sha256(path.read_bytes()).hexdigest()
    (folder / "dataset.json").write_text(json.dumps(log), "utf-8")


def test_a_dataset_that_is_deleted_while_it_trains_does_no_harm(
    tiny_model: Path, workspace: Workspace, settings: Settings
) -> None:
    folder = prepare(small.recipe(tiny_model), workspace)
    gone = workspace.dataset("lines")
    stop = WhenItSays(folder, "begun", then=lambda: shutil.rmtree(gone, ignore_errors=True))
    train.carry_out(folder, settings, stop)
    assert not gone.exists()
    assert jobs.status_of(folder) == "done"


def test_a_run_refuses_to_go_on_with_other_rows_than_it_was_begun_with(
    tiny_model: Path, workspace: Workspace, settings: Settings
) -> None:
    folder = prepare(small.recipe(tiny_model), workspace)
    train.carry_out(folder, settings, WhenItSays(folder, "step", 5))
    small.dataset(workspace, messages=small.rows(30))
    train.carry_out(folder, settings, tiny.never())
    assert jobs.status_of(folder) == "failed"
    assert said(folder, "failed")[0]["error"] == "RunChanged"
    small.dataset(workspace)
    train.carry_out(folder, settings, tiny.never())
    assert jobs.status_of(folder) == "done"


def test_a_base_that_is_gone_at_resume_is_said_in_words(
    tiny_model: Path, home: Path, workspace: Workspace, settings: Settings
) -> None:
    base = Path(shutil.copytree(tiny_model, home / "going"))
    folder = prepare(small.recipe(base), workspace)
    train.carry_out(folder, settings, WhenItSays(folder, "step", 5))
    shutil.rmtree(base)
    train.carry_out(folder, settings, tiny.never())
    failed = said(folder, "failed")[0]
    assert failed["error"] == "ModelNotFound"
    assert str(base) in failed["sentence"]


def test_a_fault_of_our_own_ends_the_run_with_a_sentence_and_a_trace(
    tiny_model: Path, workspace: Workspace, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Head, "nll", lambda *_, **__: 1 / 0)
    folder = trained(small.recipe(tiny_model), workspace, settings, "failed")
    assert "division by zero" in said(folder, "failed")[0]["sentence"]


def test_our_loss_is_the_loss_of_transformers(tiny_model: Path) -> None:
    import torch

    tokenizer = tiny.characters()
    model = tiny.network(tokenizer)
    ids = tokenizer(["我唔知喎, 聽日先話你知啦!", "The quick brown fox"], padding=False)[
        "input_ids"
    ]
    row = torch.tensor([ids[0]])
    labels = row.clone()
    labels[:, :4] = -100
    head = Head(model)
    assert head.split
    assert head.nll(row, labels).mean().item() == pytest.approx(
        model(row, labels=labels).loss.item(), rel=1e-5
    )
