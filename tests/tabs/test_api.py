"""The API by name: what docs/api.md says, run; and nothing besides."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from gradio_client import Client

from tests.security.serving import Served, served
from workbench.settings import Settings

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path) -> Iterator[Served]:
    settings = Settings(
        workspace=tmp_path_factory.mktemp("api"), share=True, allowed_models=[f"file:{tiny_model}"],
        guest_tokens=90,
    )  # fmt: skip
    with served(settings) as running:
        yield running


def test_the_page_of_examples_runs(shared: Served, tiny_model: Path) -> None:
    """Each block of docs/api.md in turn, on a tiny model instead of a bundled one."""
    text = (ROOT / "docs/api.md").read_text("utf-8")
    blocks = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    assert len(blocks) == 6
    known: dict[str, Any] = {}
    for block in blocks:
        block = block.replace("http://127.0.0.1:7860", shared.url)
        block = re.sub(r"bundled:[\w\-]+", f"file:{tiny_model}", block)
        exec(block.replace("TOKEN", shared.house.keys.issue(), 1), known)
    assert known["figures"][0]["bits_per_character"] > 0
    assert 1 <= known["written"]["tokens"] <= 16
    assert known["answer"]["fingerprint"] and known["answer"]["tokens"] >= 1
    assert "There is no text yet" in known["refused"]
    with pytest.raises(Exception, match="No model was found"):  # any may be tried
        known["owner"].predict(["file:/nowhere"], "好", api_name="/perplexity")


def test_only_these_are_listed_and_each_says_what_it_takes(shared: Served) -> None:
    listed = httpx.get(f"{shared.url}/gradio_api/info").json()
    named = listed["named_endpoints"]
    assert set(named) == {"/models", "/perplexity", "/generate", "/chat"}
    assert listed["unnamed_endpoints"] == {}
    for endpoint in named.values():
        assert len(endpoint["description"]) > 40
        for parameter in endpoint["parameters"]:
            assert parameter["python_type"]["type"] != "Any", parameter["parameter_name"]


def test_a_guest_is_held_to_the_allowed_models_and_to_the_quota(
    shared: Served, tiny_model: Path
) -> None:
    guest = Client(shared.url, verbose=False)
    with pytest.raises(Exception, match="not among the models"):
        guest.predict("somebody/else", "好", api_name="/generate")
    with pytest.raises(Exception, match="all that guests can use for now"):
        for seed in range(9):
            guest.predict(f"file:{tiny_model}", "好", 20, 0.9, 0.95, seed, api_name="/generate")


def test_by_plain_http(shared: Served) -> None:
    joined = httpx.post(f"{shared.url}/gradio_api/call/models", json={"data": []}).json()
    said = httpx.get(f"{shared.url}/gradio_api/call/models/{joined['event_id']}", timeout=30).text
    assert "event: complete" in said
    rows = json.loads(said.split("data: ")[-1])[0]
    assert {"model", "loaded", "precision"} == rows[0].keys()
