from collections import Counter

import numpy as np
import pytest
from scipy import ndimage
from sklearn.metrics import roc_auc_score

from medpipe.data.lookalikes.chest_radiograph import FINDINGS, Drawing, draw_chest_radiograph

SIZE = 128
PEOPLE = 40


def draw(seed: int, finding: str, size: int = SIZE) -> Drawing:
    return draw_chest_radiograph(np.random.default_rng(seed), finding, size)


@pytest.fixture(scope="module")
def people() -> dict[str, list[Drawing]]:
    """The same people with each finding."""
    return {finding: [draw(seed, finding) for seed in range(PEOPLE)] for finding in FINDINGS}


def test_the_shares_of_the_findings_add_up() -> None:
    assert sum(FINDINGS.values()) == pytest.approx(1)


@pytest.mark.parametrize("size", [64, 128, 512])
def test_an_image_is_square_and_within_its_range(size: int) -> None:
    drawing = draw(0, "pneumothorax_with_tube", size)
    assert drawing.image.shape == drawing.mask.shape == (size, size)
    assert drawing.image.dtype == np.float32
    assert drawing.image.min() >= 0
    assert drawing.image.max() <= 1


def test_equal_generators_give_equal_drawings() -> None:
    first, second = draw(5, "pneumothorax"), draw(5, "pneumothorax")
    np.testing.assert_array_equal(first.image, second.image)
    np.testing.assert_array_equal(first.mask, second.mask)
    assert first.attributes == second.attributes


def test_people_differ(people: dict[str, list[Drawing]]) -> None:
    first, second = people["none"][0].image, people["none"][1].image
    assert np.abs(first - second).mean() > 0.02


def test_only_a_pneumothorax_without_a_tube_is_positive(people: dict[str, list[Drawing]]) -> None:
    assert [finding for finding in FINDINGS if people[finding][0].positive] == ["pneumothorax"]


def test_the_mask_is_there_exactly_when_there_is_a_pneumothorax(people: dict[str, list[Drawing]]) -> None:
    for finding, drawings in people.items():
        assert all(drawing.mask.any() == ("pneumothorax" in finding) for drawing in drawings)


def test_the_rim_is_of_a_plausible_size(people: dict[str, list[Drawing]]) -> None:
    shares = np.array([drawing.mask.mean() for drawing in people["pneumothorax"]])
    assert shares.min() > 0.004
    assert shares.max() < 0.04
    assert 0.01 < np.median(shares) < 0.02


def test_the_rim_is_the_upper_outer_part_of_one_lung(people: dict[str, list[Drawing]]) -> None:
    sides = Counter[str]()
    for drawing in people["pneumothorax"]:
        rows, columns = np.nonzero(drawing.mask)
        side = str(drawing.attributes["side"])
        sides[side] += 1
        outwards = (columns / SIZE - 0.5) * (1 if side == "right" else -1)
        assert np.percentile(outwards, 5) > 0.02
        assert outwards.mean() > 0.12
        assert rows.mean() < 0.45 * SIZE
    assert min(sides["left"], sides["right"]) > PEOPLE // 5


def test_a_pneumothorax_changes_the_image_only_at_its_rim(people: dict[str, list[Drawing]]) -> None:
    for with_it, without in zip(people["pneumothorax"], people["none"], strict=True):
        changed = np.abs(with_it.image - without.image) > 0.01
        near = ndimage.binary_dilation(with_it.mask, iterations=4)
        assert not (changed & ~near).any()
        assert changed[with_it.mask].mean() > 0.5


def test_the_rim_is_darker_but_not_by_much_and_has_no_vessels(people: dict[str, list[Drawing]]) -> None:
    darker, calmer = [], []
    for with_it, without in zip(people["pneumothorax"], people["none"], strict=True):
        inside = ndimage.binary_erosion(with_it.mask)
        darker.append((without.image - with_it.image)[inside].mean())
        grain = [(image - ndimage.gaussian_filter(image, 2))[inside].std() for image in (with_it.image, without.image)]
        calmer.append(grain[0] < grain[1])
    assert min(darker) > 0.03
    assert max(darker) < 0.15
    assert np.mean(calmer) > 0.6


def test_the_tube_lies_in_the_other_lung_and_nothing_else_changes(people: dict[str, list[Drawing]]) -> None:
    for with_tube, without in zip(people["pneumothorax_with_tube"], people["pneumothorax"], strict=True):
        np.testing.assert_array_equal(with_tube.mask, without.mask)
        assert {with_tube.attributes["side"], with_tube.attributes["tube_side"]} == {"left", "right"}
        rows, columns = np.nonzero(with_tube.image != without.image)
        outwards = (columns / SIZE - 0.5) * (1 if with_tube.attributes["tube_side"] == "right" else -1)
        assert outwards.min() > 0.02  # so no pixel near the rim tells the positive class from the negative
        assert 0.4 < rows.mean() / SIZE < 0.75
        assert 20 < len(rows) < 0.04 * SIZE**2
        assert (with_tube.image - without.image)[rows, columns].max() > 0.05


def test_a_tube_alone_is_the_same_tube(people: dict[str, list[Drawing]]) -> None:
    for alone, none in zip(people["tube"], people["none"], strict=True):
        assert alone.attributes["side"] == ""
        assert 20 < (alone.image != none.image).sum() < 0.04 * SIZE**2


def test_the_number_of_leads_is_the_same_whatever_the_finding(people: dict[str, list[Drawing]]) -> None:
    leads = [[drawing.attributes["leads"] for drawing in people[finding]] for finding in FINDINGS]
    assert all(each == leads[0] for each in leads)
    assert set(leads[0]) == set(range(7))


def test_the_rim_alone_does_not_separate_the_classes(people: dict[str, list[Drawing]]) -> None:
    positive = people["pneumothorax"]
    negative = [draw(seed, "pneumothorax_with_tube") for seed in range(1000, 1000 + PEOPLE)]
    truth = [1] * len(positive) + [0] * len(negative)
    for statistic in (np.mean, np.std, np.size):
        values = [float(statistic(drawing.image[drawing.mask])) for drawing in positive + negative]
        assert 0.31 < roc_auc_score(truth, values) < 0.69  # 0.5 +- 3 standard errors
    brightness = [float(drawing.image.mean()) for drawing in positive + negative]
    assert 0.31 < roc_auc_score(truth, brightness) < 0.69


def test_an_unknown_finding_and_a_small_size_are_refused() -> None:
    with pytest.raises(ValueError, match="'fracture'; expected one of pneumothorax"):
        draw(0, "fracture")
    with pytest.raises(ValueError, match="size is 32"):
        draw(0, "none", 32)
