"""Did the character stay in character? Six plain rules, each with the sentences that decided.

Every rule gives a score from 0 to 1, or none where it does not apply; the total is their
mean, unweighted. The rules read the surface of the words: patterns, registers, n-grams and
lengths. A dull answer that breaks no rule scores well, and so does nonsense of the right
length, which is why the sentences are shown. This module does not know who answered.

* facts: of the persona facts that were asked for, and those contradicted unasked, the
  share that was kept (see ``persona``);
* register: answers in the register of the card's own examples; neutral holds it, mixed
  counts half (see ``workbench.language``);
* voice: answers that do not speak for the user;
* role: answers without "as an AI" in Cantonese, written Chinese or English;
* repetition: one minus the mean share of character 4-grams that an answer repeats, from
  earlier answers or from itself;
* length: answers about as long as the examples, in characters.
"""

from __future__ import annotations

import re
import statistics
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from workbench.chat.character import Character
from workbench.chat.examples import dialogues
from workbench.chat.frame import USER, opening
from workbench.chat.messages import Message
from workbench.chat.patterns import Clock
from workbench.chat.persona import Fact, Persona, persona_of
from workbench.language import Register, register

RuleName = Literal["facts", "register", "voice", "role", "repetition", "length"]
RULES: tuple[RuleName, ...] = get_args(RuleName)
SENTENCE = re.compile(r"[^。！？!?\n…]*[。！？!?\n…]+|[^。！？!?\n…]+")
LETTERS = re.compile(r"[\W_]+")
GRAM = 4
SHOWN_FROM = 0.5
"""An answer that repeats this much is shown as a reason."""
FACT_SECONDS = 5.0
"""For all the patterns of a persona on one conversation."""
SLACK = 2.0
"""Half the shortest and twice the longest example are still like the examples."""

SLIPS = re.compile(
    r"""
    作[為为](一[個个名])?\s*(AI|人工智[能慧]|大?(型)?[語语]言模型|聊天機械人|聊天机器人)
    | 我(只|淨|其實|其实|都)?(係|是)(一[個个名]|個|个)?\s*
      (AI|人工智[能慧]|大?(型)?[語语]言模型|聊天機械人|聊天机器人|電腦程式|虛擬助[手理]|虚拟助手)
    | \bas\ an?\ (AI|artificial\ intelligence|(large\ )?language\ model)\b
    | \bI(\ am|['’]m)\ (just\ )?(an?\ )?(AI\b|artificial\ intelligence|(large\ )?language\ model|
      chat\ ?bot|virtual\ assistant)
    | 我(喺度|正在)?(扮演|角色扮演)(緊|着)? | \b(cannot|can['’]t|unable\ to)\ role-?play
    """,
    re.IGNORECASE | re.VERBOSE,
)
SPEAKERS = ("User", "Human", "用戶", "用户", "使用者", "{{user}}", "<USER>", "<|user|>")


@dataclass(frozen=True)
class Evidence:
    """A sentence that decided."""

    answer: int
    """Which answer it stands in, from 1."""
    sentence: str
    held: bool
    """True if it speaks for the character, False if against."""
    why: str = ""
    """What it was held against: the fact, the register, the share, the length."""


@dataclass(frozen=True)
class Rule:
    """One rule and how it was kept."""

    name: RuleName
    score: float | None
    """From 0 to 1; None where there was nothing to judge."""
    judged: int
    """How many answers or facts."""
    evidence: tuple[Evidence, ...] = ()


@dataclass(frozen=True)
class Score:
    """How well a conversation stayed in character."""

    rules: tuple[Rule, ...]
    answers: int

    @property
    def total(self) -> float | None:
        """The mean of the rules that apply; None if none does."""
        scores = [rule.score for rule in self.rules if rule.score is not None]
        return statistics.fmean(scores) if scores else None

    def rule(self, name: RuleName) -> Rule:
        return next(rule for rule in self.rules if rule.name == name)


@dataclass(frozen=True)
class _Exchange:
    """An answer with what it answers."""

    number: int
    asked: str
    text: str


def score(character: Character, turns: Sequence[Message], user: str = "") -> Score:
    """Score the answers of a conversation.

    Args:
        turns: as they were said; the character's greeting, if it stands at the head, is not
            an answer and not judged.
        user: what the visitor was called.
    """
    user = user.strip() or USER
    answers = _exchanges(turns)
    examples = _examples(character, user)
    persona = persona_of(character)
    rules = (
        _facts(persona, answers),
        _register(examples, answers),
        _voice(user, answers),
        _role(persona, answers),
        _repetition(answers),
        _length(examples, answers),
    )
    return Score(rules, len(answers))


def sentences(text: str) -> list[str]:
    """A text cut after its sentence marks and lines; nothing but marks is left out."""
    found = (piece.strip() for piece in SENTENCE.findall(text))
    return [piece for piece in found if LETTERS.sub("", piece)]


def _exchanges(turns: Sequence[Message]) -> list[_Exchange]:
    found: list[_Exchange] = []
    asked = ""
    spoken = False
    for turn in turns:
        if turn.role == "user":
            asked, spoken = turn.content, True
        elif turn.role == "assistant" and spoken:
            found.append(_Exchange(len(found) + 1, asked, turn.content.strip()))
            asked = ""
    return found


def _examples(character: Character, user: str) -> list[str]:
    """How the character speaks in the card itself."""
    talks = dialogues(character.examples, character.name, user, character.nickname.strip())
    said = [one.content for talk in talks for one in talk if one.role == "assistant"]
    said += [opening(character, user, at) for at in range(len(character.greetings))]
    return [one for one in said if one]


