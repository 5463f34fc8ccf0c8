"""A scorecard as a page that can be sent to somebody: HTML in one file, Markdown, or JSON.

The HTML asks nothing of the network, opens on a phone and prints. Every word that comes from a
model, a person or a file is escaped. This module does not know how anything was measured.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from html import escape
from pathlib import Path
from typing import Any, Literal

import yaml

from workbench import __version__
from workbench.compare.columns import SHARES, Cell, Column, ColumnName, Measures
from workbench.compare.continuation import Written
from workbench.compare.history import versions
from workbench.compare.picture import Dot, dots
from workbench.compare.scorecard import Scorecard
from workbench.events import readable
from workbench.models.device import device

WORDS = Path(__file__).resolve().parents[2] / "assets" / "words"
LANGUAGES = ("en", "zh-TW", "zh-CN")
ReportFormat = Literal["html", "md", "json"]
FORMATS: tuple[ReportFormat, ...] = ("html", "md", "json")
Say = Callable[..., str]
"""A key under ``card.`` and its facts to a sentence in one language."""
MOST_ANSWERS = 12


def report(card: Scorecard, form: ReportFormat, language: str = "en") -> str:
    """The card in one of ``FORMATS``; words in one of ``LANGUAGES``, others are English."""
    if form == "json":
        return json.dumps(document(card), ensure_ascii=False, indent=2)
    say = words(language)
    return _page(card, say, language) if form == "html" else _markdown(card, say)


def words(language: str) -> Say:
    """What the report says, from the same files as the page."""
    known = _words(language if language in LANGUAGES else "en")

    def say(key: str, **facts: Any) -> str:
        return known[key].format(**facts)

    return say


@functools.cache
def _words(language: str) -> dict[str, str]:
    def read(room: str) -> Any:
        return yaml.safe_load((WORDS / language / f"{room}.yaml").read_text("utf-8"))

    registers = {f"register.{name}": text for name, text in read("common")["register"].items()}
    return {**_flat(read("scorecard")["card"]), **registers}


def _flat(tree: dict[str, Any], above: str = "") -> dict[str, str]:
    flat: dict[str, str] = {}
    for key, value in tree.items():
        name = f"{above}{key}"
        flat.update(_flat(value, f"{name}.") if isinstance(value, dict) else {name: str(value)})
    return flat


def document(card: Scorecard) -> dict[str, Any]:
    """Everything of a card as one JSON document."""
    request = card.request
    return {
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "settings": {
            "text": {
                "name": request.text.name,
                "sha256": request.text.sha256,
                "documents": len(request.text.documents),
                "characters": request.text.characters,
            },
            "register": request.register,
            "prompts": list(request.prompts),
            "writing": asdict(request.writing),
        },
        "columns": [
            {
                "name": column.name,
                "verdict": column.verdict,
                "best": column.best,
                "winner": column.winner,
                "cells": [asdict(cell) for cell in column.cells],
            }
            for column in card.columns
        ],
        "models": [_figures(one) for one in card.measured],
        "versions": {"trilogy": __version__, **versions()},
        "device": device(),
    }


def _figures(one: Measures) -> dict[str, Any]:
    return {
        "model": one.model,
        "precision": one.precision,
        "fingerprint": one.fingerprint,
        "fluency": one.fluency.figures() if one.fluency else None,
        "probes": [found.figures() for found in one.probes.values()],
        "writing": [
            {
                "prompt": written.place.prompt,
                "sample": written.place.sample,
                "text": written.text,
                "register": written.register,
            }
            for written in one.writing
        ],
        "failures": list(one.failures),
    }


def shown(name: ColumnName, value: float | None) -> str:
    """A figure as it is written in a cell."""
    if value is None:
        return "–"
    if name in SHARES:
        return f"{value * 100:.0f}%"
    if name == "memory":
        return readable(value)
    return f"{value:.1f}" if name == "speed" else f"{value:.2f}"


def verdict(column: Column, card: Scorecard, say: Say) -> str:
    """One sentence for a column: who wins, or why nobody does."""
    labels = {one.model: one.label for one in card.measured}
    return say(f"verdict.{column.verdict}", model=labels.get(column.best or "", ""))


def table(card: Scorecard, say: Say) -> str:
    """Qualities down, models across: a card of three models still fits on a phone."""
    head = "".join(f'<th scope="col">{escape(one.label)}</th>' for one in card.measured)
    body = "".join(_line(column, card, say) for column in card.columns)
    return (
        f'<div class="tri-scroll"><table class="tri-scorecard"><thead><tr><th></th>{head}'
        f'<th scope="col" class="wide">{escape(say("winner"))}</th></tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )


def _line(column: Column, card: Scorecard, say: Say) -> str:
    cells = "".join(_cell(column, cell) for cell in column.cells)
    tip = say(f"tip.{column.name}", text=card.request.text.name, register=_register(card, say))
    said = escape(verdict(column, card, say))
    return (
        f'<tr data-column="{column.name}"><th scope="row">{escape(say(f"column.{column.name}"))}'
        f"<small>{escape(tip)}</small><small class='narrow'>{said}</small></th>{cells}"
        f'<td class="wide">{said}</td></tr>'
    )


def _register(card: Scorecard, say: Say) -> str:
    return say(f"register.{card.request.register}")


def _cell(column: Column, cell: Cell) -> str:
    kind = ' class="best"' if cell.model == column.winner else ""
    interval = _interval(column.name, cell)
    small = f"<small>{escape(interval)}</small>" if interval else ""
    return (
        f'<td data-model="{escape(cell.model)}"{kind}><b>{shown(column.name, cell.value)}</b>'
        f"{small}</td>"
    )


def _interval(name: ColumnName, cell: Cell) -> str:
    if cell.low is None or cell.high is None:
        return ""
    return f"{shown(name, cell.low)} … {shown(name, cell.high)}"


def pictures(card: Scorecard, say: Say) -> str:
    """One small picture for each column in which something was measured."""
    drawn = "".join(_picture(column, card, say) for column in card.columns)
    return f'<div class="tri-pictures">{drawn}</div>'


def _picture(column: Column, card: Scorecard, say: Say) -> str:
    found = [
        Dot(one.label, cell.value, cell.low, cell.high, number)
        for number, (one, cell) in enumerate(zip(card.measured, column.cells, strict=True))
        if cell.value is not None
    ]
    if not found:
        return ""
    title = say(f"column.{column.name}")
    high = 1.0 if column.name in SHARES else max(dot.value for dot in found) * 1.05
    svg = dots(title, found, 0.0, high, functools.partial(shown, column.name))
    better = say("less" if column.name in ("fluency", "memory") else "more")
    return (
        f"<figure><figcaption><b>{escape(title)}</b> <small>{escape(better)}</small></figcaption>"
        f"{svg}</figure>"
    )


def answers(card: Scorecard, say: Say) -> str:
    """What each model wrote to the same beginnings, a dozen of them."""
    parts = []
    for number, prompt in enumerate(card.request.prompts[:MOST_ANSWERS]):
        columns = "".join(_written(one, number, say) for one in card.measured)
        if columns:
            parts.append(
                f'<section><h4>{escape(prompt)}</h4><div class="tri-columns">{columns}</div>'
                "</section>"
            )
    return "".join(parts)


def _written(one: Measures, number: int, say: Say) -> str:
    found = _first(one.writing, number)
    if found is None:
        return ""
    text = escape(found.text).replace("\n", "<br>")
    kind = escape(say(f"register.{found.register}"))
    return (
        f'<article class="tri-sample"><h5>{escape(one.label)}</h5><p>{text}</p>'
        f"<footer><span>{kind}</span></footer></article>"
    )


def _first(writing: Sequence[Written], number: int) -> Written | None:
    return next((one for one in writing if one.place.prompt == number), None)


def settings(card: Scorecard, say: Say) -> list[tuple[str, str]]:
    """Everything needed to make the card again, as names and values."""
    request = card.request
    models = [
        (
            one.model,
            f"{one.precision} · #{one.fingerprint[:12]}" if one.fingerprint else one.precision,
        )
        for one in card.measured
    ]
    asked = {name: len(found.items) for one in card.measured for name, found in one.probes.items()}
    sets = ", ".join(f"{name} ({count})" for name, count in asked.items())
    text = request.text
    return [
        *models,
        (say("setting.text"), f"{text.name} · {len(text.documents)} · sha256 {text.sha256[:16]}"),
        (say("setting.sets"), sets or "–"),
        (say("setting.register"), _register(card, say)),
        (
            say("setting.writing"),
            ", ".join(f"{key} {value}" for key, value in asdict(request.writing).items()),
        ),
        (say("setting.device"), device()),
        (
            say("setting.versions"),
            ", ".join(f"{k} {v}" for k, v in {"trilogy": __version__, **versions()}.items()),
        ),
        (say("setting.created"), datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")),
    ]


def _failures(card: Scorecard) -> list[str]:
    return [f"{one.label}: {sentence}" for one in card.measured for sentence in one.failures]


def _page(card: Scorecard, say: Say, language: str) -> str:
    title = escape(f"{say('title')}: {' · '.join(one.label for one in card.measured)}")
    failed = "".join(f"<p class='failed'>{escape(one)}</p>" for one in _failures(card))
    facts = "".join(
        f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in settings(card, say)
    )
    notes = "".join(f"<li>{escape(say(f'note.{name}'))}</li>" for name in NOTES)
    written = answers(card, say)
    beside = f"<h2>{escape(say('answers'))}</h2>{written}" if written else ""
    return (
        f'<!doctype html><html lang="{escape(language)}"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{title}</title><style>{STYLE}</style></head><body><main><h1>{title}</h1>{failed}"
        f"{table(card, say)}<h2>{escape(say('charts'))}</h2>{pictures(card, say)}"
        f"<h2>{escape(say('reading'))}</h2><ul>{notes}</ul>{beside}"
        f"<h2>{escape(say('settings'))}</h2><dl>{facts}</dl></main></body></html>"
    )


NOTES = ("winner", "base", "likelihood", "speed")
"""What one may and may not conclude, in this order."""

STYLE = """
:root { color-scheme: light; }
* { box-sizing: border-box; }
body { margin: 0; background: #fbf9f4; color: #22302a; line-height: 1.55;
  font: 15px/1.55 system-ui, "PingFang HK", "Noto Sans HK", "Microsoft JhengHei", sans-serif; }
