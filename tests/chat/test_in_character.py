"""The six rules, on answers whose faults are known, and scripts that every voice follows."""

from __future__ import annotations

import argparse
import json
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import Any

import pytest

from workbench.chat.character import Character
from workbench.chat.conversation import Answer, Conversation
from workbench.chat.in_character import RULES, grams_of, score, sentences, usual_register
from workbench.chat.messages import Message
from workbench.chat.persona import persona_of
from workbench.chat.score_commands import add_score
from workbench.chat.scored import judged, known_character, read_talks
from workbench.chat.scripts import Said, Script, Talk, follow, read_script, shipped_scripts
from workbench.chat.shipped import ORDER, shipped
from workbench.errors import NoModel, NoScript, NoSuchCharacter, NotATalk, WorkbenchError
from workbench.settings import Settings
from workbench.workspace import Workspace

KAREN = shipped()[0]
GOOD = [
    "唉，今日改咗五次稿，大佬明又反晒枱，我都好攰呀。",
    "做平面設計呀大佬，拍咗兩年拖你仲要問？",
    "咪又係佢囉，五點九先話個標題要大個啲。",
    "豆腐呀！你再唔記得佢個名，佢就唔認你做契爺。",
    "你想謀殺親女友呀？我對蝦敏感㗎，食完成身痕。",
    "走芫荽呀唔該！我最憎㗎，成兩年你都記唔住。",
    "荃灣囉，唔通我住月球咩。",
    "哦。打機緊要過我，是但啦。",
    "凍檸茶少甜，仲要大杯嗰隻先原諒你。",
    "傻㗎你，我手指喺度撳到痠，邊有機械人咁靚女。",
    "十一月三號！你今年再唔記得，我同你反面。",
    "阿Wing 囉，不過佢返夜更，要遷就佢時間喎。",
]


def talk(*pairs: tuple[str, str]) -> list[Message]:
    said = []
    for asked, answered in pairs:
        said += [Message("user", asked), Message("assistant", answered)]
    return said


def scripted(answers: Sequence[str]) -> list[Message]:
    script = shipped_scripts()["karen"]
    return talk(*zip(script.turns, answers, strict=True))


def test_good_answers_score_well_on_every_rule() -> None:
    found = score(KAREN, scripted(GOOD), "阿俊")
    assert found.answers == 12
    assert {rule.name for rule in found.rules} == set(RULES)
    facts = found.rule("facts")
    assert (facts.score, facts.judged) == (1.0, 8)
    assert all(one.held for one in facts.evidence)
    assert found.total is not None
    assert found.total > 0.97


@pytest.mark.parametrize(
    ("asked", "answered", "says", "held"),
    [
        ("你份工係做咩㗎？", "我係一個護士，喺醫院返工。", "做平面設計", False),
        ("你份工係做咩㗎？", "唔話你知。", "做平面設計", False),
        ("你份工係做咩㗎？", "做設計囉。", "做平面設計", True),
        ("隻貓叫咩名？", "隻貓叫咪咪呀。", "隻貓叫豆腐", False),
        ("你住邊？", "我住沙田。", "住荃灣", False),
        ("講啲嘢嚟聽吓", "我住沙田，食咗飯喇。", "住荃灣", False),
        ("你生日幾時？", "十一月三號。", "生日係十一月三號", True),
        ("你生日幾時？", "我生日係五月一號。", "生日係十一月三號", False),
        ("食蝦好冇？", "好呀，我最鍾意食蝦！", "對蝦敏感", False),
    ],
)
def test_a_fact_is_kept_or_contradicted_by_a_sentence(
    asked: str, answered: str, says: str, held: bool
) -> None:
    rule = score(KAREN, talk((asked, answered))).rule("facts")
    found = [one for one in rule.evidence if one.why == says]
    assert [one.held for one in found] == [held]
    assert found[0].sentence in answered


def test_a_question_contradicts_nothing_and_nothing_asked_is_nothing_judged() -> None:
    assert score(KAREN, talk(("喂", "唔通我住沙田？"))).rule("facts").judged == 0
    assert score(KAREN, talk(("喂", "哦。"))).rule("facts").score is None


@pytest.mark.parametrize(
    "slip",
    [
        "作為一個AI，我冇得食飯。",
        "作为人工智能语言模型，我没有感情。",
        "As an AI language model, I cannot eat.",
        "I'm just a chatbot.",
        "我只係一個語言模型。",
        "I cannot roleplay that.",
    ],
)
def test_slips_are_found_in_three_languages(slip: str) -> None:
    rule = score(KAREN, talk(("食咗飯未？", slip), ("喂", "哦。"))).rule("role")
    assert rule.score == 0.5
    assert rule.evidence[0].sentence in slip


