"""How a model is named, everywhere the same.

    bundled:gemma-3-270m            weights that come as Python packages
    Qwen/Qwen2.5-7B@main            a repository on the Hub, with a revision
    file:path/to/folder             a folder with config.json and safetensors
    file:path/to/model.gguf         one GGUF file
    any of these + "+" + an adapter: a run's name, a folder or a Hub id

A reference is only a name: this module does not know whether the thing exists.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from workbench.errors import BadReference

Kind = Literal["bundled", "hub", "folder", "gguf"]

HUB_ID = re.compile(r"(?:[\w\-][\w.\-]*/)?[\w\-][\w.\-]*")
REVISION = re.compile(r"[\w.\-/]+")


@dataclass(frozen=True)
class ModelReference:
    """One model, perhaps with an adapter on top."""

    kind: Kind
    name: str
    """bundled name, Hub id, or path."""
    revision: str | None = None
    """A branch, tag or commit; only for the Hub."""
    adapter: str | None = None
    """A run's name, a folder or a Hub id."""

    @classmethod
    def parse(cls, text: str) -> ModelReference:
        """Read a reference as a person writes it.

        Raises:
            BadReference: the text has none of the forms above.
        """
        text = text.strip()
        if text.startswith("file:") and Path(text[5:]).expanduser().exists():
            return cls._base(text, text)
        base, plus, adapter = text.rpartition("+")
        if not plus:
            return cls._base(text, text)
        if not adapter.strip():
            raise BadReference(reference=text[:200])
        return replace(cls._base(base.strip(), text), adapter=adapter.strip())

    @classmethod
    def _base(cls, base: str, whole: str) -> ModelReference:
        scheme, colon, rest = base.partition(":")
        if scheme == "bundled" and colon and rest:
            return cls("bundled", rest)
        if scheme == "file" and colon and rest:
            return cls("gguf" if rest.lower().endswith(".gguf") else "folder", rest)
        name, at, revision = base.partition("@")
        if HUB_ID.fullmatch(name) and (not at or REVISION.fullmatch(revision)):
            return cls("hub", name, revision or None)
        raise BadReference(reference=whole[:200])

    @property
    def base(self) -> ModelReference:
        """The same model without its adapter."""
        return replace(self, adapter=None)

    @property
    def path(self) -> Path:
        """The folder or file of a ``file:`` reference."""
        return Path(self.name).expanduser()

    @property
    def label(self) -> str:
        """A short name for a table or a chart."""
        short = self.path.name if self.kind in ("folder", "gguf") else self.name.split("/")[-1]
        return f"{short} + {Path(self.adapter).name}" if self.adapter else short

    def __str__(self) -> str:
        scheme = {"bundled": "bundled:", "folder": "file:", "gguf": "file:"}.get(self.kind, "")
        revision = f"@{self.revision}" if self.revision else ""
        adapter = f"+{self.adapter}" if self.adapter else ""
        return f"{scheme}{self.name}{revision}{adapter}"
