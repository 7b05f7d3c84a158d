from __future__ import annotations

import json
import warnings
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import openpyxl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from medpipe.errors import InputDataError
from medpipe.evaluation.formats.rjafroc_workbook import read_workbook, write_workbook
from medpipe.metrics.reader_study import ReaderStudy

NEWER = ("ReaderID", "ModalityID", "Paradigm")
SMALL: dict[str, list[tuple[Any, ...]]] = {
    "TRUTH": [
        ("CaseID", "LesionID", "Weight", *NEWER),
        (1, 0, 0, "a,b", "ct,mr", "FROC"),
        (7, 1, 0.6, "a,b", "ct,mr", "FCTRL"),
        (7, 2, 0.4, "a,b", "ct,mr", None),
        (3, 1, 0, "a,b", "ct,mr", None),
    ],
    "NL": [
        ("ReaderID", "ModalityID", "CaseID", "NL_Rating"),
        ("a", "ct", 1, 2.5),
        ("a", "ct", 1, 1),
        ("b", "ct", 7, 3),
        ("b", "mr", 1, 3),
    ],
    "LL": [
        ("ReaderID", "ModalityID", "CaseID", "LesionID", "LL_Rating"),
        ("a", "ct", 7, 2, 4),
        ("a", "mr", 3, 1, 5),
        ("a", "mr", 7, 1, 2),
    ],
}
ROC: dict[str, list[tuple[Any, ...]]] = {
    "TRUTH": [
        ("CaseID", "LesionID", "Weight", *NEWER),
        (1, 0, 0, "a,b", "ct", "ROC"),
        (2, 1, 0, "a,b", "ct", "CROSSED"),
    ],
    "FP": [("ReaderID", "ModalityID", "CaseID", "FP_Rating"), ("a", "ct", 1, 2), ("b", "ct", 1, 3)],
    "TP": [("ReaderID", "ModalityID", "CaseID", "LesionID", "TP_Rating"), ("a", "ct", 2, 1, 4), ("b", "ct", 2, 1, 3)],
}


def stored(folder: Path, sheets: dict[str, list[tuple[Any, ...]]]) -> Path:
    book = openpyxl.Workbook()
    book.remove(book.active)
    for title, rows in sheets.items():
        sheet = book.create_sheet(title)
        for row in rows:
            sheet.append(row)
    path = folder / "study.xlsx"
    book.save(path)
    return path


def older(sheets: dict[str, list[tuple[Any, ...]]]) -> dict[str, list[tuple[Any, ...]]]:
    return {**sheets, "TRUTH": [row[:3] for row in sheets["TRUTH"]]}


def changed(sheet: str, row: int, column: int, value: Any, start: dict | None = None) -> dict:
    """The small study with one cell replaced; row and column as Excel counts them."""
    sheets = {title: list(rows) for title, rows in (start or SMALL).items()}
    cells = list(sheets[sheet][row - 1])
    cells[column - 1] = value
    sheets[sheet][row - 1] = tuple(cells)
    return sheets


def added(sheet: str, *row: Any, start: dict | None = None) -> dict:
    sheets = start or SMALL
    return {**sheets, sheet: [*sheets[sheet], row]}


def test_newer_form_states_who_has_read_what(tmp_path) -> None:
    study = read_workbook(stored(tmp_path, SMALL))
    assert (study.modalities, study.readers) == (("ct", "mr"), ("a", "b"))
    (ct_a, ct_b), (mr_a, mr_b) = study.readings
    assert ct_a.case_ids == ("1", "7", "3")
    assert ct_a.highest_nl.tolist() == [2.5, -np.inf, -np.inf]
    assert ct_b.highest_nl.tolist() == [-np.inf, 3, -np.inf]
    assert ct_a.lesion_rating.tolist() == [-np.inf, 4, -np.inf]
    assert mr_a.lesion_rating.tolist() == [2, -np.inf, 5]
    assert mr_b.ll_rating.size == 0
    assert ct_a.lesion_weights.tolist() == [0.6, 0.4, 1]


