"""A person opens the page, presses buttons and reads what is there."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.e2e.conftest import FETCH_SECONDS, App

pytestmark = [pytest.mark.e2e, pytest.mark.real]

GEMMA = "bundled:gemma-3-270m"
SMOLLM = "bundled:smollm2-135m-instruct"
Visit = Callable[..., Page]
HISTORY = 6
"""The place of the last part of the tab."""


def figure(page: Page, model: str, column: str) -> float:
    cell = page.locator(f'#perplexity-table tr[data-model="{model}"] [data-column="{column}"]')
    found = re.search(r"[\d,.]+", cell.inner_text())
    assert found, cell.inner_text()
    return float(found.group().replace(",", ""))


def wait_for_both(page: Page) -> None:
    for model in (GEMMA, SMOLLM):
        row = f'#perplexity-table tr[data-model="{model}"]'
        page.wait_for_selector(row, timeout=FETCH_SECONDS * 1000)


def open_section(page: Page, number: int) -> None:
    tabs = page.locator(".tri-inner button[role=tab]")
    if tabs.count() > number:
        tabs.nth(number).click()
        return
    # on a narrow screen Gradio moves what does not fit into a menu
    page.locator(".tri-inner .overflow-menu > button").click()
    page.locator(".tri-inner .overflow-dropdown button").nth(number - tabs.count()).click()


def choose_only(page: Page, name: str) -> None:
    box = page.locator("#compare-models")
    while box.locator(".token-remove:not(.remove-all)").count():
        box.locator(".token-remove:not(.remove-all)").first.click()
    if name:
        box.locator("input").fill(name)
        box.locator("input").press("Enter")
    page.locator("h3").first.click()


def in_memory(page: Page, model: str) -> Locator:
    """The line of a model in the panel of what is loaded; its adapters have their own."""
    return page.locator(".tri-memory label", has_text=model.removeprefix("bundled:") + " ·")


def test_the_first_button_compares_both_bundled_models(visit: Visit) -> None:
    page = visit()
    page.click("#ppl-run")
    wait_for_both(page)
    assert 5 < figure(page, GEMMA, "bits_per_character") < 9
    assert 9 < figure(page, SMOLLM, "bits_per_character") < 14
    # token perplexity says the opposite, and the page explains why
    assert figure(page, SMOLLM, "token_perplexity") < figure(page, GEMMA, "token_perplexity")
    expect(page.locator("#ppl-results")).to_contain_text("Do not go by token perplexity here")
    expect(page.locator("#ppl-results .tri-verdict")).to_contain_text("gemma-3-270m predicts")
    for model in (GEMMA, SMOLLM):  # others may be there, of pages opened before
        expect(in_memory(page, model)).to_be_visible()


def test_the_same_request_is_answered_from_the_history(visit: Visit) -> None:
    page = visit()
    page.click("#ppl-run")
    wait_for_both(page)
    before = figure(page, GEMMA, "bits_per_character")
    again = visit()
    again.click("#ppl-run")
    wait_for_both(again)
    assert figure(again, GEMMA, "bits_per_character") == before
    expect(again.locator("#perplexity-table")).to_contain_text("from earlier")


def test_pasted_text_is_scored_and_too_few_documents_are_said(visit: Visit) -> None:
    page = visit()
    page.locator("#ppl-source input").nth(1).check()
    page.locator("#ppl-paste textarea").fill("今晚食咩好呢？不如去樓下茶餐廳食個焗豬扒飯啦。")
    page.click("#ppl-run")
    wait_for_both(page)
    expect(page.locator("#ppl-results")).to_contain_text("No interval")


def test_a_file_in_big5_is_read(visit: Visit, tmp_path: Path) -> None:
    old = tmp_path / "old.txt"
    old.write_bytes("我哋今日去咗海邊行咗成個下晝，真係好舒服。".encode("big5hkscs"))
    page = visit()
    page.locator("#ppl-source input").nth(2).check()
    page.locator("#ppl-file input[type=file]").set_input_files(str(old))
    expect(page.locator("#ppl-file")).to_contain_text("old")
    page.click("#ppl-run")
    wait_for_both(page)


def test_nothing_chosen_and_nothing_found_are_one_sentence_each(visit: Visit) -> None:
    page = visit()
    choose_only(page, "")
    page.click("#ppl-run")
    expect(page.locator("#ppl-progress [role=alert]")).to_have_text(
        "No model is chosen. Choose at least one."
    )
    choose_only(page, "nobody/no-such-model")
    page.click("#ppl-run")
    expect(page.locator("#ppl-progress [role=alert]")).to_contain_text("nobody/no-such-model")
    choose_only(page, SMOLLM)
    page.click("#ppl-run")  # the next request works
    page.wait_for_selector(f'#perplexity-table tr[data-model="{SMOLLM}"]', timeout=60_000)
    expect(page.locator("#ppl-progress [role=alert]")).to_have_count(0)


def test_continuations_stream_side_by_side_with_their_labels(visit: Visit) -> None:
    page = visit()
    open_section(page, 1)
    page.locator("#write-prompts textarea").fill("今日天氣好好，我哋")
    page.click("#write-run")
    page.wait_for_function(
        "document.querySelectorAll('#write-results .tri-sample footer').length == 2",
        timeout=120_000,
    )
    for model in (GEMMA, SMOLLM):
        column = page.locator(f'#write-results .tri-column[data-model="{model}"]')
        expect(column.locator(".tri-register")).to_be_visible()
        expect(column).to_contain_text("tokens/s")


def test_stop_stops_the_writing_and_keeps_what_is_there(visit: Visit) -> None:
    page = visit()
    open_section(page, 1)
    page.locator("#write-prompts textarea").fill("從前有個人住喺離島，佢每日")
    page.locator("#write-results").wait_for(state="attached")
    page.get_by_label("number input for New tokens").fill("512")
    page.click("#write-run")
    page.wait_for_selector("#write-results .writing", timeout=120_000)
    page.click("#write-stop")
    expect(page.locator("#write-results")).to_contain_text("stopped", timeout=10_000)


def test_the_heat_map_tells_what_was_expected(visit: Visit) -> None:
    page = visit()
    open_section(page, 2)
    text = page.locator("#map-text textarea").input_value()
    page.click("#map-run")
    page.wait_for_selector("#map-results [data-model=difference]", timeout=120_000)
    for model in (GEMMA, SMOLLM, "difference"):
        shown = page.locator(f'#map-results [data-model="{model}"] p').inner_text()
        assert shown == text  # every character once, in order
    cell = page.locator(f'#map-results [data-model="{GEMMA}"] p span').nth(5)
    cell.scroll_into_view_if_needed()
    page.mouse.move(2, 2)
    cell.hover()
    expect(page.locator(".tri-tip")).to_contain_text("Expected here:")


def test_earlier_results_are_found_opened_exported_and_deleted(visit: Visit) -> None:
    page = visit()
    page.click("#ppl-run")
    wait_for_both(page)
    open_section(page, HISTORY)
    cells = page.locator("#history-table [role=gridcell]")
    cells.first.wait_for()
    page.locator("#history-search input, #history-search textarea").fill("perplexity cantonese")
    page.wait_for_timeout(1500)
    cells.nth(3).click()
    detail = page.locator("#history-detail")
    expect(detail).to_contain_text("Fingerprint")
    with page.expect_download() as download:
        page.click("#history-export")
        page.locator("#history-file a[download]").first.click()
    exported = Path(download.value.path()).read_text(encoding="utf-8")
    assert exported.startswith("number,created,kind,model")
    assert GEMMA in exported
    opened = re.search(r"Result (\d+),", detail.inner_text())
    assert opened
    page.get_by_role("button", name="Delete this result").click()
    expect(page.locator("body")).to_contain_text(f"Result {opened.group(1)} was deleted.")


def test_unload_frees_a_model(visit: Visit) -> None:
    page = visit()
    page.click("#ppl-run")
    wait_for_both(page)
    open_section(page, 2)
    page.click("#map-run")  # loads both, whatever the history held
    page.wait_for_selector("#map-results [data-model=difference]", timeout=120_000)
    in_memory(page, SMOLLM).locator("input").check()
    page.get_by_role("button", name="Unload").click()
    expect(in_memory(page, SMOLLM)).to_have_count(0)
    expect(in_memory(page, GEMMA)).to_be_visible()


@pytest.mark.parametrize(
    ("locale", "language", "button"),
    [
        ("en-GB", "en", "Compare the models"),
        ("zh-HK", "zh-TW", "比較呢啲模型"),
        ("zh-TW", "zh-TW", "比較呢啲模型"),
        ("zh-CN", "zh-CN", "比较这些模型"),
        ("fr-FR", "en", "Compare the models"),
    ],
)
def test_the_browser_chooses_the_language(
    visit: Visit, locale: str, language: str, button: str
) -> None:
    page = visit(locale)
    expect(page.locator("#ppl-run")).to_have_text(button)
    assert page.evaluate("document.documentElement.lang") == language


def test_the_header_changes_the_language_for_labels_and_sentences(visit: Visit) -> None:
    page = visit("en-US")
    page.get_by_role("button", name="粵語").click()
    expect(page.locator("#ppl-run")).to_have_text("比較呢啲模型")
    expect(page.locator("#compare-fits")).to_contain_text("放得落", timeout=60_000)


@pytest.mark.parametrize("locale", ["en-US", "zh-HK", "zh-CN"])
def test_nothing_is_wider_than_a_phone(visit: Visit, locale: str) -> None:
    page = visit(locale, width=390)
    page.click("#ppl-run")
    wait_for_both(page)
    for number in range(HISTORY + 1):
        open_section(page, number)
        page.wait_for_timeout(300)
        assert page.evaluate("document.documentElement.scrollWidth") <= 390, number


def test_all_five_tabs_open(visit: Visit) -> None:
    page = visit()
    for number, name in enumerate(["Compare", "Prompts", "Data", "Tune", "Chat"]):
        tab = page.locator(".tri-tabs button[role=tab]").nth(number)
        expect(tab).to_have_text(name)
        tab.click()
        page.wait_for_timeout(200)


def test_no_endpoint_is_offered_to_strangers(app: App, visit: Visit) -> None:
    page = visit()
    answer = page.request.get(f"{app.url}/gradio_api/info")
    named = json.loads(answer.text())["named_endpoints"]
    assert named.keys() == {"/models", "/perplexity", "/generate", "/chat"}  # docs/api.md
