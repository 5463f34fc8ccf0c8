"""The loss taken in blocks of the vocabulary is the loss, and so is its gradient."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from tests import tiny
from workbench.tune import head as module
from workbench.tune import plan
from workbench.tune.head import Head


@pytest.fixture(params=[0, 7, 50, 4096], ids=lambda columns: f"{columns} columns")
def blocks(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param:
        monkeypatch.setitem(module.COLUMNS, "cpu", request.param)
        monkeypatch.setattr(module, "ROWS", 5)


def hidden_and_targets(model: Any) -> tuple[Any, Any]:
    torch.manual_seed(3)
    rows = model.get_output_embeddings().weight.shape
    return torch.randn(23, rows[1], requires_grad=True), torch.randint(0, rows[0], (23,))


@pytest.mark.parametrize("cap", [None, 3.0])
@pytest.mark.usefixtures("blocks")
def test_loss_and_gradient_are_those_of_the_whole_matrix(cap: float | None) -> None:
    model = tiny.network(tiny.characters())
    head = Head(model)
    head.cap = cap
    hidden, targets = hidden_and_targets(model)
    scale = torch.rand(23)
    ours = head._blockwise(hidden, targets)
    (ours * scale).sum().backward()
    gradient = hidden.grad.clone()
    hidden.grad = None
    logits = model.lm_head(hidden)
    if cap:
        logits = cap * torch.tanh(logits / cap)
    theirs = torch.nn.functional.cross_entropy(logits, targets, reduction="none")
    (theirs * scale).sum().backward()
    assert torch.allclose(ours, theirs, atol=1e-5)
    assert torch.allclose(gradient, hidden.grad, atol=1e-5)


def test_a_batch_of_which_nothing_is_learned_has_a_loss_of_nothing() -> None:
    model = tiny.network(tiny.characters())
    ids = torch.ones((2, 6), dtype=torch.long)
    labels = torch.full_like(ids, module.IGNORED)
    assert Head(model).nll(ids, labels).sum().item() == 0


def test_a_model_that_scales_its_logits_in_its_own_way_is_taken_whole() -> None:
    tokenizer = tiny.characters()
    model = tiny.network(tokenizer, "Cohere", logit_scale=0.25)
    head = Head(model)
    assert not head.split
    ids = torch.arange(5, 17)[None]
    expected = model(ids, labels=ids).loss.item()
    assert head.nll(ids, ids).mean().item() == pytest.approx(expected, rel=1e-5)


def test_every_row_is_seen_once_before_any_is_seen_twice() -> None:
    planned = plan.order(rows=10, batch=4, steps=5, seed=1).reshape(-1)
    assert sorted(planned[:10]) == list(range(10))
    assert sorted(planned[10:20]) == list(range(10))
    assert planned[:10].tolist() != planned[10:20].tolist()


def test_the_order_depends_on_the_seed_and_nothing_else() -> None:
    same = [plan.order(100, 8, 30, seed=5).tolist() for _ in range(2)]
    assert same[0] == same[1]
    assert same[0] != plan.order(100, 8, 30, seed=6).tolist()
    assert same[0][:10] == plan.order(100, 8, 10, seed=5).tolist()


def test_fewer_rows_than_a_batch_fill_it_all_the_same() -> None:
    assert plan.order(rows=3, batch=8, steps=2, seed=0).shape == (2, 8)


@pytest.mark.parametrize(
    ("batch", "at_most", "expected"), [(16, 16, 16), (16, 5, 4), (12, 5, 4), (7, 6, 1), (8, 0, 1)]
)
def test_a_micro_batch_divides_the_batch(batch: int, at_most: int, expected: int) -> None:
    assert plan.micro_batch(batch, at_most) == expected
