"""One file de-identified: read whole, judged, changed, written under a pseudonym. No word of its content gets out."""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from medpipe.errors import CaseError, CaseFailedError, CaseSkippedError, InterruptedRunError
from medpipe.io.atomic import write_bytes
from medpipe.io.deidentify.burned_in import burned_in_risk, recognisable_face
from medpipe.io.deidentify.dataset import deidentify_dataset
from medpipe.io.deidentify.identity import patient_key
from medpipe.io.deidentify.pseudonyms import Pseudonyms
from medpipe.io.deidentify.streams import blank_comments, clear_embedded_overlays, cut_surplus
from medpipe.io.deidentify.table import Profile
from medpipe.io.dicom_file import check_deflated
from medpipe.io.quiet import quiet_headers
from medpipe.io.radiograph import file_kind
from medpipe.io.sources import Source

__all__ = ["FileReport", "Settings", "deidentify_bytes", "deidentify_file"]


@dataclass(frozen=True)
class Settings:
    """What is the same for all files of a run."""

    folder: Path
    profile: Profile
    key: bytes
    accept_burned_in: bool = False


@dataclass(frozen=True)
class FileReport:
    """What became of one file; nothing in it comes from the patient.

    Attributes:
        number: Place of the file among the sorted inputs, from 1.
        status: "done", "held back", "skipped" or "failed".
        reason: Why it is not done.
        output: Its path below the output folder.
        remarks: What a person should look at before the file is handed on.
        sha256: Hash of the written file.
    """

    number: int
    status: str
    reason: str = ""
    output: str = ""
    remarks: str = ""
    sha256: str = ""


class _HeldBackError(CaseError):
    status = "held back"


def deidentify_file(number: int, source: Source, settings: Settings) -> FileReport:
    """De-identify one file into the output folder; whatever is wrong with the file is in the report.

    Raises:
        InterruptedRunError: The output folder cannot be written.
    """
    try:
        name, written, remarks = deidentify_bytes(_read(source), settings)
    except CaseError as error:
        return FileReport(number, error.status, str(error))
    path = settings.folder / name
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_bytes(path, written)
    except OSError as error:  # of the disk, not of the file: every other one would fail as well
        raise InterruptedRunError(
            f"the output folder cannot be written ({error.strerror or 'input/output error'}); when that is mended, run "
            "the same command again to go on"
        ) from error
    return FileReport(number, "done", "", name, "; ".join(remarks), hashlib.sha256(written).hexdigest())


def _read(source: Source) -> bytes:
    try:
        with source.open() as stream:
            content = stream.read()
    except (CaseError, OSError) as error:  # its text may hold a name
        raise CaseFailedError("cannot be opened, is empty or too large") from error
    if file_kind(content[:132], source.name) != "dicom":
        raise CaseSkippedError("is no DICOM file")
    return content


def deidentify_bytes(content: bytes, settings: Settings) -> tuple[str, bytes, list[str]]:
    """De-identify the bytes of a DICOM file.

    Returns:
        Path of the new file below the output folder, its bytes, and remarks for a person.

    Raises:
        CaseError: It cannot be read, or must not go out; the message holds no value of the file.
    """
    with quiet_headers():
        try:
            return _deidentify(content, settings)
        except CaseError:
            raise
        except Exception as error:  # damaged files raise anything, with their values in the text
            raise CaseFailedError(f"is damaged and was not taken ({type(error).__name__})") from None


def _deidentify(content: bytes, settings: Settings) -> tuple[str, bytes, list[str]]:
    import pydicom

    check_deflated(io.BytesIO(content))
    dataset = pydicom.dcmread(io.BytesIO(content), force=True)
    if "SOPInstanceUID" not in dataset or "SOPClassUID" not in dataset:
        raise CaseSkippedError("is no DICOM instance (no SOPInstanceUID or SOPClassUID; a DICOMDIR, or a damaged file)")
    _check_whole(dataset)
    risk = burned_in_risk(dataset)
    if risk and not settings.accept_burned_in:
        raise _HeldBackError(f"may show the patient's name in its pixels: {risk}; look at it, then --accept-burned-in")
    remarks = [f"burned-in text accepted unseen: {risk}"] if risk else []
    if recognisable_face(dataset):
        remarks.append("a face may be recognisable in the images")
    _complete_meta(dataset)
    if clear_embedded_overlays(dataset):
        remarks.append("an overlay inside the pixels was cleared")
    if cut_surplus(dataset):
        remarks.append("bytes after the last pixel were removed")
    if "PixelData" in dataset and dataset.file_meta.TransferSyntaxUID.is_encapsulated:
        is_rle = dataset.file_meta.TransferSyntaxUID == pydicom.uid.RLELossless
        plane = int(dataset.Rows) * int(dataset.Columns) if is_rle else 0
        dataset.PixelData = blank_comments(dataset.PixelData, plane)
    remarks += [text for name, text in _REPLACED.items() if name in dataset]
    pseudonyms = Pseudonyms(settings.key)
    name = _output_name(dataset, pseudonyms)
    deidentify_dataset(dataset, settings.profile, pseudonyms)
    return name, _encode(dataset), remarks


_REPLACED = {
    "ContentSequence": "the content of the structured report was replaced by a dummy",
    "EncapsulatedDocument": "the document was replaced by a dummy",
}


def _check_whole(dataset: Any) -> None:
    for tag in list(dataset.keys()):
        item = dataset.get_item(tag)
        length = getattr(item, "length", 0xFFFFFFFF)
        if length != 0xFFFFFFFF and len(item.value or b"") != length:
            raise CaseFailedError("is cut short; copy it again from its source")


def _complete_meta(dataset: Any) -> None:
    """A new meta header with the transfer syntax alone; the old one names devices and may hold private information."""
    from pydicom.dataset import FileMetaDataset
    from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

    implicit, little = dataset.original_encoding
    written = ImplicitVRLittleEndian if implicit else ExplicitVRLittleEndian if little else ExplicitVRBigEndian
    stated = getattr(dataset, "file_meta", {}).get("TransferSyntaxUID")
    if stated is None or (not stated.is_compressed and stated != written):
        stated = written
    if stated.is_private or not stated.is_transfer_syntax:
        raise CaseFailedError("has an unknown transfer syntax")
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = stated
    dataset.file_meta = meta


def _output_name(dataset: Any, pseudonyms: Pseudonyms) -> str:
    patient = pseudonyms.name("patient", patient_key(dataset))
    study = pseudonyms.name("study", str(dataset.get("StudyInstanceUID", "")), 8)
    series = pseudonyms.name("series", str(dataset.get("SeriesInstanceUID", "")), 8)
    return f"{patient}/{study}/{series}/{pseudonyms.name('instance', str(dataset.SOPInstanceUID), 16)}.dcm"


def _encode(dataset: Any) -> bytes:
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    dataset.preamble = bytes(128)
    stream = io.BytesIO()
    dataset.save_as(stream, enforce_file_format=True)
    return stream.getvalue()
