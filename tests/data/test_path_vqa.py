import json
import pickle
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from medpipe.data.path_vqa import PARTS, check, prepare
from medpipe.data.vqa_datalist import validate_vqa_datalist
from medpipe.errors import InputDataError


def record(number: int, image: str, **changes: Any) -> dict[str, Any]:
    """A record of the published pickles."""
    return {
        "img_id": image,
        "question_id": number,
        "sent": "is stroma present?",
        "label": {"yes": 1},
        "answer_type": "yes/no",
        "question_type": "is",
    } | changes


def make(root: Path, rows: dict[str, Any] | None = None) -> Path:
    content = rows or {part: [record(n, f"{part}_{n:04d}")] for n, part in enumerate(PARTS.values())}
    (root / "qas").mkdir()
    for n, part in enumerate(PARTS.values()):
        (root / "qas" / f"{part}_vqa.pkl").write_bytes(pickle.dumps(content[part], 3))
        (root / "images" / part).mkdir(parents=True)
        Image.new("RGB", (6, 5)).save(root / "images" / part / f"{part}_{n:04d}.jpg")
    return root


def test_the_published_parts_are_read_from_their_pickles(tmp_path: Path) -> None:
    root = make(tmp_path)
    assert {(finding.code, finding.severity) for finding in check(root)} == {("counts", "info")}
    datalist = prepare(root, split="published")
    validate_vqa_datalist(datalist, "it")
    assert [len(datalist[part]) for part in PARTS] == [1, 1, 1]
    assert datalist["test"][0] == {
        "image": "images/test/test_0002.jpg",
        "case": "2",
        "patient": "test_0002",
        "question": "is stroma present?",
        "answers": ["yes"],
        "answer_type": "closed",
        "question_type": ["is"],
    }
    assert "shares_images" not in datalist


@pytest.mark.parametrize("kind", ["other", "number"])
def test_all_but_yes_and_no_are_open(tmp_path: Path, kind: str) -> None:
    rows = {part: [] for part in PARTS.values()} | {
        "train": [record(0, "train_0000", answer_type=kind, label={"3": 1.0})]
    }
    assert prepare(make(tmp_path, rows), split="published")["training"][0]["answer_type"] == "open"


class Hostile:
    """Unpickling it makes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return open, (str(self.path), "w")


def test_a_tampered_pickle_is_an_error_and_runs_nothing(tmp_path: Path) -> None:
    root = make(tmp_path)
    (root / "qas/val_vqa.pkl").write_bytes(pickle.dumps([Hostile(tmp_path / "proof")]))
    with pytest.raises(InputDataError, match=r"val_vqa\.pkl: refused: it names '_?io\.open'"):
        prepare(root)
    assert not (tmp_path / "proof").exists()


@pytest.mark.parametrize(
    ("rows", "text"),
    [
        ({"a": 1}, r"train_vqa\.pkl: holds a dict; expected a list"),
        ([{"sent": "x"}], r"train_vqa\.pkl: \[0\]: no key 'img_id', 'question_id'"),
        ([record(0, "train_0000", label={})], r"'label' is '\{\}'; expected an object from answer to score"),
        ([record(0, "train_0000"), record(0, "train_0000")], "1 question ids stand more than once: 0"),
    ],
)
def test_wrong_questions_are_refused_with_file_and_place(tmp_path: Path, rows: Any, text: str) -> None:
    with pytest.raises(InputDataError, match=text):
        prepare(make(tmp_path, {"train": rows, "val": [], "test": []}))


def test_a_missing_pickle_missing_images_and_shared_ones_are_named(tmp_path: Path) -> None:
    rows = {"train": [record(0, "train_0000")], "val": [record(1, "train_0000")], "test": [record(2, "test_9999")]}
    root = make(tmp_path, rows)
    found = {finding.code: finding.message for finding in check(root)}
    assert found["missing_images"] == "1 images of questions are not on disk: test_9999"
    assert "images are in two parts" in found["shared_images"]
    assert prepare(root, split="published")["shares_images"] is True
    (root / "qas/test_vqa.pkl").unlink()
    assert "no qas/test_vqa.pkl" in {finding.code: finding.message for finding in check(root)}["no_questions"]


def mmq(number: int, image: str, **changes: Any) -> dict[str, Any]:
    """A record of the files that MMQ's authors made."""
    return {
        "qid": number,
        "image_name": f"{image}.jpg",
        "question": "is stroma present?",
        "answer": "yes",
        "answer_type": "yes/no",
        "question_type": "is",
    } | changes


def make_mmq(root: Path, **rows: Any) -> Path:
    for n, part in enumerate(PARTS.values()):
        content = rows.get(part, [mmq(n, f"{part}_{n:04d}")])
        (root / f"{part}set.json").write_text(json.dumps(content))
        (root / "images" / part).mkdir(parents=True)
        Image.new("RGB", (6, 5)).save(root / "images" / part / f"{part}_{n:04d}.jpg")
    return root


def test_the_files_of_mmq_give_the_same_datalist_as_the_pickles(tmp_path: Path) -> None:
    for name in ("pickles", "json"):
        (tmp_path / name).mkdir()
    of_pickles = prepare(make(tmp_path / "pickles"), split="published")
    of_json = prepare(make_mmq(tmp_path / "json"), split="published")
    assert all(of_json[part] == of_pickles[part] for part in PARTS)
    assert of_json["split"] == "published (MMQ's files)"


@pytest.mark.parametrize(("kind", "expected"), [("CLOSED", "closed"), ("OPEN", "open"), ("number", "open")])
def test_the_kind_of_an_answer_may_be_spelt_as_in_vqa_rad(tmp_path: Path, kind: str, expected: str) -> None:
    root = make_mmq(tmp_path, train=[mmq(0, "train_0000", answer_type=kind, answer=3)])
    (entry,) = prepare(root, split="published")["training"]
    assert (entry["answer_type"], entry["answers"]) == (expected, ["3"])


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ({"train": {}}, "holds a dict; expected a list of questions"),
        ({"train": [{"qid": 1}]}, "no key 'image_name', 'question'"),
        ({"train": [mmq(0, "train_0000", answer=["yes"])]}, "'answer' is .*expected a text"),
    ],
)
def test_wrong_files_of_mmq_are_named(tmp_path: Path, rows: Any, message: str) -> None:
    with pytest.raises(InputDataError, match=message):
        prepare(make_mmq(tmp_path, **rows))


def test_a_missing_or_damaged_file_of_mmq_is_named(tmp_path: Path) -> None:
    root = make_mmq(tmp_path)
    (root / "valset.json").write_text("[")
    with pytest.raises(InputDataError, match=r"valset\.json: not readable as a JSON file"):
        prepare(root)
    (root / "valset.json").unlink()
    with pytest.raises(InputDataError, match=r"no valset\.json"):
        prepare(root)
