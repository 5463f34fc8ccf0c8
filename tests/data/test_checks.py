"""What the checks notice, what they leave in peace, and that whole tables say the same."""

from __future__ import annotations

import itertools
import random
import string
import threading
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import yaml

from workbench.data.checks.findings import turns
from workbench.data.checks.personal import check_digit
from workbench.data.checks.run import CANDIDATES, CHECKS, FINDINGS, CheckOptions, check_row, run
from workbench.data.rows import Example, Message, dumps, loads, table_of
from workbench.errors import BadSettings, OutOfRange, Stopped

WORDS = Path(__file__).resolve().parents[2] / "assets" / "words"
PLAIN = CheckOptions()


def asked(prompt: str, answer: str, given: str | None = None) -> Example:
    whole = f"{prompt}\n\n{given}" if given else prompt
    return Example((Message("user", whole), Message("assistant", answer)), input=given)


def plain(text: str) -> Example:
    return Example((Message("text", text),))


def pair(prompt: str, better: str, worse: str) -> Example:
    return Example(
        (Message("user", prompt),),
        chosen=(Message("assistant", better),),
        rejected=(Message("assistant", worse),),
    )


def talk(*said: tuple[str, str]) -> Example:
    return Example(tuple(Message(role, content) for role, content in said))


def kinds(check: str, example: Example, options: CheckOptions = PLAIN) -> list[str]:
    return [one.kind for one in CHECKS[check](example, options)]


def marked(check: str, example: Example, options: CheckOptions = PLAIN) -> list[str]:
    """The characters that each finding points at."""
    said = turns(example)
    return [
        said[one.turn].content[one.start : one.end]
        for one in CHECKS[check](example, options)
        if one.turn is not None
    ]


def whole(table: pa.Table, chosen: list[str], options: CheckOptions = PLAIN, rows=None) -> pa.Table:
    steps = run(table, chosen, options, threading.Event(), rows)
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value


GOOD = [
    asked("香港最高嘅山係邊座？", "大帽山。"),
    asked("你鍾唔鍾意飲奶茶？", "係"),
    asked("一加一等於幾多？", "2"),
    asked("邊個寫《紅樓夢》？", "曹雪芹"),
    asked("幫我諗三樣生果", "1. 蘋果\n2. 橙\n3. 西瓜"),
    asked("2019-2020 年度有咩大事？", "嗰年係 2019-2020，發生咗好多嘢。"),
    asked("圓周率係幾多？", "大約係 3.14159265358979，唔使記晒。"),
    asked("畀個家庭 emoji 我", "👨\u200d👩\u200d👧 呢個啱你用。"),
    asked("寫段 CSS", "```css\na { color: red; }\nb { color: red; }\nc { color: red; }\n```"),
    asked("sum 點寫？", "用 `sum(x for x in {{a}})` 就得，<b>好易</b>。"),
    asked("價錢係幾多？", "總共係 23456789 元，唔平。"),
    asked("講個笑話", "哈哈哈哈哈哈哈哈哈哈，我諗唔到。"),
    talk(("system", "你係助手。"), ("user", "早晨"), ("assistant", "早晨！")),
    talk(("user", "要唔要糖？"), ("assistant", "要咩？"), ("user", "無"), ("assistant", "好。")),
    plain("今日落大雨，佢冇帶遮，成身濕晒"),
    pair("早晨", "早晨呀！", "你好。"),
]


@pytest.mark.parametrize("example", GOOD)
def test_a_good_row_is_left_in_peace(example: Example) -> None:
    found = list(check_row(example, list(CHECKS), CheckOptions(expected=("cantonese", "mixed"))))
    assert found == []


@pytest.mark.parametrize("given", ["<noinput>", "N/A", "無", "沒有輸入", "None", "(empty)"])
def test_a_placeholder_is_no_input(given: str) -> None:
    example = asked("列出三種雀仔", "麻雀、白鴿、燕子。", given)
    assert kinds("empty_input", example) == ["placeholder_input"]
    assert marked("empty_input", example) == [given]


