"""The report: report/index.html, one file that needs no network.

It is made from a run folder (run.json, cases.csv, marks.csv, pictures), from results.json, or from both. Each section
of the page has a module here, which turns the files into what is shown, and a template of the same name, which arranges
it. A section without content disappears; failures, methods and versions are always there. Pictures are drawn by the
templates as SVG, so that their text is text, each has a title, and no drawing library is loaded.
"""

from __future__ import annotations

import base64
import hashlib
from functools import cache
from pathlib import Path
from typing import Any

from medpipe.bundles import find_bundle
from medpipe.errors import RequestError
from medpipe.io.atomic import write_text
from medpipe.predictions.results import read_results
from medpipe.predictions.run_folder import read_run, sha256_of_file
from medpipe.predictions.tables import read_table
from medpipe.reports.calibration import calibration_section
from medpipe.reports.cases import cases_section
from medpipe.reports.checklist import Files, checklist_section
from medpipe.reports.cohort import cohort_section
from medpipe.reports.comparison import comparison_section
from medpipe.reports.curves import curves_section, draw_curve
from medpipe.reports.failures import failures_section
from medpipe.reports.figures import headline_section, multilabel_section, subgroups_section
from medpipe.reports.formats import FILTERS
from medpipe.reports.methods import methods_section
from medpipe.reports.operating_points import operating_points_section
from medpipe.reports.provenance import provenance_section
from medpipe.reports.question_attention import question_attention_section
from medpipe.reports.reader_study import reader_study_section
from medpipe.reports.registration import registration_section
from medpipe.reports.registration_pairs import registration_pairs_section
from medpipe.reports.run_pairs import run_pairs_section, run_pictures_section

__all__ = ["render", "write_report"]

_TEMPLATES = Path(__file__).with_name("templates")

SECTIONS = {
    "cohort": "Cohort",
    "figures": "Main results",
    "registration": "Registration accuracy",
    "run_pairs": "Pairs",
    "registration_pairs": "Pairs in pictures",
    "curves": "Curves",
    "operating_points": "Operating points",
    "calibration": "Calibration",
    "subgroups": "Subgroups",
    "comparison": "Comparison",
    "reader_study": "Reader study",
    "multilabel": "Classes",
    "cases": "Cases",
    "question_attention": "Attention",
    "failures": "Failures and skipped files",
    "methods": "Methods",
    "checklist": "Reporting checklists",
    "versions": "Versions and files",
}
"""The sections in their order, with their headings."""

_TASKS = {
    "roc": "image scores",
    "localization": "marks and image scores",
    "mrmc": "reader study",
    "multilabel": "scores of several classes",
    "registration": "deformable registration",
    "vqa": "answers to questions about images",
}


def write_report(folder: str | Path, comparison: dict[str, Any] | None = None) -> Path:
    """Write ``folder``/report/index.html from the folder's files.

    Args:
        folder: Of a run, or of scores.
        comparison: With a second model, laid out as "comparison" of results.json, whose place it takes.

    Returns:
        The page's path. The same files give the same page, byte for byte.

    Raises:
        RequestError: The folder holds neither a run nor results.
        InputDataError: The results are not laid out as results.schema.json says.
    """
    folder = Path(folder)
    run = read_run(folder) if (folder / "run.json").is_file() else None
    results = read_results(folder / "results.json") if (folder / "results.json").is_file() else None
    if run is None and results is None:
        raise RequestError(f"'{folder}' holds neither run.json nor results.json; nothing to report on")
    if results is not None:
        comparison = comparison or results.get("comparison")
    page = folder / "report" / "index.html"
    try:
        page.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RequestError(f"report folder '{page.parent}' cannot be made ({error.strerror or error})") from error
    write_text(page, render(_context(folder, run, results, comparison)))
    return page


