"""A person cuts a text, asks probes, makes a scorecard and takes the report home."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.e2e.test_compare_page import GEMMA, SMOLLM, Visit, open_section

pytestmark = [pytest.mark.e2e, pytest.mark.real]
TOKENS, PROBES, SCORECARD = 3, 4, 5
WORK_MS = 240_000


def test_the_same_text_is_cut_by_both_tokenizers(visit: Visit) -> None:
    page = visit("zh-HK", width=390)
    open_section(page, TOKENS)
    page.click("#cut-run")
    page.wait_for_selector(f'#cut-table tr[data-model="{SMOLLM}"]', timeout=WORK_MS)
    whole = page.locator(f'.tri-cut[data-model="{GEMMA}"] .tri-piece')
    parts = page.locator(f'.tri-cut[data-model="{SMOLLM}"] .tri-piece.bytes')
    expect(whole.first).to_have_text("佢")
    assert parts.count() > 20
    expect(page.locator("#cut-table tr.best")).to_contain_text("gemma")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_questions_are_asked_and_shown_one_by_one(visit: Visit, tmp_path: Path) -> None:
    page = visit("zh-HK", width=390)
    open_section(page, PROBES)
    page.click("#probe-options button")
    page.wait_for_timeout(800)  # what is inside is drawn only now
    mine = tmp_path / "mine.jsonl"
    rows = [
        {
            "id": "a",
            "question": "一個星期有幾多日？",
            "options": ["七日", "十日"],
            "answer": "七日",
        },
        {"id": "b", "question": "雪係咩色？", "options": ["白色", "黑色"], "answer": "藍色"},
    ]
    mine.write_text("\n".join(json.dumps(row, ensure_ascii=False) for row in rows))
    page.locator("#probe-file input[type=file]").set_input_files(mine)
    page.locator("#probe-sets label").first.click()  # none of the shipped ones
    page.wait_for_timeout(800)
    page.click("#probe-run")
    expect(page.locator("#probe-progress")).to_contain_text("row 2", timeout=WORK_MS)
    page.get_by_label("有問題嘅行唔要").check()
    page.locator("#probe-what label").nth(1).click()  # in writing too
    page.wait_for_timeout(500)
    page.click("#probe-run")
    asked = page.locator('#probe-questions tr[data-item="a"]')
    expect(asked.locator("td[data-label]")).to_have_count(2, timeout=WORK_MS)
    expect(asked.locator("li.right")).to_have_text("✓ 七日")
    expect(page.locator("#probe-totals")).to_contain_text("寫出嚟")
    expect(page.locator("#probe-totals")).to_contain_text("1 條題目太少")
    page.locator("#probe-what label").nth(2).click()  # seen before?
    page.wait_for_timeout(500)
    page.click("#probe-run")
    expect(asked.locator("td[data-label]").first).to_contain_text("個副本", timeout=WORK_MS)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_a_scorecard_is_made_and_the_report_opens_without_the_page(
    visit: Visit, tmp_path: Path
) -> None:
    page = visit()
    open_section(page, SCORECARD)
    page.click("#card-take")
    expect(page.locator("#card-progress")).to_contain_text("Make the scorecard first")
    page.locator("#card-options button").first.click()
    page.wait_for_timeout(800)  # what is inside is drawn only now
    page.locator("#card-limit input").fill("2")
    page.locator("#card-limit input").press("Tab")
    page.wait_for_timeout(500)  # the page tells its store a moment later
    page.click("#card-run")
    row = page.locator('#card-results tr[data-column="speed"] td b')
    expect(row.nth(1)).to_have_text(re.compile(r"\d"), timeout=WORK_MS)
    expect(page.locator('#card-results tr[data-column="knowledge"]')).to_contain_text(
        "not enough items", timeout=WORK_MS
    )
    best = page.locator('#card-results tr[data-column="fluency"] td.best')  # its star is drawn
    expect(best).to_have_attribute("data-model", "bundled:gemma-3-270m")
    expect(page.locator("#card-progress")).to_have_text("", timeout=WORK_MS)  # all of it is done
    page.click("#card-take")
    with page.expect_download() as download:
        page.locator("#card-file a[download], #card-file a[href]").first.click()
    saved = tmp_path / "card.html"
    download.value.save_as(saved)
    page.context.set_offline(True)
    alone = page.context.new_page()
    asked: list[str] = []
    alone.on("request", lambda request: asked.append(request.url))
    alone.set_viewport_size({"width": 390, "height": 800})
    alone.goto(saved.as_uri())
    assert asked == [saved.as_uri()]
    expect(alone.locator("svg")).to_have_count(9)
    expect(alone.locator("article")).to_have_count(4)
    assert alone.evaluate("document.documentElement.scrollWidth") <= 390
