"""A stack to a volume: voxels in memory order of NIfTI, one affine, and all that a reader should know about both.

Voxels are stored values times slope plus intercept, of each slice by its own. Where slope and intercept are whole
numbers common to all slices the result is the narrowest integer type that holds it, exactly; else float32 (float64 for
what float32 cannot tell apart). Nothing is windowed, inverted or turned.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from medpipe.errors import CaseFailedError
from medpipe.io.findings import Finding, Policy, found, refusals
from medpipe.io.instances import Image, Instance
from medpipe.io.pixel_data import PixelFormat, frames_of, without_high_bits
from medpipe.io.regrid import regrid
from medpipe.io.stack import Stack

__all__ = ["MAX_VOLUME_BYTES", "SliceError", "Volume", "VolumeRefusedError", "header_findings", "read_volume"]

MAX_VOLUME_BYTES = 4 << 30
"""Largest volume that is put together in memory."""

Array = npt.NDArray[Any]


class VolumeRefusedError(CaseFailedError):
    """The policy refuses a volume; ``findings`` are the reasons."""

    def __init__(self, findings: list[Finding]) -> None:
        super().__init__("; ".join(f"{finding.code}: {finding.message}" for finding in findings))
        self.findings = findings


class SliceError(CaseFailedError):
    """The pixels of one file of a stack cannot be decoded."""

    def __init__(self, instance: Instance, error: CaseFailedError) -> None:
        super().__init__(str(error))
        self.instance = instance


@dataclass
class Volume:
    """Voxels and where they lie.

    Attributes:
        array: (columns, rows, slices), then time points where there are several, then 3 samples for colour.
        affine: (4, 4) from voxel indices (column, row, slice) to RAS+ millimetres.
        findings: What was odd about its input, and what was done.
        colour: Whether the last axis is red, green, blue.
        slope, intercept: The rescale common to all slices, already applied; None where it varies.
        times: Label of each time point, under ``time_label``; empty with a single one.
        time_label: What ``times`` are.
        resampled: Voxels were interpolated.
    """

    array: Array
    affine: npt.NDArray[np.float64]
    findings: list[Finding] = field(default_factory=list)
    colour: bool = False
    slope: float | None = 1.0
    intercept: float | None = 0.0
    times: list[Any] = field(default_factory=list)
    time_label: str = ""
    resampled: bool = False


def read_volume(stack: Stack, policy: Policy = "strict") -> Volume:
    """Decode a stack.

    Args:
        stack: As ``medpipe.io.series`` lays it out.
        policy: "strict" refuses every error among the findings; "warn" converts what comes close, with its findings;
            "repair" resamples what can be brought onto an even, upright grid, and refuses the rest.

    Raises:
        VolumeRefusedError: By the policy.
        SliceError: One file cannot be decoded.
        CaseFailedError: Too large.
    """
    findings = [*stack.findings, *header_findings(stack)]
    if refused := refusals(findings, policy):
        raise VolumeRefusedError(refused)
    rescales = {(image.slope, image.intercept) for image in stack.all_images}
    voxels, more = _decode(stack)
    voxels = _rescale(voxels, stack, rescales)
    findings += more
    common = next(iter(rescales)) if len(rescales) == 1 else None
    volume = Volume(
        array=_nifti_order(voxels, stack),
        affine=stack.affine,
        findings=findings,
        colour=stack.images[0][0].instance.form.samples == 3,
        slope=None if common is None else 1.0 if common[0] is None else common[0],
        intercept=None if common is None else common[1] or 0.0,
        times=stack.times,
        time_label=stack.time_label,
    )
    if voxels.dtype.kind == "f" and not np.isfinite(voxels).all():
        count = int((~np.isfinite(voxels)).sum())
        volume.findings.append(found("not_a_number", f"{count:,} voxels", voxels=count))
    if policy == "repair" and any(finding.severity == "error" for finding in findings):
        return _repaired(volume, stack)
    return volume


def _repaired(volume: Volume, stack: Stack) -> Volume:
    if stack.line is None or volume.colour:
        raise VolumeRefusedError([f for f in volume.findings if f.severity == "error"])
    first = stack.images[0][0]
    array, affine, note = regrid(volume.array, stack.line, first.orientation or (), first.spacing or ())
    return Volume(
        array=array,
        affine=affine,
        findings=[*volume.findings, note],
        slope=volume.slope,
        intercept=volume.intercept,
        times=volume.times,
        time_label=volume.time_label,
        resampled=True,
    )


def header_findings(stack: Stack) -> Iterator[Finding]:
    """What headers say about the values of a stack: rescales that vary, are absent or unusable; mixed signs."""
    images = stack.all_images
    bad = [i for i in images if not _usable(i.slope, 1.0) or not _usable(i.intercept, 0.0) or i.slope == 0]
    if bad:
        yield found("invalid_rescale", files=sorted({image.instance.label for image in bad})[:50])
    rescales = {(image.slope, image.intercept) for image in images}
    if len(rescales) > 1 and not bad:
        yield found("rescale_varies", f"{len(rescales)} different ones", rescales=len(rescales))
    given = {(image.slope is None, image.intercept is None) for image in images}
    if len(given) > 1 or any(_lacks_rescale(image) for image in images):
        yield found("no_rescale")
    if len({image.instance.form.signed for image in images}) > 1:
        yield found("mixed_pixel_representation")


def _lacks_rescale(image: Image) -> bool:
    """Whether slope or intercept is absent where values have a unit, or one of the two where the other is there."""
    if image.instance.modality == "RTDOSE":  # a dose has a scaling alone
        return image.slope is None
    absent = (image.slope is None) + (image.intercept is None)
    return absent == 1 or (absent == 2 and image.instance.modality in ("CT", "PT"))


def _usable(value: float | None, default: float) -> bool:
    return math.isfinite(default if value is None else value)


def _decode(stack: Stack) -> tuple[Array, list[Finding]]:
    """Stored values (time points, slices, rows, columns[, samples]) without unused bits."""
    first = stack.images[0][0]
    forms = [image.instance.form for image in stack.all_images]
    dtype = np.result_type(*{form.dtype for form in forms})
    samples = (3,) if first.instance.form.samples == 3 else ()
    shape = (len(stack.images), len(stack.images[0]), first.rows, first.columns, *samples)
    if math.prod(shape) * max(dtype.itemsize, 4) > MAX_VOLUME_BYTES:
        raise CaseFailedError(
            f"a volume of shape {shape} is larger than the {MAX_VOLUME_BYTES >> 30} GiB that are read"
        )
    voxels = np.empty(shape, dtype)
    places: dict[int, list[tuple[Image, Array]]] = defaultdict(list)
    for time, images in enumerate(stack.images):
        for index, image in enumerate(images):
            places[id(image.instance)].append((image, voxels[time, index]))
    dirty: list[str] = []
    padded: list[tuple[str, int]] = []
    for targets in places.values():
        instance = targets[0][0].instance
        try:
            changed, padding = _fill(instance, targets)
        except CaseFailedError as error:
            raise SliceError(instance, error) from error
        if changed:
            dirty.append(instance.label)
        if padding:
            padded.append((instance.label, padding))
    return voxels, list(_pixel_findings(stack, dirty, padded))


def _pixel_findings(stack: Stack, dirty: list[str], padded: list[tuple[str, int]]) -> Iterator[Finding]:
    if dirty:
        yield found("unused_bits_cleared", f"in {len(dirty)} files", dirty[:50], files_changed=len(dirty))
    if padded:
        first = next(image for image in stack.all_images if image.instance.padding)
        value = (first.instance.padding or (0.0,))[0]
        scaled = value * (1.0 if first.slope is None else first.slope) + (first.intercept or 0.0)
        count = sum(number for _, number in padded)
        yield found(
            "pixel_padding",
            f"{count:,} voxels, {scaled:g} after rescale",
            [label for label, _ in padded][:50],
            voxels=count,
            stored_value=value,
            value=scaled,
        )


def _fill(instance: Instance, targets: list[tuple[Image, Array]]) -> tuple[bool, int]:
    """Decode a file into its places; says whether unused bits were cleared, and counts padding."""
    form = instance.form
    with instance.source.open() as stream:
        if _reads_straight(form, targets):
            changed, values = _read_straight(stream, form, targets[0][1])
            return changed, _count_padding(instance, values)
        changed, padding = False, 0
        by_frame: dict[int, list[tuple[Image, Array]]] = defaultdict(list)
        for image, target in targets:
            by_frame[image.frame].append((image, target))
        for index, frame in enumerate(frames_of(stream, form, instance.size)):
            clean = without_high_bits(form, frame)
            changed = changed or (clean is not frame and not np.array_equal(clean, frame))
            for image, target in by_frame.get(index, []):
                row, column = image.tile or (0, 0)
                target[:] = clean[row : row + image.rows, column : column + image.columns]
                padding += _count_padding(instance, target)
        return changed, padding


def _reads_straight(form: PixelFormat, targets: list[tuple[Image, Array]]) -> bool:
    """Uncompressed little endian pixels of a whole file, in the volume's own type: no copy is needed."""
    image, target = targets[0]
    return (
        form.is_native
        and not form.deflated
        and form.syntax != "1.2.840.10008.1.2.2"
        and (form.samples, form.frames) == (1, 1)
        and form.allocated > 1
        and image.tile is None
        and target.dtype == form.dtype
        and np.little_endian
    )


