from __future__ import annotations

import itertools
import math
import warnings
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medpipe.metrics.lesions import Lesion
from medpipe.metrics.matching import HitRule, Mark, MatchRow, match_marks

CONTAINMENT = HitRule("containment")


def kinds(rows: list[MatchRow]) -> list[tuple[str, int | None]]:
    return [(row.kind, row.lesion) for row in rows]


def square(x: int, y: int, side: int = 3, **options: object) -> Lesion:
    """A mask of side x side pixels with its top-left pixel at column x, row y."""
    return Lesion(mask=np.ones((side, side), dtype=bool), origin=(y, x), **options)  # type: ignore[arg-type]


# Criteria


@pytest.mark.parametrize(
    ("rule", "x", "hit"),
    [
        (HitRule("radius", 5), 15, True),
        (HitRule("radius", 5), 15.01, False),
        (HitRule("radius", 5, strict=True), 15, False),
        (HitRule("radius", 5, strict=True), 14.99, True),
    ],
)
def test_radius_measures_to_the_centre(rule: HitRule, x: float, hit: bool) -> None:
    for lesion in (Lesion(circle=(10, 10, 1)), Lesion(box=(8, 8, 4, 4)), square(9, 9)):
        (row,) = match_marks([Mark(x, 10, 1)], [lesion], rule)
        assert (row.kind == "LL") is hit


@pytest.mark.parametrize(("strict", "kind"), [(False, "LL"), (True, "NL")])
def test_radius_without_tolerance_is_the_circles_own(strict: bool, kind: str) -> None:
    rule = HitRule("radius", strict=strict)
    lesions = [Lesion(circle=(0, 0, 5)), Lesion(circle=(100, 0, 2))]
    rows = match_marks([Mark(3, 4, 1), Mark(97, 0, 1), Mark(99, 0, 1)], lesions, rule)
    assert [row.kind for row in rows] == [kind, "NL", "LL"]


def test_radius_without_tolerance_needs_circles() -> None:
    with pytest.raises(ValueError, match="given as circles"):
        match_marks([Mark(0, 0, 1)], [Lesion(box=(0, 0, 1, 1))], HitRule("radius"))


def test_radius_in_millimetres_uses_row_and_column_spacing() -> None:
    rule = HitRule("radius", 5, unit="mm")
    lesion = [Lesion(circle=(0, 0, 1))]
    marks = [Mark(10, 0, 1), Mark(0, 10, 2)]  # 10 columns of 0.5 mm, 10 rows of 2 mm
    assert kinds(match_marks(marks, lesion, rule, spacing=(2.0, 0.5))) == [("LL", 0), ("NL", None)]


def test_pixel_tolerance_does_not_change_with_spacing() -> None:
    rule, lesion = HitRule("radius", 5), [Lesion(circle=(0, 0, 1))]
    assert kinds(match_marks([Mark(5, 0, 1)], lesion, rule, spacing=(9.0, 9.0))) == [("LL", 0)]


def test_fraction_is_of_the_longer_side() -> None:
    rule, lesion = HitRule("mask_distance", 0.1, unit="fraction"), [Lesion(circle=(0, 0, 0))]
    marks = [Mark(20, 0, 2), Mark(20.1, 0, 1)]
    for shape in ((200, 100), (100, 200)):
        rows = match_marks(marks, lesion, rule, image_shape=shape)
        assert kinds(rows) == [("LL", 0), ("NL", None)]


def test_containment_rounds_to_the_pixel_of_a_mask() -> None:
    marks = [Mark(5.4, 5, 1), Mark(7.6, 5, 1)]  # the mask has columns 5 to 7
    assert kinds(match_marks(marks, [square(5, 5)], CONTAINMENT)) == [("LL", 0), ("NL", None)]


def test_containment_in_a_box_is_half_open() -> None:
    lesions = [Lesion(box=(0, 0, 10, 10)), Lesion(box=(10, 0, 10, 10))]
    assert kinds(match_marks([Mark(10, 5, 1)], lesions, CONTAINMENT)) == [("LL", 1)]


@pytest.mark.parametrize(("tolerance", "strict", "kind"), [(2, False, "LL"), (2, True, "NL"), (1.99, False, "NL")])
def test_mask_distance_measures_to_the_nearest_pixel(tolerance: float, strict: bool, kind: str) -> None:
    rule = HitRule("mask_distance", tolerance, strict=strict)
    (row,) = match_marks([Mark(9, 6, 1)], [square(5, 5)], rule)  # last column of the mask is 7
    assert row.kind == kind


