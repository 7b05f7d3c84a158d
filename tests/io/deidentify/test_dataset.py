from __future__ import annotations

import pytest
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from medpipe.io.deidentify.dataset import deidentify_dataset
from medpipe.io.deidentify.identity import patient_key
from medpipe.io.deidentify.pseudonyms import Pseudonyms
from medpipe.io.deidentify.table import Profile

NAMES = Pseudonyms(bytes(32))


def deidentified(profile: Profile | None = None, **elements: object) -> Dataset:
    dataset = Dataset()
    dataset.PatientID, dataset.PatientName, dataset.SOPInstanceUID = "77", "Vogelsang^Anna", "1.2.3"
    for name, value in elements.items():
        setattr(dataset, name, value)
    deidentify_dataset(dataset, profile or Profile(), NAMES)
    return dataset


def test_the_patient_gets_one_pseudonym_as_name_and_id() -> None:
    first, second = deidentified(), deidentified(PatientName="Vogelsang^A.")
    assert first.PatientID == first.PatientName == second.PatientID != "77"


@pytest.mark.parametrize(
    ("elements", "key"),
    [
        ({"PatientID": " 77 "}, "id 77"),
        ({"PatientName": "A^B", "PatientBirthDate": "19600101"}, "name A^B 19600101"),
        ({"StudyInstanceUID": "1.2"}, "study 1.2"),
    ],
)
def test_a_patient_without_an_id_is_told_by_name_and_birth_date_or_by_the_study(elements, key) -> None:
    dataset = Dataset()
    for name, value in elements.items():
        setattr(dataset, name, value)
    assert patient_key(dataset) == key


def test_what_was_done_is_stated() -> None:
    dataset = deidentified(Profile(modified_dates=True, clean_descriptors=True))
    assert dataset.PatientIdentityRemoved == "YES"
    assert dataset.LongitudinalTemporalInformationModified == "MODIFIED"
    codes = [item.CodeValue for item in dataset.DeidentificationMethodCodeSequence]
    assert codes == ["113100", "113105", "113107"]
    assert all(len(text) <= 64 for text in dataset.DeidentificationMethod)
    assert deidentified().LongitudinalTemporalInformationModified == "REMOVED"


def test_registered_uids_stay_and_others_change_the_same_way_everywhere() -> None:
    item = Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = "1.2.840.10008.5.1.4.1.1.2", "1.2.3"
    dataset = deidentified(
        SOPClassUID="1.2.840.10008.5.1.4.1.1.2",
        FrameOfReferenceUID="1.2.840.10008.1.4.1.1",
        ReferencedImageSequence=Sequence([item]),
    )
    assert dataset.SOPClassUID == "1.2.840.10008.5.1.4.1.1.2"
    assert dataset.FrameOfReferenceUID == "1.2.840.10008.1.4.1.1"  # Talairach brain atlas, a well-known frame
    (reference,) = dataset.ReferencedImageSequence
    assert reference.ReferencedSOPInstanceUID == dataset.SOPInstanceUID == NAMES.uid("1.2.3")
    assert reference.ReferencedSOPClassUID == "1.2.840.10008.5.1.4.1.1.2"


def test_a_uid_that_the_table_does_not_list_follows_the_listed_ones() -> None:
    dataset = deidentified(VolumeFrameOfReferenceUID="1.2.3", CodingSchemeUID="1.2.3.4")
    assert dataset.VolumeFrameOfReferenceUID == NAMES.uid("1.2.3")
    assert dataset.CodingSchemeUID == "1.2.3.4"


def test_listed_private_attributes_stay_with_their_creator_alone() -> None:
    profile = Profile(keep_private=frozenset({(0x19, "MAKER A", 0x0C)}))
    dataset = Dataset()
    dataset.PatientID, dataset.SOPInstanceUID = "77", "1.2.3"
    kept, dropped = (dataset.private_block(0x19, name, create=True) for name in ("MAKER A", "MAKER B"))
    for block in (kept, dropped):
        block.add_new(0x0C, "IS", "1000")
        block.add_new(0x0D, "LO", "Vogelsang")
    deidentify_dataset(dataset, profile, NAMES)
    private = [(element.tag, element.value) for element in dataset if element.tag.is_private]
    assert private == [(0x00190010, "MAKER A"), (0x0019100C, 1000)]


