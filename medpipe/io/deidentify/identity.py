"""What in a data set tells the patient and other persons, and what kind of value an element holds."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any

from medpipe.io.deidentify.table import action_rows

__all__ = ["TEXT", "identifying_values", "is_known", "patient_key", "vr_of"]

TEXT = ("LO", "LT", "SH", "ST", "UC", "UT")
_IDENTIFYING = (*TEXT, "CS", "DA", "AE", "UR")
_NUMBERS_OF_PERSONS = {0x00100020, 0x00101000, 0x00101001, 0x00080050, 0x00380010, 0x00120040}
"""Patient ID, other patient IDs and names, accession number, admission ID, trial subject ID."""


@cache
def _listed() -> frozenset[int]:
    """What the table lists, but for UIDs and descriptions."""
    return frozenset(
        int(row["tag"], 16)
        for row in action_rows()
        if "x" not in row["tag"] and not row.keys() & {"retain_uids", "clean_descriptors"}
    )


def patient_key(dataset: Any) -> str:
    """What tells the patient: the id, else name and birth date, else the study."""
    patient = str(dataset.get("PatientID", "") or "").strip()
    if patient:
        return f"id {patient}"
    name = str(dataset.get("PatientName", "") or "").strip()
    if name:
        return f"name {name} {dataset.get('PatientBirthDate', '') or ''}".strip()
    return f"study {dataset.get('StudyInstanceUID', '') or dataset.get('SOPInstanceUID', '')}"


def identifying_values(dataset: Any) -> tuple[list[str], list[str]]:
    """Values that must not come back in free text: all identifying ones, and those of persons' names and numbers."""
    everything: list[str] = []
    persons: list[str] = []
    for element in _elements(dataset):
        values = [str(value) for value in ([element.value] if element.VM < 2 else element.value)]
        everything += values
        if element.VR == "PN" or int(element.tag) in _NUMBERS_OF_PERSONS:
            persons += values
    return everything, persons


def _elements(dataset: Any) -> Iterator[Any]:
    """Text and date elements at any depth that are listed or name a person."""
    for tag in list(dataset.keys()):
        vr = vr_of(dataset, tag)
        if vr == "SQ":
            for item in dataset[tag].value:
                yield from _elements(item)
        elif (vr == "PN" or (int(tag) in _listed() and vr in _IDENTIFYING)) and dataset[tag].value:
            yield dataset[tag]


def vr_of(dataset: Any, tag: Any) -> str:
    """VR of an element, without converting its value; "" where nobody knows it."""
    from pydicom.datadict import dictionary_VR

    item = dataset.get_item(tag)
    if item.VR in (None, "UN") and not tag.is_private:
        try:
            vr = dictionary_VR(tag)
        except KeyError:
            return ""
        return vr if " or " not in vr else "OW"
    return str(item.VR or "UN")


def is_known(tag: Any) -> bool:
    from pydicom.datadict import dictionary_VR

    try:
        dictionary_VR(tag)
    except KeyError:
        return False
    return True
