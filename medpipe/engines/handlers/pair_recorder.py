"""Writes what a registration run finds into its folder: the files of each pair, and the table of pairs."""

from __future__ import annotations

import time
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from ignite.engine import Engine, Events
from monai.utils import CommonKeys as Keys

from medpipe.errors import CaseFailedError, RequestError
from medpipe.io.volume import Volume
from medpipe.metrics.jacobian import jacobian_determinant, jacobian_statistics
from medpipe.metrics.overlap import label_overlap
from medpipe.predictions.dicom_output.deformable_registration import write_deformable_registration
from medpipe.predictions.dicom_output.producer import Producer
from medpipe.predictions.journal import CaseResult
from medpipe.predictions.persistence import persistently
from medpipe.predictions.registration_output import RegisteredPair, check_field_files, write_registration
from medpipe.predictions.run_folder import RunFolder
from medpipe.predictions.tables import write_rows

__all__ = ["PAIR_COLUMNS", "PairRecorder", "write_pairs"]

_STAGES = ("read", "align", "network", "refine", "write")
_MEASURES = (
    *("folding_pct", "mean_mm", "max_mm", "similarity_before", "similarity_after"),
    *("labels", "dice_before", "dice_after"),
)
PAIR_COLUMNS = ("case", "fixed", "moving", "status", "reason", *_MEASURES, *(f"{stage}_seconds" for stage in _STAGES))
"""Of pairs.csv. folding_pct: voxels of the network's grid whose Jacobian determinant is 0 or below. mean_mm, max_mm: length of
the deformation beyond the cropping and alignment, in the fixed image. similarity: Pearson's correlation on that grid, of the
images as cropped and aligned, and registered. dice: mean over the labels of the fixed image."""

_FACTS = ("file", "patient")


class PairRecorder:
    """Records every pair of an evaluator that runs ``register_pairs``.

    A pair's row is written after its files. A single thread writes, beside the network, so that the memory of no more than
    three pairs is held.

    Args:
        run_folder: Where to write; started before the engine runs.
        fields: Forms of the field, such as "disp,warp,transform"; see ``medpipe.predictions.registration_output``.
        pictures: Draw each pair.
        dicom: "dsr" for a Deformable Spatial Registration object where both images are DICOM, or "".

    Raises:
        RequestError: A form is unknown.
    """

    def __init__(
        self, run_folder: RunFolder, *, fields: str = "disp,warp,transform", pictures: bool = True, dicom: str = ""
    ) -> None:
        if dicom not in ("", "dsr"):
            raise RequestError(f"DICOM output '{dicom}' is unknown to registration; there is dsr")
        self.run_folder, self.pictures, self.dicom = run_folder, pictures, dicom
        self.fields = check_field_files(fields)
        self._waiting: list[Future[None]] = []

    def attach(self, engine: Engine) -> None:
        """Record after every iteration; at the end all is written."""
        engine.add_event_handler(Events.STARTED, self._open)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self)
        engine.add_event_handler(Events.COMPLETED, self._close)

    def _open(self, engine: Engine) -> None:
        self._thread = ThreadPoolExecutor(1)

    def __call__(self, engine: Engine) -> None:
        """Hand the iteration's pairs to the writing thread.

        Raises:
            InterruptedRunError: An earlier pair cannot be written.
        """
        for case in engine.state.unread:  # type: ignore[attr-defined]
            self._submit(case, None)
        for case, output in zip(engine.state.batch, engine.state.output, strict=True):  # type: ignore[arg-type]
            self._submit(case, output)

    def _submit(self, case: dict[str, Any], output: dict[str, Any] | None) -> None:
        self._waiting.append(self._thread.submit(self._record, case, output))
        while self._waiting and (self._waiting[0].done() or len(self._waiting) > 2):
            self._waiting.pop(0).result()

    def _record(self, case: dict[str, Any], output: dict[str, Any] | None) -> None:
        persistently(lambda: self._write(case, output))

    def _write(self, case: dict[str, Any], output: dict[str, Any] | None) -> None:
        start = time.perf_counter()
        measures: dict[str, Any] = {}
        if output is not None:
            try:
                measures = self._write_pair(case, output[Keys.PRED].numpy())
            except MemoryError:
                output, case = (
                    None,
                    {**case, "status": "failed", "reason": "its results need more memory than there is"},
                )
        seconds = {**case["seconds"], "write": time.perf_counter() - start}
        self.run_folder.record(
            CaseResult(
                case["case"],
                case["status"] if output is None else "done",
                case["reason"],
                {**{key: case.get(key, "") for key in _FACTS}, "pair": measures},
                seconds=seconds,
                attempts=case.get("attempts", 1),
                input_sha256=case.get("input_sha256", ""),
            )
        )

    def _write_pair(self, case: dict[str, Any], field: Any) -> dict[str, Any]:
        grids = case["fixed_grid"], case["moving_grid"]
        pair = RegisteredPair(case["fixed"], case["moving"], field, *grids, case["windows"])
        if pair.sheared and "warp" in self.fields:
            _note(case, "no field_Warp: the fixed image's axes are not at right angles, which ITK cannot express")
        folder = self.run_folder.case_folder(case["case"])
        labels = pair.carried_labels(case["moving_labels"]) if "moving_labels" in case else None
        write_registration(
            folder,
            pair,
            fields=self.fields,
            labels=labels,
            points=case.get("points"),
            points_on=case["points_on"],
            pictures=self.pictures,
        )
        if self.dicom:
            self._write_dicom(case, pair, folder)
        return {**_measured(pair, case[Keys.IMAGE].numpy()), **_overlap(pair, case, labels)}

    def _write_dicom(self, case: dict[str, Any], pair: RegisteredPair, folder: Path) -> None:
        identity = self.run_folder.identity
        producer = Producer(
            identity["bundle"], identity["medpipe"], self.run_folder.started, identity["weights_sha256"]
        )
        try:
            made = write_deformable_registration(
                folder, case["paths"]["fixed"], case["paths"]["moving"], *pair.lattice(), pair.between, producer
            )
            reason = "" if made else "one of its images is no DICOM"
        except CaseFailedError as error:  # the result stands in its files all the same
            reason = str(error)
        if reason:
            _note(case, f"no DICOM object: {reason}")

    def _close(self, engine: Engine) -> None:
        for future in self._waiting:
            future.result()
        self._waiting.clear()
        self._thread.shutdown()


