"""JSON values one at a time: a line of JSON Lines, or what stands next in a long text.

Values keep every digit and nothing that could not be written again as UTF-8 comes out.
Of a key that is there twice the last one counts, as with every JSON reader. This module
does not know which values are rows.
"""

from __future__ import annotations

import codecs
import json
from typing import Any, BinaryIO

import orjson

from workbench.data.reading.lines import MARK
from workbench.data.reading.opened import DEEPEST, LONGEST, TOO_DEEP, TOO_LONG, phrase

CHUNK = 1 << 20
MOST_AT_ONCE = 16 << 20
WHITE = " \t\r\n\ufeff"
# orjson makes a float of an integer beyond 64 bits, so such digits are looked for first.
DIGITS = bytes(0x30 if 0x30 <= byte <= 0x39 else 0x20 for byte in range(256))
MANY_DIGITS = b"0" * 19
NOT_UTF8 = "it holds bytes that are no text in the encoding of the file"
SURROGATE = "it holds half of a surrogate pair, which is no character"
NUL = "it holds NUL characters"
DECODER = json.JSONDecoder()


class Unreadable(Exception):
    """A value that is not JSON: why, and how many lines below its start the fault is."""

    def __init__(self, reason: str, below: int = 0) -> None:
        super().__init__(reason)
        self.reason = reason
        self.below = below


class Unusable(Unreadable):
    """A value that is whole, so that those behind it can be read, but is no row."""


def value_of(line: bytes) -> Any:
    """The one value of a line.

    Raises:
        Unreadable.
    """
    try:
        value = _quickly(line)
    except orjson.JSONDecodeError:
        value = _slowly(line)
    if line.count(b"[") + line.count(b"{") > DEEPEST and depth(value) > DEEPEST:
        raise Unreadable(TOO_DEEP)
    return value


def _quickly(line: bytes) -> Any:
    if MANY_DIGITS in line.translate(DIGITS):
        raise orjson.JSONDecodeError("many digits", "", 0)
    return orjson.loads(line)


def _slowly(line: bytes) -> Any:
    """What orjson refuses: NaN, infinity, long integers; and the faults, with their places."""
    try:
        # lines cut out of an array end in a comma
        value = json.loads(line.decode("utf-8").rstrip().removesuffix(","))
    except RecursionError as error:
        raise Unreadable(TOO_DEEP) from error
    except UnicodeDecodeError as error:
        raise Unreadable(NOT_UTF8) from error
    except ValueError as error:
        raise Unreadable(_why(error, line)) from error
    if b"\\ud" in line.lower() and has_surrogate(value):
        raise Unreadable(SURROGATE)
    return value


def _why(error: ValueError, line: bytes) -> str:
    if not isinstance(error, json.JSONDecodeError):
        return "it holds a number of more than 4,300 digits"
    if b"\x00" in line:
        return NUL
    if line.lstrip().startswith((b"{'", b"[{'")):
        return "not JSON: single quotes, as Python prints them, where JSON wants double ones"
    if error.pos >= len(error.doc.rstrip()) or error.msg.startswith("Unterminated"):
        return "not JSON: the line ends in the middle"
    return f"not JSON: {_plain(error)} at character {error.colno}"


def _plain(error: json.JSONDecodeError) -> str:
    """The message of the decoder as a phrase."""
    if error.msg == "Extra data":
        return "something more stands behind the value"
    return phrase(error.msg[0].lower() + error.msg[1:].removesuffix(" at"))


def has_surrogate(value: Any) -> bool:
    """True if a text in a value has no UTF-8."""
    try:
        json.dumps(value, ensure_ascii=False).encode("utf-8")
    except UnicodeEncodeError:
        return True
    except RecursionError:
        return False  # the depth is told instead
    return False


def depth(value: Any) -> int:
    """Levels of lists and objects; 0 for a plain value. Without recursion."""
    level, here = 0, [value]
    while True:
        here = [one for one in here if isinstance(one, dict | list)]
        if not here:
            return level
        level += 1
        here = [inner for one in here for inner in (one.values() if isinstance(one, dict) else one)]


