"""Looking at rows: search, filters that stack, sorting, paging, deciding and editing.

Widgets and events only; what they show is drawn in ``_data_looking``.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import gradio as gr

from tabs._data_desk import Desk, at_once
from tabs._data_looking import Looking, controls, drawn, edit_of, moved, where_of
from tabs._rules import rule
from tabs._shared import FOLLOW, QUICK, failed, notice
from tabs._words import label, say
from workbench.data.query import View
from workbench.data.recipe import MOST_ANSWERS, TASKS, Decide, Filter, Label, Step
from workbench.errors import BadStep, WorkbenchError

SIZES = (10, 20, 50, 100)
SHOWS = ("all", "kept", "dropped")
DRAW = {**QUICK, "concurrency_id": "rows", "concurrency_limit": 1}
"""One drawing after the other: a late one must not undo what a later one showed."""
LAST = 10**9
"""A page after the last one."""
# Keys work where rows are shown and nobody is typing; a click or a key tells the server.
SCRIPT = """
const rows = () => [...element.querySelectorAll('[data-row]')];
const keys = {ArrowDown: 'next', j: 'next', n: 'next', ArrowUp: 'previous', p: 'previous',
  k: 'keep', d: 'drop', u: 'clear', e: 'edit'};
element.addEventListener('click', (event) => {
  const row = event.target.closest('[data-row]');
  if (row) trigger('select', {row: Number(row.dataset.row), act: 'pick'});
});
document.addEventListener('keydown', (event) => {
  const typing = 'input, textarea, select, [contenteditable], [role=listbox]';
  if (!element.offsetParent || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.target.closest && event.target.closest(typing)) return;
  const act = keys[event.key];
  if (!act || !rows().length) return;
  event.preventDefault();
  trigger('select', {act});
});
"""


class Browse:
    """The widgets of the part, and what they do."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self.looking = gr.State(Looking())
        self._draw_view()
        self._draw_filters()
        self.count = gr.HTML(elem_id="rows-count")
        with gr.Row(equal_height=False):
            with gr.Column(scale=3, min_width=320):
                self._draw_list()
            with gr.Column(scale=2, min_width=320, elem_classes="tri-side"):
                self._draw_picked()
                self._draw_editor()
                self._draw_label()

    @property
    def seen(self) -> list[Any]:
        """Inputs of every handler that draws."""
        how = [self.search, self.show, self.order, self.down, self.size, self.way]
        return [*self.where, *how]

    @property
    def where(self) -> list[Any]:
        """Language, dataset, and what is looked at."""
        return [self.desk.language, self.desk.chosen, self.looking]

    @property
    def shown(self) -> list[Any]:
        """Outputs of every handler that draws."""
        label = [self.text, self.rating, self.task, *self.better]
        return [self.looking, self.count, self.rows, self.detail, self.stack, *label]

    @property
    def told(self) -> list[Any]:
        """Outputs of every handler that does a step."""
        return [self.desk.said, self.desk.status, self.desk.changed]

    def _draw_view(self) -> None:
        with gr.Row(elem_classes="tri-actions"):
            self.search = gr.Textbox(
                label=label("rows.search"), max_lines=1, scale=3, elem_id="rows-search"
            )
            self.show = gr.Radio(
                [(label(f"rows.show_{one}"), one) for one in SHOWS],
                value="all", label=label("rows.show"), scale=2, elem_id="rows-show",
            )  # fmt: skip
            self.way = gr.Radio(
                [(label("rows.as_table"), "table"), (label("rows.as_cards"), "cards")],
                value="table", label=label("rows.way"), scale=2, elem_id="rows-way",
            )  # fmt: skip
        with gr.Row(elem_classes="tri-actions"):
            self.order = gr.Dropdown(
                ["row"], value="row", label=label("rows.order"), elem_id="rows-order"
            )
            self.down = gr.Checkbox(False, label=label("rows.down"), elem_id="rows-down")
            self.size = gr.Dropdown(list(SIZES), value=20, label=label("rows.size"))

    def _draw_filters(self) -> None:
        with gr.Accordion(label("rows.filters"), open=False, elem_id="rows-filters"):
            with gr.Row():
                self.tag = gr.Dropdown(
                    [], multiselect=True, label=label("rows.tagged"), elem_id="rows-tags"
                )
                self.source = gr.Dropdown([], multiselect=True, label=label("rows.from"))
                self.least = gr.Number(None, precision=0, label=label("rows.least"))
                self.most = gr.Number(None, precision=0, label=label("rows.most"))
                self.add_simple = gr.Button(label("rows.add"), elem_id="rows-add")
            with gr.Row():
                self.sql = gr.Textbox(
                    label=label("rows.sql"), info=label("rows.sql_info"), scale=4,
                    elem_id="rows-sql", placeholder="characters > 20 AND prompt LIKE '%廣東話%'",
                )  # fmt: skip
                self.add_sql = gr.Button(label("rows.add"), scale=1, elem_id="rows-add-sql")
            self.stack = gr.CheckboxGroup(
                [], label=label("rows.stack"), visible=False, elem_id="rows-stack"
            )
            with gr.Row():
                self.all_keep = gr.Button(label("rows.all_keep"))
                self.all_drop = gr.Button(label("rows.all_drop"), elem_id="rows-all-drop")
                self.all_clear = gr.Button(label("rows.all_clear"))
                self.make_step = gr.Button(label("rows.make_step"), elem_id="rows-make-step")

    def _draw_list(self) -> None:
        self.rows = gr.HTML(elem_id="rows-list", js_on_load=SCRIPT)
        with gr.Row(elem_classes="tri-actions tri-pager"):
            self.first = gr.Button("«", size="sm", min_width=40)
            self.back = gr.Button(label("rows.back"), size="sm", elem_id="rows-back")
            self.on = gr.Button(label("rows.on"), size="sm", elem_id="rows-on")
            self.last = gr.Button("»", size="sm", min_width=40)

    def _draw_picked(self) -> None:
        with gr.Row(elem_classes="tri-actions"):
            self.keep = gr.Button(label("rows.keep"), elem_id="rows-keep", min_width=60)
            self.drop = gr.Button(label("rows.drop"), elem_id="rows-drop", min_width=60)
            self.clear = gr.Button(label("rows.clear"), min_width=60)
        gr.HTML(label("rows.keys"), elem_classes="tri-quiet")
        self.detail = gr.HTML(elem_id="rows-detail")

    def _draw_editor(self) -> None:
        with gr.Accordion(label("rows.edit"), open=False, elem_id="rows-edit") as self.editor:
            self.text = gr.Textbox(
                lines=8, max_lines=24, label=label("rows.edit_label"),
                info=label("rows.edit_info"), elem_id="rows-text",
            )  # fmt: skip
            self.save = gr.Button(label("rows.save"), elem_id="rows-save")

    def _draw_label(self) -> None:
        with gr.Accordion(label("rows.label"), open=False, elem_id="rows-label"):
            with gr.Row():
                self.rating = gr.Radio(
                    [1, 2, 3, 4, 5], label=label("rows.rating"), elem_id="rows-rating"
                )
                self.task = gr.Dropdown(
                    [(label(f"task.{one.replace(' ', '_')}"), one) for one in TASKS],
                    label=label("rows.task"), allow_custom_value=True, elem_id="rows-task",
                )  # fmt: skip
                self.who = gr.Textbox(label=label("rows.who"), max_lines=1)
            self.better = [
                gr.Textbox(lines=2, label=label(f"rows.better_{n}"), elem_id=f"rows-better-{n}")
                for n in range(1, MOST_ANSWERS + 1)
            ]
            self.mark = gr.Button(label("rows.label_save"), elem_id="rows-mark")

    @rule("look")
    def draw(
        self, request: gr.Request, language: str, name: str, at: Looking, *how: Any
    ) -> tuple[Any, ...]:
        """What is looked at, as ``shown``."""
        try:
            return drawn(language, self.desk.open(request, name), at, how)
        except WorkbenchError as error:
            said = failed(language, error)
            return at, said, "", "", *[gr.skip()] * (4 + MOST_ANSWERS)

    @rule("look")
    def from_start(
        self, request: gr.Request, language: str, name: str, at: Looking, *how: Any
    ) -> tuple[Any, ...]:
        """As ``draw``, from the first page."""
        return self.draw(request, language, name, replace(at, page=0, picked=None), *how)

    @rule("look")
    def fresh(self, request: gr.Request, language: str, name: str) -> tuple[Any, ...]:
        """The columns, tags and sources there are to choose from."""
        try:
            state = self.desk.open(request, name).state
        except WorkbenchError:
            return tuple(gr.skip() for _ in range(3))
        sources = state.query.values(
            "SELECT source, count(*) FROM rows GROUP BY 1 ORDER BY 2 DESC LIMIT 200"
        )
        tags = dict.fromkeys(check for _, check, _ in state.tallies())
        named = [(say(language, f"check.{one}"), one) for one in tags]
        return (
            gr.update(choices=state.query.sortable),
            gr.update(choices=named, value=[]),
            gr.update(choices=[one for one, _ in sources if one], value=[]),
        )

    def turn(self, by: int = 0, to: int | None = None) -> Any:
        """A handler that turns pages, by some or to one."""

        @rule("look")
        def turned(
            request: gr.Request, language: str, name: str, at: Looking, *how: Any
        ) -> tuple[Any, ...]:
            page = max(0, at.page + by) if to is None else to
            return self.draw(request, language, name, replace(at, page=page, picked=None), *how)

        return turned

    @rule("own")
    def act(
        self,
        request: gr.Request,
        event: gr.EventData,
        language: str,
        name: str,
        at: Looking,
        *how: Any,
    ) -> tuple[Any, ...]:
        """A click on a row, or a key."""
        data = event._data or {}
        what = str(data.get("act"))
        nothing = (gr.skip(), gr.skip(), gr.skip())
        if what == "edit":
            return *[gr.skip()] * len(self.shown), *nothing, gr.update(open=True)
        done: tuple[Any, ...] = nothing
        if what in ("keep", "drop", "clear") and at.picked is not None:
            step = Decide(what, (at.picked,))  # type: ignore[arg-type]
            done = at_once(self.desk, request, language, name, step)
        at = replace(at, picked=moved(at, what, data.get("row")))
        return *self.draw(request, language, name, at, *how), *done, gr.skip()

    def decide(self, what: str) -> Any:
        """A handler that decides on the picked row."""

        @rule("own")
        def decided(request: gr.Request, language: str, name: str, at: Looking) -> tuple[Any, ...]:
            if at.picked is None:
                return notice("info", say(language, "rows.pick_first")), gr.skip(), gr.skip()
            step = Decide(what, (at.picked,))  # type: ignore[arg-type]
            return at_once(self.desk, request, language, name, step)

        return decided

    def decide_all(self, what: str) -> Any:
        """A handler that decides on every row that is shown."""

        @rule("own")
        def decided(
            request: gr.Request, language: str, name: str, at: Looking, search: str, show: str
        ) -> tuple[Any, ...]:
            where = where_of(at, show)
            if not where and not search:
                where = ("true",)
            step = Decide(what, where=where, search=search or "")  # type: ignore[arg-type]
            return at_once(self.desk, request, language, name, step)

        return decided

    @rule("own")
    def leave_out_the_rest(
        self, request: gr.Request, language: str, name: str, at: Looking, search: str
    ) -> tuple[Any, ...]:
        """The filters become a step."""
        where = " AND ".join(f"({one})" for one, on in at.filters if on)
        done = self._done(request, language, name, lambda: Filter(where, search or ""))
        return replace(at, filters=()) if done[2] != gr.skip() else at, *done

    @rule("look")
    def add(
        self, request: gr.Request, language: str, name: str, at: Looking, condition: str
    ) -> tuple[Any, ...]:
        """One more filter on the stack, if it can be used."""
        if not condition.strip():
            return at, gr.skip(), gr.skip()
        try:
            self.desk.open(request, name).state.query.rows(View((condition,)))
        except WorkbenchError as error:
            return at, failed(language, error), gr.skip()
        return replace(at, filters=(*at.filters, (condition, True)), page=0), "", ""

    @rule("look")
    def add_controls(
        self, request: gr.Request, language: str, name: str, at: Looking,
        tags: list[str], sources: list[str], least: float | None, most: float | None,
    ) -> tuple[Any, ...]:  # fmt: skip
        """As ``add``, from the widgets."""
        condition = controls(tags or [], sources or [], least, most)
        return self.add(request, language, name, at, condition)[:2]

    @staticmethod
    @rule("look")
    def toggle(at: Looking, on: list[str]) -> Looking:
        """Filters switched on and off."""
        filters = tuple((one, str(n) in on) for n, (one, _) in enumerate(at.filters))
        return replace(at, filters=filters, page=0, picked=None)

    @rule("own")
    def edit(
        self, request: gr.Request, language: str, name: str, at: Looking, text: str
    ) -> tuple[Any, ...]:
        """The picked row says something else."""

        def step() -> Step:
            row = _picked(language, at)
            return edit_of(row, self.desk.open(request, name).state.example(row), text)

        return self._done(request, language, name, step)

    @rule("own")
    def rate(
        self, request: gr.Request, language: str, name: str, at: Looking, rating: int | None,
        task: str | None, who: str, *better: str,
    ) -> tuple[Any, ...]:  # fmt: skip
        """The picked row is rated, given a type, or said better."""
        answers = tuple(one for one in better if one and one.strip())
        return self._done(
            request,
            language,
            name,
            lambda: Label(
                _picked(language, at), rating, task or None, answers, (who or "").strip()
            ),
        )

    def _done(self, request: gr.Request, language: str, name: str, step: Any) -> tuple[Any, ...]:
        try:
            made = step()
        except WorkbenchError as error:
            return failed(language, error), gr.skip(), gr.skip()
        return at_once(self.desk, request, language, name, made)


