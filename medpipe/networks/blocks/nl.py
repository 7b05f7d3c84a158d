"""Non-local block (NL), embedded Gaussian.

Paper: X Wang, R Girshick, A Gupta, K He, "Non-local Neural Networks", CVPR 2018,
    https://arxiv.org/abs/1711.07971,
equation 6 and figure 2. The computation is timm's.
"""

from __future__ import annotations

from timm.layers import NonLocalAttn

__all__ = ["NonLocal"]


class NonLocal(NonLocalAttn):  # type: ignore[misc]  # timm carries no complete types
    """Adds to each position a mean over all positions, weighted by similarity.

    ``Y = X + BN(z(softmax(theta(X)^T phi(X)) g(X)))`` with 1x1 convolutions; the softmax runs over the
    positions that are looked at. timm's module scales the similarities by ``channels ** -0.5`` and uses an
    eighth of the channels; here they are unscaled and the width is half, as in the paper. The batch norm
    starts at zero, so the block starts as identity. Time and memory grow with (H W)^2.

    Args:
        channels: Channels of the input.
        reduction: The embeddings have ``channels // reduction`` channels (at least 1).

    Shape:
        (B, channels, H, W) in, the same out.
    """

    def __init__(self, channels: int, *, reduction: int = 2) -> None:
        super().__init__(channels, use_scale=False, rd_channels=max(1, channels // reduction))
