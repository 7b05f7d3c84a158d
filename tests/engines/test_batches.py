from __future__ import annotations

import torch
from monai.data import MetaTensor, decollate_batch, list_data_collate

from medpipe.engines.batches import localization_batch


def test_images_and_targets_come_out_plain_and_stacked() -> None:
    items = [
        {
            "image": MetaTensor(torch.rand(1, 8, 8)),
            "mask": MetaTensor(torch.ones(1, 8, 8)),
            "mask_known": k,
            "image_label": y,
        }
        for k, y in ((True, 1.0), (False, 1.0), (True, 0.0))
    ]
    images, targets = localization_batch(list_data_collate(items), torch.device("cpu"))
    assert type(images) is torch.Tensor
    assert images.shape == (3, 1, 8, 8)
    assert targets["mask_known"].tolist() == [True, False, True]
    assert targets["image_label"].tolist() == [1.0, 1.0, 0.0]
    assert targets["mask"].shape == (3, 1, 8, 8)
    assert len(decollate_batch(images)) == 3
