"""What a network attended to, beside its answers."""

from __future__ import annotations

from typing import Any

import torch
from ignite.engine import Engine
from monai.engines.utils import IterationEvents
from torch import nn

from medpipe.engines.steps.question_inference import question_inputs
from medpipe.errors import RequestError

__all__ = ["EXPLANATIONS", "QuestionAttention"]

EXPLANATIONS = ("attention", "none")


class QuestionAttention:
    """Adds "attention" to the predictions of an evaluator that runs ``answer_questions``: the shares of regions and words.

    The network runs a second time for them. Where it has nothing to choose from, nothing is added.

    Args:
        network: With ``shares``, such as ``MEVF``.
        explain: ``attention``, or ``none`` to leave it out.

    Raises:
        RequestError: The kind is unknown, or the network does not say what it attends to.
    """

    def __init__(self, network: nn.Module, explain: str = "attention") -> None:
        if explain not in EXPLANATIONS:
            raise RequestError(f"explain must be one of {', '.join(EXPLANATIONS)}, found '{explain}'")
        self.network, self.wanted = network, explain == "attention"
        if self.wanted and not hasattr(network, "shares"):
            raise RequestError(
                "explain=attention: this network does not say what it attends to; it needs runtime=torch, or give explain=none"
            )

    def attach(self, engine: Engine) -> None:
        """After each forward pass, before the post-processing."""
        if self.wanted:
            engine.add_event_handler(IterationEvents.FORWARD_COMPLETED, self)

    def __call__(self, engine: Engine) -> None:
        """Add to each output the shares, (glimpses, places, words) or (hops, places), on the CPU."""
        cases: list[dict[str, Any]] = engine.state.batch  # type: ignore[assignment]
        outputs: list[dict[str, Any]] = engine.state.output  # type: ignore[assignment]
        device: torch.device = engine.state.device  # type: ignore[attr-defined]
        self.network.eval()
        for case, output in zip(cases, outputs, strict=True):
            shares: torch.Tensor | None = self.network.shares(*question_inputs(case, device))  # type: ignore[operator]
            if shares is not None:
                output["attention"] = shares[0].float().cpu()
