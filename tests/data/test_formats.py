"""Every format there and back, what is told apart by content, and what is refused."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.data import strategies as rows
from workbench.data.formats.convert import (
    DEFAULTS,
    TEMPLATES,
    Mapping,
    Template,
    Unfit,
    detect,
    from_example,
    group_text,
    merge_seeds,
    to_examples,
)
from workbench.data.rows import Example, Message, examples_of, table_of
from workbench.errors import BadMapping, CannotExport, UnknownFormat

many = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow], database=None
)
ALPACA = DEFAULTS["alpaca"]
PAIR = {"instruction": "instruction", "input": "input", "chosen": "chosen", "rejected": "rejected"}
FULL = {**PAIR, "system": "system", "history": "history"}


def there_and_back(example: Example, mapping: Mapping) -> None:
    record = from_example(example, mapping)
    assert to_examples(record, mapping, example.source) == [example]
    # the same once more through JSON, as files do
    again = json.loads(json.dumps(record))
    assert to_examples(again, mapping, example.source) == [example]


# Every example a format can hold comes back the same.


@many
@given(rows.alpaca())
def test_alpaca_there_and_back(example: Example) -> None:
    there_and_back(example, ALPACA)


@many
@given(rows.alpaca(history=False, system=False), st.sampled_from(sorted(TEMPLATES)))
def test_alpaca_there_and_back_with_every_template(example: Example, name: str) -> None:
    mapping = replace(ALPACA, template=TEMPLATES[name])
    record = from_example(example, ALPACA)
    again = from_example(to_examples(record, mapping)[0], mapping)
    assert again == record


@many
@given(rows.alpaca(history=False, system=False))
def test_seeds_there_and_back(example: Example) -> None:
    there_and_back(example, DEFAULTS["seeds"])


@many
@given(rows.alpaca(history=False, system=False))
def test_questions_and_answers_there_and_back(example: Example) -> None:
    there_and_back(example, DEFAULTS["qa"])


@many
@given(rows.asked())
def test_prompts_there_and_back(example: Example) -> None:
    there_and_back(example, DEFAULTS["prompt"])


@many
@given(rows.conversation(), st.sampled_from(["sharegpt", "tools"]))
def test_conversations_there_and_back(example: Example, name: Any) -> None:
    there_and_back(example, DEFAULTS[name])


@many
@given(rows.anything())
def test_messages_hold_everything_a_row_can_have(example: Example) -> None:
    there_and_back(example, DEFAULTS["messages"])


@many
@given(rows.preference())
def test_preferences_there_and_back(example: Example) -> None:
    there_and_back(example, DEFAULTS["preference"])


@many
@given(rows.two_answers(), st.sampled_from(["text", "turn", "turns", "list"]))
def test_two_answers_there_and_back_in_every_spelling(example: Example, answers: Any) -> None:
    fields = {"instruction": "instruction", **FULL}
    if answers == "list":
        fields = {**fields, "chosen": "output"}
        del fields["rejected"]
    there_and_back(example, Mapping("preference", fields, answers=answers))


@many
@given(rows.two_answers(history=False))
def test_whole_conversations_there_and_back(example: Example) -> None:
    mapping = Mapping(
        "preference", {"prompt": "prompt", "chosen": "a", "rejected": "b"}, answers="whole"
    )
    plain = replace(example, input=None)
    there_and_back(plain, mapping)


@many
@given(rows.rounds(least=1), st.sampled_from(["pairs", "lists", "strings"]))
def test_alternating_turns_there_and_back(turns: list[Message], spelled: Any) -> None:
    if spelled == "pairs":
        turns = [replace(turn, content=f"{turn.content}。") for turn in turns]
    mapping = Mapping("sharegpt", {"conversations": "dialog"}, turns=spelled)
    there_and_back(Example(tuple(turns)), mapping)


@many
@given(rows.plain_text())
def test_texts_there_and_back(example: Example) -> None:
    there_and_back(example, DEFAULTS["text"])


@many
@given(rows.anything())
def test_a_record_survives_the_table(example: Example) -> None:
    record = from_example(example, DEFAULTS["messages"])
    read = to_examples(record, DEFAULTS["messages"], example.source)
    assert list(examples_of(table_of(read, {}))) == [example]


@many
@given(
    st.dictionaries(st.sampled_from(["instruction", "input", "output", "id", "tools"]), rows.nested)
    | st.dictionaries(st.sampled_from(["messages", "conversations", "chosen"]), rows.nested),
    st.sampled_from(sorted(DEFAULTS)),
)
def test_a_strange_record_is_unfit_and_nothing_worse(record: dict[str, Any], name: Any) -> None:
    try:
        found = to_examples(record, DEFAULTS[name])
    except Unfit as error:
        assert "\n" not in str(error)
        assert not str(error).endswith(".")
    else:
        table_of(found, {})


# Records as people have them come back the same.

CALL = '{"name": "weather", "arguments": {"place": "長洲", "days": [1, 2]}}'
SPACED = '{ "name":"weather","arguments":{ "place":"長洲" } }'
RECORDS: dict[str, tuple[str, list[Any]]] = {
    "alpaca": (
        "alpaca",
        [
            {"instruction": "譯做英文", "input": "飲茶", "output": "yum cha", "topic": "食"},
            {"instruction": "講個笑話", "input": "", "output": "唔識喎", "history": []},
            {"instruction": "再嚟", "input": "", "output": "好", "history": [["你好", "你好呀"]]},
        ],
    ),
    "alpaca with system": (
        "alpaca",
        [{"system": "你係廚師", "instruction": "點煲湯", "input": "", "output": "慢火"}],
    ),
    "chinese names": ("alpaca", [{"指令": "讀呢句", "输入": "早晨", "输出": "zou2 san4"}]),
    "dolly": (
        "alpaca",
        [{"instruction": "邊個高", "context": "阿明六呎", "response": "阿明", "category": "qa"}],
    ),
    "no answers": ("alpaca", [{"instruction": "寫首詩", "difficulty": 3}]),
    "seeds": (
        "seeds",
        [
            {
                "id": "seed_1",
                "name": "greet",
                "instruction": "打招呼",
                "instances": [{"input": "", "output": "喂"}, {"input": "朝早", "output": "早晨"}],
                "is_classification": False,
            }
        ],
    ),
    "prompt": ("prompt", [{"prompt": "幾點？", "completion": "三點"}]),
    "prompt and response": ("prompt", [{"prompt": "幾點？", "response": "三點", "id": 7}]),
    "prompt of messages": (
        "prompt",
        [
            {
                "prompt": [{"role": "user", "content": "幾錢？"}],
                "completion": [{"role": "assistant", "content": "十蚊"}],
            }
        ],
    ),
    "only prompts": ("prompt", [{"prompt": "講下大澳"}]),
    "qa": ("qa", [{"Question": "邊度？", "Answer": "尖沙咀", "source": "wiki", "id": "q1"}]),
    "qa with system": (
        "qa",
        [{"id": "a", "system_prompt": "答短啲", "question": "點解？", "response": "因為落雨"}],
    ),
    "sharegpt": (
        "sharegpt",
        [
            {
                "id": "x",
                "conversations": [
                    {"from": "human", "value": "喂"},
                    {"from": "gpt", "value": "係"},
                ],
            }
        ],
    ),
    "sharegpt of two dialects": (
        "sharegpt",
        [
            {"items": [{"from": "human", "value": "喂"}, {"from": "gpt", "value": "係"}]},
            {"items": [{"from": "user", "value": "喂"}, {"from": "bing", "value": "係", "n": 1}]},
        ],
    ),
    "role and value": (
        "sharegpt",
        [{"conversation": [{"role": "user", "value": "喂"}, {"role": "assistant", "value": "係"}]}],
    ),
    "pairs": (
        "sharegpt",
        [{"conversation": [{"human": "喂", "assistant": "係", "turn": 1}, {"human": "拜拜"}]}],
    ),
    "dialog": ("sharegpt", [{"dialog": ["喂", "係", "拜拜"], "topic": "電話"}]),
    "questions": ("sharegpt", [{"question_id": 1, "turns": ["寫封信", "短啲"]}]),
    "lists": ("sharegpt", [{"conversation": [["喂", "係"], ["拜拜", "好"]]}]),
    "tools": (
        "tools",
        [
            {
                "tools": '[{"name": "weather"}]',
                "system": "幫手",
                "conversations": [
                    {"from": "human", "value": "長洲天氣"},
                    {"from": "function_call", "value": CALL},
                    {"from": "observation", "value": "晴"},
                    {"from": "function_call", "value": SPACED},
                    {"from": "observation", "value": "雨"},
                    {"from": "gpt", "value": "會落雨"},
                ],
            }
        ],
    ),
    "messages": (
        "messages",
        [
            {
                "messages": [
                    {"role": "system", "content": "幫手"},
                    {"role": "user", "content": "天氣", "name": "ming"},
                    {
                        "role": "assistant",
                        "content": None,
                        "tool_calls": [
                            {
                                "id": "call_1",
                                "type": "function",
                                "function": {"name": "weather", "arguments": "{}"},
                            }
                        ],
                    },
                    {"role": "tool", "content": "晴", "tool_call_id": "call_1"},
                    {"role": "assistant", "content": "晴天", "weight": 1},
                ],
                "tools": [{"type": "function", "function": {"name": "weather"}}],
                "source": "自己寫",
            }
        ],
    ),
    "parts": (
        "messages",
        [
            {
                "messages": [
                    {
                        "role": "user",
                        "content": [{"type": "text", "value": "喂"}],
                        "loss_weight": 0.0,
                    },
                    {
                        "role": "assistant",
                        "content": [
                            {"type": "text", "value": "係"},
                            {"type": "text", "value": "我"},
                        ],
                        "loss_weight": 1.0,
                    },
                ]
            }
        ],
    ),
    "preference": (
        "preference",
        [{"prompt": "講早晨", "chosen": "早晨", "rejected": "早上好", "score_chosen": 4.5}],
    ),
    "preference without prompt": ("preference", [{"chosen": "好", "rejected": "唔好"}]),
    "preference of turns": (
        "preference",
        [
            {
                "conversations": [{"from": "human", "value": "喂"}],
                "chosen": {"from": "gpt", "value": "係"},
                "rejected": {"from": "gpt", "value": "是"},
            }
        ],
    ),
    "preference of whole conversations": (
        "preference",
        [
            {
                "prompt": "喂",
                "prompt_id": "p1",
                "messages": [
                    {"role": "user", "content": "喂"},
                    {"role": "assistant", "content": "係"},
                ],
                "chosen": [
                    {"role": "user", "content": "喂"},
                    {"role": "assistant", "content": "係"},
                ],
                "rejected": [
                    {"role": "user", "content": "喂"},
                    {"role": "assistant", "content": "是"},
                ],
            }
        ],
    ),
    "ranked": (
        "preference",
        [
            {
                "instruction": "講多謝",
                "input": "",
                "output": ["唔該", "多謝", "謝謝"],
                "history": [["喂", "係"]],
            }
        ],
    ),
    "text": ("text", [{"text": "行街睇戲食飯", "meta": {"year": 2020}}]),
    "labelled": (
        "text",
        [
            {"column_1": "今日落大雨", "column_2": "cantonese"},
            {"column_1": "我哋返屋企", "column_2": "cantonese"},
        ],
    ),
    "label of another name": ("text", [{"句子": "佢喺度", "label": "粵"}]),
    "strings": ("text", ["頭一段", "第二段"]),
}


def without_empty(value: Any) -> Any:
    if isinstance(value, dict):
        kept = {name: without_empty(one) for name, one in value.items()}
        return {name: one for name, one in kept.items() if one not in (None, "", [], {})}
    return [without_empty(one) for one in value] if isinstance(value, list) else value


@pytest.mark.parametrize("name", RECORDS)
def test_a_format_is_known_by_its_content(name: str) -> None:
    expected, records = RECORDS[name]
    assert detect(records).format == expected


@pytest.mark.parametrize("name", RECORDS)
def test_records_come_back_as_they_were(name: str) -> None:
    _, records = RECORDS[name]
    mapping = detect(records)
    examples = [one for record in records for one in to_examples(record, mapping, "f")]
    back: list[Any] = [from_example(one, mapping) for one in examples]
    if mapping.format == "seeds":
        back = list(merge_seeds(back, mapping))
    assert without_empty(back) == without_empty(records)


@pytest.mark.parametrize("name", RECORDS)
def test_a_mapping_survives_json(name: str) -> None:
    mapping = replace(detect(RECORDS[name][1]), template=TEMPLATES["alpaca-yue"], cut="length")
    assert Mapping.from_json(json.loads(json.dumps(mapping.to_json()))) == mapping


@pytest.mark.parametrize("name", RECORDS)
def test_every_dataset_can_be_written_as_messages(name: str) -> None:
    _, records = RECORDS[name]
    mapping = detect(records)
    for record in records:
        for example in to_examples(record, mapping, "f"):
            there_and_back(example, DEFAULTS["messages"])


def test_bare_lists_are_conversations() -> None:
    records = [[{"from": "human", "value": "喂"}, {"from": "gpt", "value": "係"}]]
    mapping = detect(records)
    found = to_examples(records[0], mapping)
    assert found == [Example((Message("user", "喂"), Message("assistant", "係")))]


def test_fields_that_fit_nothing_are_named() -> None:
    with pytest.raises(UnknownFormat, match="height, weight"):
        detect([{"height": 1, "weight": 2}], "people.csv")


def test_a_few_odd_records_do_not_decide() -> None:
    good = [{"instruction": "行", "input": "", "output": "好"}] * 9
    assert detect([{"text": "？"}, *good]).format == "alpaca"


def test_roles_that_come_later_in_the_file_are_known() -> None:
    mapping = detect([{"conversations": [{"from": "human", "value": "喂"}]}])
    later = {"conversations": [{"from": "chatgpt", "value": "係"}]}
    assert to_examples(later, mapping)[0].messages == (Message("assistant", "係"),)


# What does not fit says why.


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        ({"instruction": "行"}, "the field output is missing"),
        ({"instruction": ["行"], "output": "好"}, "the field instruction is not text"),
        ({"instruction": "行", "output": "\ud83d"}, "half of a character"),
        ({"instruction": "行", "output": "好", "history": [["一"]]}, "history"),
        ("行", "plain text"),
    ],
)
def test_a_bad_alpaca_record_says_why(record: Any, reason: str) -> None:
    with pytest.raises(Unfit, match=reason):
        to_examples(record, ALPACA)


@pytest.mark.parametrize(
    ("turns", "reason"),
    [
        ("喂", "the conversation is not a list"),
        ([], "the conversation is empty"),
        ([{"from": "foo", "value": "喂"}], "the role 'foo' is not known"),
        ([{"from": "human"}], "the value of a turn is missing"),
        (["喂"], "a turn is not an object"),
        ([{"from": "function_call", "value": "{"}], "should hold JSON"),
        (None, "the field conversations is missing"),
        ([{"from": "human", "value": [{"type": "image_url"}]}], "image_url"),
    ],
)
def test_a_bad_conversation_says_why(turns: Any, reason: str) -> None:
    with pytest.raises(Unfit, match=reason):
        to_examples({"conversations": turns}, DEFAULTS["sharegpt"])


TWO = (Message("user", "喂"), Message("assistant", "係"))
BETTER: dict[str, Any] = {
    "chosen": (Message("assistant", "係"),),
    "rejected": (Message("assistant", "是"),),
}


@pytest.mark.parametrize(
    ("example", "name"),
    [
        (Example(TWO[:1], **BETTER), "qa"),
        (Example(TWO[:1], **BETTER), "sharegpt"),
        (Example(TWO + TWO), "qa"),
        (Example(TWO + TWO), "seeds"),
        (Example(TWO), "preference"),
        (Example(TWO), "text"),
        (Example((Message("text", "一段"),)), "alpaca"),
        (Example((TWO[0], replace(TWO[1], weight=0.5))), "sharegpt"),
        (Example((TWO[0], replace(TWO[1], name="ming"))), "alpaca"),
        (Example((TWO[0], replace(TWO[1], tool_calls="[]"))), "alpaca"),
        (Example(TWO[:1]), "alpaca"),
        (Example(TWO[1:]), "prompt"),
        (Example(()), "messages"),
    ],
)
def test_what_a_format_cannot_hold_is_refused_by_row(example: Example, name: Any) -> None:
    with pytest.raises(CannotExport) as error:
        from_example(example, DEFAULTS[name], row=41)
    assert "Row 41" in str(error.value)


@pytest.mark.parametrize("name", ["alpaca", "messages", "sharegpt", "qa", "prompt"])
@pytest.mark.parametrize(
    "columns",
    [
        *({part: "另一個"} for part in ("instruction", "output", "history", "question", "prompt")),
        *({part: ["另"]} for part in ("messages_", "input_", "conversations", "system", "answer")),
        {"id_": 5, "output": 1},
        {"id_": "five"},
        {"tools_": 3, "history": 4},
    ],
)
def test_a_column_named_like_a_part_of_the_format_comes_back(columns: Any, name: Any) -> None:
    there_and_back(Example(TWO, columns=columns), DEFAULTS[name])


def test_plain_text_has_no_place_for_columns() -> None:
    example = Example((Message("text", "一段"),), columns={"year": 1})
    with pytest.raises(CannotExport):
        from_example(example, Mapping("text", {}))


def test_a_changed_turn_is_not_given_its_old_spelling() -> None:
    _, records = RECORDS["tools"]
    mapping = detect(records)
    example = to_examples(records[0], mapping)[0]
    turns = list(example.messages)
    at = max(number for number, turn in enumerate(turns) if turn.tool_calls)
    turns[at] = replace(turns[at], tool_calls=turns[at - 2].tool_calls)
    there_and_back(replace(example, messages=tuple(turns), columns={}), mapping)
    changed = from_example(replace(example, messages=tuple(turns)), mapping)
    assert to_examples(changed, mapping)[0].messages == tuple(turns)


def test_an_input_that_was_edited_away_leaves_the_message() -> None:
    turns = (Message("user", "改咗嘅問題"), Message("assistant", "答案"))
    record = from_example(Example(turns, input="舊資料"), ALPACA)
    assert to_examples(record, ALPACA) == [Example(turns)]


def test_the_rows_of_one_seed_become_one_task_again_and_others_stay_apart() -> None:
    records = [
        {"id": "a", "instruction": "加", "instances": [{"input": n, "output": n}]} for n in "12"
    ]
    other = {"id": "b", "instruction": "減", "instances": [{"input": "3", "output": "3"}]}
    nameless = {"instruction": "減", "instances": [{"input": "3", "output": "3"}]}
    found = list(merge_seeds([*records, other, nameless, nameless], DEFAULTS["seeds"]))
    assert [len(one["instances"]) for one in found] == [2, 1, 1, 1]


# Templates and mappings are checked.


def test_a_template_fills_in_one_pass() -> None:
    assert Template().fill("寫 {input} 出嚟", "{instruction}") == "寫 {input} 出嚟\n\n{instruction}"


@pytest.mark.parametrize(
    ("both", "one"),
    [
        ("{instruction}", "{instruction}"),
        ("{input}", "{instruction}"),
        ("{instruction}{input}", "{input}"),
        ("{instruction}{input}{input}", "{instruction}"),
        ("{instruction}{input}", "nothing"),
    ],
)
def test_a_template_without_its_slots_is_refused(both: str, one: str) -> None:
    with pytest.raises(BadMapping):
        Template(both, one)


@pytest.mark.parametrize(
    "value",
    [
        {"format": "alpaca", "fields": {}},
        {"format": "nonsense", "fields": {"text": "text"}},
        {"format": "alpaca", "fields": {"instruction": ""}},
        {"format": "alpaca", "fields": {"instruction": "i", "color": "c"}},
        {"format": "text", "fields": {}, "length": 0},
        {"format": "text", "fields": {}, "cut": "page"},
        {"format": "text", "fields": {}, "roles": [["human", "king"]]},
        {"format": "text", "fields": {}, "unknown": 1},
        {"format": "preference", "fields": {"chosen": "a"}},
        [],
        None,
        {},
        {"format": ["text"], "fields": {}},
        {"format": "text", "fields": 3},
        {"format": "text", "fields": {}, "template": 3},
    ],
)
def test_a_mapping_that_makes_no_sense_is_refused(value: Any) -> None:
    with pytest.raises(BadMapping):
        Mapping.from_json(value)


# Plain text.


def grouped(text: str, **more: Any) -> list[tuple[int, str]]:
    lines = enumerate(text.split("\n"), 1)
    return list(group_text(lines, Mapping("text", {}, **more)))


def test_blocks_between_blank_lines_are_rows() -> None:
    assert grouped("一\n二\n\n\n三\n") == [(1, "一\n二"), (5, "三")]


def test_without_blank_lines_every_line_is_a_row() -> None:
    assert grouped("一\n二\n三\n\n") == [(1, "一"), (2, "二"), (3, "三")]


def test_a_heading_begins_a_row() -> None:
    text = "前\n\n# 題\n## 小題\n話\n# 又一題\n話"
    assert grouped(text) == [(1, "前"), (3, "# 題\n## 小題\n話"), (6, "# 又一題\n話")]


def test_the_whole_file_can_be_one_row() -> None:
    assert grouped("\n一\n\n二\n", cut="file") == [(2, "一\n\n二")]
    assert grouped("\n\n", cut="file") == []


def test_lines_can_be_rows_whatever_is_blank() -> None:
    assert grouped("一\n\n二", cut="line") == [(1, "一"), (3, "二")]


@many
@given(st.text("一二三四。！\n ab.", max_size=200), st.integers(1, 30))
def test_lengths_are_kept_and_no_word_is_lost(text: str, length: int) -> None:
    pieces = grouped(text, cut="length", length=length)
    assert all(len(piece) <= length for _, piece in pieces)
    solid = "".join(text.split())
    assert "".join("".join(piece.split()) for _, piece in pieces) == solid


def test_a_long_text_is_cut_after_a_sentence() -> None:
    assert grouped("今日好熱。聽日落雨。", cut="length", length=8) == [
        (1, "今日好熱。"),
        (1, "聽日落雨。"),
    ]
