import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk

from medpipe.data.datalist import lesion_mask, validate_datalist
from medpipe.data.manifests import load_manifest
from medpipe.data.node21 import check, prepare
from medpipe.data.splits import PARTS
from medpipe.errors import InputDataError, RequestError

ROWS, COLUMNS = 60, 80
HEADER = "img_name,x,y,width,height,label"
SOUND = ["n0001.mha,10,20,6,8,1", "n0001.mha,40,30,5,5,1", "n0002.mha,1,2,3,4,1", "c0001.mha,0,0,0,0,0"]


def write_image(root: Path, name: str, folder: str = "images", shape: tuple[int, ...] = (ROWS, COLUMNS)) -> None:
    (root / folder).mkdir(parents=True, exist_ok=True)
    sitk.WriteImage(sitk.GetImageFromArray(np.zeros(shape, np.int16)), str(root / folder / name))


def make(root: Path, table: list[str] = SOUND, *, header: str = HEADER, folder: str = "images") -> Path:
    """A data set with the images n0001, n0002 and c0001 and the given table."""
    for name in ("n0001.mha", "n0002.mha", "c0001.mha"):
        write_image(root, name, folder)
    (root / "metadata.csv").write_text("\n".join([header, *table]) + "\n")
    return root


def codes(root: Path) -> dict[str, str]:
    return {finding.code: finding.severity for finding in check(root)}


def message(root: Path, code: str) -> str:
    return next(finding.message for finding in check(root) if finding.code == code)


def entries(root: Path) -> dict[str, dict[str, Any]]:
    datalist = prepare(root, fractions=(0, 0, 1))
    validate_datalist(datalist, "it")
    return {entry["case"]: entry for entry in datalist["test"]}


def test_a_sound_folder_gives_only_information(tmp_path: Path) -> None:
    assert codes(make(tmp_path)) == {"counts": "info", "no_patient_ids": "info"}


def test_several_rows_of_one_image_are_one_entry_with_several_boxes(tmp_path: Path) -> None:
    found = entries(make(tmp_path))
    assert found["n0001"] == {
        "image": "images/n0001.mha",
        "case": "n0001",
        "patient": "n0001",
        "label": 1,
        "rows": ROWS,
        "columns": COLUMNS,
        "localized": True,
        "boxes": [[10, 20, 6, 8], [40, 30, 5, 5]],
    }
    mask = lesion_mask(found["n0001"])
    assert mask[20:28, 10:16].all()
    assert mask.sum() == 6 * 8 + 5 * 5


def test_a_row_of_label_0_with_its_box_of_zeros_is_a_control_without_boxes(tmp_path: Path) -> None:
    control = entries(make(tmp_path))["c0001"]
    assert (control["label"], control["localized"], control["boxes"]) == (0, True, [])


def test_columns_stand_in_any_order_behind_an_unnamed_index(tmp_path: Path) -> None:
    table = ["0,8,1,n0001.mha,20,10,6", "1,4,1,n0002.mha,2,1,3", "2,0,0,c0001.mha,0,0,0"]
    found = entries(make(tmp_path, table, header=",height,label,img_name,y,x,width"))
    assert [found[case]["boxes"] for case in ("n0001", "n0002", "c0001")] == [[[10, 20, 6, 8]], [[1, 2, 3, 4]], []]


def test_blanks_around_names_and_values_do_not_matter(tmp_path: Path) -> None:
    table = [" n0001.mha , 10, 20,6 ,8, 1 ", "c0001.mha,0,0,0,0, 0"]
    found = entries(make(tmp_path, table, header=" img_name , x ,y,width, height,label "))
    assert found["n0001"]["boxes"] == [[10, 20, 6, 8]]


def test_numbers_may_be_written_with_a_point(tmp_path: Path) -> None:
    found = entries(make(tmp_path, ["n0001.mha,10.5,20.0,6.0,8.0,1.0", "c0001.mha,0.0,0.0,0.0,0.0,0.0"]))
    assert (found["n0001"]["boxes"], found["c0001"]["label"]) == ([[10.5, 20, 6, 8]], 0)


