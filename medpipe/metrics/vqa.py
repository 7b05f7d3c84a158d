"""How well questions are answered: accuracies of single answers and what is made of them.

Conventions: an accuracy is from 0 to 1; answers are compared as they are handed in, so normalise them first. Every question
counts once, unless a figure says otherwise.

    consensus_accuracy         of an answer against ten annotators (the official VQA 2.0 rule)
    mean_per_type              arithmetic and harmonic mean over question types (TDIUC)
    bleu, token_f1             how much of a free answer's words is right
    weighted_mean              the statistic that a bootstrap of images resamples
    accuracy_estimate          mean accuracy with its interval over images

References:
    Y Goyal et al., Making the V in VQA Matter, CVPR 2017 (the rule for ten annotators).
    K Kafle, C Kanan, An Analysis of Visual Question Answering Algorithms, ICCV 2017 (means per type).
    K Papineni et al., BLEU: a Method for Automatic Evaluation of Machine Translation, ACL 2002.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike

from medpipe.metrics._arrays import FloatArray, IntArray, binary_array, check_finite, float_vector
from medpipe.metrics.intervals import Bootstrap, Cohort, Estimate, Statistic

__all__ = [
    "MeanPerType",
    "accuracy_estimate",
    "bleu",
    "consensus_accuracy",
    "mean_per_type",
    "token_f1",
    "weighted_mean",
]

_ENOUGH = 3  # annotators who gave an answer, for it to be wholly right
_TINY = 1e-12  # added to each type's accuracy in the harmonic mean, as 1e-10 to percentages


def consensus_accuracy(matches: ArrayLike) -> FloatArray:
    """Accuracy of an answer that some annotators gave: leaving each out in turn, min(1, matches among the others / 3), mean.

    Args:
        matches: (questions, annotators), whether the annotator gave the answer; ten of them in VQA 2.0.

    Returns:
        (questions,) from 0 to 1: 0.3, 0.6, 0.9, 1 for one, two, three and more of ten.

    Raises:
        ValueError: The array has another shape, or holds anything but 0 and 1.
    """
    found = binary_array(matches, "matches")
    if found.ndim != 2 or found.shape[1] < 2:
        raise ValueError(f"matches must be (questions, annotators) of at least 2, found shape {found.shape}")
    others = found.sum(axis=1, keepdims=True) - found
    return np.asarray(np.minimum(1, others / _ENOUGH).mean(axis=1), dtype=np.float64)


@dataclass(frozen=True)
class MeanPerType:
    """Accuracy with equal weight for each type of question.

    Attributes:
        by_type: Type -> mean accuracy of its questions.
        arithmetic: Mean over the types.
        harmonic: Harmonic mean over the types; about 0 where one type is never right.
    """

    by_type: dict[str, float]
    arithmetic: float
    harmonic: float


def mean_per_type(accuracies: ArrayLike, types: Sequence[str], answers: Sequence[str] | None = None) -> MeanPerType:
    """Means over question types.

    Args:
        accuracies: (questions,).
        types: Of each question.
        answers: The true answer of each question; given, each distinct one of a type weighs the same (the normalised figures).

    Raises:
        ValueError: There is no question, lengths differ, or an accuracy is not finite.
    """
    values = float_vector(accuracies, "accuracies")
    check_finite(values, "accuracies")
    if not values.size or len(types) != values.size or (answers is not None and len(answers) != values.size):
        raise ValueError(f"{values.size} accuracies need as many types and answers, and at least one")
    groups: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for place, (kind, value) in enumerate(zip(types, values.tolist(), strict=True)):
        groups[kind]["" if answers is None else answers[place]].append(value)
    by_type = {
        kind: float(np.mean([np.mean(part) for part in parts.values()])) for kind, parts in sorted(groups.items())
    }
    means = np.array(list(by_type.values()))
    return MeanPerType(by_type, float(means.mean()), float(len(means) / (1 / (means + _TINY)).sum()))


def bleu(prediction: Sequence[str], reference: Sequence[str], order: int) -> float:
    """BLEU of one answer: brevity penalty times the geometric mean of clipped precisions of 1 to ``order`` words in a row.

    Orders that exceed the reference's length are left out, so that a right answer of one word has 1.

    Args:
        prediction: Words of the answer.
        reference: Words of the true answer.
        order: Longest sequence of words, from 1.

    Raises:
        ValueError: The order is below 1.
    """
    if order < 1:
        raise ValueError(f"order must be at least 1, found {order}")
    if not prediction or not reference:
        return float(len(prediction) == len(reference))
    logarithms = []
    for length in range(1, min(order, len(reference)) + 1):
        given, true = _sequences(prediction, length), _sequences(reference, length)
        hits = sum((given & true).values())
        if not hits:
            return 0.0
        logarithms.append(math.log(hits / sum(given.values())))
    penalty = min(0.0, 1 - len(reference) / len(prediction))
    return math.exp(penalty + sum(logarithms) / len(logarithms))


def _sequences(words: Sequence[str], length: int) -> Counter[tuple[str, ...]]:
    return Counter(tuple(words[start : start + length]) for start in range(len(words) - length + 1))


def token_f1(prediction: Sequence[str], reference: Sequence[str]) -> float:
    """Harmonic mean of the share of the answer's words that are right and the share of the true ones that were found."""
    if not prediction or not reference:
        return float(len(prediction) == len(reference))
    hits = sum((Counter(prediction) & Counter(reference)).values())
    return 2 * hits / (len(prediction) + len(reference))


def weighted_mean(accuracies: FloatArray) -> Statistic:
    """The mean over questions as a statistic of how often each is in a resample."""

    def statistic(counts: IntArray) -> float:
        total = int(counts.sum())
        return float((counts * accuracies).sum() / total) if total else math.nan

    return statistic


def accuracy_estimate(accuracies: ArrayLike, images: Sequence[str], bootstrap: Bootstrap) -> Estimate:
    """Mean accuracy with its interval: images are resampled, and all questions about one come along.

    Args:
        accuracies: (questions,) from 0 to 1.
        images: The image, or whoever is in it, of each question.
        bootstrap: How the interval is made.

    Raises:
        ValueError: There is no question, lengths differ, or an accuracy is not finite.
    """
    values = float_vector(accuracies, "accuracies")
    check_finite(values, "accuracies")
    cohort = Cohort(np.zeros(values.size, np.bool_), list(images), stratified=False)
    found = bootstrap.estimate(weighted_mean(values), cohort)
    method = found.method.replace(f"{cohort.n_patients} patients, all drawn together", f"{cohort.n_patients} images")
    return replace(found, method=method)
