"""A network as one graph of tensor operations, by ``torch.export``."""

from __future__ import annotations

import copy
import warnings
from itertools import product

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram

from ..blocks.cascade import Cascade
from ..blocks.subpixel import SubpixelUp3d, optimize_for_inference
from .signature import Signature, is_registration

__all__ = ["capture", "without_volume_sampler"]


class _PlainRegistration(nn.Module):
    """(fixed, moving) to (warped, field), nothing else."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, fixed: Tensor, moving: Tensor) -> tuple[Tensor, Tensor]:
        found = self.network(fixed, moving, stages=False)
        return found.warped, found.field


class _InterleavedPhases(nn.Module):
    """``SubpixelUp3d`` without writing in place, which runtimes turn into slow scatters."""

    def __init__(self, source: SubpixelUp3d) -> None:
        super().__init__()
        self.weight, self.out_channels = source.weight, source.out_channels

    def forward(self, features: Tensor) -> Tensor:
        batch, channels, (x, y, z) = features.shape[0], self.out_channels, features.shape[2:]
        phases = nn.functional.conv3d(features, self.weight, padding=1)
        parts = [
            phases[:, k * channels : (k + 1) * channels, i : i + x, j : j + y, m : m + z]
            for k, (i, j, m) in enumerate(product((0, 1), repeat=3))
        ]
        fine = torch.stack(parts, dim=2).reshape(batch, channels, 2, 2, 2, x, y, z)
        return fine.permute(0, 1, 5, 2, 6, 3, 7, 4).reshape(batch, channels, 2 * x, 2 * y, 2 * z)


def capture(network: nn.Module, signature: Signature) -> ExportedProgram:
    """The graph of a network in evaluation mode, weights included; the network is not changed.

    Registration networks take the form that runs faster on a CPU (see ``optimize_for_inference``), but without its own
    compiled passes.

    Args:
        network: On the CPU, float32.
        signature: Its inputs and outputs.
    """
    registers = is_registration(network)
    plain: nn.Module = _PlainRegistration(_unfused(network)) if registers else copy.deepcopy(network).eval()
    plain = plain.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    # A batch of 1 would be taken for a constant.
    example = tuple(signature.random_inputs(2 if signature.dynamic_batch else 1, seed=0))
    shapes = tuple({0: Dim("batch", min=1)} for _ in example) if signature.dynamic_batch else None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        # Cascades ask for a tensor's exact type, which only the strict way of tracing keeps.
        program = torch.export.export(plain.requires_grad_(False), example, dynamic_shapes=shapes, strict=registers)
    for node in program.graph.nodes:
        node.meta.pop("stack_trace", None)  # it names folders of this machine
    return program


def _unfused(network: nn.Module) -> nn.Module:
    fast = optimize_for_inference(network)
    for module in list(fast.modules()):
        if isinstance(module, Cascade):
            module.fused = False
        for name, child in module.named_children():
            if isinstance(child, SubpixelUp3d):
                setattr(module, name, _InterleavedPhases(child))
    return fast


def without_volume_sampler(program: ExportedProgram) -> ExportedProgram:
    """The program with sampling of volumes written as fetches by index, for runtimes that sample pictures alone."""
    return program.run_decompositions({torch.ops.aten.grid_sampler.default: _sampled})


def _sampled(image: Tensor, grid: Tensor, mode: int, padding: int, align_corners: bool) -> Tensor:
    """``grid_sample`` of a volume: (B, C, X, Y, Z) at (B, X', Y', Z', 3), linear, borders continued, half-pixel."""
    if image.ndim != 5 or (mode, padding, align_corners) != (0, 1, False):
        return NotImplemented
    batch, channels, *sizes = image.shape
    low, part = [], []
    for axis, size in enumerate(sizes):
        position = (((grid[..., 2 - axis] + 1) * size - 1) / 2).clamp(0, size - 1)
        below = position.floor().clamp(max=max(size - 2, 0))
        low.append(below.to(torch.int32))
        part.append((position - below).reshape(-1, 1))
    steps = (sizes[1] * sizes[2], sizes[2], 1)
    item = torch.arange(batch, dtype=torch.int32).view(-1, 1, 1, 1) * (sizes[0] * steps[0])
    corner = (item + low[0] * steps[0] + low[1] * steps[1] + low[2]).reshape(-1)
    voxels = image.permute(0, 2, 3, 4, 1).reshape(-1, channels)

    def along(axis: int, start: Tensor) -> Tensor:
        if axis == 3:
            return torch.index_select(voxels, 0, start)
        here = along(axis + 1, start)
        return here if sizes[axis] == 1 else here + (along(axis + 1, start + steps[axis]) - here) * part[axis]

    return along(0, corner).reshape(batch, *grid.shape[1:4], channels).permute(0, 4, 1, 2, 3)
