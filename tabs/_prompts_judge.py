"""Rows scored by a teacher: rate twenty yourself, see if it agrees, then choose a threshold."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape
from typing import Any

import gradio as gr

from tabs._prompts_ask import WORK, Panel, asking_of, key_of, teacher_of
from tabs._prompts_judge_views import order_view, picture
from tabs._prompts_views import meter
from tabs._rules import rule
from tabs._shared import FOLLOW, QUICK, House, failed, notice, progress
from tabs._words import label, say
from workbench import jobs
from workbench.errors import WorkbenchError
from workbench.prompts import job, judging, order, runs, template
from workbench.prompts.ledger import Budget
from workbench.workspace import Workspace

POLL_SECONDS = 2
ORDER = "order"


def build(house: House, language: gr.Textbox, panel: Panel, tab: gr.Tab) -> list[tuple[Any, ...]]:
    """Draw the part; returns what must be said once the page knows its language."""
    gr.Markdown(label("judge.intro"))
    with gr.Row(elem_classes="tri-actions"):
        run = gr.Dropdown([], label=label("prompts.run"), elem_id="judge-run", scale=2)
        prompt = gr.Dropdown([], label=label("judge.prompt"), elem_id="judge-prompt", scale=2)
        most = gr.Number(
            0, label=label("prompts.budget_requests"), info=label("teacher.no_limit"),
            precision=0, minimum=0, scale=1, min_width=130,
        )  # fmt: skip
    with gr.Row(elem_classes="tri-actions"):
        start = gr.Button(label("judge.start"), variant="primary", elem_id="judge-start", scale=3)
        stop = gr.Button(label("action.stop"), variant="stop", elem_id="judge-stop", scale=1)
    said = gr.HTML(elem_id="judge-said")
    live = gr.HTML(elem_id="judge-live")
    gr.Markdown(label("judge.rate_intro"))
    row = gr.HTML(elem_id="judge-row")
    current = gr.State("")
    with gr.Row(elem_classes="tri-rating"):
        marks = [
            gr.Button(str(mark), elem_id=f"judge-{mark}", min_width=44, size="sm")
            for mark in range(judging.LOWEST, judging.HIGHEST + 1)
        ]
    agreed = gr.HTML(elem_id="judge-agreement")
    _build_order(house, language, run, panel)
    with gr.Row(elem_classes="tri-actions"):
        threshold = gr.Slider(
            judging.LOWEST, judging.HIGHEST, judging.THRESHOLD, step=0.5,
            label=label("judge.threshold"), info=label("judge.threshold_info"),
            elem_id="judge-threshold", scale=3,
        )  # fmt: skip
        choose = gr.Button(label("judge.choose"), elem_id="judge-choose", scale=1)
    clock = gr.Timer(POLL_SECONDS, active=False)

    @rule("look")
    def choices(request: gr.Request, chosen: str | None, scorer: str | None) -> tuple[Any, Any]:
        workspace = house.workspace(request)
        names = [one for one in job.listed(workspace) if not one.endswith(judging.SUFFIX)]
        scoring = [one.label for one in template.listed(workspace) if one.task == "score"]
        usual = next((one for one in scoring if one.startswith(judging.SCORER)), None)
        return (
            gr.update(choices=names, value=chosen if chosen in names else next(iter(names), None)),
            gr.update(choices=scoring, value=scorer if scorer in scoring else usual),
        )

    @rule("generate")
    def begin(
        request: gr.Request, language: str, name: str, scorer: str, most: int, *values: Any
    ) -> tuple[Any, ...]:
        try:
            asking = asking_of(values)
            workspace = house.workspace(request)
            if asking.choice.kind == "local":
                house.references([asking.choice.model], request)
            recipe = judging.recipe_for(
                name or "", template.find(scorer or "", workspace), workspace,
                teacher=asking.choice, options=asking.options, concurrency=asking.concurrency,
                per_minute=asking.per_minute, budget=Budget(requests=int(most or 0)),
            )  # fmt: skip
            key = key_of(house, request, asking.choice)
            if workspace.prompt_run(recipe.name).exists():
                job.resume(recipe.name, house.settings_for(request), workspace, key)
            else:
                job.start(recipe, house.settings_for(request), workspace, key)
        except Exception as error:
            return failed(language, error), gr.skip()
        text = notice("good", say(language, "prompts.started", name=recipe.name))
        return text, gr.Timer(active=True)

    @rule("look")
    def follow(request: gr.Request, language: str, name: str | None) -> tuple[Any, ...]:
        try:
            workspace = house.workspace(request)
            scorer = judging.name_of(name or "")
            if not (workspace.prompt_run(scorer) / job.RECIPE).is_file():
                return "", gr.Timer(active=False)
            found = runs.one(scorer, workspace)
            going = jobs.status_of(job.find(scorer, workspace)) in ("queued", "running")
            return meter(language, found), gr.Timer(active=going)
        except Exception as error:
            return failed(language, error), gr.Timer(active=False)

    @rule("look")
    def halt(request: gr.Request, language: str, name: str | None) -> str:
        try:
            job.stop(judging.name_of(name or ""), house.workspace(request))
        except Exception as error:
            return failed(language, error)
        return notice("info", say(language, "prompts.stop_asked", name=name))

    @rule("look")
    def offer(request: gr.Request, language: str, name: str | None) -> tuple[Any, ...]:
        """The next row to rate, and what the ratings so far say."""
        if not name:
            return notice("info", say(language, "prompts.no_runs")), "", ""
        try:
            workspace = house.workspace(request)
            return *_next(language, name, workspace), picture(language, name, workspace)
        except Exception as error:
            return failed(language, error), "", ""

    def rate(mark: int) -> Any:
        @rule("own")
        def rated(
            request: gr.Request, language: str, name: str | None, current: str
        ) -> tuple[Any, ...]:
            try:
                if current:
                    judging.rate(name or "", current, mark, house.workspace(request))
            except Exception as error:
                return failed(language, error), gr.skip(), gr.skip()
            return offer(request, language, name)

        return rated

    @rule("own")
    def tag(request: gr.Request, language: str, name: str | None, value: float) -> str:
        try:
            workspace = house.workspace(request)
            judging.choose_threshold(name or "", float(value), workspace)
            scores = judging.scores(name or "", workspace)
        except Exception as error:
            return failed(language, error)
        below = sum(one["score"] < value for one in scores.values())
        text = say(
            language, "judge.tagged", count=f"{below:,}", whole=f"{len(scores):,}",
            threshold=f"{value:g}",
        )  # fmt: skip
        return notice("good", text)

    shown = [row, current, agreed]
    chosen = [language, run]
    tab.select(choices, [run, prompt], [run, prompt], **FOLLOW).then(
        follow, chosen, [live, clock], **FOLLOW
    ).then(offer, chosen, shown, **FOLLOW)
    run.change(follow, chosen, [live, clock], **FOLLOW).then(offer, chosen, shown, **FOLLOW)
    start.click(begin, [language, run, prompt, most, *panel.inputs], [said, clock], **QUICK)
    stop.click(halt, chosen, said, **QUICK)
    clock.tick(follow, chosen, [live, clock], **FOLLOW)
    for mark, button in enumerate(marks, judging.LOWEST):
        button.click(rate(mark), [language, run, current], shown, **QUICK)
    choose.click(tag, [language, run, threshold], said, **QUICK)
    return []


def _build_order(house: House, language: gr.Textbox, run: gr.Dropdown, panel: Panel) -> None:
    """Whether the order sways the teacher: pairs asked both ways round."""
    gr.Markdown(label("judge.order_info"))
    with gr.Row(elem_classes="tri-actions"):
        both = gr.Button(label("judge.order_ask"), elem_id="judge-order-ask", scale=3)
        enough = gr.Button(label("action.stop"), variant="stop", scale=1)
    swayed = gr.HTML(elem_id="judge-order")

    @rule("generate")
    def turn_round(
        request: gr.Request, language: str, name: str | None, *values: Any
    ) -> Iterator[str]:
        try:
            asking, workspace = asking_of(values), house.workspace(request)
            stop = house.stops.start(request, ORDER)
            teacher = teacher_of(house, request, asking.choice, stop)
            work = order.ask(name or "", workspace, teacher, stop, asking.per_minute)
            for event in work:
                yield progress(language, event)
            yield order_view(language, order.found(name or "", workspace))
        except Exception as error:
            yield failed(language, error) + _swayed(house, request, language, name)

    @rule("look")
    def sway(request: gr.Request, language: str, name: str | None) -> str:
        return _swayed(house, request, language, name)

    run.change(sway, [language, run], swayed, **FOLLOW)
    both.click(turn_round, [language, run, *panel.inputs], swayed, **WORK)
    enough.click(house.stopper(ORDER), None, None, **QUICK)


def _swayed(house: House, request: gr.Request, language: str, name: str | None) -> str:
    """What is known so far; nothing where there is no such run."""
    try:
        return order_view(language, order.found(name or "", house.workspace(request)))
    except WorkbenchError:
        return ""


def _next(language: str, name: str, workspace: Workspace) -> tuple[str, str]:
    """The next of the rows to rate, without the teacher's score, which would sway."""
    rows = judging.to_rate(name, workspace)
    given = judging.ratings(name, workspace)
    left = [one for one in rows if str(one["id"]) not in given]
    if not rows:
        return notice("info", say(language, "judge.no_rows")), ""
    if not left:
        return notice("good", say(language, "judge.all_rated", count=len(rows))), ""
    one = left[0]
    head = say(language, "judge.row", number=len(rows) - len(left) + 1, count=len(rows))
    turns = "".join(
        f"<p><b>{escape(say(language, f'role.{role}'))}</b> {escape(text)}</p>"
        for role, text in ((turn["role"], turn["content"]) for turn in one["messages"])
    )
    shown = f'<article class="tri-found"><header><b>{escape(head)}</b></header>{turns}</article>'
    return shown, str(one["id"])
