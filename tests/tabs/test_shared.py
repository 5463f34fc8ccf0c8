"""On a public Space each visitor has a place of their own, which goes when they leave."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gradio as gr
import pytest

from tabs._shared import House
from workbench.data.dataset import listed
from workbench.data.importing import bring_corpus
from workbench.data.recipe import CorpusSource
from workbench.errors import InvalidName
from workbench.settings import Settings


class Request(gr.Request):
    """A visitor of whom only the session is known."""

    def __init__(self, session: str) -> None:
        super().__init__(session_hash=session)


def visitor(session: str) -> Any:
    return Request(session)


@pytest.fixture
def house(tmp_path: Path) -> House:
    return House.build(Settings(workspace=tmp_path))


def bring(house: House, who: gr.Request) -> None:
    import threading

    source = CorpusSource("identity", "yue")
    list(bring_corpus(source, house.workspace(who), "me", threading.Event()))


def test_at_home_everybody_works_in_the_same_place(house: House) -> None:
    assert house.workspace(visitor("a")) == house.workspace(visitor("b"))
    bring(house, visitor("a"))
    house.leave(visitor("a"))
    assert [one.name for one in listed(house.workspace(visitor("b")))] == ["me"]


def test_on_a_space_nobody_sees_what_another_brought(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SYSTEM", "spaces")
    bring(house, visitor("abc"))
    assert listed(house.workspace(visitor("def"))) == []
    house.shelf.open(house.workspace(visitor("abc")), "me")
    house.leave(visitor("abc"))
    assert not house.workspace(visitor("abc")).root.exists()
    assert listed(house.workspace(visitor("abc"))) == []


@pytest.mark.parametrize("session", ["../..", "a/b", "", ".hidden"])
def test_a_session_cannot_name_another_place(
    house: House, monkeypatch: pytest.MonkeyPatch, session: str
) -> None:
    monkeypatch.setenv("SYSTEM", "spaces")
    if not session:
        assert house.workspace(visitor(session)).root.name == "nobody"
        return
    with pytest.raises(InvalidName):
        house.workspace(visitor(session))
