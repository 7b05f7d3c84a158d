"""Global context block (GC).

Paper: Y Cao, J Xu, S Lin, F Wei, H Hu, "GCNet: Non-local Networks Meet Squeeze-Excitation Networks and
    Beyond",
ICCV workshops 2019, https://arxiv.org/abs/1904.11492, figure 4d. The computation is timm's.
"""

from __future__ import annotations

from timm.layers import GlobalContext as TimmGlobalContext

__all__ = ["GlobalContext"]


class GlobalContext(TimmGlobalContext):  # type: ignore[misc]  # timm carries no complete types
    """Adds one transformed, attention-pooled vector to every position.

    ``Y = X + fc2(relu(LayerNorm(fc1(sum_n softmax(attn(X))_n X_n))))``: the paper's additive fusion. (timm's
    name ``gc`` stands for a form that multiplies, its ``gca`` for this one with an eighth of the channels.)
    The last convolution's weight starts at zero.

    Args:
        channels: Channels of the input.
        reduction: The hidden width is ``channels // reduction`` (at least 1).

    Shape:
        (B, channels, H, W) in, the same out.
    """

    def __init__(self, channels: int, *, reduction: int = 16) -> None:
        super().__init__(channels, fuse_add=True, fuse_scale=False, rd_channels=max(1, channels // reduction))
