import copy
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from monai.data.decathlon_datalist import load_decathlon_datalist

from medpipe.data.datalist import lesion_mask, load_datalist, validate_datalist, write_datalist
from medpipe.errors import InputDataError


def entry(case: str, /, **changes: Any) -> dict[str, Any]:
    negative = {
        "image": f"images/{case}.dcm",
        "case": case,
        "patient": f"p{case}",
        "label": 0,
        "rows": 4,
        "columns": 3,
        "localized": True,
        "rle": [],
    }
    return negative | changes


def datalist(**changes: Any) -> dict[str, Any]:
    whole = {
        "name": "toy",
        "description": "three images",
        "generated": True,
        "split": "by hand",
        "labels": {"0": "none", "1": "lesion"},
        "tensorImageSize": "2D",
        "training": [entry("a"), entry("b", label=1, rle=["0 2", "1 2"], sex="F", age=61, view="PA")],
        "validation": [],
        "test": [entry("c", label=1, rle=[], boxes=[[0.5, 1, 2, 2.5]])],
    }
    return copy.deepcopy(whole | changes)


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    path = tmp_path / "list.json"
    write_datalist(datalist(), path)
    assert load_datalist(path) == datalist()
    assert [file.name for file in tmp_path.iterdir()] == ["list.json"]


def test_a_datalist_is_what_monai_reads(tmp_path: Path) -> None:
    path = tmp_path / "list.json"
    write_datalist(datalist(), path)
    items = load_decathlon_datalist(str(path), True, "training", base_dir=str(tmp_path))
    assert [Path(item["image"]) for item in items] == [tmp_path / "images/a.dcm", tmp_path / "images/b.dcm"]


def test_a_wrong_datalist_is_not_written_over_a_right_one(tmp_path: Path) -> None:
    path = tmp_path / "list.json"
    write_datalist(datalist(), path)
    with pytest.raises(InputDataError):
        write_datalist(datalist(test=[entry("c", label=2)]), path)
    assert load_datalist(path) == datalist()


def test_a_failed_write_leaves_the_old_file_and_no_other(tmp_path: Path, monkeypatch: Any) -> None:
    path = tmp_path / "list.json"
    write_datalist(datalist(), path)

    def full_disk(_: int) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr("os.fsync", full_disk)
    with pytest.raises(OSError, match="no space"):
        write_datalist(datalist(name="other"), path)
    assert load_datalist(path)["name"] == "toy"
    assert [file.name for file in tmp_path.iterdir()] == ["list.json"]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"rows": 0}, ["test[0]", "'c'", "'rows'", "0"]),
        ({"rows": True}, ["'rows'", "true", "whole number"]),
        ({"label": 2}, ["'label'", "2", "0 or 1"]),
        ({"label": "1"}, ["'label'", '"1"', "whole number"]),
        ({"localized": 1}, ["'localized'", "true or false"]),
        ({"case": ""}, ["test[0]", "'case'", "empty"]),
        ({"patient": 7}, ["'patient'", "7", "text"]),
        ({"image": "/data/c.dcm"}, ["'image'", "/data/c.dcm", "below"]),
        ({"image": "../c.dcm"}, ["'image'", "below"]),
        ({"image": "images\\c.dcm"}, ["'image'", "with /"]),
        ({"rle": "0 1"}, ["'rle'", "a list"]),
        ({"label": 1, "rle": [5]}, ["'rle'", "5", "texts"]),
        ({"label": 1, "boxes": [[1, 2, 3]]}, ["'boxes'", "[1, 2, 3]"]),
        ({"label": 1, "boxes": [[1, 2, 3, 0]]}, ["'boxes'", "size above 0"]),
        ({"label": 1, "boxes": [[1, 2, 3, float("nan")]]}, ["'boxes'"]),
        ({"label": 0, "rle": ["0 1"]}, ["'label' must be 1"]),
        ({"label": 1, "localized": False, "rle": ["0 1"]}, ["'localized' true"]),
        ({"label": 1}, ["positive and localized", "neither"]),
    ],
)
def test_errors_name_entry_and_key(tmp_path: Path, changes: dict[str, Any], words: list[str]) -> None:
    path = tmp_path / "list.json"
    path.write_text(json.dumps(datalist(test=[entry("c", **changes)])))
    with pytest.raises(InputDataError) as caught:
        load_datalist(path)
    for word in [str(path), *words]:
        assert word in str(caught.value)


@pytest.mark.parametrize("key", ["image", "case", "patient", "label", "rows", "columns", "localized"])
def test_a_missing_key_is_named(tmp_path: Path, key: str) -> None:
    path = tmp_path / "list.json"
    short = entry("c")
    del short[key]
    path.write_text(json.dumps(datalist(test=[short])))
    with pytest.raises(InputDataError, match=rf"test\[0\].*'{key}' is missing"):
        load_datalist(path)


@pytest.mark.parametrize("key", ["name", "description", "generated", "split", "labels", "training", "test"])
def test_a_missing_part_is_named(tmp_path: Path, key: str) -> None:
    path = tmp_path / "list.json"
    short = datalist()
    del short[key]
    path.write_text(json.dumps(short))
    with pytest.raises(InputDataError, match=f"'{key}' is missing"):
        load_datalist(path)


