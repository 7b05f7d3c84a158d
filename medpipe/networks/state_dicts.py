"""Comparing and reading weights files before they are loaded, so that nothing is left out silently."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from torch import Tensor

__all__ = ["check_flat", "check_state_dict", "read_state_dict"]

_LISTED = 20


def read_state_dict(path: str | Path) -> dict[str, Tensor]:
    """Read a state dict from a ``.safetensors`` file or a file of ``torch.save``.

    Of a checkpoint with several parts, the part named ``state_dict`` or ``model_state`` is taken. Only tensors and plain
    containers are unpickled (``weights_only=True``).

    Args:
        path: The weights file.

    Returns:
        Parameter names to tensors on the CPU.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: The file holds something else than one mapping of names to tensors.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no weights file at {path}")
    if path.suffix == ".safetensors":
        from safetensors.torch import load_file

        return load_file(str(path))
    try:
        content: Any = torch.load(path, map_location="cpu", weights_only=True)
    except UnpicklingError as error:  # whose message tells how to run what a file says
        raise ValueError(f"{path}: is no file of torch.save that holds tensors alone; nothing else is read") from error
    for part in ("state_dict", "model_state"):
        if isinstance(content, Mapping) and isinstance(content.get(part), Mapping):
            content = content[part]
    check_flat(content, str(path))
    return dict(content)


def check_flat(content: Any, source: str) -> None:
    """Refuse anything but a mapping of names to tensors, naming what a nested checkpoint holds.

    Args:
        content: What was read or handed in.
        source: Where it comes from, for the message.

    Raises:
        ValueError: It is no mapping, or some values are no tensors.
    """
    if not isinstance(content, Mapping):
        kind = type(content).__name__
        raise ValueError(f"{source}: expected a state dict (names to tensors), found {kind}")
    others = [str(key) for key, value in content.items() if not isinstance(value, Tensor)]
    if others:
        raise ValueError(
            f"{source}: expected a state dict (names to tensors), but these entries are no tensors: "
            f"{_listing(others)}. Of a checkpoint with several parts, hand over the part with the weights."
        )


def check_state_dict(
    found: Mapping[str, Tensor],
    expected: Mapping[str, Tensor],
    *,
    source: str,
    may_lack: Collection[str] = (),
) -> None:
    """Refuse a state dict that does not have exactly the expected names and shapes.

    Args:
        found: The state dict at hand, already in the names of the network.
        expected: The network's own state dict.
        source: Where ``found`` comes from, for the message.
        may_lack: Names that ``found`` need not have.

    Raises:
        ValueError: Names are missing, unexpected, or have another shape; the message lists them.
    """
    missing = [name for name in expected if name not in found and name not in may_lack]
    unexpected = [name for name in found if name not in expected]
    shapes = [
        f"{name} (found {tuple(found[name].shape)}, expected {tuple(tensor.shape)})"
        for name, tensor in expected.items()
        if name in found and found[name].shape != tensor.shape
    ]
    parts = {"missing": missing, "unexpected": unexpected, "of another shape": shapes}
    problems = [f"{len(names)} {what}: {_listing(names)}" for what, names in parts.items() if names]
    if problems:
        raise ValueError(f"{source} does not fit the network; " + "; ".join(problems))


def _listing(names: list[str]) -> str:
    more = len(names) - _LISTED
    return ", ".join(names[:_LISTED]) + (f" and {more} more" if more > 0 else "")
