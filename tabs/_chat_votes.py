"""Blind votes: a question, two answers without names, a verdict, and then the names.

Nothing that could tell the two apart is on the page before the vote. Does not know how
standings are worked out.
"""

from __future__ import annotations

import json
import random
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from html import escape
from pathlib import Path
from typing import Any

import gradio as gr

from tabs._chat_characters import Characters
from tabs._chat_panel import Panel, chosen_of
from tabs._chat_views import answer_of, answer_view
from tabs._rules import rule
from tabs._shared import COMPUTE, FOLLOW, QUICK, House, failed, notice, progress
from tabs._words import label, say
from workbench.chat.arena import (
    LONGEST_REASON,
    VERDICTS,
    Duel,
    Vote,
    Votes,
    as_preferences,
    known_visitor,
    prompts,
    shuffled,
)
from workbench.chat.conversation import Answer
from workbench.chat.duo import Answered, Asked, ChatRequest, Token, chat
from workbench.chat.messages import Message
from workbench.chat.standings import ENOUGH_VISITORS, ENOUGH_VOTES, Place, Standings, standings
from workbench.errors import BadVote, NothingSaid
from workbench.events import Failed, Progress
from workbench.workspace import Workspace

REDRAW_SECONDS = 0.12
WORK = "vote"
NAMES = "AB"


def votes_of(house: House) -> Votes:
    """Votes belong to the house: what one visitor thinks is of no use alone."""
    return Votes(Workspace(house.settings.workspace).results)


def build_votes(house: House, language: gr.Textbox, panel: Panel, characters: Characters) -> Any:
    """Draw the vote and wire it; returns what must be said once the language is known."""
    gr.Markdown(label("vote.intro"))
    duel: gr.State = gr.State(None)
    visitor = gr.BrowserState("", storage_key="trilogy-visitor", secret="trilogy")  # noqa: S106
    with gr.Row():
        prompt = gr.Textbox(label=label("vote.prompt"), lines=1, max_lines=6, scale=4,
                            elem_id="vote-prompt", min_width=260)  # fmt: skip
        deal = gr.Button(label("vote.deal"), elem_id="vote-deal", scale=1, min_width=130)
    with gr.Row(elem_classes="tri-actions"):
        ask = gr.Button(label("vote.ask"), variant="primary", elem_id="vote-ask", scale=3)
        stop = gr.Button(label("action.stop"), variant="stop", elem_id="vote-stop", min_width=90)
    said = gr.HTML(elem_id="vote-said")
    answers = gr.HTML(label("vote.empty"), elem_id="vote-answers", elem_classes="tri-results")
    with gr.Row(elem_classes="tri-actions tri-verdicts"):
        verdicts = {
            one: gr.Button(label(f"vote.{one}"), interactive=False, elem_id=f"vote-{one}",
                           min_width=110)
            for one in VERDICTS
        }  # fmt: skip
    reason = gr.Textbox(label=label("vote.reason"), max_lines=3, max_length=LONGEST_REASON,
                        elem_id="vote-reason")  # fmt: skip
    buttons = list(verdicts.values())

    @rule("chat")
    def write(
        request: gr.Request, language: str, words: str, key: str, *values: Any
    ) -> Iterator[Any]:
        rest = len(buttons)
        try:
            yield "", "", None, *_buttons(False)
            yield from _blind(house, characters, request, language, words, key, values)
        except Exception as error:
            yield failed(language, error), gr.skip(), None, *[gr.skip()] * rest

    def voted(verdict: Any) -> Any:
        @rule("vote")
        def vote(language: str, duel: Duel | None, visitor: str, reason: str) -> tuple[Any, ...]:
            who = known_visitor(visitor)
            try:
                if duel is None:
                    raise BadVote(reason=say(language, "vote.nothing"))
                votes_of(house).add(Vote(duel, verdict, who, (reason or "").strip()))
            except Exception as error:
                return failed(language, error), gr.skip(), duel, who, reason, *_buttons(False)
            thanks = notice("good", say(language, "vote.thanks"))
            return thanks, _named(language, duel, verdict), None, who, "", *_buttons(False)

        return vote

    @rule("look")
    def another(language: str, words: str) -> str:
        return random.choice([one for one in prompts(language) if one != words])

    asking: dict[str, Any] = {**COMPUTE, "show_progress": "minimal", "trigger_mode": "once",
                              "show_progress_on": said}  # fmt: skip
    inputs = [language, prompt, characters.chosen, *panel.choices]
    gr.on([ask.click, prompt.submit], write, inputs, [said, answers, duel, *buttons], **asking)
    deal.click(another, [language, prompt], prompt, **QUICK)
    for name, button in verdicts.items():
        button.click(voted(name), [language, duel, visitor, reason],
                     [said, answers, duel, visitor, reason, *buttons], **QUICK)  # fmt: skip

    @rule("look")
    def halt(request: gr.Request) -> None:
        house.stops.stop(request, WORK)

    stop.click(halt, None, None, queue=False, **QUICK)
    return another, [language, prompt], prompt


