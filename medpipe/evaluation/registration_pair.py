"""One pair of images: its files read and held against each other, and measured before and after registration."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medpipe.errors import InputDataError
from medpipe.evaluation.formats.registration_pairs import RegistrationPair
from medpipe.evaluation.registration_files import Grid, header_shape, read_image, read_label_map, read_landmarks
from medpipe.evaluation.registration_measures import MEASURES, Protocol
from medpipe.io.displacements import field_from_lps, read_field
from medpipe.metrics.jacobian import jacobian_determinant, jacobian_statistics
from medpipe.metrics.landmarks import landmark_errors, landmark_errors_mm
from medpipe.metrics.learn2reg import learn2reg_landmark_errors, learn2reg_sd_log_jacobian, learn2reg_warp_labels
from medpipe.metrics.overlap import Overlap, label_overlap, soft_mask_overlap
from medpipe.metrics.resampling import displacement_lengths_mm, warp_labels
from medpipe.metrics.surface_distance import surface_distances

__all__ = ["LoadedPair", "MeasuredPair", "check_headers", "load_pair", "measure_pair"]

Values = dict[str, float]
_SMALLEST = 5
"""Fewest voxels along an axis: Learn2Reg's SDlogJ cuts two off at each side."""


@dataclass(frozen=True, eq=False)
class LoadedPair:
    """A pair in memory.

    Attributes:
        pair: Its files.
        fixed, moving: The grids; the arrays are images, or label maps where no images are named.
        labels: Label maps of fixed and moving, or None.
        landmarks: (n, 3) indices in fixed and moving, of the landmarks that both have, or None.
        displacement: (3, X, Y, Z), from indices of fixed to indices of moving.
        identity: The displacement that leaves everything where it is.
    """

    pair: RegistrationPair
    fixed: Grid
    moving: Grid
    labels: tuple[NDArray[Any], NDArray[Any]] | None
    landmarks: tuple[NDArray[np.float64], NDArray[np.float64]] | None
    displacement: NDArray[np.float32]
    identity: NDArray[np.float32]


@dataclass(frozen=True)
class MeasuredPair:
    """The numbers of a pair; those that do not apply are left out, undefined ones are NaN.

    Attributes:
        pair: Which.
        before, after: By measure; without and with the displacement.
        structures_before, structures_after: The same by label.
        remarks: What was odd.
        landmarks: Their number.
    """

    pair: RegistrationPair
    before: Values
    after: Values
    structures_before: dict[int, Values]
    structures_after: dict[int, Values]
    remarks: list[str] = field(default_factory=list)
    landmarks: int = 0


def check_headers(pair: RegistrationPair) -> None:
    """Hold the headers of a pair's images and labels against each other, without reading voxels.

    Raises:
        InputDataError: A file is not of three dimensions, or labels have another shape than their image.
    """
    for side in ("fixed", "moving"):
        columns = [column for column in (f"{side}_labels", side) if column in pair.files]
        shapes = [header_shape(pair.files[column], pair.where(column)) for column in columns]
        if len(shapes) == 2 and shapes[0] is not None and shapes[1] is not None and shapes[0] != shapes[1]:
            raise _misfit(pair, side, shapes[0], shapes[1])


def load_pair(pair: RegistrationPair, protocol: Protocol) -> LoadedPair:
    """Read the files of a pair.

    Identity is that of the two images' world coordinates; the protocols ``rcn`` and ``l2r`` take it between indices.

    Raises:
        InputDataError: A file is damaged, has another grid than it should, NaN, no labels or no common landmarks.
    """
    sides = {side: _side(pair, side) for side in ("fixed", "moving")}
    fixed, moving = sides["fixed"][0], sides["moving"][0]
    if min(fixed.array.shape) < _SMALLEST:
        raise InputDataError(
            f"{pair.where('fixed')}: its grid {fixed.array.shape} has fewer than {_SMALLEST} voxels along an axis"
        )
    if protocol == "medpipe" and "fixed_labels" in pair.files and fixed.is_sheared():
        raise InputDataError(
            f"{pair.where('fixed_labels')}: '{pair.files['fixed_labels']}' has a sheared grid, which surface distances do "
            "not allow; resample it to axes at right angles"
        )
    identity = _identity(pair, fixed, moving, protocol)
    try:
        displacement = read_field(pair.files["field"], fixed.affine, fixed.array.shape, moving.affine)
    except InputDataError as error:
        raise InputDataError(f"{pair.where('field')}: {error}") from error
    labels = (sides["fixed"][1], sides["moving"][1])
    return LoadedPair(
        pair,
        fixed,
        moving,
        None if labels[0] is None or labels[1] is None else (labels[0], labels[1]),
        _landmarks(pair, fixed, moving),
        displacement,
        identity,
    )


