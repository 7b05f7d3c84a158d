"""How far a reconstruction is from its image, beside the loss of the task that it helps."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

__all__ = ["ReconstructionLoss"]


class ReconstructionLoss(nn.Module):
    """Mean squared difference over all images and pixels, divided once more by the number of images.

    The second division is that of the code of MEVF (https://github.com/aioz-ai/MICCAI19-MedVQA), which divides the sum of its
    losses by the batch size; with it, their weight of 0.001 means the same.
    """

    def forward(self, reconstruction: Tensor, image: Tensor) -> Tensor:
        """The loss, a scalar.

        Args:
            reconstruction: (B, C, H, W).
            image: The same shape.

        Raises:
            ValueError: The shapes differ.
        """
        if reconstruction.shape != image.shape:
            raise ValueError(
                f"expected reconstruction and image of one shape, found {tuple(reconstruction.shape)} and "
                f"{tuple(image.shape)}"
            )
        return F.mse_loss(reconstruction, image) / len(image)
