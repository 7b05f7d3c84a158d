"""The bones of a generated frontal chest radiograph, as fields to add to the picture."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .chest_anatomy import Anatomy, Fields

__all__ = ["bone_field"]

Array = NDArray[Any]


def bone_field(person: Anatomy, fields: Fields) -> Array:
    """Added density of ribs, clavicles, shoulder blades, upper arms and spine, about 0 to 0.25."""
    ribs = person.rib_contrast * _ribs(person, fields)
    return ribs + _clavicles(person, fields) + _shoulder(person, fields) + _spine(person, fields)


def _ribs(person: Anatomy, fields: Fields) -> Array:
    """Each rib is an ellipse from the front: the posterior part above, the anterior part below."""
    side = np.abs(fields.u)
    cage = (person.cage_width + 0.03) * np.clip(1 - 0.55 * np.clip(-(fields.v + 0.05), 0, 1) ** 2.2, 0.3, 1)
    across = side / (1 + 0.11 * fields.v) / cage
    arc = np.sqrt(np.clip(1 - across**2, 1e-3, 1))
    inside = np.clip((1.0 - across) / 0.012, 0, 1)
    posterior = _bands(fields.v + 0.20 * arc - 0.10 * across, person, 0.024) * np.clip((across - 0.1) / 0.08, 0, 1)
    anterior = _bands(fields.v - 0.34 * arc + 0.05 * across, person, 0.030)
    anterior = anterior * np.clip((across - 0.42) / 0.25, 0, 1) * np.clip((fields.v + 0.62) / 0.2, 0, 1)
    reach = np.clip((0.62 - fields.v) / 0.15, 0.25, 1) * np.clip((fields.v + 0.86) / 0.08, 0, 1)
    return inside * reach * (0.085 * posterior + 0.048 * anterior)


def _bands(height: Array, person: Anatomy, half_width: float) -> Array:
    """Bands of constant thickness, one per rib, along lines of constant ``height``; denser at their edges."""
    phase = height / person.rib_spacing + person.rib_phase
    down, right = np.gradient(height)
    step = 2 * person.scale / height.shape[0]  # chest units per pixel
    steepness = np.sqrt(down**2 + right**2) / step
    distance = np.abs(phase - np.round(phase)) * person.rib_spacing / np.maximum(steepness, 0.3) / half_width
    band = np.clip((1 - distance) / 0.18 + 0.5, 0, 1)
    return band * (0.6 + 0.4 * np.clip(distance, 0, 1) ** 3)


def _clavicles(person: Anatomy, fields: Fields) -> Array:
    side = np.abs(fields.u)
    along = np.clip((side - 0.07) / 0.75, 0, 1)
    medial = np.where(fields.u < 0, person.clavicle[0], person.clavicle[1])
    course = medial - person.clavicle_slope * along - 0.06 * np.sin(2 * np.pi * along) * (1 - along)
    half_width = 0.03 - 0.012 * np.sin(np.pi * along)
    distance = np.abs(fields.v - course) / half_width
    band = np.clip((1 - distance) / 0.25 + 0.5, 0, 1) * (0.75 + 0.25 * np.clip(distance, 0, 1) ** 3)
    ends = np.clip((side - 0.06) / 0.02, 0, 1) * np.clip((0.84 - side) / 0.03, 0, 1)
    return 0.105 * band * ends


def _shoulder(person: Anatomy, fields: Fields) -> Array:
    """Shoulder blades (a faint sheet with a denser medial edge) and the heads of the upper arms."""
    side, height = np.abs(fields.u), fields.v
    edge = 0.66 + 0.10 * (height + 0.1) + 0.1 * np.clip(-(height + 0.35), 0, 1)
    blade = np.clip((side - edge) / 0.012, 0, 1) * np.clip((0.10 - height) / 0.1, 0, 1)
    blade = blade * np.clip((height + 0.62) / 0.06, 0, 1) * np.clip((0.94 - side) / 0.1, 0, 1)
    border = np.exp(-(((side - edge - 0.012) / 0.012) ** 2)) * blade
    head = np.clip((0.12 - np.hypot(side - 0.97, (height + 0.52) * 0.9)) / 0.02, 0, 1)
    shaft = np.clip((0.065 - np.abs(side - 1.03 - 0.05 * height)) / 0.02, 0, 1) * np.clip((height + 0.5) / 0.05, 0, 1)
    return 0.03 * blade + 0.05 * border + 0.09 * np.maximum(head, shaft)


def _spine(person: Anatomy, fields: Fields) -> Array:
    """Vertebral bodies with paler discs between them, pedicles, and spinous processes on the midline."""
    side = np.abs(fields.u)
    phase = (fields.v + person.rib_phase * 0.1) / 0.115
    within = phase - np.floor(phase)
    body = np.clip((0.075 + 0.008 * np.cos(2 * np.pi * within) - side) / 0.03, 0, 1)
    disc = np.exp(-(((np.abs(within - 0.5) - 0.5) / 0.09) ** 2))
    process = np.exp(-((side / 0.013) ** 2) - ((within - 0.62) / 0.2) ** 2)
    pedicle = np.exp(-(((side - 0.048) / 0.012) ** 2) - ((within - 0.35) / 0.12) ** 2)
    seen = 1 - 0.65 * fields.abdomen
    return seen * (body * (0.05 - 0.03 * disc) + 0.03 * process + 0.025 * pedicle)
