"""Which rows, in which order: filters in SQL, search and sorting over the Arrow table.

DuckDB reads the table in place. What a person writes is one expression of a WHERE:
subqueries are refused, files, network, Python variables and extensions are switched
off, and a query is stopped after ten seconds. This module does not know what made the
columns.
"""

from __future__ import annotations

import json
import re
import threading
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa

from workbench.data import flat
from workbench.data.expressions import check_tree
from workbench.errors import BadExpression, QueryTooSlow

SECONDS = 10
MEMORY = "4GB"
REMEMBERED = 16
"""Views whose rows are kept; also orders of the whole table, and words searched for."""
LONGEST = 4000
"""Characters of an expression; more is a mistake or an attack."""

_LAST = "list_filter(messages, lambda m: {which})[-1].content"
DERIVED = {
    "prompt": _LAST.format(which="m.role = 'user'"),
    "answer": "coalesce(chosen[-1].content, "
    + _LAST.format(which="m.role in ('assistant', 'text')")
    + ")",
    "characters": "list_sum(list_transform(messages, lambda m: len(m.content)))::bigint",
    "turns": "len(messages)",
    "system": "list_filter(messages, lambda m: m.role = 'system')[1].content",
}
"""Columns that are computed when they are asked for, from the messages."""

_WHOLE = (
    "array_to_string(list_transform(list_concat(messages, coalesce(chosen, [])), "
    "lambda m: m.content), chr(10))"
)
_LONG = ("prompt", "answer", "system", "input")
SORTED = 32
"""Long texts are sorted by this many characters, then by their place in the file."""

_CLASS = re.compile(r"^(?:[A-Z][\w-]*(?: [A-Za-z][\w-]*)* Error: )+")
"""What DuckDB puts in front of its messages: ``Binder Error: ``, ``Out of Range Error: ``."""

_CLOSED = (
    "SET enable_external_access=false",
    "SET python_enable_replacements=false",
    "SET autoinstall_known_extensions=false",
    "SET autoload_known_extensions=false",
    f"SET memory_limit='{MEMORY}'",
    "SET lock_configuration=true",
)


Key = TypeVar("Key")
Found = TypeVar("Found")


@dataclass(frozen=True)
class View:
    """What a person looks at: every filter holds, the words occur, in this order."""

    where: tuple[str, ...] = ()
    search: str = ""
    order: str = ""
    """A column; empty is the order of the file."""
    descending: bool = False


