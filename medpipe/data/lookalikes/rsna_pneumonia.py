"""A look-alike of the RSNA Pneumonia Detection Challenge: its folders and its two tables."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from medpipe.io.atomic import write_text
from medpipe.io.folders import empty_folder

from ..rsna_pneumonia import CLASSES, CLASSES_TABLE, LABELS_TABLE, TEST_FOLDER, TRAIN_FOLDER
from ..splits import shares
from .chest_findings import draw_chest_findings
from .dicom import ENCODINGS, Header, write_radiograph
from .marker import MARKER, marker_text
from .plan import check_numbers, generated_uid, run_plans

__all__ = ["write_rsna_pneumonia_lookalike"]

NAME = "rsna_pneumonia"
_CLASS_SHARES = (0.33, 0.33, 0.34)  # of CLASSES: more opacities than in the real set, where they are 23 %
_BOX_SHARES = (0.43, 0.45, 0.08, 0.04)  # of positive images with one to four boxes
_OTHERS = ("Cardiomegaly", "Mass", "Pneumothorax", "Emphysema", "Pleural_Thickening")  # not normal, no opacity


@dataclass(frozen=True)
class _Plan:
    """One image to draw and write."""

    folder: str
    header: Header
    class_name: str
    opacities: int
    other: str  # finding of an image that is not normal
    size: int
    seed: np.random.SeedSequence


def write_rsna_pneumonia_lookalike(
    out: Path,
    *,
    cases: int,
    seed: int,
    size: int = 256,
    workers: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Write generated chest radiographs in the layout of the RSNA Pneumonia Detection Challenge.

    A positive image has one to four soft bright opacities in the lungs, each with its box; a third of the
    images show another finding and no opacity, a third none. The folder is known for what it is by
    ``LOOKALIKE.json``. The tables are written last, their rows in no order.

    Args:
        out: a new or empty folder.
        cases: labelled images; a tenth as many (at least 2) without labels are added in
            ``stage_2_test_images``.
        seed: equal seeds give equal bytes, whatever the number of workers.
        size: rows and columns of the images, 64 to 4096.
        workers: processes that draw (see ``plan.run_plans``).
        progress: called after each image with the number done and the number in all.

    Raises:
        RequestError: ``out`` is not empty, or a number is out of range; nothing is written then.
    """
    check_numbers(cases=cases, seed=seed, size=size)
    planning, *seeds = np.random.SeedSequence([seed, *NAME.encode()]).spawn(cases + max(2, cases // 10) + 1)
    rng = np.random.default_rng(planning)
    plans = _plan(rng, TRAIN_FOLDER, seeds[:cases], f"{NAME}/train/{seed}", size)
    test = _plan(rng, TEST_FOLDER, seeds[cases:], f"{NAME}/test/{seed}", size)
    out = empty_folder(Path(out))
    write_text(out / MARKER, marker_text(NAME, seed=seed, cases=cases, size=size))
    rows = run_plans(partial(_write_image, out), (*plans, *test), workers=workers, progress=progress)[:cases]
    labels = [row for image_rows in rows for row in image_rows]
    classes = [
        f"{plan.header.patient_id},{plan.class_name}"
        for plan, image_rows in zip(plans, rows, strict=True)
        for _ in image_rows
    ]
    for name, header, lines in (
        (CLASSES_TABLE, "patientId,class", classes),
        (LABELS_TABLE, "patientId,x,y,width,height,Target", labels),
    ):
        rng.shuffle(lines)
        write_text(out / name, "\n".join([header, *lines]) + "\n")


def _plan(
    rng: np.random.Generator, folder: str, seeds: Sequence[np.random.SeedSequence], text: str, size: int
) -> list[_Plan]:
    count = len(seeds)
    classes = rng.permutation(np.repeat(CLASSES, shares(count, _CLASS_SHARES)))
    positive = np.flatnonzero(classes == CLASSES[-1])
    opacities = np.ones(count, int)
    opacities[positive] = np.repeat(range(1, 5), shares(len(positive), _BOX_SHARES))
    return [
        _Plan(
            folder=folder,
            header=_header(rng, f"{text}/{count}/{size}/{index}", size),
            class_name=str(classes[index]),
            opacities=int(opacities[index]),
            other=str(rng.choice(_OTHERS)),
            size=size,
            seed=case_seed,
        )
        for index, case_seed in enumerate(seeds)
    ]


def _header(rng: np.random.Generator, text: str, size: int) -> Header:
    return Header(
        patient_id=str(uuid.uuid5(uuid.NAMESPACE_OID, f"medpipe look-alike {text}")),
        sex=str(rng.choice(["F", "M"])),
        age=int(rng.integers(18, 91)),
        view=str(rng.choice(["PA", "AP"])),
        modality="CR",
        study_date="19010101",
        spacing=round(400 / size, 4),
        study_uid=generated_uid(f"{text}/study"),
        series_uid=generated_uid(f"{text}/series"),
        instance_uid=generated_uid(f"{text}/instance"),
    )


def _write_image(out: Path, plan: _Plan) -> list[str]:
    """Draw and write one image; its rows of the table of labels."""
    normal, _, opacity = CLASSES
    findings = {normal: [], opacity: ["Pneumonia"]}.get(plan.class_name, [plan.other])
    rng = np.random.default_rng(plan.seed)
    drawing = draw_chest_findings(rng, findings, plan.size, opacities=plan.opacities)
    image = plan.header.patient_id
    write_radiograph(out / plan.folder / f"{image}.dcm", drawing.image, plan.header, ENCODINGS["jpeg"])
    boxes = drawing.boxes["Pneumonia"] if plan.class_name == opacity else []
    return [_row(image, [value * plan.size for value in box]) for box in boxes] or [f"{image},,,,,0"]


def _row(image: str, box: Sequence[float]) -> str:
    return f"{image}," + ",".join(f"{round(value):.1f}" for value in box) + ",1"
