"""DICOM instances full of planted identity, and a judge of what became of it that knows only the standard's table.

Every value is recognisable: texts match ``CANARY``, UIDs begin with ``ROOT``, dates are days of the 19th century.
"""

from __future__ import annotations

import io
import re
from collections import Counter
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
from pydicom.datadict import dictionary_keyword, dictionary_VR
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.tag import Tag
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, ImplicitVRLittleEndian

CANARY = re.compile(rb"ZQ[0-9A-F]{6}|Canarius|CANARIUS|Vogelsang|19001231")
ROOT = "1.2.999.7"
KEPT_SEQUENCES = ("AnatomicRegionSequence", "SharedFunctionalGroupsSequence", "RadiopharmaceuticalInformationSequence")
"""Sequences that the table does not list, so that what is nested in them has to be found."""

_OLD = date(1801, 1, 1)


class Writer:
    """Makes values that occur nowhere else: ``code`` is a hexadecimal number of its own for every instance and position."""

    def __init__(self, instance: int) -> None:
        self.instance, self.position = instance, 0

    def word(self) -> str:
        self.position += 1
        return f"ZQ{(self.instance * 1009 + self.position) % 0xFFFFFF:06X}"

    def value(self, vr: str, descriptive: bool = False) -> Any:
        word = self.word()
        if vr == "timezone":
            return "+0130"
        if vr == "UI":
            return f"{ROOT}.{self.instance % 40}.{self.position}"
        if vr in ("DA", "DT"):
            day = _OLD + timedelta(days=(self.instance * 37 + self.position * 11) % 30000)
            return f"{day:%Y%m%d}" + ("112233.500000" if vr == "DT" else "")
        if vr in ("OB", "OW", "UN"):
            return (word * 2).encode()
        if descriptive and vr in ("LO", "SH", "ST", "LT", "UT", "UC"):
            return f"CHEST {word}"
        fixed = {"TM": "112233", "AS": "077Y", "PN": f"Canarius^{word}", "UR": f"https://{word}.example/"}
        if vr in ("DS", "IS"):
            return str(self.position)
        return (
            float(self.position)
            if vr in ("FD", "FL")
            else self.position
            if vr in ("US", "UL", "SL", "SS")
            else fixed.get(vr, word)
        )


def plants(rows: list[dict[str, str]]) -> list[tuple[int, str, dict[str, str]]]:
    """(tag, VR, row) of every listed attribute that the dictionary knows and a data set may hold."""
    found = []
    for row in rows:
        if "x" in row["tag"]:
            continue
        tag = int(row["tag"], 16)
        try:
            vr = dictionary_VR(tag)
        except KeyError:
            continue
        if tag >> 16 >= 8:
            found.append((tag, vr.split(" or ")[0], row))
    return found


def _element(tag: int, vr: str, writer: Writer, row: dict[str, str]) -> DataElement:
    if vr != "SQ":
        kind = "timezone" if tag == 0x00080201 else vr
        return DataElement(tag, vr, writer.value(kind, "clean_descriptors" in row))
    item = Dataset()
    if "U*" not in row["basic"] and "retain_uids" not in row:  # the others are kept for the sake of their references
        item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = writer.word(), "99CANARY", writer.word()
    item.SeriesDescription, item.InstitutionName = writer.word(), writer.word()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = CTImageStorage, f"{ROOT}.{writer.instance % 40}.1"
    return DataElement(tag, vr, Sequence([item]))


