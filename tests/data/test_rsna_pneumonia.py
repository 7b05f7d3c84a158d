from pathlib import Path
from typing import Any

import numpy as np
import pytest

from medpipe.data.datalist import lesion_mask, validate_datalist
from medpipe.data.lookalikes.dicom import ENCODINGS, Header, write_radiograph
from medpipe.data.manifests import load_manifest
from medpipe.data.rsna_pneumonia import CLASSES as CLASS_NAMES
from medpipe.data.rsna_pneumonia import check, prepare
from medpipe.data.splits import PARTS
from medpipe.errors import InputDataError, RequestError

ROWS, COLUMNS = 80, 60
LABELS = ["a,,,,,0", "b,10.0,20.0,30.0,40.0,1", "b,1.0,2.0,3.0,4.0,1", "c,,,,,0"]
CLASSES = ["b,Lung Opacity", "a,Normal", "b,Lung Opacity", "c,No Lung Opacity / Not Normal"]


def write_image(root: Path, image: str, folder: str = "stage_2_train_images") -> None:
    header = Header(
        patient_id=image,
        sex="F",
        age=51,
        view="PA",
        modality="CR",
        study_date="19010101",
        spacing=0.139,
        study_uid="1.2.1",
        series_uid="1.2.2",
        instance_uid="1.2.3",
    )
    write_radiograph(root / folder / f"{image}.dcm", np.zeros((ROWS, COLUMNS), np.float32), header, ENCODINGS["jpeg"])


def make(root: Path, labels: list[str] = LABELS, classes: list[str] | None = CLASSES) -> Path:
    for image in "abc":
        write_image(root, image)
    (root / "stage_2_train_labels.csv").write_text("\n".join(["patientId,x,y,width,height,Target", *labels]) + "\n")
    if classes is not None:
        (root / "stage_2_detailed_class_info.csv").write_text("\n".join(["patientId,class", *classes]) + "\n")
    return root


def codes(root: Path) -> dict[str, str]:
    return {finding.code: finding.severity for finding in check(root)}


def message(root: Path, code: str) -> str:
    return next(finding.message for finding in check(root) if finding.code == code)


def entries(root: Path) -> dict[str, dict[str, Any]]:
    datalist = prepare(root)
    validate_datalist(datalist, "it")
    return {entry["case"]: entry for part in PARTS for entry in datalist[part]}


def test_a_sound_folder_gives_only_information(tmp_path: Path) -> None:
    assert codes(make(tmp_path)) == {"counts": "info"}


def test_an_image_is_one_entry_with_all_its_boxes(tmp_path: Path) -> None:
    found = entries(make(tmp_path))
    assert found["b"] == {
        "image": "stage_2_train_images/b.dcm",
        "case": "b",
        "patient": "b",
        "label": 1,
        "rows": ROWS,
        "columns": COLUMNS,
        "localized": True,
        "boxes": [[10, 20, 30, 40], [1, 2, 3, 4]],
        "finding": "Lung Opacity",
        "sex": "F",
        "age": 51,
        "view": "PA",
    }
    assert lesion_mask(found["b"])[20:60, 10:40].all()
    assert len(found) == 3


def test_target_0_with_empty_boxes_is_negative(tmp_path: Path) -> None:
    found = entries(make(tmp_path))
    assert (found["a"]["label"], found["a"]["boxes"], found["a"]["localized"]) == (0, [], True)


def test_the_detailed_class_is_kept(tmp_path: Path) -> None:
    found = entries(make(tmp_path))
    assert [found[image]["finding"] for image in "abc"] == ["Normal", "Lung Opacity", "No Lung Opacity / Not Normal"]


def test_columns_may_stand_in_any_order_with_blanks(tmp_path: Path) -> None:
    root = make(tmp_path)
    table = "Target, height ,width,y,x, patientId\n1, 4,3,2,1, a\n0,,,,,b\n0,,,,,c\n"
    (root / "stage_2_train_labels.csv").write_text(table)
    assert entries(root)["a"]["boxes"] == [[1, 2, 3, 4]]


def test_without_the_detailed_classes_it_is_prepared_all_the_same(tmp_path: Path) -> None:
    root = make(tmp_path, classes=None)
    assert codes(root) == {"no_classes": "warning", "counts": "info"}
    assert "finding" not in entries(root)["b"]


