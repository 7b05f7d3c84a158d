"""How accurate deformable registration is: each pair before and after, by structure, and means over pairs.

Pairs are read and measured one after the other, so that one is in memory at a time. Intervals resample subjects where pairs
share them (medpipe.metrics.pair_cohort).
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from medpipe.errors import InputDataError
from medpipe.evaluation.formats.registration_pairs import RegistrationPair
from medpipe.evaluation.registration_measures import MEASURES, PROTOCOLS, Protocol
from medpipe.evaluation.registration_pair import MeasuredPair, Values, check_headers, load_pair, measure_pair
from medpipe.evaluation.results import figure, number, patient_numbers, settings_entry
from medpipe.io.atomic import write_text
from medpipe.metrics._arrays import FloatArray
from medpipe.metrics.intervals import Bootstrap, Estimate
from medpipe.metrics.learn2reg import ROBUSTNESS_QUANTILE
from medpipe.metrics.pair_cohort import PairCohort, estimates_over_pairs

__all__ = ["evaluate_registration", "measured_pairs", "write_pair_values"]

HEADLINE = ("dice", "hd95", "hd95_voxel", "tre", "tre_voxel", "fold_pct", "sdlogj", "sdlogj_l2r", "jacobian_sd")
"""Measures that are shown first, where there are."""


def measured_pairs(
    pairs: Iterable[RegistrationPair], protocol: Protocol, labels: Sequence[int] | None = None
) -> Iterator[MeasuredPair]:
    """Read and measure the pairs that have a field, one at a time, after a look at the headers of all.

    Raises:
        InputDataError: A file of a pair is not as it should be; the message names it.
    """
    with_field = [pair for pair in pairs if "field" in pair.files]
    for pair in with_field:
        check_headers(pair)
    for pair in with_field:
        yield measure_pair(load_pair(pair, protocol), protocol, labels)


def evaluate_registration(
    measured: Sequence[MeasuredPair],
    listed: Sequence[RegistrationPair],
    protocol: Protocol,
    bootstrap: Bootstrap,
    names: Mapping[int, str] | None = None,
) -> dict[str, Any]:
    """Means with intervals; the content of results.json.

    Args:
        measured: The pairs that have a field.
        listed: All pairs.
        protocol: By which they were measured.
        bootstrap: How intervals are made.
        names: Of the structures, by label.

    Raises:
        InputDataError: No pair has a field.
    """
    if not measured:
        raise InputDataError(f"no pair has a field ({listed[0].reason if listed else 'none is listed'})")
    numbers = patient_numbers(name for one in measured for name in one.pair.subjects)
    cohort = PairCohort.of([one.pair.subjects for one in measured])
    names = names or {}
    labels = sorted({label for one in measured for label in one.structures_after} | set(names))
    groups = [([one.before for one in measured], [one.after for one in measured])]
    for label in labels:
        sides = [(one.structures_before.get(label, {}), one.structures_after.get(label, {})) for one in measured]
        groups.append(([before for before, _ in sides], [after for _, after in sides]))
    measures, *by_label = _entries(groups, cohort, bootstrap)
    by_key = {entry["key"]: entry for entry in measures}
    without = [pair for pair in listed if "field" not in pair.files]
    return {
        "task": "registration",
        "settings": {**settings_entry(bootstrap), "protocol": protocol},
        "cohort": {
            "listed": len(listed),
            "without_result": [{"case": pair.name, "reason": pair.reason} for pair in without],
            "analysed": len(measured),
            "diseased": 0,
            "nondiseased": 0,
            "patients": len(numbers),
        },
        "headline": [by_key[key]["after"] for key in HEADLINE if key in by_key],
        "statement": _statement(by_key),
        "curves": {},
        "registration": {
            "protocol": protocol,
            "description": PROTOCOLS[protocol],
            "landmarks": sum(one.landmarks for one in measured),
            "measures": measures,
            "structures": [
                {"label": label, "name": names.get(label, f"label {label}"), "measures": found}
                for label, found in zip(labels, by_label, strict=True)
            ],
        },
        "cases": [_case(one, numbers) for one in measured],
    }


_Group = tuple[Sequence[Values], Sequence[Values]]
"""Values of every pair before and after."""


def _entries(groups: Sequence[_Group], cohort: PairCohort, bootstrap: Bootstrap) -> list[list[dict[str, Any]]]:
    """For each group, means over pairs of the measures that any pair has: before, after, and the change.

    All are resampled together, since drawing the pairs costs more than a mean.
    """
    columns: list[FloatArray] = []
    plan: list[tuple[int, str]] = []
    for number_of_group, (before, after) in enumerate(groups):
        for key in MEASURES:
            old, new = _column(before, key), _column(after, key)
            if not np.isnan(new).all():
                plan.append((number_of_group, key))
                columns += [old, new, new - old]
    entries: list[list[dict[str, Any]]] = [[] for _ in groups]
    if plan:
        found = estimates_over_pairs(np.column_stack(columns), cohort, bootstrap)
        for place, (group, key) in enumerate(plan):
            values = columns[3 * place + 1]
            entries[group].append(_entry(key, values, *found[3 * place : 3 * place + 3]))
    return entries


def _column(rows: Sequence[Values], key: str) -> FloatArray:
    return np.array([row.get(key, math.nan) for row in rows], dtype=np.float64)


def _entry(key: str, values: FloatArray, old: Estimate, new: Estimate, change: Estimate) -> dict[str, Any]:
    measure, known = MEASURES[key], values[~np.isnan(values)]
    definition = f"{measure.definition}; mean over pairs"
    both = not measure.registered and not math.isnan(old.value)
    changed = "mean over pairs of the value after minus that before"
    return {
        "key": key,
        "name": measure.name,
        "unit": measure.unit,
        "better": measure.better,
        "before": figure(f"{measure.name}, before", old, f"before registration: {definition}") if both else None,
        "after": figure(measure.name, new, definition),
        "change": figure(f"Change of {measure.name}", change, changed) if both else None,
        "sd": number(float(known.std())),
        "quantile_30": number(float(np.quantile(known, ROBUSTNESS_QUANTILE))),
    }


def _statement(by_key: Mapping[str, dict[str, Any]]) -> str:
    """The first measure that there is before and after, in a sentence."""
    entry = next((by_key[key] for key in HEADLINE if key in by_key and by_key[key]["change"]), None)
    if entry is None:
        return "Nothing can be compared with the state before registration."
    change, name = entry["change"], entry["name"]
    moved = f"{name} goes from {entry['before']['value']:.3f} to {entry['after']['value']:.3f}"
    if change["low"] is None or change["low"] == change["high"]:
        return f"{moved}; how sure that is cannot be said: {change['reason'] or 'the interval has no width'}."
    text = f"{moved}, a change of {change['value']:+.3f} ({100 * change['level']:g} % interval {change['low']:.3f} to {change['high']:.3f})"
    if change["low"] <= 0 <= change["high"]:
        return f"These pairs do not show that registration changes it: {text}."
    better = (change["value"] > 0) == (entry["better"] == "higher")
    return f"Registration {'improves' if better else 'worsens'} the alignment: {text}."


def _case(one: MeasuredPair, numbers: Mapping[str, str]) -> dict[str, Any]:
    fixed, moving = (numbers[name] for name in one.pair.subjects)
    return {
        "case": one.pair.name,
        "patient": moving,
        "subjects": [fixed, moving],
        "diseased": None,
        "score": None,
        "before": _numbers(one.before),
        "after": _numbers(one.after),
        "structures": {
            str(label): {"before": _numbers(one.structures_before.get(label, {})), "after": _numbers(values)}
            for label, values in one.structures_after.items()
        },
        "remarks": one.remarks,
    }


def _numbers(values: Values) -> dict[str, float | None]:
    return {key: number(value) for key, value in values.items()}


def write_pair_values(path: Path, results: Mapping[str, Any]) -> None:
    """Write a table with a row for every pair, structure (empty: the pair as a whole) and measure."""
    names = {str(part["label"]): part["name"] for part in results["registration"]["structures"]}
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["pair", "structure", "measure", "before", "after"])
    for case in results["cases"]:
        parts = {"": case, **{names[label]: part for label, part in case["structures"].items()}}
        for name, part in parts.items():
            for key in part["after"]:
                values = (part[side].get(key) for side in ("before", "after"))
                writer.writerow([case["case"], name, key, *("" if value is None else repr(value) for value in values)])
    write_text(path, text.getvalue())
