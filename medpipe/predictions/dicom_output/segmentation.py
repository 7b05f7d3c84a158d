"""A mask as a DICOM Segmentation on the grid of its source series."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from medpipe.errors import RequestError
from medpipe.predictions.dicom_output.producer import Producer, new_uid, source_uids
from medpipe.predictions.dicom_output.sources import has_place, slice_affine
from medpipe.predictions.dicom_output.structured_report import finding_code

__all__ = ["planes_of", "segmentation"]

GRID_TOLERANCE = 1e-3
"""Largest distance in millimetres of a mask's voxel from the source's pixel that counts as the same place."""

_LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])


def segmentation(
    sources: Sequence[Any],
    mask: npt.NDArray[Any],
    segments: Mapping[int, str],
    producer: Producer,
    *,
    affine: npt.NDArray[np.float64] | None = None,
    kind: str = "binary",
) -> Any:
    """A Segmentation of single-frame sources; frames without any segment are left out.

    Args:
        sources: Headers of the source instances.
        mask: Labels as integers, 0 for none: (columns, rows, slices) with ``affine``; without it (rows, columns) of the one
            source, or (slices, rows, columns) in the order of ``sources``.
        segments: Name of each label.
        producer: The run.
        affine: (4, 4) from voxel indices to RAS+ millimetres, as NIfTI has it. Axes may be turned and swapped against the
            source, but every voxel must lie on one of its pixels.
        kind: "binary" (one frame per slice and segment, read by everything) or "labelmap" (one frame per slice).

    Raises:
        RequestError: The mask is not on the grid of the sources, or holds a label without a name.
    """
    import highdicom as hd

    if kind not in ("binary", "labelmap"):
        raise RequestError(f"kind of segmentation '{kind}' is unknown; there are binary and labelmap")
    planes = planes_of(sources, mask, affine) if affine is not None else _given_planes(sources, mask)
    _check_labels(planes, segments)
    numbers = {label: number for number, label in enumerate(sorted(segments), start=1)}
    numbered = np.zeros(planes.shape, np.uint8 if len(numbers) < 256 else np.uint16)
    for label, number in numbers.items():
        numbered[planes == label] = number
    content = [
        source_uids(sources),
        hashlib.sha256(numbered.tobytes()).hexdigest(),
        dict(sorted(segments.items())),
        kind,
    ]
    run = [producer.name, producer.version, producer.weights_sha256]
    made = hd.seg.Segmentation(
        source_images=list(sources),
        pixel_array=numbered,
        segmentation_type=kind.upper(),
        segment_descriptions=[
            _description(numbers[label], segments[label], producer, content) for label in sorted(segments)
        ],
        series_instance_uid=new_uid("seg series", run, content),
        series_number=9902,
        sop_instance_uid=new_uid("seg", run, content),
        instance_number=1,
        content_label="SEGMENTATION",
        omit_empty_frames=bool(numbered.any()),
        **producer.equipment(),
    )
    if not has_place(sources):
        made.PatientOrientation = sources[0].get("PatientOrientation")
    return made


def _description(number: int, name: str, producer: Producer, content: list[Any]) -> Any:
    import highdicom as hd
    from pydicom.sr.codedict import codes

    algorithm = hd.AlgorithmIdentificationSequence(
        name=producer.name, family=codes.DCM.ArtificialIntelligence, version=producer.version
    )
    return hd.seg.SegmentDescription(
        segment_number=number,
        segment_label=name[:64],
        segmented_property_category=codes.SCT.MorphologicallyAbnormalStructure,
        segmented_property_type=finding_code(name),
        algorithm_type="AUTOMATIC",
        algorithm_identification=algorithm,
        tracking_uid=new_uid("segment", number, content),
        tracking_id=f"{name[:48]} {number}",
    )


def _check_labels(planes: npt.NDArray[Any], segments: Mapping[int, str]) -> None:
    if planes.dtype.kind not in "iub":
        raise RequestError(f"a mask holds whole numbers; this one holds {planes.dtype}")
    unnamed = sorted(set(np.unique(planes).tolist()) - {0, *segments})
    if unnamed:
        raise RequestError(f"the mask holds the label {unnamed[0]}, which has no name; named are {sorted(segments)}")
    if 0 in segments or not segments:
        raise RequestError("segments are named from label 1 on; at least one is needed, and 0 is the background")


def _given_planes(sources: Sequence[Any], mask: npt.NDArray[Any]) -> npt.NDArray[Any]:
    planes = mask[None] if mask.ndim == 2 else mask
    expected = (len(sources), int(sources[0].Rows), int(sources[0].Columns))
    if planes.shape != expected:
        raise RequestError(f"the mask has the shape {planes.shape}, its sources {expected} (slices, rows, columns)")
    return planes


def planes_of(sources: Sequence[Any], mask: npt.NDArray[Any], affine: npt.NDArray[np.float64]) -> npt.NDArray[Any]:
    """(slices, rows, columns) of a mask in the order of ``sources``, found by where its voxels lie.

    Raises:
        RequestError: A source has no place in the patient, or the two grids differ.
    """
    if not has_place(sources):
        raise RequestError("a source has no position or orientation; give the mask in its pixels, without an affine")
    to_voxel = np.linalg.inv(np.asarray(affine, float)) @ _LPS_TO_RAS
    voxel_mm = np.linalg.norm(np.asarray(affine, float)[:3, :3], axis=0)
    planes = []
    for source in sources:
        indices = _plane_indices(to_voxel @ slice_affine(source), int(source.Rows), int(source.Columns))
        whole = np.rint(indices)
        away = float((np.abs(indices - whole) * voxel_mm[:, None, None]).max())
        if away > GRID_TOLERANCE:
            raise RequestError(
                f"the mask is not on the grid of its source ({away:.3g} mm away); resample it to the source"
            )
        places = whole.astype(int)
        if (places < 0).any() or (places >= np.array(mask.shape)[:, None, None]).any():
            raise RequestError("the mask does not cover its source; pad it to the source's size")
        planes.append(mask[tuple(places)])
    return np.stack(planes)


def _plane_indices(matrix: npt.NDArray[np.float64], rows: int, columns: int) -> npt.NDArray[np.float64]:
    """(3, rows, columns) voxel indices of a slice's pixels."""
    row, column = np.mgrid[:rows, :columns]
    return np.asarray(np.tensordot(matrix[:3], np.stack([column, row, np.ones_like(row)]), axes=1))