main { max-width: 940px; margin: 0 auto; padding: 22px 16px 48px; }
h1 { font-size: 1.35rem; line-height: 1.3; overflow-wrap: anywhere; }
h2 { font-size: 1.1rem; margin: 30px 0 10px; }
h4 { margin: 18px 0 6px; } h5 { margin: 0 0 4px; font-size: .85rem; color: #1c6f53; }
.tri-scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-size: .92rem; background: #fff; }
th, td { text-align: left; vertical-align: top; padding: 8px 10px; border: 1px solid #e3ddd0;
  font-variant-numeric: tabular-nums; }
thead th { background: #f2eee4; overflow-wrap: anywhere; min-width: 84px; }
th small, td small { display: block; font-weight: 400; color: #6b756f; font-size: .78rem; }
td.best { background: #dff0e6; } td.best b::after { content: " ★"; color: #1c6f53; }
.tri-pictures { display: grid; gap: 8px 26px;
  grid-template-columns: repeat(auto-fill, minmax(min(270px, 100%), 1fr)); }
figure { margin: 0; break-inside: avoid; } svg { width: 100%; height: auto; display: block; }
figcaption small { color: #6b756f; }
.tri-columns { display: grid; gap: 10px;
  grid-template-columns: repeat(auto-fit, minmax(min(230px, 100%), 1fr)); }
article { background: #fff; border: 1px solid #e3ddd0; border-radius: 8px; padding: 9px 12px;
  break-inside: avoid; }
article p { margin: 0; overflow-wrap: anywhere; } footer { font-size: .78rem; color: #6b756f; }
dl { display: grid; grid-template-columns: minmax(90px, max-content) 1fr; gap: 4px 14px;
  font-size: .85rem; } dt { color: #6b756f; overflow-wrap: anywhere; }
dd { margin: 0; overflow-wrap: anywhere; } .failed { color: #a8322a; }
th small.narrow { display: none; color: #1c6f53; }
@media (max-width: 600px) { th small, .wide { display: none; } th, td { padding: 6px 7px; }
  th small.narrow { display: block; } }
@media print { body { background: #fff; } main { max-width: none; padding: 0; }
  h2 { break-after: avoid; } tr, section { break-inside: avoid; } }
"""


def _markdown(card: Scorecard, say: Say) -> str:
    head = ["", *(_plain(one.label) for one in card.measured), say("winner")]
    lines = [f"# {say('title')}", "", _row(head), _row(["---"] * len(head))]
    for column in card.columns:
        cells = [
            " ".join(filter(None, [shown(column.name, cell.value), _bracketed(column.name, cell)]))
            for cell in column.cells
        ]
        name = say(f"column.{column.name}")
        lines.append(_row([name, *cells, _plain(verdict(column, card, say))]))
    lines += ["", *(f"> {_plain(one)}" for one in _failures(card))]
    lines += ["", f"## {say('reading')}", "", *(f"- {say(f'note.{name}')}" for name in NOTES)]
    lines += ["", f"## {say('answers')}", ""]
    for number, prompt in enumerate(card.request.prompts[:MOST_ANSWERS]):
        lines += [f"**{_plain(prompt)}**", ""]
        for one in card.measured:
            if found := _first(one.writing, number):
                lines.append(f"- {_plain(one.label)}: {_plain(found.text)}")
        lines.append("")
    lines += [f"## {say('settings')}", ""]
    lines += [f"- {_plain(name)}: {_plain(value)}" for name, value in settings(card, say)]
    return "\n".join(lines) + "\n"


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _bracketed(name: ColumnName, cell: Cell) -> str:
    interval = _interval(name, cell)
    return f"({interval})" if interval else ""


def _plain(text: str) -> str:
    """One line in which Markdown and HTML mean nothing."""
    joined = " ".join(text.split())
    for sign in "\\`*_[]<>|#":
        joined = joined.replace(sign, f"\\{sign}")
    return joined
