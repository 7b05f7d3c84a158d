"""Displacement fields between the package's convention and the rest of the world.

Inside, a field is (3, X, Y, Z), float32, on the grid of the fixed image, and pulls back: the fixed voxel x has its
partner at x + u(x) of the moving image, component i along array axis i, in voxels of the moving image. Outside:

==========================  ==============================  ========================  =============================
who                         layout                          components, unit          here
==========================  ==============================  ========================  =============================
ITK, SimpleITK, elastix     vector image on the fixed grid  x, y, z of LPS, mm        ``field_to_sitk``, ...
ANTs ``Warp.nii.gz``        (X, Y, Z, 1, 3), intent 1007    x, y, z of LPS, mm        ``write_warp``
Learn2Reg from 2022         (X, Y, Z, 3) ``disp.nii.gz``    array axes, voxels        ``write_disp``
Learn2Reg 2020, 2021        (3, X/2, Y/2, Z/2) in a .npz    array axes, voxels        ``field_to_learn2reg_npz``
VoxelMorph (PyTorch)        (3, X, Y, Z)                    array axes, voxels        as it is
torch ``grid_sample``       (X, Y, Z, 3), positions         axes reversed, [-1, 1]    ``field_to_grid_sample``
==========================  ==============================  ========================  =============================

All of them pull back. The values of Learn2Reg's fields of half the size are voxels of the full grid: its evaluation
enlarges the arrays and leaves the numbers. VoxelMorph fills with zeros outside the moving image where this package
repeats the border. FSL's and SPM's warps mean something else and are refused by name.

Conversion goes through points: d = A_m (x + u) - A_f x, with the voxel-to-world matrices (RAS+, mm) of the moving and
fixed grid, so oblique, flipped and permuted axes and unequal grids come out right.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from medpipe.errors import InputDataError, RequestError
from medpipe.io.atomic import atomic_writer
from medpipe.io.geometry import LPS_TO_RAS
from medpipe.io.nifti import COMPRESSION, read_nifti

__all__ = [
    "field_from_grid_sample",
    "field_from_learn2reg_npz",
    "field_from_lps",
    "field_from_sitk",
    "field_on_grid",
    "field_to_grid_sample",
    "field_to_learn2reg_npz",
    "field_to_lps",
    "field_to_sitk",
    "read_field",
    "write_disp",
    "write_warp",
]

Array = npt.NDArray[Any]

_FLIP = np.diag(LPS_TO_RAS)[:3]
_VECTOR, _DISPLACEMENT = 1007, 1006
_FSL = (*range(2006, 2010), *range(2016, 2019))
_TRANSFORMS = (".h5", ".hdf5", ".tfm", ".txt", ".mat", ".xfm")
_IMAGES = (".mha", ".mhd", ".nrrd", ".nhdr")
_SAME_GRID_MM = 1e-3
_SLAB = 16


def field_to_lps(field: Array, fixed_affine: Array, moving_affine: Array | None = None) -> Array:
    """Displacements in millimetres, as ITK has them.

    Args:
        field: (3, X, Y, Z) in voxels of the moving grid.
        fixed_affine: (4, 4) of the fixed grid, RAS+.
        moving_affine: (4, 4) of the moving grid; without, the same as the fixed one.

    Returns:
        (X, Y, Z, 3) float64, components along x, y, z of LPS.
    """
    field = _checked(field)
    fixed, moving = _affines(fixed_affine, moving_affine)
    world = np.moveaxis(field, 0, -1).astype(np.float64) @ moving[:3, :3].T
    world += _between_grids(field.shape[1:], moving - fixed)
    return world * _FLIP


def field_from_lps(vectors: Array, fixed_affine: Array, moving_affine: Array | None = None) -> Array:
    """The inverse of ``field_to_lps``.

    Args:
        vectors: (X, Y, Z, 3) in millimetres, LPS.
        fixed_affine: (4, 4) of the fixed grid, RAS+.
        moving_affine: (4, 4) of the moving grid; without, the same as the fixed one.

    Returns:
        (3, X, Y, Z) float32, in voxels of the moving grid.
    """
    vectors = np.asarray(vectors)
    if vectors.ndim != 4 or vectors.shape[3] != 3:
        raise InputDataError(f"expected displacements (X, Y, Z, 3), found {vectors.shape}")
    fixed, moving = _affines(fixed_affine, moving_affine)
    world = vectors * _FLIP
    world -= _between_grids(vectors.shape[:3], moving - fixed)
    voxels = world @ np.linalg.inv(moving[:3, :3]).T
    return np.ascontiguousarray(np.moveaxis(voxels, -1, 0), dtype=np.float32)


def field_to_sitk(field: Array, fixed_affine: Array, moving_affine: Array | None = None) -> Any:
    """The field as a SimpleITK vector image; ``SimpleITK.DisplacementFieldTransform`` takes (a copy of) it.

    Args:
        field: (3, X, Y, Z) in voxels of the moving grid.
        fixed_affine: (4, 4) of the fixed grid, RAS+.
        moving_affine: (4, 4) of the moving grid; without, the same as the fixed one.

    Raises:
        RequestError: SimpleITK is not installed.
    """
    sitk = _simpleitk()
    vectors = field_to_lps(field, fixed_affine, moving_affine)
    image = sitk.GetImageFromArray(np.ascontiguousarray(vectors.transpose(2, 1, 0, 3)), isVector=True)
    _, origin, spacing, direction = _itk_grid(fixed_affine, vectors.shape[:3])
    image.SetOrigin(origin)
    image.SetSpacing(spacing)
    image.SetDirection(direction)
    return image


def field_from_sitk(
    transform: Any, fixed_affine: Array, fixed_shape: Sequence[int], moving_affine: Array | None = None
) -> Array:
    """Any SimpleITK transform (fixed to moving points), sampled on the fixed grid.

    Args:
        transform: A ``SimpleITK.Transform``, or a vector image of displacements.
        fixed_affine: (4, 4) of the fixed grid, RAS+.
        fixed_shape: (X, Y, Z) of the fixed grid.
        moving_affine: (4, 4) of the moving grid; without, the same as the fixed one.

    Returns:
        (3, X, Y, Z) float32, in voxels of the moving grid. Where a displacement field ends, ITK takes displacements
        for zero.
    """
    sitk = _simpleitk()
    if isinstance(transform, sitk.Image):
        if transform.GetDimension() != 3 or transform.GetNumberOfComponentsPerPixel() != 3:
            raise InputDataError(
                f"expected a volume of vectors of 3 components, found {transform.GetDimension()} dimensions and "
                f"{transform.GetNumberOfComponentsPerPixel()} components"
            )
        transform = sitk.DisplacementFieldTransform(sitk.Cast(transform, sitk.sitkVectorFloat64))
    if transform.GetDimension() != 3:
        raise InputDataError(f"expected a transform of 3 dimensions, found {transform.GetDimension()}")
    grid = _itk_grid(fixed_affine, fixed_shape)
    image = sitk.TransformToDisplacementField(transform, sitk.sitkVectorFloat64, *grid)
    vectors = sitk.GetArrayViewFromImage(image).transpose(2, 1, 0, 3)
    return field_from_lps(vectors, fixed_affine, moving_affine)


def field_to_grid_sample(field: Array, moving_shape: Sequence[int]) -> Array:
    """Positions for ``torch.nn.functional.grid_sample(align_corners=True)``: (X, Y, Z, 3) in [-1, 1], last axis first.

    Args:
        field: (3, X, Y, Z) in voxels of the moving grid.
        moving_shape: (X', Y', Z') of the moving image, at least 2 each.
    """
    field = _checked(field)
    axes = []
    for axis in (2, 1, 0):
        line = np.arange(field.shape[axis + 1]).reshape([-1 if k == axis else 1 for k in range(3)])
        axes.append((line + field[axis].astype(np.float64)) * 2 / (moving_shape[axis] - 1) - 1)
    return np.stack(axes, axis=-1).astype(np.float32)


def field_from_grid_sample(positions: Array, moving_shape: Sequence[int]) -> Array:
    """The inverse of ``field_to_grid_sample``."""
    positions = np.asarray(positions, dtype=np.float64)
    field = np.empty((3, *positions.shape[:3]), np.float32)
    for axis in range(3):
        line = np.arange(positions.shape[axis]).reshape([-1 if k == axis else 1 for k in range(3)])
        field[axis] = (positions[..., 2 - axis] + 1) / 2 * (moving_shape[axis] - 1) - line
    return field


def field_to_learn2reg_npz(field: Array) -> Array:
    """The array of Learn2Reg's ``disp_FFFF_MMMM.npz`` of 2020 and 2021: half the size, float16.

    Its evaluation doubles the size by splines of order 2, so fine detail is lost in both directions.

    Args:
        field: (3, X, Y, Z), sizes even, in voxels.

    Returns:
        (3, X/2, Y/2, Z/2) float16, in voxels of the full grid; for ``numpy.savez``.
    """
    from scipy.ndimage import zoom

    field = _checked(field)
    if any(n % 2 for n in field.shape[1:]):
        raise InputDataError(f"Learn2Reg halves the grid, which {field.shape[1:]} does not allow")
    return np.stack([zoom(component, 0.5, order=2) for component in field]).astype(np.float16)


def field_from_learn2reg_npz(array: Array, fixed_shape: Sequence[int]) -> Array:
    """The field (3, X, Y, Z) that Learn2Reg's evaluation of 2020 and 2021 sees.

    Args:
        array: (3, X/2, Y/2, Z/2), or already of full size, in voxels of the full grid.
        fixed_shape: (X, Y, Z) of the fixed image.
    """
    from scipy.ndimage import zoom

    field = _checked(array).astype(np.float32)
    if field.shape[1:] == tuple(fixed_shape):
        return field
    if tuple(2 * n for n in field.shape[1:]) != tuple(fixed_shape):
        raise InputDataError(
            f"the field is of size {field.shape[1:]}; expected that of the fixed image, {tuple(fixed_shape)}, or half"
        )
    return np.stack([zoom(component, 2, order=2) for component in field])


def write_disp(path: Path, field: Array, fixed_affine: Array) -> None:
    """Write a field as Learn2Reg (from 2022 on) wants it: ``*_disp.nii.gz``, (X, Y, Z, 3), voxels.

    Args:
        path: Ends in .nii or .nii.gz.
        field: (3, X, Y, Z) in voxels.
        fixed_affine: (4, 4) for the header; readers of this layout leave it aside.
    """
    _write(path, np.moveaxis(_checked(field), 0, -1), fixed_affine, "none")


def write_warp(path: Path, field: Array, fixed_affine: Array, moving_affine: Array | None = None) -> None:
    """Write a field as ANTs and ITK want it: ``*_Warp.nii.gz``, (X, Y, Z, 1, 3), LPS millimetres, intent "vector".

    ``antsApplyTransforms -r FIXED -t FILE`` and SimpleITK's ``DisplacementFieldTransform`` then warp the moving image
    as this package does.

    Args:
        path: Ends in .nii or .nii.gz.
        field: (3, X, Y, Z) in voxels of the moving grid.
        fixed_affine: (4, 4) of the fixed grid, RAS+.
        moving_affine: (4, 4) of the moving grid; without, the same as the fixed one.
    """
    field = _checked(field)
    fixed, moving = _affines(fixed_affine, moving_affine)
    vectors = np.empty((*field.shape[1:], 1, 3), np.float32)
    for start in range(0, len(vectors), _SLAB):  # float64 copies of a whole CT would take gigabytes
        corner = np.eye(4)
        corner[0, 3] = start
        part = field[:, start : start + _SLAB]
        vectors[start : start + _SLAB, :, :, 0] = field_to_lps(part, fixed @ corner, moving @ corner)
    _write(path, vectors, fixed_affine, "vector")


def read_field(
    path: Path, fixed_affine: Array, fixed_shape: Sequence[int], moving_affine: Array | None = None
) -> Array:
    """Read a displacement field or transform of one of the layouts above.

    NIfTI: intent 1007 as LPS and 1006 as RAS millimetres (as ITK reads them), else voxels, components last (Learn2Reg)
    or first (VoxelMorph). ``.npz``: Learn2Reg 2020 and 2021. ITK transforms (.h5, .tfm, .txt, .mat, .xfm) and vector
    images (.mha, .mhd, .nrrd) through SimpleITK. Fields in millimetres may lie on another grid than the fixed image;
    outside of it they are zero.

    Args:
        path: The file.
        fixed_affine: (4, 4) of the fixed grid, RAS+.
        fixed_shape: (X, Y, Z) of the fixed grid.
        moving_affine: (4, 4) of the moving grid; without, the same as the fixed one.

    Returns:
        (3, X, Y, Z) float32, in voxels of the moving grid.

    Raises:
        InputDataError: No such file, damaged, of another convention (FSL, SPM) or another size, or not finite.
        RequestError: SimpleITK is needed and not installed.
    """
    path = Path(path)
    if not path.is_file():
        raise InputDataError(f"no displacement field at {path}")
    name = path.name.lower()
    if name.endswith((".nii", ".nii.gz")):
        field = _read_nifti(path, fixed_affine, tuple(fixed_shape), moving_affine)
    elif name.endswith(".npz"):
        field = field_from_learn2reg_npz(_npz_array(path), fixed_shape)
    elif name.endswith(_TRANSFORMS + _IMAGES):
        sitk = _simpleitk()
        read = sitk.ReadTransform if name.endswith(_TRANSFORMS) else sitk.ReadImage
        try:
            transform = read(str(path))
        except RuntimeError as error:
            raise InputDataError(f"{path}: ITK cannot read it: {str(error).strip()[-200:]}") from error
        field = field_from_sitk(transform, fixed_affine, fixed_shape, moving_affine)
    else:
        kinds = ", ".join((".nii", ".nii.gz", ".npz", *_TRANSFORMS, *_IMAGES))
        raise InputDataError(f"{path}: expected a displacement field or transform in one of {kinds}")
    if not np.isfinite(field).all():
        raise InputDataError(f"{path}: {int((~np.isfinite(field)).sum()):,} displacements are not finite numbers")
    return field


def field_on_grid(
    field: Array,
    fixed_crop_affine: Array,
    moving_crop_affine: Array,
    *,
    fixed_affine: Array,
    fixed_shape: Sequence[int],
    moving_affine: Array,
) -> tuple[Array, Array]:
    """Bring a field between cropped, rescaled images back to the grids of the original images.

    Every voxel of the original fixed grid is taken to the cropped one, where the field is interpolated linearly
    (continued by its border values), and its partner from the cropped moving grid through world coordinates to the
    original moving grid.

    Args:
        field: (3, x, y, z) between the cropped grids, in voxels of the cropped moving grid.
        fixed_crop_affine: (4, 4) from voxels of the cropped fixed grid to world coordinates.
        moving_crop_affine: The same of the cropped moving grid.
        fixed_affine: (4, 4) of the original fixed grid.
        fixed_shape: (X, Y, Z) of the original fixed grid.
        moving_affine: (4, 4) of the original moving grid.

    Returns:
        (3, X, Y, Z) float32, in voxels of the original moving grid; and (X, Y, Z) bool, the voxels whose centres lie
        within the cropped grid, so that their displacement is no continuation.
    """
    from medpipe.io.sampling import field_between_grids

    field = np.ascontiguousarray(_checked(field), dtype=np.float32)
    to_crop = np.linalg.inv(fixed_crop_affine) @ fixed_affine
    back = np.linalg.inv(moving_affine) @ moving_crop_affine
    return field_between_grids(field, to_crop, back, fixed_shape)


def _mapped(affine: Array, points: Array) -> Array:
    """An affine applied to points (3, ...)."""
    return np.tensordot(affine[:3, :3], points, axes=1) + affine[:3, 3][:, None, None, None]


def _between_grids(shape: Sequence[int], difference: Array) -> Array | float:
    """(A_m - A_f) x of every voxel, (X, Y, Z, 3)."""
    if not difference.any():
        return 0.0
    voxels = np.moveaxis(np.indices(shape, dtype=np.float64), 0, -1)
    return np.asarray(voxels @ difference[:3, :3].T + difference[:3, 3])


def _checked(field: Array) -> Array:
    field = np.asarray(field)
    if field.ndim != 4 or field.shape[0] != 3:
        raise InputDataError(f"expected a displacement field (3, X, Y, Z), found {field.shape}")
    return field


def _affines(fixed: Array, moving: Array | None) -> tuple[Array, Array]:
    fixed = np.asarray(fixed, dtype=np.float64)
    return fixed, fixed if moving is None else np.asarray(moving, dtype=np.float64)


def _itk_grid(affine: Array, shape: Sequence[int]) -> tuple[list[int], list[float], list[float], list[float]]:
    """Size, origin, spacing and direction in LPS."""
    lps = LPS_TO_RAS @ np.asarray(affine, dtype=np.float64)
    spacing = np.linalg.norm(lps[:3, :3], axis=0)
    direction = (lps[:3, :3] / spacing).ravel()
    return [int(n) for n in shape], lps[:3, 3].tolist(), spacing.tolist(), direction.tolist()


def _simpleitk() -> Any:
    try:
        import SimpleITK
    except ImportError as error:
        raise RequestError("ITK transforms need SimpleITK: pip install SimpleITK") from error
    return SimpleITK


def _write(path: Path, array: Array, affine: Array, intent: str) -> None:
    """Write components last, one after the other: whole copies of a CT's field would take gigabytes."""
    import nibabel as nib
    from isal import isal_zlib

    header = nib.Nifti1Header()
    header.set_data_dtype(np.float32)
    header.set_data_shape(array.shape)
    header.set_zooms((*np.linalg.norm(affine[:3, :3], axis=0), *[1.0] * (array.ndim - 3)))
    image = nib.Nifti1Image(np.zeros(1, np.float32).reshape([1] * array.ndim), np.asarray(affine, dtype=np.float64))
    for name in ("qform", "sform"):
        getattr(header, f"set_{name}")(*getattr(image.header, f"get_{name}")(coded=True))
    header.set_intent(intent)
    header.set_xyzt_units("mm")
    header["vox_offset"], header["magic"] = 352, b"n+1"
    header.set_slope_inter(1, 0)
    # No time in the header of the .gz: the same field is the same file.
    packer: Any = isal_zlib.compressobj(COMPRESSION, wbits=31) if Path(path).name.endswith(".gz") else None
    with atomic_writer(Path(path)) as stream:
        for part in (header.binaryblock + bytes(4), *array.T):
            content: Any = part if isinstance(part, bytes) else np.ascontiguousarray(part, np.float32)
            stream.write(content if packer is None else packer.compress(content))
        if packer is not None:
            stream.write(packer.flush())


def _read_nifti(path: Path, fixed_affine: Array, shape: tuple[int, ...], moving_affine: Array | None) -> Array:
    import nibabel as nib

    volume = read_nifti(path)
    header: Any = nib.load(path).header
    intent, array = int(header["intent_code"]), volume.array
    _refuse_foreign(path, intent, header)
    if intent in (_VECTOR, _DISPLACEMENT):
        if array.ndim != 5 or array.shape[3:] != (1, 3):
            raise InputDataError(f"{path}: expected vectors (X, Y, Z, 1, 3), found {array.shape}")
        vectors = array[:, :, :, 0] * (_FLIP if intent == _DISPLACEMENT else 1.0)
        return field_from_lps(_on(vectors, volume.affine, fixed_affine, shape), fixed_affine, moving_affine)
    if intent:
        raise InputDataError(f"{path}: intent code {intent} is no displacement field; expected 1007, 1006 or none")
    if array.shape == (*shape, 3):
        return np.ascontiguousarray(np.moveaxis(array, -1, 0), dtype=np.float32)
    if array.shape == (3, *shape):
        return np.ascontiguousarray(array, dtype=np.float32)
    raise InputDataError(
        f"{path}: a field in voxels must have the size of the fixed image, {(*shape, 3)} or {(3, *shape)}; "
        f"found {array.shape}"
    )


def _refuse_foreign(path: Path, intent: int, header: Any) -> None:
    if intent in _FSL:
        raise InputDataError(
            f"{path} is an FSL warp (intent code {intent}); FSL's convention is not read, convert it with "
            "wb_command -convert-warpfield -from-fnirt ... -to-itk"
        )
    name = bytes(header["intent_name"]).rstrip(b"\0").decode("latin-1")
    if name.lower() == "mapping" or path.name.startswith(("y_", "iy_")):
        raise InputDataError(
            f"{path} is an SPM deformation (absolute positions); SPM's convention is not read, hand over a "
            "displacement field in ITK's or Learn2Reg's layout"
        )


def _on(vectors: Array, affine: Array, fixed_affine: Array, shape: tuple[int, ...]) -> Array:
    """Vectors (x, y, z, 3) of one grid, on another; zero outside, as in ITK."""
    from scipy.ndimage import map_coordinates

    fixed_affine = np.asarray(fixed_affine, dtype=np.float64)
    far = np.array([*shape, 1.0])
    apart = max(np.abs(affine - fixed_affine)[:3, 3].max(), np.abs((affine - fixed_affine) @ far).max())
    if vectors.shape[:3] == shape and apart < _SAME_GRID_MM:
        return vectors
    places = _mapped(np.linalg.inv(affine) @ fixed_affine, np.indices(shape, dtype=np.float64))
    # As in ITK, a field reaches half a voxel beyond its outermost centres.
    ends = np.array(vectors.shape[:3])[:, None, None, None] - 0.5
    inside = ((places >= -0.5) & (places < ends)).all(axis=0)
    return np.stack([map_coordinates(vectors[..., k], places, order=1, mode="nearest") * inside for k in range(3)], -1)


def _npz_array(path: Path) -> Array:
    try:
        with np.load(path, allow_pickle=False) as content:
            if len(content.files) != 1:
                raise InputDataError(f"{path}: expected one array, found {', '.join(content.files) or 'none'}")
            return np.asarray(content[content.files[0]])
    except (ValueError, OSError) as error:
        if isinstance(error, InputDataError):
            raise
        raise InputDataError(f"{path}: damaged or no .npz file ({str(error)[:120]})") from error