def test_a_class_that_contradicts_the_target_is_named_and_the_target_counts(tmp_path: Path) -> None:
    root = make(tmp_path, classes=["a,Lung Opacity", "b,Lung Opacity", "c,Normal"])
    assert message(root, "class_against_target").endswith(": a")
    assert entries(root)["a"]["label"] == 0


def test_several_and_unknown_classes_are_named(tmp_path: Path) -> None:
    root = make(tmp_path, classes=["a,Normal", "a,No Lung Opacity / Not Normal", "b,Lung Opacity", "c,Strange"])
    assert codes(root)["contradictory_rows"] == "warning"
    assert "Strange" in message(root, "unknown_class")
    assert "finding" not in entries(root)["a"]


def test_an_image_with_a_box_and_target_0_is_positive_with_a_warning(tmp_path: Path) -> None:
    root = make(tmp_path, [*LABELS, "b,,,,,0"])
    assert codes(root)["contradictory_rows"] == "warning"
    assert entries(root)["b"]["label"] == 1


@pytest.mark.parametrize("row", ["a,1,2,3,,1", "a,1,2,3,0,1", "a,1,2,nan,4,1", "a,,,,,1", "a,1,2,3,4,0", "a,1,2,3,4,2"])
def test_a_row_whose_box_does_not_fit_its_target_is_an_error_that_names_it(tmp_path: Path, row: str) -> None:
    root = make(tmp_path, [row, "b,,,,,0"])
    assert codes(root)["table"] == "error"
    with pytest.raises(InputDataError, match=r"stage_2_train_labels\.csv: .*a"):
        prepare(root)


def test_a_box_that_leaves_the_image_is_named(tmp_path: Path) -> None:
    root = make(tmp_path, ["a,50,2,11,4,1", "b,50,2,10,4,1", "c,,,,,0"])
    assert message(root, "box_outside").endswith(": a")


def test_test_images_are_unlabelled(tmp_path: Path) -> None:
    root = make(tmp_path)
    write_image(root, "t", folder="stage_2_test_images")
    assert codes(root) == {"counts": "info"}
    datalist = prepare(root)
    assert [entry["case"] for entry in datalist["unlabelled"]] == ["t"]
    assert "label" not in datalist["unlabelled"][0]
    validate_datalist(datalist, "it")


def test_images_listed_but_missing_and_images_not_listed_are_named(tmp_path: Path) -> None:
    root = make(tmp_path, ["a,,,,,0", "b,,,,,0", "z,,,,,0"])
    assert "1 of 3" in message(root, "missing_images")
    assert message(root, "missing_images").endswith(": z")
    assert message(root, "unlisted_images").endswith(": c")
    assert "2 of the 3" in prepare(root)["description"]


def test_the_table_of_another_set_is_an_error(tmp_path: Path) -> None:
    assert codes(make(tmp_path, ["z,,,,,0"], None))["no_labelled_image"] == "error"


def test_two_files_of_one_name_and_unreadable_headers_are_errors(tmp_path: Path) -> None:
    root = make(tmp_path)
    write_image(root, "a", folder="stage_2_test_images")
    (root / "stage_2_train_images/b.dcm").write_bytes(b"no DICOM")
    assert codes(root)["duplicate_stem"] == codes(root)["unreadable_header"] == "error"
    with pytest.raises(InputDataError, match=r"stage_2_train_images/b\.dcm"):
        prepare(root)


def test_an_empty_folder_lacks_table_and_images(tmp_path: Path) -> None:
    assert codes(tmp_path) == {"no_table": "error", "no_classes": "warning", "no_images": "error"}


def test_counts_are_compared_with_the_published_ones(tmp_path: Path) -> None:
    root = make(tmp_path)
    text = message(root, "counts")
    assert "4 of 30,227 rows, 3 of 26,684 images, 1 of 6,012 positives, 2 of 9,555 boxes, 1 of 8,851 Normal" in text
    make(tmp_path, [f"b,1,2,3,{number + 1},1" for number in range(9_556)])
    assert codes(root)["more_than_published"] == "warning"


def test_wrong_fractions_are_refused_before_anything_is_read(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="add up to 1"):
        prepare(tmp_path, fractions=(1, 1, 1))


def test_the_published_counts_add_up() -> None:
    here = {key: count["value"] for key, count in load_manifest("rsna_pneumonia")["counts"].items()}
    assert here["images"] - here["positives"] + here["boxes"] == here["rows"]
    assert sum(here[name] for name in CLASS_NAMES) == here["images"]
    assert here["Lung Opacity"] == here["positives"]