def test_older_form_takes_names_from_the_marks(tmp_path) -> None:
    sheets = older(
        {title: [tuple(10 if cell == "ct" else cell for cell in row) for row in rows] for title, rows in SMALL.items()}
    )
    study = read_workbook(stored(tmp_path, sheets))
    assert (study.modalities, study.readers) == (("10", "mr"), ("a", "b"))
    assert study.n_lesions == 3


def test_numbers_stored_as_text_and_names_stored_as_numbers_are_read(tmp_path) -> None:
    sheets = changed("LL", 2, 5, " 4.5 ", changed("LL", 2, 3, "7", changed("LL", 2, 4, "2.0")))
    assert read_workbook(stored(tmp_path, sheets)).readings[0][0].ll_rating.tolist() == [4.5]


def test_headers_may_have_blanks_and_cells_without_a_header_do_not_matter(tmp_path) -> None:
    sheets = {
        **SMALL,
        "NL": [
            ("Reader_ID", "modality id", "CaseID", "FP_Rating", None, 0.3),
            *[(*row, None, "x") for row in SMALL["NL"][1:]],
        ],
    }
    sheets["NL"].append((None, None, None, None, None, "=SUM(A1)"))
    assert read_workbook(stored(tmp_path, sheets)).readings[0][0].nl_rating.tolist() == [2.5, 1]


def test_roc_data_have_false_positives_on_healthy_and_true_ones_on_diseased_cases(tmp_path) -> None:
    study = read_workbook(stored(tmp_path, ROC))
    assert study.is_roc
    assert [reading.highest_rating.tolist() for reading in study.readings[0]] == [[2, 4], [3, 3]]


def test_formulas_are_not_evaluated(tmp_path) -> None:
    with pytest.raises(InputDataError, match="sheet NL, row 2, column NL_Rating: empty"):
        read_workbook(stored(tmp_path, changed("NL", 2, 4, "=1+1")))


def test_a_study_is_read_as_it_was_written(tmp_path, numbered_study, roc_study, assert_same) -> None:
    write_workbook(tmp_path / "a.xlsx", numbered_study)
    assert_same(read_workbook(tmp_path / "a.xlsx"), numbered_study)
    write_workbook(tmp_path / "b.xlsx", roc_study)
    read = read_workbook(tmp_path / "b.xlsx")
    assert read.is_roc
    assert_same(read, roc_study, names=False)


def test_cases_with_other_names_are_numbered(tmp_path, study, assert_same) -> None:
    named = ReaderStudy(("film", "=1+1"), ("r1", "=r2", "r3"), study.readings)
    write_workbook(tmp_path / "a.xlsx", named)
    assert_same(read_workbook(tmp_path / "a.xlsx"), named, names=False)
    sheet = openpyxl.load_workbook(tmp_path / "a.xlsx")["TRUTH"]
    assert [row[0] for row in sheet.iter_rows(min_row=2, max_row=5, values_only=True)] == [1, 2, 3, 4]
    assert [row[6] for row in sheet.iter_rows(min_row=2, max_row=5, values_only=True)] == ["h1", "h 2", "=h3", "ü4"]
    assert all(cell.data_type != "f" for row in sheet.iter_rows() for cell in row)


def test_names_with_commas_cannot_be_written(tmp_path, study) -> None:
    with pytest.raises(InputDataError, match="modality 'film, old': .* no commas"):
        write_workbook(tmp_path / "a.xlsx", study)
    assert not list(tmp_path.iterdir())


# What is wrong


