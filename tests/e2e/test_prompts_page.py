"""A prompt is tried and run, with a key that must be found nowhere, and with no key at all."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Page, Response, expect

from tests.e2e.conftest import App
from tests.fake_gemini import FakeGemini

pytestmark = [pytest.mark.e2e, pytest.mark.real]
Visit = Callable[..., Page]
MINUTE = 60_000
CANARY = "canary-AbC-2718281828"


@pytest.fixture
def server() -> Iterator[FakeGemini]:
    running = FakeGemini(delay=0.2, keys=(CANARY,)).start()
    yield running
    running.stop()


def to_prompts(page: Page) -> None:
    page.locator(".tri-tabs > .tab-wrapper button[role=tab]:visible").nth(1).click()
    page.wait_for_selector("#prompts-try")


def section(page: Page, number: int) -> None:
    page.locator(".tri-inner:visible").first.locator("button[role=tab]:visible").nth(number).click()


def fill(page: Page, box: str, value: str) -> None:
    entry = page.locator(f"{box}").locator("input, textarea").first
    entry.fill(value)
    entry.press("Tab")
    page.wait_for_timeout(250)


def listen(page: Page, heard: list[str]) -> None:
    """Keep the bodies of everything that this page is answered."""

    def note(response: Response) -> None:
        with contextlib.suppress(Exception):  # a stream that goes on has no body yet
            heard.append(response.text())

    page.on("response", note)


def test_a_key_is_used_and_found_nowhere(visit: Visit, app: App, server: FakeGemini) -> None:
    page, other = visit(), visit()
    answers: list[str] = []
    others: list[str] = []
    listen(page, answers)
    listen(other, others)
    to_prompts(page)
    to_prompts(other)
    page.locator("#prompts-kind label").nth(1).click()
    expect(page.locator("#prompts-teacher-said")).to_contain_text("A key is needed")
    fill(page, "#prompts-url", server.address)
    fill(page, "#prompts-key", CANARY)
    expect(page.locator("#prompts-teacher-said")).to_contain_text("There is a key")
    expect(page.locator("#prompts-key input")).to_have_value("")
    page.click("#prompts-models")
    expect(page.locator("#prompts-teacher-said")).to_contain_text("models.")
    page.click("#prompts-try")
    expect(page.locator("#prompts-result .tri-verdict")).to_contain_text("kept", timeout=MINUTE)
    expect(page.locator("#prompts-result .tri-item-kept").first).to_be_visible()

    section(page, 1)
    fill(page, "#prompts-name", "e2e-run")
    page.click("#prompts-start")
    expect(page.locator("#prompts-run-said")).to_contain_text("e2e-run has started")
    page.reload()
    page.wait_for_selector("#ppl-run")
    to_prompts(page)
    section(page, 1)
    expect(page.locator("#prompts-live .tri-status")).to_contain_text("done", timeout=MINUTE)
    expect(page.locator("#prompts-live")).to_contain_text("rows a dollar")
    page.locator("#prompts-out > button").click()
    fill(page, "#prompts-dataset", "e2e-rows")
    page.click("#prompts-save")
    expect(page.locator("#prompts-out-said")).to_contain_text("in the Data tab", timeout=MINUTE)

    # after the reload it is another visit: the key is gone, and the server is not asked
    page.locator("#prompts-kind label").nth(1).click()
    fill(page, "#prompts-url", server.address)
    section(page, 0)
    asked = len(server.asked)
    page.click("#prompts-try")
    expect(page.locator("#prompts-result")).to_contain_text("needs a key")
    assert len(server.asked) == asked > 2

    page.wait_for_timeout(500)
    stored = page.evaluate(
        "JSON.stringify([{...localStorage}, {...sessionStorage}, document.cookie])"
    )
    pages = page.content() + other.content()
    assert CANARY not in stored + pages + "".join(others) + "".join(answers)
    assert answers
    folder = app.log.parent
    for path in folder.rglob("*"):
        if path.is_file():
            assert CANARY.encode() not in path.read_bytes(), path
    rows = (folder / "workspace/prompts/e2e-run/rows.jsonl").read_text("utf-8").splitlines()
    assert len(rows) >= 20
    assert json.loads(rows[0])["prompt"] == "self-instruct-cantonese@1"


def test_with_no_key_the_first_button_works_and_is_honest(visit: Visit) -> None:
    page = visit()
    to_prompts(page)
    page.locator("#prompts-how > button").click()
    fill(page, "#prompts-tokens", "90")
    page.click("#prompts-try")
    expect(page.locator("#prompts-result .tri-raw")).to_be_visible(timeout=5 * MINUTE)
    expect(page.locator("#prompts-result .tri-verdict")).to_contain_text("kept", timeout=5 * MINUTE)
    expect(page.locator("#prompts-result .tri-found").first).to_be_visible()


@pytest.mark.parametrize(("locale", "word"), [("zh-HK", "試一次"), ("zh-CN", "试一次")])
def test_the_tab_speaks_the_language_and_fits_a_phone(visit: Visit, locale: str, word: str) -> None:
    page = visit(locale=locale, width=390)
    to_prompts(page)
    expect(page.locator("#prompts-try")).to_have_text(word)
    for number in range(4):
        section(page, number)
        page.wait_for_timeout(600)
        assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_a_slot_that_nothing_fills_is_one_sentence(visit: Visit) -> None:
    page = visit()
    to_prompts(page)
    page.locator("#prompts-edit > button").click()
    fill(page, "#prompts-text", "{{weather}}")
    expect(page.locator("#prompts-preview")).to_contain_text("weather", timeout=MINUTE)
    page.click("#prompts-try")
    expect(page.locator("#prompts-result")).to_contain_text("slot “weather”")
