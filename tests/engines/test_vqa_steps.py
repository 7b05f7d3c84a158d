"""Steps of question answering and of its auto-encoder, their batches and their learning rate."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from monai.data import MetaTensor
from monai.engines import SupervisedTrainer
from torch import Tensor, nn

from medpipe.engines.steps.denoising import DenoisingStep
from medpipe.engines.steps.vqa import VqaStep
from medpipe.engines.vqa_batches import vqa_batch
from medpipe.engines.warmup_schedule import warmup_factor, warmup_schedule
from medpipe.losses.answers import AnswerLoss
from medpipe.losses.reconstruction import ReconstructionLoss


class Toy(nn.Module):
    """Answers from the first word and the mean of the image, and a reconstruction that is a multiple of it."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.words = nn.Embedding(5, 3)
        self.scale = nn.Parameter(torch.tensor(0.5))

    def forward(self, questions: Tensor, small: Tensor | None, large: Tensor | None) -> dict[str, Tensor]:
        logits = self.words(questions[:, 0]) + small.mean(dim=(1, 2, 3))[:, None]
        return (
            {"logits": logits}
            if large is None
            else {"logits": logits, "reconstruction": self.scale * large, "image": large}
        )


def batch(seed: int = 0, count: int = 4) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return {
        "tokens": torch.randint(0, 5, (count, 12), generator=generator),
        "small": torch.rand(count, 1, 6, 6, generator=generator),
        "large": torch.rand(count, 1, 8, 8, generator=generator),
        "target": torch.rand(count, 3, generator=generator),
    }


def train(net: nn.Module, step: Any, batches: list[dict[str, Tensor]], loss: nn.Module | None = None) -> list[Any]:
    from ignite.engine import Events

    outputs: list[Any] = []
    trainer = SupervisedTrainer(
        torch.device("cpu"),
        1,
        batches,
        net,
        torch.optim.SGD(net.parameters(), lr=0.5),
        loss or AnswerLoss(),
        iteration_update=step,
        decollate=False,
    )
    trainer.add_event_handler(Events.ITERATION_COMPLETED, lambda engine: outputs.append(engine.state.output))
    trainer.run()
    return outputs


def test_the_loss_is_that_of_the_answers_and_a_thousandth_of_the_reconstruction_both_by_the_batch_size() -> None:
    net = Toy()
    before, data = copy.deepcopy(net), batch()
    (output,) = train(net, VqaStep(reconstruction_loss=ReconstructionLoss()), [data])
    found = before(data["tokens"], data["small"], data["large"])
    answers = nn.functional.binary_cross_entropy_with_logits(found["logits"], data["target"], reduction="sum")
    squares = ((found["reconstruction"] - data["large"]) ** 2).mean()
    assert output["loss"].item() == pytest.approx(((answers + 0.001 * squares) / 4).item())
    assert output["parts"]["reconstruction"].item() == pytest.approx((squares / 4).item())
    assert net.scale.item() != before.scale.item()


def test_without_weight_the_decoder_gets_no_gradient() -> None:
    net = Toy()
    train(net, VqaStep(reconstruction_loss=ReconstructionLoss(), reconstruction_weight=0), [batch()])
    assert net.scale.grad is None


def test_the_gradient_is_bounded() -> None:
    net, before = Toy(), Toy()
    train(net, VqaStep(clip=0.25), [batch()])
    step = torch.cat([(a - b).flatten() for a, b in zip(net.parameters(), before.parameters(), strict=True)])
    assert step.norm().item() == pytest.approx(0.5 * 0.25, rel=1e-4)


def test_accumulated_batches_make_one_update_with_their_mean_and_the_rest_another() -> None:
    net, by_hand = Toy(), Toy()
    batches = [batch(seed) for seed in range(3)]
    train(net, VqaStep(clip=None, accumulate=2), batches)
    optimizer = torch.optim.SGD(by_hand.parameters(), lr=0.5)
    for group in (batches[:2], batches[2:]):
        optimizer.zero_grad()
        losses = [AnswerLoss()(by_hand(d["tokens"], d["small"], None)["logits"], d["target"]) for d in group]
        torch.stack(losses).mean().backward()
        optimizer.step()
    assert torch.allclose(net.words.weight, by_hand.words.weight, atol=1e-6)


def test_wrong_options_are_refused() -> None:
    with pytest.raises(ValueError, match=r"found -1 and 1"):
        VqaStep(reconstruction_weight=-1)
    with pytest.raises(ValueError, match=r"found 0\.001 and 0"):
        VqaStep(accumulate=0)
    with pytest.raises(ValueError, match="must not be negative"):
        DenoisingStep(noise=-0.1)


def test_a_batch_becomes_plain_tensors_and_an_image_that_is_not_there_none() -> None:
    data = batch()
    data["small"] = MetaTensor(data["small"])
    data["tokens"] = data["tokens"].to(torch.int32)
    del data["large"]
    (questions, small, large), target = vqa_batch(data)
    assert questions.dtype == torch.int64
    assert type(small) is Tensor
    assert large is None
    assert target.shape == (4, 3)


def test_denoising_compares_with_the_clean_image_and_its_noise_has_the_given_spread() -> None:
    seen: list[Tensor] = []

    class Keeps(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.shift = nn.Parameter(torch.zeros(1))

        def forward(self, images: Tensor) -> Tensor:
            seen.append(images.detach())
            return images + self.shift

    image = torch.full((8, 1, 64, 64), 0.5)
    (output,) = train(Keeps(), DenoisingStep(noise=0.1), [{"image": image}], nn.MSELoss())
    noise = seen[0] - image
    assert noise.std().item() == pytest.approx(0.1, rel=0.05)
    assert noise.mean().item() == pytest.approx(0, abs=0.003)
    assert output["loss"].item() == pytest.approx((noise**2).mean().item(), rel=1e-5)


def test_the_rate_warms_up_by_epochs_stays_and_steps_down() -> None:
    found = [warmup_factor(epoch, gamma=0.5) for epoch in range(20)]
    down = [1, 1, 0.5, 0.5, 0.25, 0.25, 0.125, 0.125, 0.0625, 0.0625]
    assert found == [0.5, 1, 1.5, 2, 2, 2, 2, 2, 2, 2, *down]
    optimizer = torch.optim.Adamax([nn.Parameter(torch.zeros(1))], lr=0.005)
    schedule = warmup_schedule(optimizer)
    rates = []
    for _ in range(12):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    assert rates[:5] == pytest.approx([0.0025, 0.005, 0.0075, 0.01, 0.01])
    assert rates[9:] == pytest.approx([0.01, 0.0075, 0.0075])
    with pytest.raises(ValueError, match="gamma must be above 0"):
        warmup_schedule(optimizer, gamma=0)
