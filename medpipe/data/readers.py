"""The list of data set readers: one module per layout on disk, all of one shape."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any, Protocol, cast

from medpipe.errors import RequestError

from .findings import Finding
from .names import nearest_names

__all__ = ["DATASET_READERS", "DatasetReader", "dataset_reader"]

DATASET_READERS: dict[str, str] = {
    "nih_chestxray14": "medpipe.data.nih_chestxray14",
    "siim_acr": "medpipe.data.siim_acr",
}
"""Name of the data set (its manifest's name) -> the module that reads it."""


class DatasetReader(Protocol):
    """What every reader module offers."""

    def check(self, root: Path) -> list[Finding]:
        """Compare the folder ``root`` with the published layout; an empty list means nothing to say."""

    def prepare(self, root: Path, *, seed: int, fractions: tuple[float, float, float]) -> dict[str, Any]:
        """Make a datalist of the folder ``root``; some readers take further options by keyword."""


def dataset_reader(name: str) -> DatasetReader:
    """Import the reader of one data set.

    Raises:
        RequestError: no reader has that name; the message lists the nearest ones.
    """
    if name not in DATASET_READERS:
        raise RequestError(f"no data set is named {name!r}; {nearest_names(name, DATASET_READERS)}")
    return cast(DatasetReader, importlib.import_module(DATASET_READERS[name]))
