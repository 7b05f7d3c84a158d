"""Writes what an evaluator finds into a run folder."""

from __future__ import annotations

import math
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from ignite.engine import Engine, Events
from monai.utils import CommonKeys as Keys

from medpipe.predictions.journal import CaseResult
from medpipe.predictions.overlays import draw_marks
from medpipe.predictions.run_folder import RunFolder

__all__ = ["RunRecorder"]

_FACTS = ("file", "patient", "sex", "age", "view", "modality", "manufacturer")


class RunRecorder:
    """Records every case of an evaluator that runs ``infer_cases``, with a picture of its marks.

    A case's row is written after its picture, so a row says that all of the case is there. Pictures are encoded in a
    thread beside the network.

    Args:
        run_folder: Where to write; started before the engine runs, finished afterwards.
        pictures: Draw the marks on each case's "picture" (cases/<case>/marks.png).
    """

    def __init__(self, run_folder: RunFolder, *, pictures: bool = True) -> None:
        self.run_folder, self.pictures = run_folder, pictures
        self._waiting: list[Future[None]] = []

    def attach(self, engine: Engine) -> None:
        """Record after every iteration; at the end all is written."""
        engine.add_event_handler(Events.STARTED, self._open)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self)
        engine.add_event_handler(Events.COMPLETED, self._close)

    def _open(self, engine: Engine) -> None:
        self._threads = ThreadPoolExecutor(1)

    def __call__(self, engine: Engine) -> None:
        """Hand the iteration's cases to the writing thread."""
        for case in engine.state.unread:  # type: ignore[attr-defined]
            self._submit(case, None)
        for case, output in zip(engine.state.batch, engine.state.output, strict=True):  # type: ignore[arg-type]
            self._submit(case, output)

    def _submit(self, case: dict[str, Any], output: dict[str, Any] | None) -> None:
        self._waiting.append(self._threads.submit(self._record, case, output))
        if len(self._waiting) > 8:  # bounds the memory of images that wait for their picture
            self._waiting.pop(0).result()

    def _record(self, case: dict[str, Any], output: dict[str, Any] | None) -> None:
        facts = {key: case.get(key, "") for key in _FACTS}
        if output is not None and not math.isfinite(output["score"]):
            case = {**case, "status": "failed", "reason": "the network gave a score that is not finite"}
            output = None
        if output is None:
            facts |= {key: case[key] or None for key in ("rows", "columns") if key in case}
            result = CaseResult(case["case"], case["status"], case["reason"], facts, seconds=case["seconds"])
        else:
            facts |= _geometry(case, output)
            if self.pictures:
                self._draw(case, output)
            result = CaseResult(
                case["case"], "done", case["reason"], facts, output["score"], output["marks"], case["seconds"]
            )
        self.run_folder.record(result)

    def _draw(self, case: dict[str, Any], output: dict[str, Any]) -> None:
        picture = case["picture"]
        scale = picture.shape[0] / float(case[Keys.IMAGE].meta["spatial_shape"][0])
        draw_marks(self.run_folder.case_folder(case["case"]) / "marks.png", picture, output["marks"], scale=scale)

    def _close(self, engine: Engine) -> None:
        for future in self._waiting:
            future.result()
        self._waiting.clear()
        self._threads.shutdown()


def _geometry(case: dict[str, Any], output: dict[str, Any]) -> dict[str, Any]:
    rows, columns = (int(n) for n in case[Keys.IMAGE].meta["spatial_shape"][:2])
    row_mm, column_mm = (None if math.isnan(v) else v for v in output["spacing_mm"])
    return {"rows": rows, "columns": columns, "row_mm": row_mm, "column_mm": column_mm}
