"""The profile applied to one data set, at every depth of its sequences.

What the table does not list stays, with five exceptions on the safe side: private attributes that are not asked for, and
attributes that no dictionary knows, go; group lengths and whole overlay and curve groups go; UIDs that are not registered
get the new UID that they have elsewhere; dates, names and addresses on a network are treated as the listed ones; free text
and codes lose the words of the patient's and other persons' names and numbers. Numbers that are none, as 'DS' of letters, go too.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from medpipe.io.deidentify.descriptors import clean_description, identifying_words, without_identity
from medpipe.io.deidentify.identity import TEXT, identifying_values, is_known, patient_key, vr_of
from medpipe.io.deidentify.pseudonyms import Pseudonyms
from medpipe.io.deidentify.table import CHOSEN, Profile, edition

__all__ = ["deidentify_dataset"]

_BYTES = ("OB", "OD", "OF", "OL", "OV", "OW", "UN")
_DATES = ("DA", "DT", "TM")
_NAMES_OF_KINDS = re.compile(
    r"SOPClass|TransferSyntax|CodingScheme|^ContextUID|ContextGroup|MappingResource|Creator-?Version"
)
"""Keywords of UIDs that name a kind of thing, not a thing."""

_DUMMIES: dict[str, Any] = {
    "AE": "REMOVED",
    "AS": "000Y",
    "AT": 0,
    "CS": "REMOVED",
    "DA": "19000101",
    "DS": "0",
    "DT": "19000101000000",
    "IS": "0",
    "PN": "REMOVED",
    "TM": "000000",
    "UI": "2.25.0",
    "UR": "https://removed.invalid",
    **dict.fromkeys(TEXT, "REMOVED"),
    **dict.fromkeys(("FD", "FL"), 0.0),
    **dict.fromkeys(("SL", "SS", "SV", "UL", "US", "UV"), 0),
    **dict.fromkeys(_BYTES, b"REMOVED "),
}
_NUMBER_ASTEXT = re.compile(rb"[0-9eE+\-.\\ \0]*")
_TIMEZONE, _PATIENT_ID = 0x00080201, 0x00100020
_CODE_IDENTIFIERS = (0x00080100, 0x00080102)


@dataclass
class _Task:
    """What is the same for all attributes of one file."""

    profile: Profile
    pseudonyms: Pseudonyms
    patient: str
    all_words: frozenset[str]
    person_words: frozenset[str]
    codes: dict[int, str] = field(init=False)
    days: int = field(init=False)

    def __post_init__(self) -> None:
        self.codes = self.profile.codes()
        self.days = self.pseudonyms.shift_days(self.patient)


def deidentify_dataset(dataset: Any, profile: Profile, pseudonyms: Pseudonyms) -> None:
    """De-identify a pydicom data set in place.

    Raises:
        Exception: Of any kind that pydicom raises on damaged values. Its text may hold those values: do not show it.
    """
    patient = patient_key(dataset)
    everything, persons = identifying_values(dataset)
    task = _Task(profile, pseudonyms, patient, identifying_words(everything), identifying_words(persons))
    _apply(dataset, task)
    pseudonym = pseudonyms.name("patient", patient)
    dataset.PatientName, dataset.PatientID = pseudonym, pseudonym
    _state_the_method(dataset, profile)


def _state_the_method(dataset: Any, profile: Profile) -> None:
    """The attributes by which a reader knows what was done (PS3.15 E.1.1, PS3.3 C.7.1.1 and C.7.3.1)."""
    from pydicom.dataset import Dataset

    dataset.PatientIdentityRemoved = "YES"
    methods = profile.methods()
    dataset.DeidentificationMethod = [f"medpipe: DICOM PS3.15 {edition()} annex E", *(name[:64] for _, name in methods)]
    items = []
    for code, meaning in methods:
        item = Dataset()
        item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = code, "DCM", meaning
        items.append(item)
    dataset.DeidentificationMethodCodeSequence = items
    dataset.LongitudinalTemporalInformationModified = "MODIFIED" if profile.modified_dates else "REMOVED"


def _apply(dataset: Any, task: _Task) -> None:
    kept_blocks = _kept_private_blocks(dataset, task.profile)
    for tag in list(dataset.keys()):
        if tag.is_private:
            if not (tag.elem < 0x100 and (tag.group, tag.elem) in kept_blocks) and not _is_kept(tag, kept_blocks):
                del dataset[tag]
            elif dataset[tag].VR == "SQ":
                _each_item(dataset[tag], task)
        elif tag.group < 8 or tag.elem == 0 or 0x5000 <= tag.group <= 0x501E or 0x6000 <= tag.group <= 0x601E:
            del dataset[tag]
        elif int(tag) in task.codes:
            _act(dataset, tag, task.codes[int(tag)], task)
        elif not is_known(tag):
            del dataset[tag]
        else:
            _unlisted(dataset, tag, task)


def _kept_private_blocks(dataset: Any, profile: Profile) -> dict[tuple[int, int], set[int]]:
    """(group, block) -> the elements in it that are kept."""
    blocks: dict[tuple[int, int], set[int]] = {}
    if not profile.keep_private:
        return blocks
    for tag in list(dataset.keys()):
        if tag.is_private_creator:
            creator = str(dataset[tag].value).strip()
            kept = {element for group, name, element in profile.keep_private if (group, name) == (tag.group, creator)}
            if kept:
                blocks[(tag.group, tag.elem)] = kept
    return blocks


def _is_kept(tag: Any, blocks: dict[tuple[int, int], set[int]]) -> bool:
    return tag.elem >= 0x1000 and tag.elem & 0xFF in blocks.get((tag.group, tag.elem >> 8), set())


def _each_item(element: Any, task: _Task) -> None:
    for item in element.value:
        _apply(item, task)


def _act(dataset: Any, tag: Any, code: str, task: _Task) -> None:
    vr = vr_of(dataset, tag)
    if code == "C":
        if _clean(dataset, tag, vr, task):
            return
        code = _basic_code(tag)
    if code == "X":
        del dataset[tag]
    elif code == "Z":
        _empty(dataset, tag, vr, task)
    elif code == "D":
        _dummy(dataset, tag, vr, task)
    elif code == "U" and vr == "UI":
        _new_uids(dataset[tag], task)
    elif vr == "SQ":  # kept, or kept for the sake of its UIDs
        _each_item(dataset[tag], task)
    elif code != "K":
        del dataset[tag]


def _basic_code(tag: Any) -> str:
    basic = Profile().codes()[int(tag)]
    return CHOSEN.get(basic, basic)


def _clean(dataset: Any, tag: Any, vr: str, task: _Task) -> bool:
    """The code C: a value of similar meaning without identity; False where none is left."""
    if vr in ("DA", "DT"):
        return _shift(dataset[tag], task)
    if vr == "TM":
        return re.fullmatch(r"[\d.:]+", str(dataset[tag].value or "")) is not None
    element = dataset[tag]
    if int(tag) == _TIMEZONE:
        return re.fullmatch(r"[+-]\d{4}", str(element.value or "").strip()) is not None
    if vr not in (*TEXT, "CS"):
        return False
    values = [element.value] if element.VM < 2 else list(element.value)
    cleaned = [clean_description(str(value or ""), task.all_words) for value in values]
    if not any(cleaned):
        return False
    element.value = cleaned if len(cleaned) > 1 else cleaned[0]
    return True


def _shift(element: Any, task: _Task) -> bool:
    values = [element.value] if element.VM < 2 else list(element.value)
    moved = [task.pseudonyms.shifted(str(value or ""), task.days) for value in values]
    if not all(moved):
        return False
    element.value = moved if len(moved) > 1 else moved[0]
    return True


def _empty(dataset: Any, tag: Any, vr: str, task: _Task) -> None:
    from pydicom.dataelem import DataElement

    dataset[tag] = DataElement(tag, vr, [] if vr == "SQ" else None)


def _dummy(dataset: Any, tag: Any, vr: str, task: _Task) -> None:
    from pydicom.dataelem import DataElement

    if vr == "SQ":
        items = dataset[tag].value
        dataset[tag] = DataElement(tag, vr, [_dummy_item(items[0], task)] if len(items) else [])
    elif vr == "UI":
        _new_uids(dataset[tag], task)
    elif int(tag) == _PATIENT_ID:  # of another patient, inside a sequence: a pseudonym of its own
        pseudonym = task.pseudonyms.name("patient", f"id {str(dataset[tag].value or '').strip()}")
        dataset[tag] = DataElement(tag, vr, pseudonym)
    else:
        dataset[tag] = DataElement(tag, vr, _DUMMIES[vr])


def _dummy_item(item: Any, task: _Task) -> Any:
    """An item of the same standard attributes, every value a dummy."""
    for tag in list(item.keys()):
        if tag.is_private or tag.elem == 0 or not is_known(tag) or task.codes.get(int(tag)) == "X":
            del item[tag]
        else:
            _dummy(item, tag, vr_of(item, tag), task)
    return item


def _new_uids(element: Any, task: _Task) -> None:
    from pydicom.uid import UID_dictionary

    values = [element.value] if element.VM < 2 else list(element.value)
    new = [uid if uid in UID_dictionary or not uid else task.pseudonyms.uid(str(uid)) for uid in values]
    element.value = new if len(new) > 1 else new[0]


def _unlisted(dataset: Any, tag: Any, task: _Task) -> None:
    from pydicom.datadict import dictionary_VR, keyword_for_tag

    vr = vr_of(dataset, tag)
    if vr in _BYTES and not any(kind in dictionary_VR(tag) for kind in _BYTES):  # of a wrong kind: nobody looks into it
        del dataset[tag]
    elif vr == "SQ":
        _each_item(dataset[tag], task)
    elif vr == "UI":
        if not task.profile.retain_uids and not _NAMES_OF_KINDS.search(keyword_for_tag(tag)):
            _new_uids(dataset[tag], task)
    elif vr == "PN":
        _empty(dataset, tag, vr, task)
    elif vr == "UR" or (vr in _DATES and not (task.profile.modified_dates and _clean(dataset, tag, vr, task))):
        del dataset[tag]
    elif (vr in TEXT and int(tag) not in _CODE_IDENTIFIERS) or (vr == "CS" and not _describes_pixels(tag)):
        _without_persons(dataset, tag, task)
    elif vr in ("DS", "IS"):
        raw = dataset.get_item(tag).value
        if isinstance(raw, bytes) and not _NUMBER_ASTEXT.fullmatch(raw):
            del dataset[tag]


def _describes_pixels(tag: Any) -> bool:
    """Codes without which no reader makes out the values: character set, modality, pixel format."""
    return tag in (0x00080005, 0x00080060) or tag.group == 0x0028


def _without_persons(dataset: Any, tag: Any, task: _Task) -> None:
    element = dataset[tag]
    values = [element.value] if element.VM < 2 else list(element.value)
    cleaned = [without_identity(str(value or ""), task.person_words) for value in values]
    if cleaned != [str(value or "") for value in values]:
        element.value = cleaned if len(cleaned) > 1 else cleaned[0]
