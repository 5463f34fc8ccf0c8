"""Lines of a file in bounded memory, and the copy in UTF-8 that the other readers want.

A line ends at a line feed and nowhere else: U+2028 and U+0085 are plain characters inside
a JSON string. This module does not know what the lines hold.
"""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from workbench.data.reading.opened import LONGEST

CHUNK = 1 << 20
MARK = b"\xef\xbb\xbf"
BROKEN = "\udcff"
"""Stands for bytes that are no text; it becomes a byte that is no UTF-8 in the copy."""


def _broken(error: UnicodeError) -> tuple[str, int]:
    if isinstance(error, UnicodeDecodeError):
        return BROKEN, error.end
    raise error


codecs.register_error("trilogy-broken", _broken)


def numbered_lines(path: Path) -> Iterator[tuple[int, bytes | None]]:
    """Each line with its number from 1, without its line feed and without a mark before it.

    A line over ``LONGEST`` bytes is None and is never in memory as a whole.
    """
    with path.open("rb") as file:
        number = 0
        while line := file.readline(LONGEST + 2):
            number += 1
            if len(line) > LONGEST and not line.endswith(b"\n"):
                _pass_over(file)
                yield number, None
                continue
            yield number, line.removesuffix(b"\n").removeprefix(MARK)


def _pass_over(file: BinaryIO) -> None:
    while line := file.readline(CHUNK):
        if line.endswith(b"\n"):
            return


def utf8_copy(source: Path, target: Path, encoding: str, bare_returns: bool) -> None:
    """The same text in UTF-8, with line feeds where it had bare carriage returns.

    What the encoding does not know becomes a byte that is no UTF-8, so that the line it
    stands in is told to be bad, and no other.
    """
    decoder = codecs.getincrementaldecoder(encoding)("trilogy-broken")
    with source.open("rb") as old, target.open("wb") as new:
        while chunk := old.read(CHUNK):
            new.write(_in_utf8(decoder.decode(chunk), bare_returns))
        new.write(_in_utf8(decoder.decode(b"", final=True), bare_returns))


def _in_utf8(text: str, bare_returns: bool) -> bytes:
    if bare_returns:
        text = text.replace("\r", "\n")
    return text.encode("utf-8", "surrogateescape")
