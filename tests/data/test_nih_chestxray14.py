from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from medpipe.data.datalist import lesion_mask, validate_datalist
from medpipe.data.nih_chestxray14 import FINDINGS as FOURTEEN
from medpipe.data.nih_chestxray14 import check, prepare
from medpipe.data.splits import PARTS
from medpipe.errors import InputDataError, RequestError

COLUMNS = (
    "Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,View Position,"
    "OriginalImage[Width,Height],OriginalImagePixelSpacing[x,y]"
)
BOX_COLUMNS = "Image Index,Finding Label,Bbox [x,y,w,h],,,"
FINDINGS = {
    "00000001_000.png": "Pneumothorax|Mass",
    "00000001_001.png": "No Finding",
    "00000002_000.png": "Infiltration",
    "00000013_005.png": "Pneumothorax",
}


def row(name: str, findings: str, age: str = "58", end: str = "") -> str:
    return f"{name},{findings},0,{int(name[:8])},{age},M,PA,2682,2749,0.143,0.143{end}"


def write_images(root: Path, names: Any = FINDINGS, *, folder: str = "images", size: int = 1024) -> None:
    (root / folder).mkdir(parents=True, exist_ok=True)
    for name in names:
        Image.new("L", (size, size)).save(root / folder / name)


def write_table(root: Path, lines: list[str], name: str = "Data_Entry_2017_v2020.csv", header: str = COLUMNS) -> None:
    (root / name).write_text("\n".join([header, *lines]) + "\n")


def make(root: Path, *, boxes: list[str] | None = None, size: int = 1024, **images: Any) -> Path:
    write_images(root, size=size, **images)
    write_table(root, [row(name, findings) for name, findings in FINDINGS.items()])
    if boxes is not None:
        (root / "BBox_List_2017.csv").write_text("\n".join([BOX_COLUMNS, *boxes]) + "\n")
    return root


def codes(root: Path) -> dict[str, str]:
    return {finding.code: finding.severity for finding in check(root)}


def message(root: Path, code: str) -> str:
    return next(finding.message for finding in check(root) if finding.code == code)


def entries(root: Path, **options: Any) -> dict[str, dict[str, Any]]:
    datalist = prepare(root, fractions=(0, 0, 1), **options)
    validate_datalist(datalist, "it")
    return {entry["case"]: entry for entry in datalist["test"]}


def test_a_sound_folder_gives_only_information(tmp_path: Path) -> None:
    assert codes(make(tmp_path)) == {"counts": "info"}


def test_the_corrected_table_is_read(tmp_path: Path) -> None:
    found = entries(make(tmp_path))
    assert {case: entry["label"] for case, entry in found.items()} == {
        "00000001_000.png": 1,
        "00000001_001.png": 0,
        "00000002_000.png": 0,
        "00000013_005.png": 1,
    }
    assert found["00000001_001.png"] == {
        "image": "images/00000001_001.png",
        "case": "00000001_001.png",
        "patient": "1",
        "label": 0,
        "rows": 1024,
        "columns": 1024,
        "localized": True,
        "boxes": [],
        "sex": "M",
        "age": 58,
        "view": "PA",
    }


def test_the_table_of_2017_with_its_trailing_column_is_read(tmp_path: Path) -> None:
    write_images(tmp_path)
    lines = [row(name, findings, "058Y", end=",") for name, findings in FINDINGS.items()]
    write_table(tmp_path, lines, "Data_Entry_2017.csv", COLUMNS + ",")
    found = entries(tmp_path)
    assert sum(entry["label"] for entry in found.values()) == 2
    assert {entry["age"] for entry in found.values()} == {58}


def test_a_trailing_column_that_only_the_rows_have_does_not_shift_the_others(tmp_path: Path) -> None:
    write_images(tmp_path)
    lines = [row(name, findings, end=",") for name, findings in FINDINGS.items()]
    write_table(tmp_path, lines, "Data_Entry_2017.csv", COLUMNS)
    assert entries(tmp_path)["00000013_005.png"]["label"] == 1


