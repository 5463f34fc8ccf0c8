"""From one reply to ten thousand rows: start, watch, stop, resume, read again, save.

The run is a process of its own; the page follows its files and can be closed.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import asdict
from html import escape
from pathlib import Path
from typing import Any

import gradio as gr

from tabs._prompts_ask import WORK, Panel, asking_of, key_of
from tabs._prompts_try import Editor, edited, source_of
from tabs._prompts_views import listing, meter, side_by_side, tally
from tabs._rules import rule
from tabs._shared import FOLLOW, QUICK, House, failed, notice, showing
from tabs._words import label, say
from workbench.data.importing import ImportRequest, bring_file
from workbench.prompts import job, runs, store
from workbench.prompts.ledger import Budget
from workbench.prompts.recipe import GenerateRecipe
from workbench.prompts.replay import keep, replay
from workbench.prompts.rules import EXPECTED, Rules
from workbench.prompts.work import embedder

POLL_SECONDS = 1.5
SHOWN = 3
"""Last replies that are shown with their autopsy."""
SWITCHES = ("mixed", "simplified", "media", "refused", "truncated", "echo")
NUMBERS = ("min_characters", "min_output", "duplicate", "meaning")


def build(
    house: House, language: gr.Textbox, panel: Panel, editor: Editor, tab: gr.Tab
) -> list[tuple[Any, ...]]:
    """Draw the part; returns what must be said once the page knows its language."""
    said = gr.HTML(elem_id="prompts-run-said")
    with gr.Row():
        name = gr.Textbox(
            "first-run", label=label("prompts.run_name"), elem_id="prompts-name", max_lines=1,
            min_width=160,
        )  # fmt: skip
        rows = gr.Number(
            20, label=label("prompts.target"), info=label("prompts.target_info"), precision=0,
            minimum=0, elem_id="prompts-rows", min_width=130,
        )  # fmt: skip
        requests = gr.Number(
            10, label=label("prompts.budget_requests"), info=label("teacher.no_limit"),
            precision=0, minimum=0, elem_id="prompts-requests", min_width=130,
        )  # fmt: skip
        dollars = gr.Number(
            0, label=label("prompts.budget_money"), info=label("teacher.no_limit"), minimum=0,
            elem_id="prompts-money", min_width=130,
        )  # fmt: skip
        tokens = gr.Number(
            0, label=label("prompts.budget_tokens"), info=label("teacher.no_limit"), precision=0,
            minimum=0, min_width=130,
        )  # fmt: skip
    with gr.Row(elem_classes="tri-actions"):
        start = gr.Button(
            label("prompts.start"), variant="primary", elem_id="prompts-start", scale=4
        )
    with gr.Row(elem_classes="tri-actions"):
        run = gr.Dropdown([], label=label("prompts.run"), elem_id="prompts-run", scale=3)
        stop = gr.Button(label("action.stop"), variant="stop", elem_id="prompts-stop", scale=1)
        again = gr.Button(label("prompts.resume"), elem_id="prompts-resume", scale=1)
    live = gr.HTML(elem_id="prompts-live")
    last = gr.HTML(elem_id="prompts-last")
    clock = gr.Timer(POLL_SECONDS, active=False)
    seen = gr.State("")

    @rule("generate")
    def begin(
        request: gr.Request, language: str, called: str, count: int, most: int, money: float,
        most_tokens: int, prompt: str, text: str, source: str, *values: Any,
    ) -> tuple[Any, ...]:  # fmt: skip
        try:
            asking = asking_of(values)
            workspace = house.workspace(request)
            if asking.choice.kind == "local":
                house.references([asking.choice.model], request)
            chosen = edited(prompt, text, workspace)
            recipe = GenerateRecipe(
                called, chosen, source_of(source), asking.choice, asking.options,
                Rules.of(chosen.rules), rows=int(count or 0), concurrency=asking.concurrency,
                per_minute=asking.per_minute,
                budget=Budget(int(most or 0), int(most_tokens or 0), float(money or 0)),
            )  # fmt: skip
            job.start(
                recipe,
                house.settings_for(request),
                workspace,
                key_of(house, request, asking.choice),
            )
        except Exception as error:
            return failed(language, error), gr.skip(), gr.skip()
        names = job.listed(workspace)
        return (
            notice("good", say(language, "prompts.started", name=called)),
            gr.update(choices=names, value=called),
            gr.Timer(active=True),
        )

    @rule("look")
    def choices(request: gr.Request, chosen: str | None) -> Any:
        names = job.listed(house.workspace(request))
        value = chosen if chosen in names else (names[0] if names else None)
        return gr.update(choices=names, value=value)

    @rule("look")
    def draw(request: gr.Request, language: str, name: str | None) -> tuple[Any, ...]:
        """The meter, the last replies, whether to look again, and what was drawn."""
        if not name:
            return notice("info", say(language, "prompts.no_runs")), "", gr.Timer(active=False), ""
        try:
            workspace = house.workspace(request)
            found = runs.one(name, workspace)
            weather = _weather(language, job.events_of(job.find(name, workspace))[0], found.status)
            shown = meter(language, found, weather)
            replies = _last(language, name, house.workspace(request))
        except Exception as error:
            return failed(language, error), "", gr.Timer(active=False), ""
        going = found.status in ("queued", "running")
        drawn = f"{name}/{found.status}/{found.meter.requests}/{found.meter.kept}/{weather}"
        return shown, replies, gr.Timer(active=going), f"{drawn}/{language}"

    @rule("look")
    def tick(request: gr.Request, language: str, name: str | None, seen: str) -> tuple[Any, ...]:
        made = draw(request, language, name)
        return (gr.skip(), gr.skip(), gr.skip(), gr.skip()) if made[3] == seen else made

    @rule("look")
    def halt(request: gr.Request, language: str, name: str | None) -> tuple[Any, ...]:
        try:
            job.stop(name or "", house.workspace(request))
        except Exception as error:
            return failed(language, error), gr.skip()
        said = notice("info", say(language, "prompts.stop_asked", name=name))
        return said, gr.Timer(active=True)

    @rule("generate")
    def go_on(request: gr.Request, language: str, name: str | None) -> tuple[Any, ...]:
        try:
            workspace = house.workspace(request)
            recipe = job.recipe_of(job.find(name or "", workspace), workspace)
            key = key_of(house, request, recipe.teacher)
            job.resume(name or "", house.settings_for(request), workspace, key)
        except Exception as error:
            return failed(language, error), gr.skip()
        said = notice("info", say(language, "prompts.resume_asked", name=name))
        return said, gr.Timer(active=True)

    outputs = [live, last, clock, seen]
    start.click(
        begin,
        [language, name, rows, requests, dollars, tokens, *editor.inputs, *panel.inputs],
        [said, run, clock], **QUICK,
    )  # fmt: skip
    tab.select(choices, run, run, **FOLLOW).then(draw, [language, run], outputs, **FOLLOW)
    run.change(draw, [language, run], outputs, **FOLLOW)
    clock.tick(tick, [language, run, seen], outputs, **FOLLOW)
    stop.click(halt, [language, run], [said, clock], **QUICK)
    again.click(go_on, [language, run], [said, clock], **QUICK)
    _build_replay(house, language, run)
    _build_out(house, language, run)
    return [(choices, run, run)]


def _weather(language: str, events: list[dict[str, Any]], status: str) -> str:
    """What a running run is waiting for, if the last thing it said was bad weather."""
    if status != "running" or not events:
        return ""
    said = events[-1]
    if said["event"] == "stopping":
        return say(language, "prompts.stopping", count=said["in_flight"])
    if said["event"] == "weather":
        outcome = say(language, f"outcome.{said['outcome']}")
        wait = f"{said.get('wait') or 0:.0f}"
        return say(language, "prompts.weather", outcome=outcome, seconds=wait)
    if said["event"] == "progress":
        return say(language, "prompts.loading", model=said.get("model", ""))
    return ""


def _last(language: str, name: str, workspace: Any) -> str:
    """The last replies, read under the run's own rules from what it noted."""
    folder = job.find(name, workspace)
    replies = list(store.tail(folder / store.REPLIES, SHOWN))
    if not replies:
        return ""
    recipe = job.recipe_of(folder, workspace)
    notes = {one["hash"]: one for one in store.tail(folder / store.VERDICTS, 4 * SHOWN)}
    shown = []
    for reply in reversed(replies):
        if reply.get("hash") not in notes:
            continue
        verdicts = runs.noted(recipe, reply, notes[reply["hash"]])
        title = say(
            language, "prompts.reply_line", number=int(reply["sequence"]) + 1,
            outcome=say(language, f"outcome.{reply['outcome']}"),
            seconds=f"{float(reply['seconds']):.1f}",
        )  # fmt: skip
        body = side_by_side(language, reply["text"], verdicts)
        shown.append(f"<details><summary>{escape(title)}</summary>{body}</details>")
    head = escape(say(language, "prompts.last_replies"))
    return f'<h4>{head}</h4><div class="tri-replies">{"".join(shown)}</div>'


