"""What a network attended to in a question and its image, as words with their shares and a map over the picture."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from math import isqrt
from typing import Any

import torch
import torch.nn.functional as F
from monai.transforms import Transform
from torch import Tensor

from medpipe.data.vqa_text import QuestionVocabulary, tokenize

__all__ = ["QuestionAttentiond"]


class QuestionAttentiond(Transform):
    """Put shares of regions and words, under "attention", into what people read.

    Reads "question" and, where they are there, "attention", (glimpses, places, words) or (hops, places), and "picture". Writes
    "attended", a dictionary: "words", those that the network saw, one per place of a question, empty where it is padded;
    "known", whether the network knows each; "weights", the share of each, mean over glimpses and sum over regions, None where
    words are not attended to; "places", rows of the shares of regions, None with one region. Writes "maps", too: the shares of
    regions over the picture, scaled to a largest value of 1.

    Args:
        vocabulary: The words that the network knows.
    """

    def __init__(self, vocabulary: QuestionVocabulary) -> None:
        self.vocabulary = vocabulary

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Return the dictionary with what was attended to; nothing is added without "attention"."""
        if "attention" not in data:
            return dict(data)
        mean = torch.as_tensor(data["attention"]).double().mean(dim=0)  # (places, words) or (places,)
        length = self.vocabulary.length
        words = tokenize(str(data["question"]), self.vocabulary.profile)[:length]
        words += [""] * (length - len(words))
        regions = mean if mean.ndim == 1 else mean.sum(dim=1)
        attended = {
            "words": words,
            "known": [word in self.vocabulary.numbers or not word for word in words],
            "weights": None if mean.ndim == 1 else mean.sum(dim=0).tolist(),
            "places": _square(regions).tolist() if regions.numel() > 1 else None,
        }
        found = {**data, "attended": attended}
        if attended["places"] is not None and "picture" in data:
            shape = tuple(int(size) for size in data["picture"].shape[:2])
            found["maps"] = {"attention": _over(_square(regions), shape).numpy()}
        return found


def _square(regions: Tensor) -> Tensor:
    side = isqrt(regions.numel())
    return regions.view(side, side)


def _over(places: Tensor, shape: tuple[int, ...]) -> Tensor:
    """A map over a picture of this shape: images are stretched to squares before they are seen."""
    large = F.interpolate(places[None, None].float(), list(shape), mode="bilinear", align_corners=False)[0, 0]
    return large / large.max().clamp(min=1e-12)
