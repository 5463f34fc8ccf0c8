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
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from workbench.data.expressions import check_tree
from workbench.errors import BadExpression, QueryTooSlow

SECONDS = 10
MEMORY = "4GB"
REMEMBERED = 16
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
            self._table = self._table if table is None else table
            beside = _with_columns(self._table, {"row": pa.array(np.arange(self.count)), **columns})
            taken = {name.lower() for name in beside.column_names}
            derived = [name for name in DERIVED if name not in taken]
            self.names = [*beside.column_names, *derived]
            self._connection.register("stored", beside)
            made = ", ".join(f'{DERIVED[name]} AS "{name}"' for name in derived)
            self._connection.execute(f"CREATE OR REPLACE VIEW rows AS SELECT *, {made} FROM stored")
            self._found.clear()

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
            conditions, values = self._conditions(view)
            found = self._ask(conditions, values, self._order(view))
            self._found[view] = found
            if len(self._found) > REMEMBERED:
                self._found.popitem(last=False)
            return found

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

    def _conditions(self, view: View) -> tuple[list[str], list[str]]:
        conditions = []
        for expression in view.where:
            self.check(expression)
            conditions.append(f"(\n{expression}\n)")
        if not view.search:
            return conditions, []
        # words without case, as Chinese ones, are found twice as fast without an expression
        cased = view.search.lower() != view.search.upper()
        hit = "regexp_matches(m.content, ?)" if cased else "contains(m.content, ?)"
        texts = [
            f"len(list_filter({column}, lambda m: {hit})) > 0"
            for column in ("messages", "chosen", "rejected")
        ]
        word = f"(?i){re.escape(view.search)}" if cased else view.search
        return [*conditions, f"({' OR '.join(texts)} OR id = ?)"], [word] * 3 + [view.search]

    @staticmethod
    def _order(view: View) -> str:
        if not view.order:
            return ""
        way = "DESC" if view.descending else "ASC"
        name = view.order.replace('"', '""')
        key = f'left("{name}"::varchar, {SORTED})' if view.order in _LONG else f'"{name}"'
        return f"ORDER BY {key} {way} NULLS LAST, row"

    def _ask(self, conditions: list[str], values: list[str], order: str) -> np.ndarray:
        if not conditions and not order:
            return np.arange(self.count)
        where = f"WHERE {' AND '.join(conditions)}" if conditions else ""
        with self._lock, self._limited():
            answer = self._connection.execute(f"SELECT row FROM rows {where} {order}", values)
            found = answer.fetchnumpy()["row"].astype(np.int64)
        return found if order else np.sort(found)

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
            answer = self._connection.execute("SELECT json_serialize_sql(?)", [sql]).fetchone()
        try:
            tree: dict[str, Any] = json.loads(answer[0]) if answer else {"error": True}
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
