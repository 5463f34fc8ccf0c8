"""A Gemini of our own for each test, and a workspace."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fake_gemini import FakeGemini
from workbench.settings import Settings
from workbench.workspace import Workspace


@pytest.fixture
def server() -> Iterator[FakeGemini]:
    running = FakeGemini(hang=4).start()
    yield running
    running.stop()


@pytest.fixture
def place(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path / "workspace")


@pytest.fixture
def chosen(place: Workspace) -> Settings:
    return Settings(workspace=place.root)
