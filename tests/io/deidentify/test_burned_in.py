from __future__ import annotations

import pytest
from pydicom.dataset import Dataset

from medpipe.io.deidentify.burned_in import burned_in_risk, recognisable_face


def header(**elements: object) -> Dataset:
    dataset = Dataset()
    dataset.Modality, dataset.PixelData = "CT", b"\0\0"
    dataset["PixelData"].VR = "OW"
    for name, value in elements.items():
        if value is None:
            delattr(dataset, name)
        else:
            setattr(dataset, name, value)
    return dataset


@pytest.mark.parametrize("modality", ["US", "XA", "RF", "ES", "OT", "SC"])
def test_kinds_with_burned_in_text_are_a_risk_unless_the_header_denies_it(modality) -> None:
    assert modality in burned_in_risk(header(Modality=modality))
    assert burned_in_risk(header(Modality=modality, BurnedInAnnotation="NO")) == ""


@pytest.mark.parametrize(
    "elements",
    [
        {"BurnedInAnnotation": "YES"},
        {"SOPClassUID": "1.2.840.10008.5.1.4.1.1.7"},
        {"SOPClassUID": "1.2.840.10008.5.1.4.1.1.104.1"},
        {"ImageType": ["DERIVED", "SECONDARY", "SCREEN SAVE"]},
        {"Modality": None},
    ],
)
def test_what_says_so_or_is_a_capture_or_of_no_kind_is_a_risk(elements) -> None:
    assert burned_in_risk(header(**elements))


@pytest.mark.parametrize("modality", ["CT", "MR", "CR", "DX", "MG", "PT", "NM"])
def test_plain_images_and_files_without_pixels_are_none(modality) -> None:
    assert burned_in_risk(header(Modality=modality, ImageType=["ORIGINAL", "PRIMARY"])) == ""
    assert burned_in_risk(header(Modality="OT", PixelData=None)) == ""


def test_a_head_scan_may_show_a_face() -> None:
    assert recognisable_face(header(BodyPartExamined="HEAD"))
    assert recognisable_face(header(RecognizableVisualFeatures="YES"))
    assert not recognisable_face(header(BodyPartExamined="HEAD", RecognizableVisualFeatures="NO"))
    assert not recognisable_face(header(BodyPartExamined="CHEST"))
