from __future__ import annotations

import multiprocessing
import threading

import numpy as np
import pytest
import torch
from monai.data import MetaTensor

from medpipe.batch.messages import receive, send


def through(value):
    here, there = multiprocessing.Pipe()
    thread = threading.Thread(target=send, args=(here, value))
    thread.start()
    result = receive(there)
    thread.join()
    return result


@pytest.mark.parametrize("value", [None, "ready", {"a": [1, 2.5, None]}, {"case": "x", "seconds": {"read": 0.1}}])
def test_plain_values_come_back(value) -> None:
    assert through(value) == value


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((0, 3), np.float32),
        np.arange(24, dtype=np.int16).reshape(2, 3, 4),
        np.asfortranarray(np.arange(12.0).reshape(3, 4)),
        np.arange(20)[::2],
        np.random.default_rng(0).random((200, 300, 40)),
    ],
    ids=["empty", "plain", "fortran", "strided", "19 MB"],
)
def test_arrays_and_tensors_come_back_and_can_be_written(array) -> None:
    got = through({"array": array, "tensor": torch.as_tensor(array.copy())})
    np.testing.assert_array_equal(got["array"], array)
    np.testing.assert_array_equal(got["tensor"].numpy(), array)
    assert got["array"].dtype == array.dtype
    got["array"][...] = 0
    got["tensor"] += 1


def test_a_meta_tensor_keeps_its_metadata() -> None:
    image = MetaTensor(torch.rand(1, 5, 6), meta={"affine": torch.eye(4) * 2, "spacing_mm": np.array([0.5, np.nan])})
    got = through({"image": image})["image"]
    assert isinstance(got, MetaTensor)
    assert torch.equal(got.as_tensor(), image.as_tensor())
    assert torch.equal(got.affine, image.affine)
    np.testing.assert_array_equal(got.meta["spacing_mm"], image.meta["spacing_mm"])


def test_an_end_in_the_middle_of_a_message_is_noticed() -> None:
    here, there = multiprocessing.Pipe()
    here.send([1000])
    here.close()
    with pytest.raises(EOFError):
        receive(there)
