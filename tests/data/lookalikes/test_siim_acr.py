import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest

from medpipe.data.datalist import lesion_mask, load_datalist, write_datalist
from medpipe.data.lookalikes.plan import plan_cases
from medpipe.data.lookalikes.siim_acr import _ENCODINGS, write_siim_acr_lookalike
from medpipe.data.rle import decode_relative_rle
from medpipe.data.siim_acr import check, prepare
from medpipe.data.splits import PARTS
from medpipe.errors import RequestError

CASES, SIZE, SEED = 40, 64, 11


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("siim") / "set"
    write_siim_acr_lookalike(out, cases=CASES, seed=SEED, size=SIZE)
    return out


@pytest.fixture(scope="module")
def rows(root: Path) -> list[tuple[str, str]]:
    lines = (root / "train-rle.csv").read_text().splitlines()[1:]
    return [(image, code) for image, _, code in (line.partition(",") for line in lines)]


def contents(root: Path) -> dict[str, bytes]:
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def test_files_lie_by_study_series_and_instance(root: Path) -> None:
    files = sorted(root.glob("dicom-images-train/*/*/*.dcm"))
    assert len(files) == CASES
    assert len(list(root.glob("dicom-images-test/*/*/*.dcm"))) == 4
    for path in files[:5]:
        header = pydicom.dcmread(path, stop_before_pixels=True)
        assert path.parts[-3:] == (
            header.StudyInstanceUID,
            header.SeriesInstanceUID,
            f"{header.SOPInstanceUID}.dcm",
        )


def test_the_table_has_the_blanks_of_the_published_one(root: Path, rows: list[tuple[str, str]]) -> None:
    assert (root / "train-rle.csv").read_bytes().startswith(b"ImageId, EncodedPixels\n")
    assert all(code.startswith(" ") for _, code in rows)
    assert len({image for image, _ in rows}) == CASES


def test_only_a_pneumothorax_without_a_tube_has_a_mask(root: Path, rows: list[tuple[str, str]]) -> None:
    findings = json.loads((root / "LOOKALIKE.json").read_text())["findings"]
    for image, code in rows:
        assert (code != " -1") == (findings[image] == "pneumothorax")
    assert len({image for image, code in rows if code != " -1"}) == round(0.38 * CASES)


def test_some_images_have_several_overlapping_rows_and_their_union_is_the_drawn_mask(
    rows: list[tuple[str, str]],
) -> None:
    plans = plan_cases("siim_acr/train", cases=CASES, seed=SEED, size=SIZE, encodings=_ENCODINGS)
    several = 0
    for plan in (plan for plan in plans if plan.finding == "pneumothorax"):
        codes = [code for image, code in rows if image == plan.header.instance_uid]
        masks = [decode_relative_rle(code, SIZE, SIZE) for code in codes]
        np.testing.assert_array_equal(np.any(masks, axis=0), plan.draw().mask)
        if len(masks) > 1:
            several += 1
            assert np.sum(masks, axis=0).max() > 1
    assert several > 2


def test_rows_of_one_image_are_not_all_together(rows: list[tuple[str, str]]) -> None:
    names = [image for image, _ in rows]
    blocks = 1 + sum(first != second for first, second in pairwise(names))
    assert blocks > len(set(names))


def test_decoded_masks_lie_high_and_on_both_sides(rows: list[tuple[str, str]]) -> None:
    centres = [np.argwhere(decode_relative_rle(code, SIZE, SIZE)).mean(0) / SIZE for _, code in rows if code != " -1"]
    height, across = np.array(centres).T
    assert np.median(height) < 0.4
    assert ((across < 0.4) | (across > 0.6)).mean() > 0.9
    assert (across < 0.4).any()
    assert (across > 0.6).any()


def test_most_files_are_jpeg_and_the_others_are_mixed(root: Path) -> None:
    headers = [pydicom.dcmread(path, stop_before_pixels=True) for path in root.rglob("*.dcm")]
    syntaxes = [header.file_meta.TransferSyntaxUID.name for header in headers]
    assert 0.6 < syntaxes.count("JPEG Baseline (Process 1)") / len(syntaxes) < 0.9
    assert len(set(syntaxes)) == 6
    assert {header.PhotometricInterpretation for header in headers} == {"MONOCHROME1", "MONOCHROME2"}
    assert any("RescaleSlope" in header for header in headers)


def test_patients_of_both_folders_are_different_and_some_have_several_images(root: Path) -> None:
    people = {
        folder: [pydicom.dcmread(path, stop_before_pixels=True).PatientID for path in root.glob(f"{folder}/*/*/*")]
        for folder in ("dicom-images-train", "dicom-images-test")
    }
    assert len(set(people["dicom-images-train"])) < CASES
    assert not set(people["dicom-images-train"]) & set(people["dicom-images-test"])


def test_the_reader_reads_it_back(root: Path, tmp_path: Path) -> None:
    assert {finding.severity for finding in check(root)} == {"info"}
    datalist = prepare(root, seed=2, fractions=(0.5, 0.2, 0.3))
    write_datalist(datalist, tmp_path / "list.json")
    assert load_datalist(tmp_path / "list.json") == datalist
    assert datalist["generated"] is True
    assert datalist["labels"]["1"] == "pneumothorax without a tube"
    assert len(datalist["unlabelled"]) == 4
    entries = [entry for part in PARTS for entry in datalist[part]]
    assert len(entries) == CASES
    for entry in entries:
        assert lesion_mask(entry).any() == (entry["finding"] == "pneumothorax") == bool(entry["label"])
        assert {"sex", "age", "view"} <= entry.keys()


def test_equal_seeds_give_equal_bytes_whatever_the_number_of_workers(tmp_path: Path) -> None:
    for folder, workers in (("a", 1), ("b", 2)):
        write_siim_acr_lookalike(tmp_path / folder, cases=9, seed=3, size=64, workers=workers)
    first, second = contents(tmp_path / "a"), contents(tmp_path / "b")
    assert first.keys() == second.keys()
    assert first == second


def test_another_seed_gives_other_images(tmp_path: Path, root: Path) -> None:
    write_siim_acr_lookalike(tmp_path / "a", cases=2, seed=SEED + 1, size=64)
    assert not {path.stem for path in (tmp_path / "a").rglob("*.dcm")} & {path.stem for path in root.rglob("*.dcm")}


def test_a_folder_that_holds_anything_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(RequestError, match="not empty"):
        write_siim_acr_lookalike(tmp_path, cases=2, seed=0, size=64)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_a_wrong_number_is_refused_before_the_folder_is_made(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="0 cases"):
        write_siim_acr_lookalike(tmp_path / "a", cases=0, seed=0)
    assert not (tmp_path / "a").exists()


def test_an_interrupted_set_is_marked_as_generated_and_has_no_table(tmp_path: Path) -> None:
    def stop(done: int, _: int) -> None:
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_siim_acr_lookalike(tmp_path / "a", cases=5, seed=0, size=64, progress=stop)
    names: Any = {path.name for path in (tmp_path / "a").iterdir()}
    assert names == {"LOOKALIKE.json", "dicom-images-train"}


def test_the_marker_says_how_it_was_made(root: Path) -> None:
    marker = json.loads((root / "LOOKALIKE.json").read_text())
    assert (marker["name"], marker["seed"], marker["cases"], marker["size"]) == (
        "siim_acr",
        SEED,
        CASES,
        SIZE,
    )
    assert "generated" in marker["statement"]
    assert marker["medpipe"]
