"""What a reader should know about a converted volume, beside it as JSON."""

from __future__ import annotations

from typing import Any

import numpy as np

from medpipe.io.dicom_file import numbers, parse, text
from medpipe.io.instances import Instance
from medpipe.io.privacy import hashed_uid
from medpipe.io.stack import Stack
from medpipe.io.volume import Volume

__all__ = ["describe", "time_step"]

_ACQUISITION: dict[int, str] = {
    0x00080070: "manufacturer",
    0x00081090: "model",
    0x00180015: "body_part",
    0x00180022: "scan_options",
    0x00180050: "slice_thickness_mm",
    0x00180088: "spacing_between_slices_mm",
    0x00180060: "kvp",
    0x00181120: "gantry_tilt_degrees",
    0x00181210: "convolution_kernel",
    0x00185100: "patient_position",
    0x00180020: "scanning_sequence",
    0x00180080: "repetition_time_ms",
    0x00180081: "echo_time_ms",
    0x00180082: "inversion_time_ms",
    0x00181314: "flip_angle_degrees",
    0x00180087: "field_strength_tesla",
    0x00281054: "rescale_type",
    0x00541001: "units",
}
"""Technical elements without free text about the patient."""

_IDENTITY: dict[int, str] = {
    0x00100020: "patient_id",
    0x00100010: "patient_name",
    0x00100030: "birth_date",
    0x00100040: "sex",
    0x00080020: "study_date",
    0x00080050: "accession_number",
    0x00081030: "study_description",
    0x0008103E: "series_description",
    0x0020000D: "study_uid",
    0x0020000E: "series_uid",
    0x00200052: "frame_of_reference_uid",
}


def describe(volume: Volume, stack: Stack, *, identified: bool) -> dict[str, Any]:
    """Geometry, intensity, acquisition, findings and sources of a volume.

    Args:
        volume: As decoded.
        stack: What it was decoded from.
        identified: Also give the patient's identity, dates, descriptions and UIDs as they are; otherwise UIDs are
            hashed and the rest is left out.
    """
    first = stack.images[0][0].instance
    dataset = _header(first)
    facts = {name: _value(dataset, tag) for tag, name in _ACQUISITION.items() if text(dataset, tag)}
    described: dict[str, Any] = {
        "modality": first.modality,
        "image_type": [part for part in first.image_type if part],
        "geometry": _geometry(volume),
        "intensity": {
            "type": str(volume.array.dtype),
            "slope": volume.slope,
            "intercept": volume.intercept,
            "photometric_interpretation": first.form.photometric,
            "colour": volume.colour,
        },
        "acquisition": facts,
        "transfer_syntax": first.form.syntax,
        "findings": [finding.as_dict() for finding in volume.findings],
        "source": _source(stack),
    }
    if volume.times:
        described["time"] = {
            "label": volume.time_label,
            "values": volume.times,
            "step_seconds": time_step(volume, stack),
        }
    if identified:
        described["identity"] = {name: text(dataset, tag) for tag, name in _IDENTITY.items()}
        described["source"]["sop_instance_uids"] = [image.instance.sop for image in stack.all_images]
    return described


def _geometry(volume: Volume) -> dict[str, Any]:
    import nibabel as nib

    affine = volume.affine
    return {
        "shape": list(volume.array.shape),
        "affine_ras_mm": np.round(affine, 6).tolist(),
        "voxel_mm": [round(float(v), 6) for v in np.linalg.norm(affine[:3, :3], axis=0)],
        "axes": "".join(nib.aff2axcodes(affine)),
        "resampled": volume.resampled,
    }


def _source(stack: Stack) -> dict[str, Any]:
    instances = list({id(image.instance): image.instance for image in stack.all_images}.values())
    first = instances[0]
    return {
        "files": len(instances),
        "study_uid_hash": hashed_uid(first.study),
        "series_uid_hash": hashed_uid(first.series),
        "frame_of_reference_uid_hash": hashed_uid(first.frame_of_reference),
        "sop_uid_hashes": [hashed_uid(image.instance.sop) for image in stack.images[0]],
    }


def _header(instance: Instance) -> Any:
    with instance.source.open() as stream:
        return parse(stream, pixels=False).dataset


def _value(dataset: Any, tag: int) -> Any:
    values = numbers(dataset, tag)
    if values is None:
        return text(dataset, tag)
    return values[0] if len(values) == 1 else list(values)


def time_step(volume: Volume, stack: Stack) -> float:
    """Seconds between time points by the repetition time of an MR series; 0 where that does not tell it."""
    first = stack.images[0][0].instance
    if not volume.times or first.modality != "MR" or volume.time_label in ("trigger time", "b value"):
        return 0.0
    repetition = numbers(_header(first), 0x00180080)
    return repetition[0] / 1000 if repetition and np.isfinite(repetition[0]) and repetition[0] > 0 else 0.0
