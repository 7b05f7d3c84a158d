"""A look-alike of the SIIM-ACR data set: its folders, its table with its quirks, mixed DICOM encodings."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from medpipe.io.atomic import write_text
from medpipe.io.folders import empty_folder

from ..rle import EMPTY, encode_relative_rle
from .dicom import ENCODINGS, write_radiograph
from .marker import MARKER, marker_text
from .plan import LABELS, CasePlan, plan_cases, run_plans

__all__ = ["write_siim_acr_lookalike"]

NAME = "siim_acr"
_OTHERS = [name for name in ENCODINGS if name != "jpeg"]
_ENCODINGS = [name for other in _OTHERS for name in ("jpeg", "jpeg", "jpeg", other)]
"""Three of four files are JPEG, as all are in the real set; the others are what a reader meets elsewhere."""


def write_siim_acr_lookalike(
    out: Path,
    *,
    cases: int,
    seed: int,
    size: int = 1024,
    workers: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Write generated chest radiographs in the layout of SIIM-ACR Pneumothorax Segmentation.

    A pneumothorax without a tube is positive and has its mask in ``train-rle.csv``, in several overlapping
    rows for some images. All else is ``-1``: a pneumothorax with a tube, a tube alone, neither. The folder is
    known for what it is by ``LOOKALIKE.json``, which also says what each image shows. The table is written
    last.

    Args:
        out: a new or empty folder.
        cases: labelled images; a tenth as many (at least 2) without labels are added in
            ``dicom-images-test``.
        seed: equal seeds give equal bytes, whatever the number of workers.
        size: rows and columns of the images, 64 to 4096.
        workers: processes that draw (see ``plan.run_plans``).
        progress: called after each image with the number done and the number in all.

    Raises:
        RequestError: ``out`` is not empty, or a number is out of range; nothing is written then.
    """
    train = plan_cases(f"{NAME}/train", cases=cases, seed=seed, size=size, encodings=_ENCODINGS)
    unlabelled = max(2, cases // 10)
    test = plan_cases(f"{NAME}/test", cases=unlabelled, seed=seed, size=size, encodings=_ENCODINGS, first_patient=cases)
    out = empty_folder(Path(out))
    shown = {plan.header.instance_uid: plan.finding for plan in (*train, *test)}
    truth = {"labels": LABELS, "findings": shown}
    write_text(out / MARKER, marker_text(NAME, seed=seed, cases=cases, size=size, **truth))
    folders = ["dicom-images-train"] * len(train) + ["dicom-images-test"] * len(test)
    places = {plan.header.instance_uid: out / folder for plan, folder in zip((*train, *test), folders, strict=True)}
    rows = run_plans(partial(_write_case, places), (*train, *test), workers=workers, progress=progress)
    write_text(out / "train-rle.csv", _table(rows[: len(train)], seed))


def _write_case(places: dict[str, Path], plan: CasePlan) -> list[tuple[str, str]]:
    """Draw and write one image; its rows of the table."""
    header, drawing = plan.header, plan.draw()
    path = places[header.instance_uid] / header.study_uid / header.series_uid / f"{header.instance_uid}.dcm"
    write_radiograph(path, drawing.image, header, ENCODINGS[plan.encoding])
    if not drawing.positive:
        return [(header.instance_uid, EMPTY)]
    return [(header.instance_uid, encode_relative_rle(part)) for part in _parts(drawing.mask, plan.index)]


def _parts(mask: NDArray[np.bool_], index: int) -> list[NDArray[np.bool_]]:
    """One, two or three masks whose union is ``mask``: bands of rows that reach into their neighbours."""
    count = (1, 2, 1, 3)[index % 4]
    rows = np.flatnonzero(mask.any(1))
    parts = []
    for band in np.array_split(rows, min(count, len(rows))):
        overlap = max(1, len(band) // 4)
        part = np.zeros_like(mask)
        low, high = max(0, band[0] - overlap), band[-1] + 1 + overlap
        part[low:high] = mask[low:high]
        parts.append(part)
    return parts


def _table(rows: list[list[tuple[str, str]]], seed: int) -> str:
    """The table in no order, with a blank before the second name and before every code, as distributed."""
    lines = [f"{image}, {code}" for image_rows in rows for image, code in image_rows]
    np.random.default_rng(seed).shuffle(lines)
    return "\n".join(["ImageId, EncodedPixels", *lines]) + "\n"
