"""From a map of logits to the region that a localiser finds, in the pixels of the file."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from monai.data import MetaTensor

__all__ = ["FoundRegion"]


class FoundRegion:
    """The pixels of a file whose probability reaches a threshold.

    The sigmoid of the logit map is resized bilinearly to the file's pixels, from the part of the map that the image occupies.

    Args:
        label: What the region shows.
        threshold: Lowest probability inside, in (0, 1].

    Raises:
        ValueError: The threshold is out of range.
    """

    def __init__(self, label: str, *, threshold: float = 0.5) -> None:
        if not 0 < threshold <= 1:
            raise ValueError(f"the region's threshold lies in (0, 1], got {threshold}")
        self.label, self.threshold = label, threshold

    def __call__(self, logits: torch.Tensor, image: MetaTensor) -> npt.NDArray[np.uint8]:
        """A mask of the file.

        Args:
            logits: (1, rows, columns) of the map.
            image: The network's input, with the metadata of ``ScaleToFit``.

        Returns:
            (rows, columns) of the file, 1 inside and 0 outside.
        """
        fitted, stored = (tuple(int(n) for n in image.meta[key][:2]) for key in ("fitted_shape", "spatial_shape"))
        probability = torch.sigmoid(torch.as_tensor(logits).float())[None]
        side = tuple(int(n) for n in image.shape[-2:])
        # As for the marks, so that a mark lies in its region: to the input first, and the padding cut off.
        on_input = F.interpolate(probability, side, mode="bilinear", align_corners=False)[..., : fitted[0], : fitted[1]]
        on_file = F.interpolate(on_input, stored, mode="bilinear", align_corners=False)[0, 0]
        return np.asarray((on_file >= self.threshold).cpu().numpy(), np.uint8)