@pytest.mark.parametrize(
    ("sheets", "message"),
    [
        (
            changed("TRUTH", 1, 3, "Share"),
            "sheet TRUTH, row 1: 0 columns Weight, expected one; found CaseID, LesionID, Share",
        ),
        (changed("LL", 1, 5, None), "sheet LL, row 1: 0 columns rating"),
        (changed("LL", 1, 5, "CaseID"), "sheet LL, row 1: 2 columns CaseID"),
        ({**SMALL, "LL": []}, "sheet LL, row 1: 0 columns ReaderID, expected one; found nothing"),
        (
            {"TRUTH": SMALL["TRUTH"], "NL": SMALL["NL"]},
            "0 sheets named LL or TP, expected one; its sheets are TRUTH, NL",
        ),
        ({**SMALL, "FP": SMALL["NL"]}, "2 sheets named NL or FP"),
        ({**SMALL, "TRUTH": SMALL["TRUTH"][:1]}, "0 cells are filled, expected two"),
        ({**older(SMALL), "TRUTH": [("CaseID", "LesionID", "Weight")]}, "sheet TRUTH: no case"),
        ({**older(SMALL), "NL": SMALL["NL"][:1], "LL": SMALL["LL"][:1]}, "no mark, and so no modality"),
        (changed("TRUTH", 1, 4, None), "of ReaderID, ModalityID and Paradigm only modalityid, paradigm"),
        (changed("TRUTH", 2, 6, "LROC"), "sheet TRUTH, row 2, column Paradigm: LROC data are not read"),
        (
            changed("TRUTH", 3, 6, "split-plot-a"),
            "sheet TRUTH, row 3, column Paradigm: design SPLIT-PLOT-A is not read",
        ),
        (changed("TRUTH", 3, 1, "6a"), "sheet TRUTH, row 3, column CaseID: '6a' must be a finite number"),
        (changed("TRUTH", 3, 1, True), "sheet TRUTH, row 3, column CaseID: 'True' must be a finite number"),
        (changed("TRUTH", 3, 2, 0), "sheet TRUTH, row 4, column LesionID: case 7 has rows with and without a lesion"),
        (changed("TRUTH", 3, 2, -1), "sheet TRUTH, row 3, column LesionID: -1; expected 1, 2, ..., or 0"),
        (changed("TRUTH", 4, 2, 1), "sheet TRUTH, row 4, column LesionID: lesion 1 of case 7 stands twice"),
        (changed("TRUTH", 3, 3, 0.5), "row 3, column Weight: the lesion weights of case '7' sum to 0.9, expected 1"),
        (changed("TRUTH", 3, 3, -0.6), "row 3, column Weight: weight -0.6 of case '7' must be finite, not negative"),
        (changed("TRUTH", 3, 4, "a"), "sheet TRUTH, row 3, column ReaderID: 'a', but the first row has 'a,b'"),
        (changed("TRUTH", 3, 4, "a,"), "sheet TRUTH, row 3, column ReaderID: 'a,'; expected different names"),
        (changed("TRUTH", 3, 5, 1.2), "sheet TRUTH, row 3, column ModalityID: '1.2', but .*format lists as text"),
        (changed("TRUTH", 2, 1, None), "sheet TRUTH, row 2, column CaseID: empty; fill it"),
        (changed("NL", 3, 3, 8), "sheet NL, row 3, column CaseID: case '8' is not in the truth"),
        (changed("NL", 3, 1, "c"), "sheet NL, row 3, column ReaderID: reader 'c' is not among 'a', 'b'"),
        (changed("NL", 3, 2, "us"), "sheet NL, row 3, column ModalityID: modality 'us' is not among 'ct', 'mr'"),
        (changed("NL", 3, 4, "high"), "sheet NL, row 3, column NL_Rating: 'high' must be a finite number"),
        (changed("NL", 3, 4, "nan"), "sheet NL, row 3, column NL_Rating: 'nan' must be a finite number"),
        (changed("NL", 3, 4, "-inf"), "sheet NL, row 3, column NL_Rating: '-inf' must be a finite number"),
        (
            changed("LL", 3, 4, 2),
            "sheet LL, row 3, column LesionID: lesion '2' of case '3' is not in the truth, which has lesions '1'",
        ),
        (changed("LL", 3, 3, 1), "lesion '1' of case '1' is not in the truth, which has none"),
        (
            added("LL", "a", "ct", 7, 2, 1),
            "sheet LL, row 5: reader 'a' in modality 'ct' rates lesion '2' of case '7' twice; see .* row 2",
        ),
        (
            {**SMALL, "NL": SMALL["NL"][:4]},
            "reader 'b' has no mark in modality 'mr'; every reader must have read every case",
        ),
        ({**older(SMALL), "NL": SMALL["NL"][:4]}, "reader 'b' has no mark in modality 'mr'"),
        ({**ROC, "FP": ROC["FP"][:2]}, "reader 'b' has no rating in modality 'ct' for 1 of 2 cases \\(first: '1'\\)"),
        (added("FP", "a", "ct", 2, 1, start=ROC), "sheet FP, row 4: case '2' is diseased; in ROC data"),
        (added("FP", "a", "ct", 1, 1, start=ROC), "sheet FP, row 4: reader 'a' in modality 'ct' rates case '1' twice"),
    ],
)
def test_what_is_wrong_is_named_with_sheet_row_and_column(tmp_path, sheets: dict, message: str) -> None:
    with pytest.raises(InputDataError, match=message) as error:
        read_workbook(stored(tmp_path, sheets))
    assert "study.xlsx" in str(error.value)


