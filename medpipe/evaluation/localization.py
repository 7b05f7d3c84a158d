"""How good a detector is: image scores by ROC, marks by FROC and AFROC, with intervals over patients."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from medpipe.errors import InputDataError
from medpipe.evaluation.free_response import case_ratings, free_response_results
from medpipe.evaluation.groups import chosen_variables
from medpipe.evaluation.image_scores import image_score_results
from medpipe.evaluation.results import patient_numbers, settings_entry
from medpipe.evaluation.truth import TruthCase, number_in, truth_from_datalist
from medpipe.io.atomic import write_text
from medpipe.metrics.conventions import CONVENTIONS, Convention
from medpipe.metrics.free_response import MatchedCase
from medpipe.metrics.intervals import Bootstrap
from medpipe.metrics.matching import HitRule, Mark, MatchRow, match_marks
from medpipe.predictions.results import write_results
from medpipe.predictions.tables import numbered_rows

__all__ = ["PredictedCase", "evaluate_localization", "predictions_from_run", "predictions_from_table", "score_run"]


@dataclass(frozen=True)
class PredictedCase:
    """What a detector said of one case: its image score (None where it gives none) and its marks.

    ``spacing`` is (row, column) or (slice, row, column) in mm where the prediction knows it, ``groups`` what the run knows of the image (sex, age,
    view, manufacturer).
    """

    case: str
    score: float | None
    marks: Sequence[Mark]
    spacing: tuple[float, ...] | None = None
    shape: tuple[int, ...] | None = None
    groups: Mapping[str, str] = field(default_factory=dict)


def predictions_from_run(folder: Path) -> tuple[list[PredictedCase], dict[str, str]]:
    """Predictions of the cases that a run has done, and the reasons of those that it has not."""
    marks = _marks_by_case(folder / "marks.csv", rating="score")
    done, missing = [], {}
    path = folder / "cases.csv"
    for line, row in numbered_rows(path, ["case", "status", "reason", "score"]):
        if row["status"] != "done":
            missing[row["case"]] = f"{row['status']}: {row['reason']}"
            continue
        spacing = _pair(path, line, row, "row_mm", "column_mm")
        shape = _pair(path, line, row, "rows", "columns")
        score = number_in(path, line, row, "score")
        whole = (int(shape[0]), int(shape[1])) if shape else None
        groups = {name: row.get(name, "") for name in ("sex", "age", "view", "manufacturer")}
        done.append(PredictedCase(row["case"], score, marks.get(row["case"], []), spacing, whole, groups))
    return done, missing


def predictions_from_table(path: Path) -> list[PredictedCase]:
    """Predictions from a CSV table of marks: case, x, y, score; box_x, box_y, box_width, box_height where known.

    In volumes also z, and box_z and box_depth. Cases without marks need no row.
    """
    return [PredictedCase(case, None, marks) for case, marks in _marks_by_case(path, rating="score").items()]


def _marks_by_case(path: Path, rating: str) -> dict[str, list[Mark]]:
    marks: dict[str, list[Mark]] = {}
    seen: set[tuple[str, ...]] = set()
    for line, row in numbered_rows(path, ["case", "x", "y", rating]):
        key = (row["case"], row["x"], row["y"], row.get("z", ""), row[rating])
        if key in seen:
            raise InputDataError(f"table '{path}', line {line}: the same mark on case '{row['case']}' stands twice")
        seen.add(key)
        marks.setdefault(row["case"], []).append(_mark(path, line, row, rating))
    return marks


def _mark(path: Path, line: int, row: dict[str, str], rating: str) -> Mark:
    x, y, score = (number_in(path, line, row, key) for key in ("x", "y", rating))
    z = number_in(path, line, row, "z") if row.get("z") else None
    box: Any = None
    if row.get("box_width"):
        axes = ("x", "y", "width", "height") if z is None else ("x", "y", "z", "width", "height", "depth")
        box = tuple(number_in(path, line, row, f"box_{key}") for key in axes)
    try:
        return Mark(x, y, score, box=box, z=z)
    except ValueError as error:
        raise InputDataError(f"table '{path}', line {line}: {error}") from error


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
    convention: Convention = CONVENTIONS["luna16"],
    variables: Sequence[str] | None = None,
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Score a detector.

    Args:
        predictions: One per case; with ``missing`` None, a case of the truth without a prediction has no marks.
        truth: All cases that count, also those without lesions.
        hit_rule: When a mark hits.
        bootstrap: How intervals are made.
        missing: Cases of a run that have no result, with reasons; they are left out and counted.
        convention: At which false positives per image sensitivity is read off; its own hit rule is not looked at.
        variables: Columns to split by; None for the usual ones.

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
    analysed = [_with_groups(case, by_case.get(case.case)) for case in truth if case.case not in left_out]
    variables = chosen_variables(analysed, variables)
    localised = [case for case in analysed if case.lesions is not None]
    matched, audit = _match(localised, by_case, hit_rule)
    results: dict[str, Any] = {
        "task": "localization",
        "settings": settings_entry(bootstrap),
        "cohort": _cohort(truth, analysed, localised, left_out),
        "hit_rule": hit_rule.describe(),
        "headline": [],
        "curves": {},
    }
    scored = [(case, by_case[case.case].score) for case in analysed if case.case in by_case]
    if analysed and len(scored) == len(analysed) and all(score is not None for _, score in scored):
        pairs = [(case, float(score)) for case, score in scored if score is not None]
        _add(results, image_score_results(pairs, bootstrap, variables=variables))
    if matched:
        _add(results, free_response_results(matched, localised, bootstrap, convention, variables))
    by_name = {case.case_id: case for case in matched}
    patients = patient_numbers(case.patient for case in analysed)
    results["cases"] = [
        _case_row(
            case,
            patients[case.patient],
            by_case.get(case.case),
            by_name.get(case.case),
            {name: case.groups.get(name, "") for name in variables},
        )
        for case in analysed
    ]
    return results, audit


def _with_groups(case: TruthCase, prediction: PredictedCase | None) -> TruthCase:
    """The case with what the run knows of its image, where the truth does not."""
    if prediction is None or not prediction.groups:
        return case
    known = {name: value for name, value in case.groups.items() if value}
    return replace(case, groups={**prediction.groups, **known})


def _add(results: dict[str, Any], part: dict[str, Any]) -> None:
    """Take a part of the results over: lists are extended, curves joined, the rest stands as it is."""
    for key, value in part.items():
        if key in ("headline", "subgroups"):
            results[key] = [*results.get(key, []), *value]
        elif key == "curves":
            results[key] = {**results[key], **value}
        else:
            results[key] = value


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
        try:
            matched.append(MatchedCase.of_image(case.case, rows, case.lesions or [], case.patient))
        except ValueError as error:
            raise InputDataError(f"truth of {error}") from error
        audit += [_audit_row(case.case, marks[row.mark], row) for row in rows]
    return matched, audit


def _audit_row(case: str, mark: Mark, row: MatchRow) -> dict[str, Any]:
    lesion = "" if row.lesion is None else row.lesion
    return {
        "case": case,
        "mark": row.mark,
        "x": mark.x,
        "y": mark.y,
        **({} if mark.z is None else {"z": mark.z}),
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
        "lesions": sum(not lesion.ignore for case in localised for lesion in case.lesions or []),
        "diseased_without_known_place": len(analysed) - len(localised),
    }


def _case_row(
    case: TruthCase, patient: str, prediction: PredictedCase | None, matched: MatchedCase | None, groups: dict[str, str]
) -> dict[str, Any]:
    row: dict[str, Any] = {
        "case": case.case,
        "patient": patient,
        "diseased": case.diseased,
        "score": prediction.score if prediction else None,
        "groups": groups,
    }
    return {**row, "lesions": None} if matched is None else {**row, **case_ratings(matched)}


def score_run(
    folder: str | Path,
    datalist: str | Path,
    section: str,
    hit_rule: HitRule,
    bootstrap: int = 2000,
    seed: int = 0,
    minimum_lesion: float = 0.0,
    convention: Convention = CONVENTIONS["luna16"],
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
        convention: See ``evaluate_localization``.

    Returns:
        The path of results.json.
    """
    folder = Path(folder)
    truth, head = truth_from_datalist(Path(datalist), section, minimum_lesion=minimum_lesion)
    predictions, missing = predictions_from_run(folder)
    resampling = Bootstrap(n_resamples=bootstrap, seed=seed)
    results, audit = evaluate_localization(
        predictions, truth, hit_rule, resampling, missing=missing, convention=convention
    )
    results["data"] = {**head, "section": section, "minimum_lesion": minimum_lesion}
    write_matches(folder / "matches.csv", audit)
    write_results(folder / "results.json", results)
    return folder / "results.json"


def write_matches(path: Path, audit: Sequence[dict[str, Any]]) -> None:
    """Write the audit table: what became of every mark (LL, NL, duplicate, ignored); in volumes with a column z."""
    text = io.StringIO()
    z = ["z"] if any("z" in row for row in audit) else []
    writer = csv.DictWriter(text, ["case", "mark", "x", "y", *z, "rating", "kind", "lesion"], lineterminator="\n")
    writer.writeheader()
    writer.writerows(audit)
    write_text(path, text.getvalue())
