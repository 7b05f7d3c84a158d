"""The tables of LUNA16: nodules in the millimetres of the scanner's frame.

    annotations.csv             seriesuid, coordX, coordY, coordZ, diameter_mm     nodules to be found
    annotations_excluded.csv    the same columns                                   findings that count neither way
    seriesuids.csv              one scan per line, without a header                all scans that count
    a submission                seriesuid, coordX, coordY, coordZ, probability     candidates

An excluded finding of unknown size has a diameter below 0 and counts as one of 10 mm. Rows of scans that seriesuids.csv does
not list are left out, so that a fold can be scored with the complete annotations. A candidate hits a nodule when it is nearer
to its centre than its radius: `CONVENTIONS["luna16"]` of `medpipe.metrics.conventions`.

Difference from the challenge's script: that keeps only the 100 candidates of highest probability in each scan.

References:
    AAA Setio et al., Validation, comparison, and combination of algorithms for automatic detection of pulmonary nodules in
    computed tomography images: the LUNA16 challenge, Med Image Anal 2017.
"""

from __future__ import annotations

from pathlib import Path

from medpipe.errors import InputDataError
from medpipe.evaluation.localization import PredictedCase
from medpipe.evaluation.truth import TruthCase, number_in
from medpipe.metrics.lesions import Lesion
from medpipe.metrics.matching import Mark
from medpipe.predictions.tables import numbered_rows

__all__ = ["ANNOTATIONS", "read_luna16_candidates", "read_luna16_truth"]

ANNOTATIONS, EXCLUDED, SERIES = "annotations.csv", "annotations_excluded.csv", "seriesuids.csv"
_PLACE = ("coordX", "coordY", "coordZ")
_UNKNOWN_DIAMETER = 10.0


def read_luna16_truth(annotations: Path, excluded: Path | None = None, series: Path | None = None) -> list[TruthCase]:
    """Scans with their nodules, and excluded findings as regions to ignore. Every scan counts as one patient.

    Args:
        annotations: The nodules.
        excluded: The excluded findings; None for annotations_excluded.csv beside the annotations, if there is one.
        series: The scans; None for seriesuids.csv beside the annotations.

    Raises:
        InputDataError: A table is missing or does not follow the format; the message names line and column.
    """
    scans = _series(series or annotations.with_name(SERIES))
    findings = _findings(annotations, ignore=False)
    beside = annotations.with_name(EXCLUDED)
    to_ignore = _findings(excluded or beside, ignore=True) if excluded or beside.exists() else {}
    return [TruthCase(scan, scan in findings, scan, findings.get(scan, []) + to_ignore.get(scan, [])) for scan in scans]


def _series(path: Path) -> list[str]:
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputDataError(
            f"table '{path}' cannot be read ({error}); LUNA16 needs the list of all scans, those without nodules too"
        ) from error
    series: dict[str, int] = {}
    for number, line in enumerate(lines, start=1):
        name = line.split(",")[0].strip().strip('"')
        if not name or (number == 1 and name.lower() == "seriesuid"):
            continue
        if name in series:
            raise InputDataError(f"table '{path}', line {number}: scan '{name}' stands in line {series[name]} too")
        series[name] = number
    if not series:
        raise InputDataError(f"table '{path}' lists no scans; expected one on every line")
    return list(series)


def _findings(path: Path, *, ignore: bool) -> dict[str, list[Lesion]]:
    findings: dict[str, list[Lesion]] = {}
    for line, row in numbered_rows(path, ["seriesuid", *_PLACE, "diameter_mm"]):
        x, y, z = (number_in(path, line, row, key) for key in _PLACE)
        diameter = number_in(path, line, row, "diameter_mm")
        radius = (diameter if diameter >= 0 else _UNKNOWN_DIAMETER) / 2
        findings.setdefault(row["seriesuid"], []).append(Lesion(sphere=(x, y, z, radius), ignore=ignore))
    return findings


def read_luna16_candidates(path: Path) -> list[PredictedCase]:
    """Candidates of a submission; scans without candidates need no row.

    Raises:
        InputDataError: The table does not follow the format, or holds a row twice; the message names line and column.
    """
    marks: dict[str, list[Mark]] = {}
    seen: dict[tuple[str, ...], int] = {}
    for line, row in numbered_rows(path, ["seriesuid", *_PLACE, "probability"]):
        x, y, z, rating = (number_in(path, line, row, key) for key in (*_PLACE, "probability"))
        key = (row["seriesuid"], *(row[key] for key in _PLACE), row["probability"])
        if key in seen:
            raise InputDataError(
                f"table '{path}', line {line}: the same candidate stands in line {seen[key]}; delete one"
            )
        seen[key] = line
        marks.setdefault(row["seriesuid"], []).append(Mark(x, y, rating, z=z))
    return [PredictedCase(series, None, found) for series, found in marks.items()]
