"""Anybody's predictions: readers, and for reader studies writers, of the formats that the field uses.

    detections and their truth      case tables of our own; LUNA16; grand-challenge.org boxes (NODE21); COCO
    reader studies                  froc-json/1; the Excel workbook of JAFROC and RJafroc; two CSV tables
    registration                    tables of pairs and their fields; Learn2Reg's layout

Each module documents one format. The functions here look at a path and choose.
"""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

from medpipe.errors import InputDataError
from medpipe.evaluation.formats.coco import read_coco_results, read_coco_truth
from medpipe.evaluation.formats.froc_json import read_froc_json, write_froc_json
from medpipe.evaluation.formats.grand_challenge import TYPE, read_boxes, read_boxes_truth
from medpipe.evaluation.formats.json_values import read_json
from medpipe.evaluation.formats.luna16 import ANNOTATIONS, read_luna16_candidates, read_luna16_truth
from medpipe.evaluation.formats.rjafroc_workbook import read_workbook, write_workbook
from medpipe.evaluation.formats.study_csv import RATINGS, TRUTH, read_study_csv, write_study_csv
from medpipe.evaluation.localization import PredictedCase, predictions_from_run, predictions_from_table
from medpipe.evaluation.truth import TruthCase, truth_from_datalist, truth_from_table
from medpipe.metrics.reader_study import ReaderStudy

__all__ = [
    "detection_format",
    "read_detection_truth",
    "read_detections",
    "read_reader_study",
    "write_reader_study",
]


def read_reader_study(path: Path, truth: Path | None = None) -> ReaderStudy:
    """A reader study: an .xlsx workbook, a froc-json/1 file, ratings as a table, or a folder of ratings.csv and truth.csv.

    Args:
        path: The study.
        truth: The truth of a CSV study; None for the truth.csv beside the ratings.

    Raises:
        InputDataError: No such study, or it does not follow its format.
    """
    if path.is_dir():
        path = path / RATINGS
    suffix = path.suffix.lower()
    if suffix == ".csv" or (suffix == ".json" and isinstance(read_json(path), list)):
        return read_study_csv(path, path.with_name(TRUTH) if truth is None else truth)
    if truth is not None:
        raise InputDataError(f"study '{path}' holds its truth itself; '{truth}' belongs to ratings in a .csv")
    readers: dict[str, Callable[[Path], ReaderStudy]] = {".xlsx": read_workbook, ".json": read_froc_json}
    if suffix not in readers:
        raise InputDataError(
            f"study '{path}': expected an .xlsx workbook, a froc-json/1 file (.json), or ratings with a truth (.csv)"
        )
    return readers[suffix](path)


def write_reader_study(path: Path, study: ReaderStudy) -> None:
    """Write a reader study: as .xlsx, as .json, or to an existing folder as ratings.csv and truth.csv.

    Raises:
        InputDataError: The path is none of these, or the workbook cannot say what the study holds.
    """
    suffix = path.suffix.lower()
    if path.is_dir():
        write_study_csv(path, study)
    elif suffix == ".xlsx":
        write_workbook(path, study)
    elif suffix == ".json":
        write_froc_json(path, study)
    else:
        raise InputDataError(f"study '{path}': expected a name that ends with .xlsx or .json, or a folder")


