"""The pipelines of radiograph bundles, from a file name to a network input."""

from __future__ import annotations

from typing import Any

from monai.transforms import (
    Compose,
    LoadImaged,
    RandAdjustContrastd,
    RandAffined,
    RandFlipd,
    RandScaleIntensityd,
    ScaleIntensityRangePercentilesd,
    SelectItemsd,
    SpatialPadd,
)

from medpipe.io.reader import RadiographReader
from medpipe.transforms.lesion_mask import LesionMaskd
from medpipe.transforms.picture import Pictured
from medpipe.transforms.scale_to_fit import ScaleToFitd

__all__ = ["radiograph_preprocessing", "radiograph_training"]

_TRAINING_KEYS = ("image", "mask", "mask_known", "image_label", "case")


def radiograph_preprocessing(image_size: int, *, picture_size: int | None = None) -> Compose:
    """Load a radiograph and bring it to (1, image_size, image_size), float32 in [0, 1].

    With ``picture_size`` also make a picture of that size for people ("picture", see ``Pictured``).

    The 1st and 99th percentile become 0 and 1, so that exposure, window and collimation matter little. This step is
    symmetric: an image and its negative stay negatives of each other.
    """
    steps = _image_steps(image_size, keys=("image",))
    if picture_size is not None:
        steps.insert(1, Pictured("image", picture_size))
    return Compose(steps)


def radiograph_training(
    image_size: int,
    *,
    augment: bool,
    flip: float = 0.5,
    scale: float = 0.1,
    shift: float = 0.05,
    rotate: float = 0.05,
    jitter: float = 0.2,
) -> Compose:
    """As ``radiograph_preprocessing``, with the lesion mask of a datalist entry beside the image.

    The random steps stand last, so that MONAI's caching data sets keep all that comes before.

    Args:
        image_size: Side of the input in pixels.
        augment: Change images and masks at random, by the arguments below.
        flip: Probability of a left-right flip.
        scale: Largest relative zoom.
        shift: Largest shift as a part of the side.
        rotate: Largest rotation in radians.
        jitter: Largest relative change of brightness and of the contrast exponent.
    """
    keys = ("image", "mask")
    steps = [LesionMaskd(), *_image_steps(image_size, keys), SelectItemsd(keys=_TRAINING_KEYS)]
    if augment:
        affine = RandAffined(
            keys,
            prob=0.8,
            rotate_range=rotate,
            scale_range=scale,
            translate_range=shift * image_size,
            mode=("bilinear", "nearest"),
            padding_mode="zeros",
        )
        steps += [
            RandFlipd(keys, prob=flip, spatial_axis=1),
            affine,
            RandScaleIntensityd("image", factors=jitter, prob=0.5),
            RandAdjustContrastd("image", prob=0.5, gamma=(1 - jitter, 1 + jitter)),
        ]
    return Compose(steps)


def _image_steps(image_size: int, keys: tuple[str, ...]) -> list[Any]:
    return [
        LoadImaged("image", reader=RadiographReader(), ensure_channel_first=True, image_only=True),
        ScaleToFitd(keys, size=image_size),
        # Before the padding, whose zeros are no grey values of the image.
        ScaleIntensityRangePercentilesd("image", lower=1, upper=99, b_min=0.0, b_max=1.0, clip=True),
        SpatialPadd(keys, spatial_size=(image_size, image_size), method="end"),
    ]
