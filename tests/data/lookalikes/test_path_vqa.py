import shutil
from collections import Counter
from pathlib import Path

import pytest
from PIL import Image

from medpipe.data.lookalikes.path_vqa import write_path_vqa_lookalike
from medpipe.data.lookalikes.vqa_scenes import plan_scenes
from medpipe.data.path_vqa import META, PARTS, check, prepare
from medpipe.data.plain_pickles import read_plain_pickle
from medpipe.data.vqa_datalist import validate_vqa_datalist


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("path") / "set"
    write_path_vqa_lookalike(out, cases=45, seed=7, size=64)
    return out


def test_pickles_are_plain_lists_of_questions_with_the_published_keys(root: Path) -> None:
    for part in PARTS.values():
        rows = read_plain_pickle(root / "qas" / f"{part}_vqa.pkl", dtypes=())
        keys = {"img_id", "question_id", "sent", "label", "answer_type", "question_type"}
        assert rows
        assert all(set(row) == keys and row["img_id"].startswith(f"{part}_") for row in rows)


def test_the_reader_reads_it_back_in_the_published_parts(root: Path) -> None:
    assert [(finding.code, finding.severity) for finding in check(root)] == [("look_alike", "info")]
    datalist = prepare(root, split="published")
    validate_vqa_datalist(datalist, "it")
    assert [len({row["image"] for row in datalist[part]}) for part in PARTS] == [27, 9, 9]


def test_pictures_are_coloured(root: Path) -> None:
    with Image.open(root / "images/train/train_0000.jpg") as picture:
        assert (picture.mode, picture.size) == ("RGB", (64, 64))
        red, _, blue = picture.split()
    assert red.tobytes() != blue.tobytes()


def test_pictures_for_meta_learning_lie_in_folders_of_classes_some_of_them_wrong(root: Path) -> None:
    copies = {path.stem: path for path in (root / META).rglob("*.jpg")}
    pictures = {path.stem: path for path in (root / "images").rglob("*.jpg")}
    assert copies.keys() == pictures.keys()
    assert all(path.read_bytes() == copies[name].read_bytes() for name, path in pictures.items())
    true, numbers = {}, Counter()
    for scene in plan_scenes("path_vqa", cases=45, seed=7):
        part = ("train", "train", "train", "val", "test")[scene.rank % 5]
        true[f"{part}_{numbers[part]:04d}"] = scene.organ, scene.state
        numbers[part] += 1
    known = {"normal": "normal", "mass": "abnormal_present", "enlarged": "abnormal_organ"}
    right = Counter()
    for name, path in copies.items():
        where = path.relative_to(root / META).parts[:-1]
        organ, state = true[name]
        right[where[:-1] or where, where[-1] == f"{organ}_{known[state]}"] += 1
    assert right[("val",), True] == right[("test",), True] == 9
    assert right[("t0",), False] == 9  # train_unlabel: no class
    assert right[("t0", "train"), True] + right[("t0", "train"), False] == 18
    assert 1 <= right[("t0", "train"), False] <= 11
    assert sum(right.values()) == 45


def test_copies_for_meta_learning_are_no_pictures_of_questions(root: Path, tmp_path: Path) -> None:
    shutil.copytree(root / "qas", tmp_path / "set" / "qas")
    shutil.copytree(root / META, tmp_path / "set" / META.upper())
    (found,) = [finding.message for finding in check(tmp_path / "set") if finding.code == "no_images"]
    assert found.endswith("besides pathvqa_maml, which are left out")


def test_equal_seeds_give_equal_bytes(tmp_path: Path) -> None:
    found = []
    for folder in ("a", "b"):
        write_path_vqa_lookalike(tmp_path / folder, cases=9, seed=3, size=64)
        files = sorted(path for path in (tmp_path / folder).rglob("*") if path.is_file())
        found.append([path.read_bytes() for path in files])
    assert found[0] == found[1]