def test_no_slip_where_there_is_none_and_a_machine_may_say_so() -> None:
    assert score(KAREN, talk(("你係 AI？", "我唔係AI呀，傻㗎你。"))).rule("role").score == 1
    machine = shipped()[ORDER.index("assistant")]
    assert score(machine, talk(("你係咩？", "我係一個AI助手。"))).rule("role").score is None


@pytest.mark.parametrize("line", ["User: 係呀", "阿俊：好呀", "**User:** hi", "{{user}}: x"])
def test_speaking_for_the_user(line: str) -> None:
    rule = score(KAREN, talk(("喂", f"哦。\n{line}")), "阿俊").rule("voice")
    assert rule.score == 0
    assert score(KAREN, talk(("喂", "阿俊，你好煩。")), "阿俊").rule("voice").score == 1


def test_register_is_held_against_the_cards_own_examples() -> None:
    rule = score(KAREN, talk(("喂", "我們現在沒有時間去吃飯。"), ("喂", "哦。"))).rule("register")
    assert rule.score == 0.5
    assert rule.evidence[0].why == "written"
    english = Character(name="Ann", greeting="Hello there, sit down with me.")
    assert usual_register(["Hello there, sit down with me."]) == "other"
    assert score(english, talk(("hi", "你食咗飯未呀？"))).rule("register").score == 0
    assert score(english, talk(("hi", "Not yet, my friend."))).rule("register").score == 1
    assert score(Character(name="x"), talk(("a", "b"))).rule("register").score is None


def test_repetition_counts_grams_said_before_and_inside() -> None:
    once, twice = "今晚去邊度食飯好呢", "我諗住去旺角行街買衫"
    assert score(KAREN, talk(("a", once), ("b", twice))).rule("repetition").score == 1
    assert score(KAREN, talk(("a", once), ("b", once))).rule("repetition").score == 0.5
    loop = score(KAREN, talk(("a", "好呀好呀" * 30))).rule("repetition")
    assert loop.score is not None
    assert loop.score < 0.1
    assert loop.evidence
    assert grams_of("食，飯 咗未") == ["食飯咗未"]
    assert grams_of("哦。") == ["哦"]
    assert grams_of("！！") == []


def test_length_like_the_examples() -> None:
    points = [
        score(KAREN, talk(("a", text))).rule("length").score
        for text in ("", "攰到好似條鹹魚咁，想瞓。", "長" * 4_000)
    ]
    assert points == [0, 1, 0]


def test_the_greeting_is_not_an_answer() -> None:
    said = [Message("assistant", "喂"), *talk(("a", "b"))]
    assert score(KAREN, said).answers == 1
    nothing = score(KAREN, [])
    assert (nothing.answers, nothing.total) == (0, None)


def test_sentences_of_chinese() -> None:
    assert sentences("哦。係咩？好呀！\n得……") == ["哦。", "係咩？", "好呀！", "得……"]


def test_strangers_persona_cannot_hang_or_break() -> None:
    nasty = {"trilogy": {"persona": {"facts": [
        {"id": "x", "ask": ["a"], "kept": ["(a+)+$", "([", 7], "broken": "no list"}, "x", None,
    ]}}}  # fmt: skip
    character = Character(name="x", extensions=nasty)
    assert len(persona_of(character).facts) == 1
    score(character, talk(("a", "a" * 3_000 + "!")))
    for bad in ({}, {"trilogy": 1}, {"trilogy": {"persona": {"facts": {"a": 1}}}}):
        assert persona_of(Character(name="x", extensions=bad)).facts == ()


def test_every_shipped_script_asks_for_the_facts_of_its_character() -> None:
    scripts = shipped_scripts()
    assert set(scripts) == set(ORDER)
    for key, character in zip(ORDER, shipped(), strict=True):
        script = scripts[key]
        assert script.character == character.name
        assert len(script.turns) == (12 if key == "karen" else 6)
        missed = score(character, talk(*((turn, "…") for turn in script.turns)))
        assert missed.rule("facts").judged >= min(4, len(script.turns)), key


def test_shipped_examples_contradict_no_fact_of_their_own() -> None:
    from workbench.chat.examples import dialogues

    for character in shipped():
        for example in dialogues(character.examples, character.name, "User"):
            for one in score(character, example).rule("facts").evidence:
                assert one.held or one.why not in one.sentence, (character.name, one)


def answering(log: list[tuple[Talk, ...]]) -> Any:
    """Every voice says its own number and how much it has heard."""

    def speak(talks: Sequence[Talk]) -> Generator[Any, None, Sequence[str]]:
        log.append(tuple(talks))
        yield from ()
        return [f"{voice}:{len(talk)}" for voice, talk in enumerate(talks)]

    return speak


