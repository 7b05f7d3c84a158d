import json
from collections import Counter, defaultdict
from itertools import pairwise
from pathlib import Path

import pydicom
import pytest

from medpipe.data.datalist import validate_datalist
from medpipe.data.lookalikes.vindr_cxr import write_vindr_cxr_lookalike
from medpipe.data.splits import PARTS
from medpipe.data.vindr_cxr import check, prepare
from medpipe.errors import RequestError

CASES, SIZE, SEED = 60, 64, 4


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("vindr") / "set"
    write_vindr_cxr_lookalike(out, cases=CASES, seed=SEED, size=SIZE)
    return out


@pytest.fixture(scope="module")
def rows(root: Path) -> list[list[str]]:
    return [line.split(",") for line in (root / "train.csv").read_text().splitlines()]


@pytest.fixture(scope="module")
def nodules(root: Path) -> dict[str, int]:
    return dict(json.loads((root / "LOOKALIKE.json").read_text())["nodules"])


def contents(root: Path) -> dict[str, bytes]:
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def test_files_lie_in_train_and_test_with_kaggles_suffix(root: Path, rows: list[list[str]]) -> None:
    assert {path.stem for path in root.glob("train/*.dicom")} == {row[0] for row in rows[1:]}
    assert len(list(root.glob("test/*.dicom"))) == 6


def test_every_image_is_read_by_three_of_17_readers(rows: list[list[str]]) -> None:
    assert ",".join(rows[0]) == "image_id,class_name,class_id,rad_id,x_min,y_min,x_max,y_max"
    readers = defaultdict(set)
    for row in rows[1:]:
        readers[row[0]].add(row[3])
    assert {len(each) for each in readers.values()} == {3}
    assert {reader for each in readers.values() for reader in each} == {f"R{number}" for number in range(1, 18)}


def test_no_finding_is_class_14_with_an_empty_box_and_stands_alone_for_its_reader(rows: list[list[str]]) -> None:
    said = defaultdict(set)
    for image, name, number, reader, *corners in rows[1:]:
        assert (name, number) in {("No finding", "14"), ("Nodule/Mass", "8")}
        assert (corners == [""] * 4) == (number == "14")
        said[image, reader].add(number)
    assert {len(each) for each in said.values()} == {1}


def test_rows_of_one_image_are_not_all_together(rows: list[list[str]]) -> None:
    blocks = 1 + sum(first[0] != second[0] for first, second in pairwise(rows[1:]))
    assert blocks > CASES


def test_readers_draw_boxes_of_their_own_and_some_miss_a_nodule(rows: list[list[str]], nodules: dict[str, int]) -> None:
    marks = Counter(row[0] for row in rows[1:] if row[2] == "8")
    images = {row[0] for row in rows[1:]}
    assert any(0 < marks[image] < 3 * nodules[image] for image in images)
    assert any(marks[image] == 1 and nodules[image] == 0 for image in images)
    boxes = [tuple(row[4:]) for row in rows[1:] if row[2] == "8"]
    assert len(set(boxes)) == len(boxes)


def test_files_are_of_several_sizes_depths_and_both_photometric_interpretations(root: Path) -> None:
    headers = [pydicom.dcmread(path, stop_before_pixels=True) for path in root.rglob("*.dicom")]
    assert {header.Columns for header in headers} == {SIZE, SIZE * 5 // 4, SIZE * 3 // 2}
    assert any(header.Rows > header.Columns for header in headers)
    assert {header.BitsStored for header in headers} == {12, 16}
    assert {header.BitsAllocated for header in headers} == {16}
    assert {header.PhotometricInterpretation for header in headers} == {"MONOCHROME1", "MONOCHROME2"}
    assert any(header.PatientAge == "000Y" for header in headers)


def test_the_reader_finds_the_nodules_by_the_agreement_of_two(root: Path, nodules: dict[str, int]) -> None:
    assert {finding.code for finding in check(root)} == {"look_alike"}
    datalist = prepare(root, fractions=(0, 0, 1))
    validate_datalist(datalist, "it")
    assert datalist["generated"] is True
    found = {entry["case"]: len(entry["boxes"]) for entry in datalist["test"]}
    agreed = [found[image] == nodules[image] for image in found]
    assert sum(agreed) > 0.85 * CASES  # in the others two readers missed one
    assert all(found[image] <= nodules[image] for image in found)
    assert len(datalist["unlabelled"]) == 6


def test_the_lesions_are_the_brightest_blobs_where_the_files_say(root: Path) -> None:
    datalist = prepare(root, fractions=(0, 0, 1))
    checked = 0
    for entry in (entry for part in PARTS for entry in datalist[part]):
        dataset = pydicom.dcmread(root / entry["image"])
        pixels = dataset.pixel_array.astype(float)
        if dataset.PhotometricInterpretation == "MONOCHROME1":
            pixels = pixels.max() - pixels
        for x, y, width, height in entry["boxes"]:
            row, column = round(y + height / 2), round(x + width / 2)
            around = pixels[round(y - height) : round(y + 2 * height), round(x - width) : round(x + 2 * width)]
            assert pixels[row - 1 : row + 1, column - 1 : column + 1].mean() > around.mean()
            checked += 1
    assert checked > 20


def test_equal_seeds_give_equal_bytes_whatever_the_number_of_workers(tmp_path: Path) -> None:
    for folder, workers in (("a", 1), ("b", 2)):
        write_vindr_cxr_lookalike(tmp_path / folder, cases=9, seed=3, size=64, workers=workers)
    assert contents(tmp_path / "a") == contents(tmp_path / "b")


def test_a_wrong_number_is_refused_before_the_folder_is_made(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="0 cases"):
        write_vindr_cxr_lookalike(tmp_path / "a", cases=0, seed=0)
    assert not (tmp_path / "a").exists()
