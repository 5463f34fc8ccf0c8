"""How well a person and a teacher agree, as a picture. Knows HTML, not how ratings are kept."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from tabs._shared import notice
from tabs._words import say
from workbench.prompts import job, judging, store
from workbench.prompts.agreement import (
    ENOUGH,
    Agreement,
    Estimate,
    Sway,
    Threshold,
    agreement,
)
from workbench.workspace import Workspace


def picture(language: str, name: str, workspace: Workspace) -> str:
    """Agreement over the rows that both have seen; until then, what is missing."""
    given = judging.ratings(name, workspace)
    scores = {row: one["score"] for row, one in judging.scores(name, workspace).items()}
    if not scores:
        return notice("info", say(language, "judge.no_scores"))
    if not given.keys() & scores.keys():
        return notice("info", say(language, "judge.rate_first"))
    folder = job.find(name, workspace)
    lengths = {
        str(row["id"]): len(str(row["messages"][-1]["content"]))
        for row in store.lines(folder / store.ROWS)
        if row.get("messages")
    }
    return drawn(language, agreement(given, scores, lengths))


def drawn(language: str, found: Agreement) -> str:
    """Figures with their intervals, the confusion, and what each threshold would keep."""
    more = ""
    if not found.enough:
        more = notice("info", say(language, "judge.more", count=found.missing))
    figures = [
        ("kappa", _estimate(found.kappa), say(language, "judge.kappa_info")),
        ("bias", _estimate(found.bias, "{:+.2f}"), ""),
        ("equal", f"{found.equal:.0%}", ""),
        ("near", f"{found.near:.0%}", ""),
    ]
    if found.length_sway is not None:
        figures.append(("length", _estimate(found.length_sway, "{:+.2f}"), ""))
    listed = "".join(
        f"<li><span>{escape(say(language, f'judge.{name}'))}</span> <b>{value}</b> "
        f"<small>{escape(info)}</small></li>"
        for name, value, info in figures
    )
    matrix = _matrix(language, found.confusion)
    return f'{more}<ul class="tri-figures">{listed}</ul>{matrix}{_lines(language, found)}'


def order_view(language: str, found: Sway | None) -> str:
    """What being shown first is worth, from pairs that were scored in both orders."""
    if found is None:
        return ""
    value = say(language, "judge.order_points", value=_estimate(found.first, "{:+.2f}"))
    figures = [("order_first", value), ("order_flipped", f"{found.flipped:.0%}")]
    listed = "".join(
        f"<li><span>{escape(say(language, f'judge.{name}'))}</span> <b>{told}</b></li>"
        for name, told in figures
    )
    if not found.enough:
        said = say(language, "judge.order_more", enough=ENOUGH)
    else:
        key = "judge.order_clear" if found.first.is_clear else "judge.order_unclear"
        said = say(language, key)
    pairs = say(language, "judge.order_pairs", pairs=found.pairs)
    return (
        f'<ul class="tri-figures">{listed}</ul><p class="tri-quiet">{escape(pairs)}</p>'
        f'<p class="tri-verdict">{escape(said)}</p>'
    )


def _estimate(found: Estimate, form: str = "{:.2f}") -> str:
    if found.value is None:
        return "–"
    if found.low is None or found.high is None:
        return form.format(found.value)
    between = f"{form.format(found.low)} – {form.format(found.high)}"
    return f"{form.format(found.value)} <small>({between})</small>"


def _matrix(language: str, confusion: Sequence[Sequence[int]]) -> str:
    """The person's ratings against the teacher's scores, as a table of counts."""
    most = max((count for row in confusion for count in row), default=0) or 1
    head = "".join(f"<th>{judging.LOWEST + place}</th>" for place in range(len(confusion)))
    body = "".join(
        f"<tr><th>{judging.LOWEST + mine}</th>"
        + "".join(
            f'<td style="--share:{count / most:.2f}" class="{"same" if mine == theirs else ""}">'
            f"{count or ''}</td>"
            for theirs, count in enumerate(row)
        )
        + "</tr>"
        for mine, row in enumerate(confusion)
    )
    caption = escape(say(language, "judge.matrix"))
    return (
        f'<table class="tri-matrix"><caption>{caption}</caption><thead><tr><th></th>{head}</tr>'
        f"</thead><tbody>{body}</tbody></table>"
    )


def _lines(language: str, found: Agreement) -> str:
    heads = [say(language, f"judge.column_{one}") for one in ("at", "kept", "good", "recall")]
    head = "".join(f"<th>{escape(one)}</th>" for one in heads)
    body = "".join(_line(heads, one) for one in found.thresholds)
    return (
        f'<div class="tri-scroll"><table class="tri-table"><thead><tr>{head}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )


def _line(heads: Sequence[str], found: Threshold) -> str:
    good = "–"
    if found.precision is not None and found.low is not None and found.high is not None:
        good = f"{found.precision:.0%} <small>({found.low:.0%} – {found.high:.0%})</small>"
    cells = (
        f"{found.at:g}",
        f"{found.kept:,}",
        good,
        "–" if found.recall is None else f"{found.recall:.0%}",
    )
    inner = "".join(
        f'<td data-label="{escape(name)}">{cell}</td>'
        for name, cell in zip(heads, cells, strict=True)
    )
    return f"<tr>{inner}</tr>"
