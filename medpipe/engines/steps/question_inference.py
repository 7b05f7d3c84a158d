"""The iteration of a run of questions: the answer to each one that has its image, the others passed on."""

from __future__ import annotations

from typing import Any

import torch
from monai.engines import Evaluator

from medpipe.engines.steps.one_by_one import infer_one_by_one
from medpipe.engines.vqa_batches import IMAGES
from medpipe.errors import CaseFailedError

__all__ = ["answer_questions", "question_inputs"]


def answer_questions(engine: Evaluator, batch: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Run the engine's network on the pending questions of ``batch``, and its post-processing.

    Afterwards ``engine.state.batch`` lists those cases and ``engine.state.output`` their predictions;
    ``engine.state.unread`` lists the cases without one. A question that raises fails alone.

    Args:
        engine: A MONAI evaluator made with ``decollate=False``, whose network takes questions and images of two sizes.
        batch: Cases as ``CaseDataset`` gives them, with "tokens", and "small" and "large" as far as the network takes them.

    Returns:
        One dictionary with "pred", logits (candidates,), per pending case.

    Raises:
        torch.AcceleratorError: The device is in a state that every later case would fail in.
    """
    return infer_one_by_one(engine, batch, _logits)


def question_inputs(case: dict[str, Any], device: str | torch.device) -> list[torch.Tensor | None]:
    """Tokens and both images of a case as a batch of one; None for an image that it has not."""
    return [torch.as_tensor(case[name])[None].to(device) if name in case else None for name in ("tokens", *IMAGES)]


def _logits(engine: Evaluator, case: dict[str, Any]) -> torch.Tensor:
    with engine.mode(engine.network):
        logits: torch.Tensor = engine.network(*question_inputs(case, engine.state.device))[0].float().cpu()
    if not torch.isfinite(logits).all():
        raise CaseFailedError("the network gave a score that is not finite")
    return logits
