"""Answers to probes as HTML: totals with intervals, and one row a question.

Pure functions: a language and results in, text out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from html import escape

from tabs._words import say
from workbench.compare.paired import ENOUGH_ITEMS, paired, share
from workbench.compare.probes.items import Choice, Item, Pair, Suspect
from workbench.compare.probes.results import ItemResult, ProbeResult
from workbench.models.reference import ModelReference

Answers = Mapping[str, Mapping[str, ItemResult]]
"""Model to item to answer."""


def totals_view(language: str, title: str, asked: Sequence[Item], answers: Answers) -> str:
    """One bar a model with its interval, and a sentence on whether they can be told apart."""
    bars = "".join(_bar(language, model, asked, answers[model]) for model in answers)
    seen = any(isinstance(one, Suspect) for one in asked)
    verdict = say(language, "probing.seen_note") if seen else _verdict(language, asked, answers)
    return (
        f'<section class="tri-totals"><h4>{escape(title)}</h4>{bars}'
        f'<p class="tri-verdict">{escape(verdict)}</p></section>'
    )


def _bar(language: str, model: str, asked: Sequence[Item], found: Mapping[str, ItemResult]) -> str:
    known = [found[one.id] for one in asked if one.id in found]
    if not known:
        return ""
    scores = [one.score for one in known]
    mean, low, high = share(scores)
    numbers = {"low": f"{low * 100:.0f}", "high": f"{high * 100:.0f}", "count": len(scores)}
    if known[0].familiarity:
        counted = say(language, "probing.familiar", **numbers)
    else:
        counted = say(language, "probing.counted", right=f"{sum(scores):g}", **numbers)
    below = "".join(
        f'<small class="topics">{escape(line)}</small>'
        for line in (*_topics(asked, found), *_other_ways(language, known))
    )
    return (
        f'<div class="tri-share" data-model="{escape(model)}">'
        f"<span>{escape(_label(model))}</span><span class='tri-share-track'>"
        f'<i style="width:{mean * 100:.1f}%"></i>'
        f'<u style="left:{low * 100:.1f}%;width:{(high - low) * 100:.1f}%"></u></span>'
        f"<b>{mean * 100:.0f}%</b><small>{escape(counted)}</small>{below}</div>"
    )


def _topics(asked: Sequence[Item], found: Mapping[str, ItemResult]) -> Iterator[str]:
    """Right of each topic: an average over all can hide that two of them lie far apart."""
    scores: dict[str, list[float]] = {}
    for one in asked:
        known = found.get(one.id)
        if known and one.topic and not known.familiarity:
            scores.setdefault(one.topic, []).append(known.score)
    if len(scores) > 1:
        told = (f"{topic} {sum(each):g}/{len(each)}" for topic, each in scores.items())
        yield " · ".join(told)


def _other_ways(language: str, known: Sequence[ItemResult]) -> Iterator[str]:
    """The same likelihoods compared otherwise, and what was written with its letters."""
    held = known[0].likelihoods
    result = ProbeResult("", "", "", "", "choice", tuple(known))
    if held:
        ways = {
            say(language, f"probing.scoring.{name}"): result.by(name).value
            for name in held.scorings
            if name != "raw"
        }
        yield " · ".join(f"{name} {value * 100:.0f}%" for name, value in ways.items())
    if result.letters or (held and result.written.count):
        written = result.written
        yield say(
            language,
            "probing.written",
            percent=f"{written.value * 100:.0f}",
            low=f"{written.low * 100:.0f}",
            high=f"{written.high * 100:.0f}",
            unreadable=result.unreadable,
            letters=" ".join(f"{letter} {count}" for letter, count in result.letters.items()),
        )


def _verdict(language: str, asked: Sequence[Item], answers: Answers) -> str:
    """Whether the best is clearly better than the second, over the same questions."""
    shared = [one.id for one in asked if all(one.id in found for found in answers.values())]
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


def disagreed(one: Item, answers: Answers) -> bool:
    """Whether one model was right where another was wrong."""
    scores = {round(found[one.id].score) for found in answers.values() if one.id in found}
    return len(scores) > 1


def questions_view(language: str, asked: Sequence[Item], answers: Answers, only_apart: bool) -> str:
    """One row a question: the right answer marked, each model's answer right or wrong."""
    shown = [one for one in asked if not only_apart or disagreed(one, answers)]
    if not shown:
        return f'<p class="tri-quiet">{escape(say(language, "probing.agree"))}</p>'
    names = [escape(_label(model)) for model in answers]
    head = "".join(f'<th scope="col">{name}</th>' for name in names)
    body = "".join(_row(language, one, answers, names) for one in shown)
    counted = say(language, "probing.shown", count=len(shown), total=len(asked))
    return (
        f'<p class="tri-quiet">{escape(counted)}</p><table class="tri-questions"><thead><tr>'
        f'<th scope="col">{escape(say(language, "probing.question"))}</th>{head}</tr></thead>'
        f"<tbody>{body}</tbody></table>"
    )


def _row(language: str, one: Item, answers: Answers, names: Sequence[str]) -> str:
    cells = "".join(
        _answer(language, found.get(one.id), name)
        for found, name in zip(answers.values(), names, strict=True)
    )
    options = "".join(f"<li>{escape(option)}</li>" for option in _wrong(one))
    # of a pair both texts stand below already
    question = "" if isinstance(one, Pair) else f"<p>{escape(one.asked)}</p>"
    tip = f' data-tip="{escape(one.reason)}" tabindex="0"' if one.reason else ""
    right = f'<li class="right"{tip}>✓ {escape(one.right)}</li>' if one.right else ""
    return (
        f'<tr data-item="{escape(one.id)}"><td><small>{escape(one.id)} · '
        f"{escape(one.topic)}</small>{question}"
        f"<ul>{right}{options}</ul></td>{cells}</tr>"
    )


def _wrong(one: Item) -> list[str]:
    if isinstance(one, Pair):
        return [one.worse]
    if isinstance(one, Choice):
        return [option for option in one.options if option != one.right]
    return []


def _answer(language: str, found: ItemResult | None, name: str) -> str:
    if found is None:
        return f'<td data-label="{name}">–</td>'
    if known := found.familiarity:
        copies = known.copies_per_character
        said = say(
            language,
            "probing.likelier",
            count=sum(one < known.per_character for one in copies),
            total=len(copies),
            min_k=f"{known.min_k:.2f}",
        )
        return f'<td data-label="{name}"><span>{escape(said)}</span></td>'
    kind, mark = ("right", "✓") if found.score >= 0.5 else ("wrong", "✗")
    partly = f" {found.score * 100:.0f}%" if 0 < found.score < 1 else ""
    return (
        f'<td data-label="{name}" class="{kind}"><span><b>{mark}{partly}</b> '
        f"{escape(found.said)}</span></td>"
    )


def _label(model: str) -> str:
    return ModelReference.parse(model).label
