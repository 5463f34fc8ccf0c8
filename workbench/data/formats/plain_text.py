"""Lines of a plain text file gathered into the texts that become rows.

Nothing here splits on spaces: a row is a block between blank lines, a line, a stretch
of so many characters, or the file. This module does not read files and makes no rows.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Iterator

from workbench.data.formats.mapping import Mapping

Line = tuple[int, str]
"""A line's number, from 1, and the line without its line end."""
LOOKED_AT = 200
"""Lines among which a blank one shows that blocks are meant."""
HEADING = re.compile(r"#{1,6}[ \t]+\S")
SENTENCE_END = re.compile(r"[。！？!?\n][」』”’\")）]*|\.(?=\s)")


def group_text(lines: Iterable[Line], mapping: Mapping) -> Iterator[Line]:
    """The texts of a file, each with the number of its first line, as ``mapping.cut`` says.

    ``paragraph``: blocks between blank lines, a Markdown heading beginning a new one; with no
    blank line among the first 200, every line. ``length``: at most ``mapping.length``
    characters, cut after a sentence where there is one. ``file``: everything.
    """
    if mapping.cut == "file":
        yield from _whole(lines)
    elif mapping.cut == "length":
        yield from _lengths(lines, mapping.length)
    elif mapping.cut == "line":
        yield from ((number, line) for number, line in lines if line.strip())
    else:
        yield from _paragraphs(iter(lines))


def _whole(lines: Iterable[Line]) -> Iterator[Line]:
    listed = list(lines)
    text = "\n".join(line for _, line in listed).strip("\n")
    if text.strip():
        yield next(number for number, line in listed if line), text


def _paragraphs(lines: Iterator[Line]) -> Iterator[Line]:
    head = list(itertools.islice(lines, LOOKED_AT))
    everything = itertools.chain(head, lines)
    filled = [bool(line.strip()) for _, line in head]
    # a blank line after the last filled one ends the file and divides nothing
    inside = "".join("x" if one else "." for one in filled).strip(".")
    if "." in inside or (len(head) == LOOKED_AT and not all(filled)):
        yield from blocks(everything)
    else:
        yield from ((number, line) for number, line in everything if line.strip())


def blocks(lines: Iterable[Line]) -> Iterator[Line]:
    """What stands between blank lines or begins with a heading."""
    start, block = 0, list[str]()
    for number, line in lines:
        ends = not line.strip() or (HEADING.match(line) and not _only_headings(block))
        if ends and block:
            yield start, "\n".join(block)
            block = []
        if line.strip():
            start = start if block else number
            block.append(line)
    if block:
        yield start, "\n".join(block)


def _only_headings(block: list[str]) -> bool:
    """A heading straight under another one stays with it."""
    return all(HEADING.match(line) for line in block)


def _lengths(lines: Iterable[Line], most: int) -> Iterator[Line]:
    start, held = 0, ""
    for number, line in lines:
        if not held:
            start = number
        if held or line.strip():
            held += line
            held += "\n"
        done = 0
        while len(held) - done > most:
            at = _cut_at(held, done, done + most)
            piece, done = held[done:at].strip("\n"), at
            if piece.strip():
                yield start, piece
            start = number
        held = held[done:].lstrip("\n") if done else held
    if held.strip():
        yield start, held.strip("\n")


def _cut_at(text: str, start: int, end: int) -> int:
    """Behind the last sentence that ends between the two, or at the end."""
    ends = [found.end() for found in SENTENCE_END.finditer(text, start, end)]
    return ends[-1] if ends else end
