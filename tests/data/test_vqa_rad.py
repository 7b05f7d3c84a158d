import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from medpipe.data.splits import PARTS
from medpipe.data.vqa_datalist import validate_vqa_datalist
from medpipe.data.vqa_rad import FILES, PUBLIC, QUESTION_TYPES, check, prepare
from medpipe.errors import InputDataError, RequestError


def record(qid: Any, image: str = "synpic1.jpg", **changes: Any) -> dict[str, Any]:
    """A record of the split's files, as published."""
    return {
        "qid": qid,
        "image_name": image,
        "image_organ": "CHEST",
        "answer": "No",
        "answer_type": "CLOSED",
        "question_type": "ABN",
        "question": "Are the lungs normal appearing?",
        "phrase_type": "freeform",
    } | changes


def public(qid: Any, image: str = "synpic1.jpg", **changes: Any) -> dict[str, Any]:
    """A record of the public file, with its 14 keys."""
    more = {
        "qid_linked_id": "03f451ca-de62-4617-9679-e836026a7642",
        "image_case_url": "https://medpix.nlm.nih.gov/case?id=48e1dd0e-8552-46ad-a354-5eb55be86de6",
        "evaluation": "not evaluated",
        "question_rephrase": "NULL",
        "question_relation": "NULL",
        "question_frame": "NULL",
    }
    return record(qid, image) | more | changes


def picture(root: Path, name: str) -> None:
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (5, 4), (90, 20, 30)).save(root / name)


def make(
    root: Path, train: list[Any], test: list[Any], images: tuple[str, ...] = ("synpic1.jpg", "synpic2.jpg")
) -> Path:
    for name, rows in zip(FILES.values(), (train, test), strict=True):
        (root / name).write_text(json.dumps(rows))
    for name in images:
        picture(root / "images", name)
    return root


def codes(root: Path) -> dict[str, str]:
    return {finding.code: finding.severity for finding in check(root)}


def message(root: Path, code: str) -> str:
    return next(finding.message for finding in check(root) if finding.code == code)


def test_the_dirty_values_of_the_split_files_are_cleaned(tmp_path: Path) -> None:
    rows = [
        record(1, answer=3, answer_type="OPEN ", question_type="PRSE, ATRIB"),
        record(2, question_type="Other", answer="2.5 cm "),
    ]
    datalist = prepare(make(tmp_path, rows, [record(3, "synpic2.jpg", phrase_type="para")]), split="published")
    validate_vqa_datalist(datalist, "it")
    assert datalist["training"][0] == {
        "image": "images/synpic1.jpg",
        "case": "1",
        "patient": "synpic1",
        "question": "Are the lungs normal appearing?",
        "answers": ["3"],
        "answer_type": "open",
        "question_type": ["PRES", "ATTRIB"],
        "organ": "CHEST",
        "phrase_type": "freeform",
    }
    assert (datalist["training"][1]["question_type"], datalist["training"][1]["answers"]) == (["OTHER"], ["2.5 cm"])
    assert datalist["test"][0]["phrase_type"] == "para"
    assert "shares_images" not in datalist


def test_the_published_split_is_marked_and_warned_of_where_it_shares_images(tmp_path: Path) -> None:
    root = make(tmp_path, [record(1), record(2, "synpic2.jpg"), record(4, "synpic2.jpg")], [record(3)])
    assert codes(root) == {"shared_images": "warning", "repeated": "info", "counts": "info"}
    assert message(root, "shared_images").startswith("1 of 1 images of test questions also have training questions")
    assert message(root, "repeated").startswith("1 training questions repeat an earlier one word for word; 1 test")
    published = prepare(root, split="published")
    assert published["shares_images"] is True
    validate_vqa_datalist(published, "it")


def test_the_split_by_image_is_the_default_and_shares_none(tmp_path: Path) -> None:
    names = tuple(f"synpic{n}.jpg" for n in range(10))
    root = make(
        tmp_path,
        [record(n, name) for n, name in enumerate(names)],
        [record(10 + n, name) for n, name in enumerate(names)],
        names,
    )
    datalist = prepare(root, seed=3)
    validate_vqa_datalist(datalist, "it")
    assert datalist == prepare(root, seed=3, split="image-disjoint")
    assert "shares_images" not in datalist
    assert [len(datalist[part]) for part in PARTS] == [14, 2, 4]
    assert datalist["split"] == "by image, training/validation/test 0.7/0.1/0.2, seed 3"


