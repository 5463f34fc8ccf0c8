"""A guest calls every event in the page's own list by raw HTTP, and gets nothing of the owner's."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gradio as gr
import pytest

from tabs._rules import rule_of
from tests.data.desk import dataset_of, talk
from tests.security.serving import Caller, Served, served
from workbench.compare.history import History, Identity
from workbench.rights import MAY
from workbench.settings import Settings
from workbench.workspace import Workspace

SECRET = "豆花嘅秘密日記"
NAME = "secret-thing"
"""Of the owner's dataset and of their run."""
NAMES = (NAME, f"../../../datasets/{NAME}")


def furnish(root: Path) -> None:
    """The owner's things: a dataset, a run and a result, each with the secret in it."""
    workspace = Workspace(root)
    dataset_of([talk(SECRET, SECRET) for _ in range(3)], workspace, NAME)
    run = workspace.run(NAME)
    run.mkdir(parents=True)
    (run / "recipe.yaml").write_text(f"name: {NAME}\nbase: bundled:gemma-3-270m\n# {SECRET}\n")
    (run / "events.jsonl").write_text(json.dumps({"kind": "note", "text": SECRET}) + "\n")
    identity = Identity(
        kind="continuation", model="bundled:gemma-3-270m", adapter=None, fingerprint="f",
        precision="fp32", device="cpu", text_name=SECRET, text_sha256="0" * 64, options={},
    )  # fmt: skip
    place = {"model": "m", "prompt": 0, "sample": 0}
    History(workspace.results).add(
        identity, {"prompt": SECRET, "samples": [{"text": SECRET, "place": place}]}
    )


def state(root: Path) -> dict[str, str]:
    """Every file of the owner's with its checksum, and their results.

    Guests' own places are left out, and so are votes, which are counted for all together.
    """
    results = repr(History(Workspace(root).results).search())
    return {"results": hashlib.sha256(results.encode()).hexdigest()} | {
        str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(root.rglob("*"))
        if path.is_file() and "visitors" not in path.relative_to(root).parts[:1]
        and not path.name.startswith("results.sqlite")
    }  # fmt: skip


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    root = tmp_path_factory.mktemp("house")
    furnish(root)
    settings = Settings(workspace=root, cache=root.parent / "no-cache", share=True,
                        guest_requests=10_000, guest_seconds=1e6)  # fmt: skip
    with served(settings) as running:
        for component in running.page.blocks.values():
            if isinstance(component, gr.Dropdown):
                # Gradio's own check of choices is switched off: ours is what is tested
                component.allow_custom_value = True
        yield running


def hostile(event: Any, name: str) -> list[Any]:
    """A value for each input of an event: the name wherever a name could be."""
    values: list[Any] = []
    for component in event.inputs:
        if isinstance(component, gr.State):
            values.append(None)
        elif isinstance(component, (gr.Number, gr.Slider)):
            values.append(1)
        elif isinstance(component, gr.Checkbox):
            values.append(True)
        elif isinstance(component, gr.File):
            values.append({"path": "/etc/passwd", "meta": {"_type": "gradio.FileData"}})
        elif isinstance(component, gr.CheckboxGroup):
            values.append([])
        elif isinstance(component, gr.Radio):
            values.append(component.value)
        elif getattr(component, "multiselect", False):
            values.append([name])
        elif isinstance(component, gr.Dataframe):
            values.append({"headers": ["a", "b"], "data": [[name, "1"]]})
        else:
            values.append(name)
    if event.inputs and isinstance(event.inputs[0], gr.Textbox) and not event.inputs[0].visible:
        values[0] = "en"  # the language of the page
    return values


def events(house: Served) -> list[tuple[int, Any]]:
    return [(number, event) for number, event in house.page.fns.items() if event.fn is not None]


def test_a_guest_is_refused_all_that_is_the_owners(house: Served) -> None:
    guest, owner = house.guest(), house.owner()
    refused = 0
    for number, event in events(house):
        action = rule_of(event.fn)
        if action is not None and "guest" in MAY[action]:
            continue
        refused += 1
        heard = guest.call(number, hostile(event, NAMES[0]))
        assert not heard.went_well, event.fn.__qualname__
        assert "Only the owner" in heard.text, event.fn.__qualname__
    assert refused >= 8
    watched = next(n for n, event in events(house) if event.fn.__qualname__.endswith("free"))
    assert owner.call(watched, ["en", []]).went_well


def test_whatever_a_guest_calls_the_owners_things_stay_and_are_not_told(house: Served) -> None:
    before = state(house.house.settings.workspace)
    assert len(before) >= 5
    guest = house.guest()
    for number, event in events(house):
        # what only looks, or asks a model, meets the other names in the tests of names
        for name in NAMES if rule_of(event.fn) in ("own", "work") else NAMES[:1]:
            heard = guest.call(number, hostile(event, name))
            told = heard.text.encode().decode("unicode_escape", "ignore") + heard.text
            assert SECRET not in heard.text and SECRET not in told, event.fn.__qualname__
            assert "root:x:0" not in heard.text, event.fn.__qualname__
            assert str(house.house.settings.workspace) not in heard.text, event.fn.__qualname__
    assert state(house.house.settings.workspace) == before


def test_the_owner_does_see_them(house: Served) -> None:
    """Otherwise the test above could not fail."""
    owner = house.owner()
    seen = ""
    for number, event in events(house):
        if event.fn.__qualname__.endswith((".find", ".greet", "draw")):
            seen += owner.call(number, hostile(event, "")).text
    assert NAME in seen
    assert json.dumps(SECRET)[1:-1] in seen or SECRET in seen


def test_nothing_that_waits_in_line_can_be_called_past_the_line(house: Served) -> None:
    guest = house.guest()
    for route in ("run", "api"):
        for _, event in events(house):
            if event.queue:
                answer = guest.client.post(
                    f"/gradio_api/{route}/{event.api_name}", json={"data": ["en"]}
                )
                assert answer.status_code >= 400, event.fn.__qualname__


def test_calling_by_name_is_held_to_the_same_rules(house: Served) -> None:
    """Gradio lets a hidden event be called by its name, if one guesses it."""
    guest, tried = house.guest(), 0
    for _, event in events(house):
        action = rule_of(event.fn)
        if action is None or "guest" in MAY[action]:
            continue
        data = {"data": hostile(event, NAME)}
        answer = guest.client.post(f"/gradio_api/call/{event.api_name}", json=data)
        if answer.status_code == 200:
            name, number = event.api_name, answer.json()["event_id"]
            heard = guest.client.get(f"/gradio_api/call/{name}/{number}").text
            assert "event: error" in heard and "event: complete" not in heard
            tried += 1
    assert tried > 3


def test_one_guest_does_not_see_what_another_brought(house: Served) -> None:
    def greeted(caller: Caller) -> str:
        number = next(
            n for n, event in events(house) if event.fn.__qualname__ == "build.<locals>.greet"
        )
        return caller.call(number, ["en"]).text

    one, other = house.guest(), house.guest()
    name = house.house.keys.guest(one.client.cookies[house.house.keys.guest_cookie])
    workspace = Workspace(house.house.settings.workspace / "visitors" / str(name))
    dataset_of([talk("你好", "你好呀") for _ in range(2)], workspace, "my-own-rows")
    assert "my-own-rows" in greeted(one)
    assert "my-own-rows" not in greeted(other)
    forged = Caller(house.url)
    forged.client.cookies.set(house.house.keys.guest_cookie, f"{name}.{'0' * 32}")
    assert "my-own-rows" not in greeted(forged)
