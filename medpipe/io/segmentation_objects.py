"""DICOM SEG and RTSTRUCT objects to masks on the grid of the image series that they refer to.

SEG (PS3.3 A.51): each frame has a place of its own and is copied to the slice at that place; nothing is interpolated.
RTSTRUCT (PS3.3 A.19): closed planar contours, filled where a voxel's centre is inside by the even-odd rule, so that a
contour within another is a hole. What does not lie on the grid is an error by name.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from medpipe.errors import CaseFailedError
from medpipe.io.dicom_file import integer, numbers, parse, text
from medpipe.io.dicom_images import read_instance
from medpipe.io.findings import Finding, found
from medpipe.io.geometry import affine_ras, normal_of
from medpipe.io.instances import Image, Instance
from medpipe.io.pixel_data import frames_of
from medpipe.io.sources import Source
from medpipe.io.stack import Stack

__all__ = ["Segment", "Segmentation", "read_segmentation", "referenced_series"]

OFF_GRID = 0.05
"""Part of a voxel by which a frame may miss the grid: rounding of positions, not another grid."""

OFF_SLICE = 0.1
"""Part of the slice distance by which a contour may lie off a slice."""

MAX_CONTOUR_POINTS = 20_000_000

Mask = npt.NDArray[Any]


@dataclass
class Segment:
    """One structure: its number and the terms of its object."""

    number: int
    label: str
    category: str = ""
    type: str = ""
    voxels: int = 0


@dataclass
class Segmentation:
    """Masks on the grid of an image series.

    Attributes:
        array: (columns, rows, slices) of segment numbers; or, where segments overlap or are fractional, (columns, rows,
            slices, segments) of 0 and 1 (or of fractions), in the order of ``segments``.
        affine: The series' affine (RAS+).
        segments: What the numbers mean.
        findings: Empty structures, contours left out.
    """

    array: Mask
    affine: npt.NDArray[np.float64]
    segments: list[Segment]
    findings: list[Finding] = field(default_factory=list)


def referenced_series(source: Source) -> set[str]:
    """UIDs of the series, and of the single images, that a SEG or RTSTRUCT refers to.

    Raises:
        CaseFailedError: The file cannot be read.
    """
    with source.open() as stream:
        dataset = parse(stream, pixels=False).dataset
    uids: set[str] = set()
    for item in _items(dataset, 0x00081115):
        uids.add(text(item, 0x0020000E))
        uids |= {text(image, 0x00081155) for image in _items(item, 0x0008114A)}
    for frame in _items(dataset, 0x30060010):
        for study in _items(frame, 0x30060012):
            for series in _items(study, 0x30060014):
                uids.add(text(series, 0x0020000E))
                uids |= {text(image, 0x00081155) for image in _items(series, 0x30060016)}
    return uids - {""}


def read_segmentation(source: Source, stack: Stack) -> Segmentation:
    """Read a SEG or RTSTRUCT object onto a stack's grid.

    Raises:
        CaseFailedError: Damaged, or it does not lie on the grid; the message starts with a finding's code.
    """
    with source.open() as stream:
        parsed = parse(stream, pixels=False)
        modality = text(parsed.dataset, 0x00080060).upper()
        if modality == "RTSTRUCT":
            return _structures(parsed.dataset, stack)
        size = stream.seek(0, os.SEEK_END)
        stream.seek(0)
        instance = read_instance(stream, source, source.name, size)
        return _segments(stream, parsed.dataset, instance, stack)


def _items(dataset: Any, tag: int) -> list[Any]:
    try:
        return list(dataset[tag].value) if dataset is not None and tag in dataset else []
    except Exception as error:  # a damaged sequence raises anything
        raise CaseFailedError(f"has a damaged sequence ({type(error).__name__})") from error


def _code(item: Any, tag: int) -> str:
    codes = _items(item, tag)
    return text(codes[0], 0x00080104) if codes else ""


def _segments(stream: Any, dataset: Any, instance: Instance, stack: Stack) -> Segmentation:
    segments = {}
    for item in _items(dataset, 0x00620002):
        number = integer(item, 0x00620004, "US") or 0
        label = text(item, 0x00620005)
        if number == 0:  # the background of a label map
            continue
        segments[number] = Segment(number, label, _code(item, 0x00620003), _code(item, 0x0062000F))
    kind = text(dataset, 0x00620001).upper()
    scale = integer(dataset, 0x0062000E, "US") or 255 if kind == "FRACTIONAL" else 1
    masks: dict[int, Mask] = {}
    for image, values in zip(instance.images, frames_of(stream, instance.form, instance.size), strict=True):
        if kind == "LABELMAP":
            shown = [number for number in np.unique(values).tolist() if number in segments and number]
            parts = [(number, values == number) for number in shown]
        else:
            parts = [(image.segment, values)]
        for number, part in parts:
            if number not in segments:
                raise CaseFailedError(f"shows segment {number}, which it does not describe")
            if number not in masks:
                masks[number] = np.zeros(stack.shape[:3], np.float32 if scale > 1 else np.uint8, order="F")
            _place(masks[number], image, part / np.float32(scale) if scale > 1 else part, stack)
    return _together(list(segments.values()), masks, stack, fractional=scale > 1)


def _place(mask: Mask, image: Image, values: Mask, stack: Stack) -> None:
    """Copy one frame to the slice where it lies; its rows and columns may run against the grid's."""
    if image.position is None or image.orientation is None or image.spacing is None:
        raise CaseFailedError("segmentation_off_grid: a frame does not say where it lies")
    away = normal_of(image.orientation)
    frame = affine_ras(image.orientation, image.spacing, away, image.position)
    to_grid = np.linalg.inv(stack.affine) @ frame
    corners = np.array([(0, 0), (image.columns - 1, 0), (0, image.rows - 1), (image.columns - 1, image.rows - 1)])
    placed = corners @ to_grid[:3, :2].T + to_grid[:3, 3]
    whole = np.rint(placed).astype(int)
    if np.abs(placed - whole).max() > OFF_GRID or len(set(whole[:, 2])) > 1:
        raise CaseFailedError(f"segmentation_off_grid: a frame misses it by {np.abs(placed - whole).max():.3g} voxels")
    if whole.min() < 0 or (whole >= np.array(mask.shape)).any():
        raise CaseFailedError("segmentation_off_grid: a frame reaches beyond it")
    steps = np.rint(to_grid[:2, :2]).astype(int)
    rows, columns = np.mgrid[: image.rows, : image.columns]
    at = whole[0]
    i = at[0] + steps[0, 0] * columns + steps[0, 1] * rows
    j = at[1] + steps[1, 0] * columns + steps[1, 1] * rows
    mask[i, j, at[2]] = np.maximum(mask[i, j, at[2]], values)


