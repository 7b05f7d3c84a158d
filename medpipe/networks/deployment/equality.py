"""Whether an exported network gives the numbers of the one that it was made from."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from medpipe.errors import RequestError

from .signature import Signature, is_registration

__all__ = ["Difference", "Run", "differences", "refuse_unequal"]

Run = Callable[[Sequence[NDArray[Any]]], Sequence[NDArray[np.float32]]]
"""Runs an exported network: arrays in the order of the inputs to arrays in the order of the outputs."""


@dataclass(frozen=True)
class Difference:
    """How far apart two runs of one input are.

    Attributes:
        case: Which input.
        output: Which output.
        largest: Largest absolute difference; infinite where shapes differ or one alone is not finite.
        scale: Largest absolute value of the network's own output.
    """

    case: str
    output: str
    largest: float
    scale: float

    def within(self, tolerance: float) -> bool:
        """Whether it is at most ``tolerance``, times the scale where that is above 1."""
        return self.largest <= tolerance * max(1.0, self.scale)


def differences(
    network: nn.Module, run: Run, signature: Signature, cases: Mapping[str, Sequence[Tensor]]
) -> list[Difference]:
    """Run both on each case and compare each output.

    Args:
        network: In evaluation mode.
        run: The exported network.
        signature: Of both.
        cases: Inputs in order, (B, ...) float32 or int64, by the name of the case.
    """
    found = []
    for case, inputs in cases.items():
        expected = _outputs(network, inputs)
        given = run([np.ascontiguousarray(tensor.numpy()) for tensor in inputs])
        for name, ours, theirs in zip(signature.outputs, expected, given, strict=True):
            found.append(Difference(case, name, _apart(ours, theirs), float(np.abs(ours).max())))
    return found


def _outputs(network: nn.Module, inputs: Sequence[Tensor]) -> list[NDArray[np.float32]]:
    with torch.no_grad():
        if is_registration(network):
            found = network(*inputs, stages=False)
            return [found.warped.numpy(), found.field.numpy()]
        output = network(*inputs)
    return [item.numpy() for item in (output if isinstance(output, tuple | list) else [output])]


def _apart(ours: NDArray[np.float32], theirs: NDArray[np.float32]) -> float:
    if ours.shape != np.shape(theirs) or not (np.isfinite(ours).all() and np.isfinite(theirs).all()):
        return float("inf")
    return float(np.abs(ours - theirs).max())


def refuse_unequal(found: Sequence[Difference], tolerance: float) -> None:
    """Refuse an exported network that is not the same.

    Raises:
        RequestError: A difference is above the tolerance; the message says which.
    """
    wrong = [item for item in found if not item.within(tolerance)]
    if wrong:
        words = "; ".join(
            f"{item.output} on {item.case} by {item.largest:.3g} where the largest value is {item.scale:.3g}"
            for item in wrong[:4]
        )
        raise RequestError(
            f"the exported network is another: it differs in {words}, more than the tolerance of {tolerance:g}; "
            "no file is left"
        )
