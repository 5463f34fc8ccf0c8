"""Tokens in the Compare tab: the same text cut by each model's tokenizer."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape
from typing import Any

import gradio as gr

from tabs._compare_parts import run_and_stop, wire
from tabs._rules import rule
from tabs._shared import House, failed, guarded, notice, progress
from tabs._words import label, say
from workbench.compare.tokenizers import (
    LETTERS,
    MOST_CHARACTERS,
    TEXTS,
    Cut,
    Piece,
    TokenizerRequest,
    cuts,
)
from workbench.events import Failed, Progress

DEFAULT_TEXT = "佢哋琴日喺旺角食咗啲嘢，唔知幾好味，聽日仲要再嚟。\nThe bus is late again, lah!"
MOST_SHOWN = 1500
"""Tokens drawn for one model; the count below is of all of them."""


def build_tokenizers(house: House, chosen: list[Any]) -> None:
    """A text, a button, and one row of chips a model with its rates below."""
    gr.Markdown(label("cut.intro"))
    text = gr.Textbox(
        DEFAULT_TEXT,
        lines=3,
        max_lines=10,
        max_length=MOST_CHARACTERS,
        label=label("cut.text"),
        elem_id="cut-text",
    )
    run, stop = run_and_stop("cut.run", "cut")
    moving = gr.HTML(elem_id="cut-progress")
    results = gr.HTML(label("cut.empty"), elem_id="cut-results", elem_classes="tri-results")

    @guarded(lambda said: (said, gr.skip()))
    @rule("compare")
    def cut(
        language: str, names: list[str], _precision: str, text: str, request: gr.Request
    ) -> Iterator[tuple[Any, Any]]:
        asked = TokenizerRequest(house.references(names), text or "")
        stop = house.stops.start(request, "tokenizers")
        found: list[Cut] = []
        complaints = ""
        yield progress(language, Progress("start", 0, 0, "")), ""
        for event in cuts(asked, house.settings_for(request), stop):
            if isinstance(event, Progress):
                yield complaints + progress(language, event), gr.skip()
                continue
            if isinstance(event, Failed):
                complaints += failed(language, event.error)
            else:
                found.append(event)
            yield complaints, tokenizers_view(language, found)

    wire(cut, run, stop, [*chosen, text], [moving, results], house, "tokenizers", moving)


def tokenizers_view(language: str, found: Sequence[Cut]) -> str:
    """Chips for each model, then what its cuts cost, the thriftiest on Cantonese marked."""
    if not found:
        return ""
    chips = "".join(_chips(language, one) for one in found)
    return chips + _rates(language, found) + notice("info", say(language, "cut.beware"))


def _chips(language: str, cut: Cut) -> str:
    drawn = "".join(_chip(piece, number) for number, piece in enumerate(cut.pieces[:MOST_SHOWN]))
    counted = say(
        language,
        "cut.counted",
        tokens=f"{cut.own.tokens:,}",
        characters=f"{cut.own.characters:,}",
        rate=f"{cut.own.characters_per_token:.2f}",
    )
    return (
        f'<section class="tri-cut" data-model="{escape(cut.model)}"><h4>{escape(cut.label)} '
        f"<small>{escape(counted)}</small></h4><p>{drawn}</p></section>"
    )


def _chip(piece: Piece, number: int) -> str:
    kind = "bytes" if piece.is_bytes else ("even", "odd")[number % 2]
    text = piece.text
    if not piece.is_bytes:
        text = text.replace(" ", "·").replace("\n", "⏎").replace("\t", "⇥")
    shown = escape(text)
    return f'<span class="tri-piece {kind}" data-tip="#{piece.token}">{shown}</span>'


def _rates(language: str, found: Sequence[Cut]) -> str:
    names = [escape(say(language, f"cut.{name}")) for name in ("model", *TEXTS, "letters", "cost")]
    best = max(one.cantonese.characters_per_token for one in found)
    head = "".join(f'<th scope="col">{name}</th>' for name in names)
    body = ""
    for one in found:
        rates = [f"{one.rates[name].characters_per_token:.2f}" for name in TEXTS]
        cells = [
            f"<b>{escape(one.label)}</b><small>{_vocabulary(language, one)}</small>",
            f"<b>{rates[0]}</b>",
            *rates[1:],
            f"<div>{_letters(one)}</div>",
            f"<div>{_cost(language, one)}</div>",
        ]
        kind = "best" if one.cantonese.characters_per_token == best and len(found) > 1 else ""
        body += f'<tr class="{kind}" data-model="{escape(one.model)}">' + "".join(
            f'<td data-label="{name}">{cell}</td>' for name, cell in zip(names, cells, strict=True)
        )
        body += "</tr>"
    title = escape(say(language, "cut.rates"))
    return (
        f'<h4>{title}</h4><div class="tri-scroll"><table class="tri-table" id="cut-table">'
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def _letters(cut: Cut) -> str:
    return " ".join(f"{letter}<sub>{cut.letters[letter]}</sub>" for letter in LETTERS)


def _vocabulary(language: str, cut: Cut) -> str:
    return escape(say(language, "cut.vocabulary", count=f"{cut.vocabulary:,}"))


def _cost(language: str, cut: Cut) -> str:
    """Tokens of 1,000 Cantonese characters, and how many characters the context holds."""
    cost = f"{cut.cantonese.tokens_per_thousand:,.0f}"
    if cut.context is None:
        return cost
    holds = f"{cut.context * cut.cantonese.characters_per_token:,.0f}"
    words = say(language, "cut.holds", context=f"{cut.context:,}", characters=holds)
    return f"{cost}<small>{escape(words)}</small>"