@pytest.mark.parametrize("text", ["", "[1, 2]", "{", '"words"', "null"])
def test_a_file_that_is_no_json_object_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "list.json"
    path.write_text(text)
    with pytest.raises(InputDataError, match=r"list\.json"):
        load_datalist(path)


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputDataError, match=r"absent\.json"):
        load_datalist(tmp_path / "absent.json")


def test_a_shared_patient_is_refused_unless_the_file_says_so(tmp_path: Path) -> None:
    path = tmp_path / "list.json"
    shared = datalist(test=[entry("c", patient="pa")])
    path.write_text(json.dumps(shared))
    with pytest.raises(InputDataError, match=r"training and test share patients \(pa\)"):
        load_datalist(path)
    path.write_text(json.dumps(shared | {"shares_patients": True}))
    assert load_datalist(path)["shares_patients"] is True


def test_a_case_listed_twice_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "list.json"
    path.write_text(json.dumps(datalist(validation=[entry("a", patient="px")])))
    with pytest.raises(InputDataError, match=r"validation\[0\] \(case 'a'\): this case is listed before"):
        load_datalist(path)


def test_unlabelled_entries_need_no_truth(tmp_path: Path) -> None:
    plain = {"image": "x.dcm", "case": "x", "patient": "px", "rows": 1, "columns": 1}
    write_datalist(datalist(unlabelled=[plain]), tmp_path / "list.json")
    assert load_datalist(tmp_path / "list.json")["unlabelled"] == [plain]


def test_the_lesion_mask_is_the_union_of_overlapping_rows() -> None:
    mask = lesion_mask(entry("b", label=1, rle=["0 2", "1 2"]))
    np.testing.assert_array_equal(mask[:, 0], [True, True, True, False])
    assert mask.sum() == 3


def test_a_negative_image_has_an_empty_mask() -> None:
    mask = lesion_mask(entry("a"))
    assert mask.shape == (4, 3)
    assert not mask.any()


def test_a_box_fills_the_pixels_whose_centres_lie_in_it() -> None:
    mask = lesion_mask(entry("c", label=1, rows=6, columns=5, boxes=[[1.5, 0.6, 2, 3]]))
    expected = np.zeros((6, 5), bool)
    expected[1:4, 1:3] = True
    np.testing.assert_array_equal(mask, expected)


def test_boxes_on_whole_pixels_fill_width_times_height() -> None:
    mask = lesion_mask(entry("c", label=1, rows=9, columns=9, boxes=[[2, 3, 4, 5]]))
    np.testing.assert_array_equal(np.argwhere(mask)[[0, -1]], [[3, 2], [7, 5]])
    assert mask.sum() == 20


def test_a_box_smaller_than_a_pixel_fills_the_pixel_at_its_centre() -> None:
    mask = lesion_mask(entry("c", label=1, boxes=[[1.6, 2.6, 0.2, 0.2]]))
    np.testing.assert_array_equal(np.argwhere(mask), [[2, 1]])


def test_a_box_over_the_border_is_cut_there() -> None:
    mask = lesion_mask(entry("c", label=1, boxes=[[-1, -1, 2, 2], [2, 3, 9, 9]]))
    np.testing.assert_array_equal(np.argwhere(mask), [[0, 0], [3, 2]])


def test_the_mask_of_an_image_that_is_not_localized_is_refused() -> None:
    with pytest.raises(InputDataError, match="case 'c': the positions"):
        lesion_mask(entry("c", label=1, localized=False))


def test_a_mask_that_does_not_decode_names_case_and_row() -> None:
    with pytest.raises(InputDataError, match=r"case 'c', rle\[1\]: .*3 numbers"):
        lesion_mask(entry("c", label=1, rle=["0 1", "1 2 3"]))


def several(**entry: object) -> dict[str, object]:
    image = {"image": "a.png", "case": "a", "patient": "p", "rows": 8, "columns": 8, "label": [1, None]}
    head = {"name": "x", "description": "", "generated": False, "split": "", "tensorImageSize": "2D"}
    return {**head, "classes": ["A", "B"], "training": [{**image, **entry}], "validation": [], "test": []}


def test_a_datalist_of_several_labels_may_leave_some_unknown() -> None:
    validate_datalist(several(), "it")
    validate_datalist(several(boxes={"B": [[0, 0, 2, 2]]}), "it")


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"label": [1]}, "0, 1 or null for each of 2 classes"),
        ({"label": [1, 2]}, "0, 1 or null"),
        ({"label": [True, 0]}, "0, 1 or null"),
        ({"label": 1}, "'label' is 1; expected a list"),
        ({"boxes": [[0, 0, 1, 1]]}, "an object from class to boxes"),
        ({"boxes": {"C": []}}, "'C', which is none of the classes"),
        ({"boxes": {"A": [[0, 0, 0, 1]]}}, "a size above 0"),
    ],
)
def test_a_wrong_entry_of_several_labels_is_named(entry, message) -> None:
    with pytest.raises(InputDataError, match=message):
        validate_datalist(several(**entry), "it")


@pytest.mark.parametrize("classes", [[], ["A", "A"], ["A", ""], [1, 2]])
def test_classes_are_different_names(classes) -> None:
    with pytest.raises(InputDataError, match="'classes' is"):
        validate_datalist({**several(), "classes": classes}, "it")