def test_the_corrected_table_is_preferred_to_that_of_2017(tmp_path: Path) -> None:
    root = make(tmp_path)
    write_table(root, [row("00000001_000.png", "No Finding", end=",")], "Data_Entry_2017.csv", COLUMNS + ",")
    assert codes(root)["several_tables"] == "info"
    assert entries(root)["00000001_000.png"]["label"] == 1


def test_tables_that_cannot_be_told_apart_are_an_error(tmp_path: Path) -> None:
    write_images(tmp_path)
    for name in ("Data_Entry_2017.csv", "Data_Entry_mine.csv"):
        write_table(tmp_path, [row("00000001_000.png", "Mass")], name)
    assert codes(tmp_path)["several_tables"] == "error"
    with pytest.raises(InputDataError, match=r"Data_Entry_2017\.csv and Data_Entry_mine\.csv"):
        prepare(tmp_path)


def test_tables_of_a_subset_are_found_by_the_beginning_of_their_names(tmp_path: Path) -> None:
    write_images(tmp_path)
    lines = [row(name, findings) for name, findings in FINDINGS.items()]
    write_table(tmp_path, lines, "Data_Entry_subset.csv")
    (tmp_path / "BBox_List_subset.csv").write_text(
        "Image Index,Finding Label,Bbox [x,y,w,h],Unnamed: 6,Unnamed: 7,Unnamed: 8\n"
        "00000013_005.png,Pneumothorax,10.0,20.0,30.0,40.0,,,\n"
    )
    assert entries(tmp_path)["00000013_005.png"]["boxes"] == [[10, 20, 30, 40]]


def test_findings_are_matched_as_whole_names(tmp_path: Path) -> None:
    write_images(tmp_path, ["00000001_000.png", "00000002_000.png"])
    write_table(tmp_path, [row("00000001_000.png", "Mass"), row("00000002_000.png", "Pleural_Thickening|Massive")])
    found = entries(tmp_path, label="Mass")
    assert [entry["label"] for entry in found.values()] == [1, 0]
    assert codes(tmp_path)["unknown_finding"] == "warning"
    assert "Massive (1)" in message(tmp_path, "unknown_finding")


def test_boxes_are_read_in_spite_of_the_header(tmp_path: Path) -> None:
    found = entries(make(tmp_path, boxes=["00000001_000.png,Pneumothorax,180.3,66.3,245.7,80.7"]))
    assert found["00000001_000.png"]["boxes"] == [[180.3, 66.3, 245.7, 80.7]]
    assert found["00000001_000.png"]["localized"] is True
    mask = lesion_mask(found["00000001_000.png"])
    assert mask[66:146, 180:426].all()
    assert mask.sum() == (147 - 66) * (426 - 180)


@pytest.mark.parametrize("header", ["Image Index,Finding Label,Bbox [x,y,w,h]", BOX_COLUMNS])
def test_both_forms_of_the_box_header_are_read(tmp_path: Path, header: str) -> None:
    root = make(tmp_path)
    (root / "BBox_List_2017.csv").write_text(f"{header}\n00000013_005.png,Pneumothorax,1,2,3,4,,,\n")
    assert entries(root)["00000013_005.png"]["boxes"] == [[1, 2, 3, 4]]


def test_an_image_can_have_several_boxes(tmp_path: Path) -> None:
    lines = ["00000013_005.png,Pneumothorax,1,2,3,4", "00000013_005.png,Pneumothorax,11,12,3,4"]
    assert len(entries(make(tmp_path, boxes=lines))["00000013_005.png"]["boxes"]) == 2