def _buttons(on: bool) -> list[Any]:
    return [gr.update(interactive=on) for _ in VERDICTS]


def _blind(
    house: House,
    characters: Characters,
    request: gr.Request,
    language: str,
    words: str,
    key: str,
    values: tuple[Any, ...],
) -> Iterator[tuple[Any, ...]]:
    """Two of the chosen voices answer under A and B."""
    if not (words or "").strip():
        raise NothingSaid
    new = chosen_of(house, values)
    if len(new.voices) < 2:
        raise BadVote(reason=say(language, "vote.two"))
    voices = shuffled(shuffled(new.voices)[:2])
    character = characters.find(request, key)
    # another seed for every duel, or the same question would always get the same answers
    options = replace(new.options, seed=random.SystemRandom().randrange(2**31))
    asked = ChatRequest(
        voices=tuple(voices), talks=((Message("user", words),),) * 2, options=options,
        system=new.system, character=character, user=new.user, mode=new.mode,  # type: ignore[arg-type]
        context=new.context, precision=new.precision,
    )  # fmt: skip
    stop = house.stops.start(request, WORK)
    texts, complaints, drawn = ["", ""], "", 0.0
    done: dict[int, Answer] = {}
    skip = [gr.skip()] * len(VERDICTS)
    for event in house.compute(chat, asked, stop):
        # which model is being loaded would tell who is A
        bar = progress(language, replace(event, model="")) if isinstance(event, Progress) else ""
        if isinstance(event, Failed):
            complaints += failed(language, event.error)
        elif isinstance(event, Token | Answered):
            texts[event.voice] = event.text
        if isinstance(event, Answered):
            done[event.voice] = answer_of(str(voices[event.voice].reference), event)
        if isinstance(event, Asked) or time.monotonic() - drawn < REDRAW_SECONDS:
            continue
        drawn = time.monotonic()
        yield complaints + bar, _unnamed(_level(texts, done)), None, *skip
    house.count(request, sum(answer.tokens for answer in done.values()))
    if len(done) < 2:
        yield complaints or notice("info", say(language, "vote.unfinished")), "", None, *skip
        return
    duel = Duel(words, done[0], done[1], new.system, character.name if character else "")
    yield complaints, _unnamed(texts), duel, *_buttons(True)


def _level(texts: list[str], done: dict[int, Answer]) -> list[str]:
    """Both grow at the pace of the slower: speed would tell a large model from a small one."""
    if len(done) == len(texts):
        return texts
    pace = min(len(text) for at, text in enumerate(texts) if at not in done)
    return [text[:pace] for text in texts]


def _unnamed(texts: list[str]) -> str:
    cards = "".join(
        f'<article class="tri-sample tri-answer"><header><b>{name}</b></header>'
        f"<p>{escape(text)}</p></article>"
        for name, text in zip(NAMES, texts, strict=True)
    )
    return f'<div class="tri-answers">{cards}</div>'


