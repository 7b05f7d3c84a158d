"""Two models on the same cases: differences with paired intervals, from their results alone."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from medpipe.errors import InputDataError
from medpipe.evaluation.definitions import FIGURE_DEFINITIONS
from medpipe.evaluation.free_response import LEADING_FIGURES
from medpipe.evaluation.registration_comparison import registration_differences
from medpipe.evaluation.registration_measures import MEASURES
from medpipe.evaluation.results import comparison_entry
from medpipe.metrics.free_response import FreeResponseData, MatchedCase
from medpipe.metrics.froc import LUNA16_RATES, compare_froc_scores
from medpipe.metrics.intervals import Bootstrap, Cohort, Comparison
from medpipe.metrics.jafroc import compare_figures_of_merit, undefined_reason
from medpipe.metrics.matching import MatchRow
from medpipe.metrics.multilabel import multilabel_mean_statistic
from medpipe.metrics.roc import compare_aucs
from medpipe.metrics.vqa import weighted_mean

__all__ = ["compare_results"]

_AUC = "area under the ROC curve"
_BOOTSTRAP = "paired bootstrap of patients, two-sided"
_DELONG = "DeLong's paired test, two-sided"


def compare_results(
    first: dict[str, Any], second: dict[str, Any], names: tuple[str, str], bootstrap: Bootstrap
) -> dict[str, Any]:
    """Compare two results of the same task on the cases that both have.

    Args:
        first: Content of one results.json.
        second: Content of another.
        names: What the two are called in the report.
        bootstrap: How intervals are made; AUCs with one image per patient are compared by DeLong's test.

    Returns:
        The content of the key "comparison" of results.json.

    Raises:
        InputDataError: The two are of different tasks, have different truth or hit rules, no case or no figure in common.
    """
    if first["task"] != second["task"]:
        raise InputDataError(f"'{names[0]}' is of the task '{first['task']}', '{names[1]}' of '{second['task']}'")
    if first["task"] == "mrmc":
        raise InputDataError("two reader studies are not compared; put all modalities into one study instead")
    if first.get("hit_rule") != second.get("hit_rule"):
        raise InputDataError(
            f"the two have different hit rules: '{first.get('hit_rule')}' and '{second.get('hit_rule')}'"
        )
    pairs, left_out = _join(first, second, names)
    _check_truth(pairs, names)
    if first["task"] == "registration":
        _check_protocol(first, second, names)
        structures = {str(part["label"]): part["name"] for part in first["registration"]["structures"]}
        figures = registration_differences(pairs, names, bootstrap, structures)
    else:
        figures = [
            *_auc(pairs, bootstrap),
            *_marks(pairs, bootstrap),
            *_classes(pairs, bootstrap),
            *_answers(pairs, bootstrap),
        ]
    if not figures:
        raise InputDataError(f"'{names[0]}' and '{names[1]}' have no figure in common that can be compared")
    return {
        "first": names[0],
        "second": names[1],
        "n": len(pairs),
        "left_out": left_out,
        "figures": figures,
        "curves": second.get("curves", {}),
        "statement": _statement(figures, names),
    }


_Pairs = Sequence[tuple[dict[str, Any], dict[str, Any]]]


def _join(first: dict[str, Any], second: dict[str, Any], names: tuple[str, str]) -> tuple[_Pairs, list[dict[str, str]]]:
    rows = [{row["case"]: row for row in results["cases"]} for results in (first, second)]
    common = sorted(set(rows[0]) & set(rows[1]))
    if not common:
        raise InputDataError(f"'{names[0]}' and '{names[1]}' have no case in common")
    left_out = [
        {"case": case, "reason": f"not in {names[1 - which]}"}
        for which in (0, 1)
        for case in sorted(set(rows[which]) - set(common))
    ]
    return [(rows[0][case], rows[1][case]) for case in common], left_out


def _check_protocol(first: dict[str, Any], second: dict[str, Any], names: tuple[str, str]) -> None:
    one, two = (results["registration"]["protocol"] for results in (first, second))
    if one != two:
        raise InputDataError(
            f"'{names[0]}' was scored by the protocol '{one}', '{names[1]}' by '{two}'; score both by one"
        )


def _check_truth(pairs: _Pairs, names: tuple[str, str]) -> None:
    for a, b in pairs:
        for key in ("diseased", "lesions", "labels", "lesion_weights", "true_answers"):
            if a.get(key) != b.get(key):
                raise InputDataError(
                    f"case '{a['case']}': '{names[0]}' has {key} {a.get(key)}, '{names[1]}' has {b.get(key)};"
                    " they must be scored against the same truth"
                )


def _patients(pairs: _Pairs) -> list[str]:
    """Patient of each case, as the first numbers them: the second may count from another case on."""
    return [a.get("patient") or a["case"] for a, _ in pairs]


def _auc(pairs: _Pairs, bootstrap: Bootstrap) -> list[dict[str, Any]]:
    if any(row["score"] is None for pair in pairs for row in pair) or any("labels" in a for a, _ in pairs):
        return []
    labels = [bool(a["diseased"]) for a, _ in pairs]
    if len(set(labels)) < 2:
        return []
    scores = [[pair[which]["score"] for pair in pairs] for which in (0, 1)]
    return [_auc_entry("AUC", scores, labels, _patients(pairs), bootstrap)]


def _auc_entry(
    name: str, scores: Sequence[Sequence[float]], labels: Sequence[bool], patients: list[str], bootstrap: Bootstrap
) -> dict[str, Any]:
    if len(set(patients)) == len(patients):
        comparison: Comparison = compare_aucs(scores[0], scores[1], labels, bootstrap.level)
        return comparison_entry(name, comparison, _AUC, _DELONG)
    one, two = (FreeResponseData.from_scores(values, labels, patients) for values in scores)
    comparison = compare_figures_of_merit(one, two, "Wilcoxon", bootstrap)
    return comparison_entry(name, comparison, f"{_AUC}; images of one patient stay together", _BOOTSTRAP)


def _marks(pairs: _Pairs, bootstrap: Bootstrap) -> list[dict[str, Any]]:
    localised = [pair for pair in pairs if all("lesion_ratings" in row for row in pair)]
    if not localised:
        return []
    patients = _patients(localised)
    one, two = (
        FreeResponseData.from_cases(_case(pair[which], name) for pair, name in zip(localised, patients, strict=True))
        for which in (0, 1)
    )
    entries = [
        comparison_entry(
            name, compare_figures_of_merit(one, two, name, bootstrap), FIGURE_DEFINITIONS[name], _BOOTSTRAP
        )
        for name in LEADING_FIGURES
        if undefined_reason(one, name) is None
    ]
    if one.n_lesions:
        *_, mean = compare_froc_scores(one, two, LUNA16_RATES, bootstrap=bootstrap)
        name = "Mean sensitivity at 1/8 to 8 FP per image"
        entries.append(comparison_entry(name, mean, "mean over the seven rates of LUNA16", _BOOTSTRAP))
    return entries


def _case(row: dict[str, Any], patient: str) -> MatchedCase:
    found = [MatchRow(k, "LL", k, rating) for k, rating in enumerate(row["lesion_ratings"]) if rating is not None]
    false = [MatchRow(-1, "NL", None, rating) for rating in row["false_positive_ratings"]]
    return MatchedCase(row["case"], [*found, *false], len(row["lesion_ratings"]), row.get("lesion_weights"), patient)


def _classes(pairs: _Pairs, bootstrap: Bootstrap) -> list[dict[str, Any]]:
    """Areas by class, and their mean over the classes that have one."""
    names = list(pairs[0][0].get("labels", {}))
    if not names:
        return []
    labels = np.array([[_nan(a["labels"][name]) for name in names] for a, _ in pairs])
    scores = [np.array([[pair[which]["scores"][name] for name in names] for pair in pairs]) for which in (0, 1)]
    patients, entries = _patients(pairs), []
    for k, name in enumerate(names):
        known = np.flatnonzero(~np.isnan(labels[:, k]))
        truth = labels[known, k] == 1
        if truth.any() and not truth.all():
            values = [part[known, k].tolist() for part in scores]
            of_known = [patients[i] for i in known]
            entries.append(_auc_entry(f"AUC of {name}", values, truth.tolist(), of_known, bootstrap))
    one, two = (multilabel_mean_statistic(part, labels) for part in scores)
    (mean,) = bootstrap.compare(one, two, Cohort((labels == 1).any(axis=1), patients, stratified=False))
    return [comparison_entry("Mean AUC", mean, "unweighted mean over the classes that have one", _BOOTSTRAP), *entries]


def _answers(pairs: _Pairs, bootstrap: Bootstrap) -> list[dict[str, Any]]:
    """Accuracy of answers to questions; those about one image stay together."""
    if any("accuracy" not in row for pair in pairs for row in pair):
        return []
    one, two = (weighted_mean(np.array([pair[which]["accuracy"] for pair in pairs])) for which in (0, 1))
    (found,) = bootstrap.compare(one, two, Cohort(np.zeros(len(pairs), bool), _patients(pairs), stratified=False))
    return [comparison_entry("Accuracy", found, "mean over all questions", "paired bootstrap of images, two-sided")]


def _nan(value: int | None) -> float:
    return math.nan if value is None else float(value)


def _statement(figures: Sequence[dict[str, Any]], names: tuple[str, str]) -> str:
    """The first figure in a sentence."""
    head = figures[0]
    difference = head["difference"]
    if difference["low"] is None or (difference["low"] == difference["high"] and difference["value"]):
        return f"Whether {names[0]} and {names[1]} differ in {head['name']} cannot be said: {difference['reason']}."
    interval = f"{100 * difference['level']:g} % interval {difference['low']:.3f} to {difference['high']:.3f}"
    text = f"{head['name']} differs by {difference['value']:+.3f} ({interval})"
    if difference["low"] > 0 or difference["high"] < 0:
        lower_is_better = any(m.name == head["name"] and m.better == "lower" for m in MEASURES.values())
        better = names[0] if (difference["value"] > 0) != lower_is_better else names[1]
        return f"On these cases {better} is better: {text}."
    return f"On these cases the two are not shown to differ: {text}, which contains 0."
