"""Parts of the sample: by sex, age, site, view, manufacturer, or any column that a table has."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from medpipe.data.demographics import parse_age
from medpipe.errors import InputDataError
from medpipe.evaluation.results import figure
from medpipe.evaluation.truth import TruthCase
from medpipe.metrics._arrays import IntArray
from medpipe.metrics.intervals import Estimate
from medpipe.metrics.subgroups import age_band, by_group

__all__ = ["USUAL_VARIABLES", "chosen_variables", "subgroup_entries"]

USUAL_VARIABLES = ("sex", "age", "site", "view", "manufacturer")
"""Columns that are taken without being asked for."""

_MOST_GROUPS = 20


def chosen_variables(truth: Sequence[TruthCase], wanted: Sequence[str] | None) -> list[str]:
    """The variables to split by.

    Args:
        truth: cases with their groups.
        wanted: names asked for; None for those of USUAL_VARIABLES that have at least two values.

    Raises:
        InputDataError: A name is no column, or has too many values to be a group.
    """
    known = sorted({name for case in truth for name in case.groups})
    if wanted is None:
        return [name for name in USUAL_VARIABLES if 1 < len(_values(truth, name)) <= _MOST_GROUPS]
    for name in wanted:
        if name not in known:
            raise InputDataError(f"no column '{name}' to split by; the truth has {', '.join(known) or 'none'}")
        if len(_values(truth, name)) > _MOST_GROUPS:
            raise InputDataError(
                f"column '{name}' has {len(_values(truth, name))} values; to split by it there may be {_MOST_GROUPS}"
            )
    return list(wanted)


def subgroup_entries(
    cases: Sequence[TruthCase], variables: Sequence[str], name: str, estimate: Callable[[IntArray], Estimate]
) -> list[dict[str, Any]]:
    """One figure by each variable, as results.json holds it.

    Args:
        cases: analysed cases.
        variables: columns to split by.
        name: of the figure.
        estimate: from positions in ``cases`` to the figure on them.
    """
    entries = []
    for variable in variables:
        names = [_group(case, variable) for case in cases]
        if len(set(names)) < 2:
            continue
        groups = [
            {
                "name": group.name,
                "n": group.cases.size,
                "diseased": sum(cases[i].diseased for i in group.cases),
                "patients": len({cases[i].patient for i in group.cases}),
                "figure": figure(name, group.estimate, f"of the cases with {variable} {group.name} alone"),
            }
            for group in by_group(names, estimate)
        ]
        entries.append({"variable": variable, "figure": name, "groups": groups})
    return entries


def _values(truth: Sequence[TruthCase], name: str) -> set[str]:
    return {_group(case, name) for case in truth if name in case.groups} - {""}


def _group(case: TruthCase, variable: str) -> str:
    value = case.groups.get(variable, "")
    if variable != "age":
        return value
    years = parse_age(value)
    return value if years is None else age_band(years)  # a table may hold bands of its own
