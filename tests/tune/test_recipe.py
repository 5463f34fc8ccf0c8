"""A recipe checks itself, survives YAML, and the shipped ones are whole."""

from __future__ import annotations

import ast
import inspect
from dataclasses import fields, replace
from typing import Any

import pytest
import yaml

from tabs._words import LANGUAGES, explain, words
from workbench.errors import (
    BadRecipeField,
    BadReference,
    BadTuneRecipe,
    InvalidName,
    OutOfRange,
    TooManyPrompts,
    WorkbenchError,
)
from workbench.tune.recipe import (
    RANGES,
    TuneRecipe,
    difference,
    fields_of,
    from_preset,
    presets,
)

NAMES = [one.name for one in fields(TuneRecipe)]


def test_a_recipe_comes_back_from_yaml_as_it_was() -> None:
    recipe = TuneRecipe(
        "夜晚-1", dataset="傾偈", learning_rate=3e-5, dora=True, prompts=("你叫咩名？", "a: b # c")
    )
    again = TuneRecipe.from_yaml(recipe.to_yaml())
    assert again == recipe
    assert again.sha256 == recipe.sha256


def test_the_yaml_is_canonical_and_says_its_version_first() -> None:
    text = TuneRecipe("a").to_yaml()
    assert text.splitlines()[0] == "trilogy_recipe: 1"
    assert list(yaml.safe_load(text))[1:] == NAMES


def test_a_whole_number_and_its_decimal_are_the_same_choice() -> None:
    assert TuneRecipe("a", epochs=2).sha256 == TuneRecipe("a", epochs=2.0).sha256


def test_every_change_of_a_field_changes_the_hash() -> None:
    plain = TuneRecipe("a")
    changed = [
        replace(plain, name="b"),
        replace(plain, lora_r=8),
        replace(plain, packing=False),
        replace(plain, prompts=("今日點呀？",)),
    ]
    assert len({one.sha256 for one in [plain, *changed]}) == 5


def test_fields_that_are_not_there_have_their_defaults_and_given_ones_win() -> None:
    recipe = TuneRecipe.from_yaml("trilogy_recipe: 1\nlora_r: 4\nseed: 3", name="x", seed=5)
    assert recipe == TuneRecipe("x", lora_r=4, seed=5)


@pytest.mark.parametrize("written", ["2e-4", "0.0002", "2.0e-4", "'2e-4'"])
def test_a_learning_rate_may_be_written_as_people_write_it(written: str) -> None:
    recipe = TuneRecipe.from_yaml(f"trilogy_recipe: 1\nname: a\nlearning_rate: {written}")
    assert recipe.learning_rate == 2e-4


def test_a_name_of_digits_is_a_name() -> None:
    assert TuneRecipe.from_yaml("trilogy_recipe: 1\nname: 2026").name == "2026"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("trilogy_recipe: 2\nname: a", "version 2"),
        ("name: a", "trilogy_recipe: 1"),
        ("trilogy_recipe: yes\nname: a", "trilogy_recipe: 1"),
        ("trilogy_recipe: 1\nname: a\nlora_rank: 8", "lora_rank"),
        ("trilogy_recipe: 1\nname: a\n8: 8", "8"),
        ("trilogy_recipe: 1", "no name"),
        ("", "fields"),
        ("- a\n- b", "fields"),
        ("a: [", "YAML"),
        ("a: !!python/object/apply:os.system ['true']", "YAML"),
        ("x" * 200_000, "long"),
    ],
)
def test_what_is_no_recipe_is_refused_with_the_reason(text: str, said: str) -> None:
    with pytest.raises(BadTuneRecipe, match=said):
        TuneRecipe.from_yaml(text)


@pytest.mark.parametrize("name", sorted(RANGES))
def test_every_number_has_a_range_that_holds_its_default(name: str) -> None:
    low, high = RANGES[name]
    kind = type(getattr(TuneRecipe("a"), name))
    assert low <= getattr(TuneRecipe("a"), name) <= high
    for value in (low, high):
        extra = {"batch": 4096} if name == "micro_batch" else {}
        TuneRecipe("a", **{name: kind(value), **extra})
    for value in (low - 1, high * 2 + 1):
        with pytest.raises(OutOfRange):
            TuneRecipe("a", **{name: kind(value)})


