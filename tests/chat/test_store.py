"""Characters are kept as cards, under names that are checked, and never half written."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.chat import cards_made as made
from workbench.chat import store
from workbench.chat.cards import read_card
from workbench.chat.character import Character
from workbench.chat.pictures import check_picture, drawn, thumbnail
from workbench.chat.shipped import FOLDER, ORDER, shipped
from workbench.errors import (
    BrokenCard,
    CardTooLarge,
    CharacterExists,
    InvalidName,
    NoSuchCharacter,
)
from workbench.language import register
from workbench.workspace import Workspace


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path)


def test_a_card_is_kept_as_it_came(workspace: Workspace) -> None:
    raw = made.in_png(chara=made.as_json(made.TAVERN))
    name = store.save(read_card(raw, "fan.png"), workspace)
    assert name == "阿芬"
    assert (workspace.characters / "阿芬.png").read_bytes() == raw
    assert store.save(read_card(raw, "fan.png"), workspace) == "阿芬-2"
    assert [one.name for one in store.listed(workspace)] == ["阿芬", "阿芬-2"]


def test_names_are_checked(workspace: Workspace) -> None:
    character = Character(name="../../etc/passwd")
    assert store.save(character, workspace) == "etc-passwd"
    assert store.save(Character(name="///"), workspace) == "character"
    for bad in ("../x", "a/b", "", ".hidden"):
        with pytest.raises((InvalidName, NoSuchCharacter)):
            store.load(bad, workspace)
    with pytest.raises(InvalidName):
        store.save(character, workspace, "../x")
    with pytest.raises(CharacterExists):
        store.save(character, workspace, "ETC-passwd")


def test_a_change_writes_over_and_leaves_one_file(workspace: Workspace) -> None:
    name = store.save(Character(name="Fan"), workspace)
    changed = replace(store.load(name, workspace), picture=made.picture())
    assert store.save(changed, workspace, name, replace=True) == name
    assert [path.name for path in workspace.characters.iterdir()] == ["Fan.png"]


def test_renaming_and_deleting(workspace: Workspace) -> None:
    for name in ("a", "b"):
        store.save(Character(name=name), workspace)
    with pytest.raises(CharacterExists):
        store.rename("a", "B", workspace)
    assert store.rename("a", "c", workspace) == "c"
    store.delete("c", workspace)
    with pytest.raises(NoSuchCharacter):
        store.delete("c", workspace)
    assert [one.name for one in store.listed(workspace)] == ["b"]


def test_a_broken_card_does_not_hide_the_others(workspace: Workspace) -> None:
    store.save(Character(name="a"), workspace)
    (workspace.characters / "bad.png").write_bytes(b"no picture")
    good, bad = store.listed(workspace)
    assert good.character is not None
    assert bad.character is None
    assert bad.error is not None


def test_a_file_that_is_too_large_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "big.json"
    with path.open("wb") as file:
        file.truncate(60_000_000)
    with pytest.raises(CardTooLarge):
        store.read_file(path)


def test_pictures_are_small_copies_or_drawn() -> None:
    for raw in (made.picture(), b"", b"no picture", shipped()[0].picture):
        assert thumbnail(raw, "阿芬").startswith("data:image/jpeg;base64,")
    assert check_picture(drawn("x"), "x.png") == drawn("x")
    with pytest.raises(BrokenCard):
        check_picture(b"<svg onload='x'/>", "x.svg")
    huge = bytearray(drawn("x"))
    huge[16:24] = (60_000).to_bytes(4, "big") * 2
    with pytest.raises(BrokenCard):
        check_picture(bytes(huge), "bomb.png")


@pytest.mark.parametrize("key", ORDER)
def test_shipped_characters_are_whole_and_cantonese(key: str) -> None:
    character = shipped()[ORDER.index(key)]
    assert len(character.greetings) == 3
    assert character.examples.count("<START>") == 3
    assert character.lorebook is not None
    assert len(character.lorebook.entries) >= 3
    for text in (character.description, character.scenario, character.system_prompt,
                 character.post_history, *character.greetings):  # fmt: skip
        assert register(text) in ("cantonese", "neutral"), text
    assert sum(register(text) == "cantonese" for text in character.greetings) >= 2
    drawing = (FOLDER / f"{key}.svg").read_text("utf-8")
    assert "http" not in drawing.replace("http://www.w3.org/2000/svg", "")
    assert character.picture.startswith(b"\x89PNG")
