"""Tune 調教: choose a recipe, see what will be learned, start, watch, stop, resume, compare.

The run is a process of its own; the page follows its file of events and can be closed.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from html import escape
from pathlib import Path
from typing import Any

import gradio as gr

from tabs._rules import rule
from tabs._shared import FOLLOW, QUICK, House, failed, notice, showing
from tabs._tune_recipe import Form, recipe_of
from tabs._tune_views import coloured, live, loss_chart, mask_legend, pieces, since
from tabs._words import explain, label, say
from workbench import jobs
from workbench.errors import DoesNotFit, WorkbenchError
from workbench.events import readable
from workbench.tune import job, runs
from workbench.tune.recipe import TuneRecipe, difference
from workbench.workspace import Workspace

POLL_SECONDS = 2
SHOWN = 3
"""Rows whose mask is shown."""
MOST_COMPARED = 6
WORK: dict[str, Any] = {
    "api_visibility": "private",
    "concurrency_id": "tune",
    "show_progress": "hidden",
}


def build(house: House, language: gr.Textbox, tab: gr.Tab) -> list[tuple[Any, ...]]:
    """Draw the tab; returns what must be said once the page knows its language."""
    with gr.Column(elem_classes="tri-panel"):
        gr.Markdown(label("tune.intro"))
    said = gr.HTML(elem_id="tune-said")
    run = gr.State("")
    with gr.Tabs(elem_classes="tri-inner") as inner:
        with gr.Tab(label("tune.tab_recipe"), id="recipe"):
            form = Form(house, language, tab)
            _build_start(house, language, form, said, run, inner)
        with gr.Tab(label("tune.tab_watch"), id="watch") as watch:
            greet = _build_watch(house, language, said, run, watch)
        with gr.Tab(label("tune.tab_runs"), id="runs") as listing:
            _build_runs(house, language, said, listing)
    return [greet]


def _build_start(
    house: House,
    language: gr.Textbox,
    form: Form,
    said: gr.HTML,
    run: gr.State,
    inner: gr.Tabs,
) -> None:
    with gr.Row(elem_classes="tri-actions"):
        check = gr.Button(label("tune.check"), elem_id="tune-check", scale=2)
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

    check.click(look, [language, *form.inputs], [said, before], **WORK)
    start.click(begin, [language, *form.inputs], [said, run, inner], **WORK)
    stop.click(house.stopper("tune"), None, None, **QUICK)


def _build_watch(
    house: House, language: gr.Textbox, said: gr.HTML, run: gr.State, tab: gr.Tab
) -> tuple[Any, ...]:
    with gr.Row(elem_classes="tri-actions"):
        name = gr.Dropdown([], label=label("tune.run"), elem_id="tune-run", scale=3)
        halt = gr.Button(label("tune.halt"), variant="stop", elem_id="tune-halt")
        again = gr.Button(label("tune.resume"), elem_id="tune-resume")
    picture = gr.HTML(elem_id="tune-live")
    clock = gr.Timer(POLL_SECONDS, active=False)
    shown = gr.State("")

    @rule("look")
    def choose(request: gr.Request, started: str) -> Any:
        names = run_names(house.workspace(request))
        value = started if started in names else (names[0] if names else None)
        return gr.update(choices=names, value=value)

    @rule("look")
    def draw(request: gr.Request, language: str, name: str | None) -> tuple[Any, ...]:
        """The picture, whether to look again, and what was drawn."""
        if not name:
            return notice("info", say(language, "tune.none")), gr.Timer(active=False), ""
        try:
            folder = job.find(name, house.workspace(request))
            status, events = jobs.status_of(folder), runs.happened(job.events_of(folder))
        except Exception as error:
            return failed(language, error), gr.Timer(active=False), ""
        going = status in ("queued", "running")
        seen = f"{name}/{status}/{len(events)}/{language}"
        return live(language, name, status, events), gr.Timer(active=going), seen

    @rule("look")
    def tick(request: gr.Request, language: str, name: str | None, seen: str) -> tuple[Any, ...]:
        drawn = draw(request, language, name)
        return (gr.skip(), gr.skip(), gr.skip()) if drawn[2] == seen else drawn

    def order(what: str) -> Any:
        @rule("train")
        def ordered(request: gr.Request, language: str, name: str | None) -> tuple[Any, ...]:
            try:
                if what == "halt":
                    job.stop(name or "", house.workspace(request))
                else:
                    job.resume(name or "", house.settings, house.workspace(request))
            except Exception as error:
                return failed(language, error), gr.skip()
            return notice("info", say(language, f"tune.{what}_asked", name=name)), gr.Timer(
                active=True
            )

        return ordered

    outputs = [picture, clock, shown]
    inputs = [language, name]
    run.change(choose, run, name, **FOLLOW)
    tab.select(choose, run, name, **FOLLOW).then(draw, inputs, outputs, **FOLLOW)
    name.change(draw, inputs, outputs, **FOLLOW)
    clock.tick(tick, [*inputs, shown], outputs, **FOLLOW)
    halt.click(order("halt"), inputs, [said, clock], **QUICK)
    again.click(order("resume"), inputs, [said, clock], **QUICK)

    @rule("look")
    def greet(request: gr.Request) -> Any:
        names = run_names(house.workspace(request))
        return gr.update(choices=names, value=names[0] if names else None)

    return greet, None, name


def _build_runs(house: House, language: gr.Textbox, said: gr.HTML, tab: gr.Tab) -> None:
    gr.Markdown(label("tune.runs_intro"))
    listing = gr.HTML(elem_id="tune-list")
    compared = gr.Dropdown(
        [], multiselect=True, max_choices=MOST_COMPARED, label=label("tune.compared"),
        elem_id="tune-compared",
    )  # fmt: skip
    picture = gr.HTML(elem_id="tune-comparison")
    with gr.Row(elem_classes="tri-actions"):
        name = gr.Dropdown([], label=label("tune.run"), elem_id="tune-chosen")
        adapter = gr.Button(label("tune.take_adapter"), elem_id="tune-take")
        merged = gr.Button(label("tune.merge"), elem_id="tune-merge")
        sure = gr.Checkbox(False, label=label("tune.sure"))
        remove = gr.Button(label("log.delete"), variant="stop", elem_id="tune-delete")
    file = gr.File(label=label("out.file"), visible=False, elem_id="tune-file")
    card = gr.Markdown(elem_id="tune-card", elem_classes="tri-cardtext")

    @rule("look")
    def show(request: gr.Request, language: str) -> tuple[Any, ...]:
        found = runs.listed(house.workspace(request))
        choices = gr.update(choices=[one.name for one in found])
        return _listing(language, found), choices, choices

    @rule("look")
    def compare(request: gr.Request, language: str, names: list[str]) -> str:
        try:
            return _comparison(language, house.workspace(request), names or [])
        except Exception as error:
            return failed(language, error)

    @rule("look")
    def read_card(request: gr.Request, name: str | None) -> str:
        from workbench.tune.card import card

        try:
            workspace = house.workspace(request)
            text = card(job.find(name or "", workspace), workspace)
        except WorkbenchError:
            return ""
        return text.split("---\n", 2)[-1]

    @rule("export")
    def take(request: gr.Request, language: str, name: str | None) -> tuple[Any, Any]:
        from workbench.tune.export import zip_adapter

        try:
            out = Path(tempfile.mkdtemp()) / f"{name}.zip"
            path = zip_adapter(name or "", house.workspace(request), out)
        except Exception as error:
            return failed(language, error), gr.skip()
        return "", gr.update(value=str(path), visible=True)

    @rule("export")
    def merge_in(request: gr.Request, language: str, name: str | None) -> Iterator[Any]:
        from workbench.tune.export import merge

        try:
            workspace = house.workspace(request)
            out = job.find(name or "", workspace) / "merged"
            stop = house.stops.start(request, "tune")
            work = merge(name or "", workspace, out, house.settings, stop)
            done = yield from showing(language, work)
            text = say(
                language, "tune.merged", folder=done.folder, agreement=f"{done.agreement:.4f}"
            )
            yield notice("good", text)
        except Exception as error:
            yield failed(language, error)

    @rule("delete")
    def delete(request: gr.Request, language: str, name: str | None, sure: bool) -> tuple[Any, ...]:
        if not sure:
            return notice("info", say(language, "log.not_sure")), False
        try:
            job.delete(name or "", house.workspace(request))
        except Exception as error:
            return failed(language, error), False
        return notice("good", say(language, "tune.deleted", name=name)), False

    chosen = [listing, compared, name]
    tab.select(show, language, chosen, **FOLLOW)
    compared.change(compare, [language, compared], picture, **FOLLOW)
    name.change(read_card, name, card, **FOLLOW)
    adapter.click(take, [language, name], [said, file], **WORK)
    merged.click(merge_in, [language, name], said, **WORK)
    remove.click(delete, [language, name, sure], [said, sure], **QUICK).then(
        show, language, chosen, **FOLLOW
    )


def run_names(workspace: Workspace) -> list[str]:
    """The runs of a workspace, the one that said something last first."""
    return [one.name for one in runs.listed(workspace)]


def _before(
    house: House, workspace: Workspace, recipe: TuneRecipe, language: str, stop: Any
) -> Any:
    """What will be learned, and whether it fits: as HTML, after progress."""
    from workbench.models.reference import ModelReference
    from workbench.models.templates import chat_template_for
    from workbench.models.tokenizer import bring_tokenizer
    from workbench.tune.encode import Encoder, encode_rows, report
    from workbench.tune.rows import load_rows, overlap

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


def _listing(language: str, found: list[runs.Run]) -> str:
    if not found:
        return notice("info", say(language, "tune.none"))
    heads = ("run", "status", "base", "dataset", "step", "bits", "since")
    head = "".join(f"<th>{escape(say(language, f'tune.column_{one}'))}</th>" for one in heads)
    lines = "".join(_line(language, one) for one in found)
    return (
        f'<div class="tri-scroll"><table class="tri-table tri-runs"><thead><tr>{head}</tr></thead>'
        f"<tbody>{lines}</tbody></table></div>"
    )


def _line(language: str, run: runs.Run) -> str:
    bits = ""
    if run.first.get("bits_per_character") and run.best.get("bits_per_character"):
        first, best = run.first["bits_per_character"], run.best["bits_per_character"]
        bits = f"{first:.2f} → {best:.2f}"
    cells = [
        run.name, say(language, f"status.{run.status}"),
        run.recipe.base.removeprefix("bundled:") if run.recipe else "?",
        run.recipe.dataset if run.recipe else "?",
        f"{run.step} / {run.steps or '?'}", bits, since(run.time) if run.time else "",
    ]  # fmt: skip
    return f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in cells)}</tr>"


def _comparison(language: str, workspace: Workspace, names: list[str]) -> str:
    """Curves of several runs over one another, and what differs in their recipes."""
    if not names:
        return ""
    folders = {name: job.find(name, workspace) for name in names}
    html = loss_chart(
        language, {name: runs.happened(job.events_of(one)) for name, one in folders.items()}
    )
    recipes = {
        name: TuneRecipe.from_yaml((one / job.RECIPE).read_text("utf-8"))
        for name, one in folders.items()
    }
    first = next(iter(recipes.values()))
    differing = sorted({key for one in recipes.values() for key in difference(first, one)})
    if len(names) < 2:
        return html
    if not differing:
        return html + notice("info", say(language, "tune.same_recipe"))
    head = "".join(f"<th>{escape(name)}</th>" for name in ["", *names])
    lines = "".join(
        f"<tr><td>{escape(say(language, f'recipe.{key}'))}</td>"
        + "".join(
            f"<td><mark>{escape(_shown(getattr(one, key)))}</mark></td>"
            if getattr(one, key) != getattr(first, key)
            else f"<td>{escape(_shown(getattr(one, key)))}</td>"
            for one in recipes.values()
        )
        + "</tr>"
        for key in differing
    )
    return (
        f'{html}<div class="tri-scroll"><table class="tri-table"><thead><tr>{head}</tr></thead>'
        f"<tbody>{lines}</tbody></table></div>"
    )


def _shown(value: Any) -> str:
    return " / ".join(value) if isinstance(value, tuple) else str(value)