def test_blank_turns_are_empty() -> None:
    assert kinds("empty_input", asked(" 　\n", "咩話？")) == ["empty_user"]
    assert kinds("empty_answer", asked("喂？", "\n ")) == ["empty_answer"]
    assert kinds("empty_answer", plain("")) == ["empty_text"]
    assert kinds("empty_answer", asked("喂？", "<nooutput>")) == ["placeholder_answer"]


def test_an_answer_that_only_calls_a_tool_is_not_empty() -> None:
    call = Message("assistant", "", tool_calls='[{"name":"time"}]')
    example = Example(
        (Message("user", "幾點？"), call, Message("tool", "三點"), Message("assistant", "三點。"))
    )
    assert kinds("empty_answer", example) == []
    assert kinds("roles", example) == []


def test_an_echo_is_heard_through_punctuation_and_width() -> None:
    assert kinds("echo", asked("今日天氣好好", "今日，天氣好好！")) == ["same_as_prompt"]
    assert kinds("echo", asked("改錯呢句", "ABC係字母嚟㗎", "ＡＢＣ係字母嚟㗎。")) == [
        "same_as_input"
    ]
    assert kinds("echo", asked("你好", "你好")) == []


def test_two_answers_that_are_the_same_teach_no_preference() -> None:
    assert kinds("same_pair", pair("早晨", "早晨。", "早晨。 ")) == ["same_pair"]


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        ([("user", "喂"), ("user", "喂？"), ("assistant", "係")], "twice_in_a_row"),
        ([("user", "喂"), ("assistant", "係"), ("user", "點呀？")], "ends_with_user"),
        ([("user", "喂"), ("system", "乖啲"), ("assistant", "係")], "late_system"),
        ([("assistant", "喂"), ("user", "係"), ("assistant", "好")], "first_not_user"),
        ([("user", "喂"), ("tool", "3"), ("assistant", "係")], "tool_without_call"),
        ([("user", "喂"), ("narrator", "行開"), ("assistant", "係")], "unknown_role"),
        ([], "no_turns"),
    ],
)
def test_turns_out_of_order_are_named(said: list[tuple[str, str]], kind: str) -> None:
    assert kinds("roles", talk(*said)) == [kind]


def test_a_prompt_with_two_answers_may_end_with_the_user() -> None:
    assert kinds("roles", pair("早晨", "早晨！", "吓？")) == []


def test_lengths_are_counted_in_characters() -> None:
    example = asked("一句", "好。")
    assert kinds("length", example, CheckOptions(min_characters=3)) == ["too_short"]
    assert kinds("length", example, CheckOptions(max_characters=3)) == ["too_long"]
    assert kinds("length", example, CheckOptions(min_characters=2, max_characters=4)) == []


def test_a_correction_with_nothing_to_correct_is_broken() -> None:
    same = asked("修正以下句子嘅語法錯誤。", "佢去咗街市。", "佢去咗街市。")
    told = asked("修正以下句子嘅語法錯誤。", "呢句冇語法錯誤。", "佢去咗街市。")
    mended = asked("修正以下句子嘅語法錯誤。", "佢去咗街市。", "佢咗去街市。")
    assert kinds("broken_task", same) == kinds("broken_task", told) == ["nothing_corrected"]
    assert kinds("broken_task", mended) == []


def test_english_wordplay_in_a_chinese_task_is_broken() -> None:
    assert marked("broken_task", asked("將呢啲字按字母排序", "a, b", "b, a")) == ["按字母"]
    assert kinds("broken_task", asked("Write an anagram of listen.", "silent")) == []


def test_cantonese_is_not_translated_to_cantonese() -> None:
    task = "將下面句子翻譯成粵語。"
    assert kinds("broken_task", asked(task, "佢喺屋企瞓覺。", "佢喺屋企瞓緊覺。")) == [
        "already_cantonese"
    ]
    assert kinds("broken_task", asked(task, "佢喺屋企瞓覺。", "他在家裏睡覺。")) == []


