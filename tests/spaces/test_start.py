"""The app as a Space starts it: who owns it, what is kept, and what a visitor may do."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import gradio as gr
import httpx
import pytest
from gradio import oauth
from starlette.requests import Request

from tabs._asking import owners_of_space, signed_in
from tabs._rules import rule_of
from tabs._shared import House
from tests.security.serving import served
from tests.zero import Lender
from workbench import settings as settings_module
from workbench.errors import NotAllowed, NotForVisitors
from workbench.settings import Settings


@pytest.fixture(autouse=True)
def space(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SYSTEM", "spaces")
    monkeypatch.setenv("SPACE_ID", "mei/trilogy")
    monkeypatch.setenv("SPACE_AUTHOR_NAME", "mei")


def somebody(
    name: str | None, session: str = "abc", until: float = 3600, **more: Any
) -> gr.Request:
    """A request as it comes with Gradio's session of who signed in."""
    known = {"userinfo": {"preferred_username": name}, "expires_at": time.time() + until}
    scope = {
        "type": "http", "method": "POST", "path": "/", "headers": more.get("headers", []),
        "query_string": b"", "client": ("10.0.0.9", 1),
        "session": {"oauth_info": known} if name else {},
    }  # fmt: skip
    return gr.Request(Request(scope), session_hash=session)


def test_only_the_one_who_owns_the_space_is_the_owner(tmp_path: Path) -> None:
    house = House.build(Settings(workspace=tmp_path))
    assert house.who(somebody("mei")).is_owner
    assert house.workspace(somebody("mei")).root == tmp_path
    for other in (somebody("siu"), somebody(None), somebody("mei", until=-1)):
        assert house.who(other).role == "visitor"
        with pytest.raises(NotForVisitors):
            house.may(other, "train")
        assert house.workspace(other).root == tmp_path / "visitors" / "abc"


def test_a_space_of_an_organization_names_its_owner(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRILOGY_SPACE_OWNER", "siu, wai")
    assert owners_of_space() == {"siu", "wai"}
    assert signed_in(somebody("siu")) == "siu"


def test_without_an_owner_nobody_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SPACE_AUTHOR_NAME")
    house = House.build(Settings(workspace=tmp_path))
    assert not house.who(somebody("mei")).is_owner
    assert not house.who(somebody(None)).is_owner


def test_visitors_use_what_is_allowed_and_a_reload_gives_no_new_quota(tmp_path: Path) -> None:
    house = House.build(Settings(workspace=tmp_path, allowed_models=["a/b"], hub_token="hf_x"))
    visitor = somebody(None)
    assert len(house.references(["a/b", "bundled:gemma-3-270m"], visitor)) == 2
    with pytest.raises(NotAllowed):
        house.references(["c/d"], visitor)
    assert house.references(["c/d"], somebody("mei"))
    assert house.settings_for(visitor).token is None
    assert house.settings_for(somebody("mei")).token == "hf_x"
    assert house.who(visitor).key == house.who(somebody(None, "other-page")).key
    forwarded = [(b"x-forwarded-for", b"1.1.1.1, 8.8.8.8")]
    assert house.who(somebody(None, headers=forwarded)).key == "address 8.8.8.8"


def test_persistent_storage_is_used_when_it_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TRILOGY_WORKSPACE")
    monkeypatch.delenv("TRILOGY_CACHE")
    monkeypatch.setattr(settings_module, "PERSISTENT", tmp_path / "data")
    assert Settings().workspace == Path("workspace")
    (tmp_path / "data").mkdir()
    assert Settings().workspace == tmp_path / "data" / "workspace"
    assert Settings().cache == tmp_path / "data" / "cache"
    monkeypatch.delenv("SYSTEM")
    assert Settings().workspace == Path("workspace")


def test_on_zerogpu_a_visitor_is_answered_from_a_borrowed_process(
    tmp_path: Path, tiny_model: Path, lender: Lender
) -> None:
    model = f"file:{tiny_model}"
    settings = Settings(workspace=tmp_path, allowed_models=[model])
    with served(settings) as running:
        call = f"{running.url}/gradio_api/call/perplexity"
        joined = httpx.post(call, json={"data": [[model], "佢哋今日去咗邊度"]})
        said = httpx.get(f"{call}/{joined.json()['event_id']}", timeout=120).text
        assert "event: complete" in said, said
        assert '"bits_per_character"' in said
        assert lender.durations == [120]
        assert running.house.pool.loaded() == []
        lender.refuses = "You have exceeded your GPU quota"
        joined = httpx.post(call, json={"data": [[model], "聽日"]})
        said = httpx.get(f"{call}/{joined.json()['event_id']}", timeout=120).text
        assert "No GPU was lent: You have exceeded your GPU quota." in said


@pytest.mark.parametrize("hardware", ["cpu-basic", "t4-small", "zero-a10g"])
def test_the_page_is_served_with_signing_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hardware: str
) -> None:
    monkeypatch.setenv("SPACE_HARDWARE", hardware)
    monkeypatch.setenv("OAUTH_CLIENT_ID", "an id")
    for name in ("OAUTH_CLIENT_ID", "OAUTH_CLIENT_SECRET", "OAUTH_SCOPES"):
        monkeypatch.setattr(oauth, name, "openid")
    monkeypatch.setattr(oauth, "OPENID_PROVIDER_URL", "https://huggingface.co")
    monkeypatch.setenv("SPACE_HOST", "mei-trilogy.hf.space")
    with served(Settings(workspace=tmp_path)) as running:
        answer = httpx.get(running.url, headers={"Host": "mei-trilogy.hf.space"})
        assert answer.status_code == 200
        assert "frame-ancestors 'self' https://huggingface.co" in str(answer.headers)
        assert all(rule_of(e.fn) for e in running.page.fns.values() if e.fn is not None)
        assert httpx.get(f"{running.url}/owner").status_code == 404
        number = next(
            n for n, event in running.page.fns.items()
            if event.fn is not None and rule_of(event.fn) == "train"
        )  # fmt: skip
        event = running.page.fns[number]
        heard = running.guest().call(number, ["en", *[None] * (len(event.inputs) - 1)])
        assert not heard.went_well
