"""Checks for what should not be learned by heart: addresses, telephone and identity numbers.

Tags, for a person to judge: a hotline and a made-up example look like anybody's number.
This module does not know whether a person of that name exists.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from workbench.data.checks.findings import CheckOptions, Finding, turns
from workbench.data.rows import Example

# RE2 has no lookarounds: these loose signs find the rows, the patterns below decide.
URL_SIGN = re.compile(r"https?://|ftp://|www\.", re.ASCII | re.IGNORECASE)
EMAIL_SIGN = re.compile(r"@[A-Za-z0-9]")
PHONE_SIGN = re.compile(r"[0-9][0-9()（） .-]{5,}[0-9]")
HKID_SIGN = re.compile(r"[A-Za-z][0-9]{6}")

_URL = re.compile(
    r"(?:(?:https?|ftp)://|(?<![\w@.])www\.)[A-Za-z0-9\-._~:/?#\[\]@!$&'()*+,;=%]+", re.IGNORECASE
)
_EMAIL = re.compile(
    r"(?<![A-Za-z0-9._%+\-])[A-Za-z0-9][A-Za-z0-9._%+\-]{0,63}@"
    r"(?:[A-Za-z0-9](?:[A-Za-z0-9\-]{0,61}[A-Za-z0-9])?\.)+[A-Za-z]{2,24}(?![A-Za-z0-9])"
)
_HKID = re.compile(
    r"(?<![A-Za-z0-9])([A-Za-z]{1,2})([0-9]{6}) ?(?:[(（]([0-9Aa])[)）]|([0-9Aa])(?![A-Za-z0-9]))"
)
_IDENTITY = re.compile(r"身份[證证]|身分[證证]|HKID|identity|\bID\b", re.IGNORECASE)
_BEFORE = r"(?<![0-9A-Za-z.,/=_$€£¥#(+\-])"
_AFTER = r"(?![0-9A-Za-z=_%]|[.,/\-][0-9])"
_PHONES = (
    (
        "phone_hongkong",
        rf"(?<![0-9])(?:\+|00)?\(?852\)?[ \-]?[2-9][0-9]{{3}}[ \-]?[0-9]{{4}}{_AFTER}",
    ),
    (
        "phone_mainland",
        rf"(?<![0-9])(?:\+|00)?\(?86\)?[ \-]?1[3-9][0-9][ \-]?[0-9]{{4}}[ \-]?[0-9]{{4}}{_AFTER}",
    ),
    ("phone_mainland", rf"{_BEFORE}1[3-9][0-9]{{9}}{_AFTER}"),
    (
        "phone_international",
        rf"(?<![0-9A-Za-z)\]+*/=^] )(?<![0-9A-Za-z)\]+*/=^.])\+[1-9][0-9]{{0,2}}[ \-]"
        rf"(?:\([0-9]{{1,4}}\)[ \-]?)?[0-9]{{2,4}}(?:[ \-]?[0-9]{{2,4}}){{1,3}}{_AFTER}",
    ),
    ("phone_international", rf"{_BEFORE}(?:1-)?[2-9][0-9]{{2}}-[2-9][0-9]{{2}}-[0-9]{{4}}{_AFTER}"),
    (
        "phone_international",
        rf"(?<![0-9A-Za-z])\([2-9][0-9]{{2}}\) ?[2-9][0-9]{{2}}-[0-9]{{4}}{_AFTER}",
    ),
)
_SURE = tuple((kind, re.compile(one)) for kind, one in _PHONES)
_LOCAL = re.compile(rf"{_BEFORE}([2-9][0-9]{{3}})([ \-]?)([0-9]{{4}}){_AFTER}")
_CALLING = re.compile(
    r"電話|电话|手機|手机|手提|致電|致电|打去|打畀|打俾|聯絡|联络|聯繫|联系|熱線|热线|傳真|传真|查詢|"
    r"whats ?app|signal|\btel\b|phone|\bcall\b|hotline|mobile|\bfax\b",
    re.IGNORECASE,
)
_YEAR = re.compile(r"(?:19|20)[0-9]{2}")
NEAR = 16


def url(example: Example, _: CheckOptions) -> Iterator[Finding]:
    """Addresses of web pages, which a model learns to make up."""
    for number, turn in enumerate(turns(example)):
        for found in _URL.finditer(turn.content):
            said = found.group().rstrip(".,;:!?'\"*_")
            said = said[:-1] if said.endswith(")") and "(" not in said else said
            if "." in said:
                end = found.start() + len(said)
                yield Finding("url", "url", number, found.start(), end, {"text": said[:200]})


def email(example: Example, _: CheckOptions) -> Iterator[Finding]:
    """E-mail addresses."""
    for number, turn in enumerate(turns(example)):
        if "@" in turn.content:
            for found in _EMAIL.finditer(turn.content):
                facts: dict[str, str | int | float] = {"text": found.group()}
                yield Finding("email", "email", number, *found.span(), facts)


def phone(example: Example, _: CheckOptions) -> Iterator[Finding]:
    """Telephone numbers.

    With a country code, as mainland mobiles, in the North American spelling, or, as eight
    digits of Hong Kong, with a word such as 電話 in the 16 characters before.
    """
    for number, turn in enumerate(turns(example)):
        taken: list[tuple[int, int]] = []
        for kind, start, end in _phones(turn.content):
            if not any(start < other_end and begin < end for begin, other_end in taken):
                taken.append((start, end))
                facts: dict[str, str | int | float] = {"text": turn.content[start:end]}
                yield Finding("phone", kind, number, start, end, facts)


def _phones(text: str) -> Iterator[tuple[str, int, int]]:
    if not PHONE_SIGN.search(text):
        return
    for kind, sure in _SURE:
        for found in sure.finditer(text):
            yield kind, *found.span()
    for found in _LOCAL.finditer(text):
        years = _YEAR.fullmatch(found[1]) and _YEAR.fullmatch(found[3])
        said_before = text[max(0, found.start() - NEAR) : found.start()]
        if not years and _CALLING.search(said_before):
            yield "phone_hongkong", *found.span()


def hkid(example: Example, _: CheckOptions) -> Iterator[Finding]:
    """Hong Kong identity card numbers whose check digit is right.

    One without brackets around the digit needs a word such as 身份證 in the 16 characters
    before: one code in eleven has the right digit by chance.
    """
    for number, turn in enumerate(turns(example)):
        text = turn.content
        for found in _HKID.finditer(text):
            digit = found[3] or found[4]
            told = found[3] or _IDENTITY.search(text[max(0, found.start() - NEAR) : found.start()])
            if told and check_digit(found[1], found[2]) == digit.upper():
                facts: dict[str, str | int | float] = {"text": found.group()}
                yield Finding("hkid", "hkid", number, *found.span(), facts)


def check_digit(letters: str, digits: str) -> str:
    """The digit in brackets of an identity card number: 0 to 9 or A.

    Letters count from A = 10, a missing first letter counts 36; the weights fall from 9 to 2,
    and the digit makes the sum, itself once, divisible by 11.

    Args:
        letters: one or two of A to Z.
        digits: six.
    """
    values = [36] * (2 - len(letters)) + [ord(letter) - 55 for letter in letters.upper()]
    values += map(int, digits)
    total = sum(weight * value for weight, value in zip(range(9, 1, -1), values, strict=True))
    return "0123456789A"[-total % 11]
