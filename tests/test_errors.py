"""Every error is one sentence, built from facts, and survives a trip between processes."""

from __future__ import annotations

import pickle
import re

import pytest

from workbench import errors
from workbench.errors import ModelNotFound, RequestError, WorkbenchError, WorkFailed, leaves

LEAVES = sorted(leaves(), key=lambda kind: kind.__name__)


def example(kind: type[WorkbenchError]) -> WorkbenchError:
    return kind(**{name: f"Some {name}" for name in kind.fields()})


@pytest.mark.parametrize("kind", LEAVES)
def test_every_error_is_a_sentence_with_its_facts_in_it(kind: type[WorkbenchError]) -> None:
    sentence = str(example(kind))
    assert sentence.endswith(".")
    assert sentence[0].isupper() or sentence[0] == "“"
    assert "\n" not in sentence
    assert "{" not in sentence
    assert all(f"Some {name}" in sentence for name in kind.fields())


@pytest.mark.parametrize("kind", LEAVES)
def test_every_error_survives_pickling(kind: type[WorkbenchError]) -> None:
    error = example(kind)
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is kind
    assert (str(again), again.facts) == (str(error), error.facts)


@pytest.mark.parametrize("kind", LEAVES)
def test_the_exit_code_says_whose_fault_it_was(kind: type[WorkbenchError]) -> None:
    assert kind.exit_code == (2 if issubclass(kind, RequestError) else 1)
    assert issubclass(kind, RequestError) != issubclass(kind, WorkFailed)


def test_the_tree_at_the_head_of_the_file_is_the_tree() -> None:
    drawn = re.findall(r"[├└]── (\w+)", errors.__doc__ or "")
    there = [
        name
        for name, value in vars(errors).items()
        if isinstance(value, type) and issubclass(value, WorkbenchError)
    ]
    assert sorted(drawn) == sorted(set(there) - {"WorkbenchError"})


def test_the_tree_is_drawn_with_the_right_parents() -> None:
    above: list[str] = ["WorkbenchError"]
    for line in (errors.__doc__ or "").splitlines():
        if found := re.match(r"    ([│ ]*)[├└]── (\w+)", line):
            depth = len(found[1]) // 4 + 1
            above = [*above[:depth], found[2]]
            assert getattr(errors, found[2]).__bases__[0].__name__ == above[depth - 1]


def test_a_forgotten_fact_is_found_where_the_error_is_made() -> None:
    with pytest.raises(TypeError, match="model"):
        ModelNotFound()