def _context(
    folder: Path, run: dict[str, Any] | None, results: dict[str, Any] | None, comparison: dict[str, Any] | None
) -> dict[str, Any]:
    metadata = _bundle_metadata(run)
    rows = read_table(folder / "cases.csv", ["case", "status", "reason"]) if (folder / "cases.csv").is_file() else []
    sections: dict[str, Any] = {
        "cohort": cohort_section(rows, results),
        "cases": cases_section(folder, rows, results),
        "failures": failures_section(run, rows, results),
        "methods": methods_section(run, results, comparison, metadata),
        "versions": provenance_section(folder, run, results),
    }
    if run is not None:
        sections |= {"run_pairs": run_pairs_section(folder), "registration_pairs": run_pictures_section(folder)}
        sections["question_attention"] = question_attention_section(folder, run, sections["cases"])
    if results is not None:
        sections |= _result_sections(results, comparison)
        sections["registration_pairs"] = registration_pairs_section(folder, results)
        sections["checklist"] = checklist_section(Files(run, rows, results, metadata))
    return {
        "title": metadata.get("name") or (results or {}).get("data", {}).get("name") or "Scores",
        "subtitle": _subtitle(run, results),
        "notices": _notices(run, results, metadata),
        "statements": _statements(results, comparison),
        "sections": {
            key: {"title": title, "content": sections[key]}
            for key, title in SECTIONS.items()
            if sections.get(key) is not None
        },
    }


def _result_sections(results: dict[str, Any], comparison: dict[str, Any] | None) -> dict[str, Any]:
    multilabel = multilabel_section(results)
    if multilabel:
        multilabel["curves"] = [
            draw_curve(f"class-{number}", {**row["curve"], "name": f"{row['name']}: {row['curve']['name']}"})
            for number, row in enumerate(multilabel["classes"])
            if row.get("curve") and row["curve"]["x"]
        ]
    return {
        "figures": headline_section(results),
        "curves": curves_section(results, comparison),
        "operating_points": operating_points_section(results),
        "calibration": calibration_section(results),
        "subgroups": subgroups_section(results),
        "comparison": comparison_section(comparison, results["task"]),
        "reader_study": reader_study_section(results),
        "multilabel": multilabel,
        "registration": registration_section(results),
    }


def _statements(results: dict[str, Any] | None, comparison: dict[str, Any] | None) -> list[str]:
    found = [(results or {}).get("statement"), (comparison or {}).get("statement")]
    return [statement for statement in found if statement]


def _subtitle(run: dict[str, Any] | None, results: dict[str, Any] | None) -> str:
    parts = []
    if run is not None:
        parts.append(f"bundle {run['identity']['bundle']}, run of {run['started']}")
    if results is not None:
        predictions = results["data"].get("predictions")
        parts.append(_TASKS[results["task"]] + (f", from {predictions}" if predictions else ""))
    text = "; ".join(parts)
    return text[:1].upper() + text[1:]


def _bundle_metadata(run: dict[str, Any] | None) -> dict[str, Any]:
    if run is None:
        return {}
    try:
        bundle = find_bundle(run["identity"]["bundle"])
    except RequestError:  # the run was made elsewhere, by a bundle that is not here
        return {}
    shipped = bundle.weights.is_file() and sha256_of_file(bundle.weights) == run["identity"]["weights_sha256"]
    return {**bundle.metadata(), "bundle": bundle.name, "shipped_weights": shipped}


def _notices(run: dict[str, Any] | None, results: dict[str, Any] | None, metadata: dict[str, Any]) -> list[str]:
    notices = ["For research use. Not a medical device, and not for clinical use."]
    if metadata.get("shipped_weights") and metadata.get("weights_trained_on"):
        notices.append(f"The weights were trained on {metadata['weights_trained_on']}.")
    if (results or {}).get("data", {}).get("generated"):
        notices.append("The images are generated: these figures say nothing about patients.")
    if run is not None and run["finished"] is None:
        notices.append("The run is not finished.")
    return notices


def render(context: dict[str, Any]) -> str:
    """The page as text: title, subtitle, notices, statements and sections, each with a template of its key or of its own."""
    import jinja2
    from markupsafe import Markup

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= FILTERS
    environment.policies["json.dumps_kwargs"] = {"sort_keys": True, "separators": (",", ":")}
    style, script = _joined("styles", "css"), _joined("scripts", "js")
    return environment.get_template("report.html").render(
        **context,
        style=Markup(style),  # noqa: S704 - our own files
        script=Markup(script),  # noqa: S704 - our own files
        style_hash=_hash(style),
        script_hash=_hash(script),
    )


@cache
def _joined(folder: str, suffix: str) -> str:
    paths = sorted((_TEMPLATES / folder).glob(f"*.{suffix}"))
    return "\n" + "".join(path.read_text(encoding="utf-8") for path in paths)


def _hash(text: str) -> str:
    """The form in which a content security policy allows one text and no other."""
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"
