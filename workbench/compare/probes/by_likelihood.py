"""Items that are answered by comparing likelihoods: choice, cloze, pairs, contamination.

Turns items into continuations and log-probabilities into answers. This module does not know
how a likelihood is worked out.
"""

from __future__ import annotations

import math
import random
import re
from collections.abc import Generator, Sequence

from workbench.compare.probes.items import Choice, Cloze, Item, Pair, Suspect
from workbench.compare.probes.likelihood import Continued, Judge, after, alone
from workbench.compare.probes.prompts import before_option, neutral
from workbench.compare.probes.results import Familiarity, ItemResult, Likelihoods
from workbench.errors import AnswerNotANumber
from workbench.models.decoding import Stoppable
from workbench.models.loader import LoadedModel

COPIES = 8
LEAST_LIKELY = 0.2
"""Of the tokens of a text, as Min-K% takes them (Shi 2024)."""
SWAPPED = 20
"""One character in so many changes place with its neighbour in an edited copy."""
SENTENCE = re.compile(r"[^。！？!?\n]*[。！？!?\n]+|[^。！？!?\n]+")

LogProbabilities = dict[Continued, tuple[float, ...]]


def compared(
    loaded: LoadedModel, judge: Judge, items: Sequence[Item], stop: Stoppable
) -> Generator[int, None, list[ItemResult]]:
    """Answer items together; yields how many continuations are scored.

    Raises:
        Stopped, OutOfMemory, ContextTooLong, NoPrefixToken, AnswerNotANumber.
    """
    asked = [_asked(loaded, item) for item in items]
    found = yield from judge.score([one for each in asked for one in each], stop)
    return [_result(loaded, item, each, found) for item, each in zip(items, asked, strict=True)]


def _asked(loaded: LoadedModel, item: Item) -> list[Continued]:
    """What has to be scored, in the order in which ``_result`` reads it."""
    if isinstance(item, Cloze):
        before, gap = neutral(item.language)
        priors = [after(loaded, before, gap + option) for option in item.options]
        return [*(alone(loaded, one) for one in item.sentences), *priors]
    if isinstance(item, Choice):
        places = (before_option(item), neutral(item.language))
        return [
            after(loaded, context, gap + option)
            for context, gap in places
            for option in item.options
        ]
    if isinstance(item, Pair):
        return [alone(loaded, item.better), alone(loaded, item.worse)]
    assert isinstance(item, Suspect)
    return [alone(loaded, one) for one in (whole(item), *copies(item)[1])]


def _result(
    loaded: LoadedModel, item: Item, asked: list[Continued], found: LogProbabilities
) -> ItemResult:
    sums = tuple(math.fsum(found[one]) for one in asked)
    if not all(map(math.isfinite, sums)):
        precision = str(loaded.model.dtype).removeprefix("torch.")
        raise AnswerNotANumber(model=loaded.reference.label, item=item.id, precision=precision)
    if isinstance(item, Choice):
        return _chosen(item, sums)
    if isinstance(item, Pair):
        sizes = (len(item.better), len(item.worse))
        held = Likelihoods(sums, (), sizes, 0)
        better, worse = held.per_character
        score = 1.0 if better > worse else 0.5 if better == worse else 0.0
        return ItemResult(item.id, score, item.better if score else item.worse, held)
    assert isinstance(item, Suspect)
    return _familiar(item, sums, [found[one] for one in asked])


def _chosen(item: Choice, sums: tuple[float, ...]) -> ItemResult:
    """The likeliest option by the plain sum, as lm-evaluation-harness's ``acc`` takes it."""
    count = len(item.options)
    read = item.sentences if isinstance(item, Cloze) else item.options
    held = Likelihoods(sums[:count], sums[count:], tuple(map(len, read)), item.answer)
    return ItemResult(item.id, float(held.is_right()), item.options[held.pick()], held)


def _familiar(
    item: Suspect, sums: tuple[float, ...], tokens: list[tuple[float, ...]]
) -> ItemResult:
    rule, altered = copies(item)
    sizes = [len(one) for one in (whole(item), *altered)]
    each = [one / size for one, size in zip(sums, sizes, strict=True)]
    least = [min_k(one) for one in tokens]
    held = Familiarity(least[0], tuple(least[1:]), each[0], tuple(each[1:]), rule)
    likelier = sum(one < each[0] for one in each[1:])
    said = f"likelier than {likelier} of {len(altered)} copies; Min-20% {least[0]:.2f}"
    return ItemResult(item.id, held.rank, said, familiarity=held)


def min_k(log_probabilities: Sequence[float]) -> float:
    """The mean of the 20% least likely tokens, at least one of them (Shi 2024, Min-K% Prob)."""
    count = max(1, int(len(log_probabilities) * LEAST_LIKELY))
    return math.fsum(sorted(log_probabilities)[:count]) / count


def whole(item: Suspect) -> str:
    """The text as it would stand where it was copied from."""
    return _with_options(item, item.options)


def copies(item: Suspect) -> tuple[str, tuple[str, ...]]:
    """The rule by which copies are made, and the copies: always the same for the same text.

    options: the same options in other orders, which mean the same (as Oren 2023).
    digits: each digit becomes another. sentences: in another order, when there are three.
    characters: one in twenty, and at least two, changes place with its right neighbour.
    """
    draw = random.Random(item.sha256)
    if item.options:
        rule = "options"
    elif re.search(r"\d", item.text):
        rule = "digits"
    else:
        rule = "sentences" if len(SENTENCE.findall(item.text)) > 2 else "characters"
    made: dict[str, None] = {}
    for _ in range(10 * COPIES):
        one = _copy(item, rule, draw)
        if one != whole(item):
            made[one] = None
        if len(made) == COPIES:
            break
    return rule, tuple(made)


def _copy(item: Suspect, rule: str, draw: random.Random) -> str:
    if rule == "options":
        return _with_options(item, draw.sample(item.options, len(item.options)))
    if rule == "digits":
        return re.sub(r"\d", lambda digit: _another(digit[0], draw), item.text)
    if rule == "sentences":
        parts = SENTENCE.findall(item.text)
        return "".join(draw.sample(parts, len(parts)))
    letters = list(item.text)
    for at in draw.sample(range(len(letters) - 1), max(2, len(letters) // SWAPPED)):
        letters[at], letters[at + 1] = letters[at + 1], letters[at]
    return "".join(letters)


def _another(digit: str, draw: random.Random) -> str:
    """Never zero, so that a number keeps its length."""
    return draw.choice([one for one in "123456789" if one != digit])


def _with_options(item: Suspect, options: Sequence[str]) -> str:
    return "\n".join([item.text, *options])
