"""Mixing datasets by weight, splitting without leaks, and saving what is kept.

How rows are chosen is decided in ``workbench.data.mixing``.
"""

from __future__ import annotations

from collections.abc import Iterator
from html import escape
from typing import Any

import gradio as gr

from tabs._data_alike import side_by_side
from tabs._data_desk import WORK, Desk, run_step, say_heads, stamp, summary
from tabs._data_rows import bars
from tabs._rules import rule
from tabs._shared import FOLLOW, QUICK, failed, notice, showing
from tabs._words import label, say
from workbench.data.dataset import Dataset
from workbench.data.mixing import MixRequest, Share, chosen_rows, finished, mix, saved, shares_by
from workbench.data.recipe import PARTS, Split
from workbench.errors import BadShares, WorkbenchError

ANSWERS = ("original", "improved", "preference")
SPLITS = ("train", "validation", "test")


def build_mix(desk: Desk, tab: gr.Tab) -> None:
    """Draw the part and wire it."""
    told = [desk.said, desk.status, desk.changed, desk.chosen]
    _build_mixing(desk, tab, told)
    _build_split(desk, tab)
    _build_save(desk, told)


def _build_mixing(desk: Desk, tab: gr.Tab, told: list[Any]) -> None:
    gr.Markdown(label("mix.intro"))
    parts = gr.Dropdown([], multiselect=True, label=label("mix.parts"), elem_id="mix-parts")
    how = gr.Radio(
        [(label(f"mix.how_{one}"), one) for one in ("all", "weight", "count")],
        value="all", label=label("mix.how"), elem_id="mix-how",
    )  # fmt: skip
    shares = gr.Dataframe(
        headers=["dataset", "share"], type="array", interactive=True, column_count=2,
        label=label("mix.shares"), visible=False, elem_id="mix-shares",
    )  # fmt: skip
    say_heads(desk, shares, "mix.head_dataset", "mix.head_share")
    with gr.Row():
        total = gr.Number(0, precision=0, minimum=0, label=label("mix.total"), visible=False)
        seed = gr.Number(0, precision=0, minimum=0, label=label("mix.seed"))
        name = gr.Textbox("mixed", label=label("mix.name"), max_lines=1, elem_id="mix-name")
    with gr.Row(elem_classes="tri-actions"):
        look = gr.Button(label("mix.look"), elem_id="mix-look")
        run = gr.Button(label("mix.run"), variant="primary", elem_id="mix-run")
        stop = gr.Button(label("action.stop"), variant="stop")
    picture = gr.HTML(elem_id="mix-picture")

    @rule("look")
    def names(request: gr.Request) -> Any:
        return gr.update(choices=desk.names(request))

    @rule("look")
    def show_shares(chosen: list[str], how: str, before: list[list[Any]]) -> tuple[Any, ...]:
        known = {str(row[0]): row[1] for row in before or [] if row and row[0]}
        usual = 1 if how == "weight" else 1000
        lines = [[one, known.get(one, usual)] for one in chosen or []]
        visible = how != "all" and bool(lines)
        return gr.update(value=lines, visible=visible), gr.update(visible=how == "weight")

    @rule("look")
    def picture_of(request: gr.Request, language: str, *values: Any) -> tuple[Any, Any]:
        try:
            asked = _request(*values)
            datasets = [desk.open(request, share.dataset) for share in asked.shares]
            return "", _picture(language, datasets, asked)
        except Exception as error:
            return failed(language, error), gr.skip()

    @rule("work")
    def make(request: gr.Request, language: str, *values: Any) -> Iterator[Any]:
        try:
            asked = _request(*values)
        except WorkbenchError as error:
            yield failed(language, error), *[gr.skip()] * 3
            return
        yield from _made(desk, request, language, asked)

    inputs = [parts, how, shares, total, seed, name]
    gr.on([tab.select, desk.changed.change], names, None, parts, **FOLLOW)
    gr.on([parts.change, how.change], show_shares, [parts, how, shares], [shares, total], **QUICK)
    look.click(picture_of, [desk.language, *inputs], [desk.said, picture], **QUICK)
    run.click(make, [desk.language, *inputs], told, **WORK)
    stop.click(desk.house.stopper("data"), None, None, **QUICK)


