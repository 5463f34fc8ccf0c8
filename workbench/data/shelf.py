"""The datasets that are open in this process, so that each is read once.

Does not know who looks at them.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from pathlib import Path

from workbench.data.dataset import Dataset
from workbench.workspace import Workspace

MOST = 6


class Shelf:
    """Open datasets, the latest used last; those used longest ago are closed."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open: OrderedDict[Path, Dataset] = OrderedDict()

    def open(self, workspace: Workspace, name: str) -> Dataset:
        """A dataset as it is on the disk now.

        Raises:
            InvalidName, NoSuchDataset, BadRecipe.
        """
        folder = workspace.dataset(name)
        with self._lock:
            dataset = self._open.pop(folder, None) or Dataset(workspace, name)
            dataset.refresh()
            self._open[folder] = dataset
            while len(self._open) > MOST:
                self._open.popitem(last=False)
        return dataset

    def close(self, workspace: Workspace, name: str) -> None:
        """Forget a dataset that is deleted or changes its rows."""
        with self._lock:
            self._open.pop(workspace.dataset(name), None)

    def close_all(self, root: Path) -> None:
        """Forget every dataset below a folder."""
        with self._lock:
            for folder in [one for one in self._open if one.is_relative_to(root)]:
                self._open.pop(folder)