def _identity(pair: RegistrationPair, fixed: Grid, moving: Grid, protocol: Protocol) -> NDArray[np.float32]:
    shape = fixed.array.shape
    if protocol != "medpipe" and shape != moving.array.shape:
        raise InputDataError(
            f"{pair.source}, pair '{pair.name}': protocol '{protocol}' needs images of one size, found {shape} and "
            f"{moving.array.shape}; resample them, or take --protocol medpipe"
        )
    if protocol != "medpipe" or np.array_equal(fixed.affine, moving.affine):
        return np.zeros((3, *shape), np.float32)
    return np.asarray(field_from_lps(np.zeros((*shape, 3), np.float32), fixed.affine, moving.affine))


def _side(pair: RegistrationPair, side: str) -> tuple[Grid, NDArray[Any] | None]:
    """Grid and label map of the fixed or moving image."""
    names = f"{side}_labels"
    labels = read_label_map(pair.files[names], pair.where(names)) if names in pair.files else None
    if side not in pair.files:
        if labels is None:
            raise InputDataError(f"{pair.where(side)}: empty, and no labels either; name the image")
        return labels, labels.array
    image = read_image(pair.files[side], pair.where(side))
    if labels is not None and not labels.same_place(image):
        raise _misfit(pair, side, labels.array.shape, image.array.shape)
    return image, None if labels is None else labels.array


def _misfit(pair: RegistrationPair, side: str, labels: tuple[int, ...], image: tuple[int, ...]) -> InputDataError:
    difference = "lies elsewhere in space (another origin, spacing or direction) than"
    if labels != image:
        difference = f"has the shape {labels}, not {image} as"
    names = f"{side}_labels"
    return InputDataError(
        f"{pair.where(names)}: '{pair.files[names]}' {difference} '{pair.files[side]}'; resample the labels to the grid of "
        "their image (nearest neighbour)"
    )


def _landmarks(
    pair: RegistrationPair, fixed: Grid, moving: Grid
) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
    if "fixed_points" not in pair.files:
        return None
    one, two = (
        read_landmarks(pair.files[f"{side}_points"], grid.affine, pair.where(f"{side}_points"))
        for side, grid in (("fixed", fixed), ("moving", moving))
    )
    if len(one) != len(two):
        raise InputDataError(
            f"{pair.where('moving_points')}: '{pair.files['moving_points']}' has {len(two)} landmarks, but there are {len(one)} "
            "in the fixed image; they are partners by row"
        )
    known = ~np.isnan(one).any(axis=1) & ~np.isnan(two).any(axis=1)
    if not known.any():
        raise InputDataError(
            f"{pair.where('fixed_points')}: no landmark is there in both images; leave both columns empty"
        )
    one, two = one[known], two[known]
    outside = ((one < -0.5) | (one > np.array(fixed.array.shape) - 0.5)).any(axis=1)
    if outside.any():
        place = ", ".join(f"{value:.1f}" for value in one[outside][0])
        raise InputDataError(
            f"{pair.where('fixed_points')}: '{pair.files['fixed_points']}': {int(outside.sum())} of {len(one)} landmarks lie "
            f"outside the fixed image, the first at voxel ({place}) of {fixed.array.shape}; check their unit and the direction of the axes"
        )
    return one, two


def measure_pair(loaded: LoadedPair, protocol: Protocol, labels: Sequence[int] | None = None) -> MeasuredPair:
    """Measure a pair by a protocol.

    Args:
        loaded: The pair.
        protocol: As PROTOCOLS describes them.
        labels: Structures to compare; None takes all that either image has.
    """
    remarks: list[str] = []
    found = []
    for name, displacement in (("before", loaded.identity), ("after", loaded.displacement)):
        structures = _structures(loaded, displacement, protocol, labels, name, remarks)
        found.append((_means(structures) | _landmark_values(loaded, displacement, protocol), structures))
    (before, structures_before), (after, structures_after) = found
    after |= _field_values(loaded, protocol, labels)
    after |= {"seconds": loaded.pair.seconds, "memory_mb": loaded.pair.memory_mb}
    n = 0 if loaded.landmarks is None else len(loaded.landmarks[0])
    return MeasuredPair(loaded.pair, before, after, structures_before, structures_after, remarks, n)


def _means(structures: Mapping[int, Values]) -> Values:
    """Unweighted mean over the structures that have a value."""
    keys = [
        key for key, measure in MEASURES.items() if measure.by_structure and any(key in v for v in structures.values())
    ]
    means = {}
    for key in keys:
        known = [values[key] for values in structures.values() if not np.isnan(values[key])]
        means[key] = float(np.mean(known)) if known else float("nan")
    return means


