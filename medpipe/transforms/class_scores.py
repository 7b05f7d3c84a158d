"""From the logit maps of a classifier to scores of its classes, and to the places that they come from."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any

import torch
from monai.transforms import Transform

from medpipe.transforms.map_geometry import MapGeometry

__all__ = ["ClassScoresd"]


class ClassScoresd(Transform):
    """Turn logit maps into a probability per class, and a mark where the map of a probable class is highest.

    Cells that lie wholly in the padding do not count: nothing of the image is there.

    Reads ``keys`` (logits, shape (classes, rows, columns)) and ``image_key``, whose metadata must come from ``ScaleToFit``.
    Writes "scores" (class to a float in [0, 1]), "score" (None: no class speaks for the image), "marks" (dictionaries with
    the columns of marks.csv, by falling score) and "spacing_mm".

    Args:
        keys: Key of the logit maps.
        classes: Their names, in order.
        pool: From maps (B, classes, rows, columns) to logits (B, classes), as in training.
        side: To which images are scaled before their centre is cut out, see ``MapGeometry``.
        min_rating: Lowest probability that makes a mark.
        image_key: Key of the network input.

    Raises:
        ValueError: The rating is out of range, or names of classes are missing or repeated.
    """

    def __init__(
        self,
        keys: str,
        classes: Sequence[str],
        *,
        pool: Callable[[torch.Tensor], torch.Tensor],
        side: int,
        min_rating: float = 0.5,
        image_key: str = "image",
    ) -> None:
        if not 0 <= min_rating <= 1:
            raise ValueError(f"0 <= min_rating <= 1 expected, got {min_rating}")
        if not classes or len(set(classes)) < len(classes):
            raise ValueError(f"different names of classes expected, got {list(classes)}")
        self.key, self.image_key, self.classes = keys, image_key, list(classes)
        self.pool, self.side, self.min_rating = pool, side, min_rating

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Add "scores", "score", "marks" and "spacing_mm" to the dictionary.

        Raises:
            ValueError: There are more or fewer maps than classes.
        """
        image, maps = data[self.image_key], torch.as_tensor(data[self.key]).float()
        if maps.shape[0] != len(self.classes):
            raise ValueError(f"{maps.shape[0]} maps for {len(self.classes)} classes")
        geometry = MapGeometry.of(image, self.side)
        rows, columns = geometry.cells((maps.shape[-2], maps.shape[-1]))
        inside = maps[:, :rows, :columns]
        logits = self.pool(inside[None])[0]
        scores = dict(zip(self.classes, torch.sigmoid(logits).tolist(), strict=True))
        spacing = [float(v) for v in image.meta.get("spacing_mm", (math.nan, math.nan))]
        marks = [
            self._mark(name, score, inside[k], maps.shape, geometry, spacing)
            for k, (name, score) in enumerate(scores.items())
            if score >= self.min_rating
        ]
        marks.sort(key=lambda mark: -mark["score"])
        return {**data, "scores": scores, "score": None, "marks": marks, "spacing_mm": spacing}

    def _mark(
        self,
        name: str,
        score: float,
        cells: torch.Tensor,
        shape: Sequence[int],
        geometry: MapGeometry,
        spacing: Sequence[float],
    ) -> dict[str, Any]:
        row, column = divmod(int(cells.argmax()), cells.shape[1])
        y, x = geometry.to_file((row, column), (int(shape[-2]), int(shape[-1])))
        return {"label": name, "score": score, "x": x, "y": y, "x_mm": x * spacing[1], "y_mm": y * spacing[0]}
