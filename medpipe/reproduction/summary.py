"""What the runs of a reproduction found: the content of its results.json.

Per table and setting: the values of all seeds, mean and standard deviation, the difference from the table's reference
over the seeds that both have, the published numbers; and whether the settings differ for other seeds and other cases.
What is undefined is null with a reason beside it.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from medpipe.errors import InputDataError, RequestError
from medpipe.evaluation.repeated_answers import compare_repeated_answers
from medpipe.evaluation.repeated_runs import FIGURES, compare_repeated_runs, figure_value, readings_of
from medpipe.evaluation.results import figure, number
from medpipe.evaluation.vqa import CONSTANT, accuracy_groups, questions_from
from medpipe.io.atomic import write_text
from medpipe.metrics.free_response import FreeResponseData
from medpipe.metrics.intervals import Bootstrap
from medpipe.metrics.repeats import mean_over_repeats, paired_difference, spread
from medpipe.predictions.results import read_results
from medpipe.predictions.run_folder import package_versions
from medpipe.reproduction.commands import Request
from medpipe.reproduction.folder import ReproductionFolder
from medpipe.reproduction.plan import Metric, Run, Setting, Table
from medpipe.reproduction.runs import Outcome

__all__ = ["FORMAT", "GENERATED", "check_figures", "summarise", "write_summary"]

FORMAT = "medpipe-reproduction/1"
GENERATED = "The data were generated: these figures are on drawings and say nothing about patients."
_LEVEL = 0.95
_RESAMPLES = 1000
_SD = "one run has no standard deviation"


@dataclass(frozen=True)
class _Found:
    """What one run's evaluation gave."""

    values: Mapping[str, float | None]
    reasons: Mapping[str, str | None]
    readings: Mapping[str, FreeResponseData]
    data: Mapping[str, Any]
    without_result: int
    answers: Sequence[Mapping[str, Any]]
    constant: Mapping[str, float | None]  # by the name of the accuracy that stands beside it


def summarise(
    request: Request, tables: Sequence[Table], seeds: int, folder: ReproductionFolder, outcomes: Sequence[Outcome]
) -> dict[str, Any]:
    """Gather the runs that are done.

    Args:
        request: What all runs have in common.
        tables: Those that were asked for.
        seeds: How many of each setting.
        folder: With the runs.
        outcomes: Of those that were tried; failures are told.

    Raises:
        RequestError: The results of a run cannot be read, or lack a figure of the plan.
    """
    plan, base = request.plan, request.base
    runs = plan.runs(tables, base, seeds)
    records = {(run.name, run.seed): folder.record(run) for run in runs}
    found = {
        (run.name, run.seed): _found(folder.of(run) / "evaluate" / "results.json", plan.metrics)
        for run in runs
        if records[run.name, run.seed]
    }
    data = next(iter(found.values())).data if found else {}
    versions = {record["configs"] for record in records.values() if record}
    failures = [
        {"run": one.run.name, "seed": one.run.seed, "reason": one.reason, "log": str(one.log.relative_to(folder.path))}
        for one in outcomes
        if one.reason
    ]
    content = {
        "format": FORMAT,
        "bundle": plan.bundle.name,
        "paper": plan.paper,
        "published_on": plan.published_on,
        "data": {key: data.get(key) for key in ("name", "generated", "section")},
        "quick": _quick(request),
        "options": {**plan.options, **(plan.quick.options if request.quick and plan.quick else {}), **request.given},
        "threads": request.threads,
        "seeds": list(range(seeds)),
        "level": _LEVEL,
        "software": {
            k: v for k, v in package_versions().items() if k in ("python", "medpipe", "monai", "torch", "timm")
        },
        "metrics": [vars(metric) for metric in plan.metrics],
        "runs": {"wanted": len(runs), "done": len(found), "failed": len(failures)},
        "failures": failures,
        "cautions": _cautions(found, versions),
        "tables": [_table(table, request, runs, found) for table in tables],
    }
    return {**content, "statements": _statements(content)}


