"""How published challenges count: which mark hits, at which false positives per image, and what the score is.

    LUNA16      a candidate nearer to a nodule's centre than its radius; mean sensitivity at 1/8 ... 8 per scan (CPM)
    CAMELYON16  a point inside the lesion; mean sensitivity at 1/4 ... 8 per slide
    NODE21      a box with more than 0.2 overlap; 0.75 AUC + 0.25 sensitivity at 1/4 per image

References:
    AAA Setio et al., Med Image Anal 2017 (LUNA16); B Ehteshami Bejnordi et al., JAMA 2017 (CAMELYON16).
    E Sogancioglu et al., Nodule detection and generation on chest X-rays: NODE21 challenge, IEEE TMI 2024.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from medpipe.metrics._arrays import IntArray
from medpipe.metrics.free_response import FreeResponseData
from medpipe.metrics.froc import CAMELYON16_RATES, LUNA16_RATES, NODE21_RATES, Interpolation, froc_statistic
from medpipe.metrics.jafroc import figure_of_merit_statistic
from medpipe.metrics.matching import HitRule

__all__ = ["CONVENTIONS", "Convention", "node21_score", "node21_statistic"]


@dataclass(frozen=True)
class Convention:
    """How a challenge counts.

    Attributes:
        name: of the challenge.
        hit_rule: when a mark hits a lesion.
        rates: false positives per image at which sensitivity is read off.
        interpolation: how it is read off between operating points.
    """

    name: str
    hit_rule: HitRule
    rates: tuple[float, ...]
    interpolation: Interpolation = "linear"


CONVENTIONS: dict[str, Convention] = {
    "luna16": Convention("LUNA16", HitRule("radius", strict=True), LUNA16_RATES),
    "camelyon16": Convention("CAMELYON16", HitRule("containment"), CAMELYON16_RATES),
    "node21": Convention("NODE21", HitRule("iou", tolerance=0.2), NODE21_RATES),
}
"""Conventions by the name that the command line uses."""


def node21_score(data: FreeResponseData) -> float:
    """The NODE21 detection score: 0.75 * AUC of the highest rating per image + 0.25 * sensitivity at 1/4.

    Raises:
        ValueError: when one of the two classes is missing.
    """
    return node21_statistic(data)(np.ones(data.n_cases, dtype=np.int64))


def node21_statistic(data: FreeResponseData) -> Callable[[IntArray], float]:
    """``node21_score`` as a function of how often each case is in the sample, for the bootstrap.

    Raises:
        ValueError: when one of the two classes is missing.
    """
    auc, sensitivity = figure_of_merit_statistic(data, "HrAuc"), froc_statistic(data, NODE21_RATES)
    return lambda counts: 0.75 * auc(counts) + 0.25 * float(sensitivity(counts)[-1])
