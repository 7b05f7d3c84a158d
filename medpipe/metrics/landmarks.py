"""How far landmarks lie from where a displacement takes them: the target registration error.

A landmark p of the fixed image is taken to p + u(p), and compared with its partner q in the moving image. Both are array
indices with fractions, of their own image.

References:
    JM Fitzpatrick, JB West, The distribution of target registration error in rigid-body point-based registration, IEEE TMI
    2001.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from medpipe.metrics._arrays import FloatArray
from medpipe.metrics.resampling import FloatField, Outside, sample_displacement

__all__ = ["landmark_errors", "landmark_errors_mm"]

_Points = NDArray[np.floating[Any]]


def landmark_errors(
    displacement: FloatField, fixed: _Points, moving: _Points, order: int = 1, outside: Outside = "border"
) -> FloatArray:
    """Distance |p + u(p) - q| of each landmark in voxels of the moving image.

    Args:
        displacement: (3, X, Y, Z) in voxels, on the fixed grid.
        fixed: (n, 3), p.
        moving: (n, 3), q.
        order: Of the spline by which u is sampled.
        outside: What u is outside its grid.

    Raises:
        ValueError: The two have different shapes.
    """
    return np.linalg.norm(_apart(displacement, fixed, moving, order, outside), axis=1)


def landmark_errors_mm(
    displacement: FloatField,
    fixed: _Points,
    moving: _Points,
    moving_affine: FloatArray,
    order: int = 1,
    outside: Outside = "border",
) -> FloatArray:
    """The same distances in millimetres, through the affine (4, 4) of the moving image, also an oblique one."""
    return np.linalg.norm(_apart(displacement, fixed, moving, order, outside) @ moving_affine[:3, :3].T, axis=1)


def _apart(displacement: FloatField, fixed: _Points, moving: _Points, order: int, outside: Outside) -> FloatArray:
    if fixed.shape != moving.shape or fixed.ndim != 2 or fixed.shape[1] != 3:
        raise ValueError(f"two lists of landmarks (n, 3) are needed, found {fixed.shape} and {moving.shape}")
    return fixed + sample_displacement(displacement, fixed, order, outside) - moving
