"""Tables of text: which delimiter they have, whether they have a head, and their rows.

Quoted fields may hold line ends. A quote that is never closed costs its own line and no
other. This module does not know encodings: lines come in UTF-8.
"""

from __future__ import annotations

import csv
import re
from collections import Counter, deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from workbench.data.reading.jsonvalues import NOT_UTF8, NUL
from workbench.data.reading.opened import LONGEST, TOO_LONG, Bad, Record, unique_names

DELIMITERS = ("\t", ",", ";", "|")
# Excel's first line, which says the delimiter and is no row.
SEP = re.compile(r"\s*\"?sep=(.)\"?\s*", re.IGNORECASE)
# A quoted field that goes on over more lines than this is a forgotten quote; after each
# forgotten quote less is looked ahead, so that a file full of them is not read for ever.
LOOK_AHEAD = 20_000
LEAST_AHEAD = 50
SAMPLED_ROWS = 60
LONGEST_HEAD = 48
KNOWN = frozenset(
    (
        *("id", "text", "content", "instruction", "input", "output", "prompt", "response"),
        *("question", "answer", "query", "completion", "chosen", "rejected", "system", "user"),
        *("assistant", "human", "gpt", "role", "message", "messages", "conversation", "target"),
        *("conversations", "source", "label", "category", "title", "body", "context", "name"),
        *("url", "lang", "language", "split", "score", "history", "指令", "輸入", "輸出", "输入"),
        *("输出", "問題", "问题", "答案", "回答", "內容", "内容", "文本", "標籤", "标签"),
    )
)
NUMBER = re.compile(r"[-+]?[\d.,]*\d[\d.,]*%?")


@dataclass(frozen=True)
class Table:
    """How a text is to be split into rows and fields."""

    delimiter: str
    header: tuple[str, ...] | None
    width: int
    skip: int


class _Forgotten(Exception):
    """A quoted field that goes on for too long."""


Line = tuple[int, bytes | None]


def table_of(lines: list[Line]) -> Table | None:
    """How the lines at the head of a file are a table, or None if they are a running text."""
    skip, told = _preamble(lines)
    tried = [told] if told else list(DELIMITERS)
    found = [(one, _fields(lines[skip:], one)) for one in tried]
    scored = [(_evenness(rows), delimiter, rows) for delimiter, rows in found if rows]
    if not scored:
        return None
    even, delimiter, rows = max(scored, key=lambda one: (one[0], len(one[2][0])))
    width = _usual_width(rows)
    header = _header(rows, width)
    if not told and not _is_table(even, delimiter, rows, width, header):
        return None
    return Table(delimiter, unique_names(rows[0]) if header else None, width, skip)


def _preamble(lines: list[Line]) -> tuple[int, str]:
    """How many lines stand before the table, and the delimiter if ``sep=`` says it."""
    texts = [(raw or b"").decode("utf-8", "replace") for _, raw in lines]
    if texts and (said := SEP.fullmatch(texts[0])):
        return 1, said[1]
    at = 0
    while at < len(texts) - 1 and texts[at].startswith("#"):
        at += 1
    # "#id,text" may be a head: then it is split like the line below it, and has no space
    above = texts[at - 1] if at else "# "
    if above[1:2].strip() and any(
        0 < above.count(one) == texts[at].count(one) for one in DELIMITERS
    ):
        at -= 1
    return at, ""


def _fields(lines: list[Line], delimiter: str) -> list[list[str]]:
    """The first rows with more than one field somewhere; none if there are no such rows."""
    rows: list[list[str]] = []
    for one in split_rows(iter(lines), delimiter):
        if not isinstance(one, Bad):
            rows.append(one[1])
        if len(rows) == SAMPLED_ROWS:
            break
    return rows if any(len(fields) > 1 for fields in rows) else []


def _usual_width(rows: list[list[str]]) -> int:
    """The head decides if it has more than one field; else what most rows have."""
    counts = Counter(map(len, rows))
    first = len(rows[0])
    return first if counts[first] * 2 >= len(rows) else counts.most_common(1)[0][0]


def _evenness(rows: list[list[str]]) -> float:
    """The share of rows that have as many fields as most; 0 if most have one."""
    width = _usual_width(rows)
    return sum(len(fields) == width for fields in rows) / len(rows) if width > 1 else 0


