"""Macros, example dialogues, lorebooks, and the frame they make around a conversation."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.chat.character import LONGEST_FIELD, Character, Entry, Lorebook
from workbench.chat.examples import dialogues
from workbench.chat.frame import frame, opening
from workbench.chat.lorebook import MOST_TOKENS, fire
from workbench.chat.macros import LONGEST, expand
from workbench.chat.messages import Message
from workbench.errors import BadRole, LongField, NoCharacterName

KAREN = Character(name="Karen", description="{{char}} 同 {{user}} 拍拖。")
LOOP = "{% for i in range(10**12) %}{{char}}{% endfor %}{{ ''.__class__ }}"


@pytest.mark.parametrize(
    ("text", "filled"),
    [
        ("{{char}} 同 {{user}}", "Karen 同 阿俊"),
        ("{{ Char }}{{USER}}", "Karen阿俊"),
        ("<BOT>同<user>", "Karen同阿俊"),
        ("前{{// 呢句唔好見到}}後", "前後"),
        ("{{original}}，再加", "原本，再加"),
        ("{{unknown}} {{char", "{{unknown}} {{char"),
        ("{{random:}}", ""),
        ("{{random:a\\,b}}", "a,b"),
        ("{{random::only}}", "only"),
    ],
)
def test_macros_are_plain_replacement(text: str, filled: str) -> None:
    assert expand(text, "Karen", "阿俊", "原本") == filled


def test_what_is_put_in_is_not_looked_at_again() -> None:
    assert expand("{{user}}", "Karen", "{{char}}{{user}}") == "{{char}}{{user}}"


def test_a_choice_depends_on_the_turn_only() -> None:
    text = "{{random:一,二,三,四}}"
    drawn = [expand(text, "K", "U", seed=turn) for turn in range(40)]
    assert drawn == [expand(text, "K", "U", seed=turn) for turn in range(40)]
    assert set(drawn) == {"一", "二", "三", "四"}


def test_growth_is_bounded() -> None:
    filled = expand("{{original}}" * 20_000, "K", "U", original="長" * 5_000)
    assert len(filled) <= LONGEST
    assert filled.endswith("{{original}}")


@given(st.text(max_size=200))
def test_any_text_can_be_filled(text: str) -> None:
    assert isinstance(expand(text, "Karen", "阿俊"), str)


def test_examples_are_cut_at_start_and_at_speakers() -> None:
    text = "<START>\r\n{{user}}: 你好\n{{char}}: 食咗飯未？\n打邊爐\n"
    text += "<start>\nKaren：哦。\n阿俊: 做咩？"
    first, second = dialogues(text, "Karen", "阿俊")
    assert first == (Message("user", "你好"), Message("assistant", "食咗飯未？\n打邊爐"))
    assert second == (Message("assistant", "哦。"), Message("user", "做咩？"))


def test_an_example_without_speakers_is_the_characters() -> None:
    assert dialogues("<START>\n*佢望住窗外*", "Karen", "阿俊") == (
        (Message("assistant", "*佢望住窗外*"),),
    )
    assert dialogues("", "Karen", "阿俊") == ()


def book(*entries: Entry, **options: Any) -> Lorebook:
    return Lorebook(entries=entries, **options)


def fired(book: Lorebook, *said: str) -> list[str]:
    return [one.text for one in fire(book, said, len).fired]


def test_chinese_keys_are_found_inside_words_and_latin_ones_as_words() -> None:
    lore = book(Entry(("豆腐",), "貓"), Entry(("Wing",), "朋友"), Entry(("cat",), "no"))
    assert fired(lore, "我隻豆腐好肥，wing話佢concatenate") == ["貓", "朋友"]


def test_case_selective_constant_and_disabled() -> None:
    assert fired(book(Entry(("Wing",), "x", case_sensitive=True)), "wing") == []
    both = Entry(("貓",), "x", secondary_keys=("狗",), selective=True)
    assert fired(book(both), "貓") == []
    assert fired(book(both), "貓同狗") == ["x"]
    assert fired(book(replace(both, selective=False)), "貓") == ["x"]
    assert fired(book(Entry((), "always", constant=True)), "") == ["always"]
    assert fired(book(Entry(("貓",), "x", enabled=False)), "貓") == []


def test_only_the_last_messages_are_searched() -> None:
    lore = book(Entry(("貓",), "x"), scan_depth=2)
    assert fired(lore, "貓", "一", "二") == []
    assert fired(lore, "一", "貓", "二") == ["x"]
    assert fired(book(Entry(("貓",), "x"), scan_depth=0), "貓") == []


def test_order_budget_and_priority() -> None:
    lore = book(
        Entry(("貓",), "late-low", insertion_order=3, priority=0),
        Entry(("貓",), "first-hi", insertion_order=1, priority=9),
        Entry(("貓",), "middle-5", insertion_order=2, priority=5),
        token_budget=16,
    )
    firing = fire(lore, ["貓"], len)
    assert [one.text for one in firing.fired] == ["first-hi", "middle-5"]
    assert [one.text for one in firing.left_out] == ["late-low"]


def test_no_book_takes_more_than_its_share() -> None:
    lore = book(Entry(("貓",), "x" * (MOST_TOKENS + 1)), token_budget=10**9)
    assert fired(lore, "貓") == []


def test_recursion_ends() -> None:
    chain = [Entry((f"k{n}",), f"k{n + 1}") for n in range(10)]
    assert fired(book(*chain, recursive=False), "k0") == ["k1"]
    assert fired(book(*chain, recursive=True), "k0") == ["k1", "k2", "k3"]
    assert fired(book(Entry(("甲",), "甲"), recursive=True), "甲") == ["甲"]


def test_a_key_that_runs_for_ever_is_given_up() -> None:
    lore = book(
        *(Entry((rf"/(a+)+{n}$/",), "never") for n in range(30)),
        Entry(("/([/",), "broken"), Entry((r"/豆腐\d/i",), "found"),
        Entry((r"茶\w餐廳",), "also", use_regex=True),
    )  # fmt: skip
    begun = time.monotonic()
    assert "never" not in fired(lore, "a" * 5_000 + "!")
    assert time.monotonic() - begun < 3
    assert fired(book(*lore.entries[30:]), "豆腐7 茶茶餐廳") == ["found", "also"]


def test_decorators_are_not_told() -> None:
    assert fired(book(Entry(("貓",), "@@depth 4\n@@@fallback\n真係講嘅")), "貓") == ["真係講嘅"]


def test_the_frame_of_a_character() -> None:
    character = replace(
        KAREN,
        personality="口硬心軟",
        scenario="傳訊息",
        examples="<START>\n{{user}}: 喂\n{{char}}: 哦。",
        system_prompt="你係 {{char}}。{{original}}",
        post_history="短啲，{{user}} 等緊。",
        lorebook=book(
            Entry(("貓",), "{{char}} 隻貓叫豆腐", position="before", name="貓"),
            Entry(("攰",), "成日加班"),
        ),
    )
    made = frame(character, "阿俊", [Message("user", "貓呢？我好攰")], "講廣東話。", len)
    assert made.system == (
        "你係 Karen。講廣東話。\n\nKaren 隻貓叫豆腐\n\nKaren 同 阿俊 拍拖。\n\n"
        "性格：口硬心軟\n\n場景：傳訊息\n\n成日加班"
    )
    assert made.examples == (Message("user", "喂"), Message("assistant", "哦。"))
    assert made.after == "短啲，阿俊 等緊。"
    assert [(one.name, one.where, one.key) for one in made.fired] == [
        ("貓", "before", "貓"), ("攰", "after", "攰"),
    ]  # fmt: skip
    assert made.fired[0].tokens == len("Karen 隻貓叫豆腐")


def test_without_a_system_prompt_of_its_own_the_pages_stays() -> None:
    assert frame(KAREN, "", [], "SYS", len).system == "SYS\n\nKaren 同 User 拍拖。"
    assert frame(None, "x", [], " SYS ", len).system == "SYS"


def test_english_cards_get_english_heads() -> None:
    character = Character(name="Ann", description="A guard.", personality="calm")
    assert frame(character, "Bo", [], "", len).system == "A guard.\n\nPersonality: calm"


def test_a_template_that_loops_for_ever_is_only_text() -> None:
    character = replace(KAREN, description=LOOP, greeting=LOOP, post_history=LOOP)
    begun = time.monotonic()
    made = frame(character, "阿俊", [Message("user", "喂")], "", len)
    assert time.monotonic() - begun < 1
    assert "{% for i in range(10**12) %}Karen{% endfor %}" in made.system
    assert "{{ ''.__class__ }}" in opening(character, "阿俊")


def test_greetings_and_nicknames() -> None:
    character = Character(
        name="陳嘉欣",
        nickname="Karen",
        greeting="我係{{char}}",
        alternate_greetings=(" ", "喂{{user}}"),
    )
    assert opening(character, "阿俊") == "我係Karen"
    assert opening(character, "阿俊", 1) == "喂阿俊"
    assert opening(character, "阿俊", 2) == "我係Karen"
    assert opening(KAREN, "阿俊") == ""


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(NoCharacterName):
        Character(name="  ")
    with pytest.raises(LongField):
        Character(name="x", lorebook=book(Entry(content="x" * (LONGEST_FIELD + 1))))
    with pytest.raises(BadRole):
        Message("narrator", "x")  # type: ignore[arg-type]
