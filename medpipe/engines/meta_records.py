"""What meta-learned networks say of images, gathered over episodes: votes, probabilities, features.

An episode is a dictionary as ``medpipe.transforms.meta_episodes.SeededEpisodes`` gives it: "support", "support_label", "query",
"query_image", "classes", and "query_label" where it is known. A network is adapted to each and asked; it stays as it is.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from medpipe.engines.steps.meta_learning import Adaptation

__all__ = ["class_probabilities", "class_votes", "true_probabilities_and_features"]

OTHER = "other"
_ENCODER = "encoder."

Episodes = Iterable[dict[str, Any]]
_Floats = NDArray[np.float64]


def class_votes(
    network: nn.Module, adaptation: Adaptation, episodes: Episodes, device: Any = None
) -> dict[str, dict[str, int]]:
    """Query image -> class, or ``other`` -> how often the network took it for that."""
    votes: dict[str, Counter[str]] = defaultdict(Counter)
    for episode in episodes:
        chosen = _query_logits(network, adaptation, episode, device).argmax(dim=1).tolist()
        for image, label in zip(episode["query_image"], chosen, strict=True):
            votes[image][episode["classes"][label]] += 1
    return {image: dict(found) for image, found in votes.items()}


def class_probabilities(
    network: nn.Module, adaptation: Adaptation, episodes: Episodes, device: Any = None
) -> dict[str, list[float]]:
    """Query image -> the probability of its class at each appearance, but for those under ``other``."""
    found: dict[str, list[float]] = defaultdict(list)
    for episode in episodes:
        probabilities = _true(_query_logits(network, adaptation, episode, device), episode["query_label"])
        rows = zip(episode["query_image"], episode["query_label"].tolist(), probabilities, strict=True)
        for image, label, probability in rows:
            if episode["classes"][label] != OTHER:
                found[image].append(probability)
    return dict(found)


def true_probabilities_and_features(
    networks: Sequence[nn.Module], adaptation: Adaptation, episodes: Episodes, device: Any = None
) -> tuple[_Floats, _Floats]:
    """What several networks say of the same queries of the same episodes.

    Args:
        networks: Each with an ``encoder``, whose output is the feature.
        adaptation: How each is adapted to each episode.
        episodes: With the labels of their queries.
        device: Of the networks.

    Returns:
        (networks, images), probabilities of the true labels, and (networks, images, numbers), features.
    """
    probabilities: list[list[float]] = [[] for _ in networks]
    features: list[list[_Floats]] = [[] for _ in networks]
    for episode in episodes:
        here = _on(episode, device)
        for place, network in enumerate(networks):
            adapted = adaptation.weights(network, here["support"], here["support_label"])
            with torch.no_grad():
                logits = adaptation.logits(network, adapted, here["query"])
                of_encoder = {
                    name.removeprefix(_ENCODER): value for name, value in adapted.items() if name.startswith(_ENCODER)
                }
                feature = adaptation.logits(network.encoder, of_encoder, here["query"])  # type: ignore[arg-type]
            probabilities[place] += _true(logits, episode["query_label"])
            features[place].append(feature.double().cpu().numpy())
    return np.array(probabilities), np.array([np.concatenate(found) for found in features])


def _query_logits(network: nn.Module, adaptation: Adaptation, episode: dict[str, Any], device: Any) -> Tensor:
    here = _on(episode, device)
    adapted = adaptation.weights(network, here["support"], here["support_label"])
    with torch.no_grad():
        return adaptation.logits(network, adapted, here["query"])


def _on(episode: dict[str, Any], device: Any) -> dict[str, Tensor]:
    return {name: episode[name].to(device) for name in ("support", "support_label", "query")}


def _true(logits: Tensor, labels: Tensor) -> list[float]:
    shares = logits.double().softmax(dim=1).cpu()
    return shares[torch.arange(len(labels)), labels].tolist()  # type: ignore[no-any-return]
