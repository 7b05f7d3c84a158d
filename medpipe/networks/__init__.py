"""Networks: one file per published network, backbones and blocks that several use."""

from __future__ import annotations

from .acm import ContextLocalizer, ImageLogits, image_logits
from .backbones import BACKBONES, PLACEMENTS, context_backbone, context_modules, load_backbone_weights
from .blocks import CONTEXT_BLOCKS, context_block
from .reference_weights import import_acm_state_dict

__all__ = [
    "BACKBONES",
    "CONTEXT_BLOCKS",
    "PLACEMENTS",
    "ContextLocalizer",
    "ImageLogits",
    "context_backbone",
    "context_block",
    "context_modules",
    "image_logits",
    "import_acm_state_dict",
    "load_backbone_weights",
]
