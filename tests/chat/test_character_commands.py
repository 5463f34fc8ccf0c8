"""Characters on the command line: listed, brought in, taken out in another form, forgotten."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import pytest

from tests.chat import cards_made as made
from workbench.chat.cards import read_card
from workbench.chat.character_commands import add_characters
from workbench.chat.shipped import shipped
from workbench.errors import CharacterExists, NoSuchCharacter
from workbench.settings import Settings


@pytest.fixture
def run(settings: Settings, capsys: pytest.CaptureFixture[str]) -> Any:
    parser = argparse.ArgumentParser()
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--json", action="store_true")
    add_characters(parser.add_subparsers(), common)

    def call(*arguments: str) -> Any:
        options = parser.parse_args([*arguments, "--json"])
        assert options.run(options, settings) == 0
        return json.loads(capsys.readouterr().out)

    return call


def test_a_card_comes_in_and_goes_out_in_every_form(run: Any, tmp_path: Path) -> None:
    card = tmp_path / "fan.png"
    card.write_bytes(made.in_png(chara=made.as_json(made.TAVERN)))
    assert run("bring", str(card), "--name", "fan") == {"name": "fan", "character": "阿芬"}
    with pytest.raises(CharacterExists):
        run("bring", str(card), "--name", "fan")
    listed = run("characters")
    assert len(listed["shipped"]) == 6
    assert listed["workspace"] == [{"name": "fan", "character": "阿芬", "error": None}]
    out = tmp_path / "same.png"
    run("card", "fan", "--form", "png-v2", "--out", str(out))
    assert out.read_bytes() == card.read_bytes()
    run("forget", "fan", "--yes")
    with pytest.raises(NoSuchCharacter):
        run("card", "fan")


def test_a_shipped_character_goes_out(run: Any, tmp_path: Path) -> None:
    out = tmp_path / "karen.yaml"
    run("card", "karen", "--form", "yaml", "--out", str(out))
    assert read_card(out.read_bytes(), out.name).lorebook == shipped()[0].lorebook
    assert run("card", "Karen")["entries"] == 4