def _picked(language: str, at: Looking) -> int:
    if at.picked is None:
        raise BadStep(reason=say(language, "rows.pick_first"))
    return at.picked


def build_browse(desk: Desk, tab: gr.Tab) -> None:
    """Draw the part and wire it."""
    part = Browse(desk)
    seen, shown, told = part.seen, part.shown, part.told
    follow = [tab.select, desk.changed.change]
    gr.on(follow, part.fresh, seen[:2], [part.order, part.tag, part.source], **FOLLOW)
    gr.on(follow, part.draw, seen, shown, **{**FOLLOW, **DRAW})
    desk.chosen.input(rule("look")(lambda: Looking()), None, part.looking, **QUICK)
    chosen = (part.show, part.order, part.down, part.size)
    triggers = [part.search.submit, *(widget.change for widget in chosen)]
    gr.on(triggers, part.from_start, seen, shown, **{**FOLLOW, **DRAW})
    part.way.change(part.draw, seen, shown, **DRAW)
    part.first.click(part.turn(to=0), seen, shown, **DRAW)
    part.back.click(part.turn(-1), seen, shown, **DRAW)
    part.on.click(part.turn(1), seen, shown, **DRAW)
    part.last.click(part.turn(to=LAST), seen, shown, **DRAW)
    # keys come faster than answers: each is heard, one after the other
    heard = {**DRAW, "trigger_mode": "multiple"}
    part.rows.select(part.act, seen, [*shown, *told, part.editor], **heard)
    for button, what in ((part.keep, "keep"), (part.drop, "drop"), (part.clear, "clear")):
        button.click(part.decide(what), part.where, told, **QUICK)
    part.save.click(part.edit, [*part.where, part.text], told, **QUICK)
    label = [part.rating, part.task, part.who, *part.better]
    part.mark.click(part.rate, [*part.where, *label], told, **QUICK)
    _wire_filters(part)


def _wire_filters(part: Browse) -> None:
    seen, shown, told = part.seen, part.shown, part.told
    every = ((part.all_keep, "keep"), (part.all_drop, "drop"), (part.all_clear, "clear"))
    for button, what in every:
        button.click(part.decide_all(what), seen[:5], told, **QUICK)
    part.make_step.click(part.leave_out_the_rest, seen[:4], [part.looking, *told], **QUICK)
    simple = [*part.where, part.tag, part.source, part.least, part.most]
    added = part.add_simple.click(
        part.add_controls, simple, [part.looking, part.desk.said], **QUICK
    )
    own = [part.looking, part.desk.said, part.sql]
    triggers = [part.add_sql.click, part.sql.submit]
    written = gr.on(triggers, part.add, [*part.where, part.sql], own, **QUICK)
    toggled = part.stack.input(part.toggle, [part.looking, part.stack], part.looking, **QUICK)
    for event in (added, written, toggled):
        event.then(part.draw, seen, shown, **DRAW)
