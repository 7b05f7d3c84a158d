"""Words that name patients are found however they are spelt, and nothing else is hidden."""

from __future__ import annotations

import logging
import warnings

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.dataset import Dataset

from medpipe.io.privacy import PatientWords, defined_term, name_hider, patient_words, without_quotes
from medpipe.io.quiet import quiet_headers, quiet_libraries

HIDE = name_hider(["DOE^JANE^M", "0012345", "19700131", "Li^Bo", "Müller^Jörg", "7", "O'Neil^Sam", "AB-12/34"])


@pytest.mark.parametrize(
    "text",
    [
        *("DOE^JANE", "doe_jane", "Jane Doe", "JANE", "prefixDOEJANEmsuffix", "janedoe", "Li^Bo", "bo.li", "libo"),
        *("12345", "0012345", "IM12345", "im0012345x", "AB-12/34", "ab1234", "AB_12_34"),
        *(
            "19700131",
            "1970-01-31",
            "1970_1_31",
            "31.01.1970",
            "31.1.1970",
            "31011970",
            "01/31/1970",
            "700131",
            "310170",
        ),
        *("31-JAN-1970", "31Jan1970", "Jan 31 1970", "x19700131y"),
        *("Müller", "MULLER", "mueller", "Mu\u0308ller", "M\\xfcller", "Jörg", "Joerg", "o'neil", "O_NEIL"),
    ],
)
def test_every_spelling_of_a_name_an_id_or_a_date_is_hidden(text) -> None:
    assert HIDE(text) == "***"
    assert HIDE(f"in/{text}/IM1.dcm") in ("in/***/IM1.dcm", "in/***.dcm")


@pytest.mark.parametrize(
    "text",
    [
        *("", "export/IM1.dcm", "DOEBLER", "a/m/b", "x/77/y", "IM7.dcm", "has 31 frames", "1970", "1971-01-31"),
        *("1.2.840.113619.2.12345.7", "1.2.840.10008.5.1.4.1.1.7", "123456", "912345", "limbo", "bold"),
    ],
)
def test_other_words_stay(text) -> None:
    assert HIDE(text) == text


def test_short_words_are_hidden_as_parts_of_paths_alone() -> None:
    assert HIDE("in/7/LI/x/bo.dcm") == "in/***/***/x/***.dcm"
    assert HIDE("7.png") == "***.png"
    assert HIDE("7 of Li") == "7 of Li"
    assert HIDE.hides("7")


def test_a_long_part_of_a_uid_is_hidden_where_it_is_the_birth_date() -> None:
    assert HIDE("1.2.840.113619.2.19700131.7") == "1.2.840.113619.2.***.7"


def test_nothing_is_hidden_where_patients_may_be_identified() -> None:
    hide = PatientWords(identified=True)
    hide.add(["DOE^JANE"])
    assert hide("DOE/JANE") == "DOE/JANE"
    assert not hide.hides("DOE")


@given(st.lists(st.text(max_size=12), max_size=4), st.text(max_size=40))
def test_any_text_can_be_a_name_and_hiding_twice_changes_nothing(names, text) -> None:
    hide = name_hider(names)
    once = hide(text)
    assert hide(once) == once


@given(st.from_regex(r"[A-Za-z]{3,10}", fullmatch=True), st.from_regex(r"[A-Za-z]{3,10}", fullmatch=True))
def test_a_name_is_hidden_whatever_stands_between_its_parts(family, given_name) -> None:
    hide = name_hider([f"{family}^{given_name}"])
    for between in ("^", "_", " ", "-", ", ", "/", ""):
        for name in (f"{family}{between}{given_name}", f"{given_name}{between}{family}"):
            shown = hide(f"0/{name.upper()}/1")
            assert set(shown.replace("***", "")) <= set("0/1^_ -,")


def test_all_names_ids_and_dates_of_a_header_are_gathered() -> None:
    dataset, other = Dataset(), Dataset()
    dataset.SpecificCharacterSet = "ISO_IR 100"
    dataset.PatientName, dataset.PatientID, dataset.PatientBirthDate = "Müller^Jörg", "12", "19700131"
    dataset.OtherPatientIDs, dataset.OtherPatientNames = ["A1", "B2"], ["X^Y", "Z"]
    other.PatientID = "C3"
    dataset.OtherPatientIDsSequence = [other]
    assert patient_words(dataset) == ("Müller^Jörg", "12", "19700131", "A1", "B2", "X^Y", "Z", "C3")
    assert patient_words(Dataset()) == ()


def test_what_is_no_term_is_not_shown() -> None:
    assert defined_term("CHEST") == "CHEST"
    assert defined_term("") == ""
    assert defined_term("Jane Doe, born 1970") == "(no defined term)"
    assert defined_term("A" * 17) == "(no defined term)"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("could not convert string to float: 'DOE'", "could not convert string to float: '...'"),
        ("invalid literal: b'DOE\\x00'", "invalid literal: '...'"),
        ("'O'NEIL' and \"DOE\" differ", "'...' differ"),
        ("can't do what isn't there", "can't do what isn't there"),
    ],
)
def test_what_an_error_quotes_is_left_out(text, shown) -> None:
    assert without_quotes(text) == shown


def test_libraries_that_quote_headers_are_silent_and_speak_again_afterwards(caplog) -> None:
    import highdicom  # noqa: F401
    import pydicom  # noqa: F401
    import pynetdicom  # noqa: F401

    names = ("pydicom", "highdicom.sr", "pynetdicom.assoc", "PIL.PngImagePlugin", "nibabel.global")
    for context in (quiet_libraries, quiet_headers):
        with context():
            for name in names:
                logging.getLogger(name).error("DOE^JANE")
            logging.getLogger("medpipe.pacs.node").warning("study 1")
    assert [record.name for record in caplog.records] == ["medpipe.pacs.node"] * 2
    logging.getLogger("pynetdicom.assoc").error("heard")
    assert caplog.records[-1].message == "heard"


def test_warnings_of_other_modules_pass() -> None:
    with pytest.warns(UserWarning, match="ours"), quiet_libraries():
        warnings.warn("ours", UserWarning, stacklevel=1)


@pytest.mark.parametrize("value", [None, b"", b"19700131"])
def test_a_birth_date_of_an_unknown_kind_is_no_obstacle(value) -> None:
    from pydicom.dataelem import RawDataElement
    from pydicom.tag import Tag

    dataset = Dataset()
    tag = Tag("PatientBirthDate")
    dataset._dict[tag] = RawDataElement(tag, "D\x13", len(value or b""), value, 0, False, True)
    assert patient_words(dataset) == (("19700131",) if value else ())
