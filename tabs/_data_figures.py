"""What a dataset is made of, in figures, and the log of what was done to it.

How a figure is worked out is decided in ``workbench.data.statistics``.
"""

from __future__ import annotations

from collections.abc import Iterator
from html import escape
from typing import Any

import gradio as gr
import numpy as np

from tabs._data_desk import WORK, Desk, stamp, summary
from tabs._data_rows import bars
from tabs._models import DEFAULT_MODELS
from tabs._rules import rule
from tabs._shared import FOLLOW, QUICK, failed, notice, showing
from tabs._words import label, say
from workbench.data import statistics
from workbench.data.dataset import Dataset, delete
from workbench.data.recipe import Done
from workbench.errors import WorkbenchError

VERBS, OBJECTS = 12, 4
SAMPLED = 20_000
COPIES = 200_000
"""More rows than this would take seconds; the Duplicates part shows progress."""
ASKING = 0.2
"""Where fewer rows begin with a known verb they are talk, not instructions."""
EMPTY = (None, "", ())


def build_figures(desk: Desk, tab: gr.Tab) -> None:
    """Draw the figures and wire them."""
    gr.Markdown(label("figures.intro"))
    with gr.Row(elem_classes="tri-actions"):
        model = gr.Dropdown(
            DEFAULT_MODELS, value=DEFAULT_MODELS[0], allow_custom_value=True,
            label=label("figures.model"), elem_id="figures-model",
        )  # fmt: skip
        limit = gr.Number(1024, precision=0, minimum=1, label=label("figures.limit"))
        count = gr.Button(label("figures.tokens"), elem_id="figures-tokens")
        stop = gr.Button(label("action.stop"), variant="stop")
    tokens = gr.HTML(elem_id="figures-token-list")
    figures = gr.HTML(elem_id="figures-list")
    on_desk = [desk.language, desk.chosen]

    @rule("look")
    def show(request: gr.Request, language: str, name: str) -> Iterator[Any]:
        try:
            dataset = desk.open(request, name)
            stop = desk.house.stops.start(request, "figures")
            work = statistics.register_shares(dataset.state.table, stop, dataset.state.kept_rows())
            registers = yield from showing(language, work)
            yield _figures(language, dataset, registers)
        except Exception as error:
            yield failed(language, error)

    @rule("work")
    def in_tokens(
        request: gr.Request, language: str, name: str, model: str, limit: float | None
    ) -> Iterator[Any]:
        try:
            dataset = desk.open(request, name)
            reference = desk.house.references([model])[0]
            stop = desk.house.stops.start(request, "data")
            work = _lengths(desk, dataset, reference, stop)
            lengths = yield from showing(language, work)
            yield _token_figures(language, lengths, int(limit or 1024), str(reference))
        except Exception as error:
            yield failed(language, error)

    gr.on(
        [tab.select, desk.chosen.input], show, on_desk, figures, trigger_mode="always_last", **WORK
    )
    count.click(in_tokens, [*on_desk, model, limit], tokens, **WORK)
    stop.click(desk.house.stopper("data"), None, None, **QUICK)


