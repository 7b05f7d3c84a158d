"""Volumes and points as registration data sets ship them: NIfTI, Analyze, MetaImage, HDF5, CSV.

A name is a path, or ``file.h5#group/dataset`` for what lies inside an HDF5 file. Arrays are indexed (x, y, z) in the
file's own axes; affines are 4 x 4 from voxel indices to RAS+ millimetres. Analyze files and HDF5 data sets do not say
how the volume lies in the patient: their affine is as far as it goes, and ``oriented`` is False.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medpipe.errors import CaseError, InputDataError

__all__ = [
    "SUFFIXES",
    "VolumeHeader",
    "inside_hdf5",
    "read_points",
    "read_volume_file",
    "read_volume_header",
    "stem_of",
]

SUFFIXES = (".nii.gz", ".nii", ".hdr", ".mhd", ".mha")
"""Of files that hold a volume, or its header where voxels lie in a second file."""

MISSING = -1.0
_META_SUFFIXES = (".mhd", ".mha")


@dataclass(frozen=True)
class VolumeHeader:
    """What a file says of its volume before the voxels are read."""

    shape: tuple[int, ...]
    affine: NDArray[np.float64]
    oriented: bool  # the file says how the volume lies in the patient


def stem_of(path: Path) -> str:
    """The file's name without its suffix; ``.nii.gz`` is one suffix."""
    for suffix in (*SUFFIXES, ".img.gz", ".img"):
        if path.name.endswith(suffix):
            return path.name.removesuffix(suffix)
    return path.stem


def inside_hdf5(name: str | Path) -> tuple[Path, str] | None:
    """The file and the data set that ``file.h5#group/dataset`` names; None for another name."""
    file, mark, inside = str(name).rpartition("#")
    return (Path(file), inside) if mark and Path(file).suffix in (".h5", ".hdf5") else None


def read_volume_header(path: Path) -> VolumeHeader:
    """Shape and place of a volume.

    Raises:
        InputDataError: The file is missing or damaged, its voxel file is missing or too short, or it names a voxel
            file elsewhere.
    """
    try:
        return _meta_header(path) if path.suffix in _META_SUFFIXES else _nibabel_header(path)
    except InputDataError:
        raise
    except Exception as fault:  # nibabel and ITK raise many kinds
        raise InputDataError(f"{path.name}: its header cannot be read ({_first_line(fault)})") from fault


def read_volume_file(name: str | Path) -> tuple[NDArray[Any], NDArray[np.float64]]:
    """Voxels and affine of a volume; ``name`` may point into an HDF5 file.

    Returns:
        The array (x, y, z) with the file's scale factors applied, and its affine (the identity for HDF5).

    Raises:
        InputDataError: Missing or damaged.
    """
    place = inside_hdf5(name)
    if place is not None:
        return _read_hdf5(*place), np.eye(4)
    path = Path(name)
    try:
        if path.suffix in _META_SUFFIXES:
            return _read_meta(path)
        if path.suffix in (".hdr", ".img"):
            import nibabel as nib

            image: Any = nib.load(path)
            return np.asanyarray(image.dataobj).squeeze(), np.asarray(image.affine, float)
        from medpipe.io.nifti import read_nifti

        volume = read_nifti(path)
    except InputDataError:
        raise
    except (CaseError, Exception) as fault:  # as above
        raise InputDataError(f"{path.name}: cannot be read ({_first_line(fault)})") from fault
    return volume.array, volume.affine


def read_points(name: str | Path) -> NDArray[np.float64]:
    """Landmarks (points, 3) in voxel coordinates of their image; NaN where the file says -1 -1 -1, "not there".

    Args:
        name: A CSV file of three numbers a row without a header, or a place in an HDF5 file.

    Raises:
        InputDataError: Missing, or something else than three numbers a row.
    """
    place = inside_hdf5(name)
    points = _read_hdf5(*place).astype(float) if place is not None else _read_csv(Path(name))
    if points.ndim != 2 or points.shape[1] != 3:
        raise InputDataError(f"{name}: its points have the shape {points.shape}; expected (points, 3)")
    return np.where((points == MISSING).all(1, keepdims=True), np.nan, points)


