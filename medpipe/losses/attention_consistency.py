"""Class maps of an image and of its transformed copy should be alike.

Paper: H Guo, K Zheng, X Fan, H Yu, S Wang, "Visual Attention Consistency under Image Transforms for Multi-Label Image
Classification", CVPR 2019. Consulted where it differs from its code, https://github.com/hguosc/visual_attention_consistency:
the mean of squares (the paper writes a norm) and the common grid of two scales are the code's.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

__all__ = ["flip_consistency", "scale_consistency"]


def flip_consistency(maps: Tensor, flipped: Tensor) -> Tensor:
    """Mean square of the difference between mirrored maps and the maps of mirrored images.

    Args:
        maps: (B, C, h, w), of the images.
        flipped: The same shape, of the images mirrored left to right.

    Returns:
        A scalar, the mean over images, classes and positions; both maps get its gradient.

    Raises:
        ValueError: The shapes differ.
    """
    return _mean_square(maps.flip(-1), flipped)


def scale_consistency(large: Tensor, small: Tensor) -> Tensor:
    """Mean square of the difference between the maps of images in two sizes.

    Both are repeated by nearest neighbour to the least common multiple of their sides (7 and 6 cells: 42), where each
    cell of either covers the same part of the image.

    Args:
        large: (B, C, h, w).
        small: (B, C, h', w'), of the same images.

    Returns:
        A scalar, the mean over images, classes and positions of the common grid; both maps get its gradient.

    Raises:
        ValueError: Batch or classes differ.
    """
    sides = tuple(math.lcm(a, b) for a, b in zip(large.shape[-2:], small.shape[-2:], strict=True))
    return _mean_square(*(F.interpolate(maps, sides, mode="nearest") for maps in (large, small)))


def _mean_square(first: Tensor, second: Tensor) -> Tensor:
    if first.shape != second.shape:
        raise ValueError(f"expected maps of the same shape, found {tuple(first.shape)} and {tuple(second.shape)}")
    return torch.mean((first - second) ** 2)
