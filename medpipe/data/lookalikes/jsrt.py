"""A look-alike of the JSRT database: raw films, and tables with stray tabs and unknown ages."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np

from medpipe.io.atomic import write_bytes, write_text
from medpipe.io.folders import empty_folder
from medpipe.io.jsrt_film import PUBLISHED_SIDE, PUBLISHED_SPACING_MM

from .marker import MARKER, marker_text
from .nodules import AMPLITUDES, LABELS, NodulePlan, plan_nodule_cases
from .plan import run_plans

__all__ = ["write_jsrt_lookalike"]

NAME = "jsrt"
FILMS, TABLES = "All247images", "Clinical_Information"
_PARTS = {1: 0.5, 0: 0.5}
_LEVELS = 4096


def write_jsrt_lookalike(
    out: Path,
    *,
    cases: int,
    seed: int,
    size: int = 1024,
    workers: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Write generated chest radiographs in the layout of the JSRT database (see ``nodules`` for what they show).

    Half of the films have one nodule; all have normal blobs, which the tables do not name. The published films
    have a side of 2048. The folder is known for what it is by ``LOOKALIKE.json``. The tables are written last.

    Args:
        out: a new or empty folder.
        cases: films.
        seed: equal seeds give equal bytes, whatever the number of workers.
        size: rows and columns of the films, 64 to 4096.
        workers: processes that draw (see ``plan.run_plans``).
        progress: called after each film with the number done and the number in all.

    Raises:
        RequestError: ``out`` is not empty, or a number is out of range; nothing is written then.
    """
    plans = plan_nodule_cases(NAME, cases=cases, seed=seed, size=size, parts=_PARTS)
    out = empty_folder(Path(out))
    labels = {"0": LABELS["0"], "1": "one blob brighter than the others"}
    write_text(out / MARKER, marker_text(NAME, seed=seed, cases=cases, size=size, labels=labels))
    for folder in (FILMS, TABLES):
        (out / folder).mkdir()
    rows = run_plans(partial(_write_case, out / FILMS), plans, workers=workers, progress=progress)
    for name, start in (("CLNDAT_EN.txt", "JPCLN"), ("CNNDAT_EN.TXT", "JPCNN")):
        lines = sorted(row for row in rows if row.startswith(start))
        write_text(out / TABLES / name, "".join(f"{line}\r\n" for line in lines))


def _write_case(folder: Path, plan: NodulePlan) -> str:
    """Draw and write one film; its row of a table, with a stray tab or blank in some."""
    drawing = plan.draw()
    name = f"JPC{'L' if plan.nodules else 'N'}N{plan.number:03d}.IMG"
    densities = np.rint((1 - drawing.image) * _LEVELS).clip(0, _LEVELS - 1)
    write_bytes(folder / name, densities.astype(">u2").tobytes())
    rng = np.random.default_rng(plan.writing_seed)
    age = "?" if plan.number % 7 == 3 else str(rng.integers(20, 90))
    sex = str(rng.choice(["male", "female"]))
    if not drawing.nodules:
        return "\t".join([name, age, sex, "non-nodule"])
    nodule, scale = drawing.nodules[0], PUBLISHED_SIDE / plan.size
    place = [str(round(value * scale)) for value in (nodule.x, nodule.y)]
    low, high = AMPLITUDES  # the brighter the other blobs, the more subtle is a nodule
    subtlety = 5 - int(5 * (drawing.amplitude - low) / (high - low))
    diameter = round(2 * nodule.radius * scale * PUBLISHED_SPACING_MM)  # millimetres
    side = "r" if nodule.x < plan.size / 2 else "l"  # the patient's right is on the left of the film
    lobe = f"{side}.{'upper' if nodule.y < plan.size / 2 else 'lower'} lobe"
    malignancy = str(rng.choice(["malignant", "benign"]))
    stray = ("", "\t", " ", " \t")[plan.number % 4]
    return "\t".join([name, str(subtlety), f"{diameter}{stray}", age, sex, *place, malignancy, lobe, "generated blob"])