def build_log(desk: Desk, tab: gr.Tab) -> None:
    """Draw the log of steps: undo, replay, delete."""
    gr.Markdown(label("log.intro"))
    steps = gr.HTML(elem_id="log-steps")
    with gr.Row(elem_classes="tri-actions"):
        undo = gr.Button(label("log.undo"), elem_id="log-undo")
        sure = gr.Checkbox(False, label=label("log.sure"), elem_id="log-sure")
        remove = gr.Button(label("log.delete"), variant="stop", elem_id="log-delete")
    with gr.Accordion(label("log.recipe"), open=False):
        recipe = gr.Code(language="json", interactive=False, elem_id="log-recipe", max_lines=30)
    on_desk = [desk.language, desk.chosen]
    told = [desk.said, desk.status, desk.changed]

    @rule("look")
    def show(request: gr.Request, language: str, name: str) -> tuple[str, str]:
        try:
            dataset = desk.open(request, name)
        except WorkbenchError as error:
            return failed(language, error), ""
        return _log(language, dataset, desk.house.who(request).is_owner), dataset.recipe.dumps()

    @rule("own")
    def back(request: gr.Request, language: str, name: str) -> tuple[Any, ...]:
        try:
            dataset = desk.open(request, name)
            last = dataset.undo()
            text = say(language, "log.undone", kind=say(language, f"step.{last.step.kind}"))
            return notice("good", text), summary(language, dataset), stamp(dataset)
        except Exception as error:
            return failed(language, error), gr.skip(), gr.skip()

    @rule("own")
    def take_away(request: gr.Request, language: str, name: str, sure: bool) -> tuple[Any, ...]:
        if not sure:
            text = say(language, "log.not_sure")
            return notice("info", text), gr.skip(), gr.skip(), gr.skip(), False
        try:
            workspace = desk.house.workspace(request)
            delete(workspace, name)
            desk.house.shelf.close(workspace, name)
        except Exception as error:
            return failed(language, error), gr.skip(), gr.skip(), gr.skip(), False
        names = desk.names(request)
        text = notice("good", say(language, "log.deleted", name=name))
        choice = gr.update(choices=names, value=names[0] if names else None)
        return text, "", f"deleted {name}", choice, False

    gr.on([tab.select, desk.changed.change], show, on_desk, [steps, recipe], **FOLLOW)
    undo.click(back, on_desk, told, **QUICK)
    remove.click(take_away, [*on_desk, sure], [*told, desk.chosen, sure], **QUICK)


def _lengths(desk: Desk, dataset: Dataset, reference: Any, stop: Any) -> Any:
    from workbench.models.tokenizer import bring_tokenizer, token_counts

    tokenizer = yield from bring_tokenizer(reference, desk.house.settings, stop)
    rows = dataset.state.kept_rows()
    return (
        yield from statistics.token_lengths(
            dataset.state.table, lambda texts: token_counts(tokenizer, texts), stop, rows
        )
    )


def _token_figures(language: str, lengths: np.ndarray, limit: int, model: str) -> str:
    cut = statistics.cut_at(lengths, limit)
    text = say(
        language, "figures.cut",
        share=f"{cut.share:.1%}", rows=f"{cut.rows:,}", limit=f"{limit:,}", lost=f"{cut.lost:.1%}",
    )  # fmt: skip
    title = say(language, "figures.in_tokens", model=model.removeprefix("bundled:"))
    kind = "warning" if cut.rows else "good"
    return notice(kind, text) + _histogram(language, title, statistics.histogram(lengths))


def _figures(language: str, dataset: Dataset, registers: statistics.Shares) -> str:
    state = dataset.state
    rows = state.kept_rows()
    totals = statistics.counts(state.table, rows)
    line = say(
        language, "figures.totals",
        rows=f"{totals.rows:,}", turns=f"{totals.turns:,}", characters=f"{totals.characters:,}",
    )  # fmt: skip
    lengths = statistics.length_histogram(state.table, rows)
    turns = [(f"{turns}", rows) for turns, rows in statistics.turn_counts(state.table, rows)[:12]]
    roles = statistics.role_counts(state.table, rows).counts
    named = [(say(language, f"role.{role}"), count) for role, count in roles]
    parts = [
        f'<p class="tri-verdict">{escape(line)}</p><div class="tri-columns">',
        _histogram(language, say(language, "figures.in_characters"), lengths),
        _shares(language, "figures.registers", registers, "register"),
        _counts(say(language, "figures.roles"), named),
        _counts(say(language, "figures.turns"), turns),
        _shares(language, "figures.sources", statistics.source_shares(state.table, rows), ""),
        _tag_figures(language, dataset),
        "</div>",
        _copies(language, dataset, rows),
        _openings(language, dataset, rows),
    ]
    return "".join(parts)


def _histogram(language: str, title: str, found: statistics.Histogram) -> str:
    most = max(found.counts, default=0) or 1
    lines = [
        (f"{low:,}–{high - 1:,}", count / most, f"{count:,}")
        for low, high, count in zip(found.edges, found.edges[1:], found.counts, strict=False)
        if count
    ]
    middle = say(
        language, "figures.middle",
        median=f"{found.median:,}", near=f"{found.near_most:,}", most=f"{found.most:,}",
    )  # fmt: skip
    return (
        f'<section><h5>{escape(title)}</h5>{bars(lines)}<p class="tri-quiet">{middle}</p></section>'
    )


