"""Looking at rows: search, filters that stack, sorting, paging, deciding and editing.

What a filter means is decided in ``workbench.data.query``.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field, replace
from html import escape
from typing import Any

import gradio as gr

from tabs._data_desk import Desk, at_once
from tabs._data_rows import cards, opened, table
from tabs._shared import FOLLOW, QUICK, failed, notice
from tabs._words import label, say
from workbench.data.dataset import Dataset
from workbench.data.query import View
from workbench.data.recipe import MOST_ANSWERS, TASKS, Decide, Edit, Filter, Label
from workbench.data.rows import ROLES, Example, Message, as_dicts
from workbench.errors import BadStep, WorkbenchError

SIZES = (10, 20, 50, 100)
SHOWS = ("all", "kept", "dropped")
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


@dataclass(frozen=True)
class Looking:
    """What one visitor looks at."""

    filters: tuple[tuple[str, bool], ...] = ()
    """Conditions and whether each is switched on."""
    page: int = 0
    picked: int | None = None
    rows: tuple[int, ...] = field(default=(), compare=False)
    """The rows of the page."""


def build_browse(desk: Desk, tab: gr.Tab) -> None:
    """Draw the part and wire it."""
    looking = gr.State(Looking())
    with gr.Row(elem_classes="tri-actions"):
        search = gr.Textbox(label=label("rows.search"), max_lines=1, scale=3, elem_id="rows-search")
        show = gr.Radio(
            [(label(f"rows.show_{one}"), one) for one in SHOWS],
            value="all", label=label("rows.show"), scale=2, elem_id="rows-show",
        )  # fmt: skip
        way = gr.Radio(
            [(label("rows.as_table"), "table"), (label("rows.as_cards"), "cards")],
            value="table", label=label("rows.way"), scale=2, elem_id="rows-way",
        )  # fmt: skip
    with gr.Row(elem_classes="tri-actions"):
        order = gr.Dropdown(["row"], value="row", label=label("rows.order"), elem_id="rows-order")
        down = gr.Checkbox(False, label=label("rows.down"), elem_id="rows-down")
        size = gr.Dropdown(list(SIZES), value=20, label=label("rows.size"))
    with gr.Accordion(label("rows.filters"), open=False, elem_id="rows-filters"):
        with gr.Row():
            tag = gr.Dropdown([], multiselect=True, label=label("rows.tagged"), elem_id="rows-tags")
            source = gr.Dropdown([], multiselect=True, label=label("rows.from"))
            least = gr.Number(None, precision=0, label=label("rows.least"))
            most = gr.Number(None, precision=0, label=label("rows.most"))
            add_simple = gr.Button(label("rows.add"), elem_id="rows-add")
        with gr.Row():
            sql = gr.Textbox(
                label=label("rows.sql"), info=label("rows.sql_info"), scale=4, elem_id="rows-sql",
                placeholder="characters > 20 AND prompt LIKE '%廣東話%'",
            )  # fmt: skip
            add_sql = gr.Button(label("rows.add"), scale=1, elem_id="rows-add-sql")
        stack = gr.CheckboxGroup([], label=label("rows.stack"), visible=False, elem_id="rows-stack")
        with gr.Row():
            all_keep = gr.Button(label("rows.all_keep"))
            all_drop = gr.Button(label("rows.all_drop"), elem_id="rows-all-drop")
            all_clear = gr.Button(label("rows.all_clear"))
            make_step = gr.Button(label("rows.make_step"), elem_id="rows-make-step")
    count = gr.HTML(elem_id="rows-count")
    with gr.Row(equal_height=False):
        with gr.Column(scale=3, min_width=320):
            rows = gr.HTML(elem_id="rows-list", js_on_load=SCRIPT)
            with gr.Row(elem_classes="tri-actions tri-pager"):
                first = gr.Button("«", size="sm", min_width=40)
                back = gr.Button(label("rows.back"), size="sm", elem_id="rows-back")
                on = gr.Button(label("rows.on"), size="sm", elem_id="rows-on")
                last = gr.Button("»", size="sm", min_width=40)
        with gr.Column(scale=2, min_width=320, elem_classes="tri-side"):
            with gr.Row(elem_classes="tri-actions"):
                keep = gr.Button(label("rows.keep"), elem_id="rows-keep", min_width=60)
                drop = gr.Button(label("rows.drop"), elem_id="rows-drop", min_width=60)
                clear = gr.Button(label("rows.clear"), min_width=60)
            gr.HTML(label("rows.keys"), elem_classes="tri-quiet")
            detail = gr.HTML(elem_id="rows-detail")
            with gr.Accordion(label("rows.edit"), open=False, elem_id="rows-edit") as editor:
                text = gr.Textbox(
                    lines=8, max_lines=24, label=label("rows.edit_label"),
                    info=label("rows.edit_info"), elem_id="rows-text",
                )  # fmt: skip
                save = gr.Button(label("rows.save"), elem_id="rows-save")
            with gr.Accordion(label("rows.label"), open=False, elem_id="rows-label"):
                with gr.Row():
                    rating = gr.Radio(
                        [1, 2, 3, 4, 5], label=label("rows.rating"), elem_id="rows-rating"
                    )
                    task = gr.Dropdown(
                        [(label(f"task.{one.replace(' ', '_')}"), one) for one in TASKS],
                        label=label("rows.task"), allow_custom_value=True, elem_id="rows-task",
                    )  # fmt: skip
                    who = gr.Textbox(label=label("rows.who"), max_lines=1)
                better = [
                    gr.Textbox(
                        lines=2,
                        label=label(f"rows.better_{number}"),
                        elem_id=f"rows-better-{number}",
                    )
                    for number in range(1, MOST_ANSWERS + 1)
                ]
                mark = gr.Button(label("rows.label_save"), elem_id="rows-mark")

    seen = [desk.language, desk.chosen, looking, search, show, order, down, size, way]
    shown = [looking, count, rows, detail, stack, text, rating, task, *better]
    told = [desk.said, desk.status, desk.changed]

    def draw(
        request: gr.Request, language: str, name: str, at: Looking, *how: Any
    ) -> tuple[Any, ...]:
        try:
            return _drawn(language, desk.open(request, name), at, how)
        except WorkbenchError as error:
            said = failed(language, error)
            return at, said, "", "", gr.skip(), "", None, None, *[""] * MOST_ANSWERS

    def from_start(request: gr.Request, language: str, name: str, at: Looking, *how: Any) -> Any:
        return draw(request, language, name, replace(at, page=0, picked=None), *how)

    def fresh(request: gr.Request, language: str, name: str) -> tuple[Any, ...]:
        """Another dataset: its columns, tags and sources."""
        try:
            state = desk.open(request, name).state
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

    def turn(by: int | None, end: bool = False) -> Any:
        def turned(
            request: gr.Request, language: str, name: str, at: Looking, *how: Any
        ) -> tuple[Any, ...]:
            page = (10**9 if end else 0) if by is None else max(0, at.page + by)
            return draw(request, language, name, replace(at, page=page, picked=None), *how)

        return turned

    def act(
        request: gr.Request, event: gr.EventData, language: str, name: str, at: Looking, *how: Any
    ) -> tuple[Any, ...]:
        """A click on a row, or a key."""
        data = event._data or {}
        what = str(data.get("act"))
        kept: tuple[Any, ...] = (gr.skip(), gr.skip(), gr.skip(), gr.skip())
        if what == "edit":
            return *[gr.skip()] * len(shown), gr.skip(), gr.skip(), gr.skip(), gr.update(open=True)
        if what in ("keep", "drop", "clear") and at.picked is not None:
            step = Decide(what, (at.picked,))  # type: ignore[arg-type]
            kept = (*at_once(desk, request, language, name, step), gr.skip())
        at = replace(at, picked=_moved(at, what, data.get("row")))
        return *draw(request, language, name, at, *how), *kept

    def decide(what: str) -> Any:
        def decided(request: gr.Request, language: str, name: str, at: Looking) -> tuple[Any, ...]:
            if at.picked is None:
                return notice("info", say(language, "rows.pick_first")), gr.skip(), gr.skip()
            step = Decide(what, (at.picked,))  # type: ignore[arg-type]
            return at_once(desk, request, language, name, step)

        return decided

    def decide_all(what: str) -> Any:
        def decided(
            request: gr.Request, language: str, name: str, at: Looking, search: str, show: str
        ) -> tuple[Any, ...]:
            where = _where(at, show)
            if not where and not search:
                where = ("true",)
            step = Decide(what, where=where, search=search or "")  # type: ignore[arg-type]
            return at_once(desk, request, language, name, step)

        return decided

    def stepped(
        request: gr.Request, language: str, name: str, at: Looking, search: str
    ) -> tuple[Any, ...]:
        where = " AND ".join(f"({one})" for one, on in at.filters if on)
        try:
            step = Filter(where, search or "")
        except WorkbenchError as error:
            return at, failed(language, error), gr.skip(), gr.skip()
        done = at_once(desk, request, language, name, step)
        return replace(at, filters=()), *done

    def add(
        request: gr.Request, language: str, name: str, at: Looking, condition: str
    ) -> tuple[Any, ...]:
        if not condition.strip():
            return at, gr.skip(), gr.skip()
        try:
            query = desk.open(request, name).state.query
            query.rows(View((condition,)))
        except WorkbenchError as error:
            return at, failed(language, error), gr.skip()
        return replace(at, filters=(*at.filters, (condition, True)), page=0), "", ""

    def add_controls(
        request: gr.Request, language: str, name: str, at: Looking,
        tags: list[str], sources: list[str], least: float | None, most: float | None,
    ) -> tuple[Any, ...]:  # fmt: skip
        condition = controls(tags or [], sources or [], least, most)
        return add(request, language, name, at, condition)[:2]

    def toggled(at: Looking, on: list[str]) -> Looking:
        filters = tuple((one, str(n) in on) for n, (one, _) in enumerate(at.filters))
        return replace(at, filters=filters, page=0, picked=None)

    def edited(
        request: gr.Request, language: str, name: str, at: Looking, text: str
    ) -> tuple[Any, ...]:
        try:
            if at.picked is None:
                raise BadStep(reason=say(language, "rows.pick_first"))
            before = desk.open(request, name).state.example(at.picked)
            step = edit_of(at.picked, before, text)
        except WorkbenchError as error:
            return failed(language, error), gr.skip(), gr.skip()
        return at_once(desk, request, language, name, step)

    def marked(
        request: gr.Request, language: str, name: str, at: Looking, rating: int | None,
        task: str | None, who: str, *better: str,
    ) -> tuple[Any, ...]:  # fmt: skip
        try:
            if at.picked is None:
                raise BadStep(reason=say(language, "rows.pick_first"))
            answers = tuple(one for one in better if one and one.strip())
            step = Label(at.picked, rating, task or None, answers, (who or "").strip())
        except WorkbenchError as error:
            return failed(language, error), gr.skip(), gr.skip()
        return at_once(desk, request, language, name, step)

    gr.on([tab.select, desk.changed.change], fresh, seen[:2], [order, tag, source], **FOLLOW)
    gr.on([tab.select, desk.changed.change], draw, seen, shown, **FOLLOW)
    gr.on(
        [search.submit, show.change, order.change, down.change, size.change],
        from_start, seen, shown, **FOLLOW,
    )  # fmt: skip
    way.change(draw, seen, shown, **QUICK)
    for button, by, end in (
        (first, None, False),
        (back, -1, False),
        (on, 1, False),
        (last, None, True),
    ):
        button.click(turn(by, end), seen, shown, **QUICK)
    # keys come faster than answers: each is heard, one after the other
    heard = {**QUICK, "concurrency_limit": 1, "trigger_mode": "multiple"}
    rows.select(act, seen, [*shown, *told, editor], **heard)
    for button, what in ((keep, "keep"), (drop, "drop"), (clear, "clear")):
        button.click(decide(what), seen[:3], told, **QUICK)
    for button, what in ((all_keep, "keep"), (all_drop, "drop"), (all_clear, "clear")):
        button.click(decide_all(what), [*seen[:5]], told, **QUICK)
    make_step.click(stepped, seen[:4], [looking, *told], **QUICK)
    simple = [*seen[:3], tag, source, least, most]
    add_simple.click(add_controls, simple, [looking, desk.said], **QUICK).then(
        draw, seen, shown, **QUICK
    )
    gr.on(
        [add_sql.click, sql.submit], add, [*seen[:3], sql], [looking, desk.said, sql], **QUICK
    ).then(draw, seen, shown, **QUICK)
    stack.input(toggled, [looking, stack], looking, **QUICK).then(draw, seen, shown, **QUICK)
    save.click(edited, [*seen[:3], text], told, **QUICK)
    mark.click(marked, [*seen[:3], rating, task, who, *better], told, **QUICK)


def _drawn(language: str, dataset: Dataset, at: Looking, how: tuple[Any, ...]) -> tuple[Any, ...]:
    search, show, order, down, size, way = how
    state = dataset.state
    view = View(_where(at, show), search or "", "" if order in (None, "row") else order, bool(down))
    if order == "row" and down:
        view = replace(view, order="row")
    found = state.query.rows(view)
    size = int(size or 20)
    last = max(0, math.ceil(len(found) / size) - 1)
    page = min(at.page, last)
    listed = [int(row) for row in found[page * size : (page + 1) * size]]
    picked = at.picked if at.picked in listed else (listed[0] if listed else None)
    at = replace(at, page=page, picked=picked, rows=tuple(listed))
    drawn = (
        cards(language, state, listed, picked)
        if way == "cards"
        else table(language, state, listed, picked, view.order)
    )
    shown = say(
        language, "rows.shown",
        first=f"{page * size + 1 if listed else 0:,}", last=f"{page * size + len(listed):,}",
        found=f"{len(found):,}", rows=f"{state.count:,}",
    )  # fmt: skip
    detail = opened(language, state, picked) if picked is not None else ""
    example = state.example(picked) if picked is not None else None
    label = state.labels.get(picked) if picked is not None else None
    better = [*(label.answers if label else ()), *[""] * MOST_ANSWERS][:MOST_ANSWERS]
    return (
        at,
        f'<p class="tri-quiet">{escape(shown)}</p>',
        drawn or notice("info", say(language, "rows.none")),
        detail,
        _stacked(language, state.query, at),
        as_text(example) if example else "",
        label.rating if label else None,
        label.task if label else None,
        *better,
    )


def _stacked(language: str, query: Any, at: Looking) -> Any:
    """The filters, with how many rows each takes from what those above it left."""
    if not at.filters:
        return gr.update(choices=[], value=[], visible=False)
    on = [one for one, switched in at.filters if switched]
    taken = dict(zip(on, query.taken(tuple(on)), strict=False))
    choices = []
    for number, (one, switched) in enumerate(at.filters):
        rows = f"{taken[one]:,}" if switched else "–"
        choices.append((say(language, "rows.takes", condition=one[:80], rows=rows), str(number)))
    value = [str(number) for number, (_, switched) in enumerate(at.filters) if switched]
    return gr.update(choices=choices, value=value, visible=True)


def _where(at: Looking, show: str) -> tuple[str, ...]:
    conditions = tuple(one for one, on in at.filters if on)
    if show in ("kept", "dropped"):
        conditions += ("kept" if show == "kept" else "NOT kept",)
    return conditions


def _moved(at: Looking, what: str, row: Any) -> int | None:
    """The row that is picked after a key or a click."""
    if what == "pick" and isinstance(row, int) and row in at.rows:
        return row
    if at.picked not in at.rows:
        return at.rows[0] if at.rows else None
    place = at.rows.index(at.picked)
    if what in ("next", "keep", "drop"):
        place = min(place + 1, len(at.rows) - 1)
    elif what == "previous":
        place = max(place - 1, 0)
    return at.rows[place]


def controls(tags: list[str], sources: list[str], least: float | None, most: float | None) -> str:
    """What the widgets ask for, as one SQL condition."""
    parts = []
    if tags:
        parts.append(f"list_has_any(tags, [{', '.join(map(_quoted, tags))}])")
    if sources:
        parts.append(f"source IN ({', '.join(map(_quoted, sources))})")
    if least is not None:
        parts.append(f"characters >= {int(least)}")
    if most is not None:
        parts.append(f"characters <= {int(most)}")
    return " AND ".join(parts)


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


HEAD = re.compile(r"^## (\w+)( better| worse)?[ \t]*$", re.MULTILINE)


def as_text(example: Example) -> str:
    """A conversation as text that can be edited: a line ``## role``, then what it says."""
    groups = (("", example.messages), (" better", example.chosen), (" worse", example.rejected))
    parts = [
        f"## {turn.role}{suffix}\n{HEAD.sub(lambda found: chr(92) + found[0], turn.content)}"
        for suffix, turns in groups
        for turn in turns or ()
    ]
    return "\n".join(parts)


