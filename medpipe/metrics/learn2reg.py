"""The numbers of the Learn2Reg challenge as its evaluation makes them, faults included, so that they can be compared.

    labels      nearest neighbour by scipy, 0 outside; Dice of a label that fixed or moving lacks is undefined
    HD95        by surface area, at a spacing of 1 whatever the images say
    SDlogJ      central differences, two voxels cut off at each side, and log(det J + 3): the 3 hides folds
    TRE         the field by cubic splines, zero outside; times the spacing of the moving image
    summary     mean and population standard deviation over pairs, and the 30 % quantile

References:
    A Hering et al., Learn2Reg: comprehensive multi-task medical image registration challenge, dataset and evaluation in the
    era of deep learning, IEEE TMI 2022, and its evaluation code (github.com/MDL-UzL/L2R).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from medpipe.metrics._arrays import FloatArray
from medpipe.metrics.jacobian import jacobian_determinant, sd_log_jacobian
from medpipe.metrics.landmarks import landmark_errors_mm
from medpipe.metrics.resampling import FloatField, sampling_positions

__all__ = ["ROBUSTNESS_QUANTILE", "learn2reg_landmark_errors", "learn2reg_sd_log_jacobian", "learn2reg_warp_labels"]

ROBUSTNESS_QUANTILE = 0.3
"""The quantile over pairs that the challenge calls robustness."""

_ADDED = 3.0
_CUT = 1
"""Central differences already leave out one of the two voxels that are cut off."""


def learn2reg_warp_labels(moving: NDArray[Any], displacement: FloatField) -> NDArray[Any]:
    """A label map on the fixed grid, 0 outside the moving image."""
    from scipy.ndimage import map_coordinates

    positions = sampling_positions(displacement)
    warped: NDArray[Any] = map_coordinates(moving, positions, order=0, mode="constant", cval=0)
    return warped


def learn2reg_sd_log_jacobian(displacement: FloatField, mask: NDArray[np.bool_] | None = None) -> float:
    """The challenge's SDlogJ.

    Args:
        displacement: (3, X, Y, Z) in voxels, at least 5 voxels along each axis.
        mask: (X, Y, Z), the voxels that count; None takes all.
    """
    inside = (slice(_CUT, -_CUT),) * 3
    determinant = jacobian_determinant(displacement, "central")[inside]
    if mask is not None:
        cut = (slice(_CUT + 1, -_CUT - 1),) * 3
        determinant = determinant[mask[cut]]
    return sd_log_jacobian(determinant + _ADDED)


def learn2reg_landmark_errors(
    displacement: FloatField, fixed: FloatArray, moving: FloatArray, moving_spacing: tuple[float, float, float]
) -> FloatArray:
    """Distances of landmarks in millimetres, (n,); points (n, 3) are indices."""
    scale = np.diag([*moving_spacing, 1.0])
    return landmark_errors_mm(displacement, fixed, moving, scale, order=3, outside="zero")
