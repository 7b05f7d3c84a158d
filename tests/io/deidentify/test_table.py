from __future__ import annotations

import importlib

import pytest
from pydicom.datadict import dictionary_VR

from medpipe.io.deidentify.table import CHOSEN, Profile, action_rows, edition


def test_the_table_has_the_codes_of_the_standard_and_no_other() -> None:
    rows = action_rows()
    assert {row["basic"] for row in rows} == {"X", "Z", "D", "U", *CHOSEN}
    assert {
        row[name] for row in rows for name in ("retain_uids", "modified_dates", "clean_descriptors") if name in row
    } == {"K", "C"}
    assert len({row["tag"] for row in rows}) == len(rows)


def test_the_basic_column_equals_the_edition_that_dicom_anonymizer_carries() -> None:
    name = f"dicomanonymizer.dicom_anonymization_databases.dicomfields_{edition()}"
    peer = pytest.importorskip(name, reason="dicom-anonymizer is not installed")
    theirs = {
        f"{tag[0]:04x}{tag[1]:04x}": kind.removesuffix("_TAGS").replace("_STAR", "*").replace("_", "/")
        for kind in dir(peer)
        if kind.endswith("_TAGS") and kind != "ALL_TAGS"
        for tag in getattr(peer, kind)
        if len(tag) == 2
    }
    assert theirs == {row["tag"]: row["basic"] for row in action_rows() if "x" not in row["tag"]}
    assert importlib.import_module(name) is peer


@pytest.mark.parametrize(
    ("tag", "basic", "options"),
    [  # read from the published table
        ("00100010", "Z", {}),
        ("00100020", "Z/D", {}),
        ("00100030", "Z", {}),
        ("00080018", "U", {"retain_uids": "K"}),
        ("00080020", "Z", {"modified_dates": "C"}),
        ("00080022", "X/Z", {"modified_dates": "C"}),
        ("0008103e", "X", {"clean_descriptors": "C"}),
        ("00081140", "X/Z/U*", {"retain_uids": "K"}),
        ("0040a730", "D", {}),
        ("00420011", "D", {}),
    ],
)
def test_well_known_rows_read_as_published(tag, basic, options) -> None:
    (row,) = [row for row in action_rows() if row["tag"] == tag]
    assert row["basic"] == basic
    assert {key: row[key] for key in row.keys() & {"retain_uids", "modified_dates", "clean_descriptors"}} == options


def test_every_date_but_that_of_birth_and_a_satellite_can_be_shifted() -> None:
    def vr(tag: str) -> str:
        try:
            return dictionary_VR(int(tag, 16))
        except (KeyError, ValueError):
            return ""

    without = {
        row["name"] for row in action_rows() if vr(row["tag"]) in ("DA", "DT", "TM") and "modified_dates" not in row
    }
    assert without == {"Patient's Birth Date", "Patient's Birth Time", "GPS Time Stamp"}


def test_an_option_replaces_the_basic_action() -> None:
    study_date, study_uid, description = 0x00080020, 0x0020000D, 0x00081030
    assert [Profile().codes()[tag] for tag in (study_date, study_uid, description)] == ["Z", "U", "X"]
    chosen = Profile(retain_uids=True, modified_dates=True, clean_descriptors=True).codes()
    assert [chosen[tag] for tag in (study_date, study_uid, description)] == ["C", "K", "C"]


def test_the_method_codes_name_the_profile_and_its_options() -> None:
    assert [code for code, _ in Profile().methods()] == ["113100"]
    everything = Profile(True, True, True, frozenset({(0x19, "X", 1)}))
    assert [code for code, _ in everything.methods()] == ["113100", "113105", "113107", "113110", "113111"]
