"""Classical deformable registration with the interface of the networks: two volumes on one grid to a field in voxels.

Volumes are handed to SimpleITK and ANTs without spacing, so that millimetres there are voxels here. One thread and fixed
seeds: the same volumes give the same field. The settings are those that these tools' own examples take; of the B-splines, and
no others, metric, samples and accuracy were chosen on three validation pairs (hippocampi).
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from medpipe.errors import CaseFailedError, RequestError

__all__ = ["CLASSICAL_METHODS", "check_classical"]

Array = npt.NDArray[Any]

_SEED = 20200
_BINS = 32
_SHARE = 0.2
_SAMPLES = 20000


def affine(fixed: Array, moving: Array) -> Array:
    """An affine map by mutual information (SimpleITK), as a field (3, X, Y, Z) in voxels."""
    sitk = _simpleitk()
    one, two = _image(fixed), _image(moving)
    start = sitk.AffineTransform(3)
    start.SetCenter([(n - 1) / 2 for n in fixed.shape])
    method = _method()
    method.SetOptimizerAsRegularStepGradientDescent(1.0, 1e-3, 150, 0.6, 1e-6)
    method.SetOptimizerScalesFromPhysicalShift()
    method.SetInitialTransform(start, True)
    method.Execute(one, two)
    return _field(start, one)


def bspline(fixed: Array, moving: Array) -> Array:
    """Free-form deformation: cubic B-splines of 2, 4 and 8 spans per axis, correlation, L-BFGS (SimpleITK)."""
    sitk = _simpleitk()
    one, two = _image(fixed), _image(moving)
    transform = sitk.BSplineTransformInitializer(one, [2, 2, 2], 3)
    method = _method()
    # Mutual information of so few samples is too rough for a line search: Dice of validation pairs .61 against .73.
    method.SetMetricAsCorrelation()
    # ITK's time grows with the product of samples and control points.
    method.SetMetricSamplingPercentage(min(1.0, _SAMPLES / fixed.size), _SEED)
    method.SetOptimizerAsLBFGS2(solutionAccuracy=1e-5, numberOfIterations=60, deltaConvergenceTolerance=1e-6)
    method.SetInitialTransformAsBSpline(transform, True, [1, 2, 4])
    method.Execute(one, two)
    return _field(transform, one)


def demons(fixed: Array, moving: Array) -> Array:
    """Diffeomorphic demons, from a quarter to the full size (SimpleITK)."""
    sitk = _simpleitk()
    one, two = _image(fixed), _image(moving)
    field = None
    for factor, iterations in ((4, 100), (2, 60), (1, 30)):
        small = [sitk.SmoothingRecursiveGaussian(image, factor / 2) if factor > 1 else image for image in (one, two)]
        small = [sitk.Shrink(image, [factor] * 3) for image in small]
        demon = sitk.DiffeomorphicDemonsRegistrationFilter()
        demon.SetNumberOfIterations(iterations)
        demon.SetSmoothDisplacementField(True)
        demon.SetStandardDeviations(1.5)
        if field is None:
            field = demon.Execute(*small)
        else:
            field = demon.Execute(*small, sitk.Resample(field, small[0], sitk.Transform(), sitk.sitkLinear))
    return _array(field)


def syn(fixed: Array, moving: Array) -> Array:
    """Symmetric normalisation without a linear stage (ANTs through antspyx), cross correlation, three levels."""
    ants = _ants()
    images = [ants.from_numpy(np.ascontiguousarray(volume, np.float32)) for volume in (fixed, moving)]
    with tempfile.TemporaryDirectory() as folder:
        result = ants.registration(
            *images,
            type_of_transform="SyNOnly",
            initial_transform="Identity",
            syn_metric="CC",
            syn_sampling=2,
            reg_iterations=(40, 20, 10),
            random_seed=_SEED,
            outprefix=str(Path(folder) / "syn"),
        )
        warps = [name for name in result["fwdtransforms"] if str(name).endswith("Warp.nii.gz")]
        field = ants.image_read(warps[0]).numpy()
    # Images without a place of their own: ITK's axes are the array's.
    return np.ascontiguousarray(np.moveaxis(field, -1, 0), np.float32)


CLASSICAL_METHODS: dict[str, Callable[[Array, Array], Array]] = {
    "affine": affine,
    "bspline": bspline,
    "demons": demons,
    "syn": syn,
}
"""Each maps fixed and moving (X, Y, Z) in [0, 1] to a pull-back field (3, X, Y, Z) in voxels, float32."""


def check_classical(name: str) -> None:
    """Import what a method needs.

    Raises:
        RequestError: It is not installed; the message names the extra.
    """
    if name == "syn":
        _ants()
    else:
        _simpleitk()


def _simpleitk() -> Any:
    try:
        import SimpleITK
    except ImportError as error:
        raise RequestError("this method needs SimpleITK, which is not installed: pip install SimpleITK") from error
    # The metrics' own threads follow this setting alone; with several, sums differ in their last digits.
    SimpleITK.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    return SimpleITK


def _ants() -> Any:
    os.environ.setdefault("ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS", "1")  # read when it is imported
    try:
        import ants  # type: ignore[import-untyped,import-not-found,unused-ignore]
    except ImportError as error:
        raise RequestError(
            "method 'syn' needs ANTs, which is not installed: pip install 'medpipe[ants]' (antspyx)"
        ) from error
    return ants


def _method() -> Any:
    sitk = _simpleitk()
    method = sitk.ImageRegistrationMethod()
    method.SetNumberOfThreads(1)
    method.SetMetricAsMattesMutualInformation(_BINS)
    method.SetMetricSamplingStrategy(method.RANDOM)
    method.SetMetricSamplingPercentage(_SHARE, _SEED)
    method.SetInterpolator(sitk.sitkLinear)
    method.SetShrinkFactorsPerLevel([4, 2, 1])
    method.SetSmoothingSigmasPerLevel([2.0, 1.0, 0.0])
    return method


def _image(volume: Array) -> Any:
    return _simpleitk().GetImageFromArray(np.ascontiguousarray(volume.T, np.float32))


def _field(transform: Any, fixed: Any) -> Array:
    sitk = _simpleitk()
    grid = (fixed.GetSize(), fixed.GetOrigin(), fixed.GetSpacing(), fixed.GetDirection())
    return _array(sitk.TransformToDisplacementField(transform, sitk.sitkVectorFloat64, *grid))


def _array(field: Any) -> Array:
    vectors = _simpleitk().GetArrayFromImage(field).transpose(3, 2, 1, 0)
    if not np.isfinite(vectors).all():
        raise CaseFailedError("the registration gave displacements that are not finite")
    return np.ascontiguousarray(vectors, np.float32)
