"""Label maps by sliding windows, against MONAI's inferer and an argmax."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from monai.inferers import SlidingWindowInferer
from torch import nn

from medpipe.engines.inferers import SlidingWindowLabelInferer, label_windows


class Classes(nn.Module):
    """A convolution whose answer depends on where in the window a voxel lies, as real networks' do."""

    def __init__(self, classes: int, dimensions: int) -> None:
        super().__init__()
        torch.manual_seed(0)
        kind = nn.Conv3d if dimensions == 3 else nn.Conv2d
        self.layer = kind(1, classes, 3, padding=1)

    def forward(self, windows: torch.Tensor) -> torch.Tensor:
        return self.layer(windows)


@settings(max_examples=30, deadline=None)
@given(
    size=st.lists(st.integers(3, 21), min_size=2, max_size=3),
    roi=st.integers(4, 9),
    overlap=st.sampled_from([0.0, 0.25, 0.5, 0.7]),
    mode=st.sampled_from(["constant", "gaussian"]),
    batch=st.integers(1, 5),
)
def test_labels_are_those_of_monai_and_an_argmax(size, roi, overlap, mode, batch):
    network = Classes(5, len(size))
    images = torch.randn(2, 1, *size, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        scores = SlidingWindowInferer(roi, batch, overlap, mode)(images, network)
    labels = SlidingWindowLabelInferer(roi, batch, overlap, mode)(images, network)
    assert labels.shape == (2, 1, *size)
    assert labels.dtype == torch.uint8
    best, second = scores.topk(2, dim=1).values.unbind(1)
    clear = (best - second) > 1e-5  # sums in another order differ in their last digits
    assert clear.float().mean() > 0.99
    assert torch.equal(labels[:, 0][clear].long(), scores.argmax(1)[clear])


def test_half_precision_differs_in_near_ties_alone():
    network = Classes(7, 3)
    image = torch.randn(1, 1, 30, 26, 22, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        scores = SlidingWindowInferer(12, 2, 0.5, "gaussian")(image, network)
    labels = SlidingWindowLabelInferer(12, 2, 0.5, "gaussian", sums="float16")(image, network)
    best, second = scores.topk(2, dim=1).values.unbind(1)
    clear = (best - second) > 5e-3
    assert torch.equal(labels[:, 0][clear].long(), scores.argmax(1)[clear])


def test_more_than_256_classes_keep_their_numbers():
    def network(windows):
        return torch.nn.functional.one_hot((windows[:, 0] * 0 + 299).long(), 300).movedim(-1, 1).float()

    labels = SlidingWindowLabelInferer(4)(torch.rand(1, 1, 9, 9, 9), network)
    assert labels.dtype == torch.int16
    assert labels.unique().tolist() == [299]


def test_what_is_held_is_the_overlap_of_slabs_not_the_volume(monkeypatch):
    held: list[int] = []

    class Counted(label_windows._Blocks):
        def _room(self, part):
            room = super()._room(part)
            held.append(sum(t.numel() for t in [*self._sums.values(), room]))
            held.append(held[-1] + sum(t.numel() for free in self._free.values() for t in free))
            return room

    monkeypatch.setattr(label_windows, "_Blocks", Counted)
    SlidingWindowLabelInferer(8, 1, 0.25)(torch.rand(1, 1, 44, 44, 44), lambda x: torch.cat([x, -x], 1))
    # The next slab's overlap, the next row's and the next window's, of two classes; sums of the volume are 170,368.
    assert 0 < max(held) <= 2 * (2 * 44 * 44 + 8 * 2 * 44 + 8 * 8 * 2) * 1.1


def test_a_window_of_the_images_own_size():
    network = Classes(3, 3)
    image = torch.rand(1, 1, 6, 7, 8)
    labels = SlidingWindowLabelInferer(-1)(image, network)
    np.testing.assert_array_equal(labels[0, 0], network(image).argmax(1)[0])


@pytest.mark.parametrize("arguments", [{"overlap": 1.0}, {"sw_batch_size": 0}, {"sums": "int8"}, {"mode": "cosine"}])
def test_bad_arguments_are_refused(arguments):
    with pytest.raises(ValueError, match="must be|not a valid"):
        SlidingWindowLabelInferer(8, **arguments)


def test_a_network_with_one_class_or_another_size_is_refused():
    image = torch.rand(1, 1, 9, 9, 9)
    with pytest.raises(ValueError, match="at least two classes"):
        SlidingWindowLabelInferer(4)(image, lambda x: x)
    with pytest.raises(ValueError, match="4, 4, 4"):
        SlidingWindowLabelInferer(4)(image, lambda x: torch.cat([x, x], 1)[..., ::2])
