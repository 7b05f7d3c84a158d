"""How good a classifier of several classes was in a run of a bundle."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from medpipe.data.cases import check_classes
from medpipe.data.datalist import load_datalist
from medpipe.errors import InputDataError
from medpipe.evaluation.multilabel import LabelledScores, evaluate_multilabel
from medpipe.evaluation.truth import number_in
from medpipe.metrics.intervals import Bootstrap
from medpipe.predictions.results import write_results
from medpipe.predictions.tables import numbered_rows

__all__ = ["score_multilabel_run"]


def score_multilabel_run(
    folder: str | Path,
    datalist: str | Path,
    section: str,
    classes: Sequence[str],
    bootstrap: int = 2000,
    seed: int = 0,
) -> Path:
    """Score a run folder against a datalist of several labels; writes results.json into it.

    Args:
        folder: A finished run on the cases of the datalist, with cases.csv and scores.csv.
        datalist: The truth.
        section: Which part of it was run.
        classes: Names of the classes, in order.
        bootstrap: Number of resamples.
        seed: Of the resamples.

    Returns:
        The path of results.json.

    Raises:
        InputDataError: The datalist has other classes, or the run scored none of its cases.
    """
    folder, content = Path(folder), load_datalist(Path(datalist))
    check_classes(content, classes, datalist)
    entries = {entry["case"]: entry for entry in content.get(section, [])}
    scores, reasons = _scores(folder, classes)
    cases = [case for case in entries if case in scores]
    if not cases:
        raise InputDataError(f"run '{folder}' has no scores of cases in section '{section}' of '{datalist}'")
    labels = [[math.nan if value is None else value for value in entries[case]["label"]] for case in cases]
    data = LabelledScores(
        tuple(classes),
        tuple(cases),
        tuple(entries[case]["patient"] for case in cases),
        np.array([scores[case] for case in cases]),
        np.array(labels, dtype=float),
        tuple(case for case in entries if case not in scores),
    )
    results = evaluate_multilabel(data, Bootstrap(n_resamples=bootstrap, seed=seed))
    for row in results["cohort"]["without_result"]:
        row["reason"] = reasons.get(row["case"], "not among the cases of the run")
    head = {key: content[key] for key in ("name", "description", "generated", "split")}
    results["data"] = {**head, "section": section}
    write_results(folder / "results.json", results)
    return folder / "results.json"


def _scores(folder: Path, classes: Sequence[str]) -> tuple[dict[str, list[float]], dict[str, str]]:
    """Scores of the done cases, and why the others have none."""
    rows = numbered_rows(folder / "cases.csv", ["case", "status", "reason"])
    reasons = {row["case"]: f"{row['status']}: {row['reason']}" for _, row in rows if row["status"] != "done"}
    done = {row["case"] for _, row in rows} - reasons.keys()
    path = folder / "scores.csv"
    if not path.is_file():
        return {}, reasons
    found = numbered_rows(path, ["case", *classes])
    scores = {row["case"]: [number_in(path, line, row, name) for name in classes] for line, row in found}
    return {case: values for case, values in scores.items() if case in done}, reasons
