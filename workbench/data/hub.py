"""Datasets of the Hub: which parts there are, their first rows, and bringing one in.

Only data files are read: a dataset that needs a program of its own is refused by the
library. This module does not know what the rows mean.
"""

from __future__ import annotations

import threading
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workbench.data import storage
from workbench.data.dataset import check_free, create
from workbench.data.formats.convert import detect, to_examples
from workbench.data.formats.mapping import DEFAULTS, Mapping, Unfit
from workbench.data.importing import SAMPLE, write_examples
from workbench.data.recipe import HubSource, Recipe
from workbench.data.rows import Example
from workbench.errors import BadRow, DatasetUnavailable, NoDataset, UnknownFormat, WorkbenchError
from workbench.events import Progress
from workbench.settings import Settings
from workbench.texts import HUB_DATASET
from workbench.workspace import Workspace


@dataclass(frozen=True)
class HubRequest:
    """A part of a dataset on the Hub."""

    name: str
    config: str = ""
    split: str = "train"
    rows: int = 0
    """At most so many; 0 is all."""
    format: str = ""
    """Empty: found by content."""

    def __post_init__(self) -> None:
        if not self.name.strip():
            raise NoDataset
        # the library would take a folder of this machine for a dataset just as well
        if not HUB_DATASET.fullmatch(self.name) or Path(self.name).exists():
            raise DatasetUnavailable(name=self.name[:100], reason="that is not OWNER/NAME")


@dataclass(frozen=True)
class HubLook:
    """The first rows of a dataset, before it is brought in."""

    configs: tuple[str, ...]
    splits: tuple[str, ...]
    mapping: Mapping
    values: tuple[dict[str, Any], ...]
    examples: tuple[Example, ...]
    licence: str


def look_at_hub(asked: HubRequest, settings: Settings, count: int = 5) -> HubLook:
    """Stream the first rows, without downloading the rest.

    Raises:
        DatasetUnavailable, UnknownFormat.
    """
    from datasets import get_dataset_config_names, get_dataset_split_names

    with _explained(asked.name):
        configs = get_dataset_config_names(asked.name, token=settings.token)
        config = asked.config or (configs[0] if configs else "")
        splits = get_dataset_split_names(asked.name, config or None, token=settings.token)
        values = list(_stream(asked, None, settings).take(max(count, 50)))
    mapping = _mapping(asked, values)
    examples: list[Example] = []
    for value in values[:count]:
        try:
            examples += to_examples(value, mapping, asked.name)
        except Unfit:
            continue
    return HubLook(
        tuple(configs),
        tuple(splits),
        mapping,
        tuple(values[:count]),
        tuple(examples),
        _licence(asked.name, settings),
    )


def bring_request(
    asked: HubRequest,
    workspace: Workspace,
    name: str,
    settings: Settings,
    stop: threading.Event,
) -> Generator[Progress, None, Recipe]:
    """Bring a part of a Hub dataset into the workspace, at the commit it has now.

    Raises:
        DatasetUnavailable, UnknownFormat, BadRow, DatasetExists, Stopped.
    """
    from huggingface_hub import HfApi

    with _explained(asked.name):
        commit = HfApi(token=settings.token).dataset_info(asked.name).sha or "main"
        values = list(_stream(asked, commit, settings).take(SAMPLE))
    mapping = _mapping(asked, values)
    source = HubSource(asked.name, asked.config, asked.split, commit, asked.rows, mapping.to_json())
    return (yield from bring_hub(source, workspace, name, settings, stop))


def bring_hub(
    source: HubSource, workspace: Workspace, name: str, settings: Settings, stop: threading.Event
) -> Generator[Progress, None, Recipe]:
    """Bring exactly what a recipe names."""
    folder = check_free(workspace, name)
    asked = HubRequest(source.name, source.config, source.split, source.rows)
    mapping = Mapping.from_json(source.mapping)
    with _explained(source.name):
        stream = _stream(asked, source.commit, settings)
        rows = stream.take(source.rows) if source.rows else stream
        examples = _examples(rows, mapping, source.name)
        yield from write_examples(examples, folder / storage.DATA, stop)
    return create(workspace, folder.name, source, licence=_licence(source.name, settings))


def _stream(asked: HubRequest, commit: str | None, settings: Settings) -> Any:
    from datasets import load_dataset

    return load_dataset(
        asked.name,
        asked.config or None,
        split=asked.split,
        revision=commit,
        streaming=True,
        token=settings.token,
    )


def _examples(rows: Any, mapping: Mapping, source: str) -> Iterator[Example]:
    for number, value in enumerate(rows, 1):
        try:
            yield from to_examples(value, mapping, source)
        except Unfit as error:
            raise BadRow(name=source, line=number, reason=str(error)) from error


def _mapping(asked: HubRequest, values: list[dict[str, Any]]) -> Mapping:
    if asked.format:
        return DEFAULTS[asked.format]  # type: ignore[index]
    try:
        return detect(list(values))
    except UnknownFormat as error:
        raise UnknownFormat(name=asked.name, fields=error.facts["fields"]) from error


def _licence(name: str, settings: Settings) -> str:
    from huggingface_hub import HfApi

    try:
        card = HfApi(token=settings.token).dataset_info(name).card_data
    except Exception:  # the licence is a courtesy; the rows are what was asked for
        return ""
    licence = getattr(card, "license", "") or ""
    return ", ".join(licence) if isinstance(licence, list) else str(licence)


@contextmanager
def _explained(name: str) -> Iterator[None]:
    try:
        yield
    except WorkbenchError:
        raise
    except Exception as error:  # the library raises whatever the Hub or the file makes it
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
        raise DatasetUnavailable(name=name, reason=reason.rstrip(".")) from error
