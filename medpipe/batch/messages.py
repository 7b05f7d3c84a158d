"""Objects between two processes of ours, over one connection, their arrays sent as they lie in memory.

Pickling protocol 5 leaves the arrays out of the message; they follow it, and are read into the memory where they stay.
Both ends are the same program: nothing that comes from outside is ever unpickled.
"""

from __future__ import annotations

import io
import os
import pickle
from multiprocessing.connection import Connection
from typing import Any

import numpy.typing as npt

__all__ = ["receive", "send"]


class _Pickler(pickle.Pickler):
    """Tensors as arrays: torch's own way writes their bytes into the message."""

    def reducer_override(self, value: Any) -> Any:
        kind = f"{type(value).__module__}.{type(value).__qualname__}"
        if kind == "monai.data.meta_tensor.MetaTensor" and value.device.type == "cpu":
            array = value.detach().as_tensor().numpy()
            return _meta_tensor, (array, value.meta, value.applied_operations)
        if kind == "torch.Tensor" and value.device.type == "cpu" and not value.is_sparse:
            return _tensor, (value.detach().numpy(),)
        return NotImplemented


def _tensor(array: npt.NDArray[Any]) -> Any:
    import torch

    return torch.from_numpy(array)


def _meta_tensor(array: npt.NDArray[Any], meta: dict[str, Any], operations: list[Any]) -> Any:
    import torch
    from monai.data import MetaTensor

    return MetaTensor(torch.from_numpy(array), meta=meta, applied_operations=operations)


def send(connection: Connection, value: Any) -> None:
    """Send one object.

    Raises:
        OSError: The other end is gone.
    """
    arrays: list[memoryview] = []
    message = io.BytesIO()
    _Pickler(message, protocol=5, buffer_callback=lambda buffer: arrays.append(buffer.raw())).dump(value)
    connection.send([array.nbytes for array in arrays])
    connection.send_bytes(message.getbuffer())
    for array in arrays:
        while array.nbytes:
            array = array[os.write(connection.fileno(), array) :]


def receive(connection: Connection) -> Any:
    """Wait for one object.

    Raises:
        EOFError: The other end is gone, perhaps in the middle of it.
        OSError: The same.
    """
    arrays = [bytearray(size) for size in connection.recv()]
    message = connection.recv_bytes()
    for array in arrays:
        rest = memoryview(array)
        while rest:
            count = os.readv(connection.fileno(), [rest])
            if not count:
                raise EOFError
            rest = rest[count:]
    return pickle.loads(message, buffers=arrays)  # noqa: S301 - written by our own process
