from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest

from medpipe.data.datalist import lesion_mask, validate_datalist
from medpipe.data.lookalikes.dicom import ENCODINGS, Header, write_radiograph
from medpipe.data.siim_acr import check, prepare
from medpipe.data.splits import PARTS
from medpipe.errors import InputDataError, RequestError

ROWS, COLUMNS = 8, 6
HEADER = "ImageId, EncodedPixels"


def write_image(root: Path, image: str, *, patient: str = "", folder: str = "dicom-images-train") -> Path:
    header = Header(
        patient_id=patient or f"patient-{image}",
        sex="F",
        age=61,
        view="PA",
        modality="CR",
        study_date="19010101",
        spacing=0.168,
        study_uid=f"{image}.1",
        series_uid=f"{image}.2",
        instance_uid=image,
    )
    path = root / folder / header.study_uid / header.series_uid / f"{image}.dcm"
    write_radiograph(path, np.zeros((ROWS, COLUMNS), np.float32), header, ENCODINGS["jpeg"])
    return path


def make(root: Path, table: list[str], *, name: str = "train-rle.csv", header: str = HEADER) -> Path:
    """A data set with the images 1.1, 1.2 and 1.3 and the given table."""
    for image in ("1.1", "1.2", "1.3"):
        write_image(root, image)
    (root / name).write_text("\n".join([header, *table]) + "\n")
    return root


def codes(root: Path) -> dict[str, str]:
    return {finding.code: finding.severity for finding in check(root)}


def messages(root: Path) -> Mapping[str, str]:
    return {finding.code: finding.message for finding in check(root)}


