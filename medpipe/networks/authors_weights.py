"""State dicts of methods' authors, in the names of our networks."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from .mevf_weights import import_mevf_state_dict
from .mmq import MMQ
from .mmq_weights import import_mmq_state_dict
from .question_answerer import QuestionAnswerer
from .reference_weights import import_acm_state_dict

__all__ = ["import_authors_state_dict"]


def import_authors_state_dict(
    reference: Mapping[str, Tensor], network: nn.Module, *, label: int | None = None
) -> dict[str, Tensor]:
    """What the authors of a network's method published as its state dict.

    Args:
        reference: Their names to tensors.
        network: Ours, with the same options; it is not changed.
        label: Which class of a classifier of several to take; None for all.

    Raises:
        ValueError: Names are missing, unexpected or of another shape, or there are no classes to choose from.
    """
    if not isinstance(network, QuestionAnswerer):
        return import_acm_state_dict(reference, network, label=label)
    if label is not None:
        raise ValueError(
            "a label is one of the classes of an image, and this network answers questions; leave --label out"
        )
    if isinstance(network, MMQ):
        return import_mmq_state_dict(reference, network)
    return import_mevf_state_dict(reference, network)
