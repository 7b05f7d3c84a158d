"""Reporting checklists (STARD-AI 2025, CLAIM 2024), filled as far as the files know the answer.

templates/checklist.yaml lists the items; an item's "fact" names one of the functions here, which says what the files
know, or None. What they do not know is left to the authors.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from medpipe.reports.formats import count, interval, number, percent, plural

__all__ = ["FACTS", "Files", "checklist_items", "checklist_section"]


@dataclass(frozen=True)
class Files:
    """What a report is made from: run.json, the rows of cases.csv, results.json, the bundle's metadata."""

    run: dict[str, Any] | None
    rows: list[dict[str, str]]
    results: dict[str, Any] | None
    metadata: dict[str, Any]


Answer = tuple[str, str, str] | None
"""What is known, the file that says it, and the section of the page; None where nothing is known."""


@cache
def checklist_items() -> tuple[dict[str, Any], ...]:
    """The guidelines with their items, as the file lists them."""
    text = Path(__file__).with_name("templates").joinpath("checklist.yaml").read_text(encoding="utf-8")
    return tuple(yaml.safe_load(text))


def checklist_section(files: Files) -> dict[str, Any]:
    """Each guideline's items with their answers, and how many have one."""
    answers = {name: fact(files) for name, fact in FACTS.items()}
    guidelines = []
    for guideline in checklist_items():
        items = [_answered(item, answers) for item in guideline["items"]]
        states = [item["state"] for item in items]
        counts = {state: states.count(state) for state in ("filled", "partly", "open")}
        guidelines.append({**guideline, "items": items, "counts": counts})
    return {"guidelines": guidelines}


def _answered(item: dict[str, Any], answers: dict[str, Answer]) -> dict[str, Any]:
    answer = answers[item["fact"]] if "fact" in item else None
    if answer is None:
        return {**item, "state": "open", "answer": "", "source": "", "section": ""}
    state = "partly" if item.get("partly") else "filled"
    return {**item, "state": state, "answer": answer[0], "source": answer[1], "section": answer[2]}


def _cohort(files: Files) -> dict[str, Any] | None:
    return files.results["cohort"] if files.results else None


def _intended_use(files: Files) -> Answer:
    text = files.metadata.get("intended_use")
    return (text, "the bundle's metadata", "") if text else None


def _exclusions(files: Files) -> Answer:
    cohort = _cohort(files)
    if cohort and cohort["without_result"]:
        text = f"{plural(len(cohort['without_result']), 'listed case')} left out for want of a result, with reasons"
        return text, "results.json", "failures"
    left_out = sum(row["status"] != "done" for row in files.rows)
    return (
        (f"{plural(left_out, 'file')} skipped or failed, with reasons", "cases.csv", "failures") if left_out else None
    )


def _data_source(files: Files) -> Answer:
    if not files.results:
        return None
    data = files.results["data"]
    generated = "; the images are generated" if data.get("generated") else ""
    return f"data set '{data['name']}'{generated}", "results.json", "versions"


def _software(files: Files) -> Answer:
    versions = (files.run or {}).get("versions") or (files.results or {}).get("software")
    if not versions:
        return None
    named = ", ".join(f"{name} {version}" for name, version in versions.items())
    return named, "run.json" if files.run else "results.json", "versions"


def _preprocessing(files: Files) -> Answer:
    return ("grey-value transformations and scaling of the bundle", "run.json", "methods") if files.run else None


def _index_test(files: Files) -> Answer:
    if files.run is None:
        return None
    identity = files.run["identity"]
    version = files.metadata.get("version", "")
    text = f"bundle {identity['bundle']} {version}".strip()
    if identity["weights_sha256"]:
        text += f", weights with SHA-256 {identity['weights_sha256'][:16]}..."
    return text, "run.json", "versions"


def _training(files: Files) -> Answer:
    text = files.metadata.get("weights_trained_on") if files.metadata.get("shipped_weights") else None
    return (f"weights trained on {text}", "the bundle's metadata", "") if text else None


def _points(files: Files) -> list[dict[str, Any]]:
    return (files.results or {}).get("operating_points", [])


def _thresholds(files: Files) -> Answer:
    points = _points(files)
    preset = sum(point["preset"] for point in points)
    text = f"{plural(len(points), 'operating point')}, {preset} with a threshold set before these cases were seen"
    return (text, "results.json", "operating-points") if points else None


