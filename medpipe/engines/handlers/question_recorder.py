"""Writes the answers that an evaluator gives into a run folder."""

from __future__ import annotations

import time
from typing import Any

from ignite.engine import Engine, Events

from medpipe.predictions.heat_maps import draw_maps
from medpipe.predictions.journal import CaseResult
from medpipe.predictions.overlays import draw_marks, marked_picture
from medpipe.predictions.persistence import persistently
from medpipe.predictions.question_attention import NAME as ATTENTION
from medpipe.predictions.question_attention import write_question_attention
from medpipe.predictions.run_folder import RunFolder

__all__ = ["QuestionRecorder"]

_FACTS = ("file", "patient", "sex", "age", "view", "modality", "manufacturer", "question", "refused")


class QuestionRecorder:
    """Records every case of an evaluator that runs ``answer_questions``, with a small picture of its image.

    With "attended" and "maps" (see ``transforms.question_attention``) these are kept, too (attention.json, maps.jpg).

    A case's row is written after its picture, so a row says that all of the case is there.

    Args:
        run_folder: Where to write; started before the engine runs.
        pictures: Write each case's "picture" (cases/<case>/image.png), where it has one.
    """

    def __init__(self, run_folder: RunFolder, *, pictures: bool = True) -> None:
        self.run_folder, self.pictures = run_folder, pictures

    def attach(self, engine: Engine) -> None:
        """Record after every iteration."""
        engine.add_event_handler(Events.ITERATION_COMPLETED, self)

    def __call__(self, engine: Engine) -> None:
        """Write the iteration's cases.

        Raises:
            InterruptedRunError: One cannot be written.
        """
        for case in engine.state.unread:  # type: ignore[attr-defined]
            self._record(case, None)
        for case, output in zip(engine.state.batch, engine.state.output, strict=True):  # type: ignore[arg-type]
            self._record(case, output)

    def _record(self, case: dict[str, Any], output: dict[str, Any] | None) -> None:
        persistently(lambda: self._write(case, output))

    def _write(self, case: dict[str, Any], output: dict[str, Any] | None) -> None:
        start = time.perf_counter()
        facts = {key: case[key] for key in _FACTS if key in case}
        facts |= {key: case.get(key) or None for key in ("rows", "columns")}
        facts["question"] = self.run_folder.hide(str(case["question"]))
        if output is not None:
            facts |= {key: output[key] for key in ("answers", "calibrated") if key in output}
            self._write_files(case, output)
        self.run_folder.record(
            CaseResult(
                case["case"],
                case["status"] if output is None else "done",
                case["reason"],
                facts,
                None if output is None else output["answers"][0][1],
                seconds={**case["seconds"], "write": time.perf_counter() - start},
                attempts=case.get("attempts", 1),
                input_sha256=case.get("input_sha256", ""),
            )
        )

    def _write_files(self, case: dict[str, Any], output: dict[str, Any]) -> None:
        folder, picture = self.run_folder.case_folder(case["case"]), case.get("picture")
        if self.pictures and picture is not None:
            draw_marks(folder / "image.png", picture, [], scale=1)
            if output.get("maps"):
                draw_maps(folder / "maps.jpg", marked_picture(picture, [], scale=1), picture, output["maps"])
        if "attended" in output:
            write_question_attention(folder / ATTENTION, output["attended"], self.run_folder.hide)