def _structures(
    loaded: LoadedPair,
    displacement: NDArray[np.float32],
    protocol: Protocol,
    labels: Sequence[int] | None,
    name: str,
    remarks: list[str],
) -> dict[int, Values]:
    if loaded.labels is None:
        return {}
    fixed, moving = loaded.labels
    if labels is None:
        labels = sorted((_labels_in(fixed) | _labels_in(moving)) - {0})
    if protocol == "rcn":
        return _overlaps(labels, soft_mask_overlap(fixed, moving, displacement, labels))
    warp = warp_labels if protocol == "medpipe" else learn2reg_warp_labels
    warped = warp(moving, displacement)
    overlap = label_overlap(fixed, warped, moving, labels, "zero" if protocol == "medpipe" else "undefined")
    structures = _overlaps(labels, overlap)
    for place, label in enumerate(labels):
        if not np.isnan(overlap.dice[place]):
            values, lost = _distances(loaded.fixed, fixed == label, warped == label, protocol)
            structures[label] |= values
            if lost:
                remarks.append(f"label {label} is in one image only {name} registration; its distance is the diagonal")
        else:
            structures[label] |= dict.fromkeys(_DISTANCES[protocol], float("nan"))
    return structures


def _labels_in(array: NDArray[Any]) -> set[int]:
    return set(np.flatnonzero(np.bincount(array.reshape(-1))).tolist())


_DISTANCES: dict[str, tuple[str, ...]] = {"medpipe": ("hd95", "assd"), "l2r": ("hd95_voxel",)}


def _overlaps(labels: Sequence[int], overlap: Overlap) -> dict[int, Values]:
    return {
        label: {"dice": float(overlap.dice[place]), "jaccard": float(overlap.jaccard[place])}
        for place, label in enumerate(labels)
    }


def _distances(grid: Grid, one: NDArray[np.bool_], two: NDArray[np.bool_], protocol: Protocol) -> tuple[Values, bool]:
    """Surface distances, and whether one of the masks is empty."""
    if protocol == "l2r":
        found = surface_distances(one, two, definition="area")
        diagonal = float(np.linalg.norm(np.array(one.shape) - 1))
        return {"hd95_voxel": diagonal if found.one_empty else found.hausdorff()}, found.one_empty
    found = surface_distances(one, two, grid.spacing)
    if found.one_empty:
        return {"hd95": grid.diagonal, "assd": grid.diagonal}, True
    return {"hd95": found.hausdorff(), "assd": found.average()}, False


def _landmark_values(loaded: LoadedPair, displacement: NDArray[np.float32], protocol: Protocol) -> Values:
    if loaded.landmarks is None:
        return {}
    fixed, moving = loaded.landmarks
    if protocol == "l2r":
        errors = learn2reg_landmark_errors(displacement, fixed, moving, loaded.moving.spacing)
        return {"tre": float(errors.mean())}
    values = {"tre": float(landmark_errors_mm(displacement, fixed, moving, loaded.moving.affine).mean())}
    if protocol == "rcn":
        values["tre_voxel"] = float(landmark_errors(displacement, fixed, moving).mean())
    return values


def _field_values(loaded: LoadedPair, protocol: Protocol, labels: Sequence[int] | None) -> Values:
    """Folding, spread and size of the displacement."""
    displacement = loaded.displacement
    determinant = jacobian_determinant(displacement)
    if protocol == "medpipe":
        determinant *= np.float32(
            np.linalg.det(loaded.moving.affine[:3, :3]) / np.linalg.det(loaded.fixed.affine[:3, :3])
        )
    whole = jacobian_statistics(determinant)
    values = {"fold_pct": whole.fold_pct}
    if loaded.labels is not None:
        fixed = loaded.labels[0]
        foreground = fixed > 0 if labels is None else np.isin(fixed, labels)
        values["fold_pct_foreground"] = jacobian_statistics(determinant, foreground).fold_pct
    if protocol == "l2r":
        values["sdlogj_l2r"] = learn2reg_sd_log_jacobian(displacement)
    values["sdlogj"] = whole.sd_log
    if protocol == "rcn":
        values["jacobian_sd"] = whole.sd
    if protocol == "medpipe":
        mean, largest = displacement_lengths_mm(displacement, loaded.fixed.affine, loaded.moving.affine)
        return values | {"mean_displacement": mean, "max_displacement": largest}
    mean, largest = displacement_lengths_mm(displacement, np.eye(4), np.eye(4))
    return values | {"mean_displacement_voxel": mean, "max_displacement_voxel": largest}
