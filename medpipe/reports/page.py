"""The report: report/index.html, one file that needs no network.

It is made from a run folder (run.json, cases.csv, marks.csv, pictures), from results.json, or from both.
"""

from __future__ import annotations

import base64
import io
from collections import Counter
from pathlib import Path
from typing import Any

from medpipe.bundles import find_bundle
from medpipe.errors import RequestError
from medpipe.io.atomic import write_text
from medpipe.predictions.results import read_results
from medpipe.predictions.run_folder import package_versions, read_run, sha256_of_file
from medpipe.predictions.tables import read_table
from medpipe.reports.figures import curve_svg
from medpipe.reports.methods import methods_text

__all__ = ["write_report"]

_PICTURE_BUDGET = 3_500_000
"""Bytes of pictures in one page, so that a thousand cases stay below five megabytes."""


def write_report(folder: str | Path) -> Path:
    """Write ``folder``/report/index.html from the folder's files.

    Returns:
        The page's path.

    Raises:
        RequestError: The folder holds neither a run nor results.
    """
    folder = Path(folder)
    run = read_run(folder) if (folder / "run.json").is_file() else None
    results = read_results(folder / "results.json") if (folder / "results.json").is_file() else None
    if run is None and results is None:
        raise RequestError(f"'{folder}' holds neither run.json nor results.json; nothing to report on")
    page = folder / "report" / "index.html"
    try:
        page.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RequestError(f"report folder '{page.parent}' cannot be made ({error.strerror or error})") from error
    write_text(page, _render(_context(folder, run, results)))
    return page


def _render(context: dict[str, Any]) -> str:
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).with_name("templates")),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("report.html").render(context)


def _context(folder: Path, run: dict[str, Any] | None, results: dict[str, Any] | None) -> dict[str, Any]:
    metadata = _bundle_metadata(run)
    rows = read_table(folder / "cases.csv", ["case", "status", "reason"]) if (folder / "cases.csv").is_file() else []
    done = [row for row in rows if row["status"] == "done"]
    curves = [{**curve, "svg": curve_svg(curve)} for curve in (results or {}).get("curves", {}).values()]
    return {
        "title": metadata.get("name") or (results or {}).get("data", {}).get("name", "Scores"),
        "run": run,
        "results": results,
        "metadata": metadata,
        "notices": _notices(run, results, metadata),
        "counts": Counter(row["status"] for row in rows),
        "total": len(rows),
        "cases": _case_rows(folder, done, results),
        "unfinished": run is not None and run["finished"] is None,
        "without_result": (results or {}).get("cohort", {}).get("without_result", []),
        "not_done": [row for row in rows if row["status"] != "done"],
        "remarks": [row for row in done if row["reason"]],
        "curves": curves,
        "methods": methods_text(run, results, metadata),
        "versions": (run or {}).get("versions") or package_versions(),
    }


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


def _case_rows(folder: Path, done: list[dict[str, str]], results: dict[str, Any] | None) -> list[dict[str, Any]]:
    """Done cases by falling score, with truth where it is known and a picture where there is one."""
    truth = {row["case"]: row for row in (results or {}).get("cases", [])}
    if not done:
        return [{**row, "picture": None, "link": None, "truth": row} for row in truth.values()]
    ordered = sorted(done, key=lambda row: (-float(row["score"]), row["case"]))
    side = 320 if len(ordered) <= 120 else 160
    spent, rows = 0, []
    for row in ordered:
        path = folder / "cases" / row["case"] / "marks.png"
        picture = _thumbnail(path, side) if path.is_file() and spent < _PICTURE_BUDGET else None
        spent += len(picture or "")
        link = f"../cases/{row['case']}/marks.png" if path.is_file() else None
        rows.append({**row, "picture": picture, "link": link, "truth": truth.get(row["case"])})
    return rows


def _thumbnail(path: Path, side: int) -> str:
    from PIL import Image

    with Image.open(path) as picture:
        small = picture.convert("RGB")
        small.thumbnail((side, side))
    encoded = io.BytesIO()
    small.save(encoded, "JPEG", quality=75)
    return base64.b64encode(encoded.getvalue()).decode("ascii")