def test_a_translation_to_english_is_english() -> None:
    assert kinds("broken_task", asked("翻譯成英文：早晨", "早上好呀各位")) == ["not_english"]
    assert kinds("broken_task", asked("翻譯成英文：早晨", "Good morning.")) == []


LONG = "香港嘅夏天又熱又濕。" * 1 + "".join(
    f"第{one}日都落雨，街上冇乜人行。" for one in "一二三四五六七八九十廿卅百千萬"
)


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        ("要準備嘅嘢有麵粉、雞蛋、", "ends_with_comma"),
        ("我哋去咗好多地方玩，好開心，而且", None),
        (
            "我哋尋日去咗離島行山，食咗海鮮，又影咗好多相，成日都好開心，而且",
            "ends_with_conjunction",
        ),
        ("```python\nprint(1)\n", "open_fence"),
        ("佢話「我哋聽日再傾啦", "open_bracket"),
        (LONG + "最後一日終於出返太陽，我哋就諗住", "no_end"),
        (LONG + "最後一日終於出返太陽。", None),
        ("祝生活愉快\n此致，", None),
        ("Kind regards,", None),
        ("大約三十五歲左右", None),
    ],
)
def test_an_answer_cut_short_is_told_from_a_short_one(answer: str, kind: str | None) -> None:
    assert kinds("truncated", asked("講下啦", answer)) == ([kind] if kind else [])


@pytest.mark.parametrize(
    "answer",
    [
        "I'm sorry, but I can't help with that.",
        "I cannot provide medical advice.",
        "很抱歉，我無法回答這個問題。",
        "对不起，我不能提供这方面的信息。",
        "唔好意思，我冇辦法幫你訂位。",
        "對唔住，呢樣嘢我真係幫唔到你。",
    ],
)
def test_a_refusal_is_heard_in_three_languages(answer: str) -> None:
    assert kinds("refusal", asked("幫我訂位", answer)) == ["refusal"]


@pytest.mark.parametrize(
    "answer",
    [
        "作為一個AI語言模型，我食唔到嘢，但可以介紹幾間。",
        "作为一个人工智能，我没有味觉，可以看看食评。",
        "我係一個AI，冇舌頭，不過好多人話好食。",
        "As an AI language model, I have no tongue.",
    ],
)
def test_an_answer_that_calls_itself_an_ai_is_noticed_unless_asked(answer: str) -> None:
    assert kinds("refusal", asked("邊間好食？", answer)) == ["as_an_ai"]
    assert kinds("refusal", asked("你係咩嚟㗎？", answer)) == []


def test_neutral_is_never_a_fault_but_another_register_is() -> None:
    options = CheckOptions(expected=("cantonese",))
    assert kinds("register", asked("天氣點？", "今日天氣好"), options) == []
    assert kinds("register", asked("點解？", "因為他們沒有告訴我這件事情。"), options) == [
        "wrong_register"
    ]
    assert kinds("register", asked("點解？", "因為佢哋冇話畀我知呢件事。"), options) == []
    assert kinds("register", asked("點解？", "因為他們沒有告訴我這件事情。")) == []


def test_a_sentence_said_three_times_and_a_loop_are_repetition() -> None:
    said = "我好鍾意食雲吞麵同叉燒。"
    assert kinds("repetition", plain(said * 2 + "真係㗎。")) == []
    assert marked("repetition", plain(said * 3)) == [said[:-1]]
    assert kinds("repetition", plain("行嚟行去都係呢度" * 12)) == ["loop"]


def test_gaps_of_a_template_are_found_outside_code() -> None:
    text = "{{name}}你好，我係[你的名字]，代表【公司名稱】，多謝${amount}，<COMPANY>上。"
    assert marked("unfilled", asked("寫封信", text)) == [
        "{{name}}",
        "[你的名字]",
        "【公司名稱】",
        "${amount}",
        "<COMPANY>",
    ]
    assert kinds("unfilled", asked("點寫？", "用 `{{name}}` 或者 ```\n${x}\n``` 就得。")) == []
    assert kinds("unfilled", asked("點寫？", "<BODY>內容</BODY>")) == []


