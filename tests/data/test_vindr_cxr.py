from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest

from medpipe.data.datalist import validate_datalist
from medpipe.data.lookalikes.dicom import ENCODINGS, Header, write_radiograph
from medpipe.data.manifests import load_manifest
from medpipe.data.splits import PARTS
from medpipe.data.vindr_cxr import FINDINGS, check, prepare
from medpipe.errors import InputDataError, RequestError

KAGGLE = "image_id,class_name,class_id,rad_id,x_min,y_min,x_max,y_max"
PHYSIONET = "image_id,rad_id,class_name,x_min,y_min,x_max,y_max"
PHYSIONET_TEST = "image_id,class_name,x_min,y_min,x_max,y_max"
ROWS, COLUMNS = 90, 70
HEADER = Header("", "M", 44, "PA", "DX", "19010101", 0.139, "1.2.1", "1.2.2", "1.2.3")


def write_image(root: Path, image: str, folder: str = "train", encoding: str = "raw_12_bit", age: int = 44) -> Path:
    path = root / folder / f"{image}.dicom"
    header = replace(HEADER, patient_id=image, age=age)
    write_radiograph(path, np.zeros((ROWS, COLUMNS), np.float32), header, ENCODINGS[encoding])
    return path


def nodule(image: str, reader: int, *corners: float) -> str:
    return f"{image},Nodule/Mass,8,R{reader}," + ",".join(map(str, corners))


def clean(image: str, *readers: int) -> list[str]:
    return [f"{image},No finding,14,R{reader},,,," for reader in readers]


# a: three readers around one place, b: one reader only, c: nobody, d: three readers at three places
TABLE = [
    *(nodule("a", 1, 10, 10, 30, 30), nodule("a", 2, 12, 10, 32, 30), nodule("a", 3, 11, 13, 31, 30)),
    *(nodule("b", 1, 40, 40, 50, 50), *clean("b", 2, 3)),
    *clean("c", 4, 5, 6),
    *(nodule("d", 1, 1, 1, 9, 9), nodule("d", 2, 20, 20, 29, 29), nodule("d", 3, 40, 40, 49, 49)),
]


def make(root: Path, table: list[str] = TABLE, header: str = KAGGLE) -> Path:
    for image in "abcd":
        write_image(root, image)
    (root / "train.csv").write_text("\n".join([header, *table]) + "\n")
    return root


def make_physionet(root: Path, image_labels: list[str] | None = None) -> Path:
    for image in "abcd":
        write_image(root, image)
    for image in "tu":
        write_image(root, image, "test")
    (root / "annotations").mkdir()
    train = [",".join([row.split(",")[index] for index in (0, 3, 1, 4, 5, 6, 7)]) for row in TABLE]
    test = ["t,Nodule/Mass,5,5,15,25", "t,Nodule/Mass,6,6,15,25", "u,No finding,,,,"]
    for name, lines in (("train", [PHYSIONET, *train]), ("test", [PHYSIONET_TEST, *test])):
        (root / "annotations" / f"annotations_{name}.csv").write_text("\n".join(lines) + "\n")
    if image_labels is not None:
        text = "\n".join(["image_id,rad_id,Nodule/Mass,Pneumonia,No finding", *image_labels]) + "\n"
        (root / "annotations/image_labels_train.csv").write_text(text)
    return root


def codes(root: Path) -> dict[str, str]:
    return {finding.code: finding.severity for finding in check(root)}


def message(root: Path, code: str) -> str:
    return next(finding.message for finding in check(root) if finding.code == code)


def all_entries(datalist: dict[str, Any]) -> dict[str, dict[str, Any]]:
    validate_datalist(datalist, "it")
    return {entry["case"]: entry for part in PARTS for entry in datalist[part]}


def evaluation(root: Path, **options: Any) -> dict[str, dict[str, Any]]:
    return all_entries(prepare(root, fractions=(0, 0, 1), **options))


