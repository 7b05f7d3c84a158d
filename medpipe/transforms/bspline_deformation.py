"""Random smooth deformation of a moving image with its labels and points, as registration networks are trained with.

S Zhao et al., "Recursive Cascaded Networks for Unsupervised Medical Image Registration", ICCV 2019,
https://arxiv.org/abs/1907.12353, and their code. The displacement u pulls back, in voxels, component i along array
axis i: the deformed image is ``image(x + u(x))``, so a point p of the image lies in the deformed one where
``x + u(x) = p``.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.networks.blocks import Warp
from monai.transforms import MapTransform, Randomizable

__all__ = ["RandBSplineDeformd", "bspline_displacement", "displaced_points"]

Array = npt.NDArray[Any]

NODES = 5
"""Control points per axis that move; one more on either side stays."""

SPANS = 4


def bspline_displacement(nodes: Array, shape: Sequence[int]) -> Array:
    """Evaluate a uniform cubic B-spline of displacements on a grid.

    The lattice of 5 x 5 x 5 moving nodes is framed by nodes at rest. Its four spans per axis divide the volume evenly,
    and voxel i lies at ``(i + 1/2) * 4 / N`` spans.

    Args:
        nodes: (3, 5, 5, 5) displacements in voxels.
        shape: (X, Y, Z).

    Returns:
        (3, X, Y, Z) float32.
    """
    lattice = np.pad(np.asarray(nodes, dtype=np.float64), ((0, 0), (1, 1), (1, 1), (1, 1)))
    weights = [_weights(size) for size in shape]
    return np.einsum("cijk,xi,yj,zk->cxyz", lattice, *weights, optimize=True).astype(np.float32)


def _weights(size: int) -> Array:
    """(size, 7): what each of the seven nodes counts at each voxel."""
    places = (np.arange(size) + 0.5) * SPANS / size
    span = np.minimum(places.astype(int), SPANS - 1)
    t = places - span
    basis = np.stack([(1 - t) ** 3, 3 * t**3 - 6 * t**2 + 4, -3 * t**3 + 3 * t**2 + 3 * t + 1, t**3], axis=1) / 6
    weights = np.zeros((size, NODES + 2))
    for k in range(4):
        weights[np.arange(size), span + k] = basis[:, k]
    return weights


def displaced_points(points: Array, displacement: Array) -> Array:
    """Where points of an image lie after it was pulled back: the voxel x whose x + u(x) is nearest.

    Args:
        points: (n, 3) in voxels; rows with a negative coordinate are missing and stay as they are.
        displacement: (3, X, Y, Z).

    Returns:
        (n, 3) float32, whole voxels.
    """
    result = np.array(points, dtype=np.float32)
    if not len(result):
        return result
    shape = displacement.shape[1:]
    places = (np.indices(shape, dtype=np.float32) + displacement).reshape(3, -1)
    for row in np.flatnonzero((result >= 0).all(axis=1)):
        nearest = int(((places - result[row][:, None]) ** 2).sum(axis=0).argmin())
        result[row] = np.unravel_index(nearest, shape)
    return result


class RandBSplineDeformd(Randomizable, MapTransform):
    """Deform volumes, masks and points together by one random cubic B-spline.

    Each component of the 5 x 5 x 5 nodes is ``r^3`` quarters of the volume, r uniform within plus or minus the cube
    root of ``amplitude``: small displacements are frequent, large ones rare. The published training deforms every
    sample, and of a pair the moving image only.

    Args:
        keys: Volumes (C, X, Y, Z) of one size.
        mode: Per key or for all: ``bilinear`` for intensities and soft masks, ``nearest`` for label maps. Outside, the
            border is repeated.
        point_keys: Points (n, 3) in voxels of these volumes, moved along; see ``displaced_points``.
        prob: Probability that a sample is deformed.
        amplitude: Largest displacement of a node in quarters of the volume.
        allow_missing_keys: Leave out keys that a sample has not.

    Raises:
        ValueError: The probability or the amplitude is no such number, or a mode is unknown.
    """

    def __init__(
        self,
        keys: KeysCollection,
        mode: str | Sequence[str] = "bilinear",
        *,
        point_keys: KeysCollection = (),
        prob: float = 1.0,
        amplitude: float = 0.4,
        allow_missing_keys: bool = False,
    ) -> None:
        MapTransform.__init__(self, keys, allow_missing_keys)
        if not 0 <= prob <= 1 or amplitude <= 0:
            raise ValueError(f"prob must lie in [0, 1] and amplitude be positive, found {prob} and {amplitude}")
        modes = (mode,) * len(self.keys) if isinstance(mode, str) else tuple(mode)
        if len(modes) != len(self.keys) or set(modes) - {"bilinear", "nearest"}:
            raise ValueError(
                f"expected bilinear or nearest for each of {len(self.keys)} keys, found {', '.join(modes)}"
            )
        self.modes = dict(zip(self.keys, modes, strict=True))
        self.point_keys = (point_keys,) if isinstance(point_keys, str) else tuple(point_keys)
        self.prob, self.amplitude = prob, amplitude
        self.nodes: Array | None = None
        self._warps = {name: Warp(name, "border") for name in set(modes)}

    def randomize(self, data: Any = None) -> None:
        """Draw ``nodes``, (3, 5, 5, 5) as parts of a quarter of the volume; None leaves the sample as it is."""
        self.nodes = None
        if self.R.random() < self.prob:
            bound = self.amplitude ** (1 / 3)
            self.nodes = self.R.uniform(-bound, bound, (3, NODES, NODES, NODES)) ** 3

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Deform the volumes and points of a sample."""
        self.randomize()
        result = dict(data)
        keys = list(self.key_iterator(result))
        if self.nodes is None or not keys:
            return result
        shapes = {tuple(result[key].shape[1:]) for key in keys}
        if len(shapes) > 1 or any(len(shape) != 3 for shape in shapes):
            raise ValueError(f"expected volumes (C, X, Y, Z) of one size under {keys}, found sizes {sorted(shapes)}")
        shape = shapes.pop()
        quarters = np.array([n // SPANS for n in shape])[:, None, None, None]
        displacement = bspline_displacement(self.nodes * quarters, shape)
        field = torch.from_numpy(displacement)
        for key in keys:
            result[key] = self._warped(result[key], field, self.modes[key])
        for key in self.point_keys:
            if key in result:
                result[key] = displaced_points(np.asarray(result[key]), displacement)
        return result

    def _warped(self, volume: Any, field: torch.Tensor, mode: str) -> Any:
        array = torch.as_tensor(volume)
        plain = array.as_tensor() if isinstance(array, MetaTensor) else array
        # Whole numbers up to 2^24 survive nearest interpolation in float32.
        moved = self._warps[mode](plain[None].float(), field[None].to(plain.device))[0]
        if mode == "nearest":
            moved = moved.to(plain.dtype)
        return MetaTensor(moved, meta=array.meta) if isinstance(array, MetaTensor) else moved