def test_the_public_file_gives_the_split_by_phrase_type_and_a_framed_question_of_its_own(tmp_path: Path) -> None:
    rows = [
        public("0", question_frame="Does the chest look normal?", question_rephrase="Is it normal?"),
        public("1", phrase_type="para"),
        public("2", "synpic2.jpg", phrase_type="test_freeform", question_frame="never in training"),
        public("3", "synpic2.jpg", phrase_type="test_para"),
    ]
    (tmp_path / PUBLIC).write_text(json.dumps(rows))
    for name in ("synpic1.jpg", "synpic2.jpg"):
        picture(tmp_path / "VQA_RAD Image Folder", name)
    datalist = prepare(tmp_path, split="published")
    found = {part: [(row["case"], row["phrase_type"]) for row in datalist[part]] for part in PARTS}
    assert found == {
        "training": [("0", "freeform"), ("1", "para"), ("0-frame", "frame")],
        "validation": [],
        "test": [("2", "freeform"), ("3", "para")],
    }
    assert datalist["training"][2]["question"] == "Does the chest look normal?"
    assert datalist["training"][0]["image"] == "VQA_RAD Image Folder/synpic1.jpg"


def test_images_of_one_medpix_case_are_one_patient(tmp_path: Path) -> None:
    (tmp_path / PUBLIC).write_text(
        json.dumps([public("0"), public("1", "synpic2.jpg"), public("2", image_case_url="NULL")])
    )
    for name in ("synpic1.jpg", "synpic2.jpg"):
        picture(tmp_path, name)
    patients = [row["patient"] for row in prepare(tmp_path, split="published")["training"]]
    assert patients == ["case?id=48e1dd0e-8552-46ad-a354-5eb55be86de6"] * 2 + ["synpic1"]


def test_the_split_files_are_used_where_the_public_one_is_there_too(tmp_path: Path) -> None:
    root = make(tmp_path, [record(1)], [record(2)])
    (root / PUBLIC).write_text("[]")
    assert prepare(root, split="published")["split"] == "published (trainset.json and testset.json)"


def test_questions_about_absent_images_are_left_out_and_counted(tmp_path: Path) -> None:
    root = make(tmp_path, [record(1), record(2, "synpic9.jpg")], [])
    assert message(root, "missing_images") == "1 images of questions are not on disk: synpic9"
    datalist = prepare(root, split="published")
    assert len(datalist["training"]) == 1
    assert datalist["description"].endswith("1 questions; 1 about images not on disk left out")


@pytest.mark.parametrize(
    ("rows", "text"),
    [
        ([record(1), record(1)], "1 question ids stand more than once: 1"),
        ([{"qid": 1}], r"trainset\.json: \[0\]: no key 'image_name', 'question'"),
        (["x"], r"trainset\.json: \[0\]: no key 'qid'"),
        ([record(1, answer_type="yes/no")], "'answer_type' is 'yes/no'; expected CLOSED or OPEN"),
        ([record(1, answer=["no"])], r"\[0\]: 'answer' is \"\['no'\]\"; expected a text"),
        ({}, "holds a dict; expected a list"),
    ],
)
def test_wrong_questions_are_refused_with_file_and_place(tmp_path: Path, rows: Any, text: str) -> None:
    with pytest.raises(InputDataError, match=text):
        prepare(make(tmp_path, rows, []))


def test_a_lone_file_unreadable_json_and_damaged_images_are_errors(tmp_path: Path) -> None:
    root = make(tmp_path, [record(1)], [record(2)])
    (root / "images/synpic1.jpg").write_bytes(b"no picture")
    assert "synpic1.jpg cannot be read" in message(root, "unreadable_image")
    (root / "trainset.json").write_text("{")
    assert "trainset.json: not readable as a JSON file" in message(root, "questions")
    (root / "trainset.json").unlink()
    assert message(root, "no_questions") == "testset.json is there, but trainset.json is not; add it"
    assert codes(tmp_path / "images")["no_questions"] == "error"


def test_an_unknown_split_and_an_unknown_question_type_are_named(tmp_path: Path) -> None:
    root = make(tmp_path, [record(1, question_type="COLOUR")], [])
    assert message(root, "unknown_type") == "questions are of unknown types: COLOUR"
    with pytest.raises(RequestError, match="no split 'official'; expected published or image-disjoint"):
        prepare(root, split="official")


@pytest.mark.shared_data
def test_the_real_questions_are_read_and_all_test_images_occur_in_training(shared_data: Path) -> None:
    root = shared_data / "vqa" / "vqa_rad"
    assert codes(root) == {"shared_images": "warning", "repeated": "info", "counts": "info"}
    published = prepare(root, split="published")
    validate_vqa_datalist(published, "it")
    assert [len(published[part]) for part in PARTS] == [1463, 0, 240]
    images = {part: {row["image"] for row in published[part]} for part in PARTS}
    assert (len(images["training"]), len(images["test"])) == (150, 106)
    assert images["test"] < images["training"]
    rows = published["training"] + published["test"]
    assert {kind for row in rows for kind in row["question_type"]} == set(QUESTION_TYPES)
    disjoint = prepare(root)
    validate_vqa_datalist(disjoint, "it")
    assert sum(len(disjoint[part]) for part in PARTS) == len(rows)
