from pathlib import Path
from typing import Any

import numpy as np
import pytest

from medpipe.data.datalist import lesion_mask, validate_datalist
from medpipe.data.jsrt import check, prepare
from medpipe.data.manifests import load_manifest
from medpipe.data.splits import PARTS
from medpipe.errors import InputDataError, RequestError

SIDE = 2048
# The first row as published.
FIRST = "JPCLN001.IMG\t5\t15\t53\tmale\t1634\t692\tmalignant\tl.upper lobe\tlung cancer"
SECOND = "JPCLN002.IMG\t1\t35\t?\tfemale\t1024\t1024\tbenign\tr.hilum\tgranuloma"
NORMAL = "JPCNN001.IMG\t44\tfemale\tnon-nodule"


def write_film(root: Path, name: str, folder: str = "All247images", side: int = 8) -> None:
    (root / folder).mkdir(parents=True, exist_ok=True)
    (root / folder / name).write_bytes(np.arange(side * side).astype(">u2").tobytes())


def make(
    root: Path, nodules: list[str] | None = None, normal: list[str] | None = None, *, below: str = ".", side: int = 8
) -> Path:
    """A data set with the films JPCLN001, JPCLN002 and JPCNN001 and the given tables."""
    for name in ("JPCLN001.IMG", "JPCLN002.IMG", "JPCNN001.IMG"):
        write_film(root, name, f"{below}/All247images", side)
    tables = root / below / "Clinical_Information"
    tables.mkdir(parents=True)
    (tables / "CLNDAT_EN.txt").write_text("\r\n".join(nodules or [FIRST, SECOND]) + "\r\n")
    (tables / "CNNDAT_EN.TXT").write_text("\r\n".join(normal or [NORMAL]) + "\r\n")
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
    assert codes(make(tmp_path)) == {"counts": "info", "unknown_age": "info"}


def test_the_published_first_row_is_a_square_of_15_mm_around_its_centre(tmp_path: Path) -> None:
    side = 15 / 0.175
    root = make(tmp_path, side=SIDE)
    (box,) = entries(root)["JPCLN001"].pop("boxes")
    np.testing.assert_allclose(box, [1634 - side / 2, 692 - side / 2, side, side])
    assert {key: value for key, value in entries(root)["JPCLN001"].items() if key != "boxes"} == {
        "image": "All247images/JPCLN001.IMG",
        "case": "JPCLN001",
        "patient": "JPCLN001",
        "label": 1,
        "rows": SIDE,
        "columns": SIDE,
        "localized": True,
        "sex": "M",
        "age": 53,
        "subtlety": 5,
        "size_mm": 15.0,
        "malignancy": "malignant",
    }


def test_a_film_without_a_nodule_has_age_and_sex_of_the_other_table(tmp_path: Path) -> None:
    assert entries(make(tmp_path))["JPCNN001"] == {
        "image": "All247images/JPCNN001.IMG",
        "case": "JPCNN001",
        "patient": "JPCNN001",
        "label": 0,
        "rows": 8,
        "columns": 8,
        "localized": True,
        "boxes": [],
        "sex": "F",
        "age": 44,
    }


def test_the_side_follows_from_the_size_of_the_file_and_boxes_are_scaled_to_it(tmp_path: Path) -> None:
    root = make(tmp_path)
    write_film(root, "JPCLN002.IMG", side=64)
    found = entries(root)
    assert (found["JPCLN001"]["rows"], found["JPCLN002"]["rows"]) == (8, 64)
    (box,) = found["JPCLN002"]["boxes"]
    np.testing.assert_allclose(box, [32 - 3.125, 32 - 3.125, 6.25, 6.25])  # 35 mm are 200 of 2048 pixels
    centre = np.argwhere(lesion_mask(found["JPCLN002"])).mean(0) + 0.5
    np.testing.assert_allclose(centre, [32, 32])


@pytest.mark.parametrize(
    "row",
    [
        "JPCLN001.IMG \t5\t\t15 \t 53\tmale\t\t1634\t692 \tmalignant\tl.upper lobe\tlung cancer\t\t",
        "\t JPCLN001.IMG 5 15 53 Male 1634 692 Malignant l.upper lobe",
        "jpcln001.img\t5\t15.0\t53\tmale\t1634.0\t692\tmalignant",
        "1\tJPCLN001.IMG\t5\t15\t53\tmale\t1634\t692\tmalignant\tl.upper lobe\tlung cancer",
    ],
)
def test_stray_blanks_and_tabs_do_not_matter(tmp_path: Path, row: str) -> None:
    plain, stray = entries(make(tmp_path / "a")), entries(make(tmp_path / "b", [row, SECOND]))
    assert stray["JPCLN001"] == plain["JPCLN001"]


def test_an_unknown_age_is_left_out(tmp_path: Path) -> None:
    root = make(tmp_path)
    assert "age" not in entries(root)["JPCLN002"]
    assert entries(root)["JPCLN002"]["sex"] == "F"
    assert "JPCLN002" in message(root, "unknown_age")


def test_signs_of_other_encodings_in_the_text_do_not_matter(tmp_path: Path) -> None:
    root = make(tmp_path)
    path = root / "Clinical_Information/CLNDAT_EN.txt"
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"lung cancer", "肺癌".encode("shift_jis")))
    assert entries(root)["JPCLN001"]["subtlety"] == 5


