"""nodules.json: the marks of a whole run as boxes, in the form that the NODE21 challenge takes from its algorithms.

    {
      "type": "Multiple 2D bounding boxes",
      "boxes": [{
        "name": "n0001",                                                                     the case
        "corners": [[92.7, 136.1, 0], [72.7, 136.1, 0], [72.7, 116.1, 0], [92.7, 116.1, 0]],
        "probability": 0.6
      }],
      "version": {"major": 1, "minor": 0}
    }

Corners are [x, y, z]: x and y in millimetres from the centre of the image's first pixel, z the place in the stack of images.
The stack are the rows of cases.csv in their order, from 0, those without a result among them. A mark is a point; its box is
an upright square around it, of one side for all, and may reach beyond the image. Where a file does not say how large its
pixels are, each counts as 1 mm, as in ITK.

References:
    grand-challenge.org documentation, "Interfaces"; E Sogancioglu et al., IEEE Trans Med Imaging 2024 (NODE21).
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from medpipe.errors import RequestError
from medpipe.io.atomic import write_text
from medpipe.predictions.tables import read_table

__all__ = ["FILE", "ChallengeBoxes"]

FILE = "nodules.json"


class ChallengeBoxes:
    """Writes nodules.json into a finished run folder.

    Args:
        folder: The run folder.
        wanted: Whether to write it.
        box_mm: Side of the boxes in millimetres.

    Raises:
        RequestError: The side is no length.
    """

    def __init__(self, folder: str | Path, *, wanted: bool, box_mm: float) -> None:
        if not (math.isfinite(box_mm) and box_mm > 0):
            raise RequestError(f"box_mm={box_mm:g}: a box's side in millimetres must be above 0")
        self.folder, self.wanted, self.box_mm = Path(folder), wanted, float(box_mm)

    def write(self) -> None:
        """Write the file from cases.csv and marks.csv, where it is wanted."""
        if not self.wanted:
            return
        cases = read_table(self.folder / "cases.csv", ["case", "row_mm", "column_mm"])
        stack = {row["case"]: (place, row) for place, row in enumerate(cases)}
        marks = read_table(self.folder / "marks.csv", ["case", "score", "x", "y"])
        boxes = [self._box(mark, *stack[mark["case"]]) for mark in marks]
        content = {"type": "Multiple 2D bounding boxes", "boxes": boxes, "version": {"major": 1, "minor": 0}}
        write_text(self.folder / FILE, json.dumps(content, indent=1, allow_nan=False) + "\n")

    def _box(self, mark: Mapping[str, str], place: int, case: Mapping[str, str]) -> dict[str, Any]:
        x, y = (float(mark[axis]) * float(case[size] or 1) for axis, size in (("x", "column_mm"), ("y", "row_mm")))
        half = self.box_mm / 2
        left, right, top, bottom = (round(edge, 6) for edge in (x - half, x + half, y - half, y + half))
        corners = [[right, bottom, place], [left, bottom, place], [left, top, place], [right, top, place]]
        return {"name": mark["case"], "corners": corners, "probability": float(mark["score"])}