def test_a_kept_private_sequence_is_looked_into() -> None:
    profile = Profile(keep_private=frozenset({(0x29, "MAKER", 0x01)}))
    dataset, item = Dataset(), Dataset()
    dataset.PatientID, dataset.SOPInstanceUID, item.InstitutionName = "77", "1.2.3", "Clinic"
    dataset.private_block(0x29, "MAKER", create=True).add_new(0x01, "SQ", Sequence([item]))
    deidentify_dataset(dataset, profile, NAMES)
    assert dataset[0x00291001].value[0].InstitutionName == "REMOVED"


def test_dates_keep_their_distances_and_times() -> None:
    dataset = deidentified(
        Profile(modified_dates=True), StudyDate="20200301", AcquisitionDateTime="20200305101112.25", StudyTime="101112"
    )
    days = NAMES.shift_days("id 77")
    assert dataset.StudyDate == NAMES.shifted("20200301", days)
    assert dataset.AcquisitionDateTime == NAMES.shifted("20200305101112.25", days)
    assert dataset.StudyTime == "101112"
    assert not deidentified(Profile(modified_dates=True), PatientBirthDate="19600101").PatientBirthDate


def test_a_date_that_is_none_falls_back_to_the_basic_action() -> None:
    with pytest.warns(UserWarning, match="Invalid value"):
        dataset = deidentified(Profile(modified_dates=True), StudyDate="in May")
    assert "StudyDate" in dataset
    assert not dataset.StudyDate


def test_numbers_that_are_words_and_elements_of_no_dictionary_go() -> None:
    import io

    import pydicom

    raw = b"\x18\x00\x60\x00DS\x06\x00Anna  " + b"\x18\x00\xfe\xffLO\x04\x00Anna" + b"\x20\x00\x13\x00IS\x02\x0012"
    dataset = pydicom.dcmread(io.BytesIO(raw), force=True)
    dataset.PatientID = "77"
    deidentify_dataset(dataset, Profile(), NAMES)
    assert "KVP" not in dataset
    assert (0x0018, 0xFFFE) not in dataset
    assert dataset.InstanceNumber == 12


@pytest.mark.parametrize("vr", ["UN", "OB"])
def test_a_sequence_in_the_guise_of_bytes_is_looked_into_or_goes(vr) -> None:
    """Ultrasound regions, a sequence that the table does not list, written as bytes of implicit little endian."""
    import io

    import pydicom

    inner = b"\x10\x00\x10\x00\x0e\x00\x00\x00Vogelsang^Anna" + b"\x18\x00\x60\x00\x04\x00\x00\x00120 "
    item = b"\xfe\xff\x00\xe0" + len(inner).to_bytes(4, "little") + inner
    raw = b"\x10\x00\x20\x00LO\x02\x0077" + b"\x18\x00\x11\x60" + vr.encode() + b"\0\0"
    raw += len(item).to_bytes(4, "little") + item
    read = pydicom.dcmread(io.BytesIO(raw), force=True)
    deidentify_dataset(read, Profile(), NAMES)
    assert "Vogelsang" not in str(read)
    assert (0x00186011 in read) == (vr == "UN")
    if vr == "UN":
        assert read[0x00186011].value[0].KVP == 120


def test_codes_lose_the_names_but_not_what_describes_the_pixels() -> None:
    dataset = deidentified(PatientName="Smith^Rgb", BodyPartExamined="SMITH KNEE", PhotometricInterpretation="RGB")
    assert dataset.BodyPartExamined == "KNEE"
    assert dataset.PhotometricInterpretation == "RGB"
