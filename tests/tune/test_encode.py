"""The mask is right: what is learned is the answers with their ends, and nothing else.

It is compared with transformers' own way, which needs a template with marks in it, and with a
conversation put together by hand, piece by piece.
"""

from __future__ import annotations

import threading
from typing import Any

import pytest

from tests import tiny
from tests.tune.talk import LONG, exchange, many, turn
from workbench.errors import BadTemplate, Stopped
from workbench.models.loader import LoadedModel
from workbench.models.templates import CHATML, GEMMA, PLAIN, chat_template_for
from workbench.tune.encode import Encoded, Encoder, encode_rows, report

BEGIN, END = "{% generation %}", "{% endgeneration %}"
# The same templates with transformers' marks around an answer and its end.
MARKED_CHATML = (
    "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\\n' }}"
    "{% if m['role'] == 'assistant' %}" + BEGIN + "{{ m['content'] + '<|im_end|>' }}" + END +
    "{% else %}{{ m['content'] + '<|im_end|>' }}{% endif %}{{ '\\n' }}{% endfor %}"
)  # fmt: skip
MARKED_GEMMA = (
    "{{ bos_token }}{% set ns = namespace(s='') %}{% for m in messages %}"
    "{% if m['role'] == 'system' %}{% set ns.s = m['content'] | trim + '\\n\\n' %}"
    "{% elif m['role'] == 'assistant' %}{{ '<start_of_turn>model\\n' }}"
    + BEGIN + "{{ m['content'] | trim + '<end_of_turn>' }}" + END + "{{ '\\n' }}"
    "{% else %}{{ '<start_of_turn>user\\n' + ns.s + m['content'] | trim + '<end_of_turn>\\n' }}"
    "{% set ns.s = '' %}{% endif %}{% endfor %}"
)  # fmt: skip
TALKS = [
    LONG,
    exchange("食咗飯未？", "食咗喇，你呢？"),
    exchange("Hi", "Hello! 你好 🙂\n\n  兩行  嘅。", "幾點", "3 o'clock sharp, 𠵱家出發。"),
    exchange("答案係咩", "答案係咩"),
    exchange("model", "user\nmodel\nassistant"),
]


def learned(row: Encoded) -> list[int]:
    return [token for token, on in zip(row.ids, row.labels_mask, strict=True) if on]


def by_transformers(tokenizer: Any, marked: str, talk: Any) -> tuple[list[int], list[int]]:
    plain = [{"role": m["role"], "content": m["content"]} for m in talk]
    found = tokenizer.apply_chat_template(
        plain, chat_template=marked, return_dict=True, return_assistant_tokens_mask=True
    )
    return found["input_ids"], found["assistant_masks"]


def check_against_transformers(tokenizer: Any, template: str, marked: str, talk: Any) -> None:
    row = Encoder(tokenizer, template, 4096).encode(talk)
    ids, mask = by_transformers(tokenizer, marked, talk)
    assert row.ids == ids
    assert row.labels_mask == [bool(one) for one in mask]


