"""The pipeline of registration bundles: from the paths of a pair to two volumes on the network's grid, and the way back.

Each volume is cropped to its body part with a margin and resampled linearly (after means over blocks where voxels are lost)
to image_size^3 voxels, along its own axes nearest to right, anterior, superior; spacings may differ between axes. With an
alignment the moving image is cropped to the fixed image's box instead, through the map that was found. "fixed_grid" and
"moving_grid" lead from grid voxels to the world of each original, so that fields can be brought back.

Intensities become [0, 1]: of CT the window from -25 to 265 HU (level 120, width 290), as in the demo of
https://github.com/microsoft/Recursive-Cascaded-Networks; of MR the 0.5th to 99.5th percentile.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from monai.transforms import Compose, Transform

from medpipe.errors import CaseError, CaseFailedError, InputDataError
from medpipe.io.pairs import ROLES
from medpipe.io.placed import read_image_volume, read_label_volume
from medpipe.io.points import read_world_points
from medpipe.io.sampling import on_grid
from medpipe.io.volume import Volume
from medpipe.transforms.foreground import FOREGROUNDS, block_means, box_around, box_of, foreground
from medpipe.transforms.prealignment import ALIGNMENTS, align

__all__ = ["INTENSITIES", "PairToGridd", "ReadPaird", "grid_affine", "registration_preprocessing"]

Array = npt.NDArray[Any]

INTENSITIES = ("ct_window", "percentiles")
_WINDOW = (-25.0, 265.0)
_PERCENTILES = (0.5, 99.5)
_MARGINS = {"brain": (0.05, 2.0), "liver": (0.1, 5.0), "whole": (0.0, 0.0)}
"""Part of the box, and least number of voxels, that it grows on every side."""


def registration_preprocessing(
    image_size: int,
    *,
    body_part: str,
    intensity: str,
    affine: str = "none",
    points_on: str = "moving",
    crop_by_labels: bool = True,
) -> Compose:
    """Read a pair and bring it to (2, image_size, image_size, image_size), fixed and moving, float32 in [0, 1].

    Args:
        image_size: Voxels along each side of the grid.
        body_part: What to crop to: ``brain``, ``liver`` (or the boxes of given label maps), ``whole``.
        intensity: ``ct_window`` or ``percentiles``.
        affine: Alignment beforehand: ``none``, ``moments``, ``rigid`` or ``affine``.
        points_on: The image that given points are of, ``moving`` or ``fixed``.
        crop_by_labels: Take the boxes of given label maps for that of the liver.

    Raises:
        ValueError: A name is unknown.
    """
    on_grid = PairToGridd(image_size, body_part, intensity, affine, crop_by_labels=crop_by_labels)
    return Compose([ReadPaird(points_on), on_grid])


class ReadPaird(Transform):
    """Read the files of a case's "image", in the order of ``medpipe.io.pairs.ROLES``.

    Sets "fixed", "moving", and where given "moving_labels", "fixed_labels" (``Volume``, in their own axes) and "points"
    ((n, 3), RAS+ millimetres); "paths" by role; what was odd goes into "reason".

    Args:
        points_on: The image that points are of.

    Raises:
        ValueError: It is none.
    """

    def __init__(self, points_on: str = "moving") -> None:
        _choose("points_on", points_on, ("moving", "fixed"))
        self.points_on = points_on

    def __call__(self, data: dict[str, Any]) -> dict[str, Any]:
        """Read one case.

        Raises:
            CaseError: A file cannot be used; the message says which.
        """
        case = dict(data)
        paths = {role: path for role, path in zip(ROLES, case["image"], strict=True) if path}
        case["paths"], case["points_on"] = paths, self.points_on
        for role, path in paths.items():
            with _naming(role):
                if role in ("fixed", "moving"):
                    case[role] = read_image_volume(path)
                    odd = [f.message for f in case[role].findings if f.severity == "warning"]
                    _note(case, *(f"{role} image: {message}" for message in odd))
                elif role != "points":
                    case[role] = read_label_volume(path)
                else:  # the last one, so that both images are there
                    case[role] = read_world_points(path, case[self.points_on].affine)
        for role in ("moving_labels", "fixed_labels"):
            if role in case and not _same_grid(case[role], case[role.split("_")[0]]):
                _note(case, f"{role.replace('_', ' ')} lie on another grid than their image and were taken by position")
        return case


class PairToGridd(Transform):
    """Bring "fixed" and "moving" to the network's grid.

    Sets "image" (2, n, n, n), "fixed_grid" and "moving_grid" ((4, 4), from grid voxels to the world of each volume), "windows"
    (by role, the values that became 0 and 1), and "stage_seconds".

    Args:
        image_size: Voxels along each side.
        body_part: One of ``FOREGROUNDS``.
        intensity: One of ``INTENSITIES``.
        affine: One of ``ALIGNMENTS``.
        crop_by_labels: Take the boxes of given label maps for that of the liver.

    Raises:
        ValueError: A name is unknown, or the size too small.
    """

    def __init__(
        self, image_size: int, body_part: str, intensity: str, affine: str = "none", *, crop_by_labels: bool = True
    ) -> None:
        _choose("body part", body_part, FOREGROUNDS)
        _choose("intensity", intensity, INTENSITIES)
        _choose("affine", affine, ALIGNMENTS)
        if image_size < 8:
            raise ValueError(f"image_size must be at least 8, got {image_size}")
        self.image_size, self.body_part, self.intensity, self.affine = image_size, body_part, intensity, affine
        self.crop_by_labels = crop_by_labels

    def __call__(self, data: dict[str, Any]) -> dict[str, Any]:
        """Prepare one case.

        Raises:
            CaseError: No body part is found, or the alignment breaks down.
        """
        case = dict(data)
        grids, images, windows = {}, {}, {}
        for role in ("fixed", "moving"):
            with _naming(role):
                grids[role] = self._grid(case, role)
                images[role], windows[role] = self._on(case[role], grids[role])
        start = time.perf_counter()
        if self.affine != "none":
            world, odd = align(images["fixed"], grids["fixed"], images["moving"], grids["moving"], self.affine)
            if odd:
                _note(case, odd)
            grids["moving"] = world @ grids["fixed"]
            images["moving"], windows["moving"] = self._on(case["moving"], grids["moving"])
        elif (gap := _gap(case["fixed"], case["moving"])) > 0:
            _note(case, f"the fields of view lie {gap:.0f} mm apart; an alignment beforehand (affine) may be needed")
        case["stage_seconds"] = {"align": time.perf_counter() - start}
        case["image"] = torch.from_numpy(np.stack([images["fixed"], images["moving"]]))
        return {**case, "fixed_grid": grids["fixed"], "moving_grid": grids["moving"], "windows": windows}

    def _grid(self, case: dict[str, Any], role: str) -> npt.NDArray[np.float64]:
        labels = case.get(f"{role}_labels")
        if self.body_part == "liver" and self.crop_by_labels and labels is not None and labels.array.any():
            mask, affine = labels.array > 0, labels.affine
        else:
            mask, affine = foreground(case[role].array, case[role].affine, self.body_part)
        return grid_affine(case[role], mask, affine, self.image_size, *_MARGINS[self.body_part])

    def _on(self, volume: Volume, grid: Array) -> tuple[npt.NDArray[np.float32], tuple[float, float]]:
        """The volume on a grid, and the values that became 0 and 1."""
        spacing = np.linalg.norm(volume.affine[:3, :3], axis=0)
        # Voxels of the grid along each axis of the volume; a turned grid is measured by its closest axis.
        steps = np.abs(np.linalg.inv(volume.affine[:3, :3] / spacing) @ grid[:3, :3]).max(axis=1) / spacing
        factors = tuple(max(1, min(int(step + 1e-6), n)) for step, n in zip(steps, volume.array.shape, strict=True))
        array, affine = block_means(volume.array, volume.affine, factors)  # type: ignore[arg-type]
        low, high = _WINDOW
        fill = low if self.intensity == "ct_window" else float(volume.array.min())
        values = on_grid(array, affine, grid, [self.image_size] * 3, fill=fill)
        if self.intensity == "percentiles":
            low, high = np.percentile(values, _PERCENTILES)
            if high <= low:
                low, high = float(values.min()), float(values.max())
        if high <= low:
            raise CaseFailedError("holds one value everywhere in what is registered of it")
        scaled = ((values - low) / (high - low)).clip(0, 1)
        return np.asarray(scaled, np.float32), (float(low), float(high))


def grid_affine(
    volume: Volume, mask: npt.NDArray[np.bool_], mask_affine: Array, size: int, part: float, voxels: float
) -> npt.NDArray[np.float64]:
    """(4, 4) from the voxels of a grid over a mask's box to the world.

    The box lies along the volume's axes nearest to right, anterior and superior (at right angles, also where those are
    sheared); its first and last voxel centres are the grid's.

    Args:
        volume: What the box is clipped to.
        mask: Of the body part, on any grid.
        mask_affine: (4, 4) of the mask.
        size: Voxels along each side of the grid.
        part: Part of the box's size that it grows on every side ...
        voxels: ... but at least so many voxels.
    """
    axes = _ras_axes(volume.affine)
    box = box_of(mask, mask_affine, axes)
    spacing = np.abs(axes.T @ volume.affine[:3, :3]).max(axis=1)
    margin = np.maximum(part * (box[1] - box[0]), voxels * spacing)
    limits = box_around(volume.array.shape, volume.affine, axes)
    half = spacing / 2  # from the faces to the centres of the outermost voxels
    low = np.clip(box[0] - margin + half, limits[0] + half, limits[1] - 3 * half)
    high = np.clip(box[1] + margin - half, low + spacing, limits[1] - half)
    grid = np.eye(4)
    grid[:3, :3] = axes * ((high - low) / (size - 1))
    grid[:3, 3] = axes @ low
    return grid


def _ras_axes(affine: Array) -> npt.NDArray[np.float64]:
    """The volume's axes as unit vectors at right angles, ordered and turned towards right, anterior, superior."""
    from nibabel.orientations import io_orientation

    columns = affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)
    axes = np.empty((3, 3))
    for column, (axis, flip) in zip(columns.T, io_orientation(affine), strict=True):
        axes[:, int(axis)] = column * flip
    left, _, right = np.linalg.svd(axes)
    return np.asarray(left @ right)