def test_mask_distance_in_millimetres() -> None:
    rule = HitRule("mask_distance", 1, unit="mm")
    marks = [Mark(9, 6, 1), Mark(6, 9, 1)]  # two columns of 0.5 mm, two rows of 0.6 mm
    assert kinds(match_marks(marks, [square(5, 5)], rule, spacing=(0.6, 0.5))) == [("LL", 0), ("NL", None)]


@settings(deadline=None, max_examples=60)
@given(st.lists(st.tuples(st.floats(0, 12), st.floats(0, 12)), max_size=5))
def test_mask_distance_zero_equals_containment_for_masks(points: list[tuple[float, float]]) -> None:
    lesions = [square(1, 1), square(6, 7, side=4)]
    marks = [Mark(x, y, rating) for rating, (x, y) in enumerate(points)]
    assert match_marks(marks, lesions, HitRule("mask_distance", 0)) == match_marks(marks, lesions, CONTAINMENT)


@pytest.mark.parametrize(
    ("threshold", "strict", "kind"),
    [(0.2, None, "NL"), (0.2, True, "NL"), (0.2, False, "LL"), (0.19, None, "LL"), (0.21, False, "NL")],
)
def test_box_overlap_is_intersection_over_union(threshold: float, strict: bool | None, kind: str) -> None:
    # 2 x 2 shared of 3 x 4 + 3 x 4 - 4 = 20: exactly 0.2.
    mark, lesion = Mark(0, 0, 1, box=(0, 0, 3, 4)), Lesion(box=(1, 2, 3, 4))
    (row,) = match_marks([mark], [lesion], HitRule("iou", threshold, strict=strict))
    assert row.kind == kind


@pytest.mark.parametrize(("threshold", "kind"), [(0.28, "LL"), (0.29, "NL")])
def test_mask_overlap_is_intersection_over_union(threshold: float, kind: str) -> None:
    # 3 x 3 squares shifted by one in both directions share 4 of 14 pixels: 0.2857.
    mark = Mark(0, 0, 1, mask=np.ones((3, 3), dtype=bool), origin=(6, 6))
    (row,) = match_marks([mark], [square(5, 5)], HitRule("iou", threshold))
    assert row.kind == kind


def test_masks_apart_and_boxes_apart_do_not_overlap() -> None:
    rule = HitRule("iou", 0)
    mark = Mark(0, 0, 1, mask=np.ones((3, 3), dtype=bool), origin=(8, 5), box=(8, 5, 3, 3))
    assert kinds(match_marks([mark], [square(5, 5), Lesion(box=(5, 8, 3, 3))], rule)) == [("NL", None)]


def test_masks_whose_boxes_overlap_but_not_their_pixels_do_not_overlap() -> None:
    mask = np.array([[True, False], [False, True]])
    mark = Mark(0, 0, 1, mask=~mask)
    assert kinds(match_marks([mark], [Lesion(mask=mask)], HitRule("iou", 0))) == [("NL", None)]


@settings(deadline=None, max_examples=60)
@given(*[st.integers(0, 6)] * 4, *[st.integers(1, 5)] * 4, st.sampled_from([0.1, 0.25, 0.5]))
def test_overlap_of_whole_pixel_boxes_equals_that_of_their_masks(
    ax: int, ay: int, bx: int, by: int, aw: int, ah: int, bw: int, bh: int, threshold: float
) -> None:
    a = Mark(0, 0, 1, box=(ax, ay, aw, ah), mask=np.ones((ah, aw), dtype=bool), origin=(ay, ax))
    rule = HitRule("iou", threshold)
    as_box = match_marks([a], [Lesion(box=(bx, by, bw, bh))], rule)
    as_mask = match_marks([a], [Lesion(mask=np.ones((bh, bw), dtype=bool), origin=(by, bx))], rule)
    assert as_box == as_mask


