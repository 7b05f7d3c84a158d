"""What a registration gives back, on the grids of the original images.

    disp.nii.gz       field_disp: Learn2Reg's layout, voxels of the moving image, on the fixed image's grid
    Warp.nii.gz       field_Warp: ANTs' and ITK's layout, LPS millimetres, on the fixed image's grid
    transform.h5      ITK composite transform: the network's own field on its coarse grid, then the affine map between the
                      grids; says the same as the dense fields in a thousandth of the space
    warped.nii.gz     the moving image on the fixed grid, from its original voxels, interpolated once
    labels.nii.gz     the moving label map on the fixed grid, nearest voxel
    points.csv        landmarks carried to the other image, see ``medpipe.io.points``
    marks.png         fixed, moving before and after, and a checkerboard, in three planes

Where the partner of a fixed voxel lies outside the moving image there is its least value, or label 0. Beyond the network's
grid its field is continued by its border values.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from medpipe.errors import RequestError
from medpipe.io.displacements import field_on_grid, write_disp, write_warp
from medpipe.io.itk_transform import write_itk_transform
from medpipe.io.nifti import write_nifti
from medpipe.io.points import write_points
from medpipe.io.sampling import warp_through
from medpipe.io.volume import Volume
from medpipe.predictions.registration_picture import draw_pair

__all__ = ["FIELD_FILES", "RegisteredPair", "check_field_files", "write_registration"]

Array = npt.NDArray[Any]

FIELD_FILES = {
    "disp": "field_disp.nii.gz",
    "warp": "field_Warp.nii.gz",
    "transform": "transform.h5",
}
"""Forms of the field and their files."""

_ITERATIONS = 100
_CONVERGED = 1e-3


@dataclass(eq=False)
class RegisteredPair:
    """Two volumes and the field between their grids.

    Attributes:
        fixed, moving: The original volumes.
        field: (3, x, y, z) on the fixed image's grid of the network, in voxels of the moving one's.
        fixed_grid, moving_grid: (4, 4) from the voxels of these grids to each volume's world, RAS+.
        windows: By "fixed" and "moving", the values that pictures show black and white; else percentiles.
    """

    fixed: Volume
    moving: Volume
    field: Array
    fixed_grid: Array
    moving_grid: Array
    windows: dict[str, tuple[float, float]] = dataclasses.field(default_factory=dict)

    @cached_property
    def dense(self) -> Array:
        """(3, X, Y, Z) on the fixed image's own grid, in voxels of the moving image."""
        return self.dense_to(self.moving.affine)

    def dense_to(self, affine: Array) -> Array:
        """The same in voxels of another volume in the moving image's world."""
        return field_on_grid(
            self.field,
            self.fixed_grid,
            self.moving_grid,
            fixed_affine=self.fixed.affine,
            fixed_shape=self.fixed.array.shape,
            moving_affine=affine,
        )[0]

    def undeformed(self) -> RegisteredPair:
        """The pair before registration: cropped and aligned, with no displacement."""
        return RegisteredPair(self.fixed, self.moving, np.zeros_like(self.field), self.fixed_grid, self.moving_grid)

    def warped(self) -> Array:
        """The moving image on the fixed grid: (X, Y, Z) float32."""
        return warp_through(self.moving.array, self.dense, fill=float(self.moving.array.min()))

    def carried_labels(self, labels: Volume) -> Array:
        """A label map of the moving image's world on the fixed grid: (X, Y, Z) of its own type."""
        same = labels.array.shape == self.moving.array.shape and np.allclose(labels.affine, self.moving.affine)
        field = self.dense if same else self.dense_to(labels.affine)
        return warp_through(labels.array, field, nearest=True)

    def to_moving(self, world: Array) -> Array:
        """Places (n, 3) in the fixed image's world to their partners in the moving one's, RAS+ millimetres."""
        places = _mapped(np.linalg.inv(self.fixed_grid), world)
        return _mapped(self.moving_grid, places + self._at(places))

    def to_fixed(self, world: Array) -> tuple[Array, Array]:
        """The inverse, by fixed-point iteration.

        Returns:
            Places (n, 3) in the fixed image's world, and (n,) how far their partners are from ``world``, millimetres; large
            where the field folds.
        """
        goal = _mapped(np.linalg.inv(self.moving_grid), world)
        places = goal
        for _ in range(_ITERATIONS):
            places = goal - self._at(places)
        found = _mapped(self.fixed_grid, places)
        return found, np.linalg.norm(self.to_moving(found) - world, axis=1)

    def _at(self, places: Array) -> Array:
        """The field at places (n, 3) of its grid."""
        from scipy.ndimage import map_coordinates

        return np.stack([map_coordinates(part, places.T, order=1, mode="nearest") for part in self.field], axis=1)

    def lattice(self) -> tuple[Array, npt.NDArray[np.float64]]:
        """The deformation in millimetres on the network's grid, extended over all of the fixed image.

        Returns:
            (x, y, z, 3) float64, RAS+: where P + vector goes before ``between``; and (4, 4) of the grid.
        """
        corners = np.array(list(itertools.product(*((-0.5, n - 0.5) for n in self.fixed.array.shape))))
        reach = _mapped(np.linalg.inv(self.fixed_grid) @ self.fixed.affine, corners)
        before = np.ceil((-reach.min(axis=0)).clip(0)).astype(int)
        after = np.ceil((reach.max(axis=0) - self.field.shape[1:] + 1).clip(0)).astype(int)
        field = np.pad(self.field, [(0, 0), *zip(before, after, strict=True)], mode="edge")
        grid = np.array(self.fixed_grid, dtype=np.float64)
        grid[:3, 3] -= grid[:3, :3] @ before
        return np.moveaxis(field, 0, -1).astype(np.float64) @ self.fixed_grid[:3, :3].T, grid

    @property
    def sheared(self) -> bool:
        """Whether the fixed image's axes are not at right angles, so that no field of ITK can lie on its grid."""
        columns = self.fixed.affine[:3, :3] / np.linalg.norm(self.fixed.affine[:3, :3], axis=0)
        return bool(np.abs(columns.T @ columns - np.eye(3)).max() > 1e-3)

    @property
    def between(self) -> npt.NDArray[np.float64]:
        """(4, 4) from the fixed image's world to the moving one's, without deformation, RAS+."""
        return np.asarray(self.moving_grid @ np.linalg.inv(self.fixed_grid))


