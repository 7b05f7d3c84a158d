"""A look-alike of NIH ChestX-ray14: the folders of the Kaggle mirror, the tables of 2017 with their quirks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

from medpipe.io.atomic import atomic_writer, write_text
from medpipe.io.folders import empty_folder

from ..nih_chestxray14 import BOX_GRID, FINDINGS
from ..splits import shares
from .chest_findings import MECHANISMS, Box, draw_chest_findings
from .marker import MARKER, marker_text
from .plan import check_numbers, run_plans

__all__ = ["BOXED", "write_nih_chestxray14_lookalike"]

NAME = "nih_chestxray14"
BOXED = ("Atelectasis", "Cardiomegaly", "Effusion", "Infiltration", "Mass", "Nodule", "Pneumonia", "Pneumothorax")
"""The findings for which the real set has boxes."""

_FINDINGS_PER_IMAGE = (0.45, 0.30, 0.16, 0.09)  # shares of images with none, one, two and three
_IMAGES_PER_PATIENT = (1, 3, 1, 2)  # in turn
_TABLE_HEADER = (
    "Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,View Position,"
    "OriginalImage[Width,Height],OriginalImagePixelSpacing[x,y],"
)
_BOX_HEADER = "Image Index,Finding Label,Bbox [x,y,w,h],,,"


@dataclass(frozen=True)
class _Plan:
    """One image to draw and write."""

    path: Path
    row: str  # of the table
    patient: int
    findings: tuple[str, ...]
    rgba: bool
    size: int
    seed: np.random.SeedSequence


def write_nih_chestxray14_lookalike(
    out: Path,
    *,
    cases: int,
    seed: int,
    size: int = 256,
    workers: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Write generated chest radiographs in the layout of NIH ChestX-ray14.

        images_001/images/*.png, images_002/images/*.png    8 bit, grey, a few RGBA
        Data_Entry_2017.csv                                 with a trailing empty column and an age of 411
        BBox_List_2017.csv                                  boxes of each finding in half of its test images
        train_val_list.txt, test_list.txt                   all images of a patient in one of them

    Nearly half of the images show nothing, the others one to three of the 14 findings (``chest_findings``
    says how each is drawn). The folder is known for what it is by ``LOOKALIKE.json``. The tables are written
    last.

    Args:
        out: a new or empty folder.
        cases: images; about a quarter of their patients are for the test.
        seed: equal seeds give equal bytes, whatever the number of workers.
        size: rows and columns of the files, 64 to 4096; boxes are on the 1024 x 1024 grid all the same.
        workers: processes that draw (see ``plan.run_plans``).
        progress: called after each image with the number done and the number in all.

    Raises:
        RequestError: ``out`` is not empty, or a number is out of range; nothing is written then.
    """
    check_numbers(cases=cases, seed=seed, size=size)
    planning, *seeds = np.random.SeedSequence([seed, *NAME.encode()]).spawn(cases + 1)
    plans, test = _plan(np.random.default_rng(planning), seeds, size)
    out = empty_folder(Path(out))
    write_text(out / MARKER, marker_text(NAME, seed=seed, cases=cases, size=size, mechanisms=MECHANISMS))
    boxes = run_plans(partial(_write_image, out), plans, workers=workers, progress=progress)
    for name, wanted in (("train_val_list.txt", False), ("test_list.txt", True)):
        names = [plan.path.name for plan in plans if (plan.patient in test) is wanted]
        write_text(out / name, "\n".join(names))  # the last line without newline, as distributed
    lines = [
        line for plan, found in zip(plans, boxes, strict=True) if plan.patient in test for line in _rows(plan, found)
    ]
    write_text(out / "BBox_List_2017.csv", "\n".join([_BOX_HEADER, *_every_other_image(lines)]) + "\n")
    write_text(out / "Data_Entry_2017.csv", "\n".join([_TABLE_HEADER, *(plan.row for plan in plans)]) + "\n")


def _plan(rng: np.random.Generator, seeds: Sequence[np.random.SeedSequence], size: int) -> tuple[list[_Plan], set[int]]:
    """All images in order of patient and follow-up, and the patients of the test list."""
    cases = len(seeds)
    counts = np.repeat(range(len(_FINDINGS_PER_IMAGE)), shares(cases, _FINDINGS_PER_IMAGE))
    rng.shuffle(counts)
    plans: list[_Plan] = []
    patient = 0
    while len(plans) < cases:
        images = min(_IMAGES_PER_PATIENT[patient % len(_IMAGES_PER_PATIENT)], cases - len(plans))
        patient += 1
        sex, age = rng.choice(["M", "F"]), int(rng.integers(18, 91))
        for follow_up in range(images):
            index = len(plans)
            found = sorted(rng.choice(len(FINDINGS), counts[index], replace=False))
            findings = tuple(FINDINGS[number] for number in found)
            name = f"{patient:08d}_{follow_up:03d}.png"
            width, height = rng.integers(2000, 3057, 2)
            shown_age = 411 if index == 2 else age  # a typing error, as the real table has a few
            row = (
                f"{name},{'|'.join(findings) or 'No Finding'},{follow_up},{patient},{shown_age},{sex},"
                f"{rng.choice(['PA', 'AP'], p=[0.6, 0.4])},{width},{height},0.143,0.143,"
            )
            path = Path(f"images_{1 + 2 * index // max(cases, 2):03d}") / "images" / name
            plans.append(_Plan(path, row, patient, findings, index % 25 == 1, size, seeds[index]))
    test = rng.permutation(np.arange(1, patient + 1))[: round(patient / 4)]
    return plans, set(test.tolist())


def _write_image(out: Path, plan: _Plan) -> dict[str, list[Box]]:
    """Draw and write one image; the boxes of its findings."""
    drawing = draw_chest_findings(np.random.default_rng(plan.seed), plan.findings, plan.size)
    image = Image.fromarray(np.round(255 * drawing.image).astype(np.uint8))
    path = out / plan.path
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_writer(path) as stream:
        (image.convert("RGBA") if plan.rgba else image).save(stream, "PNG")
    return drawing.boxes


def _rows(plan: _Plan, boxes: dict[str, list[Box]]) -> list[str]:
    """The rows of the box table that an image could have."""
    names = {"Infiltration": "Infiltrate"}
    return [
        f"{plan.path.name},{names.get(finding, finding)}," + ",".join(f"{value * BOX_GRID:.12g}" for value in box)
        for finding in BOXED
        for box in boxes.get(finding, [])
    ]


def _every_other_image(lines: list[str]) -> list[str]:
    """The rows of every finding's first, third, fifth ... image: the real set has boxes on a part of them only."""
    pairs = list(dict.fromkeys(tuple(line.split(",")[1::-1]) for line in lines))  # finding, image
    findings = {finding for finding, _ in pairs}
    kept = {pair for finding in findings for pair in [pair for pair in pairs if pair[0] == finding][::2]}
    return [line for line in lines if tuple(line.split(",")[1::-1]) in kept]
