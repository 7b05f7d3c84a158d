"""The list of data set readers: one module per layout on disk, which may serve several data sets."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any, Protocol, cast

from medpipe.errors import RequestError

from .findings import Finding
from .names import nearest_names

__all__ = ["DATASET_READERS", "DatasetReader", "dataset_reader"]

DATASET_READERS: dict[str, str] = {
    "abide": "medpipe.data.t1_folders:ABIDE",
    "adhd200": "medpipe.data.t1_folders:ADHD200",
    "adni": "medpipe.data.t1_folders:ADNI",
    "jsrt": "medpipe.data.jsrt",
    "learn2reg": "medpipe.data.learn2reg:READER",
    "lits": "medpipe.data.lits:READER",
    "lpba40": "medpipe.data.lpba40:READER",
    "msd_task03_liver": "medpipe.data.medical_decathlon:LIVER",
    "msd_task04_hippocampus": "medpipe.data.medical_decathlon:HIPPOCAMPUS",
    "msd_task07_pancreas": "medpipe.data.medical_decathlon:PANCREAS",
    "msd_task08_hepaticvessel": "medpipe.data.medical_decathlon:HEPATIC_VESSEL",
    "nih_chestxray14": "medpipe.data.nih_chestxray14",
    "node21": "medpipe.data.node21",
    "oasis": "medpipe.data.oasis:READER",
    "path_vqa": "medpipe.data.path_vqa",
    "rcn_lits": "medpipe.data.rcn_hdf5:LITS",
    "rcn_lpba": "medpipe.data.rcn_hdf5:LPBA",
    "rcn_lspig": "medpipe.data.rcn_hdf5:LSPIG",
    "rcn_sliver": "medpipe.data.rcn_hdf5:SLIVER",
    "registration_phantoms": "medpipe.data.rcn_hdf5:PHANTOMS",
    "rsna_pneumonia": "medpipe.data.rsna_pneumonia",
    "siim_acr": "medpipe.data.siim_acr",
    "sliver07": "medpipe.data.sliver07:READER",
    "vindr_cxr": "medpipe.data.vindr_cxr",
    "vqa_rad": "medpipe.data.vqa_rad",
}
"""Name of the data set (its manifest's name) -> the module that reads it, or an object in it where it reads several."""


class DatasetReader(Protocol):
    """What every reader offers."""

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
    module, _, reader = DATASET_READERS[name].partition(":")
    found = importlib.import_module(module)
    return cast(DatasetReader, getattr(found, reader) if reader else found)