def all_entries(datalist: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {entry["case"]: entry for part in PARTS for entry in datalist[part]}


SOUND = ["1.1, -1", "1.2, 0 2 6 1", "1.3, -1"]


def test_a_sound_folder_gives_only_information(tmp_path: Path) -> None:
    assert codes(make(tmp_path, SOUND)) == {"counts": "info"}


def test_the_blanks_in_header_and_values_do_not_matter(tmp_path: Path) -> None:
    entries = all_entries(prepare(make(tmp_path, SOUND)))
    assert [entries[image]["label"] for image in ("1.1", "1.2", "1.3")] == [0, 1, 0]
    assert entries["1.2"]["rle"] == ["0 2 6 1"]
    assert entries["1.1"]["rle"] == []


def test_an_entry_has_the_image_the_patient_and_the_header(tmp_path: Path) -> None:
    entry = all_entries(prepare(make(tmp_path, SOUND)))["1.2"]
    assert entry == {
        "image": "dicom-images-train/1.2.1/1.2.2/1.2.dcm",
        "case": "1.2",
        "patient": "patient-1.2",
        "rows": ROWS,
        "columns": COLUMNS,
        "sex": "F",
        "age": 61,
        "view": "PA",
        "label": 1,
        "localized": True,
        "rle": ["0 2 6 1"],
    }


def test_several_rows_of_one_image_are_one_entry_with_the_union_of_the_masks(tmp_path: Path) -> None:
    table = ["1.2, 0 3", "1.1, -1", "1.2, 1 4", "1.3, -1", "1.2, 0 3"]
    datalist = prepare(make(tmp_path, table))
    entry = all_entries(datalist)["1.2"]
    assert sum(len(datalist[part]) for part in PARTS) == 3
    assert len(entry["rle"]) == 3
    assert lesion_mask(entry).sum() == 5


def test_masks_run_down_the_columns(tmp_path: Path) -> None:
    mask = lesion_mask(all_entries(prepare(make(tmp_path, SOUND)))["1.2"])
    np.testing.assert_array_equal(np.argwhere(mask), [[0, 0], [0, 1], [1, 0]])


def test_columns_may_stand_in_any_order(tmp_path: Path) -> None:
    root = make(tmp_path, ["-1,x,1.1", "0 2,x,1.2", "-1,x,1.3"], header=" EncodedPixels ,note,ImageId")
    assert all_entries(prepare(root))["1.2"]["label"] == 1


def test_the_later_table_is_read_and_preferred(tmp_path: Path) -> None:
    root = make(tmp_path, ["1.1,0 1"], name="stage_2_train.csv", header="ImageId,EncodedPixels")
    assert "counts" not in codes(root)  # the published counts are those of train-rle.csv
    (root / "train-rle.csv").write_text("ImageId, EncodedPixels\n1.1, -1\n")
    assert codes(root)["two_tables"] == "info"
    assert all_entries(prepare(root))["1.1"]["label"] == 1


def test_images_are_found_by_stem_in_any_depth(tmp_path: Path) -> None:
    root = make(tmp_path, SOUND)
    path = root / "dicom-images-train/1.2.1/1.2.2/1.2.dcm"
    (root / "dicom-images-train/a/b/c/d").mkdir(parents=True)
    path.rename(root / "dicom-images-train/a/b/c/d/1.2.dcm")
    assert all_entries(prepare(root))["1.2"]["image"] == "dicom-images-train/a/b/c/d/1.2.dcm"


def test_images_without_labels_are_listed_apart(tmp_path: Path) -> None:
    root = make(tmp_path, SOUND)
    write_image(root, "9.9", folder="dicom-images-test")
    datalist = prepare(root)
    assert [entry["case"] for entry in datalist["unlabelled"]] == ["9.9"]
    assert "label" not in datalist["unlabelled"][0]
    assert codes(root) == {"counts": "info", "unlisted_images": "info"}
    validate_datalist(datalist, "it")


def test_labelled_images_in_the_test_folder_are_used(tmp_path: Path) -> None:
    root = make(tmp_path, [*SOUND, "9.9, 0 1"])
    write_image(root, "9.9", folder="dicom-images-test")
    assert all_entries(prepare(root))["9.9"]["label"] == 1


def test_a_training_image_that_is_not_listed_is_named(tmp_path: Path) -> None:
    root = make(tmp_path, SOUND[:2])
    assert codes(root)["unlisted_images"] == "warning"
    assert "1 images below dicom-images-train" in messages(root)["unlisted_images"]
    assert "1.3" in messages(root)["unlisted_images"]


def test_images_that_are_listed_but_missing_are_named_and_left_out(tmp_path: Path) -> None:
    root = make(tmp_path, [*SOUND, "7.7, -1", "7.8, 0 1"])
    assert codes(root)["missing_images"] == "warning"
    assert "2 of 5" in messages(root)["missing_images"]
    assert "7.7, 7.8" in messages(root)["missing_images"]
    datalist = prepare(root)
    assert set(all_entries(datalist)) == {"1.1", "1.2", "1.3"}
    assert "3 of the 5" in datalist["description"]


def test_two_files_of_one_name_are_an_error(tmp_path: Path) -> None:
    root = make(tmp_path, SOUND)
    write_image(root, "1.1", folder="dicom-images-test")
    assert codes(root)["duplicate_stem"] == "error"
    with pytest.raises(InputDataError, match=r"2 files are named 1\.1: dicom-images-train.*dicom-images-test"):
        prepare(root)


def test_an_unreadable_header_is_an_error_that_names_the_file(tmp_path: Path) -> None:
    root = make(tmp_path, SOUND)
    (root / "dicom-images-train/1.1.1/1.1.2/1.1.dcm").write_bytes(b"no DICOM")
    assert codes(root)["unreadable_header"] == "error"
    assert "dicom-images-train/1.1.1/1.1.2/1.1.dcm" in messages(root)["unreadable_header"]


@pytest.mark.parametrize("code", ["5", "0 -3", "0 49", "1 x", "40 4 4 1", "3 0"])
def test_a_mask_that_does_not_decode_is_an_error_that_names_the_image(tmp_path: Path, code: str) -> None:
    root = make(tmp_path, ["1.1, -1", f"1.2, {code}", "1.3, -1"])
    assert codes(root)["bad_rle"] == "error"
    assert "1.2" in messages(root)["bad_rle"]
    with pytest.raises(InputDataError, match=r"1\.2"):
        prepare(root)


def test_an_image_with_a_mask_and_minus_one_is_positive_with_a_warning(tmp_path: Path) -> None:
    root = make(tmp_path, [*SOUND, "1.1, 0 1"])
    assert codes(root)["contradictory_rows"] == "warning"
    assert all_entries(prepare(root))["1.1"]["rle"] == ["0 1"]


def test_without_a_patient_id_the_study_is_the_patient(tmp_path: Path) -> None:
    root = make(tmp_path, SOUND)
    path = root / "dicom-images-train/1.1.1/1.1.2/1.1.dcm"
    dataset = pydicom.dcmread(path)
    dataset.PatientID = ""
    dataset.save_as(path)
    assert codes(root)["no_patient_id"] == "warning"
    assert all_entries(prepare(root))["1.1"]["patient"] == "1.1.1"


def test_the_split_is_by_patient(tmp_path: Path) -> None:
    root = tmp_path
    for number in range(12):
        write_image(root, f"1.{number}", patient=f"p{number // 3}")
    (root / "train-rle.csv").write_text("\n".join([HEADER, *(f"1.{number}, -1" for number in range(12))]))
    datalist = prepare(root, seed=3, fractions=(0.5, 0.25, 0.25))
    assert [len(datalist[part]) for part in PARTS] == [6, 3, 3]
    validate_datalist(datalist, "it")  # refuses a shared patient


def test_a_table_with_other_columns_is_an_error(tmp_path: Path) -> None:
    root = make(tmp_path, SOUND, header="Image,Pixels")
    assert codes(root)["table"] == "error"
    assert "ImageId" in messages(root)["table"]
    with pytest.raises(InputDataError, match="ImageId"):
        prepare(root)


def test_an_empty_folder_lacks_table_and_images(tmp_path: Path) -> None:
    assert codes(tmp_path) == {"no_table": "error", "no_images": "error"}
    with pytest.raises(InputDataError, match=r"train-rle\.csv"):
        prepare(tmp_path)


def test_the_table_of_another_set_is_an_error(tmp_path: Path) -> None:
    assert codes(make(tmp_path, ["8.8, -1"]))["no_labelled_image"] == "error"


def test_counts_are_compared_with_the_published_ones(tmp_path: Path) -> None:
    root = make(tmp_path, SOUND)
    assert "3 of 12,954 rows, 3 of 12,047 images, 1 of 2,669 positives" in messages(root)["counts"]
    more = [f"5.{number}, -1" for number in range(12_955)]
    (root / "train-rle.csv").write_text("\n".join([HEADER, *SOUND, *more]))
    assert codes(root)["more_than_published"] == "warning"


def test_wrong_fractions_are_refused_before_anything_is_read(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="add up to 1"):
        prepare(tmp_path, fractions=(1, 1, 1))


def test_a_real_set_is_not_called_generated_and_a_damaged_marker_is_an_error(tmp_path: Path) -> None:
    root = make(tmp_path, SOUND)
    assert prepare(root)["generated"] is False
    (root / "LOOKALIKE.json").write_text("{")
    assert "error" in codes(root).values()


@pytest.mark.shared_data
def test_a_published_file_is_read(tmp_path: Path, shared_data: Path) -> None:
    image = "1.2.276.0.7230010.3.1.4.8323329.6904.1517875201.850819"
    path = tmp_path / "dicom-images-train" / "study" / "series" / f"{image}.dcm"
    path.parent.mkdir(parents=True)
    path.write_bytes((shared_data / "cxr" / "dicom" / path.name).read_bytes())
    (tmp_path / "train-rle.csv").write_text(f"{HEADER}\n{image}, -1\n")
    datalist = prepare(tmp_path, fractions=(0, 0, 1))
    (entry,) = datalist["test"]
    assert (entry["rows"], entry["columns"], entry["age"], entry["sex"], entry["view"]) == (
        1024,
        1024,
        62,
        "M",
        "PA",
    )
    assert entry["patient"] == "16d7f894-55d7-4d95-8957-d18987f0e981"