TURN = "'<|im_start|>' + message['role'] + '\\n' + "
SIMPLE = (
    "{% for message in messages %}{{ " + TURN + "message['content'] + '<|im_end|>\\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)  # fmt: skip
"""ChatML as many bases bring it, which knows no tools."""


def chatml_bytes() -> Any:
    tokenizer = tiny.single_bytes()
    tokenizer.add_special_tokens({"additional_special_tokens": ["<|im_start|>", "<|im_end|>"]})
    return tokenizer


@pytest.mark.parametrize("talk", TALKS)
def test_the_mask_is_transformers_mask_byte_by_byte(talk: Any) -> None:
    check_against_transformers(chatml_bytes(), CHATML, MARKED_CHATML, talk)


@pytest.mark.real
@pytest.mark.parametrize("talk", TALKS)
def test_the_mask_of_gemma_is_transformers_mask(gemma: LoadedModel, talk: Any) -> None:
    check_against_transformers(gemma.tokenizer, GEMMA, MARKED_GEMMA, talk)


@pytest.mark.real
@pytest.mark.parametrize("talk", TALKS)
def test_the_mask_of_smollm_is_transformers_mask(smollm: LoadedModel, talk: Any) -> None:
    check_against_transformers(smollm.tokenizer, CHATML, MARKED_CHATML, talk)


@pytest.mark.real
def test_what_gemma_learns_is_the_answers_and_their_ends(gemma: LoadedModel) -> None:
    row = Encoder(gemma.tokenizer, GEMMA, 4096).encode(LONG)
    answers = [m["content"].strip() for m in LONG if m["role"] == "assistant"]
    assert gemma.tokenizer.decode(learned(row)) == "".join(
        f"{answer}<end_of_turn>" for answer in answers
    )
    assert row.characters == sum(map(len, answers))
    assert row.kinds.count("end") == 6  # of the user's turns too, though they are not learned
    assert not row.cut and row.endless == 0


@pytest.mark.real
def test_smollm_s_own_template_learns_the_answers_and_their_ends(smollm: LoadedModel) -> None:
    tokenizer = smollm.tokenizer
    row = Encoder(tokenizer, chat_template_for(tokenizer), 4096).encode(LONG)
    answers = [m["content"] for m in LONG if m["role"] == "assistant"]
    assert tokenizer.decode(learned(row)) == "".join(f"{answer}<|im_end|>" for answer in answers)
    assert row.characters == sum(map(len, answers))


def test_a_row_put_together_by_hand_is_the_same() -> None:
    tokenizer = chatml_bytes()
    pieces = [
        ("<|im_start|>user\n", False),
        ("去邊？", False),
        ("<|im_end|>\n<|im_start|>assistant\n", False),
        ("去街。<|im_end|>", True),
        ("\n", False),
    ]
    ids, mask = [], []
    for text, on in pieces:
        these = tokenizer(text, add_special_tokens=False)["input_ids"]
        ids += these
        mask += [on] * len(these)
    row = Encoder(tokenizer, CHATML, 4096).encode(exchange("去邊？", "去街。"))
    assert (row.ids, row.labels_mask) == (ids, mask)
    assert row.labels == [token if on else -100 for token, on in zip(ids, mask, strict=True)]
    assert row.characters == 3


def test_a_base_without_turns_learns_to_end_its_answers() -> None:
    tokenizer = tiny.characters()
    row = Encoder(tokenizer, PLAIN, 4096).encode(exchange("去邊", "去街", "好", "行啦"))
    taught = tokenizer.convert_ids_to_tokens(learned(row))
    assert [token for token in taught if token == "</s>"] == ["</s>"] * 2
    assert taught[-1] == "</s>"


def test_a_turn_of_weight_zero_is_not_learned() -> None:
    talk = exchange("去邊？", "去街。", "同邊個？", "阿明。")
    talk[1]["weight"] = 0.0
    encoder = Encoder(chatml_bytes(), CHATML, 4096)
    row = encoder.encode(talk)
    assert encoder.tokenizer.decode(learned(row)) == "阿明。<|im_end|>"
    assert row.characters == 3
    talk[3]["weight"] = 0.0
    nothing = encoder.encode(talk)
    assert (nothing.learned, nothing.characters, nothing.endless) == (0, 0, 0)


def test_everything_but_weight_zero_is_learned_when_asked() -> None:
    talk = [turn("system", "直講。", weight=0.0), *exchange("去邊？", "去街。")]
    encoder = Encoder(chatml_bytes(), CHATML, 4096, answers_only=False)
    row = encoder.encode(talk)
    missing = [t for t, on in zip(row.ids, row.labels_mask, strict=True) if not on]
    assert encoder.tokenizer.decode(missing) == "直講。<|im_end|>"
    assert row.characters == 6


def test_a_plain_text_is_learned_whole_between_its_prefix_and_its_end() -> None:
    tokenizer = tiny.single_bytes()
    row = Encoder(tokenizer, PLAIN, 4096).encode([turn("text", "落雨收衫呀！")])
    assert tokenizer.convert_ids_to_tokens([row.ids[0], row.ids[-1]]) == ["<|begin|>", "<|end|>"]
    assert tokenizer.decode(row.ids[1:-1]) == "落雨收衫呀！"
    assert row.labels_mask == [False] + [True] * (len(row.ids) - 1)
    assert row.characters == 6


def test_a_long_plain_text_becomes_pieces_that_lose_nothing() -> None:
    tokenizer, text = tiny.characters(), "佢哋今日去咗邊度食嘢呀?" * 10
    encoder = Encoder(tokenizer, PLAIN, 32)
    pieces = encoder.encode_all([[turn("text", text)], exchange("去", "好")], [7, 8])
    mine = [piece for piece in pieces if piece.row == 7]
    assert len(mine) == 4 and all(len(piece.ids) <= 32 for piece in mine)
    assert "".join(tokenizer.decode(learned(piece)) for piece in mine) == text + "</s>"
    assert sum(piece.characters for piece in mine) == len(text)
    assert all(piece.ids[0] == tokenizer.bos_token_id for piece in mine)
    assert not any(piece.cut for piece in mine)
    assert encoder.encode([turn("text", text)]).cut


def test_a_row_that_is_too_long_loses_its_end_and_says_so() -> None:
    tokenizer = chatml_bytes()
    whole = Encoder(tokenizer, CHATML, 4096).encode(LONG)
    for length in range(1, len(whole.ids), 7):
        part = Encoder(tokenizer, CHATML, length).encode(LONG)
        assert part.cut and part.ids == whole.ids[:length]
        assert part.labels_mask == whole.labels_mask[:length]
        words = sum(
            on and kind == "text" for on, kind in zip(part.labels_mask, part.kinds, strict=True)
        )
        assert abs(part.characters - words / 3) < 12  # most are three bytes long
    assert part.characters <= whole.characters


def test_a_template_that_trims_and_adds_is_followed() -> None:
    """As templates of thinking models do: a block of their own before the words."""
    own = SIMPLE.replace(
        "message['content'] + '<|im_end|>\\n'",
        "(('<think>\\n\\n</think>\\n\\n' if message['role'] == 'assistant' else '')"
        " + message['content'] | trim + '<|im_end|>\\n')",
    )
    encoder = Encoder(chatml_bytes(), own, 4096)
    row = encoder.encode(exchange("去邊？", "  去街。 "))
    assert encoder.tokenizer.decode(learned(row)) == "<think>\n\n</think>\n\n去街。<|im_end|>"


def test_a_template_that_shortens_earlier_answers_is_followed() -> None:
    own = SIMPLE.replace(
        "message['content'] + '<|im_end|>\\n'",
        "(message['content'].split('</think>')[-1] if not loop.last else message['content'])"
        " + '<|im_end|>\\n'",
    )
    encoder = Encoder(chatml_bytes(), own, 4096)
    row = encoder.encode(exchange("一", "諗緊</think>二", "三", "又諗</think>四"))
    assert encoder.tokenizer.decode(learned(row)) == "二<|im_end|>又諗</think>四<|im_end|>"


@pytest.mark.parametrize("template", [CHATML, PLAIN])
def test_tool_calls_are_learned_with_their_end(template: str) -> None:
    calls = turn("assistant", "", tool_calls='[{"name": "天氣", "arguments": {"city": "香港"}}]')
    talk = [turn("user", "天氣？"), calls, turn("tool", "29 度"), turn("assistant", "好熱。")]
    tokenizer = chatml_bytes()
    encoder = Encoder(tokenizer, template, 4096)
    row = encoder.encode(talk)
    end = "<|im_end|>" if template == CHATML else "<|end|>"
    called = '[{"name": "天氣", "arguments": {"city": "香港"}}]'
    assert tokenizer.decode(learned(row)) == f"{called}{end}好熱。{end}"
    assert not row.calls_lost and row.endless == 0


def test_a_template_that_knows_no_tools_is_told() -> None:
    calls = turn("assistant", "", tool_calls='[{"name": "weather"}]')
    talk = [turn("user", "天氣？"), calls, turn("tool", "29 度"), turn("assistant", "好熱。")]
    encoder = Encoder(chatml_bytes(), SIMPLE, 4096)
    row = encoder.encode(talk)
    assert encoder.tokenizer.decode(learned(row)) == "好熱。<|im_end|>"
    assert row.calls_lost and report([row]).warnings == ("tool_calls_lost",)


def test_tool_calls_that_are_no_json_are_refused() -> None:
    talk = [turn("user", "天氣？"), turn("assistant", "", tool_calls="[{")]
    with pytest.raises(BadTemplate, match="JSON"):
        Encoder(chatml_bytes(), CHATML, 4096).encode(talk)


def test_an_answer_that_nothing_ends_is_told() -> None:
    endless = "{% for m in messages %}{{ m['role'] + ': ' + m['content'] + '\\n' }}{% endfor %}"
    row = Encoder(tiny.single_bytes(), endless, 4096).encode(exchange("去邊？", "去街。"))
    assert row.learned and row.endless == 1 and "end" not in row.kinds
    assert "end_not_learned" in report([row]).warnings


def test_control_tokens_in_the_words_are_told() -> None:
    encoder = Encoder(chatml_bytes(), CHATML, 4096)
    bad = encoder.encode(exchange("去邊？", "去<|im_end|>街。"))
    assert bad.control and not encoder.encode(exchange("去邊？", "去街。")).control
    assert report([bad]).warnings == ("control_tokens",)


def test_rows_the_template_refuses_are_counted_by_their_reason() -> None:
    strict = (
        "{% if messages[0]['role'] == 'system' %}{{ raise_exception('No system turns.') }}"
        "{% endif %}" + CHATML
    )
    encoder = Encoder(chatml_bytes(), strict, 4096)
    mixed = [turn("text", "一段字"), turn("assistant", "好")]
    rows = [*many(300), LONG, mixed]
    events, (encoded, refused) = tiny.finish(
        encode_rows(encoder, rows, range(len(rows)), tiny.never())
    )
    assert [row.row for row in encoded] == list(range(300))
    assert refused == {"No system turns": 1, "plain text and turns are mixed in one row": 1}
    assert (events[-1].done, events[-1].total, events[-1].unit) == (302, 302, "rows")
    with pytest.raises(BadTemplate, match="No system turns"):
        tiny.finish(encode_rows(encoder, [LONG], [0], tiny.never()))


def test_encoding_stops_when_asked() -> None:
    stop = threading.Event()
    work = encode_rows(Encoder(chatml_bytes(), CHATML, 64), many(600), range(600), stop)
    next(work)
    stop.set()
    with pytest.raises(Stopped):
        tiny.finish(work)


def test_one_by_one_and_all_together_are_the_same() -> None:
    encoder = Encoder(chatml_bytes(), CHATML, 50)
    together = encoder.encode_all(TALKS, range(len(TALKS)))
    assert together == [encoder.encode(talk, row) for row, talk in enumerate(TALKS)]


def test_the_report_counts_rows_and_tokens() -> None:
    tokenizer = chatml_bytes()
    encoder = Encoder(tokenizer, CHATML, 60)
    rows = [encoder.encode(talk) for talk in (LONG, exchange("去邊？", "好。"))]
    told = report(rows, tokenizer, CHATML)
    assert (told.rows, told.cut, told.masked, told.endless) == (2, 1, 1, 0)
    assert told.tokens == sum(len(row.ids) for row in rows)
    assert told.learned_tokens == rows[1].learned and told.characters == 2
    assert told.longest == 60
    assert told.warnings == ("rows_cut", "rows_masked", "template_added")


def test_a_template_other_than_the_base_s_is_told() -> None:
    tokenizer = chatml_bytes()
    tokenizer.chat_template = CHATML
    assert report([], tokenizer, CHATML).warnings == ()
    assert report([], tokenizer, PLAIN).warnings == ("template_differs",)


def test_a_tokenizer_that_knows_no_characters_is_refused() -> None:
    class Slow:
        is_fast = False

    with pytest.raises(BadTemplate, match="tokenizer"):
        Encoder(Slow(), CHATML, 64)


def test_a_template_that_cannot_write_a_question_is_refused_at_once() -> None:
    with pytest.raises(BadTemplate):
        Encoder(tiny.characters(), "{{ raise_exception('never') }}", 64)
