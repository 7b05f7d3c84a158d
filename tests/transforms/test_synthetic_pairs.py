from __future__ import annotations

import numpy as np
import pytest
import torch
from monai.networks.blocks import Warp
from scipy.ndimage import gaussian_filter1d, map_coordinates

from medpipe.transforms.synthetic_pairs import (
    Appearance,
    Deformation,
    SynthesizePaird,
    _blurred,
    fixed_pairs,
    random_label_maps,
)


@pytest.fixture(scope="module")
def label_map() -> dict[str, torch.Tensor]:
    return random_label_maps("brain", count=1, image_size=(20, 24, 22))[0]


def made(label_map, seed: int = 0, **options):
    transform = SynthesizePaird(**options)
    transform.set_random_state(seed)
    return transform(label_map)


def test_the_field_leads_from_the_fixed_labels_to_the_moving_ones(label_map) -> None:
    pair = made(label_map)
    places = np.indices((20, 24, 22)) + pair["field"].numpy()
    warped = map_coordinates(pair["moving_label"][0].numpy(), places, order=0, mode="nearest")
    assert (warped == pair["fixed_label"][0].numpy()).mean() > 0.9999  # but for positions half way between voxels
    assert pair["field"].abs().max() > 0.5
    assert (pair["fixed_label"] != pair["moving_label"]).any()


def test_images_are_greys_in_0_to_1_and_follow_their_labels(label_map) -> None:
    plain = Appearance(greys=[0, 0.2, 0.5, 0.9, 0.7, 0.3], jitter=0, difference=0, blur=0, bias=0, noise=0, gamma=0)
    pair = made(label_map, appearance=plain)
    for role in ("fixed", "moving"):
        image, labels = pair[role], pair[f"{role}_label"]
        assert image.dtype == torch.float32
        assert (float(image.min()), float(image.max())) == pytest.approx((0, 1), abs=1e-5)
        means = [float(image[labels == label].mean()) for label in (0, 1, 2, 3)]
        assert means == sorted(means)


def test_both_images_share_their_greys_unless_contrasts_differ(label_map) -> None:
    def greys(contrasts: float) -> tuple[torch.Tensor, torch.Tensor]:
        appearance = Appearance(contrasts=contrasts, difference=0.0)
        return appearance.draw_greys(6, torch.Generator().manual_seed(0))

    assert torch.equal(*greys(0.0))
    assert not torch.equal(*greys(1.0))


def test_equal_seeds_give_equal_pairs(label_map) -> None:
    one, two, other = made(label_map, 3), made(label_map, 3), made(label_map, 4)
    for name in ("fixed", "moving", "field", "fixed_label", "moving_label"):
        assert torch.equal(one[name], two[name])
        assert not torch.equal(one[name], other[name])


def test_without_deformation_the_labels_are_those_given(label_map) -> None:
    still = Deformation(strength=0, affine=0, shift=0)
    pair = made(label_map, deformation=still, flip=0)
    assert torch.equal(pair["fixed_label"], label_map["label"])
    assert torch.equal(pair["moving_label"], label_map["label"])
    assert pair["field"].abs().max() == 0


def test_other_keys_stay_and_the_label_map_goes(label_map) -> None:
    pair = made({**label_map, "case": "a"})
    assert pair["case"] == "a"
    assert "label" not in pair


def test_the_blur_is_that_of_a_gaussian() -> None:
    image = torch.rand(1, 9, 10, 11, generator=torch.Generator().manual_seed(0))
    expected = image[0].numpy().astype(float)
    for axis in range(3):
        expected = gaussian_filter1d(expected, 0.8, axis=axis, radius=2, mode="nearest")
    np.testing.assert_allclose(_blurred(image, 0.8)[0].numpy(), expected, atol=1e-6)


def test_fixed_pairs_are_the_same_each_time_and_leave_the_transform_alone(label_map) -> None:
    transform = SynthesizePaird()
    transform.set_random_state(0)
    before = transform.R.get_state()[1].tolist()
    one, two = (fixed_pairs([label_map], transform, count=2, seed=5) for _ in range(2))
    assert all(torch.equal(a["fixed"], b["fixed"]) for a, b in zip(one, two, strict=True))
    assert not torch.equal(one[0]["fixed"], one[1]["fixed"])
    assert transform.R.get_state()[1].tolist() == before


def test_label_maps_of_all_kinds_have_structures() -> None:
    for kind in ("shapes", "liver", "brain"):
        maps = random_label_maps(kind, count=2, image_size=24, seed=1)
        assert [tuple(each["label"].shape) for each in maps] == [(1, 24, 24, 24)] * 2
        assert all(len(torch.unique(each["label"])) > 3 for each in maps)
        assert not torch.equal(maps[0]["label"], maps[1]["label"])


