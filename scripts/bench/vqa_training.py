"""Seconds of one gradient of the trainings of question answering, at the papers' sizes, by the layout of images in memory.

Gradients with images channel by channel (as torch makes them) and with the layout of the package, whose auto-encoder has the
channels of a place side by side, take turns; the fastest of each is shown, and how far their losses are apart. That of
MMQ's meta-learning is timed as it is.

    python scripts/bench/vqa_training.py --threads 1
"""

from __future__ import annotations

import argparse
import copy
import time
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from medpipe.engines.steps.meta_learning import Adaptation, MetaLearningStep
from medpipe.losses.answers import AnswerLoss
from medpipe.networks.mevf import MEVF, DenoisingAutoencoder
from medpipe.networks.mmq import MMQ, MetaLearner

WORDS, ANSWERS, BATCH = 1177, 458, 32  # of VQA-RAD


def questions(network: nn.Module) -> Tensor:
    """The loss of a batch of questions, with its gradient."""
    generator = torch.Generator().manual_seed(0)
    words = torch.randint(WORDS, (BATCH, 12), generator=generator)
    small, large = (torch.rand(BATCH, 1, side, side, generator=generator) for side in (84, 128))
    torch.manual_seed(0)  # of dropout
    output = network(words, small, large)
    loss: Tensor = AnswerLoss()(output["logits"], torch.zeros(BATCH, ANSWERS))
    if "reconstruction" in output:
        loss = loss + F.mse_loss(output["reconstruction"], large)
    loss.backward()
    return loss.detach()


def denoising(network: nn.Module) -> Tensor:
    """The loss of a batch of pictures, with its gradient."""
    pictures = torch.rand(BATCH, 1, 128, 128, generator=torch.Generator().manual_seed(0))
    loss = F.mse_loss(network(pictures), pictures)
    loss.backward()
    return loss.detach()


def gradient_seconds(
    network: nn.Module, loss: Callable[[nn.Module], Tensor], repeats: int
) -> tuple[dict[str, float], float]:
    """The fastest gradient in either layout, and how far their losses are apart."""
    layouts = {"channels first": copy.deepcopy(network).to(memory_format=torch.contiguous_format), "ours": network}
    times: dict[str, list[float]] = {name: [] for name in layouts}
    losses: dict[str, Tensor] = {}
    for _ in range(repeats + 1):
        for name, laid in layouts.items():
            laid.zero_grad()
            start = time.perf_counter()
            losses[name] = loss(laid)
            times[name].append(time.perf_counter() - start)
    first, ours = losses.values()
    return {name: min(found[1:]) for name, found in times.items()}, abs(float(first - ours))


def meta_seconds(profile: str, repeats: int) -> float:
    """The fastest gradient of a round of MMQ, 5 first-order inner steps."""
    episodes, ways, support, query, colours = {"rad": (5, 3, 3, 3, 1), "path_vqa": (4, 5, 5, 15, 3)}[profile]
    classes = ways + 1
    network = MetaLearner(classes, profile=profile).train()
    batch = {}
    for part, images in (("support", support), ("query", query)):
        batch[part] = torch.rand(episodes, classes * images, colours, 84, 84)
        batch[f"{part}_label"] = torch.arange(classes).repeat_interleave(images).expand(episodes, -1)
    step, times = MetaLearningStep(Adaptation(steps=5, rate=0.01, first_order=True)), []
    for _ in range(repeats + 1):
        start = time.perf_counter()
        step.accumulate(network, F.cross_entropy, batch)
        times.append(time.perf_counter() - start)
    return min(times[1:])


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    trainings: dict[str, tuple[Callable[[], nn.Module], Callable[[nn.Module], Tensor]]] = {
        "MEVF, bilinear attention": (lambda: MEVF(WORDS, ANSWERS), questions),
        "MEVF, stacked attention": (lambda: MEVF(WORDS, ANSWERS, attention="san"), questions),
        "MMQ, 3 encoders": (lambda: MMQ(WORDS, ANSWERS), questions),
        "MMQ + MEVF": (lambda: MMQ(WORDS, ANSWERS, models=2, with_cdae=True), questions),
        "auto-encoder": (DenoisingAutoencoder, denoising),
    }
    print("| gradient of a batch of 32 | channels first, s | ours, s | losses apart |\n|---|---|---|---|")
    for name, (make, loss) in trainings.items():
        torch.manual_seed(0)
        seconds, apart = gradient_seconds(make().train(), loss, options.repeats)
        first, ours = seconds.values()
        print(f"| {name} | {first:.2f} | {ours:.2f} | {apart:.1e} |", flush=True)
    print("\n| gradient of MMQ's meta-learning | s |\n|---|---|")
    for profile in ("rad", "path_vqa"):
        print(f"| {profile} | {meta_seconds(profile, options.repeats):.2f} |", flush=True)


if __name__ == "__main__":
    main()
