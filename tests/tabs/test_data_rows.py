"""Rows on the page: escaped, marked where a check decided, and with every reason in words."""

from __future__ import annotations

import threading
from html.parser import HTMLParser
from pathlib import Path

import pyarrow as pa
import pytest

from tabs._data_looking import as_text, controls, edit_of
from tabs._data_rows import cards, difference, opened, table
from tabs._words import LANGUAGES
from workbench.data import storage
from workbench.data.dataset import Dataset, create, finish
from workbench.data.recipe import Check, CorpusSource, Decide, Label
from workbench.data.rows import Example, Message, table_of
from workbench.data.state import State
from workbench.data.steps import do
from workbench.errors import BadStep
from workbench.settings import Settings
from workbench.workspace import Workspace

HOSTILE = '<img src=x onerror="alert(1)"> <script>steal()</script> ![x](https://evil.example/p.png)'


def chat(prompt: str, answer: str, **more: object) -> Example:
    turns = (Message("user", prompt), Message("assistant", answer))
    return Example(turns, **more)  # type: ignore[arg-type]


EXAMPLES = [
    chat("點去機場？", "搭機鐵，或者打俾 me@example.com 問。", source="a"),
    chat(HOSTILE, HOSTILE, columns={"topic": HOSTILE}, source=HOSTILE, id=HOSTILE),
    chat("寫封信", "多謝你。\n[Your Name]"),
    Example((Message("user", "邊個好啲？"),), chosen=(Message("assistant", "呢個。"),),
            rejected=(Message("assistant", "嗰個。"),)),
]  # fmt: skip


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    workspace = Workspace(tmp_path)
    rows = table_of(EXAMPLES, {"topic": pa.string()})
    storage.write_table(workspace.dataset("small") / storage.DATA, rows)
    create(workspace, "small", CorpusSource("made", "up"))
    return Dataset(workspace, "small")


@pytest.fixture
def state(dataset: Dataset) -> State:
    check = Check(("email", "unfilled"), ("unfilled",))
    for step in (check, Decide("drop", (3,)), Label(0, 4, annotator="阿明")):
        finish(do(dataset, step, Settings(), threading.Event()))
    return dataset.state


class Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.names: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.names |= {name for name, _ in attrs}


@pytest.mark.parametrize("language", LANGUAGES)
def test_what_a_row_holds_never_becomes_part_of_the_page(language: str, state: State) -> None:
    rows = list(range(state.count))
    html = "".join(
        [
            table(language, state, rows, 1, "topic"),
            cards(language, state, rows, None),
            opened(language, state, 1),
            difference(HOSTILE, HOSTILE + "<b>", "right"),
        ]
    )
    seen = Tags()
    seen.feed(html)
    assert {"img", "script"}.isdisjoint(seen.tags)
    assert "onerror" not in seen.names
    assert "&lt;script&gt;" in html


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_reason_stands_beside_its_row_with_the_characters_marked(
    language: str, state: State
) -> None:
    html = opened(language, state, 0)
    assert ">me@example.com</mark>" in html
    assert "tri-notes" in html
    left_out = opened(language, state, 2)
    assert ">[Your Name]</mark>" in left_out
    assert "tri-drops" in left_out
    assert "tri-verdict-dropped" in left_out


def test_a_rating_and_a_decision_by_hand_are_said(state: State) -> None:
    assert "4 of 5, by 阿明" in opened("en", state, 0)
    assert "Left out by hand" in opened("en", state, 3)
    assert "★★★★" in table("en", state, [0], None, "")


def test_both_answers_of_a_pair_are_named(state: State) -> None:
    html = cards("en", state, [3], None)
    assert "better" in html
    assert "worse" in html


def test_an_edited_text_reads_back_as_it_was() -> None:
    tricky = chat("## user\n係標題嚟㗎", "第一行\n\n## assistant\n最尾")
    for example in (*EXAMPLES, tricky):
        step = edit_of(0, example, as_text(example))
        assert tuple(Message(**turn) for turn in step.messages) == example.messages
        chosen = tuple(Message(**turn) for turn in step.chosen or ()) or None
        assert chosen == example.chosen


@pytest.mark.parametrize("text", ["冇頭冇尾", "## robot\n嘟嘟", "前言\n## user\n你好", ""])
def test_an_edit_without_proper_turns_is_refused(text: str) -> None:
    with pytest.raises(BadStep):
        edit_of(0, EXAMPLES[0], text)


def test_the_controls_make_one_condition_whatever_the_names(state: State) -> None:
    from workbench.data.query import View

    condition = controls(["email"], ["a", "it's"], 5, 500)
    assert state.query.rows(View((condition,))).tolist() == [0]
    assert controls([], [], None, None) == ""
