"""The workspace: plain files that one step leaves for the next.

Names that come from people are checked here and nowhere else, and files are
written beside their place and renamed, so that a reader sees the old file or the
new one and never half of it. This module does not know what the files mean.
"""

from __future__ import annotations

import os
import re
import tempfile
from dataclasses import dataclass
from pathlib import Path

from workbench.errors import InvalidName

NAME = re.compile(r"(?!\.)[\w.\-]{1,80}", re.UNICODE)
RESERVED = {"con", "prn", "aux", "nul"}


def check_name(name: str) -> str:
    """Return the name if a person may use it for a dataset, a run or a character.

    Raises:
        InvalidName: it is empty, too long, or could reach outside its folder.
    """
    plain = name.strip()
    if not NAME.fullmatch(plain) or plain.endswith(".") or plain.lower() in RESERVED:
        raise InvalidName(name=name[:100])
    return plain


def write_atomically(path: Path, content: bytes | str) -> None:
    """Write the whole file or leave the old one: beside, fsync, rename."""
    path.parent.mkdir(parents=True, exist_ok=True)
    raw = content.encode() if isinstance(content, str) else content
    handle, beside = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(raw)
            file.flush()
            os.fsync(file.fileno())
        Path(beside).replace(path)
    except BaseException:
        Path(beside).unlink(missing_ok=True)
        raise


@dataclass(frozen=True)
class Workspace:
    """The folder in which everything a person makes is found again."""

    root: Path

    @property
    def results(self) -> Path:
        """The SQLite file of perplexities, continuations, probe answers and votes."""
        return self.root / "results.sqlite"

    @property
    def datasets(self) -> Path:
        """The folder of datasets, one folder each."""
        return self.root / "datasets"

    def dataset(self, name: str) -> Path:
        return self.datasets / check_name(name)

    @property
    def runs(self) -> Path:
        """The folder of tuning runs, one folder each."""
        return self.root / "runs"

    def run(self, name: str) -> Path:
        return self.runs / check_name(name)

    @property
    def prompts(self) -> Path:
        """The folder of generation runs, one folder each."""
        return self.root / "prompts"

    def prompt_run(self, name: str) -> Path:
        return self.prompts / check_name(name)

    @property
    def characters(self) -> Path:
        """The folder of character cards, one file each."""
        return self.root / "characters"

    @property
    def conversations(self) -> Path:
        """The folder of conversations, one JSON file each."""
        return self.root / "conversations"

    def conversation(self, name: str) -> Path:
        return self.conversations / f"{check_name(name)}.json"
