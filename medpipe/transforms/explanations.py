"""Maps that explain a result, over the picture of the image."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import torch
from monai.transforms import Transform

from medpipe.transforms.map_geometry import MapGeometry

__all__ = ["EXPLANATIONS", "Explaind"]

EXPLANATIONS = ("none", "maps", "attention")


class Explaind(Transform):
    """Lay the probability maps of the most probable classes, and attention maps, over the picture of the image.

    Reads ``keys`` (logits (classes, rows, columns)), "image" with the metadata of ``ScaleToFit``, "picture", "scores" by class
    (without them a class counts by the highest cell of its map), and with "attention" also what
    ``engines.handlers.attention_maps`` adds. Writes "maps": a title to a map (rows, columns) of the
    picture. Class maps are probabilities, from 0 to 1; attention maps are scaled to a largest value of 1.

    Args:
        keys: Key of the logit maps.
        classes: Their names, in order.
        explain: ``none``; ``maps`` for class maps; ``attention`` for both.
        most: Number of classes.
        side: See ``MapGeometry``; None where the input is all of the image.

    Raises:
        ValueError: The kind is unknown.
    """

    def __init__(
        self, keys: str, classes: Sequence[str], *, explain: str = "maps", most: int = 3, side: int | None = None
    ) -> None:
        if explain not in EXPLANATIONS:
            raise ValueError(f"explain must be one of {', '.join(EXPLANATIONS)}, got '{explain}'")
        self.key, self.classes, self.explain, self.most, self.side = keys, list(classes), explain, most, side

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Add "maps" to the dictionary; nothing for ``none`` and without a picture."""
        if self.explain == "none" or "picture" not in data:
            return dict(data)
        geometry = MapGeometry.of(data["image"], self.side)
        shape = tuple(data["picture"].shape)
        probabilities = torch.sigmoid(torch.as_tensor(data[self.key]).float())
        rows, columns = geometry.cells((probabilities.shape[1], probabilities.shape[2]))
        peaks = probabilities[:, :rows, :columns].amax(dim=(1, 2)).tolist()
        scores = [data.get("scores", {}).get(name, peak) for name, peak in zip(self.classes, peaks, strict=True)]
        order = sorted(range(len(scores)), key=lambda k: -scores[k])[: self.most]
        maps = {f"{self.classes[k]} {scores[k]:.2f}": geometry.on_picture(probabilities[k], shape) for k in order}
        for name, attention in data.get("attention", {}).items():
            mean = attention.mean(dim=0)  # over the groups of the module
            maps[f"attention: {name}"] = geometry.on_picture(mean / mean.max().clamp(min=1e-12), shape)
        return {**data, "maps": maps}
