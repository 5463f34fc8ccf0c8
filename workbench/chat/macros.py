"""``{{char}}``, ``{{user}}`` and their kin: plain replacement, once, from left to right.

What is put in is never looked at again, so a name like ``{{user}}`` or a Jinja loop in a
card is only text. This module does not know characters.
"""

from __future__ import annotations

import hashlib
import re

LONGEST = 1_000_000
"""Characters of one text with everything put in; beyond it nothing more is put in."""
MACRO = re.compile(r"\{\{\s*([^{}]{1,4000}?)\s*\}\}|<(USER|BOT|CHAR)>", re.IGNORECASE)
COMMENTS = ("//", "comment:", "hidden_key:")
CHOICES = re.compile(r"(?:random|pick)\s*:\s*:?(.*)", re.IGNORECASE | re.DOTALL)


def expand(text: str, char: str, user: str, original: str = "", seed: int = 0) -> str:
    """Put the names in, take comments out, and choose among ``{{random:a,b}}``.

    The choice depends on the seed, the words and their place only, so that the same turn
    asked again is the same. A macro that is not known stays as it is.
    """
    room = LONGEST - len(text)

    def put(found: re.Match[str]) -> str:
        nonlocal room
        said = _said(found, char, user, original, seed)
        if said is None or len(said) - len(found[0]) > room:
            return found[0]
        room -= len(said) - len(found[0])
        return said

    return MACRO.sub(put, text)


def _said(found: re.Match[str], char: str, user: str, original: str, seed: int) -> str | None:
    word = (found[2] or found[1]).strip()
    plain = word.lower()
    if plain in ("char", "bot"):
        return char
    if plain == "user":
        return user
    if plain == "original":
        return original
    if plain.startswith(COMMENTS):
        return ""
    if choices := CHOICES.fullmatch(word):
        return _choice(choices[1], found.start(), seed)
    return None


def _choice(words: str, place: int, seed: int) -> str:
    """One of ``a::b`` or ``a,b``; ``\\,`` is a comma."""
    if "::" in words:
        parts = words.split("::")
    else:
        parts = [part.replace("\\,", ",") for part in re.split(r"(?<!\\),", words)]
    drawn = hashlib.sha256(f"{seed}/{place}/{words}".encode("utf-8", "replace")).digest()
    return parts[int.from_bytes(drawn[:8], "big") % len(parts)].strip()
