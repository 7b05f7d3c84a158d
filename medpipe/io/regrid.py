"""Bring shifted or unevenly spaced slices onto an even, upright grid, by linear interpolation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from medpipe.errors import CaseFailedError
from medpipe.io.findings import Finding, found
from medpipe.io.geometry import Line, affine_ras, normal_of

__all__ = ["LARGEST_GAP", "regrid"]

LARGEST_GAP = 2.5
"""Distance of neighbouring slices, in usual distances, beyond which nothing is interpolated between them."""


def regrid(
    array: npt.NDArray[Any], line: Line, orientation: Sequence[float], spacing: Sequence[float]
) -> tuple[npt.NDArray[Any], npt.NDArray[np.float64], Finding]:
    """Interpolate slices, first within their planes, then between them.

    In-plane shifts against the normal through the first slice are undone, on a plane as wide as all slices together;
    then slices are interpolated at the usual (median) distance. Voxels that no slice covers get the least value of the
    volume. Integer arrays are rounded.

    Args:
        array: (columns, rows, slices[, time points]).
        line: Where the slices lie.
        orientation: Directions of increasing column and row index, LPS.
        spacing: Distance of neighbouring (rows, columns) in millimetres.

    Returns:
        The array, its affine (RAS+), and a finding with the numbers.

    Raises:
        CaseFailedError: A gap is too wide to be filled.
    """
    distances = line.distances
    usual = float(np.median(distances))
    if usual <= 0 or float(distances.max()) > LARGEST_GAP * usual:
        raise CaseFailedError(
            f"cannot be repaired: a gap of {distances.max():.4g} mm between slices that are {usual:.4g} mm apart"
        )
    shifts = line.shifts / np.array([spacing[1], spacing[0]])  # in columns and rows
    low, high = np.floor(shifts.min(axis=0)), np.ceil(shifts.max(axis=0))
    pad = (high - low).astype(int)
    fill = array.min()
    planes = _align(array, shifts - low, pad, fill)
    count = round(line.offsets[-1] / usual) + 1
    step = line.offsets[-1] / (count - 1)
    result = _between(planes, line.offsets, np.arange(count) * step, array.dtype)
    directions = np.asarray(orientation, dtype=float)
    corner = line.origin + directions[:3] * low[0] * spacing[1] + directions[3:] * low[1] * spacing[0]
    affine = affine_ras(orientation, spacing, normal_of(directions) * step, corner)
    note = found(
        "resampled",
        f"{array.shape[2]} slices to {count}, {step:.4g} mm apart",
        slices_before=int(array.shape[2]),
        slices_after=count,
        distance_mm=round(step, 4),
        added_columns_rows=[int(n) for n in pad],
        fill_value=float(fill),
    )
    return result, affine, note


def _align(array: npt.NDArray[Any], shifts: npt.NDArray[np.float64], pad: Any, fill: Any) -> npt.NDArray[np.float32]:
    """Every slice moved by its shift (in columns and rows, not negative) on a plane padded by ``pad``."""
    from scipy.ndimage import shift

    columns, rows = array.shape[0] + int(pad[0]), array.shape[1] + int(pad[1])
    planes = np.full((columns, rows, *array.shape[2:]), fill, dtype=np.float32, order="F")
    for index in range(array.shape[2]):
        planes[: array.shape[0], : array.shape[1], index] = array[:, :, index]
        move = shifts[index]
        if np.abs(move).max() < 1e-6:
            continue
        for part in np.moveaxis(planes[:, :, index].reshape(columns, rows, -1), 2, 0):
            part[:] = shift(part, move, order=1, mode="constant", cval=float(fill))
    return planes


def _between(
    planes: npt.NDArray[np.float32], offsets: npt.NDArray[np.float64], wanted: npt.NDArray[np.float64], dtype: Any
) -> npt.NDArray[Any]:
    result = np.empty((*planes.shape[:2], len(wanted), *planes.shape[3:]), dtype=dtype, order="F")
    for index, place in enumerate(wanted):
        after = min(max(int(np.searchsorted(offsets, place)), 1), len(offsets) - 1)
        width = offsets[after] - offsets[after - 1]
        part = float(np.clip((place - offsets[after - 1]) / width, 0, 1)) if width > 0 else 0.0
        values = planes[:, :, after - 1] * (1 - part) + planes[:, :, after] * part
        result[:, :, index] = np.rint(values) if np.issubdtype(dtype, np.integer) else values
    return result
