"""Is this text nearly one that is already kept? An index that grows one text at a time.

Exact, unlike MinHash: two sets whose Jaccard similarity is at least t share a gram among the
|x| - ceil(t |x|) + 1 rarest of each (prefix filtering; Chaudhuri, Ganti & Kaushik 2006, and
Bayardo, Ma & Srikant 2007), so only those are looked up, and every candidate is then measured.
Which grams are rare is counted anew whenever the index has doubled. The first of equal candidates
is told. This module does not know what the texts are, nor what becomes of a copy.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain

from workbench.errors import OutOfRange

# Everything but letters, digits and symbols: as ``shingles.DROPPED``, for one text at a time.
_DROPPED = re.compile(r"[\W_]+")
SIZES = ((0, 2), (12, 3))
"""From how many characters on a gram has so many. Short texts need short grams."""
LONGEST_ASKER = {2: 12, 3: math.inf}
"""The most grams of a text that asks under this size."""
FIRST_COUNT = 256


@dataclass(frozen=True)
class Alike:
    """The kept text that is nearest, and how near."""

    key: str
    similarity: float


def bare(text: str) -> str:
    """What is left when spelling is set aside: NFKC, lower case, letters, digits and symbols."""
    folded = unicodedata.normalize("NFKC", text).lower()
    if folded.isalnum():
        return folded
    kept = _DROPPED.sub("", folded)
    return kept or "".join(folded.split())  # a text of emoji or marks is a text


def grams(text: str, n: int) -> frozenset[str]:
    """The different runs of n characters; a shorter text is one gram by itself."""
    if len(text) <= n:
        return frozenset((text,)) if text else frozenset()
    return frozenset(text[at : at + n] for at in range(len(text) - n + 1))


class Growing:
    """Texts by key, asked for their nearest at or above one floor."""

    def __init__(self, floor: float) -> None:
        """Raises OutOfRange: the floor must be between 0.3 and 1."""
        if not 0.3 <= floor <= 1:
            raise OutOfRange(field="duplicate", value=floor, low=0.3, high=1)
        self._floor = floor
        self._parts = {n: _Part(floor) for _, n in SIZES}
        self._count = 0
        self._text, self._plain = "", ""
        self._own: dict[int, frozenset[str]] = {}

    def __len__(self) -> int:
        return self._count

    def nearest(self, text: str) -> Alike | None:
        """The most alike of the texts added so far, if it reaches the floor."""
        plain = self._bare(text)
        if not plain:
            return None
        n = _size(plain)
        return self._parts[n].nearest(self._grams(plain, n))

    def add(self, key: str, text: str) -> None:
        """A text stands under every size of grams by which it can be met: the asker's counts."""
        plain = self._bare(text)
        if not plain:
            return
        self._count += 1
        for n, part in self._parts.items():
            own = self._grams(plain, n)
            if len(own) * self._floor <= LONGEST_ASKER[n]:
                part.add(key, own)

    def _bare(self, text: str) -> str:
        """What is asked for is often added next: the last text is not taken apart twice."""
        if text != self._text:
            self._text, self._plain, self._own = text, bare(text), {}
        return self._plain

    def _grams(self, plain: str, n: int) -> frozenset[str]:
        if n not in self._own:
            self._own[n] = grams(plain, n)
        return self._own[n]


def _size(plain: str) -> int:
    return next(n for least, n in reversed(SIZES) if len(plain) >= least)


class _Part:
    """The index over grams of one size."""

    def __init__(self, floor: float) -> None:
        self._floor = floor
        self._keys: list[str] = []
        self._sets: list[frozenset[str]] = []
        self._rank: dict[str, int] = {}
        self._postings: dict[str, list[int]] = {}
        self._next_count = FIRST_COUNT

    def add(self, key: str, own: frozenset[str]) -> None:
        self._keys.append(key)
        self._sets.append(own)
        if len(self._keys) >= self._next_count:
            self._recount()
        else:
            self._post(len(self._keys) - 1, own)

    def nearest(self, own: frozenset[str]) -> Alike | None:
        size, best, at = len(own), 0.0, -1
        least, most = math.ceil(self._floor * size - 1e-9), size / self._floor + 1e-9
        for number in sorted(set(self._candidates(own))):
            other = self._sets[number]
            if not least <= len(other) <= most:
                continue
            shared = len(own & other)
            similarity = shared / (size + len(other) - shared)
            if similarity > best:
                best, at = similarity, number
        return Alike(self._keys[at], best) if at >= 0 and best >= self._floor - 1e-9 else None

    def _candidates(self, own: frozenset[str]) -> Iterator[int]:
        for gram in self._prefix(own):
            yield from self._postings.get(gram, ())

    def _prefix(self, own: frozenset[str]) -> list[str]:
        """The grams by which a set can be met, the rarest first; one order for all sets."""
        count = len(own) - math.ceil(self._floor * len(own) - 1e-9) + 1
        rank = self._rank
        order = sorted(gram for gram in own if gram not in rank)  # never counted: the rarest
        if len(order) < count:
            known = [gram for gram in own if gram in rank]
            known.sort(key=rank.__getitem__)
            order += known
        return order[:count]

    def _post(self, number: int, own: frozenset[str]) -> None:
        for gram in self._prefix(own):
            self._postings.setdefault(gram, []).append(number)

    def _recount(self) -> None:
        """Count anew which grams are rare; the order must be one for all, so all move."""
        self._next_count = 2 * len(self._keys)
        counted = Counter(chain.from_iterable(self._sets))
        ordered = sorted(sorted(counted), key=counted.__getitem__)
        self._rank = {gram: place for place, gram in enumerate(ordered)}
        self._postings = {}
        for number, own in enumerate(self._sets):
            self._post(number, own)
