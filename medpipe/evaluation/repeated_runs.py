"""Settings trained with several seeds, as a reader study: settings are modalities, seeds are readers.

The runs have seen the same test cases, so Obuchowski and Rockette's and Dorfman, Berbaum and Metz's analyses say whether
settings differ for other seeds and other cases (RRRC). Made from results.json of every run alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import combinations
from typing import Any

from medpipe.errors import InputDataError
from medpipe.evaluation.reader_study import reader_study_results
from medpipe.metrics.free_response import FreeResponseData, MatchedCase
from medpipe.metrics.matching import MatchRow
from medpipe.metrics.reader_study import ReaderStudy

__all__ = ["FIGURES", "compare_repeated_runs", "figure_value", "readings_of"]

FIGURES = {"AFROC": "JAFROC (AFROC), of marks", "Wilcoxon": "area under the ROC curve, of image scores"}
"""Figures of merit of the analysis, with what they are of."""

_NEEDS = {"AFROC": "marks matched with lesions", "Wilcoxon": "one score for every image"}

Readings = Mapping[str, Mapping[int, Mapping[str, FreeResponseData]]]
"""What ``readings_of`` gives, by setting and seed."""


def readings_of(results: dict[str, Any]) -> dict[str, FreeResponseData]:
    """What one run says of the test cases: marks under "AFROC", image scores under "Wilcoxon", where it has them.

    Args:
        results: Content of results.json.
    """
    rows = results["cases"]
    found = {}
    marked = [row for row in rows if row.get("lesions") is not None and "false_positive_ratings" in row]
    if marked:
        found["AFROC"] = FreeResponseData.from_cases([_marked(row) for row in marked])
    if rows and all(row["score"] is not None for row in rows):
        ordered = sorted(rows, key=lambda row: (row["diseased"], row["case"]))
        scored = FreeResponseData.from_scores(
            [row["score"] for row in ordered],
            [row["diseased"] for row in ordered],
            [row.get("patient") or row["case"] for row in ordered],
        )
        found["Wilcoxon"] = replace(scored, case_ids=tuple(row["case"] for row in ordered))
    return found


def _marked(row: dict[str, Any]) -> MatchedCase:
    found = [MatchRow(k, "LL", k, rating) for k, rating in enumerate(row["lesion_ratings"]) if rating is not None]
    false = [MatchRow(-1, "NL", None, rating) for rating in row["false_positive_ratings"]]
    return MatchedCase(row["case"], [*found, *false], row["lesions"], row.get("lesion_weights"), row.get("patient"))


def compare_repeated_runs(readings: Readings, reference: str, figure: str, level: float = 0.95) -> dict[str, Any]:
    """Test whether settings differ in a figure of merit, and by how much each differs from the reference.

    Args:
        readings: By setting, seed and figure of merit; the settings in their order.
        reference: The setting that the others are compared with.
        figure: "AFROC" or "Wilcoxon".
        level: Nominal coverage of intervals.

    Returns:
        "analysis" (RRRC, or FRRC where there is one seed), "settings", "seeds", "left_out", "OR" and "DBM" (overall test
        and differences, each setting minus the reference), "caution"; or only "unavailable" with the reason.
    """
    having = {name: {s: r[figure] for s, r in runs.items() if figure in r} for name, runs in readings.items()}
    having = {name: runs for name, runs in having.items() if runs}
    if reference not in having:
        return {"unavailable": f"no run of '{reference}', which the others are compared with, has {_NEEDS[figure]}"}
    names = [
        *(name for name in having if name != reference),
        reference,
    ]  # last: a pair's difference is first minus second
    if len(names) < 2:
        return {"unavailable": f"no setting but '{reference}' has {_NEEDS[figure]}"}
    seeds = sorted(set.intersection(*(set(having[name]) for name in names)))
    if not seeds:
        return {"unavailable": "no seed has ended well in all settings"}
    try:
        study = ReaderStudy(
            tuple(names), tuple(f"seed {s}" for s in seeds), tuple(tuple(having[n][s] for s in seeds) for n in names)
        )
    except ValueError as error:
        return {"unavailable": f"the runs have not seen the same test cases: {error}"}
    content = reader_study_results(study, [figure], level=level)
    if figure not in content["tests"]:
        return {"unavailable": content["unavailable"][figure]}
    analysis = "RRRC" if len(seeds) > 1 else "FRRC"
    pairs = [pair[1] == reference for pair in combinations(names, 2)]
    return {
        "figure": figure,
        "about": FIGURES[figure],
        "analysis": analysis,
        "settings": names,
        "seeds": seeds,
        "cases": {
            "diseased": study.n_diseased,
            "nondiseased": study.n_nondiseased,
            "patients": study.cohort.n_patients,
        },
        "left_out": [name for name in readings if name not in having],
        "level": level,
        **{method: _with_reference(content["tests"][figure][method][analysis], pairs) for method in ("OR", "DBM")},
        "caution": content.get("caution"),
    }


def _with_reference(found: dict[str, Any], pairs: Sequence[bool]) -> dict[str, Any]:
    """The analysis with the differences from the reference alone."""
    if "unavailable" in found:
        return found
    kept = {key: value for key, value in found.items() if key not in ("per_modality", "differences_each_reader")}
    chosen = [row for row, wanted in zip(found["differences"], pairs, strict=True) if wanted]
    return {**kept, "differences": chosen}


def figure_value(results: dict[str, Any], name: str) -> tuple[float | None, str | None]:
    """A headline figure's value and, where it is undefined, the reason.

    Raises:
        InputDataError: The results have no such figure; those that they have are named.
    """
    for figure in results["headline"]:
        if figure["name"] == name:
            return figure["value"], figure["reason"]
    known = ", ".join(figure["name"] for figure in results["headline"])
    raise InputDataError(f"the evaluation gives no figure '{name}'; it gives {known or 'none'}")
