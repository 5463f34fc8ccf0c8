"""How a question is put: for likelihood, for a letter, for a short answer.

A model that brings a chat template is asked through it; any other sees two solved examples and
goes on with the third. This module does not know how an answer is graded.
"""

from __future__ import annotations

import string
from dataclasses import dataclass
from typing import Any

from workbench.compare.probes.items import Choice, Language, Short
from workbench.models.tokenizer import rendered

LETTERS = string.ascii_uppercase


@dataclass(frozen=True)
class Wording:
    """What stands around a question in one language."""

    question: str
    answer: str
    gap: str
    """Between the answer's mark and the answer."""
    letter: str
    """Asks for a letter."""
    short: str
    """Asks for a short answer."""
    solved_letters: tuple[tuple[str, tuple[str, ...], str], ...]
    solved: tuple[tuple[str, str], ...]


WORDINGS: dict[Language, Wording] = {
    "yue": Wording(
        question="問題：",
        answer="答案：",
        gap="",
        letter="淨係答一個英文字母，唔使解釋。",
        short="最後一行淨係寫「答案：」同埋答案。",
        solved_letters=(
            ("一個星期有幾多日？", ("五日", "七日", "九日", "十日"), "B"),
            ("邊樣係水果？", ("石頭", "枱", "鞋", "橙"), "D"),
        ),
        solved=(("3 加 5 等於幾多？", "8"), ("紅、黃、藍入面，邊隻色同番茄一樣？", "紅")),
    ),
    "zh": Wording(
        question="问题：",
        answer="答案：",
        gap="",
        letter="只回答一个英文字母，不要解释。",
        short="最后一行只写“答案：”和答案。",
        solved_letters=(
            ("一个星期有几天？", ("五天", "七天", "九天", "十天"), "B"),
            ("哪一样是水果？", ("石头", "桌子", "鞋", "橙子"), "D"),
        ),
        solved=(("3 加 5 等于多少？", "8"), ("红、黄、蓝中，哪种颜色和番茄一样？", "红")),
    ),
    "en": Wording(
        question="Question: ",
        answer="Answer:",
        gap=" ",
        letter="Answer with one letter only, without any explanation.",
        short='Write "Answer:" and nothing but the answer on the last line.',
        solved_letters=(
            ("How many days has a week?", ("five", "seven", "nine", "ten"), "B"),
            ("Which of these is a fruit?", ("a stone", "a table", "a shoe", "an orange"), "D"),
        ),
        solved=(
            ("What is 3 plus 5?", "8"),
            ("Which is the colour of snow, white or red?", "white"),
        ),
    ),
}


def before_option(item: Choice) -> tuple[str, str]:
    """The context of an option, and what joins the two."""
    words = WORDINGS[item.language]
    return f"{words.question}{item.question}\n{words.answer}", words.gap


def neutral(language: Language) -> tuple[str, str]:
    """A context that asks nothing: what an option is worth by itself (Holtzman 2021)."""
    words = WORDINGS[language]
    return words.answer, words.gap


def rotated(item: Choice, turn: int) -> tuple[int, ...]:
    """Options in a turned order: which option stands at each letter."""
    count = len(item.options)
    return tuple((at + turn) % count for at in range(count))


def for_letter(tokenizer: Any, item: Choice, order: tuple[int, ...]) -> str:
    """The text after which a model writes the letter of an option."""
    words = WORDINGS[item.language]
    asked = _lettered(words, item.question, tuple(item.options[at] for at in order))
    if tokenizer.chat_template:
        return _as_turn(tokenizer, f"{asked}\n{words.letter}")
    solved = [
        f"{_lettered(words, question, options)}\n{words.answer}{words.gap}{letter}"
        for question, options, letter in words.solved_letters
    ]
    return "\n\n".join([*solved, f"{asked}\n{words.answer}"])


def for_short(tokenizer: Any, item: Short) -> str:
    """The text after which a model writes a short answer."""
    words = WORDINGS[item.language]
    if tokenizer.chat_template:
        return _as_turn(tokenizer, f"{item.question}\n{words.short}")
    solved = [
        f"{words.question}{question}\n{words.answer}{words.gap}{answer}"
        for question, answer in words.solved
    ]
    return "\n\n".join([*solved, f"{words.question}{item.question}\n{words.answer}"])


def _lettered(words: Wording, question: str, options: tuple[str, ...]) -> str:
    listed = (f"{letter}. {option}" for letter, option in zip(LETTERS, options, strict=False))
    return "\n".join([f"{words.question}{question}", *listed])


def _as_turn(tokenizer: Any, text: str) -> str:
    return rendered(tokenizer, [{"role": "user", "content": text}], add_generation_prompt=True)
