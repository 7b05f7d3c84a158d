"""Time and memory of one meta-learning step, against a plain loop over copies of the network.

The loop is what one writes without torch.func: copy the network, train the copy by SGD on the support images, and add the
gradients of its query loss to the network's (first order). Both see the same episodes; their gradients are compared.

    python scripts/bench/meta_learning.py --steps 1 5
"""

from __future__ import annotations

import argparse
import copy
import resource
import time
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from medpipe.engines.steps.meta_learning import Adaptation, MetaLearningStep, episodes_of
from medpipe.networks.mevf import EpisodeClassifier, MetaEncoder

WAYS, IMAGES, EPISODES, RATE = 3, 9, 5, 0.01


def batch() -> dict[str, Tensor]:
    """Five episodes of 3 classes, 9 support and 9 query images of 84 by 84, as MEVF's."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(WAYS).repeat_interleave(IMAGES // WAYS).expand(EPISODES, IMAGES)
    support, query = (torch.rand(EPISODES, IMAGES, 1, 84, 84, generator=generator) for _ in range(2))
    return {"support": support, "support_label": labels, "query": query, "query_label": labels}


def loop_of_copies(network: nn.Module, episodes: dict[str, Tensor], steps: int) -> None:
    """The alternative."""
    for episode in episodes_of(episodes):
        adapted = copy.deepcopy(network)
        optimizer = torch.optim.SGD(adapted.parameters(), lr=RATE)
        for _ in range(steps):
            optimizer.zero_grad()
            F.cross_entropy(adapted(episode["support"]), episode["support_label"]).backward()
            optimizer.step()
        adapted.zero_grad()
        (F.cross_entropy(adapted(episode["query"]), episode["query_label"]) / EPISODES).backward()
        for own, theirs in zip(network.parameters(), adapted.parameters(), strict=True):
            own.grad = theirs.grad if own.grad is None else own.grad + theirs.grad


def step(network: nn.Module, episodes: dict[str, Tensor], steps: int, first_order: bool) -> None:
    """Ours."""
    adaptation = Adaptation(steps=steps, rate=RATE, first_order=first_order)
    MetaLearningStep(adaptation).accumulate(network, F.cross_entropy, episodes)


def measure(run: Callable[[nn.Module], None], repeats: int) -> tuple[float, Tensor]:
    """Seconds of the fastest run, and the gradient."""
    torch.manual_seed(0)
    network, seconds = EpisodeClassifier(MetaEncoder(), WAYS), []
    for _ in range(repeats):
        network.zero_grad()
        start = time.perf_counter()
        run(network)
        seconds.append(time.perf_counter() - start)
    return min(seconds), torch.cat([parameter.grad.flatten() for parameter in network.parameters()])


def main() -> None:
    """Print one table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, nargs="+", default=[1, 5])
    parser.add_argument("--repeats", type=int, default=4)
    options = parser.parse_args()
    episodes = batch()
    print(f"{EPISODES} episodes of {IMAGES} + {IMAGES} images, 64 channels, {torch.get_num_threads()} threads")
    for steps in options.steps:
        rows = {
            "loop of copies, first order": partial(loop_of_copies, episodes=episodes, steps=steps),
            "medpipe, first order": partial(step, episodes=episodes, steps=steps, first_order=True),
            "medpipe, second order": partial(step, episodes=episodes, steps=steps, first_order=False),
        }
        reference = None
        for name, run in rows.items():
            seconds, gradient = measure(run, options.repeats)
            reference = gradient if reference is None else reference
            cosine = F.cosine_similarity(gradient.double(), reference.double(), dim=0).item()
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2
            print(
                f"  {steps} steps  {name:30} {seconds:7.3f} s  cosine to the first row {cosine:.6f}  peak {peak:.2f} GiB"
            )


if __name__ == "__main__":
    main()
