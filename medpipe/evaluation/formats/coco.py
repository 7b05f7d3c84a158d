"""COCO: detection results, and the ground truth beside them.

    results         [{"image_id": 17, "category_id": 1, "bbox": [x, y, width, height], "score": 0.9}, ...]
    ground truth    {"images": [{"id": 17, "height": 512, "width": 512, ...}],
                     "annotations": [{"image_id": 17, "category_id": 1, "bbox": [x, y, width, height], "iscrowd": 0, ...}],
                     "categories": [{"id": 1, "name": "nodule"}, ...]}

A case is called by its image's id, as text. Boxes are in pixels, from their top left corner. An annotation with
``iscrowd`` 1 is a region to ignore. Boxes alone are read: segmentations are not. Where there are several categories, one has
to be chosen, by its name or its id; the others are left out.

References:
    TY Lin et al., Microsoft COCO, ECCV 2014; cocodataset.org, "Data format" and "Results format".
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from medpipe.errors import InputDataError
from medpipe.evaluation.formats.json_values import entries, finite, name, numbers, part, read_json, shown, whole
from medpipe.evaluation.localization import PredictedCase
from medpipe.evaluation.truth import TruthCase
from medpipe.metrics.lesions import Lesion, check_box
from medpipe.metrics.matching import Mark

__all__ = ["read_coco_results", "read_coco_truth"]

_Box = tuple[float, float, float, float]
_LARGEST_SIDE = 1_000_000


def read_coco_truth(path: Path, category: str | None = None) -> list[TruthCase]:
    """Truth of every image.

    Args:
        path: The ground truth.
        category: Name or id of the category that counts; None where there is only one.

    Raises:
        InputDataError: The file does not follow the format, or the category is not clear; the message names the key.
    """
    where = f"'{path}'"
    content = read_json(path)
    chosen, _ = _category(content, where, category)
    cases = _images(part(content, "images", where), where)
    seen: dict[tuple[Any, ...], str] = {}
    for number, entry in enumerate(entries(part(content, "annotations", where), f"{where}, annotations")):
        place = f"{where}, annotations[{number}]"
        image, box = _box(entry, place)
        if image not in cases:
            raise InputDataError(f"{place}.image_id: image '{image}' is not among the images")
        ignore = entry.get("iscrowd", 0)
        if ignore not in (0, 1):
            raise InputDataError(f"{place}.iscrowd: {shown(ignore)}, expected 0 or 1")
        if name(part(entry, "category_id", place), f"{place}.category_id") != chosen:
            continue
        _refuse_again(seen, (image, box, ignore), place)
        cases[image][0].append(Lesion(box=box, ignore=bool(ignore)))
    return [
        TruthCase(image, any(not lesion.ignore for lesion in lesions), image, lesions, shape)
        for image, (lesions, shape) in cases.items()
    ]


def read_coco_results(path: Path, category: str | None = None, truth: Path | None = None) -> list[PredictedCase]:
    """Detections of every image that has any.

    Args:
        path: The results.
        category: Name or id of the category that counts; None where there is only one.
        truth: The ground truth; needed to choose a category by name.

    Raises:
        InputDataError: The file does not follow the format, holds a detection twice, or the category is not clear.
    """
    where = f"'{path}'"
    rated = _rated(entries(read_json(path), where), where)
    if truth is not None:
        category, known = _category(read_json(truth), f"'{truth}'", category)
        unknown = [key for key in rated if key not in known]
    else:
        unknown = list(rated) if rated and category not in (None, *rated) else []
    if unknown:
        raise InputDataError(
            f"{where}: detections of the category {unknown[0]}, expected {category or 'one of the truth'};"
            " categories are counted by the ids of the ground truth, which is needed to choose one by name"
        )
    if category is None and len(rated) > 1:
        raise InputDataError(f"{where}: detections of the categories {', '.join(rated)}; choose one")
    marks: dict[str, list[Mark]] = {}
    for image, mark in rated.get(category or next(iter(rated), ""), []):
        marks.setdefault(image, []).append(mark)
    return [PredictedCase(image, None, found) for image, found in marks.items()]


def _rated(given: list[Any], where: str) -> dict[str, list[tuple[str, Mark]]]:
    """Image and mark of every detection, by category."""
    rated: dict[str, list[tuple[str, Mark]]] = {}
    seen: dict[tuple[Any, ...], str] = {}
    for number, entry in enumerate(given):
        place = f"{where}, [{number}]"
        image, box = _box(entry, place)
        kind = name(part(entry, "category_id", place), f"{place}.category_id")
        rating = finite(part(entry, "score", place), f"{place}.score")
        _refuse_again(seen, (image, kind, box, rating), place)
        x, y, width, height = box
        rated.setdefault(kind, []).append((image, Mark(x + width / 2, y + height / 2, rating, box=box)))
    return rated


def _category(content: Any, where: str, wanted: str | None) -> tuple[str, list[str]]:
    """Id of the category that counts, and all ids."""
    names = {}
    for number, entry in enumerate(entries(part(content, "categories", where), f"{where}, categories")):
        place = f"{where}, categories[{number}]"
        key = name(part(entry, "id", place), f"{place}.id")
        names[key] = name(part(entry, "name", place), f"{place}.name")
    found = list(names) if wanted is None else [key for key, title in names.items() if title == wanted]
    if not found and wanted in names:
        found = [wanted]
    if len(found) != 1:
        listed = ", ".join(f"{key} ({title})" for key, title in names.items()) or "none"
        raise InputDataError(f"{where}: the category {wanted or 'that counts'} is not clear; choose one of {listed}")
    return found[0], list(names)


def _images(given: Any, where: str) -> dict[str, tuple[list[Lesion], tuple[int, int] | None]]:
    """Lesions still to be filled in, and the shape, by the image's id."""
    cases: dict[str, tuple[list[Lesion], tuple[int, int] | None]] = {}
    for number, entry in enumerate(entries(given, f"{where}, images")):
        place = f"{where}, images[{number}]"
        image = name(part(entry, "id", place), f"{place}.id")
        if image in cases:
            raise InputDataError(f"{place}.id: image '{image}' stands twice")
        shape = None
        if "height" in entry and "width" in entry:
            height, width = (whole(entry[key], f"{place}.{key}", _LARGEST_SIDE) for key in ("height", "width"))
            shape = (height, width)
        cases[image] = ([], shape)
    if not cases:
        raise InputDataError(f"{where}: no images; expected those without annotations too")
    return cases


def _box(entry: Any, place: str) -> tuple[str, _Box]:
    image = name(part(entry, "image_id", place), f"{place}.image_id")
    x, y, width, height = numbers(part(entry, "bbox", place), f"{place}.bbox", 4)
    try:
        check_box((x, y, width, height))
    except ValueError as error:
        raise InputDataError(f"{place}.bbox: {error}") from error
    return image, (x, y, width, height)


def _refuse_again(seen: dict[tuple[Any, ...], str], row: tuple[Any, ...], place: str) -> None:
    if row in seen:
        raise InputDataError(f"{place}: the same as {seen[row]}; delete one of them")
    seen[row] = place