def identified(instance: int, rows: list[dict[str, str]], *, patients: int = 7) -> Dataset:
    """A CT instance with every listed attribute, each once on top and one in three at depth 1 to 3."""
    writer, dataset = Writer(instance), Dataset()
    nested = [Dataset() for _ in range(3)]
    for number, (tag, vr, row) in enumerate(plants(rows)):
        dataset.add(_element(tag, vr, writer, row))
        if number % 3 == instance % 3:
            nested[number % 9 // 3].add(_element(tag, vr, writer, row))
    _describe(dataset, instance, patients)
    dataset.add(DataElement(Tag("AnatomicRegionSequence"), "SQ", Sequence([nested[0]])))
    nested[0].add(DataElement(Tag("SharedFunctionalGroupsSequence"), "SQ", Sequence([nested[1]])))
    nested[1].add(DataElement(Tag("RadiopharmaceuticalInformationSequence"), "SQ", Sequence([nested[2]])))
    _plant_elsewhere(dataset, nested[1], writer)
    return dataset


def _describe(dataset: Dataset, instance: int, patients: int) -> None:
    patient = instance % patients
    dataset.SOPClassUID, dataset.SOPInstanceUID = CTImageStorage, f"{ROOT}.9.{instance}"
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = f"{ROOT}.1.{patient}", f"{ROOT}.2.{instance // 10}"
    dataset.FrameOfReferenceUID, dataset.Modality = f"{ROOT}.3.{patient}", "CT"
    dataset.PatientID, dataset.PatientName = f"ZQ{0xABC000 + patient:06X}", "Vogelsang^Canarius"
    dataset.PatientBirthDate, dataset.StudyDate, dataset.BurnedInAnnotation = "19001231", "18991105", "NO"
    dataset.ImageType, dataset.BodyPartExamined = ["ORIGINAL", "PRIMARY", "AXIAL"], "CHEST"
    dataset.Manufacturer, dataset.KVP, dataset.SliceThickness = "Maker", "120", "1.25"
    dataset.ImagePositionPatient, dataset.ImageOrientationPatient = [1, 2, 3], [1, 0, 0, 0, 1, 0]
    dataset.PixelSpacing, dataset.Rows, dataset.Columns = [0.5, 0.75], 8, 8
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 16, 12, 11, 0
    dataset.PixelData = np.random.default_rng(instance).integers(0, 4096, (8, 8)).astype("<u2").tobytes()


def _plant_elsewhere(dataset: Dataset, nested: Dataset, writer: Writer) -> None:
    """Places that no row lists by name: private groups, overlays, curves, wrong kinds, free text, unknown elements."""
    for place in (dataset, nested):
        block = place.private_block(0x0029, writer.word(), create=True)
        block.add_new(0x10, "LO", writer.word())
        block.add_new(0x11, "UN", writer.word().encode())
        inner = Dataset()
        inner.PatientName, inner.InstitutionName = f"Canarius^{writer.word()}", writer.word()
        block.add_new(0x12, "SQ", Sequence([inner]))
    dataset.add_new(0x60000010, "US", 8)
    dataset.add_new(0x60003000, "OW", (writer.word()).encode())
    dataset.add_new(0x60001500, "LO", writer.word())
    dataset.add_new(0x60004000, "LT", writer.word())
    dataset.add_new(0x50003000, "OW", writer.word().encode())
    dataset.add_new(0x50002500, "LO", writer.word())
    dataset.add_new(0x00180021, "CS", "SK")
    dataset.add_new(0x00181250, "SH", "Coil Vogelsang")  # not listed; holds the patient's name
    dataset.add_new(0x00280303, "CS", "UNMODIFIED")
    nested.add_new(0x00189005, "SH", "se Canarius")
    nested.add_new(0x0010FFF0, "LO", writer.word())  # in no dictionary
    dataset.add_new(0xFFFCFFFC, "OB", writer.word().encode())


def as_file(dataset: Dataset, *, implicit: bool = False) -> bytes:
    """A file with identity in its preamble and meta header too."""
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ImplicitVRLittleEndian if implicit else ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = dataset.SOPClassUID, dataset.SOPInstanceUID
    meta.SourceApplicationEntityTitle, meta.PrivateInformationCreatorUID = "ZQ000001", f"{ROOT}.5"
    meta.PrivateInformation = b"ZQ000002"
    dataset.file_meta, dataset.preamble = meta, b"ZQ000003Vogelsang".ljust(128, b"\0")
    stream = io.BytesIO()
    dataset.save_as(stream, enforce_file_format=True)
    return stream.getvalue()


def canaries(content: bytes, *, uids: bool = True) -> list[bytes]:
    """What of the planted identity is in some bytes."""
    found = CANARY.findall(content)
    return found + (re.findall(re.escape(ROOT).encode() + rb"[.\d]*", content) if uids else [])


class Judge:
    """Compares a file with its de-identified one, attribute by attribute, over many files."""

    def __init__(self, rows: list[dict[str, str]], options: tuple[str, ...] = ()) -> None:
        self.planted, self.options = plants(rows), options
        self.right, self.wrong = 0, Counter()
        self.uids: dict[str, set[str]] = {}
        self.shifts: dict[str, set[int]] = {}
        self.positions: set[tuple[int, int]] = set()

    def compare(self, before: Dataset, after: Dataset) -> None:
        for depth, (old, new) in enumerate(self._levels(before, after)):
            for tag, vr, row in self.planted:
                if tag in old:
                    self.positions.add((depth, tag))
                    right = self._right(old[tag], new.get(Tag(tag)), vr, row, str(before.PatientID))
                    self.right += right
                    if not right:
                        self.wrong[(depth, f"{tag:08x}", vr, row["basic"])] += 1

    def _levels(self, before: Dataset, after: Dataset) -> Any:
        yield before, after
        for keyword in KEPT_SEQUENCES:
            before, after = before[keyword].value[0], after[keyword].value[0]
            yield before, after

    def _right(self, old: DataElement, new: DataElement | None, vr: str, row: dict[str, str], patient: str) -> bool:
        chosen = [row[name] for name in self.options if name in row]
        codes = [chosen[-1]] if chosen else row["basic"].split("/")
        if "C" in codes:
            cleaned = self._cleaned(old, new, vr, patient)
            if cleaned is not None:
                return cleaned
            codes = row["basic"].split("/")  # nothing harmless is left of it
        return any(self._fits(code, old, new, vr) for code in codes)

    def _cleaned(self, old: DataElement, new: DataElement | None, vr: str, patient: str) -> bool | None:
        if vr in ("DA", "DT"):
            if new is None or not new.value:
                return False
            days = (date.fromisoformat(str(new.value)[:8]) - date.fromisoformat(str(old.value)[:8])).days
            self.shifts.setdefault(patient, set()).add(days)
            return days != 0 and str(new.value)[8:] == str(old.value)[8:]
        if vr == "TM":
            return new is not None and bool(new.value)
        if old.keyword == "TimezoneOffsetFromUTC":
            return new is not None and new.value == old.value
        if vr in ("LO", "SH", "ST", "LT", "UT", "UC"):
            return new is not None and new.value == "CHEST"
        return None

    def _fits(self, code: str, old: DataElement, new: DataElement | None, vr: str) -> bool:
        if code == "X":
            return new is None
        if new is None:
            return False
        if code == "K" and vr == "SQ":
            return [i.ReferencedSOPInstanceUID for i in new.value] == [i.ReferencedSOPInstanceUID for i in old.value]
        if code == "K":
            return bool(new == old)
        if code == "Z":
            return not new.value or (
                old.keyword in ("PatientName", "PatientID") and not canaries(str(new.value).encode())
            )
        if code in ("U", "U*") and vr == "UI":
            self.uids.setdefault(str(old.value), set()).add(str(new.value))
            return str(new.value).startswith("2.25.")
        if code == "U*":
            return all(str(item.ReferencedSOPInstanceUID).startswith("2.25.") for item in new.value)
        if vr == "SQ":
            return len(new.value) == 1 and not canaries(str(new.value[0]).encode())
        return code == "D" and bool(new.value) and new.value != old.value


def keyword(tag: int) -> str:
    """Keyword of a listed attribute."""
    return dictionary_keyword(tag)


def write_all(folder: Path, number: int, rows: list[dict[str, str]], *, first: int = 0) -> None:
    """Files whose names and folders hold identity too."""
    for instance in range(first, first + number):
        path = folder / f"Vogelsang_ZQ{instance % 7:06X}" / f"Canarius^{instance}.dcm"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(as_file(identified(instance, rows), implicit=instance % 2 == 1))