@pytest.mark.parametrize("folder", [".", "images", "a/b"])
def test_images_are_found_flat_or_in_any_depth(tmp_path: Path, folder: str) -> None:
    found = entries(make(tmp_path, folder=folder))
    assert found["n0002"]["image"] == (Path(folder) / "n0002.mha").as_posix()


def test_an_image_of_one_slice_has_its_size(tmp_path: Path) -> None:
    root = make(tmp_path)
    write_image(root, "n0001.mha", shape=(1, 50, 70))
    assert [entries(root)["n0001"][key] for key in ("rows", "columns")] == [50, 70]


def test_missing_and_surplus_images_are_named(tmp_path: Path) -> None:
    root = make(tmp_path, [*SOUND[:3], "n0077.mha,1,2,3,4,1"])
    assert "1 of 3 images in metadata.csv are not on disk: n0077" in message(root, "missing_images")
    assert "1 files are not in metadata.csv: c0001" in message(root, "unlisted_images")
    datalist = prepare(root)
    assert "2 of the 3 images" in datalist["description"]
    assert "1 other files left out" in datalist["description"]


def test_an_image_with_both_labels_is_positive_with_a_warning(tmp_path: Path) -> None:
    root = make(tmp_path, [*SOUND, "n0001.mha,0,0,0,0,0"])
    assert codes(root)["contradictory_rows"] == "warning"
    assert "n0001" in message(root, "contradictory_rows")
    assert (entries(root)["n0001"]["label"], len(entries(root)["n0001"]["boxes"])) == (1, 2)


def test_a_box_that_the_label_denies_makes_the_image_not_localized(tmp_path: Path) -> None:
    root = make(tmp_path, [*SOUND[:3], "c0001.mha,5,6,7,8,0"])
    assert codes(root)["box_without_label"] == "warning"
    entry = entries(root)["c0001"]
    assert (entry["label"], entry["localized"], entry["boxes"]) == (0, False, [])


def test_a_nodule_without_a_box_makes_the_image_not_localized(tmp_path: Path) -> None:
    root = make(tmp_path, [*SOUND, "n0002.mha,0,0,0,0,1"])
    assert codes(root)["nodule_without_box"] == "warning"
    entry = entries(root)["n0002"]
    assert (entry["label"], entry["localized"], entry["boxes"]) == (1, False, [])


def test_a_repeated_row_counts_once(tmp_path: Path) -> None:
    root = make(tmp_path, [*SOUND, SOUND[2]])
    assert codes(root)["repeated_rows"] == "warning"
    assert entries(root)["n0002"]["boxes"] == [[1, 2, 3, 4]]


@pytest.mark.parametrize(("box", "localized"), [("78,58,6,6", True), ("80,5,6,6", False), ("-9,5,9,6", False)])
def test_a_box_that_leaves_the_image_is_reported_and_one_outside_is_no_position(
    tmp_path: Path, box: str, localized: bool
) -> None:
    root = make(tmp_path, [f"n0001.mha,{box},1", *SOUND[2:]])
    assert codes(root)["box_outside"] == "warning"
    assert entries(root)["n0001"]["localized"] is localized
    if localized:
        assert lesion_mask(entries(root)["n0001"]).sum() == 2 * 2


def test_a_box_that_touches_the_border_is_sound(tmp_path: Path) -> None:
    root = make(tmp_path, [f"n0001.mha,0,0,{COLUMNS},{ROWS},1", *SOUND[2:]])
    assert "box_outside" not in codes(root)


def test_more_than_three_nodules_are_for_information(tmp_path: Path) -> None:
    four = [f"n0001.mha,{x},20,6,8,1" for x in (1, 11, 21, 31)]
    assert codes(make(tmp_path, [*four, *SOUND[2:]]))["many_nodules"] == "info"
    assert len(entries(tmp_path)["n0001"]["boxes"]) == 4