class Scanner:
    """A long JSON text, read forwards; only what is being decoded is in memory."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._decoder = codecs.getincrementaldecoder("utf-8")("surrogateescape")
        self._text = ""
        self._at = 0
        self._ended = False
        self._dirty = False
        self.line = 1
        """1-based line of the next character."""

    def peek(self) -> str:
        """The next character that is no white space, or an empty string at the end."""
        while True:
            text, at = self._text, self._at
            while at < len(text) and text[at] in WHITE:
                at += 1
            self._move(at)
            if at < len(text):
                return text[at]
            if not self._more():
                return ""

    def second(self) -> str:
        """The next character but one, white space apart; the place does not move."""
        self.peek()
        ahead = 1
        while True:
            while self._at + ahead < len(self._text):
                if self._text[self._at + ahead] not in WHITE:
                    return self._text[self._at + ahead]
                ahead += 1
            if not self._more():
                return ""

    def take(self, character: str) -> bool:
        """Step over a character if it is the next one."""
        if self.peek() != character:
            return False
        self._at += 1
        return True

    def value(self) -> Any:
        """Decode the value that stands next and step over it.

        Raises:
            Unreadable: it is no JSON, cut short, too long or too deep; nothing behind it
                can be found then.
            Unusable: it is whole but cannot be a row.
        """
        self.peek()
        while True:
            try:
                value, end = DECODER.raw_decode(self._text, self._at)
                if end < len(self._text) or self._ended:
                    return self._checked(value, end)
                self._more()  # a number may go on
            except RecursionError as error:
                raise Unreadable(TOO_DEEP) from error
            except json.JSONDecodeError as error:
                self._grow(error)
            except ValueError as error:
                raise Unreadable("it holds a number of more than 4,300 digits") from error

    def _checked(self, value: Any, end: int) -> Any:
        start, text = self._at, self._text
        self._move(end)
        brackets = text.count("[", start, end) + text.count("{", start, end)
        if brackets > DEEPEST and depth(value) > DEEPEST:
            raise Unusable(TOO_DEEP)
        if self._dirty and not _has_utf8(text[start:end]):
            raise Unusable(NOT_UTF8)
        escaped = text.find("\\ud", start, end) >= 0 or text.find("\\uD", start, end) >= 0
        if escaped and has_surrogate(value):
            raise Unusable(SURROGATE)
        return value

    def _grow(self, error: json.JSONDecodeError) -> None:
        """Read on if the fault may only be that the text ends here; else tell it."""
        unfinished = error.msg.startswith("Unterminated") or error.pos >= len(self._text) - 16
        if unfinished and len(self._text) - self._at > LONGEST:
            raise Unreadable(TOO_LONG) from error
        if unfinished and not self._ended:
            self._more()
            return
        below = self._text.count("\n", self._at, error.pos)
        if error.msg.startswith("Unterminated") or error.pos >= len(self._text.rstrip()):
            raise Unreadable("not JSON: the file ends in the middle", below) from error
        raise Unreadable(f"not JSON: {_plain(error)}", below) from error

    def _move(self, at: int) -> None:
        self.line += self._text.count("\n", self._at, at)
        self._at = at

    def _more(self) -> bool:
        """Read as much again as is waiting already, so that growing takes few tries."""
        if self._ended:
            return False
        kept = self._text[self._at :]
        raw = self._file.read(min(max(CHUNK, len(kept)), MOST_AT_ONCE))
        self._ended = not raw
        fresh = self._decoder.decode(raw, final=self._ended)
        self._dirty = self._dirty or not _has_utf8(fresh)
        self._text, self._at = kept + fresh, 0
        return bool(fresh) or not self._ended


def _has_utf8(text: str) -> bool:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def skip_mark(file: BinaryIO) -> BinaryIO:
    """The same file behind its UTF-8 mark, if it has one."""
    if file.read(len(MARK)) != MARK:
        file.seek(0)
    return file
