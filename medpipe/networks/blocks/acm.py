"""Attend-and-Compare Module (ACM).

Paper: M Kim, J Park, S Na, CM Park, D Yoo, "Learning Visual Context by Comparison", ECCV 2020,
https://arxiv.org/abs/2007.07506. Consulted for details the paper leaves open (centring, bias,
initialisation): the authors' code, https://github.com/mk-minchul/attend-and-compare.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

__all__ = ["ACM_MODES", "AttendCompare", "take_orthogonality"]

ACM_MODES = ("full", "x_plus_kq", "px", "p_x_plus_k")


class AttendCompare(nn.Module):
    """Adds the difference of two attended regions to every position, then gates the channels.

    With ``mu`` the spatial mean of ``X`` and ``Xc = X - mu``, per group of channels:
    ``K = sum_n softmax(key_map(Xc))_n Xc_n``, ``Q`` likewise with its own map,
    ``P = sigmoid(gate_expand(relu(gate_reduce(mu))))`` and ``Y = (X + K - Q) * P``. All convolutions are 1x1
    with ``groups`` groups and a bias. K, Q and the orthogonality value are computed in float32 where the
    input or autocast is of half precision.

    After each forward ``last_orthogonality`` holds ``mean over channels of K * Q`` per image, shape (B,),
    with its graph; it is None before the first forward, in modes without both K and Q, while the network is
    traced or exported, and after ``take_orthogonality``. It is no part of the state dict, of copies or of
    pickles.

    The biases of the two maps cannot influence anything (a softmax ignores a shift); they exist because the
    authors' checkpoints have them.

    Args:
        channels: Channels C of the input, a multiple of ``groups``.
        groups: Groups G; each has its own two attention maps.
        reduction: The gate's hidden width is ``groups * ceil(channels / (reduction * groups))``, which is
            ``channels / reduction`` wherever the authors' code accepts the width.
        centre_kq: Pool K and Q from the centred input, as the authors do. False pools the input itself: the
            output is the same up to rounding, only the orthogonality value differs.
        mode: ``full``, or one of the paper's ablations: ``x_plus_kq`` (X + K - Q), ``px`` (P X),
            ``p_x_plus_k`` (P (X + K)). Parts that a mode does not use are not created.

    Raises:
        ValueError: The channels are no multiple of the groups, a size is below one, or the mode is unknown.

    Shape:
        (B, C, H, W) in, the same out; any H and W, also 1 x 1, where Y = X P.
    """

    last_orthogonality: Tensor | None

    def __init__(
        self,
        channels: int,
        *,
        groups: int = 32,
        reduction: int = 2,
        centre_kq: bool = True,
        mode: str = "full",
    ) -> None:
        super().__init__()
        if groups < 1 or reduction < 1:
            raise ValueError(f"groups and reduction must be at least 1, found {groups} and {reduction}")
        if channels < 1 or channels % groups:
            raise ValueError(f"channels must be a positive multiple of groups={groups}, found {channels}")
        if mode not in ACM_MODES:
            raise ValueError(f"mode must be one of {', '.join(ACM_MODES)}, found {mode!r}")
        self.channels, self.groups, self.centre_kq, self.mode = channels, groups, centre_kq, mode
        self.key_map = nn.Conv2d(channels, groups, 1, groups=groups) if mode != "px" else None
        hidden = groups * -(-channels // (reduction * groups))
        compares, gated = mode in ("full", "x_plus_kq"), mode != "x_plus_kq"
        self.query_map = nn.Conv2d(channels, groups, 1, groups=groups) if compares else None
        self.gate_reduce = nn.Conv2d(channels, hidden, 1, groups=groups) if gated else None
        self.gate_expand = nn.Conv2d(hidden, channels, 1, groups=groups) if gated else None
        self.last_orthogonality = None
        self.records_orthogonality = True
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Kaiming normal weights (fan out, relu) and zero biases, as in the authors' code."""
        for module in self.children():
            if isinstance(module, nn.Conv2d) and module.bias is not None:
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
                nn.init.zeros_(module.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Compare and gate; see the class for the formula."""
        exporting = torch.jit.is_tracing() or torch.compiler.is_exporting()
        if not exporting:
            self.last_orthogonality = None
        mean, key, query = self._mean_key_query(x)
        y = x
        if key is not None:
            y = y + (key if query is None else key - query).to(x.dtype)
        if key is not None and query is not None:
            # Computed even if not recorded: checkpointing wants the recomputation to save the same tensors.
            orthogonality = (key * query).mean(dim=(1, 2, 3))
            if self.records_orthogonality and not exporting:
                self.last_orthogonality = orthogonality
        if self.gate_reduce is not None and self.gate_expand is not None:
            gate = self.gate_expand(F.relu(self.gate_reduce(mean.to(x.dtype))))
            y = y * torch.sigmoid(gate).to(x.dtype)
        return y  # (B, C, H, W)

    def attention_maps(self, x: Tensor) -> dict[str, Tensor]:
        """The attention maps for the same input as ``forward`` takes, to look at.

        Args:
            x: Features, (B, C, H, W).

        Returns:
            ``key`` and ``query`` where the mode has them: (B, groups, H, W), float32 or wider, each map
            summing to 1 over its positions.
        """
        with torch.autocast(x.device.type, enabled=False):
            wide = _at_least_float32(x)
            centred = wide - wide.mean(dim=(2, 3), keepdim=True)
            maps = {"key": self.key_map, "query": self.query_map}
            return {name: self._attention(conv, centred) for name, conv in maps.items() if conv}

    def _mean_key_query(self, x: Tensor) -> tuple[Tensor, Tensor | None, Tensor | None]:
        """The spatial mean, K and Q, each (B, C, 1, 1) in float32 or wider."""
        with torch.autocast(x.device.type, enabled=False):
            wide = _at_least_float32(x)
            mean = wide.mean(dim=(2, 3), keepdim=True)
            centred = wide - mean
            pooled = centred if self.centre_kq else wide
            key, query = (
                None if conv is None else _attend(pooled, self._attention(conv, centred))
                for conv in (self.key_map, self.query_map)
            )
        return mean, key, query

    def _attention(self, conv: nn.Conv2d, centred: Tensor) -> Tensor:
        bias = None if conv.bias is None else conv.bias.to(centred.dtype)
        logits = F.conv2d(centred, conv.weight.to(centred.dtype), bias, groups=self.groups)
        return logits.flatten(2).softmax(dim=-1).view_as(logits)  # (B, groups, H, W)

    def __getstate__(self) -> dict[str, Any]:
        # A tensor with a graph can be neither copied nor pickled, and averaging or spawning copies networks.
        return {**self.__dict__, "last_orthogonality": None}

    def extra_repr(self) -> str:
        """The options, for printing."""
        return f"{self.channels}, groups={self.groups}, centre_kq={self.centre_kq}, mode={self.mode!r}"


def take_orthogonality(modules: list[AttendCompare], like: Tensor) -> Tensor:
    """Collect the orthogonality values of the last forward, and let the modules forget them.

    Call it inside the forward of the network that holds the modules, so that the values travel with its
    output through DataParallel and DistributedDataParallel. The modules stop recording until
    ``records_orthogonality`` is set again: gradient checkpointing runs them once more during the backward
    pass, and a value recorded there would keep the recomputed activations alive.

    Args:
        modules: The modules in the order of the columns.
        like: Any output of the same forward, (B, ...), for batch size and device.

    Returns:
        (B, len(modules)), float32 or wider; a module without a value (no K or no Q) gives zeros.
    """
    columns = [like.new_zeros(like.shape[0], dtype=torch.float32) for _ in modules]
    for index, module in enumerate(modules):
        if module.last_orthogonality is not None:
            columns[index] = module.last_orthogonality
        module.last_orthogonality = None
        module.records_orthogonality = False
    return torch.stack(columns, dim=1) if columns else like.new_zeros(like.shape[0], 0, dtype=torch.float32)


def _at_least_float32(x: Tensor) -> Tensor:
    return x.float() if x.dtype in (torch.float16, torch.bfloat16) else x


def _attend(x: Tensor, attention: Tensor) -> Tensor:
    """Per group, the mean of its channels under its map: (B, C, H, W), (B, G, H, W) -> (B, C, 1, 1)."""
    batch, channels, _, _ = x.shape
    groups = attention.shape[1]
    values = x.reshape(batch, groups, channels // groups, -1)
    return (values @ attention.reshape(batch, groups, -1, 1)).reshape(batch, channels, 1, 1)
