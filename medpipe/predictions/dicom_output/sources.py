"""The images that results were made from: their headers, and where their pixels lie in the patient."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from medpipe.errors import CaseFailedError, RequestError
from medpipe.io.radiograph import file_kind
from medpipe.io.sources import Source

__all__ = ["has_place", "read_sources", "slice_affine", "sorted_slices", "to_patient"]

_PROJECTIONS = ("CR", "DX", "MG", "RG", "PX", "IO", "RF", "XA")
Array = npt.NDArray[np.float64]


def read_sources(paths: Sequence[str]) -> list[Any]:
    """Headers of DICOM files; an empty list where the source is none (PNG, NIfTI), which no study can take up.

    Raises:
        CaseFailedError: A file cannot be read as DICOM.
    """
    import pydicom

    headers = []
    for path in paths:
        source = Source.parse(path)
        with source.open() as stream:
            if file_kind(stream.read(132), source.name) != "dicom":
                return []
            stream.seek(0)
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")  # their text quotes values of the header
                    headers.append(pydicom.dcmread(stream, force=True, stop_before_pixels=True))
            except Exception as error:  # damaged headers raise anything
                raise CaseFailedError(f"has a damaged DICOM header ({type(error).__name__})") from error
    return headers


def has_place(sources: Sequence[Any]) -> bool:
    """Whether the pixels have coordinates in the patient: no projection, and position and orientation are given."""
    return all(
        str(source.get("Modality", "")) not in _PROJECTIONS
        and bool(source.get("FrameOfReferenceUID"))
        and all(
            len(source.get(name) or ()) == size
            for name, size in (("ImagePositionPatient", 3), ("ImageOrientationPatient", 6), ("PixelSpacing", 2))
        )
        for source in sources
    )


def sorted_slices(sources: Sequence[Any]) -> list[Any]:
    """Single-frame sources by their position along the normal of the first."""
    normal = np.cross(*np.asarray(sources[0].ImageOrientationPatient, float).reshape(2, 3))
    return sorted(sources, key=lambda source: float(np.asarray(source.ImagePositionPatient, float) @ normal))


def slice_affine(source: Any) -> Array:
    """(4, 3) matrix from (column, row, 1) of a slice to LPS millimetres (PS3.3 C.7.6.2.1.1)."""
    columns, rows = np.asarray(source.ImageOrientationPatient, float).reshape(2, 3)
    row_mm, column_mm = (float(value) for value in source.PixelSpacing)
    matrix = np.zeros((4, 3))
    matrix[:3, 0], matrix[:3, 1] = columns * column_mm, rows * row_mm
    matrix[:3, 2], matrix[3, 2] = np.asarray(source.ImagePositionPatient, float), 1
    return matrix


def to_patient(sources: Sequence[Any], indices: Array) -> Array:
    """(n, 3) places in LPS millimetres of (n, 3) indices (column, row, slice); slices between two are interpolated.

    Raises:
        RequestError: A slice index lies outside the series.
    """
    slices = np.stack([slice_affine(source)[:3] for source in sources])
    first = np.floor(indices[:, 2]).astype(int)
    if first.min() < 0 or indices[:, 2].max() > len(sources) - 1:
        raise RequestError(f"a mark lies in slice {indices[:, 2].max():g}, but the series has {len(sources)} slices")
    part = (indices[:, 2] - first)[:, None, None]
    following = np.minimum(first + 1, len(sources) - 1)
    matrices = slices[first] * (1 - part) + slices[following] * part
    planar = np.column_stack([indices[:, :2], np.ones(len(indices))])
    return np.asarray(np.einsum("nij,nj->ni", matrices, planar))