def test_a_blank_row_between_others_is_refused(tmp_path) -> None:
    sheets = {**SMALL, "LL": [*SMALL["LL"][:2], (), *SMALL["LL"][2:]]}
    with pytest.raises(InputDataError, match="sheet LL, row 3: blank, but rows with data follow"):
        read_workbook(stored(tmp_path, sheets))


@pytest.mark.parametrize("content", [b"", b"CaseID,LesionID", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600)])
def test_what_is_no_xlsx_is_refused(tmp_path, content: bytes) -> None:
    (tmp_path / "study.xlsx").write_bytes(content)
    with pytest.raises(InputDataError, match=r"study.xlsx' is no .xlsx file .*; save it as 'Excel workbook"):
        read_workbook(tmp_path / "study.xlsx")
    with pytest.raises(InputDataError, match="does not exist"):
        read_workbook(tmp_path / "none.xlsx")


def test_a_small_file_that_unpacks_to_a_huge_one_is_refused(tmp_path) -> None:
    path = stored(tmp_path, SMALL)
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("xl/media/zeros", bytes(300 << 20))
    assert path.stat().st_size < 1 << 20
    with pytest.raises(InputDataError, match="unpacked 31[0-9]+; expected at most"):
        read_workbook(path)


def test_a_cell_at_the_end_of_the_sheet_costs_no_memory(tmp_path) -> None:
    path = stored(tmp_path, SMALL)
    content = {}
    with zipfile.ZipFile(path) as archive:
        content = {name: archive.read(name) for name in archive.namelist()}
    far = b'<row r="9999999"><c r="XFD9999999"><v>1</v></c></row></sheetData>'
    content["xl/worksheets/sheet3.xml"] = content["xl/worksheets/sheet3.xml"].replace(b"</sheetData>", far)
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in content.items():
            archive.writestr(name, data)
    assert read_workbook(path).n_lesions == 3


@settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_mutated_cells_are_read_or_refused_with_a_reason(tmp_path, data: st.DataObject) -> None:
    sheets = data.draw(st.sampled_from([SMALL, ROC, older(SMALL), older(ROC)]))
    cell = (
        st.none()
        | st.integers(-2, 8)
        | st.floats()
        | st.booleans()
        | st.sampled_from(["a", "a,b", "ct", "", " ", "1", "x\ny", "=A1"])
    )
    for _ in range(data.draw(st.integers(1, 3))):
        title = data.draw(st.sampled_from(sorted(sheets)))
        row = data.draw(st.integers(1, len(sheets[title])))
        column = data.draw(st.integers(1, len(sheets[title][row - 1])))
        sheets = changed(title, row, column, data.draw(cell), start=sheets)
    _read_or_refused(stored(tmp_path, sheets))


@settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_mutated_bytes_are_read_or_refused_with_a_reason(tmp_path, data: st.DataObject) -> None:
    """Bytes inside the archive's parts, so that the parts are unpacked and reach the parser."""
    path = stored(tmp_path, SMALL)
    with zipfile.ZipFile(path) as archive:
        parts = {name: bytearray(archive.read(name)) for name in archive.namelist()}
    name = data.draw(st.sampled_from(sorted(parts)))
    for _ in range(data.draw(st.integers(1, 5))):
        parts[name][data.draw(st.integers(0, len(parts[name]) - 1))] = data.draw(st.integers(32, 126))
    with zipfile.ZipFile(path, "w") as archive:
        for part, content in parts.items():
            if part != name or data.draw(st.integers(0, 4)):
                archive.writestr(part, bytes(content))
    _read_or_refused(path)


def _read_or_refused(path: Path) -> None:
    try:
        found: object = read_workbook(path)
    except InputDataError as error:
        found = str(error)
    assert isinstance(found, ReaderStudy) or "study.xlsx" in str(found)


# Workbooks that are shipped with RJafroc


def reference(path: Path) -> dict[str, Any]:
    """One of RJafroc's data sets, stored by R."""
    import rdata

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of classes that rdata has no converter for
        return rdata.read_rds(path) if path.suffix == ".rds" else rdata.read_rda(path)[path.stem]


def assert_equals_reference(study: ReaderStudy, expected: dict[str, Any]) -> None:
    """Ratings, lesions and weights; RJafroc sorts the cases of each kind by number and pads with minus infinity."""
    names = study.readings[0][0].case_ids
    k1, k2 = study.n_nondiseased, study.n_diseased
    order = [*sorted(range(k1), key=lambda k: int(names[k])), *sorted(range(k1, k1 + k2), key=lambda k: int(names[k]))]
    nl, ll = np.asarray(expected["ratings"]["NL"]), np.asarray(expected["ratings"]["LL"])
    assert nl.shape[:3] == (study.n_modalities, study.n_readers, study.n_cases)
    assert list(study.modalities) == [str(name) for name in np.asarray(expected["descriptions"]["modalityID"])]
    assert list(study.readers) == [str(name) for name in np.asarray(expected["descriptions"]["readerID"])]
    first = study.readings[0][0]
    lesions = [np.flatnonzero(first.lesion_case == k - k1) for k in order[k1:]]
    assert [len(places) for places in lesions] == list(np.asarray(expected["lesions"]["perCase"]))
    weights = np.asarray(expected["lesions"]["weights"])
    for places, row in zip(lesions, weights, strict=True):
        assert first.lesion_weights[places] == pytest.approx(row[np.isfinite(row)], abs=1e-15)
    for i, row in enumerate(study.readings):
        for j, data in enumerate(row):
            for place, k in enumerate(order):
                found = sorted(data.nl_rating[data.nl_case == k])
                assert found == sorted(nl[i, j, place][np.isfinite(nl[i, j, place])])
            for places, ratings in zip(lesions, ll[i, j], strict=True):
                assert data.lesion_rating[places].tolist() == ratings[: len(places)].tolist()


