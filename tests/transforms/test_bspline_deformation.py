"""The random B-spline deformation: the spline itself, image, labels and points together, determinism."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from scipy.interpolate import BSpline
from scipy.ndimage import map_coordinates

from medpipe.transforms.bspline_deformation import RandBSplineDeformd, bspline_displacement, displaced_points

SHAPE = (32, 40, 36)


def nodes(seed: int = 0, size: float = 3.0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, size, (3, 5, 5, 5))


def smooth_image() -> np.ndarray:
    x, y, z = np.meshgrid(*[np.linspace(-1, 1, n) for n in SHAPE], indexing="ij")
    return (0.5 + 0.5 * np.sin(3 * x + 2 * y - z)).astype(np.float32)


def test_it_is_scipys_cubic_b_spline_on_the_framed_lattice() -> None:
    lattice = np.pad(nodes(), ((0, 0), (1, 1), (1, 1), (1, 1)))
    # Uniform knots -3 ... 7 put the domain of seven coefficients at 0 ... 4.
    knots = np.arange(-3, 8.0)
    rows = [
        np.stack(
            [BSpline.basis_element(knots[k : k + 5], extrapolate=False)((np.arange(n) + 0.5) * 4 / n) for k in range(7)]
        )
        for n in SHAPE
    ]
    expected = np.einsum("cijk,ix,jy,kz->cxyz", lattice, *(np.nan_to_num(row) for row in rows))
    assert np.allclose(bspline_displacement(nodes(), SHAPE), expected, atol=1e-5)


def test_equal_nodes_move_the_middle_by_their_value() -> None:
    displacement = bspline_displacement(np.full((3, 5, 5, 5), 2.0), (16, 16, 16))
    # The two inner spans see moving nodes alone.
    assert np.allclose(displacement[:, 4:12, 4:12, 4:12], 2)
    assert displacement[0, 0, 8, 8] < 2


def test_the_image_is_pulled_back_by_the_displacement() -> None:
    transform = RandBSplineDeformd("moving").set_random_state(1)
    image = smooth_image()
    deformed = transform({"moving": torch.from_numpy(image)[None]})["moving"][0].numpy()
    u = bspline_displacement(transform.nodes * np.array([8, 10, 9]).reshape(3, 1, 1, 1), SHAPE)
    assert np.abs(u).max() > 0.5
    expected = map_coordinates(image, np.indices(SHAPE) + u, order=1, mode="nearest")
    assert np.allclose(deformed, expected, atol=1e-5)


def test_image_label_and_point_move_together() -> None:
    label = np.zeros(SHAPE, np.uint8)
    label[14:17, 20:23, 11:14] = 9
    sample = {"moving": torch.from_numpy(label.astype(np.float32))[None], "label": torch.from_numpy(label)[None]}
    sample["points"] = np.array([[15, 21, 12], [-1, -1, -1]], np.float32)
    transform = RandBSplineDeformd(["moving", "label"], ["bilinear", "nearest"], point_keys="points", amplitude=2)
    result = transform.set_random_state(3)(sample)
    assert result["label"].dtype == torch.uint8
    assert set(result["label"].unique().tolist()) == {0, 9}
    centre = np.argwhere(result["label"][0].numpy() == 9).mean(axis=0)
    assert np.abs(result["points"][0] - centre).max() < 1
    assert np.abs(result["points"][0] - [15, 21, 12]).max() >= 1
    assert result["points"][1].tolist() == [-1, -1, -1]
    assert ((result["moving"][0] > 4.5).numpy() == (result["label"][0] == 9).numpy()).mean() > 0.999


def test_a_displaced_point_is_the_inverse_of_the_pull_back() -> None:
    u = np.zeros((3, 10, 10, 10), np.float32)
    u[0] = 2
    assert displaced_points(np.array([[6.0, 3, 4]]), u).tolist() == [[4, 3, 4]]
    assert displaced_points(np.zeros((0, 3)), u).shape == (0, 3)


def test_displacements_stay_within_the_amplitude_and_are_mostly_small() -> None:
    transform = RandBSplineDeformd("moving").set_random_state(0)
    drawn = []
    for _ in range(20):
        transform.randomize()
        drawn.append(transform.nodes)
    drawn = np.abs(np.array(drawn))
    assert drawn.max() <= 0.4
    # |r|^3 with r uniform within a: half of all lie below a^3 / 8.
    assert np.median(drawn) == pytest.approx(0.4 / 8, rel=0.1)


def test_a_seed_gives_the_same_sample_and_prob_zero_leaves_it() -> None:
    sample = {"moving": torch.from_numpy(smooth_image())[None]}
    first, second = (RandBSplineDeformd("moving").set_random_state(7)(sample)["moving"] for _ in range(2))
    assert torch.equal(first, second)
    assert not torch.equal(first, RandBSplineDeformd("moving").set_random_state(8)(sample)["moving"])
    assert RandBSplineDeformd("moving", prob=0)(sample)["moving"] is sample["moving"]


def test_metadata_stay() -> None:
    volume = MetaTensor(torch.from_numpy(smooth_image())[None], affine=torch.diag(torch.tensor([2.0, 1, 1, 1])))
    result = RandBSplineDeformd("moving").set_random_state(0)({"moving": volume})["moving"]
    assert isinstance(result, MetaTensor)
    assert torch.equal(result.affine, volume.affine)


def test_wrong_options_and_samples_are_refused() -> None:
    with pytest.raises(ValueError, match=r"\[0, 1\].*found 2"):
        RandBSplineDeformd("moving", prob=2)
    with pytest.raises(ValueError, match="each of 2 keys, found linear"):
        RandBSplineDeformd(["a", "b"], ["linear"])
    with pytest.raises(ValueError, match="of one size under"):
        RandBSplineDeformd(["a", "b"])({"a": torch.zeros(1, 8, 8, 8), "b": torch.zeros(1, 8, 8, 9)})
    with pytest.raises(KeyError):
        RandBSplineDeformd("moving")({})
