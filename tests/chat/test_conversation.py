"""A conversation is a tree: nothing is overwritten, and it comes back from the disk as it was."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from workbench.chat import shelf
from workbench.chat.conversation import Answer, Conversation
from workbench.chat.export import as_markdown, as_page, as_rows
from workbench.errors import NoSuchConversation, NoSuchTurn, NothingToTakeBack
from workbench.workspace import Workspace

BASE, TUNED = "made/base", "made/base+run"


def answer(voice: str, text: str) -> Answer:
    adapter = voice.partition("+")[2]
    return Answer(voice, text, "made/base", adapter, "f" * 64 + (f"+{'a' * 64}" if adapter else ""),
                  "bf16", tokens=4, seconds=2.0, register="cantonese", received="<s>",
                  fired=(("lore", 3),))  # fmt: skip


def answered(talk: Conversation, *texts: str) -> Conversation:
    voices = (BASE, TUNED)
    answers = [answer(voice, text) for voice, text in zip(voices, texts, strict=False)]
    return talk.answered(talk.tip or 0, answers)


@pytest.fixture
def talk() -> Conversation:
    first = answered(Conversation(greeting="嗨", system="SYS").say("一"), "base 1", "tuned 1")
    return answered(first.say("二"), "base 2", "tuned 2")


def said(talk: Conversation, voice: str) -> list[str]:
    return [message.content for message in talk.messages(voice)]


def test_each_voice_has_its_own_conversation(talk: Conversation) -> None:
    assert said(talk, BASE) == ["嗨", "一", "base 1", "二", "base 2"]
    assert said(talk, TUNED) == ["嗨", "一", "tuned 1", "二", "tuned 2"]
    assert said(talk, "made/new") == said(talk, BASE)
    asked = talk.messages(TUNED, before=2)
    assert [one.content for one in asked] == ["嗨", "一", "tuned 1", "二"]


def test_asking_again_is_a_branch_and_the_old_answers_stay(talk: Conversation) -> None:
    again = answered(talk.again(2), "base 2b", "tuned 2b")
    assert again.beside(2) == [2, 3]
    assert said(again, BASE)[-1] == "base 2b"
    assert said(again.open_branch(2), BASE)[-1] == "base 2"


def test_one_voice_asked_again_keeps_the_other_answer(talk: Conversation) -> None:
    again = talk.again(2, keep=[BASE])
    again = again.answered(3, [answer(TUNED, "tuned 2b")])
    assert said(again, BASE)[-1] == "base 2"
    assert said(again, TUNED)[-1] == "tuned 2b"


def test_edited_words_are_a_branch_and_undo_takes_nothing_away(talk: Conversation) -> None:
    edited = talk.again(1, said="一點五")
    assert [turn.said for turn in edited.path()] == ["一點五"]
    back = talk.back()
    assert [turn.said for turn in back.path()] == ["一"]
    assert len(back.turns) == 2
    elsewhere = back.say("三")
    assert elsewhere.beside(3) == [2, 3]
    assert [turn.said for turn in elsewhere.open_branch(1).path()] == ["一", "三"]
    empty = back.back()
    assert empty.path() == []
    with pytest.raises(NothingToTakeBack):
        empty.back()
    with pytest.raises(NoSuchTurn):
        talk.open_branch(9)


def test_it_comes_back_as_it_was(talk: Conversation, tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    tree = talk.again(2)
    shelf.save(tree, workspace)
    assert shelf.read(tree.name, workspace) == tree
    assert json.loads(workspace.conversation(tree.name).read_text("utf-8"))["title"] == "一"


def test_lone_surrogates_do_not_lose_a_conversation(tmp_path: Path) -> None:
    talk = Conversation().say("a\ud800b")
    shelf.save(talk, Workspace(tmp_path))
    assert shelf.read(talk.name, Workspace(tmp_path)).path()[0].said == "a?b"


def test_they_are_listed_searched_renamed_and_deleted(talk: Conversation, tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    assert shelf.listed(workspace) == []
    other = answered(Conversation().say("另外一個"), "講貓")
    for one in (talk, other.renamed("  About\ncats ")):
        shelf.save(one, workspace)
    (workspace.conversations / "broken.json").write_text("{}")
    assert {one.title for one in shelf.listed(workspace)} == {"一", "About cats"}
    assert [one.name for one in shelf.listed(workspace, "貓")] == [other.name]
    assert [one.name for one in shelf.listed(workspace, "CATS")] == [other.name]
    assert shelf.listed(workspace, "cats 2") == []
    shelf.delete(other.name, workspace)
    for missing in (other.name, "../../etc/passwd", "broken", ""):
        with pytest.raises(NoSuchConversation):
            shelf.read(missing, workspace)
    with pytest.raises(NoSuchConversation):
        shelf.delete("../x", workspace)


def test_rows_are_one_conversation_a_voice(talk: Conversation) -> None:
    rows = [json.loads(line) for line in as_rows(talk).splitlines()]
    assert [row["model"] for row in rows] == [BASE, TUNED]
    roles = [message["role"] for message in rows[1]["messages"]]
    assert roles == ["system", "assistant", "user", "assistant", "user", "assistant"]
    assert rows[1]["messages"][-1]["content"] == "tuned 2"


HOSTILE = '<img src="https://evil.example/x.png"> ![x](https://evil.example/y) <script>1</script>'


def test_the_page_and_the_text_ask_nothing_of_anybody(talk: Conversation) -> None:
    evil = answered(talk.renamed(HOSTILE).say(HOSTILE), HOSTILE, HOSTILE)
    page = as_page(evil)
    assert "<img" not in page
    assert "<script" not in page
    assert "default-src 'none'" in page
    assert page.count("&lt;img") >= 3
    markdown = as_markdown(evil)
    outside = re.sub(r"(`{3,})text\n.*?\n\1", "", markdown, flags=re.DOTALL)
    assert "![x](" not in outside
    assert "\\<img" in outside


def test_the_page_names_every_model_by_what_made_its_words(talk: Conversation) -> None:
    page = as_page(talk)
    assert page.count('<span class="base">base</span>') == 2
    assert page.count('<span class="tuned">tuned</span> <b>made/base+run</b>') == 2
    assert "f" * 64 + "+" + "a" * 64 in page
    assert 'name="viewport"' in page


def test_a_fence_in_an_answer_does_not_end_its_quotation(talk: Conversation) -> None:
    markdown = as_markdown(answered(talk, "```\n# not a heading\n```"))
    assert "````text\n```\n# not a heading\n```\n````" in markdown