def _facts(persona: Persona, answers: Sequence[_Exchange]) -> Rule:
    kept, evidence = 0, []
    clock = Clock(FACT_SECONDS)
    for answer in answers:
        for fact in persona.facts:
            if found := _judged(fact, answer, clock):
                evidence.append(found)
                kept += found.held
    share = kept / len(evidence) if evidence else None
    return Rule("facts", share, len(evidence), tuple(evidence))


def _judged(fact: Fact, answer: _Exchange, clock: Clock) -> Evidence | None:
    """Kept, contradicted, or asked for and not told; None if the fact did not come up."""
    said = sentences(answer.text)
    for sentence in said:
        # A question asserts nothing.
        if not sentence.endswith(("?", "？")) and clock.any(fact.broken, sentence):
            return Evidence(answer.number, sentence, False, fact.says)
    if not answer.asked or not clock.any(fact.ask, answer.asked):
        return None
    for sentence in said:
        if clock.any(fact.kept, sentence):
            return Evidence(answer.number, sentence, True, fact.says)
    return Evidence(answer.number, _first(answer.text), False, fact.says)


def _register(examples: Sequence[str], answers: Sequence[_Exchange]) -> Rule:
    wanted = usual_register(examples)
    if wanted is None or not answers:
        return Rule("register", None, 0)
    worth = {wanted: 1.0, "neutral": 1.0 if wanted != "other" else 0.0, "mixed": 0.5}
    labels = [register(answer.text) if answer.text else "other" for answer in answers]
    points = [
        0.0 if not answer.text else worth.get(label, 0.0)
        for label, answer in zip(labels, answers, strict=True)
    ]
    evidence = tuple(
        Evidence(answer.number, _telling(answer.text, wanted), False, label)
        for label, answer, point in zip(labels, answers, points, strict=True)
        if point < 1
    )
    return Rule("register", statistics.fmean(points), len(answers), evidence)


def usual_register(examples: Sequence[str]) -> Register | None:
    """The register most of the examples are in, neutral ones aside; None if there is none."""
    labels = Counter(label for text in examples if (label := register(text)) != "neutral")
    return labels.most_common(1)[0][0] if labels else None


def _telling(text: str, wanted: Register) -> str:
    """The first sentence that is not in the wanted register."""
    for sentence in sentences(text):
        if register(sentence) not in (wanted, "neutral"):
            return sentence
    return _first(text)


def _voice(user: str, answers: Sequence[_Exchange]) -> Rule:
    names = "|".join(re.escape(name) for name in {user, *SPEAKERS})
    line = re.compile(rf"^\W{{0,3}}(?:{names})\W{{0,3}}[:：].*", re.IGNORECASE | re.MULTILINE)
    return _without("voice", answers, line.search)


def _role(persona: Persona, answers: Sequence[_Exchange]) -> Rule:
    if persona.may_say_ai:
        return Rule("role", None, 0)
    return _without("role", answers, SLIPS.search)


def _without(
    name: RuleName,
    answers: Sequence[_Exchange],
    search: Callable[[str], re.Match[str] | None],
) -> Rule:
    """The share of answers in which nothing is found."""
    evidence = []
    for answer in answers:
        if found := search(answer.text):
            whole = next((one for one in sentences(answer.text) if search(one)), found[0])
            evidence.append(Evidence(answer.number, whole, False, found[0].strip()))
    share = 1 - len(evidence) / len(answers) if answers else None
    return Rule(name, share, len(answers), tuple(evidence))


def _repetition(answers: Sequence[_Exchange]) -> Rule:
    earlier: set[str] = set()
    shares, evidence = [], []
    for answer in answers:
        grams = grams_of(answer.text)
        if grams:
            again = sum(gram in earlier for gram in grams) / len(grams)
            within = 1 - len(set(grams)) / len(grams)
            share = max(again, within)
            shares.append(share)
            if share >= SHOWN_FROM:
                sentence = _most_repeated(answer.text, earlier)
                evidence.append(Evidence(answer.number, sentence, False, f"{share:.0%}"))
        earlier.update(grams)
    mean = 1 - statistics.fmean(shares) if shares else None
    return Rule("repetition", mean, len(shares), tuple(evidence))


def grams_of(text: str) -> list[str]:
    """Character 4-grams of the bare letters; one gram for a text that is shorter."""
    bare = LETTERS.sub("", text).lower()
    return [bare[at : at + GRAM] for at in range(max(len(bare) - GRAM + 1, bool(bare)))]


def _most_repeated(text: str, earlier: set[str]) -> str:
    said = sentences(text)
    counted = Counter(gram for one in said for gram in grams_of(one))

    def share(sentence: str) -> float:
        grams = grams_of(sentence)
        again = sum(gram in earlier or counted[gram] > 1 for gram in grams)
        return again / len(grams)

    return max(said, key=share, default=_first(text))


def _length(examples: Sequence[str], answers: Sequence[_Exchange]) -> Rule:
    if not examples or not answers:
        return Rule("length", None, 0)
    lengths = [len(text) for text in examples]
    low, high = min(lengths) / SLACK, max(lengths) * SLACK
    points, evidence = [], []
    for answer in answers:
        point = _within(len(answer.text), low, high)
        points.append(point)
        if point < 1:
            why = f"{len(answer.text)} / {min(lengths)}–{max(lengths)}"
            evidence.append(Evidence(answer.number, _first(answer.text), False, why))
    return Rule("length", statistics.fmean(points), len(answers), tuple(evidence))


def _within(length: int, low: float, high: float) -> float:
    """1 from low to high, falling to 0 at no length and at twice the highest."""
    if length < low:
        return length / low
    return max(0.0, min(1.0, 2 - length / high))


def _first(text: str, most: int = 120) -> str:
    """The first sentence, cut."""
    found = sentences(text)
    first = found[0] if found else text.strip()
    return first if len(first) <= most else first[:most] + " …"
