"""A run of a registration bundle on the pairs of a datalist, scored against their labels and landmarks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from medpipe.data.registration_cases import listed_pairs
from medpipe.data.registration_datalist import load_registration_datalist
from medpipe.errors import RequestError
from medpipe.evaluation.formats.registration_pairs import RegistrationPair, check_pair
from medpipe.evaluation.registration import evaluate_registration, measured_pairs, write_pair_values
from medpipe.evaluation.registration_measures import Protocol
from medpipe.evaluation.registration_pair import check_headers
from medpipe.evaluation.registration_pictures import draw_pictures
from medpipe.io.atomic import write_bytes
from medpipe.metrics.intervals import Bootstrap
from medpipe.predictions.fingerprints import case_key
from medpipe.predictions.results import write_results
from medpipe.predictions.run_folder import RunFolder

__all__ = ["RegistrationRunScore", "pairs_with_truth"]

_FIELD = "field_Warp.nii.gz"
_PROTOCOL: Protocol = "medpipe"
_STAGES = ("align", "network", "refine")


def pairs_with_truth(
    datalist: str | Path, root: str | Path, section: str, *, fields: str, most: int | None = None, seed: int = 0
) -> list[RegistrationPair]:
    """The pairs of ``listed_pairs`` with their labels and landmarks, looked at before any of them is registered.

    Args:
        datalist: The truth.
        root: Folder of its paths.
        section: Which part of it.
        fields: What the run writes; "warp" is what is scored.
        most: Number of pairs.
        seed: By which they are drawn.

    Raises:
        RequestError: The run does not write what is scored.
        InputDataError: A pair has neither labels nor landmarks, has them on one side alone, or their shapes do not fit.
    """
    if "warp" not in fields.split(","):
        raise RequestError(
            f"fields='{fields}' leaves out 'warp', which is what is scored; give fields=warp, or warp and others"
        )
    pairs = []
    for row in listed_pairs(datalist, root, section, most=most, seed=seed):
        files = {key: Path(path) for key, path in row.items() if key != "case" and not key.endswith("_subject")}
        subjects = row["fixed_subject"], row["moving_subject"]
        pair = RegistrationPair(row["case"], f"datalist '{datalist}'", files, subjects)
        check_pair(pair)
        check_headers(pair)
        pairs.append(pair)
    return pairs


class RegistrationRunScore:
    """Scores a run: ``collect`` before the run folder is finished, ``write`` afterwards.

    Args:
        run_folder: Whose pairs are done.
        truth: The pairs that were to be done.
        cases: The same pairs in the same order, as they were given to the run.
        datalist: Where the structures' names stand.
        section: Which part of it was run.
        bootstrap: Number of resamples of subjects.
        seed: Of the resamples.
    """

    def __init__(
        self,
        run_folder: RunFolder,
        truth: Sequence[RegistrationPair],
        cases: Sequence[dict[str, Any]],
        datalist: str | Path,
        section: str,
        bootstrap: int = 2000,
        seed: int = 0,
    ) -> None:
        self._run_folder, self._truth, self._cases = run_folder, truth, cases
        self._datalist, self._section = load_registration_datalist(datalist), section
        self._bootstrap = Bootstrap(n_resamples=bootstrap, seed=seed)
        self._listed: list[RegistrationPair] = []

    def collect(self) -> None:
        """Find each pair's field under the name that the run gave it, or the reason why it has none."""
        journal = self._run_folder.journal
        names = {case_key(found.case): found.case["case"] for found in journal.found() if found.case}
        results = {result.case: result for result in journal.results()}
        self._listed = []
        for pair, case in zip(self._truth, self._cases, strict=True):
            name = names.get(case_key(case), case["case"])
            result = results.get(name)
            if result is None or result.status != "done":
                reason = f"{result.status}: {result.reason}" if result else "not done yet"
                self._listed.append(replace(pair, name=name, reason=reason))
                continue
            field = self._run_folder.path / "cases" / name / _FIELD
            seconds = sum(result.seconds.get(stage, 0.0) for stage in _STAGES)
            self._listed.append(replace(pair, name=name, files={**pair.files, "field": field}, seconds=seconds))

    def write(self) -> Path:
        """Write results.json, pair_values.csv and pictures into the run's folder; returns the path of results.json."""
        names = {int(label): name for label, name in self._datalist["labels"].items()}
        measured = list(measured_pairs(self._listed, _PROTOCOL, sorted(names) or None))
        results = evaluate_registration(measured, self._listed, _PROTOCOL, self._bootstrap, names)
        results["data"] = {"name": self._datalist["name"], "section": self._section}
        results["registration"]["pictures"], pictures = draw_pictures(self._listed, results, _PROTOCOL)
        folder = self._run_folder.path
        for name, content in pictures.items():
            (folder / name).parent.mkdir(exist_ok=True)
            write_bytes(folder / name, content)
        write_pair_values(folder / "pair_values.csv", results)
        write_results(folder / "results.json", results)
        return folder / "results.json"
