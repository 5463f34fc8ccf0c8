"""HKCanCor, the Hong Kong Cantonese Corpus that comes with pycantonese, as rows.

58 recorded dialogues and radio programmes of 1997 and 1998, transcribed by hand. It is
speech: full of particles, repairs and half sentences. This module does not know what the
rows are for, and it changes no character of the transcript.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from workbench.data.rows import Example, Message
from workbench.errors import BadSettings

Form = Literal["utterances", "dialogues", "exchanges"]
FORMS: tuple[Form, ...] = get_args(Form)

LICENCE = "CC BY 4.0"
CITATION = (
    "Luke, Kang-Kwong and May L.Y. Wong. 2015. The Hong Kong Cantonese Corpus: Design and Uses. "
    "Journal of Chinese Linguistics 25, 309-330."
)
SOURCE = "HKCanCor"
TURNS = 6
"""Turns in an exchange at the most: three questions and three answers."""

_LATIN = "[A-Za-z0-9]"
_WORD = re.compile(r"\w")
_APART = re.compile(rf"{_LATIN}\x00(?={_LATIN})")


@dataclass(frozen=True)
class Said:
    """One utterance. ``number`` counts from 0 in its dialogue, wordless ones included."""

    dialogue: str
    speaker: str
    number: int
    text: str


def hkcancor(form: Form) -> Iterator[Example]:
    """The corpus in one of three forms.

    ``utterances`` are plain texts of one utterance each, ``dialogues`` plain texts of one
    recording each, a line an utterance with its speaker in front, ``exchanges``
    conversations of two to six turns that the user begins and the assistant ends, with the
    utterances of one speaker in a row put together.

    Raises:
        BadSettings: there is no such form.
    """
    if form not in FORMS:
        raise BadSettings(reason=f"HKCanCor has no form called {form}")
    for name, said in _dialogues():
        if form == "utterances":
            yield from map(_utterance, said)
        elif form == "dialogues":
            yield _dialogue(name, said)
        else:
            yield from _exchanges(name, said)


@functools.cache
def _dialogues() -> tuple[tuple[str, tuple[Said, ...]], ...]:
    """Every recording: its name and who said what."""
    import pycantonese

    corpus = pycantonese.hkcancor()
    names = [Path(path).name.split("_")[0].split(".")[0] for path in corpus.file_paths]
    files: Any = corpus.utterances(by_file=True)
    return tuple((name, tuple(_said(name, file))) for name, file in zip(names, files, strict=True))


def _said(name: str, utterances: Iterable[Any]) -> Iterator[Said]:
    for number, utterance in enumerate(utterances):
        words = [token.word for token in utterance.tokens or ()]
        text = joined(words)
        if _WORD.search(text):
            yield Said(name, utterance.participant or "", number, text)


def joined(words: Sequence[str]) -> str:
    """Words as Cantonese writes them: a space only between two that are in Latin letters."""
    return _APART.sub(lambda end: f"{end.group()[:-1]} ", "\x00".join(words)).replace("\x00", "")


def _utterance(said: Said) -> Example:
    return Example(
        (Message("text", said.text),),
        id=f"{said.dialogue}:{said.number}",
        source=SOURCE,
        columns={"dialogue": said.dialogue, "speaker": said.speaker},
    )


def _dialogue(name: str, said: Sequence[Said]) -> Example:
    lines = "\n".join(f"{one.speaker}：{one.text}" for one in said)
    return Example((Message("text", lines),), id=name, source=SOURCE, columns={"dialogue": name})


def _exchanges(name: str, said: Sequence[Said]) -> Iterator[Example]:
    """Cut a dialogue into conversations; a turn left over at the end has no answer and goes."""
    runs = _runs(said)
    for start in range(0, len(runs), TURNS):
        part = runs[start : start + TURNS]
        part = part[: len(part) - len(part) % 2]
        if part:
            yield _exchange(name, part)


def _runs(said: Sequence[Said]) -> list[list[Said]]:
    """Utterances in a row of the same speaker."""
    runs: list[list[Said]] = []
    for one in said:
        if runs and runs[-1][-1].speaker == one.speaker:
            runs[-1].append(one)
        else:
            runs.append([one])
    return runs


def _exchange(name: str, part: Sequence[Sequence[Said]]) -> Example:
    """Who answers last is the assistant, and who spoke before it the user, even of three."""
    messages = tuple(
        Message("assistant" if turn % 2 else "user", joined([one.text for one in run]))
        for turn, run in enumerate(part)
    )
    return Example(
        messages,
        id=f"{name}:{part[0][0].number}",
        source=SOURCE,
        columns={"dialogue": name, "speaker": " ".join(run[0].speaker for run in part[:2])},
    )
