"""The localisation loss: hand-worked values, a slow-loop oracle, and the edges of its inputs."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from medpipe.losses import LesionLocalizationLoss


def cross_entropy(logit: float, label: float) -> float:
    p = 1 / (1 + math.exp(-logit))
    return -(label * math.log(p) + (1 - label) * math.log(1 - p))


def one_image() -> tuple[Tensor, dict[str, Tensor]]:
    """A map of 2 x 2 cells over an image of 4 x 4 pixels with one lesion pixel in the upper right cell."""
    logits = torch.tensor([[[[-1.0, 2.0], [0.0, -3.0]]]])
    mask = torch.zeros(1, 1, 4, 4)
    mask[0, 0, 1, 3] = 1
    target = {"image_label": torch.tensor([1]), "mask": mask, "mask_known": torch.tensor([True])}
    return logits, target


def test_hand_worked_image() -> None:
    logits, target = one_image()
    terms = LesionLocalizationLoss().terms(logits, target)
    assert set(terms) == {"image", "localization"}
    assert terms["image"].item() == pytest.approx(math.log(1 + math.exp(-2)))
    cells = [cross_entropy(-1, 0), cross_entropy(2, 1), cross_entropy(0, 0), cross_entropy(-3, 0)]
    assert terms["localization"].item() == pytest.approx(sum(cells) / 4)


def test_the_total_is_the_weighted_sum() -> None:
    logits, target = one_image()
    prediction = {"logits": logits, "orthogonality": torch.tensor([-0.5])}
    terms = LesionLocalizationLoss().terms(prediction, target)
    loss = LesionLocalizationLoss(localization_weight=2.0, orthogonality_weight=0.3)
    expected = terms["image"] + 2 * terms["localization"] + 0.3 * 0.5
    assert torch.allclose(loss(prediction, target), expected)


def test_a_plain_map_has_no_orthogonality_term() -> None:
    logits, target = one_image()
    loss = LesionLocalizationLoss(orthogonality_weight=100.0)
    terms = loss.terms(logits, target)
    assert torch.equal(loss(logits, target), terms["image"] + terms["localization"])


@pytest.mark.parametrize(("form", "expected"), [("abs_total", 1.0), ("raw", -1.0), ("abs_each", 3.0)])
def test_the_form_of_the_orthogonality_can_be_chosen(form: str, expected: float) -> None:
    logits, target = one_image()
    per_module = torch.tensor([[1.0, -2.0]])
    prediction = {
        "logits": logits,
        "orthogonality": per_module.sum(dim=1),
        "orthogonality_per_module": per_module,
    }
    terms = LesionLocalizationLoss(orthogonality_form=form).terms(prediction, target)
    assert terms["orthogonality"].item() == pytest.approx(expected)


def slow_terms(logits: Tensor, target: dict[str, Tensor]) -> tuple[float, float]:
    """Both terms by loops; the grid must divide the mask."""
    batch, _, height, width = logits.shape
    rows, columns = target["mask"].shape[2] // height, target["mask"].shape[3] // width
    image, cells = [], []
    for b in range(batch):
        values = logits[b, 0].tolist()
        image.append(cross_entropy(max(max(row) for row in values), float(target["image_label"][b])))
        if not target["mask_known"][b]:
            continue
        for i in range(height):
            for j in range(width):
                patch = target["mask"][b, 0, i * rows : (i + 1) * rows, j * columns : (j + 1) * columns]
                cells.append(cross_entropy(values[i][j], float(max(patch.flatten().tolist()))))
    return sum(image) / batch, sum(cells) / len(cells) if cells else 0.0


@given(
    batch=st.integers(1, 4),
    grid=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    patch=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    seed=st.integers(0, 2**31 - 1),
)
@settings(max_examples=40, deadline=None)
def test_equals_a_slow_loop(batch: int, grid: tuple[int, int], patch: tuple[int, int], seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    size = (batch, 1, grid[0] * patch[0], grid[1] * patch[1])
    logits = torch.randn(batch, 1, *grid, generator=generator)
    target = {
        "image_label": torch.randint(0, 2, (batch,), generator=generator),
        "mask": torch.randint(0, 2, size, generator=generator).float(),
        "mask_known": torch.randint(0, 2, (batch,), generator=generator).bool(),
    }
    terms = LesionLocalizationLoss().terms(logits, target)
    image, localization = slow_terms(logits, target)
    assert terms["image"].item() == pytest.approx(image, abs=1e-5)
    assert terms["localization"].item() == pytest.approx(localization, abs=1e-5)


def test_without_known_masks_the_localization_is_zero_and_the_image_term_trains() -> None:
    logits, target = one_image()
    target["mask_known"] = torch.tensor([False])
    logits.requires_grad_()
    loss = LesionLocalizationLoss()
    assert loss.terms(logits, target)["localization"].item() == 0.0
    loss(logits, target).backward()
    expected = torch.zeros_like(logits)
    expected[0, 0, 0, 1] = 1 / (1 + math.exp(-2)) - 1
    assert torch.allclose(logits.grad, expected)


def test_an_unknown_mask_may_hold_anything() -> None:
    logits, target = one_image()
    two = {
        "image_label": torch.tensor([1, 0]),
        "mask": torch.cat([target["mask"], torch.full((1, 1, 4, 4), float("nan"))]),
        "mask_known": torch.tensor([True, False]),
    }
    both = torch.cat([logits, logits]).requires_grad_()
    loss = LesionLocalizationLoss()
    alone = loss.terms(logits, target)["localization"]
    assert torch.allclose(loss.terms(both, two)["localization"], alone)
    loss(both, two).backward()
    assert both.grad.isfinite().all()


def test_a_perfect_map_costs_almost_nothing_and_a_reversed_one_much() -> None:
    _, target = one_image()
    perfect = torch.tensor([[[[-20.0, 20.0], [-20.0, -20.0]]]])
    assert LesionLocalizationLoss()(perfect, target).item() < 1e-6
    assert LesionLocalizationLoss()(-perfect, target).item() == pytest.approx(20, abs=1e-3)


def test_images_without_a_lesion_are_pushed_down_everywhere() -> None:
    logits = torch.zeros(2, 1, 2, 2, requires_grad=True)
    target = {
        "image_label": torch.zeros(2),
        "mask": torch.zeros(2, 1, 8, 8),
        "mask_known": torch.ones(2, dtype=torch.bool),
    }
    loss = LesionLocalizationLoss()(logits, target)
    assert loss.item() == pytest.approx(2 * math.log(2))
    loss.backward()
    assert (logits.grad > 0).all()


def test_a_mask_that_the_grid_does_not_divide_is_pooled_without_losing_a_pixel() -> None:
    mask = torch.zeros(1, 1, 5, 5)
    mask[0, 0, 2, 2] = 1  # the middle pixel belongs to all four overlapping cells
    target = {"image_label": torch.tensor([1]), "mask": mask, "mask_known": torch.tensor([True])}
    loss = LesionLocalizationLoss().terms(torch.full((1, 1, 2, 2), 3.0), target)["localization"]
    assert loss.item() == pytest.approx(cross_entropy(3, 1), abs=1e-6)


def test_extreme_logits_stay_finite() -> None:
    _, target = one_image()
    logits = torch.full((1, 1, 2, 2), -1e4, requires_grad=True)
    loss = LesionLocalizationLoss()(logits, target)
    loss.backward()
    assert loss.isfinite()
    assert logits.grad.isfinite().all()


def test_half_precision_logits_give_a_float32_loss() -> None:
    logits, target = one_image()
    exact = LesionLocalizationLoss()(logits, target)
    half = LesionLocalizationLoss()(logits.bfloat16(), target)
    assert half.dtype == torch.float32
    assert torch.equal(half, exact)


def test_gradients_equal_finite_differences() -> None:
    _, target = one_image()
    loss = LesionLocalizationLoss(orthogonality_form="raw")

    def total(logits: Tensor, orthogonality: Tensor) -> Tensor:
        return loss({"logits": logits, "orthogonality": orthogonality}, target)

    logits = torch.tensor([[[[0.3, -0.4], [1.2, 0.1]]]], dtype=torch.float64, requires_grad=True)
    orthogonality = torch.tensor([0.2], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(total, (logits, orthogonality))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"logits": torch.zeros(1, 2, 2, 2)}, r"\(B, 1, h, w\) with B > 0, found \(1, 2, 2, 2\)"),
        ({"logits": torch.zeros(0, 1, 2, 2)}, r"B > 0, found \(0, 1, 2, 2\)"),
        ({"image_label": torch.zeros(1, 1)}, r"image_label of shape \(1,\), found \(1, 1\)"),
        ({"mask_known": torch.zeros(2)}, r"mask_known of shape \(1,\), found \(2,\)"),
        ({"mask": torch.zeros(1, 4, 4)}, r"mask of shape \(1, 1, H, W\), found \(1, 4, 4\)"),
    ],
)
def test_wrong_shapes_are_refused(change: dict[str, Tensor], message: str) -> None:
    logits, target = one_image()
    with pytest.raises(ValueError, match=message):
        LesionLocalizationLoss()(change.get("logits", logits), {**target, **change})


def test_a_missing_entry_is_named() -> None:
    logits, target = one_image()
    del target["mask_known"]
    with pytest.raises(ValueError, match="lacks mask_known; found image_label, mask"):
        LesionLocalizationLoss()(logits, target)


@pytest.mark.parametrize("options", [{"localization_weight": -1.0}, {"orthogonality_weight": -0.1}])
def test_negative_weights_are_refused(options: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="at least 0"):
        LesionLocalizationLoss(**options)


def test_unknown_forms_are_refused() -> None:
    with pytest.raises(ValueError, match="abs_total, abs_each, raw"):
        LesionLocalizationLoss(orthogonality_form="signed")
