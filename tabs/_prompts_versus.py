"""Two versions of a prompt against each other, on the same seeds, with the same teacher."""

from __future__ import annotations

from typing import Any

import gradio as gr

from tabs._prompts_ask import Panel, asking_of, key_of
from tabs._prompts_try import Editor, source_of
from tabs._prompts_views import difference, versus
from tabs._rules import rule
from tabs._shared import FOLLOW, QUICK, House, failed, notice
from tabs._words import label, say
from workbench import jobs
from workbench.prompts import job, template
from workbench.prompts.ledger import Budget
from workbench.prompts.recipe import GenerateRecipe
from workbench.prompts.rules import Rules
from workbench.prompts.versus import compare
from workbench.workspace import Workspace

POLL_SECONDS = 2
SIDES = ("-a", "-b")
MOST_ROWS = 10_000_000
"""The budget of requests ends such a run, not its rows."""


def build(
    house: House, language: gr.Textbox, panel: Panel, editor: Editor, tab: gr.Tab
) -> list[tuple[Any, ...]]:
    """Draw the part; returns what must be said once the page knows its language."""
    gr.Markdown(label("versus.intro"))
    with gr.Row():
        one = gr.Dropdown([], label=label("versus.one"), elem_id="versus-one", min_width=200)
        other = gr.Dropdown([], label=label("versus.other"), elem_id="versus-other", min_width=200)
        count = gr.Number(
            12, label=label("versus.requests_each"), precision=0, minimum=1, maximum=1000,
            elem_id="versus-count", min_width=120,
        )  # fmt: skip
        name = gr.Textbox(
            "versus", label=label("prompts.run_name"), max_lines=1, elem_id="versus-name",
            min_width=140,
        )  # fmt: skip
    with gr.Row(elem_classes="tri-actions"):
        start = gr.Button(label("versus.start"), variant="primary", elem_id="versus-start", scale=3)
        stop = gr.Button(label("action.stop"), variant="stop", elem_id="versus-stop", scale=1)
        look = gr.Button(label("versus.look"), elem_id="versus-look", scale=2)
    said = gr.HTML(elem_id="versus-said")
    result = gr.HTML(elem_id="versus-result")
    clock = gr.Timer(POLL_SECONDS, active=False)

    @rule("look")
    def choices(request: gr.Request, left: str | None, right: str | None) -> tuple[Any, Any]:
        names = [found.label for found in template.listed(house.workspace(request))]
        first = left if left in names else next(iter(names), None)
        second = right if right in names else next((n for n in names if n != first), first)
        return gr.update(choices=names, value=first), gr.update(choices=names, value=second)

    @rule("generate")
    def begin(
        request: gr.Request, language: str, left: str, right: str, most: int, called: str,
        source: str, *values: Any,
    ) -> tuple[Any, ...]:  # fmt: skip
        try:
            asking = asking_of(values)
            workspace = house.workspace(request)
            if asking.choice.kind == "local":
                house.references([asking.choice.model], request)
            key = key_of(house, request, asking.choice)
            for side, prompt in zip(SIDES, (left, right), strict=True):
                chosen = template.find(prompt or "", workspace)
                recipe = GenerateRecipe(
                    f"{called}{side}", chosen, source_of(source), asking.choice, asking.options,
                    Rules.of(chosen.rules), rows=MOST_ROWS if chosen.samples else 0, barren=0,
                    concurrency=asking.concurrency, per_minute=asking.per_minute,
                    budget=Budget(requests=int(most or 0)),
                )  # fmt: skip
                job.start(recipe, house.settings_for(request), workspace, key)
        except Exception as error:
            return failed(language, error), gr.skip()
        text = notice("good", say(language, "prompts.started", name=f"{called}-a, {called}-b"))
        return text, gr.Timer(active=True)

    @rule("look")
    def draw(request: gr.Request, language: str, called: str) -> tuple[str, Any]:
        try:
            workspace = house.workspace(request)
            names = [f"{called}{side}" for side in SIDES]
            found = compare(names[0], names[1], workspace)
            going = any(_going(one, workspace) for one in names)
            recipes = [job.recipe_of(job.find(one, workspace), workspace) for one in names]
        except Exception as error:
            return failed(language, error), gr.Timer(active=False)
        shown = versus(language, found)
        shown += difference(language, recipes[0].template, recipes[1].template)
        return shown, gr.Timer(active=going)

    @rule("look")
    def halt(request: gr.Request, language: str, called: str) -> str:
        try:
            for side in SIDES:
                job.stop(f"{called}{side}", house.workspace(request))
        except Exception as error:
            return failed(language, error)
        return notice("info", say(language, "prompts.stop_asked", name=called))

    start.click(
        begin, [language, one, other, count, name, editor.seeds, *panel.inputs], [said, clock],
        **QUICK,
    )  # fmt: skip
    look.click(draw, [language, name], [result, clock], **FOLLOW)
    clock.tick(draw, [language, name], [result, clock], **FOLLOW)
    stop.click(halt, [language, name], said, **QUICK)
    tab.select(choices, [one, other], [one, other], **FOLLOW)
    return [(choices, [one, other], [one, other])]


def _going(name: str, workspace: Workspace) -> bool:
    return jobs.status_of(job.find(name, workspace)) in ("queued", "running")