def write_pairs(run_folder: RunFolder) -> None:
    """Write pairs.csv, one row per pair that has a result; before the run folder is finished.

    Raises:
        InterruptedRunError: It cannot be written.
    """
    rows = []
    for result in run_folder.journal.results():
        fixed, _, moving = str(result.facts.get("file", "")).partition(" <- ")
        rows.append(
            {
                "case": result.case,
                "fixed": fixed,
                "moving": moving,
                "status": result.status,
                "reason": result.reason,
                **(result.facts.get("pair") or {}),
                **{f"{stage}_seconds": result.seconds.get(stage) for stage in _STAGES},
            }
        )
    persistently(lambda: write_rows(run_folder.path / "pairs.csv", PAIR_COLUMNS, rows))


def _note(case: dict[str, Any], note: str) -> None:
    if note not in case["reason"]:  # writing may be tried again
        case["reason"] = "; ".join(filter(None, [case["reason"], note]))


def _measured(pair: RegisteredPair, images: Any) -> dict[str, float | None]:
    from medpipe.metrics.resampling import warp_image

    lengths = np.linalg.norm(np.tensordot(pair.fixed_grid[:3, :3], pair.field, axes=1), axis=0)
    fixed, moving = images
    values = {
        "folding_pct": jacobian_statistics(jacobian_determinant(pair.field)).fold_pct,
        "mean_mm": float(lengths.mean()),
        "max_mm": float(lengths.max()),
        "similarity_before": _correlation(fixed, moving),
        "similarity_after": _correlation(fixed, warp_image(moving, pair.field)),
    }
    return {name: value if np.isfinite(value) else None for name, value in values.items()}


def _correlation(one: Any, two: Any) -> float:
    if one.std() == 0 or two.std() == 0:
        return float("nan")
    return float(np.corrcoef(one.ravel(), two.ravel())[0, 1])


def _overlap(pair: RegisteredPair, case: dict[str, Any], after: Any) -> dict[str, Any]:
    """Mean Dice of the labels before and after; nothing without both label maps on grids that can be compared."""
    truth: Volume | None = case.get("fixed_labels")
    if truth is None or after is None:
        return {}
    if truth.array.shape != pair.fixed.array.shape or not np.allclose(truth.affine, pair.fixed.affine, atol=1e-3):
        return {}
    labels = [int(label) for label in np.unique(truth.array) if label]
    moving = case["moving_labels"]
    before = pair.undeformed().carried_labels(moving)
    dice = [label_overlap(truth.array, part, moving.array, labels).dice for part in (before, after)]
    return {
        "labels": len(labels),
        **{f"dice_{when}": _mean(values) for when, values in zip(("before", "after"), dice, strict=True)},
    }


def _mean(values: Any) -> float | None:
    known = values[np.isfinite(values)]
    return float(known.mean()) if len(known) else None