@pytest.mark.parametrize(("kind", "count"), [("heart", 1), ("brain", 0)])
def test_an_unknown_kind_or_no_maps_are_refused(kind, count) -> None:
    with pytest.raises(ValueError, match="expected one of shapes, liver, brain"):
        random_label_maps(kind, count=count, image_size=16)


def test_too_few_greys_and_wrong_shapes_are_refused(label_map) -> None:
    with pytest.raises(ValueError, match="labels up to 5, but greys are given for 2"):
        made(label_map, appearance=Appearance(greys=[0, 1]))
    with pytest.raises(ValueError, match=r"expected a label map \(1, X, Y, Z\)"):
        made({"label": torch.zeros(4, 4, 4)})
    with pytest.raises(ValueError, match="made of one label map"):
        SynthesizePaird(["a", "b"])


def test_a_pair_made_of_an_image_keeps_its_greys_and_its_field_is_exact() -> None:
    grid = torch.stack(torch.meshgrid(*[torch.linspace(0, 1, n) for n in (20, 24, 22)], indexing="ij"))
    image = (grid * torch.tensor([9.0, 8.0, 7.0]).view(3, 1, 1, 1)).sin().prod(0)[None]
    plain = Appearance(bias=0.0, noise=0.0, gamma=0.0)
    small = Deformation(strength=0.5, affine=0.02)
    made = SynthesizePaird(deformation=small, appearance=plain, flip=0.0)
    made.set_random_state(3)
    sample = made({"label": torch.zeros(1, 20, 24, 22, dtype=torch.uint8), "image": image})
    assert set(sample) == {"fixed", "moving", "fixed_label", "moving_label", "field", "field_given"}
    pulled = Warp("bilinear", "border")(sample["moving"][None], sample["field"][None])[0]
    # The greys of each image are stretched from its darkest to its brightest.
    after, before = (np.corrcoef(sample["fixed"].ravel(), v.ravel())[0, 1] for v in (pulled, sample["moving"]))
    assert 1 - after < 0.05 * (1 - before)
    assert sample["field_given"] is True


def test_a_real_pair_stays_one_under_a_deformation_of_both() -> None:
    torch.manual_seed(0)
    one, two = torch.rand(2, 1, 12, 14, 10)
    labels = [(volume > 0.5).to(torch.uint8) for volume in (one, two)]
    still = Deformation(strength=0.0, affine=0.0, shift=0.0)
    made = SynthesizePaird(deformation=still, appearance=Appearance(bias=0.0, noise=0.0, gamma=0.0), flip=1.0)
    given = {"image": one, "label": labels[0], "fixed_image": two, "fixed_label": labels[1]}
    sample = made(given)
    for name, expected in (("moving", one), ("fixed", two)):
        stretched = (expected - expected.min()) / (expected.max() - expected.min())
        torch.testing.assert_close(sample[name], stretched.flip(1), rtol=0, atol=1e-5)
    assert torch.equal(sample["moving_label"], labels[0].flip(1))
    assert torch.equal(sample["fixed_label"], labels[1].flip(1))
    assert sample["field_given"] is False
    assert not sample["field"].any()


def test_an_image_and_its_labels_are_pulled_from_the_same_places_up_to_the_border() -> None:
    torch.manual_seed(1)
    labels = torch.arange(16).view(1, 16, 1, 1).expand(1, 16, 8, 8)
    still = Deformation(strength=0.0, affine=0.0, shift=0.0)
    plain = Appearance(bias=0.0, noise=0.0, gamma=0.0)
    made = SynthesizePaird(deformation=Deformation(strength=0.0, affine=0.0, shift=0.3), spread=still, appearance=plain)
    made.set_random_state(5)
    sample = made({"label": labels, "image": labels.float()})
    for role in ("fixed", "moving"):
        image = sample[role] * (sample[f"{role}_label"].max() - sample[f"{role}_label"].min())
        places = image + sample[f"{role}_label"].min()
        assert (places - sample[f"{role}_label"]).abs().max() <= 1.0  # nearest against linear
    assert (sample["fixed_label"] != sample["moving_label"]).any()


def test_label_maps_of_all_sources_have_one_type() -> None:
    made = SynthesizePaird()
    kinds = [torch.zeros(1, 8, 8, 8, dtype=dtype) for dtype in (torch.uint8, torch.int32, torch.float32)]
    samples = [made({"label": labels, "image": torch.rand(1, 8, 8, 8)}) for labels in kinds]
    assert {sample["fixed_label"].dtype for sample in samples} == {torch.int32}