class Query:
    """One dataset's table, ready to be asked; one thread at a time, the others wait."""

    def __init__(self, table: pa.Table, columns: dict[str, pa.Array] | None = None) -> None:
        import duckdb

        self.count = table.num_rows
        self._table = table
        self._lock = threading.RLock()
        self._found: OrderedDict[View, np.ndarray] = OrderedDict()
        self._orders: OrderedDict[tuple[str, bool], np.ndarray] = OrderedDict()
        self._hits: OrderedDict[str, np.ndarray] = OrderedDict()
        self._said: dict[str, flat.Said] = {}
        self._made: dict[str, pa.ChunkedArray] = {}
        self._columns: dict[str, pa.Array] = {}
        self._connection = duckdb.connect(":memory:")
        for setting in _CLOSED:
            self._connection.execute(setting)
        self.update(columns or {})

    def update(self, columns: dict[str, pa.Array], table: pa.Table | None = None) -> None:
        """Put other columns (tags, ratings, the split) beside the rows, or other rows.

        They take the place of the dataset's own of that name. A column of its own that is
        called like a derived one is what a filter means, but not what ``texts`` gives.
        """
        with self._lock:
            if table is not None and table is not self._table:
                self._table = table
                for known in (self._orders, self._hits, self._said, self._made):
                    known.clear()
            for column, descending in list(self._orders):
                if column in columns or column in self._columns:
                    del self._orders[column, descending]
            self._columns = columns
            self._found.clear()
            self._register()

    def _register(self) -> None:
        """Show the database the table, the columns beside it and those worked out before."""
        numbers = {"row": pa.array(np.arange(self.count))}
        beside = _with_columns(self._table, {**numbers, **self._columns})
        taken = {name.lower() for name in beside.column_names}
        self._derived = [name for name in DERIVED if name not in taken]
        self.names = [*beside.column_names, *self._derived]
        shown = ["*"]
        for name in self._derived:
            if name in self._made:
                beside = beside.append_column(name, self._made[name])
            else:
                shown.append(f'{DERIVED[name]} AS "{name}"')
        self._connection.register("stored", beside)
        sql = f"CREATE OR REPLACE VIEW rows AS SELECT {', '.join(shown)} FROM stored"
        self._connection.execute(sql)

    def _work_out(self, names: Iterable[str]) -> None:
        """Keep these derived columns from now on: SQL would make them anew for each query."""
        missing = [name for name in names if name in self._derived and name not in self._made]
        for name in missing:
            if name in flat.PICKED:
                self._made[name] = flat.column(self._table, name)
            else:
                self._made[name] = self._column(name)
        if missing:
            self._register()

    def _column(self, name: str) -> pa.ChunkedArray:
        with self._lock, self._limited():
            return self._connection.sql(f"SELECT {name} FROM rows").to_arrow_table().column(0)

    @property
    def sortable(self) -> list[str]:
        """The columns a table can be sorted by: all but the nested ones."""
        nested = {"messages", "chosen", "rejected", "extra", "tools"}
        return [name for name in self.names if name not in nested]

    def rows(self, view: View) -> np.ndarray:
        """The numbers of the rows that a view shows, in its order. Shape [found], int64.

        Raises:
            BadExpression, QueryTooSlow.
        """
        with self._lock:
            if view in self._found:
                self._found.move_to_end(view)
                return self._found[view]
            if view.order and view.order not in self.sortable:
                raise BadExpression(reason=f"there is no column {view.order} to sort by")
            found = self._where(view.where)
            if view.search:
                found = found[self._hit(view.search)[found]]
            if view.order:
                chosen = np.zeros(self.count, bool)
                chosen[found] = True
                order = self._order(view.order, view.descending)
                found = order[chosen[order]]
            return _remember(self._found, view, found)

    def taken(self, filters: tuple[str, ...]) -> list[int]:
        """How many rows each filter of a stack takes away from what those above it left."""
        left, taken = self.count, []
        for end in range(1, len(filters) + 1):
            now = len(self.rows(View(filters[:end])))
            taken.append(left - now)
            left = now
        return taken

    def texts(self, part: str, rows: np.ndarray | None = None) -> pa.ChunkedArray:
        """One text of each row, in the order of the file: the prompt, the answer, or all of it.

        Empty where there is none. Shape [rows].
        """
        sql = _WHOLE if part == "whole" else DERIVED[part]
        with self._lock, self._limited():
            asked = self._connection.sql(f"SELECT coalesce({sql}, '') AS text FROM rows")
            texts: pa.ChunkedArray = asked.to_arrow_table().column("text")
        return texts if rows is None else texts.take(pa.array(rows))

    def values(self, sql: str, rows: np.ndarray | None = None) -> list[tuple[Any, ...]]:
        """Run one of this program's own queries over ``rows``; never a person's text.

        ``sql`` reads from ``{rows}``, which stands for the rows given or for all.
        """
        with self._lock, self._limited():
            source = "rows"
            if rows is not None:
                self._connection.register("wanted", pa.table({"wanted": rows}))
                source = "(SELECT rows.* FROM rows JOIN wanted ON rows.row = wanted.wanted)"
            answer = self._connection.execute(sql.replace("{rows}", source)).fetchall()
            return [tuple(line) for line in answer]

    def _where(self, expressions: tuple[str, ...]) -> np.ndarray:
        """The rows that meet all conditions, ascending. Shape [found], int64."""
        if not expressions:
            return np.arange(self.count)
        for expression in expressions:
            self.check(expression)
        joined = " AND ".join(f"(\n{expression}\n)" for expression in expressions)
        words = set(re.findall(r"\w+", joined.lower()))
        self._work_out(name for name in DERIVED if name in words)
        return np.flatnonzero(self._mask(f"SELECT row FROM rows WHERE {joined}"))

    def _order(self, column: str, descending: bool) -> np.ndarray:
        """All rows in the order of a column. Shape [rows], int64."""
        if (column, descending) in self._orders:
            return self._orders[column, descending]
        self._work_out([column])
        way = "DESC" if descending else "ASC"
        name = column.replace('"', '""')
        key = f'left("{name}"::varchar, {SORTED})' if column in _LONG else f'"{name}"'
        order = self._ask(f"SELECT row FROM rows ORDER BY {key} {way} NULLS LAST, row")
        return _remember(self._orders, (column, descending), order)

    def _hit(self, word: str) -> np.ndarray:
        """True for each row that says a word in one turn, or has it as its id. [rows], bool."""
        if word in self._hits:
            return self._hits[word]
        hit = self._mask("SELECT row FROM stored WHERE id = ?", word)
        for column in ("messages", "chosen", "rejected"):
            if self._table.column(column).null_count < self.count:
                hit |= self._saying(column, word)
        return _remember(self._hits, word, hit)

    def _saying(self, column: str, word: str) -> np.ndarray:
        """True for each row that has a word in one turn, whatever its case. Shape [rows]."""
        if column not in self._said:
            self._said[column] = flat.Said(self._table.column(column))
        said = self._said[column]
        # the database looks for the first byte, which most Chinese characters share
        plain = word[0].isascii() and word.lower() == word.upper()
        hit = "contains(text, ?)" if plain else "regexp_matches(text, ?)"
        value = word if plain else f"(?i){re.escape(word)}"
        sql = f"SELECT row FROM searched WHERE {hit}"
        found = self._mask(sql, value, said.rows)
        doubtful = said.doubtful(word, found)
        if doubtful.num_rows:
            found[doubtful.column("row").to_numpy()] = False
            found |= self._mask(sql, value, doubtful)
        return found

    def _mask(self, sql: str, value: str = "", searched: pa.Table | None = None) -> np.ndarray:
        """True for each row whose number a query gives. Shape [rows], bool."""
        mask = np.zeros(self.count, bool)
        mask[self._ask(sql, value, searched)] = True
        return mask

    def _ask(self, sql: str, value: str = "", searched: pa.Table | None = None) -> np.ndarray:
        """The row numbers that a query gives. Shape [found], int64."""
        with self._lock, self._limited():
            if searched is not None:
                self._connection.register("searched", searched)
            answer = self._connection.execute(sql, [value] if value else [])
            found: np.ndarray = answer.fetchnumpy()["row"].astype(np.int64)
        return found

    def check(self, expression: str) -> None:
        """Refuse what is not one expression over the columns.

        Raises:
            BadExpression.
        """
        if not expression.strip():
            raise BadExpression(reason="it is empty")
        if len(expression) > LONGEST:
            raise BadExpression(reason=f"it is longer than {LONGEST} characters")
        sql = f"SELECT row FROM rows WHERE (\n{expression}\n)"
        with self._lock, self._limited():
            answer = self._connection.execute("SELECT json_serialize_sql(?)", [sql]).fetchall()
        try:
            tree: dict[str, Any] = json.loads(answer[0][0])
        except RecursionError as error:
            raise BadExpression(reason="its parts stand too deep in one another") from error
        if tree["error"]:
            raise BadExpression(reason=_plain(str(tree.get("error_message", ""))))
        check_tree(tree["statements"])

    @contextmanager
    def _limited(self) -> Iterator[None]:
        """Stop what takes too long, and say what the database says in one line."""
        import duckdb

        clock = threading.Timer(SECONDS, self._connection.interrupt)
        clock.daemon = True
        clock.start()
        try:
            yield
        except duckdb.InterruptException as error:
            raise QueryTooSlow(seconds=SECONDS) from error
        except duckdb.Error as error:
            raise BadExpression(reason=_plain(str(error))) from error
        finally:
            clock.cancel()
            clock.join()


def _remember(known: OrderedDict[Key, Found], key: Key, found: Found) -> Found:
    """Keep an answer, and forget the oldest of too many."""
    known[key] = found
    if len(known) > REMEMBERED:
        known.popitem(last=False)
    return found


def _with_columns(table: pa.Table, columns: dict[str, pa.Array]) -> pa.Table:
    """The table with columns put in or in place of others; SQL knows no case in their names."""
    ours = {name.lower() for name in columns}
    own = [name for name in table.column_names if name.lower() not in ours]
    table = table.select(own)
    for name, values in columns.items():
        table = table.append_column(name, values)
    return table


def _plain(message: str) -> str:
    """The first line of a database error, without its class, as a phrase."""
    line = message.strip().splitlines()[0] if message.strip() else "it cannot be read"
    return _CLASS.sub("", line)[:200].rstrip(".! ")