def test_the_minority_script_is_the_fault() -> None:
    assert marked("scripts", asked("講下", "呢個問題我們要说清楚，還有時間。")) == ["说"]
    assert kinds("scripts", asked("讲下", "这个问题我们要說清楚，还有时间。")) == [
        "traditional_in_simplified"
    ]
    assert (
        kinds("scripts", asked("呢個字嘅簡體係咩？", "「說」嘅簡體係「说」，「們」係「们」。"))
        == []
    )
    assert kinds("scripts", asked("講下", "这是简体，全部都是。")) == []


def test_a_cyrillic_letter_in_a_latin_word_is_a_disguise() -> None:
    assert marked("scripts", asked("去邊度買？", "去 pаypal 俾錢。")) == ["pаypal"]
    assert kinds("scripts", asked("俄文點講？", "Москва 同 5 kΩ 都唔係扮嘢。")) == []


def test_damaged_text_is_found_and_accents_are_not() -> None:
    damaged = "café 好飲".encode().decode("cp1252", "replace")
    assert kinds("mojibake", asked("寫", damaged)) != []
    assert kinds("mojibake", asked("寫", "你好".encode().decode("gbk", "replace") + "锟斤拷")) == [
        "replaced"
    ]
    assert kinds("mojibake", asked("寫", "café、naïve、“etelä”是芬蘭文，½ 杯，5 °C")) == []


def test_control_and_private_characters_are_counted() -> None:
    found = list(CHECKS["control"](asked("寫", "a\x07b\x07\ue123\n\t"), PLAIN))
    assert [(one.kind, one.facts["count"]) for one in found] == [("control", 2), ("private_use", 1)]


def test_invisible_characters_are_found_but_joiners_that_join_are_not() -> None:
    assert kinds("zero_width", asked("寫", "好\u200b嘢")) == ["zero_width"]
    assert kinds("zero_width", asked("寫", "👩🏽\u200d💻 同 می\u200cخواهم")) == []
    assert kinds("zero_width", asked("寫", "好\u200d嘢")) == ["zero_width"]


def test_web_and_mail_addresses_end_where_they_end() -> None:
    text = "睇 https://example.org/a?b=1。電郵 siu.ming@example.com.hk，或者 (www.example.net)."
    assert marked("url", asked("寫", text)) == ["https://example.org/a?b=1", "www.example.net"]
    assert marked("email", asked("寫", text)) == ["siu.ming@example.com.hk"]
    assert kinds("email", asked("寫", "@someone 話 a@b 唔係電郵")) == []


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("我電話係 9123 4567，得閒打嚟", ["9123 4567"]),
        ("電話：21234567。", ["21234567"]),
        ("+852 2345 6789 或者 (852)61234567", ["+852 2345 6789", "852)61234567"]),
        ("手機 13812345678", ["13812345678"]),
        ("+86 139 1234 5678", ["+86 139 1234 5678"]),
        ("+44 20 7946 0958", ["+44 20 7946 0958"]),
        ("call 212-555-0147", ["212-555-0147"]),
        ("人口有 7400 0000 咁多，預算 23456789 元", []),
        ("2012-2019 年，訂單 61234567", []),
        ("3.14159265358979 同 12345678901234567890", []),
        ("2 + 12 345 678 = 12345680", []),
    ],
)
def test_telephone_numbers_are_told_from_other_numbers(text: str, numbers: list[str]) -> None:
    found = [one.lstrip("(") for one in marked("phone", asked("寫", text))]
    assert sorted(found) == sorted(numbers)


