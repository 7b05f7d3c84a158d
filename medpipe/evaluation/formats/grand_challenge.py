"""Boxes as grand-challenge.org stores them: the interface "Multiple 2D bounding boxes", which NODE21 uses.

    {
      "type": "Multiple 2D bounding boxes",
      "boxes": [{
        "name": "nodule",                                                    may be missing
        "corners": [[92.7, 136.1, 0], [54.8, 136.1, 0], [54.8, 95.5, 0], [92.7, 95.5, 0]],
        "probability": 0.6                                                   the rating; not needed for truth
      }],
      "version": {"major": 1, "minor": 0}
    }

Corners are [x, y, z], four to an upright box, in millimetres: pixels times spacing. `spacing` turns them into pixels; without
it they stay as they are, and truth must be in the same millimetres. z is the slice; images with two axes have one and the
same z. NODE21 stacks many radiographs to one image and tells them apart by z: with ``stacked`` each slice is a case of its
own, called IMAGE/SLICE.

Read are: such a file (the case has the file's name, without .json), a folder of them, and predictions.json of an evaluation,

    [{"inputs": [{"interface": {"slug": "generic-medical-image"}, "image": {"name": "n0001.mha"}}],
      "outputs": [{"interface": {"slug": "nodules"}, "value": {"type": "Multiple 2D bounding boxes", ...}}]}]

where the case has the image's name.

References:
    grand-challenge.org documentation, "Interfaces"; E Sogancioglu et al., IEEE Trans Med Imaging 2024 (NODE21).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

from medpipe.errors import InputDataError
from medpipe.evaluation.formats.json_values import entries, finite, name, numbers, part, read_json, shown
from medpipe.evaluation.localization import PredictedCase
from medpipe.evaluation.truth import TruthCase
from medpipe.io.atomic import write_text
from medpipe.metrics.lesions import Lesion
from medpipe.metrics.matching import Mark

__all__ = ["TYPE", "read_boxes", "read_boxes_truth", "write_boxes"]

TYPE = "Multiple 2D bounding boxes"
_SKEW = 0.01  # corners may be rounded: off by this part of the side

_Box = tuple[float, float, float, float]
_Item = TypeVar("_Item", Mark, Lesion)


def read_boxes(path: Path, *, spacing: tuple[float, float] | None = None, stacked: bool = False) -> list[PredictedCase]:
    """Predictions from a file, a folder of files or a predictions.json.

    Args:
        path: The file or folder.
        spacing: (row, column) in mm; None leaves coordinates as they are.
        stacked: Whether each slice is a case of its own.

    Raises:
        InputDataError: A file does not follow the format, lacks a probability, or holds a box twice.
    """
    cases = _cases(path, spacing, stacked, _mark)
    for case, marks in cases.items():
        boxes = [(mark.box, mark.rating) for mark in marks]
        if len(set(boxes)) < len(boxes):
            raise InputDataError(
                f"'{path}': case '{case}' has the same box with the same probability twice; delete one"
            )
    return [PredictedCase(case, None, marks) for case, marks in cases.items()]


def read_boxes_truth(
    path: Path, *, spacing: tuple[float, float] | None = None, stacked: bool = False
) -> list[TruthCase]:
    """Truth from the same files: each box is a lesion, an image without boxes is non-diseased.

    With ``stacked`` a slice without boxes cannot be seen in this format and is missing.

    Raises:
        InputDataError: A file does not follow the format.
    """
    cases = _cases(path, spacing, stacked, _lesion)
    return [TruthCase(case, bool(lesions), case, lesions) for case, lesions in cases.items()]


def _mark(where: str, box: _Box, content: Any) -> Mark:
    rating = finite(part(content, "probability", where), f"{where}.probability")
    return Mark(box[0] + box[2] / 2, box[1] + box[3] / 2, rating, box=box)


def _lesion(where: str, box: _Box, content: Any) -> Lesion:
    return Lesion(box=box)


def _cases(
    path: Path,
    spacing: tuple[float, float] | None,
    stacked: bool,
    make: Callable[[str, _Box, Any], _Item],
) -> dict[str, list[_Item]]:
    cases: dict[str, list[_Item]] = {}
    for where, image, content in _images(path):
        if image in cases:
            raise InputDataError(f"{where}: image '{image}' stands twice")
        slices: set[float] = set()
        if not stacked:
            cases[image] = []
        for number, box in enumerate(entries(part(content, "boxes", where), f"{where}, boxes")):
            place = f"{where}, boxes[{number}]"
            shape, level = _upright(part(box, "corners", place), f"{place}.corners", spacing)
            slices.add(level)
            case = f"{image}/{level:g}" if stacked else image
            cases.setdefault(case, []).append(make(place, shape, box))
        if len(slices) > 1 and not stacked:
            raise InputDataError(
                f"{where}: boxes lie in {len(slices)} slices of '{image}' (z from {min(slices):g} to {max(slices):g});"
                " if each slice is an image of its own, read it as stacked"
            )
    return cases


def _images(path: Path) -> Iterator[tuple[str, str, Any]]:
    """Place, name and boxes of every image."""
    if path.is_dir():
        files = sorted(path.glob("*.json"))
        if not files:
            raise InputDataError(f"folder '{path}' holds no .json file; expected one per image")
        for file in files:
            yield f"'{file}'", file.stem, _of_type(read_json(file), f"'{file}'")
        return
    content = read_json(path)
    if not isinstance(content, list):
        yield f"'{path}'", path.stem, _of_type(content, f"'{path}'")
        return
    for number, entry in enumerate(content):
        where = f"'{path}', entry {number}"
        yield where, _image_name(entry, where), _of_type(_output(entry, where), f"{where}, outputs")


def _of_type(content: Any, where: str) -> Any:
    found = part(content, "type", where)
    if found != TYPE:
        raise InputDataError(f"{where}, type: {shown(found)}, expected '{TYPE}'")
    return content


def _image_name(entry: Any, where: str) -> str:
    inputs = entries(part(entry, "inputs", where), f"{where}, inputs")
    images = [given["image"] for given in inputs if isinstance(given, dict) and isinstance(given.get("image"), dict)]
    if len(images) != 1:
        raise InputDataError(f"{where}, inputs: {len(images)} images, expected one")
    return name(part(images[0], "name", f"{where}, inputs, image"), f"{where}, inputs, image.name")


def _output(entry: Any, where: str) -> Any:
    outputs = entries(part(entry, "outputs", where), f"{where}, outputs")
    values = [given["value"] for given in outputs if isinstance(given, dict) and isinstance(given.get("value"), dict)]
    boxes = [value for value in values if value.get("type") == TYPE]
    if len(boxes) != 1:
        raise InputDataError(f"{where}, outputs: {len(boxes)} values of the type '{TYPE}', expected one")
    return boxes[0]


def _upright(corners: Any, where: str, spacing: tuple[float, float] | None) -> tuple[_Box, float]:
    """The box (x, y, width, height) with these corners, and their z."""
    points = [numbers(point, f"{where}[{n}]", 3) for n, point in enumerate(entries(corners, where, 4))]
    xs, ys, levels = zip(*points, strict=True)
    left, right, top, bottom = min(xs), max(xs), min(ys), max(ys)
    ends = {(_end(x, left, right), _end(y, top, bottom)) for x, y in zip(xs, ys, strict=True)}
    if ends != {("low", "low"), ("low", "high"), ("high", "low"), ("high", "high")} or len(set(levels)) > 1:
        raise InputDataError(f"{where}: no upright box in one slice; expected its four corners [x, y, z]")
    rows, columns = spacing or (1.0, 1.0)
    return (left / columns, top / rows, (right - left) / columns, (bottom - top) / rows), levels[0]


def _end(place: float, low: float, high: float) -> str:
    tolerance = _SKEW * (high - low)
    return "low" if place - low <= tolerance else "high" if high - place <= tolerance else "between"


def write_boxes(path: Path, marks: Sequence[Mark], *, spacing: tuple[float, float] | None = None) -> None:
    """Write the marks of one image.

    Args:
        path: The file.
        marks: Marks with boxes, rated from 0 to 1.
        spacing: (row, column) in mm, by which pixels are multiplied.

    Raises:
        InputDataError: A mark has no box with two axes, or a rating outside 0 to 1, which the format does not allow.
    """
    boxes = [_written(number, mark, spacing or (1.0, 1.0)) for number, mark in enumerate(marks)]
    content = {"type": TYPE, "boxes": boxes, "version": {"major": 1, "minor": 0}}
    write_text(path, json.dumps(content, indent=1, allow_nan=False) + "\n")


def _written(number: int, mark: Mark, spacing: tuple[float, float]) -> dict[str, Any]:
    if mark.box is None or len(mark.box) != 4:
        raise InputDataError(f"mark {number} has no box (x, y, width, height), which the format needs")
    if not 0 <= mark.rating <= 1:
        raise InputDataError(f"mark {number}: rating {mark.rating:g} must lie between 0 and 1 in this format")
    x, y, width, height = mark.box
    left, right = x * spacing[1], (x + width) * spacing[1]
    top, bottom = y * spacing[0], (y + height) * spacing[0]
    corners = [[right, bottom, 0], [left, bottom, 0], [left, top, 0], [right, top, 0]]
    return {"corners": corners, "probability": float(mark.rating)}