def test_a_positive_image_without_a_box_is_not_localized(tmp_path: Path) -> None:
    found = entries(make(tmp_path, boxes=["00000013_005.png,Pneumothorax,1,2,3,4"]))
    assert (found["00000001_000.png"]["label"], found["00000001_000.png"]["localized"]) == (1, False)
    assert (found["00000001_001.png"]["label"], found["00000001_001.png"]["localized"]) == (0, True)


def test_a_box_of_another_finding_is_left_aside(tmp_path: Path) -> None:
    found = entries(make(tmp_path, boxes=["00000001_000.png,Mass,1,2,3,4"]))
    assert found["00000001_000.png"]["boxes"] == []
    assert found["00000001_000.png"]["localized"] is False


def test_infiltrate_is_infiltration(tmp_path: Path) -> None:
    found = entries(make(tmp_path, boxes=["00000002_000.png,Infiltrate,1,2,3,4"]), label="Infiltration")
    assert found["00000002_000.png"]["boxes"] == [[1, 2, 3, 4]]


def test_a_box_that_the_labels_deny_makes_the_image_not_localized(tmp_path: Path) -> None:
    root = make(tmp_path, boxes=["00000001_001.png,Pneumothorax,1,2,3,4"])
    assert codes(root)["box_without_label"] == "warning"
    entry = entries(root)["00000001_001.png"]
    assert (entry["label"], entry["localized"], entry["boxes"]) == (0, False, [])


def test_boxes_are_scaled_to_a_resized_copy(tmp_path: Path) -> None:
    found = entries(make(tmp_path, boxes=["00000013_005.png,Pneumothorax,512,256,128,64"], size=64))
    assert found["00000013_005.png"]["rows"] == 64
    assert found["00000013_005.png"]["boxes"] == [[32, 16, 8, 4]]


def test_a_box_row_without_numbers_is_an_error_that_shows_it(tmp_path: Path) -> None:
    root = make(tmp_path, boxes=["00000013_005.png,Pneumothorax,1,2,3"])
    assert codes(root)["table"] == "error"
    assert "00000013_005.png,Pneumothorax,1,2,3" in message(root, "table")


def test_a_boxed_image_that_is_not_listed_is_named(tmp_path: Path) -> None:
    root = make(tmp_path, boxes=["00000099_000.png,Mass,1,2,3,4"])
    assert "00000099_000.png" in message(root, "box_without_image")


def test_images_are_found_in_the_nested_folders_of_the_mirror(tmp_path: Path) -> None:
    root = make(tmp_path, names=list(FINDINGS)[:2], folder="images_001/images")
    write_images(root, list(FINDINGS)[2:], folder="images_012/images")
    found = entries(root)
    assert found["00000001_000.png"]["image"] == "images_001/images/00000001_000.png"
    assert found["00000013_005.png"]["image"] == "images_012/images/00000013_005.png"


def test_two_files_of_one_name_are_an_error(tmp_path: Path) -> None:
    root = make(tmp_path)
    write_images(root, ["00000001_000.png"], folder="copy")
    assert codes(root)["duplicate_name"] == "error"


def test_images_that_are_not_grey_are_reported(tmp_path: Path) -> None:
    root = make(tmp_path)
    Image.new("RGBA", (1024, 1024)).save(root / "images" / "00000001_000.png")
    assert codes(root) == {"counts": "info", "not_grey": "info"}
    assert "1 images are of mode RGBA" in message(root, "not_grey")
    assert entries(root)["00000001_000.png"]["rows"] == 1024


def test_an_unreadable_image_is_an_error_that_names_it(tmp_path: Path) -> None:
    root = make(tmp_path)
    (root / "images" / "00000001_000.png").write_bytes(b"no PNG")
    assert "images/00000001_000.png" in message(root, "unreadable_image")
    with pytest.raises(InputDataError, match="00000001_000"):
        prepare(root)