def _shares(language: str, key: str, shares: statistics.Shares, words: str) -> str:
    lines = [
        (say(language, f"{words}.{name}") if words else name or "–", count)
        for name, count in shares.counts[:15]
    ]
    note = ""
    if shares.is_sample:
        text = say(language, "figures.sampled", counted=f"{shares.counted:,}", of=f"{shares.of:,}")
        note = f'<p class="tri-quiet">{escape(text)}</p>'
    return _counts(say(language, key), lines, note)


def _counts(title: str, lines: list[tuple[str, int]], note: str = "") -> str:
    total = sum(count for _, count in lines) or 1
    shown = [(name, count / total, f"{count:,} · {count / total:.0%}") for name, count in lines]
    return f"<section><h5>{escape(title)}</h5>{bars(shown)}{note}</section>"


def _tag_figures(language: str, dataset: Dataset) -> str:
    lines = [
        (f"{number}. {say(language, f'check.{check}')}", rows)
        for number, check, rows in dataset.state.tallies()[:20]
    ]
    return _counts(say(language, "figures.tags"), lines) if lines else ""


def _copies(language: str, dataset: Dataset, rows: np.ndarray) -> str:
    """How many rows say exactly what an earlier one says; not counted in very large sets."""
    from workbench.likeness.duplicates import exact

    if len(rows) > COPIES:
        return ""
    count = len(exact(dataset.state.query.texts("whole", rows)))
    kind = "warning" if count else "good"
    return notice(kind, say(language, "figures.copies", rows=f"{count:,}"))


def _openings(language: str, dataset: Dataset, rows: np.ndarray) -> str:
    """The first verb and its object, as self-instruct shows how varied a set is."""
    from workbench.data.openings import top_openings

    texts = dataset.state.query.texts("prompt", rows[:SAMPLED]).to_pylist()
    found = top_openings(texts, VERBS, OBJECTS)
    if found.covered < ASKING:
        return ""
    most = found.openings[0].count
    lines = [
        (
            f"{one.verb}: {', '.join(f'{name} {count}' for name, count in one.objects)}",
            one.count / most,
            f"{one.count:,}",
        )
        for one in found.openings
    ]
    text = say(language, "figures.openings", share=f"{found.covered:.0%}")
    return f'<section class="tri-wide"><h5>{escape(text)}</h5>{bars(lines)}</section>'


def _log(language: str, dataset: Dataset, with_paths: bool) -> str:
    recipe = dataset.recipe
    origin = say(
        language, f"log.from_{recipe.source.kind}",
        name=getattr(recipe.source, "name", ""), rows=f"{recipe.rows:,}",
    )  # fmt: skip
    lines = [f"<li>{escape(origin)} <small>sha256 {recipe.sha256[:16]}</small></li>"]
    for number, done in enumerate(recipe.steps, 1):
        off = "" if dataset.state.is_on(number) else f" ({say(language, 'log.off')})"
        lines.append(f"<li><b>{number}. {escape(step_line(language, done))}</b>{escape(off)}</li>")
    where = f"<pre class='tri-raw'>{escape(_replay(dataset))}</pre>" if with_paths else ""
    return f'<ol class="tri-log">{"".join(lines)}</ol>{where}'


def _replay(dataset: Dataset) -> str:
    return (
        f"python -m workbench data replay {dataset.folder / 'dataset.json'} "
        f"--input FILE --name {dataset.name}-again"
    )


def step_line(language: str, done: Done) -> str:
    """One step with what it did, in a line."""
    kind = say(language, f"step.{done.step.kind}")
    detail = _details(done)
    did = say(language, "log.did", touched=f"{done.touched:,}", kept=f"{done.kept:,}")
    return f"{kind}{f' ({detail})' if detail else ''}: {did}"


def _details(done: Done) -> str:
    step = done.step
    names = ("where", "search", "method", "threshold", "rule", "other", "row", "decision", "rating")
    values = {name: getattr(step, name, None) for name in names}
    if step.kind == "decide" and getattr(step, "where", None):
        values["where"] = " AND ".join(getattr(step, "where", ()))
    if step.kind == "switch":
        values = {"step": getattr(step, "step", 0), "on": getattr(step, "on", True)}
    return ", ".join(
        f"{name} {value}" for name, value in values.items() if value not in (None, "", ())
    )
