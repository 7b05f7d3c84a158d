"""Writes what an evaluator finds into a run folder."""

from __future__ import annotations

import math
import time
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Protocol

from ignite.engine import Engine, Events
from monai.utils import CommonKeys as Keys

from medpipe.errors import CaseFailedError, RequestError
from medpipe.predictions.attention import write_attention
from medpipe.predictions.dicom_output.producer import Producer
from medpipe.predictions.dicom_output.write import check_kinds, write_dicom_results
from medpipe.predictions.heat_maps import draw_maps
from medpipe.predictions.journal import CaseResult
from medpipe.predictions.overlays import draw_marks, marked_picture
from medpipe.predictions.persistence import persistently
from medpipe.predictions.run_folder import RunFolder

__all__ = ["RunRecorder"]

_FACTS = ("file", "patient", "sex", "age", "view", "modality", "manufacturer")

_WRITERS = 4
"""Threads that write: a disk that takes tens of milliseconds to make a file safe takes several at a time."""


class Region(Protocol):
    """What is found in an image, as a mask of its file: ``medpipe.transforms.regions.FoundRegion``."""

    label: str

    def __call__(self, logits: Any, image: Any) -> Any: ...


class RunRecorder:
    """Records every case of an evaluator that runs ``infer_cases``, with a picture of its marks, and one of its maps.

    A prediction has a "score" of the image, or "scores" by class, and "marks"; with "maps" (see ``transforms.explanations``)
    these are drawn, and where there is "attention" it is kept as it is (cases/<case>/attention.npz).

    A case's row is written after its picture, so a row says that all of the case is there. Pictures are encoded and
    written in threads beside the network.

    Args:
        run_folder: Where to write; started before the engine runs, finished afterwards.
        pictures: Draw the marks on each case's "picture" (cases/<case>/marks.png).
        dicom: DICOM objects to write beside it, such as "sr,sc"; see ``medpipe.predictions.dicom_output``. Cases that are
            no DICOM files have none.
        region: Makes the mask of a "seg" from a case's "pred".

    Raises:
        RequestError: A kind of DICOM object is unknown, or the bundle has no region for a segmentation.
    """

    def __init__(
        self, run_folder: RunFolder, *, pictures: bool = True, dicom: str = "", region: Region | None = None
    ) -> None:
        self.run_folder, self.pictures, self.region = run_folder, pictures, region
        self.dicom = check_kinds(dicom)
        if "seg" in self.dicom and region is None:
            raise RequestError("dicom=seg: this bundle finds no regions; choose sr, pr or sc")
        self._waiting: list[Future[None]] = []

    def attach(self, engine: Engine) -> None:
        """Record after every iteration; at the end all is written."""
        engine.add_event_handler(Events.STARTED, self._open)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self)
        engine.add_event_handler(Events.COMPLETED, self._close)

    def _open(self, engine: Engine) -> None:
        self._threads = ThreadPoolExecutor(_WRITERS)

    def __call__(self, engine: Engine) -> None:
        """Hand the iteration's cases to the writing threads.

        Raises:
            InterruptedRunError: An earlier case cannot be written.
        """
        for case in engine.state.unread:  # type: ignore[attr-defined]
            self._submit(case, None)
        for case, output in zip(engine.state.batch, engine.state.output, strict=True):  # type: ignore[arg-type]
            self._submit(case, output)

    def _submit(self, case: dict[str, Any], output: dict[str, Any] | None) -> None:
        self._waiting.append(self._threads.submit(self._record, case, output))
        # Takes errors up early, and bounds the memory of images that wait for their picture.
        while self._waiting and (self._waiting[0].done() or len(self._waiting) > 2 * _WRITERS):
            self._waiting.pop(0).result()

    def _record(self, case: dict[str, Any], output: dict[str, Any] | None) -> None:
        if output is not None and not all(map(math.isfinite, _scores(output))):
            case = {**case, "status": "failed", "reason": "the network gave a score that is not finite"}
            output = None
        persistently(lambda: self._write(case, output))

    def _write(self, case: dict[str, Any], output: dict[str, Any] | None) -> None:
        start = time.perf_counter()
        if output is not None and self.pictures:
            self._draw(case, output)
        if output is not None and output.get("attention"):
            write_attention(self.run_folder.case_folder(case["case"]) / "attention.npz", output["attention"])
        if output is not None and self.dicom:
            self._write_dicom(case, output)
        seconds = {**case["seconds"], "write": time.perf_counter() - start}
        self.run_folder.record(_result(case, output, seconds))

    def _draw(self, case: dict[str, Any], output: dict[str, Any]) -> None:
        picture = case["picture"]
        scale = picture.shape[0] / float(case[Keys.IMAGE].meta["spatial_shape"][0])
        folder = self.run_folder.case_folder(case["case"])
        draw_marks(folder / "marks.png", picture, output["marks"], scale=scale)
        if output.get("maps"):
            marked = marked_picture(picture, output["marks"], scale=scale)
            draw_maps(folder / "maps.jpg", marked, picture, output["maps"])

    def _write_dicom(self, case: dict[str, Any], output: dict[str, Any]) -> None:
        identity = self.run_folder.identity
        producer = Producer(
            identity["bundle"], identity["medpipe"], self.run_folder.started, identity["weights_sha256"]
        )
        source = str(case[Keys.IMAGE].meta["filename_or_obj"])
        folder = self.run_folder.case_folder(case["case"])
        try:
            write_dicom_results(
                source,
                folder,
                self.dicom,
                producer,
                marks=output["marks"],
                score=output["score"],
                maps=output.get("maps"),
                **self._mask(case, output),
            )
        except CaseFailedError as error:  # the result stands in the tables all the same
            case["reason"] = "; ".join(filter(None, [case["reason"], f"no DICOM objects: {error}"]))

    def _mask(self, case: dict[str, Any], output: dict[str, Any]) -> dict[str, Any]:
        if self.region is None or "seg" not in self.dicom:
            return {}
        return {"mask": self.region(output[Keys.PRED], case[Keys.IMAGE]), "segments": {1: self.region.label}}

    def _close(self, engine: Engine) -> None:
        for future in self._waiting:
            future.result()
        self._waiting.clear()
        self._threads.shutdown()


def _result(case: dict[str, Any], output: dict[str, Any] | None, seconds: dict[str, float]) -> CaseResult:
    facts = {key: case.get(key, "") for key in _FACTS}
    common: dict[str, Any] = {
        "seconds": seconds,
        "attempts": case.get("attempts", 1),
        "input_sha256": case.get("input_sha256", ""),
    }
    if output is None:
        facts |= {key: case[key] or None for key in ("rows", "columns") if key in case}
        return CaseResult(case["case"], case["status"], case["reason"], facts, **common)
    facts |= _geometry(case, output)
    if "scores" in output:
        facts["scores"] = [list(item) for item in output["scores"].items()]  # the journal sorts names, not lists
    return CaseResult(case["case"], "done", case["reason"], facts, output["score"], output["marks"], **common)


def _scores(output: dict[str, Any]) -> list[float]:
    return list(output["scores"].values()) if "scores" in output else [output["score"]]


def _geometry(case: dict[str, Any], output: dict[str, Any]) -> dict[str, Any]:
    rows, columns = (int(n) for n in case[Keys.IMAGE].meta["spatial_shape"][:2])
    row_mm, column_mm = (None if math.isnan(v) else v for v in output["spacing_mm"])
    return {"rows": rows, "columns": columns, "row_mm": row_mm, "column_mm": column_mm}
