"""The two-dimensional images of a DICOM file, each with its own place, rescale and labels.

One image for an ordinary file; one for each frame of an enhanced multi-frame object (functional groups, PS3.3 C.7.6.16)
or dose grid (C.8.8.3); one for each tile of a Siemens mosaic.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from medpipe.io.dicom_file import Elements, integer, length_of, numbers, raw, text
from medpipe.io.findings import found
from medpipe.io.instances import Image, Instance, UnreadableError
from medpipe.io.mosaic import mosaic_layout, tiles

__all__ = ["images_of"]


def images_of(dataset: Elements, instance: Instance) -> Iterator[Image]:
    """Lay out the images of a file; what is odd is added to the instance's findings."""
    form = instance.form
    if raw(dataset, 0x52009229) is not None or raw(dataset, 0x52009230) is not None:
        yield from _enhanced(dataset, instance)
    elif "MOSAIC" in instance.image_type and form.frames == 1:
        yield from tiles(_single(dataset, instance, 0), *mosaic_layout(dataset))
    elif form.frames > 1 and raw(dataset, 0x3004000C) is not None:
        yield from _dose_grid(dataset, instance)
    else:
        for frame in range(form.frames):
            yield _single(dataset, instance, frame)
        if form.frames > 1:
            instance.findings.append(found("frames_without_position", f"{form.frames} frames", [instance.label]))


def _single(dataset: Any, instance: Instance, frame: int) -> Image:
    spacing, instance.spacing_source = _spacing(dataset)
    slope, intercept = numbers(dataset, 0x00281053), numbers(dataset, 0x00281052)
    scaling = numbers(dataset, 0x3004000E)  # DoseGridScaling
    return Image(
        instance=instance,
        frame=frame,
        tile=None,
        rows=instance.form.rows,
        columns=instance.form.columns,
        position=numbers(dataset, 0x00200032) if instance.form.frames == 1 else None,
        orientation=numbers(dataset, 0x00200037) if instance.form.frames == 1 else None,
        spacing=spacing,
        slope=_first(scaling or slope, dataset, 0x00281053),
        intercept=_first(intercept, dataset, 0x00281052),
        kind=(instance.image_type[2:], text(dataset, 0x00180081), text(dataset, 0x00180086)),
        labels={
            "temporal position": integer(dataset, 0x00200100),
            "trigger time": (numbers(dataset, 0x00181060) or (None,))[0],
            "acquisition number": integer(dataset, 0x00200012),
            "acquisition time": text(dataset, 0x0008002A) or text(dataset, 0x00080032),
        },
    )


def _first(values: tuple[float, ...] | None, dataset: Any, tag: int) -> float | None:
    """The value, None where the element is absent, NaN where it holds no number."""
    return values[0] if values else None if raw(dataset, tag) is None else math.nan


def _spacing(dataset: Any) -> tuple[tuple[float, ...] | None, str]:
    for tag, name in ((0x00280030, "PixelSpacing"), (0x00181164, "ImagerPixelSpacing"), (0x00182010, "Nominal")):
        if raw(dataset, tag) is not None:
            return numbers(dataset, tag) or (math.nan, math.nan), name
    return None, ""


def _item(dataset: Any, tag: int) -> Any:
    """First item of a sequence; None where there is none."""
    try:
        sequence = dataset[tag].value if dataset is not None and tag in dataset else None
        return Elements(sequence[0]) if sequence else None
    except Exception:  # a damaged sequence raises anything
        return None


def _enhanced(dataset: Any, instance: Instance) -> Iterator[Image]:
    shared = _item(dataset, 0x52009229)
    try:
        frames = list(dataset[0x52009230].value) if 0x52009230 in dataset else []
    except Exception as error:
        raise UnreadableError("unreadable_file", f"has damaged functional groups ({type(error).__name__})") from error
    if len(frames) != instance.form.frames:
        instance.findings.append(
            found(
                "frames_without_position",
                f"{instance.form.frames} frames, functional groups for {len(frames)}",
                [instance.label],
            )
        )
        frames = (frames + [None] * instance.form.frames)[: instance.form.frames]
    for index, item in enumerate(frames):
        yield _frame(dataset, instance, index, shared, item)


def _frame(dataset: Any, instance: Instance, index: int, shared: Any, own: Any) -> Image:
    def group(tag: int) -> Any:
        return _item(own, tag) or _item(shared, tag)

    measures, transform, content = group(0x00289110), group(0x00289145), group(0x00209111)
    frame_type, echo, trigger = group(0x00189226) or group(0x00189329), group(0x00189114), group(0x00189118)
    diffusion = group(0x00189117)
    if index == 0 and measures is not None:
        instance.slice_step = length_of(measures, 0x00180088) or instance.slice_step
        instance.thickness = length_of(measures, 0x00180050) or instance.thickness
    spacing = _part(measures, 0x00280030)
    instance.spacing_source = "PixelSpacing" if spacing else ""
    kind = text(frame_type, 0x00089007).upper().split("\\")[2:] if frame_type is not None else []
    values = transform if transform is not None else dataset
    return Image(
        instance=instance,
        frame=index,
        tile=None,
        rows=instance.form.rows,
        columns=instance.form.columns,
        position=_part(group(0x00209113), 0x00200032),
        orientation=_part(group(0x00209116), 0x00200037),
        spacing=spacing,
        slope=_first(numbers(values, 0x00281053), values, 0x00281053),
        intercept=_first(numbers(values, 0x00281052), values, 0x00281052),
        kind=(tuple(kind), (_part(echo, 0x00189082, "FD") or (None,))[0], text(content, 0x00209056) if content else ""),
        labels={
            "temporal position": int(value[0]) if (value := _part(content, 0x00209128, "UL")) else None,
            "trigger time": (_part(trigger, 0x00209153, "FD") or (None,))[0],
            "b value": (_part(diffusion, 0x00189087, "FD") or (None,))[0],
            "acquisition number": integer(dataset, 0x00200012),
            "acquisition time": text(content, 0x00189074) if content is not None else "",
        },
        segment=int(value[0]) if (value := _part(group(0x0062000A), 0x0062000B, "US")) else 0,
    )


def _part(item: Any, tag: int, kind: str = "") -> tuple[float, ...] | None:
    return None if item is None else numbers(item, tag, kind)


def _dose_grid(dataset: Any, instance: Instance) -> Iterator[Image]:
    offsets = numbers(dataset, 0x3004000C) or ()
    position, orientation = numbers(dataset, 0x00200032), numbers(dataset, 0x00200037)
    for frame in range(instance.form.frames):
        image = _single(dataset, instance, frame)
        if len(offsets) == instance.form.frames and position and orientation and len(orientation) == 6:
            along = np.cross(orientation[:3], orientation[3:])
            step = offsets[frame] - (offsets[0] if offsets[0] == 0 else position[2])
            image.position = tuple(float(v) for v in np.asarray(position) + along * step)
            image.orientation = orientation
        yield image
    if instance.images and instance.images[0].position is None:
        instance.findings.append(found("frames_without_position", "", [instance.label]))
