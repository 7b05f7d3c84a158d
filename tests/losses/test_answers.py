import math

import pytest
import torch

from medpipe.losses.answers import AnswerLoss
from medpipe.losses.reconstruction import ReconstructionLoss


def test_the_loss_of_hand_worked_answers() -> None:
    logits = torch.tensor([[0.0, 0.0], [math.log(3), 0.0]])
    targets = torch.tensor([[1.0, 0.0], [1.0, 0.3]])
    first = 2 * math.log(2)
    second = -math.log(3 / 4) + math.log(2)
    assert AnswerLoss()(logits, targets).item() == pytest.approx((first + second) / 2)


def test_a_question_without_a_right_candidate_pushes_all_logits_down() -> None:
    logits = torch.zeros(1, 3, requires_grad=True)
    AnswerLoss()(logits, torch.zeros(1, 3)).backward()
    assert torch.allclose(logits.grad, torch.full((1, 3), 0.5))


def test_shapes_that_differ_are_refused() -> None:
    with pytest.raises(ValueError, match=r"found \(2, 3\) and \(2,\)"):
        AnswerLoss()(torch.zeros(2, 3), torch.zeros(2))
    with pytest.raises(ValueError, match="of one shape"):
        ReconstructionLoss()(torch.zeros(2, 1, 4, 4), torch.zeros(2, 1, 4, 5))


def test_a_reconstruction_counts_by_its_mean_square_and_once_more_by_the_batch() -> None:
    image = torch.zeros(2, 1, 2, 2)
    off = image.clone()
    off[0, 0, 0, 0] = 4.0
    assert ReconstructionLoss()(off, image).item() == pytest.approx(16 / 8 / 2)
    assert ReconstructionLoss()(image, image).item() == 0