def training(root: Path, **options: Any) -> dict[str, dict[str, Any]]:
    return all_entries(prepare(root, fractions=(1, 0, 0), **options))


def truth(entry: dict[str, Any]) -> tuple[Any, ...]:
    return tuple(entry[key] for key in ("label", "localized", "boxes", "marked_by"))


def test_a_sound_folder_gives_only_information(tmp_path: Path) -> None:
    assert codes(make(tmp_path)) == {"counts": "info"}


def test_boxes_of_three_readers_are_one_lesion_with_their_mean_as_box(tmp_path: Path) -> None:
    assert evaluation(make(tmp_path))["a"] == {
        "image": "train/a.dicom",
        "case": "a",
        "patient": "a",
        "label": 1,
        "rows": ROWS,
        "columns": COLUMNS,
        "localized": True,
        "boxes": [[11, 11, 20, 19]],
        "marked_by": 3,
        "sex": "M",
        "age": 44,
        "view": "PA",
    }


def test_a_lesion_of_one_reader_counts_in_training_but_not_in_evaluation(tmp_path: Path) -> None:
    root = make(tmp_path)
    assert truth(training(root)["b"]) == (1, True, [[40, 40, 10, 10]], 1)
    assert truth(evaluation(root)["b"]) == (0, True, [], 1)


def test_the_number_of_readers_who_must_agree_can_be_chosen(tmp_path: Path) -> None:
    root = make(tmp_path)
    assert evaluation(root, evaluation_readers=1)["b"]["label"] == 1
    assert training(root, training_readers=2)["b"]["label"] == 0
    with pytest.raises(RequestError, match="from 1 to 3"):
        prepare(root, evaluation_readers=4)


def test_an_image_that_the_readers_mark_at_different_places_is_positive_and_not_localized(tmp_path: Path) -> None:
    root = make(tmp_path)
    assert truth(evaluation(root)["d"]) == (1, False, [], 3)
    assert len(training(root)["d"]["boxes"]) == 3


def test_a_lesion_of_a_minority_beside_an_agreed_one_is_left_out_in_evaluation(tmp_path: Path) -> None:
    root = make(tmp_path, [*TABLE, nodule("a", 3, 50, 50, 60, 60)])
    assert evaluation(root)["a"]["boxes"] == [[11, 11, 20, 19]]
    assert len(training(root)["a"]["boxes"]) == 2


def test_the_description_says_how_boxes_were_fused_and_how_many_images_are_doubtful(tmp_path: Path) -> None:
    text = prepare(make(tmp_path), fractions=(0, 0, 1))["description"]
    assert "the means of boxes with IoU > 0.4" in text
    assert "of at least 1 of 3 readers for training, 2 for evaluation" in text
    assert "of 4 images for evaluation 1 are negative although a minority" in text
    assert "1 are positive without an agreed place" in text


def test_the_parts_follow_their_own_rules_in_one_datalist(tmp_path: Path) -> None:
    root = tmp_path
    images = [f"i{number:02d}" for number in range(12)]
    for image in images:
        write_image(root, image)
    rows = [row for image in images for row in (nodule(image, 1, 1, 1, 9, 9), *clean(image, 2, 3))]
    (root / "train.csv").write_text("\n".join([KAGGLE, *rows]) + "\n")
    datalist = prepare(root, fractions=(0.5, 0.25, 0.25))
    assert [[entry["label"] for entry in datalist[part]] for part in PARTS] == [[1] * 6, [0] * 3, [0] * 3]


def test_boxes_of_another_class_do_not_count_and_are_not_fused_with_ours(tmp_path: Path) -> None:
    rows = [*TABLE, *(f"c,Pneumothorax,12,R{reader},1,2,11,22" for reader in (4, 5, 6))]
    root = make(tmp_path, rows)
    assert evaluation(root)["c"]["label"] == 0
    found = evaluation(root, label="Pneumothorax")
    assert truth(found["c"]) == (1, True, [[1, 2, 10, 20]], 3)
    assert found["a"]["label"] == 0


