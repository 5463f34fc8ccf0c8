"""Rows of a dataset as HTML: a table, conversations, and one row with all its reasons.

Everything a row holds is escaped; nothing in it can fetch or run anything. Knows nothing
of widgets.
"""

from __future__ import annotations

from collections.abc import Iterable
from html import escape
from typing import Any

import numpy as np

from tabs._words import say, words
from workbench.data.rows import Example, Message
from workbench.data.state import Reason, State
from workbench.likeness.duplicates import difference as pieces

SHORT = 160
"""Characters of a text in the table."""
LONG = 1200
"""Characters of a turn in the card view; the opened row shows more."""
WHOLE = 20_000
SHOWN = ("row", "tags", "prompt", "answer", "characters")
"""The columns of the table; the one it is sorted by is added, the opened row shows all."""


def table(language: str, state: State, rows: list[int], picked: int | None, order: str) -> str:
    """Rows as lines of a table; a click picks one."""
    extra = "" if order in (*SHOWN, "") else order
    names = [say(language, f"rows.{name}") for name in SHOWN] + ([extra] if extra else [])
    head = "".join(f"<th>{escape(name)}</th>" for name in names)
    values = _values(state, rows, extra)
    lines = "".join(
        _line(language, state, row, example, picked, values)
        for row, example in zip(rows, state.examples(rows), strict=True)
    )
    return (
        f'<div class="tri-scroll"><table class="tri-rows"><thead><tr>{head}</tr></thead>'
        f"<tbody>{lines}</tbody></table></div>"
    )


def _values(state: State, rows: list[int], column: str) -> dict[int, str]:
    if not column or not rows:
        return {}
    sql = f'SELECT row, "{column}"::varchar FROM {{rows}}'
    return {row: value or "" for row, value in state.query.values(sql, np.array(rows))}


def _line(
    language: str,
    state: State,
    row: int,
    example: Example,
    picked: int | None,
    values: dict[int, str],
) -> str:
    cells = [
        f"{row}",
        _chips(language, state, row),
        escape(_short(example.prompt)),
        escape(_short(example.answer)),
        f"{sum(len(turn.content) for turn in example.messages):,}",
        *([escape(_short(values[row], 60))] if row in values else []),
    ]
    kind = _row_class(state, row, picked)
    filled = "".join(f"<td><div>{cell}</div></td>" for cell in cells)
    return f'<tr data-row="{row}" class="{kind}">{filled}</tr>'


def cards(language: str, state: State, rows: list[int], picked: int | None) -> str:
    """Rows as conversations; a click picks one."""
    return "".join(
        f'<article data-row="{row}" class="tri-card {_row_class(state, row, picked)}">'
        f"<header><b>#{row}</b> {_chips(language, state, row)}"
        f"<span>{escape(_short(example.source or '', 40))}</span></header>"
        f"{conversation(language, example, state.reasons(row), LONG)}</article>"
        for row, example in zip(rows, state.examples(rows), strict=True)
    )


def opened(language: str, state: State, row: int) -> str:
    """One row, whole: the conversation with what the checks found marked, and why."""
    example = state.example(row)
    reasons = state.reasons(row)
    label = state.labels.get(row)
    said = [*reasons_list(language, state, row, reasons)]
    if label and label.rating:
        said.append(say(language, "rows.rated", rating=label.rating, who=label.annotator or "?"))
    facts = {**({"id": example.id} if example.id else {}), "source": example.source or ""}
    facts |= {name: _plain(value) for name, value in example.columns.items()}
    lines = "".join(
        f"<dt>{escape(str(name))}</dt><dd>{escape(_short(str(value), 400))}</dd>"
        for name, value in facts.items()
    )
    why = "".join(f"<li>{line}</li>" for line in said)
    return (
        f'<section class="tri-opened"><h4>#{row} {_verdict(language, state, row)}</h4>'
        f'<ul class="tri-reasons">{why}</ul>{conversation(language, example, reasons, WHOLE)}'
        f'<dl class="tri-facts">{lines}</dl></section>'
    )


def reasons_list(
    language: str, state: State, row: int, reasons: list[Reason] | None = None
) -> list[str]:
    """Every reason of a row as a line of HTML."""
    found = state.reasons(row) if reasons is None else reasons
    lines = []
    for reason in found:
        name = check_name(language, reason.check)
        mark = "tri-drops" if reason.drops else "tri-notes"
        lines.append(f'<b class="{mark}">{escape(name)}</b> {escape(why(language, reason))}')
    if state.decisions[row]:
        lines.append(escape(say(language, f"rows.by_hand_{int(state.decisions[row]) > 0}")))
    return lines


