"""Ways to register a pair behind one interface: a trained network, classical methods, and a refinement after each."""

from __future__ import annotations

import time
from pathlib import Path

import torch
from torch import Tensor, nn

from medpipe.errors import RequestError
from medpipe.networks.blocks.subpixel import optimize_for_inference
from medpipe.networks.choices import choose
from medpipe.networks.classical_registration import CLASSICAL_METHODS, check_classical
from medpipe.networks.field_refinement import FieldRefinement
from medpipe.networks.weights import load_weights

__all__ = ["REGISTRATION_METHODS", "RegistrationMethod"]

REGISTRATION_METHODS = ("network", "voxelmorph", *CLASSICAL_METHODS)


class RegistrationMethod(nn.Module):
    """Maps fixed and moving volumes on one grid to a displacement field.

    Args:
        method: ``network`` (the bundle's own), ``voxelmorph`` (MONAI's VoxelMorph, trained elsewhere), or a classical one.
        network: The bundle's network, as initialised.
        weights: Weight file of ``network`` or ``voxelmorph``.
        refinement: What is done to the field afterwards.

    Attributes:
        seconds: Of the last call, by stage.

    Shape:
        Two (1, 1, X, Y, Z) in [0, 1] to (1, 3, X, Y, Z) in voxels, float32, pull-back.

    Raises:
        RequestError: The method is unknown, needs what is not installed, or its weights do not fit.
    """

    def __init__(
        self,
        method: str,
        network: nn.Module | None = None,
        weights: str | Path | None = None,
        refinement: FieldRefinement | None = None,
    ) -> None:
        super().__init__()
        try:
            self.method = choose("method", method, REGISTRATION_METHODS)
        except ValueError as error:
            raise RequestError(str(error)) from error
        self.refinement = refinement
        self.seconds: dict[str, float] = {}
        self.network: nn.Module | None = None
        if method in CLASSICAL_METHODS:
            check_classical(method)
        elif weights is None:
            raise RequestError(f"method '{method}' needs weights; give weights=FILE")
        elif method == "voxelmorph":
            self.network = load_weights(_voxelmorph(), weights)
        elif network is None:
            raise RequestError("method 'network' needs a network")
        else:
            self.network = optimize_for_inference(load_weights(network, weights))

    def forward(self, fixed: Tensor, moving: Tensor) -> Tensor:
        """The field of one pair."""
        start = time.perf_counter()
        field = self._field(fixed, moving)
        self.seconds = {"network": time.perf_counter() - start}
        if self.refinement is not None and self.refinement.steps:
            start = time.perf_counter()
            field = self.refinement(fixed, moving, field)
            self.seconds["refine"] = time.perf_counter() - start
        return field

    @torch.no_grad()
    def _field(self, fixed: Tensor, moving: Tensor) -> Tensor:
        if self.method in CLASSICAL_METHODS:
            volumes = [volume[0, 0].float().cpu().numpy() for volume in (fixed, moving)]
            return torch.from_numpy(CLASSICAL_METHODS[self.method](*volumes))[None].to(fixed.device)
        assert self.network is not None
        if self.method == "voxelmorph":
            return self.network(moving, fixed)[1].float()
        return self.network(fixed, moving, stages=False).field


def _voxelmorph() -> nn.Module:
    from monai.networks.nets import VoxelMorph

    return VoxelMorph(spatial_dims=3)
