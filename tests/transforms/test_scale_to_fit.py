from __future__ import annotations

import numpy as np
import pytest
import torch
from monai.data import MetaTensor

from medpipe.transforms.scale_to_fit import ScaleToFit, ScaleToFitd


@pytest.mark.parametrize(
    ("shape", "fitted"), [((100, 50), (64, 32)), ((50, 100), (32, 64)), ((20, 20), (64, 64)), ((1000, 1), (64, 1))]
)
def test_the_longer_side_gets_the_length_and_proportions_stay(shape, fitted) -> None:
    result = ScaleToFit(64)(MetaTensor(torch.rand(1, *shape)))
    assert tuple(result.shape[-2:]) == fitted
    assert tuple(result.meta["fitted_shape"]) == fitted
    assert tuple(result.meta["spatial_shape"]) == shape


def test_a_point_comes_back_to_where_it_was() -> None:
    image = torch.zeros(1, 300, 200)
    image[0, 117:120, 61:64] = 1  # centre: row 118, column 62
    small = ScaleToFit(100)(image)
    weights = small[0].numpy() / small[0].numpy().sum()
    rows, columns = np.mgrid[:100, :67]
    back = [
        (float((axis * weights).sum()) + 0.5) * whole / part - 0.5
        for axis, whole, part in ((rows, 300, 100), (columns, 200, 67))
    ]
    assert back == pytest.approx([118, 62], abs=0.2)


def test_a_thin_line_survives_in_a_mask_and_fades_in_an_image() -> None:
    line = torch.zeros(1, 512, 512)
    line[0, :, 100] = 1
    scaled = ScaleToFitd(("image", "mask"), size=64)({"image": MetaTensor(line), "mask": MetaTensor(line)})
    assert scaled["mask"].max() == 1
    assert scaled["mask"].sum() == 64
    assert scaled["image"].max() < 0.3


def test_the_mean_grey_value_is_kept() -> None:
    image = torch.rand(1, 700, 500)
    assert float(ScaleToFit(100)(image).mean()) == pytest.approx(float(image.mean()), abs=2e-3)


def test_a_size_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="positive"):
        ScaleToFit(0)
