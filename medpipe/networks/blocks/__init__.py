"""Context blocks: modules of one shape, ``Block(channels, *, options)``, that map (B, C, H, W) to the same
shape.

A network takes any of them by name, so that the attend-and-compare module and the modules its paper compares
it with are exchanged by changing one word in a config.
"""

from __future__ import annotations

import inspect
from typing import Any

from torch import nn

from ..choices import choose
from .acm import ACM_MODES, AttendCompare, take_orthogonality
from .cbam import BlockAttention
from .cc import CrissCross
from .gc import GlobalContext
from .nl import NonLocal
from .se import SqueezeExcite
from .srm import StyleRecalibration

__all__ = [
    "ACM_MODES",
    "CONTEXT_BLOCKS",
    "AttendCompare",
    "BlockAttention",
    "CrissCross",
    "GlobalContext",
    "NonLocal",
    "SqueezeExcite",
    "StyleRecalibration",
    "context_block",
    "take_orthogonality",
]

CONTEXT_BLOCKS: dict[str, type[nn.Module]] = {
    "acm": AttendCompare,
    "se": SqueezeExcite,
    "srm": StyleRecalibration,
    "cbam": BlockAttention,
    "nl": NonLocal,
    "gc": GlobalContext,
    "cc": CrissCross,
}


def context_block(name: str, channels: int, **options: Any) -> nn.Module:
    """Build a context block by name.

    Args:
        name: A key of ``CONTEXT_BLOCKS``.
        channels: Channels of the features it will see.
        **options: Keyword options of that class; the paper's values are the defaults.

    Raises:
        ValueError: The name or an option is unknown, or the class refuses a value.
    """
    block = CONTEXT_BLOCKS[choose("context block", name, CONTEXT_BLOCKS)]
    parameters = inspect.signature(block).parameters.values()
    valid = [p.name for p in parameters if p.kind is inspect.Parameter.KEYWORD_ONLY]
    for option in options:
        choose(f"option of context block {name!r}", option, valid)
    return block(channels, **options)
