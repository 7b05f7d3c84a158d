"""ITK's HDF5 transform files, as ``SimpleITK.ReadTransform``, ANTs and 3D Slicer read them.

Written here and not by ITK, whose files hold the time of writing: the same transform is the same file.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from medpipe.io.atomic import write_bytes
from medpipe.io.geometry import LPS_TO_RAS

__all__ = ["write_itk_transform"]

Array = npt.NDArray[Any]

_FLIP = np.diag(LPS_TO_RAS)[:3]
_CHUNK = 1 << 18


def write_itk_transform(path: Path, vectors: Array, grid: Array, then: Array) -> None:
    """Write a composite: a place P of the fixed image goes to ``then (P + vector(P))``.

    Args:
        path: Ends in .h5.
        vectors: (X, Y, Z, 3) RAS+ millimetres; zero outside of their grid, as ITK has it.
        grid: (4, 4) of the vectors, RAS+, axes at right angles.
        then: (4, 4) affine map, RAS+.
    """
    import h5py

    lps = LPS_TO_RAS @ grid
    spacing = np.linalg.norm(lps[:3, :3], axis=0)
    between = LPS_TO_RAS @ then @ LPS_TO_RAS
    affine = np.concatenate([between[:3, :3].ravel(), between[:3, 3]])
    place = np.concatenate([vectors.shape[:3], lps[:3, 3], spacing, (lps[:3, :3] / spacing).ravel()])
    field = (vectors * _FLIP).transpose(2, 1, 0, 3).ravel()  # x fastest, the three components together
    parts = [
        ("CompositeTransform_double_3_3", None, None),  # of its parts, the last is applied first
        ("AffineTransform_double_3_3", np.zeros(3), affine),
        ("DisplacementFieldTransform_double_3_3", place, field),
    ]
    content = io.BytesIO()
    with h5py.File(content, "w", track_order=False) as file:
        for name, value in (("ITKVersion", "5.4.0"), ("HDFVersion", "1.14"), ("OSName", ""), ("OSVersion", "")):
            _text(file, name, value)
        for number, (kind, fixed, parameters) in enumerate(parts):
            group = file.create_group(f"TransformGroup/{number}")
            _text(group, "TransformType", kind)
            if fixed is not None:
                _numbers(group, "TransformFixedParameters", fixed)
                _numbers(group, "TransformParameters", parameters)
    write_bytes(path, content.getvalue())


def _text(group: Any, name: str, value: str) -> None:
    import h5py

    group.create_dataset(name, data=[value], dtype=h5py.string_dtype("ascii"))  # ITK reads no other


def _numbers(group: Any, name: str, values: Array | None) -> None:
    assert values is not None
    options: dict[str, Any] = {}
    if len(values) > _CHUNK:
        options = {"compression": "gzip", "compression_opts": 1, "shuffle": True, "chunks": (_CHUNK,)}
    group.create_dataset(name, data=np.asarray(values, np.float64), **options)
