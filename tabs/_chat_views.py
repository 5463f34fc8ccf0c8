"""A conversation as HTML: what was said, and every answer under the name of its weights.

Everything that people or models wrote is escaped: no picture, link or script of theirs ever
becomes one here. Does not know widgets.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

from tabs._shared import notice
from tabs._words import say
from workbench.chat.context import Received
from workbench.chat.conversation import Answer, Conversation, Turn
from workbench.chat.duo import Answered, Asked, Token, Who
from workbench.models.reference import ModelReference

Growing = Mapping[int, Asked | Token]


def answer_of(voice: str, answered: Answered) -> Answer:
    """What is kept of an answer."""
    who, received = answered.who, answered.received
    return Answer(
        voice=voice,
        text=answered.text,
        model=who.model,
        adapter=who.adapter,
        fingerprint=who.fingerprint,
        precision=who.precision,
        strength=who.strength,
        tokens=answered.tokens,
        first_seconds=answered.first_seconds,
        seconds=answered.seconds,
        register=answered.register,
        stopped=answered.stopped,
        ended=answered.ended,
        received=received.text,
        received_tokens=received.tokens,
        examples_left_out=received.examples_left_out,
        turns_left_out=received.turns_left_out,
        fired=tuple((one.name, one.tokens) for one in received.fired),
    )


def past_view(language: str, talk: Conversation) -> str:
    """Everything before the last turn of the open branch."""
    parts = [_bubble("assistant", talk.greeting)] if talk.greeting else []
    parts += [turn_view(language, talk, turn) for turn in talk.path()[:-1]]
    return f'<div class="tri-talk">{"".join(parts)}</div>' if parts else ""


def last_view(language: str, talk: Conversation) -> str:
    """The last turn, or what to do when there is none."""
    path = talk.path()
    if not path:
        return notice("info", say(language, "chat.empty"))
    return f'<div class="tri-talk">{turn_view(language, talk, path[-1])}</div>'


def turn_view(language: str, talk: Conversation, turn: Turn) -> str:
    """What was said and the answers side by side."""
    cards = "".join(answer_view(language, answer) for answer in turn.answers)
    return _turn(language, talk, turn, cards)


def growing_view(
    language: str,
    talk: Conversation,
    turn: Turn,
    voices: Sequence[str],
    growing: Growing,
    done: Mapping[int, Answer],
    kept: Sequence[Answer] = (),
) -> str:
    """A turn while it is being answered: each voice in its column, in the order asked."""
    cards = "".join(answer_view(language, answer) for answer in kept)
    for number, voice in enumerate(voices):
        if number in done:
            cards += answer_view(language, done[number])
        elif number in growing:
            event = growing[number]
            text = event.text if isinstance(event, Token) else ""
            cards += _card(_name(language, event.who), text, "", "writing")
        else:
            name = escape(ModelReference.parse(voice).label)
            cards += _card(f"<b>{name}</b>", "…", "", "waiting")
    return f'<div class="tri-talk">{_turn(language, talk, turn, cards)}</div>'


def answer_view(language: str, answer: Answer) -> str:
    """An answer with where it came from and how fast."""
    who = Who(answer.model, answer.adapter, answer.fingerprint, answer.precision, answer.strength)
    register = escape(say(language, f"register.{answer.register}"))
    speed = escape(say(language, "unit.tokens_a_second"))
    facts = [
        f'<span class="tri-register {escape(answer.register)}">{register}</span>',
        f"<span>{answer.tokens_per_second:.1f} {speed}</span>",
        f"<span>{answer.tokens} {escape(say(language, 'unit.tokens'))}</span>",
        identity(answer),
    ]
    if answer.stopped:
        facts.append(f"<span>{escape(say(language, 'write.stopped'))}</span>")
    elif not answer.ended:
        facts.append(f"<span>{escape(say(language, 'chat.ran_out'))}</span>")
    return _card(_name(language, who), answer.text, "".join(facts), "")


def identity(answer: Answer) -> str:
    """The chip that says whose tokens these are; the whole fingerprint in its tip."""
    base, _, adapter = answer.fingerprint.partition("+")
    short = f"#{base[:8]}" + (f"+{adapter[:8]}" if adapter else "")
    return f'<span class="tri-identity" title="{escape(answer.fingerprint)}">{escape(short)}</span>'


def received_view(language: str, turn: Turn | None) -> str:
    """What each model was really given, control tokens and all."""
    if turn is None or not turn.answers:
        return notice("info", say(language, "chat.received_none"))
    return "".join(_received(language, answer) for answer in turn.answers)


def cut_notice(language: str, answers: Sequence[Answer]) -> str:
    """When a conversation was cut to the context, the page says so."""
    found = ""
    for answer in answers:
        if answer.examples_left_out or answer.turns_left_out:
            words = say(
                language, "chat.cut", model=ModelReference.parse(answer.name).label,
                turns=answer.turns_left_out, examples=answer.examples_left_out,
            )  # fmt: skip
            found += notice("info", words)
    return found


def received_of(answer: Answer) -> Received:
    """The part of an answer that says what was given."""
    return Received(
        answer.received, answer.received_tokens, answer.examples_left_out, answer.turns_left_out
    )


def _received(language: str, answer: Answer) -> str:
    who = Who(answer.model, answer.adapter, answer.fingerprint, answer.precision, answer.strength)
    fired = ", ".join(f"{name} ({tokens})" for name, tokens in answer.fired)
    lore = escape(say(language, "chat.fired", entries=fired)) if fired else ""
    tokens = escape(say(language, "chat.received_tokens", count=f"{answer.received_tokens:,}"))
    return (
        f'<section class="tri-received"><h5>{_name(language, who)} {tokens}</h5>'
        f'<p class="tri-quiet">{lore}</p><pre class="tri-raw">{escape(answer.received)}</pre>'
        "</section>"
    )


def _turn(language: str, talk: Conversation, turn: Turn, cards: str) -> str:
    beside = talk.beside(turn.number) if turn.number in talk.turns else [turn.number]
    branch = ""
    if len(beside) > 1:
        words = say(
            language, "chat.branch_of", which=beside.index(turn.number) + 1, count=len(beside)
        )
        branch = f'<small class="tri-branch">{escape(words)}</small>'
    return (
        f'<section class="tri-exchange">{_bubble("user", turn.said, branch)}'
        f'<div class="tri-answers">{cards}</div>{cut_notice(language, turn.answers)}</section>'
    )


def _name(language: str, who: Who) -> str:
    """Base or tuned, as the pass itself told it."""
    kind = "tuned" if who.tuned else "base"
    label = escape(ModelReference.parse(who.name).label)
    strength = f" · {who.strength:g}" if who.tuned and who.strength != 1 else ""
    badge = escape(say(language, f"chat.{kind}"))
    return f'<i class="tri-who {kind}">{badge}</i> <b>{label}{strength}</b>'


def _bubble(role: str, text: str, below: str = "") -> str:
    return f'<div class="tri-turn tri-{role}"><p>{escape(text)}</p>{below}</div>'


def _card(name: str, text: str, facts: str, state: str) -> str:
    footer = f"<footer>{facts}</footer>" if facts else ""
    return (
        f'<article class="tri-sample tri-answer {state}"><header>{name}</header>'
        f"<p>{escape(text)}</p>{footer}</article>"
    )
