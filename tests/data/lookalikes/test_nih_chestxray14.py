import csv
import json
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from medpipe.data.datalist import validate_datalist
from medpipe.data.lookalikes.chest_findings import MECHANISMS
from medpipe.data.lookalikes.nih_chestxray14 import BOXED, write_nih_chestxray14_lookalike
from medpipe.data.nih_chestxray14 import FINDINGS, check, prepare
from medpipe.data.splits import PARTS
from medpipe.errors import RequestError

CASES, SIZE, SEED = 240, 64, 5
Rows = list[dict[str, str]]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("nih") / "set"
    write_nih_chestxray14_lookalike(out, cases=CASES, seed=SEED, size=SIZE)
    return out


@pytest.fixture(scope="module")
def rows(root: Path) -> Rows:
    with (root / "Data_Entry_2017.csv").open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def boxes(root: Path) -> list[list[str]]:
    with (root / "BBox_List_2017.csv").open(newline="") as file:
        return list(csv.reader(file))[1:]


def names(root: Path, which: str) -> list[str]:
    return (root / f"{which}_list.txt").read_text().split("\n")


def contents(root: Path) -> dict[str, bytes]:
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def test_files_lie_in_the_folders_of_the_kaggle_mirror_by_patient_and_follow_up(root: Path, rows: Rows) -> None:
    files = sorted(root.glob("images_00[12]/images/*.png"))
    assert sorted(path.name for path in files) == [row["Image Index"] for row in rows]
    assert {path.parts[-3] for path in files} == {"images_001", "images_002"}
    for row in rows:
        assert row["Image Index"] == f"{int(row['Patient ID']):08d}_{int(row['Follow-up #']):03d}.png"


def test_the_header_has_unquoted_commas_and_a_trailing_empty_column(root: Path) -> None:
    lines = (root / "Data_Entry_2017.csv").read_text().splitlines()
    assert lines[0] == (
        "Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,View Position,"
        "OriginalImage[Width,Height],OriginalImagePixelSpacing[x,y],"
    )
    assert all(line.count(",") == 11 and line.endswith(",") for line in lines)


def test_the_box_header_is_longer_than_its_rows_and_infiltration_is_infiltrate(
    root: Path, boxes: list[list[str]]
) -> None:
    first = (root / "BBox_List_2017.csv").read_text().splitlines()[0]
    assert first == "Image Index,Finding Label,Bbox [x,y,w,h],,,"
    assert {len(row) for row in boxes} == {6}
    assert {row[1] for row in boxes} <= {name.replace("Infiltration", "Infiltrate") for name in BOXED}
    assert "Infiltrate" in {row[1] for row in boxes}


def test_boxes_are_on_the_grid_of_1024_whatever_the_size_of_the_files(boxes: list[list[str]]) -> None:
    corners = np.array([row[2:] for row in boxes], float)
    assert (corners >= 0).all()
    assert (corners[:, :2] + corners[:, 2:] <= 1024).all()
    assert corners.max() > 512


def test_each_finding_is_boxed_in_a_half_of_its_test_images(root: Path, rows: Rows, boxes: list[list[str]]) -> None:
    labels = {row["Image Index"]: row["Finding Labels"].split("|") for row in rows}
    for finding in BOXED:
        could = {image for image in names(root, "test") if finding in labels[image]}
        boxed = {row[0] for row in boxes if row[1].replace("Infiltrate", "Infiltration") == finding}
        assert boxed <= could
        assert len(boxed) == (len(could) + 1) // 2


def test_a_patients_images_are_all_in_one_list_and_some_patients_have_several(root: Path, rows: Rows) -> None:
    lists = {name: which for which in ("train_val", "test") for name in names(root, which)}
    of_patient = defaultdict(list)
    for row in rows:
        of_patient[row["Patient ID"]].append(lists[row["Image Index"]])
    assert all(len(set(where)) == 1 for where in of_patient.values())
    assert max(map(len, of_patient.values())) == 3
    assert len(lists) == CASES
    assert 0.1 < len(names(root, "test")) / CASES < 0.4


