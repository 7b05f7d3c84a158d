"""A look-alike of PathVQA: coloured pictures, and questions in pickles of plain data."""

from __future__ import annotations

import pickle
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from medpipe.io.atomic import write_bytes, write_text
from medpipe.io.folders import empty_folder

from .marker import MARKER, marker_text
from .plan import check_numbers, run_plans
from .vqa_rad import jpeg
from .vqa_scenes import Question, Scene, plan_scenes

__all__ = ["write_path_vqa_lookalike"]

NAME = "path_vqa"
_PARTS = ("train", "train", "train", "val", "test")  # by the number of a scene among those of its kind


@dataclass(frozen=True)
class _Plan:
    scene: Scene
    part: str
    image_id: str
    size: int


def write_path_vqa_lookalike(
    out: Path,
    *,
    cases: int,
    seed: int,
    size: int = 128,
    workers: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Write generated pictures with questions in the layout of PathVQA (see ``vqa_scenes`` for what they show).

    Three fifths are for training, a fifth each for validation and test. Each picture is stained in two colours of its own,
    which say nothing. The questions are written last.

    Args:
        out: A new or empty folder.
        cases: Images; body parts and states take turns, so that multiples of 90 are even.
        seed: Equal seeds give equal bytes, whatever the number of workers.
        size: Rows and columns of the images, 64 to 4096.
        workers: Processes that draw.
        progress: Called after each image with the number done and the number in all.

    Raises:
        RequestError: ``out`` is not empty, or a number is out of range; nothing is written then.
    """
    check_numbers(cases=cases, seed=seed, size=size)
    plans, numbers = [], Counter[str]()
    for scene in plan_scenes(NAME, cases=cases, seed=seed):
        part = _PARTS[scene.rank % len(_PARTS)]
        plans.append(_Plan(scene, part, f"{part}_{numbers[part]:04d}", size))
        numbers[part] += 1
    out = empty_folder(Path(out))
    write_text(out / MARKER, marker_text(NAME, seed=seed, cases=cases, size=size))
    for folder in ("qas", *(f"images/{part}" for part in dict.fromkeys(_PARTS))):
        (out / folder).mkdir(parents=True)
    run_plans(partial(_write_image, out), plans, workers=workers, progress=progress)
    rows: dict[str, list[dict[str, Any]]] = {part: [] for part in _PARTS}
    number = 0
    for plan in plans:
        for question in plan.scene.questions():
            rows[plan.part].append(_record(plan, number, question))
            number += 1
    for part, records in rows.items():
        write_bytes(out / "qas" / f"{part}_vqa.pkl", pickle.dumps(records, protocol=4))


def _write_image(out: Path, plan: _Plan) -> None:
    rng = np.random.default_rng([*plan.scene.seed.generate_state(2), 1])
    light, dark = rng.uniform(0.55, 1, 3), rng.uniform(0, 0.35, 3)
    grey = plan.scene.draw(plan.size)[:, :, None]
    write_bytes(out / "images" / plan.part / f"{plan.image_id}.jpg", jpeg(light + (dark - light) * grey))


def _record(plan: _Plan, number: int, question: Question) -> dict[str, Any]:
    return {
        "img_id": plan.image_id,
        "question_id": number,
        "sent": question.text.lower(),
        "label": {question.answer: 1},
        "answer_type": "yes/no" if question.closed else "other",
        "question_type": question.text.split()[0].lower(),
    }