def check_field_files(text: str | Sequence[str]) -> tuple[str, ...]:
    """Read "disp,warp,transform" or a list of forms; nothing for an empty one.

    Raises:
        RequestError: A form is unknown.
    """
    kinds = [part.strip() for part in text.split(",")] if isinstance(text, str) else list(text)
    kinds = [kind for kind in kinds if kind]
    unknown = [kind for kind in kinds if kind not in FIELD_FILES]
    if unknown:
        raise RequestError(f"field file '{unknown[0]}' is unknown; there are {', '.join(FIELD_FILES)}")
    return tuple(dict.fromkeys(kinds))


def write_registration(
    folder: Path,
    pair: RegisteredPair,
    *,
    fields: Sequence[str] = tuple(FIELD_FILES),
    labels: Array | None = None,
    points: Array | None = None,
    points_on: str = "moving",
    pictures: bool = True,
) -> None:
    """Write a pair's files into its folder.

    Args:
        folder: It exists.
        pair: The registered pair.
        fields: Of ``FIELD_FILES``; "warp" is left out where the fixed image is sheared.
        labels: Label map on the fixed grid, as of ``RegisteredPair.carried_labels``.
        points: (n, 3) in the world of the image that ``points_on`` names.
        points_on: ``moving`` or ``fixed``.
        pictures: Draw the picture.
    """
    if "disp" in fields:
        write_disp(folder / FIELD_FILES["disp"], pair.dense, pair.fixed.affine)
    if "warp" in fields and not pair.sheared:
        write_warp(folder / FIELD_FILES["warp"], pair.dense, pair.fixed.affine, pair.moving.affine)
    if "transform" in fields:
        write_itk_transform(folder / FIELD_FILES["transform"], *pair.lattice(), pair.between)
    write_nifti(folder / "warped.nii.gz", pair.warped(), pair.fixed.affine)
    if labels is not None:
        write_nifti(folder / "labels.nii.gz", labels, pair.fixed.affine)
    if points is not None:
        _write_points(folder / "points.csv", pair, points, points_on)
    if pictures:
        draw_pair(folder / "marks.png", pair)


def _write_points(path: Path, pair: RegisteredPair, points: Array, points_on: str) -> None:
    known = np.asarray(np.isfinite(points).all(axis=1))
    carried, apart = np.full(points.shape, np.nan), np.zeros(len(points))
    if points_on == "fixed":
        carried[known] = pair.to_moving(points[known])
        in_fixed, target = points, pair.moving
    else:
        carried[known], apart[known] = pair.to_fixed(points[known])
        in_fixed, target = carried, pair.fixed
    inside = _inside(pair.fixed_grid, pair.field.shape[1:], in_fixed).tolist()
    notes = []
    for there, mm, within in zip(known.tolist(), apart, inside, strict=True):
        parts = [f"not invertible here, {mm:.3g} mm off"] if mm > _CONVERGED else []
        parts += [] if within else ["outside the registered box"]
        notes.append("; ".join(parts) if there else "missing")
    write_points(path, carried, target.affine, notes)


def _inside(grid: Array, shape: Sequence[int], world: Array) -> npt.NDArray[np.bool_]:
    places = _mapped(np.linalg.inv(grid), world)
    return np.asarray(((places >= 0) & (places <= np.array(shape) - 1)).all(axis=1))


def _mapped(affine: Array, points: Array) -> Array:
    """An affine applied to points (n, 3)."""
    return np.asarray(points @ affine[:3, :3].T + affine[:3, 3])
