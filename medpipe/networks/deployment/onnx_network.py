"""A network that runs in ONNX Runtime, with the call of the torch network that it was exported from."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
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
    """An exported network of one input and one output.

    Where it is handed to another process, that one opens a session of its own.

    Args:
        path: File that ``medpipe export`` wrote.
        threads: Threads that one operation may take.

    Attributes:
        facts: What the file says of itself.
        sha256: Of the file.
        shape: Shape of the input; None or a name where it may be any.

    Raises:
        RequestError: The file is missing, damaged, or of a network with more inputs; or ONNX Runtime is not installed.

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
        inputs = self._session.get_inputs()
        if len(inputs) != 1:
            raise RequestError(f"'{path}' takes {len(inputs)} inputs; expected a network of one image")
        self.shape: Sequence[int | str | None] = inputs[0].shape
        self.facts = dict(self._session.get_modelmeta().custom_metadata_map)

    def forward(self, images: Tensor) -> Tensor:
        """The first output for a batch (B, ...), on the CPU."""
        if self._session is None:
            self._session = onnx_session(self._content, self.threads)
        name = self._session.get_inputs()[0].name
        plain = images.detach().cpu().float().contiguous().numpy()
        return torch.from_numpy(self._session.run(None, {name: plain})[0])

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_session": None}