def test_missing_and_surplus_images_are_named(tmp_path: Path) -> None:
    root = make(tmp_path, names=[*list(FINDINGS)[1:], "00000077_000.png"])
    assert "1 of 4" in message(root, "missing_images")
    assert "00000001_000.png" in message(root, "missing_images")
    assert "00000077_000.png" in message(root, "unlisted_images")
    datalist = prepare(root)
    assert "3 of the 4" in datalist["description"]
    assert "1 other files left out" in datalist["description"]


def test_ages_above_100_are_left_out(tmp_path: Path) -> None:
    write_images(tmp_path, ["00000001_000.png", "00000002_000.png"])
    write_table(tmp_path, [row("00000001_000.png", "Mass", "413"), row("00000002_000.png", "Mass", "100")])
    found = entries(tmp_path)
    assert "age" not in found["00000001_000.png"]
    assert found["00000002_000.png"]["age"] == 100
    assert "00000001_000.png" in message(tmp_path, "implausible_age")


def test_an_image_listed_twice_is_an_error(tmp_path: Path) -> None:
    write_images(tmp_path, ["00000001_000.png"])
    write_table(tmp_path, [row("00000001_000.png", "Mass"), row("00000001_000.png", "No Finding")])
    assert codes(tmp_path)["listed_twice"] == "error"


def test_a_name_of_another_patient_is_reported(tmp_path: Path) -> None:
    write_images(tmp_path, ["00000001_000.png"])
    write_table(tmp_path, [row("00000001_000.png", "Mass").replace(",0,1,", ",0,2,")])
    assert codes(tmp_path)["patient_mismatch"] == "warning"


def test_an_empty_folder_lacks_table_and_images(tmp_path: Path) -> None:
    assert codes(tmp_path) == {"no_table": "error", "no_images": "error"}


def test_the_official_lists_decide_on_the_test(tmp_path: Path) -> None:
    root = make(tmp_path)
    (root / "train_val_list.txt").write_text("00000001_000.png\n00000001_001.png\n00000002_000.png")
    (root / "test_list.txt").write_text("00000013_005.png")
    datalist = prepare(root, fractions=(0.7, 0.1, 0.2))
    assert [entry["case"] for entry in datalist["test"]] == ["00000013_005.png"]
    assert len(datalist["training"]) + len(datalist["validation"]) == 3
    assert "official" in datalist["split"]
    with pytest.raises(RequestError, match="training and validation fractions"):
        prepare(root, fractions=(0, 0, 1))


def test_one_official_list_alone_is_an_error(tmp_path: Path) -> None:
    root = make(tmp_path)
    (root / "test_list.txt").write_text("00000013_005.png")
    assert "train_val_list.txt is not" in message(root, "official_lists")


@pytest.mark.parametrize(
    ("learning", "test", "word"),
    [
        ("00000001_000.png\n00000001_001.png", "00000013_005.png", "neither"),
        (
            "00000001_000.png\n00000001_001.png\n00000002_000.png\n00000013_005.png",
            "00000013_005.png",
            "both",
        ),
    ],
)
def test_official_lists_that_do_not_divide_the_table_are_an_error(
    tmp_path: Path, learning: str, test: str, word: str
) -> None:
    root = make(tmp_path)
    (root / "train_val_list.txt").write_text(learning)
    (root / "test_list.txt").write_text(test)
    assert word in message(root, "official_lists")


def test_an_official_split_that_shares_a_patient_is_refused_when_written(tmp_path: Path) -> None:
    root = make(tmp_path)
    (root / "train_val_list.txt").write_text("00000001_000.png\n00000013_005.png\n00000002_000.png")
    (root / "test_list.txt").write_text("00000001_001.png")
    with pytest.raises(InputDataError, match="share patients"):
        validate_datalist(prepare(root), "it")


def test_without_lists_the_split_is_by_patient(tmp_path: Path) -> None:
    datalist = prepare(make(tmp_path), seed=4, fractions=(0.5, 0, 0.5))
    validate_datalist(datalist, "it")
    assert sum(len(datalist[part]) for part in PARTS) == 4
    assert "no official lists" in datalist["split"]


