"""Every event of the page has a rule, and the rule holds whoever calls."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gradio as gr
import pytest
from gradio.context import LocalContext

from app import build
from tabs._rules import enforce, rule, rule_of
from tabs._shared import House
from workbench.rights import ACTIONS, MAY
from workbench.settings import Settings


def shared(tmp_path: Path, **more: Any) -> Settings:
    return Settings(workspace=tmp_path, share=True, **more)


def test_every_event_of_the_page_has_a_rule(tmp_path: Path) -> None:
    """A new event without one is the owner's alone; this test asks that it be said."""
    page = build(shared(tmp_path))
    without = [
        (event.fn.__module__, event.fn.__qualname__)
        for event in page.fns.values()
        if event.fn is not None and rule_of(event.fn) is None
    ]
    assert without == []
    assert len(page.fns) > 80


def test_every_action_is_in_the_table() -> None:
    assert set(MAY) == set(ACTIONS)
    assert all("owner" in roles for roles in MAY.values())


def test_a_rule_that_does_not_exist_is_a_bug() -> None:
    with pytest.raises(ValueError, match="no such action"):
        rule("fly")  # type: ignore[arg-type]


def handlers(house: House) -> dict[str, Any]:
    """One event of each kind, as the page would hold them."""

    @rule("train")
    def train(language: str) -> str:
        return "trained"

    @rule("compare")
    def compare(language: str) -> Any:
        yield "one"
        yield "two"

    def forgotten(language: str) -> str:
        return "done"

    with gr.Blocks() as page:
        language = gr.Textbox()
        for handler in (train, compare, forgotten):
            gr.Button().click(handler, language, gr.Textbox())
    enforce(page, house)
    return {event.fn.__name__: event.fn for event in page.fns.values() if event.fn}


def test_a_guest_is_refused_in_their_language_and_the_owner_is_not(tmp_path: Path) -> None:
    found = handlers(House.build(shared(tmp_path)))
    assert list(found["compare"]("en")) == ["one", "two"]
    for name in ("train", "forgotten"):
        with pytest.raises(gr.Error, match="主人"):
            found[name]("zh-TW")
    at_home = handlers(House.build(Settings(workspace=tmp_path)))
    assert (at_home["train"]("en"), at_home["forgotten"]("en")) == ("trained", "done")


def test_a_guest_who_used_their_hour_up_is_told_when_there_is_more(tmp_path: Path) -> None:
    house = House.build(shared(tmp_path, guest_requests=2))
    compare = handlers(house)["compare"]
    for _ in range(2):
        list(compare("en"))
    with pytest.raises(gr.Error, match="about 60 minutes"):
        list(compare("en"))
    assert house.quotas.used(house.who(), "seconds") > 0


def test_who_asks_is_known_from_the_request_being_answered(tmp_path: Path) -> None:
    house = House.build(shared(tmp_path))
    session = house.keys.redeem(house.keys.issue(), "here")
    cookies = {house.keys.owner_cookie: session}
    assert house.who().role == "guest"
    token = LocalContext.request.set(gr.Request(session_hash="s", cookies=cookies))
    try:
        assert house.who().is_owner
        assert house.workspace().root == tmp_path
    finally:
        LocalContext.request.reset(token)
    assert house.workspace().root == tmp_path / "visitors" / "nobody"
