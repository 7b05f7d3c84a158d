"""Losses: one file each."""

from __future__ import annotations

from .lesion_localization import LesionLocalizationLoss
from .multilabel_classification import MultilabelClassificationLoss
from .orthogonality import ORTHOGONALITY_FORMS, OrthogonalityLoss

__all__ = ["ORTHOGONALITY_FORMS", "LesionLocalizationLoss", "MultilabelClassificationLoss", "OrthogonalityLoss"]
