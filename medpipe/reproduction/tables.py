"""Tables of a reproduction's results for people: Markdown, CSV, and cells for a terminal."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from medpipe.io.atomic import write_text

__all__ = ["analysis_lines", "header", "reference_title", "rows", "write_tables"]


def header(content: dict[str, Any]) -> list[str]:
    """Column heads of every table."""
    cells = ["setting", "runs"]
    for metric in content["metrics"]:
        name = metric["name"]
        cells += [
            f"{name}, mean (sd)",
            f"{name}, difference ({100 * content['level']:g} % t interval)",
            f"{name}, published (sd)",
        ]
    return cells


def reference_title(table: dict[str, Any]) -> str:
    """What the settings of a table are compared with."""
    return str(next(one["title"] for one in table["settings"] if one["name"] == table["reference"]))


def rows(content: dict[str, Any], table: dict[str, Any]) -> Iterator[list[str]]:
    """One row of cells a setting."""
    for setting in table["settings"]:
        cells = [setting["title"], str(len(setting["seeds"]))]
        for metric in content["metrics"]:
            found = setting["figures"][metric["name"]]
            cells += [_mean(found), _difference(found["difference"]), _published(found["published"])]
        yield cells


def _mean(found: dict[str, Any]) -> str:
    if found["mean"]["value"] is None:
        return f"NaN: {found['mean']['reason']}"
    sd = found["sd"]["value"]
    return f"{found['mean']['value']:.3f} ({'NaN: one run' if sd is None else f'{sd:.3f}'})"


def _difference(found: dict[str, Any] | None) -> str:
    if found is None:
        return "reference"
    if found["value"] is None:
        return f"NaN: {found['reason']}"
    if found["low"] is None:
        return f"{found['value']:+.3f} (NaN: one pair)"
    return f"{found['value']:+.3f} ({found['low']:+.3f} to {found['high']:+.3f})"


def _published(found: dict[str, Any] | None) -> str:
    if found is None:
        return "none"
    return f"{found['mean']:.4f}" + ("" if found["sd"] is None else f" ({found['sd']:.4f})")


def analysis_lines(table: dict[str, Any]) -> Iterator[str]:
    """What the analysis as a reader study, or over images, says in sentences."""
    titles = {setting["name"]: setting["title"] for setting in table["settings"]}
    if table["answers"]:
        yield from _answers(table, titles)
    for name, found in table["tests"].items():
        if "unavailable" in found:
            yield f"{name}: no analysis over seeds and cases: {found['unavailable']}."
            continue
        overall = found["OR"]
        if "unavailable" in overall:
            yield f"{name}: no analysis over seeds and cases: {overall['unavailable']}."
            continue
        yield f"{found['about']}: {_overall(found)}"
        for setting, row in zip(found["settings"], overall["differences"], strict=False):
            yield f"  {titles[setting]} - {titles[table['reference']]}: {_pair(row, found['level'])}"
        if found["caution"]:
            yield f"  {found['caution']}."


def _answers(table: dict[str, Any], titles: dict[str, str]) -> Iterator[str]:
    found = table["answers"]
    if "unavailable" in found:
        yield f"No analysis over images: {found['unavailable']}."
        return
    yield (
        f"Intervals over {found['images']} images ({100 * found['level']:g} %, bootstrap; {found['questions']} questions), of the "
        "mean over these seeds:"
    )
    for name, rows in found["figures"].items():
        constant = table["constant"].get(name)
        yield f"{name}" + (f" (the most frequent answer to all: {constant:.3f}):" if constant is not None else ":")
        for row in rows:
            apart = row["difference"]
            than = titles[table["reference"]]
            more = "" if apart is None else f"; minus {than}: {_limits(apart, '+.3f')}"
            yield f"  {titles[row['setting']]}: {_limits(row['accuracy'], '.3f')}{more}"


def _limits(found: dict[str, Any], form: str) -> str:
    if found["low"] is None:
        return f"{found['value']:{form}} (no interval: {found['reason']})"
    return f"{found['value']:{form}} ({found['low']:{form}} to {found['high']:{form}})"


def _overall(found: dict[str, Any]) -> str:
    kinds = {"RRRC": "random seeds and cases (RRRC)", "FRRC": "this seed, random cases (FRRC)"}
    seeds, cases = found["seeds"], found["cases"]
    of = f"{len(found['settings'])} settings, {len(seeds)} seed{'s' if len(seeds) > 1 else ''}"
    of += f", {cases['diseased']} + {cases['nondiseased']} cases, {kinds[found['analysis']]}"
    parts = []
    for method, title in (("OR", "Obuchowski-Rockette"), ("DBM", "Dorfman-Berbaum-Metz")):
        entry = found[method]
        if "unavailable" in entry:
            parts.append(f"{title}: {entry['unavailable']}")
            continue
        statistic = "chisq" if "chisq" in entry else "F"
        value = "undefined" if entry[statistic] is None else f"{entry[statistic]:.2f}"
        parts.append(f"{title} {'chi-square' if statistic == 'chisq' else 'F'} = {value}, p {_p(entry['p'])}")
    return f"{'; '.join(parts)} ({of})."


def _pair(row: dict[str, Any], level: float) -> str:
    if row["ci_low"] is None or row["ci_high"] is None:
        return f"{row['estimate']:+.3f} (no interval: {row.get('reason')})"
    return f"{row['estimate']:+.3f} ({100 * level:g} % interval {row['ci_low']:+.3f} to {row['ci_high']:+.3f}), p {_p(row['p'])}"


def _p(value: float | None) -> str:
    if value is None or math.isnan(value):
        return "undefined"
    return "< 0.001" if value < 0.001 else f"= {value:.3f}"


def write_tables(folder: Path, content: dict[str, Any]) -> None:
    """Write tables.md and tables.csv."""
    write_text(folder / "tables.md", _markdown(content))
    write_text(folder / "tables.csv", _csv(content))


def _markdown(content: dict[str, Any]) -> str:
    done = content["runs"]
    lines = [f"# Reproduction of {content['bundle']}", "", f"Paper: {content['paper']}", ""]
    lines += [f"**{caution}**\n" for caution in content["cautions"]]
    lines += [
        f"{done['done']} of {done['wanted']} runs done. Published numbers: on {content['published_on']}; not comparable."
    ]
    lines += ["", *(f"- {statement}" for statement in content["statements"])]
    for table in content["tables"]:
        head = header(content)
        lines += ["", f"## {table['title']}", "", f"Each compared with: {reference_title(table)}.", ""]
        lines += [f"{table['note']}\n"] if table["note"] else []
        lines += [_line(head), _line(["---"] * len(head)), *(_line(cells) for cells in rows(content, table))]
        lines += ["", f"Published numbers: {table['source']}.", ""]
        lines += [
            f"- {line.strip()}" if not line.startswith("  ") else f"  - {line.strip()}"
            for line in analysis_lines(table)
        ]
    if content["failures"]:
        lines += ["", "## Runs that failed", ""]
        lines += [f"- {one['run']}, seed {one['seed']}: {one['reason']} ({one['log']})" for one in content["failures"]]
    return "\n".join(lines) + "\n"


def _line(cells: list[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


_COLUMNS = (
    "table", "setting", "options", "metric", "seeds", "mean", "sd", "mean_low", "mean_high", "reference", "difference",
    "difference_low", "difference_high", "published_mean", "published_sd", "published_on", "generated", "reason",
)  # fmt: skip


def _csv(content: dict[str, Any]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, _COLUMNS, lineterminator="\n")
    writer.writeheader()
    for table in content["tables"]:
        for setting in table["settings"]:
            for name, found in setting["figures"].items():
                writer.writerow(_record(content, table, setting, name, found))
    return text.getvalue()


def _record(
    content: dict[str, Any], table: dict[str, Any], setting: dict[str, Any], name: str, found: dict[str, Any]
) -> dict[str, Any]:
    """One setting's figure as a row; what is undefined is NaN with the reason, what does not apply is empty."""
    mean, apart, published = found["mean"], found["difference"], found["published"] or {}
    difference = {} if apart is None else apart
    reasons = dict.fromkeys(filter(None, (mean["reason"], found["sd"]["reason"], difference.get("reason"))))
    return {
        "table": table["name"],
        "setting": setting["name"],
        "options": " ".join(f"{key}={value}" for key, value in setting["options"].items()),
        "metric": name,
        "seeds": mean["n"],
        "mean": _number(mean["value"]),
        "sd": _number(found["sd"]["value"]),
        "mean_low": _number(mean["low"]),
        "mean_high": _number(mean["high"]),
        "reference": table["reference"],
        "difference": "" if apart is None else _number(apart["value"]),
        "difference_low": "" if apart is None else _number(apart["low"]),
        "difference_high": "" if apart is None else _number(apart["high"]),
        "published_mean": published.get("mean", ""),
        "published_sd": "" if published.get("sd") is None else published["sd"],
        "published_on": content["published_on"] if published else "",
        "generated": content["data"].get("generated"),
        "reason": "; ".join(reasons),
    }


def _number(value: float | None) -> str | float:
    return "NaN" if value is None else value