def test_every_voice_goes_on_with_its_own_answers() -> None:
    log: list[tuple[Talk, ...]] = []
    work = follow(Script("s", ("一", "二")), KAREN, 2, answering(log))
    seen = []
    try:
        while True:
            seen.append(next(work))
    except StopIteration as end:
        talks = end.value
    assert [event.answers for event in seen if isinstance(event, Said)] == [
        ("0:2", "1:2"), ("0:4", "1:4"),
    ]  # fmt: skip
    assert talks[1][0] == Message("assistant", KAREN.greeting)
    assert [one.content for one in talks[1][1:]] == ["一", "1:2", "二", "1:4"]
    assert log[1][0][2].content == "0:2"


@pytest.mark.parametrize(
    "raw",
    [b"", b"turns: []", b"turns: 7", b"a: [", b"\xff\xfe", b"turns: ['', x]",
     b"turns: [" + b"x," * 200 + b"]", ("turns: ['" + "x" * 5000 + "']").encode()],
)  # fmt: skip
def test_a_bad_script_is_one_sentence(raw: bytes) -> None:
    with pytest.raises(NoScript):
        read_script(raw, "bad.yaml")


def saved() -> bytes:
    conversation = Conversation(character="Karen")
    for asked, answered in zip(shipped_scripts()["karen"].turns, GOOD, strict=True):
        conversation = conversation.say(asked)
        answers = [
            Answer(voice, text, "m", adapter, "f")
            for voice, adapter, text in (("m", "", "我們沒有。"), ("m+a", "a", answered))
        ]
        assert conversation.tip is not None
        conversation = conversation.answered(conversation.tip, answers)
    return json.dumps(conversation.document()).encode()


def test_conversations_are_read_as_the_page_saves_them_and_as_rows() -> None:
    talks, character = read_talks(saved(), "talk.json")
    assert (list(talks), character) == (["m", "m+a"], "Karen")
    base, tuned = judged(KAREN, talks)
    assert base.score.total is not None
    assert tuned.score.total is not None
    assert tuned.score.total > base.score.total
    row = {"messages": [one.as_dict() for one in talk(("你住邊？", "荃灣。"))], "x": 1}
    talks, _ = read_talks((json.dumps(row) + "\n" + json.dumps(row)).encode(), "rows.jsonl")
    assert len(talks) == 2
    for bad in (b"", b"{}", b"[1]", b"\xff", b'{"messages": 3}', b'{"messages":[{"role":"user"}]}'):
        with pytest.raises(NotATalk):
            read_talks(bad, "bad.json")


def run(arguments: list[str], settings: Settings) -> int:
    parser = argparse.ArgumentParser()
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--json", action="store_true")
    add_score(parser.add_subparsers(), common)
    options = parser.parse_args(arguments)
    done: int = options.run(options, settings)
    return done


def test_the_command_scores_a_file(
    tmp_path: Path, settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    path, out = tmp_path / "talk.json", tmp_path / "score.json"
    path.write_bytes(saved())
    assert run(["score", str(path), "--json", "--out", str(out)], settings) == 0
    document = json.loads(capsys.readouterr().out)
    assert document == json.loads(out.read_text("utf-8"))
    assert [one["voice"] for one in document["voices"]] == ["m", "m+a"]
    assert document["voices"][1]["rules"][0]["evidence"][0]["held"] is True
    assert run(["score", str(path), "--character", "waiter"], settings) == 0
    assert "facts" in capsys.readouterr().out


def test_the_command_follows_a_script_with_a_real_model(
    tiny_model: Path, tiny_adapter: Path, shared_settings: Settings, tmp_path: Path
) -> None:
    card = tmp_path / "short.json"
    card.write_text(json.dumps({"name": "Kay", "description": "x", "first_mes": "hi"}))
    script = tmp_path / "s.yaml"
    script.write_text("turns: [hello, who are you]\nuser: Bo\n")
    base = f"file:{tiny_model}"
    arguments = ["score", "--character", str(card), "--script", str(script), "--model", base]
    arguments += ["--model", f"{base}+{tiny_adapter}", "--max-new-tokens", "6"]
    assert run([*arguments, "--out", str(tmp_path / "out.json")], shared_settings) == 0
    document = json.loads((tmp_path / "out.json").read_text("utf-8"))
    base_talk, tuned_talk = (one["messages"] for one in document["voices"])
    assert [one["role"] for one in base_talk] == ["assistant", *["user", "assistant"] * 2]
    assert base_talk[1] == tuned_talk[1] == {"role": "user", "content": "hello"}
    assert base_talk[2] != tuned_talk[2]


def test_the_command_says_what_is_wrong(settings: Settings, tmp_path: Path) -> None:
    wrong: list[tuple[list[str], type[WorkbenchError]]] = [
        (["score", "--character", "karen"], NoModel),
        (["score", "--script", "nope", "--model", "bundled:x"], NoScript),
        (["score", str(tmp_path / "no.json")], NotATalk),
    ]
    for arguments, error in wrong:
        with pytest.raises(error):
            run(arguments, settings)
    with pytest.raises(NoSuchCharacter):
        known_character("nobody", Workspace(tmp_path))
