"""Volumes of one made-up anatomy under deformations that are known: a registration data set with its answers.

    LOOKALIKE.json
    template_fields/phantom_0001.npz               field from each scan to the template: any pair's answer follows
    rcn/phantoms.json, rcn/phantoms.h5             the layout of "Recursive Cascaded Networks"
    rcn/fields/<fixed>-<moving>.npz                answers for the pairs of neighbours, as teacher fields
    learn2reg/dataset.json, imagesTr, labelsTr, keypointsTr
    learn2reg/fields/disp_0001_0002.nii.gz         the same answers, between the arrays as they are stored

Each scan is ``template[x + u(x)]`` for a smooth u of its own, so what is true between two scans follows from their two
fields (``deformable_shapes.field_between``). Both layouts hold the same voxels, but the Learn2Reg files lie in four ways
in the patient, in turn: upright, with three different spacings, stored towards left and posterior, and oblique. The
six landmarks are the outermost points of the largest organ; every fourth scan of the HDF5 file lacks the last one, as
published scans do.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medpipe.errors import RequestError
from medpipe.io.atomic import atomic_writer, write_text
from medpipe.io.displacements import write_disp
from medpipe.io.folders import empty_folder
from medpipe.io.nifti import write_nifti

from ..splits import PARTS, shares
from ..teacher_fields import field_path, write_teacher_field
from .deformable_shapes import ANATOMIES, field_between, nested_ellipsoids, paint, points_before, smooth_field, warp
from .marker import MARKER, marker_text
from .plan import plan_results

__all__ = ["PLACINGS", "Phantom", "plan_phantoms", "write_registration_phantoms"]

NAME = "registration_phantoms"
SIZES = (16, 256)
MOST = 9999  # names have four digits
PLACINGS = ("upright", "anisotropic", "lps", "oblique")
"""How the volumes of the Learn2Reg files lie, in turn."""

_FRACTIONS = (0.7, 0.1, 0.2)
_NAMES = {
    "liver": {1: "body", 2: "liver", 3: "spleen", 4: "kidneys", 5: "spine", 6: "lesions"},
    "brain": {1: "cortex", 2: "white matter", 3: "ventricles", 4: "deep grey matter", 5: "hippocampi"},
}
_ORGAN = 2  # the largest, in both anatomies
_LIVER = (2, 6)  # lesions are part of it
_SPACING = 1.5
_DARKEST = 0.1

Volume = NDArray[np.uint8]


@dataclass(frozen=True)
class Phantom:
    """One scan that is to be drawn."""

    name: str
    section: str  # "training", "validation", "test" or "reference"
    placing: str  # one of PLACINGS
    seed: np.random.SeedSequence

    @property
    def stored_flips(self) -> tuple[int, ...]:
        """Axes along which the Learn2Reg file runs against the others."""
        return (0, 1) if self.placing == "lps" else ()


@dataclass(frozen=True)
class _Template:
    labels: Volume
    points: NDArray[np.float64]  # (6, 3)
    organs: int
    greys: NDArray[np.float64] | None  # of each label, where all scans share them


def plan_phantoms(*, cases: int, seed: int, anatomy: str) -> list[Phantom]:
    """The scans of a data set; of brains the first is the atlas and in no section.

    Raises:
        RequestError: A number of cases outside 1 to 9999, a negative seed, or an unknown anatomy.
    """
    if not 1 <= cases <= MOST or seed < 0 or anatomy not in ANATOMIES:
        raise RequestError(
            f"{cases} cases of '{anatomy}' with seed {seed}; "
            f"expected 1 to {MOST} cases, {' or '.join(ANATOMIES)}, a seed from 0"
        )
    atlas = int(anatomy == "brain")
    couples = shares((cases - atlas + 1) // 2, _FRACTIONS)  # a scan alone in its section would have no pair
    sections = np.repeat(PARTS, [2 * count for count in couples]).tolist()[(cases - atlas) % 2 :]
    sections = ["reference"] * atlas + sections
    seeds = np.random.SeedSequence([seed, *NAME.encode()]).spawn(cases + 1)[1:]
    return [
        Phantom(f"phantom_{index + 1:04d}", section, PLACINGS[index % len(PLACINGS)], seeds[index])
        for index, section in enumerate(sections)
    ]


def write_registration_phantoms(
    out: Path,
    *,
    cases: int,
    seed: int,
    size: int = 64,
    workers: int = 1,
    progress: Callable[[int, int], None] | None = None,
    anatomy: str = "liver",
    same_contrast: bool = False,
) -> None:
    """Write generated volumes with known deformations, in two layouts.

    Args:
        out: A new or empty folder.
        cases: Scans; each is a subject of its own.
        seed: Equal seeds give equal bytes, whatever the number of workers.
        size: Voxels along each axis, 16 to 256.
        workers: Processes that draw (see ``plan.run_plans``).
        progress: Called after each scan with the number done and the number in all.
        anatomy: "liver" or "brain".
        same_contrast: Every organ has one grey in all scans; else each scan has greys of its own.

    Raises:
        RequestError: ``out`` is not empty, or a number is out of range; nothing is written then.
    """
    plans = plan_phantoms(cases=cases, seed=seed, anatomy=anatomy)
    if not SIZES[0] <= size <= SIZES[1]:
        raise RequestError(f"volumes of {size} voxels a side; expected {SIZES[0]} to {SIZES[1]}")
    out, template = Path(out), _template(seed, size, anatomy, same_contrast)
    scans = plan_results(partial(_write_scan, out, template), plans, workers)
    _make_folders(out)
    how = {"anatomy": anatomy, "same_contrast": same_contrast}
    for folder in (out, out / "rcn", out / "learn2reg"):
        write_text(folder / MARKER, marker_text(NAME, seed=seed, cases=cases, size=size, **how))
    _write_hdf5(out / "rcn" / "phantoms.h5", plans, scans, anatomy, progress)
    pairs = _known_pairs(plans)
    for _ in plan_results(partial(_write_field, out), pairs, workers):
        pass
    write_text(out / "rcn" / "phantoms.json", _json(_rcn_tables(plans, size, anatomy)))
    write_text(out / "learn2reg" / "dataset.json", _json(_learn2reg_tables(plans, pairs, size, anatomy)))


def _make_folders(out: Path) -> None:
    empty_folder(out)
    for folder in ("template_fields", "rcn/fields", *(f"learn2reg/{name}" for name in _LEARN2REG_FOLDERS)):
        (out / folder).mkdir(parents=True)


_LEARN2REG_FOLDERS = ("imagesTr", "labelsTr", "keypointsTr", "fields")


def _template(seed: int, size: int, anatomy: str, same_contrast: bool) -> _Template:
    rng = np.random.default_rng(np.random.SeedSequence([seed, *NAME.encode()]).spawn(1)[0])
    labels = nested_ellipsoids(rng, (size, size, size), anatomy)
    organs = len(_NAMES[anatomy])
    return _Template(labels, _outermost(labels == _ORGAN), organs, _greys(rng, organs) if same_contrast else None)


def _greys(rng: np.random.Generator, organs: int) -> NDArray[np.float64]:
    """A grey for each label, the background black."""
    return np.concatenate([[0.0], rng.uniform(_DARKEST, 1, organs)])


def _outermost(mask: NDArray[np.bool_]) -> NDArray[np.float64]:
    """The middle of a region's first and last layer along each axis, (6, 3)."""
    voxels = np.argwhere(mask)
    ends = [(axis, end) for axis in range(3) for end in (voxels[:, axis].min(), voxels[:, axis].max())]
    return np.array([voxels[voxels[:, axis] == end].mean(0) for axis, end in ends])


