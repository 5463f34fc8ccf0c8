"""Choosing models, whether they fit, and what is in memory: for every tab that loads one.

Does not know what the models are loaded for.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import gradio as gr

from tabs._links import wish_of
from tabs._rules import rule
from tabs._shared import QUICK, House, failed
from tabs._words import label, say
from workbench.errors import WorkbenchError
from workbench.events import readable
from workbench.models.device import PRECISIONS, Precision
from workbench.models.reference import ModelReference

DEFAULT_MODELS = ["bundled:gemma-3-270m", "bundled:smollm2-135m-instruct"]
SUGGESTED = [
    "Qwen/Qwen3-0.6B-Base", "Qwen/Qwen3-8B-Base", "Qwen/Qwen2.5-7B", "google/gemma-3-1b-pt",
    "google/gemma-3-4b-pt", "HuggingFaceTB/SmolLM2-1.7B", "01-ai/Yi-1.5-6B",
]  # fmt: skip
REFRESH_SECONDS = 8


@dataclass(frozen=True)
class ModelsPanel:
    """The widgets that a tab reads from and writes to."""

    chosen: list[Any]
    """Inputs: language, references, precision."""
    memory: list[Any]
    """Outputs of ``in_memory``."""
    greetings: list[tuple[Any, ...]]
    """(handler, inputs, outputs) to run when the page knows its language."""


def build_models(house: House, language: gr.Textbox) -> ModelsPanel:
    """Draw the choice of models, the estimate below it and the line of what is loaded."""
    with gr.Row(equal_height=True):
        models = gr.Dropdown(
            DEFAULT_MODELS + SUGGESTED,
            value=DEFAULT_MODELS,
            multiselect=True,
            allow_custom_value=True,
            label=label("compare.models"),
            info=label("compare.models_info"),
            elem_id="compare-models",
            scale=4,
            min_width=300,
        )
        precision = gr.Dropdown(
            [(label("precision.auto"), "auto"), *((name, name) for name in PRECISIONS)],
            value="auto",
            label=label("compare.precision"),
            info=label("compare.precision_info"),
            scale=1,
            min_width=220,
        )
    fits = gr.HTML(elem_id="compare-fits")
    with gr.Row(elem_classes="tri-memory"):
        memory = gr.HTML(elem_id="memory", scale=3, min_width=260)
        held = gr.CheckboxGroup(
            [], label=label("memory.choose"), visible=False, scale=5, min_width=280
        )
        unload = gr.Button(label("memory.unload"), visible=False, size="sm", scale=0)
    gr.Markdown(label("compare.terms"), elem_classes="tri-terms")
    panel = ModelsPanel([language, models, precision], [memory, held, unload], [])

    @rule("look")
    def say_fits(language: str, names: list[str], chosen: str) -> str:
        return _fits(house, language, names, chosen)

    @rule("look")
    def say_memory(language: str) -> tuple[Any, ...]:
        return in_memory(house, language)

    @rule("unload")
    def free(language: str, keys: list[str]) -> tuple[Any, ...]:
        said = _unload(house, language, keys or [])
        shown, choices, button = in_memory(house, language, said)
        return shown, {**choices, "value": []}, button

    @rule("look")
    def offer() -> Any:
        return gr.update(choices=offered(house))

    @rule("look")
    def wished(request: gr.Request) -> Any:
        wish = wish_of(request)
        return gr.update(value=list(wish.models)) if wish.models else gr.skip()

    models.focus(offer, None, models, **QUICK)
    for widget in (models, precision):
        widget.change(say_fits, panel.chosen, fits, trigger_mode="always_last", **QUICK)
    unload.click(free, [language, held], panel.memory, **QUICK)
    gr.Timer(REFRESH_SECONDS).tick(say_memory, language, panel.memory, **QUICK)
    panel.greetings.extend(
        [
            (offer, None, models),
            (wished, None, models),
            (say_fits, panel.chosen, fits),
            (say_memory, [language], panel.memory),
        ]
    )
    return panel


def offered(house: House) -> list[str]:
    """What the list of models suggests: the bundled, those tuned here, and some of the Hub.

    To guests, what they may use.
    """
    if not house.who().may("load_any_model"):
        return [*DEFAULT_MODELS, *sorted(house.allowed() - set(DEFAULT_MODELS))]
    return [*DEFAULT_MODELS, *tuned(house), *SUGGESTED]


def tuned(house: House) -> list[str]:
    """The runs that have an adapter, each as BASE+RUN."""
    from workbench.tune import runs

    found = runs.listed(house.workspace())
    return [f"{one.recipe.base}+{one.name}" for one in found if one.has_adapter and one.recipe]


def _unload(house: House, language: str, keys: list[str]) -> str:
    said = ""
    for key in keys:
        name, _, kept = key.rpartition("|")
        try:
            house.pool.unload(ModelReference.parse(name), kept)  # type: ignore[arg-type]
        except WorkbenchError as error:
            said += failed(language, error)
    return said


def in_memory(house: House, language: str, said: str = "") -> tuple[Any, ...]:
    """The line of what is loaded, its choices for Unload, and the button."""
    loaded = house.pool.loaded()
    if not loaded:
        empty = f'<p class="tri-quiet">{say(language, "memory.empty")}</p>'
        hidden = gr.update(choices=[], value=[], visible=False)
        return said + empty, hidden, gr.update(visible=False)
    total = readable(sum(model.memory_bytes for model in loaded))
    line = say(language, "memory.title", count=len(loaded), total=total)
    choices = [
        (
            f"{model.reference.label} · {model.precision} · {readable(model.memory_bytes)}",
            f"{model.name}|{model.precision}",
        )
        for model in loaded
    ]
    shown = f'<p class="tri-quiet"><b>{line}</b></p>'
    mine = house.who().may("unload")
    return said + shown, gr.update(choices=choices, visible=True), gr.update(visible=mine)


def as_precision(value: str) -> Precision | None:
    return None if value == "auto" else value  # type: ignore[return-value]


def _fits(house: House, language: str, names: list[str], chosen: str) -> str:
    """For each chosen model, what it needs and whether that is there."""
    from workbench.models.device import default_precision
    from workbench.models.estimate import available, config_of, estimate

    rows = []
    for name in names or []:
        try:
            (reference,) = house.references([name])
            precision = as_precision(chosen) or default_precision()
            wanted = estimate(config_of(reference, house.settings), precision)
            budget = available(house.settings)
            fits = wanted.total <= budget
            words = say(
                language,
                "fits.yes" if fits else "fits.no",
                precision=precision,
                needed=readable(wanted.total),
                weights=readable(wanted.weights),
                available=readable(budget),
            )
            kind = "yes" if fits else "no"
            rows.append(f'<li class="{kind}"><b>{reference.label}</b> {words}</li>')
        except Exception as error:
            rows.append(f"<li>{failed(language, error)}</li>")
    return f'<ul class="tri-fits">{"".join(rows)}</ul>' if rows else ""
