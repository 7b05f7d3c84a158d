from __future__ import annotations

import copy
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from medpipe.errors import InputDataError
from medpipe.evaluation.formats.froc_json import read_froc_json, write_froc_json
from medpipe.metrics.reader_study import ReaderStudy

SMALL = {
    "format": "froc-json/1",
    "type": "FROC",
    "n_nondiseased": 2,
    "n_diseased": 2,
    "modalities": ["ct", "mr"],
    "readers": ["a"],
    "lesions_per_case": [2, 1],
    "lesion_weights": [[0.6, 0.4], [1]],
    "NL": [[[[0, 2], [0, 1], [3, 4]]], [[]]],
    "LL": [[[[0, 0, 3]]], [[[1, 0, 2.5], [0, 1, 1]]]],
}
ROC = {
    **SMALL,
    "type": "ROC",
    "lesions_per_case": [1, 1],
    "lesion_weights": [[1], [1]],
    "NL": [[[[0, 2], [1, 1]]], [[[0, 3], [1, 3]]]],
    "LL": [[[[0, 0, 3], [1, 0, 3]]], [[[0, 0, 3], [1, 0, 1]]]],
}


def stored(folder: Path, content: object) -> Path:
    path = folder / "study.json"
    path.write_text(json.dumps(content))
    return path


def test_indices_are_counted_from_zero_and_what_is_absent_is_unmarked(tmp_path) -> None:
    study = read_froc_json(stored(tmp_path, SMALL))
    ct, mr = study.readings[0][0], study.readings[1][0]
    assert (study.modalities, study.readers) == (("ct", "mr"), ("a",))
    assert ct.highest_nl.tolist() == [2, -np.inf, -np.inf, 4]
    assert ct.lesion_rating.tolist() == [3, -np.inf, -np.inf]
    assert mr.lesion_rating.tolist() == [-np.inf, 1, 2.5]
    assert mr.nl_rating.size == 0
    assert ct.lesion_weights.tolist() == [0.6, 0.4, 1]
    assert read_froc_json(stored(tmp_path, ROC)).is_roc


def test_a_study_is_read_as_it_was_written(tmp_path, study, roc_study, assert_same) -> None:
    path = tmp_path / "fed.json"
    write_froc_json(path, study, title="T", source="S", licence_note="L")
    assert_same(read_froc_json(path), study)
    head = json.loads(path.read_text())
    assert [head[key] for key in ("format", "id", "name", "type", "source", "licence_note")] == [
        *("froc-json/1", "fed", "T", "FROC", "S", "L")
    ]
    write_froc_json(path, roc_study)
    assert json.loads(path.read_text())["type"] == "ROC"
    assert_same(read_froc_json(path), roc_study, names=False)


@pytest.mark.shared_data
@pytest.mark.parametrize(("name", "figure"), [("vandyke_roc", "Wilcoxon"), ("fed_froc", "wAFROC")])
def test_published_studies_have_their_figures_of_merit(shared_data, name: str, figure: str) -> None:
    study = read_froc_json(shared_data / "froc" / f"{name}.json")
    reference = json.loads((shared_data / "froc" / f"{name}.reference.json").read_text())
    expected = reference["computed"]["figures_of_merit"][figure]
    assert study.figures(figure) == pytest.approx(np.array(expected), abs=1e-12)
    assert study.is_roc is (figure == "Wilcoxon")