def test_every_number_of_a_recipe_has_a_range() -> None:
    numbers = {one.name for one in fields(TuneRecipe) if one.type in ("int", "float")}
    assert numbers == set(RANGES)


def test_a_learning_rate_of_one_is_refused_in_words() -> None:
    with pytest.raises(OutOfRange, match=r"learning_rate is 1\.0"):
        TuneRecipe("a", learning_rate=1)


@pytest.mark.parametrize(
    "bad",
    [
        {"precision": "fp8"},
        {"template": "alpaca"},
        {"optimizer": "sgd"},
        {"schedule": "cubic"},
        {"lora_r": 1.5},
        {"lora_r": True},
        {"packing": 1},
        {"learning_rate": float("nan")},
        {"learning_rate": "fast"},
        {"prompts": ("",)},
        {"prompts": ["a list"]},
        {"prompts": "words"},
        {"base": 7},
        {"base": "bundled:gemma-3-270m+other"},
        {"train_split": "train", "eval_split": "train"},
        {"dataset": None},
    ],
)
def test_a_field_of_the_wrong_kind_is_named(bad: dict[str, Any]) -> None:
    with pytest.raises(BadRecipeField) as caught:
        TuneRecipe("a", **bad)
    assert caught.value.facts["field"] in bad


def test_names_references_and_prompts_are_checked_too() -> None:
    with pytest.raises(InvalidName):
        TuneRecipe("../a")
    with pytest.raises(InvalidName):
        TuneRecipe("a", dataset="../b")
    with pytest.raises(BadReference):
        TuneRecipe("a", base="no such: thing")
    with pytest.raises(TooManyPrompts):
        TuneRecipe("a", prompts=("早晨",) * 7)
    with pytest.raises(OutOfRange):
        TuneRecipe("a", batch=4, micro_batch=8)


def test_a_difference_names_both_values_and_not_the_name() -> None:
    first, second = TuneRecipe("a", lora_r=8), TuneRecipe("b", schedule="linear")
    assert difference(first, second) == {"lora_r": (8, 16), "schedule": ("cosine", "linear")}
    assert difference(first, replace(first, name="c")) == {}


def test_the_shipped_recipes_are_whole_once_they_have_a_name() -> None:
    assert set(presets()) == {"cpu", "card24", "h200", "roleplay", "cantonese-chat"}
    for preset, known in presets().items():
        recipe = from_preset(preset, "mine", {"dataset": "kc"})
        assert recipe.dataset == "kc"
        for name, value in known.items():
            assert getattr(recipe, name) == value, (preset, name)


def test_an_unknown_preset_is_refused_with_those_there_are() -> None:
    with pytest.raises(BadRecipeField, match="cantonese-chat"):
        from_preset("tpu", "mine")


def test_a_partial_recipe_gives_only_what_it_names() -> None:
    assert fields_of("trilogy_recipe: 1\nepochs: 2") == {"epochs": 2.0}


def test_every_field_has_a_sentence() -> None:
    body = ast.parse(inspect.getsource(TuneRecipe)).body[0]
    assert isinstance(body, ast.ClassDef)
    for at, node in enumerate(body.body):
        if isinstance(node, ast.AnnAssign):
            after = body.body[at + 1]
            assert isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant)
            assert str(after.value.value).strip().endswith(".")


def test_every_error_about_a_field_can_be_said_in_every_language() -> None:
    def refused(**bad: Any) -> WorkbenchError:
        with pytest.raises(WorkbenchError) as caught:
            TuneRecipe("a", **bad)
        return caught.value

    errors = [refused(schedule="cubic"), refused(lora_r=0), refused(prompts=(" ",))]
    for language in LANGUAGES:
        assert {f"field.{name}" for name in NAMES} <= words()[language].keys()
        assert all(explain(language, error) for error in errors)
