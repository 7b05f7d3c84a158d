from dataclasses import replace
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.pixels import apply_modality_lut

from medpipe.data.lookalikes.chest_radiograph import draw_chest_radiograph
from medpipe.data.lookalikes.dicom import ENCODINGS, Header, write_radiograph, write_report

HEADER = Header(
    patient_id="GEN00001",
    sex="M",
    age=7,
    view="AP",
    modality="DX",
    study_date="20200229",
    spacing=0.39,
    study_uid="2.25.1",
    series_uid="2.25.2",
    instance_uid="2.25.3",
)


@pytest.fixture(scope="module")
def image() -> np.ndarray:
    return draw_chest_radiograph(np.random.default_rng(2), "pneumothorax", 96).image[:90]


def shown(dataset: pydicom.Dataset) -> np.ndarray:
    """Grey values from 0 to 1 as a viewer shows them."""
    values = apply_modality_lut(dataset.pixel_array, dataset).astype(float)
    if "WindowWidth" in dataset:
        steps = dataset.WindowWidth - 1  # PS3.3 C.11.2.1.2
        values = np.clip((values - (dataset.WindowCenter - 0.5)) / steps + 0.5, 0, 1)
    else:
        values = values / (2**dataset.BitsStored - 1)
    return 1 - values if dataset.PhotometricInterpretation == "MONOCHROME1" else values


@pytest.mark.parametrize("name", ENCODINGS)
def test_every_encoding_shows_the_image(tmp_path: Path, image: np.ndarray, name: str) -> None:
    write_radiograph(tmp_path / "a.dcm", image, HEADER, ENCODINGS[name])
    dataset = pydicom.dcmread(tmp_path / "a.dcm")
    assert dataset.file_meta.TransferSyntaxUID == ENCODINGS[name].syntax
    assert (dataset.Rows, dataset.Columns, dataset.BitsStored) == (90, 96, ENCODINGS[name].bits)
    if name == "jpeg":
        assert np.abs(shown(dataset) - image).mean() < 0.01
    else:
        levels = 2000 if ENCODINGS[name].windowed else 2 ** ENCODINGS[name].bits - 1
        np.testing.assert_allclose(shown(dataset), image, atol=0.51 / levels)


@pytest.mark.parametrize("name", ENCODINGS)
def test_equal_arguments_give_equal_bytes(tmp_path: Path, image: np.ndarray, name: str) -> None:
    for file in ("a.dcm", "b.dcm"):
        write_radiograph(tmp_path / file, image, HEADER, ENCODINGS[name])
    assert (tmp_path / "a.dcm").read_bytes() == (tmp_path / "b.dcm").read_bytes()


def test_the_encodings_differ_in_what_a_reader_must_handle() -> None:
    assert len({encoding.syntax for encoding in ENCODINGS.values()}) == 6
    assert any(encoding.inverted for encoding in ENCODINGS.values())
    assert any(encoding.windowed for encoding in ENCODINGS.values())
    assert {encoding.bits for encoding in ENCODINGS.values()} == {8, 12, 16}


def test_the_header_says_who_how_and_that_the_image_is_generated(tmp_path: Path, image: np.ndarray) -> None:
    write_radiograph(tmp_path / "x" / "a.dcm", image, HEADER, ENCODINGS["raw_12_bit"])
    dataset = pydicom.dcmread(tmp_path / "x" / "a.dcm")
    assert (dataset.PatientID, dataset.PatientSex, dataset.PatientAge) == ("GEN00001", "M", "007Y")
    assert (dataset.ViewPosition, dataset.Modality, dataset.BodyPartExamined) == ("AP", "DX", "CHEST")
    assert list(dataset.PixelSpacing) == [0.39, 0.39]
    assert (dataset.SOPInstanceUID, dataset.file_meta.MediaStorageSOPInstanceUID) == ("2.25.3", "2.25.3")
    assert dataset.BurnedInAnnotation == "NO"
    assert "generated" in dataset.ImageComments
    assert "generated" in dataset.SeriesDescription


def test_a_compressed_image_keeps_its_uid(tmp_path: Path, image: np.ndarray) -> None:
    write_radiograph(tmp_path / "a.dcm", image, HEADER, ENCODINGS["jpeg_2000_16_bit"])
    assert pydicom.dcmread(tmp_path / "a.dcm").SOPInstanceUID == "2.25.3"


def test_a_jpeg_file_has_the_bare_age_and_the_class_of_the_published_files(tmp_path: Path, image: np.ndarray) -> None:
    write_radiograph(tmp_path / "a.dcm", image, replace(HEADER, age=62), ENCODINGS["jpeg"])
    dataset = pydicom.dcmread(tmp_path / "a.dcm")
    assert dataset.PatientAge == "62"
    assert dataset.SOPClassUID.name == "Secondary Capture Image Storage"
    assert (dataset.PhotometricInterpretation, dataset.LossyImageCompression) == ("MONOCHROME2", "01")


def test_a_report_has_no_pixels(tmp_path: Path) -> None:
    write_report(tmp_path / "r.dcm", HEADER)
    dataset = pydicom.dcmread(tmp_path / "r.dcm")
    assert dataset.Modality == "SR"
    assert "PixelData" not in dataset
    assert "generated" in dataset.ContentSequence[0].TextValue