def test_a_label_against_the_letter_of_the_name_counts_and_is_reported(tmp_path: Path) -> None:
    root = make(tmp_path, [*SOUND[:2], "n0002.mha,0,0,0,0,0", "c0001.mha,1,2,3,4,1"])
    assert codes(root)["name_against_label"] == "warning"
    assert "c0001, n0002" in message(root, "name_against_label")
    assert [entries(root)[case]["label"] for case in ("n0002", "c0001")] == [0, 1]


@pytest.mark.parametrize(
    "row", ["n0001.mha,1,2,3,x,1", "n0001.mha,1,2,3,,1", "n0001.mha,1,2,3,4,2", "n0001.mha,1,2,-3,4,1"]
)
def test_a_row_without_a_box_and_a_label_is_an_error_that_shows_it(tmp_path: Path, row: str) -> None:
    root = make(tmp_path, [row, *SOUND[2:]])
    assert codes(root)["table"] == "error"
    with pytest.raises(InputDataError, match=row.replace(".", r"\.")):
        prepare(root)


def test_a_table_without_its_columns_is_an_error(tmp_path: Path) -> None:
    assert "no column 'label'" in message(make(tmp_path, header="img_name,x,y,width,height,class"), "table")


def test_the_folder_above_both_forms_is_told_to_go_deeper(tmp_path: Path) -> None:
    for form in ("original_data", "preprocessed_data"):
        make(tmp_path / form)
    assert "original_data, preprocessed_data" in message(tmp_path, "no_table")
    assert codes(tmp_path)["duplicate_name"] == "error"


def test_an_empty_folder_lacks_table_and_images(tmp_path: Path) -> None:
    assert codes(tmp_path) == {"no_table": "error", "no_images": "error"}


def test_the_table_of_another_set_is_an_error(tmp_path: Path) -> None:
    assert codes(make(tmp_path, ["n9999.mha,1,2,3,4,1"]))["no_labelled_image"] == "error"


def test_an_unreadable_image_is_an_error_that_names_it(tmp_path: Path) -> None:
    root = make(tmp_path)
    (root / "images/n0001.mha").write_bytes(b"no header")
    assert "images/n0001.mha cannot be read" in message(root, "unreadable_image")
    with pytest.raises(InputDataError, match=r"n0001\.mha"):
        prepare(root)


def test_every_image_is_a_patient_and_the_split_says_so(tmp_path: Path) -> None:
    datalist = prepare(make(tmp_path), seed=1, fractions=(0.5, 0.25, 0.25))
    every = [entry for part in PARTS for entry in datalist[part]]
    assert len({entry["patient"] for entry in every}) == len(every) == 3
    assert "no patient ids" in datalist["split"]
    assert "may be in two parts" in datalist["split"]


def test_counts_are_compared_with_the_published_ones(tmp_path: Path) -> None:
    root = make(tmp_path)
    expected = "3 of 4,882 images, 2 of 1,134 positives, 3 of 1,476 nodules, 1 of 3,748 controls"
    assert expected in message(root, "counts")
    more = [f"c{number:04d}.mha,0,0,0,0,0" for number in range(2, 4000)]
    (root / "metadata.csv").write_text("\n".join([HEADER, *SOUND, *more]))
    assert codes(root)["more_than_published"] == "warning"


def test_wrong_fractions_are_refused_before_anything_is_read(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="add up to 1"):
        prepare(tmp_path, fractions=(1, 1, math.nan))


def test_a_real_set_is_not_called_generated_and_a_damaged_marker_is_an_error(tmp_path: Path) -> None:
    root = make(tmp_path)
    assert prepare(root)["generated"] is False
    (root / "LOOKALIKE.json").write_text("{")
    assert codes(root)["table"] == "error"


def test_the_published_counts_add_up() -> None:
    counts = {key: count["value"] for key, count in load_manifest("node21")["counts"].items()}
    assert counts["positives"] + counts["controls"] == counts["images"]
