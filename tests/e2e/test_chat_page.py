"""With an adapter that Tune made: talk to the duo, ask again, vote blind, see who wins, export."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.e2e.conftest import App
from tests.tune import small
from workbench import jobs
from workbench.settings import Settings
from workbench.tune import job
from workbench.workspace import Workspace

pytestmark = pytest.mark.e2e
Visit = Callable[..., Page]
SECONDS = 1000
WORDS = {
    "en-US": ("Base", "Tuned", "Not enough votes yet", "branch 2 of 2"),
    "zh-HK": ("底模", "調教過", "仲未夠票", "第 2 條分支"),
}


@pytest.fixture(scope="module")
def tuned(app: App, tiny_model: Path) -> str:
    """A run of Tune in the workspace of the app, on a tiny base."""
    workspace = Workspace(app.log.parent / "workspace")
    settings = Settings(workspace=workspace.root)
    small.dataset(workspace, "lines-for-chat")
    recipe = small.recipe(
        tiny_model, "for-chat", dataset="lines-for-chat", steps=3, eval_every=3, prompts=()
    )
    job.start(recipe, settings, workspace)
    folder, until = workspace.run("for-chat"), time.monotonic() + 180
    while jobs.status_of(folder) in ("queued", "running") and time.monotonic() < until:
        time.sleep(0.3)
    assert (folder / "adapter").is_dir(), (folder / "log.txt").read_text()
    return f"{recipe.base}+for-chat"


def to_chat(page: Page) -> None:
    page.locator(".tri-tabs > .tab-wrapper button[role=tab]:visible").nth(4).click()
    expect(page.locator("#chat-send")).to_be_visible()


def section(page: Page, number: int) -> None:
    page.locator(".tri-inner:visible").last.locator("button[role=tab]:visible").nth(number).click()


def both(page: Page, place: str) -> None:
    expect(page.locator(f"{place} .tri-answer footer")).to_have_count(2, timeout=120 * SECONDS)


def briefly(page: Page) -> None:
    """Sixteen tokens are enough to see who speaks."""
    page.locator("#chat-options > button").first.click()
    length = page.locator("#chat-length input[type=number]")
    length.fill("16")
    length.press("Tab")
    page.wait_for_timeout(300)  # the page tells its store a moment later


def duel(page: Page) -> None:
    """Two answers to vote on; a tiny model may say nothing at all, then it is asked again."""
    for _ in range(8):
        page.click("#vote-ask")
        page.wait_for_function(
            "!document.querySelector('#vote-first').disabled"
            " || document.querySelector('#vote-said .tri-error')",
            timeout=120 * SECONDS,
        )
        if page.locator("#vote-first").is_enabled():
            return
    raise AssertionError("nobody said anything")


def say(page: Page, words: str) -> None:
    page.locator("#chat-message textarea").fill(words)
    page.click("#chat-send")
    expect(page.locator("#chat-last .tri-user p")).to_have_text(words, timeout=60 * SECONDS)
    both(page, "#chat-last")


@pytest.mark.parametrize("locale", ["en-US", "zh-HK"])
def test_talk_ask_again_vote_and_take_it_away(
    visit: Visit, app: App, tuned: str, locale: str, tmp_path: Path
) -> None:
    base, kind, few, second = WORDS[locale]
    page = visit(locale)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    to_chat(page)
    expect(page.locator("#chat-voices")).to_contain_text("for-chat")
    briefly(page)
    page.click("#chat-send")  # the question that is already filled in
    both(page, "#chat-last")
    badges = page.locator("#chat-last .tri-who")
    assert badges.all_inner_texts() == [base, kind]
    chips = page.locator("#chat-last .tri-identity").all_inner_texts()
    assert chips[1].startswith(f"{chips[0]}+")

    evil = '<img src="https://evil.example/a.png"> ![b](https://evil.example/b.png)'
    say(page, evil)
    expect(page.locator("#chat-past .tri-answer")).to_have_count(2)
    page.click("#chat-again")
    expect(page.locator("#chat-last")).to_contain_text(second, timeout=60 * SECONDS)
    both(page, "#chat-last")

    section(page, 3)
    page.locator("#vote-prompt textarea").fill("食咗飯未")
    duel(page)
    blind = page.locator("#vote-answers").inner_text()
    assert kind not in blind
    assert "for-chat" not in blind
    page.click("#vote-first")
    both(page, "#vote-answers")
    expect(page.locator("#vote-answers")).to_contain_text("for-chat")
    expect(page.locator("#vote-second")).to_be_disabled()

    section(page, 4)
    expect(page.locator("#standings")).to_contain_text(few)
    expect(page.locator("#standings tbody tr")).to_have_count(2)

    section(page, 5)
    page.click("#keep-export")
    link = page.locator("#keep-file a[download], #keep-file a[href]").first
    expect(link).to_be_visible()
    with page.expect_download() as got:
        link.click()
    got.value.save_as(tmp_path / "talk.html")
    text = (tmp_path / "talk.html").read_text("utf-8")
    assert tuned.rpartition("+")[2] in text
    assert "<img" not in text
    alone = page.context.new_page()
    alone.set_viewport_size({"width": 390, "height": 800})
    alone.goto(f"file://{tmp_path / 'talk.html'}")
    assert alone.evaluate("document.documentElement.scrollWidth") <= 390
    assert {url.split("/")[2] for url in asked if url.startswith("http")} == {
        app.url.removeprefix("http://")
    }


def test_it_fits_a_phone_and_what_goes_wrong_loses_nothing(visit: Visit, tuned: str) -> None:
    page = visit("zh-CN", width=390)
    to_chat(page)
    expect(page.locator("#chat-voices")).to_contain_text("for-chat")
    briefly(page)
    say(page, "你好")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    cards = page.locator("#chat-last .tri-answer")
    assert cards.nth(0).bounding_box()["x"] == cards.nth(1).bounding_box()["x"]  # type: ignore[index]
    words = "字" * 100_000
    page.locator("#chat-message textarea").fill(words)
    page.click("#chat-send")
    expect(page.locator("#chat-said .tri-error").first).to_contain_text("token", timeout=60_000)
    expect(page.locator("#chat-message textarea")).to_have_value(words)
    expect(page.locator("#chat-last .tri-user p")).to_have_text("你好")
    page.click("#chat-undo")
    expect(page.locator("#chat-last .tri-user")).to_have_count(0)
    page.click("#chat-again")
    expect(page.locator("#chat-said .tri-error")).to_be_visible()