def test_columns_and_rows_may_stand_in_any_order(tmp_path: Path) -> None:
    order = (7, 3, 0, 5, 1, 6, 4, 2)
    shuffled = [",".join(f" {row.split(',')[index]}" for index in order) for row in reversed([KAGGLE, *TABLE])]
    root = make(tmp_path, shuffled[:-1], header=shuffled[-1])
    assert evaluation(root)["a"]["boxes"] == [[11, 11, 20, 19]]


def test_rows_and_columns_come_from_the_header_of_each_file(tmp_path: Path) -> None:
    root = make(tmp_path)
    path = root / "train" / "c.dicom"
    write_radiograph(path, np.zeros((33, 44), np.float32), HEADER, ENCODINGS["monochrome1_12_bit"])
    found = evaluation(root)
    assert (found["c"]["rows"], found["c"]["columns"]) == (33, 44)
    assert (found["a"]["rows"], found["a"]["columns"]) == (ROWS, COLUMNS)


def test_images_of_one_patient_id_are_patients_of_their_own_and_the_split_says_so(tmp_path: Path) -> None:
    root = make(tmp_path)
    for image in "ab":
        dataset = pydicom.dcmread(root / "train" / f"{image}.dicom")
        dataset.PatientID = "same"
        dataset.save_as(root / "train" / f"{image}.dicom")
    datalist = prepare(root)
    assert {entry["patient"] for entry in all_entries(datalist).values()} == set("abcd")
    assert "each taken as a patient" in datalist["split"]


def test_an_age_of_zero_is_a_placeholder(tmp_path: Path) -> None:
    root = make(tmp_path)
    write_image(root, "c", age=0)
    assert "age" not in evaluation(root)["c"]


def test_kaggles_test_images_are_unlabelled(tmp_path: Path) -> None:
    root = make(tmp_path)
    write_image(root, "t", "test")
    assert codes(root) == {"counts": "info"}
    assert [entry["case"] for entry in prepare(root)["unlabelled"]] == ["t"]


def test_physionets_layout_is_read_with_its_own_test_part(tmp_path: Path) -> None:
    root = make_physionet(tmp_path)
    assert codes(root) == {}
    datalist = prepare(root, fractions=(0.6, 0.2, 0.2))
    found = all_entries(datalist)
    assert [entry["case"] for entry in datalist["test"]] == ["t", "u"]
    assert sorted(entry["case"] for part in PARTS[:2] for entry in datalist[part]) == list("abcd")
    assert found["a"]["boxes"] == [[11, 11, 20, 19]]
    assert datalist["split"].startswith("official test images")


def test_the_consensus_of_physionets_test_images_is_taken_as_it_is(tmp_path: Path) -> None:
    found = all_entries(prepare(make_physionet(tmp_path)))
    assert truth(found["t"]) == (1, True, [[5, 5, 10, 20], [6, 6, 9, 19]], 1)
    assert truth(found["u"]) == (0, True, [], 0)


def test_physionet_without_test_annotations_divides_the_training_images_into_three(tmp_path: Path) -> None:
    root = make_physionet(tmp_path)
    (root / "annotations/annotations_test.csv").unlink()
    datalist = prepare(root)
    assert {entry["case"] for entry in datalist["unlabelled"]} == {"t", "u"}
    assert set(all_entries(datalist)) == set("abcd")


def test_fractions_that_leave_nothing_beside_the_official_test_images_are_refused(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match=r"annotations_test\.csv"):
        prepare(make_physionet(tmp_path), fractions=(0, 0, 1))


def test_image_labels_that_contradict_the_boxes_are_named(tmp_path: Path) -> None:
    labels = ["a,R1,1,0,0", "a,R2,0,0,0", "a,R3,1.0,1,0", "c,R4,0,0,1"]
    root = make_physionet(tmp_path, labels)
    assert codes(root) == {"label_against_box": "warning"}
    assert message(root, "label_against_box").endswith(": a")


