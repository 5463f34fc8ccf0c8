"""The app starts as a Hugging Face Space and lets visitors load only what is allowed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.e2e.conftest import App
from tests.e2e.test_compare_page import choose_only

pytestmark = [pytest.mark.e2e, pytest.mark.real]


def test_a_space_starts_and_refuses_other_models(
    tmp_path: Path, visit: Callable[..., Page]
) -> None:
    space = App(tmp_path, SYSTEM="spaces", SPACE_ID="a/b")
    try:
        page = visit(url=space.wait().url)
        choose_only(page, "somebody/else")
        page.click("#ppl-run")
        expect(page.locator("#ppl-progress [role=alert]")).to_contain_text(
            "not among the models that can be used here"
        )
    finally:
        space.stop()
