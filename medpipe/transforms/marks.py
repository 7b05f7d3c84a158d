"""From a map of logits to the marks that a detection method makes on an image."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from monai.transforms import Transform
from scipy import ndimage

__all__ = ["ExtractMarksd", "component_marks", "local_maxima"]


def local_maxima(
    ratings: npt.NDArray[np.floating], radius: float, min_rating: float
) -> list[tuple[float, float, float]]:
    """Find the points that no pixel within ``radius`` exceeds.

    Equal pixels that touch within the radius make one mark, at their mean position.

    Args:
        ratings: (rows, columns), any finite values.
        radius: Radius of the disc in pixels, at least 0.
        min_rating: Smaller values make no mark.

    Returns:
        (row, column, rating) by falling rating, ties by position.
    """
    candidates = _square_maxima(ratings, radius) & (ratings >= min_rating)
    kept = [point for point in np.argwhere(candidates) if _tops_its_disc(ratings, point, radius)]
    marks: list[tuple[float, float, float]] = []
    remaining = sorted(((-float(ratings[r, c]), int(r), int(c)) for r, c in kept))
    while remaining:
        rating = remaining[0][0]
        group = _plateau(remaining, radius)
        rows, columns = [p[1] for p in group], [p[2] for p in group]
        marks.append((float(np.mean(rows)), float(np.mean(columns)), -rating))
        taken = set(group)
        remaining = [point for point in remaining if point not in taken]
    return marks


def _square_maxima(ratings: npt.NDArray[np.floating], radius: float) -> npt.NDArray[np.bool_]:
    """Maxima of the square inside the disc: a superset of the disc's, found by two fast one-dimensional filters."""
    side = 2 * math.floor(radius / math.sqrt(2)) + 1
    return np.asarray(ndimage.maximum_filter(ratings, size=side, mode="constant", cval=-np.inf) == ratings)


def _tops_its_disc(ratings: npt.NDArray[np.floating], point: npt.NDArray[np.intp], radius: float) -> bool:
    row, column = int(point[0]), int(point[1])
    reach = math.floor(radius)
    top, left = max(0, row - reach), max(0, column - reach)
    window = ratings[top : row + reach + 1, left : column + reach + 1]
    rows, columns = np.ogrid[: window.shape[0], : window.shape[1]]
    disc = (rows + top - row) ** 2 + (columns + left - column) ** 2 <= radius**2
    return bool(window[disc].max() <= ratings[row, column])


def _plateau(points: list[tuple[float, int, int]], radius: float) -> list[tuple[float, int, int]]:
    """The first point and all of its rating that a chain of steps within ``radius`` reaches."""
    equal = [point for point in points if point[0] == points[0][0]]
    if len(equal) == 1:
        return equal
    places = np.array([point[1:] for point in equal])
    reached = np.zeros(len(equal), dtype=bool)
    frontier = [0]
    reached[0] = True
    while frontier:
        steps = ((places - places[frontier.pop()]) ** 2).sum(1) <= max(radius, 1.5) ** 2
        frontier.extend(np.flatnonzero(steps & ~reached))
        reached |= steps
    return [point for point, hit in zip(equal, reached, strict=True) if hit]


def component_marks(ratings: npt.NDArray[np.floating], threshold: float) -> list[tuple[float, float, float]]:
    """One mark per 8-connected component of ``ratings >= threshold``, at its (first) maximum.

    Returns:
        (row, column, rating) by falling rating.
    """
    labels, count = ndimage.label(ratings >= threshold, structure=np.ones((3, 3)))
    places = ndimage.maximum_position(ratings, labels, range(1, count + 1)) if count else []
    marks = [(float(row), float(column), float(ratings[row, column])) for row, column in places]
    return sorted(marks, key=lambda mark: (-mark[2], mark[0], mark[1]))


class ExtractMarksd(Transform):
    """Turn a localiser's logit map into an image score and a list of marks in the pixels of the file.

    The sigmoid of the map is resized bilinearly to the network input, cut to the part that the image occupies, and
    searched for local maxima (or components). The image score is the sigmoid of the map's maximum over that part.

    Reads ``keys`` (logits, shape (1, rows, columns)) and ``image_key``, whose metadata must come from ``ScaleToFit``.
    Writes "score" (float in [0, 1]), "marks" (dictionaries with the columns of marks.csv) and "spacing_mm".

    Args:
        keys: Key of the logit map.
        label: What a mark means, for the table.
        image_key: Key of the network input.
        method: "local_maxima" or "components".
        nms_radius: Disc radius in cells of the logit map.
        min_rating: Lowest probability that makes a mark, or the threshold of the components.
    """

    def __init__(
        self,
        keys: str,
        label: str,
        *,
        image_key: str = "image",
        method: str = "local_maxima",
        nms_radius: float = 0.75,
        min_rating: float = 0.01,
    ) -> None:
        if method not in ("local_maxima", "components"):
            raise ValueError(f"method must be 'local_maxima' or 'components', got '{method}'")
        if nms_radius < 0 or not 0 <= min_rating <= 1:
            raise ValueError(f"nms_radius >= 0 and 0 <= min_rating <= 1 expected, got {nms_radius} and {min_rating}")
        self.key, self.label, self.image_key = keys, label, image_key
        self.method, self.nms_radius, self.min_rating = method, nms_radius, min_rating

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Add "score", "marks" and "spacing_mm" to the dictionary."""
        image, logits = data[self.image_key], torch.as_tensor(data[self.key]).float()
        fitted = tuple(int(n) for n in image.meta["fitted_shape"])
        stored = tuple(int(n) for n in image.meta["spatial_shape"][:2])
        cell = image.shape[-1] / logits.shape[-1]
        ratings = self._ratings(logits, tuple(image.shape[-2:]))[: fitted[0], : fitted[1]]
        if self.method == "local_maxima":
            found = local_maxima(ratings, self.nms_radius * cell, self.min_rating)
        else:
            found = component_marks(ratings, self.min_rating)
        spacing = [float(v) for v in image.meta.get("spacing_mm", (math.nan, math.nan))]
        marks = [self._mark(mark, fitted, stored, spacing) for mark in found]
        return {**data, "score": self._score(logits, cell, fitted), "marks": marks, "spacing_mm": spacing}

    @staticmethod
    def _ratings(logits: torch.Tensor, shape: tuple[int, ...]) -> npt.NDArray[np.float64]:
        probability = torch.sigmoid(logits)[None]
        resized = F.interpolate(probability, shape, mode="bilinear", align_corners=False)
        # The two pixels beside a cell's centre are equal but for rounding; six decimals make them one plateau.
        return np.asarray(np.round(resized[0, 0].cpu().double().numpy(), 6), dtype=np.float64)

    @staticmethod
    def _score(logits: torch.Tensor, cell: float, fitted: tuple[int, ...]) -> float:
        """Cells that lie wholly in the padding do not count: nothing of the image is there."""
        rows, columns = (math.ceil(side / cell) for side in fitted)
        return float(torch.sigmoid(logits[0, :rows, :columns].max()))

    def _mark(
        self,
        mark: tuple[float, float, float],
        fitted: tuple[int, ...],
        stored: tuple[int, ...],
        spacing: list[float],
    ) -> dict[str, Any]:
        y, x = ((mark[axis] + 0.5) * stored[axis] / fitted[axis] - 0.5 for axis in (0, 1))
        return {"label": self.label, "score": mark[2], "x": x, "y": y, "x_mm": x * spacing[1], "y_mm": y * spacing[0]}
