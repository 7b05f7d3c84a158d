from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from medpipe.data.cases import check_classes, datalist_cases, datalist_entries
from medpipe.data.datalist import write_datalist
from medpipe.errors import InputDataError


@pytest.fixture
def root(tmp_path) -> Path:
    entries = []
    for number, patient in enumerate(("secret-1", "secret-2", "secret-1")):
        (tmp_path / "images").mkdir(exist_ok=True)
        Image.fromarray(np.eye(70, dtype=np.uint8)).save(tmp_path / "images" / f"{number}.png")
        entry = {"image": f"images/{number}.png", "case": f"c{number}", "patient": patient, "label": 0}
        entries.append({**entry, "localized": True, "rows": 70, "columns": 70, "sex": "F"})
    head = {"name": "n", "description": "d", "generated": True, "split": "s", "labels": {"0": "no", "1": "yes"}}
    sections = {"training": [], "validation": [], "test": entries}
    write_datalist({**head, "tensorImageSize": "2D", **sections}, tmp_path / "d.json")
    return tmp_path


def test_entries_have_absolute_images(root) -> None:
    items = datalist_entries(root / "d.json", root, "test")
    assert [item["image"] for item in items] == [str(root / f"images/{k}.png") for k in range(3)]


def test_cases_are_pending_without_truth_or_patient_id(root) -> None:
    cases = datalist_cases(root / "d.json", root, "test")
    assert [(case["case"], case["file"], case["patient"]) for case in cases] == [
        ("c0", "images/0.png", "P00001"),
        ("c1", "images/1.png", "P00002"),
        ("c2", "images/2.png", "P00001"),
    ]
    assert all(case["status"] == "pending" and case["sex"] == "F" for case in cases)
    assert "label" not in cases[0]
    assert "secret" not in repr(cases)


def test_an_empty_section_and_a_missing_image_are_named(root) -> None:
    with pytest.raises(InputDataError, match="no images in its section 'training'"):
        datalist_entries(root / "d.json", root, "training")
    (root / "images" / "1.png").unlink()
    with pytest.raises(InputDataError, match=r"1 of 3 images .* \(first: .*1.png\)"):
        datalist_entries(root / "d.json", root, "test")


@pytest.mark.parametrize("name", ["../../x", "/etc/x", "a/b", ".."])
def test_a_case_that_would_leave_its_folder_is_refused(root, name) -> None:
    import json

    content = json.loads((root / "d.json").read_text())
    content["test"][0]["case"] = name
    (root / "d.json").write_text(json.dumps(content))
    with pytest.raises(InputDataError, match="cannot name a folder"):
        datalist_cases(root / "d.json", root, "test")


@pytest.mark.parametrize(
    ("found", "asked", "message"),
    [
        (["A", "B"], None, "has 2 labels; expected one: prepare it with --label NAME"),
        (None, ["A", "B"], "has one label; expected 2 classes: prepare it with --label all"),
        (["A", "B"], ["B", "A"], r"has the classes A, B; expected B, A: give classes=\[...\]"),
    ],
)
def test_a_datalist_of_other_labels_is_refused_with_the_remedy(found, asked, message) -> None:
    content = {} if found is None else {"classes": found}
    with pytest.raises(InputDataError, match=message):
        check_classes(content, asked, "d.json")
    check_classes(content, found, "d.json")
