"""Sliding windows to a label map, without ever holding all classes of the whole volume.

MONAI's ``SlidingWindowInferer`` sums the windows' outputs in one buffer: 22.5 GB for 100 classes of 384^3 voxels, of which
a label map then keeps 57 MB. Here the volume is cut where windows begin and end; each block's sums are made when the first
window touches it and become labels, and go, with the last one.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise, product
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from monai.data.utils import compute_importance_map, dense_patch_slices
from monai.inferers import Inferer
from monai.utils import BlendMode, ensure_tuple_rep, fall_back_tuple
from torch import Tensor

__all__ = ["SlidingWindowLabelInferer"]

_SUM_TYPES = {"float32": torch.float32, "float16": torch.float16}


class SlidingWindowLabelInferer(Inferer):
    """The class with the largest (weighted) sum of the windows' outputs, voxel by voxel.

    The labels are those of ``monai.inferers.SlidingWindowInferer`` with the same arguments (one overlap for all axes), followed
    by an argmax over classes: dividing by the sum of weights, as it does, changes no maximum. Images smaller than a window are padded with
    zeros on both sides.

    Args:
        roi_size: Size of a window, one number or one for each axis; -1 takes the image's.
        sw_batch_size: Windows that the network sees at a time.
        overlap: Part of a window that it shares with the next, in [0, 1).
        mode: ``constant``: all voxels of a window count alike; ``gaussian``: its centre counts most.
        sigma_scale: Standard deviation of the Gaussian, in parts of the window.
        sums: Type of the sums. ``float16`` needs half the memory, may decide near ties otherwise, and holds sums up to 65,504.

    Raises:
        ValueError: A number is out of range, or a name is unknown.
    """

    def __init__(
        self,
        roi_size: int | Sequence[int],
        sw_batch_size: int = 1,
        overlap: float = 0.25,
        mode: str = "constant",
        *,
        sigma_scale: float = 0.125,
        sums: str = "float32",
    ) -> None:
        super().__init__()
        if not 0 <= overlap < 1 or sw_batch_size < 1 or sigma_scale <= 0:
            raise ValueError(
                "overlap must be in [0, 1), sw_batch_size at least 1 and sigma_scale positive; got "
                f"{overlap}, {sw_batch_size} and {sigma_scale}"
            )
        if sums not in _SUM_TYPES:
            raise ValueError(f"sums must be one of {', '.join(_SUM_TYPES)}, found '{sums}'")
        self.roi_size, self.sw_batch_size, self.overlap = roi_size, sw_batch_size, overlap
        self.mode, self.sigma_scale, self.sums = BlendMode(mode), sigma_scale, _SUM_TYPES[sums]

    @torch.no_grad()
    def __call__(self, inputs: Tensor, network: Callable[..., Tensor], *args: Any, **kwargs: Any) -> Tensor:
        """Label maps of a batch.

        Args:
            inputs: (B, C, X, Y[, Z]).
            network: Windows (b, C, x, y[, z]) to class scores (b, classes, x, y[, z]), at least two classes.
            *args: Given to the network after the windows.
            **kwargs: The same.

        Returns:
            (B, 1, X, Y[, Z]), uint8 up to 256 classes, else int16.

        Raises:
            ValueError: The network's answer has another size, or a single class.
        """
        plain = inputs.as_tensor() if hasattr(inputs, "as_tensor") else inputs
        return torch.stack([self._labels(image, lambda x: network(x, *args, **kwargs)) for image in plain])

    def _labels(self, image: Tensor, network: Callable[[Tensor], Tensor]) -> Tensor:
        size = image.shape[1:]
        window = fall_back_tuple(ensure_tuple_rep(self.roi_size, len(size)), size)
        before = [max(w - n, 0) // 2 for w, n in zip(window, size, strict=True)]
        pads = [(b, max(w - n, 0) - b) for b, w, n in zip(before, window, size, strict=True)]
        padded = F.pad(image, [edge for pair in reversed(pads) for edge in pair]) if any(map(any, pads)) else image
        steps = [max(1, int(w * (1 - self.overlap))) for w in window]
        places = dense_patch_slices(padded.shape[1:], window, steps)
        weights = compute_importance_map(window, mode=self.mode, sigma_scale=self.sigma_scale, device=image.device)
        blocks = _Blocks(padded.shape[1:], places, self.sums, None if self.mode is BlendMode.CONSTANT else weights)
        for first in range(0, len(places), self.sw_batch_size):
            group = places[first : first + self.sw_batch_size]
            scores = network(torch.stack([padded[(slice(None), *place)] for place in group]))
            if scores.shape[2:] != torch.Size(window) or scores.shape[1] < 2:
                raise ValueError(
                    f"expected scores of at least two classes on {tuple(window)} voxels from the network, found "
                    f"{tuple(scores.shape[1:])}"
                )
            for index, place in enumerate(group):
                blocks.add(place, scores[index])
            del scores  # or the next windows' scores would lie beside them
        kept = tuple(slice(b, b + n) for b, n in zip(before, size, strict=True))
        return blocks.labels[(slice(None), *kept)]


Place = tuple[slice, ...]


class _Blocks:
    """Boxes between all places where windows begin or end: each lies wholly inside or outside of every window."""

    def __init__(self, size: Sequence[int], places: Sequence[Place], sums: torch.dtype, weights: Tensor | None) -> None:
        self._type, self._weights = sums, weights
        self._edges = [np.unique([(p[a].start, p[a].stop) for p in places]) for a in range(len(size))]
        windows = [{(p[a].start, p[a].stop) for p in places} for a in range(len(size))]
        covers = [
            [sum(start <= edge < stop for start, stop in along) for edge in edges[:-1]]
            for edges, along in zip(self._edges, windows, strict=True)
        ]
        self._left = _outer(covers)
        self._sums: dict[tuple[int, ...], Tensor] = {}
        self._free: dict[int, list[Tensor]] = defaultdict(list)
        self._size = tuple(size)
        self.labels = torch.empty(0)

    def add(self, place: Place, scores: Tensor) -> None:
        """Count one window's scores (classes, *window)."""
        if not self.labels.numel():
            kind = torch.uint8 if len(scores) <= 256 else torch.int16
            self.labels = torch.zeros((1, *self._size), dtype=kind, device=scores.device)
        for block, where in self._inside(place):
            local = tuple(slice(w.start - p.start, w.stop - p.start) for w, p in zip(where, place, strict=True))
            part, weight = scores[(slice(None), *local)], None if self._weights is None else self._weights[local]
            self._left[block] -= 1
            part = part if weight is None else part * weight
            so_far = self._sums.pop(block, None)
            if not self._left[block]:
                total = part if so_far is None else part + so_far
                self.labels[0][where] = total.max(dim=0).indices.to(self.labels.dtype)
                if so_far is not None:
                    self._free[so_far.numel()].append(so_far.view(-1))
            elif so_far is None:
                self._sums[block] = self._room(part).copy_(part)
            else:
                self._sums[block] = so_far.add_(part)

    def _room(self, part: Tensor) -> Tensor:
        """Memory of an earlier block, as blocks are of few sizes: allocating each anew leaves holes that add up."""
        free = self._free[part.numel()]
        return free.pop().view(part.shape) if free else torch.empty(part.shape, dtype=self._type, device=part.device)

    def _inside(self, place: Place) -> Iterator[tuple[tuple[int, ...], Place]]:
        spans = []
        for edges, along in zip(self._edges, place, strict=True):
            first, last = np.searchsorted(edges, (along.start, along.stop))
            inner = [slice(int(a), int(b)) for a, b in pairwise(edges[first : last + 1])]
            spans.append(list(enumerate(inner, int(first))))
        for combination in product(*spans):
            indices, parts = zip(*combination, strict=True)
            yield indices, parts


def _outer(counts: Sequence[Sequence[int]]) -> np.ndarray[Any, np.dtype[np.int64]]:
    """How many windows cover each block, from how many do along each axis."""
    total = np.ones((), dtype=np.int64)
    for along in counts:
        total = np.multiply.outer(total, np.asarray(along, dtype=np.int64))
    return total