def _read_straight(stream: Any, form: PixelFormat, target: Array) -> tuple[bool, Array]:
    stream.seek(form.offset)
    if stream.readinto(target.data.cast("B")) != target.nbytes:
        raise CaseFailedError("pixel data are cut short; copy the file again from its source")
    clean = without_high_bits(form, target)
    changed = clean is not target and not np.array_equal(clean, target)
    if clean is not target:
        target[:] = clean
    return changed, target


def _count_padding(instance: Instance, values: Array) -> int:
    if instance.padding is None:
        return 0
    low, high = min(instance.padding), max(instance.padding)
    return int(np.count_nonzero(values == low if low == high else (values >= low) & (values <= high)))


def _rescale(voxels: Array, stack: Stack, rescales: set[tuple[float | None, float | None]]) -> Array:
    if voxels.dtype.kind == "f" and rescales <= {(None, None), (1.0, 0.0), (1.0, None), (None, 0.0)}:
        return voxels
    if voxels.dtype.kind in "iu" and len(rescales) == 1:
        (slope, intercept) = next(iter(rescales))
        slope, intercept = 1.0 if slope is None else slope, intercept or 0.0
        if slope.is_integer() and intercept.is_integer():
            whole = _whole_numbers(voxels, _declared_range(stack), int(slope), int(intercept))
            if whole is not None:
                return whole
    wide = voxels.dtype == np.float64 or (voxels.dtype.kind in "iu" and _needs_double(stack, rescales))
    result = np.empty(voxels.shape, np.float64 if wide else np.float32)
    for time, images in enumerate(stack.images):
        for index, image in enumerate(images):
            slope = 1.0 if image.slope is None else image.slope
            result[time, index] = voxels[time, index] * np.float64(slope) + np.float64(image.intercept or 0.0)
    return result


