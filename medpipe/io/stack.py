"""Images in their order as one stack, with its affine and what is odd about its geometry."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from medpipe.io.findings import Finding, found
from medpipe.io.geometry import Line, affine_ras, check_line, check_plane, normal_of
from medpipe.io.instances import Image

__all__ = ["Stack", "pile", "upright"]


@dataclass
class Stack:
    """Images that make one volume.

    Attributes:
        images: Per time point, the images in slice order.
        affine: (4, 4) from (column, row, slice) indices to RAS+ millimetres; only as true as ``findings`` say.
        line: Where the slices lie; None where positions are not given.
        findings: What is odd about it; errors among them say that ``affine`` is not the whole truth.
        time_label: Which label orders the time points; "" with a single one.
        times: The label's value of each time point.
        left_out: Images that policy "warn" leaves out, with the code that says why.
    """

    images: list[list[Image]]
    affine: npt.NDArray[np.float64]
    line: Line | None
    findings: list[Finding]
    time_label: str = ""
    times: list[Any] = field(default_factory=list)
    left_out: list[tuple[Image, str]] = field(default_factory=list)

    @property
    def all_images(self) -> list[Image]:
        """All images, time point by time point."""
        return [image for images in self.images for image in images]

    @property
    def shape(self) -> tuple[int, ...]:
        """(columns, rows, slices), and time points where there are several."""
        first = self.images[0]
        spatial = (first[0].columns, first[0].rows, len(first))
        return spatial if len(self.images) == 1 else (*spatial, len(self.images))


def upright(matrix: list[list[Image]]) -> Stack:
    """A stack of sound images, with its geometry checked at every time point."""
    slices = matrix[0]
    first = slices[0]
    orientation, spacing = first.orientation or (), first.spacing or ()
    findings = _spacing_findings(first)
    if first.fault:
        findings.append(found(first.fault, files=sorted({image.instance.label for image in slices})[:50]))
    if len(slices) == 1:
        step, assumed = _thickness(first)
        findings.append(found("slice_spacing_assumed", f"{step:g} mm", millimetres=step, from_header=not assumed))
        affine = affine_ras(orientation, spacing, normal_of(orientation) * step, first.position)
        return Stack(matrix, affine, None, [*findings, *_header_tilt(first, None)])
    positions = np.array([image.position for image in slices], dtype=float)
    line = Line.of(positions, orientation)
    findings.extend(check_line(line, spacing, [image.instance.label for image in slices]))
    findings.extend(_header_findings(slices, line, findings))
    return Stack(matrix, affine_ras(orientation, spacing, line.step, line.origin), line, findings)


def _thickness(image: Image) -> tuple[float, bool]:
    step = image.instance.slice_step or image.instance.thickness
    return (step, False) if step else (1.0, True)


def _spacing_findings(image: Image) -> list[Finding]:
    if image.instance.spacing_source in ("", "PixelSpacing"):
        return []
    return [found("spacing_at_detector", image.instance.spacing_source)]


def _header_findings(slices: list[Image], line: Line, so_far: list[Finding]) -> list[Finding]:
    findings = []
    if len(slices) < 3 and slices[0].instance.form.frames == 1:
        findings.append(found("few_slices", f"{len(slices)} slices", slices=len(slices)))
    step, usual = slices[0].instance.slice_step, float(np.median(line.distances))
    tilted = any(finding.code in ("gantry_tilt", "uneven_spacing") for finding in so_far)
    # Along a tilted gantry some scanners give the distance on the table; the thickness of a gap is another common use.
    if step and not tilted and abs(step - usual) > max(0.01 * usual, 0.01) and slices[0].tile is None:
        findings.append(
            found(
                "spacing_contradicts_header",
                f"{step:g} mm in the header, {usual:.4g} mm between positions",
                header_mm=step,
                positions_mm=round(usual, 4),
            )
        )
    return [*findings, *_header_tilt(slices[0], so_far)]


def _header_tilt(image: Image, so_far: list[Finding] | None) -> list[Finding]:
    """A tilt that the header names, while the image lies along the patient's axes and no slice is shifted."""
    tilt = image.instance.tilt
    if not abs(tilt) > 0.1 or any(finding.code == "gantry_tilt" for finding in so_far or ()):
        return []
    along_axis = np.abs(normal_of(image.orientation or ())).max() > math.cos(math.radians(abs(tilt) / 2))
    return [found("tilt_only_in_header", f"{tilt:g} degrees", header_degrees=tilt)] if along_axis else []


def pile(images: list[Image], wrong: str, *, projection: bool) -> Stack:
    """Images one upon the other in their order, as policy "warn" takes them.

    Args:
        images: In their order.
        wrong: Code of what is wrong with their geometry.
        projection: They are projections or pictures, for which having no place in a patient is no error.
    """
    first = images[0]
    findings = _spacing_findings(first)
    files = sorted({image.instance.label for image in images})[:50]
    spacing: Sequence[float] = first.spacing or (1.0, 1.0)
    if wrong in ("no_pixel_spacing", "invalid_pixel_spacing"):
        findings.append(found(wrong, files=files))
        spacing = (1.0, 1.0)
    elif not (projection and wrong == "no_position"):
        findings.append(found(wrong, files=files))
    if projection:
        findings.append(found("no_patient_geometry", first.instance.modality))
    step = _thickness(first)[0]
    usable = not check_plane((0.0, 0.0, 0.0), first.orientation, (1.0, 1.0))
    orientation = first.orientation if usable and first.orientation else (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
    affine = affine_ras(orientation, spacing, normal_of(orientation) * step, (0.0, 0.0, 0.0))
    return Stack([images], affine, None, findings)
