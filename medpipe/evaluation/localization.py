"""How good a detector is: image scores by ROC, marks by FROC and AFROC, with intervals over patients."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from medpipe.errors import InputDataError
from medpipe.evaluation.image_scores import image_score_results
from medpipe.evaluation.results import curve_entry, figure
from medpipe.evaluation.truth import TruthCase, number_in, truth_from_datalist
from medpipe.io.atomic import write_text
from medpipe.metrics.free_response import FreeResponseData, MatchedCase
from medpipe.metrics.froc import LUNA16_RATES, froc_estimates, froc_score, operating_curve
from medpipe.metrics.intervals import Bootstrap
from medpipe.metrics.jafroc import figure_of_merit_estimate
from medpipe.metrics.matching import HitRule, Mark, MatchRow, match_marks
from medpipe.predictions.results import write_results
from medpipe.predictions.tables import read_table

__all__ = ["PredictedCase", "evaluate_localization", "predictions_from_run", "predictions_from_table", "score_run"]

DEFINITIONS = {
    "AFROC": "AFROC figure of merit (JAFROC): how often a lesion's rating exceeds the highest false-positive rating of "
    "a case without lesions; all lesions count alike; an unmarked lesion or case has rating minus infinity, ties half",
    "wAFROC": "weighted AFROC figure of merit: as AFROC, each diseased case counts alike however many lesions it has",
}


@dataclass(frozen=True)
class PredictedCase:
    """What a detector said of one case: its image score (None where it gives none) and its marks.

    ``spacing`` is (row, column) in mm where the prediction knows it.
    """

    case: str
    score: float | None
    marks: Sequence[Mark]
    spacing: tuple[float, float] | None = None
    shape: tuple[int, int] | None = None


def predictions_from_run(folder: Path) -> tuple[list[PredictedCase], dict[str, str]]:
    """Predictions of the cases that a run has done, and the reasons of those that it has not."""
    marks = _marks_by_case(folder / "marks.csv", rating="score")
    done, missing = [], {}
    path = folder / "cases.csv"
    for line, row in enumerate(read_table(path, ["case", "status", "reason", "score"]), start=2):
        if row["status"] != "done":
            missing[row["case"]] = f"{row['status']}: {row['reason']}"
            continue
        spacing = _pair(path, line, row, "row_mm", "column_mm")
        shape = _pair(path, line, row, "rows", "columns")
        score = number_in(path, line, row, "score")
        whole = (int(shape[0]), int(shape[1])) if shape else None
        done.append(PredictedCase(row["case"], score, marks.get(row["case"], []), spacing, whole))
    return done, missing


def predictions_from_table(path: Path) -> list[PredictedCase]:
    """Predictions from a CSV table of marks: case, x, y, score; box_x, box_y, box_width, box_height where known.

    Cases without marks need no row.
    """
    return [PredictedCase(case, None, marks) for case, marks in _marks_by_case(path, rating="score").items()]


def _marks_by_case(path: Path, rating: str) -> dict[str, list[Mark]]:
    marks: dict[str, list[Mark]] = {}
    seen: set[tuple[str, ...]] = set()
    for line, row in enumerate(read_table(path, ["case", "x", "y", rating]), start=2):
        key = (row["case"], row["x"], row["y"], row[rating])
        if key in seen:
            raise InputDataError(f"table '{path}', line {line}: the same mark on case '{row['case']}' stands twice")
        seen.add(key)
        box = None
        if row.get("box_width"):
            x, y, width, height = (number_in(path, line, row, f"box_{k}") for k in ("x", "y", "width", "height"))
            box = (x, y, width, height)
        x, y = number_in(path, line, row, "x"), number_in(path, line, row, "y")
        marks.setdefault(row["case"], []).append(Mark(x, y, number_in(path, line, row, rating), box=box))
    return marks


def _pair(path: Path, line: int, row: dict[str, str], first: str, second: str) -> tuple[float, float] | None:
    if not row.get(first) or not row.get(second):
        return None
    return number_in(path, line, row, first), number_in(path, line, row, second)


def evaluate_localization(
    predictions: Iterable[PredictedCase],
    truth: Sequence[TruthCase],
    hit_rule: HitRule,
    bootstrap: Bootstrap,
    *,
    missing: dict[str, str] | None = None,
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Score a detector.

    Args:
        predictions: One per case; with ``missing`` None, a case of the truth without a prediction has no marks.
        truth: All cases that count, also those without lesions.
        hit_rule: When a mark hits.
        bootstrap: How intervals are made.
        missing: Cases of a run that have no result, with reasons; they are left out and counted.

    Returns:
        The content of results.json, and the audit table: one row per mark (case, mark, x, y, rating, kind, lesion).

    Raises:
        InputDataError: A prediction is of a case that the truth does not list, or marks cannot be matched.
    """
    by_case = {prediction.case: prediction for prediction in predictions}
    unknown = sorted(set(by_case) - {case.case for case in truth})
    if unknown:
        raise InputDataError(f"{len(unknown)} predicted cases are not in the truth (first: '{unknown[0]}')")
    left_out: dict[str, str] = {}
    if missing is not None:
        absent = [case.case for case in truth if case.case not in by_case]
        left_out = {case: missing.get(case, "not among the cases of the run") for case in absent}
    analysed = [case for case in truth if case.case not in left_out]
    localised = [case for case in analysed if case.lesions is not None]
    matched, audit = _match(localised, by_case, hit_rule)
    results: dict[str, Any] = {
        "task": "localization",
        "cohort": _cohort(truth, analysed, localised, left_out),
        "hit_rule": hit_rule.describe(),
        "headline": [],
        "curves": {},
    }
    scored = [(case, by_case[case.case].score) for case in analysed if case.case in by_case]
    if analysed and len(scored) == len(analysed) and all(score is not None for _, score in scored):
        pairs = [(case, float(score)) for case, score in scored if score is not None]
        image = image_score_results(pairs, bootstrap)
        results["headline"] += image["headline"]
        results["curves"] |= image["curves"]
        results["statement"] = image["statement"]
    if matched:
        _add_free_response(results, FreeResponseData.from_cases(matched), bootstrap)
    results["cases"] = [_case_row(case, by_case.get(case.case), audit) for case in analysed]
    return results, audit


