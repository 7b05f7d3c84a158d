"""Images, label maps and landmarks of a pair, from files to arrays with affines.

Landmarks are read from

    .csv without a header    Learn2Reg: three voxel indices per row
    .csv with a header       x, y, z: voxel indices; x_mm, y_mm, z_mm: RAS+ millimetres; x_lps, y_lps, z_lps: LPS+
    .txt                     elastix: "point" (LPS millimetres) or "index" (voxels), their number, then one per line

A row of three -1 is a landmark that is not there, in files of voxel indices.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medpipe.errors import CaseError, InputDataError, RequestError
from medpipe.io.geometry import LPS_TO_RAS
from medpipe.io.nifti import read_nifti
from medpipe.io.points import read_world_points

__all__ = ["Grid", "header_shape", "read_image", "read_label_map", "read_landmarks"]

_LARGEST_LABEL = 65535
_ITK = (".mha", ".mhd", ".nrrd", ".nhdr")


@dataclass(frozen=True, eq=False)
class Grid:
    """Voxels of a file and where they lie.

    Attributes:
        array: (X, Y, Z).
        affine: (4, 4) from indices to RAS+ millimetres.
    """

    array: NDArray[Any]
    affine: NDArray[np.float64]

    @property
    def spacing(self) -> tuple[float, float, float]:
        """Distance of neighbouring voxels along each axis, mm."""
        x, y, z = np.linalg.norm(self.affine[:3, :3], axis=0).tolist()
        return x, y, z

    @property
    def diagonal(self) -> float:
        """From the first to the last voxel, mm."""
        return float(np.linalg.norm(self.affine[:3, :3] @ (np.array(self.array.shape) - 1)))

    def is_sheared(self) -> bool:
        """Whether its axes are not at right angles, so that no spacing measures distances."""
        columns = self.affine[:3, :3] / np.array(self.spacing)
        return bool(np.abs(columns.T @ columns - np.eye(3)).max() > 1e-3)

    def same_place(self, other: Grid) -> bool:
        """Whether both have one shape, and the corners lie within a tenth of a voxel."""
        if self.array.shape != other.array.shape:
            return False
        ends = np.array([[*corner, 1.0] for corner in np.ndindex(2, 2, 2)])
        ends[:, :3] *= np.array(self.array.shape) - 1
        return bool(np.abs(ends @ (self.affine - other.affine).T).max() <= 0.1 * min(self.spacing))


def header_shape(path: Path, where: str) -> tuple[int, ...] | None:
    """The shape that a NIfTI file's header says; None for other files, and where the header cannot be read.

    Raises:
        InputDataError: It is not of three dimensions.
    """
    import nibabel as nib
    from nibabel.filebasedimages import ImageFileError

    if not path.name.lower().endswith((".nii", ".nii.gz")):
        return None
    try:
        shape = tuple(int(size) for size in nib.load(path).header.get_data_shape())
    except (ImageFileError, OSError, EOFError, ValueError):  # told when the file is read
        return None
    while len(shape) > 3 and shape[-1] == 1:
        shape = shape[:-1]
    shape = (*shape, 1, 1)[: max(3, len(shape))]
    _check_volume(path, shape, where)
    return shape


def _check_volume(path: Path, shape: tuple[int, ...], where: str) -> None:
    if len(shape) != 3:
        raise InputDataError(
            f"{where}: '{path}' has the shape {shape}; expected one volume (X, Y, Z), so extract the one to score"
        )


def read_image(path: Path, where: str) -> Grid:
    """An image, float32.

    Args:
        path: NIfTI, or .mha, .mhd, .nrrd (with SimpleITK).
        where: What the file is, for messages.

    Raises:
        InputDataError: Missing, damaged, not three-dimensional, or not finite.
    """
    array, affine = _read(path, where)
    array = array.astype(np.float32)
    if not np.isfinite(array).all():
        raise InputDataError(
            f"{where}: '{path}' has {int((~np.isfinite(array)).sum()):,} voxels that are not finite; replace them first"
        )
    return Grid(array, affine)


def read_label_map(path: Path, where: str) -> Grid:
    """A label map, uint16.

    Raises:
        InputDataError: As for an image; or a voxel holds no whole number from 0 to 65535, or none but 0.
    """
    array, affine = _read(path, where)
    low, high = array.min(), array.max()
    if not (low >= 0 and high <= _LARGEST_LABEL):
        raise InputDataError(f"{where}: '{path}' holds values from {low} to {high}; labels lie in 0..{_LARGEST_LABEL}")
    labels = array.astype(np.uint16)
    if array.dtype.kind == "f" and (labels != array).any():
        raise InputDataError(
            f"{where}: '{path}' holds fractions; labels are whole numbers (is it an image, or resampled?)"
        )
    if high == 0:
        raise InputDataError(
            f"{where}: '{path}' has no label: all voxels are 0; give the right file, or leave the pair out"
        )
    return Grid(labels, affine)


def _read(path: Path, where: str) -> tuple[NDArray[Any], NDArray[np.float64]]:
    if not path.is_file():
        raise InputDataError(f"{where}: '{path}' does not exist")
    try:
        array, affine = _itk_volume(path) if path.name.lower().endswith(_ITK) else _nifti_volume(path)
    except CaseError as error:
        raise InputDataError(f"{where}: '{path}' {error}") from error
    _check_volume(path, array.shape, where)
    return array, affine


def _nifti_volume(path: Path) -> tuple[NDArray[Any], NDArray[np.float64]]:
    volume = read_nifti(path)
    return volume.array, volume.affine


def _itk_volume(path: Path) -> tuple[NDArray[Any], NDArray[np.float64]]:
    try:
        import SimpleITK
    except ImportError as error:
        raise RequestError(f"'{path}' needs SimpleITK: pip install SimpleITK, or convert it to NIfTI") from error
    try:
        image = SimpleITK.ReadImage(str(path))
    except RuntimeError as error:
        raise InputDataError(f"'{path}' cannot be read by ITK ({str(error).strip()[-150:]})") from error
    array = SimpleITK.GetArrayFromImage(image)
    if image.GetDimension() != 3 or image.GetNumberOfComponentsPerPixel() != 1:
        return array, np.eye(4)  # its shape is refused
    affine = np.eye(4)
    affine[:3, :3] = np.reshape(image.GetDirection(), (3, 3)) * np.array(image.GetSpacing())
    affine[:3, 3] = image.GetOrigin()
    return array.transpose(2, 1, 0), LPS_TO_RAS @ affine


def read_landmarks(path: Path, affine: NDArray[np.float64], where: str) -> NDArray[np.float64]:
    """Landmarks as indices (n, 3) of the image with ``affine``; NaN where one is missing.

    Raises:
        InputDataError: Missing, empty, or not laid out as the module says.
    """
    try:
        world = read_world_points(path, affine)
    except InputDataError as error:
        raise InputDataError(f"{where}: {error}") from error
    inverse = np.linalg.inv(affine)
    return world @ inverse[:3, :3].T + inverse[:3, 3]
