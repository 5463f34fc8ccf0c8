"""Checks: choose, run, see what each found, and what leaves rows out.

What a check looks for is decided in ``workbench.data.checks.run``.
"""

from __future__ import annotations

from collections.abc import Iterator
from html import escape
from typing import Any

import gradio as gr

from tabs._data_desk import WORK, Desk, at_once, run_step
from tabs._data_rows import bars
from tabs._rules import rule
from tabs._shared import FOLLOW, QUICK, failed, notice
from tabs._words import label, say
from workbench.data.checks.run import CHECKS
from workbench.data.recipe import DROPS, Check, Fill, Registers, Switch
from workbench.errors import WorkbenchError
from workbench.language import REGISTERS


def build_clean(desk: Desk, tab: gr.Tab) -> None:
    """Draw the part and wire it."""
    gr.Markdown(label("clean.intro"))
    names = [(label(f"check.{one}"), one) for one in CHECKS]
    checks = gr.CheckboxGroup(names, value=list(CHECKS), label=label("clean.checks"))
    with gr.Accordion(label("clean.options"), open=False, elem_id="clean-options"):
        drops = gr.CheckboxGroup(names, value=list(DROPS), label=label("clean.drops"))
        with gr.Row():
            expected = gr.Dropdown(
                [(label(f"register.{one}"), one) for one in REGISTERS],
                multiselect=True, label=label("clean.expected"), info=label("clean.expected_info"),
                elem_id="clean-expected",
            )  # fmt: skip
            least = gr.Number(1, precision=0, minimum=0, label=label("clean.least"))
            most = gr.Number(8000, precision=0, minimum=1, label=label("clean.most"))
        gr.HTML(_told(), elem_classes="tri-quiet")
    with gr.Row(elem_classes="tri-actions"):
        run = gr.Button(label("clean.run"), variant="primary", scale=3, elem_id="clean-run")
        stop = gr.Button(label("action.stop"), variant="stop", scale=1)
    found = gr.HTML(elem_id="clean-found")
    switches = gr.CheckboxGroup(
        [], label=label("clean.switches"), visible=False, elem_id="clean-switches"
    )
    with gr.Accordion(label("clean.more"), open=False):
        with gr.Row(elem_classes="tri-actions"):
            name = gr.Textbox(label=label("open.bot"), max_lines=1)
            author = gr.Textbox(label=label("open.author"), max_lines=1)
            fill = gr.Button(label("clean.fill"), elem_id="clean-fill")
        registers = gr.Button(label("clean.registers"), elem_id="clean-registers")
    told = [desk.said, desk.status, desk.changed]
    on_desk = [desk.language, desk.chosen]

    @rule("work")
    def check(
        request: gr.Request, language: str, dataset: str, checks: list[str], drops: list[str],
        expected: list[str], least: float | None, most: float | None,
    ) -> Iterator[Any]:  # fmt: skip
        options: dict[str, Any] = {"expected": tuple(expected)} if expected else {}
        options |= {"min_characters": int(least)} if least is not None and least != 1 else {}
        options |= {"max_characters": int(most)} if most and most != 8000 else {}
        chosen = tuple(one for one in CHECKS if one in checks)
        try:
            step = Check(chosen, tuple(one for one in chosen if one in drops), options)
        except WorkbenchError as error:
            yield failed(language, error), gr.skip(), gr.skip()
            return
        yield from run_step(desk, request, language, dataset, step)

    @rule("look")
    def show(request: gr.Request, language: str, dataset: str) -> tuple[Any, ...]:
        try:
            state = desk.open(request, dataset).state
        except WorkbenchError as error:
            return failed(language, error), gr.update(visible=False)
        lines = state.tallies()
        if not lines:
            return notice("info", say(language, "clean.none")), gr.update(visible=False)
        most = max(rows for _, _, rows in lines)
        figures = [
            (f"{number}. {say(language, f'check.{check}')}", rows / most, f"{rows:,}")
            for number, check, rows in lines
        ]
        may_drop = [(n, c, rows) for n, c, rows in lines if _can_drop(state, n, c)]
        choices = [
            (f"{n}. {say(language, f'check.{c}')} ({rows:,})", f"{n}/{c}")
            for n, c, rows in may_drop
        ]
        on = [f"{n}/{c}" for n, c, _ in may_drop if state.is_on(n, c)]
        title = f"<h5>{escape(say(language, 'clean.found'))}</h5>"
        return title + bars(figures), gr.update(choices=choices, value=on, visible=bool(choices))

    @rule("own")
    def switch(request: gr.Request, language: str, dataset: str, on: list[str]) -> tuple[Any, ...]:
        try:
            state = desk.open(request, dataset).state
        except WorkbenchError as error:
            return failed(language, error), gr.skip(), gr.skip()
        done: tuple[Any, ...] = ("", gr.skip(), gr.skip())
        for number, check, _ in state.tallies():
            wanted = f"{number}/{check}" in on
            if _can_drop(state, number, check) and wanted != state.is_on(number, check):
                step = Switch(number, wanted, check)
                done = at_once(desk, request, language, dataset, step)
        return done

    @rule("own")
    def fill_in(
        request: gr.Request, language: str, dataset: str, name: str, author: str
    ) -> Iterator[Any]:
        values = {"name": (name or "").strip(), "author": (author or "").strip()}
        try:
            step = Fill({key: text for key, text in values.items() if text})
        except WorkbenchError as error:
            yield failed(language, error), gr.skip(), gr.skip()
            return
        yield from run_step(desk, request, language, dataset, step)

    @rule("work")
    def label_all(request: gr.Request, language: str, dataset: str) -> Iterator[Any]:
        yield from run_step(desk, request, language, dataset, Registers())

    given = [*on_desk, checks, drops, expected, least, most]
    run.click(check, given, told, **WORK)
    stop.click(desk.house.stopper("data"), None, None, **QUICK)
    gr.on([tab.select, desk.changed.change], show, on_desk, [found, switches], **FOLLOW)
    switches.input(switch, [*on_desk, switches], told, **QUICK)
    fill.click(fill_in, [*on_desk, name, author], told, **WORK)
    registers.click(label_all, on_desk, told, **WORK)


def _can_drop(state: Any, number: int, check: str) -> bool:
    step = state.findings[number][0]
    return not isinstance(step, Check) or check in step.drops


def _told() -> str:
    """What every check looks for, in all three languages; the page shows the chosen one."""
    from tabs._words import LANGUAGES

    lists = []
    for tag in LANGUAGES:
        lines = "".join(
            f"<dt>{escape(say(tag, f'check.{one}'))}</dt>"
            f"<dd>{escape(say(tag, f'check.{one}_info'))}</dd>"
            for one in CHECKS
        )
        lists.append(f'<dl class="tri-facts only-{tag}" lang="{tag}">{lines}</dl>')
    return f'<div class="tri-tongues">{"".join(lists)}</div>'
