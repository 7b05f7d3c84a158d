from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from medpipe.data.box_fusion import OVERLAP, FusedBox, fuse_boxes, overlaps

Box = tuple[float, float, float, float]


def slow_overlap(first: Box, second: Box) -> float:
    across = min(first[0] + first[2], second[0] + second[2]) - max(first[0], second[0])
    down = min(first[1] + first[3], second[1] + second[3]) - max(first[1], second[1])
    shared = max(across, 0) * max(down, 0)
    return shared / (first[2] * first[3] + second[2] * second[3] - shared)


def slow_groups(boxes: list[Box]) -> set[frozenset[int]]:
    """Average linkage by its definition: join the two groups of the highest mean overlap while that is above OVERLAP."""
    groups = [frozenset([index]) for index in range(len(boxes))]
    while len(groups) > 1:
        means = {
            (first, second): np.mean([slow_overlap(boxes[a], boxes[b]) for a in first for b in second])
            for first, second in combinations(groups, 2)
        }
        (first, second), best = max(means.items(), key=lambda item: item[1])
        if best <= OVERLAP:
            break
        groups = [group for group in groups if group not in (first, second)] + [first | second]
    return set(groups)


def test_without_boxes_there_is_no_lesion() -> None:
    assert fuse_boxes([], []) == []


def test_a_box_alone_is_a_lesion_as_it_is() -> None:
    assert fuse_boxes([(1.5, 2, 3, 4)], ["R1"]) == [FusedBox((1.5, 2, 3, 4), 1)]


def test_boxes_around_one_lesion_become_their_mean() -> None:
    boxes = [(10, 10, 20, 20), (12, 10, 20, 20), (11, 13, 20, 17)]
    (lesion,) = fuse_boxes(boxes, ["R1", "R2", "R3"])
    assert lesion == FusedBox((11, 11, 20, 19), 3)


def test_boxes_apart_are_lesions_apart_in_order_of_place() -> None:
    assert fuse_boxes([(50, 0, 5, 5), (0, 0, 5, 5)], ["R1", "R1"]) == [
        FusedBox((0, 0, 5, 5), 1),
        FusedBox((50, 0, 5, 5), 1),
    ]


def test_a_reader_who_drew_two_boxes_in_one_group_counts_once() -> None:
    (lesion,) = fuse_boxes([(0, 0, 10, 10), (0, 0, 10, 10)], ["R1", "R1"])
    assert lesion.readers == 1


@pytest.mark.parametrize(("width", "lesions"), [(40, 2), (41, 1)])
def test_an_overlap_of_exactly_the_threshold_does_not_join(width: float, lesions: int) -> None:
    boxes = [(0, 0, 100, 10), (0, 0, width, 10)]
    assert overlaps(np.array(boxes, float))[0, 1] == width / 100
    assert len(fuse_boxes(boxes, ["R1", "R2"])) == lesions


def test_a_chain_is_cut_where_the_mean_overlap_ends() -> None:
    # Neighbours overlap by 0.5. The third box overlaps the first by 0.2, so the pair by (0.5 + 0.2) / 2 = 0.35 on average:
    # single linkage would join all three.
    boxes = [(0, 0, 9, 10), (3, 0, 9, 10), (6, 0, 9, 10)]
    assert overlaps(np.array(boxes, float))[0].tolist() == [1, 0.5, 0.2]
    assert sorted(lesion.readers for lesion in fuse_boxes(boxes, ["R1", "R2", "R3"])) == [1, 2]


@given(st.integers(0, 2**32 - 1), st.integers(1, 8))
def test_groups_are_those_of_average_linkage_whatever_the_order(seed: int, count: int) -> None:
    rng = np.random.default_rng(seed)
    boxes = [tuple(box) for box in np.hstack([rng.uniform(0, 6, (count, 2)), rng.uniform(4, 12, (count, 2))]).tolist()]
    readers = [f"R{rng.integers(1, 4)}" for _ in boxes]
    expected = sorted(
        (tuple(np.mean([boxes[index] for index in group], 0)), len({readers[index] for index in group}))
        for group in slow_groups(boxes)
    )
    order = rng.permutation(count)
    fused = fuse_boxes([boxes[index] for index in order], [readers[index] for index in order])
    assert [lesion.readers for lesion in fused] == [number for _, number in expected]
    np.testing.assert_allclose([lesion.box for lesion in fused], [box for box, _ in expected])
