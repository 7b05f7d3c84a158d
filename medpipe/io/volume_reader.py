"""Our volume reader as a MONAI ``ImageReader``: a DICOM series or a NIfTI file, the same array and affine from both."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from monai.config import PathLike
from monai.data import ImageReader
from monai.utils import ensure_tuple

from medpipe.errors import CaseFailedError
from medpipe.io.findings import Policy
from medpipe.io.nifti import read_nifti
from medpipe.io.series import index_files
from medpipe.io.volume import Volume, read_volume

__all__ = ["VolumeReader", "load_volume"]


def load_volume(path: str | Path, policy: Policy = "strict") -> Volume:
    """Read the one volume of a DICOM folder, archive or file, or of a NIfTI file.

    Args:
        path: What holds exactly one volume.
        policy: What to do about what one affine cannot say.

    Raises:
        CaseFailedError: None or several volumes, or the policy refuses it.
        RequestError: The path does not exist.
    """
    index = index_files(path)
    stacks = [stack for series in index.series for stack in series.stacks()]
    if len(stacks) + len(index.niftis) != 1:
        reasons = [entry.reason for entry in index.files.values() if entry.status == "failed"]
        because = f" ({reasons[0]})" if reasons else ""
        raise CaseFailedError(f"holds {len(stacks) + len(index.niftis)} volumes; expected one{because}")
    return read_volume(stacks[0], policy) if stacks else read_nifti(index.niftis[0].source)


class VolumeReader(ImageReader):
    """Reads a DICOM series (a folder or a zip archive of one) or a NIfTI file as (column, row, slice) voxels.

    The affine is RAS+. Metadata: "affine", "spatial_shape", "findings" (codes of what was odd). Time points and colour
    come as a last axis, told by "original_channel_dim".

    Args:
        policy: "strict", "warn" or "repair"; see ``medpipe.io.findings``.
    """

    def __init__(self, policy: Policy = "strict") -> None:
        super().__init__()
        self.policy = policy

    def verify_suffix(self, filename: Sequence[PathLike] | PathLike) -> bool:
        """Every name is ours: folders and DICOM files have no suffix."""
        return True

    def read(self, data: Sequence[PathLike] | PathLike, **kwargs: Any) -> list[str]:
        """Keep the names; nothing is opened yet, so that no other reader takes over where this one refuses."""
        return [str(name) for name in ensure_tuple(data)]

    def get_data(self, img: Any) -> tuple[np.ndarray, dict[str, Any]]:
        """Decode the one volume under the one path of ``img``.

        Raises:
            ValueError: More than one path.
            CaseError: It cannot be read faithfully.
        """
        names = ensure_tuple(img)
        if len(names) != 1:
            raise ValueError(f"expected one path, got {len(names)}: {names[:3]}")
        volume = load_volume(str(names[0]), self.policy)
        channels = volume.array.ndim > 3
        metadata: dict[str, Any] = {
            "affine": volume.affine,
            "spatial_shape": np.asarray(volume.array.shape[:3]),
            "original_channel_dim": -1 if channels else "no_channel",
            "findings": [finding.code for finding in volume.findings],
        }
        return volume.array, metadata
