from pathlib import Path

import numpy as np
import pydicom
import pytest

from medpipe.data.datalist import lesion_mask, load_datalist
from medpipe.data.lookalikes.chest_radiograph import FINDINGS
from medpipe.data.lookalikes.study import DemoStudy, write_demo_study
from medpipe.errors import RequestError

CASES, SIZE = 24, 64


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> DemoStudy:
    return write_demo_study(tmp_path_factory.mktemp("demo") / "out", cases=CASES, seed=4, size=SIZE)


def test_every_file_is_a_valid_case_or_a_named_other(study: DemoStudy) -> None:
    valid = {entry["image"] for entry in load_datalist(study.datalist)["test"]}
    files = {path.relative_to(study.folder).as_posix() for path in study.folder.rglob("*") if path.is_file()}
    assert len(valid) == CASES
    assert len(study.others) == 4
    assert not valid & study.others.keys()
    assert files == valid | study.others.keys()


def test_valid_cases_are_readable_and_in_all_encodings(study: DemoStudy) -> None:
    datalist = load_datalist(study.datalist)
    assert datalist["generated"] is True
    assert datalist["training"] == datalist["validation"] == []
    kinds = set()
    for entry in datalist["test"]:
        dataset = pydicom.dcmread(study.folder / entry["image"])
        assert dataset.pixel_array.shape == lesion_mask(entry).shape == (SIZE, SIZE)
        assert dataset.SOPInstanceUID == entry["case"]
        assert dataset.ViewPosition in ("PA", "AP")
        kinds.add((dataset.file_meta.TransferSyntaxUID, dataset.PhotometricInterpretation, "WindowWidth" in dataset))
    assert len(kinds) == 8


def test_every_finding_occurs_and_only_one_is_positive(study: DemoStudy) -> None:
    entries = load_datalist(study.datalist)["test"]
    assert {entry["finding"] for entry in entries} == set(FINDINGS)
    assert all(entry["label"] == (entry["finding"] == "pneumothorax") for entry in entries)


def test_some_files_have_no_suffix_and_folders_are_nested(study: DemoStudy) -> None:
    images = [Path(entry["image"]) for entry in load_datalist(study.datalist)["test"]]
    assert {image.suffix for image in images} == {"", ".dcm"}
    assert all(len(image.parts) == 3 for image in images)


def other(study: DemoStudy, word: str) -> Path:
    (name,) = [name for name, kind in study.others.items() if word in kind]
    return study.folder / name


def test_the_lateral_view_says_so(study: DemoStudy) -> None:
    dataset = pydicom.dcmread(other(study, "lateral"))
    assert dataset.ViewPosition == "LL"
    assert dataset.pixel_array.shape == (SIZE, SIZE)


def test_the_cut_file_has_a_header_but_not_all_pixels(study: DemoStudy) -> None:
    path = other(study, "cut short")
    assert pydicom.dcmread(path, stop_before_pixels=True).Rows == SIZE
    with pytest.raises(Exception, match=r"(?i)end of file|expected|bytes"):
        np.asarray(pydicom.dcmread(path).pixel_array)


def test_the_report_has_no_pixels_and_the_text_is_no_dicom(study: DemoStudy) -> None:
    assert "PixelData" not in pydicom.dcmread(other(study, "report"))
    with pytest.raises(pydicom.errors.InvalidDicomError):
        pydicom.dcmread(other(study, "text file"))


def test_equal_seeds_give_equal_bytes(tmp_path: Path) -> None:
    made = [write_demo_study(tmp_path / name, cases=3, seed=9, size=64) for name in "ab"]
    first, second = ({p.relative_to(s.folder): p.read_bytes() for p in s.folder.rglob("*.*")} for s in made)
    assert first == second
    assert made[0].datalist.read_bytes() == made[1].datalist.read_bytes()


def test_a_folder_that_holds_anything_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").touch()
    with pytest.raises(RequestError, match="not empty"):
        write_demo_study(tmp_path, cases=1, seed=0, size=64)
