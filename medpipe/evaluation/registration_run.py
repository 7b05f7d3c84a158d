"""A run of a registration bundle on the pairs of a datalist, scored against their labels and landmarks."""

from __future__ import annotations

from pathlib import Path

from medpipe.data.registration_cases import listed_pairs
from medpipe.data.registration_datalist import load_registration_datalist
from medpipe.errors import InputDataError
from medpipe.evaluation.formats.registration_pairs import RegistrationPair
from medpipe.evaluation.registration import evaluate_registration, measured_pairs, write_pair_values
from medpipe.evaluation.registration_measures import Protocol
from medpipe.evaluation.registration_pictures import draw_pictures
from medpipe.io.atomic import write_bytes
from medpipe.metrics.intervals import Bootstrap
from medpipe.predictions.results import write_results
from medpipe.predictions.tables import numbered_rows

__all__ = ["score_registration_run"]

_FIELD = "field_Warp.nii.gz"
_PROTOCOL: Protocol = "medpipe"


def score_registration_run(
    folder: str | Path,
    datalist: str | Path,
    root: str | Path,
    section: str,
    most: int | None = None,
    bootstrap: int = 2000,
    seed: int = 0,
) -> Path:
    """Write results.json, pair_values.csv and pictures into a finished run's folder.

    Args:
        folder: Of a run with fields "warp" on ``listed_pairs`` of the same arguments. A pair without a field counts as not
            registered.
        datalist: The truth.
        root: Folder of its paths.
        section: Which part of it was run.
        most: Number of pairs.
        bootstrap: Number of resamples of subjects.
        seed: Of the pairs and the resamples.

    Returns:
        The path of results.json.

    Raises:
        InputDataError: The pairs have neither labels nor landmarks.
    """
    folder = Path(folder)
    known = load_registration_datalist(datalist)
    seconds = {row["case"]: row for _, row in numbered_rows(folder / "pairs.csv", ["case"])}
    listed = []
    for row in listed_pairs(datalist, root, section, most=most, seed=seed):
        case = row["case"]
        files = {key: Path(path) for key, path in row.items() if key != "case" and not key.endswith("_subject")}
        field = folder / "cases" / case / _FIELD
        if field.is_file():
            files["field"] = field
        if not {"fixed_labels", "fixed_points"} & files.keys():
            raise InputDataError(
                f"{datalist}: pair '{case}' has neither labels nor landmarks; nothing says how good it is"
            )
        took = seconds.get(case, {}).get("network_seconds", "")
        subjects = row["fixed_subject"], row["moving_subject"]
        listed.append(RegistrationPair(case, f"'{datalist}'", files, subjects, float(took) if took else float("nan")))
    names = {int(label): name for label, name in known["labels"].items()}
    measured = list(measured_pairs(listed, _PROTOCOL, sorted(names) or None))
    results = evaluate_registration(measured, listed, _PROTOCOL, Bootstrap(n_resamples=bootstrap, seed=seed), names)
    results["data"] = {"name": known["name"], "section": section}
    results["registration"]["pictures"], pictures = draw_pictures(listed, results, _PROTOCOL)
    for name, content in pictures.items():
        (folder / name).parent.mkdir(exist_ok=True)
        write_bytes(folder / name, content)
    write_pair_values(folder / "pair_values.csv", results)
    write_results(folder / "results.json", results)
    return folder / "results.json"
