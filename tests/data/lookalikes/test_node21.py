import json
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from medpipe.data.datalist import load_datalist, write_datalist
from medpipe.data.lookalikes.node21 import write_node21_lookalike
from medpipe.data.lookalikes.nodules import plan_nodule_cases
from medpipe.data.node21 import check, prepare
from medpipe.data.splits import PARTS
from medpipe.errors import RequestError
from medpipe.io.radiograph import read_radiograph

CASES, SIZE, SEED = 24, 64, 7


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("node21") / "set"
    write_node21_lookalike(out, cases=CASES, seed=SEED, size=SIZE)
    return out


def contents(root: Path) -> dict[str, bytes]:
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def test_half_of_the_images_have_nodules_and_names_that_say_so(root: Path) -> None:
    names = sorted(path.name for path in (root / "images").iterdir())
    expected = [f"{letter}{number:04d}.mha" for letter in "cn" for number in range(1, CASES // 2 + 1)]
    assert names == expected


def test_the_table_has_an_unnamed_index_shuffled_columns_and_shuffled_rows(root: Path) -> None:
    header, *lines = (line.split(",") for line in (root / "metadata.csv").read_text().splitlines())
    assert header[0] == ""
    assert sorted(header[1:]) == sorted(["img_name", "x", "y", "width", "height", "label"])
    assert header[1:] != ["img_name", "x", "y", "width", "height", "label"]
    assert [line[0] for line in lines] == [str(number) for number in range(len(lines))]
    names = [line[header.index("img_name")] for line in lines]
    assert names != sorted(names)
    assert len(set(names)) == CASES
    assert len(names) == CASES + CASES // 4  # two nodules in a quarter of them
    zeros = [line for line in lines if line[header.index("label")] == "0"]
    assert len(zeros) == CASES // 2
    assert all(line[header.index(name)] == "0" for line in zeros for name in ("x", "y", "width", "height"))


def test_images_are_flat_metaimages_with_a_scale_of_their_own(root: Path) -> None:
    images = [sitk.ReadImage(str(path)) for path in sorted((root / "images").iterdir())]
    assert {(image.GetSize(), image.GetPixelIDTypeAsString()) for image in images} == {
        ((SIZE, SIZE), "16-bit unsigned integer")
    }
    assert images[0].GetSpacing() == (358.4 / SIZE, 358.4 / SIZE)
    highest = [sitk.GetArrayViewFromImage(image).max() for image in images]
    assert max(highest) > 4 * min(highest)


def test_the_reader_reads_it_back_and_boxes_surround_the_nodules(root: Path, tmp_path: Path) -> None:
    assert {finding.severity for finding in check(root)} == {"info"}
    datalist = prepare(root, seed=2, fractions=(0.5, 0.2, 0.3))
    write_datalist(datalist, tmp_path / "list.json")
    assert load_datalist(tmp_path / "list.json") == datalist
    assert datalist["generated"] is True
    assert "brighter" in datalist["labels"]["1"]
    found = {entry["case"]: entry for part in PARTS for entry in datalist[part]}
    plans = plan_nodule_cases("node21", cases=CASES, seed=SEED, size=SIZE, parts={0: 0.5, 1: 0.25, 2: 0.25})
    assert len(found) == len(plans)
    for plan in plans:
        drawing, entry = plan.draw(), found[f"{'n' if plan.nodules else 'c'}{plan.number:04d}"]
        assert entry["label"] == int(plan.nodules > 0)
        drawn = sorted((nodule.x, nodule.y, 2 * nodule.radius) for nodule in drawing.nodules)
        boxed = sorted((x + width / 2, y + height / 2, width) for x, y, width, height in entry["boxes"])
        assert np.shape(drawn) == np.shape(boxed)
        np.testing.assert_allclose(boxed, drawn, atol=1.01)
        shown = read_radiograph(str(root / entry["image"])).pixels
        assert np.corrcoef(shown.ravel(), drawing.image.ravel())[0, 1] > 0.9999


def test_equal_seeds_give_equal_bytes_whatever_the_number_of_workers(tmp_path: Path) -> None:
    for folder, workers in (("a", 1), ("b", 2)):
        write_node21_lookalike(tmp_path / folder, cases=9, seed=3, size=64, workers=workers)
    assert contents(tmp_path / "a") == contents(tmp_path / "b")
    write_node21_lookalike(tmp_path / "c", cases=9, seed=4, size=64)
    assert contents(tmp_path / "a") != contents(tmp_path / "c")


def test_wrong_requests_are_refused_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="0 cases"):
        write_node21_lookalike(tmp_path / "a", cases=0, seed=0)
    assert not (tmp_path / "a").exists()
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(RequestError, match="not empty"):
        write_node21_lookalike(tmp_path, cases=2, seed=0, size=64)


def test_an_interrupted_set_is_marked_as_generated_and_has_no_table(tmp_path: Path) -> None:
    def stop(done: int, _: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_node21_lookalike(tmp_path / "a", cases=5, seed=0, size=64, progress=stop)
    assert {path.name for path in (tmp_path / "a").iterdir()} == {"LOOKALIKE.json", "images"}
    assert json.loads((tmp_path / "a/LOOKALIKE.json").read_text())["generated"] is True