def _together(
    segments: list[Segment],
    masks: dict[int, Mask],
    stack: Stack,
    *,
    fractional: bool,
    more: list[Finding] | None = None,
) -> Segmentation:
    findings = list(more or [])
    for segment in segments:
        segment.voxels = int(np.count_nonzero(masks[segment.number])) if segment.number in masks else 0
        if not segment.voxels:
            findings.append(found("empty_structure", f"number {segment.number}", number=segment.number))
    covered = np.zeros(stack.shape[:3], np.uint8, order="F")
    for mask in masks.values():
        covered += mask > 0
    kind = np.uint8 if max((s.number for s in segments), default=0) < 256 else np.uint16
    if fractional or covered.max(initial=0) > 1:
        shape = (*stack.shape[:3], len(segments))
        array = np.zeros(shape, np.float32 if fractional else np.uint8, order="F")
        for index, segment in enumerate(segments):
            if segment.number in masks:
                array[..., index] = masks[segment.number]
    else:
        array = np.zeros(stack.shape[:3], kind, order="F")
        for number, mask in masks.items():
            array[mask > 0] = number
    return Segmentation(array, stack.affine, segments, findings)


def _structures(dataset: Any, stack: Stack) -> Segmentation:
    names = {integer(item, 0x30060022): text(item, 0x30060026) for item in _items(dataset, 0x30060020)}
    segments = [Segment(number, label) for number, label in names.items() if number is not None]
    masks: dict[int, Mask] = {}
    findings: list[Finding] = []
    points = 0
    for item in _items(dataset, 0x30060039):
        number = integer(item, 0x30060084)
        if number not in names or number is None:
            raise CaseFailedError(f"has contours of structure {number}, which it does not describe")
        for contour in _items(item, 0x30060040):
            kind, data = text(contour, 0x30060042).upper(), numbers(contour, 0x30060050)
            if kind not in ("CLOSED_PLANAR", "CLOSEDPLANAR_XOR") or data is None or len(data) < 9 or len(data) % 3:
                detail = f"{kind or 'no type'} in structure {number}"
                findings.append(found("open_contour", detail, number=number))
                continue
            points += len(data) // 3
            if points > MAX_CONTOUR_POINTS:
                raise CaseFailedError(f"has more than {MAX_CONTOUR_POINTS:,} contour points")
            mask = masks.setdefault(number, np.zeros(stack.shape[:3], np.uint8, order="F"))
            _fill(mask, np.asarray(data, dtype=float).reshape(-1, 3), stack)
    return _together(segments, masks, stack, fractional=False, more=findings)


def _fill(mask: Mask, points: npt.NDArray[np.float64], stack: Stack) -> None:
    """Toggle the voxels inside a contour (LPS millimetres) on the slice where it lies."""
    if not np.isfinite(points).all():
        raise CaseFailedError("a contour has points that are no finite numbers")
    ras = points * np.array([-1.0, -1.0, 1.0])
    to_grid = np.linalg.inv(stack.affine)
    places = ras @ to_grid[:3, :3].T + to_grid[:3, 3]
    level = int(np.rint(places[:, 2].mean()))
    if np.abs(places[:, 2] - level).max() > OFF_SLICE or not 0 <= level < mask.shape[2]:
        raise CaseFailedError(
            f"segmentation_off_grid: a contour lies at slice {places[:, 2].mean():.4g}, "
            f"the series has slices 0 to {mask.shape[2] - 1}"
        )
    plane = mask[:, :, level]
    for row, first, last in _spans(places[:, :2], plane.shape[1]):
        plane[max(first, 0) : max(last, 0), row] ^= 1


def _spans(polygon: npt.NDArray[np.float64], rows: int) -> Iterator[tuple[int, int, int]]:
    """(row, first column, column after the last) of the pixels whose centres lie inside, by the even-odd rule."""
    x, y = polygon[:, 0], polygon[:, 1]
    next_x, next_y = np.roll(x, -1), np.roll(y, -1)
    lowest, highest = max(int(np.ceil(y.min())), 0), min(int(np.floor(y.max())), rows - 1)
    for row in range(lowest, highest + 1):
        crossing = (y <= row) != (next_y <= row)
        part = (row - y[crossing]) / (next_y[crossing] - y[crossing])
        edges = np.sort(x[crossing] + part * (next_x[crossing] - x[crossing]))
        columns = np.ceil(edges).astype(int)
        for first, last in zip(columns[::2], columns[1::2], strict=True):
            yield row, int(first), int(last)
