"""What all objects of a run share: who made them, when, their UIDs, and the study that they go into.

Everything in an object follows from its sources, its results and the run: the same again is the same, byte by byte. Dates
are the run's start, UIDs are hashes.
"""

from __future__ import annotations

import hashlib
import io
import json
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import medpipe
from medpipe.io.atomic import write_bytes

__all__ = ["DISCLAIMER", "MAKER", "Producer", "complete_header", "finish", "new_uid", "source_uids"]

DISCLAIMER = "Research use only. Not for clinical use."
MAKER = "medpipe"

_TYPE_2 = [
    "PatientName",
    "PatientID",
    "PatientBirthDate",
    "PatientSex",
    "StudyDate",
    "StudyTime",
    "AccessionNumber",
    "ReferringPhysicianName",
    "StudyID",
]

_EMPTY_IS_ABSENT = [
    "SpecificCharacterSet",
    "ModalityLUTSequence",
    "VOILUTSequence",
    "WindowCenter",
    "WindowWidth",
    "RescaleSlope",
    "RescaleIntercept",
    "RescaleType",
    "PixelSpacing",
    "FrameOfReferenceUID",
]

_MOMENTS = (
    ("PresentationCreationDate", "PresentationCreationTime"),
    ("DateOfSecondaryCapture", "TimeOfSecondaryCapture"),
)


@dataclass(frozen=True)
class Producer:
    """The run that made the results.

    Attributes:
        name: Bundle, for example "cxr_pneumothorax_acm".
        version: Its version.
        created: Start of the run: the date of all of its objects.
        weights_sha256: Hash of the weights; tells runs with other weights apart.
        device_uid: UID of the machine or installation; "" for one made from name, version and weights.
    """

    name: str
    version: str
    created: datetime
    weights_sha256: str = ""
    device_uid: str = ""

    @property
    def observer_uid(self) -> str:
        """UID of the device observer."""
        return self.device_uid or new_uid("device", self.name, self.version, self.weights_sha256)

    def equipment(self) -> dict[str, Any]:
        """The equipment arguments that highdicom's objects take."""
        return {
            "manufacturer": MAKER,
            "manufacturer_model_name": self.name[:64],
            "software_versions": f"{MAKER} {medpipe.__version__}; {self.name} {self.version}"[:64],
            "device_serial_number": self.weights_sha256[:16] or "none",
        }


def new_uid(*parts: Any) -> str:
    """A UID under 2.25 that follows from ``parts`` (JSON values), see PS3.5 annex B.2."""
    digest = hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).digest()
    return f"2.25.{uuid.UUID(bytes=digest[:16], version=5).int}"


def complete_header(header: Any) -> Any:
    """Give a header, in place, the empty elements that every object of a study has, and take away those that highdicom
    takes for filled when they are there."""
    for name in _EMPTY_IS_ABSENT:
        if name in header and not header.get(name):
            delattr(header, name)
    for name in _TYPE_2:
        if name not in header:
            setattr(header, name, None)
    return header


def finish(dataset: Any, producer: Producer, description: str, folder: Path, name: str) -> Path:
    """Give an object the run's dates and a description, and write it atomically."""
    date, time = f"{producer.created:%Y%m%d}", f"{producer.created:%H%M%S}"
    dataset.ContentDate = dataset.InstanceCreationDate = dataset.SeriesDate = date
    dataset.ContentTime = dataset.InstanceCreationTime = dataset.SeriesTime = time
    for of_day, of_hour in _MOMENTS:
        if of_hour in dataset:
            setattr(dataset, of_day, date)
            setattr(dataset, of_hour, time)
    for item in dataset.get("ContributingEquipmentSequence") or ():
        item.ContributionDateTime = date + time
    for sequence in ("DimensionOrganizationSequence", "DimensionIndexSequence"):  # highdicom draws their UID at random
        for item in dataset.get(sequence) or ():
            item.DimensionOrganizationUID = new_uid("dimensions", str(dataset.SOPInstanceUID))
    dataset.SeriesDescription = description[:64]
    stream = io.BytesIO()
    dataset.save_as(stream, enforce_file_format=True)
    write_bytes(folder / name, stream.getvalue())
    return folder / name


def source_uids(sources: Sequence[Any]) -> list[str]:
    """SOP Instance UIDs of the sources, in their order."""
    return [str(source.SOPInstanceUID) for source in sources]
