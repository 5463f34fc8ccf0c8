"""Duplicates and overlap: search once, drag the threshold, read the pairs, then decide.

How likeness is measured is decided in ``workbench.likeness.duplicates`` and ``meaning``.
"""

from __future__ import annotations

from collections.abc import Iterator
from html import escape
from typing import Any

import gradio as gr
import numpy as np

from tabs._data_desk import WORK, Desk, run_step
from tabs._data_rows import bars, difference
from tabs._rules import rule
from tabs._shared import FOLLOW, QUICK, failed, notice, showing
from tabs._words import label, say
from workbench.data.alike import FLOORS, Likeness
from workbench.data.recipe import METHODS, PARTS, RULES, Duplicates, Overlap
from workbench.data.state import State
from workbench.errors import WorkbenchError
from workbench.likeness.pairs import Pairs

BINS = 20
PAIRS = 8
"""Pairs shown side by side, those just above the threshold first: there one decides."""


def build_alike(desk: Desk, tab: gr.Tab) -> None:
    """Draw the part and wire it."""
    gr.Markdown(label("alike.intro"))
    with gr.Row():
        method = gr.Radio(
            [(label(f"alike.method_{one}"), one) for one in METHODS],
            value="near", label=label("alike.method"), elem_id="alike-method",
        )  # fmt: skip
        part = gr.Radio(
            [(label(f"alike.part_{one}"), one) for one in PARTS],
            value="whole", label=label("alike.part"), elem_id="alike-part",
        )  # fmt: skip
    with gr.Row():
        other = gr.Dropdown(
            [], value=None, label=label("alike.other"), info=label("alike.other_info"),
            elem_id="alike-other",
        )  # fmt: skip
        model = gr.Textbox(
            label=label("alike.model"), info=label("alike.model_info"), placeholder="BAAI/bge-m3",
            max_lines=1,
        )  # fmt: skip
    with gr.Row(elem_classes="tri-actions"):
        search = gr.Button(
            label("alike.search"), variant="primary", scale=3, elem_id="alike-search"
        )
        stop = gr.Button(label("action.stop"), variant="stop", scale=1)
    threshold = gr.Slider(
        0.5, 1, value=0.8, step=0.01, label=label("alike.threshold"), elem_id="alike-threshold"
    )
    found = gr.HTML(elem_id="alike-found")
    with gr.Row(elem_classes="tri-actions"):
        survivor = gr.Dropdown(
            [(label(f"alike.rule_{one}"), one) for one in RULES],
            value="longest", label=label("alike.rule"), elem_id="alike-rule",
        )  # fmt: skip
        preferred = gr.Textbox(
            label=label("alike.preferred"), info=label("alike.preferred_info"), max_lines=1
        )
        apply = gr.Button(label("alike.apply"), elem_id="alike-apply")
    what = [desk.language, desk.chosen, method, part, other, model]
    told = [desk.said, desk.status, desk.changed]

    @rule("look")
    def choices(request: gr.Request, name: str) -> Any:
        others = [("–", ""), *((one, one) for one in desk.names(request) if one != name)]
        return gr.update(choices=others)

    @rule("look")
    def floor(method: str) -> Any:
        low = min(FLOORS[method], 0.99)  # type: ignore[index]
        usual = {"exact": 1.0, "near": 0.8, "meaning": 0.95}[method]
        return gr.update(minimum=low, value=usual)

    @rule("work")
    def look(
        request: gr.Request, language: str, name: str, method: str, part: str, other: str,
        model: str, threshold: float,
    ) -> Iterator[Any]:  # fmt: skip
        try:
            _check_model(desk, request, model)
            dataset = desk.open(request, name)
            stop = desk.house.stops.start(request, "data")
            work = _pairs(desk, request, name, Likeness(method, part, model or ""), other, stop)  # type: ignore[arg-type]
            pairs = yield from showing(language, work, 2)
            against = desk.open(request, other).state if other else None
            yield "", _shown(language, dataset.state, against, pairs, part, threshold)
        except Exception as error:
            yield failed(language, error), gr.skip()

    @rule("work")
    def dragged(*values: Any) -> Any:
        """The pairs are on the disk by now: only the picture changes."""
        *_, last = look(*values)
        return last

    @rule("work")
    def do(
        request: gr.Request, language: str, name: str, method: str, part: str, other: str,
        model: str, threshold: float, survivor: str, preferred: str,
    ) -> Iterator[Any]:  # fmt: skip
        sources = tuple(one.strip() for one in (preferred or "").split(",") if one.strip())
        try:
            _check_model(desk, request, model)
            step = (
                Overlap(other, "", method, part, threshold, model or "")  # type: ignore[arg-type]
                if other
                else Duplicates(method, part, threshold, survivor, sources, model or "")  # type: ignore[arg-type]
            )
        except WorkbenchError as error:
            yield failed(language, error), gr.skip(), gr.skip()
            return
        yield from run_step(desk, request, language, name, step)

    gr.on([tab.select, desk.changed.change], choices, desk.chosen, other, **FOLLOW)
    method.change(floor, method, threshold, **QUICK)
    search.click(look, [*what, threshold], [desk.said, found], **WORK)
    threshold.release(dragged, [*what, threshold], [desk.said, found], **QUICK)
    apply.click(do, [*what, threshold, survivor, preferred], told, **WORK)
    stop.click(desk.house.stopper("data"), None, None, **QUICK)