def _is_table(even: float, delimiter: str, rows: list[list[str]], width: int, header: bool) -> bool:
    """A running text has commas too, but not as many on each line and no head."""
    if delimiter == "|" and not any(row[0].strip() for row in rows if len(row) == width):
        return False  # a table in Markdown, with bars at its edges
    known = header and any(name.strip().lower() in KNOWN for name in rows[0])
    if known:
        return even >= 0.5
    if delimiter == "\t" or width > 3:
        return even >= 0.8 and len(rows) > 1
    return even >= 0.9 and len(rows) > (1 if header and width > 2 else 2)


def _header(rows: list[list[str]], width: int) -> bool:
    """True if the first row names the columns."""
    first = [name.strip() for name in rows[0]]
    if len(first) != width or not any(first):
        return False
    if all(name.lower() in KNOWN for name in first if name):
        return True
    if any(len(name) > LONGEST_HEAD or NUMBER.fullmatch(name) for name in first):
        return False
    below = [fields for fields in rows[1:] if len(fields) == width]
    # a value that comes again in its own column is a value and no name
    return not any(
        first[at] and first[at] == row[at].strip() for row in below for at in range(width)
    )


def table_rows(lines: Iterable[Line], table: Table) -> Iterator[Record | Bad]:
    """The rows below the head as objects; one with more or fewer fields is bad."""
    names = table.header or tuple(f"column_{at}" for at in range(1, table.width + 1))
    rest = (line for line in lines if line[0] > table.skip)
    head = table.header is not None
    for one in split_rows(rest, table.delimiter):
        if head:  # the first row is the head, whatever it holds
            head = False
        elif isinstance(one, Bad):
            yield one
        elif len(one[1]) == table.width:
            yield Record(one[0], dict(zip(names, one[1], strict=True)))
        else:
            found = "1 field" if len(one[1]) == 1 else f"{len(one[1])} fields"
            yield Bad(one[0], f"{found} where the table has {table.width}")


def split_rows(lines: Iterator[Line], delimiter: str) -> Iterator[tuple[int, list[str]] | Bad]:
    """The fields of each row and the line on which it starts; blank lines are passed over."""
    csv.field_size_limit(max(csv.field_size_limit(), LONGEST))
    feed = _Feed(lines)
    while True:
        feed.begin()
        try:
            fields = next(csv.reader(feed, delimiter=delimiter, strict=True))
        except StopIteration:
            return
        except (csv.Error, _Forgotten) as error:
            if not feed.taken:
                return
            start, alone = feed.taken[0][0], len(feed.taken) == 1
            reason = feed.fault if feed.fault and alone else _why(error, len(feed.taken))
            feed.give_back()
            yield Bad(start, reason)
            continue
        start = feed.taken[0][0]
        if feed.fault:
            yield Bad(start, feed.fault)
        elif fields:
            yield start, fields


def _why(error: Exception, lines: int) -> str:
    if isinstance(error, _Forgotten) or "unexpected end" in str(error) or lines > 1:
        return "a quote is opened and never closed"
    if "new-line" in str(error):
        return "a carriage return stands in a field without quotes"
    return "something stands behind a closing quote"


class _Feed:
    """Lines for one ``csv.reader`` after another; what one took in vain the next gets again."""

    def __init__(self, lines: Iterator[Line]) -> None:
        self._lines = lines
        self._back: deque[Line] = deque()
        self._ahead = LOOK_AHEAD
        self.taken: list[Line] = []
        self.fault = ""

    def begin(self) -> None:
        """Forget the lines of the row before."""
        self.taken, self.fault, self._size = [], "", 0

    def give_back(self) -> None:
        """All but the first of the lines taken are to be read again."""
        if len(self.taken) > 1:
            self._back.extendleft(reversed(self.taken[1:]))
            self._ahead = max(LEAST_AHEAD, self._ahead // 2)

    def __iter__(self) -> _Feed:
        return self

    def __next__(self) -> str:
        line = self._back.popleft() if self._back else next(self._lines)
        self.taken.append(line)
        raw = line[1]
        self._size += len(raw or b"")
        if raw is None or len(self.taken) > self._ahead or self._size > LONGEST:
            if raw is None and len(self.taken) == 1:
                self.fault = TOO_LONG
            raise _Forgotten
        return self._text(raw)

    def _text(self, raw: bytes) -> str:
        if b"\x00" in raw:
            self.fault = self.fault or NUL
        try:
            return raw.decode("utf-8") + "\n"
        except UnicodeDecodeError:
            self.fault = self.fault or NOT_UTF8
            return raw.decode("utf-8", "replace") + "\n"
