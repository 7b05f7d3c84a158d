"""A network that runs in ONNX Runtime, with the call of the torch network that it was exported from."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from medpipe.errors import RequestError

from .packages import require_packages

__all__ = ["OnnxNetwork", "onnx_session"]


def onnx_session(content: bytes, threads: int) -> Any:
    """A session of ONNX Runtime on the CPU.

    Raises:
        RequestError: ONNX Runtime is not installed, or does not take the content.
    """
    require_packages(["onnxruntime"], "onnx")
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.log_severity_level = 3
    # Idle threads that spin keep the cores from the processes that decode.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime has kinds of its own
        raise RequestError(f"ONNX Runtime does not take the file: {str(error).splitlines()[0][:200]}") from error


class OnnxNetwork(nn.Module):
    """An exported network, of which the first output is given.

    Where it is handed to another process, that one opens a session of its own.

    Args:
        path: File that ``medpipe export`` wrote.
        threads: Threads that one operation may take.

    Attributes:
        facts: What the file says of itself.
        sha256: Of the file.
        inputs: Shape of each input by name, in the order of the call; None or a name where a length may be any.

    Raises:
        RequestError: The file is missing or damaged, or ONNX Runtime is not installed.

    Shape:
        As of the network that was exported.
    """

    def __init__(self, path: str | Path, threads: int = 1) -> None:
        super().__init__()
        try:
            self._content = Path(path).read_bytes()
        except OSError as error:
            raise RequestError(
                f"exported network '{path}' cannot be read ({error.strerror}); write it with 'medpipe export BUNDLE -o FILE'"
            ) from error
        self.threads = threads
        self.sha256 = hashlib.sha256(self._content).hexdigest()
        self._session: Any = onnx_session(self._content, threads)
        self.inputs: dict[str, Sequence[int | str | None]] = {
            value.name: value.shape for value in self._session.get_inputs()
        }
        self.facts = dict(self._session.get_modelmeta().custom_metadata_map)

    def forward(self, first: Tensor, *others: Tensor | None) -> Tensor:
        """The first output for a batch (B, ...), on the CPU.

        Args:
            first: The first input.
            others: The further ones; None for one that the network does not look at.
        """
        if self._session is None:
            self._session = onnx_session(self._content, self.threads)
        given = {
            name: torch.zeros(len(first), *shape[1:]) if value is None else value  # type: ignore[arg-type]
            for (name, shape), value in zip(self.inputs.items(), (first, *others), strict=True)
        }
        return torch.from_numpy(self._session.run(None, {name: _plain(value) for name, value in given.items()})[0])

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_session": None}


def _plain(value: Tensor) -> NDArray[Any]:
    """Whole numbers as int64, others as float32."""
    kind = torch.float32 if value.is_floating_point() else torch.int64
    return value.detach().to("cpu", kind).contiguous().numpy()  # type: ignore[no-any-return]
