from itertools import combinations

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from medpipe.data.lookalikes.chest_ellipses import SMALL
from medpipe.data.lookalikes.chest_findings import MECHANISMS, Box, FindingsDrawing, draw_chest_findings
from medpipe.data.nih_chestxray14 import FINDINGS

SIZE = 128


def draw(seed: int, *findings: str, size: int = SIZE, opacities: int = 1) -> FindingsDrawing:
    return draw_chest_findings(np.random.default_rng(seed), findings, size, opacities=opacities)


def pixels(box: Box, size: int = SIZE, margin: float = 0) -> tuple[slice, slice]:
    x, y, width, height = box
    rows = slice(round((y - margin) * size), round((y + height + margin) * size))
    return rows, slice(round((x - margin) * size), round((x + width + margin) * size))


def brightness(drawing: FindingsDrawing, box: Box) -> float:
    """Mean of the inner half of a box."""
    x, y, width, height = box
    return float(drawing.image[pixels((x + width / 4, y + height / 4, width / 2, height / 2))].mean())


def test_the_findings_are_those_of_the_data_set_in_its_order() -> None:
    assert tuple(MECHANISMS) == FINDINGS


def test_without_findings_there_is_no_box() -> None:
    drawing = draw(0)
    assert drawing.boxes == {}
    assert drawing.image.shape == (SIZE, SIZE)
    assert drawing.image.dtype == np.float32
    assert drawing.image.min() >= 0
    assert drawing.image.max() <= 1


@pytest.mark.parametrize("finding", MECHANISMS)
def test_a_finding_changes_the_same_person_within_its_boxes(finding: str) -> None:
    for seed in range(8):
        shown = draw(seed, finding)
        change = np.abs(shown.image - draw(seed).image)
        boxes = shown.boxes[finding]
        assert boxes
        inside = np.zeros_like(change, bool)
        for box in boxes:
            assert 0 <= box[0] < box[0] + box[2] <= 1
            assert 0 <= box[1] < box[1] + box[3] <= 1
            inside[pixels(box, margin=0.02)] = True
        if finding != "Atelectasis":  # its other lung changes too
            assert change[inside].max() > 0.05
            assert change[~inside].max() < 0.09


def test_several_findings_are_drawn_in_one_image() -> None:
    drawing = draw(4, "Effusion", "Nodule", "Cardiomegaly", "Atelectasis")
    assert set(drawing.boxes) == {"Effusion", "Nodule", "Cardiomegaly", "Atelectasis"}


@pytest.mark.parametrize(("finding", "step"), [("Nodule", 0.15), ("Mass", 0.12)])
def test_a_nodule_or_mass_is_an_existing_shadow_made_brighter_by_less_than_images_differ(
    finding: str, step: float
) -> None:
    with_it, without = [], []
    for seed in range(80):
        shown = draw(seed, finding)
        for box in shown.boxes[finding]:
            with_it.append(brightness(shown, box))
            without.append(brightness(draw(seed), box))
    difference = np.subtract(with_it, without)
    assert difference.min() > 0.6 * step
    assert difference.max() < 1.01 * step
    alone = roc_auc_score([1] * len(with_it) + [0] * len(without), with_it + without)
    assert alone < 0.85


def test_emphysema_is_seen_by_comparison_with_the_air_beside_the_body() -> None:
    lungs, differences = [], []
    for findings in ((), ("Emphysema",)):
        for seed in range(60):
            drawing = draw(seed, *findings)
            lung = float(np.median(drawing.image[pixels((0.27, 0.3, 0.06, 0.3))]))
            lungs.append(-lung)
            differences.append(float(drawing.image[:4, :4].mean()) - lung)
    truth = [0] * 60 + [1] * 60
    assert roc_auc_score(truth, lungs) < 0.8
    assert roc_auc_score(truth, differences) > 0.98


def test_an_atelectasis_lacks_the_band_of_the_other_lung() -> None:
    other_lung = 0
    for seed in range(60):
        shown = draw(seed, "Atelectasis")
        (box,) = shown.boxes["Atelectasis"]
        change = draw(seed).image - shown.image
        here, there = pixels(box), pixels((1 - box[0] - box[2], box[1], box[2], box[3]))
        in_other = change[there].mean() > 0.02
        other_lung += in_other
        # the other lung's band is gone, or in an image without bands there is a new one
        assert in_other or change[here].mean() < -0.02
    assert 0.6 < other_lung / 60 < 0.95


def test_opacities_lie_each_in_a_half_of_a_lung_of_its_own() -> None:
    for seed in range(5):
        boxes = draw(seed, "Pneumonia", opacities=4).boxes["Pneumonia"]
        centres = [(x + w / 2 < 0.5, y + h / 2 < 0.45) for x, y, w, h in boxes]
        assert len(boxes) == 4
        assert all(first != second for first, second in combinations(centres, 2))


def test_the_boxes_of_nodules_are_their_size() -> None:
    for box in draw(2, "Nodule").boxes["Nodule"]:
        assert box[2:] == (2 * SMALL, 2 * SMALL)


@pytest.mark.parametrize("finding", MECHANISMS)
def test_geometry_scales_with_the_size(finding: str) -> None:
    small, large = (draw(5, finding, size=size).boxes[finding] for size in (128, 256))
    np.testing.assert_allclose(small, large, atol=0.03)


def test_equal_generators_draw_equal_pictures_whatever_the_order_of_the_findings() -> None:
    first, second = draw(7, "Mass", "Edema"), draw(7, "Edema", "Mass")
    np.testing.assert_array_equal(first.image, second.image)
    assert first.boxes == second.boxes


@pytest.mark.parametrize(("findings", "size", "opacities"), [(["Mas"], 64, 1), ([], 63, 1), ([], 64, 0), ([], 64, 5)])
def test_what_cannot_be_drawn_is_refused(findings: list[str], size: int, opacities: int) -> None:
    with pytest.raises(ValueError, match="expected findings from Atelectasis"):
        draw(0, *findings, size=size, opacities=opacities)