def _build_split(desk: Desk, tab: gr.Tab) -> None:
    gr.Markdown(label("split.intro"))
    with gr.Row():
        weights = [
            gr.Number(share, label=label(f"split.{one}"), minimum=0, elem_id=f"split-{one}")
            for one, share in zip(SPLITS, (90, 5, 5), strict=True)
        ]
        seed = gr.Number(0, precision=0, minimum=0, label=label("mix.seed"))
        threshold = gr.Slider(0.5, 1, 0.7, step=0.05, label=label("split.threshold"))
        part = gr.Dropdown(
            [(label(f"alike.part_{one}"), one) for one in PARTS],
            value="whole", label=label("alike.part"),
        )  # fmt: skip
    with gr.Row(elem_classes="tri-actions"):
        run = gr.Button(label("split.run"), variant="primary", elem_id="split-run", scale=2)
        check = gr.Button(label("split.check"), elem_id="split-check")
    picture = gr.HTML(elem_id="split-picture")
    leak = gr.HTML(elem_id="split-leak")

    @rule("work")
    def do(
        request: gr.Request, language: str, name: str, part: str, threshold: float,
        seed: float | None, *shares: float | None,
    ) -> Iterator[Any]:  # fmt: skip
        given = {one: float(share or 0) for one, share in zip(SPLITS, shares, strict=True)}
        given = {one: share for one, share in given.items() if share}
        try:
            step = Split(given, int(seed or 0), "near", part, threshold)  # type: ignore[arg-type]
        except WorkbenchError as error:
            yield failed(language, error), gr.skip(), gr.skip()
            return
        yield from run_step(desk, request, language, name, step)

    @rule("look")
    def show(request: gr.Request, language: str, name: str) -> str:
        try:
            state = desk.open(request, name).state
        except WorkbenchError:
            return ""
        if "split" not in finished(state).column_names:
            return ""
        return _shares(language, "split.shares", shares_by(state, state.kept_rows(), "split"))

    @rule("work")
    def look(
        request: gr.Request, language: str, name: str, part: str, threshold: float
    ) -> Iterator[Any]:
        try:
            dataset = desk.open(request, name)
            work = _leaks(desk, request, dataset, part, threshold)
            pairs = yield from showing(language, work, 2)
            yield "", _leaked(language, dataset, pairs, part, threshold)
        except Exception as error:
            yield failed(language, error), gr.skip()

    inputs = [desk.language, desk.chosen, part, threshold, seed, *weights]
    check.click(look, inputs[:4], [desk.said, leak], **WORK)
    run.click(do, inputs, [desk.said, desk.status, desk.changed], **WORK)
    gr.on([tab.select, desk.changed.change], show, inputs[:2], picture, **FOLLOW)


def _leaks(desk: Desk, request: gr.Request, dataset: Dataset, part: str, threshold: float) -> Any:
    """Pairs that stand in different parts of the split."""
    from workbench.data.alike import Likeness, leaks, within

    table = finished(dataset.state)
    if "split" not in table.column_names:
        raise BadShares(reason=f"{dataset.name} is not split")
    stop = desk.house.stops.start(request, "data")
    pairs = yield from within(dataset, Likeness("near", part), desk.house.settings, stop)  # type: ignore[arg-type]
    return leaks(dataset, pairs, threshold, table.column("split").combine_chunks())


