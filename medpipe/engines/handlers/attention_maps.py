"""Attention maps of a network beside its predictions."""

from __future__ import annotations

from typing import Any

import torch
from ignite.engine import Engine
from monai.engines.utils import IterationEvents
from monai.utils import CommonKeys as Keys
from torch import nn

from medpipe.errors import RequestError

__all__ = ["AttentionMaps"]


class AttentionMaps:
    """Adds "attention" to the predictions of an evaluator that runs ``infer_cases``: the maps of the network's last module.

    The network runs a second time for them.

    Args:
        network: With ``attention_maps``, such as ``ContextLocalizer``.
        explain: Maps are made for ``attention`` alone.

    Raises:
        RequestError: The network has no attention maps to give.
    """

    def __init__(self, network: nn.Module, explain: str) -> None:
        self.network, self.wanted = network, explain == "attention"
        if self.wanted and not getattr(network, "has_attention_maps", False):
            raise RequestError(
                "explain=attention: this network has no attention maps; it needs context=acm, runtime=torch and a mode other than px"
            )

    def attach(self, engine: Engine) -> None:
        """After each forward pass, before the post-processing."""
        if self.wanted:
            engine.add_event_handler(IterationEvents.FORWARD_COMPLETED, self)

    def __call__(self, engine: Engine) -> None:
        """Add to each output a dictionary from "key" and "query" to (groups, rows, columns), on the CPU."""
        loaded: list[dict[str, Any]] = engine.state.batch  # type: ignore[assignment]
        outputs: list[dict[str, Any]] = engine.state.output  # type: ignore[assignment]
        if not outputs:
            return
        images = torch.stack([torch.as_tensor(case[Keys.IMAGE]) for case in loaded]).to(engine.state.device)  # type: ignore[attr-defined]
        found = self.network.attention_maps(images)  # type: ignore[operator]
        last = found[list(found)[-1]]
        for number, output in enumerate(outputs):
            output["attention"] = {name: maps[number].cpu() for name, maps in last.items()}
