"""What a teacher might answer: tasks in real Cantonese, put together so that thousands differ.

Also the same in written Chinese, English and Simplified characters, scores, three versions,
conversations, and any JSON schema filled in. Knows words only; ``fake_gemini`` sends them.
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

WORDS: dict[str, Any] = yaml.safe_load(Path(__file__).with_suffix(".yaml").read_text("utf-8"))
LINE = "我哋聽日再傾過啦，而家夜喇。"
REFUSAL = "對唔住，呢個要求我幫唔到手。"
FORMS = 10
STRIDE = 7919
"""A prime, so that neighbours have nothing in common."""
NUMERALS = ("兩", "三", "四", "五")


def task(number: int, seed: int = 0) -> dict[str, Any]:
    """One task in Cantonese: instruction, input, output.

    Numbers below 9,600 differ in more than a name: each has its own form, aim and limit, and
    those that share two of the three do not share the person.
    """
    draw = random.Random(f"{seed}:{number}")
    aims, limits, people = WORDS["aims"], WORDS["limits"], WORDS["people"]
    place, form = divmod((number * STRIDE + seed) % (FORMS * len(aims) * len(limits)), FORMS)
    which, limiting = divmod(place, len(limits))
    aim, limit = aims[which], limits[limiting]
    person = people[(limiting + 5 * which + 7 * form) % len(people)]
    who = f"喺{draw.choice(WORDS['places'])}{person}"
    count = draw.randrange(2, 6)
    tips = draw.sample(WORDS["tips"], count)
    many, ending = NUMERALS[count - 2], draw.choice(WORDS["endings"])
    listed = "\n".join(f"{place}. {tip}。" for place, tip in enumerate(tips, 1))
    feeling, verdict = draw.choice(WORDS["feelings"])
    said = f"我係{who}，我想{aim}，不過{limit}。"
    made = (
        (f"幫{who}諗{many}個方法去{aim}，記住{limit}。", "", f"{listed}\n{ending}"),
        (f"{who}想{aim}，但係{limit}，你會點勸佢？", "",
         f"我會咁講：{tips[0]}，跟住{tips[1]}。{ending}"),
        (f"如果{limit}，仲應唔應該{aim}？以{who}嘅角度答。", "",
         f"我覺得應該。{tips[0]}，咁樣唔會太辛苦；另外{tips[1]}。{ending}"),
        (f"寫一段說話鼓勵{who}，佢正話話想{aim}，而{limit}。", "",
         f"加油呀！我知你想{aim}，雖然{limit}，但係{tips[0]}，一定會有進步。{ending}"),
        (f"{who}{limit}都去{aim}，睇下佢嘅留言，佢「開心」定「唔開心」？", f"{feeling}。", verdict),
        (f"{who}嘅日記話：「{aim}，講就易，{limit}呀。」抽出目標同難處。", said,
         f"目標：{aim}。\n難處：{limit}。"),
        (f"「{aim}」——幫{who}將呢個打算寫做短訊send畀屋企人，提埋{limit}。", "",
         f"喂，我諗住{aim}呀，不過{limit}，所以我會{tips[0]}。你哋有咩諗法就話我知啦！"),
        (f"為{who}整個{many}日計劃，目標係{aim}，條件係{limit}。", "",
         "\n".join(f"第{place}日：{tip}。" for place, tip in enumerate(tips, 1)) + f"\n{ending}"),
        (f"扮係{who}，話畀個朋友知點解{limit}都仲要{aim}。", "",
         f"你都知我份人啦，講得出就要做。{limit}又點呢？{tips[0]}，咪得囉。{ending}"),
        (f"列出{many}條問題，等{who}喺{aim}之前問下自己。佢而家{limit}。", "",
         "\n".join(f"{place}. 我係咪可以{tip}？" for place, tip in enumerate(tips, 1))),
    )[form]  # fmt: skip
    instruction, given, output = made
    return {"instruction": instruction, "input": given, "output": output}


def foreign(language: str, draw: random.Random) -> dict[str, Any]:
    """A task whose answer is in the wrong language: written, simplified or english."""
    lines = {
        "written": WORDS["written"],
        "simplified": WORDS["simplified"],
        "english": WORDS["english"],
    }[language]
    asked = {
        "written": "請說明應該怎樣處理這些問題，並且解釋為什麼不能沒有這個步驟。",
        "simplified": "请说明应该怎样处理这些问题，并解释为什么这样做。",
        "english": "Explain how somebody should deal with this problem, and why.",
    }[language]
    return {"instruction": asked, "input": "", "output": " ".join(draw.sample(lines, 3))}


def numbered(tasks: list[dict[str, Any]], start: int, cantonese_labels: bool) -> str:
    """As self-instruct is answered: the label of the first item was the prompt's last word."""
    labels = ("指示", "輸入", "輸出") if cantonese_labels else ("Instruction", "Input", "Output")
    colon = "：" if cantonese_labels else ": "
    said = []
    for number, one in enumerate(tasks, start):
        parts = (one["instruction"], one["input"] or "<noinput>", one["output"])
        lines = [
            f"{number}. {label}{colon}\n{part}"
            if "\n" in part
            else f"{number}. {label}{colon}{part}"
            for label, part in zip(labels, parts, strict=True)
        ]
        said.append("\n".join(lines))
    return "\n###\n".join(said)


_NEXT = re.compile(r"(\d+)\s*[.．、]\s*(?:Instruction|指示)\s*[:：]?\s*$")
_ASKED = re.compile(r"\bnumber (\d+)\b|第 ?(\d+) ?條|\b[Gg]o on to (\d+)")


