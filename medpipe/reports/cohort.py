"""How many came in, were left out and why, and were analysed: the boxes of the flow diagram."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from typing import Any

from medpipe.reports.formats import count, percent, plural

__all__ = ["class_labels", "cohort_section", "grouped_reasons", "unit_words"]

_MOST_REASONS = 6


def grouped_reasons(reasons: Iterable[str]) -> list[tuple[str, int]]:
    """Reasons with counts, the most frequent first.

    Reasons that differ only in quoted names and numbers count as one, with dots in their place.
    """
    forms: dict[str, list[str]] = {}
    for reason in reasons:
        forms.setdefault(re.sub(r"'[^']*'|\d+(\.\d+)?", "\N{HORIZONTAL ELLIPSIS}", reason), []).append(reason)
    grouped = [(same[0] if len(set(same)) == 1 else form, len(same)) for form, same in forms.items()]
    grouped.sort(key=lambda item: (-item[1], item[0]))
    rest = sum(number for _, number in grouped[_MOST_REASONS:])
    return grouped[:_MOST_REASONS] + ([("other reasons", rest)] if rest else [])


def cohort_section(rows: list[dict[str, str]], results: dict[str, Any] | None) -> dict[str, Any] | None:
    """The flow of files through a run and of cases through the evaluation, whichever there is."""
    flows = []
    if rows:
        flows.append({"title": "Files of the run", "steps": _run_steps(rows), "split": []})
    if results is not None:
        flows.append(
            {
                "title": f"{unit_words(results)[0].capitalize()}s of the evaluation",
                "steps": _evaluation_steps(results["cohort"], *unit_words(results)),
                "split": _split(results["cohort"], *class_labels(results)),
            }
        )
    if not flows:
        return None
    return {"flows": flows, "unit": _unit(results) if results else None}


def _run_steps(rows: list[dict[str, str]]) -> list[dict[str, Any]]:
    status = Counter(row["status"] for row in rows)
    left_out = [
        {
            "label": name,
            "n": status[name],
            "reasons": grouped_reasons(row["reason"] for row in rows if row["status"] == name),
        }
        for name in ("skipped", "failed")
    ]
    return [
        {
            "label": "pairs found" if " <- " in rows[0].get("file", "") else "files found",
            "n": len(rows),
            "detail": [],
            "out": left_out,
        },
        {"label": "done", "n": status["done"], "detail": [], "out": []},
    ]


def _evaluation_steps(cohort: dict[str, Any], unit: str, patient: str) -> list[dict[str, Any]]:
    without = cohort["without_result"]
    reasons = grouped_reasons(row["reason"] for row in without)
    out = [{"label": "without a result, left out", "n": len(without), "reasons": reasons}]
    detail = [plural(cohort["patients"], patient)]
    detail += [plural(cohort[key], key[:-1]) for key in ("lesions", "marks", "readings") if cohort.get(key)]
    return [
        {"label": f"{unit}s listed in the truth", "n": cohort["listed"], "detail": [], "out": out},
        {"label": "analysed", "n": cohort["analysed"], "detail": detail, "out": []},
    ]


def unit_words(results: dict[str, Any]) -> tuple[str, str]:
    """What a case and a patient are called: a registration is of a pair of images, of one or two subjects."""
    return {"registration": ("pair", "subject"), "vqa": ("question", "image")}.get(results["task"], ("case", "patient"))


def class_labels(results: dict[str, Any]) -> tuple[str, str]:
    """What the two parts of the cases are called."""
    if results["task"] == "multilabel":
        return "with at least one class", "with none of the classes"
    return "with disease", "without disease"


def _split(cohort: dict[str, Any], *labels: str) -> list[dict[str, Any]]:
    total = cohort["diseased"] + cohort["nondiseased"]
    if not total:
        return []
    parts = []
    for key, label in zip(("diseased", "nondiseased"), labels, strict=True):
        share = f"{percent(cohort[key] / total)} ({count(cohort[key])} of {count(total)})"
        detail = [f"prevalence {share}" if label == "with disease" else share]
        unknown = cohort.get("diseased_without_known_place")
        if key == "diseased" and unknown:
            detail.append(f"{count(unknown)} with lesions of unknown place, not in the free-response analysis")
        parts.append({"label": label, "n": cohort[key], "detail": detail})
    return parts


def _unit(results: dict[str, Any]) -> str:
    cohort = results["cohort"]
    cases, patients = cohort["analysed"], cohort["patients"]
    study = results.get("reader_study")
    if study:
        return (
            f"The unit of analysis is the case, read by {plural(len(study['readers']), 'reader')} in "
            f"{plural(len(study['modalities']), 'modality', 'modalities')}."
        )
    if results["task"] == "registration":
        return (
            f"The unit of analysis is the pair of images: {plural(cases, 'pair')} of {plural(patients, 'subject')}. Pairs that "
            "share a subject are not independent; the intervals allow for it, as their method says."
        )
    if results["task"] == "vqa":
        return (
            f"The unit of analysis is the question: {plural(cases, 'question')} about {plural(patients, 'image')}. Questions "
            "about one image are not independent; intervals resample images."
        )
    if patients == cases:
        return f"The unit of analysis is the case; each of the {count(cases)} cases is of another patient."
    return (
        f"The unit of analysis is the case: {count(cases)} cases of {count(patients)} patients. Cases of one patient are "
        "not independent; intervals that resample patients allow for it, others (their method is named) do not."
    )
