"""Answers to probes as HTML: totals with intervals, and one row a question.

Pure functions: a language and results in, text out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

from tabs._words import say
from workbench.compare.columns import Answered
from workbench.compare.paired import ENOUGH_ITEMS, paired, share
from workbench.models.reference import ModelReference


@dataclass(frozen=True)
class Asked:
    """One question as the page shows it."""

    item: str
    topic: str
    language: str
    question: str
    right: str
    others: tuple[str, ...] = ()
    """The wrong options, none where the answer is written freely."""
    reason: str = ""


Answers = Mapping[str, Mapping[str, Answered]]
"""Model to item to answer."""


def totals_view(language: str, title: str, asked: Sequence[Asked], answers: Answers) -> str:
    """One bar a model with its interval, and a sentence on whether they can be told apart."""
    bars = "".join(_bar(language, model, asked, answers[model]) for model in answers)
    return (
        f'<section class="tri-totals"><h4>{escape(title)}</h4>{bars}'
        f'<p class="tri-verdict">{escape(_verdict(language, asked, answers))}</p></section>'
    )


def _bar(language: str, model: str, asked: Sequence[Asked], found: Mapping[str, Answered]) -> str:
    scores = [found[one.item].score for one in asked if one.item in found]
    if not scores:
        return ""
    mean, low, high = share(scores)
    counted = say(
        language,
        "probing.counted",
        right=f"{sum(scores):g}",
        count=len(scores),
        low=f"{low * 100:.0f}",
        high=f"{high * 100:.0f}",
    )
    return (
        f'<div class="tri-share" data-model="{escape(model)}">'
        f"<span>{escape(_label(model))}</span><span class='tri-share-track'>"
        f'<i style="width:{mean * 100:.1f}%"></i>'
        f'<u style="left:{low * 100:.1f}%;width:{(high - low) * 100:.1f}%"></u></span>'
        f"<b>{mean * 100:.0f}%</b><small>{escape(counted)}</small></div>"
    )


def _verdict(language: str, asked: Sequence[Asked], answers: Answers) -> str:
    """Whether the best is clearly better than the second, over the same questions."""
    shared = [one.item for one in asked if all(one.item in found for found in answers.values())]
    if len(answers) < 2 or not shared:
        return ""
    scores = {model: [found[item].score for item in shared] for model, found in answers.items()}
    first, second, *_ = sorted(scores, key=lambda model: -sum(scores[model]))
    gap = paired(scores[first], scores[second])
    names = {"model": _label(first), "other": _label(second)}
    if gap.low is None:
        return say(language, "probing.few", count=len(shared), enough=ENOUGH_ITEMS)
    if not gap.is_clear:
        return say(language, "probing.unclear", **names)
    return say(language, "probing.clear", **names, points=f"{gap.value * 100:.0f}")


def disagreed(one: Asked, answers: Answers) -> bool:
    """Whether one model was right where another was wrong."""
    scores = {round(found[one.item].score) for found in answers.values() if one.item in found}
    return len(scores) > 1


def questions_view(
    language: str, asked: Sequence[Asked], answers: Answers, only_apart: bool
) -> str:
    """One row a question: the right answer marked, each model's answer right or wrong."""
    shown = [one for one in asked if not only_apart or disagreed(one, answers)]
    if not shown:
        return f'<p class="tri-quiet">{escape(say(language, "probing.agree"))}</p>'
    names = [escape(_label(model)) for model in answers]
    head = "".join(f'<th scope="col">{name}</th>' for name in names)
    body = "".join(_row(one, answers, names) for one in shown)
    counted = say(language, "probing.shown", count=len(shown), total=len(asked))
    return (
        f'<p class="tri-quiet">{escape(counted)}</p><table class="tri-questions"><thead><tr>'
        f'<th scope="col">{escape(say(language, "probing.question"))}</th>{head}</tr></thead>'
        f"<tbody>{body}</tbody></table>"
    )


def _row(one: Asked, answers: Answers, names: Sequence[str]) -> str:
    cells = "".join(
        _answer(found.get(one.item), name)
        for found, name in zip(answers.values(), names, strict=True)
    )
    options = "".join(f"<li>{escape(option)}</li>" for option in one.others)
    tip = f' data-tip="{escape(one.reason)}" tabindex="0"' if one.reason else ""
    return (
        f'<tr data-item="{escape(one.item)}"><td><small>{escape(one.item)} · '
        f"{escape(one.topic)}</small><p>{escape(one.question)}</p>"
        f'<ul><li class="right"{tip}>✓ {escape(one.right)}</li>{options}</ul></td>{cells}</tr>'
    )


def _answer(found: Answered | None, name: str) -> str:
    if found is None:
        return f'<td data-label="{name}">–</td>'
    kind, mark = ("right", "✓") if found.score >= 0.5 else ("wrong", "✗")
    partly = f" {found.score * 100:.0f}%" if 0 < found.score < 1 else ""
    return (
        f'<td data-label="{name}" class="{kind}"><span><b>{mark}{partly}</b> '
        f"{escape(found.said)}</span></td>"
    )


def _label(model: str) -> str:
    return ModelReference.parse(model).label
