import copy
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from monai.data.decathlon_datalist import load_decathlon_datalist

from medpipe.data.splits import PARTS
from medpipe.data.vqa_datalist import (
    load_vqa_datalist,
    split_by_image,
    validate_vqa_datalist,
    vqa_entries,
    write_vqa_datalist,
)
from medpipe.errors import InputDataError


def entry(case: str, image: str = "a", /, **changes: Any) -> dict[str, Any]:
    return {
        "image": f"images/{image}.jpg",
        "case": case,
        "patient": image,
        "question": "is this normal?",
        "answers": ["yes"],
        "answer_type": "closed",
        "question_type": ["ABN"],
        "organ": "HEAD",
    } | changes


def datalist(**changes: Any) -> dict[str, Any]:
    whole = {
        "name": "toy",
        "description": "three questions",
        "generated": True,
        "split": "by hand",
        "task": "vqa",
        "tensorImageSize": "2D",
        "training": [entry("1"), entry("2", answers=["no", "No"])],
        "validation": [],
        "test": [entry("3", "b", answer_type="open")],
    }
    return copy.deepcopy(whole | changes)


def test_what_is_written_is_read_back_and_is_what_monai_reads(tmp_path: Path) -> None:
    path = tmp_path / "list.json"
    write_vqa_datalist(datalist(), path)
    assert load_vqa_datalist(path) == datalist()
    items = load_decathlon_datalist(str(path), True, "training", base_dir=str(tmp_path))
    assert [Path(item["image"]) for item in items] == [tmp_path / "images/a.jpg"] * 2


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"task": "segmentation"}, "'task' is \"segmentation\"; expected 'vqa'"),
        ({"test": {}}, "'test' is {}; expected a list"),
        ({"test": [1]}, r"test\[0\]: found 1; expected an object"),
        ({"test": [entry("1", "b")]}, r"test\[0\]: question '1' is listed before"),
        ({"test": [entry("3")]}, r"parts share images \(a, images/a.jpg\); split by image"),
        ({"test": [entry("3", "b", patient="a")]}, r"parts share images \(a\)"),
        ({"test": [entry("3", "b", image="../x.jpg")]}, "expected a path below"),
        ({"test": [entry("3", "b", answer_type="CLOSED")]}, "'answer_type' is \"CLOSED\"; expected closed or open"),
        ({"test": [entry("3", "b", answers=[])]}, "'answers' is \\[\\]; expected a list of one or more"),
        ({"test": [entry("3", "b", answers=[3])]}, "'answers' is \\[3\\]"),
        ({"test": [entry("3", "b", question_type="ABN")]}, "'question_type' is \"ABN\"; expected a list"),
        ({"test": [entry("", "b")]}, "'case' is empty"),
    ],
)
def test_a_wrong_datalist_is_refused_with_place_and_rule(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InputDataError, match=f"it.*{message}"):
        validate_vqa_datalist(datalist(**changes), "it")


def test_parts_may_share_images_where_the_file_says_so() -> None:
    validate_vqa_datalist(datalist(test=[entry("3")], shares_images=True), "it")


def test_entries_have_absolute_paths_and_absent_images_are_named(tmp_path: Path) -> None:
    (tmp_path / "list.json").write_text(json.dumps(datalist()))
    (tmp_path / "images").mkdir()
    (tmp_path / "images/a.jpg").touch()
    items = vqa_entries(tmp_path / "list.json", tmp_path, "training")
    assert [item["image"] for item in items] == [str(tmp_path / "images/a.jpg")] * 2
    with pytest.raises(InputDataError, match=r"1 images .* \(first: .*b\.jpg\)"):
        vqa_entries(tmp_path / "list.json", tmp_path, "test")
    with pytest.raises(InputDataError, match="no questions in its section 'validation'"):
        vqa_entries(tmp_path / "list.json", tmp_path, "validation")


@given(st.lists(st.tuples(st.integers(0, 12), st.sampled_from(["HEAD", "ABD"])), max_size=40), st.integers(0, 5))
def test_a_split_by_image_keeps_images_whole_and_loses_nothing(images: list[tuple[int, str]], seed: int) -> None:
    entries = [entry(str(n), f"i{image}", organ=organ) for n, (image, organ) in enumerate(images)]
    parts = split_by_image(entries, seed=seed, fractions=(0.5, 0.2, 0.3))
    found = {part: {row["patient"] for row in parts[part]} for part in PARTS}
    assert sum(len(found[part]) for part in PARTS) == len(set().union(*found.values()))
    assert sorted(row["case"] for part in PARTS for row in parts[part]) == sorted(row["case"] for row in entries)
    again = split_by_image(entries[::-1], seed=seed, fractions=(0.5, 0.2, 0.3))
    assert {part: {row["patient"] for row in again[part]} for part in PARTS} == found


def test_a_split_by_image_gives_every_part_its_share_of_each_organ() -> None:
    entries = [entry(str(n), f"i{n}", organ="HEAD" if n < 10 else "CHEST") for n in range(30)]
    parts = split_by_image(entries, seed=1, fractions=(0.6, 0.1, 0.3))
    counts = {part: sum(row["organ"] == "HEAD" for row in parts[part]) for part in PARTS}
    assert (counts, len(parts["test"])) == ({"training": 6, "validation": 1, "test": 3}, 9)
