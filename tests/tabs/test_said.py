"""Nothing on the page is said in one language only, and no key lies unused."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from app import build
from tabs._door import _language
from tabs._words import words
from workbench.settings import Settings

ROOT = Path(__file__).resolve().parents[2]
SPOKEN = ("label", "info", "description", "title")
# Names that are the same in every language: of models, formats, optimizers; figures and marks.
TECHNICAL = re.compile(r"[\w.\-/:+@]*|[«»–]|OWNER/NAME|cc-by-4\.0", re.ASCII)
HEADS = {"history-table", "mix-shares", "open-fields"}
"""Tables whose column heads are said by the server once it knows the language."""
NAMES = {"character-choose", "score-script"}
"""Choices of people, who are called the same in every language."""

NAMED = {"character-choose", "score-script"}
"""Choices that are people: a name is the same in every language."""


def said(props: dict[str, Any], kind: str) -> Iterator[str]:
    """The words of one component that a person reads."""
    for name in SPOKEN:
        if isinstance(props.get(name), str):
            yield props[name]
    if kind in ("button", "markdown", "tabitem", "uploadbutton", "downloadbutton"):
        yield str(props.get("value") or "")
    for choice in (props.get("choices") or []) if props.get("elem_id") not in NAMED else []:
        yield str(choice[0] if isinstance(choice, (list, tuple)) else choice)
    if kind == "dataframe" and props.get("elem_id") not in HEADS:
        yield from (str(head) for head in props.get("headers") or [])


def test_every_word_on_the_page_is_in_the_catalogue(tmp_path: Path) -> None:
    page = build(Settings(workspace=tmp_path, share=True))
    literal, looked = [], 0
    for component in page.config["components"]:
        if component["props"].get("elem_id") in NAMES:
            continue
        for text in said(component["props"], component["type"]):
            looked += 1
            if "__i18n__" not in text and not TECHNICAL.fullmatch(text):
                literal.append((component["type"], component["props"].get("elem_id"), text[:60]))
    assert literal == []
    assert looked > 300


def test_no_key_lies_unused() -> None:
    """A key is used if the code names it, or names the part before a piece it fills in."""
    sources = [*ROOT.glob("tabs/*.py"), *ROOT.glob("workbench/**/*.py"), ROOT / "app.py"]
    code = "\n".join(path.read_text("utf-8") for path in sources)
    named = set(re.findall(r"[\"'f]([a-z_]+(?:\.[\w]+)+)[\"']", code))
    begun = tuple(re.findall(r"f[\"']([a-z_]+\.[\w.]*)\{|[\"']([a-z_]+\.)[\"']", code))
    begun = tuple(one for pair in begun for one in pair if one)
    ended = tuple(re.findall(r"f[\"']\{[^}]+\}(\.[\w.]+)[\"']", code))
    # f"{words}.{name}" in the figures, and the report, which takes its room's words whole
    mixed = ("register.", "card.")
    unused = [
        key
        for key in words()["en"]
        if key not in named
        and not key.startswith(("error.", *begun, *mixed))
        and not key.endswith(ended)
    ]
    assert unused == []


@pytest.mark.parametrize(
    ("browser", "language"),
    [
        ("zh-HK", "zh-TW"), ("zh-TW", "zh-TW"), ("zh-Hant", "zh-TW"), ("yue", "zh-TW"),
        ("yue-Hant-HK,en;q=0.5", "zh-TW"), ("zh-MO", "zh-TW"), ("zh-CN", "zh-CN"),
        ("zh-Hans", "zh-CN"), ("zh", "zh-CN"), ("zh-SG", "zh-CN"), ("en-GB", "en"),
        ("fr,ja", "en"), ("fr,zh-HK;q=0.5", "zh-TW"), ("", "en"),
    ],
)  # fmt: skip
def test_the_browser_chooses_the_words(browser: str, language: str) -> None:
    assert _language({"accept-language": browser}) == language  # type: ignore[arg-type]
    assert _by_script(browser) == language


def _by_script(browser: str) -> str:
    """What ``assets/page.js`` picks, read from its own expressions."""
    script = (ROOT / "assets/page.js").read_text("utf-8")
    patterns = re.findall(r"/(\^[^/]+)/i\.test\(tag\)\s*\?\s*(\"[\w-]+\")", script)
    assert len(patterns) == 3
    for tag in [one.split(";")[0].strip() for one in browser.split(",")]:
        for pattern, picked in patterns:
            if re.match(pattern, tag, re.IGNORECASE):
                return str(json.loads(picked))
    return "en"