def _statistics(files: Files) -> Answer:
    if files.results is None or not (files.results["headline"] or files.results.get("reader_study")):
        return None
    return "definitions, intervals and tests, with references", "results.json", "methods"


def _missing(files: Files) -> Answer:
    cohort = _cohort(files)
    if cohort is None:
        return None
    n = len(cohort["without_result"])
    text = f"{plural(n, 'case')} without a result left out and listed" if n else "no listed case lacks a result"
    return text, "results.json", "failures"


def _subgroups(files: Files) -> Answer:
    variables = _variables(files)
    return (f"subgroups by {', '.join(variables)}", "results.json", "subgroups") if variables else None


def _variables(files: Files) -> dict[str, list[dict[str, Any]]]:
    """The groups of each variable, once, also where several figures are split by it."""
    subgroups = (files.results or {}).get("subgroups", [])
    return {group["variable"]: group["groups"] for group in subgroups if group["groups"]}


def _planning(files: Files) -> Answer:
    planning = ((files.results or {}).get("reader_study") or {}).get("planning")
    return ("power by number of readers and cases", "results.json", "reader-study") if planning else None


def _errors(files: Files) -> Answer:
    if files.results is None or not any(case["score"] is not None for case in files.results["cases"]):
        return None
    return "table of cases, misses and false positives first", "results.json", "cases"


def _flow(files: Files) -> Answer:
    cohort = _cohort(files)
    if cohort is None:
        return None
    text = f"{count(cohort['listed'])} listed, {len(cohort['without_result'])} left out, {count(cohort['analysed'])} analysed"
    return text, "results.json", "cohort"


def _characteristics(files: Files) -> Answer:
    variables = []
    for name, groups in _variables(files).items():
        numbers = ", ".join(f"{row['name'] or 'not known'} {count(row['n'])}" for row in groups)
        variables.append(f"{name} ({numbers})")
    return (f"of the analysed cases: {'; '.join(variables)}", "results.json", "subgroups") if variables else None


def _prevalence(files: Files) -> Answer:
    cohort = _cohort(files)
    if cohort is None or "multilabel" in (files.results or {}) or not cohort["diseased"] + cohort["nondiseased"]:
        return None
    total = cohort["diseased"] + cohort["nondiseased"]
    text = f"prevalence {percent(cohort['diseased'] / total)} ({count(cohort['diseased'])} of {count(total)})"
    return text, "results.json", "cohort"


def _cross_table(files: Files) -> Answer:
    if not _points(files):
        return None
    counts = _points(files)[0]["counts"]
    text = ", ".join(f"{count(counts[key])} {key.upper()}" for key in ("tp", "fp", "fn", "tn"))
    return f"{_points(files)[0]['name']}: {text}", "results.json", "operating-points"


def _accuracy(files: Files) -> Answer:
    known = [figure for figure in (files.results or {}).get("headline", []) if figure["value"] is not None]
    if not known:
        return None
    first, section = known[0], "registration" if (files.results or {})["task"] == "registration" else "figures"
    return f"{first['name']} {number(first['value'])} ({interval(first)}) and others", "results.json", section


def _audit(files: Files) -> Answer:
    names = [name for name, there in (("run.json", files.run), ("results.json", files.results)) if there]
    return f"outputs stored, with SHA-256: {', '.join(names)}", names[0], "versions"


def _subset(files: Files) -> Answer:
    section = (files.results or {}).get("data", {}).get("section")
    return (f"section '{section}' of the datalist", "results.json", "versions") if section else None


def _split(files: Files) -> Answer:
    split = (files.results or {}).get("data", {}).get("split")
    return (str(split), "results.json", "versions") if split else None


FACTS: dict[str, Callable[[Files], Answer]] = {
    "intended_use": _intended_use,
    "exclusions": _exclusions,
    "data_source": _data_source,
    "software": _software,
    "preprocessing": _preprocessing,
    "index_test": _index_test,
    "training": _training,
    "thresholds": _thresholds,
    "statistics": _statistics,
    "missing": _missing,
    "subgroups": _subgroups,
    "planning": _planning,
    "errors": _errors,
    "flow": _flow,
    "characteristics": _characteristics,
    "prevalence": _prevalence,
    "cross_table": _cross_table,
    "accuracy": _accuracy,
    "audit": _audit,
    "subset": _subset,
    "split": _split,
}
"""What the files may know, by the name that the list of items uses."""
