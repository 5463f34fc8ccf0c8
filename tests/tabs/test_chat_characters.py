"""The form gives back what it was given, and nothing of a stranger's card runs on the page."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import gradio as gr
import pytest
from hypothesis import given, settings

from tabs._chat_character_form import PLAIN, character_of, values_of
from tabs._chat_character_views import character_view
from tabs._chat_characters import NOBODY, find
from tabs._chat_score import score_view
from tabs._shared import House
from tabs._words import LANGUAGES
from tests.chat import cards_made as made
from tests.chat.test_cards import CHARACTERS
from workbench.chat import store
from workbench.chat.cards import natural_form, read_card, write_card
from workbench.chat.character import Character, Entry, Lorebook
from workbench.chat.messages import Message
from workbench.chat.scored import judged
from workbench.chat.shipped import shipped
from workbench.errors import BrokenCard, NoCharacterName, WorkbenchError
from workbench.settings import Settings

NASTY = '<img src="http://evil.example/x.png" onerror=alert(1)>![](http://evil.example/y.png)'


def changed(character: Character | None, **texts: str) -> Character:
    """The character after somebody typed."""
    values = values_of(character)
    for name, text in texts.items():
        values[PLAIN.index(name)] = text
    return character_of(values, character)


@pytest.mark.parametrize("number", range(6))
def test_a_form_that_was_only_opened_changes_nothing(number: int) -> None:
    character = shipped()[number]
    assert changed(character) == character


@settings(max_examples=60, deadline=None)
@given(CHARACTERS)
def test_any_character_goes_through_the_form(character: Character) -> None:
    values = [re.sub("\r\n?", "\n", text or "") for text in values_of(character)[:-1]]
    assert character_of([*values, None], character) == character


def test_an_edit_leaves_every_other_byte_of_the_card() -> None:
    raw = made.as_json(made.TAVERN)
    character = read_card(raw, "fan.json")
    new = write_card(changed(character, greeting="早晨"), natural_form(character))
    again = read_card(new, "fan.json")
    assert again == replace(character, greeting="早晨")
    assert "\r\n" in again.description


def test_entries_of_the_lorebook_are_written_as_lines() -> None:
    old = Lorebook(
        (Entry(("貓", "豆腐"), "橙貓", insertion_order=7, raw={"id": 3}), Entry(("狗",), "冇"))
    )
    character = Character(name="K", lorebook=old)
    text = values_of(character)[PLAIN.index("lorebook")]
    assert text == "貓, 豆腐\n橙貓\n=====\n狗\n冇"
    book = changed(character, lorebook="貓, 豆腐\n肥橙貓\n\n第二段\n=====\n* 規則\n永遠").lorebook
    assert book is not None
    first, second = book.entries
    assert (first.content, first.insertion_order, first.raw) == ("肥橙貓\n\n第二段", 7, {"id": 3})
    assert (second.keys, second.constant, second.content) == (("規則",), True, "永遠")


def test_a_new_character_needs_a_name_and_a_picture_that_is_one(tmp_path: Path) -> None:
    made_new = changed(None, name=" 阿芬 ", alternate_greetings="一\n=====\n二", tags="a，b")
    assert (made_new.name, made_new.alternate_greetings) == ("阿芬", ("一", "二"))
    assert made_new.tags == ("a", "b")
    with pytest.raises(NoCharacterName):
        changed(None, greeting="x")
    path = tmp_path / "x.png"
    path.write_text("<svg/>")
    with pytest.raises(BrokenCard):
        character_of([*values_of(made_new)[:-1], str(path)], made_new)


@pytest.mark.parametrize("language", LANGUAGES)
def test_nothing_of_a_card_becomes_markup(language: str) -> None:
    book = Lorebook((Entry((NASTY,), NASTY), Entry((), NASTY, constant=True)))
    character = Character(
        name=NASTY[:150], description=NASTY, greeting=NASTY, alternate_greetings=(NASTY,),
        examples=NASTY, tags=(NASTY,), creator=NASTY, creator_notes=NASTY, lorebook=book,
    )  # fmt: skip
    drawn = character_view(language, character)
    assert re.findall(r"<img [^>]*", drawn) == re.findall(r'<img src="data:image/jpeg[^>]*', drawn)
    assert drawn.count("<img") == 1
    for one in shipped():
        assert one.name in character_view(language, one)
    assert "tri-notice" in character_view(language, None)


@pytest.mark.parametrize("language", LANGUAGES)
def test_scores_are_drawn_with_their_sentences(language: str) -> None:
    talk = (Message("user", "你住邊？"), Message("assistant", f"我住沙田。\nUser: {NASTY}"))
    drawn = score_view(language, judged(shipped()[0], {"bundled:a": talk, "b/c+<d>": talk}))
    assert "<img" not in drawn
    assert "我住沙田。" in drawn
    assert drawn.count("<section>") == 2
    assert "{" not in drawn.replace(NASTY, "")


def test_a_key_reaches_only_the_visitors_own_cards(settings: Settings) -> None:
    house = House.build(settings)
    request = gr.Request(session_hash="a")
    workspace = house.workspace(request)
    name = store.save(Character(name="Fan"), workspace)
    assert find(house, request, NOBODY) is None
    found = find(house, request, f"own:{name}")
    assert found is not None
    assert found.name == "Fan"
    outside = workspace.root / "secret.json"
    outside.write_bytes(made.as_json(made.TAVERN))
    for key in ("own:../secret", "own:nobody", "shipped:nobody", "own:", "x", "file:/etc/passwd"):
        with pytest.raises(WorkbenchError):
            find(house, request, key)


def test_on_a_space_visitors_do_not_see_one_another(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SYSTEM", "spaces")
    house = House.build(settings)
    one = gr.Request(session_hash="one")
    two = gr.Request(session_hash="two")
    store.save(Character(name="Fan"), house.workspace(one))
    assert find(house, one, "own:Fan")
    with pytest.raises(WorkbenchError):
        find(house, two, "own:Fan")
