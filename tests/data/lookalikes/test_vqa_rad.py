import json
from pathlib import Path

import pytest
from PIL import Image

from medpipe.data.lookalikes.vqa_rad import meta_class, write_vqa_rad_lookalike
from medpipe.data.splits import PARTS
from medpipe.data.vqa_datalist import validate_vqa_datalist
from medpipe.data.vqa_rad import QUESTION_TYPES, check, prepare
from medpipe.errors import RequestError

CASES = 54


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("rad") / "set"
    write_vqa_rad_lookalike(out, cases=CASES, seed=7, size=64)
    return out


def contents(root: Path) -> dict[str, bytes]:
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def test_records_have_the_keys_and_the_words_of_the_published_split(root: Path) -> None:
    rows = json.loads((root / "trainset.json").read_text()) + json.loads((root / "testset.json").read_text())
    keys = {"qid", "image_name", "image_organ", "answer", "answer_type", "question_type", "question", "phrase_type"}
    assert all(set(row) == keys for row in rows)
    assert {row["image_organ"] for row in rows} == {"HEAD", "CHEST", "ABD"}
    assert {row["answer_type"] for row in rows} == {"CLOSED", "OPEN"}
    assert {row["phrase_type"] for row in rows} == {"freeform", "para"}
    assert {row["question_type"] for row in rows} <= set(QUESTION_TYPES)
    assert [row["qid"] for row in sorted(rows, key=lambda row: row["qid"])] == list(range(1, len(rows) + 1))


def test_images_are_colour_jpegs_numbered_by_the_index(root: Path) -> None:
    index = json.loads((root / "imgid2idx.json").read_text())
    names = sorted(path.name for path in (root / "images").iterdir())
    assert sorted(index) == names
    assert sorted(index.values()) == list(range(CASES))
    with Image.open(root / "images" / names[0]) as picture:
        assert (picture.format, picture.mode, picture.size) == ("JPEG", "RGB", (64, 64))


def test_the_reader_reads_it_back_without_shared_images(root: Path) -> None:
    assert [(finding.code, finding.severity) for finding in check(root)] == [("look_alike", "info")]
    datalist = prepare(root, split="published")
    validate_vqa_datalist(datalist, "it")
    assert datalist["generated"] is True
    assert "shares_images" not in datalist
    assert [len({row["image"] for row in datalist[part]}) for part in PARTS] == [36, 0, 18]


def test_training_images_lie_in_nine_classes_for_meta_learning(root: Path) -> None:
    folders = sorted((root / "meta/train").iterdir())
    assert len(folders) == 9
    assert meta_class("head", "mass") in {folder.name for folder in folders}
    assert {len(list(folder.iterdir())) for folder in folders} == {4}
    train = {row["image_name"] for row in json.loads((root / "trainset.json").read_text())}
    assert {path.name for folder in folders for path in folder.iterdir()} == train


def test_unlabelled_images_are_others(root: Path) -> None:
    others = {path.read_bytes() for path in (root / "unlabeled").iterdir()}
    assert len(others) == CASES
    assert not others & {path.read_bytes() for path in (root / "images").iterdir()}


def test_equal_seeds_give_equal_bytes_whatever_the_number_of_workers(tmp_path: Path) -> None:
    for folder, workers in (("a", 1), ("b", 2)):
        write_vqa_rad_lookalike(tmp_path / folder, cases=9, seed=3, size=64, workers=workers)
    assert contents(tmp_path / "a") == contents(tmp_path / "b")


def test_wrong_requests_are_refused_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="size 63"):
        write_vqa_rad_lookalike(tmp_path / "a", cases=1, seed=0, size=63)
    assert not (tmp_path / "a").exists()