def detection_format(path: Path) -> str:
    """What a file or folder of detections or truth holds.

    Returns:
        "run" (a run folder), "table" (our own, CSV or JSON), "LUNA16", "boxes" (grand-challenge.org), "COCO results",
        "COCO truth" or "datalist".

    Raises:
        InputDataError: None of these, or it cannot be read.
    """
    if path.is_dir():
        known = {"cases.csv": "run", ANNOTATIONS: "LUNA16"}
        return next((kind for name, kind in known.items() if (path / name).is_file()), "boxes")
    if path.suffix.lower() == ".csv":
        return "LUNA16" if "seriesuid" in _header(path) else "table"
    content = read_json(path)
    found = None
    if isinstance(content, dict):
        marks = {"datalist": "training", "COCO truth": "annotations", "boxes": "type"}
        found = next((kind for kind, key in marks.items() if key in content), None)
    elif isinstance(content, list):
        keys = content[0] if content else ["image_id"]  # COCO results in which nothing was detected
        marks = {"COCO results": "image_id", "boxes": "outputs", "table": "case"}
        found = next((kind for kind, key in marks.items() if isinstance(keys, dict | list) and key in keys), None)
    if found is None:
        raise InputDataError(f"'{path}' is none of the known formats: '{TYPE}', COCO, or a datalist")
    return found


def _header(path: Path) -> list[str]:
    """Columns of a CSV table; none where it cannot be read, which the reader of tables says better."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            return [name.strip() for name in next(csv.reader(stream), [])]
    except (OSError, UnicodeDecodeError, csv.Error):
        return []


def read_detections(
    path: Path, *, truth: Path | None = None, category: str | None = None, stacked: bool = False
) -> tuple[list[PredictedCase], dict[str, str] | None]:
    """Detections in any of the formats.

    Args:
        path: A file, a run folder, or a folder of "Multiple 2D bounding boxes".
        truth: The truth; where it is a COCO ground truth, its categories count.
        category: Of COCO results, its name or id.
        stacked: Whether boxes in several slices belong to as many images.

    Returns:
        Predictions, and the reasons of the cases that a run has not done; None where no run says so, and a case that is
        missing simply has no detection.

    Raises:
        InputDataError: It is no such format, or does not follow it.
    """
    kind = detection_format(path)
    if kind == "run":
        return predictions_from_run(path)
    if kind == "table":
        return predictions_from_table(path), None
    if kind == "LUNA16" and path.is_file():
        return read_luna16_candidates(path), None
    if kind == "boxes":
        return read_boxes(path, stacked=stacked), None
    if kind == "COCO results":
        is_coco = truth is not None and detection_format(truth) == "COCO truth"
        return read_coco_results(path, category, truth if is_coco else None), None
    raise InputDataError(f"'{path}' holds a truth ({kind}), expected detections")


def read_detection_truth(
    path: Path,
    *,
    section: str = "test",
    minimum_lesion: float = 0.0,
    excluded: Path | None = None,
    images: Path | None = None,
    category: str | None = None,
    stacked: bool = False,
) -> tuple[list[TruthCase], dict[str, Any]]:
    """The truth of detections in any of the formats.

    Args:
        path: A file, LUNA16's folder, or a folder of "Multiple 2D bounding boxes".
        section: Of a datalist.
        minimum_lesion: Of a datalist, see :func:`~medpipe.evaluation.truth.truth_from_datalist`.
        excluded: Of LUNA16, the findings that count neither way.
        images: Of LUNA16, the list of all scans.
        category: Of a COCO ground truth, its name or id.
        stacked: Whether boxes in several slices belong to as many images.

    Returns:
        Truth, and what is known of the data as a whole.

    Raises:
        InputDataError: It is no such format, or does not follow it.
    """
    kind = detection_format(path)
    if kind != "LUNA16" and (excluded or images):
        raise InputDataError(f"'{path}' holds {kind}; '{excluded or images}' belongs to annotations of LUNA16")
    if kind == "datalist":
        return truth_from_datalist(path, section, minimum_lesion=minimum_lesion)
    if kind == "LUNA16":
        annotations = path / ANNOTATIONS if path.is_dir() else path
        cases = read_luna16_truth(annotations, excluded, images)
    elif kind == "table":
        cases = truth_from_table(path)
    elif kind == "boxes":
        cases = read_boxes_truth(path, stacked=stacked)
    elif kind == "COCO truth":
        cases = read_coco_truth(path, category)
    else:
        raise InputDataError(f"'{path}' holds {kind}, expected a truth")
    return cases, {"name": path.name}
