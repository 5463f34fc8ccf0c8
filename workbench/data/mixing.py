"""New datasets out of kept rows: one saved clean, or several mixed by weight or count.

The new dataset's rows stand in ``data.parquet`` as they are to be trained on, with the
labels and the split as columns; its recipe holds the whole recipe of every part. This
module does not know how the parts were cleaned.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Generator
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from workbench.data import storage
from workbench.data.dataset import Dataset, check_free, create
from workbench.data.recipe import MixPart, MixSource, Recipe
from workbench.data.rows import FIXED, Example, Message, examples_of, schema_with, table_of
from workbench.data.state import State
from workbench.errors import BadShares, NothingLeft, Stopped
from workbench.events import Progress

BATCH = 20_000


@dataclass(frozen=True)
class Share:
    """How much of one dataset goes into a mix, see ``MixPart``."""

    dataset: str
    weight: float = 0
    count: int = 0
    split: str = ""

    def __post_init__(self) -> None:
        if not (0 <= self.weight < float("inf")) or self.count < 0:
            raise BadShares(reason=f"the share of {self.dataset} is not a number of 0 or more")


@dataclass(frozen=True)
class MixRequest:
    """Which datasets become one new dataset."""

    name: str
    shares: tuple[Share, ...]
    total: int = 0
    seed: int = 0
    shuffle: bool = True
    answers: str = "original"

    def __post_init__(self) -> None:
        if not self.shares:
            raise BadShares(reason="no dataset is chosen")
        names = [share.dataset for share in self.shares]
        if len(set(names)) < len(names):
            raise BadShares(reason="a dataset is there twice")
        if any(share.weight for share in self.shares) and any(share.count for share in self.shares):
            raise BadShares(reason="give weights or counts, not both")
        if self.total < 0 or self.seed < 0:
            raise BadShares(reason="the total and the seed must be 0 or more")
        if self.total and any(share.count for share in self.shares):
            raise BadShares(reason="give counts or a total, not both")
        if self.answers not in ("original", "improved", "preference"):
            raise BadShares(reason=f"there is no choice of answers {self.answers}")


def saved(dataset: str, name: str, answers: str = "original") -> MixRequest:
    """The request that saves what is kept of one dataset, in its order."""
    return MixRequest(name, (Share(dataset),), shuffle=False, answers=answers)


def mix(
    parts: list[Dataset], request: MixRequest, stop: threading.Event
) -> Generator[Progress, None, Recipe]:
    """Write the new dataset into the workspace of the parts.

    Raises:
        BadShares, NothingLeft, DatasetExists, Stopped.
    """
    workspace = parts[0].workspace
    folder = check_free(workspace, request.name)
    chosen = chosen_rows(parts, request)
    total = sum(map(len, chosen))
    if not total:
        raise NothingLeft
    plan = [(part, rows) for part, rows in zip(parts, chosen, strict=True) if len(rows)]
    tables = [finished(part.state) for part, _ in plan]
    columns = _own_columns(tables)
    order = _order([len(rows) for _, rows in plan], request)
    starts = np.cumsum([0, *(len(rows) for _, rows in plan)])
    with storage.sink(folder / storage.DATA, schema_with(columns)) as sink:
        for start in range(0, total, BATCH):
            if stop.is_set():
                raise Stopped
            yield Progress("write", start, total, "rows")
            wanted = order[start : start + BATCH]
            sink.write(_gathered(plan, tables, starts, wanted, columns, request.answers))
        check_free(workspace, request.name)  # nobody took the name meanwhile
    source = MixSource(
        parts=tuple(
            MixPart(part.name, part.recipe.to_json(), share.weight, share.count, share.split)
            for part, share in zip(parts, request.shares, strict=True)
        ),
        total=request.total,
        seed=request.seed,
        shuffle=request.shuffle,
        answers=request.answers,  # type: ignore[arg-type]
    )
    return create(workspace, request.name, source, licence=recipe_licence(parts))


def request_of(source: MixSource, name: str) -> MixRequest:
    """The request that made a mix, to make it again."""
    shares = tuple(Share(part.name, part.weight, part.count, part.split) for part in source.parts)
    return MixRequest(name, shares, source.total, source.seed, source.shuffle, source.answers)


def chosen_rows(parts: list[Dataset], request: MixRequest) -> list[np.ndarray]:
    """The rows that each part gives, ascending; a part that is too small gives all it has."""
    pools = [_pool(part, share) for part, share in zip(parts, request.shares, strict=True)]
    wanted = counts([len(pool) for pool in pools], request)
    generator = np.random.Generator(np.random.PCG64(request.seed))
    return [
        np.sort(generator.permutation(pool)[:count]) if count < len(pool) else pool
        for pool, count in zip(pools, wanted, strict=True)
    ]


def counts(pools: list[int], request: MixRequest) -> list[int]:
    """How many rows each part gives.

    With weights and no total the mix is as large as the shares can be held; with a total
    and no weights each part gives in proportion to what it has.
    """
    weights = np.array([share.weight for share in request.shares], float)
    if request.total and not weights.any():
        weights = np.array(pools, float)
    if not weights.any():
        return [
            min(pool, share.count or pool)
            for pool, share in zip(pools, request.shares, strict=True)
        ]
    shares = weights / weights.sum()
    most = min(pool / float(share) for pool, share in zip(pools, shares, strict=True) if share)
    total = min(request.total or most, sum(pools))
    exact = np.minimum(shares * total, pools)
    whole = np.floor(exact + 1e-9).astype(int)
    for place in np.argsort(whole - exact, kind="stable")[: round(exact.sum()) - whole.sum()]:
        whole[place] += 1
    return [int(count) for count in whole]


def shares_by(state: State, rows: np.ndarray, column: str) -> dict[str, int]:
    """How many of the rows come from each source, or are of each type."""
    column = column.replace('"', '""')
    sql = f"SELECT coalesce(\"{column}\"::varchar, ''), count(*) FROM {{rows}} GROUP BY 1"
    return dict(Counter(dict(state.query.values(sql, rows))).most_common())


def finished(state: State) -> pa.Table:
    """The rows of a state with labels, split and register as columns of their own."""
    table = state.table
    beside = {**state.label_columns(), **state.columns} if state.labels else state.columns
    for name, values in beside.items():
        if name in table.column_names:
            table = table.drop_columns([name])
        table = table.append_column(name, values)
    return table


def _pool(part: Dataset, share: Share) -> np.ndarray:
    rows = part.state.kept_rows()
    if not share.split:
        return rows
    names = finished(part.state)
    if "split" not in names.column_names:
        raise BadShares(reason=f"{share.dataset} is not split")
    inside = pc.equal(names.column("split").cast(pa.string()), share.split).to_numpy()
    return rows[np.array([bool(one) for one in inside[rows]], bool)] if len(rows) else rows


def _order(sizes: list[int], request: MixRequest) -> np.ndarray:
    total = sum(sizes)
    if not request.shuffle:
        return np.arange(total)
    return np.random.Generator(np.random.PCG64([request.seed, 1])).permutation(total)


def _gathered(
    plan: list[tuple[Dataset, np.ndarray]],
    tables: list[pa.Table],
    starts: np.ndarray,
    wanted: np.ndarray,
    columns: dict[str, pa.DataType],
    answers: str,
) -> pa.Table:
    """Rows of several tables in one order, in the schema of the mix."""
    from_part = np.searchsorted(starts, wanted, side="right") - 1
    pieces, order = [], []
    for number, (part, rows) in enumerate(plan):
        places = np.flatnonzero(from_part == number)
        taken = tables[number].take(pa.array(rows[wanted[places] - starts[number]]))
        pieces.append(_fitted(taken, part.name, columns, answers))
        order.append(places)
    back = np.argsort(np.concatenate(order), kind="stable")
    return pa.concat_tables(pieces).take(pa.array(back))


def _fitted(table: pa.Table, name: str, columns: dict[str, pa.DataType], answers: str) -> pa.Table:
    """One part's rows in the schema of the mix."""
    source = pc.fill_null(table.column("source"), name)
    table = table.set_column(table.column_names.index("source"), "source", source)
    own = {field.name: field.type for field in table.schema if field.name not in FIXED}
    same = all(own.get(key) == kind for key, kind in columns.items() if key in own)
    if same and set(own) <= set(columns) and answers == "original":
        for key, kind in columns.items():
            if key not in own:
                table = table.append_column(key, pa.nulls(table.num_rows, kind))
        return table.select(schema_with(columns).names).cast(schema_with(columns))
    return table_of((_answered(row, answers) for row in examples_of(table)), columns)