def _check_model(desk: Desk, request: gr.Request, model: str | None) -> None:
    """The bundled embedding is everybody's; a model of the Hub is loaded for who may choose any."""
    if model and model.strip():
        desk.house.may(request, "load_any_model")


def _pairs(
    desk: Desk, request: gr.Request, name: str, like: Likeness, other: str, stop: Any
) -> Any:
    from workbench.data.alike import between, within

    dataset, settings = desk.open(request, name), desk.house.settings
    if other:
        return (yield from between(dataset, desk.open(request, other), like, settings, stop))
    return (yield from within(dataset, like, settings, stop))


def _shown(
    language: str, state: State, other: State | None, pairs: Pairs, part: str, threshold: float
) -> str:
    """The histogram, how many rows the threshold takes, and pairs side by side."""
    above = pairs.above(threshold)
    if other is None:
        from workbench.likeness.groups import grouped

        groups = grouped(above, state.count)
        rows = int((groups != np.arange(state.count)).sum())
        key = "alike.takes" if rows else "alike.takes_none"
    else:
        rows = len(np.unique(above.left))
        key = "alike.leaks" if rows else "alike.no_leak"
    kind = "info" if not rows else ("warning" if other is not None else "info")
    text = say(language, key, rows=f"{rows:,}", pairs=f"{len(above):,}", at=f"{threshold:.2f}")
    crowded = ""
    if pairs.crowded:
        crowded = notice("info", say(language, "alike.crowded", rows=f"{pairs.crowded:,}"))
    return (
        notice(kind, text) + crowded + _histogram(language, pairs, threshold)
        + side_by_side(language, state, other, above, part)
    )  # fmt: skip


def _histogram(language: str, pairs: Pairs, threshold: float) -> str:
    edges, counts = pairs.histogram(BINS)
    if not counts.any():
        return ""
    most = counts.max()
    shown = [
        (f"{edges[at]:.2f}–{edges[at + 1]:.2f}", counts[at] / most, f"{counts[at]:,}")
        for at in range(BINS - 1, -1, -1)
        if counts[at] or edges[at] >= 0.5
    ]
    title = escape(say(language, "alike.histogram", at=f"{threshold:.2f}"))
    return f"<h5>{title}</h5>{bars(shown)}"


def side_by_side(language: str, state: State, other: State | None, above: Pairs, part: str) -> str:
    order = np.argsort(above.similarity, kind="stable")[:PAIRS]
    lines = []
    for place in order.tolist():
        left, right = int(above.left[place]), int(above.right[place])
        one = _part(state, left, part)
        two = _part(other or state, right, part)
        lines.append(
            f'<div class="tri-pair"><header>#{left} · #{right} '
            f"<b>{above.similarity[place]:.2f}</b></header>"
            f"<p>{difference(one, two, 'left')}</p><p>{difference(one, two, 'right')}</p></div>"
        )
    title = escape(say(language, "alike.pairs"))
    return f"<h5>{title}</h5>{''.join(lines)}" if lines else ""


def _part(state: State, row: int, part: str) -> str:
    example = state.example(row)
    said = {"prompt": example.prompt, "answer": example.answer}
    return said.get(part, example.text)[:600]
