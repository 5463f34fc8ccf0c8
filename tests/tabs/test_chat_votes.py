"""Votes and conversations leave the Chat room as rows that the Data room reads."""

from __future__ import annotations

import json
from pathlib import Path

from tabs._chat_views import answer_view, growing_view, last_view, past_view, turn_view
from tabs._chat_votes import _level, _named, _unnamed, standings_view
from tests.chat.test_arena import answer, many, vote
from workbench.chat.arena import as_preferences
from workbench.chat.conversation import Answer, Conversation
from workbench.chat.export import as_rows
from workbench.chat.standings import standings
from workbench.data.formats.convert import detect, to_examples

EVIL = '<img src=x onerror=alert(1)>![a](https://evil.example/p.png)<a href="//evil.example">'


def test_votes_are_preferences_to_the_data_room(tmp_path: Path) -> None:
    rows = as_preferences(many(6, 3, 0.5))
    mapping = detect(rows, "votes.jsonl")
    (example,) = to_examples(json.loads(json.dumps(rows[0])), mapping)
    assert example.chosen
    assert example.rejected
    assert example.messages[-1].content == "q"


def test_a_conversation_is_messages_to_the_data_room() -> None:
    talk = Conversation().say("一").answered(1, [answer("b", "二")])
    rows = [json.loads(line) for line in as_rows(talk).splitlines()]
    (example,) = to_examples(rows[0], detect(rows, "talk.jsonl"))
    assert [one.content for one in example.messages] == ["一", "二"]


def test_whatever_a_model_writes_stays_words() -> None:
    evil = Answer("b", EVIL, "b", EVIL, EVIL, EVIL, received=EVIL, register=EVIL)
    talk = Conversation(greeting=EVIL).say(EVIL).answered(1, [answer("b", EVIL)])
    shown = "".join(
        [
            past_view("en", talk.say(EVIL)),
            last_view("en", talk),
            turn_view("en", talk, talk.path()[0]),
            growing_view("en", talk, talk.path()[0], ["made/b"], {}, {}),
            _unnamed([EVIL, EVIL]),
            _named("en", vote("b", "b+r", "tie").duel, "tie"),
        ]
    )
    assert "<img" not in shown
    assert "<a " not in shown
    assert "&lt;img" in shown
    assert answer_view("en", answer("b", EVIL)).count("&lt;img") == 1
    assert evil.text == EVIL


def test_base_and_tuned_are_named_by_the_answer() -> None:
    assert 'class="tri-who base"' in answer_view("en", answer("made/b"))
    assert 'class="tri-who tuned"' in answer_view("en", answer("made/b+r"))


def test_nothing_before_the_vote_tells_who_is_who() -> None:
    duel = vote("made/b", "made/b+r", "tie").duel
    before = _unnamed([duel.first.text, duel.second.text])
    for part in ("made", "b+r", "#", "tri-who", "token"):
        assert part not in before
    assert "made/b" not in before
    assert _level(["abcdef", "ab"], {}) == ["ab", "ab"]
    assert _level(["abc", "ab"], {0: duel.first}) == ["ab", "ab"]
    assert _level(["abc", "ab"], {0: duel.first, 1: duel.second}) == ["abc", "ab"]


def test_standings_say_when_there_are_too_few_votes() -> None:
    for language in ("en", "zh-TW", "zh-CN"):
        assert "tri-info" in standings_view(language, standings([]))
        few = standings_view(language, standings(many(4, 4, 1.0)))
        assert "tri-verdict" not in few
        assert "–" in few
        assert "tri-verdict" in standings_view(language, standings(many(60, 12, 0.85)))