def changed(*keys: object, to: object = None, start: dict | None = None) -> object:
    """The small study with the value at ``keys`` replaced; without a value it is removed."""
    content = copy.deepcopy(SMALL if start is None else start)
    place = content
    for key in keys[:-1]:
        place = place[key]  # type: ignore[index]
    if to is None:
        del place[keys[-1]]  # type: ignore[arg-type]
    else:
        place[keys[-1]] = to  # type: ignore[index]
    return content


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([], "a list of 0, expected an object with the key 'format'"),
        (changed("format", to="froc-json/2"), "format: 'froc-json/2', expected 'froc-json/1'"),
        (changed("type", to="LROC"), "type: 'LROC', expected 'ROC' or 'FROC'"),
        (changed("NL"), "the key 'NL' is missing"),
        (changed("n_diseased", to=-1), "n_diseased: found -1, expected a whole number"),
        (changed("n_nondiseased", to=10**12), "n_nondiseased: found 1000000000000, expected a whole number from 0 to"),
        (changed("modalities", 1, to="ct"), "modality 'ct' stands twice"),
        (changed("modalities", 0, to=""), r"modalities\[0\]: found '', expected a name"),
        (changed("readers", to=[]), "a list of 1, expected 0|no reader"),
        (changed("lesions_per_case", 1, to=0), r"lesions_per_case\[1\]: 0; a diseased case has at least one"),
        (changed("lesion_weights", 0, to=[0.6]), r"lesion_weights\[0\]: a list of 1, expected 2"),
        (
            changed("lesion_weights", 0, to=[0.6, 0.3]),
            r"lesion_weights\[0\]: the lesion weights .* sum to 0.9, expected 1",
        ),
        (changed("lesion_weights", 0, to=[1.4, -0.4]), "weight -0.4 of case '2' must be finite, not negative"),
        (changed("NL", 0, 0, 1, to=[4, 1]), r"NL\[0\]\[0\]\[1\]\[0\]: found 4, expected a whole number from 0 to 3"),
        (changed("NL", 0, 0, 1, to=[0.5, 1]), "found 0.5, expected a whole number"),
        (changed("NL", 0, 0, 1, to=[1, "4"]), r"NL\[0\]\[0\]\[1\]\[1\]: found '4', expected a number without quotes"),
        (changed("NL", 0, 0, 1, to=[1, True]), "found True, expected a number"),
        (changed("NL", 0, 0, 1, to=[1]), r"NL\[0\]\[0\]\[1\]: a list of 1, expected 2"),
        (changed("NL", 0, to=[[], []]), r"NL\[0\]: a list of 2, expected 1"),
        (changed("LL", 0, 0, 0, to=[2, 0, 3]), r"LL\[0\]\[0\]\[0\]\[0\]: found 2, expected a whole number from 0 to 1"),
        (changed("LL", 0, 0, 0, to=[1, 1, 3]), r"LL\[0\]\[0\]\[0\]\[1\]: found 1, expected a whole number from 0 to 0"),
        (changed("LL", 1, 0, 1, to=[1, 0, 9]), r"LL\[1\]\[0\]\[1\]: .* rates lesion '0' of case '3' twice"),
        (changed("NL", 0, 0, 1, start=ROC), "no rating in modality 'ct' for 1 of 4 cases \\(first: '1'\\)"),
        (changed("NL", 0, 0, 1, to=[2, 1], start=ROC), "case '2' is diseased; in ROC data"),
        (changed("NL", 0, 0, 1, to=[0, 1], start=ROC), "rates case '0' twice"),
        ({**SMALL, "type": "ROC"}, "case '2' has 2 lesions; ROC data have one"),
        ({**SMALL, "case_ids": ["a", "b", "c", "c"]}, "case 'c' stands twice"),
        ({**SMALL, "case_ids": ["a"]}, "case_ids: a list of 1, expected 4"),
        (
            {
                **SMALL,
                "n_diseased": 0,
                "lesions_per_case": [],
                "lesion_weights": [],
                "LL": [[[]], [[]]],
                "NL": [[[]], [[]]],
            },
            "has a lesion",
        ),
    ],
)
def test_what_is_wrong_is_named_with_its_key(tmp_path, content: object, message: str) -> None:
    with pytest.raises(InputDataError, match=message) as error:
        read_froc_json(stored(tmp_path, content))
    assert "study.json" in str(error.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "cannot be read as JSON"),
        ("[" * 100_000, "cannot be read as JSON"),
        (json.dumps(SMALL).replace("2.5", "NaN"), "NaN is no finite number"),
        (json.dumps(SMALL).replace("2.5", "-Infinity"), "-Infinity is no finite number"),
        (json.dumps(SMALL).replace("2.5", "1e999"), "beyond all bounds"),
        (json.dumps(SMALL).replace("2.5", "9" * 400), "beyond all bounds"),
        (json.dumps(SMALL).replace("2.5", "9" * 9000), "cannot be read as JSON"),
    ],
)
def test_text_that_is_no_sound_json_is_refused(tmp_path, text: str, message: str) -> None:
    path = tmp_path / "study.json"
    path.write_text(text)
    with pytest.raises(InputDataError, match=message):
        read_froc_json(path)


def test_a_missing_file_is_named(tmp_path) -> None:
    with pytest.raises(InputDataError, match=r"none.json' does not exist"):
        read_froc_json(tmp_path / "none.json")


def test_a_file_beyond_all_sizes_is_not_even_opened(tmp_path) -> None:
    path = tmp_path / "study.json"
    with path.open("wb") as stream:
        stream.truncate((1 << 30) + 1)  # takes no room on the disk
    with pytest.raises(InputDataError, match="study.json' has 1073741825 bytes; expected a JSON file of at most"):
        read_froc_json(path)


anything = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=3)
    | st.sampled_from(["ROC", "ct", -1, 0, 1e300]),
    lambda part: st.lists(part, max_size=4) | st.dictionaries(st.sampled_from(sorted(SMALL)), part, max_size=4),
    max_leaves=6,
)


@settings(deadline=None, max_examples=400, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_a_mutated_file_is_read_or_refused_with_a_reason(tmp_path, data: st.DataObject) -> None:
    content = copy.deepcopy(data.draw(st.sampled_from([SMALL, ROC])))
    for _ in range(data.draw(st.integers(1, 3))):
        place, key = content, data.draw(st.sampled_from(sorted(content)))
        while isinstance(place[key], list) and place[key] and data.draw(st.booleans()):
            place, key = place[key], data.draw(st.integers(0, len(place[key]) - 1))
        place[key] = data.draw(anything)
    try:
        found: object = read_froc_json(stored(tmp_path, content))
    except InputDataError as error:
        found = str(error)
    assert isinstance(found, ReaderStudy) or "study.json" in str(found)
