"""Recursive cascades: networks that register in turn, and the one field that their warps amount to.

Paper: S Zhao, Y Dong, E Chang, Y Xu, "Recursive Cascaded Networks for Unsupervised Medical Image Registration",
ICCV 2019, https://arxiv.org/abs/1907.12353. Every stage sees the fixed image and the moving image warped so far; the
original moving image is always warped once, by the aggregate field, so that nothing is interpolated twice.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from .displacement import affine_field, compose_affine, resample_field
from .fused_gradients import differentiable_compose, differentiable_warp
from .fused_warp import compose_and_warp, place_affine_and_warp, resample_and_warp, warp_alone

__all__ = ["Affine", "Cascade", "Registration"]


class Affine(NamedTuple):
    """An affine displacement W (x - c) + b about the centre of the grid.

    Attributes:
        weight: (B, 3, 3), W; the matrix of the map is I + W.
        shift: (B, 3), b in voxels.
    """

    weight: Tensor
    shift: Tensor


class Registration(NamedTuple):
    """What a cascade returns.

    Attributes:
        warped: (B, C, X, Y, Z), the moving image on the fixed grid, warped once by ``field``.
        field: (B, 3, X, Y, Z), the aggregate displacement in voxels.
        stage_fields: Each dense stage's own field, on the grid that the cascade composes on, in its voxels.
        fields: The aggregate (B, 3, X, Y, Z) after each stage, the initial affine included.
        images: The moving image warped by each of ``fields``.
        affine: Of the initial stage, if that is affine.
    """

    warped: Tensor
    field: Tensor
    stage_fields: tuple[Tensor, ...]
    fields: tuple[Tensor, ...]
    images: tuple[Tensor, ...]
    affine: Affine | None


class Cascade(nn.Module):
    """An optional affine network, then dense networks, each refining the registration so far.

    Args:
        dense: Dense networks in the order of application; one may occur several times. Each maps (fixed, warped) to a
            field (B, 3, X, Y, Z), or of half that size (half-pixel convention), in voxels of the field's own grid.
        affine: Network that maps (fixed, moving) to an ``Affine``.
        warp_gradient: Let gradients of later stages flow through the warped images into earlier stages.
        half_resolution: Compose on a grid of half the size (half-pixel convention), an eighth of the work; the
            aggregate is interpolated to the full grid before each warp.
        checkpointing: In training, keep no activations of dense networks but compute them again.

    Attributes:
        fused: Without gradients, on a CPU and for float32 images, warp and compose by ``fused_warp``; False until
            ``optimize_for_inference`` sets it on its copy.
    """

    def __init__(
        self,
        dense: Sequence[nn.Module],
        affine: nn.Module | None = None,
        *,
        warp_gradient: bool = True,
        half_resolution: bool = False,
        checkpointing: bool = False,
    ) -> None:
        super().__init__()
        if affine is None and not dense:
            raise ValueError("a cascade without an affine network needs at least one dense network")
        networks = list({id(network): network for network in dense}.values())
        self.affine = affine
        self.dense = nn.ModuleList(networks)
        self.order = [next(k for k, n in enumerate(networks) if n is network) for network in dense]
        self.warp_gradient = warp_gradient
        self.half_resolution = half_resolution
        self.checkpointing = checkpointing
        self.fused = False

    def forward(self, fixed: Tensor, moving: Tensor, *, stages: bool = True) -> Registration:
        """Register a batch of pairs.

        Args:
            fixed: (B, 1, X, Y, Z), intensities in [0, 1].
            moving: (B, 1, X, Y, Z), likewise.
            stages: Return what every stage did. Without, only ``warped``, ``field`` and ``affine`` are filled, and
                less memory is held.

        Raises:
            ValueError: The shapes are not those of two such batches.
        """
        fixed, moving = _plain(fixed), _plain(moving)
        if fixed.ndim != 5 or fixed.shape != moving.shape or fixed.shape[1] != 1:
            raise ValueError(
                "expected fixed and moving images (B, 1, X, Y, Z) of one shape, "
                f"found {tuple(fixed.shape)} and {tuple(moving.shape)}"
            )
        shape = tuple(fixed.shape[2:])
        grid = tuple(n // 2 for n in shape) if self.half_resolution else shape
        record: tuple[list[Tensor], list[Tensor], list[Tensor]] = ([], [], [])
        affine = None
        total: Tensor | None = None
        full, image = None, moving
        if self.affine is not None:
            affine = self.affine(fixed, moving)
            full, image = self._placed(affine, moving, shape)
            # About the centre W is the same on both grids, and b is halved with the voxels.
            total = affine_field(affine.weight, affine.shift / 2, grid) if self.half_resolution else full
            _keep(record if stages else None, None, full, image)
        for step, index in enumerate(self.order):
            own = self._stage(self.dense[index], fixed, image, grid)
            total, full, image = self._composed(total, own, affine if step == 0 else None, moving, shape)
            _keep(record if stages else None, own, full, image)
        assert full is not None
        own_fields, fields, images = record
        return Registration(image, full, tuple(own_fields), tuple(fields), tuple(images), affine)

    def _placed(self, affine: Affine, moving: Tensor, shape: tuple[int, ...]) -> tuple[Tensor, Tensor]:
        """The affine field on the full grid, and the image warped by it."""
        if self.fuses(moving):
            return place_affine_and_warp(*affine, torch.zeros(len(moving), 3, *shape), moving)
        full = affine_field(*affine, shape)
        return full, differentiable_warp(moving, full)

    def _composed(
        self, total: Tensor | None, own: Tensor, affine: Affine | None, moving: Tensor, shape: tuple[int, ...]
    ) -> tuple[Tensor, Tensor, Tensor]:
        """The aggregate with ``own`` applied last, on the cascade's grid and on the full one, and the image."""
        fuses = self.fuses(moving)
        if fuses and affine is not None and own.shape[2:] == shape:
            full, image = place_affine_and_warp(*affine, own, moving)
            return full, full, image
        if fuses and total is not None and own.shape[2:] == shape:
            full, image = compose_and_warp(total, own, moving)
            return full, full, image
        if total is None:
            total = own
        elif affine is not None:
            total = compose_affine(affine.weight, total, own)
        else:
            total = differentiable_compose(total, own)
        if fuses and total.shape[2:] != shape:
            return total, *resample_and_warp(total, shape, moving)
        full = resample_field(total, shape, align_corners=False)
        return total, full, warp_alone(moving, full) if fuses else differentiable_warp(moving, full)

    def fuses(self, moving: Tensor) -> bool:
        """Whether ``fused_warp`` takes the place of tensor operations for such images, here and now."""
        return (
            self.fused
            and not torch.is_grad_enabled()
            and (moving.device.type, moving.dtype) == ("cpu", torch.float32)
            and not torch.compiler.is_compiling()
            and not torch.jit.is_tracing()
        )

    def _stage(self, network: nn.Module, fixed: Tensor, image: Tensor, grid: tuple[int, ...]) -> Tensor:
        if not self.warp_gradient:
            image = image.detach()
        if self.checkpointing and self.training and torch.is_grad_enabled():
            field = checkpoint(network, fixed, image, use_reentrant=False)
        else:
            field = network(fixed, image)
        return resample_field(field.to(torch.promote_types(field.dtype, torch.float32)), grid, align_corners=False)


def _plain(volume: Tensor) -> Tensor:
    # MONAI's MetaTensor passes metadata through every operation, which costs more than the small ones themselves.
    return volume if type(volume) is Tensor else volume.as_subclass(Tensor)


def _keep(
    record: tuple[list[Tensor], list[Tensor], list[Tensor]] | None, own: Tensor | None, field: Tensor, image: Tensor
) -> None:
    if record is None:
        return
    if own is not None:
        record[0].append(own)
    record[1].append(field)
    record[2].append(image)
