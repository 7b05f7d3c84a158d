from __future__ import annotations

import numpy as np
import pytest
import torch
from monai.data import MetaTensor

from medpipe.transforms.marks import ExtractMarksd
from medpipe.transforms.regions import FoundRegion


def prepared(stored: tuple[int, int], fitted: tuple[int, int], side: int) -> MetaTensor:
    return MetaTensor(torch.zeros(1, side, side), meta={"spatial_shape": (*stored, 1), "fitted_shape": fitted})


def test_a_half_of_the_map_is_half_of_the_file() -> None:
    logits = torch.full((1, 4, 4), -20.0)
    logits[:, :, 2:] = 20
    region = FoundRegion("x")(logits, prepared((64, 64), (32, 32), 32))
    expected = np.zeros((64, 64))
    expected[:, 32:] = 1
    assert region.dtype == np.uint8
    assert np.array_equal(region, expected)


@pytest.mark.parametrize(("value", "inside"), [(-20.0, 0), (20.0, 1)])
def test_nothing_and_everything(value, inside) -> None:
    region = FoundRegion("x")(torch.full((1, 3, 3), value), prepared((50, 30), (24, 14), 24))
    assert region.shape == (50, 30)
    assert (region == inside).all()


def test_what_is_found_in_the_padding_is_not_in_the_file() -> None:
    logits = torch.full((1, 4, 4), -20.0)
    logits[:, :, 3] = 20  # columns 24 to 31 of the input; the image ends at 16
    assert not FoundRegion("x")(logits, prepared((64, 32), (32, 16), 32)).any()


def test_the_strongest_mark_lies_in_its_region() -> None:
    logits = torch.randn(1, 8, 8, generator=torch.Generator().manual_seed(3)) * 3
    image = prepared((300, 217), (64, 46), 64)
    mark = ExtractMarksd("pred", "x")({"pred": logits, "image": image})["marks"][0]
    region = FoundRegion("x", threshold=mark["score"] * 0.98)(logits, image)
    assert region[round(mark["y"]), round(mark["x"])] == 1


@pytest.mark.parametrize("threshold", [0, -0.1, 1.1])
def test_a_threshold_that_no_probability_can_have_is_refused(threshold) -> None:
    with pytest.raises(ValueError, match="threshold"):
        FoundRegion("x", threshold=threshold)
