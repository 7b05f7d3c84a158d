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
            if x.shape[1] != self.channels:
                raise RuntimeError(f"expected {self.channels} channels, found {x.shape[1]}")
        mean, key, query = self._mean_key_query(x)
        added = None if key is None else (key if query is None else key - query).to(x.dtype)
        if key is not None and query is not None:
            # Computed even if not recorded: checkpointing wants the recomputation to save the same tensors.
            orthogonality = (key * query).mean(dim=(1, 2, 3))
            if self.records_orthogonality and not exporting:
                self.last_orthogonality = orthogonality
        if self.gate_reduce is None or self.gate_expand is None:
            return x if added is None else x + added
        gate = torch.sigmoid(self.gate_expand(F.relu(self.gate_reduce(mean.to(x.dtype))))).to(x.dtype)
        # (X + K - Q) P in one pass over X
        return x * gate if added is None else torch.addcmul(added * gate, x, gate)  # (B, C, H, W)

    def attention_maps(self, x: Tensor) -> dict[str, Tensor]:
        """The attention maps for the same input as ``forward`` takes, to look at.

        Args:
            x: Features, (B, C, H, W).

        Returns:
            ``key`` and ``query`` where the mode has them: (B, groups, H, W), float32 or wider, each map
            summing to 1 over its positions.
        """
        with torch.autocast(x.device.type, enabled=False):
            convs = {"key": self.key_map, "query": self.query_map}
            present = {name: conv for name, conv in convs.items() if conv is not None}
            if not present:
                return {}
            attention = self._attention(list(present.values()), self._grouped(_at_least_float32(x)))
            maps = attention.unflatten(3, x.shape[-2:]).unbind(dim=2)
            return dict(zip(present, maps, strict=True))

    def _mean_key_query(self, x: Tensor) -> tuple[Tensor, Tensor | None, Tensor | None]:
        """The spatial mean, K and Q, each (B, C, 1, 1) in float32 or wider.

        Nothing of the size of X is written: a softmax ignores the shift that centring makes, and what a map pools from Xc
        is what it pools from X, less the mean.
        """
        with torch.autocast(x.device.type, enabled=False):
            wide = _at_least_float32(x)
            mean = wide.mean(dim=(2, 3), keepdim=True)
            convs = [conv for conv in (self.key_map, self.query_map) if conv is not None]
            if not convs:
                return mean, None, None
            values = self._grouped(wide)
            pooled = self._attention(convs, values) @ values.transpose(2, 3)  # (B, G, maps, C / G)
            if self.centre_kq:
                pooled = pooled - mean.reshape(mean.shape[0], self.groups, 1, -1)
            key, *others = (vector.reshape(mean.shape) for vector in pooled.unbind(dim=2))
        return mean, key, others[0] if others else None

    def _grouped(self, x: Tensor) -> Tensor:
        return x.reshape(x.shape[0], self.groups, self.channels // self.groups, -1)  # (B, G, C / G, H W)

    def _attention(self, convs: list[nn.Conv2d], values: Tensor) -> Tensor:
        """The maps of all convolutions at once, (B, G, maps, H W); each is a product of matrices per group."""
        weight = torch.stack([conv.weight.flatten(1) for conv in convs], dim=1).to(values.dtype)  # (G, maps, C / G)
        logits = weight @ values
        biases = [conv.bias for conv in convs if conv.bias is not None]
        logits = logits + torch.stack(biases, dim=1)[..., None].to(values.dtype)
        return logits.softmax(dim=-1)

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
