"""Drawn sections of three body parts with questions that only their pictures answer.

A scene is a head, a chest or an abdomen; it is normal, has a mass (a bright disc, on the left or on the right of the
picture), or has an enlarged organ (the ventricles, the heart, the liver). Body parts and states are drawn equally often and
independently of each other. Pose, exposure, texture and noise say nothing of either.

Questions do not give their answers away: which body part, what is wrong and, of a mass, on which side are asked in the same
words whatever the picture shows. Of the closed questions (a mass? an enlarged organ? normal?) an image gets the one that
its state affirms and one of the other two in turn, so that each is answered by yes and by no equally often. Whoever does not
look is right in half of the closed and a third of the open questions (half of those for a side).

Lengths are in half sides of the picture, x to the right and y downwards. Grey values go from 0 to 1.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["ORGANS", "STATES", "Question", "Scene", "plan_scenes"]

ORGANS = ("head", "chest", "abdomen")
STATES = ("normal", "mass", "enlarged")
_SIDES = ("left", "right")
_ENLARGED = 1.7
_MASS_RADIUS = 0.19
_Shape = tuple[float, float, float, float, float]  # x, y, half width, half height, grey value

_BODIES: dict[str, list[_Shape]] = {
    "head": [(0, 0, 0.78, 0.9, 0.9), (0, 0, 0.68, 0.8, 0.5)],
    "chest": [(0, 0, 0.9, 0.82, 0.6), (-0.42, -0.05, 0.28, 0.55, 0.15), (0.42, -0.05, 0.28, 0.55, 0.15)],
    "abdomen": [(0, 0, 0.92, 0.75, 0.45), (0, 0.5, 0.14, 0.14, 0.95)],
}
_PARTS: dict[str, list[_Shape]] = {  # what an enlarged organ is
    "head": [(-0.16, 0, 0.08, 0.22, 0.12), (0.16, 0, 0.08, 0.22, 0.12)],
    "chest": [(0.06, 0.25, 0.2, 0.22, 0.75)],
    "abdomen": [(-0.36, -0.1, 0.26, 0.26, 0.65)],
}
_MASS_SITES = {"head": (0.36, -0.15), "chest": (0.42, -0.15), "abdomen": (0.45, -0.1)}

_WORDS = {
    "organ": ("Which part of the body is shown?", "What part of the body is this?"),
    "finding": ("What is the abnormality?", "What is abnormal in this image?"),
    "side": ("On which side of the picture is the mass?", "Where in the picture is the mass?"),
    "mass": ("Is there a mass?", "Is a mass present?"),
    "enlarged": ("Is an organ enlarged?", "Is there an enlarged organ?"),
    "normal": ("Is this image normal?", "Is this a normal image?"),
}
_KINDS = {"organ": "ORGAN", "finding": "ABN", "side": "POS", "mass": "PRES", "enlarged": "SIZE", "normal": "ABN"}
_FINDINGS = {"normal": "nothing", "mass": "mass", "enlarged": "enlarged organ"}


@dataclass(frozen=True)
class Question:
    """One question about a scene."""

    text: str
    answer: str
    closed: bool
    kind: str  # a question type of VQA-RAD
    rephrased: bool


@dataclass(frozen=True)
class Scene:
    """One picture to draw."""

    organ: str
    state: str
    side: str  # of the mass, where there is one
    rank: int  # number among the scenes of its organ and state
    seed: np.random.SeedSequence

    def draw(self, size: int) -> NDArray[np.float64]:
        """The picture, (size, size), from 0 to 1."""
        rng = np.random.default_rng(self.seed)
        x, y = _posed_axes(rng, size)
        image = np.full((size, size), 0.03)
        growth = _ENLARGED if self.state == "enlarged" else 1.0
        shapes = _BODIES[self.organ] + [(a, b, w * growth, h * growth, v) for a, b, w, h, v in _PARTS[self.organ]]
        if self.state == "mass":
            a, b = _MASS_SITES[self.organ]
            a, b = (a, -a)[self.side == "left"] + rng.uniform(-0.08, 0.08), b + rng.uniform(-0.15, 0.25)
            shapes.append((a, b, _MASS_RADIUS, _MASS_RADIUS, 0.98))
        for a, b, width, height, value in shapes:
            inside = np.clip((1 - np.hypot((x - a) / width, (y - b) / height)) * min(width, height) * size / 3, 0, 1)
            image += (value - image) * inside
        texture = np.kron(rng.normal(0, 0.04, (16, 16)), np.ones((-(-size // 16), -(-size // 16))))[:size, :size]
        image = image * rng.uniform(0.7, 1.2) + texture + rng.normal(0, 0.03, image.shape)
        return np.clip(image, 0, 1)

    def questions(self) -> list[Question]:
        """What is asked about it, in one of two wordings each."""
        others = [state for state in STATES if state != self.state]
        asked = [("organ", self.organ), ("finding", _FINDINGS[self.state]), (self.state, "yes")]
        asked.append((others[self.rank % 2], "no"))
        if self.state == "mass":
            asked.append(("side", self.side))
        return [self._question(place, key, answer) for place, (key, answer) in enumerate(asked)]

    def _question(self, place: int, key: str, answer: str) -> Question:
        wording = (self.rank // 2 + place) % 2
        return Question(_WORDS[key][wording], answer, key in STATES, _KINDS[key], wording == 1)


def _posed_axes(rng: np.random.Generator, size: int) -> tuple[NDArray[Any], NDArray[Any]]:
    """Coordinates of the pixels in the frame of a body that is turned, moved and scaled."""
    axis = (np.arange(size) + 0.5) / size * 2 - 1
    x, y = axis[None, :] - rng.uniform(-0.08, 0.08), axis[:, None] - rng.uniform(-0.08, 0.08)
    angle, scale = rng.uniform(-0.35, 0.35), rng.uniform(0.85, 1.05)
    cos, sin = np.cos(angle) / scale, np.sin(angle) / scale
    return cos * x + sin * y, cos * y - sin * x


def plan_scenes(name: str, *, cases: int, seed: int) -> list[Scene]:
    """Plan scenes: body parts and states in turn, masses left and right in turn.

    Args:
        name: Of the data set; with the seed, it decides on all randomness.
        cases: Number of scenes.
        seed: From 0.
    """
    seeds = np.random.SeedSequence([seed, *name.encode()]).spawn(cases)
    return [Scene(ORGANS[n % 3], STATES[n // 3 % 3], _SIDES[n // 9 % 2], n // 9, seeds[n]) for n in range(cases)]
