"""Talking with several voices: ask, ask again, go on, take back, change the branch.

A handler takes the conversation as it is, streams the answers, and hands the new one on; it
is saved whenever answers have come, also when the page was closed in the middle.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from html import escape
from typing import Any

import gradio as gr

from tabs._chat_characters import Characters
from tabs._chat_panel import ALL, DIALS, Chosen, Panel, chosen_of, only_said, shown
from tabs._chat_views import answer_of, growing_view, last_view, past_view
from tabs._links import wish_of
from tabs._models import DEFAULT_MODELS, offered, tuned
from tabs._rules import rule
from tabs._shared import COMPUTE, FOLLOW, QUICK, House, failed, notice, progress
from tabs._words import say
from workbench.chat import shelf
from workbench.chat.character import Character
from workbench.chat.conversation import Answer, Conversation, Turn
from workbench.chat.duo import MOST_VOICES, Answered, Asked, ChatRequest, Token, Voice, chat
from workbench.chat.frame import opening
from workbench.errors import NothingSaid, NothingToTakeBack
from workbench.events import Failed, Progress
from workbench.language import register
from workbench.models.reference import ModelReference
from workbench.models.sampling import PRESETS, SamplingOptions

REDRAW_SECONDS = 0.12
WORK = "chat"


@dataclass(frozen=True)
class _Wish:
    """What was pressed, with the widgets as they were."""

    talk: Conversation
    words: str
    editing: bool
    whom: str
    voices: tuple[Voice, ...]


@dataclass(frozen=True)
class _Plan:
    """Which turn is answered, and by whom."""

    talk: Conversation
    """The turn is its last."""
    voices: tuple[Voice, ...]
    begun: tuple[str, ...] = ()
    sent: str | None = None
    """Words that come back into the box when nobody could answer."""


def wire_talk(
    house: House, language: gr.Textbox, tab: gr.Tab, panel: Panel, characters: Characters
) -> list[tuple[Any, ...]]:
    """Wire a conversation; returns what must be said once the page knows its language."""
    _wire_asking(house, language, panel, characters)
    _wire_moving(house, language, panel, characters)

    @rule("look")
    def choose(name: str) -> list[float]:
        return [getattr(PRESETS[name], dial) for dial in DIALS]

    @rule("look")
    def offer() -> Any:
        return gr.update(choices=offered(house))

    @rule("look")
    def greet(request: gr.Request) -> Any:
        wished = list(wish_of(request).models)[:MOST_VOICES]
        return gr.update(choices=offered(house), value=wished or first_voices(house))

    @rule("look")
    def empty(language: str) -> str:
        return last_view(language, Conversation())

    @rule("look")
    def stop(request: gr.Request) -> None:
        house.stops.stop(request, WORK)

    panel.preset.change(choose, panel.preset, panel.dials, **QUICK)
    panel.voices.focus(offer, None, panel.voices, **QUICK)
    panel.stop.click(stop, None, None, queue=False, **QUICK)
    tab.select(offer, None, panel.voices, **QUICK)
    return [(greet, None, panel.voices), (empty, [language], panel.last)]


def first_voices(house: House) -> list[str]:
    """Base and tuned of the newest run; the two bundled models while there is none.

    Guests see a run when the owner has allowed it by name.
    """
    mine = house.who().may("load_any_model")
    runs = tuned(house) if mine else sorted(one for one in house.allowed() if "+" in one)
    if not runs:
        return DEFAULT_MODELS
    base = str(ModelReference.parse(runs[0]).base)
    return [base, runs[0]]


def _send(wish: _Wish) -> _Plan:
    if not (wish.words or "").strip():
        raise NothingSaid
    if wish.editing and wish.talk.tip is not None:
        talk = wish.talk.again(wish.talk.tip, said=wish.words)
    else:
        talk = wish.talk.say(wish.words)
    return _Plan(talk, wish.voices, sent=wish.words)


def _again(wish: _Wish) -> _Plan:
    turn = _last(wish.talk)
    asked = tuple(one for one in wish.voices if wish.whom in (ALL, str(one.reference)))
    if wish.whom == ALL:
        return _Plan(wish.talk.again(turn.number), asked)
    keep = [answer.voice for answer in turn.answers if answer.voice != wish.whom]
    return _Plan(wish.talk.again(turn.number, keep=keep), asked)


def _go_on(wish: _Wish) -> _Plan:
    turn = _last(wish.talk)
    written = {answer.voice: answer.text for answer in turn.answers}
    begun = tuple(written.get(str(voice.reference), "") for voice in wish.voices)
    return _Plan(wish.talk.again(turn.number), wish.voices, begun)


def _last(talk: Conversation) -> Turn:
    if talk.tip is None:
        raise NothingToTakeBack
    return talk.turn(talk.tip)


def _wire_asking(house: House, language: gr.Textbox, panel: Panel, characters: Characters) -> None:
    """Send, ask again, go on: whatever makes models answer."""

    def handler(plan_of: Callable[[_Wish], _Plan]) -> Callable[..., Iterator[Any]]:
        @rule("chat")
        def run(
            request: gr.Request, language: str, talk: Conversation | None, words: str,
            editing: bool, whom: str, key: str, *values: Any,
        ) -> Iterator[Any]:  # fmt: skip
            talk = talk or Conversation()
            try:
                new = chosen_of(house, values)
                character = characters.find(request, key)
                plan = plan_of(_Wish(talk, words, editing, whom, new.voices))
                told = replace(
                    plan.talk, system=new.system, user=new.user, mode=new.mode,
                    character=character.name if character else "",
                )  # fmt: skip
                plan = replace(plan, talk=told)
                yield from _answering(house, request, language, talk, new, plan, character)
            except Exception as error:
                yield only_said(failed(language, error))

        return run

    inputs = [
        language, panel.talk, panel.message, panel.editing, panel.whom, characters.chosen,
        *panel.choices,
    ]  # fmt: skip
    options: dict[str, Any] = {
        **COMPUTE,
        "show_progress": "minimal",
        "show_progress_on": panel.said,
        "trigger_mode": "once",
    }
    asking = [panel.send.click, panel.message.submit]
    gr.on(asking, handler(_send), inputs, panel.outputs, **options)
    panel.again.click(handler(_again), inputs, panel.outputs, **options)
    panel.go_on.click(handler(_go_on), inputs, panel.outputs, **options)


def _answering(
    house: House,
    request: gr.Request,
    language: str,
    before: Conversation,
    new: Chosen,
    plan: _Plan,
    character: Character | None,
) -> Iterator[tuple[Any, ...]]:
    """Stream the answers to the last turn; redrawn a few times a second, saved at the end."""
    talk, sent = plan.talk, plan.sent
    turn = talk.path()[-1]
    names = [str(voice.reference) for voice in plan.voices]
    asked = ChatRequest(
        voices=plan.voices,
        talks=tuple(tuple(talk.messages(name, before=turn.number)) for name in names),
        options=new.options if sent is not None else _fresh_seed(new.options, talk),
        system=new.system,
        character=character,
        user=new.user,
        mode=new.mode,  # type: ignore[arg-type]
        begun=plan.begun,
        context=new.context,
        precision=new.precision,
    )
    stop = house.stops.start(request, WORK)
    growing: dict[int, Asked | Token] = {}
    done: dict[int, Answer] = {}
    complaints, bar, drawn = "", progress(language, Progress("start", 0, 0, "")), 0.0

    def view() -> tuple[Any, ...]:
        live = growing_view(language, talk, turn, names, growing, done, turn.answers)
        message = "" if sent is not None else gr.skip()
        return gr.skip(), live, complaints + bar, gr.skip(), message, *[gr.skip()] * 4

    try:
        yield past_view(language, talk), *view()[1:]
        with closing(house.compute(chat, asked, stop)) as events:
            for event in events:
                if isinstance(event, Progress):
                    bar = progress(language, event)
                elif isinstance(event, Failed):
                    complaints += failed(language, event.error)
                else:
                    bar = ""
                    _keep(event, names, growing, done)
                if isinstance(event, Answered) or time.monotonic() - drawn > REDRAW_SECONDS:
                    drawn = time.monotonic()
                    yield view()
    finally:  # also when the page was closed in the middle
        answers = _finished(names, growing, done)
        house.count(request, sum(one.tokens for one in answers))
        if answers:
            talk = talk.answered(turn.number, answers, new.names)
            shelf.save(talk, house.workspace(request))
    if not answers:
        words = sent if sent is not None else gr.skip()
        yield shown(language, before, complaints, message=words)
        return
    yield shown(language, talk, complaints)


def _keep(
    event: Asked | Token | Answered,
    names: list[str],
    growing: dict[int, Asked | Token],
    done: dict[int, Answer],
) -> None:
    if isinstance(event, Answered):
        done[event.voice] = answer_of(names[event.voice], event)
    else:
        growing[event.voice] = event


def _finished(
    names: list[str], growing: dict[int, Asked | Token], done: dict[int, Answer]
) -> list[Answer]:
    """Every answer that came to its end, if only to silence, and what was left in the middle."""
    left = {number: _left(names[number], event) for number, event in growing.items()}
    found = {**{number: one for number, one in left.items() if one.text}, **done}
    return [found[number] for number in sorted(found)]


def _left(voice: str, event: Asked | Token) -> Answer:
    who, text = event.who, event.text if isinstance(event, Token) else ""
    return Answer(
        voice, text, who.model, who.adapter, who.fingerprint, who.precision, who.strength,
        register=register(text), stopped=True, ended=False,
    )  # fmt: skip


def _fresh_seed(options: SamplingOptions, talk: Conversation) -> SamplingOptions:
    """Asked again, the same seed would give the same answer; the number of turns moves it on."""
    return replace(options, seed=(options.seed + len(talk.turns)) % 2**32)


def _wire_moving(house: House, language: gr.Textbox, panel: Panel, characters: Characters) -> None:
    """Take back, edit, change the branch, begin anew: no model is asked."""

    def undo(_request: gr.Request, language: str, talk: Conversation, _key: str) -> tuple[Any, ...]:
        return shown(language, talk.back(), message=_last(talk).said)

    def edit(_request: gr.Request, language: str, talk: Conversation, _key: str) -> tuple[Any, ...]:
        said = notice("info", say(language, "chat.editing"))
        return shown(language, talk, said, message=_last(talk).said, editing=True)

    def fresh(request: gr.Request, language: str, talk: Conversation, key: str) -> tuple[Any, ...]:
        character = characters.find(request, key)
        greeting = opening(character, talk.user) if character else ""
        name = character.name if character else ""
        return shown(language, Conversation(character=name, greeting=greeting, user=talk.user))

    def moved(step: Callable[..., tuple[Any, ...]]) -> Callable[..., Any]:
        @rule("own")
        def run(request: gr.Request, language: str, talk: Conversation | None, key: str) -> Any:
            try:
                return step(request, language, talk or Conversation(), key)
            except Exception as error:
                return only_said(failed(language, error))

        return run

    @rule("own")
    def open_branch(
        request: gr.Request, language: str, talk: Conversation | None, number: int | None
    ) -> tuple[Any, ...]:
        try:
            if talk is None or number is None or number == talk.tip:
                return only_said("")
            opened = talk.open_branch(int(number))
            shelf.save(opened, house.workspace(request))
            return shown(language, opened)
        except Exception as error:
            return only_said(failed(language, error))

    @rule("look")
    def introduce(request: gr.Request, language: str, key: str) -> str:
        try:
            character = characters.find(request, key)
        except Exception as error:
            return failed(language, error)
        if character is None:
            return ""
        words = escape(say(language, "chat.in_character", name=character.name))
        return f'<p class="tri-quiet">{words}</p>'

    inputs = [language, panel.talk, characters.chosen]
    panel.undo.click(moved(undo), inputs, panel.outputs, **QUICK)
    panel.edit.click(moved(edit), inputs, panel.outputs, **QUICK)
    panel.fresh.click(moved(fresh), inputs, panel.outputs, **QUICK)
    characters.chosen.change(
        introduce, [language, characters.chosen], panel.character, **QUICK
    ).then(moved(fresh), inputs, panel.outputs, **QUICK)
    branch = [language, panel.talk, panel.branch]
    panel.branch.input(open_branch, branch, panel.outputs, **FOLLOW)
