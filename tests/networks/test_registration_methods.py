"""All ways to register, behind one interface: what they find on a pair whose field is known."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from medpipe.errors import RequestError
from medpipe.losses.field_smoothness import FieldSmoothnessLoss
from medpipe.losses.volume_similarity import PearsonLoss
from medpipe.networks.blocks.displacement import jacobian_determinant
from medpipe.networks.blocks.warp import warp
from medpipe.networks.field_refinement import FieldRefinement
from medpipe.networks.ldr import LDR
from medpipe.networks.registration_methods import RegistrationMethod

SIZE = 32


def texture(seed: int = 0) -> torch.Tensor:
    values = gaussian_filter(np.random.default_rng(seed).normal(size=(SIZE,) * 3), 2.5)
    i = np.indices((SIZE,) * 3) - (SIZE - 1) / 2
    values = (values - values.min()) / np.ptp(values) * (np.linalg.norm(i, axis=0) < 13)
    return torch.from_numpy(values.astype(np.float32))[None, None]


def bump(amplitude: float = 2.0) -> torch.Tensor:
    """A smooth field that pushes along axis 0 most, axis 1 less, against axis 2."""
    i = np.indices((SIZE,) * 3) - (SIZE - 1) / 2
    shape = np.exp(-(i**2).sum(axis=0) / (2 * 7**2))
    field = np.stack([amplitude * shape, 0.5 * amplitude * shape, -0.7 * amplitude * shape])
    return torch.from_numpy(field.astype(np.float32))[None]


@pytest.fixture
def pair() -> tuple[torch.Tensor, torch.Tensor]:
    moving = texture()
    return warp(moving, bump()), moving


def correlation(one: torch.Tensor, two: torch.Tensor) -> float:
    return 1 - float(PearsonLoss()(one, two))


@pytest.mark.parametrize("method", ["bspline", "demons"])
def test_classical_methods_find_the_field_in_voxels_and_in_our_direction(pair, method) -> None:
    fixed, moving = pair
    field = RegistrationMethod(method)(fixed, moving)
    assert (field.shape, field.dtype) == ((1, 3, SIZE, SIZE, SIZE), torch.float32)
    inner = (slice(None), slice(None), slice(10, 22), slice(10, 22), slice(10, 22))
    truth = bump()
    assert (field - truth)[inner].abs().mean() < 0.35 * truth[inner].abs().mean()
    assert 1 - correlation(warp(moving, field), fixed) < 0.5 * (1 - correlation(moving, fixed))


def test_the_same_pair_gives_the_same_field(pair) -> None:
    assert torch.equal(RegistrationMethod("demons")(*pair), RegistrationMethod("demons")(*pair))
    assert torch.equal(RegistrationMethod("affine")(*pair), RegistrationMethod("affine")(*pair))


def test_affine_finds_a_shift() -> None:
    moving = texture()
    shift = torch.tensor([2.0, -1.5, 1.0]).view(1, 3, 1, 1, 1).expand(1, 3, SIZE, SIZE, SIZE)
    field = RegistrationMethod("affine")(warp(moving, shift), moving)
    assert (field - shift)[..., 8:24, 8:24, 8:24].abs().max() < 0.5


def weights(tmp_path, **options):
    torch.manual_seed(0)
    network = LDR(48, channels=2, **options)
    with torch.no_grad():
        network.dense[0].flow.weight.normal_(0, 0.05)
    torch.save(network.state_dict(), tmp_path / "w.pt")
    return network.eval()


@pytest.mark.parametrize("options", [{}, {"half_resolution": True, "initial": "none"}])
def test_the_network_gives_its_own_field(tmp_path, options) -> None:
    network = weights(tmp_path, **options)
    images = torch.rand(2, 1, 1, 48, 48, 48)
    method = RegistrationMethod("network", LDR(48, channels=2, **options), tmp_path / "w.pt")
    with torch.no_grad():
        expected = network(*images).field
    found = method(*images)
    assert expected.abs().max() > 1e-3
    assert (found - expected).abs().max() < 1e-3
    assert set(method.seconds) == {"network"}


def test_what_a_method_needs_is_asked_for_by_name(tmp_path, monkeypatch) -> None:
    with pytest.raises(RequestError, match="unknown method 'sym', expected one of: network, voxelmorph"):
        RegistrationMethod("sym")
    for method in ("network", "voxelmorph"):
        with pytest.raises(RequestError, match="needs weights; give weights=FILE"):
            RegistrationMethod(method, LDR(48))
    monkeypatch.setitem(sys.modules, "ants", None)
    with pytest.raises(RequestError, match=r"'syn' needs ANTs.*medpipe\[ants\]"):
        RegistrationMethod("syn")
    monkeypatch.setitem(sys.modules, "SimpleITK", None)
    with pytest.raises(RequestError, match="needs SimpleITK"):
        RegistrationMethod("demons")
    weights(tmp_path)
    with pytest.raises(RequestError, match="does not fit"):
        RegistrationMethod("voxelmorph", weights=tmp_path / "w.pt")


def test_voxelmorphs_field_comes_through(tmp_path) -> None:
    from monai.networks.nets import VoxelMorph

    torch.manual_seed(0)
    network = VoxelMorph(spatial_dims=3).eval()
    torch.save(network.state_dict(), tmp_path / "w.pt")
    fixed, moving = torch.rand(2, 1, 1, 16, 16, 16)
    with torch.no_grad():
        expected = network(moving, fixed)[1]
    assert torch.allclose(
        RegistrationMethod("voxelmorph", weights=tmp_path / "w.pt")(fixed, moving), expected, atol=1e-6
    )


def test_syn_finds_the_field(pair) -> None:
    pytest.importorskip("ants")
    fixed, moving = pair
    field = RegistrationMethod("syn")(fixed, moving)
    inner = (slice(None), slice(None), slice(10, 22), slice(10, 22), slice(10, 22))
    assert (field - bump())[inner].abs().mean() < 0.35 * bump()[inner].abs().mean()


def refinement(steps: int, **options) -> FieldRefinement:
    return FieldRefinement(PearsonLoss(), FieldSmoothnessLoss(), steps=steps, **options)


def test_refinement_makes_a_pair_more_alike_without_folding(pair) -> None:
    fixed, moving = pair
    start = 0.5 * bump()
    method = refinement(30, weight=0.1)  # at the default, smoothness holds back the field of so small a volume
    field = method(fixed, moving, start)
    assert 1 - correlation(warp(moving, field), fixed) < 0.3 * (1 - correlation(warp(moving, start), fixed))
    assert (jacobian_determinant(field) > 0).all()
    inner = (slice(None), slice(None), slice(10, 22), slice(10, 22), slice(10, 22))  # outside there is nothing to match
    assert (field - bump())[inner].abs().mean() < 0.5 * (start - bump())[inner].abs().mean()
    assert torch.equal(method(fixed, moving, start), field)


def test_refinement_by_its_defaults_brings_field_and_images_nearer(pair) -> None:
    fixed, moving = pair
    start = 0.5 * bump()
    field = refinement(30)(fixed, moving, start)
    assert 1 - correlation(warp(moving, field), fixed) < 0.3 * (1 - correlation(warp(moving, start), fixed))
    assert (jacobian_determinant(field) > 0).all()
    inner = (slice(None), slice(None), slice(10, 22), slice(10, 22), slice(10, 22))
    assert (field - bump())[inner].abs().mean() < (start - bump())[inner].abs().mean()


def test_no_steps_leave_the_field_as_it_is(pair) -> None:
    assert torch.equal(refinement(0)(*pair, bump()), bump())


def test_steps_that_would_fold_are_shortened_or_left_out(pair) -> None:
    fixed, moving = texture(3), texture(4)  # nothing in common: every step tears
    rest = torch.zeros(1, 3, SIZE, SIZE, SIZE)
    field = refinement(15, weight=0.0, folding_weight=0.0, rate=1.5, spacings=(2,))(fixed, moving, rest)
    assert (jacobian_determinant(field) <= 0).float().mean() <= 1e-3


def test_folds_that_are_there_are_not_added_to(pair) -> None:
    start = 6 * bump()  # folds
    folded = (jacobian_determinant(start) <= 0).float().mean()
    assert folded > 1e-3
    assert (jacobian_determinant(refinement(20)(*pair, start)) <= 0).float().mean() <= folded


def test_the_penalty_keeps_what_is_optimised_from_folding() -> None:
    fixed, moving = texture(3), texture(4)
    rest = torch.zeros(1, 3, SIZE, SIZE, SIZE)
    shares = []
    for weight in (0.0, 10.0):
        method = refinement(30, weight=0.0, folding_weight=weight, spacings=(4,))
        field = method._correction(fixed, moving, rest, 4, 30)
        shares.append(float((jacobian_determinant(field) <= 0).float().mean()))
    assert shares[1] < shares[0]


def test_a_method_with_refinement_says_what_each_took(pair) -> None:
    method = RegistrationMethod("affine", refinement=refinement(3))
    plain = RegistrationMethod("affine")(*pair)
    refined = method(*pair)
    assert set(method.seconds) == {"network", "refine"}
    assert correlation(warp(pair[1], refined), pair[0]) >= correlation(warp(pair[1], plain), pair[0])


@pytest.mark.parametrize(
    "wrong",
    [{"steps": -1}, {"rate": 0.0}, {"spacings": (4, 0)}, {"spacings": ()}, {"folding_weight": -1.0}, {"weight": -1.0}],
)
def test_numbers_out_of_range_are_refused(wrong) -> None:
    with pytest.raises(ValueError, match="must not be negative"):
        refinement(**{"steps": 1, **wrong})
