"""Earlier runs: curves over one another, what differs, cards, adapters to take away, deleting.

Knows the files of a run through ``workbench.tune``; does not know how one is started.
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
from tabs._tune_outcome import build_outcome
from tabs._tune_views import WORK, loss_chart, since
from tabs._words import label, say
from workbench.errors import WorkbenchError
from workbench.tune import job, runs
from workbench.tune.recipe import TuneRecipe, difference
from workbench.workspace import Workspace

MOST_COMPARED = 6


def build_runs(house: House, language: gr.Textbox, said: gr.HTML, tab: gr.Tab) -> None:
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

    build_outcome(house, language, name)
    chosen = [listing, compared, name]
    tab.select(show, language, chosen, **FOLLOW)
    compared.change(compare, [language, compared], picture, **FOLLOW)
    name.change(read_card, name, card, **FOLLOW)
    adapter.click(take, [language, name], [said, file], **WORK)
    merged.click(merge_in, [language, name], said, **WORK)
    remove.click(delete, [language, name, sure], [said, sure], **QUICK).then(
        show, language, chosen, **FOLLOW
    )


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
