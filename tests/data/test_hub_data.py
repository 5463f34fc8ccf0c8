"""A dataset of the Hub is named by OWNER/NAME, and whatever goes wrong there is one sentence."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tests.fake_hub import FakeHub
from tests.tiny import finish, never
from workbench.data.hub import HubRequest, bring_hub, bring_request, look_at_hub
from workbench.data.recipe import HubSource
from workbench.errors import DatasetExists, DatasetUnavailable, NoDataset
from workbench.settings import Settings
from workbench.workspace import Workspace

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path / "workspace")


def test_a_dataset_that_is_not_there_is_one_sentence(
    hub: FakeHub, workspace: Workspace, settings: Settings
) -> None:
    asked = HubRequest("nobody/nothing")
    for ask in (
        lambda: look_at_hub(asked, settings),
        lambda: finish(bring_request(asked, workspace, "desk", settings, never())),
    ):
        with pytest.raises(DatasetUnavailable, match="nobody/nothing") as caught:
            ask()
        assert len(str(caught.value).splitlines()) == 1
    assert hub.asked
    assert not workspace.dataset("desk").exists()


def test_without_a_network_it_is_one_sentence(tmp_path: Path) -> None:
    environment = {
        **os.environ,
        "HF_ENDPOINT": "http://127.0.0.1:9",
        "HF_HOME": str(tmp_path / "hub"),
        "TRILOGY_WORKSPACE": str(tmp_path / "workspace"),
    }
    made = subprocess.run(
        [sys.executable, "-m", "workbench", "data", "import", "hub:a/b", "--name", "x", "--json"],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert made.returncode in (1, 2)
    assert made.stdout == ""
    said = [line for line in made.stderr.splitlines() if "a/b" in line]
    assert len(said) == 1
    assert "Traceback" not in made.stderr
    assert not (tmp_path / "workspace" / "datasets" / "x").exists()


@pytest.mark.parametrize(
    "name", ["nothing", "csv", "a/b/c", "../x/y", "/etc", "a b/c", "assets/data", "a/..", "a/b@c"]
)
def test_what_is_no_owner_and_name_is_never_looked_for(
    name: str, hub: FakeHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    with pytest.raises(DatasetUnavailable, match="OWNER/NAME"):
        HubRequest(name)
    assert hub.asked == []


def test_no_name_at_all_is_asked_for() -> None:
    for name in ("", "  "):
        with pytest.raises(NoDataset):
            HubRequest(name)


def test_a_recipe_cannot_name_a_folder_of_this_machine(
    workspace: Workspace, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    source = HubSource("assets/data", "", "train", "main", 0, {"format": "messages", "fields": {}})
    with pytest.raises(DatasetUnavailable, match="OWNER/NAME"):
        finish(bring_hub(source, workspace, "desk", settings, never()))
    assert not workspace.dataset("desk").exists()


def test_a_name_in_the_workspace_that_is_taken_is_said_before_anything_is_fetched(
    hub: FakeHub, workspace: Workspace, settings: Settings
) -> None:
    folder = workspace.dataset("desk")
    folder.mkdir(parents=True)
    (folder / "dataset.json").write_text(json.dumps({}))
    source = HubSource("a/b", "", "train", "main", 0, {"format": "messages", "fields": {}})
    with pytest.raises(DatasetExists):
        finish(bring_hub(source, workspace, "desk", settings, threading.Event()))
    assert hub.asked == []
