"""Rigid and affine alignment before deformable registration, by SimpleITK.

Mattes' mutual information, samples drawn with a fixed seed, one thread: the same volumes give the same transform.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt

from medpipe.errors import CaseFailedError
from medpipe.io.geometry import LPS_TO_RAS

__all__ = ["ALIGNMENTS", "align"]

Array = npt.NDArray[Any]

ALIGNMENTS = ("none", "moments", "rigid", "affine")

_SEED = 20200
_BINS = 32
_SHARE = 0.2
_STEPS = 150
_PYRAMID = (4, 2, 1)
_LARGEST_CHANGE = 2.0
"""Of the volume of one person's organ against another's."""


def align(
    fixed: Array, fixed_affine: Array, moving: Array, moving_affine: Array, kind: str
) -> tuple[npt.NDArray[np.float64], str]:
    """The affine map from places in the fixed image to their partners in the moving one.

    Args:
        fixed: (X, Y, Z) intensities.
        fixed_affine: (4, 4), RAS+; axes at right angles.
        moving: (X', Y', Z') intensities.
        moving_affine: (4, 4), RAS+; axes at right angles.
        kind: ``none``: the identity. ``moments``: a translation of the centre of intensities. ``rigid``: that, then
            rotation. ``affine``: that, then shear and scale.

    Returns:
        (4, 4), RAS+ millimetres, and "" or what is odd: an affine map that mirrors, or changes volumes as no two
        anatomies differ, has taken one thing for another; the rigid one is returned in its place.

    Raises:
        CaseFailedError: The optimisation broke down.
    """
    if kind == "none":
        return np.eye(4), ""
    sitk = _simpleitk()

    one, two = _image(fixed, fixed_affine), _image(moving, moving_affine)
    centre = np.array(one.TransformContinuousIndexToPhysicalPoint([(n - 1) / 2 for n in one.GetSize()]))
    try:
        with _one_thread():
            first = sitk.CenteredTransformInitializer(
                one, two, sitk.Euler3DTransform(), sitk.CenteredTransformInitializerFilter.MOMENTS
            )
            if kind == "moments":
                return _matrix(first), ""
            rigid = _optimised(one, two, sitk.Euler3DTransform(first))
            kept = _matrix(rigid)
            if not np.isfinite(kept).all():
                raise CaseFailedError("alignment gave a map of no numbers; try affine=moments")
            if kind == "rigid":
                return kept, ""
            start = sitk.AffineTransform(3)
            start.SetCenter(centre.tolist())
            matrix = LPS_TO_RAS @ _matrix(rigid) @ LPS_TO_RAS
            start.SetMatrix(matrix[:3, :3].ravel().tolist())
            start.SetTranslation((matrix[:3, :3] @ centre + matrix[:3, 3] - centre).tolist())
            result = _matrix(_optimised(one, two, start))
    except RuntimeError as error:
        raise CaseFailedError(f"alignment broke down ({str(error).strip().splitlines()[-1][-120:]})") from error
    change = float(np.linalg.det(result[:3, :3])) if np.isfinite(result).all() else 0.0
    if 1 / _LARGEST_CHANGE <= change <= _LARGEST_CHANGE:
        return result, ""
    return kept, (
        f"the affine alignment multiplied volumes by {change:.2g}, and the rigid one was kept; do both images show the same, "
        "with or without the skull?"
    )


def _optimised(fixed: Any, moving: Any, start: Any) -> Any:
    sitk = _simpleitk()

    method = sitk.ImageRegistrationMethod()
    method.SetNumberOfThreads(1)
    method.SetMetricAsMattesMutualInformation(_BINS)
    method.SetMetricSamplingStrategy(method.RANDOM)
    method.SetMetricSamplingPercentage(_SHARE, _SEED)
    method.SetInterpolator(sitk.sitkLinear)
    method.SetOptimizerAsRegularStepGradientDescent(1.0, 1e-3, _STEPS, 0.6, 1e-6)
    method.SetOptimizerScalesFromPhysicalShift()
    method.SetShrinkFactorsPerLevel(_PYRAMID)
    method.SetSmoothingSigmasPerLevel([float(n - 1) for n in _PYRAMID])
    method.SmoothingSigmasAreSpecifiedInPhysicalUnitsOff()
    method.SetInitialTransform(start, True)
    method.Execute(fixed, moving)
    return start


def _image(array: Array, affine: Array) -> Any:
    sitk = _simpleitk()

    lps = LPS_TO_RAS @ affine
    spacing = np.linalg.norm(lps[:3, :3], axis=0)
    image = sitk.GetImageFromArray(np.ascontiguousarray(array.T, np.float32))
    image.SetSpacing(spacing.tolist())
    image.SetOrigin(lps[:3, 3].tolist())
    image.SetDirection((lps[:3, :3] / spacing).ravel().tolist())
    return image


def _matrix(transform: Any) -> npt.NDArray[np.float64]:
    """(4, 4) in RAS+ of a transform that is linear."""
    origin = np.array(transform.TransformPoint((0.0, 0.0, 0.0)))
    matrix = np.eye(4)
    for axis, unit in enumerate(np.eye(3)):
        matrix[:3, axis] = np.array(transform.TransformPoint(unit.tolist())) - origin
    matrix[:3, 3] = origin
    return np.asarray(LPS_TO_RAS @ matrix @ LPS_TO_RAS)


@contextmanager
def _one_thread() -> Iterator[None]:
    sitk = _simpleitk()

    before = sitk.ProcessObject.GetGlobalDefaultNumberOfThreads()
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    try:
        yield
    finally:
        sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(before)


def _simpleitk() -> Any:
    import SimpleITK  # takes a moment to load

    return SimpleITK
