"""A generated study folder as a hospital might export it: sound images in many encodings, and other files."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from medpipe.io.atomic import write_text
from medpipe.io.folders import empty_folder

from ..datalist import write_datalist
from ..rle import encode_relative_rle
from .dicom import ENCODINGS, Header, write_radiograph, write_report
from .lateral_radiograph import draw_lateral_radiograph
from .marker import MARKER, STATEMENT, marker_text
from .plan import LABELS, CasePlan, generated_uid, plan_cases, run_plans

__all__ = ["DemoStudy", "write_demo_study"]

NAME = "demo_study"


@dataclass(frozen=True)
class DemoStudy:
    """Where the study is and what is in it."""

    folder: Path  # what a pipeline is given
    datalist: Path  # the truth of the valid cases; image paths are relative to ``folder``
    cases: int  # valid frontal radiographs
    others: dict[str, str]  # the files that are no valid case, relative to ``folder``, and what each is


def write_demo_study(
    out: Path,
    *,
    cases: int = 24,
    seed: int,
    size: int = 1024,
    workers: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> DemoStudy:
    """Write a small study of generated chest radiographs, with the files that a real export also holds.

        out/study/<patient>/<date>_CHEST/IM0001[.dcm]    the valid cases in all encodings, some without a file
        suffix out/study/...                                    a lateral view, a file cut short within its
        pixel data, a
                                                         structured report (no pixel data), a text file
        out/truth/datalist.json                          the valid cases, all in "test", relative to out/study
        out/LOOKALIKE.json                               how it was made

    Args:
        out: a new or empty folder.
        cases: valid cases.
        seed: equal seeds give equal bytes.
        size: rows and columns of the images, 64 to 4096.
        workers: processes that draw (see ``plan.run_plans``).
        progress: called after each valid case with the number done and the number in all.

    Raises:
        RequestError: ``out`` is not empty, or a number is out of range; nothing is written then.
    """
    plans = plan_cases(NAME, cases=cases, seed=seed, size=size, encodings=list(ENCODINGS))
    out = empty_folder(Path(out))
    folder = out / "study"
    others = _write_others(folder, plans[0].header, seed, size)
    write_text(out / MARKER, marker_text(NAME, seed=seed, cases=cases, size=size, others=others))
    entries = run_plans(partial(_write_case, folder), plans, workers=workers, progress=progress)
    datalist = out / "truth" / "datalist.json"
    datalist.parent.mkdir()
    write_datalist(_datalist(entries, seed), datalist)
    return DemoStudy(folder, datalist, cases, others)


def _write_case(folder: Path, plan: CasePlan) -> dict[str, Any]:
    """Draw and write one valid case; its entry of the datalist."""
    header, drawing = plan.header, plan.draw()
    path = _place(folder, header, f"IM{plan.index + 1:04d}{'.dcm' if plan.index % 3 else ''}")
    write_radiograph(path, drawing.image, header, ENCODINGS[plan.encoding])
    return {
        "image": path.relative_to(folder).as_posix(),
        "case": header.instance_uid,
        "patient": header.patient_id,
        "label": int(drawing.positive),
        "rows": plan.size,
        "columns": plan.size,
        "localized": True,
        "rle": [encode_relative_rle(drawing.mask)] if drawing.positive else [],
        "sex": header.sex,
        "age": header.age,
        "view": header.view,
        "finding": drawing.finding,
    }


def _place(folder: Path, header: Header, name: str) -> Path:
    return folder / header.patient_id / f"{header.study_date}_CHEST" / name


def _write_others(folder: Path, like: Header, seed: int, size: int) -> dict[str, str]:
    """The files that are no valid case, in the study of the patient of ``like``."""
    rng = np.random.default_rng(seed)
    lateral = _place(folder, like, "IM9001.dcm")
    image = draw_lateral_radiograph(rng, size)
    write_radiograph(lateral, image, _sibling(like, seed, "lateral", "LL"), ENCODINGS["raw_12_bit"])
    cut = _place(folder, like, "IM9002.dcm")
    write_radiograph(cut, image, _sibling(like, seed, "cut", "PA"), ENCODINGS["raw_12_bit"])
    whole = cut.read_bytes()
    cut.write_bytes(whole[: len(whole) * 3 // 5])
    report = _place(folder, like, "SR9003.dcm")
    write_report(report, _sibling(like, seed, "report", ""))
    text = folder / "README.TXT"
    write_text(text, f"Export of chest radiographs. {STATEMENT}\n")
    kinds = {
        lateral: "a lateral view",
        cut: "cut short within its pixel data",
        report: "a structured report, without pixel data",
        text: "a text file",
    }
    return {path.relative_to(folder).as_posix(): kind for path, kind in kinds.items()}


def _sibling(header: Header, seed: int, what: str, view: str) -> Header:
    """The header of another object in the same study."""
    series, instance = (generated_uid(f"{NAME}/{seed}/{what}/{part}") for part in ("series", "instance"))
    return replace(header, view=view, series_uid=series, instance_uid=instance)


def _datalist(entries: list[dict[str, Any]], seed: int) -> dict[str, Any]:
    return {
        "name": NAME,
        "description": f"Generated chest radiographs of a demo study. {STATEMENT}",
        "generated": True,
        "split": f"all cases are for the test; seed {seed}",
        "labels": LABELS,
        "tensorImageSize": "2D",
        "training": [],
        "validation": [],
        "test": entries,
    }
