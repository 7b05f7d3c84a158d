from __future__ import annotations

import numpy as np
import torch
from monai.data import MetaTensor

from medpipe.transforms.picture import Pictured


def test_the_picture_is_grey_bytes_of_the_image_as_it_was_loaded() -> None:
    image = MetaTensor(torch.linspace(0, 1, 80).expand(1, 160, 80).clone())
    data = Pictured("image", 80)({"image": image, "case": "a"})
    assert data["picture"].dtype == np.uint8
    assert data["picture"].shape == (80, 40)
    assert data["picture"][0, 0] < 3
    assert data["picture"][0, -1] > 252
    assert data["image"] is image
    assert data["case"] == "a"
