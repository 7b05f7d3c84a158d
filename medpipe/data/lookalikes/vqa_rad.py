"""A look-alike of VQA-RAD, in the layout of the split distributed with MEVF."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from medpipe.io.atomic import write_bytes, write_text
from medpipe.io.folders import empty_folder

from .marker import MARKER, marker_text
from .plan import check_numbers, run_plans
from .vqa_scenes import ORGANS, STATES, Scene, plan_scenes

__all__ = ["jpeg", "meta_class", "write_vqa_rad_lookalike"]

NAME = "vqa_rad"
_CODES = {"head": "HEAD", "chest": "CHEST", "abdomen": "ABD"}
_META = {"normal": "normal", "mass": "abnormal_present", "enlarged": "abnormal_organ"}


@dataclass(frozen=True)
class _Plan:
    """One image with questions, and one without."""

    number: int
    scene: Scene
    unlabelled: Scene
    size: int

    @property
    def image_name(self) -> str:
        return f"synpic{10000 + 7 * self.number}.jpg"

    @property
    def is_test(self) -> bool:
        return self.scene.rank % 3 == 2


def write_vqa_rad_lookalike(
    out: Path,
    *,
    cases: int,
    seed: int,
    size: int = 128,
    workers: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Write generated sections with questions in the layout of VQA-RAD's split (see ``vqa_scenes`` for what they show).

    A third of the images is for the test; unlike the published split, no image is in both parts, so that the test tells
    what was learnt to be seen. ``meta/train/<class>/`` holds the training images by body part and state, for
    meta-learning, and ``unlabeled/`` as many other images as there are cases, for an auto-encoder. The question files are
    written last.

    Args:
        out: A new or empty folder.
        cases: Images with questions; body parts and states take turns, so that multiples of 54 are even.
        seed: Equal seeds give equal bytes, whatever the number of workers.
        size: Rows and columns of the images, 64 to 4096.
        workers: Processes that draw.
        progress: Called after each image with the number done and the number in all.

    Raises:
        RequestError: ``out`` is not empty, or a number is out of range; nothing is written then.
    """
    check_numbers(cases=cases, seed=seed, size=size)
    scenes = plan_scenes(NAME, cases=cases, seed=seed)
    others = plan_scenes(f"{NAME}/unlabeled", cases=cases, seed=seed)
    plans = [_Plan(n, scene, other, size) for n, (scene, other) in enumerate(zip(scenes, others, strict=True))]
    out = empty_folder(Path(out))
    classes = [meta_class(organ, state) for organ in ORGANS for state in STATES]
    labels = {str(number): name for number, name in enumerate(sorted(classes))}
    write_text(out / MARKER, marker_text(NAME, seed=seed, cases=cases, size=size, labels=labels))
    for folder in ("images", "unlabeled", *(f"meta/train/{name}" for name in classes)):
        (out / folder).mkdir(parents=True)
    run_plans(partial(_write_images, out), plans, workers=workers, progress=progress)
    rows = _records(plans)
    for name, wanted in (("trainset.json", False), ("testset.json", True)):
        _write_json(out / name, [row for plan, row in rows if plan.is_test is wanted])
    _write_json(out / "imgid2idx.json", {plan.image_name: plan.number for plan in plans})


def meta_class(organ: str, state: str) -> str:
    """The class of an image for meta-learning: one of nine."""
    return f"{organ}_{_META[state]}"


def jpeg(image: NDArray[np.float64]) -> bytes:
    """A picture, (rows, columns) or (rows, columns, 3) from 0 to 1, as the bytes of a colour JPEG."""
    stream = io.BytesIO()
    Image.fromarray(np.rint(image * 255).astype(np.uint8)).convert("RGB").save(stream, "JPEG", quality=92)
    return stream.getvalue()


def _write_images(out: Path, plan: _Plan) -> None:
    content = jpeg(plan.scene.draw(plan.size))
    write_bytes(out / "images" / plan.image_name, content)
    if not plan.is_test:
        write_bytes(out / "meta" / "train" / meta_class(plan.scene.organ, plan.scene.state) / plan.image_name, content)
    write_bytes(out / "unlabeled" / f"image{plan.number:05d}.jpg", jpeg(plan.unlabelled.draw(plan.size)))


def _records(plans: list[_Plan]) -> list[tuple[_Plan, dict[str, Any]]]:
    rows: list[tuple[_Plan, dict[str, Any]]] = []
    for plan in plans:
        for question in plan.scene.questions():
            row = {
                "qid": len(rows) + 1,
                "image_name": plan.image_name,
                "image_organ": _CODES[plan.scene.organ],
                "answer": question.answer,
                "answer_type": "CLOSED" if question.closed else "OPEN",
                "question_type": question.kind,
                "question": question.text,
                "phrase_type": "para" if question.rephrased else "freeform",
            }
            rows.append((plan, row))
    return rows


def _write_json(path: Path, content: Any) -> None:
    write_text(path, json.dumps(content, indent=1) + "\n")
