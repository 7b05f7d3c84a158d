"""Array types of this package, and the checks that every metric makes on what it is handed."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = [
    "BoolArray",
    "FloatArray",
    "IntArray",
    "binary_array",
    "check_finite",
    "float_vector",
    "index_vector",
]

BoolArray = NDArray[np.bool_]
FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]


def float_vector(values: ArrayLike, name: str) -> FloatArray:
    """Return ``values`` as a one-dimensional float64 array, or raise ValueError naming ``name``."""
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 1:
        raise ValueError(f"{name} must be one-dimensional, found shape {array.shape}")
    return array


def index_vector(values: ArrayLike, name: str, limit: int) -> IntArray:
    """Return ``values`` as int64 indices in [0, limit), or raise ValueError naming ``name``."""
    array = np.asarray(values)
    if array.ndim != 1:
        raise ValueError(f"{name} must be one-dimensional, found shape {array.shape}")
    if array.size and not np.issubdtype(array.dtype, np.integer):
        raise ValueError(f"{name} must hold integers, found dtype {array.dtype}")
    if array.size and not (array.min() >= 0 and array.max() < limit):
        raise ValueError(f"{name} must lie in 0..{limit - 1}, found values from {array.min()} to {array.max()}")
    return array.astype(np.int64)


def check_finite(values: FloatArray, name: str) -> None:
    """Raise ValueError when a value is NaN or infinite, naming the first such place."""
    bad = np.flatnonzero(~np.isfinite(values))
    if bad.size:
        raise ValueError(f"{name} must be finite, found {values[bad[0]]} at position {bad[0]}")


def binary_array(values: ArrayLike, name: str) -> BoolArray:
    """Return an array of 0 and 1 (or booleans) as booleans, or raise ValueError naming ``name``."""
    array = np.asarray(values)
    if array.dtype != np.bool_ and not np.isin(array, (0, 1)).all():
        raise ValueError(f"{name} must hold only 0 and 1, found {np.unique(array)[:5]}")
    return array.astype(np.bool_)
