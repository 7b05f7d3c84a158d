from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from medpipe.metrics.jacobian import jacobian_determinant
from medpipe.transforms.random_fields import affine_displacement, one_to_one_displacement, spline_noise


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def basis(t: float) -> float:
    t = abs(t)
    if t < 1:
        return 2 / 3 - t**2 + t**3 / 2
    return max(2 - t, 0) ** 3 / 6


def test_noise_equals_a_slow_sum_over_control_points() -> None:
    noise = spline_noise((9, 7, 8), 3.5, 2, generator()).numpy()
    controls = torch.randn(2, 6, 5, 6, generator=generator()).numpy()
    for x, y, z in [(0, 0, 0), (8, 6, 7), (4, 3, 5), (3, 1, 0)]:
        for c in range(2):
            expected = sum(
                controls[c, i, j, k] * basis(x / 3.5 - i + 1) * basis(y / 3.5 - j + 1) * basis(z / 3.5 - k + 1)
                for i in range(6)
                for j in range(5)
                for k in range(6)
            )
            assert noise[c, x, y, z] == pytest.approx(expected, abs=1e-5)


def test_equal_seeds_give_equal_fields_and_others_do_not() -> None:
    fields = [one_to_one_displacement((8, 9, 10), [4, 2], 1.0, generator(seed)) for seed in (1, 1, 2)]
    assert torch.equal(fields[0], fields[1])
    assert not torch.equal(fields[0], fields[2])


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**31), st.lists(st.floats(2, 16), min_size=1, max_size=3), st.floats(0, 1))
def test_displacements_never_fold(seed, spacings, strength) -> None:
    field = one_to_one_displacement((20, 17, 23), spacings, strength, generator(seed)).numpy()
    assert jacobian_determinant(field).min() > 0


def test_an_affine_map_after_a_displacement_is_both_in_turn() -> None:
    field = one_to_one_displacement((8, 6, 7), [4], 1.0, generator())
    weight, shift = torch.tensor([[0.1, 0.02, 0], [0, -0.05, 0.03], [0.01, 0, 0.07]]), torch.tensor([1.0, -0.5, 0.25])
    found = affine_displacement(field, weight, shift).numpy()
    centre = (np.array([8, 6, 7]) - 1) / 2
    for place in [(0, 0, 0), (7, 5, 6), (3, 2, 4)]:
        there = np.array(place) + field[(slice(None), *place)].numpy()
        mapped = (np.eye(3) + weight.numpy()) @ (there - centre) + centre + shift.numpy()
        np.testing.assert_allclose(found[(slice(None), *place)], mapped - place, atol=1e-5)


def test_no_strength_is_no_displacement() -> None:
    assert one_to_one_displacement((5, 6, 7), [2.0], 0.0, generator()).abs().max() == 0


@pytest.mark.parametrize("strength", [-0.1, 1.1])
def test_a_strength_outside_is_refused(strength) -> None:
    with pytest.raises(ValueError, match=r"strength must lie in \[0, 1\]"):
        one_to_one_displacement((5, 6, 7), [2.0], strength, generator())
