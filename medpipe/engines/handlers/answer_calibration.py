"""After a training: how often the answers to questions about other images are right, given their logits."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import ignite.distributed as idist
import numpy as np
import torch
from ignite.engine import Engine, Events
from monai.data import DataLoader
from torch import nn

from medpipe.engines.vqa_batches import vqa_batch
from medpipe.metrics.calibration import calibration
from medpipe.metrics.intervals import Bootstrap, Estimate
from medpipe.metrics.logistic_calibration import cross_fitted, fit_logistic
from medpipe.predictions.answer_calibration import AnswerCalibration, question_digest, write_calibration

__all__ = ["AnswerCalibrator"]

_LEAST = 20
"""Questions below which a curve says nothing."""

_RESAMPLES = 1000

_RIGHT = 0.5
"""Score from which an answer counts as right; with one annotator it is 0 or 1."""

_log = logging.getLogger(__name__)


class AnswerCalibrator:
    """Writes calibration.json beside model.pt, from the questions of a section whose images are not in training.

    Nothing is written where there are fewer than 20 such questions, or about one image alone. An answer is wrong, too, where
    the true one is no candidate. With several processes the first one does it.

    Args:
        folder: Of the training, with the weights that ``network`` has in the end.
        network: In training.
        dataset: Of the section, preprocessed, with targets.
        entries: Of the section, in the same order.
        training: Of the training.
        batch_size: Questions at a time.
        section: Its name.
        seed: Of the division into folds, and of the resamples.
    """

    def __init__(
        self,
        folder: str | Path,
        network: nn.Module,
        dataset: Any,
        entries: Sequence[dict[str, Any]],
        training: Sequence[dict[str, Any]],
        *,
        batch_size: int = 32,
        section: str = "validation",
        seed: int = 0,
    ) -> None:
        self.weights, self.network, self.dataset = Path(folder) / "model.pt", network, dataset
        self.batch_size, self.section, self.seed = batch_size, section, seed
        known = {entry[key] for entry in training for key in ("patient", "image")}
        self.places = [place for place, entry in enumerate(entries) if not known & {entry["patient"], entry["image"]}]
        self.images = [entries[place]["patient"] for place in self.places]
        self.digests = [question_digest(entries[place]["case"], entries[place]["question"]) for place in self.places]
        self.listed = len(entries)

    def attach(self, engine: Engine) -> None:
        """At the end of a training."""
        engine.add_event_handler(Events.COMPLETED, self)

    def __call__(self, engine: Engine) -> None:
        """Fit and write, in the first process alone."""
        if idist.get_rank() or not self.listed:
            return
        if len(self.places) < _LEAST or len(set(self.images)) < 2:
            _log.warning(
                "answers are not calibrated: %s has %d questions about images that are not in training; give %d or more",
                self.section,
                len(self.places),
                _LEAST,
            )
            return
        cases = [self.dataset[place] for place in self.places]
        logits, right = _answers(self.network, cases, self.batch_size)
        bootstrap = Bootstrap(n_resamples=_RESAMPLES, seed=self.seed)
        own = 0.5 * (1 + np.tanh(logits / 2))
        fitted = cross_fitted(logits, right, self.images, seed=self.seed)
        write_calibration(
            self.weights,
            AnswerCalibration(*fit_logistic(logits, right), len(cases), len(set(self.images))),
            section=self.section,
            accuracy=float(right.mean()),
            fitted=self.digests,
            before=_figures(own, right, self.images, bootstrap),
            after=_figures(fitted, right, self.images, bootstrap),
        )


@torch.no_grad()
def _answers(
    network: nn.Module, cases: list[Any], batch_size: int
) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """The logit of the answer to each question, and whether it is right."""
    device, was_training = next(network.parameters()).device, network.training
    network.eval()
    found, right = [], []
    for batch in DataLoader(cases, batch_size=batch_size):
        inputs, targets = vqa_batch(batch, device)
        best = network(*inputs).float().max(dim=1)
        found += best.values.tolist()
        right += (targets.gather(1, best.indices[:, None])[:, 0] >= _RIGHT).tolist()
    network.train(was_training)
    return np.array(found), np.array(right)


def _figures(probabilities: Any, right: Any, images: list[str], bootstrap: Bootstrap) -> dict[str, dict[str, float]]:
    found = calibration(probabilities, right, patients=images, bootstrap=bootstrap)
    return {"brier": _entry(found.brier), "ece": _entry(found.ece)}


def _entry(estimate: Estimate) -> dict[str, float]:
    return {"value": estimate.value, "low": estimate.low, "high": estimate.high}