def why(language: str, reason: Reason) -> str:
    """The sentence of one reason."""
    facts = {key: _short(str(value), 120) for key, value in reason.facts.items()}
    for name in ("register", "role"):
        if f"{name}.{facts.get(name)}" in words()["en"]:
            facts[name] = say(language, f"{name}.{facts[name]}")
    return say(language, f"reason.{reason.kind}", **facts)


def check_name(language: str, check: str) -> str:
    return say(language, f"check.{check}")


def conversation(
    language: str, example: Example, reasons: list[Reason], most: int, answers: bool = True
) -> str:
    """Turns as they are spoken; characters that a check found are marked."""
    turns = list(example.messages)
    kinds = [""] * len(turns)
    if answers:
        for kind, extra in (("chosen", example.chosen), ("rejected", example.rejected)):
            turns += extra or ()
            kinds += [kind] * len(extra or ())
    return "".join(
        _turn(language, turn, kind, [one for one in reasons if one.turn == number], most)
        for number, (turn, kind) in enumerate(zip(turns, kinds, strict=True))
    )


def _turn(language: str, turn: Message, kind: str, reasons: list[Reason], most: int) -> str:
    role = turn.role if f"role.{turn.role}" in words()["en"] else "text"
    name = say(language, f"role.{role}")
    if kind:
        name = f"{name} · {say(language, f'role.{kind}')}"
    if turn.name:
        name = f"{name} ({turn.name})"
    body = _marked(language, turn.content[:most], reasons)
    cut = len(turn.content) - most
    more = f"<i>{escape(say(language, 'rows.more', count=f'{cut:,}'))}</i>" if cut > 0 else ""
    calls = f"<pre>{escape(_short(turn.tool_calls, 600))}</pre>" if turn.tool_calls else ""
    return (
        f'<div class="tri-turn tri-{escape(turn.role)} {kind}"><b>{escape(name)}</b>'
        f"<p>{body}{more}</p>{calls}</div>"
    )


def _marked(language: str, text: str, reasons: list[Reason]) -> str:
    """The text with the deciding characters marked; what overlaps is marked once."""
    spans = sorted(
        (one.start, one.end, one)
        for one in reasons
        if one.start is not None and one.end is not None and one.end > one.start
    )
    html, at = "", 0
    for start, end, reason in sorted(spans, key=lambda span: span[:2]):
        if start < at or start >= len(text):
            continue
        tip = escape(f"{check_name(language, reason.check)}: {why(language, reason)}")
        piece = escape(text[start:end]) or "␣"
        html += f'{escape(text[at:start])}<mark data-tip="{tip}">{piece}</mark>'
        at = end
    return html + escape(text[at:])


def difference(left: str, right: str, side: str) -> str:
    """One side of two texts, what only it has marked."""
    return "".join(
        escape(piece) if kind == "same" else f"<mark>{escape(piece)}</mark>"
        for kind, piece in pieces(left, right)
        if kind in ("same", side)
    )


def _chips(language: str, state: State, row: int) -> str:
    seen: dict[str, bool] = {}
    for reason in state.reasons(row):
        seen[reason.check] = seen.get(reason.check, False) or reason.drops
    chips = "".join(
        f'<span class="tri-chip {"tri-drops" if drops else "tri-notes"}">'
        f"{escape(check_name(language, check))}</span>"
        for check, drops in seen.items()
    )
    label = state.labels.get(row)
    stars = f'<span class="tri-stars">{"★" * label.rating}</span>' if label and label.rating else ""
    return chips + stars


def _verdict(language: str, state: State, row: int) -> str:
    key = "kept" if state.kept[row] else "dropped"
    return f'<span class="tri-verdict-{key}">{escape(say(language, f"rows.{key}"))}</span>'


def _row_class(state: State, row: int, picked: int | None) -> str:
    kept = "" if state.kept[row] else "tri-out"
    return f"{kept} tri-picked" if row == picked else kept


def bars(figures: Iterable[tuple[str, float, str]]) -> str:
    """Labelled bars: a name, a share between 0 and 1, and the figure to show."""
    lines = "".join(
        f'<li><span>{escape(name)}</span><i style="width:{max(0.0, min(1.0, share)) * 100:.1f}%">'
        f"</i><b>{escape(figure)}</b></li>"
        for name, share, figure in figures
    )
    return f'<ul class="tri-shares">{lines}</ul>'


def _short(text: str | None, most: int = SHORT) -> str:
    flat = text or ""
    return flat if len(flat) <= most else f"{flat[: most - 1]}…"


def _plain(value: Any) -> str:
    return "" if value is None else str(value)