def weighted(letters: str, digits: str, check: str) -> int:
    """The sum that must be divisible by 11, written out again in another way."""
    values = {**{one: at for at, one in enumerate(string.digits)}, " ": 36}
    values.update({one: 10 + at for at, one in enumerate(string.ascii_uppercase)})
    spelt = letters.rjust(2) + digits
    return sum((9 - at) * values[one] for at, one in enumerate(spelt)) + (
        10 if check == "A" else int(check)
    )


def test_check_digits_make_the_sum_divisible_by_eleven() -> None:
    draw = random.Random(3)
    for letters in ("A", "G", "Z", "WX", "AB"):
        for _ in range(50):
            digits = f"{draw.randrange(10**6):06}"
            assert weighted(letters, digits, check_digit(letters, digits)) % 11 == 0


def test_only_identity_numbers_with_the_right_digit_are_found() -> None:
    right = check_digit("K", "246813")
    wrong = "0" if right != "0" else "1"
    assert marked("hkid", asked("寫", f"佢張卡係K246813({right})。")) == [f"K246813({right})"]
    assert kinds("hkid", asked("寫", f"佢張卡係K246813({wrong})。")) == []
    assert kinds("hkid", asked("寫", f"型號 K246813{right}")) == []
    assert kinds("hkid", asked("寫", f"身份證號碼：K246813{right}")) == ["hkid"]


BAD = [
    asked("列出三種雀仔", "麻雀、白鴿、燕子、烏鴉、", "<noinput>"),
    asked("", ""),
    asked("今日天氣好好", "今日天氣好好。"),
    asked("修正語法錯誤", "佢去咗街市。", "佢去咗街市。"),
    asked("講個諧音笑話", "作為一個AI語言模型，我無法講笑話。"),
    asked("點解？", "因為他們沒有告訴我這件事情。"),
    asked("寫信", "{{name}} [Your Name]，睇 https://example.org，電郵 a.b@example.com"),
    asked("聯絡", "電話 9123 4567，身份證 K246813(" + check_digit("K", "246813") + ")"),
    asked("講下", "呢個問題我們要说清楚 p\u0430ypal \u200b\x07\ue000 锟斤拷 cafÃ© Â£5"),
    asked("長", "行嚟行去都係呢度" * 60),
    asked("句", "我好鍾意食雲吞麵。\n  我好鍾意食雲吞麵！\n```\nx\n``` 我好鍾意食雲吞麵。"),
    pair("早晨", "早晨。", "早晨。"),
    talk(("user", "喂"), ("user", "喂？"), ("tool", "3"), ("system", "乖"), ("user", "點")),
    talk(),
    Example((Message("user", "喂"), Message("assistant", "", tool_calls="[]"))),
    plain("我好鍾意食雲吞麵同叉燒。" * 4),
    plain(" "),
    Example((Message("user", "喂"),), chosen=(), rejected=None),
]
PIECES = [
    "。",
    "，",
    "\n",
    " ",
    "　",
    "```",
    "「",
    "http://a.b",
    "無",
    "N/A",
    "係",
    "[姓名]",
    "9",
    "e\u0301",
    "作為AI",
    "對不起，我不能",
    "这",
    "這",
    "哈",
    "\u200d",
    "👩",
    "Ã©",
    "and",
    "(",
    "{{a}}",
    "\xa0",
    "\x0b",
    "“",
    "A123456(3)",
    "電話 21234567",
]


def jumble(seed: int) -> Example:
    """A row of odd pieces in odd turns."""
    draw = random.Random(seed)

    def text() -> str:
        return "".join(draw.choices(PIECES, k=draw.choice([0, 1, 2, 5, 30])))

    roles = draw.choices(
        ["user", "assistant", "system", "tool", "text"], [5, 5, 1, 1, 1], k=draw.randrange(5)
    )
    messages = tuple(Message(role, text()) for role in roles)
    chosen = (Message("assistant", text()),) if draw.random() < 0.2 else None
    given = draw.choice([None, "", messages[0].content if messages else "x"])
    return Example(
        messages, input=given, chosen=chosen, rejected=chosen and (Message("assistant", text()),)
    )


