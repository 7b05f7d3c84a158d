"""How alike two volumes are, for registration without truth.

The global correlation is the loss of S Zhao et al., "Recursive Cascaded Networks for Unsupervised Medical Image
Registration", ICCV 2019, https://arxiv.org/abs/1907.12353; the local one and mutual information are MONAI's.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from monai.losses import GlobalMutualInformationLoss, LocalNormalizedCrossCorrelationLoss
from torch import Tensor, nn

from medpipe.networks.choices import choose

__all__ = ["VOLUME_SIMILARITIES", "PearsonLoss", "volume_similarity"]


class PearsonLoss(nn.Module):
    """One minus Pearson's correlation over all voxels of a pair, averaged over the batch.

    Blind to brightness and contrast: of w and a w + b (a > 0) it says the same. A constant image has correlation 0.

    Args:
        epsilon: Added to each variance.
    """

    def __init__(self, epsilon: float = 1e-6) -> None:
        super().__init__()
        self.epsilon = epsilon

    def forward(self, warped: Tensor, fixed: Tensor) -> Tensor:
        """Compare volumes (B, ...) of one shape; a scalar from 0 (alike) to 2 (inverted).

        Raises:
            ValueError: The shapes differ.
        """
        if warped.shape != fixed.shape:
            raise ValueError(f"expected volumes of one shape, found {tuple(warped.shape)} and {tuple(fixed.shape)}")
        warped, fixed = (volume.flatten(1).float() for volume in (warped, fixed))
        warped = warped - warped.mean(dim=1, keepdim=True)
        fixed = fixed - fixed.mean(dim=1, keepdim=True)
        covariance = (warped * fixed).mean(dim=1)
        variances = [volume.square().mean(dim=1) + self.epsilon for volume in (warped, fixed)]
        return (1 - covariance / (variances[0] * variances[1]).sqrt()).mean()


VOLUME_SIMILARITIES: dict[str, Callable[..., nn.Module]] = {
    "pearson": PearsonLoss,
    "lncc": LocalNormalizedCrossCorrelationLoss,
    "mi": GlobalMutualInformationLoss,
}


def volume_similarity(name: str, **options: Any) -> nn.Module:
    """Build a similarity loss by name; call it with (warped, fixed).

    Args:
        name: ``pearson``; ``lncc``, minus the mean local correlation; or ``mi``, minus the mutual information.
        **options: Options of that class.

    Raises:
        ValueError: The name is unknown.
    """
    return VOLUME_SIMILARITIES[choose("similarity", name, VOLUME_SIMILARITIES)](**options)
