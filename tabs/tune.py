"""Tune 調教: choose a recipe, see what will be learned, start, watch, stop, resume, compare.

The run is a process of its own; the page follows its file of events and can be closed.
"""

from __future__ import annotations

from typing import Any

import gradio as gr

from tabs._rules import rule
from tabs._shared import FOLLOW, QUICK, House, failed, notice
from tabs._tune_before import build_start
from tabs._tune_recipe import Form
from tabs._tune_runs import build_runs
from tabs._tune_views import live
from tabs._words import label, say
from workbench import jobs
from workbench.tune import job, runs
from workbench.workspace import Workspace

POLL_SECONDS = 2


def build(house: House, language: gr.Textbox, tab: gr.Tab) -> list[tuple[Any, ...]]:
    """Draw the tab; returns what must be said once the page knows its language."""
    with gr.Column(elem_classes="tri-panel"):
        gr.Markdown(label("tune.intro"))
    said = gr.HTML(elem_id="tune-said")
    run = gr.State("")
    with gr.Tabs(elem_classes="tri-inner") as inner:
        with gr.Tab(label("tune.tab_recipe"), id="recipe"):
            form = Form(house, language, tab)
            build_start(house, language, form, said, run, inner)
        with gr.Tab(label("tune.tab_watch"), id="watch") as watch:
            greet = _build_watch(house, language, said, run, watch)
        with gr.Tab(label("tune.tab_runs"), id="runs") as listing:
            build_runs(house, language, said, listing)
    return [greet]


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


def run_names(workspace: Workspace) -> list[str]:
    """The runs of a workspace, the one that said something last first."""
    return [one.name for one in runs.listed(workspace)]