def _needs_double(stack: Stack, rescales: set[tuple[float | None, float | None]]) -> bool:
    """Whether float32 is too coarse for the steps between rescaled values, or too small for the values."""
    ends = np.array(_declared_range(stack), dtype=float)
    for slope, intercept in rescales:
        step = 1.0 if slope is None else slope
        largest = float(np.abs(ends * step + (intercept or 0.0)).max())
        if largest > np.finfo(np.float32).max or np.spacing(np.float32(largest)) > abs(step):
            return True
    return False


def _declared_range(stack: Stack) -> tuple[int, int]:
    """Least and greatest value that the stored bits can say."""
    forms = [image.instance.form for image in stack.all_images]
    low = min(-(1 << form.stored - 1) if form.signed else 0 for form in forms)
    return low, max((1 << form.stored - form.signed) - 1 for form in forms)


def _whole_numbers(voxels: Array, declared: tuple[int, int], slope: int, intercept: int) -> Array | None:
    """Rescaled integers in the narrowest of NIfTI's usual types; None where none holds them."""
    if (slope, intercept) == (1, 0) and voxels.dtype in (np.uint8, np.int16, np.int32):
        return voxels
    kind = _narrowest(declared, slope, intercept, np.int16)
    if kind is None:  # the values that are there may need less than those that could be
        there = int(voxels.min()), int(voxels.max())
        kind = _narrowest(there, slope, intercept, np.int16, np.uint16, np.int32, np.uint32)
    if kind is None:
        return None
    # Modular arithmetic gives the right bits even where an intermediate value leaves the range.
    same_size = voxels.dtype.itemsize == np.dtype(kind).itemsize
    voxels = voxels.view(kind) if same_size else voxels.astype(kind)
    bits = np.dtype(kind).itemsize * 8
    for part in voxels.reshape(-1, *voxels.shape[2:]):
        unsigned = part.view(f"u{bits // 8}")
        if slope != 1:
            np.multiply(unsigned, slope % (1 << bits), out=unsigned)
        if intercept:
            np.add(unsigned, intercept % (1 << bits), out=unsigned)
    return voxels


def _narrowest(stored: tuple[int, int], slope: int, intercept: int, *kinds: Any) -> Any:
    ends = sorted(value * slope + intercept for value in stored)
    for kind in kinds:
        if np.iinfo(kind).min <= ends[0] and ends[1] <= np.iinfo(kind).max:
            return kind
    return None


def _nifti_order(voxels: Array, stack: Stack) -> Array:
    """(time, slice, row, column[, sample]) to (column, row, slice[, time][, sample]), without a copy."""
    if voxels.ndim == 5:
        axes = (3, 2, 1, 0, 4)
        turned = voxels.transpose(axes)
        return turned[:, :, :, 0] if len(stack.images) == 1 else turned
    turned = voxels.transpose(3, 2, 1, 0)
    return turned[:, :, :, 0] if len(stack.images) == 1 else turned