def _build_replay(house: House, language: gr.Textbox, run: gr.Dropdown) -> None:
    start = Rules(register="cantonese")
    with gr.Accordion(label("prompts.replay"), open=False, elem_id="prompts-replay"):
        gr.Markdown(label("prompts.replay_intro"))
        with gr.Row():
            register = gr.Dropdown(
                [(label(f"prompts.expect_{one}"), one) for one in EXPECTED],
                value=start.register, label=label("prompts.expect"), min_width=160,
                elem_id="prompts-expect",
            )  # fmt: skip
            numbers = [
                gr.Number(
                    getattr(start, one), label=label(f"rules.{one}"), minimum=0, min_width=130,
                    elem_id=f"prompts-rule-{one.replace('_', '-')}",
                )
                for one in NUMBERS
            ]  # fmt: skip
        switches = gr.CheckboxGroup(
            [(label(f"rules.{one}"), one) for one in SWITCHES],
            value=[one for one in SWITCHES if getattr(start, one)], label=label("rules.title"),
        )  # fmt: skip
        with gr.Row(elem_classes="tri-actions"):
            read = gr.Button(label("prompts.read_again"), elem_id="prompts-read", scale=3)
            own = gr.Button(label("prompts.keep_rules"), elem_id="prompts-own", scale=2)
        result = gr.HTML(elem_id="prompts-replayed")
    widgets = [register, *numbers, switches]

    def rules_of(recipe: Rules, values: tuple[Any, ...]) -> Rules:
        register, *rest = values
        chosen = {"register": register}
        for one, value in zip(NUMBERS, rest[:-1], strict=True):
            kind = type(getattr(start, one))
            chosen[one] = kind(value or 0)
        chosen |= {one: one in (rest[-1] or []) for one in SWITCHES}
        return Rules.of(asdict(recipe), chosen)

    @rule("look")
    def show(request: gr.Request, name: str | None) -> list[Any]:
        """The rules of the run, as widgets."""
        try:
            workspace = house.workspace(request)
            rules = job.recipe_of(job.find(name or "", workspace), workspace).rules
        except Exception:
            return [gr.skip()] * len(widgets)
        numbers = [getattr(rules, one) for one in NUMBERS]
        return [rules.register, *numbers, [one for one in SWITCHES if getattr(rules, one)]]

    def work(keeping: bool) -> Any:
        @rule("work")
        def reread(
            request: gr.Request, language: str, name: str | None, *values: Any
        ) -> Iterator[str]:
            try:
                workspace = house.workspace(request)
                recipe = job.recipe_of(job.find(name or "", workspace), workspace)
                rules = rules_of(recipe.rules, values)
                stop = house.stops.start(request, "prompts-replay")
                made = yield from showing(
                    language, replay(recipe.name, workspace, rules, embedder(rules), stop, SHOWN)
                )
                before = runs.one(recipe.name, workspace).meter
                if keeping:
                    keep(recipe.name, workspace, rules, made)
            except Exception as error:
                yield failed(language, error)
                return
            text = say(
                language, "prompts.replayed_kept" if keeping else "prompts.replayed",
                before=f"{before.kept:,}", after=f"{made.kept:,}",
            )  # fmt: skip
            shown = "".join(
                side_by_side(language, reply["text"], found) for reply, found in made.read[-1:]
            )
            yield notice("good", text) + tally(language, made.kept, dict(made.dropped)) + shown

        return reread

    run.change(show, run, widgets, **FOLLOW)
    read.click(work(False), [language, run, *widgets], result, **WORK)
    own.click(work(True), [language, run, *widgets], result, **WORK)


