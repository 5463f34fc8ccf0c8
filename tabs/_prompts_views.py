"""How a reply, its autopsy, a meter and a comparison are drawn. Knows HTML, not how they came."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from html import escape
from typing import Any

from tabs._shared import notice
from tabs._words import say
from workbench.intervals import Difference
from workbench.prompts.autopsy import Verdict
from workbench.prompts.runs import Run
from workbench.prompts.template import Template, changes
from workbench.prompts.versus import Side, Versus

MOST_RAW = 30_000
MOST_ITEMS = 60
SHOWN_CHARACTERS = 420


def side_by_side(language: str, raw: str, verdicts: Sequence[Verdict], live: bool = False) -> str:
    """The reply as it came, and beside it what became of each item."""
    left = f'<pre class="tri-raw">{marked(raw, verdicts)}{"<i></i>" if live else ""}</pre>'
    right = "".join(_card(language, one) for one in verdicts[:MOST_ITEMS])
    if len(verdicts) > MOST_ITEMS:
        more = say(language, "prompts.more_items", count=f"{len(verdicts) - MOST_ITEMS:,}")
        right += f'<p class="tri-quiet">{escape(more)}</p>'
    if not right:
        right = f'<p class="tri-quiet">{escape(say(language, "prompts.no_items"))}</p>'
    heads = [escape(say(language, f"prompts.{one}")) for one in ("raw", "autopsy")]
    return (
        f'<div class="tri-columns tri-autopsy"><section><h5>{heads[0]}</h5>{left}</section>'
        f"<section><h5>{heads[1]}</h5>{right}</section></div>"
    )


def marked(raw: str, verdicts: Iterable[Verdict]) -> str:
    """The raw reply, items coloured by what became of them, the deciding characters marked."""
    parts, reached = [], 0
    for one in sorted(verdicts, key=lambda verdict: verdict.item.start):
        start, end = max(one.item.start, reached), min(one.item.end, MOST_RAW)
        if end <= start:
            continue
        parts.append(escape(raw[reached:start]))
        kind = "kept" if one.kept else "dropped"
        inner = escape(raw[start:end])
        narrow = (one.start, one.end) != (one.item.start, one.item.end)
        if not one.kept and narrow and start <= one.start < one.end <= end:
            inner = (
                f"{escape(raw[start : one.start])}<mark>{escape(raw[one.start : one.end])}</mark>"
                f"{escape(raw[one.end : end])}"
            )
        parts.append(f'<span class="tri-item-{kind}">{inner}</span>')
        reached = end
    parts.append(escape(raw[reached:MOST_RAW]))
    return "".join(parts) + ("…" if len(raw) > MOST_RAW else "")


def _card(language: str, verdict: Verdict) -> str:
    item = verdict.item
    state = "kept" if verdict.kept else "dropped"
    head = escape(say(language, f"prompts.{state}"))
    register = ""
    if verdict.register:
        name = escape(say(language, f"register.{verdict.register}"))
        register = f'<span class="tri-register {verdict.register}">{name}</span>'
    why = ""
    if verdict.reason is not None:
        why = f'<p class="tri-drops">{escape(reason(language, verdict))}</p>'
    body = "".join(
        f"<p><b>{escape(say(language, f'prompts.part_{part}'))}</b> {_short(text)}</p>"
        for part, text in (
            ("instruction", item.instruction),
            ("input", item.input),
            ("output", item.output if not item.turns else ""),
        )
        if text
    )
    body += "".join(
        f"<p><b>{escape(say(language, f'role.{role}'))}</b> {_short(text)}</p>"
        for role, text in item.turns
    )
    body += "".join(f"<p><b>{escape(name)}</b> {value:g}</p>" for name, value in item.scores)
    return (
        f'<article class="tri-found tri-found-{state}"><header><b>{item.number or ""}</b>'
        f'<span class="tri-verdict-{state}">{head}</span>{register}</header>{why}{body}</article>'
    )


def _short(text: str) -> str:
    cut = text if len(text) <= SHOWN_CHARACTERS else text[: SHOWN_CHARACTERS - 1] + "…"
    return escape(cut)


def reason(language: str, verdict: Verdict) -> str:
    """Why an item was dropped, in one sentence."""
    found = verdict.reason
    assert found is not None
    fact = found.fact if len(found.fact) <= 60 else found.fact[:59] + "…"
    part = say(language, f"prompts.part_{found.part}")
    return say(language, f"rule.{found.rule}", fact=fact, near=found.near, part=part)


def tally(language: str, kept: int, dropped: dict[str, int]) -> str:
    """How many were kept and dropped, by rule, as bars that fit a phone."""
    whole = max(1, kept + sum(dropped.values()))
    lines = [("kept", say(language, "prompts.kept"), kept)]
    lines += [
        ("dropped", say(language, f"rule_name.{rule}"), count)
        for rule, count in sorted(dropped.items(), key=lambda pair: -pair[1])
    ]
    bars = "".join(
        f'<div class="tri-bar"><span class="tri-bar-name">{escape(name)}</span>'
        f'<div class="tri-bar-track"><i class="{"best" if kind == "kept" else ""}" '
        f'style="width:{100 * count / whole:.1f}%"></i></div><b>{count:,}</b></div>'
        for kind, name, count in lines
        if count or kind == "kept"
    )
    return f'<figure class="tri-bars">{bars}</figure>'


def money(language: str, value: float | None) -> str:
    """Dollars, with as many places as they need."""
    if value is None:
        return say(language, "prompts.no_price")
    return f"${value:,.2f}" if value >= 1 else f"${value:.4f}"


def duration(language: str, seconds: float | None) -> str:
    """Seconds, minutes or hours."""
    if seconds is None or math.isinf(seconds):
        return "–"
    if seconds < 90:
        return say(language, "prompts.seconds", count=f"{seconds:.0f}")
    if seconds < 5400:
        return say(language, "prompts.minutes", count=f"{seconds / 60:.0f}")
    return say(language, "prompts.hours", count=f"{seconds / 3600:.1f}")


def meter(language: str, run: Run, weather: str = "") -> str:
    """A run in figures: where it is, what it cost, what the rest will take."""
    shown = run.meter
    target = run.recipe.rows if run.recipe else 0
    status = escape(say(language, f"status.{run.status}"))
    why = f" · {escape(say(language, f'ending.{run.why}'))}" if run.why else ""
    share = min(1.0, shown.kept / target) if target else 0.0
    rows = f"{shown.kept:,} / {target:,}" if target else f"{shown.kept:,}"
    head = (
        f'<div class="tri-run"><b>{escape(run.name)}</b>'
        f'<span class="tri-status {run.status}">{status}{why}</span></div>'
        f'<div class="tri-progress"><div class="tri-progress-words">'
        f"{escape(say(language, 'prompts.rows_kept'))} <b>{rows}</b></div>"
        f'<div class="tri-track"><i style="width:{100 * share:.1f}%"></i></div></div>'
    )
    per_dollar = "–" if not shown.rows_per_dollar else f"{shown.rows_per_dollar:,.0f}"
    figures = [
        ("requests", f"{shown.requests:,}"),
        ("tokens", f"{shown.tokens_in:,} + {shown.tokens_out:,}"),
        ("money", money(language, shown.money)),
        ("per_dollar", per_dollar),
        ("yield", "–" if shown.yielded is None else f"{shown.yielded:.0%}"),
    ]
    if run.status in ("running", "queued") and target:
        figures.append(("left", duration(language, run.left["seconds"])))
        if run.left["money"]:
            figures.append(("left_money", money(language, run.left["money"])))
    table = "".join(
        f"<li><span>{escape(say(language, f'prompts.figure_{name}'))}</span> <b>{value}</b></li>"
        for name, value in figures
    )
    outcomes = " · ".join(
        f"{say(language, f'outcome.{name}')} {count:,}"
        for name, count in shown.outcomes.most_common()
    )
    said = notice("warning", weather) if weather else ""
    failed = notice("error", run.sentence) if run.sentence else ""
    drops = tally(language, shown.kept, dict(shown.dropped)) if shown.requests else ""
    return (
        f'{head}{failed}{said}<ul class="tri-figures">{table}</ul>'
        f'<p class="tri-quiet">{escape(outcomes)}</p>{drops}'
    )


def difference(language: str, before: Template, after: Template) -> str:
    """The lines in which two versions differ."""
    kinds = {"same": ("same", " "), "out": ("out", "−"), "in": ("in", "+")}
    lines = "".join(
        f'<span class="tri-line-{kinds[kind][0]}">{kinds[kind][1]} {escape(text)}</span>\n'
        for kind, text in changes(before, after)
    )
    title = say(language, "prompts.from_to", before=before.label, after=after.label)
    return f'<p class="tri-quiet">{escape(title)}</p><pre class="tri-raw">{lines}</pre>'


def versus(language: str, found: Versus) -> str:
    """Two versions, with intervals, or that it is not enough yet."""
    heads = ("prompt", "requests", "kept_of", "share", "cantonese", "price")
    head = "".join(f"<th>{escape(say(language, f'versus.{one}'))}</th>" for one in heads)
    body = "".join(_side(language, one, heads) for one in (found.one, found.other))
    table = (
        f'<div class="tri-scroll"><table class="tri-table"><thead><tr>{head}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )
    if not found.enough:
        text = say(language, "versus.not_enough", pairs=found.pairs)
        return table + notice("info", text)
    lines = [
        say(language, "versus.apart_kept", **_apart(found.kept, "{:+.1%}")),
        say(language, "versus.apart_cantonese", **_apart(found.cantonese, "{:+.1%}")),
    ]
    if not math.isnan(found.price.value):
        lines.append(say(language, "versus.apart_price", **_apart(found.price, "{:+.6f}")))
    clear = [found.kept.is_clear, found.cantonese.is_clear, found.price.is_clear]
    verdict = say(language, "versus.clear" if any(clear) else "versus.unclear")
    items = "".join(f"<li>{escape(line)}</li>" for line in lines)
    return f'{table}<p class="tri-verdict">{escape(verdict)}</p><ul class="tri-log">{items}</ul>'


def _apart(found: Difference, form: str) -> dict[str, str]:
    parts = {"value": found.value, "low": found.low, "high": found.high}
    return {
        name: "–" if value is None or math.isnan(value) else form.format(value)
        for name, value in parts.items()
    }


def _side(language: str, side: Side, heads: Sequence[str]) -> str:
    low, high = side.kept_interval
    yue_low, yue_high = side.cantonese_interval
    share = side.kept / side.items if side.items else 0.0
    yue = side.cantonese / side.kept if side.kept else 0.0
    price = None if side.money is None or not side.kept else side.money / side.kept
    cells = [
        escape(side.prompt),
        f"{side.requests:,}",
        f"{side.kept:,} / {side.items:,}",
        f"{share:.0%} <small>({low:.0%}–{high:.0%})</small>",
        f"{yue:.0%} <small>({yue_low:.0%}–{yue_high:.0%})</small>",
        "–" if not side.kept else money(language, price),
    ]
    return _row([say(language, f"versus.{name}") for name in heads], cells)


def _row(names: Sequence[str], cells: Sequence[str]) -> str:
    """A line of a table; on a phone every cell says its own name."""
    inner = "".join(
        f'<td data-label="{escape(name)}">{cell}</td>'
        for name, cell in zip(names, cells, strict=True)
    )
    return f"<tr>{inner}</tr>"


def listing(language: str, runs: Sequence[Any]) -> str:
    """The runs as a table."""
    if not runs:
        return notice("info", say(language, "prompts.no_runs"))
    heads = ("run", "status", "prompt", "teacher", "rows", "money")
    head = "".join(f"<th>{escape(say(language, f'prompts.column_{one}'))}</th>" for one in heads)
    lines = []
    for one in runs:
        cells = [
            one.name, say(language, f"status.{one.status}"),
            one.recipe.template.label if one.recipe else "?",
            one.recipe.teacher.label if one.recipe else "?",
            f"{one.meter.kept:,}", money(language, one.meter.money),
        ]  # fmt: skip
        named = [say(language, f"prompts.column_{head}") for head in heads]
        lines.append(_row(named, [escape(cell) for cell in cells]))
    return (
        f'<div class="tri-scroll"><table class="tri-table"><thead><tr>{head}</tr></thead>'
        f"<tbody>{''.join(lines)}</tbody></table></div>"
    )