def _answered(example: Example, answers: str) -> Example:
    """The row with its better answer in place of, or beside, the original one."""
    better = example.columns.get("improved")
    if answers == "original" or not isinstance(better, list) or not better:
        return example
    if example.chosen is not None:  # a pair already: only its better answer is said better
        return replace(example, chosen=replace_answer(example.chosen, better[0]))
    chosen = replace_answer(example.messages, better[0])
    if answers == "improved" or len(chosen) > len(example.messages):
        return replace(example, messages=chosen)
    asked = example.messages[:-1]
    return replace(example, messages=asked, chosen=chosen[-1:], rejected=example.messages[-1:])


def replace_answer(messages: tuple[Message, ...], answer: str) -> tuple[Message, ...]:
    """The conversation with its last answer said better, or with one where there is none."""
    if not messages or messages[-1].role not in ("assistant", "text"):
        return (*messages, Message("assistant", answer))
    return (*messages[:-1], replace(messages[-1], content=answer))


def _own_columns(tables: list[pa.Table]) -> dict[str, pa.DataType]:
    """Columns of all parts; where their types differ the values go to ``extra``."""
    kinds: dict[str, set[pa.DataType]] = {}
    for table in tables:
        for field in table.schema:
            if field.name not in FIXED:
                kinds.setdefault(field.name, set()).add(field.type)
    simple = (pa.string(), pa.int64(), pa.float64(), pa.bool_(), pa.int8())
    return {
        name: next(iter(found))
        for name, found in kinds.items()
        if len(found) == 1 and next(iter(found)) in simple
    }


def recipe_licence(parts: list[Dataset]) -> str:
    """The licences of all parts, each once."""
    known = dict.fromkeys(part.recipe.licence for part in parts if part.recipe.licence)
    return "; ".join(known)
