"""The corpora that come with the workbench are whole and become datasets as they are."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.tiny import finish, never
from workbench.data import shipped
from workbench.data.dataset import Dataset
from workbench.data.importing import bring_corpus
from workbench.data.recipe import CorpusSource
from workbench.errors import BadRecipe
from workbench.workspace import Workspace


@pytest.mark.parametrize("form", shipped.FORMS["identity"])
def test_identity_has_no_placeholder_left_and_says_the_name(form: str) -> None:
    rows = list(shipped.examples("identity", form, {"name": "三步曲", "author": "阿明"}))
    said = "\n".join(row.text for row in rows)
    assert rows
    assert "{{" not in said
    assert "三步曲" in said
    assert "阿明" in said
    assert all(row.prompt and row.answer for row in rows)


def test_identity_in_all_is_its_languages_together() -> None:
    parts = [list(shipped.examples("identity", form, {})) for form in ("yue", "en", "zh")]
    everything = list(shipped.examples("identity", "all", {}))
    assert len(everything) == sum(map(len, parts))
    assert {row.text for row in everything} == {row.text for part in parts for row in part}
    assert "Trilogy" in everything[0].text + everything[-1].text


def test_a_value_with_braces_is_not_filled_again() -> None:
    rows = list(shipped.examples("identity", "yue", {"name": "{{author}}", "author": "阿明"}))
    assert any("{{author}}" in row.text for row in rows)


@pytest.mark.parametrize("name", shipped.FORMS)
def test_every_corpus_becomes_a_dataset_without_losing_a_row(name: str, tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    form = shipped.FORMS[name][0]
    recipe = finish(bring_corpus(CorpusSource(name, form), workspace, "desk", never()))[1]
    rows = list(shipped.examples(name, form, {}))
    desk = Dataset(workspace, "desk")
    assert recipe.rows == len(rows)
    assert recipe.licence == shipped.LICENCES[name]
    few = [0, 1, min(500, len(rows) - 1), min(501, len(rows) - 1), len(rows) - 1]
    assert [one.text for one in desk.state.examples(few)] == [rows[at].text for at in few]


@pytest.mark.parametrize(("name", "form"), [("identity", "fr"), ("hkcancor", ""), ("x", "all")])
def test_a_corpus_or_form_that_is_not_there_is_refused(name: str, form: str) -> None:
    with pytest.raises(BadRecipe, match="no corpus"):
        shipped.examples(name, form, {})


def test_names_with_signs_of_patterns_are_only_names() -> None:
    slot = shipped.slot_of({"a.b": "", "c+": ""})
    assert slot.findall("{{a.b}} {{ c+ }} {{axb}} {{a.b") == ["a.b", "c+"]