def _write_scan(out: Path, template: _Template, plan: Phantom) -> tuple[Volume, Volume, NDArray[np.float64]]:
    """Draw one scan and write all of it but the HDF5 group, for which image, labels and points are returned."""
    rng, shape = np.random.default_rng(plan.seed), template.labels.shape
    size = shape[0]
    field = smooth_field(rng, shape, size / rng.uniform(4, 8), size / 8 * rng.uniform(0.5, 1))  # type: ignore[arg-type]
    labels = warp(template.labels, field, order=0)
    points = points_before(template.points, field)
    greys = _greys(rng, template.organs) if template.greys is None else template.greys
    image = np.round(paint(rng, labels, greys) * 255).astype(np.uint8)
    with atomic_writer(out / "template_fields" / f"{plan.name}.npz") as stream:
        np.savez(stream, displacement=field)
    folder, file = out / "learn2reg", f"{plan.name}_0000"
    for name, volume in (("imagesTr", image), ("labelsTr", labels)):
        write_nifti(folder / name / f"{file}.nii.gz", np.flip(volume, plan.stored_flips), _affine(plan, size))
    stored = _stored(points, plan, size)
    rows = [",".join(f"{value:.4f}" for value in row) for row in stored]
    write_text(folder / "keypointsTr" / f"{file}.csv", "\n".join(rows) + "\n")
    return image, labels, points