def _leaked(language: str, dataset: Dataset, pairs: Any, part: str, threshold: float) -> str:
    at = f"{threshold:.2f}"
    if not len(pairs):
        return notice("good", say(language, "split.tight", at=at))
    text = say(language, "split.leak", pairs=f"{len(pairs):,}", at=at)
    return notice("warning", text) + side_by_side(language, dataset.state, None, pairs, part)


def _build_save(desk: Desk, told: list[Any]) -> None:
    gr.Markdown(label("save.intro"))
    with gr.Row(elem_classes="tri-actions"):
        name = gr.Textbox("training", label=label("save.name"), max_lines=1, elem_id="save-name")
        answers = gr.Dropdown(
            [(label(f"save.{one}"), one) for one in ANSWERS],
            value="original", label=label("save.answers"),
        )  # fmt: skip
        run = gr.Button(label("save.run"), variant="primary", elem_id="save-run")

    @rule("work")
    def do(
        request: gr.Request, language: str, chosen: str, name: str, answers: str
    ) -> Iterator[Any]:
        try:
            desk.open(request, chosen)
            asked = saved(chosen, (name or "").strip(), answers)
        except WorkbenchError as error:
            yield failed(language, error), *[gr.skip()] * 3
            return
        yield from _made(desk, request, language, asked)

    run.click(do, [desk.language, desk.chosen, name, answers], told, **WORK)


def _made(
    desk: Desk, request: gr.Request, language: str, asked: MixRequest
) -> Iterator[tuple[Any, ...]]:
    """Make the new dataset and put it on the desk."""
    try:
        parts = [desk.open(request, share.dataset) for share in asked.shares]
        stop = desk.house.stops.start(request, "data")
        recipe = yield from showing(language, mix(parts, asked, stop), 4)
        dataset = desk.open(request, recipe.name)
        text = say(language, "mix.done", name=recipe.name, rows=f"{recipe.rows:,}")
        choice = gr.update(choices=desk.names(request), value=recipe.name)
        yield notice("good", text), summary(language, dataset), stamp(dataset), choice
    except Exception as error:
        yield failed(language, error), *[gr.skip()] * 3


def _request(
    parts: list[str],
    how: str,
    shares: list[list[Any]],
    total: float | None,
    seed: float | None,
    name: str,
) -> MixRequest:
    given = {str(row[0]): row[1] for row in shares or [] if row and row[0]}
    try:
        numbers = {one: float(given.get(one) or 0) for one in parts or []}
    except (TypeError, ValueError) as error:
        raise BadShares(reason="a share is not a number") from error
    asked = tuple(
        Share(
            one,
            weight=numbers[one] if how == "weight" else 0,
            count=int(numbers[one]) if how == "count" else 0,
        )
        for one in parts or []
    )
    wanted = int(total or 0) if how == "weight" else 0
    return MixRequest((name or "").strip(), asked, wanted, int(seed or 0))


def _picture(language: str, datasets: list[Dataset], asked: MixRequest) -> str:
    """The shares of the mix by dataset, by source and by task, before it is made."""
    chosen = chosen_rows(datasets, asked)
    by_part = {one.name: len(rows) for one, rows in zip(datasets, chosen, strict=True)}
    html = _shares(language, "mix.by_dataset", by_part)
    for column in ("source", "task"):
        together: dict[str, int] = {}
        for one, rows in zip(datasets, chosen, strict=True):
            for name, count in shares_by(one.state, rows, column).items():
                together[name] = together.get(name, 0) + count
        if len(together) > 1:
            html += _shares(language, f"mix.by_{column}", together)
    return html


def _shares(language: str, key: str, counts: dict[str, int]) -> str:
    total = sum(counts.values()) or 1
    lines = sorted(counts.items(), key=lambda line: -line[1])[:20]
    figures = [
        (name or "–", count / total, f"{count:,} · {count / total:.1%}") for name, count in lines
    ]
    title = escape(say(language, key, total=f"{sum(counts.values()):,}"))
    return f"<h5>{title}</h5>{bars(figures)}"
