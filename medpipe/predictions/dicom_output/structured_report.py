"""Marks as a measurement report (PS3.16 TID 1500): one group of measurements per mark, one for the whole image.

Radiographs get a Comprehensive SR with coordinates in their pixels; images with a place in the patient a Comprehensive 3D
SR with coordinates in millimetres (LPS, the frame of reference of the source).

DICOM counts pixels from the top left corner of the first pixel, so that its centre is at (0.5, 0.5) (PS3.3 C.18.6.1.2);
marks count from its centre, which is (0, 0).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from medpipe.predictions.dicom_output.producer import DISCLAIMER, MAKER, Producer, new_uid, source_uids
from medpipe.predictions.dicom_output.sources import has_place, to_patient

__all__ = ["measurement_report"]

Mark = dict[str, Any]


def measurement_report(
    sources: Sequence[Any],
    marks: Sequence[Mark],
    producer: Producer,
    *,
    score: float | None = None,
    frame: int | None = None,
) -> Any:
    """The report on the marks of an image or a series.

    Args:
        sources: Headers of the source instances, for a series in the order of its slices.
        marks: With "label", "score", "x" and "y" (pixels, (0, 0) is the centre of the first); "z" (index of the slice)
            in a series; "box_x", "box_y", "box_width" and "box_height" (pixels) where a mark is a box.
        producer: The run.
        score: Of the whole image, in [0, 1]; its label is that of the marks, or the producer's name.
        frame: 0-based frame of a multi-frame source that was read.
    """
    import highdicom as hd

    three_d = has_place(sources) and frame is None
    groups = [_group(sources, mark, number, producer, three_d, frame) for number, mark in enumerate(marks)]
    if score is not None or not groups:  # a report says something of the image, be it that nothing was marked
        groups.insert(0, _whole_image(sources, marks, score, producer))
    report = hd.sr.MeasurementReport(
        observation_context=_context(producer),
        procedure_reported=_code("Imaging procedure", "363679005", "SCT"),
        imaging_measurements=groups,
    )
    content = [source_uids(sources), list(marks), score, frame, producer.weights_sha256]
    kind = hd.sr.Comprehensive3DSR if three_d else hd.sr.ComprehensiveSR
    return kind(
        evidence=list(sources),
        content=report[0],
        series_instance_uid=new_uid("sr series", producer.name, producer.version, *content),
        series_number=9901,
        sop_instance_uid=new_uid("sr", producer.name, producer.version, *content),
        instance_number=1,
        manufacturer=MAKER,
        is_complete=True,
    )


def _context(producer: Producer) -> Any:
    import highdicom as hd
    from pydicom.sr.codedict import codes

    device = hd.sr.DeviceObserverIdentifyingAttributes(
        uid=producer.observer_uid,
        name=f"{producer.name} {producer.version}. {DISCLAIMER}",
        manufacturer_name=MAKER,
        model_name=producer.name,
        serial_number=producer.weights_sha256[:16] or None,
    )
    observer = hd.sr.ObserverContext(codes.DCM.Device, device)
    return hd.sr.ObservationContext(observer_device_context=observer)


def _group(
    sources: Sequence[Any], mark: Mark, number: int, producer: Producer, three_d: bool, frame: int | None
) -> Any:
    import highdicom as hd

    region = _region_3d(sources, mark) if three_d else _region_2d(sources[0], mark, frame)
    return hd.sr.PlanarROIMeasurementsAndQualitativeEvaluations(
        tracking_identifier=_tracking(sources, number, mark, producer),
        referenced_region=region,
        finding_type=finding_code(str(mark["label"])),
        algorithm_id=_algorithm(producer),
        measurements=[_certainty(float(mark["score"]))],
    )


def _whole_image(sources: Sequence[Any], marks: Sequence[Mark], score: float | None, producer: Producer) -> Any:
    import highdicom as hd

    label = str(marks[0]["label"]) if marks else producer.name
    return hd.sr.MeasurementsAndQualitativeEvaluations(
        tracking_identifier=_tracking(sources, -1, {"label": label, "score": score}, producer),
        finding_type=finding_code(label),
        algorithm_id=_algorithm(producer),
        measurements=None if score is None else [_certainty(score)],
    )


def _tracking(sources: Sequence[Any], number: int, mark: Mark, producer: Producer) -> Any:
    import highdicom as hd

    name = "image" if number < 0 else f"mark {number}"
    seed = [source_uids(sources), number, mark, producer.name, producer.version, producer.weights_sha256]
    return hd.sr.TrackingIdentifier(uid=new_uid("tracking", *seed), identifier=f"{mark['label']} {name}")


def _algorithm(producer: Producer) -> Any:
    import highdicom as hd

    parameters = [f"weights sha256 {producer.weights_sha256}"] if producer.weights_sha256 else None
    return hd.sr.AlgorithmIdentification(name=producer.name, version=producer.version, parameters=parameters)


def _certainty(score: float) -> Any:
    import highdicom as hd
    from pydicom.sr.codedict import codes

    return hd.sr.Measurement(name=codes.DCM.CertaintyOfFinding, value=score, unit=codes.UCUM.NoUnits)


def _region_2d(source: Any, mark: Mark, frame: int | None) -> Any:
    import highdicom as hd

    image = hd.sr.SourceImageForRegion(
        referenced_sop_class_uid=source.SOPClassUID,
        referenced_sop_instance_uid=source.SOPInstanceUID,
        referenced_frame_numbers=None if frame is None else [frame + 1],
    )
    kind, points = _outline(mark)
    return hd.sr.ImageRegion(graphic_type=kind, graphic_data=points + 0.5, source_image=image)


def _region_3d(sources: Sequence[Any], mark: Mark) -> Any:
    import highdicom as hd

    kind, points = _outline(mark)
    slices = np.full(len(points), float(mark.get("z") or 0))
    places = to_patient(sources, np.column_stack([points, slices]))
    shape = "POLYGON" if kind == "POLYLINE" else kind
    return hd.sr.ImageRegion3D(
        graphic_type=shape, graphic_data=places, frame_of_reference_uid=sources[0].FrameOfReferenceUID
    )


def _outline(mark: Mark) -> tuple[str, Any]:
    """A mark's shape and its (n, 2) points (column, row) from the centre of the first pixel."""
    if mark.get("box_width") is None or mark.get("box_height") is None:
        return "POINT", np.array([[float(mark["x"]), float(mark["y"])]])
    left, top = float(mark["box_x"]), float(mark["box_y"])
    right, bottom = left + float(mark["box_width"]), top + float(mark["box_height"])
    corners = [(left, top), (right, top), (right, bottom), (left, bottom), (left, top)]
    return "POLYLINE", np.array(corners)


def finding_code(label: str) -> Any:
    """The SNOMED CT code of a finding's name where the standard's code groups hold it, else a code of our own."""
    from pydicom.sr.codedict import codes

    keyword = "".join(word.capitalize() for word in re.findall(r"[A-Za-z0-9]+", label))
    try:
        return getattr(codes.SCT, keyword or "none")
    except AttributeError:
        pass
    return _code(label[:64] or "finding", re.sub(r"\W+", "_", label.lower())[:16] or "finding", "99MEDPIPE")


def _code(meaning: str, value: str, scheme: str) -> Any:
    from pydicom.sr.coding import Code

    return Code(value, scheme, meaning)