@pytest.mark.parametrize("expected", [(), ("cantonese",), ("written", "other")])
def test_a_whole_table_says_exactly_what_its_rows_say(
    expected: tuple[str, ...], monkeypatch
) -> None:
    monkeypatch.setattr("workbench.data.checks.run.CHUNK", 37)
    options = CheckOptions(expected=expected, min_characters=3, max_characters=100)
    examples = [*GOOD, *BAD, *map(jumble, range(400))]
    found = whole(table_of(examples, {}), list(CHECKS), options)
    exact = [
        (row, one.check, one.kind, one.turn, one.start, one.end, dumps(one.facts))
        for row, example in enumerate(examples)
        for one in check_row(example, list(CHECKS), options)
    ]
    assert [tuple(one.values()) for one in found.to_pylist()] == exact
    assert found.schema == FINDINGS


def test_the_bad_rows_set_off_every_check() -> None:
    options = CheckOptions(expected=("cantonese",), max_characters=400)
    found = whole(table_of(BAD, {}), list(CHECKS), options)
    assert set(found.column("check").to_pylist()) == CHECKS.keys() == CANDIDATES.keys()


def test_only_the_rows_and_checks_asked_for_are_looked_at() -> None:
    table = table_of([*GOOD, *BAD], {})
    every = whole(table, ["url", "roles"]).to_pylist()
    assert {one["check"] for one in every} == {"url", "roles"}
    some = np.array([len(GOOD) + 6, len(GOOD) + 12])
    assert whole(table, ["url", "roles"], rows=some).to_pylist() == [
        one for one in every if one["row"] in some
    ]
    assert whole(table, [], rows=some).num_rows == 0
    assert whole(table.slice(0, 0), list(CHECKS)).num_rows == 0


def test_every_finding_points_at_characters_that_are_there() -> None:
    examples = [*BAD, *map(jumble, range(100))]
    for example, one in itertools.chain.from_iterable(
        ((example, one) for one in check_row(example, list(CHECKS), PLAIN)) for example in examples
    ):
        assert (one.start is None) == (one.end is None)
        if one.start is not None and one.end is not None:
            assert one.turn is not None
            assert 0 <= one.start <= one.end <= len(turns(example)[one.turn].content)


def test_every_finding_can_be_said_in_every_language() -> None:
    options = CheckOptions(expected=("cantonese",), min_characters=5, max_characters=100)
    examples = [*BAD, *map(jumble, range(300))]
    found = whole(table_of(examples, {}), list(CHECKS), options).to_pylist()
    assert len({one["kind"] for one in found}) > 30
    for path in WORDS.glob("*.yaml"):
        words = yaml.safe_load(path.read_text("utf-8"))
        for check in CHECKS:
            assert words["check"][check] and words["check"][f"{check}_info"]
        for one in found:
            assert words["reason"][one["kind"]].format(**loads(one["facts"]))


def test_progress_counts_rows_and_stop_stops() -> None:
    table = table_of(GOOD, {})
    stop = threading.Event()
    steps = run(table, list(CHECKS), PLAIN, stop)
    first = next(steps)
    assert (first.stage, first.done, first.total, first.unit) == ("inspect", 0, len(GOOD), "rows")
    stop.set()
    with pytest.raises(Stopped):
        next(steps)


def test_options_out_of_range_and_unknown_names_are_refused() -> None:
    with pytest.raises(OutOfRange):
        CheckOptions(min_characters=-1)
    with pytest.raises(OutOfRange):
        CheckOptions(min_characters=10, max_characters=5)
    with pytest.raises(OutOfRange):
        CheckOptions(loop_share=1.5)
    with pytest.raises(BadSettings):
        CheckOptions(expected=("klingon",))
    with pytest.raises(BadSettings):
        next(run(table_of(GOOD, {}), ["spelling"], PLAIN, threading.Event()))
