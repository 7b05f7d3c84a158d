"""A look-alike of PathVQA: coloured pictures, questions in pickles of plain data, and MMQ's folders for meta-learning."""

from __future__ import annotations

import pickle
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from medpipe.data.path_vqa import META
from medpipe.io.atomic import write_bytes, write_text
from medpipe.io.folders import empty_folder

from .marker import MARKER, marker_text
from .plan import check_numbers, run_plans
from .vqa_rad import jpeg, meta_class
from .vqa_scenes import ORGANS, STATES, Question, Scene, plan_scenes

__all__ = ["write_path_vqa_lookalike"]

NAME = "path_vqa"
_PARTS = ("train", "train", "train", "val", "test")  # by the number of a scene among those of its kind
_UNLABELLED = 2  # the number of those for training that have no class for meta-learning
_WRONG = 0.3  # of the classes for meta-learning
_CLASSES = [meta_class(organ, state) for organ in ORGANS for state in STATES]


@dataclass(frozen=True)
class _Plan:
    scene: Scene
    part: str
    image_id: str
    size: int

    @property
    def meta(self) -> str:
        """The folder of its copy for meta-learning, below MMQ's."""
        if self.part == "train" and self.scene.rank % len(_PARTS) == _UNLABELLED:
            return "t0/train_unlabel"
        name = meta_class(self.scene.organ, self.scene.state)
        rng = np.random.default_rng([*self.scene.seed.generate_state(2), 2])
        if self.part == "train" and rng.random() < _WRONG:
            name = str(rng.choice([other for other in _CLASSES if other != name]))
        return f"{'t0/train' if self.part == 'train' else self.part}/{name}"


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
    which say nothing. ``pathvqa_maml/`` is laid out as MMQ's authors distribute theirs: ``t0/train/<class>/`` has two thirds of
    the training pictures by body part and state, three in ten of them under a wrong one; ``t0/train_unlabel/`` the others;
    ``val/<class>/`` and ``test/<class>/`` those of the other parts, all right. The questions are written last.

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
    meta = [f"{META}/{part}/{name}" for part in ("t0/train", "val", "test") for name in _CLASSES]
    for folder in ("qas", *(f"images/{part}" for part in dict.fromkeys(_PARTS)), *meta, f"{META}/t0/train_unlabel"):
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
    content = jpeg(light + (dark - light) * grey)
    for folder in (f"images/{plan.part}", f"{META}/{plan.meta}"):
        write_bytes(out / folder / f"{plan.image_id}.jpg", content)


def _record(plan: _Plan, number: int, question: Question) -> dict[str, Any]:
    return {
        "img_id": plan.image_id,
        "question_id": number,
        "sent": question.text.lower(),
        "label": {question.answer: 1},
        "answer_type": "yes/no" if question.closed else "other",
        "question_type": question.text.split()[0].lower(),
    }
