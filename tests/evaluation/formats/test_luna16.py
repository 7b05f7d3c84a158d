from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from medpipe.errors import InputDataError
from medpipe.evaluation.formats.luna16 import read_luna16_candidates, read_luna16_truth

HEAD = "seriesuid,coordX,coordY,coordZ,diameter_mm\n"
NODULES = HEAD + "1.2,-10.5,20,300,8\n1.2,1,2,3,4.5\n1.9,1,2,3,4\n"
EXCLUDED = HEAD + "1.2,5,6,7,-1\n1.3,5,6,7,12\n"
CANDIDATES = "seriesuid,coordX,coordY,coordZ,probability\n1.2,-10,21,300,0.9\n1.3,0,0,0,-2.5\n1.2,0,0,0,0.1\n"


def stored(folder: Path, **files: str) -> Path:
    given = {"annotations": NODULES, "annotations_excluded": EXCLUDED, "seriesuids": "1.2\n1.3\n1.4\n"} | files
    for name, text in given.items():
        (folder / f"{name}.csv").write_text(text)
    return folder / "annotations.csv"


def test_nodules_are_spheres_and_excluded_findings_regions_to_ignore(tmp_path) -> None:
    cases = read_luna16_truth(stored(tmp_path))
    assert [(case.case, case.diseased, case.patient) for case in cases] == [
        *(("1.2", True, "1.2"), ("1.3", False, "1.3"), ("1.4", False, "1.4"))
    ]
    assert [(lesion.sphere, lesion.ignore) for lesion in cases[0].lesions or []] == [
        *(((-10.5, 20, 300, 4), False), ((1, 2, 3, 2.25), False), ((5, 6, 7, 5), True))
    ]
    assert [(lesion.sphere, lesion.ignore) for lesion in cases[1].lesions or []] == [((5, 6, 7, 6), True)]
    assert cases[2].lesions == []


def test_tables_may_lie_anywhere_and_findings_need_not_be_excluded(tmp_path) -> None:
    annotations = stored(tmp_path)
    (tmp_path / "fold.csv").write_text("seriesuid\n1.4\n1.2\n")
    (tmp_path / "annotations_excluded.csv").rename(tmp_path / "other.csv")
    cases = read_luna16_truth(annotations, series=tmp_path / "fold.csv")
    assert [(case.case, len(case.lesions or [])) for case in cases] == [("1.4", 0), ("1.2", 2)]
    cases = read_luna16_truth(annotations, tmp_path / "other.csv", tmp_path / "fold.csv")
    assert [len(case.lesions or []) for case in cases] == [0, 3]


def test_candidates_are_points_in_space(tmp_path) -> None:
    (tmp_path / "c.csv").write_text(CANDIDATES)
    cases = read_luna16_candidates(tmp_path / "c.csv")
    assert [(case.case, case.score) for case in cases] == [("1.2", None), ("1.3", None)]
    assert [(mark.x, mark.y, mark.z, mark.rating) for mark in cases[0].marks] == [(-10, 21, 300, 0.9), (0, 0, 0, 0.1)]
    assert cases[1].marks[0].rating == -2.5


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"annotations": ""}, "annotations.csv' is empty"),
        ({"annotations": "seriesuid,x\n1.2,3\n"}, "annotations.csv' lacks the column 'coordX'"),
        ({"annotations": NODULES + "1.2,1,2,x,4\n"}, "annotations.csv', line 5, column 'coordZ': 'x' must be a finite"),
        ({"annotations_excluded": EXCLUDED + "1.2,1,2,3,nan\n"}, "excluded.csv', line 4, column 'diameter_mm': 'nan'"),
        ({"seriesuids": "\n"}, "seriesuids.csv' lists no scans"),
        ({"seriesuids": "1.2\n1.3\n1.2\n"}, "seriesuids.csv', line 3: scan '1.2' stands in line 1 too"),
    ],
)
def test_wrong_truth_is_named_with_line_and_column(tmp_path, files: dict[str, str], message: str) -> None:
    with pytest.raises(InputDataError, match=message):
        read_luna16_truth(stored(tmp_path, **files))


def test_without_a_list_of_scans_the_remedy_is_told(tmp_path) -> None:
    annotations = stored(tmp_path)
    (tmp_path / "seriesuids.csv").unlink()
    with pytest.raises(InputDataError, match="seriesuids.csv' cannot be read .* list of all scans"):
        read_luna16_truth(annotations)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("1.2,-10,21,300,0.9", "line 5: the same candidate stands in line 2"),
        ("1.2,1,2,3,inf", "line 5, column 'probability': 'inf' must be a finite number"),
        ("1.2,1,2,3,likely", "line 5, column 'probability': 'likely' must be a finite number"),
        ("1.2,1,2,,0.4", "line 5, column 'coordZ': '' must be a finite number"),
        ("1.2,1,2,3", "line 5: 4 fields, but 5 columns"),
    ],
)
def test_wrong_candidates_are_named_with_line_and_column(tmp_path, row: str, message: str) -> None:
    (tmp_path / "c.csv").write_text(CANDIDATES + row + "\n")
    with pytest.raises(InputDataError, match=message):
        read_luna16_candidates(tmp_path / "c.csv")


@settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, len(CANDIDATES)), st.integers(0, 30), st.binary(max_size=12))
def test_mutated_tables_are_read_or_refused_with_a_reason(tmp_path, start: int, length: int, new: bytes) -> None:
    for name, text, read in (
        ("c.csv", CANDIDATES, read_luna16_candidates),
        ("annotations.csv", NODULES, read_luna16_truth),
    ):
        stored(tmp_path)
        content = text.encode()
        (tmp_path / name).write_bytes(content[:start] + new + content[start + length :])
        try:
            found: object = read(tmp_path / name)
        except InputDataError as error:
            found = str(error)
        assert isinstance(found, list) or name in str(found)
