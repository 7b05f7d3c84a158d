"""Training a logit map from image labels and coarse lesion masks.

The setting is that of "Learning Visual Context by Comparison" (M Kim et al., ECCV 2020,
https://arxiv.org/abs/2007.07506): binary cross-entropy, masks for some images, an orthogonality term. How the
paper weights image and mask terms is not published; the sum here is ours.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .orthogonality import OrthogonalityLoss

__all__ = ["LesionLocalizationLoss"]


class LesionLocalizationLoss(nn.Module):
    """``image + localization_weight * localization + orthogonality_weight * orthogonality``.

    - image: binary cross-entropy between the maximum of the logit map and the image label, mean over images.
    - localization: binary cross-entropy between the logit map and the lesion mask, max-pooled to the map's
      grid, mean over the cells and over the images whose mask is known; 0 in a batch without known masks.
      Images without a lesion have a known mask of zeros.
    - orthogonality: see ``OrthogonalityLoss``; absent where the prediction is a plain tensor (evaluation).

    Args:
        localization_weight: Weight of the mask term, at least 0.
        orthogonality_weight: The paper's lambda, at least 0.
        orthogonality_form: ``abs_total``, ``abs_each`` or ``raw``.

    Raises:
        ValueError: A weight is negative, or the form is unknown.
    """

    def __init__(
        self,
        localization_weight: float = 1.0,
        orthogonality_weight: float = 0.1,
        orthogonality_form: str = "abs_total",
    ) -> None:
        super().__init__()
        if localization_weight < 0 or orthogonality_weight < 0:
            found = f"{localization_weight} and {orthogonality_weight}"
            raise ValueError(f"weights must be at least 0, found {found}")
        self.localization_weight = localization_weight
        self.orthogonality_weight = orthogonality_weight
        self.orthogonality = OrthogonalityLoss(orthogonality_form)

    def forward(self, prediction: Tensor | Mapping[str, Tensor], target: Mapping[str, Tensor]) -> Tensor:
        """The weighted sum of ``terms``, a scalar.

        Args:
            prediction: Logit maps (B, 1, h, w); or the dictionary of a network in training: ``logits``,
                ``orthogonality`` (B,) and, for ``abs_each``, ``orthogonality_per_module`` (B, M).
            target: ``image_label`` (B,), 0 or 1; ``mask`` (B, 1, H, W), 0 or 1, at the resolution of the
                image, of any value where unknown; ``mask_known`` (B,), true or false.

        Raises:
            ValueError: A shape does not fit, the batch is empty, or an entry is missing.
        """
        terms = self.terms(prediction, target)
        total = terms["image"] + self.localization_weight * terms["localization"]
        if "orthogonality" in terms:
            total = total + self.orthogonality_weight * terms["orthogonality"]
        return total

    def terms(self, prediction: Tensor | Mapping[str, Tensor], target: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The terms before weighting, each a scalar: ``image``, ``localization`` and, in training,
        ``orthogonality``.

        Args:
            prediction: As for ``forward``.
            target: As for ``forward``.

        Raises:
            ValueError: As for ``forward``.
        """
        logits = prediction if isinstance(prediction, Tensor) else prediction["logits"]
        _check_shapes(logits, target)
        if logits.dtype in (torch.float16, torch.bfloat16):
            logits = logits.float()  # as autocast hands them over
        label = target["image_label"].to(logits)
        known = target["mask_known"].to(logits.device, torch.bool)
        terms = {
            "image": F.binary_cross_entropy_with_logits(logits.amax(dim=(1, 2, 3)), label),
            "localization": _localization(logits, target["mask"].to(logits), known),
        }
        if not isinstance(prediction, Tensor):
            key = "orthogonality_per_module" if self.orthogonality.form == "abs_each" else "orthogonality"
            terms["orthogonality"] = self.orthogonality(prediction[key])
        return terms


def _localization(logits: Tensor, mask: Tensor, known: Tensor) -> Tensor:
    cells = F.adaptive_max_pool2d(mask, logits.shape[-2:])
    # An unknown mask may hold anything, NaN included, so it is replaced and not multiplied by zero.
    cells = torch.where(known[:, None, None, None], cells, 0.0)
    per_image = F.binary_cross_entropy_with_logits(logits, cells, reduction="none").mean(dim=(1, 2, 3))
    return torch.where(known, per_image, 0.0).sum() / known.sum().clamp(min=1)


def _check_shapes(logits: Tensor, target: Mapping[str, Tensor]) -> None:
    missing = [key for key in ("image_label", "mask", "mask_known") if key not in target]
    if missing:
        raise ValueError(f"the target lacks {', '.join(missing)}; found {', '.join(target) or 'nothing'}")
    if logits.ndim != 4 or logits.shape[1] != 1 or logits.shape[0] == 0:
        raise ValueError(f"expected logit maps (B, 1, h, w) with B > 0, found {tuple(logits.shape)}")
    batch = logits.shape[0]
    for key in ("image_label", "mask_known"):
        if tuple(target[key].shape) != (batch,):
            raise ValueError(f"expected {key} of shape ({batch},), found {tuple(target[key].shape)}")
    mask = target["mask"]
    if mask.ndim != 4 or tuple(mask.shape[:2]) != (batch, 1):
        raise ValueError(f"expected mask of shape ({batch}, 1, H, W), found {tuple(mask.shape)}")
