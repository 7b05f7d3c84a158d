"""medpipe inspect"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Annotated, Any

import typer

from medpipe.cli.common import IndexOption, JsonOption, header_store, show_json


def run(
    inputs: Annotated[list[Path], typer.Argument(help="Files, folders, zip archives or DICOMDIRs.")],
    identified: Annotated[
        bool, typer.Option("--identified", help="Leave patients' names, ids and birth dates in paths as they are.")
    ] = False,
    index: IndexOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say what is in a folder: patients, studies, series, what is wrong with them, and which bundles fit.

    Headers alone are read. No patient is named, unless with --identified.

    Example: [bold]medpipe inspect export/[/bold]
    """
    from medpipe.io.inventory import take_inventory

    found = take_inventory(inputs, usable=_bundles_for, identified=identified, store=header_store(index))
    if as_json:
        show_json(found)
        return
    _show(found)


def _bundles_for(series: Any) -> list[str]:
    """Bundles whose rules accept the first image of a series."""
    from medpipe.errors import CaseError
    from medpipe.io.cases import RadiographRules
    from medpipe.io.dicom_radiograph import read_header

    fitting = []
    for name, rules in _radiograph_rules().items():
        try:
            with series.instances[0].source.open() as stream:
                RadiographRules(**rules).check(read_header(stream))
        except (CaseError, TypeError):
            continue
        fitting.append(name)
    return fitting


@cache  # an archive may hold thousands of series
def _radiograph_rules() -> dict[str, dict[str, Any]]:
    """By bundle, what it asks of a radiograph; bundles without inference, and those that take volumes, ask nothing."""
    from medpipe.bundles import list_bundles
    from medpipe.errors import RequestError

    known = {}
    for bundle in list_bundles():
        try:
            rules = dict(bundle.config("infer").get("rules") or {})
        except RequestError:
            continue
        if rules.pop("_target_", "") == "medpipe.io.cases.RadiographRules":
            known[bundle.name] = rules
    return known


def _show(found: dict[str, Any]) -> None:
    for patient in found["patients"]:
        for study in patient["studies"]:
            print(f"{patient['patient']} study {study['study']}")
            for series in study["series"]:
                _show_series(series)
    files = found["files"]
    print(", ".join(f"{count} {name}" for name, count in files.items()))
    for row in found["not_read"]:
        if row["code"] != "foreign_file":
            print(f"  {row['status']} {row['file']}: {row['reason']}")


def _show_series(series: dict[str, Any]) -> None:
    fits = f", fits {', '.join(series['bundles'])}" if series["bundles"] else ""
    print(f"  series {series['series']} {series['modality'] or '(no modality)'}, {series['files']} files{fits}")
    for volume in series["volumes"]:
        size, voxel = (" x ".join(f"{v:g}" for v in volume[key]) for key in ("shape", "voxel_mm"))
        print(f"    {size} voxels of {voxel} mm")
        for finding in volume["findings"]:
            print(f"      {finding['severity']} {finding['code']}: {finding['message']}")
        if "strict" not in volume["converted_by"]:
            others = " or ".join(f"--policy {policy}" for policy in volume["converted_by"])
            print(f"      refused as it is{f'; {others} converts it' if others else ''}")