def _build_out(house: House, language: gr.Textbox, run: gr.Dropdown) -> None:
    with gr.Accordion(label("prompts.out"), open=False, elem_id="prompts-out"):
        with gr.Row(elem_classes="tri-actions"):
            dataset = gr.Textbox(
                "", label=label("prompts.dataset"), max_lines=1, elem_id="prompts-dataset", scale=3
            )
            save = gr.Button(
                label("prompts.save"), variant="primary", elem_id="prompts-save", scale=2
            )
        with gr.Row(elem_classes="tri-actions"):
            sure = gr.Checkbox(False, label=label("prompts.sure"), scale=3)
            remove = gr.Button(label("log.delete"), variant="stop", elem_id="prompts-delete")
        said = gr.HTML(elem_id="prompts-out-said")
        table = gr.HTML(elem_id="prompts-list")

    @rule("import_file")
    def save_it(
        request: gr.Request, language: str, name: str | None, dataset: str
    ) -> Iterator[str]:
        try:
            workspace = house.workspace(request)
            with tempfile.TemporaryDirectory() as folder:
                path = Path(folder) / f"{name}.jsonl"
                count = runs.write_rows(name or "", workspace, path)
                called = (dataset or name or "").strip()
                stop = house.stops.start(request, "prompts-save")
                work = bring_file(
                    ImportRequest(path, called), workspace, house.settings_for(request), stop
                )
                yield from showing(language, work)
        except Exception as error:
            yield failed(language, error)
            return
        text = say(language, "prompts.saved", name=called, count=f"{count:,}")
        yield notice("good", text)

    @rule("own")
    def delete(request: gr.Request, language: str, name: str | None, sure: bool) -> tuple[Any, Any]:
        if not sure:
            return notice("info", say(language, "log.not_sure")), False
        try:
            job.delete(name or "", house.workspace(request))
        except Exception as error:
            return failed(language, error), False
        return notice("good", say(language, "prompts.deleted", name=name)), False

    @rule("look")
    def show(request: gr.Request, language: str) -> str:
        return listing(language, runs.listed(house.workspace(request)))

    save.click(save_it, [language, run, dataset], said, **WORK)
    remove.click(delete, [language, run, sure], [said, sure], **QUICK).then(
        show, language, table, **FOLLOW
    )
    run.change(show, language, table, **FOLLOW)