def test_an_unknown_label_brings_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="did you mean Pneumothorax"):
        prepare(tmp_path, label="pneumothorax")


@pytest.mark.shared_data
def test_real_images_and_tables_are_read(shared_data: Path) -> None:
    root = shared_data / "cxr" / "nih_1024"
    assert codes(root) == {"counts": "info"}
    found = entries(root)
    assert len(found) == 34
    assert sum(entry["label"] for entry in found.values()) == 8
    (boxed,) = [entry for entry in found.values() if entry["boxes"]]
    assert boxed["case"] == "00005869_001.png"
    assert lesion_mask(boxed).sum() == pytest.approx(245.76 * 80.78, rel=0.02)


@pytest.mark.shared_data
def test_real_resized_images_of_three_modes_are_read(shared_data: Path) -> None:
    root = shared_data / "cxr" / "nih1000_small"
    found = entries(root, label="Atelectasis")
    assert len(found) == 749
    boxes = [box for entry in found.values() for box in entry["boxes"]]
    assert boxes
    assert all(x + width <= 64 and y + height <= 64 for x, y, width, height in boxes)


def test_all_findings_give_a_label_for_each_in_the_published_order(tmp_path: Path) -> None:
    root = make(tmp_path, boxes=["00000001_000.png,Mass,1,2,3,4", "00000001_000.png,Nodule,5,6,7,8"])
    datalist = prepare(root, fractions=(0, 0, 1), label="all")
    validate_datalist(datalist, "it")
    assert datalist["classes"] == list(FOURTEEN)
    found = {entry["case"]: entry for entry in datalist["test"]}
    both = [int(name in ("Pneumothorax", "Mass")) for name in FOURTEEN]
    assert found["00000001_000.png"]["label"] == both
    assert found["00000001_001.png"]["label"] == [0] * 14
    assert found["00000001_000.png"]["boxes"] == {"Mass": [[1, 2, 3, 4]]}  # Nodule is not among the labels
    assert "localized" not in found["00000001_000.png"]


RANDOM = {"train_1.txt": "00000001_000.png", "val_1.txt": "00000002_000.png", "test_1.txt": "00000013_005.png"}


def test_the_published_random_split_is_read_from_lines_of_a_path_and_flags(tmp_path: Path) -> None:
    root = make(tmp_path)
    for name, image in RANDOM.items():
        (root / name).write_text(f"images_006/{image} 0 0 1\n")
    (root / "train_1.txt").write_text("images_001/00000001_000.png 0 1\nimages_001/00000001_001.png 0 0\n")
    datalist = prepare(root, label="all", split="random")
    validate_datalist(datalist, "it")
    parts = {part: [entry["case"] for entry in datalist[part]] for part in PARTS}
    assert parts == {
        "training": ["00000001_000.png", "00000001_001.png"],
        "validation": ["00000002_000.png"],
        "test": ["00000013_005.png"],
    }
    assert datalist["split"].startswith("random, as published")


def test_an_image_in_none_of_the_random_lists_is_named(tmp_path: Path) -> None:
    root = make(tmp_path)
    for name, image in RANDOM.items():
        (root / name).write_text(f"images_006/{image} 0 0 1\n")
    with pytest.raises(InputDataError, match=r"none of the random split's lists: 00000001_001\.png"):
        prepare(root, split="random")


def test_a_random_split_of_our_own_says_that_it_is_not_the_published_one(tmp_path: Path) -> None:
    assert "not the published lists" in prepare(make(tmp_path), split="random")["split"]


def test_the_official_split_is_not_replaced_by_another_in_silence(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match=r"needs train_val_list\.txt and test_list\.txt"):
        prepare(make(tmp_path), split="official")
    with pytest.raises(RequestError, match="no split 'chexnet'"):
        prepare(tmp_path, split="chexnet")
