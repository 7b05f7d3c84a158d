"""Surface distances: by hand, and against MONAI's functions and its table of surface elements."""

from __future__ import annotations

import importlib

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from medpipe.metrics._surface_elements import NEIGHBOUR_WEIGHTS, surface_areas
from medpipe.metrics.surface_distance import hausdorff_distance, surface_distances

SPACINGS = [(1.0, 1.0, 1.0), (0.7, 1.3, 2.5)]


def blobs(seed: int, shape=(22, 18, 20)) -> tuple[np.ndarray, np.ndarray]:
    draw = np.random.default_rng(seed)
    base = gaussian_filter(draw.normal(size=shape), 2.5)
    other = base + 0.4 * gaussian_filter(draw.normal(size=shape), 2.5)
    return base > 0.03, other > 0.03


def voxel(*place: int) -> np.ndarray:
    mask = np.zeros((7, 7, 9), bool)
    mask[place] = True
    return mask


@pytest.mark.parametrize("spacing", SPACINGS)
def test_areas_of_all_neighbourhoods_equal_those_of_surface_distance(spacing) -> None:
    monai = importlib.import_module("monai.metrics.utils")
    table, kernel = monai.get_code_to_measure_table(spacing)
    kernel = kernel.reshape(2, 2, 2).numpy().astype(int)
    for code, area in enumerate(surface_areas(spacing)):
        inside = (code & NEIGHBOUR_WEIGHTS) > 0
        assert area == pytest.approx(float(table[int((inside * kernel).sum())]), abs=1e-5)


def test_a_flat_surface_has_its_own_area_at_any_spacing() -> None:
    half = int(NEIGHBOUR_WEIGHTS[0].sum())
    assert surface_areas((9.0, 2.0, 3.0))[half] == pytest.approx(6.0)


def test_no_surface_in_a_uniform_neighbourhood_and_the_same_from_both_sides() -> None:
    areas = surface_areas((1.0, 2.0, 3.0))
    assert areas[0] == areas[255] == 0
    assert np.array_equal(areas, areas[::-1])


@pytest.mark.parametrize("definition", ["voxel", "area"])
def test_a_mask_has_no_distance_from_itself(definition) -> None:
    mask, _ = blobs(0)
    found = surface_distances(mask, mask, definition=definition)
    assert found.hausdorff() == found.average() == 0


def test_two_voxels_lie_apart_by_their_distance_in_millimetres() -> None:
    found = surface_distances(voxel(2, 2, 2), voxel(2, 5, 6), (1.0, 1.0, 2.0))
    assert found.hausdorff() == found.average() == pytest.approx(np.hypot(3, 8))


@pytest.mark.parametrize("spacing", SPACINGS)
@pytest.mark.parametrize("seed", range(4))
def test_hausdorff_and_average_equal_monai(seed, spacing) -> None:
    metrics = importlib.import_module("monai.metrics")
    one, two = blobs(seed)
    found = surface_distances(one, two, spacing)
    both = one[None, None], two[None, None]
    options = {"include_background": True, "spacing": spacing}
    for percentile in (95, 50):
        expected = float(metrics.compute_hausdorff_distance(*both, percentile=percentile, **options))
        assert found.hausdorff(percentile) == pytest.approx(expected, rel=1e-5)
    average = float(metrics.compute_average_surface_distance(*both, symmetric=True, **options))
    assert found.average() == pytest.approx(average, rel=1e-5)


@pytest.mark.parametrize("spacing", SPACINGS)
@pytest.mark.parametrize("seed", range(3))
def test_hausdorff_by_area_equals_a_slow_account_over_surface_elements(seed, spacing) -> None:
    utils = importlib.import_module("monai.metrics.utils")
    one, two = blobs(seed)
    edges_one, edges_two, areas_one, areas_two = (
        np.asarray(part) for part in utils.get_mask_edges(one, two, spacing=spacing, always_return_as_numpy=True)
    )

    def directed(edges, areas, others) -> float:
        places, partners = np.argwhere(edges) * spacing, np.argwhere(others) * spacing
        distances = np.array([np.linalg.norm(partners - place, axis=1).min() for place in places])
        order = np.argsort(distances, kind="stable")
        total, reached = areas[edges].sum(), 0.0
        for place in order:
            reached += areas[edges][place]
            if reached / total >= 0.95:
                return float(distances[place])
        return float(distances[order[-1]])

    edges = edges_one.astype(bool), edges_two.astype(bool)
    expected = max(directed(edges[0], areas_one, edges[1]), directed(edges[1], areas_two, edges[0]))
    assert hausdorff_distance(one, two, spacing, definition="area") == pytest.approx(expected, rel=1e-5)


def test_masks_that_reach_the_border_have_a_surface_there() -> None:
    full = np.ones((4, 4, 4), bool)
    half = full.copy()
    half[2:] = False
    assert surface_distances(full, half).hausdorff(100) == 2
    assert surface_distances(full, half, definition="area").hausdorff(100) == 2


@pytest.mark.parametrize("definition", ["voxel", "area"])
def test_empty_masks_have_no_distance_and_say_so(definition) -> None:
    nothing = np.zeros((7, 7, 9), bool)
    for one, two, one_empty in (
        (voxel(1, 1, 1), nothing, True),
        (nothing, voxel(1, 1, 1), True),
        (nothing, nothing, False),
    ):
        found = surface_distances(one, two, definition=definition)
        assert np.isnan(found.hausdorff())
        assert np.isnan(found.average())
        assert found.one_empty == one_empty


def test_label_maps_and_other_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match="booleans"):
        surface_distances(np.ones((3, 3, 3), int), np.ones((3, 3, 3), int))
    with pytest.raises(ValueError, match="one shape"):
        surface_distances(np.ones((3, 3, 3), bool), np.ones((3, 3, 4), bool))