def test_the_lists_end_without_a_newline(root: Path) -> None:
    for which in ("train_val", "test"):
        assert (root / f"{which}_list.txt").read_bytes().endswith(b".png")


def test_a_few_files_are_rgba_and_all_have_the_size(root: Path) -> None:
    images = [Image.open(path) for path in root.rglob("*.png")]
    modes = [image.mode for image in images]
    assert modes.count("RGBA") == 10
    assert modes.count("L") == CASES - 10
    assert {image.size for image in images} == {(SIZE, SIZE)}


def test_one_age_is_a_typing_error(rows: Rows) -> None:
    assert [row["Patient Age"] for row in rows if int(row["Patient Age"]) > 100] == ["411"]


def test_nearly_half_show_nothing_and_the_others_one_to_three_findings(rows: Rows) -> None:
    labels = [row["Finding Labels"].split("|") for row in rows]
    assert labels.count(["No Finding"]) == round(0.45 * CASES)
    assert {len(each) for each in labels} == {1, 2, 3}
    assert {name for each in labels for name in each} == {"No Finding", *FINDINGS}


def test_the_reader_finds_no_error_and_only_the_wrong_age_to_warn_of(root: Path) -> None:
    found = {finding.code: finding.severity for finding in check(root)}
    assert {code for code, severity in found.items() if severity != "info"} == {"implausible_age"}
    assert found["not_grey"] == "info"


def test_the_reader_reads_boxes_back_on_the_files_grid(root: Path, boxes: list[list[str]]) -> None:
    datalist = prepare(root, label="Nodule")
    validate_datalist(datalist, "it")
    assert datalist["generated"] is True
    assert sorted(entry["case"] for entry in datalist["test"]) == sorted(names(root, "test"))
    entries = {entry["case"]: entry for part in PARTS for entry in datalist[part]}
    nodules = [row for row in boxes if row[1] == "Nodule"]
    assert nodules
    for image, _, x, y, width, height in nodules:
        expected = [float(value) * SIZE / 1024 for value in (x, y, width, height)]
        assert any(np.allclose(box, expected) for box in entries[image]["boxes"])


def test_equal_seeds_give_equal_bytes_whatever_the_number_of_workers(tmp_path: Path) -> None:
    for folder, workers in (("a", 1), ("b", 2)):
        write_nih_chestxray14_lookalike(tmp_path / folder, cases=9, seed=3, size=64, workers=workers)
    assert contents(tmp_path / "a") == contents(tmp_path / "b")


def test_another_seed_gives_other_images(tmp_path: Path, root: Path) -> None:
    write_nih_chestxray14_lookalike(tmp_path / "a", cases=2, seed=SEED + 1, size=64)
    mine, others = (next(folder.rglob("00000001_000.png")).read_bytes() for folder in (tmp_path / "a", root))
    assert mine != others


def test_the_marker_says_how_it_was_made_and_what_each_finding_looks_like(root: Path) -> None:
    marker = json.loads((root / "LOOKALIKE.json").read_text())
    assert (marker["name"], marker["seed"], marker["cases"], marker["size"]) == ("nih_chestxray14", SEED, CASES, SIZE)
    assert marker["mechanisms"] == MECHANISMS


def test_an_interrupted_set_is_marked_as_generated_and_has_no_table(tmp_path: Path) -> None:
    def stop(done: int, _: int) -> None:
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_nih_chestxray14_lookalike(tmp_path / "a", cases=4, seed=0, size=64, progress=stop)
    assert {path.name for path in (tmp_path / "a").iterdir()} == {"LOOKALIKE.json", "images_001"}


@pytest.mark.parametrize("options", [{"cases": 0}, {"size": 63}, {"seed": -1}])
def test_a_wrong_number_is_refused_before_the_folder_is_made(tmp_path: Path, options: dict[str, int]) -> None:
    with pytest.raises(RequestError, match="expected at least 1 case"):
        write_nih_chestxray14_lookalike(tmp_path / "a", **{"cases": 2, "seed": 0, "size": 64, **options})
    assert not (tmp_path / "a").exists()
