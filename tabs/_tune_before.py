"""Before a run starts: what is learned, whether it fits, how long it will take; and the start.

Knows a recipe and what ``workbench.tune`` says of it; does not follow a run.
"""

from __future__ import annotations

from collections.abc import Iterator
from html import escape
from typing import Any

import gradio as gr

from tabs._rules import rule
from tabs._shared import QUICK, House, failed, notice, showing
from tabs._tune_recipe import Form, recipe_of
from tabs._tune_views import WORK, coloured, mask_legend, pieces
from tabs._words import explain, label, say
from workbench.errors import DoesNotFit
from workbench.events import readable
from workbench.tune import job
from workbench.tune.recipe import TuneRecipe
from workbench.tune.trial import Trial, trial
from workbench.workspace import Workspace

SHOWN = 3
"""Rows whose mask is shown."""


def build_start(
    house: House,
    language: gr.Textbox,
    form: Form,
    said: gr.HTML,
    run: gr.State,
    inner: gr.Tabs,
) -> None:
    with gr.Row(elem_classes="tri-actions"):
        check = gr.Button(label("tune.check"), elem_id="tune-check", scale=2)
        attempt = gr.Button(label("tune.try"), elem_id="tune-try", scale=2)
        start = gr.Button(label("tune.start"), variant="primary", elem_id="tune-start", scale=3)
        stop = gr.Button(label("action.stop"), variant="stop", scale=1)
    before = gr.HTML(elem_id="tune-before")

    @rule("work")
    def look(request: gr.Request, language: str, *values: Any) -> Iterator[Any]:
        try:
            recipe = recipe_of(values)
            house.references([recipe.base])
            stop = house.stops.start(request, "tune")
            work = _before(house, house.workspace(request), recipe, language, stop)
            before = yield from showing(language, work, 2)
            yield "", before
        except Exception as error:
            yield failed(language, error), gr.skip()

    @rule("train")
    def begin(request: gr.Request, language: str, *values: Any) -> tuple[Any, ...]:
        try:
            recipe = recipe_of(values)
            house.references([recipe.base])
            job.start(recipe, house.settings, house.workspace(request))
        except Exception as error:
            return failed(language, error), gr.skip(), gr.skip()
        text = notice("good", say(language, "tune.started", name=recipe.name))
        return text, recipe.name, gr.Tabs(selected="watch")

    @rule("train")
    def try_it(request: gr.Request, language: str, *values: Any) -> Iterator[Any]:
        try:
            recipe = recipe_of(values)
            house.references([recipe.base])
            stop = house.stops.start(request, "tune")
            work = trial(recipe, house.settings, house.workspace(request), stop)
            yield _timed(language, (yield from showing(language, work)))
        except Exception as error:
            yield failed(language, error)

    attempt.click(try_it, [language, *form.inputs], said, **WORK)
    check.click(look, [language, *form.inputs], [said, before], **WORK)
    start.click(begin, [language, *form.inputs], [said, run, inner], **WORK)
    stop.click(house.stopper("tune"), None, None, **QUICK)


def _timed(language: str, found: Trial) -> str:
    """How long the whole run will take, from a trial."""
    text = say(
        language, "tune.tried",
        minutes=f"{found.seconds / 60:.1f}", steps=f"{found.steps:,}",
        step=f"{found.step_seconds:.1f}", speed=f"{found.tokens_per_second:,.0f}",
        evaluations=found.evaluations, evaluation=f"{found.evaluation_seconds:.0f}",
        memory=readable(found.memory_bytes),
    )  # fmt: skip
    return notice("good", text)


def _before(
    house: House, workspace: Workspace, recipe: TuneRecipe, language: str, stop: Any
) -> Any:
    """What will be learned, and whether it fits: as HTML, after progress."""
    from workbench.models.reference import ModelReference
    from workbench.models.templates import chat_template_for
    from workbench.models.tokenizer import bring_tokenizer
    from workbench.tune.encode import Encoder, encode_rows, report
    from workbench.tune.overlap import overlap, probes_in
    from workbench.tune.rows import load_rows

    rows = load_rows(recipe, workspace)
    tokenizer = yield from bring_tokenizer(ModelReference.parse(recipe.base), house.settings, stop)
    template = chat_template_for(tokenizer, recipe.template)
    encoder = Encoder(tokenizer, template, recipe.max_length, recipe.answers_only)
    encoded, _ = yield from encode_rows(encoder, rows.train, rows.train_rows, stop)
    found = report(encoded, tokenizer, template)
    facts = say(
        language, "tune.learned",
        rows=f"{found.rows:,}", held=f"{len(rows.held):,}", tokens=f"{found.tokens:,}",
        learned=f"{found.learned_tokens:,}", longest=f"{found.longest:,}",
    )  # fmt: skip
    twice = overlap(rows.train, rows.held).rows if rows.held else 0
    warnings = "".join(
        notice("info" if one == "template_added" else "warning", _warning(language, one, found))
        for one in found.warnings
    )
    if twice:
        warnings += notice("warning", say(language, "tune.warn_overlap", count=f"{twice:,}"))
    if known := probes_in(rows.train):
        warnings += notice("warning", say(language, "tune.warn_probes", count=f"{known:,}"))
    shown = "".join(coloured(language, row, pieces(tokenizer, row.ids)) for row in encoded[:SHOWN])
    memory = _memory(house, recipe, found.longest, language)
    return (
        f'<p class="tri-verdict">{escape(facts)}</p>{memory}{warnings}'
        f"<h4>{escape(say(language, 'tune.mask'))}</h4>{mask_legend(language)}{shown}"
    )


COUNTED = {
    "rows_cut": "cut", "rows_masked": "masked", "end_not_learned": "endless",
    "control_tokens": "control",
}  # fmt: skip


def _warning(language: str, name: str, found: Any) -> str:
    count = getattr(found, COUNTED[name]) if name in COUNTED else 0
    return say(language, f"tune.warn_{name}", count=f"{count:,}")


def _memory(house: House, recipe: TuneRecipe, length: int, language: str) -> str:
    """Whether it fits, from the configuration alone."""
    from workbench.models.estimate import available, config_of
    from workbench.models.reference import ModelReference
    from workbench.tune.estimate import fitting

    budget = available(house.settings)
    config = config_of(ModelReference.parse(recipe.base), house.settings)
    try:
        needed = fitting(recipe, config, budget, length)
    except DoesNotFit as error:
        return notice("warning", explain(language, error))
    text = say(
        language, "tune.fits",
        needed=readable(needed.total), weights=readable(needed.weights),
        adapter=readable(needed.adapter + needed.gradients + needed.optimizer),
        activations=readable(needed.activations + needed.logits),
        available=readable(budget), micro=needed.micro_batch,
    )  # fmt: skip
    return notice("good", text)
