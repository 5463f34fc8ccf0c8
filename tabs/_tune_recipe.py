"""The recipe as widgets: presets, every field with its sentence, and the same as YAML.

Knows how a recipe is written down, not what a field does.
"""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import gradio as gr

from tabs._models import DEFAULT_MODELS, SUGGESTED
from tabs._rules import rule
from tabs._shared import FOLLOW, QUICK, House, failed
from tabs._words import label
from workbench.data.dataset import listed
from workbench.errors import WorkbenchError
from workbench.tune.recipe import CHOICES, TuneRecipe, presets

GROUPS: dict[str, tuple[str, ...]] = {
    "length": ("steps", "epochs", "batch", "micro_batch", "max_length", "packing",
               "activation_checkpointing"),
    "adapter": ("lora_r", "lora_alpha", "lora_dropout", "rslora", "dora", "precision"),
    "learning": (
        "learning_rate", "schedule", "warmup", "weight_decay", "max_grad_norm", "optimizer",
    ),
    "rows": ("train_split", "eval_split", "holdout", "template", "answers_only", "seed"),
    "watching": ("eval_every", "save_every", "patience", "keep_best", "sample_tokens"),
}  # fmt: skip
ORDER = ("name", "base", "dataset", *(one for group in GROUPS.values() for one in group), "prompts")
WHOLE = {one.name for one in fields(TuneRecipe) if one.type == "int"}
START = "cpu"


class Form:
    """The widgets of a recipe, in ``ORDER``."""

    def __init__(self, house: House, language: gr.Textbox, tab: gr.Tab) -> None:
        known = presets()
        start = TuneRecipe(name="first-run", **known[START])
        self.preset = gr.Radio(
            [(label(f"tune.preset_{name.replace('-', '_')}"), name) for name in known],
            value=START, label=label("tune.preset"), elem_id="tune-preset",
        )  # fmt: skip
        self.widgets: dict[str, gr.components.Component] = {}
        with gr.Row():
            self.widgets["base"] = gr.Dropdown(
                DEFAULT_MODELS + SUGGESTED, value=start.base, allow_custom_value=True,
                label=label("recipe.base"), info=label("recipe.base_info"), elem_id="tune-base",
            )  # fmt: skip
            self.widgets["dataset"] = gr.Dropdown(
                [], value=None, label=label("recipe.dataset"), info=label("recipe.dataset_info"),
                elem_id="tune-dataset",
            )  # fmt: skip
            self.widgets["name"] = gr.Textbox(
                start.name, label=label("recipe.name"), info=label("recipe.name_info"),
                max_lines=1, elem_id="tune-name",
            )  # fmt: skip
        with gr.Accordion(label("tune.fields"), open=False, elem_id="tune-fields"):
            for group, names in GROUPS.items():
                gr.Markdown(label(f"tune.group_{group}"))
                with gr.Row():
                    for name in names:
                        self.widgets[name] = _widget(name, getattr(start, name))
            self.widgets["prompts"] = gr.Textbox(
                "\n".join(start.prompts), lines=6, label=label("recipe.prompts"),
                info=label("recipe.prompts_info"),
            )  # fmt: skip
        with gr.Accordion(label("tune.yaml"), open=False):
            self.yaml = gr.Code(language="yaml", elem_id="tune-yaml", max_lines=30)
            with gr.Row(elem_classes="tri-actions"):
                show = gr.Button(label("tune.yaml_show"), elem_id="tune-yaml-show")
                use = gr.Button(label("tune.yaml_use"), elem_id="tune-yaml-use")
        self.said = gr.HTML()
        self._wire(house, language, tab, show, use)

    @property
    def inputs(self) -> list[Any]:
        """Every widget, in ``ORDER``."""
        return [self.widgets[name] for name in ORDER]

    def _wire(
        self, house: House, language: gr.Textbox, tab: gr.Tab, show: gr.Button, use: gr.Button
    ) -> None:
        @rule("look")
        def choose(preset: str, *values: Any) -> list[Any]:
            """Every field but the name, the dataset and, if the preset has none, the base."""
            chosen = presets()[preset]
            whole = TuneRecipe(name="any", **chosen)
            kept = {"name", "dataset"} | ({"base"} - chosen.keys())
            return [
                value if name in kept else as_widget(name, getattr(whole, name))
                for name, value in zip(ORDER, values, strict=True)
            ]

        @rule("look")
        def datasets(request: gr.Request, chosen: str | None) -> Any:
            names = [one.name for one in listed(house.workspace(request))]
            value = chosen if chosen in names else (names[-1] if names else None)
            return gr.update(choices=names, value=value)

        @rule("look")
        def as_yaml(language: str, *values: Any) -> tuple[Any, str]:
            try:
                return recipe_of(values).to_yaml(), ""
            except WorkbenchError as error:
                return gr.skip(), failed(language, error)

        @rule("look")
        def from_yaml(language: str, text: str) -> list[Any]:
            try:
                recipe = TuneRecipe.from_yaml(text)
            except WorkbenchError as error:
                return [*[gr.skip()] * len(ORDER), failed(language, error)]
            return [*(as_widget(name, getattr(recipe, name)) for name in ORDER), ""]

        self.preset.input(choose, [self.preset, *self.inputs], self.inputs, **QUICK)
        dataset = self.widgets["dataset"]
        gr.on([tab.select], datasets, dataset, dataset, **FOLLOW)
        show.click(as_yaml, [language, *self.inputs], [self.yaml, self.said], **QUICK)
        use.click(from_yaml, [language, self.yaml], [*self.inputs, self.said], **QUICK)


def recipe_of(values: tuple[Any, ...] | list[Any]) -> TuneRecipe:
    """The recipe that the widgets say.

    Raises:
        whatever ``TuneRecipe`` raises.
    """
    given = {name: _as_field(name, value) for name, value in zip(ORDER, values, strict=True)}
    return TuneRecipe(**{name: value for name, value in given.items() if value is not None})


def as_widget(name: str, value: Any) -> Any:
    """A field's value as its widget shows it."""
    return "\n".join(value) if name == "prompts" else value


def _as_field(name: str, value: Any) -> Any:
    if name == "prompts":
        return tuple(line.strip() for line in (value or "").splitlines() if line.strip())
    if name in ("name", "base", "dataset"):
        return (value or "").strip()
    if name in WHOLE and isinstance(value, float) and value.is_integer():
        return int(value)
    return value


def _widget(name: str, value: Any) -> gr.components.Component:
    said = {"label": label(f"recipe.{name}"), "info": label(f"recipe.{name}_info")}
    spot = {"elem_id": f"tune-{name.replace('_', '-')}", "min_width": 150}
    if name in CHOICES:
        return gr.Dropdown(list(CHOICES[name]), value=value, **said, **spot)
    if isinstance(value, bool):
        return gr.Checkbox(value, **said, **spot)
    if isinstance(value, str):
        return gr.Textbox(value, max_lines=1, **said, **spot)
    return gr.Number(value, precision=0 if name in WHOLE else None, **said, **spot)
