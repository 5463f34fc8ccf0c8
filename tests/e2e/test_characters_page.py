"""A card is brought in, looked at, changed and taken out, and nothing is fetched for it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.chat import cards_made as made
from tests.e2e.conftest import App

pytestmark = [pytest.mark.e2e, pytest.mark.real]
Visit = Callable[..., Page]
NASTY = '<img src="http://evil.example/x.png">![](http://evil.example/y.png)'


def to_characters(page: Page) -> None:
    page.locator(".tri-tabs > .tab-wrapper button[role=tab]:visible").nth(4).click()
    inner = page.locator(".tri-inner:visible").last
    inner.locator("button[role=tab]:visible").nth(1).click()
    page.locator("#character-choose label", has_text="Karen").click()
    expect(page.locator("#character-view .tri-character h3")).to_have_text("Karen")


def open_part(page: Page, name: str) -> None:
    page.locator(f"#{name} > button").first.click()


def test_a_card_comes_in_is_changed_and_goes_out(visit: Visit, app: App, tmp_path: Path) -> None:
    page = visit("zh-HK", 390)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    to_characters(page)
    assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
    expect(page.locator("#character-choose")).to_contain_text("輝哥")
    open_part(page, "character-cards")
    document = {**made.TAVERN, "data": {**made.TAVERN["data"], "creator_notes": NASTY}}
    raw = made.in_png(chara=made.as_json(document))
    card = tmp_path / "fan.png"
    card.write_bytes(raw)
    bring = page.locator("#character-bring input[type=file]")
    bring.set_input_files(card)
    expect(page.locator("#character-view h3")).to_have_text("阿芬")
    expect(page.locator("#character-said")).to_contain_text("設定集 1 條")
    expect(page.locator("#character-view")).to_contain_text("evil.example")

    page.locator("#character-out").click()
    with page.expect_download() as loaded:
        page.locator("#character-file a").first.click()
    assert Path(loaded.value.path()).read_bytes() == raw

    plain = tmp_path / "plain.png"
    plain.write_bytes(made.picture())
    bring.set_input_files(plain)
    expect(page.locator("#character-said")).to_contain_text("入面冇角色")

    open_part(page, "character-write")
    page.locator("#character-fill").click()
    expect(page.locator("#character-greeting textarea")).to_have_value(
        "*佢放低個餸籃* 「返嚟啦？」"
    )
    page.locator("#character-greeting textarea").fill("早晨呀！")
    page.locator("#character-save").click()
    expect(page.locator("#character-view .tri-turn").first).to_have_text("早晨呀！")
    assert all(url.startswith((app.url, "data:", "blob:")) for url in asked)

    page.locator("#character-delete").click()
    expect(page.locator("#character-said")).to_contain_text("剔咗個格先")
    page.locator("#character-sure input").check()
    page.locator("#character-delete").click()
    expect(page.locator("#character-view h3")).to_have_count(0)
    expect(page.locator("#character-choose")).not_to_contain_text("阿芬")


def test_a_conversation_that_was_not_held_has_no_score(visit: Visit) -> None:
    page = visit("en-US")
    to_characters(page)
    page.locator(".tri-inner:visible").last.locator("button[role=tab]:visible").nth(2).click()
    expect(page.locator("#score-run")).to_be_visible()
    page.locator("#score-here").click()
    expect(page.locator("#score-said")).to_contain_text("Nobody has answered yet")
    assert json.dumps(page.locator("#score-table").inner_text().strip()) == '""'