def _same_grid(one: Volume, two: Volume) -> bool:
    return one.array.shape == two.array.shape and bool(np.abs(one.affine - two.affine).max() < 1e-3)


def _gap(one: Volume, two: Volume) -> float:
    """Millimetres between the upright boxes around two volumes; 0 where they touch."""
    boxes = [box_around(v.array.shape, v.affine, np.eye(3)) for v in (one, two)]
    apart = np.maximum(boxes[0][0], boxes[1][0]) - np.minimum(boxes[0][1], boxes[1][1])
    return float(np.linalg.norm(apart.clip(0)))


def _note(case: dict[str, Any], *notes: str) -> None:
    case["reason"] = "; ".join(filter(None, [case["reason"], *notes]))


def _choose(name: str, value: str, valid: tuple[str, ...]) -> None:
    if value not in valid:
        raise ValueError(f"{name} '{value}' is none of {', '.join(valid)}")


class _naming:  # noqa: N801 - used as a function
    """Say which of the two images an error is about."""

    def __init__(self, role: str) -> None:
        self.role = role.replace("_", " ")

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: Any, error: Any, traceback: Any) -> None:
        if isinstance(error, CaseError | InputDataError):
            image = f"{self.role} image" if self.role in ("fixed", "moving") else self.role
            failed = CaseFailedError(f"{image}: {error}")
            failed.words = getattr(error, "words", ())
            raise failed from None
