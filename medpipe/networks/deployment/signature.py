"""Names and shapes of what a network takes and gives, from a bundle's metadata."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from medpipe.errors import RequestError

from ..blocks.cascade import Cascade
from ..blocks.coarse import CoarseRegistration

__all__ = ["Signature", "is_registration", "signature_of"]


@dataclass(frozen=True)
class Signature:
    """What a network takes and gives.

    Attributes:
        inputs: Shape without the batch of each input, by name, in the order of the call.
        whole: Inputs of whole numbers, such as those of words: how many there are, counted from 0.
        outputs: Names, in order.
        dynamic_batch: Whether the batch is of any size; else it is 1.
    """

    inputs: dict[str, tuple[int, ...]]
    outputs: tuple[str, ...]
    dynamic_batch: bool
    whole: Mapping[str, int] = field(default_factory=dict)

    def random_inputs(self, batch: int, seed: int) -> list[Tensor]:
        """Uniform noise in [0, 1) or whole numbers, a tensor (batch, *shape) for each input."""
        generator = torch.Generator().manual_seed(seed)
        return [
            torch.randint(self.whole[name], (batch, *shape), generator=generator)
            if name in self.whole
            else torch.rand(batch, *shape, generator=generator)
            for name, shape in self.inputs.items()
        ]


def is_registration(network: nn.Module) -> bool:
    """Whether a network maps (fixed, moving) to a ``Registration``."""
    return isinstance(network, Cascade | CoarseRegistration)


def signature_of(
    network: nn.Module,
    data_format: Mapping[str, Any],
    image_size: int | Sequence[int] | Mapping[str, int | Sequence[int]] | None = None,
) -> Signature:
    """The signature of a network.

    Args:
        network: A registration network takes "fixed" and "moving" and gives "warped" and "field", one pair at a
            time; others have the names of the metadata, and any batch. Whole numbers are those of a network's first
            table of vectors.
        data_format: ``network_data_format`` of metadata.json.
        image_size: Size that the network is built for, where it is not the metadata's, or channels and size; of several images
            by name.

    Raises:
        RequestError: The metadata do not say what is needed, or an input holds whole numbers and the network has no table.
    """
    try:
        sizes = image_size if isinstance(image_size, Mapping) else dict.fromkeys(data_format["inputs"], image_size)
        inputs = {str(name): _shape(facts, sizes.get(name)) for name, facts in data_format["inputs"].items()}
        outputs = tuple(map(str, data_format["outputs"]))
        first = next(iter(inputs.values()))
    except (AttributeError, KeyError, StopIteration, TypeError, ValueError) as error:
        raise RequestError(
            "metadata.json names no usable inputs and outputs: network_data_format must give num_channels and "
            f"spatial_shape, whole numbers, of each input ({type(error).__name__}: {error})"
        ) from error
    numbers = [name for name, facts in data_format["inputs"].items() if str(facts.get("dtype", "")).startswith("int")]
    tables = [module.num_embeddings for module in network.modules() if isinstance(module, nn.Embedding)]
    if numbers and not tables:
        raise RequestError(
            f"the network takes whole numbers ('{numbers[0]}'), and has no table that says which; use torch"
        )
    if is_registration(network):
        size = (1, *first[1:])
        return Signature({"fixed": size, "moving": size}, ("warped", "field"), dynamic_batch=False)
    return Signature(inputs, outputs, dynamic_batch=True, whole=dict.fromkeys(numbers, tables[0] if tables else 0))


def _shape(facts: Mapping[str, Any], image_size: int | Sequence[int] | None) -> tuple[int, ...]:
    shape = facts["spatial_shape"]
    if isinstance(image_size, int):
        shape = [image_size] * len(shape)
    elif image_size is not None and len(image_size) > len(shape):
        return tuple(int(size) for size in image_size)
    elif image_size is not None:
        shape = image_size
    return (int(facts["num_channels"]), *(int(size) for size in shape))