def edit_of(row: int, before: Example, text: str) -> Edit:
    """The step that puts an edited text in place of a row.

    Raises:
        BadStep: a turn has no role that is known.
    """
    heads = list(HEAD.finditer(text))
    if not heads or text[: heads[0].start()].strip():
        raise BadStep(reason="every turn begins with a line such as ## user")
    groups: dict[str, list[Message]] = {"": [], " better": [], " worse": []}
    old = {"": before.messages, " better": before.chosen or (), " worse": before.rejected or ()}
    for at, head in enumerate(heads):
        end = heads[at + 1].start() - 1 if at + 1 < len(heads) else len(text)
        role, suffix = head[1], head[2] or ""
        if role not in ROLES:
            raise BadStep(reason=f"{role} is not a role; use {', '.join(ROLES)}")
        content = re.sub(r"^\\(## )", r"\1", text[head.end() + 1 : end], flags=re.MULTILINE)
        same = [one for one in old[suffix][len(groups[suffix]) :][:1] if one.role == role]
        known = same[0] if same else Message(role, "")
        groups[suffix].append(replace(known, content=content))
    return Edit(
        row,
        tuple(as_dicts(groups[""]) or ()),
        tuple(as_dicts(groups[" better"]) or ()) or None,
        tuple(as_dicts(groups[" worse"]) or ()) or None,
    )
