"""Three languages say the same things, and the Cantonese is Cantonese."""

from __future__ import annotations

import re
import string
from pathlib import Path

import pytest

from tabs._words import LANGUAGES, explain, label, say, words
from workbench.errors import OutOfRange, WorkbenchError, leaves

ROOT = Path(__file__).resolve().parents[2]
OTHERS = [language for language in LANGUAGES if language != "en"]


def fields(text: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(text) if name}


@pytest.mark.parametrize("language", OTHERS)
def test_every_language_has_the_same_keys_and_facts(language: str) -> None:
    english, other = words()["en"], words()[language]
    assert other.keys() == english.keys()
    for key, text in english.items():
        assert fields(other[key]) == fields(text), key


def test_every_error_can_be_said_in_every_language() -> None:
    for leaf in leaves(WorkbenchError):
        for language in LANGUAGES:
            said = words()[language][f"error.{leaf.__name__}"]
            assert fields(said) == leaf.fields(), (language, leaf.__name__)


def test_every_field_an_error_names_has_a_name() -> None:
    error = OutOfRange(field="top_p", value=2, low=0, high=1)
    for language in LANGUAGES:
        assert words()[language]["field.top_p"] in explain(language, error)


def test_every_key_the_code_asks_for_exists() -> None:
    asked = set()
    for path in [*ROOT.glob("tabs/*.py"), ROOT / "app.py"]:
        asked |= set(re.findall(r'(?:label|say)\((?:\w+, )?"([^"{}]+)"', path.read_text("utf-8")))
    assert len(asked) > 60
    assert asked <= words()["en"].keys()


def test_cantonese_words_are_cantonese() -> None:
    ours = words()["zh-TW"]
    for key, text in ours.items():
        plain = re.sub(r"\{\w+\}|目的", "", text)
        assert not re.search(r"[這們沒]|(?<![但])是(?!但)|(?<![目])的(?!士)", plain), (key, text)


def test_simplified_words_hold_no_traditional_characters() -> None:
    for key, text in words()["zh-CN"].items():
        assert not re.search(r"[這們沒嗎對於為個說語單揀調]", text), (key, text)


def test_an_unknown_language_is_english_and_an_unknown_key_is_a_bug() -> None:
    assert say("xx", "action.stop") == "Stop"
    with pytest.raises(KeyError):
        label("no.such.key")
