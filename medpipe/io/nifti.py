"""NIfTI-1 and NIfTI-2 volumes: read within bounds, written atomically.

Headers are nibabel's; .gz goes through ISA-L. No size field of a file is believed: at most the bytes that the header's
shape needs are unpacked, and what is missing is named.
"""

from __future__ import annotations

import io
import math
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from medpipe.errors import CaseError, CaseFailedError
from medpipe.io.atomic import atomic_writer
from medpipe.io.findings import Finding, found
from medpipe.io.quiet import quiet_libraries
from medpipe.io.sources import Source
from medpipe.io.volume import MAX_VOLUME_BYTES, Volume

__all__ = ["read_nifti", "write_nifti"]

COMPRESSION = 2
"""ISA-L's level: 3 to 20 times faster than zlib's default at nearly its size."""

_RGB = np.dtype([("R", "u1"), ("G", "u1"), ("B", "u1")])
_CHUNK = 1 << 22
_MILLIMETRES = {"meter": 1000.0, "micron": 0.001}


def read_nifti(source: Source | str | Path) -> Volume:
    """Read a .nii or .nii.gz file.

    The array keeps the file's axes; the scale factors are applied (float32, or float64 where that is too
    coarse) unless they change nothing. The affine is the sform's, else the qform's.

    Raises:
        CaseFailedError: Damaged, cut short, larger than its bytes, or of a type that is no image.
    """
    source = source if isinstance(source, Source) else Source.parse(source)
    try:
        with source.open() as stream:
            return _read(stream)
    except CaseError:
        raise
    except Exception as error:  # damaged headers and streams raise many kinds
        raise CaseFailedError(f"damaged NIfTI ({type(error).__name__}: {str(error)[:120]})") from error


def _read(stream: BinaryIO) -> Volume:
    from isal import igzip

    gzipped = stream.read(2) == b"\x1f\x8b"
    stream.seek(0)
    plain: Any = igzip.GzipFile(fileobj=stream) if gzipped else stream
    header = _header(plain)
    shape, dtype = _shape(header), header.get_data_dtype()
    colour = dtype == _RGB
    if dtype.kind not in "iuf" and not colour:
        raise CaseFailedError(f"holds {dtype} voxels; expected integers, floats or 24-bit colour")
    expected = math.prod(shape) * dtype.itemsize
    if expected > MAX_VOLUME_BYTES:
        raise CaseFailedError(
            f"declares {expected:,} bytes of voxels, more than the {MAX_VOLUME_BYTES:,} that are read"
        )
    start = int(header["sizeof_hdr"])
    _skip(plain, max(int(header["vox_offset"]), start + 4) - start)  # four bytes say whether extensions follow
    flat = _voxels(plain, expected)
    surplus = bool(plain.read(1))
    array = flat.view(dtype).reshape(shape, order="F")
    if colour:
        array = flat.reshape((3, *shape), order="F").transpose(*range(1, len(shape) + 1), 0)
    affine, findings = _affine(header)
    if surplus:
        findings.append(found("surplus_voxels", f"shape {' x '.join(map(str, shape))}"))
    array, slope, intercept = (array, 1.0, 0.0) if colour else _scaled(array, header)
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        count = int((~np.isfinite(array)).sum())
        findings.append(found("not_a_number", f"{count:,} voxels", voxels=count))
    return Volume(array, affine, findings, colour, slope, intercept)


def _header(stream: Any) -> Any:
    import nibabel as nib

    size = stream.read(4)
    for order in ("little", "big"):
        value = int.from_bytes(size, order)  # type: ignore[arg-type]
        if value in (348, 540):
            kind = nib.Nifti1Header if value == 348 else nib.Nifti2Header
            block = io.BytesIO(size + _exactly(stream, value - 4))
            _check(kind.from_fileobj(block, check=False))  # nibabel's own check mends in silence
            block.seek(0)
            with quiet_libraries():
                return kind.from_fileobj(block, check=True)
    raise CaseFailedError("is no NIfTI file: its header size is neither 348 nor 540")


