"""Did it stay in character? The score of every rule, voice beside voice, with its sentences.

Scores come from ``workbench.chat``; this part only draws them and starts scripts.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from dataclasses import replace
from html import escape
from typing import Any

import gradio as gr

from tabs._chat_characters import Characters, shipped_key
from tabs._chat_panel import Panel, chosen_of
from tabs._rules import rule
from tabs._shared import COMPUTE, FOLLOW, QUICK, House, failed, notice, progress
from tabs._words import label, say
from workbench.chat.character import Character
from workbench.chat.conversation import Conversation
from workbench.chat.in_character import RULES, Evidence, Rule
from workbench.chat.scored import Judged, ScoreRequest, judged, run, talks_of
from workbench.chat.scripts import Said, Script, shipped_scripts
from workbench.chat.shipped import shipped
from workbench.errors import NoSuchCharacter
from workbench.events import Progress
from workbench.models.lent import SLICE_SECONDS
from workbench.models.reference import ModelReference

WORK = "score"
MOST_SHOWN = 4
"""Sentences of one rule that are in sight."""


def build_score(house: House, language: gr.Textbox, panel: Panel, characters: Characters) -> None:
    """Draw the part and wire it."""
    scripts = shipped_scripts()
    gr.Markdown(label("score.intro"))
    with gr.Row(elem_classes="tri-actions"):
        script = gr.Dropdown(
            [(_title(name), name) for name in scripts], value="karen",
            label=label("score.script"), elem_id="score-script", scale=2, min_width=220,
        )  # fmt: skip
        follow = gr.Button(
            label("score.run"), variant="primary", elem_id="score-run", scale=2, min_width=180
        )
        here = gr.Button(label("score.here"), elem_id="score-here", scale=2, min_width=180)
        stop = gr.Button(label("action.stop"), variant="stop", scale=1, min_width=90)
    said = gr.HTML(elem_id="score-said")
    table = gr.HTML(elem_id="score-table", elem_classes="tri-results")

    @rule("chat")
    def perform(
        request: gr.Request, language: str, key: str, name: str, *values: Any
    ) -> Iterator[tuple[Any, Any]]:
        try:
            character = characters.find(request, key or _written_for(scripts[name]))
            chosen = chosen_of(house, values)
            asked = ScoreRequest(
                replace(scripts[name], user=chosen.user or scripts[name].user),
                _somebody(character), chosen.voices, chosen.options, chosen.system,
            )  # fmt: skip
            stop = house.stops.start(request, WORK)
            work = house.compute(run, asked, stop, seconds=SLICE_SECONDS)
            found = yield from _showing(language, work, chosen.names)
            yield "", score_view(language, found)
        except Exception as error:
            yield failed(language, error), gr.skip()

    @rule("look")
    def judge(
        request: gr.Request, language: str, key: str, talk: Conversation | None
    ) -> tuple[Any, Any]:
        try:
            character = _somebody(characters.find(request, key))
            talks = talks_of(talk) if talk else {}
            if not talk or not talks:
                return notice("info", say(language, "score.nothing")), gr.skip()
            return "", score_view(language, judged(character, talks, talk.user))
        except Exception as error:
            return failed(language, error), gr.skip()

    @rule("look")
    def halt(request: gr.Request) -> None:
        house.stops.stop(request, WORK)

    @rule("look")
    def suit(request: gr.Request, key: str) -> Any:
        """The script that was written for the chosen character."""
        try:
            character = characters.find(request, key)
        except Exception:
            return gr.skip()
        names = [
            name for name, one in scripts.items() if character and one.character == character.name
        ]
        return names[0] if names else gr.skip()

    inputs = [language, characters.chosen, script, *panel.choices]
    follow.click(perform, inputs, [said, table], show_progress="hidden", **COMPUTE)
    here.click(judge, [language, characters.chosen, panel.talk], [said, table], **QUICK)
    stop.click(halt, None, None, queue=False, **QUICK)
    characters.chosen.change(suit, characters.chosen, script, **FOLLOW)


def _title(name: str) -> str:
    script = shipped_scripts()[name]
    return f"{script.character} · {len(script.turns)}"


def _written_for(script: Script) -> str:
    """The key of the shipped character that a script was written for; empty if there is none."""
    return next((shipped_key(one) for one in shipped() if one.name == script.character), "")


def _somebody(character: Character | None) -> Character:
    if character is None:
        raise NoSuchCharacter(name="–")
    return character


def _showing(language: str, work: Any, voices: Sequence[str]) -> Generator[Any, None, Any]:
    """The script as it is followed; returns what the work returns."""
    lines: list[str] = []
    while True:
        try:
            event = next(work)
        except StopIteration as end:
            return end.value
        if isinstance(event, Progress):
            yield progress(language, event), gr.skip()
        elif isinstance(event, Said):
            lines.append(_said(event, voices))
            step = Progress("write", event.turn, event.turns, "turns")
            yield progress(language, step), f'<div class="tri-talk">{"".join(lines)}</div>'


def _said(event: Said, voices: Sequence[str]) -> str:
    answers = "".join(
        f'<div class="tri-turn tri-assistant"><b>{escape(_short_name(name))}</b>'
        f"<p>{escape(text)}</p></div>"
        for name, text in zip(voices, event.answers, strict=True)
    )
    asked = f'<div class="tri-turn tri-user"><p>{escape(event.asked)}</p></div>'
    return f"{asked}{answers}"


def score_view(language: str, found: Sequence[Judged]) -> str:
    """Rules down, voices across, the deciding sentences under each rule."""
    heads = "".join(f"<th>{escape(_short_name(one.voice))}</th>" for one in found)
    rows = []
    for name in RULES:
        rules = [one.score.rule(name) for one in found]
        title = escape(say(language, f"score.{name}"))
        info = escape(say(language, f"score.{name}_info"))
        cells = "".join(
            _cell(one.voice, rule.score) for one, rule in zip(found, rules, strict=True)
        )
        rows.append(f'<tr><td title="{info}">{title}<small>{info}</small></td>{cells}</tr>')
    totals = "".join(_cell(one.voice, one.score.total) for one in found)
    rows.append(f'<tr class="best"><td>{escape(say(language, "score.total"))}</td>{totals}</tr>')
    body = f"<thead><tr><th></th>{heads}</tr></thead><tbody>{''.join(rows)}</tbody>"
    reasons = "".join(_reasons(language, one) for one in found)
    small = ""
    if any(one.score.answers < 6 for one in found):
        small = f'<p class="tri-quiet">{escape(say(language, "score.few"))}</p>'
    limits = f'<p class="tri-quiet">{escape(say(language, "score.limits"))}</p>'
    table = f'<table class="tri-table tri-score">{body}</table>'
    return f'{table}{small}{limits}<div class="tri-reasons">{reasons}</div>'


def _cell(voice: str, value: float | None) -> str:
    said = "–" if value is None else f"{value * 100:.0f}%"
    return f'<td data-label="{escape(_short_name(voice))}">{said}</td>'


def _reasons(language: str, one: Judged) -> str:
    """The sentences that decided, of one voice."""
    blocks = [_rule(language, rule) for rule in one.score.rules if rule.evidence]
    name = escape(_short_name(one.voice))
    body = "".join(blocks) or f"<p>{escape(say(language, 'score.clean'))}</p>"
    return f"<section><h4>{name}</h4>{body}</section>"


def _rule(language: str, rule: Rule) -> str:
    title = escape(say(language, f"score.{rule.name}"))
    against = [one for one in rule.evidence if not one.held]
    held = [one for one in rule.evidence if one.held]
    ordered = [*against, *held]
    first = "".join(_line(language, rule, one) for one in ordered[:MOST_SHOWN])
    rest = "".join(_line(language, rule, one) for one in ordered[MOST_SHOWN:])
    more = say(language, "score.more", count=len(ordered) - MOST_SHOWN)
    rest = f"<details><summary>{escape(more)}</summary><ul>{rest}</ul></details>" if rest else ""
    return f"<h5>{title}</h5><ul>{first}</ul>{rest}"


def _line(language: str, rule: Rule, one: Evidence) -> str:
    """One sentence, which answer it is from, and what it was held against."""
    why = say(language, f"register.{one.why}") if rule.name == "register" else one.why
    where = say(language, "score.answer", number=one.answer)
    sign = "✓" if one.held else "✗"
    kind = "tri-held" if one.held else "tri-against"
    sentence = escape(one.sentence) or "–"
    return (
        f'<li class="{kind}"><b aria-hidden="true">{sign}</b> {sentence} '
        f"<small>{escape(where)} · {escape(why)}</small></li>"
    )


def _short_name(voice: str) -> str:
    try:
        return ModelReference.parse(voice).label
    except Exception:
        return voice.removeprefix("bundled:")
