"""What one visitor looks at, and how it is drawn: a page of rows, filters, one row as text.

What a filter means is decided in ``workbench.data.query``.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field, replace
from html import escape
from typing import Any

import gradio as gr

from tabs._data_rows import cards, opened, table
from tabs._shared import notice
from tabs._words import say
from workbench.data.dataset import Dataset
from workbench.data.query import View
from workbench.data.recipe import MOST_ANSWERS, Edit
from workbench.data.rows import ROLES, Example, Message, as_dicts
from workbench.data.state import State
from workbench.errors import BadStep


@dataclass(frozen=True)
class Looking:
    """What one visitor looks at."""

    filters: tuple[tuple[str, bool], ...] = ()
    """Conditions and whether each is switched on."""
    page: int = 0
    picked: int | None = None
    rows: tuple[int, ...] = field(default=(), compare=False)
    """The rows of the page."""
    editing: str = ""
    """Which state of which row the editor shows: it is filled once, then it is the person's."""


def drawn(language: str, dataset: Dataset, at: Looking, how: tuple[Any, ...]) -> tuple[Any, ...]:
    """A page of rows and the picked one, as the outputs of ``Browse.shown``."""
    search, show, order, down, size, way = how
    state = dataset.state
    view = View(
        where_of(at, show), search or "", "" if order in (None, "row") else order, bool(down)
    )
    if order == "row" and down:
        view = replace(view, order="row")
    found = state.query.rows(view)
    size = int(size or 20)
    last = max(0, math.ceil(len(found) / size) - 1)
    page = min(at.page, last)
    listed = [int(row) for row in found[page * size : (page + 1) * size]]
    picked = at.picked if at.picked in listed else (listed[0] if listed else None)
    at = replace(at, page=page, picked=picked, rows=tuple(listed))
    listing = (
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
    editing = f"{dataset.name}/{picked}/{len(dataset.recipe.steps)}"
    editor = [gr.skip()] * (3 + MOST_ANSWERS)
    if editing != at.editing:
        at, editor = replace(at, editing=editing), _editor(state, picked)
    return (
        at,
        f'<p class="tri-quiet">{escape(shown)}</p>',
        listing or notice("info", say(language, "rows.none")),
        detail,
        stacked(language, state.query, at),
        *editor,
    )


def _editor(state: State, picked: int | None) -> list[Any]:
    """Text, rating, task and better answers of the picked row."""
    if picked is None:
        return ["", None, None, *[""] * MOST_ANSWERS]
    label = state.labels.get(picked)
    better = [*(label.answers if label else ()), *[""] * MOST_ANSWERS][:MOST_ANSWERS]
    said = (label.rating, label.task) if label else (None, None)
    return [as_text(state.example(picked)), *said, *better]


def stacked(language: str, query: Any, at: Looking) -> Any:
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


def where_of(at: Looking, show: str) -> tuple[str, ...]:
    """The conditions of a view: the filters that are on, and which rows are shown at all."""
    conditions = tuple(one for one, on in at.filters if on)
    if show in ("kept", "dropped"):
        conditions += ("kept" if show == "kept" else "NOT kept",)
    return conditions


def moved(at: Looking, what: str, row: Any) -> int | None:
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
