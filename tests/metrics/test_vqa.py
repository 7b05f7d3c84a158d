import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from medpipe.metrics.intervals import Bootstrap
from medpipe.metrics.vqa import accuracy_estimate, bleu, consensus_accuracy, mean_per_type, token_f1, weighted_mean

WORDS = st.lists(st.sampled_from(["left", "lower", "lobe", "of"]), max_size=6)


@pytest.mark.parametrize(("matches", "accuracy"), [(0, 0), (1, 0.3), (2, 0.6), (3, 0.9), (4, 1), (10, 1)])
def test_an_answer_of_so_many_of_ten_annotators_has_the_official_accuracy(matches: int, accuracy: float) -> None:
    row = [True] * matches + [False] * (10 - matches)
    assert consensus_accuracy([row])[0] == pytest.approx(accuracy)
    by_hand = np.mean([min(1, (matches - (place < matches)) / 3) for place in range(10)])
    assert consensus_accuracy([row])[0] == pytest.approx(by_hand)


def test_wrong_matches_are_refused() -> None:
    with pytest.raises(ValueError, match=r"found shape \(3,\)"):
        consensus_accuracy([1, 0, 1])
    with pytest.raises(ValueError, match="only 0 and 1"):
        consensus_accuracy([[1, 2]])


def test_means_per_type_weigh_types_alike() -> None:
    found = mean_per_type([1, 1, 0, 1, 0.5], ["count", "count", "count", "color", "sport"])
    assert found.by_type == {"color": 1.0, "count": pytest.approx(2 / 3), "sport": 0.5}
    assert found.arithmetic == pytest.approx((1 + 2 / 3 + 0.5) / 3)
    assert found.harmonic == pytest.approx(3 / (1 + 1.5 + 2))


def test_a_type_never_right_takes_the_harmonic_mean_to_0_and_leaves_the_arithmetic() -> None:
    found = mean_per_type([1, 0], ["a", "b"])
    assert found.arithmetic == 0.5
    assert found.harmonic < 1e-10


def test_normalised_means_weigh_the_distinct_answers_of_a_type_alike() -> None:
    accuracies, types = [1, 1, 1, 0], ["color"] * 4
    assert mean_per_type(accuracies, types, ["red", "red", "red", "blue"]).arithmetic == 0.5
    assert mean_per_type(accuracies, types).arithmetic == 0.75
    with pytest.raises(ValueError, match="4 accuracies need as many types"):
        mean_per_type(accuracies, types[:2])


@pytest.mark.parametrize(
    ("given", "true", "order", "value"),
    [
        ("left lower lobe", "left lower lobe", 3, 1),
        ("left", "left", 3, 1),
        ("", "", 2, 1),
        ("left", "", 1, 0),
        ("right", "left", 1, 0),
        ("left lower lobe", "left upper lobe", 1, 2 / 3),
        ("left lower lobe", "left upper lobe", 2, 0),
        ("left left", "left lung", 1, 1 / 2),
        ("lower lobe", "left lower lobe", 1, math.exp(1 - 3 / 2)),
        ("left lower lobe of", "left lower lobe", 2, math.sqrt(3 / 4 * 2 / 3)),
    ],
)
def test_bleu_of_hand_worked_answers(given: str, true: str, order: int, value: float) -> None:
    assert bleu(given.split(), true.split(), order) == pytest.approx(value)


def test_f1_of_hand_worked_answers() -> None:
    assert token_f1(["left", "lung"], ["lung"]) == pytest.approx(2 / 3)
    assert token_f1(["left", "left"], ["left"]) == pytest.approx(2 / 3)
    assert token_f1([], ["left"]) == 0
    assert token_f1([], []) == 1


@given(WORDS, WORDS, st.integers(1, 3))
def test_measures_of_words_lie_in_0_to_1_and_are_1_for_the_answer_itself(
    first: list[str], second: list[str], order: int
) -> None:
    assert 0 <= bleu(first, second, order) <= 1
    assert 0 <= token_f1(first, second) <= 1
    assert token_f1(first, second) == pytest.approx(token_f1(second, first))
    assert bleu(first, first, order) == pytest.approx(1)
    assert token_f1(first, first) == 1


def test_an_order_below_1_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 1, found 0"):
        bleu(["a"], ["a"], 0)


def test_intervals_resample_images_and_not_questions() -> None:
    accuracies = [1.0] * 50 + [0.0] * 50
    alone = accuracy_estimate(accuracies, [f"i{n}" for n in range(100)], Bootstrap(300))
    together = accuracy_estimate(accuracies, [f"i{n // 25}" for n in range(100)], Bootstrap(300))
    assert alone.value == together.value == 0.5
    assert (alone.n, together.n) == (100, 4)
    assert together.high - together.low > 3 * (alone.high - alone.low)
    assert "4 images" in together.method


def test_a_statistic_weights_questions_by_their_number_in_the_resample() -> None:
    statistic = weighted_mean(np.array([1.0, 0.0, 0.5]))
    assert statistic(np.array([2, 1, 0])) == pytest.approx(2 / 3)
    assert math.isnan(statistic(np.zeros(3, int)))  # type: ignore[arg-type]
