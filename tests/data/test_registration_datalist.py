import copy
import json
from pathlib import Path
from typing import Any

import pytest

from medpipe.data.registration_datalist import (
    entry_below,
    load_registration_datalist,
    validate_registration_datalist,
    write_registration_datalist,
)
from medpipe.errors import InputDataError


def entry(case: str, subject: str = "") -> dict[str, str]:
    return {"case": case, "subject": subject or case, "image": f"{case}.nii", "modality": "CT"}


def datalist(**sections: Any) -> dict[str, Any]:
    head = {"name": "x", "description": "", "generated": True, "split": "", "labels": {"1": "liver"}, "pairs": {}}
    return {**head, "training": [], "validation": [], "test": [], **sections}


def test_an_entry_is_placed_below_a_folder_with_all_it_names() -> None:
    known = entry("a") | {"label": "b.h5#7/segmentation"}
    placed = entry_below(known, "/data")
    assert placed == {**known, "image": "/data/a.nii", "label": "/data/b.h5#7/segmentation"}


def test_it_is_read_back_as_written_with_keys_of_others(tmp_path: Path) -> None:
    known = datalist(training=[entry("a") | {"weight": 3}], more="kept")
    write_registration_datalist(known, tmp_path / "d.json")
    assert load_registration_datalist(tmp_path / "d.json") == known
    (tmp_path / "d.json").write_text("{")
    with pytest.raises(InputDataError, match="not readable as a JSON file"):
        load_registration_datalist(tmp_path / "d.json")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d.pop("labels"), "the key 'labels' is missing"),
        (lambda d: d.update(labels={"liver": "1"}), "'labels' has the key 'liver'; expected whole numbers"),
        (lambda d: d.update(labels={"0": "background"}), "'labels' has the key '0'"),
        (lambda d: d["training"].append(3), r"training\[2\]: found 3; expected an object"),
        (lambda d: d["training"][1].pop("image"), r"training\[1\] \(case 'b'\): the key 'image' is missing"),
        (lambda d: d["training"][1].update(subject=""), r"training\[1\] \(case 'b'\): 'subject' is empty"),
        (lambda d: d["training"][0].update(label="../x.nii"), r"\(case 'a'\): 'label' is '../x.nii'; expected a path"),
        (lambda d: d["training"][0].update(points="/x.csv"), "'points' is '/x.csv'; expected a path below"),
        (lambda d: d["test"].append(entry("a", "z")), r"test\[1\] \(case 'a'\): this case is listed before"),
        (lambda d: d["test"].append(entry("c2", "a")), r"training and test share subjects \(a\)"),
        (lambda d: d["pairs"].update(trainig={}), "'pairs' has a rule for trainig"),
        (
            lambda d: d["pairs"].update(test={"how": "some"}),
            r"pairs.test: 'how' is 'some'; expected all, atlas, listed",
        ),
        (lambda d: d["pairs"].update(test={"how": "all", "distinct": 1}), "pairs.test: 'distinct' is 1"),
        (lambda d: d["pairs"].update(test={"how": "atlas", "fixed": "a"}), r"pairs.test.fixed names the case 'a'"),
        (lambda d: d["pairs"].update(test={"how": "listed", "pairs": [["c"]]}), r"pairs.test.pairs\[0\] is"),
        (lambda d: d["pairs"].update(test={"how": "listed", "pairs": [["c", "c"]]}), "pairs 'c' with itself"),
        (lambda d: d["pairs"].update(test={"how": "listed", "pairs": [["c", "cc"]]}), "'cc'.*did you mean c?"),
    ],
)
def test_what_is_wrong_is_named_with_entry_and_key(change: Any, message: str) -> None:
    wrong = copy.deepcopy(datalist(training=[entry("a"), entry("b")], test=[entry("c")]))
    validate_registration_datalist(wrong, "list.json")
    change(wrong)
    with pytest.raises(InputDataError, match=message):
        validate_registration_datalist(json.loads(json.dumps(wrong)), "list.json")