def answer(prompt: str, number: int, seed: int, language: str = "cantonese") -> tuple[str, int]:
    """A reply in the shape that the prompt asks for, and how many tasks it used up.

    Args:
        number: of the first task that no reply has used yet.
    """
    draw = random.Random(f"{seed}:answer:{number}")
    if re.search(r"1\s*(?:to|至|到|-|–)\s*6", prompt):
        return scores(prompt, draw), 1
    if re.search(r"(?:Version|版本)\s*(?:1|一)", prompt):
        return _versions(number, seed, language, draw), 3
    if re.search(r"^(?:User|用戶|客人)\s*[:：]", prompt, re.MULTILINE):
        return _conversation(number, seed, language, draw), 2
    if "JSON" in prompt and ('"instruction"' in prompt or '"question"' in prompt):
        return _fenced(prompt, number, seed, language, draw)
    hanging = _NEXT.search(prompt)
    if hanging or "###" in prompt:
        start = int(hanging[1]) if hanging else 1
        said = [int(next(filter(None, one))) for one in _ASKED.findall(prompt)]
        last = next((one for one in said if start < one <= 200), start + 9)
        made = [_one(number + place, seed, language, draw) for place in range(last - start + 1)]
        return numbered(made, start, "指示" in prompt), len(made)
    return _plain(number, seed, language, draw), 1


def _one(number: int, seed: int, language: str, draw: random.Random) -> dict[str, Any]:
    return task(number, seed) if language == "cantonese" else foreign(language, draw)


def _fenced(
    prompt: str, number: int, seed: int, language: str, draw: random.Random
) -> tuple[str, int]:
    """JSON as a chat model writes it: between fences."""
    count = 1 if "one JSON object" in prompt else 5
    made = [_one(number + place, seed, language, draw) for place in range(count)]
    if '"question"' in prompt:
        made = [{"question": one["instruction"], "answer": one["output"]} for one in made]
    body = json.dumps(made[0] if count == 1 else made, ensure_ascii=False, indent=2)
    return f"```json\n{body}\n```", count


def scores(prompt: str, draw: random.Random) -> str:
    axes = [name for name in ("Quality", "Complexity") if name.lower() in prompt.lower()]
    marks = [f"{name}: {draw.choice((2, 3, 4, 4, 5, 5, 6))}" for name in axes or ["Score"]]
    return "\n".join(["答得幾清楚，不過仲可以講多啲例子。", *marks])


def _plain(number: int, seed: int, language: str, draw: random.Random) -> str:
    return str(_one(number, seed, language, draw)["output"])


def _versions(number: int, seed: int, language: str, draw: random.Random) -> str:
    said = [_plain(number + place, seed, language, draw) for place in range(3)]
    return "\n\n".join(f"版本 {place}：\n{text}" for place, text in enumerate(said, 1))


def _conversation(number: int, seed: int, language: str, draw: random.Random) -> str:
    lines = []
    for place in range(2):
        one = _one(number + place, seed, language, draw)
        asked = " ".join(part for part in (one["instruction"], one["input"]) if part)
        lines += [f"User: {asked}", f"Assistant: {one['output']}"]
    return "\n".join(lines)


def filled(schema: Mapping[str, Any], number: int, seed: int, language: str = "cantonese") -> Any:
    """A value that fits a JSON schema (or Gemini's own dialect of it, with types in capitals)."""
    used = [number]

    def fresh() -> dict[str, Any]:
        used[0] += 1
        draw = random.Random(f"{seed}:schema:{used[0]}")
        return task(used[0], seed) if language == "cantonese" else foreign(language, draw)

    return _fill(schema, "", fresh, random.Random(f"{seed}:{number}"), fresh())


def _fill(
    schema: Mapping[str, Any], name: str, fresh: Any, draw: random.Random, one: dict[str, Any]
) -> Any:
    if "enum" in schema:
        return draw.choice(list(schema["enum"]))
    if "anyOf" in schema:
        return _fill(schema["anyOf"][0], name, fresh, draw, one)
    kind = schema.get("type", "string")
    kind = str(kind[0] if isinstance(kind, list) else kind).lower()
    if kind == "array":
        least = int(schema.get("minItems") or 3)
        most = int(schema.get("maxItems") or max(least, 3))
        items = schema.get("items") or {"type": "string"}
        count = draw.randint(least, most)
        if roles := ((items.get("properties") or {}).get("role") or {}).get("enum"):
            return _turns(items, roles, count - count % len(roles), fresh, draw)
        return [_fill(items, name, fresh, draw, fresh()) for _ in range(count)]
    if kind == "object":
        fields = schema.get("properties") or {}
        return {key: _fill(part, key, fresh, draw, one) for key, part in fields.items()}
    if kind in ("integer", "number"):
        low, high = int(schema.get("minimum", 1)), int(schema.get("maximum", 6))
        return draw.randint(low, high)
    if kind == "boolean":
        return draw.random() < 0.5
    return _text(name, one)


def _turns(
    items: Mapping[str, Any], roles: list[str], count: int, fresh: Any, draw: random.Random
) -> list[Any]:
    """Who speaks takes turns; the first asks."""
    made = []
    for place in range(count):
        one = fresh()
        turn = _fill(items, "", fresh, draw, one)
        said = one["output"] if place % len(roles) else one["instruction"]
        made.append({**turn, "role": roles[place % len(roles)], "content": said})
    return made


def _text(name: str, one: dict[str, Any]) -> str:
    lowered = name.lower()
    for part in ("instruction", "input", "output"):
        if lowered == part:
            return str(one[part])
    if lowered in ("question", "prompt", "user"):
        return str(one["instruction"])
    return str(one["output"])


def half(value: Any) -> str:
    """JSON that stops in the middle of its last text."""
    whole = json.dumps(value, ensure_ascii=False, indent=1)
    return whole[: max(1, int(len(whole) * 0.7))]