def _match(
    truth: Sequence[TruthCase], predictions: dict[str, PredictedCase], rule: HitRule
) -> tuple[list[MatchedCase], list[dict[str, Any]]]:
    matched, audit = [], []
    for case in truth:
        prediction = predictions.get(case.case)
        marks = list(prediction.marks) if prediction else []
        spacing = (prediction.spacing if prediction else None) or case.spacing
        shape = case.shape or (prediction.shape if prediction else None)
        try:
            rows = match_marks(marks, case.lesions or [], rule, spacing=spacing, image_shape=shape)
        except ValueError as error:
            raise InputDataError(f"case '{case.case}': {error}") from error
        matched.append(MatchedCase.of_image(case.case, rows, case.lesions or [], case.patient))
        audit += [_audit_row(case.case, marks[row.mark], row) for row in rows]
    return matched, audit


def _audit_row(case: str, mark: Mark, row: MatchRow) -> dict[str, Any]:
    lesion = "" if row.lesion is None else row.lesion
    return {
        "case": case,
        "mark": row.mark,
        "x": mark.x,
        "y": mark.y,
        "rating": row.rating,
        "kind": row.kind,
        "lesion": lesion,
    }


def _cohort(
    truth: Sequence[TruthCase],
    analysed: Sequence[TruthCase],
    localised: Sequence[TruthCase],
    missing: dict[str, str],
) -> dict[str, Any]:
    return {
        "listed": len(truth),
        "without_result": [{"case": case, "reason": reason} for case, reason in sorted(missing.items())],
        "analysed": len(analysed),
        "diseased": sum(case.diseased for case in analysed),
        "nondiseased": sum(not case.diseased for case in analysed),
        "patients": len({case.patient for case in analysed}),
        "lesions": sum(len(case.lesions or []) for case in localised),
        "diseased_without_known_place": len(analysed) - len(localised),
    }


def _add_free_response(results: dict[str, Any], data: FreeResponseData, bootstrap: Bootstrap) -> None:
    for name, definition in DEFINITIONS.items():
        results["headline"].append(figure(name, figure_of_merit_estimate(data, name, bootstrap), definition))
    estimates = froc_estimates(data, LUNA16_RATES, bootstrap=bootstrap)
    score = froc_score(data, LUNA16_RATES)
    definition = "lesions found / all lesions, at the threshold with this many false positives per image"
    results["froc"] = {
        "interpolation": score.interpolation,
        "end_point": [_finite(value) for value in score.end_point],
        "rates": [
            {"rate": rate, "beyond": beyond, **figure(f"Sensitivity at {rate:g} FP per image", estimate, definition)}
            for rate, beyond, estimate in zip(score.rates, score.beyond, estimates[:-1], strict=True)
        ],
        "mean": figure("Mean sensitivity at 1/8 to 8 FP per image", estimates[-1], "mean over the seven rates (CPM)"),
    }
    for name in ("FROC", "AFROC", "wAFROC"):
        if data.n_diseased and (data.n_nondiseased or name == "FROC"):
            results["curves"][name] = curve_entry(operating_curve(data, name))


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _case_row(case: TruthCase, prediction: PredictedCase | None, audit: list[dict[str, Any]]) -> dict[str, Any]:
    rows = [row for row in audit if row["case"] == case.case]
    return {
        "case": case.case,
        "diseased": case.diseased,
        "score": prediction.score if prediction else None,
        "lesions": None if case.lesions is None else len(case.lesions),
        "found": sum(row["kind"] == "LL" for row in rows),
        "false_positives": sum(row["kind"] == "NL" for row in rows),
    }


def score_run(
    folder: str | Path,
    datalist: str | Path,
    section: str,
    hit_rule: HitRule,
    bootstrap: int = 2000,
    seed: int = 0,
    minimum_lesion: float = 0.0,
) -> Path:
    """Score a run folder against a datalist; writes results.json and matches.csv into it.

    Args:
        folder: A finished run on the cases of the datalist.
        datalist: The truth.
        section: Which part of it was run.
        hit_rule: When a mark hits.
        bootstrap: Number of resamples.
        seed: Of the resamples.
        minimum_lesion: Smaller mask components, as a part of the image's pixels, are left out.

    Returns:
        The path of results.json.
    """
    folder = Path(folder)
    truth, head = truth_from_datalist(Path(datalist), section, minimum_lesion=minimum_lesion)
    predictions, missing = predictions_from_run(folder)
    results, audit = evaluate_localization(
        predictions, truth, hit_rule, Bootstrap(n_resamples=bootstrap, seed=seed), missing=missing
    )
    results["data"] = {**head, "section": section, "minimum_lesion": minimum_lesion}
    write_matches(folder / "matches.csv", audit)
    write_results(folder / "results.json", results)
    return folder / "results.json"


def write_matches(path: Path, audit: Sequence[dict[str, Any]]) -> None:
    """Write the audit table: what became of every mark (LL, NL, duplicate, ignored)."""
    text = io.StringIO()
    writer = csv.DictWriter(text, ["case", "mark", "x", "y", "rating", "kind", "lesion"], lineterminator="\n")
    writer.writeheader()
    writer.writerows(audit)
    write_text(path, text.getvalue())
