"""Example dialogues of a card as messages.

A card separates dialogues with ``<START>`` and begins a turn with ``{{user}}:`` or
``{{char}}:``. This module does not know what the examples are for.
"""

from __future__ import annotations

import re

from workbench.chat.macros import expand
from workbench.chat.messages import Message, Role

START = re.compile(r"^[ \t]*<START>[ \t]*$", re.IGNORECASE | re.MULTILINE)
MOST_TURNS = 400


def dialogues(text: str, char: str, user: str, called: str = "") -> tuple[tuple[Message, ...], ...]:
    """The examples, each as its turns.

    Args:
        text: ``mes_example`` as it stands in the card.
        called: another name that the character's turns may begin with.
    """
    speakers: dict[str, Role] = {
        "{{char}}": "assistant",
        "<bot>": "assistant",
        "<char>": "assistant",
    }
    speakers |= {name.lower(): "assistant" for name in (char, called) if name}
    speakers |= {"{{user}}": "user", "<user>": "user", user.lower(): "user"}
    names = "|".join(re.escape(name) for name in sorted(speakers, key=len, reverse=True))
    turn = re.compile(rf"^[ \t]*({names})[ \t]*[:：]", re.IGNORECASE | re.MULTILINE)
    found = []
    left = MOST_TURNS
    for block in START.split(text):
        turns = _turns(block, turn, speakers)[:left]
        left -= len(turns)
        filled = (Message(role, expand(words, called or char, user)) for role, words in turns)
        if said := tuple(message for message in filled if message.content):
            found.append(said)
    return tuple(found)


def _turns(block: str, turn: re.Pattern[str], speakers: dict[str, Role]) -> list[tuple[Role, str]]:
    marks = list(turn.finditer(block))
    if not marks:
        # Words without a speaker show how the character writes.
        return [("assistant", block.strip())] if block.strip() else []
    ends = [mark.start() for mark in marks[1:]] + [len(block)]
    return [
        (speakers[mark[1].lower()], block[mark.end() : end].strip())
        for mark, end in zip(marks, ends, strict=True)
    ]