def test_an_image_that_only_the_image_labels_list_is_negative(tmp_path: Path) -> None:
    root = make_physionet(tmp_path, [f"e,R{reader},0,0,1" for reader in (1, 2, 3)])
    write_image(root, "e")
    assert codes(root) == {}
    assert truth(all_entries(prepare(root))["e"]) == (0, True, [], 0)


def test_findings_that_only_physionet_names_are_for_information(tmp_path: Path) -> None:
    root = make(tmp_path, [*TABLE, "a,Rib fracture,20,R1,1,2,3,4"])
    assert codes(root) == {"other_findings": "info", "counts": "info"}
    assert "Rib fracture (1)" in message(root, "other_findings")


def test_an_image_not_read_by_three_readers_is_named(tmp_path: Path) -> None:
    root = make(tmp_path, TABLE[:-1])
    assert message(root, "number_of_readers").endswith(": d")


def test_the_tables_of_both_layouts_cannot_be_told_apart(tmp_path: Path) -> None:
    root = make_physionet(tmp_path)
    (root / "train.csv").write_text(f"{KAGGLE}\n")
    assert codes(root) == {"several_tables": "error"}


@pytest.mark.parametrize("corners", ["1,2,3,", "5,2,5,9", "9,2,5,9", "1,2,nan,4", "1,2,inf,4", ",,,"])
def test_a_finding_without_a_sound_box_is_an_error_that_names_it(tmp_path: Path, corners: str) -> None:
    root = make(tmp_path, [*TABLE, f"c,Nodule/Mass,8,R4,{corners}"])
    assert codes(root)["table"] == "error"
    with pytest.raises(InputDataError, match=r"train\.csv: c has Nodule/Mass"):
        prepare(root)


def test_a_box_that_leaves_the_image_is_named(tmp_path: Path) -> None:
    root = make(tmp_path, [*TABLE, nodule("a", 1, 60, 1, 71, 9), nodule("d", 1, 60, 1, 70, 9)])
    assert message(root, "box_outside").endswith(": a")


def test_missing_and_unlisted_images_are_named(tmp_path: Path) -> None:
    root = make(tmp_path, [row for row in TABLE if row[0] != "d"] + clean("z", 1, 2, 3))
    assert message(root, "missing_images").endswith(": z")
    assert message(root, "unlisted_images").endswith(": d")
    assert "3 of the 4" in prepare(root)["description"]


def test_an_image_in_both_tables_is_an_error(tmp_path: Path) -> None:
    root = make_physionet(tmp_path)
    with (root / "annotations/annotations_test.csv").open("a") as file:
        file.write("a,No finding,,,,\n")
    assert codes(root)["in_both_tables"] == "error"


def test_an_unreadable_header_is_an_error_that_names_the_file(tmp_path: Path) -> None:
    root = make(tmp_path)
    (root / "train/a.dicom").write_bytes(b"no DICOM")
    with pytest.raises(InputDataError, match=r"train/a\.dicom"):
        prepare(root)


def test_an_empty_folder_lacks_table_and_images(tmp_path: Path) -> None:
    assert codes(tmp_path) == {"no_table": "error", "no_images": "error"}


def test_an_unknown_label_brings_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="did you mean Nodule/Mass"):
        prepare(tmp_path, label="Nodule")


def test_counts_are_compared_with_the_published_ones(tmp_path: Path) -> None:
    root = make(tmp_path)
    assert "12 of 67,914 rows, 4 of 15,000 images, 5 of 31,818 no finding rows" in message(root, "counts")
    make(tmp_path, [*TABLE, *(clean("c", 4) * 67_914)])
    assert codes(root)["more_than_published"] == "warning"


def test_the_manifest_names_the_classes_in_their_order() -> None:
    assert tuple(load_manifest("vindr_cxr")["labels"].values()) == FINDINGS
