"""A look-alike of NODE21: MetaImage files and a table with an unnamed index and shuffled columns."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import SimpleITK

from medpipe.io.atomic import write_text
from medpipe.io.folders import empty_folder

from .marker import MARKER, marker_text
from .nodules import LABELS, Blob, NodulePlan, plan_nodule_cases
from .plan import run_plans

__all__ = ["write_node21_lookalike"]

NAME = "node21"
_PARTS = {0: 0.5, 1: 0.25, 2: 0.25}
_COLUMNS = ["img_name", "label", "x", "y", "width", "height"]
_FIELD_MM = 358.4  # that the picture shows
_FULL_SCALES = (1000, 60000)  # stored value of white: each image has one of its own, because no header says it

Row = dict[str, str | int]


def write_node21_lookalike(
    out: Path,
    *,
    cases: int,
    seed: int,
    size: int = 1024,
    workers: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Write generated chest radiographs in the layout of NODE21 (see ``nodules`` for what they show).

    Half of the images have nodules, one or two each; all have normal blobs, which the table does not name. The
    folder is known for what it is by ``LOOKALIKE.json``. The table is written last.

    Args:
        out: a new or empty folder.
        cases: images.
        seed: equal seeds give equal bytes, whatever the number of workers.
        size: rows and columns of the images, 64 to 4096.
        workers: processes that draw (see ``plan.run_plans``).
        progress: called after each image with the number done and the number in all.

    Raises:
        RequestError: ``out`` is not empty, or a number is out of range; nothing is written then.
    """
    plans = plan_nodule_cases(NAME, cases=cases, seed=seed, size=size, parts=_PARTS)
    out = empty_folder(Path(out))
    write_text(out / MARKER, marker_text(NAME, seed=seed, cases=cases, size=size, labels=LABELS))
    (out / "images").mkdir()
    rows = run_plans(partial(_write_case, out / "images"), plans, workers=workers, progress=progress)
    write_text(out / "metadata.csv", _table(rows, seed))


def _write_case(folder: Path, plan: NodulePlan) -> list[Row]:
    """Draw and write one image; its rows of the table."""
    drawing = plan.draw()
    name = f"{'n' if plan.nodules else 'c'}{plan.number:04d}.mha"
    white = np.random.default_rng(plan.writing_seed).uniform(*_FULL_SCALES)
    image = SimpleITK.GetImageFromArray(np.rint(drawing.image * white).astype(np.uint16))
    image.SetSpacing([_FIELD_MM / plan.size] * 2)
    SimpleITK.WriteImage(image, str(folder / name))
    rows = [{"img_name": name, "label": 1, **_box(nodule)} for nodule in drawing.nodules]
    return rows or [{"img_name": name, "label": 0, "x": 0, "y": 0, "width": 0, "height": 0}]


def _box(blob: Blob) -> Row:
    side = round(2 * blob.radius)
    return {"x": round(blob.x - side / 2), "y": round(blob.y - side / 2), "width": side, "height": side}


def _table(rows: list[list[Row]], seed: int) -> str:
    """Rows and columns in no order, but for the unnamed index that stands first."""
    rng = np.random.default_rng(seed)
    columns = [str(name) for name in rng.permutation(_COLUMNS)]
    lines = [",".join(str(row[name]) for name in columns) for image_rows in rows for row in image_rows]
    rng.shuffle(lines)
    return "\n".join([",".join(["", *columns]), *(f"{index},{line}" for index, line in enumerate(lines))]) + "\n"