def _check(header: Any) -> None:
    """Refuse what can be read in more than one way."""
    if bytes(header["magic"]).startswith(b"ni"):
        raise CaseFailedError("is the header of a pair (.hdr, .img); convert it to one .nii file")
    bits = header.get_data_dtype().itemsize * 8
    if int(header["bitpix"]) != bits:
        raise CaseFailedError(f"declares {int(header['bitpix'])} bits per voxel, but a data type of {bits}")
    slope = float(header["scl_slope"])
    if math.isinf(slope):
        raise CaseFailedError("its scale factor (scl_slope) is infinite")
    sizes = [float(v) for v in header["pixdim"][1 : 1 + min(int(header["dim"][0]), 3)]]
    if not int(header["sform_code"]) and not all(0 < size < math.inf for size in sizes):
        raise CaseFailedError(f"its voxel sizes (pixdim) are {sizes}; expected positive numbers")


def _shape(header: Any) -> tuple[int, ...]:
    shape = tuple(int(n) for n in header.get_data_shape())
    if not shape or len(shape) > 7 or min(shape) < 1:
        raise CaseFailedError(f"declares the shape {shape}")
    while len(shape) > 3 and shape[-1] == 1:
        shape = shape[:-1]
    return (*shape, 1, 1)[: max(3, len(shape))]


def _exactly(stream: Any, count: int) -> bytes:
    content = stream.read(count)
    if len(content) < count:
        raise CaseFailedError("ends within its header; copy it again from its source")
    return bytes(content)


def _skip(stream: Any, count: int) -> None:
    if count > 1 << 24:
        raise CaseFailedError(f"declares {count:,} bytes of header extensions")
    _exactly(stream, count)


def _voxels(stream: Any, expected: int) -> npt.NDArray[np.uint8]:
    """Exactly the bytes wanted. Memory grows with what is there, so that a false shape costs nothing."""
    parts = np.empty(min(expected, 1 << 27), np.uint8)
    done = 0
    while done < expected:
        if done == len(parts):
            grown = np.empty(min(expected, 2 * len(parts)), np.uint8)
            grown[:done] = parts
            parts = grown
        count = stream.readinto(parts.data[done : done + _CHUNK])
        if not count:
            raise CaseFailedError(f"voxels are cut short: {expected:,} bytes declared, {done:,} there; copy it again")
        done += count
    return parts


def _affine(header: Any) -> tuple[npt.NDArray[np.float64], list[Finding]]:
    findings: list[Finding] = []
    sform, scode = header.get_sform(coded=True)
    qform, qcode = header.get_qform(coded=True)
    if scode:
        affine = sform
        findings += _disagreement(sform, qform if qcode else None, header)
    elif qcode:
        affine = qform
    else:
        affine = header.get_base_affine()
        findings.append(found("no_orientation"))
    unit = _MILLIMETRES.get(header.get_xyzt_units()[0])
    if unit:
        affine = np.diag([unit, unit, unit, 1.0]) @ affine
        findings.append(found("converted_units", header.get_xyzt_units()[0], factor=unit))
    if not np.isfinite(affine).all() or abs(np.linalg.det(affine[:3, :3])) < 1e-12:
        raise CaseFailedError("its affine is not finite or has no volume")
    return np.asarray(affine, dtype=float), findings


def _disagreement(sform: Any, qform: Any, header: Any) -> list[Finding]:
    """What speaks against the sform: the qform, or without one the voxel sizes."""
    sizes = np.array(header.get_zooms()[:3])
    if qform is not None:
        apart = float(np.abs(_corners(sform, header) - _corners(qform, header)).max())
        if apart > 0.1 * sizes.min():
            return [found("forms_disagree", f"by up to {apart:.3g} mm", largest_mm=round(apart, 4))]
        return []
    lengths = np.linalg.norm(sform[:3, : len(sizes)], axis=0)
    if np.allclose(sizes, lengths, rtol=1e-3):
        return []
    shown = (" x ".join(f"{v:.4g}" for v in part) for part in (lengths, sizes))
    return [found("voxel_size_disagrees", " against ".join(shown))]


def _corners(affine: Any, header: Any) -> npt.NDArray[np.float64]:
    ends = [(0, n - 1) for n in _shape(header)[:3]]
    corners = np.array([(i, j, k, 1) for i in ends[0] for j in ends[1] for k in ends[2]], dtype=float)
    return np.asarray(corners @ np.asarray(affine).T)


