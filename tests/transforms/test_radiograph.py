from __future__ import annotations

import numpy as np
import pytest
import torch

from medpipe.data.rle import encode_relative_rle
from medpipe.transforms.radiograph import radiograph_preprocessing, radiograph_training


def entry(path, ramp, label=1, **more) -> dict:
    mask = np.zeros(ramp.shape, bool)
    mask[10:30, 50:70] = True
    truth = {"rle": [encode_relative_rle(mask)]} if label and more.get("localized", True) else {}
    base = {"image": str(path), "case": "c", "patient": "p", "label": label, "localized": True}
    return {**base, "rows": ramp.shape[0], "columns": ramp.shape[1], **truth, **more}


def test_the_input_is_square_in_unit_range_and_padded_behind(write_dicom, ramp) -> None:
    image = radiograph_preprocessing(64)({"image": str(write_dicom("a.dcm", ramp))})["image"]
    assert tuple(image.shape) == (1, 64, 64)
    assert (float(image.min()), float(image.max())) == (0.0, 1.0)
    assert tuple(image.meta["fitted_shape"]) == (64, 53)
    assert float(image[0, :, 53:].abs().max()) == 0


def test_the_negative_image_gives_the_negative_input(write_dicom, ramp) -> None:
    chain = radiograph_preprocessing(64)
    plain = chain({"image": str(write_dicom("a.dcm", ramp))})["image"]
    negative = chain({"image": str(write_dicom("b.dcm", ramp, PhotometricInterpretation="MONOCHROME1"))})["image"]
    torch.testing.assert_close(negative[..., :53].as_tensor(), 1 - plain[..., :53].as_tensor(), atol=2e-5, rtol=0)


def test_rescaling_a_files_grey_values_does_not_change_the_input(write_dicom, ramp) -> None:
    chain = radiograph_preprocessing(64)
    plain = chain({"image": str(write_dicom("a.dcm", ramp))})["image"]
    other = chain({"image": str(write_dicom("b.dcm", ramp // 2 + 100, RescaleSlope=3, RescaleIntercept=-50))})["image"]
    torch.testing.assert_close(other.as_tensor(), plain.as_tensor(), atol=2e-3, rtol=0)


def test_the_mask_lies_where_the_lesion_is(write_dicom, ramp) -> None:
    path = write_dicom("a.dcm", ramp)
    item = radiograph_training(96, augment=False)(entry(path, ramp))
    assert set(item) == {"image", "mask", "mask_known", "image_label", "case"}
    expected = torch.zeros(96, 96)
    expected[10:30, 50:70] = 1
    torch.testing.assert_close(item["mask"][0].as_tensor(), expected)


def test_a_negative_has_a_known_empty_mask_and_a_positive_without_place_an_unknown_one(write_dicom, ramp) -> None:
    path, chain = write_dicom("a.dcm", ramp), radiograph_training(64, augment=False)
    negative = chain(entry(path, ramp, label=0))
    unknown = chain(entry(path, ramp, label=1, localized=False))
    assert (bool(negative["mask_known"]), float(negative["mask"].sum()), negative["image_label"]) == (True, 0, 0)
    assert (bool(unknown["mask_known"]), float(unknown["mask"].sum()), unknown["image_label"]) == (False, 0, 1)


def test_augmentation_moves_image_and_mask_together(write_dicom) -> None:
    pixels = np.zeros((128, 128), np.uint16)
    pixels[20:44, 90:114] = 1000
    pixels[0, 0] = 1
    mask = pixels > 500
    item = {"image": str(write_dicom("a.dcm", pixels)), "case": "c", "patient": "p", "label": 1, "localized": True}
    item |= {"rows": 128, "columns": 128, "rle": [encode_relative_rle(mask)]}
    chain = radiograph_training(128, augment=True, jitter=0.0)
    chain.set_random_state(3)
    moved = 0
    for _ in range(8):
        out = chain(dict(item))
        bright = out["image"][0] > 0.5
        overlap = (bright & (out["mask"][0] > 0.5)).sum() / (bright | (out["mask"][0] > 0.5)).sum()
        assert float(overlap) > 0.85
        moved += int(not bool((out["mask"][0].numpy() > 0.5)[20:44, 90:114].all()))
    assert moved > 2


@pytest.mark.parametrize("seed", [0, 1])
def test_the_same_seed_gives_the_same_augmentation(write_dicom, ramp, seed) -> None:
    item, images = entry(write_dicom("a.dcm", ramp), ramp), []
    for _ in range(2):
        chain = radiograph_training(64, augment=True)
        chain.set_random_state(seed)
        images.append(chain(dict(item))["image"].as_tensor())
    torch.testing.assert_close(*images, rtol=0, atol=0)
