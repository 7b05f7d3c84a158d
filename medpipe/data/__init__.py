"""Data sets as they lie on disk: manifests, readers per layout, datalists, splits, and look-alikes.

Importing this room is light; a reader is imported when :func:`dataset_reader` is asked for it.
"""

from __future__ import annotations

from .readers import DATASET_READERS, DatasetReader, dataset_reader

__all__ = ["DATASET_READERS", "DatasetReader", "dataset_reader"]
