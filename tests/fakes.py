"""Stand-ins for what is slow or far away."""

from __future__ import annotations

import threading
from collections.abc import Generator
from typing import Any

from workbench.errors import LoadFailed
from workbench.events import Progress
from workbench.models.loader import LoadedModel
from workbench.models.reference import ModelReference


class Shelf:
    """A loader for ``ModelPool`` that takes models from a shelf, or fails when there is none."""

    def __init__(self, models: dict[str, LoadedModel]) -> None:
        self.models = models
        self.asked: list[str] = []

    def __call__(
        self, reference: ModelReference, precision: Any, settings: Any, stop: threading.Event
    ) -> Generator[Progress, None, LoadedModel]:
        self.asked.append(str(reference))
        yield Progress("load", 0, 1, "weights", reference.label)
        if str(reference) not in self.models:
            raise LoadFailed(model=reference.label, reason="the shelf is empty")
        return self.models[str(reference)]