def test_films_and_tables_are_found_at_any_depth_and_in_any_case(tmp_path: Path) -> None:
    root = make(tmp_path, below="JSRT/data")
    (root / "JSRT/data/Clinical_Information/CLNDAT_EN.txt").rename(root / "clndat_en.TXT")
    assert entries(root)["JPCLN001"]["image"] == "JSRT/data/All247images/JPCLN001.IMG"
    assert entries(root)["JPCLN001"]["age"] == 53


def test_a_row_that_does_not_follow_the_pattern_is_named_and_the_film_not_localized(tmp_path: Path) -> None:
    root = make(tmp_path, [FIRST, SECOND.replace("\t1024\t1024", "\t1024")])
    assert codes(root)["unread_rows"] == "warning"
    assert "JPCLN002" in message(root, "unread_rows")
    entry = entries(root)["JPCLN002"]
    assert (entry["label"], entry["localized"], entry["boxes"]) == (1, False, [])


def test_a_broken_row_does_not_swallow_the_next(tmp_path: Path) -> None:
    root = make(tmp_path, ["JPCLN001.IMG\t5\t15", SECOND])
    assert "JPCLN001" in message(root, "unread_rows")
    assert entries(root)["JPCLN002"]["size_mm"] == 35


@pytest.mark.parametrize("place", ["\t2048\t692", "\t1634\t9999"])
def test_a_centre_outside_the_film_is_no_position(tmp_path: Path, place: str) -> None:
    root = make(tmp_path, [FIRST.replace("\t1634\t692", place), SECOND])
    assert codes(root)["box_outside"] == "warning"
    assert entries(root)["JPCLN001"]["localized"] is False


def test_a_film_listed_twice_is_an_error_because_it_has_one_nodule(tmp_path: Path) -> None:
    root = make(tmp_path, [FIRST, SECOND, FIRST.replace("692", "700")])
    assert "JPCLN001" in message(root, "listed_twice")
    with pytest.raises(InputDataError, match="JPCLN001"):
        prepare(root)


def test_missing_and_unlisted_films_are_named_and_the_name_tells_the_label(tmp_path: Path) -> None:
    root = make(tmp_path)
    (root / "All247images/JPCLN002.IMG").unlink()
    write_film(root, "JPCLN100.IMG")
    write_film(root, "JPCNN090.IMG")
    assert "1 of 3 films are not on disk: JPCLN002" in message(root, "missing_images")
    assert "JPCLN100, JPCNN090" in message(root, "unlisted_images")
    found = entries(root)
    assert [(found[case]["label"], found[case]["localized"]) for case in ("JPCLN100", "JPCNN090")] == [
        (1, False),
        (0, True),
    ]


@pytest.mark.parametrize(("name", "severity"), [("CLNDAT_EN.txt", "error"), ("CNNDAT_EN.TXT", "warning")])
def test_only_the_table_of_the_nodules_is_indispensable(tmp_path: Path, name: str, severity: str) -> None:
    root = make(tmp_path)
    (root / "Clinical_Information" / name).unlink()
    assert codes(root)["no_table"] == severity
    assert name in message(root, "no_table")


def test_two_tables_of_one_name_are_an_error(tmp_path: Path) -> None:
    root = make(tmp_path)
    (root / "CLNDAT_EN.txt").write_text(FIRST)
    assert codes(root)["several_tables"] == "error"


def test_two_films_of_one_name_are_an_error(tmp_path: Path) -> None:
    root = make(tmp_path)
    write_film(root, "jpcln001.img", "copy")
    assert codes(root)["duplicate_name"] == "error"


def test_a_file_that_is_no_square_is_an_error_that_names_it(tmp_path: Path) -> None:
    root = make(tmp_path)
    (root / "All247images/JPCLN001.IMG").write_bytes(bytes(100))
    assert "All247images/JPCLN001.IMG cannot be read" in message(root, "unreadable_image")
    with pytest.raises(InputDataError, match="no square"):
        prepare(root)


def test_an_empty_folder_lacks_tables_and_films(tmp_path: Path) -> None:
    severities = [(finding.code, finding.severity) for finding in check(tmp_path)]
    assert severities == [("no_table", "error"), ("no_table", "warning"), ("no_images", "error")]


def test_the_films_are_divided_by_the_fractions_and_the_split_says_how(tmp_path: Path) -> None:
    root = make(tmp_path)
    for number in range(2, 10):
        write_film(root, f"JPCNN{number:03d}.IMG")
    datalist = prepare(root, seed=3, fractions=(0.5, 0, 0.5))
    validate_datalist(datalist, "it")
    assert [sum(entry["label"] for entry in datalist[part]) for part in PARTS] == [1, 0, 1]
    assert sum(len(datalist[part]) for part in PARTS) == 11
    assert "by film" in datalist["split"]
    assert datalist["generated"] is False


def test_counts_are_compared_with_the_published_ones(tmp_path: Path) -> None:
    root = make(tmp_path)
    assert "3 of 247 films, 2 of 154 nodules, 1 of 93 normal" in message(root, "counts")
    for number in range(2, 100):
        write_film(root, f"JPCNN{number:03d}.IMG")
    assert codes(root)["more_than_published"] == "warning"


def test_wrong_fractions_are_refused_before_anything_is_read(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="add up to 1"):
        prepare(tmp_path, fractions=(1, 1, 1))


def test_a_damaged_marker_is_an_error(tmp_path: Path) -> None:
    root = make(tmp_path)
    (root / "LOOKALIKE.json").write_text("{")
    assert codes(root)["table"] == "error"


def test_the_published_counts_add_up() -> None:
    counts = {key: count["value"] for key, count in load_manifest("jsrt")["counts"].items()}
    assert counts["nodules"] + counts["normal"] == counts["films"]
