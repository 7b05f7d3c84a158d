"""A multi-reader multi-case study: figures of merit, tests, and the panels between which a reader chooses."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from medpipe.reports.figures import dot_scale
from medpipe.reports.formats import number, p_value, plural
from medpipe.reports.notes import Notes
from medpipe.reports.reader_curves import reader_curves
from medpipe.reports.scales import Scale

__all__ = ["overall_line", "reader_study_section"]

METHODS = {"OR": "Obuchowski-Rockette", "DBM": "Dorfman-Berbaum-Metz"}
GENERALISATIONS = {
    "RRRC": "random readers and random cases",
    "FRRC": "fixed readers and random cases",
    "RRFC": "random readers and fixed cases",
}
_DEFAULTS = ("wAFROC", "Wilcoxon")
_PLOT_WIDTH = 230


def reader_study_section(results: dict[str, Any]) -> dict[str, Any] | None:
    """Tables by figure of merit, and one panel for each figure of merit, method and generalisation."""
    study = results.get("reader_study")
    if not study or not study["figures_of_merit"]:
        return None
    foms = study["figures_of_merit"]
    tested = [name for name in foms if study["tests"].get(name)]
    wanted = (study.get("main_figure"), *_DEFAULTS, *tested)
    default = next((name for name in wanted if name in tested), next(iter(foms)))
    panels = [panel for name in tested for panel in _panels(study, name)]
    methods = [name for name in METHODS if any(panel["method"] == name for panel in panels)]
    return {
        "type": study["type"],
        "modalities": called("modality", study["modalities"]),
        "readers": called("reader", study["readers"]),
        "default": default,
        "tables": [_table(study, name) for name in foms],
        "panels": panels,
        "methods": {name: METHODS[name] for name in methods},
        "generalisations": {
            name: text
            for name, text in GENERALISATIONS.items()
            if any(panel["generalisation"] == name for panel in panels)
        },
        "chosen": next(((p["method"], p["generalisation"]) for p in panels if p["fom"] == default), None),
        "width": _PLOT_WIDTH,
        "unavailable": _named(study.get("unavailable")),
        "facts": _facts(study),
        "level": study.get("level"),
        "planning": _planning(study.get("planning")),
        "curves": reader_curves(study, called("reader", study["readers"])),
        "bootstrap": _bootstrap(study.get("bootstrap")),
    }


def called(kind: str, names: Sequence[str]) -> list[str]:
    """Names as the page shows them; what is hardly a name, such as a number, says of what it is one."""
    return [f"{kind} {name}" if len(name) < 3 else name for name in names]


def _facts(study: dict[str, Any]) -> list[str]:
    counts = [
        plural(study[key], noun)
        for key, noun in (
            ("n_diseased", "diseased case"),
            ("n_nondiseased", "non-diseased case"),
            ("n_lesions", "lesion"),
        )
        if study.get(key)
    ]
    facts = [", ".join(counts)] if counts else []
    if study.get("covariance"):
        facts.append(f"Covariances by {study['covariance']}")
    if study.get("multiplicity"):
        adjusted = study["multiplicity"]
        facts.append(
            "p values of pairs are not adjusted for their number"
            if adjusted == "none"
            else f"p values of pairs also adjusted for their number ({_text(adjusted)})"
        )
    if study.get("caution"):
        facts.append(study["caution"][:1].upper() + study["caution"][1:])
    return facts


def _bootstrap(found: dict[str, Any] | None) -> list[dict[str, Any]]:
    """Means and differences with intervals by resampling, a table for each thing that was drawn."""
    tables = []
    for drawn, part in (found or {}).items():
        if not isinstance(part, dict):
            continue
        means = part["modality_means"]
        rows = [(row["difference"], row["p"]) for row in part["differences"]]
        tables.append(
            {
                "drawn": drawn,
                "means": means,
                "scale": dot_scale(means, width=_PLOT_WIDTH),
                "differences": rows,
                "difference_scale": dot_scale([figure for figure, _ in rows], 0.0, width=_PLOT_WIDTH),
                "methods": Notes(means).methods,
            }
        )
    return tables


def _planning(planning: dict[str, Any] | None) -> dict[str, Any] | None:
    if not planning:
        return None
    rows = planning.get("rows") or planning.get("table") or []
    about = planning.get("assumptions") or {
        key: value for key, value in planning.items() if key not in ("rows", "table", "pilot", "unavailable")
    }
    text = _text(about).replace("_", " ").rstrip(".")
    return {"rows": rows, "about": f"{text}." if text else "", "unavailable": planning.get("unavailable")}


def _table(study: dict[str, Any], fom: str) -> dict[str, Any]:
    means = (study["tests"].get(fom) or {}).get("modality_means") or [None] * len(study["modalities"])
    rows = zip(called("modality", study["modalities"]), study["figures_of_merit"][fom], means, strict=True)
    tests = study["tests"].get(fom) or {}
    return {
        "fom": fom,
        "definition": (study.get("definitions") or {}).get(fom, ""),
        "rows": [{"name": name, "values": values, "mean": mean} for name, values, mean in rows],
        "components": {
            method: {
                part: tests[f"{prefix}_{part}"]
                for part in ("mean_squares", "components")
                if tests.get(f"{prefix}_{part}")
            }
            if method in tests
            else {}
            for method, prefix in (("OR", "or"), ("DBM", "dbm"))
        },
    }


def _panels(study: dict[str, Any], fom: str) -> list[dict[str, Any]]:
    panels = []
    tests = study["tests"][fom]
    readers = study["figures_of_merit"][fom]
    for method in METHODS:
        for generalisation in GENERALISATIONS:
            test = (tests.get(method) or {}).get(generalisation)
            if test:
                panels.append({"fom": fom, "method": method, "generalisation": generalisation, **_panel(test, readers)})
    return panels


def _panel(test: dict[str, Any], readers: Sequence[Sequence[float | None]]) -> dict[str, Any]:
    modalities = test.get("per_modality") or []
    differences, by_reader = test.get("differences") or [], test.get("differences_each_reader") or []
    return {
        "test": test,
        "line": overall_line(test),
        "modalities": [{**row, "readers": list(values)} for row, values in zip(modalities, readers, strict=False)],
        "scale": _scale(modalities, [value for row in readers for value in row]),
        "differences": differences,
        "by_reader": by_reader,
        "holm": any("p_holm" in row for row in differences),
        "difference_scale": _scale([*differences, *by_reader], [0.0]),
    }


def _scale(rows: Sequence[dict[str, Any]], also: Sequence[float | None]) -> Scale:
    values: list[float | None] = [row.get(key) for row in rows for key in ("estimate", "ci_low", "ci_high")]
    return Scale.around([*values, *also], 14, _PLOT_WIDTH - 14)


def overall_line(test: dict[str, Any]) -> str:
    """The overall test in one line, such as "F(4, 36.8) = 7.80, p < 0.001"."""
    p = p_value(test.get("p"))
    p = f"p {p}" if p.startswith("<") else f"p = {p}"
    if test.get("F") is not None:
        ddf = "\N{INFINITY}" if test["ddf"] is None else f"{test['ddf']:.1f}"
        return f"F({test['ndf']:g}, {ddf}) = {number(test['F'], 2)}, {p}"
    if test.get("chisq") is not None:
        return f"\N{GREEK SMALL LETTER CHI}\N{SUPERSCRIPT TWO}({test['df']:g}) = {number(test['chisq'], 2)}, {p}"
    reason = test.get("unavailable") or test.get("reason")
    return f"there is no test{': ' + reason if reason else ''}"


def _named(unavailable: Any) -> list[tuple[str, str]]:
    if isinstance(unavailable, dict):
        return [(name, _text(reason)) for name, reason in unavailable.items()]
    return [(str(name), "") for name in unavailable or []]


def _text(value: Any) -> str:
    """A setting in words, also where it is a group of settings."""
    if isinstance(value, dict):
        return "; ".join(f"{key}: {_text(part)}" for key, part in value.items())
    if isinstance(value, list):
        return ", ".join(_text(part) for part in value)
    return "" if value is None else f"{value:g}" if isinstance(value, float) else str(value)