@pytest.mark.parametrize(
    ("mark", "lesion", "message"),
    [
        (Mark(0, 0, 1), Lesion(box=(0, 0, 1, 1)), "needs a box with every mark"),
        (Mark(0, 0, 1, box=(0, 0, 1, 1)), square(0, 0), "needs a mask with every mark"),
        (Mark(0, 0, 1, box=(0, 0, 1, 1)), Lesion(circle=(0, 0, 1)), "boxes or masks, found a circle"),
    ],
)
def test_overlap_needs_two_shapes_of_one_kind(mark: Mark, lesion: Lesion, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        match_marks([mark], [lesion], HitRule("iou", 0.5))


# Assignment


def test_rule_1_mark_on_a_region_to_ignore_counts_neither_way() -> None:
    lesions = [square(0, 0, ignore=True), square(10, 10)]
    rows = match_marks([Mark(1, 1, 5), Mark(11, 11, 4), Mark(20, 20, 3)], lesions, CONTAINMENT)
    # Regions to ignore are not numbered: the lesion in second place has number 0.
    assert kinds(rows) == [("ignored", None), ("LL", 0), ("NL", None)]


def test_rule_1_mark_on_a_lesion_and_a_region_to_ignore_counts_for_the_lesion() -> None:
    lesions = [Lesion(box=(0, 0, 9, 9), ignore=True), Lesion(box=(0, 0, 5, 5))]
    rows = match_marks([Mark(4, 4, 1), Mark(3, 3, 2), Mark(7, 7, 3)], lesions, CONTAINMENT)
    assert kinds(rows) == [("duplicate", 0), ("LL", 0), ("ignored", None)]


def test_rule_1_holds_for_overlap() -> None:
    mark = Mark(0, 0, 1, box=(0, 0, 4, 4))
    rows = match_marks([mark], [Lesion(box=(0, 0, 4, 5), ignore=True)], HitRule("iou", 0.5))
    assert kinds(rows) == [("ignored", None)]


def test_rule_2_mark_goes_to_the_nearest_lesion() -> None:
    lesions = [Lesion(circle=(0, 0, 1)), Lesion(circle=(10, 0, 1))]
    rows = match_marks([Mark(6, 0, 1), Mark(4, 0, 2)], lesions, HitRule("radius", 7))
    assert kinds(rows) == [("LL", 1), ("LL", 0)]


def test_rule_2_mark_in_two_boxes_goes_to_the_nearer_centre() -> None:
    lesions = [Lesion(box=(0, 0, 10, 10)), Lesion(box=(6, 6, 4, 4))]
    assert kinds(match_marks([Mark(8, 8, 1)], lesions, CONTAINMENT)) == [("LL", 1)]


def test_rule_2_ties_go_to_the_first_lesion() -> None:
    lesions = [Lesion(circle=(10, 0, 1)), Lesion(circle=(0, 0, 1))]
    assert kinds(match_marks([Mark(5, 0, 1)], lesions, HitRule("radius", 7))) == [("LL", 0)]
    both = [Lesion(box=(0, 0, 9, 9)), Lesion(box=(0, 0, 5, 5))]
    assert kinds(match_marks([Mark(4, 4, 1)], both, HitRule("mask_distance", 1))) == [("LL", 0)]


def test_rule_2_second_mark_near_a_taken_lesion_does_not_move_on_to_another() -> None:
    lesions = [Lesion(circle=(0, 0, 1)), Lesion(circle=(10, 0, 1))]
    rows = match_marks([Mark(4, 0, 1), Mark(3, 0, 2)], lesions, HitRule("radius", 7))
    assert kinds(rows) == [("duplicate", 0), ("LL", 0)]


def test_rule_2_overlapping_marks_take_free_lesions_in_order_of_rating() -> None:
    # Both marks overlap the first lesion most; the weaker one gets the second.
    lesions = [Lesion(box=(0, 0, 10, 10)), Lesion(box=(0, 4, 10, 10))]
    marks = [Mark(0, 0, 1, box=(0, 1, 10, 10)), Mark(0, 0, 2, box=(0, 0, 10, 10))]
    assert kinds(match_marks(marks, lesions, HitRule("iou", 0.2))) == [("LL", 1), ("LL", 0)]


def test_rule_2_equal_ratings_take_lesions_in_input_order() -> None:
    lesions = [Lesion(box=(0, 0, 10, 10)), Lesion(box=(0, 4, 10, 10))]
    marks = [Mark(0, 0, 2, box=(0, 1, 10, 10)), Mark(0, 0, 2, box=(0, 0, 10, 10))]
    assert kinds(match_marks(marks, lesions, HitRule("iou", 0.2))) == [("LL", 0), ("LL", 1)]


def test_rule_2_overlapping_mark_without_a_free_lesion_is_surplus() -> None:
    marks = [Mark(0, 0, 1, box=(0, 0, 10, 9)), Mark(0, 0, 2, box=(0, 0, 9, 9))]
    lesions = [Lesion(box=(0, 0, 10, 10)), Lesion(box=(50, 50, 5, 5))]
    assert kinds(match_marks(marks, lesions, HitRule("iou", 0.5))) == [("duplicate", 0), ("LL", 0)]


@pytest.mark.parametrize(("duplicates", "surplus"), [("drop", ("duplicate", 0)), ("nl", ("NL", None))])
def test_rule_3_highest_rating_counts_and_the_others_follow_the_option(
    duplicates: str, surplus: tuple[str, int | None]
) -> None:
    rule = HitRule("containment", duplicates=duplicates)  # type: ignore[arg-type]
    rows = match_marks([Mark(1, 1, 3), Mark(2, 2, 7), Mark(0, 0, 7)], [square(0, 0)], rule)
    assert kinds(rows) == [surplus, ("LL", 0), surplus]
    assert [row.rating for row in rows] == [3, 7, 7]


def test_rule_4_all_other_marks_are_false_positives() -> None:
    rows = match_marks([Mark(50, 50, 1), Mark(60, 60, 2)], [square(0, 0)], CONTAINMENT)
    assert kinds(rows) == [("NL", None), ("NL", None)]


def test_nothing_there_and_nothing_found() -> None:
    assert match_marks([], [], CONTAINMENT) == []
    assert match_marks([], [square(0, 0)], CONTAINMENT) == []
    assert kinds(match_marks([Mark(0, 0, 1)], [], CONTAINMENT)) == [("NL", None)]


@settings(deadline=None, max_examples=80)
@given(
    st.lists(st.tuples(st.integers(0, 20), st.integers(0, 20), st.integers(0, 3)), max_size=8),
    st.lists(st.tuples(st.integers(0, 20), st.integers(0, 20), st.booleans()), max_size=5),
    st.sampled_from([HitRule("radius", 4), HitRule("mask_distance", 2), HitRule("containment")]),
)
def test_every_mark_has_one_row_and_every_lesion_at_most_one_ll(
    points: list[tuple[int, int, int]], squares: list[tuple[int, int, bool]], rule: HitRule
) -> None:
    marks = [Mark(x, y, rating) for x, y, rating in points]
    lesions = [square(x, y, ignore=ignore) for x, y, ignore in squares]
    rows = match_marks(marks, lesions, rule)
    assert [(row.mark, row.rating) for row in rows] == [(k, mark.rating) for k, mark in enumerate(marks)]
    found = [row.lesion for row in rows if row.kind == "LL"]
    assert len(set(found)) == len(found)
    best = {row.lesion: row.rating for row in rows if row.kind == "LL"}
    for row in rows:
        assert (row.lesion is None) == (row.kind in ("NL", "ignored"))
        if row.kind == "duplicate":
            assert row.rating <= best[row.lesion]
    surplus_as_nl = match_marks(marks, lesions, HitRule(rule.criterion, rule.tolerance, duplicates="nl"))
    assert [row.kind for row in surplus_as_nl] == ["NL" if r.kind == "duplicate" else r.kind for r in rows]


# Optimal assignment

OPTIMAL = HitRule("iou", 0.1, strict=False, assignment="optimal")


def strip(x: float, width: float, rating: float = 1.0) -> Mark:
    """A mark with a box one pixel high."""
    return Mark(x, 0, rating, box=(x, 0, width, 1))


def test_greedy_marks_block_each_other_where_an_optimal_assignment_finds_both_lesions() -> None:
    lesions = [Lesion(box=(0, 0, 10, 1)), Lesion(box=(10, 0, 10, 1))]
    # The stronger mark overlaps the first lesion more, the weaker one overlaps the first lesion alone.
    marks = [strip(4, 11, rating=2), strip(0, 6, rating=1)]
    greedy = HitRule("iou", 0.1, strict=False)
    assert kinds(match_marks(marks, lesions, greedy)) == [("LL", 0), ("duplicate", 0)]
    assert kinds(match_marks(marks, lesions, OPTIMAL)) == [("LL", 1), ("LL", 0)]


def test_one_lesion_more_outweighs_any_overlap() -> None:
    lesions = [Lesion(box=(0, 0, 10, 1)), Lesion(box=(10, 0, 4, 1))]
    # The first mark covers the first lesion entirely, the second one touches it alone: 10/10 or 2/12 + 4/14.
    marks = [Mark(0, 0, 1, box=(0, 0, 14, 1)), strip(-2, 4)]
    assert kinds(match_marks(marks, lesions, OPTIMAL)) == [("LL", 1), ("LL", 0)]


@pytest.mark.parametrize(("duplicates", "surplus"), [("drop", ("duplicate", 0)), ("nl", ("NL", None))])
def test_the_mark_of_largest_overlap_counts_whatever_its_rating(
    duplicates: str, surplus: tuple[str, int | None]
) -> None:
    rule = HitRule("iou", 0.1, strict=False, duplicates=duplicates, assignment="optimal")  # type: ignore[arg-type]
    rows = match_marks([strip(0, 4, rating=9), strip(0, 9, rating=1), strip(50, 5)], [Lesion(box=(0, 0, 10, 1))], rule)
    assert kinds(rows) == [surplus, ("LL", 0), ("NL", None)]


def test_an_optimal_assignment_ignores_what_lies_on_a_region_to_ignore() -> None:
    lesions = [Lesion(box=(0, 0, 10, 1)), Lesion(box=(20, 0, 10, 1), ignore=True)]
    rows = match_marks([strip(20, 9), strip(1, 9), strip(40, 9)], lesions, OPTIMAL)
    assert kinds(rows) == [("ignored", None), ("LL", 0), ("NL", None)]
    assert kinds(match_marks([strip(20, 9)], lesions[1:], OPTIMAL)) == [("ignored", None)]


intervals = st.tuples(st.integers(0, 12), st.integers(1, 9))


@settings(deadline=None, max_examples=80)
@given(st.lists(intervals, max_size=4), st.lists(intervals, max_size=4))
def test_no_other_assignment_is_better(marked: list[tuple[int, int]], true: list[tuple[int, int]]) -> None:
    """Against a search through all ways to give every lesion one mark or none."""
    rule = HitRule("iou", 0.3, strict=False, assignment="optimal")
    rows = match_marks([strip(*place) for place in marked], [Lesion(box=(x, 0, w, 1)) for x, w in true], rule)

    def overlap(mark: int, lesion: int) -> float:
        (a, wide), (b, broad) = marked[mark], true[lesion]
        shared = max(min(a + wide, b + broad) - max(a, b), 0)
        return shared / (wide + broad - shared)

    def worth(pairs: list[tuple[int, int]]) -> tuple[int, float]:
        return len(pairs), sum(overlap(*pair) for pair in pairs)

    best = (0, 0.0)
    for choice in itertools.permutations([*range(len(marked)), *[None] * len(true)], len(true)):
        pairs = [(mark, lesion) for lesion, mark in enumerate(choice) if mark is not None]
        if all(overlap(*pair) >= 0.3 for pair in pairs):
            best = max(best, worth(pairs))
    found = worth([(row.mark, row.lesion) for row in rows if row.kind == "LL" and row.lesion is not None])
    assert found == (best[0], pytest.approx(best[1]))
    for row in rows:
        reached = [lesion for lesion in range(len(true)) if overlap(row.mark, lesion) >= 0.3]
        assert (row.kind == "NL") == (not reached)


# Three axes


def test_a_sphere_is_hit_within_its_own_radius() -> None:
    rule = HitRule("radius", strict=True)
    marks = [Mark(1, 2, 1, z=2), Mark(1, 2, 2, z=1.9), Mark(0, 0, 3, z=50)]
    lesions = [Lesion(sphere=(0, 0, 0, 3)), Lesion(sphere=(0, 0, 52, 5), ignore=True)]
    assert kinds(match_marks(marks, lesions, rule)) == [("NL", None), ("LL", 0), ("ignored", None)]


def test_millimetres_in_a_volume_use_slice_row_and_column_spacing() -> None:
    rule, lesion = HitRule("mask_distance", 4, unit="mm"), [Lesion(mask=np.ones((2, 2, 2), dtype=bool))]
    marks = [Mark(9, 0, 1, z=0), Mark(0, 5, 1, z=0), Mark(0, 0, 1, z=2), Mark(0, 0, 1, z=3)]
    rows = match_marks(marks, lesion, rule, spacing=(2.5, 1.0, 0.5))
    assert [row.kind for row in rows] == ["LL", "duplicate", "duplicate", "NL"]


def test_a_fraction_is_of_the_longest_of_three_sides() -> None:
    rule, lesion = HitRule("radius", 0.1, unit="fraction"), [Lesion(sphere=(0, 0, 0, 1))]
    rows = match_marks([Mark(0, 0, 1, z=20), Mark(0, 0, 1, z=21)], lesion, rule, image_shape=(200, 50, 60))
    assert [row.kind for row in rows] == ["LL", "NL"]


@pytest.mark.parametrize(("threshold", "kind"), [(0.14, "LL"), (0.15, "NL")])
def test_overlap_of_boxes_and_masks_counts_all_three_axes(threshold: float, kind: str) -> None:
    # 2 x 2 x 2 of 4 x 4 x 2 + 4 x 4 x 2 - 8: 1/7.
    full = np.ones((2, 4, 4), dtype=bool)
    mark = Mark(0, 0, 1, box=(0, 0, 0, 4, 4, 2), mask=full, z=0)
    for lesion in (Lesion(box=(2, 2, 0, 4, 4, 2)), Lesion(mask=full, origin=(0, 2, 2))):
        (row,) = match_marks([mark], [lesion], HitRule("iou", threshold))
        assert row.kind == kind


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.tuples(st.floats(0, 20), st.floats(0, 20), st.integers(0, 3)), max_size=6),
    st.lists(st.tuples(st.integers(0, 15), st.integers(0, 15), st.booleans()), max_size=4),
    st.sampled_from([HitRule("radius", 4), HitRule("mask_distance", 2.5), CONTAINMENT, HitRule("iou", 0.1), OPTIMAL]),
    st.sampled_from(["mask", "box"]),
)
def test_an_image_is_a_volume_of_one_slice(
    points: list[tuple[float, float, int]], places: list[tuple[int, int, bool]], rule: HitRule, shape: str
) -> None:
    flat = np.ones((4, 4), dtype=bool)
    marks, deep = [], []
    for x, y, rating in points:
        row, column = int(y), int(x)
        marks.append(Mark(x, y, rating, box=(x, y, 4, 4), mask=flat, origin=(row, column)))
        box = (x, y, -0.5, 4, 4, 1)
        deep.append(Mark(x, y, rating, box=box, mask=flat[np.newaxis], origin=(0, row, column), z=0))
    if shape == "mask":
        lesions = [Lesion(mask=flat, origin=(y, x), ignore=ignore) for x, y, ignore in places]
        volumes = [Lesion(mask=flat[np.newaxis], origin=(0, y, x), ignore=ignore) for x, y, ignore in places]
    else:
        lesions = [Lesion(box=(x, y, 4, 4), ignore=ignore) for x, y, ignore in places]
        volumes = [Lesion(box=(x, y, -0.5, 4, 4, 1), ignore=ignore) for x, y, ignore in places]
    assert match_marks(marks, lesions, rule) == match_marks(deep, volumes, rule)


