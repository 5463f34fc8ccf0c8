"""The handlers of the Chat tab, as the page would call them, on tiny models."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import gradio as gr
import pytest

from app import build
from tabs._shared import House
from tests.chat.test_arena import vote
from workbench.chat import shelf
from workbench.chat.arena import Votes
from workbench.chat.conversation import Conversation
from workbench.settings import Settings

SAID, TALK, MESSAGE, WHOM = 2, 3, 4, 7
"""Places among the outputs of a conversation."""
NOBODY = ""


class Page:
    """One visitor and the events of the page."""

    def __init__(self, settings: Settings, names: list[str]) -> None:
        self.house, self.names = House.build(settings), names
        self.events = [one.fn for one in build(settings, self.house).fns.values() if one.fn]
        self.request = gr.Request(session_hash="visitor")
        self.talk: Conversation | None = None
        self.said = ""

    def event(self, name: str, which: int = 0) -> Any:
        return [one for one in self.events if one.__qualname__.endswith(name)][which]

    def choices(self, tokens: int = 6) -> list[Any]:
        dials = [0, 0, 1, 0, 1]
        return [self.names, 1, tokens, 1, *dials, "SYS", "", "chat", 4096, "fp32"]

    def ask(self, which: int, words: str = "", editing: bool = False, whom: str = "") -> list[Any]:
        """0 sends, 1 asks again, 2 goes on."""
        event = self.event("_wire_asking.<locals>.handler.<locals>.run", which)
        given = ["en", self.talk, words, editing, whom, NOBODY, *self.choices()]
        seen = list(event(self.request, *given))
        self._take(seen[-1])
        return seen

    def move(self, which: int) -> None:
        """0 takes back, 1 edits, 2 begins anew."""
        event = self.event("_wire_moving.<locals>.moved.<locals>.run", which)
        self._take(event(self.request, "en", self.talk, NOBODY))

    def _take(self, outputs: Any) -> None:
        self.last = outputs
        self.said = outputs[SAID]
        if isinstance(outputs[TALK], Conversation):
            self.talk = outputs[TALK]


@pytest.fixture
def page(tiny_model: Path, tiny_adapter: Path, settings: Settings) -> Page:
    return Page(settings, [f"file:{tiny_model}", f"file:{tiny_model}+{tiny_adapter}"])


def texts(talk: Conversation | None) -> list[str]:
    assert talk
    return [answer.text for answer in talk.path()[-1].answers]


def test_a_conversation_from_the_first_word_to_the_last(page: Page) -> None:
    seen = page.ask(0, "佢哋")
    first = texts(page.talk)
    assert len(set(first)) == 2
    assert any("tri-answer writing" in str(outputs[1]) for outputs in seen)
    assert page.last[1].count('class="tri-who base"') == 1
    assert page.last[1].count('class="tri-who tuned"') == 1
    assert "SYS" in page.last[-1]
    page.ask(1)  # greedy: the same words, on a branch of their own
    assert page.talk
    assert page.talk.beside(page.talk.tip or 0) == [1, 2]
    page.ask(1, whom=page.names[0])
    assert [one.voice for one in page.talk.path()[-1].answers] == page.names
    page.ask(2)
    assert [text.startswith(before) for text, before in zip(texts(page.talk), first, strict=True)]
    assert all(
        len(text) > len(before) for text, before in zip(texts(page.talk), first, strict=True)
    )
    page.move(1)
    assert page.last[MESSAGE] == "佢哋"
    page.ask(0, "我", editing=True)
    assert [turn.said for turn in page.talk.path()] == ["我"]
    page.move(0)
    assert page.talk.path() == []
    workspace = page.house.workspace(page.request)
    (kept,) = shelf.listed(workspace)
    assert len(shelf.read(kept.name, workspace).turns) == 5
    page.move(2)
    assert page.talk.turns == {}


def test_what_goes_wrong_is_said_and_loses_nothing(page: Page) -> None:
    page.ask(0, "佢哋")
    before = page.talk
    for which, words in ((0, " "), (0, "佢" * 100_000)):
        page.ask(which, words)
        assert "tri-error" in page.said
        assert page.talk == before
    assert page.last[MESSAGE] == "佢" * 100_000
    page.names = ["not a name"]
    page.ask(0, "x")
    assert "tri-error" in page.said
    page.talk = None
    for which in (1, 2):
        page.ask(which)
        assert "tri-error" in page.said
    for which in (0, 1):
        page.move(which)
        assert "tri-error" in page.said


def test_a_page_closed_in_the_middle_keeps_what_was_said(page: Page) -> None:
    event = page.event("_wire_asking.<locals>.handler.<locals>.run")
    work = event(page.request, "en", None, "佢哋", False, "", NOBODY, *page.choices(100))
    header = "<header>(?:(?!</header>).)*</header>"  # of one answer: another may still wait
    begun = re.compile(f'tri-answer writing">{header}<p>[^<]')
    next(outputs for outputs in work if begun.search(str(outputs[1])))
    work.close()
    workspace = page.house.workspace(page.request)
    (kept,) = shelf.listed(workspace)
    answers = shelf.read(kept.name, workspace).path()[-1].answers
    assert any(answer.stopped for answer in answers)  # the other may have ended by itself
    page.ask(0, "我")  # the base is free again
    assert len(texts(page.talk)) == 2


def test_a_blind_vote(page: Page) -> None:
    write = page.event("build_votes.<locals>.write")
    outputs = list(write(page.request, "en", "佢哋", NOBODY, *page.choices(12)))
    for shown in outputs:
        assert "tri-who" not in str(shown[1])
        assert "characters" not in str(shown[0])
    duel = outputs[-1][2]
    assert {duel.first.voice, duel.second.voice} == set(page.names)
    cast = page.event("voted.<locals>.vote")  # the first button: A
    after = cast("en", duel, "", "because")
    assert after[1].count("tri-who") == 2
    votes = Votes(page.house.settings.workspace / "results.sqlite").all()
    assert [(one.verdict, one.reason, one.duel) for one in votes] == [("first", "because", duel)]
    again = cast("en", duel, after[3], "")
    assert "tri-error" in again[0]
    assert after[3] == again[3] == votes[0].visitor


def test_the_standings_and_the_pairs(page: Page) -> None:
    votes = Votes(page.house.settings.workspace / "results.sqlite")
    for at in range(12):
        votes.add(vote("made/b", "made/b+r", "second", f"v{at}"))
    assert "tri-verdict" in page.event("build_standings.<locals>.show")("en")
    said, file = page.event("build_standings.<locals>.export")("en")
    assert "12" in said
    assert len(Path(file["value"]).read_text("utf-8").splitlines()) == 12
