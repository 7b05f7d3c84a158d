"""Jacobian determinants: of affine maps exactly, of any field against numpy voxel by voxel."""

from __future__ import annotations

import numpy as np
import pytest

from medpipe.metrics.jacobian import jacobian_determinant, jacobian_statistics, sd_log_jacobian

SHAPE = (20, 7, 9)


def affine(matrix: np.ndarray) -> np.ndarray:
    return np.einsum("ij,jxyz->ixyz", matrix, np.indices(SHAPE).astype(float)).astype(np.float32)


def at(field: np.ndarray, place: np.ndarray) -> np.ndarray:
    return field[(slice(None), *place)]


@pytest.mark.parametrize("stencil", ["forward", "central"])
def test_an_affine_field_has_the_determinant_of_its_matrix_everywhere(stencil) -> None:
    matrix = np.random.default_rng(1).normal(scale=0.2, size=(3, 3))
    determinant = jacobian_determinant(affine(matrix), stencil)
    np.testing.assert_allclose(determinant, np.linalg.det(np.eye(3) + matrix), atol=2e-5)
    found = jacobian_statistics(jacobian_determinant(affine(matrix)))
    assert found.fold_pct == 0
    assert found.sd_log < 1e-5


def test_a_reflection_folds_everywhere_and_the_identity_nowhere() -> None:
    assert jacobian_statistics(jacobian_determinant(affine(np.diag([-2.0, 0, 0])))).fold_pct == 100
    nothing = jacobian_statistics(jacobian_determinant(affine(np.zeros((3, 3)))))
    assert (nothing.fold_pct, nothing.sd, nothing.sd_log, nothing.minimum, nothing.maximum) == (0, 0, 0, 1, 1)


def test_forward_and_central_differences_equal_numpy_at_every_voxel() -> None:
    field = np.random.default_rng(2).normal(size=(3, *SHAPE)).astype(np.float32)
    forward, central = jacobian_determinant(field), jacobian_determinant(field, "central")
    assert forward.shape == (19, 6, 8)
    assert central.shape == (18, 5, 7)
    for x, y, z in ((0, 0, 0), (7, 3, 2), (8, 1, 4), (17, 4, 6)):
        here = np.array([x, y, z])
        slopes = [at(field, here + step) - at(field, here) for step in np.eye(3, dtype=int)]
        assert forward[x, y, z] == pytest.approx(np.linalg.det(np.eye(3) + np.stack(slopes, axis=1)), abs=1e-4)
        middle = here + 1
        slopes = [(at(field, middle + step) - at(field, middle - step)) / 2 for step in np.eye(3, dtype=int)]
        assert central[x, y, z] == pytest.approx(np.linalg.det(np.eye(3) + np.stack(slopes, axis=1)), abs=1e-4)


def test_one_voxel_that_overtakes_its_neighbour_is_one_fold() -> None:
    field = np.zeros((3, 8, 8, 8), np.float32)
    field[0, 3, 4, 4] = 1.5  # the voxel behind it stays: det J = 1 - 1.5 there
    found = jacobian_statistics(jacobian_determinant(field))
    assert (found.folded, found.n, found.minimum) == (1, 343, -0.5)
    assert found.fold_pct == pytest.approx(100 / 343)


def test_a_determinant_of_exactly_zero_is_a_fold() -> None:
    field = np.zeros((3, 8, 8, 8), np.float32)
    field[0, 3, 4, 4] = 1.0
    assert jacobian_statistics(jacobian_determinant(field)).folded == 1


def test_a_mask_restricts_the_voxels_and_an_empty_one_leaves_nothing() -> None:
    field = np.zeros((3, 8, 8, 8), np.float32)
    field[0, 3, 4, 4] = 1.5
    determinant, mask = jacobian_determinant(field), np.zeros((8, 8, 8), bool)
    assert np.isnan(jacobian_statistics(determinant, mask).fold_pct)
    mask[3, 4, 4:6] = True
    assert jacobian_statistics(determinant, mask).fold_pct == 50
    with pytest.raises(ValueError, match="mask on the grid"):
        jacobian_statistics(determinant, mask[1:])


def test_the_logarithm_is_cut_at_a_billionth() -> None:
    values = np.array([-1.0, 1.0])
    assert sd_log_jacobian(values) == pytest.approx(np.std([np.log(1e-9), 0]))


@pytest.mark.parametrize("field", [np.zeros((3, 1, 5, 5)), np.zeros((2, 5, 5, 5)), np.zeros((3, 5, 5))])
def test_what_is_no_field_is_refused(field) -> None:
    with pytest.raises(ValueError, match=r"displacement \(3, X, Y, Z\)"):
        jacobian_determinant(field)