@pytest.mark.parametrize(
    ("mark", "lesion", "rule", "message"),
    [
        (Mark(0, 0, 1), Lesion(sphere=(0, 0, 0, 1)), CONTAINMENT, "all have two axes"),
        (Mark(0, 0, 1, z=0), Lesion(circle=(0, 0, 1)), CONTAINMENT, "all have two axes"),
        (Mark(0, 0, 1, box=(0, 0, 1, 1)), Lesion(box=(0, 0, 0, 1, 1, 1)), HitRule("iou", 0.1), "as many axes"),
        (
            Mark(0, 0, 1, mask=np.ones((1, 1), bool)),
            Lesion(mask=np.ones((1, 1, 1), bool)),
            HitRule("iou", 0.1),
            "as many axes",
        ),
        (
            Mark(0, 0, 1, z=0),
            Lesion(sphere=(0, 0, 0, 1)),
            HitRule("radius", 1, unit="mm"),
            "one number for each of the image's 3 axes",
        ),
        (Mark(0, 0, 1, box=(0, 0, 0, 1, 1, 1)), Lesion(sphere=(0, 0, 0, 1)), HitRule("iou", 0.1), "a circle or sphere"),
    ],
)
def test_marks_and_lesions_have_as_many_axes(mark: Mark, lesion: Lesion, rule: HitRule, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        match_marks([mark], [lesion], rule, spacing=(1.0, 1.0))


# Against other ways to the same result


def slowly(marks: list[Mark], lesions: list[Lesion], rule: HitRule) -> list[tuple[str, int | None]]:
    """The four rules for point criteria, in plain loops over circles."""
    counting = [lesion for lesion in lesions if not lesion.ignore]

    def reach(mark: Mark, lesion: Lesion) -> float | None:
        assert lesion.circle is not None
        distance = math.dist((mark.x, mark.y), lesion.circle[:2])
        if rule.criterion == "containment":
            return distance if distance <= lesion.circle[2] else None
        if rule.criterion == "mask_distance":
            distance = max(distance - lesion.circle[2], 0)
        limit = lesion.circle[2] if rule.tolerance is None else rule.tolerance
        return distance if distance < limit or (distance == limit and not rule.is_strict) else None

    result: list[tuple[str, int | None]] = []
    for mark in marks:
        near = [(reach(mark, lesion), number) for number, lesion in enumerate(counting)]
        hits = [(distance, number) for distance, number in near if distance is not None]
        if hits:
            result.append(("hit", min(hits)[1]))
        elif any(reach(mark, lesion) is not None for lesion in lesions if lesion.ignore):
            result.append(("ignored", None))
        else:
            result.append(("NL", None))
    for number in range(len(counting)):
        claims = [index for index, found in enumerate(result) if found == ("hit", number)]
        best = max(claims, key=lambda index: (marks[index].rating, -index), default=None)
        for index in claims:
            result[index] = ("LL", number) if index == best else ("duplicate", number)
    return result


@settings(deadline=None, max_examples=150)
@given(
    st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30), st.integers(0, 3)), max_size=10),
    st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30), st.integers(0, 9), st.booleans()), max_size=6),
    st.sampled_from(
        [
            HitRule("radius"),
            HitRule("radius", strict=True),
            HitRule("radius", 5),
            HitRule("mask_distance", 3),
            CONTAINMENT,
        ]
    ),
)
def test_matching_equals_plain_loops(
    points: list[tuple[int, int, int]], circles: list[tuple[int, int, int, bool]], rule: HitRule
) -> None:
    marks = [Mark(x, y, rating) for x, y, rating in points]
    lesions = [Lesion(circle=(x, y, radius), ignore=ignore) for x, y, radius, ignore in circles]
    assert kinds(match_marks(marks, lesions, rule)) == slowly(marks, lesions, rule)


