"""The pipelines of classifiers of radiographs: those of the chest X-ray code of "Learning Visual Context by Comparison".

Paper: M Kim et al., ECCV 2020, https://arxiv.org/abs/2007.07506; the sizes and random changes are those of its code,
https://github.com/mk-minchul/attend-and-compare. The code scales the shorter side and cuts the centre out, which loses the ends
of the longer side; here the longer side is scaled and the shorter one padded. For square images, as all of ChestX-ray14 are,
this is the same.
"""

from __future__ import annotations

import math
from typing import Any

from monai.transforms import (
    CenterSpatialCropd,
    Compose,
    EnsureTyped,
    LoadImaged,
    RandFlipd,
    RandTorchVisiond,
    SelectItemsd,
    SpatialPadd,
)

from medpipe.io.reader import RadiographReader
from medpipe.transforms.class_labels import ClassLabelsd
from medpipe.transforms.picture import Pictured
from medpipe.transforms.scale_to_fit import ScaleToFitd

__all__ = ["classification_preprocessing", "classification_training", "scaled_side"]

_TRAINING_KEYS = ("image", "labels", "case")


def scaled_side(image_size: int) -> int:
    """Side to which an image is scaled before its centre of ``image_size`` is cut out: 470 for 448."""
    return int(1.05 * image_size)


def classification_preprocessing(image_size: int, *, picture_size: int | None = None) -> Compose:
    """Load a radiograph and bring it to (1, image_size, image_size), float32 display values in [0, 1].

    The longer side is scaled to ``scaled_side``, the shorter one padded with zeros at its end, and the centre cut out. With
    ``picture_size`` also make a picture of that size for people ("picture", see ``Pictured``).
    """
    steps = _centre_steps(image_size)
    if picture_size is not None:
        steps.insert(1, Pictured("image", picture_size))
    return Compose(steps)


def classification_training(
    image_size: int, *, augment: bool, flip: float = 0.5, smallest_area: float = 0.8, jitter: float = 0.2
) -> Compose:
    """As ``classification_preprocessing``, with the labels of a datalist entry of several classes beside the image.

    Augmented images are random parts of the whole image, scaled to the input, in place of its centre. The random steps
    stand last, so that MONAI's caching data sets keep all that comes before.

    Args:
        image_size: Side of the input in pixels.
        augment: Change images at random, by the arguments below.
        flip: Probability of a left-right flip.
        smallest_area: Least part of the image's area that is cut out, with aspect ratios from 3/4 to 4/3.
        jitter: Largest relative change of brightness and contrast.
    """
    tail = [ClassLabelsd(), SelectItemsd(keys=_TRAINING_KEYS), EnsureTyped(_TRAINING_KEYS[:2], track_meta=False)]
    if not augment:
        return Compose([*_centre_steps(image_size), *tail])
    side = math.ceil(image_size / math.sqrt(smallest_area))  # the smallest part then has the pixels of the input
    part = {"size": image_size, "scale": (smallest_area, 1.0), "ratio": (3 / 4, 4 / 3), "antialias": True}
    random = [
        RandFlipd("image", prob=flip, spatial_axis=1),
        RandTorchVisiond("image", name="RandomResizedCrop", **part),
        RandTorchVisiond("image", name="ColorJitter", brightness=jitter, contrast=jitter),
    ]
    return Compose([*_square_steps(side), *tail, *random, EnsureTyped("image", track_meta=False)])


def _centre_steps(image_size: int) -> list[Any]:
    return [*_square_steps(scaled_side(image_size)), CenterSpatialCropd("image", roi_size=(image_size, image_size))]


def _square_steps(side: int) -> list[Any]:
    return [
        LoadImaged("image", reader=RadiographReader(), ensure_channel_first=True, image_only=True),
        ScaleToFitd("image", size=side),
        SpatialPadd("image", spatial_size=(side, side), method="end"),
    ]
