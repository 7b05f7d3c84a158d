"""A look-alike of VinDr-CXR in Kaggle's layout: three readers per image, DICOM files of different sizes."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

from medpipe.io.atomic import write_text
from medpipe.io.folders import empty_folder

from ..vindr_cxr import FINDINGS, NO_FINDING, READERS
from .dicom import ENCODINGS, Header, write_radiograph
from .marker import MARKER, marker_text
from .nodules import Blob, NodulePlan, plan_nodule_cases
from .plan import generated_uid, run_plans

__all__ = ["write_vindr_cxr_lookalike"]

NAME = "vindr_cxr"
_PARTS = {0: 0.5, 1: 0.3, 2: 0.2}  # share of images with so many nodules
_ENCODINGS = ("raw_12_bit", "implicit_16_bit", "monochrome1_12_bit", "jpeg_2000_16_bit", "windowed_12_bit")
_WIDTHS, _EXTRA_ROWS = (1.0, 1.25, 1.5), (0.0, 0.1, 0.2)  # in turn: columns of the file, and rows below the picture
_MISSED, _FALSE = 0.15, 0.1  # how often a reader misses a nodule, and how often one of them marks a normal blob
_AGELESS = 0.1  # headers with the age 000Y
_CLASS = "Nodule/Mass"


@dataclass(frozen=True)
class _Plan:
    """One image to draw and write."""

    folder: str
    image: str
    index: int
    nodules: NodulePlan


def write_vindr_cxr_lookalike(
    out: Path,
    *,
    cases: int,
    seed: int,
    size: int = 256,
    workers: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Write generated chest radiographs in the layout of VinDr-CXR on Kaggle.

    Half of the images show one or two nodules (``nodules`` says how they are drawn). Every image is read by
    three of 17 readers, who draw boxes of their own, miss some nodules, and now and then mark a normal blob.
    Files are of 12 and 16 bit, MONOCHROME1 and MONOCHROME2, and of different sizes. The folder is known for
    what it is by ``LOOKALIKE.json``. The table is written last, its rows in no order.

    Args:
        out: a new or empty folder.
        cases: labelled images; a tenth as many (at least 2) without labels are added in ``test``.
        seed: equal seeds give equal bytes, whatever the number of workers.
        size: columns of the smallest files, 64 to 4096; others have up to 1.5 times as many.
        workers: processes that draw (see ``plan.run_plans``).
        progress: called after each image with the number done and the number in all.

    Raises:
        RequestError: ``out`` is not empty, or a number is out of range; nothing is written then.
    """
    train, test = (
        [
            _Plan(folder, _image_name(f"{NAME}/{folder}/{seed}/{cases}/{size}/{index}"), index, plan)
            for index, plan in enumerate(
                plan_nodule_cases(f"{NAME}/{folder}", cases=count, seed=seed, size=size, parts=_PARTS)
            )
        ]
        for folder, count in (("train", cases), ("test", max(2, cases // 10)))
    )
    out = empty_folder(Path(out))
    shown = {plan.image: plan.nodules.nodules for plan in (*train, *test)}
    write_text(out / MARKER, marker_text(NAME, seed=seed, cases=cases, size=size, nodules=shown))
    rows = run_plans(partial(_write_image, out), (*train, *test), workers=workers, progress=progress)[:cases]
    lines = [row for image_rows in rows for row in image_rows]
    np.random.default_rng(seed).shuffle(lines)
    header = "image_id,class_name,class_id,rad_id,x_min,y_min,x_max,y_max"
    write_text(out / "train.csv", "\n".join([header, *lines]) + "\n")


def _image_name(text: str) -> str:
    return uuid.uuid5(uuid.NAMESPACE_OID, f"medpipe look-alike {text}").hex


def _write_image(out: Path, plan: _Plan) -> list[str]:
    """Draw and write one image; what its three readers say of it."""
    rng = np.random.default_rng(plan.nodules.writing_seed)
    size = round(plan.nodules.size * _WIDTHS[plan.index % len(_WIDTHS)])
    drawing = replace(plan.nodules, size=size).draw()
    below = round(size * rng.choice(_EXTRA_ROWS))
    image = np.pad(drawing.image, ((0, below), (0, 0)), mode="edge")
    encoding = ENCODINGS[_ENCODINGS[plan.index % len(_ENCODINGS)]]
    write_radiograph(out / plan.folder / f"{plan.image}.dicom", image, _header(rng, plan.image, size), encoding)
    marked: list[list[Blob]] = [[blob for blob in drawing.nodules if rng.random() >= _MISSED] for _ in range(READERS)]
    if plan.nodules.number == 1:
        marked[-1] = []  # so that even the smallest set has a reader who misses a nodule
    if rng.random() < _FALSE:
        marked[0] = [*marked[0], drawing.normal[0]]
    readers = rng.permutation(17)[:READERS] + 1
    return [
        row
        for reader, blobs in zip(readers, marked, strict=True)
        for row in [_box_row(rng, plan.image, reader, blob, image.shape) for blob in blobs]
        or [f"{plan.image},{NO_FINDING},{len(FINDINGS)},R{reader},,,,"]
    ]


def _box_row(rng: np.random.Generator, image: str, reader: int, blob: Blob, shape: tuple[int, ...]) -> str:
    """A reader's box around a blob: a little beside it, a little smaller or larger."""
    rows, columns = shape
    x, y = np.array([blob.x, blob.y]) + 0.1 * blob.radius * rng.standard_normal(2)
    half = 1.1 * blob.radius * np.exp(0.08 * rng.standard_normal(2))
    corners = (
        max(x - half[0], 0),
        max(y - half[1], 0),
        min(x + half[0], columns),
        min(y + half[1], rows),
    )
    return f"{image},{_CLASS},{FINDINGS.index(_CLASS)},R{reader}," + ",".join(f"{value:.1f}" for value in corners)


def _header(rng: np.random.Generator, image: str, size: int) -> Header:
    return Header(
        patient_id=image,
        sex=str(rng.choice(["F", "M"])),
        age=0 if rng.random() < _AGELESS else int(rng.integers(18, 91)),
        view="PA",
        modality=str(rng.choice(["CR", "DX"])),
        study_date="19010101",
        spacing=round(400 / size, 4),
        study_uid=generated_uid(f"{image}/study"),
        series_uid=generated_uid(f"{image}/series"),
        instance_uid=generated_uid(f"{image}/instance"),
    )