@pytest.mark.shared_data
@pytest.mark.parametrize(
    ("workbook", "stored_by_r", "is_roc"),
    [
        ("toyFiles/FROC/frocCr.xlsx", "frocCr.rds", False),
        ("toyFiles/FROC/frocCrStrRdrsTrts.xlsx", "frocCrStrRdrsTrts.rds", False),
        ("toyFiles/ROC/rocCr.xlsx", "rocCr.rds", True),
        ("toyFiles/ROC/rocCrStrRdrsTrts.xlsx", "rocCrStrRdrsTrts.rds", True),
        ("Froc.xlsx", "jafroc-newExcelFormat.rds", False),
        ("Roc.xlsx", "jafroc-oldExcelFormat.rds", True),
        ("Roc.xlsx", "dataset02.RData", True),
        ("JT.xlsx", "dataset05.RData", False),
    ],
)
def test_a_workbook_holds_what_r_has_read_from_it(rjafroc, workbook: str, stored_by_r: str, is_roc: bool) -> None:
    root = rjafroc.parent.parent
    folder = root / "data" if stored_by_r.endswith(".RData") else root / "tests/testthat/goodValues361/DfReadDataFile"
    study = read_workbook(rjafroc / workbook)
    assert study.is_roc is is_roc
    assert_equals_reference(study, reference(folder / stored_by_r))


@pytest.mark.shared_data
@pytest.mark.parametrize(
    ("newer", "older_form"),
    [
        ("frocCrAbnormalCasesFirst", "frocCrAbnormalCasesFirstOldFormat"),
        ("frocCr013Lesions", "frocCr013LesionsOldFormat"),
    ],
)
def test_both_forms_hold_the_same_study(rjafroc, assert_same, newer: str, older_form: str) -> None:
    folder = rjafroc / "toyFiles" / "FROC"
    one, two = read_workbook(folder / f"{newer}.xlsx"), read_workbook(folder / f"{older_form}.xlsx")
    if newer.startswith("frocCrAbnormal"):
        assert (one.modalities, two.modalities) == (("0", "1"), ("1", "2"))
        two = ReaderStudy(one.modalities, two.readers, two.readings)
    assert_same(one, two)


@pytest.mark.shared_data
@pytest.mark.parametrize(
    ("workbook", "size"),
    [
        ("CadFrocData", (1, 10, 120, 80, 80)),
        ("NicoRadRoc", (1, 10, 120, 80, 80)),
        ("JT2Rdrs", (2, 2, 45, 47, 59)),
        ("toyFiles/FROC/2T7R", (2, 7, 229, 89, 152)),
        ("toyFiles/FROC/frocCr1R", (2, 1, 3, 5, 9)),
        ("toyFiles/FROC/frocCr1T", (1, 3, 3, 5, 9)),
        ("toyFiles/FROC/frocCrEqWts", (2, 3, 3, 5, 9)),
        ("toyFiles/FROC/frocLocatClass", (1, 1, 0, 3, 7)),
        ("toyFiles/ROC/rocCr1R", (2, 1, 3, 5, 5)),
        ("toyFiles/ROC/rocCr1T", (1, 5, 3, 5, 5)),
    ],
)
def test_other_workbooks_are_read(rjafroc, tmp_path, assert_same, workbook: str, size: tuple[int, ...]) -> None:
    study = read_workbook(rjafroc / f"{workbook}.xlsx")
    assert (study.n_modalities, study.n_readers, study.n_nondiseased, study.n_diseased, study.n_lesions) == size
    write_workbook(tmp_path / "again.xlsx", study)
    assert_same(read_workbook(tmp_path / "again.xlsx"), study)


@pytest.mark.shared_data
def test_the_vandyke_workbook_is_the_vandyke_study(rjafroc) -> None:
    computed = json.loads((rjafroc.parents[2] / "vandyke_roc.reference.json").read_text())["computed"]
    study = read_workbook(rjafroc / "Roc.xlsx")
    assert study.figures("Wilcoxon") == pytest.approx(np.array(computed["figures_of_merit"]["Wilcoxon"]), abs=1e-12)