def _read_csv(path: Path) -> NDArray[np.float64]:
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = [row for row in csv.reader(file) if row]
    except (OSError, UnicodeDecodeError, csv.Error) as fault:
        raise InputDataError(f"{path}: not readable as a CSV table: {fault}") from fault
    for number, row in enumerate(rows, 1):
        try:
            if len([float(value) for value in row]) == 3:
                continue
        except ValueError:
            pass
        raise InputDataError(f"{path}, row {number}: found {','.join(row)[:60]!r}; expected x,y,z in voxels, no header")
    return np.array(rows, float).reshape(-1, 3)


def _read_hdf5(path: Path, inside: str) -> NDArray[Any]:
    import h5py

    try:
        with h5py.File(path, "r") as file:
            if not isinstance(file.get(inside), h5py.Dataset):
                raise InputDataError(f"{path}: holds no data set '{inside}'")
            return np.asarray(file[inside][()])
    except OSError as fault:
        raise InputDataError(f"{path}: cannot be read as HDF5 ({_first_line(fault)})") from fault


def _nibabel_header(path: Path) -> VolumeHeader:
    import nibabel as nib

    image: Any = nib.load(path)
    shape = tuple(image.shape)
    while len(shape) > 3 and shape[-1] == 1:
        shape = shape[:-1]
    coded = isinstance(image, nib.Nifti1Pair) and bool(image.header["sform_code"] or image.header["qform_code"])
    return VolumeHeader(shape, np.asarray(image.affine, float), coded)


def _meta_header(path: Path) -> VolumeHeader:
    if path.suffix == ".mhd":
        _check_voxel_file(path)
    reader = _simpleitk().ImageFileReader()
    reader.SetFileName(str(path))
    reader.ReadImageInformation()
    directions = np.array(reader.GetDirection()).reshape(reader.GetDimension(), -1)
    return VolumeHeader(
        tuple(reader.GetSize()), _affine_ras(directions, reader.GetSpacing(), reader.GetOrigin()), oriented=True
    )


def _check_voxel_file(path: Path) -> None:
    """A header names the file with its voxels: it must lie beside the header, and be large enough."""
    lines = path.read_text(encoding="latin-1").splitlines()
    fields = {key.strip(): value.strip() for key, _, value in (line.partition("=") for line in lines)}
    name = fields.get("ElementDataFile", "")
    if not name or name != Path(name).name or name == "..":
        raise InputDataError(f"{path.name}: its ElementDataFile is {name!r}; expected the name of a file beside it")
    voxels = path.parent / name
    if not voxels.is_file():
        raise InputDataError(f"{path.name}: its voxel file {name} is missing")
    size = np.prod([int(number) for number in fields.get("DimSize", "").split()])
    width = _META_WIDTHS.get(fields.get("ElementType", ""), 1)
    if fields.get("CompressedData", "False") != "True" and voxels.stat().st_size < size * width:
        raise InputDataError(f"{path.name}: {name} has {voxels.stat().st_size:,} bytes of {int(size * width):,}")


_META_WIDTHS = {"MET_SHORT": 2, "MET_USHORT": 2, "MET_INT": 4, "MET_UINT": 4, "MET_FLOAT": 4, "MET_DOUBLE": 8}


def _read_meta(path: Path) -> tuple[NDArray[Any], NDArray[np.float64]]:
    header = read_volume_header(path)
    sitk = _simpleitk()
    return np.ascontiguousarray(sitk.GetArrayFromImage(sitk.ReadImage(str(path))).T), header.affine


def _affine_ras(directions: NDArray[Any], spacing: Any, origin: Any) -> NDArray[np.float64]:
    affine = np.eye(4)
    affine[:3, :3] = directions * np.asarray(spacing)
    affine[:3, 3] = origin
    return np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine


def _simpleitk() -> Any:
    import SimpleITK

    return SimpleITK


def _first_line(fault: BaseException) -> str:
    text = str(fault).strip().splitlines()
    return f"{type(fault).__name__}: {text[-1][:120] if text else ''}"
