"""The report stands alone, says what the card says, and nobody's markup gets in."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser

import pytest

from tests.compare.cards import EVIL, card, evil_card, measures
from workbench.compare.columns import COLUMNS
from workbench.compare.picture import Dot, dots
from workbench.compare.report import LANGUAGES, report

TAGS = {
    "html", "head", "meta", "title", "style", "body", "main", "h1", "h2", "h4", "h5", "div",
    "table", "thead", "tbody", "tr", "th", "td", "small", "b", "figure", "figcaption", "svg", "g",
    "text", "line", "circle", "ul", "li", "section", "article", "p", "footer", "span", "dl", "dt",
    "dd", "br",
}  # fmt: skip


class Reader(HTMLParser):
    """Collects tags and attributes, and complains of what is left open."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: list[tuple[str, str | None]] = []
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes += attrs
        if tag not in ("meta", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def read(html: str) -> Reader:
    reader = Reader()
    reader.feed(html)
    assert reader.open == []
    return reader


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_page_is_whole_and_asks_nothing_of_the_network(language: str) -> None:
    made = card(measures("a/good", right=0.9, bits=5), measures("a/bad", right=0.1, bits=9))
    html = report(made, "html", language)
    found = read(html)
    assert found.tags <= TAGS
    assert not re.search(r"url\(|@import|src=|href=|//(?!www\.w3\.org/2000/svg)", html)
    assert 'name="viewport"' in html
    assert "@media print" in html
    assert html.count("<svg") == len(COLUMNS)
    assert html.count('data-column="') == len(COLUMNS)
    assert html.count("<article") == 24
    assert "{" not in re.sub(r"<style>.*?</style>", "", html, flags=re.DOTALL)


@pytest.mark.parametrize("language", LANGUAGES)
def test_markup_from_models_files_and_people_is_text(language: str) -> None:
    html = report(evil_card(), "html", language)
    found = read(html)
    assert found.tags <= TAGS
    assert not [name for name, _ in found.attributes if name.startswith("on")]
    assert html.count("&lt;img src=x") >= 3
    written = report(evil_card(), "md", language)
    assert "<img" not in written.replace("\\<img", "")
    assert not re.search(r"(?<!\\)`", written)


def test_the_winner_is_marked_and_nobody_else() -> None:
    html = report(card(measures("a/good", right=0.9), measures("a/bad", right=0.1)), "html")
    row = re.search(r'<tr data-column="knowledge">.*?</tr>', html)
    assert row
    assert '<td data-model="a/good" class="best"><b>90%</b>' in row.group()
    assert '<td data-model="a/bad"><b>10%</b>' in row.group()
    assert "good, clearly" in row.group()
    equal = report(card(measures("a/one"), measures("a/two")), "html")
    assert "no clear winner" in equal


def test_json_holds_every_answer_and_what_is_needed_to_repeat_it() -> None:
    made = json.loads(report(card(measures("a/one"), measures("a/two")), "json"))
    assert [column["name"] for column in made["columns"]] == list(COLUMNS)
    assert [len(found["items"]) for found in made["models"][0]["probes"]] == [60] * 4
    assert len(made["settings"]["text"]["sha256"]) == 64
    assert made["settings"]["writing"]["seed"] == 1
    assert "torch" in made["versions"]


def test_markdown_has_a_row_a_column_and_the_evil_stays_on_one_line() -> None:
    lines = report(card(measures("a/one"), measures("a/two")), "md").splitlines()
    table = [line for line in lines if line.startswith("|")]
    assert len(table) == len(COLUMNS) + 2
    assert {line.count("|") for line in table} == {5}
    evil = report(evil_card(), "md").splitlines()
    assert all(EVIL not in line for line in evil)


def test_dots_lie_on_the_scale_and_nothing_is_drawn_of_nothing() -> None:
    assert dots("t", [], 0, 1, str) == ""
    drawn = dots("t", [Dot("<b>", 2.0, -1.0, 5.0, 0), Dot("y", 0.5, None, None, 7)], 0, 1, str)
    assert "<b>" not in drawn
    for x in map(float, re.findall(r'(?:cx|x1|x2)="([\d.]+)"', drawn)):
        assert 0 <= x <= 320
