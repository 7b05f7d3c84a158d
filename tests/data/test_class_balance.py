"""Weights of classes and of images, worked by hand."""

from __future__ import annotations

from medpipe.data.class_balance import positive_weights, sampling_weights


def entries(*labels: list[int | None]) -> list[dict[str, object]]:
    return [{"label": label} for label in labels]


def test_a_class_weighs_its_negatives_by_its_positives() -> None:
    assert positive_weights(entries([1, 0], [0, 0], [0, 1], [0, None])) == [3.0, 2.0]


def test_a_class_without_positives_or_without_negatives_weighs_one() -> None:
    assert positive_weights(entries([0, 1], [0, 1])) == [1.0, 1.0]


def test_an_image_is_drawn_as_often_as_its_rarest_class_asks() -> None:
    found = sampling_weights(entries([1, 0], [1, 1], [0, 0], [None, 0]))
    assert found == [2.0, 4.0, 2.0, 2.0]


def test_nothing_is_weighed_where_balance_is_not_asked_for() -> None:
    assert positive_weights(entries([1, 0]), balanced=False) is None
    assert sampling_weights(entries([1, 0]), balanced=False) is None
