"""A job is started, the page reloaded in the middle, the job stopped, resumed and used."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.e2e.conftest import App
from tests.e2e.test_data_page import bring_file, to_data

pytestmark = [pytest.mark.e2e, pytest.mark.real]
Visit = Callable[..., Page]
MINUTES = 60_000
PAIRS = [
    ("食咗飯未呀？", "食咗喇，頭先同同事食咗碗雲吞麵。"),
    ("聽日落唔落雨？", "天文台話會落，記得帶遮呀。"),
    ("你幾點收工？", "六點半，收工再打俾你。"),
    ("呢件衫靚唔靚？", "靚呀，個顏色好襯你。"),
    ("你搭咩車返工？", "搭地鐵，再轉小巴。"),
    ("週末去邊度玩？", "想去長洲食海鮮，你嚟唔嚟？"),
]


@pytest.fixture
def talk(tmp_path: Path) -> Path:
    """Short exchanges, each a little different, enough for a few steps."""
    rows = [
        {"messages": [{"role": "user", "content": f"{asked}（{number}）"},
                      {"role": "assistant", "content": f"{answered}{number}"}]}
        for number in range(8)
        for asked, answered in PAIRS
    ]  # fmt: skip
    path = tmp_path / "talk.jsonl"
    path.write_text("\n".join(json.dumps(row, ensure_ascii=False) for row in rows), "utf-8")
    return path


def to_tune(page: Page) -> None:
    page.locator(".tri-tabs > .tab-wrapper button[role=tab]:visible").nth(3).click()
    page.wait_for_selector("#tune-preset")


def section(page: Page, number: int) -> None:
    page.locator(".tri-inner:visible").last.locator("button[role=tab]:visible").nth(number).click()


def pick(page: Page, box: str, name: str) -> None:
    """Choose in a dropdown, which may have it chosen already."""
    entry = page.locator(f"{box} input")
    expect(entry).to_be_visible()
    page.wait_for_timeout(700)
    if entry.input_value() != name:
        entry.fill(name)
        entry.press("Enter")
    expect(entry).to_have_value(name)


def field(page: Page, name: str, value: str) -> None:
    box = page.locator(f"#tune-{name}").locator("input, textarea").first
    box.fill(value)
    box.press("Tab")
    expect(box).to_have_value(value)
    page.wait_for_timeout(250)  # the page tells its store a moment later


def reached(page: Page) -> int:
    found = re.search(r"Step (\d+) of", page.locator("#tune-live").inner_text())
    return int(found[1]) if found else 0


def wait_for_step(page: Page, step: int) -> None:
    page.wait_for_function(
        "step => { const found = /Step (\\d+) of/.exec("
        "document.querySelector('#tune-live').innerText); return found && +found[1] >= step }",
        arg=step,
        timeout=6 * MINUTES,
    )


def test_a_run_survives_the_page_and_is_stopped_resumed_and_used(
    visit: Visit, app: App, talk: Path
) -> None:
    page = visit()
    to_data(page)
    bring_file(page, talk, "talk")
    to_tune(page)
    pick(page, "#tune-dataset", "talk")
    field(page, "name", "my-first")
    page.locator("#tune-fields > button").click()
    page.wait_for_timeout(800)
    for name, value in (
        ("steps", "40"), ("batch", "2"), ("micro-batch", "2"), ("max-length", "64"),
        ("eval-every", "20"), ("save-every", "4"), ("sample-tokens", "8"), ("holdout", "4"),
    ):  # fmt: skip
        field(page, name, value)
    page.locator("#tune-fields textarea").fill("你好呀，食咗飯未？")
    page.click("#tune-check")
    expect(page.locator("#tune-before .tri-mask .learned.end").first).to_be_visible(
        timeout=2 * MINUTES
    )
    expect(page.locator("#tune-before")).to_contain_text("It fits")
    page.click("#tune-start")
    expect(page.locator("#tune-said")).to_contain_text("my-first has started", timeout=MINUTES)
    wait_for_step(page, 2)

    page.reload()
    page.wait_for_selector("#ppl-run")
    to_tune(page)
    section(page, 1)
    wait_for_step(page, 5)
    page.click("#tune-halt")
    expect(page.locator("#tune-live .tri-status")).to_have_text("stopped", timeout=2 * MINUTES)
    stopped = reached(page)
    assert 5 <= stopped < 40
    assert list((app.log.parent / "workspace/runs/my-first/checkpoints").glob("step-*"))

    page.click("#tune-resume")
    wait_for_step(page, stopped + 1)
    expect(page.locator("#tune-live .tri-status")).to_have_text("done", timeout=8 * MINUTES)
    assert reached(page) == 40
    expect(page.locator("#tune-live svg polyline").first).to_be_visible()
    expect(page.locator("#tune-live")).to_contain_text("step 40")

    section(page, 2)
    expect(page.locator("#tune-list")).to_contain_text("my-first")
    pick(page, "#tune-chosen", "my-first")
    expect(page.locator("#tune-card")).to_contain_text("Before and after")
    page.click("#tune-take")
    expect(page.locator("#tune-file")).to_contain_text("my-first")

    page.locator("#outcome-limit input").fill("1")
    page.locator("#outcome-limit input").press("Tab")
    page.wait_for_timeout(500)
    page.click("#outcome-make")
    expect(page.locator("#outcome-file")).to_contain_text("my-first-outcome", timeout=6 * MINUTES)
    expect(page.locator("#outcome-card")).to_contain_text("my-first")

    for tab, chooser in ((0, "#compare-models"), (4, "#chat-voices")):
        page.locator(".tri-tabs > .tab-wrapper button[role=tab]:visible").nth(tab).click()
        page.locator(f"{chooser} input").click()
        tuned = page.get_by_role("option", name="bundled:gemma-3-270m+my-first", exact=True)
        expect(tuned).to_be_visible()
        page.keyboard.press("Escape")


@pytest.mark.parametrize(("locale", "word"), [("zh-HK", "開始"), ("zh-CN", "开始")])
def test_the_tab_speaks_the_language_and_fits_a_phone(visit: Visit, locale: str, word: str) -> None:
    page = visit(locale=locale, width=390)
    tabs = page.locator(".tri-tabs > .tab-wrapper button[role=tab]:visible")
    tabs.nth(3).click()
    expect(page.locator("#tune-start")).to_have_text(word)
    page.locator("#tune-fields > button").click()
    page.wait_for_timeout(800)
    page.wait_for_timeout(500)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    for number in (1, 2):
        section(page, number)
        page.wait_for_timeout(700)
        assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_what_cannot_be_started_is_one_sentence(visit: Visit) -> None:
    page = visit()
    to_tune(page)
    field(page, "name", "../evil")
    page.click("#tune-start")
    expect(page.locator("#tune-said")).to_contain_text("cannot be a name")
    field(page, "name", "fine")
    page.locator("#tune-fields > button").click()
    page.wait_for_timeout(800)
    field(page, "learning-rate", "1")
    page.click("#tune-start")
    expect(page.locator("#tune-said")).to_contain_text("must be between")