def _affine(plan: Phantom, size: int) -> NDArray[np.float64]:
    """Voxels as the Learn2Reg file stores them -> RAS+ mm; the volume's middle lies near the origin."""
    spacing = np.array([0.8, 1.0, 1.4]) * _SPACING if plan.placing == "anisotropic" else np.full(3, _SPACING)
    turn = np.eye(3)
    if plan.placing == "oblique":
        cos, sin = np.cos(np.deg2rad(10)), np.sin(np.deg2rad(10))
        turn = np.array([[1, 0, 0], [0, cos, -sin], [0, sin, cos]]) @ np.array(
            [[cos, -sin, 0], [sin, cos, 0], [0, 0, 1]]
        )
    affine = np.eye(4)
    affine[:3, :3] = turn * spacing
    affine[:3, 3] = [3.0, -7.0, 11.0] - affine[:3, :3] @ np.full(3, (size - 1) / 2)
    for axis in plan.stored_flips:
        affine[:3, 3] += affine[:3, axis] * (size - 1)
        affine[:3, axis] *= -1
    return affine


def _stored(points: NDArray[Any], plan: Phantom, size: int) -> NDArray[Any]:
    """Points (..., 3) in the voxels of the Learn2Reg file."""
    flipped = np.isin(np.arange(3), plan.stored_flips)
    return np.where(flipped, size - 1 - points, points)


def _write_hdf5(
    path: Path, plans: Sequence[Phantom], scans: Any, anatomy: str, progress: Callable[[int, int], None] | None
) -> None:
    import h5py

    unfinished = path.with_name(f".{path.name}.part")
    with h5py.File(unfinished, "w") as file:
        for index, (plan, (image, labels, points)) in enumerate(zip(plans, scans, strict=True)):
            group = file.create_group(_group(plan))
            known = np.where(np.isin(labels, _LIVER), 255, 0) if anatomy == "liver" else labels
            if index % 4 == 3:
                points = np.vstack([points[:-1], [[-1, -1, -1]]])
            group.create_dataset("volume", data=image, compression="gzip", compression_opts=1)
            group.create_dataset("segmentation", data=known.astype(np.uint8), compression="gzip", compression_opts=1)
            group.create_dataset("point", data=points.astype(np.float32))
            if progress is not None:
                progress(index + 1, len(plans))
    unfinished.replace(path)


def _group(plan: Phantom) -> str:
    return plan.name.rpartition("_")[2]


def _known_pairs(plans: Sequence[Phantom]) -> list[tuple[Phantom, Phantom]]:
    """Fixed and moving: the atlas with every scan, or neighbours within a section both ways, as in a ring."""
    atlas = [plan for plan in plans if plan.section == "reference"]
    if atlas:
        return [(atlas[0], plan) for plan in plans if plan is not atlas[0]]
    pairs = []
    for part in PARTS:
        ring = [plan for plan in plans if plan.section == part]
        for first, second in zip(ring, ring[1:] + ring[:1], strict=True):
            pairs += [(first, second), (second, first)]
    return [pair for pair in dict.fromkeys(pairs) if pair[0] is not pair[1]]