def check_figures(request: Request, datalist: Path) -> None:
    """Refuse questions whose evaluation cannot have the accuracies that are compared, before the first run.

    Args:
        request: What all runs have in common.
        datalist: Of questions.

    Raises:
        InputDataError: There are no questions, or they lack a figure, as phrase types are missing for instance.
    """
    options = {**request.plan.bundle.config("evaluate"), **request.plan.evaluate, **request.given}
    questions, _ = questions_from(datalist, options["section"])
    known = [name for name, _, _ in accuracy_groups(questions)]
    for metric in request.plan.metrics:
        if metric.figure.startswith("Accuracy") and metric.figure not in known:
            raise InputDataError(
                f"datalist '{datalist}': its questions of '{options['section']}' give no figure '{metric.figure}', which is "
                f"compared; they give {', '.join(known)} (convention A needs free-form questions and others)"
            )


def write_summary(path: Path, content: dict[str, Any]) -> None:
    """Write results.json."""
    write_text(path, json.dumps(content, indent=1, allow_nan=False) + "\n")


def _quick(request: Request) -> dict[str, Any] | None:
    recipe = request.plan.quick if request.quick else None
    if recipe is None:
        return None
    return {key: list(value) if isinstance(value, tuple) else value for key, value in vars(recipe).items()}


def _found(path: Path, metrics: tuple[Metric, ...]) -> _Found:
    return _read(path, path.stat().st_mtime_ns, metrics)


@lru_cache(maxsize=1024)
def _read(path: Path, _: int, metrics: tuple[Metric, ...]) -> _Found:
    """Read a run's results once, however often tables are written."""
    results = read_results(path)
    try:
        pairs = {metric.name: figure_value(results, metric.figure) for metric in metrics}
    except InputDataError as error:
        raise RequestError(f"results '{path}': {error}; mend the bundle's reproduce.yaml") from error
    return _Found(
        {name: value for name, (value, _) in pairs.items()},
        {name: reason for name, (_, reason) in pairs.items()},
        readings_of(results),
        results["data"],
        len(results["cohort"]["without_result"]),
        results["cases"] if results["task"] == "vqa" else (),
        {
            one["name"].replace(CONSTANT, "Accuracy"): one["value"]
            for one in results["headline"]
            if one["name"].startswith(CONSTANT)
        },
    )


def _cautions(found: Mapping[tuple[str, int], _Found], versions: set[str]) -> list[str]:
    cautions = []
    if any(one.data.get("generated") for one in found.values()):
        cautions.append(GENERATED)
    lacking = [
        f"{name}, seed {seed} ({one.without_result})" for (name, seed), one in found.items() if one.without_result
    ]
    if lacking:
        cautions.append(
            f"Cases of the test section without a result, which these runs leave out: {'; '.join(lacking)}."
        )
    if len(versions) > 1:
        cautions.append(
            f"The bundle's configs were changed while this was under way: the runs were made by {len(versions)} versions of "
            "them, and differences between settings may come from that."
        )
    return cautions


def _table(
    table: Table, request: Request, runs: Sequence[Run], found: Mapping[tuple[str, int], _Found]
) -> dict[str, Any]:
    plan, base = request.plan, request.base
    seeds = sorted({run.seed for run in runs})
    names = {setting.name: plan.run_of(setting, base)[0] for setting in table.settings}
    done = {name: {seed: found[at, seed] for seed in seeds if (at, seed) in found} for name, at in names.items()}
    readings = {name: {seed: one.readings for seed, one in runs.items()} for name, runs in done.items()}
    answers = {name: {seed: one.answers for seed, one in runs.items() if one.answers} for name, runs in done.items()}
    asked = any(one.answers for one in found.values())
    figures = () if asked else FIGURES
    tests = {name: compare_repeated_runs(readings, table.reference, name, _LEVEL) for name in figures}
    return {
        "name": table.name,
        "title": table.title,
        "note": table.note,
        "source": table.source,
        "reference": table.reference,
        "claim": table.claim,
        "settings": [_setting(one, table, names[one.name], done, plan.metrics) for one in table.settings],
        "tests": tests,
        "answers": compare_repeated_answers(answers, table.reference, Bootstrap(_RESAMPLES, level=_LEVEL))
        if asked
        else None,
        "constant": next((dict(one.constant) for runs in done.values() for one in runs.values()), {}),
    }


