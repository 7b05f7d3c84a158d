"""Radiographs in PNG, JPEG and single-slice NIfTI files."""

from __future__ import annotations

import gzip
import io
import zlib
from typing import BinaryIO

import numpy as np
import numpy.typing as npt

from medpipe.errors import CaseFailedError, CaseSkippedError
from medpipe.io.dicom_file import short
from medpipe.io.radiograph import MAX_PIXELS, Radiograph, check_pixel_count, scale_to_unit

__all__ = ["decode_nifti", "decode_picture"]

_ORIENTATION = 0x0112
"""EXIF tag of the way the camera or scanner was held."""

_FULL_SCALE = {"L": 255, "I;16": 65535, "1": 1}


def decode_picture(stream: BinaryIO) -> Radiograph:
    """Decode a PNG or JPEG; colour is reduced to luminance, an alpha channel is dropped.

    8-bit files are read on their full scale (255 is white), 16-bit ones from their least to their greatest value,
    because cameras and exporters store 10 to 16 used bits without saying how many.

    Raises:
        CaseFailedError: The file is damaged, or its size absurd.
    """
    from PIL import Image, ImageOps, UnidentifiedImageError

    try:
        with Image.open(stream, formats=("PNG", "JPEG")) as picture:
            check_pixel_count(picture.height, picture.width)
            turned = picture.getexif().get(_ORIENTATION, 1) != 1
            upright = ImageOps.exif_transpose(picture)
            grey = upright if upright.mode in _FULL_SCALE or upright.mode.startswith("I") else upright.convert("L")
            values = np.asarray(grey, dtype=np.float32)
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise CaseFailedError(f"damaged picture ({short(error)}); export it again") from error
    notes = ("turned as its EXIF orientation says",) if turned else ()
    if picture.mode.startswith("I"):
        return Radiograph(scale_to_unit(values, float(values.min()), float(values.max())), notes=notes)
    if values.min() == values.max():
        raise CaseFailedError(f"every pixel has the same value ({values.flat[0]:g}): there is nothing to read")
    return Radiograph(scale_to_unit(values, 0, _FULL_SCALE.get(grey.mode, 255)), notes=notes)


def decode_nifti(content: bytes, *, gzipped: bool) -> Radiograph:
    """Decode a NIfTI file that holds one slice, turned to the usual view of a radiograph.

    The file's affine decides: columns run to the patient's left, rows to the feet (or to the back for an axial
    slice), which restores what SimpleITK or dcm2niix were given.

    Raises:
        CaseFailedError: Damaged, or larger than allowed.
        CaseSkippedError: More than one slice.
    """
    import nibabel as nib

    raw = _unpack(content) if gzipped else content
    try:
        # A NIfTI-2 header holds its size (540) in the first four bytes, in either byte order.
        kind = nib.Nifti2Image if 540 in (int.from_bytes(raw[:4], o) for o in ("little", "big")) else nib.Nifti1Image
        image = kind.from_bytes(raw)
        shape = tuple(int(n) for n in image.shape if n != 1)
        if len(shape) != 2:
            raise CaseSkippedError(f"NIfTI of shape {image.shape}: expected a single slice")
        check_pixel_count(shape[1], shape[0])
        itemsize = image.get_data_dtype().itemsize
        if shape[0] * shape[1] * itemsize > len(raw):
            raise CaseFailedError(f"declares {shape[0]} x {shape[1]} voxels, but has only {len(raw):,} bytes")
        flat = np.asarray(image.dataobj, dtype=np.float32).reshape(_three(image.shape))
        canonical = nib.as_closest_canonical(nib.Nifti1Image(flat, image.affine))
        values = np.squeeze(np.asarray(canonical.dataobj, dtype=np.float32))
    except (CaseSkippedError, CaseFailedError):
        raise
    except Exception as error:  # nibabel raises many kinds on damaged headers
        raise CaseFailedError(f"damaged NIfTI ({short(error)})") from error
    zooms = [z for z, n in zip(canonical.header.get_zooms(), canonical.shape, strict=False) if n != 1]
    pixels = _to_view(values)
    spacing = (float(zooms[1]), float(zooms[0])) if all(z > 0 for z in zooms) else None
    return Radiograph(
        scale_to_unit(pixels, float(pixels.min()), float(pixels.max())), spacing, "file" if spacing else ""
    )


def _three(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Three axes, whatever number of single ones the file has behind or between."""
    spatial = [*shape, 1, 1][:3]
    return tuple(spatial) if np.prod(spatial) == np.prod(shape) else (*[n for n in shape if n != 1], 1)


def _to_view(values: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """From canonical axes (first to the right, second up or forward) to rows downwards, columns to the left."""
    return np.ascontiguousarray(values[::-1, ::-1].T)


def _unpack(content: bytes) -> bytes:
    """Gunzip at most what an allowed image can hold; the size field of gzip is not trusted."""
    limit = MAX_PIXELS * 8 + 4096
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(content)) as stream:
            raw = stream.read(limit + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise CaseFailedError(f"damaged gzip stream ({short(error)})") from error
    if len(raw) > limit:
        raise CaseFailedError(f"unpacks to more than {limit:,} bytes")
    return raw
