"""The loss of a cascade is the weighted sum of its named parts."""

from __future__ import annotations

import pytest
import torch

from medpipe.losses.affine_regularity import AffineDeterminantLoss, AffineOrthogonalityLoss
from medpipe.losses.field_smoothness import FieldSmoothnessLoss
from medpipe.losses.registration import RegistrationLoss
from medpipe.losses.volume_similarity import PearsonLoss
from medpipe.networks.ldr import LDR
from medpipe.networks.rcn import RCN


@pytest.fixture(scope="module")
def fixed_and_result():
    torch.manual_seed(0)
    fixed, moving = torch.rand(2, 2, 1, 64, 64, 64)
    with torch.no_grad():
        return fixed, RCN(64, n_cascades=2, channels=2)(fixed, moving)


def test_the_published_weights_and_parts(fixed_and_result) -> None:
    fixed, result = fixed_and_result
    loss = RegistrationLoss()
    parts = loss.parts(result, fixed)
    smooth = FieldSmoothnessLoss()
    assert parts["similarity"] == PearsonLoss()(result.warped, fixed)
    assert parts["smoothness"] == pytest.approx(sum(smooth(f).item() for f in result.stage_fields))
    assert parts["determinant"] == AffineDeterminantLoss()(result.affine.weight)
    assert parts["orthogonality"] == AffineOrthogonalityLoss()(result.affine.weight)
    expected = parts["similarity"] + parts["smoothness"] + 0.1 * parts["determinant"] + 0.1 * parts["orthogonality"]
    assert loss(result, fixed).item() == pytest.approx(expected.item(), rel=1e-6)


def test_similarity_on_all_sums_over_the_images(fixed_and_result) -> None:
    fixed, result = fixed_and_result
    parts = RegistrationLoss(similarity_on="all").parts(result, fixed)
    assert len(result.images) == 3
    assert parts["similarity"].item() == pytest.approx(sum(PearsonLoss()(i, fixed).item() for i in result.images))


def test_stages_that_are_not_there_have_no_part() -> None:
    fixed, moving = torch.rand(2, 1, 1, 64, 64, 64)
    with torch.no_grad():
        dense = RegistrationLoss().parts(LDR(64, initial="none", channels=2)(fixed, moving), fixed)
        affine = RegistrationLoss().parts(RCN(64, n_cascades=0)(fixed, moving), fixed)
    assert set(dense) == {"similarity", "smoothness"}
    assert set(affine) == {"similarity", "determinant", "orthogonality"}


def test_a_few_steps_on_one_pair_lower_the_loss() -> None:
    torch.manual_seed(0)
    axis = torch.linspace(-1, 1, 32)
    x, y, z = torch.meshgrid(axis, axis, axis, indexing="ij")
    fixed, moving = (torch.exp(-4 * ((x - shift) ** 2 + y**2 + z**2))[None, None] for shift in (0.0, 0.2))
    network, loss = LDR(32, initial="none", channels=4), RegistrationLoss()
    optimiser = torch.optim.Adam(network.parameters(), 1e-3)
    values = []
    for _ in range(30):
        optimiser.zero_grad()
        value = loss(network(fixed, moving), fixed)
        value.backward()
        optimiser.step()
        values.append(value.item())
    assert values[-1] < 0.7 * values[0]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"similarity": "persons"}, "did you mean 'pearson'"),
        ({"similarity_on": "first"}, "unknown similarity_on 'first'"),
        ({"smoothness": -1.0}, "must not be negative"),
    ],
)
def test_wrong_options_are_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        RegistrationLoss(**options)
