"""Shared by link: the owner and a guest at the same time, each in a browser of their own."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.e2e.conftest import App

pytestmark = [pytest.mark.e2e, pytest.mark.real]
expect.set_options(timeout=30_000)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[App]:
    running = App(tmp_path_factory.mktemp("share"), TRILOGY_SHARE="1", TRILOGY_TUNNEL="0")
    try:
        yield running.wait()
    finally:
        running.stop()


def links(app: App) -> tuple[str, str]:
    """The guests' link and the owner's, as they were printed."""
    for _ in range(100):
        said = app.log.read_text()
        guests, owner = re.search(r"Guests:\s+(\S+)", said), re.search(r"Owner:\s+(\S+)", said)
        if guests and owner:
            return guests[1], owner[1]
        time.sleep(0.1)
    raise AssertionError(said)


def someone(browser: Browser, url: str, locale: str = "en-US") -> tuple[Page, list[str]]:
    """A page in a browser that knows nothing, and what it asked other hosts for."""
    page = browser.new_context(locale=locale).new_page()
    elsewhere: list[str] = []
    page.on(
        "request",
        lambda asked: elsewhere.append(asked.url) if "127.0.0.1" not in asked.url else None,
    )
    page.set_default_timeout(30_000)
    page.goto(url)
    return page, elsewhere


def is_elsewhere(url: str) -> bool:
    return not url.startswith(("data:", "blob:", "about:"))


def test_owner_and_guest_at_once(shared: App, browser: Browser) -> None:
    guests, owners = links(shared)
    owner, theirs = someone(browser, owners)
    guest, others = someone(browser, f"{guests}/?tab=tune", "zh-HK")
    expect(owner.locator("#who")).to_have_text("You are the owner.")
    expect(guest.locator("#who")).to_have_text("你係客人。")
    assert "#" not in owner.url and "owner" not in owner.url

    # the guest sees no way to train, and the owner does
    expect(guest.locator("#tune-check")).to_be_visible()
    expect(guest.locator("#tune-start")).to_be_hidden()
    owner.get_by_role("tab", name="Tune").click()
    expect(owner.locator("#tune-start")).to_be_visible()
    expect(guest.locator("#links")).to_have_count(0)

    # it survives a reload, and the link works for nobody else
    owner.reload()
    expect(owner.locator("#who")).to_have_text("You are the owner.")
    late, _ = someone(browser, owners)
    expect(late.locator("#said")).to_contain_text("wrong or was used already")

    # the owner lets a phone in
    owner.locator("#links button").first.click()
    expect(owner.locator("#guests-link svg")).to_be_visible()
    owner.click("#another-owner")
    again = owner.locator("#owner-link code").inner_text()
    phone, _ = someone(browser, again)
    expect(phone.locator("#who")).to_have_text("You are the owner.")

    assert [url for url in theirs + others if is_elsewhere(url)] == []
    kept = guest.evaluate("JSON.stringify(localStorage)")
    assert "trilogy" in kept or kept == "{}"
    assert guest.evaluate("document.cookie") == ""
    for page in (owner, guest, late, phone):
        page.context.close()


def test_a_guest_who_takes_the_button_out_of_hiding_is_refused(
    shared: App, browser: Browser
) -> None:
    guest, _ = someone(browser, f"{links(shared)[0]}/?tab=tune")
    expect(guest.locator("#who")).to_have_text("You are a guest.")
    guest.add_style_tag(content="#tune-start { display: block !important }")
    guest.click("#tune-start")
    expect(guest.get_by_text("Only the owner of this workbench can do that").first).to_be_visible()
    guest.context.close()


def test_a_link_opens_with_its_tab_and_models(shared: App, browser: Browser) -> None:
    guests = links(shared)[0]
    page, _ = someone(browser, f"{guests}/?tab=compare&model=bundled:smollm2-135m-instruct")
    expect(page.locator("#compare-fits li b")).to_have_count(1)
    expect(page.locator("#compare-fits li b")).to_have_text("smollm2-135m-instruct")
    page.context.close()


def test_without_gradios_tunnel_it_says_so_and_serves_here(tmp_path: Path) -> None:
    app = App(
        tmp_path, TRILOGY_SHARE="1", TRILOGY_DEMO="chat,compare",
        GRADIO_SHARE_SERVER_ADDRESS="127.0.0.1:9",
    )  # fmt: skip
    try:
        app.wait()
        guests, _ = links(app)
        assert "tunnel cannot be reached" in app.log.read_text()
        assert guests == app.url
    finally:
        app.stop()


def test_open_to_all_without_an_owner_is_refused() -> None:
    done = subprocess.run(
        [sys.executable, "app.py", "--host", "0.0.0.0"], capture_output=True, text=True, timeout=60
    )
    assert done.returncode != 0
    assert "--share" in done.stderr and "Traceback" not in done.stderr