@pytest.mark.shared_data
@pytest.mark.parametrize(
    ("workbook", "message"),
    [
        ("FROC/bad/frocCr2BlankRows", "sheet TRUTH, row 6: blank, but rows with data follow"),
        (
            "FROC/bad/frocCrNonCharInModalityID",
            "sheet TRUTH, row 9, column ModalityID: '0', but the first row has '0,1'",
        ),
        ("FROC/bad/frocCrNonCharInReaderID", "sheet TRUTH, row 7, column ReaderID: '1', but the first row has '0,1,2'"),
        ("FROC/bad/incorrectCaseIDsInTP", "sheet TP, row 7, column CaseID: case '0' is not in the truth"),
        ("ROC/bad/duplicatedRow", "sheet TRUTH, row 7, column LesionID: lesion 1 of case 71 stands twice"),
        ("ROC/bad/incorrectSheetName", "0 sheets named TRUTH, expected one; its sheets are FP, TRUTH1, TP"),
        ("ROC/bad/incorrectWeights", "sheet TRUTH, row 5, column Weight: the lesion weights of case '70' sum to 0.5"),
        ("ROC/bad/missing1CellRow5", "sheet TRUTH, row 5, column Weight: empty"),
        ("ROC/bad/missing2CellsRow5and7", "sheet TRUTH, row 3, column CaseID: empty"),
        ("ROC/bad/missingCells", "sheet TRUTH, row 3, column CaseID: empty"),
        ("ROC/bad/missingEntireRow5", "sheet TRUTH, row 5: blank"),
        ("ROC/bad/non-integerCaseID", "sheet TRUTH, row 7, column CaseID: 71.1 must be a whole number"),
        ("ROC/bad/non-integerCellsRows5and7", "sheet TRUTH, row 9, column CaseID: 'd' must be a finite number"),
        ("ROC/bad/non-integerLesionID", "sheet TRUTH, row 2, column LesionID: 0.1 must be a whole number"),
        ("ROC/bad/non-numeric-weight", "sheet TRUTH, row 5, column Weight: 'abc' must be a finite number"),
        ("ROC/bad/rocCrStrRdrsNonUnique", "sheet TRUTH, row 2, column ReaderID: .* expected different names"),
        ("ROC/bad/rocSpCText", "sheet TRUTH, row 3, column Paradigm: design SPLIT-PLOT is not read"),
        ("ROC/rocSpA", "column Paradigm: design SPLIT-PLOT-A is not read, only FCTRL or CROSSED"),
        ("ROC/rocSpA-unbalanced", "design SPLIT-PLOT-A is not read"),
        ("ROC/rocSpC", "design SPLIT-PLOT-C is not read"),
        ("ROC/rocSpCVaryK", "design SPLIT-PLOT is not read"),
        ("LROC/lroc", "sheet TRUTH, row 2, column Paradigm: LROC data are not read, only ROC and FROC"),
        ("LROC/lroc1", "LROC data are not read"),
        ("LROC/lroc2", "LROC data are not read"),
        ("../XModDataFile", "sheet Truth, row 3, column Paradigm: design FCTRL-X-MOD is not read"),
    ],
)
def test_bad_workbooks_and_other_designs_are_refused_with_the_place(rjafroc, workbook: str, message: str) -> None:
    path = rjafroc / "toyFiles" / f"{workbook}.xlsx"
    with pytest.raises(InputDataError, match=message) as error:
        read_workbook(path)
    assert str(path) in str(error.value)


@pytest.mark.shared_data
def test_every_bad_workbook_is_tested(rjafroc) -> None:
    listed = {
        mark.args[1][n][0]
        for mark in test_bad_workbooks_and_other_designs_are_refused_with_the_place.pytestmark
        if mark.name == "parametrize"
        for n in range(len(mark.args[1]))
    }
    shipped = {
        path.relative_to(rjafroc / "toyFiles").with_suffix("").as_posix()
        for path in rjafroc.glob("toyFiles/*/bad/*.xlsx")
    }
    assert shipped
    assert shipped <= listed
