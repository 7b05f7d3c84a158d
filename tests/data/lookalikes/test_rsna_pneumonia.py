from collections import Counter, defaultdict
from itertools import pairwise
from pathlib import Path

import numpy as np
import pydicom
import pytest

from medpipe.data.datalist import validate_datalist
from medpipe.data.lookalikes.rsna_pneumonia import write_rsna_pneumonia_lookalike
from medpipe.data.rsna_pneumonia import CLASSES, check, prepare
from medpipe.data.splits import PARTS
from medpipe.errors import RequestError

CASES, SIZE, SEED = 60, 64, 2


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("rsna") / "set"
    write_rsna_pneumonia_lookalike(out, cases=CASES, seed=SEED, size=SIZE)
    return out


def table(root: Path, name: str) -> list[list[str]]:
    return [line.split(",") for line in (root / name).read_text().splitlines()]


def contents(root: Path) -> dict[str, bytes]:
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def test_files_are_named_for_the_patient_id_of_their_header(root: Path) -> None:
    files = sorted(root.glob("stage_2_train_images/*.dcm"))
    assert len(files) == CASES
    assert len(list(root.glob("stage_2_test_images/*.dcm"))) == 6
    for path in files[:5]:
        header = pydicom.dcmread(path, stop_before_pixels=True)
        assert (header.PatientID, header.Rows, header.Columns, header.BitsStored) == (path.stem, SIZE, SIZE, 8)


def test_the_table_of_labels_has_a_row_per_box_and_empty_fields_for_target_0(root: Path) -> None:
    header, *rows = table(root, "stage_2_train_labels.csv")
    assert ",".join(header) == "patientId,x,y,width,height,Target"
    assert {len(row) for row in rows} == {6}
    assert all((row[5] == "0") == (row[1:5] == [""] * 4) for row in rows)
    per_image = Counter(row[0] for row in rows if row[5] == "1")
    assert set(per_image.values()) == {1, 2, 3, 4}
    assert len({row[0] for row in rows}) == CASES
    names = [row[0] for row in rows]
    blocks = 1 + sum(first != second for first, second in pairwise(names))
    assert blocks > CASES  # rows of one image are not all together


def test_the_detailed_classes_agree_with_the_targets_and_have_a_row_per_box(root: Path) -> None:
    labels = table(root, "stage_2_train_labels.csv")[1:]
    header, *rows = table(root, "stage_2_detailed_class_info.csv")
    assert header == ["patientId", "class"]
    assert Counter(row[0] for row in rows) == Counter(row[0] for row in labels)
    classes = defaultdict(set)
    for image, name in rows:
        classes[image].add(name)
    assert {name for names in classes.values() for name in names} == set(CLASSES)
    for row in labels:
        assert classes[row[0]] == {CLASSES[2]} or row[5] == "0"
        assert classes[row[0]] != {CLASSES[2]} or row[5] == "1"


def test_boxes_are_brighter_than_the_lungs_around_them(root: Path) -> None:
    brighter = []
    for image, x, y, width, height, target in table(root, "stage_2_train_labels.csv")[1:]:
        if target == "1":
            pixels = pydicom.dcmread(root / "stage_2_train_images" / f"{image}.dcm").pixel_array.astype(float)
            left, top, wide, high = (int(float(value)) for value in (x, y, width, height))
            centre = pixels[top + high // 4 : top + high * 3 // 4, left + wide // 4 : left + wide * 3 // 4]
            brighter.append(centre.mean() - np.median(pixels[12:36, 15:23]))
    assert np.mean(np.array(brighter) > 10) > 0.9


def test_the_reader_reads_it_back(root: Path) -> None:
    assert {finding.code for finding in check(root)} == {"look_alike"}
    datalist = prepare(root, seed=2, fractions=(0.5, 0.2, 0.3))
    validate_datalist(datalist, "it")
    assert datalist["generated"] is True
    entries = [entry for part in PARTS for entry in datalist[part]]
    assert Counter(entry["finding"] for entry in entries) == {CLASSES[0]: 20, CLASSES[1]: 20, CLASSES[2]: 20}
    assert all(entry["label"] == (entry["finding"] == CLASSES[2]) for entry in entries)
    assert len(datalist["unlabelled"]) == 6


def test_equal_seeds_give_equal_bytes_whatever_the_number_of_workers(tmp_path: Path) -> None:
    for folder, workers in (("a", 1), ("b", 2)):
        write_rsna_pneumonia_lookalike(tmp_path / folder, cases=9, seed=3, size=64, workers=workers)
    assert contents(tmp_path / "a") == contents(tmp_path / "b")


def test_a_wrong_number_is_refused_before_the_folder_is_made(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="0 cases"):
        write_rsna_pneumonia_lookalike(tmp_path / "a", cases=0, seed=0)
    assert not (tmp_path / "a").exists()