def _write_field(out: Path, pair: tuple[Phantom, Phantom]) -> None:
    fixed, moving = pair
    first, second = (_template_field(out, plan) for plan in pair)
    field, _ = field_between(first, second)
    write_teacher_field(
        field_path(out / "rcn" / "fields", fixed.name, moving.name), field, f"{fixed.name}-{moving.name}"
    )
    size = field.shape[1]
    # the file's voxel s shows x = flip(s), whose partner x + w(x) is stored at flip(x + w(x)) of the moving file
    grid = np.moveaxis(np.indices(field.shape[1:]), 0, -1)
    x = _stored(grid, fixed, size)
    partner = x + np.moveaxis(np.flip(field, tuple(axis + 1 for axis in fixed.stored_flips)), 0, -1)
    shift = np.moveaxis(_stored(partner, moving, size) - grid, -1, 0).astype(np.float32)
    write_disp(out / "learn2reg" / "fields" / _field_name(pair), shift, _affine(fixed, size))


def _template_field(out: Path, plan: Phantom) -> NDArray[np.float32]:
    with np.load(out / "template_fields" / f"{plan.name}.npz", allow_pickle=False) as record:
        return np.asarray(record["displacement"])


def _field_name(pair: tuple[Phantom, Phantom]) -> str:
    return f"disp_{_group(pair[0])}_{_group(pair[1])}.nii.gz"


def _rcn_tables(plans: Sequence[Phantom], size: int, anatomy: str) -> dict[str, Any]:
    subsets = {f"{part}-scans": [_entry(plan) for plan in plans if plan.section == part] for part in PARTS}
    tables: dict[str, Any] = {
        "files": {"phantom": {"type": "HDF5", "path": "phantoms.h5"}},
        "image_size": [size, size, size],
        "image_type": anatomy,
        "schemes": {key: {subset: 1.0} for key, subset in zip(("1", "2", "test"), subsets, strict=True)},
        "subsets": subsets,
    }
    if anatomy == "brain":
        tables["atlas"] = _entry(plans[0])
        tables["segmentation_class_value"] = {name: value for value, name in _NAMES[anatomy].items()}
    return tables


def _entry(plan: Phantom) -> str:
    return f"phantom/{_group(plan)}"


def _learn2reg_tables(
    plans: Sequence[Phantom], pairs: Sequence[tuple[Phantom, Phantom]], size: int, anatomy: str
) -> dict[str, Any]:
    def place(plan: Phantom, folder: str = "imagesTr", suffix: str = "nii.gz") -> str:
        return f"./{folder}/{plan.name}_0000.{suffix}"

    def listed(part: str) -> list[dict[str, str]]:
        return [{"fixed": place(first), "moving": place(second)} for first, second in pairs if second.section == part]

    volumes = [
        {"image": place(plan), "label": place(plan, "labelsTr"), "keypoints": place(plan, "keypointsTr", "csv")}
        for plan in plans
    ]
    known = [
        {"fixed": place(pair[0]), "moving": place(pair[1]), "field": f"./fields/{_field_name(pair)}"} for pair in pairs
    ]
    return {
        "name": "RegistrationPhantoms",
        "description": "generated volumes with known deformations",
        "pairings": "unpaired",
        "modality": {"0": "CT" if anatomy == "liver" else "MR"},
        "labels": {"0": {str(value): name for value, name in _NAMES[anatomy].items()}},
        "tensorImageSize": "3D",
        "tensorImageShape": {"0": [size, size, size]},
        "numTraining": len(volumes),
        "training": volumes,
        "registration_val": listed("validation"),
        "registration_test": listed("test"),
        "known_fields": known,
    }


def _json(tables: dict[str, Any]) -> str:
    return json.dumps(tables, indent=1) + "\n"