def _setting(
    setting: Setting,
    table: Table,
    at: str,
    done: Mapping[str, Mapping[int, _Found]],
    metrics: Sequence[Metric],
) -> dict[str, Any]:
    own, reference = done[setting.name], done[table.reference]
    return {
        "name": setting.name,
        "title": setting.title,
        "run": at,
        "options": dict(setting.options),
        "after": list(setting.after),
        "seeds": list(own),
        "figures": {
            metric.name: _figures(metric, setting, own, None if setting.name == table.reference else reference)
            for metric in metrics
        },
    }


def _figures(
    metric: Metric, setting: Setting, own: Mapping[int, _Found], reference: Mapping[int, _Found] | None
) -> dict[str, Any]:
    values = _defined(own, metric.name)
    undefined = {seed: one.reasons[metric.name] for seed, one in own.items() if seed not in values}
    published = setting.published.get(metric.name)
    sd = spread(list(values.values()))
    entry: dict[str, Any] = {
        "values": [{"seed": seed, "value": value} for seed, value in values.items()],
        "undefined": [{"seed": seed, "reason": reason} for seed, reason in undefined.items()],
        "mean": figure(
            metric.name, mean_over_repeats(list(values.values()), _LEVEL), f"mean over seeds of: {metric.title}"
        ),
        "sd": {"value": number(sd), "reason": _SD if len(values) == 1 else None if values else "no run has ended well"},
        "difference": None,
        "published": None if published is None else {"mean": published.mean, "sd": published.sd},
    }
    if reference is not None:
        apart = paired_difference(values, _defined(reference, metric.name), _LEVEL)
        entry["difference"] = figure(
            f"Difference in {metric.name}", apart, "setting minus reference, with the same seed"
        )
    return entry


def _defined(runs: Mapping[int, _Found], name: str) -> dict[int, float]:
    values = {seed: one.values[name] for seed, one in runs.items()}
    return {seed: value for seed, value in values.items() if value is not None and math.isfinite(value)}


def _statements(content: dict[str, Any]) -> list[str]:
    """For each table with a claim, whether these runs bear it out."""
    said = []
    where = "on these generated data" if content["data"].get("generated") else "on these data"
    for table in content["tables"]:
        claimed = next((one for one in table["settings"] if one["name"] == table["claim"]), None)
        reference = next(one for one in table["settings"] if one["name"] == table["reference"])
        if claimed is None or claimed is reference:
            continue
        for name, found in claimed["figures"].items():
            said.append(
                f"{table['title']}: {claimed['title']} - {reference['title']}, {name}, {where}: "
                f"{_verdict(found['difference'])}{_published(found, reference['figures'][name])}."
            )
    return said


def _verdict(difference: dict[str, Any]) -> str:
    if difference["value"] is None:
        return f"undefined ({difference['reason']})"
    if difference["low"] is None:
        return f"{difference['value']:+.3f} (no interval: {difference['reason']}), so nothing is shown"
    interval = f"{100 * difference['level']:g} % t interval over {difference['n']} seeds"
    limits = f"{difference['low']:+.3f} to {difference['high']:+.3f}"
    shown = "shown" if difference["low"] > 0 else "contradicted" if difference["high"] < 0 else "not shown"
    return f"{difference['value']:+.3f} ({interval}: {limits}); the claimed advantage is {shown}"


def _published(claimed: dict[str, Any], reference: dict[str, Any]) -> str:
    one, two = claimed["published"], reference["published"]
    return "" if one is None or two is None else f"; published {one['mean'] - two['mean']:+.4f} on other data"