def test_places_beyond_all_bounds_are_far_away() -> None:
    far = Mark(1e308, -1e308, 1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert kinds(match_marks([far], [Lesion(circle=(-1e308, 1e308, 1))], CONTAINMENT)) == [("NL", None)]


@pytest.mark.shared_data
def test_points_of_evalutils_hit_as_often_as_its_own_scorer_says(shared_data: Path) -> None:
    """Its test states 13 hits and 551 misses of 564 points within a radius of 1."""
    folder = shared_data / "froc" / "evalutils" / "tests" / "resources" / "points"

    def places(name: str) -> list[tuple[float, float, float]]:
        lines = (folder / name).read_text().splitlines()[1:]
        return [tuple(float(cell) for cell in line.split(",")) for line in lines if line.strip()]  # type: ignore[misc]

    marks = [Mark(*point) for point in places("predictions.csv")]
    lesions = [Lesion(circle=(x, y, 1)) for x, y, _ in places("reference.csv")]
    rows = match_marks(marks, lesions, HitRule("radius", 1))
    found = sum(row.kind == "LL" for row in rows)
    assert (found, len(lesions) - found) == (13, 551)
    assert sum(row.kind == "NL" for row in rows) == 1452


# Checks and words


@pytest.mark.parametrize("rating", [math.nan, math.inf, -math.inf])
def test_ratings_must_be_finite(rating: float) -> None:
    with pytest.raises(ValueError, match="rating must be finite"):
        Mark(0, 0, rating)


def test_marks_must_have_a_place() -> None:
    with pytest.raises(ValueError, match="point must be finite"):
        Mark(math.nan, 0, 1)
    with pytest.raises(ValueError, match="point must be finite"):
        Mark(0, 0, 1, z=math.inf)
    with pytest.raises(ValueError, match="a box is"):
        Mark(0, 0, 1, box=(0, 0, -1, 1))
    with pytest.raises(ValueError, match="no pixel"):
        Mark(0, 0, 1, mask=np.zeros((2, 2), dtype=bool))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"criterion": "touch"}, "criterion must be one of radius, containment"),
        ({"criterion": "radius", "tolerance": 1, "unit": "cm"}, "unit must be one of"),
        ({"criterion": "radius", "tolerance": 1, "duplicates": "keep"}, "duplicates must be one of"),
        ({"criterion": "mask_distance"}, "mask_distance needs a tolerance"),
        ({"criterion": "iou"}, "iou needs a tolerance"),
        ({"criterion": "containment", "tolerance": 1}, "containment has no tolerance"),
        ({"criterion": "containment", "strict": True}, "nothing|strict about"),
        ({"criterion": "containment", "unit": "mm"}, "belongs to a distance"),
        ({"criterion": "radius", "unit": "mm"}, "belongs to a distance"),
        ({"criterion": "iou", "tolerance": 0.5, "unit": "mm"}, "belongs to a distance"),
        ({"criterion": "radius", "tolerance": -1}, "not negative"),
        ({"criterion": "radius", "tolerance": math.nan}, "finite"),
        ({"criterion": "radius", "tolerance": 0, "strict": True}, "no mark is nearer than 0"),
        ({"criterion": "iou", "tolerance": 1.2}, "between 0 and 1"),
        ({"criterion": "iou", "tolerance": 1}, "no mark would hit"),
        ({"criterion": "iou", "tolerance": 0, "strict": False}, "every mark would hit"),
        ({"criterion": "iou", "tolerance": 0.1, "assignment": "best"}, "assignment must be one of greedy, optimal"),
        ({"criterion": "containment", "assignment": "optimal"}, "belongs to the criterion 'iou'"),
    ],
)
def test_rules_that_mean_nothing_are_refused(arguments: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        HitRule(**arguments)


def test_units_need_what_they_are_measured_in() -> None:
    marks, lesions = [Mark(0, 0, 1)], [Lesion(circle=(0, 0, 1))]
    with pytest.raises(ValueError, match="needs the image's spacing"):
        match_marks(marks, lesions, HitRule("radius", 1, unit="mm"))
    with pytest.raises(ValueError, match="needs the image's shape"):
        match_marks(marks, lesions, HitRule("radius", 1, unit="fraction"))
    with pytest.raises(ValueError, match="spacing is"):
        match_marks(marks, lesions, HitRule("radius", 1, unit="mm"), spacing=(1.0, 0.0))


@pytest.mark.parametrize(
    ("rule", "condition"),
    [
        (
            HitRule("radius", 5, unit="mm", strict=True),
            "the distance from its point to the lesion's centre is less than 5 mm",
        ),
        (
            HitRule("radius"),
            "the distance from its point to the lesion's centre is at most the lesion's radius",
        ),
        (
            HitRule("mask_distance", 0.02, unit="fraction"),
            "the distance from its point to the nearest place of the lesion is at most 0.02 times the image's"
            " longer side",
        ),
        (HitRule("containment"), "its point lies in the lesion"),
        (HitRule("iou", 0.2), "the overlap of the two (intersection over union) is above 0.2"),
        (
            HitRule("iou", 0.5, strict=False),
            "the overlap of the two (intersection over union) is at least 0.5",
        ),
    ],
)
def test_rule_describes_itself(rule: HitRule, condition: str) -> None:
    assert rule.describe() == (
        f"A mark hits a lesion when {condition}; of several marks on one lesion the one with the highest"
        " rating counts and the others are left out."
    )


def test_rule_describes_an_optimal_assignment() -> None:
    rule = HitRule("iou", 0.1, strict=False, assignment="optimal")
    assert rule.describe() == (
        "A mark can hit a lesion when the overlap of the two (intersection over union) is at least 0.1; marks are"
        " assigned one to one such that as many lesions as possible are hit, then with the largest total overlap; further"
        " marks on a lesion are left out."
    )


def test_rule_describes_surplus_marks_as_false_positives() -> None:
    assert HitRule("containment", duplicates="nl").describe().endswith("the others count as false positives.")
