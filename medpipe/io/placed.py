"""Volumes for registration: any of the usual files, looked over before they are used, and no more than three axes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from medpipe.errors import CaseFailedError, RequestError
from medpipe.io.findings import Finding, found
from medpipe.io.geometry import LPS_TO_RAS
from medpipe.io.nifti import read_nifti
from medpipe.io.series import Index, index_files
from medpipe.io.volume import MAX_VOLUME_BYTES, Volume, read_volume

__all__ = ["ITK_SUFFIXES", "NIFTI_SUFFIXES", "is_volume_file", "read_image_volume", "read_label_volume", "volume_of"]

NIFTI_SUFFIXES = (".nii", ".nii.gz")
ITK_SUFFIXES = (".mha", ".mhd", ".nrrd", ".nhdr")

SPACINGS = (1e-3, 100.0)
"""Distances of neighbouring voxels in millimetres that can be meant; metres and micrometres lie outside."""

LEAST = 4
"""Fewest voxels along an axis of a volume that can be registered."""


def is_volume_file(path: str | Path) -> bool:
    """Whether a name ends as those of NIfTI, MetaImage and NRRD files do."""
    return str(path).lower().endswith(NIFTI_SUFFIXES + ITK_SUFFIXES)


def read_image_volume(path: str | Path) -> Volume:
    """The one volume of a DICOM series, NIfTI, MetaImage or NRRD file, fit for registration.

    Voxels that are not finite become the least finite value, with a finding.

    Args:
        path: A file, or a folder or zip archive of one DICOM series.

    Raises:
        CaseFailedError: It cannot be read, holds several volumes, time points or colours, a single slice, one value
            everywhere or none that is finite, or its spacing cannot be meant.
    """
    volume = _read(path)
    shape = volume.array.shape
    if volume.colour:
        raise CaseFailedError("holds colours; a grey volume is needed")
    if len(shape) != 3:
        raise CaseFailedError(f"holds {len(shape)} axes {shape}; give one time point or channel of it")
    if min(shape) < LEAST:
        raise CaseFailedError(f"is of size {shape}; at least {LEAST} voxels are needed along each axis")
    spacing = np.linalg.norm(volume.affine[:3, :3], axis=0)
    if not (spacing.min() >= SPACINGS[0] and spacing.max() <= SPACINGS[1]):
        raise CaseFailedError(
            f"has voxels of {' x '.join(f'{mm:.3g}' for mm in spacing)} mm; correct its header (millimetres are expected)"
        )
    volume.array, more = _finite(volume.array)
    volume.findings = [*(f for f in volume.findings if f.code != "not_a_number"), *more]
    low, high = volume.array.min(), volume.array.max()
    if low == high:
        raise CaseFailedError(f"holds the value {low:g} everywhere; there is nothing to register")
    return volume


def read_label_volume(path: str | Path) -> Volume:
    """A label map: whole numbers from 0 to 65535, uint16.

    Raises:
        CaseFailedError: It cannot be read, is not three-dimensional, or holds other values.
    """
    volume = _read(path)
    if volume.array.ndim != 3:
        raise CaseFailedError(f"labels hold {volume.array.ndim} axes {volume.array.shape}; expected three")
    low, high = volume.array.min(), volume.array.max()
    if not (low >= 0 and high <= 65535):
        raise CaseFailedError(f"labels hold values from {low:g} to {high:g}; expected 0 to 65535")
    labels = volume.array.astype(np.uint16)
    if (labels != volume.array).any():
        raise CaseFailedError("labels hold fractions; expected whole numbers (is it an image, or interpolated?)")
    volume.array = labels
    return volume


def volume_of(index: Index) -> Volume:
    """The one volume among files that were found.

    Raises:
        CaseFailedError: None or several; the message says what there is.
    """
    stacks = [(series, stack) for series in index.series for stack in series.stacks()]
    if len(stacks) == 1 and not index.niftis:
        return read_volume(stacks[0][1], "strict")
    if len(index.niftis) == 1 and not stacks:
        return read_nifti(index.niftis[0].source)
    raise CaseFailedError(why_not_one(index))


def why_not_one(index: Index) -> str:
    """What a folder holds instead of one volume; empty where there is one."""
    stacks = sum(len(series.stacks()) for series in index.series)
    if stacks + len(index.niftis) == 1:
        return ""
    if len(index.series) > 1:
        return f"holds {len(index.series)} DICOM series; name the folder of one"
    if stacks > 1:
        return f"holds a series of {stacks} volumes (positions, echoes or orientations differ); name the files of one"
    if len(index.niftis) > 1 or (stacks and index.niftis):
        return f"holds {stacks + len(index.niftis)} volumes; name one"
    reasons = [entry.reason for entry in index.files.values() if entry.status == "failed"]
    return "holds no volume" + (f" ({reasons[0]})" if reasons else "; expected DICOM, NIfTI, MetaImage or NRRD")


def _read(path: str | Path) -> Volume:
    text = str(path)
    if not Path(text).exists():
        raise CaseFailedError("does not exist")
    if text.lower().endswith(ITK_SUFFIXES):
        return _read_itk(Path(text))
    if text.lower().endswith(NIFTI_SUFFIXES):
        return read_nifti(text)
    try:
        return volume_of(index_files(text))
    except RequestError as error:  # an empty folder
        raise CaseFailedError(str(error).split(" under ")[0]) from error


def _read_itk(path: Path) -> Volume:
    import SimpleITK

    reader = SimpleITK.ImageFileReader()
    reader.SetFileName(str(path))
    try:
        reader.ReadImageInformation()
        size, parts = reader.GetSize(), reader.GetNumberOfComponents()
        if len(size) != 3 or parts != 1:
            raise CaseFailedError(f"holds {len(size)} axes {size} of {parts} components; expected a grey volume")
        if np.prod([float(n) for n in size]) * 8 > MAX_VOLUME_BYTES:
            raise CaseFailedError(f"a volume of shape {size} is larger than what is read")
        image = reader.Execute()
    except RuntimeError as error:
        raise CaseFailedError(f"cannot be read by ITK ({str(error).strip().splitlines()[-1][-120:]})") from error
    affine = np.eye(4)
    affine[:3, :3] = np.reshape(image.GetDirection(), (3, 3)) * np.array(image.GetSpacing())
    affine[:3, 3] = image.GetOrigin()
    return Volume(SimpleITK.GetArrayFromImage(image).transpose(2, 1, 0), LPS_TO_RAS @ affine)


def _finite(array: npt.NDArray[Any]) -> tuple[npt.NDArray[Any], list[Finding]]:
    if array.dtype.kind != "f":
        return array, []
    good = np.isfinite(array)
    count = array.size - int(np.count_nonzero(good))
    if not count:
        return array, []
    if count == array.size:
        raise CaseFailedError("holds no finite number")
    least = array[good].min()
    detail = f"{count:,} voxels, taken for background ({least:g})"
    return np.where(good, array, least), [found("not_a_number", detail, voxels=count)]