def _scaled(array: npt.NDArray[Any], header: Any) -> tuple[npt.NDArray[Any], float, float]:
    slope, intercept = header.get_slope_inter()
    slope, intercept = 1.0 if slope is None else float(slope), 0.0 if intercept is None else float(intercept)
    if not array.dtype.isnative:
        array = array.astype(array.dtype.newbyteorder("="))
    if (slope, intercept) == (1.0, 0.0):
        return array, slope, intercept
    kind = np.float64 if _needs_double(array, slope, intercept) else np.float32
    result = np.empty(array.shape, kind, order="F")
    for index in range(array.shape[2]):
        result[:, :, index] = array[:, :, index] * np.float64(slope) + np.float64(intercept)
    return result, slope, intercept


def _needs_double(array: npt.NDArray[Any], slope: float, intercept: float) -> bool:
    """Whether float32 cannot hold the scaled values, or not tell neighbouring integers apart."""
    if array.dtype.itemsize > (4 if array.dtype.kind == "f" else 2):
        return True
    if array.dtype.kind == "f":
        return False
    kind = np.iinfo(array.dtype)
    largest = max(abs(float(end) * slope + intercept) for end in (kind.min, kind.max))
    return bool(largest > np.finfo(np.float32).max or np.spacing(np.float32(largest)) > abs(slope))


def write_nifti(
    path: Path, array: npt.NDArray[Any], affine: npt.NDArray[Any], *, colour: bool = False, time_step: float = 0.0
) -> None:
    """Write a volume to .nii or .nii.gz; the file appears only when whole.

    Args:
        path: Ends in .nii or .nii.gz.
        array: (columns, rows, slices), then time points, then 3 samples if ``colour``. Any NIfTI type; fastest in
            Fortran order.
        affine: (4, 4) to RAS+ millimetres. A sheared one is written as sform alone, since a qform cannot say it.
        colour: The last axis is red, green, blue (uint8).
        time_step: Seconds between time points; 0 where unknown.

    Raises:
        CaseFailedError: Colour of more than 8 bits, which NIfTI cannot say.
    """
    if colour and array.dtype != np.uint8:
        raise CaseFailedError(f"colour of type {array.dtype}: NIfTI holds colours of 8 bits")
    from isal import isal_zlib

    header = _new_header(array, affine, colour, time_step)
    body = np.moveaxis(array, -1, 0) if colour else array
    with atomic_writer(path) as stream:
        packer: Any = isal_zlib.compressobj(COMPRESSION, wbits=31) if path.name.endswith(".gz") else None
        write = stream.write if packer is None else lambda part: stream.write(packer.compress(part))
        write(header.binaryblock + bytes(4))
        for part in _memory(body):
            write(part)
        if packer is not None:
            stream.write(packer.flush())


def _new_header(array: npt.NDArray[Any], affine: npt.NDArray[Any], colour: bool, time_step: float) -> Any:
    import nibabel as nib

    shape = array.shape[:-1] if colour else array.shape
    large = max(shape) > 32767
    header = nib.Nifti2Header() if large else nib.Nifti1Header()
    header.set_data_dtype(_RGB if colour else array.dtype)
    header.set_data_shape(shape)
    header.set_sform(affine, code=1)
    columns = affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)
    upright = bool(np.abs(columns.T @ columns - np.eye(3)).max() < 1e-4)
    header.set_qform(affine, code=1 if upright else 0, strip_shears=True)
    if len(shape) > 3:
        header.set_zooms((*header.get_zooms()[:3], time_step))
    header.set_xyzt_units("mm", "sec" if len(shape) > 3 and time_step else None)
    header.set_slope_inter(1, 0)
    if large:
        header["vox_offset"] = 544
    else:
        header["vox_offset"], header["magic"] = 352, b"n+1"
    header["descrip"] = b"medpipe"
    return header


def _memory(array: npt.NDArray[Any]) -> Any:
    """The array's bytes in Fortran order, by slabs of the last axis."""
    turned = array.T
    if turned.flags.c_contiguous:
        flat = turned.data.cast("B") if turned.size else b""
        for start in range(0, len(flat), _CHUNK):
            yield flat[start : start + _CHUNK]
        return
    for part in turned:
        yield np.ascontiguousarray(part).tobytes()
