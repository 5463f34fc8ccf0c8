"""From a file of seed tasks and a corpus to a training set, on the page alone."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from playwright.sync_api import Locator, Page, expect

from tests.e2e.conftest import App

pytestmark = [pytest.mark.e2e, pytest.mark.real]
Visit = Callable[..., Page]
PARTS = ("open", "browse", "figures", "clean", "alike", "mix", "out", "log")
SEEDS = [
    ("用廣東話介紹一種街頭小食。", "", "雞蛋仔外脆內軟，一底撕開一粒粒咁食，啱啱出爐最香。"),
    ("將下面呢句改成禮貌啲嘅講法。", "你快啲行開啦。", "唔好意思，麻煩你借一借路。"),
    ("寫三個去離島嘅理由。", "", "一，食海鮮。二，行山睇海。三，遠離市區嘅嘈吵。"),
    ("解釋「執輸」點解。", "", "「執輸」即係做嘢慢過人，蝕咗底。"),
    ("解釋「執輸」係點解。", "", "「執輸」即係做嘢慢過人，蝕咗底嘅意思。"),
    ("改正句子入面嘅文法錯誤。", "He goes to school every day.", "He goes to school every day."),
    ("寫一封請假電郵。", "", "陳小姐你好，我今日唔舒服，想請一日假。\n\n[Your Name]"),
    ("點樣煲一煲靚湯？", "", "我係一個人工智能語言模型，所以冇辦法煲湯。"),
    ("將下面嘅字排好次序。", "三月、一月、二月", "一月、二月、三月。"),
    ("列出兩種茶餐廳飲品。", "", "凍檸茶同鴛鴦。"),
]


@pytest.fixture
def seeds(tmp_path: Path) -> Path:
    """Seed tasks in the self-instruct shape: near-duplicates, and four that a check should tag."""
    rows = [
        {
            "id": f"seed_task_{number}",
            "name": f"task_{number}",
            "instruction": instruction,
            "instances": [{"input": given, "output": output}],
            "is_classification": False,
        }
        for number, (instruction, given, output) in enumerate(SEEDS)
    ]
    path = tmp_path / "seed tasks.json"  # JSON Lines under another name: content decides
    lines = (json.dumps(row, ensure_ascii=False) for row in rows)
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


def to_data(page: Page) -> None:
    tabs = page.locator(".tri-tabs > .tab-wrapper button[role=tab]:visible")
    tabs.nth(2).click()
    page.wait_for_selector("#open-run")


def part(page: Page, name: str) -> None:
    """One part of the tab; on a narrow screen what does not fit is in a menu."""
    inner = page.locator(".tri-inner:visible").last
    tabs = inner.locator("button[role=tab]:visible")
    place = PARTS.index(name)
    if tabs.count() > place:
        tabs.nth(place).click()
        return
    inner.locator(".overflow-menu > button").click()
    inner.locator(".overflow-dropdown button").nth(place - tabs.count()).click()


def choose(box: Locator, value: str) -> None:
    box.locator("input").click()
    box.page.get_by_role("option", name=value, exact=True).click()


def bring_file(page: Page, path: Path, name: str) -> None:
    part(page, "open")
    page.locator("#open-kind input").nth(1).check()
    page.locator("#open-file input[type=file]").set_input_files(path)
    expect(page.locator("#open-preview .tri-card").first).to_be_visible()
    page.locator("#open-name").locator("input, textarea").fill(name)
    page.click("#open-run")
    said(page, name)


def said(page: Page, text: str) -> None:
    expect(page.locator("#data-said")).to_contain_text(text, timeout=60_000)


def kept(page: Page) -> str:
    return page.locator("#data-status .tri-kept b").inner_text()


def test_from_seeds_and_a_corpus_to_a_training_set(visit: Visit, app: App, seeds: Path) -> None:
    page = visit()
    to_data(page)
    expect(page.locator("#data-status")).to_contain_text("The desk is empty")
    page.click("#open-run")
    said(page, "hkcancor is on the desk")
    bring_file(page, seeds, "seeds")
    expect(page.locator("#open-preview")).to_contain_text("self-instruct seeds")

    part(page, "mix")
    for name in ("hkcancor", "seeds"):
        choose(page.locator("#mix-parts"), name)
    page.locator("h3:visible").first.click()
    page.click("#mix-look")
    expect(page.locator("#mix-picture")).to_contain_text("seeds")
    page.click("#mix-run")
    said(page, "mixed is on the desk")

    part(page, "alike")
    page.click("#alike-search")
    expect(page.locator("#alike-found")).to_contain_text("nothing is a duplicate", timeout=60_000)
    page.locator("#alike-threshold input[type=number]").fill("0.6")
    page.locator("#alike-threshold input[type=number]").press("Enter")
    page.click("#alike-search")
    expect(page.locator("#alike-found .tri-pair").first).to_be_visible()
    expect(page.locator("#alike-found mark").first).to_be_visible()
    page.click("#alike-apply")
    said(page, "duplicates:")

    part(page, "clean")
    page.click("#clean-run")
    said(page, "checks:")
    for tag in ("Task broken by translation", "Unfilled placeholders", "Refusals"):
        expect(page.locator("#clean-found")).to_contain_text(tag)

    part(page, "browse")
    page.locator("#rows-show input").nth(2).check()
    expect(page.locator("#rows-count")).to_contain_text("Rows 1 to")
    lines = page.locator("#rows-list tr[data-row]")
    expect(page.locator("#rows-list tr.tri-out").first).to_be_visible()
    for number in range(lines.count()):
        expect(lines.nth(number).locator(".tri-chip.tri-drops").first).to_be_visible()
    page.locator("#rows-list tr[data-row]", has_text="改正句子").first.click()
    reasons = page.locator("#rows-detail .tri-reasons")
    expect(reasons).to_contain_text("Task broken by translation")

    part(page, "mix")
    page.click("#split-run")
    said(page, "split:")
    expect(page.locator("#split-picture")).to_contain_text("validation")
    page.click("#split-check")
    expect(page.locator("#split-leak")).to_contain_text("No near-duplicates", timeout=60_000)
    page.click("#save-run")
    said(page, "training is on the desk")

    part(page, "log")
    expect(page.locator("#log-steps")).to_contain_text("Taken from other datasets")
    folder = app.log.parent / "workspace" / "datasets" / "training"
    table = pq.read_table(folder / "data.parquet")
    assert set(table.column("split").to_pylist()) == {"train", "validation", "test"}
    text = json.dumps(table.column("messages").to_pylist(), ensure_ascii=False)
    assert "雞蛋仔" in text
    assert "He goes to school" not in text
    assert "[Your Name]" not in text
    assert text.count("蝕咗底") == 1


def test_rows_are_searched_filtered_edited_and_decided_by_keyboard(
    visit: Visit, seeds: Path
) -> None:
    page = visit()
    to_data(page)
    bring_file(page, seeds, "by-hand")
    part(page, "browse")
    expect(page.locator("#rows-list tr[data-row]")).to_have_count(len(SEEDS))
    page.locator("#rows-list tr[data-row]").first.click()
    page.keyboard.press("ArrowDown")
    expect(page.locator("#rows-detail h4")).to_contain_text("#1")
    page.keyboard.press("d")
    expect(page.locator("#rows-list tr[data-row='1']")).to_have_class("tri-out")
    expect(page.locator("#data-status")).to_contain_text("9 of 10 rows kept")
    expect(page.locator("#rows-detail h4")).to_contain_text("#2")
    page.keyboard.press("ArrowUp")
    expect(page.locator("#rows-detail")).to_contain_text("Left out by hand")
    page.keyboard.press("u")
    expect(page.locator("#data-status")).to_contain_text("10 of 10 rows kept")

    page.locator("#rows-filters > button").click()
    page.wait_for_timeout(800)
    page.locator("#rows-sql textarea, #rows-sql input").fill("characters < 20")
    page.click("#rows-add-sql")
    expect(page.locator("#rows-stack")).to_contain_text("characters < 20 (takes")
    page.locator("#rows-sql textarea, #rows-sql input").fill("row IN (SELECT 1)")
    page.click("#rows-add-sql")
    said(page, "a SELECT inside it is not allowed")
    page.locator("#rows-stack input").first.uncheck()
    expect(page.locator("#rows-count")).to_contain_text("of 10 (10")
    page.locator("#rows-search").locator("input, textarea").fill("鴛鴦")
    page.locator("#rows-search").locator("input, textarea").press("Enter")
    expect(page.locator("#rows-list tr[data-row]")).to_have_count(1)

    page.locator("#rows-edit > button").click()
    page.wait_for_timeout(800)
    text = page.locator("#rows-text textarea")
    expect(text).to_have_value("## user\n列出兩種茶餐廳飲品。\n## assistant\n凍檸茶同鴛鴦。")
    text.fill("## user\n列出兩種茶餐廳飲品。\n## assistant\n凍檸茶、鴛鴦同奶茶，<b>任揀</b>。")
    page.click("#rows-save")
    expect(page.locator("#rows-detail")).to_contain_text("<b>任揀</b>")
    part(page, "log")
    page.click("#log-undo")
    said(page, "Undone: edit")
    part(page, "browse")
    expect(page.locator("#rows-detail")).not_to_contain_text("任揀")


@pytest.mark.parametrize(("locale", "word"), [("zh-HK", "拎入嚟"), ("zh-CN", "导入")])
def test_the_tab_speaks_the_language_and_fits_a_phone(
    visit: Visit, seeds: Path, locale: str, word: str
) -> None:
    page = visit(locale=locale, width=390)
    to_data(page)
    expect(page.locator("#open-run")).to_contain_text(word)
    bring_file(page, seeds, f"phone-{locale}")
    for name in PARTS:
        part(page, name)
        page.wait_for_timeout(700)
        assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_a_bad_file_is_one_sentence_and_its_good_rows_can_be_had(
    visit: Visit, tmp_path: Path
) -> None:
    path = tmp_path / "broken.jsonl"
    good = json.dumps({"instruction": "講個笑話", "output": "熱狗點解要焗桑拿？佢想變熱狗。"})
    path.write_text("\n".join([*[good] * 30, '{"instruction": "斷', good]), encoding="utf-8")
    page = visit()
    to_data(page)
    page.locator("#open-kind input").nth(1).check()
    page.locator("#open-file input[type=file]").set_input_files(path)
    expect(page.locator("#open-preview .tri-card").first).to_be_visible()
    page.click("#open-run")
    said(page, "broken.jsonl, line 31")
    page.locator("#open-skip input").check()
    page.click("#open-run")
    said(page, "31 rows")
    said(page, "1 bad rows were left out")