def _named(language: str, duel: Duel, verdict: str) -> str:
    """The same two, with their names at last."""
    won = {"first": 0, "second": 1}.get(verdict)
    cards = ""
    pair: tuple[Answer, Answer] = (duel.first, duel.second)
    for number, answer in enumerate(pair):
        kind = "tri-won" if number == won else ""
        cards += (
            f'<div class="{kind}"><h5>{NAMES[number]}</h5>{answer_view(language, answer)}</div>'
        )
    return f'<div class="tri-answers">{cards}</div>'


def build_standings(house: House, language: gr.Textbox, tab: gr.Tab) -> None:
    """Draw who wins, and the export."""
    table = gr.HTML(elem_id="standings")
    with gr.Row(elem_classes="tri-actions"):
        out = gr.Button(label("vote.export"), elem_id="vote-export")
    said = gr.HTML(elem_id="standings-said")
    file = gr.File(label=label("chat.keep.file"), visible=False, elem_id="vote-file")

    @rule("look")
    def show(language: str) -> str:
        try:
            return standings_view(language, standings(votes_of(house).all()))
        except Exception as error:
            return failed(language, error)

    @rule("export")  # other people's questions are not for everybody
    def export(language: str) -> tuple[Any, Any]:
        try:
            rows = as_preferences(votes_of(house).all())
            if not rows:
                raise BadVote(reason=say(language, "vote.none"))
            path = Path(tempfile.mkdtemp()) / "votes.jsonl"
            lines = (json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
            path.write_text("".join(lines), "utf-8")
        except Exception as error:
            return failed(language, error), gr.skip()
        words = say(language, "vote.exported", count=len(rows))
        return notice("good", words), gr.update(value=str(path), visible=True)

    tab.select(show, language, table, **FOLLOW)
    out.click(export, language, [said, file], **QUICK)


def standings_view(language: str, found: Standings) -> str:
    """The order, how sure it is, and whether the first place is favoured."""
    if not found.votes:
        return notice("info", say(language, "vote.none_yet"))
    facts = say(language, "vote.count", votes=found.votes, visitors=found.visitors,
                bad=found.both_bad)  # fmt: skip
    head = "".join(
        f"<th>{escape(say(language, f'vote.column_{name}'))}</th>"
        for name in ("model", "points", "interval", "rate", "votes")
    )
    rows = "".join(_row(language, place, found.enough) for place in found.places)
    return (
        f'{_verdict(language, found)}<p class="tri-quiet">{escape(facts)}</p>'
        f'<div class="tri-scroll"><table class="tri-table"><thead><tr>{head}</tr></thead>'
        f"<tbody>{rows}</tbody></table></div>{_position(language, found)}"
    )


def _verdict(language: str, found: Standings) -> str:
    if not found.enough:
        words = say(language, "vote.not_enough", votes=ENOUGH_VOTES, visitors=ENOUGH_VISITORS,
                    weight=f"{found.weight:.0f}")  # fmt: skip
        return notice("info", words)
    first = found.places[0].name.rpartition(" #")[0]
    key = "vote.clear" if found.clear else "vote.unclear"
    return f'<p class="tri-verdict">{escape(say(language, key, model=first))}</p>'


def _row(language: str, place: Place, enough: bool) -> str:
    points = f"{place.points:+.0f}" if enough else "–"
    between = f"{place.low:+.0f} … {place.high:+.0f}" if enough else "–"
    each = f"{place.won} / {place.tied} / {place.lost}"
    cells = [place.name, points, between, f"{place.win_rate:.0%}", f"{place.votes} ({each})"]
    names = ("model", "points", "interval", "rate", "votes")
    return "<tr>" + "".join(
        f'<td data-label="{escape(say(language, f"vote.column_{name}"))}">{escape(cell)}</td>'
        for name, cell in zip(names, cells, strict=True)
    ) + "</tr>"  # fmt: skip


def _position(language: str, found: Standings) -> str:
    share, low, high = found.first_share
    key = "vote.biased" if low > 0.5 or high < 0.5 else "vote.unbiased"
    words = say(language, key, share=f"{share:.0%}", low=f"{low:.0%}", high=f"{high:.0%}",
                count=found.decided)  # fmt: skip
    return notice("warning" if key == "vote.biased" else "info", words) if found.decided else ""
